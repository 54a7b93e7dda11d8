//! Control messages of gossip that keep to no rule: a peer that writes them byte by byte, without gossipsub.

use ao_p2p::{BanReason, Config, Topic};
use futures::StreamExt;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{Multiaddr, StreamProtocol, SwarmBuilder, identify, identity::Keypair, noise, tcp as tcp_transport, yamux};

use crate::common::{DEADLINE, Node, config, only, tcp};
use crate::hostile::{NODE, Raw, TIPS};

#[derive(NetworkBehaviour)]
struct Writes {
    gossip: request_response::Behaviour<Raw>,
    identify: identify::Behaviour,
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// "Take me into the mesh of this topic."
fn graft(topic: &str) -> Vec<u8> {
    field(3, &field(1, topic.as_bytes()))
}

/// "I leave the mesh of this topic; do not ask me for so many seconds."
fn prune(topic: &str, backoff: u64) -> Vec<u8> {
    field(4, &[field(1, topic.as_bytes()), vec![3 << 3], varint(backoff)].concat())
}

/// One gossip stream with these calls, each of some control messages, and what the peer is banned for. The node hears others afterwards.
async fn until_banned(calls: &[Vec<Vec<u8>>]) -> BanReason {
    let mut node = Node::start(Config { topics: only(Topic::Tips), ..tcp(1) }).await;
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id().to_string().parse().unwrap();
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp_transport::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| {
            let mesh = [(StreamProtocol::new("/meshsub/1.1.0"), ProtocolSupport::Full)];
            let forever = request_response::Config::default().with_request_timeout(2 * DEADLINE);
            Writes {
                gossip: request_response::Behaviour::new(mesh, forever),
                identify: identify::Behaviour::new(identify::Config::new(NODE.to_owned(), key.public())),
            }
        })
        .unwrap()
        .build();
    let address: Multiaddr = node.address.to_string().parse().unwrap();
    swarm.dial(address).unwrap();
    let running = async { while let Some(_event) = swarm.next().await {} };
    tokio::select! { () = node.connected(peer) => {}, () = running => unreachable!("a swarm does not end") }
    let framed = |call: &Vec<Vec<u8>>| {
        let call = field(3, &call.concat());
        [varint(call.len() as u64), call].concat()
    };
    let bytes: Vec<u8> = calls.iter().flat_map(framed).collect();
    let to = node.peer.to_string().parse().unwrap();
    swarm.behaviour_mut().gossip.send_request(&to, bytes);
    let running = async { while let Some(_event) = swarm.next().await {} };
    let ban = tokio::select! { ban = node.banned(peer) => ban, () = running => unreachable!("a swarm does not end") };
    let friend = Node::start(Config { static_peers: vec![node.known()], ..config(2) }).await;
    friend.publish(Topic::Tips, "hello");
    assert_eq!(node.gossip().await, b"hello");
    ban.reason
}

#[tokio::test(flavor = "multi_thread")]
async fn grafts_against_the_rules() {
    // leaves the mesh for longer than any clock runs, and wants in again at once, a hundred times
    let calls = [vec![prune(TIPS, u64::MAX)], vec![graft(TIPS); 100]];
    assert_eq!(until_banned(&calls).await, BanReason::Gossip);
}
