//! What a peer does wrong costs it points first and then its connection. One test for each kind.

use std::time::Duration;

use ao_p2p::limits::{GOSSIP_BYTES_MAX, GOSSIP_RPC_BYTES_MAX};
use ao_p2p::{Answer, BanReason, Command, Config, Event, Failure, Kind, Offence, RequestId, Topic, Verdict};
use libp2p::gossipsub::IdentTopic;
use libp2p::swarm::SwarmEvent;

use crate::common::{Node, config, only, tcp};
use crate::hostile::{self, Hostile, SpeaksEvent, TIPS};

/// A node, and somebody who is connected to it and about to misbehave.
async fn victim(config: Config) -> (Node, Hostile) {
    let judge = |_: Topic, data: &[u8]| if data.starts_with(b"wrong") { Verdict::Reject } else { Verdict::Accept };
    let mut node = Node::with(Config { topics: only(Topic::Tips), ..config }, judge, |_, _| Some(Answer::NotFound)).await;
    let mut hostile = hostile::new();
    hostile.meet(&node.address, TIPS).await;
    node.connected(hostile.peer).await;
    (node, hostile)
}

/// Goes on with `misbehave` until the connection is closed, and says what the ban was for. The score must have fallen before.
async fn until_banned(mut node: Node, mut hostile: Hostile, mut misbehave: impl FnMut(&mut Hostile, u32)) -> BanReason {
    let peer = hostile.peer;
    let (ban, ()) = tokio::join!(node.banned(peer), async {
        let mut turn = 0;
        loop {
            misbehave(&mut hostile, turn);
            turn += 1;
            if !hostile.turn().await {
                return;
            }
        }
    });
    node.disconnected(peer).await;
    assert!(!hostile.is_let_in(&node.address).await, "a banned peer was let in");
    let text = node.network.metrics_text();
    assert!(text.contains(&format!("aonode_p2p_bans_total{{reason=\"{}\"}} 1", ban.reason.as_str())), "{text}");
    ban.reason
}

