//! Who may connect, and who may not any more.

use std::time::Duration;

use ao_p2p::limits::CONNECTIONS_PER_PEER;
use ao_p2p::{BanReason, Command, Config, Event};

use crate::common::{Node, config, pair, tcp};
use crate::hostile::{self, Hostile};

#[tokio::test(flavor = "multi_thread")]
async fn a_subnet_has_so_many_connections_and_no_more() {
    let node = Node::start(Config { per_subnet: 3, loopback_exempt: false, ..tcp(1) }).await;
    let mut crowd = [hostile::new(), hostile::new(), hostile::new(), hostile::new()];
    for (n, one) in crowd.iter_mut().enumerate() {
        assert_eq!(one.is_let_in(&node.address).await, n < 3, "connection {n}");
    }
    // one leaves, one may come
    let [first, _, _, fourth] = &mut crowd;
    let _ = first.swarm.disconnect_peer_id(node_peer(&node));
    first.closed().await;
    node.peers_until("the end of a connection", |peers| peers.len() == 2).await;
    assert!(fourth.is_let_in(&node.address).await);
}

fn node_peer(node: &Node) -> libp2p::PeerId {
    node.peer.to_string().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_fill_their_slots_and_not_ours() {
    let mut node = Node::start(Config { max_in: 2, max_out: 1, min_out: 1, ..tcp(1) }).await;
    let mut crowd = [hostile::new(), hostile::new(), hostile::new()];
    for (n, one) in crowd.iter_mut().enumerate() {
        assert_eq!(one.is_let_in(&node.address).await, n < 2, "connection {n}");
    }
    let friend = Node::start(tcp(2)).await;
    node.send(Command::Want(friend.known()));
    node.connected(friend.peer).await;
    let text = node.network.metrics_text();
    assert!(text.contains("aonode_p2p_connections_total{direction=\"in\",outcome=\"denied\"}"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_has_so_many_connections_and_no_more() {
    let node = Node::start(tcp(1)).await;
    let mut greedy = hostile::new();
    assert!(greedy.is_let_in(&node.address).await);
    let address: libp2p::Multiaddr = node.address.to_string().parse().unwrap();
    for _ in 0..CONNECTIONS_PER_PEER {
        let always = libp2p::swarm::dial_opts::DialOpts::peer_id(node_peer(&node))
            .condition(libp2p::swarm::dial_opts::PeerCondition::Always)
            .addresses(vec![address.clone()])
            .build();
        greedy.swarm.dial(always).unwrap();
    }
    greedy
        .until("a refusal", |event| {
            use libp2p::swarm::SwarmEvent::{ConnectionClosed, OutgoingConnectionError};
            matches!(event, ConnectionClosed { .. } | OutgoingConnectionError { .. }).then_some(())
        })
        .await;
    let most = CONNECTIONS_PER_PEER;
    node.peers_until("so many connections", |peers| peers.iter().all(|info| info.connections <= most) && !peers.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_outlives_a_restart_and_can_be_lifted() {
    let mut node = Node::start(tcp(1)).await;
    let mut banned = hostile::new();
    assert!(banned.is_let_in(&node.address).await);
    node.connected(banned.peer).await;
    node.send(Command::Ban { peer: banned.peer, length: Duration::from_secs(3600) });
    let ban = node.banned(banned.peer).await;
    assert_eq!(ban.reason, BanReason::Operator);
    node.disconnected(banned.peer).await;
    banned.closed().await;
    assert!(!banned.is_let_in(&node.address).await);
    node.stop().await;

    let mut node = Node::start(Config { bans: vec![ban], ..tcp(1) }).await;
    assert_eq!(node.network.bans().await.unwrap(), [ban]);
    assert!(!banned.is_let_in(&node.address).await);
    node.send(Command::Unban(banned.peer));
    node.wait("the end of a ban", |event| (event == Event::Unbanned(banned.peer)).then_some(())).await;
    assert!(banned.is_let_in(&node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_ends_by_itself() {
    let mut node = Node::start(tcp(1)).await;
    let mut banned = hostile::new();
    node.send(Command::Ban { peer: banned.peer, length: Duration::from_secs(1) });
    node.banned(banned.peer).await;
    node.wait("the end of a ban", |event| (event == Event::Unbanned(banned.peer)).then_some(())).await;
    assert!(banned.is_let_in(&node.address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_peers_where_that_is_asked() {
    let friend = Node::start(tcp(2)).await;
    let mut node = Node::start(Config { trusted_only: true, static_peers: vec![friend.known()], ..tcp(1) }).await;
    node.connected(friend.peer).await;
    let mut stranger = hostile::new();
    assert!(!stranger.is_let_in(&node.address).await);
    let newcomer = Node::start(tcp(3)).await;
    node.send(Command::Want(newcomer.known()));
    node.connected(newcomer.peer).await;
    node.send(Command::Unwant(newcomer.peer));
    node.disconnected(newcomer.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_network_is_sent_away() {
    let mut node = Node::start(config(1)).await;
    let mut stranger = Hostile::of("/aonode/0123456789abcdef/node/1");
    stranger.connect(&node.address).await;
    assert_eq!(node.banned(stranger.peer).await.reason, BanReason::OtherNetwork);
    stranger.closed().await;
    let told = node.told();
    assert!(!told.iter().any(|event| matches!(event, Event::Connected { .. })), "{told:?}");
}

/// F50: a node of another version is sent away at once, as often as it comes, and is banned by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_sent_away_and_welcome_once_it_is_upgraded() {
    let mut node = Node::start(config(1)).await;
    let mut newer = Hostile::of(&hostile::NODE.replace("/node/1", "/node/2"));
    for _ in 0..8 {
        newer.connect(&node.address).await;
        newer.closed().await;
    }
    assert_eq!(node.network.bans().await.unwrap(), []);
    let text = node.network.metrics_text();
    assert!(text.contains("aonode_p2p_connections_total{direction=\"in\",outcome=\"version\"} 8"), "{text}");
    let mut upgraded = hostile::new();
    assert!(upgraded.is_let_in(&node.address).await);
    node.connected(upgraded.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_networks_of_one_key_space_do_not_mix() {
    let mut other = Node::start(Config { network: [0xcd; 32], ..tcp(1) }).await;
    let mut node = Node::start(Config { static_peers: vec![other.known()], ..tcp(2) }).await;
    // whoever hears the other first ends it
    let (here, there) = (node.peer, other.peer);
    let ban = tokio::select! { ban = node.banned(there) => ban, ban = other.banned(here) => ban };
    assert_eq!(ban.reason, BanReason::OtherNetwork);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_may_come_back() {
    let (mut first, second) = pair(tcp(1), tcp(2)).await;
    first.send(Command::Disconnect(second.peer));
    first.disconnected(second.peer).await;
    // the other side wants it, and nothing was done wrong
    first.connected(second.peer).await;
}

/// A process that is killed says no goodbye. Its next life is met anew at once, not when the old connections have timed out.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_begins_anew_is_met_anew() {
    let (mut first, second) = pair(tcp(1), tcp(2)).await;
    // the same key in a second process, while the first one's connection still stands
    let mut again = Node::start(tcp(2)).await;
    assert_eq!(again.peer, second.peer);
    again.send(Command::Want(first.known()));
    first.disconnected(second.peer).await;
    second.stop().await;
    first.connected(again.peer).await;
    again.connected(first.peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named_with_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = vec![format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port()).parse().unwrap()];
    let refused = ao_p2p::Network::start(Config { listen, ..config(1) }).map(drop).unwrap_err().to_string();
    assert!(refused.contains("cannot listen on /ip4/127.0.0.1/tcp/") && refused.contains("in use"), "{refused}");
}
