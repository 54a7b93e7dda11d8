//! Messages that reach everybody, once, and only if somebody says that they are right.

use std::collections::BTreeMap;

use ao_p2p::limits::{GOSSIP_BYTES_MAX, TOPICS};
use ao_p2p::{Answer, Command, Config, Event, KnownPeer, Shard, Topic, Verdict};

use crate::common::{Node, config, only, pair};

/// So many nodes in a row, each connected to the one before and nobody else.
async fn row(count: u8, judge: impl Fn(u8, &[u8]) -> Verdict + Clone + Send + Sync + 'static) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for seed in 1..=count {
        let before: Vec<KnownPeer> = nodes.last().map(Node::known).into_iter().collect();
        // nobody else is dialled, and nobody learns of anybody: messages pass from hand to hand
        let config = Config { static_peers: before, min_out: 0, topics: only(Topic::Tips), max_in: 1, ..config(seed) };
        let judge = judge.clone();
        let mut node = Node::with(config, move |_, data| judge(seed, data), |_, _| Some(Answer::NotFound)).await;
        if let Some(last) = nodes.last_mut() {
            node.connected(last.peer).await;
            last.connected(node.peer).await;
        }
        nodes.push(node);
    }
    // what is gossiped before is not lost to the network, but whoever enters the mesh later must ask for it
    for (n, node) in nodes.iter().enumerate() {
        let neighbours = usize::from(n > 0) + usize::from(n + 1 < nodes.len());
        node.peers_until("a mesh", |peers| peers.iter().filter(|info| info.meshes > 0).count() == neighbours).await;
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_reaches_each_of_eight_nodes_once() {
    let first = Node::start(config(1)).await;
    let mut nodes = vec![first];
    for seed in 2..=8 {
        let known = nodes[0].known();
        nodes.push(Node::start(Config { static_peers: vec![known], ..config(seed) }).await);
    }
    for node in &nodes {
        node.peers_until("three neighbours", |peers| peers.iter().filter(|info| info.meshes == TOPICS as u32).count() >= 3).await;
    }
    let topic = Topic::Frames(Shard::of(b"a scheduler"));
    let payload = |from: usize, n: u8| [&[from as u8, n], &vec![n; 3000][..]].concat();
    for (from, node) in nodes.iter().enumerate() {
        for n in 0..5 {
            node.publish(topic, payload(from, n));
        }
    }
    let mut received = Vec::new();
    for (at, node) in nodes.iter_mut().enumerate() {
        let mut found: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        while found.len() < 7 * 5 {
            *found.entry(node.gossip().await).or_default() += 1;
        }
        assert!(found.keys().all(|data| usize::from(data[0]) != at), "own messages do not come back");
        received.push(found);
    }
    // a mark that is published last arrives after all copies of what was before; then no second copy may have been handed up
    for (node, found) in nodes.iter_mut().zip(&mut received) {
        for event in node.told() {
            if let Event::Gossip { data, .. } = event {
                *found.entry(data.to_vec()).or_default() += 1;
            }
        }
        assert!(found.values().all(|times| *times == 1), "a message was handed up twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_from_two_nodes_travels_once() {
    let mut nodes = row(3, |_, _| Verdict::Accept).await;
    nodes[0].publish(Topic::Tips, "same");
    assert_eq!(nodes[2].gossip().await, b"same");
    // the end of the row says the same: it knows it already, so it tells nobody
    nodes[2].publish(Topic::Tips, "same");
    nodes[2].publish(Topic::Tips, "other");
    assert_eq!(nodes[0].gossip().await, b"other");
    assert_eq!(nodes[1].gossip().await, b"same");
    assert_eq!(nodes[1].gossip().await, b"other");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accepted_goes_no_further() {
    let judge = |at: u8, data: &[u8]| match (at, data) {
        (2, b"old") => Verdict::Ignore,
        (2, b"wrong") => Verdict::Reject,
        _ => Verdict::Accept,
    };
    let mut nodes = row(3, judge).await;
    for word in ["old", "wrong", "good"] {
        nodes[0].publish(Topic::Tips, word);
    }
    // all three reach the middle, in this order or another, and only one leaves it
    let mut middle = [nodes[1].gossip().await, nodes[1].gossip().await, nodes[1].gossip().await];
    middle.sort();
    assert_eq!(middle, [&b"good"[..], b"old", b"wrong"]);
    assert_eq!(nodes[2].gossip().await, b"good");
    let told = nodes[2].told();
    assert!(!told.iter().any(|event| matches!(event, Event::Gossip { .. })), "{told:?}");
    let peer = nodes[0].peer;
    nodes[1].peers_until("the price of a wrong message", |peers| peers.iter().any(|info| info.peer == peer && info.score <= -19)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_passes_and_a_larger_one_is_not_sent() {
    let (mut first, second) = pair(config(1), config(2)).await;
    second.publish(Topic::Evidence, vec![7; GOSSIP_BYTES_MAX + 1]);
    second.publish(Topic::Evidence, vec![]);
    second.publish(Topic::Evidence, vec![9; GOSSIP_BYTES_MAX]);
    assert_eq!(first.gossip().await, vec![9; GOSSIP_BYTES_MAX]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_the_first_listener() {
    let alone = Node::start(config(1)).await;
    alone.publish(Topic::Votes, "is anybody there?");
    let mut late = Node::start(Config { static_peers: vec![alone.known()], ..config(2) }).await;
    assert_eq!(late.gossip().await, b"is anybody there?");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_left_and_joined() {
    let (mut first, mut second) = pair(Config { topics: only(Topic::Tips), ..config(1) }, config(2)).await;
    first.send(Command::Subscribe(Topic::Votes));
    // kept until the subscription arrives
    second.publish(Topic::Votes, "for you too");
    assert_eq!(first.gossip().await, b"for you too");
    first.send(Command::Unsubscribe(Topic::Votes));
    // the first message that comes back by this way was sent after that
    first.publish(Topic::Tips, "I left");
    second.wait("word of it", |event| matches!(event, Event::Gossip { .. }).then_some(())).await;
    second.publish(Topic::Votes, "not for you any more");
    second.publish(Topic::Tips, "for all");
    assert_eq!(first.gossip().await, b"for all");
}
