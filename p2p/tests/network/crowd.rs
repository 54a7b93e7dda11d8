//! Honest nodes among many who are not: F24, sybils that take whatever place they can get and hand nothing on, and F25, peers that invent
//! others.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ao_p2p::hostile::{Habits, Hostile};
use ao_p2p::{Config, KnownPeer, Topic};
use tokio::task::JoinHandle;

use crate::common::{Node, config, only, tcp};
use crate::hostile::{NODE, TIPS};

/// Honest nodes, each told of two others.
const HONEST: u8 = 10;

/// Of ten nodes in a crowd; `AONODE_FULL=1` is nine sybils for each of them, as the page has it.
fn sybils() -> usize {
    if std::env::var_os("AONODE_FULL").is_some() { 9 * usize::from(HONEST) } else { 2 * usize::from(HONEST) }
}

/// How many a node lets in: fewer than come.
const IN_MAX: u32 = 12;

async fn honest() -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for seed in 1..=HONEST {
        let told: Vec<KnownPeer> = nodes.iter().rev().take(2).map(Node::known).collect();
        let own = Config { static_peers: told, max_in: IN_MAX, min_out: 4, topics: only(Topic::Tips), ..tcp(seed) };
        nodes.push(Node::start(own).await);
    }
    for node in &nodes {
        node.peers_until("two neighbours in the mesh", |peers| peers.iter().filter(|info| info.meshes > 0).count() >= 2).await;
    }
    nodes
}

/// Each node says something; how long it took until everybody had heard everything. A lost message fails the test.
async fn round(nodes: &mut [Node], name: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for from in 0..nodes.len() {
        let said = format!("{name} {from}").into_bytes();
        let began = Instant::now();
        nodes[from].publish(Topic::Tips, said.clone());
        for (at, node) in nodes.iter_mut().enumerate() {
            while at != from && node.gossip().await != said {}
            times.push(began.elapsed());
        }
    }
    times.sort();
    times
}

/// A sybil connects to everybody who lets it in, tells whoever asks that it listens, and hands nothing on.
fn sybil(nodes: &[Node]) -> JoinHandle<()> {
    let mut sybil = Hostile::with(NODE, Habits { swallows: true, invents: 0 });
    sybil.subscribe(TIPS);
    let everybody: Vec<libp2p::Multiaddr> = nodes.iter().map(|node| node.address.to_string().parse().unwrap()).collect();
    for address in everybody {
        sybil.swarm.dial(address).unwrap();
    }
    tokio::spawn(sybil.live())
}

/// F24: more sybils come than there are places, and all that is said arrives, for a node's own connections are not theirs to take.
#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_among_sybils() {
    let mut nodes = honest().await;
    let names: BTreeSet<_> = nodes.iter().map(|node| node.peer).collect();
    let before = round(&mut nodes, "before").await;
    let crowd: Vec<_> = (0..sybils()).map(|_| sybil(&nodes)).collect();
    for node in &nodes {
        // Connections of honest nodes that came before take up to nine of the places.
        let left = IN_MAX as usize - usize::from(HONEST - 1);
        node.peers_until("sybils where there is a place", |peers| peers.iter().filter(|info| !names.contains(&info.peer)).count() >= left)
            .await;
    }
    let among = round(&mut nodes, "among").await;
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    println!(
        "{} messages to {} nodes each: p99 {:?} alone, {:?} among {} sybils",
        nodes.len(),
        nodes.len() - 1,
        p99(&before),
        p99(&among),
        crowd.len()
    );
    for node in &nodes {
        let peers = node.network.peers().await.unwrap();
        let friends = peers.iter().filter(|info| names.contains(&info.peer)).count();
        assert!(friends >= 2, "an honest node keeps those that it was told of: {friends}");
    }
    crowd.into_iter().for_each(|sybil| sybil.abort());
}

/// F25: what is found by asking around is a hint. Peers that invent others fill nobody's table with them, and those that exist are found.
#[tokio::test(flavor = "multi_thread")]
async fn who_invents_peers_keeps_nobody_from_finding_others() {
    const INVENTORS: usize = 6;
    const INVENTED: usize = 400;
    let boot = Node::start(config(1)).await;
    let mut inventors = Vec::new();
    for _ in 0..INVENTORS {
        let mut inventor = Hostile::with(NODE, Habits { swallows: false, invents: INVENTED });
        inventor.listen().await;
        assert!(inventor.is_let_in(&boot.address).await);
        inventors.push(tokio::spawn(inventor.live()));
    }
    let mut nodes = Vec::new();
    for seed in 2..=6 {
        nodes.push(Node::start(Config { static_peers: vec![boot.known()], ..config(seed) }).await);
    }
    let names: BTreeSet<_> = nodes.iter().map(|node| node.peer).collect();
    for node in &nodes {
        node.peers_until("a connection to everybody who exists", |peers| {
            let found: BTreeSet<_> = peers.iter().map(|info| info.peer).collect();
            names.iter().all(|peer| *peer == node.peer || found.contains(peer))
        })
        .await;
    }
    inventors.into_iter().for_each(|inventor| inventor.abort());
}
