//! How nodes find each other, and find each other again.

use std::collections::BTreeSet;

use ao_p2p::{Command, Config, Event, KnownPeer, Network, PeerInfo, Topic};

use crate::common::{Node, config, pair, tcp};

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_bootnode_finds_everybody() {
    let boot = Node::start(config(1)).await;
    let mut nodes = Vec::new();
    for seed in 2..6 {
        // two over TCP, two over QUIC: what is told of them is where they listen, not where they come from
        let own = if seed % 2 == 0 { tcp(seed) } else { config(seed) };
        nodes.push(
            Node::start(Config { static_peers: vec![boot.known()], listen: [own.listen.clone(), config(0).listen].concat(), ..own }).await,
        );
    }
    let peers: BTreeSet<_> = nodes.iter().map(|node| node.peer).chain([boot.peer]).collect();
    for node in &nodes {
        let others: BTreeSet<_> = peers.iter().copied().filter(|peer| *peer != node.peer).collect();
        // who said what it runs is known to be of this network
        let met = |found: &[PeerInfo]| {
            found.iter().filter(|info| info.agent.starts_with("aonode/")).map(|info| info.peer).collect::<BTreeSet<_>>()
        };
        node.peers_until("a connection to everybody", |found| met(found) == others).await;
    }
    let found = nodes[0].network.peers().await.unwrap();
    assert!(found.iter().all(|info| info.score == 0), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_peer_is_found_again() {
    let mut first = Node::start(tcp(1)).await;
    let address = first.address.clone();
    let mut node = Node::start(Config { static_peers: vec![first.known()], ..config(2) }).await;
    node.connected(first.peer).await;
    first.connected(node.peer).await;
    let peer = first.peer;
    first.stop().await;
    node.send(Command::Disconnect(peer));
    node.disconnected(peer).await;
    // the same key at the same place: nobody told the node
    let mut again = Node::start(Config { listen: vec![address], ..tcp(1) }).await;
    node.connected(peer).await;
    again.connected(node.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_peer_is_tried_until_it_is_there() {
    let spare = Node::start(tcp(1)).await;
    let address = spare.address.clone();
    let peer = spare.peer;
    spare.stop().await;
    let known = KnownPeer { peer, addresses: vec![address.clone()] };
    let mut node = Node::start(Config { static_peers: vec![known], ..config(2) }).await;
    let _late = Node::start(Config { listen: vec![address], ..tcp(1) }).await;
    node.connected(peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anchors_are_told_and_lead_back() {
    let (first, mut second) = pair(tcp(1), tcp(2)).await;
    let anchors = second
        .wait("anchors", |event| match event {
            Event::Anchors(anchors) => Some(anchors),
            _ => None,
        })
        .await;
    assert_eq!(anchors.iter().map(|anchor| anchor.peer).collect::<Vec<_>>(), [first.peer]);
    second.stop().await;
    // after a restart nothing but the anchors is known
    let mut second = Node::start(Config { anchors, ..tcp(2) }).await;
    second.connected(first.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_only_a_relay_reaches_is_asked_and_answers() {
    let relay_config = tcp(1);
    let relay = Node::start(Config { relay: true, ..relay_config }).await;
    // the relay serves once it is known to be reachable itself
    let external = relay.address.clone();
    relay.stop().await;
    let relay = Node::start(Config { relay: true, listen: vec![external.clone()], external: vec![external], ..tcp(1) }).await;
    let place = relay.address.with_peer(relay.peer);
    let hidden_config = Config { listen: Vec::new(), relays: vec![place.clone()], ..config(2) };
    let mut hidden = Node::start(hidden_config).await;
    hidden.wait("a circuit", |event| matches!(&event, Event::Listening(at) if at.to_string().contains("p2p-circuit")).then_some(())).await;
    let circuit = format!("{place}/p2p-circuit/p2p/{}", hidden.peer).parse().unwrap();
    let known = KnownPeer { peer: hidden.peer, addresses: vec![circuit] };
    let mut asker = Node::start(Config { static_peers: vec![known], ..config(3) }).await;
    asker.connected(hidden.peer).await;
    asker.publish(Topic::Evidence, "through the relay");
    assert_eq!(hidden.gossip().await, b"through the relay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_when_nobody_holds_it_and_others_see_that() {
    let (first, mut second) = pair(tcp(1), tcp(2)).await;
    let peer = first.peer;
    first.stop().await;
    second.disconnected(peer).await;
    let (network, events) = Network::start(config(3)).unwrap();
    drop(network);
    let ended = async {
        let mut events = events;
        while events.recv().await.is_some() {}
    };
    tokio::time::timeout(crate::common::DEADLINE, ended).await.unwrap();
}
