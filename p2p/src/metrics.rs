//! What is counted, under the names of `operations.md`, section 8, and everything that libp2p counts by itself.
//!
//! libp2p counts in a registry of its own kind, whose text differs from the node's in small ways. [`Metrics::render`] writes the older text
//! format (0.0.4), without an end mark, to be appended to the node's own. Labels are enums: no peer can make them grow.

use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::event::{Direction, Verdict};
use crate::peers::BanReason;
use crate::topic::Topic;

/// Buckets of scores: from the ban upwards.
const SCORES: [f64; 8] = [-100.0, -80.0, -60.0, -40.0, -20.0, -1.0, 0.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Link {
    direction: &'static str,
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Flow {
    direction: &'static str,
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Message {
    topic: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTopic {
    topic: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// What moves with the network. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    peers: Family<Link, Gauge>,
    connections: Family<Attempt, Counter>,
    bytes: Family<Flow, Counter>,
    messages: Family<Message, Counter>,
    mesh: Family<OfTopic, Gauge>,
    bans: Family<Why, Counter>,
    offences: Family<Why, Counter>,
    shed: Family<Why, Counter>,
    pub(crate) subnets: Gauge,
    pub(crate) exchange_bytes: Gauge,
}

/// How a connection came about or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Established,
    /// A limit, a ban or the operator's choice.
    Denied,
    /// It speaks another version of the protocol.
    Version,
    Failed,
}

/// What a message turned out to be before the layer above saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    Duplicate,
    Oversize,
    Malformed,
}

/// What was turned away because somebody above is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    Gossip,
    Request,
    Verdict,
    Publish,
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

impl Counts {
    /// Connections by direction and transport: set as a whole.
    pub(crate) fn peers(&self, links: impl Iterator<Item = (Direction, &'static str)>) {
        let mut sums = std::collections::BTreeMap::new();
        for (way, transport) in links {
            *sums.entry((direction(way), transport)).or_insert(0_i64) += 1;
        }
        for way in ["in", "out"] {
            for transport in ["quic", "tcp", "relay"] {
                let sum = sums.get(&(way, transport)).copied().unwrap_or(0);
                self.peers.get_or_create(&Link { direction: way, transport }).set(sum);
            }
        }
    }

    pub(crate) fn connection(&self, way: Direction, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Established => "established",
            Outcome::Denied => "denied",
            Outcome::Version => "version",
            Outcome::Failed => "failed",
        };
        self.connections.get_or_create(&Attempt { direction: direction(way), outcome }).inc();
    }

    pub(crate) fn bytes(&self, way: Direction, protocol: &'static str, bytes: usize) {
        self.bytes.get_or_create(&Flow { direction: direction(way), protocol }).inc_by(bytes as u64);
    }

    pub(crate) fn verdict(&self, topic: Topic, verdict: Verdict) {
        let result = match verdict {
            Verdict::Accept => "accept",
            Verdict::Ignore => "ignore",
            Verdict::Reject => "reject",
        };
        self.messages.get_or_create(&Message { topic: topic.as_str(), result }).inc();
    }

    /// Messages whose topic is not known, because they were never taken apart or are known already.
    pub(crate) fn unread(&self, what: Unread, times: u64) {
        let result = match what {
            Unread::Duplicate => "duplicate",
            Unread::Oversize => "oversize",
            Unread::Malformed => "malformed",
        };
        self.messages.get_or_create(&Message { topic: "any", result }).inc_by(times);
    }

    pub(crate) fn mesh(&self, topic: &'static str, peers: usize) {
        self.mesh.get_or_create(&OfTopic { topic }).set(i64::try_from(peers).unwrap_or(i64::MAX));
    }

    pub(crate) fn ban(&self, reason: BanReason) {
        self.bans.get_or_create(&Why { reason: reason.as_str() }).inc();
    }

    pub(crate) fn offence(&self, offence: crate::Offence, times: u32) {
        self.offences.get_or_create(&Why { reason: offence.as_str() }).inc_by(u64::from(times));
    }

    pub(crate) fn shed(&self, what: Shed) {
        let reason = match what {
            Shed::Gossip => "gossip",
            Shed::Request => "request",
            Shed::Verdict => "verdict",
            Shed::Publish => "publish",
        };
        self.shed.get_or_create(&Why { reason }).inc();
    }
}

/// The scores of the connected peers at one moment: a histogram that is replaced, not added to.
#[derive(Clone, Default, Debug)]
pub(crate) struct Scores(Arc<parking_lot::Mutex<Vec<f64>>>);

impl Scores {
    pub(crate) fn set(&self, scores: Vec<f64>) {
        *self.0.lock() = scores;
    }
}

impl prometheus_client::collector::Collector for Scores {
    fn encode(&self, mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeMetric;
        let histogram = Histogram::new(SCORES);
        for score in self.0.lock().iter() {
            histogram.observe(*score);
        }
        let help = "Score of each connected peer now; at -100 it is banned";
        let encoder = encoder.encode_descriptor("aonode_peer_score", help, None, histogram.metric_type())?;
        histogram.encode(encoder)
    }
}

/// The registry, once everything is registered.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Registry>);

impl Metrics {
    /// Our own metrics. libp2p's are registered while the swarm is built; [`Self::seal`] comes last.
    pub(crate) fn register(registry: &mut Registry, scores: &Scores) -> Counts {
        let counts = Counts::default();
        let c = &counts;
        registry.register("aonode_p2p_peers", "Connections that stand", c.peers.clone());
        registry.register("aonode_p2p_connections", "Connections tried", c.connections.clone());
        registry.register("aonode_p2p_bytes", "Bytes of payloads", c.bytes.clone());
        registry.register("aonode_gossip_messages", "Gossiped messages received, by what became of them", c.messages.clone());
        registry.register("aonode_gossip_mesh_peers", "Peers in the mesh of a topic, the least of its shards", c.mesh.clone());
        registry.register("aonode_p2p_bans", "Peers banned", c.bans.clone());
        registry.register("aonode_p2p_offences", "Offences of peers", c.offences.clone());
        registry.register("aonode_p2p_shed", "Work turned away because this node is slow", c.shed.clone());
        registry.register("aonode_p2p_subnets_distinct", "Networks (/16, /32) that connected peers are in", c.subnets.clone());
        registry.register("aonode_p2p_exchange_bytes", "Memory held by requests and answers", c.exchange_bytes.clone());
        registry.register_collector(Box::new(scores.clone()));
        // A family without a sample is not on the page, and a rate needs a zero to begin from.
        for unread in [Unread::Duplicate, Unread::Oversize, Unread::Malformed] {
            counts.unread(unread, 0);
        }
        counts
    }

    pub(crate) fn seal(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// Everything in the text format 0.0.4, without an end mark.
    pub(crate) fn render(&self) -> String {
        let mut text = String::with_capacity(32 * 1024);
        match encode(&mut text, &self.0) {
            Ok(()) => older(&text),
            Err(error) => format!("# {error}\n"),
        }
    }
}

/// OpenMetrics as the text format 0.0.4: a counter's name in `HELP` and `TYPE` is that of its samples, units and the end mark are no lines.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    let counters: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.strip_suffix(" counter")).collect();
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let rewritten = ["# HELP ", "# TYPE "].iter().find_map(|start| {
            let (name, rest) = line.strip_prefix(start)?.split_once(' ')?;
            counters.contains(name).then(|| format!("{start}{name}_total {rest}"))
        });
        out.push_str(rewritten.as_deref().unwrap_or(line));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Offence;

    fn sample() -> String {
        let mut registry = Registry::default();
        let scores = Scores::default();
        let counts = Metrics::register(&mut registry, &scores);
        counts.peers([(Direction::In, "quic"), (Direction::In, "quic")].into_iter());
        counts.connection(Direction::Out, Outcome::Denied);
        counts.bytes(Direction::In, "gossip", 10);
        counts.verdict(Topic::Votes, Verdict::Reject);
        counts.unread(Unread::Duplicate, 3);
        counts.mesh("frames", 4);
        counts.ban(BanReason::Offence(Offence::Flood));
        counts.offence(Offence::Flood, 7);
        counts.shed(Shed::Gossip);
        scores.set(vec![-30.0, 2.0]);
        Metrics::seal(registry).render()
    }

    #[test]
    fn names_and_labels_are_those_of_the_page() {
        let text = sample();
        for line in [
            "aonode_p2p_peers{direction=\"in\",transport=\"quic\"} 2",
            "aonode_p2p_peers{direction=\"out\",transport=\"tcp\"} 0",
            "aonode_p2p_connections_total{direction=\"out\",outcome=\"denied\"} 1",
            "aonode_p2p_bytes_total{direction=\"in\",protocol=\"gossip\"} 10",
            "aonode_gossip_messages_total{topic=\"votes\",result=\"reject\"} 1",
            "aonode_gossip_messages_total{topic=\"any\",result=\"duplicate\"} 3",
            "aonode_gossip_mesh_peers{topic=\"frames\"} 4",
            "aonode_p2p_bans_total{reason=\"flood\"} 1",
            "aonode_p2p_offences_total{reason=\"flood\"} 7",
            "aonode_p2p_shed_total{reason=\"gossip\"} 1",
            "aonode_p2p_subnets_distinct 0",
            "aonode_peer_score_bucket{le=\"-20.0\"} 1",
            "aonode_peer_score_count 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn the_text_can_be_appended_to_the_older_format() {
        let text = sample();
        assert!(!text.contains("# EOF") && !text.contains("# UNIT") && text.ends_with('\n'));
        let mut typed = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(typed.insert(name.to_owned()), "{name} twice");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
                assert!(typed.contains(name) || typed.contains(base), "{line} has no type");
            }
        }
    }
}
