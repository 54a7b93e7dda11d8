//! Gossip: libp2p's gossipsub with our own ids, scores and watch over what each peer sends.
//!
//! A message is anonymous to libp2p: what is gossiped is signed by whoever made it, and a second signature would cost three times as much as
//! the delivery. Its id is SHA-256 over topic and content, so the same content from two nodes travels once. Nothing is forwarded before the
//! layer above gave its verdict, and every message gets one: late, unanswered or shed ones are ignored (`verdicts.rs`).
//!
//! gossipsub keeps to itself which peer repeats, floods or sends what cannot be read, so [`Watch`] stands around it: it knows the peer whose
//! call is being handled while [`Gate`] looks at each message of that call.

use std::collections::{HashMap, HashSet};

use libp2p::gossipsub::{
    self, ConfigBuilder, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds,
    TopicScoreParams, ValidationMode, score_parameter_decay,
};
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::limits::{
    GOSSIP_BAN_MIN, GOSSIP_CONTROL_BYTES_MAX, GOSSIP_MESSAGE_BYTES_MAX, GOSSIP_MESSAGES_PER_RPC, GOSSIP_QUEUE_PER_PEER,
    GOSSIP_RPC_BYTES_MAX, GOSSIP_SEEN_FOR, TOPICS,
};
use crate::topic::{Names, Topic};

mod gate;
mod verdicts;
mod watch;

pub(crate) use gate::Gate;
pub(crate) use verdicts::{Verdicts, Waiting};
pub(crate) use watch::{Noticed, Watch};

/// gossipsub as we run it.
pub(crate) type Inner = gossipsub::Behaviour<Gate, MaxCountSubscriptionFilter<gate::Subscriptions>>;

/// At this score of gossipsub's own a peer is banned, as at [`BAN_AT`](crate::limits::BAN_AT) of ours.
pub(crate) const GOSSIP_BAN_AT: f64 = -100.0;

/// Content-derived: the same bytes on the same topic have the same id on every node.
pub(crate) fn message_id(topic: &str, data: &[u8]) -> MessageId {
    let mut hash = Sha256::new();
    // a topic is text without zero bytes, so the boundary is unambiguous
    hash.update(topic.as_bytes());
    hash.update([0]);
    hash.update(data);
    MessageId::new(&hash.finalize()[..20])
}

/// Builds gossip for a network.
///
/// # Errors
/// [`Error::Setup`] if a parameter is out of libp2p's range, which a test rules out.
pub(crate) fn build(config: &Config, names: &Names, gate: &Gate, registry: &mut Registry) -> Result<Watch, Error> {
    let setup = |what: &'static str| move |reason: &dyn std::fmt::Display| Error::Setup { what, reason: reason.to_string() };
    let mut builder = ConfigBuilder::default();
    let ids = gate.clone();
    builder
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(move |message| ids.identify(message))
        .max_transmit_size(GOSSIP_RPC_BYTES_MAX)
        .max_publish_messages(GOSSIP_MESSAGES_PER_RPC)
        .max_control_message_size(GOSSIP_CONTROL_BYTES_MAX)
        .duplicate_cache_time(GOSSIP_SEEN_FOR)
        .heartbeat_interval(config.heartbeat)
        .heartbeat_initial_delay(config.heartbeat.min(Duration::from_millis(100)))
        .connection_handler_queue_len(GOSSIP_QUEUE_PER_PEER)
        .flood_publish(true)
        .idontwant_message_size_threshold(2048);
    for hash in names.hashes() {
        builder.max_transmit_size_for_topic(GOSSIP_MESSAGE_BYTES_MAX, hash.clone());
    }
    let gossip_config = builder.build().map_err(|error| setup("gossip configuration")(&error))?;
    let filter = MaxCountSubscriptionFilter {
        filter: gate::Subscriptions::new(names.hashes().cloned().collect::<HashSet<_>>(), gate.clone()),
        max_subscribed_topics: TOPICS,
        // each costs a byte at least, and the bytes of one call are bounded
        max_subscriptions_per_request: GOSSIP_CONTROL_BYTES_MAX,
    };
    let mut inner = Inner::new_with_subscription_filter_and_transform(MessageAuthenticity::Anonymous, gossip_config, filter, gate.clone())
        .map_err(|error| setup("gossip")(&error))?
        .with_metrics(registry.sub_registry_with_prefix("libp2p_mesh"), Default::default());
    inner.with_peer_score(score(names), thresholds()).map_err(|error| setup("gossip scores")(&error))?;
    for topic in Topic::all().filter(|topic| config.topics.contains(topic)) {
        inner.subscribe(names.ident(topic)).map_err(|error| setup("subscription")(&error))?;
    }
    Ok(Watch::new(inner, gate.clone()))
}

/// Below the first, message ids are neither offered nor asked for. The others are at the ban: were messages withheld from a slow peer, or a
/// hostile one's calls dropped unseen, before that, it would stay there for ever.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -50.0,
        publish_threshold: GOSSIP_BAN_AT + 1.0,
        graylist_threshold: GOSSIP_BAN_AT,
        ..Default::default()
    }
}

/// gossipsub's own score: our points weigh one to one in it (`app_specific_weight`), and it adds what only it sees. Good behaviour earns at
/// most a few points, so that nobody saves up for an attack.
fn score(names: &Names) -> PeerScoreParams {
    let minute = score_parameter_decay(Duration::from_secs(60));
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 200.0,
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: minute,
        first_message_deliveries_cap: 30.0,
        // traffic of a chain may stop at any time: silence is no fault
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        ..Default::default()
    };
    PeerScoreParams {
        topics: names.hashes().map(|hash| (hash.clone(), topic.clone())).collect::<HashMap<_, _>>(),
        topic_score_cap: 10.0,
        app_specific_weight: 1.0,
        // subnets are counted where connections are admitted, loopback included or not as configured
        ip_colocation_factor_weight: 0.0,
        // promises that a stalled node breaks, a few at once, are no attack; grafts against the rules go on and on
        behaviour_penalty_weight: -5.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: minute,
        // [`Offence::Slow`] counts heartbeats with an overflow, not messages: a burst is no crime
        slow_peer_weight: 0.0,
        // points of who is not connected do not decay; the ban pays for them
        retain_score: GOSSIP_BAN_MIN / 2,
        ..Default::default()
    }
}

const _: () = assert!(TOPICS <= 64, "libp2p's metrics follow so many topics at most");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_content_s_and_the_topic_s() {
        assert_eq!(message_id("t", b"x"), message_id("t", b"x"));
        assert_ne!(message_id("t", b"x"), message_id("u", b"x"));
        assert_ne!(message_id("t", b"x"), message_id("t", b"y"));
        assert_eq!(message_id("t", b"x").0.len(), 20);
    }

    #[test]
    fn parameters_are_within_libp2p_s_ranges() {
        let names = Names::new(&[1; 32]);
        score(&names).validate().unwrap();
        thresholds().validate().unwrap();
        let config = Config::new([1; 32], crate::NodeKey::generate());
        build(&config, &names, &Gate::new(1), &mut Registry::default()).unwrap();
    }
}