fn one_of(found: BanReason, offence: Offence) {
    // gossipsub's own score falls for the same messages and may reach its floor first
    assert!([BanReason::Offence(offence), BanReason::Gossip].contains(&found), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message() {
    let (node, mut hostile) = victim(config(1)).await;
    hostile.gossip(TIPS, b"\xff is no version".to_vec());
    let peer = hostile.peer;
    let seen = node.peers_until("a lower score", |peers| peers.iter().any(|info| info.peer == peer && info.score < 0));
    tokio::select! {
        () = seen => {}
        () = async { while hostile.turn().await {} } => panic!("one mistake ended the connection"),
    }
    let reason = until_banned(node, hostile, |hostile, turn| {
        hostile.gossip(TIPS, format!("\u{7f}{turn}").into_bytes());
    });
    one_of(reason.await, Offence::Malformed);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_the_layer_above_rejects() {
    let (node, hostile) = victim(tcp(1)).await;
    let reason = until_banned(node, hostile, |hostile, turn| {
        hostile.gossip(TIPS, format!("\u{1}wrong {turn}").into_bytes());
    });
    one_of(reason.await, Offence::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_above_the_cap() {
    let (node, hostile) = victim(config(1)).await;
    let reason = until_banned(node, hostile, |hostile, turn| {
        let mut bytes = vec![1; GOSSIP_BYTES_MAX + 2];
        bytes[1..5].copy_from_slice(&turn.to_be_bytes());
        hostile.gossip(TIPS, bytes);
    });
    one_of(reason.await, Offence::Oversize);
}

/// gossipsub would close the stream and stay silent, and a peer that writes on would be none the wiser.
async fn broken_streams(config: Config) {
    let (mut node, mut hostile) = victim(config).await;
    for _ in 0..2 {
        hostile.gossip(TIPS, vec![1; 2 * GOSSIP_RPC_BYTES_MAX]);
        hostile.closed().await;
        node.disconnected(hostile.peer).await;
        hostile.meet(&node.address, TIPS).await;
        node.connected(hostile.peer).await;
    }
    let reason = until_banned(node, hostile, |hostile, _| {
        hostile.gossip(TIPS, vec![1; 2 * GOSSIP_RPC_BYTES_MAX]);
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Broken));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_claim_more_than_anybody_may_send() {
    broken_streams(tcp(1)).await;
    broken_streams(config(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_again_and_again() {
    let (node, hostile) = victim(config(1)).await;
    let reason = until_banned(node, hostile, |hostile, _| {
        hostile.gossip(TIPS, b"\x01have you heard?".to_vec());
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Replay));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_anybody_needs() {
    let (node, hostile) = victim(Config { gossip_rate: 20, ..config(1) }).await;
    let reason = until_banned(node, hostile, |hostile, turn| {
        hostile.gossip(TIPS, format!("\u{1}{turn}").into_bytes());
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Flood));
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_do_not_exist() {
    let (node, hostile) = victim(config(1)).await;
    let reason = until_banned(node, hostile, |hostile, turn| {
        if turn < 60 {
            hostile.swarm.behaviour_mut().gossip.subscribe(&IdentTopic::new(format!("nowhere {turn}"))).unwrap();
        }
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Subscription));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_take_what_it_asked_for() {
    let mut node = Node::start(Config { topics: only(Topic::Tips), ..tcp(1) }).await;
    let mut hostile = hostile::new();
    hostile.swarm.behaviour_mut().gossip.subscribe(&IdentTopic::new(TIPS)).unwrap();
    hostile.meet(&node.address, TIPS).await;
    node.connected(hostile.peer).await;
    // whatever is published goes to a peer whose swarm nobody turns any more
    let (network, peer) = (node.network.clone(), hostile.peer);
    let publishing = async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        for serial in 0_u64.. {
            let mut data = vec![0; GOSSIP_BYTES_MAX];
            data[..8].copy_from_slice(&serial.to_be_bytes());
            let _ = network.send(Command::Publish { topic: Topic::Tips, data: data.into() });
            pace.tick().await;
        }
    };
    tokio::select! { () = node.disconnected(peer) => {}, () = publishing => unreachable!("it never stops") }
    // the network between may have been to blame, so the connection ends and nobody is banned
    assert_eq!(node.network.bans().await.unwrap(), []);
    let text = node.network.metrics_text();
    assert!(text.contains("aonode_p2p_offences_total{reason=\"slow\"}"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_answered() {
    let mut node = Node::start(Config { request_timeout: Duration::from_millis(100), ..tcp(1) }).await;
    let mut hostile = hostile::new();
    hostile.connect(&node.address).await;
    let peer = hostile.peer;
    // it reads requests and keeps the way back for ever
    let mut kept = Vec::new();
    let mute = async {
        loop {
            if let SwarmEvent::Behaviour(SpeaksEvent::Ask(event)) = futures::StreamExt::select_next_some(&mut hostile.swarm).await {
                kept.push(event);
            }
        }
    };
    let asking = async {
        node.connected(peer).await;
        for id in 0.. {
            node.send(Command::Request { id: RequestId(id), peer, kind: Kind::Item, data: id.to_be_bytes().to_vec().into() });
            let result = node
                .wait("an answer, or the end of the connection", |event| match event {
                    Event::Answered { result, .. } => Some(Some(result)),
                    Event::Disconnected(found) if found == peer => Some(None),
                    _ => None,
                })
                .await;
            match result {
                None => return id,
                Some(result) => assert!(matches!(result, Err(Failure::Timeout | Failure::Closed)), "{result:?}"),
            }
        }
        unreachable!("the loop has no end")
    };
    let asked = tokio::select! { asked = asking => asked, () = mute => unreachable!("it never stops") };
    assert!(asked >= 19, "{asked} delays ended a connection");
    assert_eq!(node.network.bans().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_read() {
    let (node, hostile) = victim(tcp(1)).await;
    let to = node.peer.to_string().parse().unwrap();
    let reason = until_banned(node, hostile, |hostile, turn| {
        if turn < 200 {
            hostile.swarm.behaviour_mut().ask.send_request(&to, format!("no request {turn}").into_bytes());
        }
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Malformed));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_claim_too_much() {
    let (node, hostile) = victim(config(1)).await;
    let to = node.peer.to_string().parse().unwrap();
    let reason = until_banned(node, hostile, |hostile, turn| {
        if turn < 200 {
            hostile.swarm.behaviour_mut().ask.send_request(&to, vec![1, 5, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        }
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Oversize));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_anybody_needs() {
    let (node, hostile) = victim(Config { request_rate: 10, ..config(1) }).await;
    let to = node.peer.to_string().parse().unwrap();
    let reason = until_banned(node, hostile, |hostile, turn| {
        if turn < 2000 {
            // well-formed: an empty direct message
            hostile.swarm.behaviour_mut().ask.send_request(&to, vec![1, 4, 0, 0, 0, 0, 0, 1, 7]);
        }
    });
    assert_eq!(reason.await, BanReason::Offence(Offence::Flood));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_the_layer_above_proved() {
    let (mut node, mut hostile) = victim(tcp(1)).await;
    for _ in 0..2 {
        node.send(Command::Penalise { peer: hostile.peer, offence: Offence::Fault });
    }
    assert_eq!(node.banned(hostile.peer).await.reason, BanReason::Offence(Offence::Fault));
    hostile.closed().await;
}
