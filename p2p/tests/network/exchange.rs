//! Questions and answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ao_p2p::limits::CHUNK_BYTES;
use ao_p2p::{Answer, Command, Config, Event, Failure, Kind, KnownPeer, PeerId, RequestId, Verdict};
use bytes::Bytes;

use crate::common::{Node, config, key, pair, tcp};

fn ask(node: &Node, id: u64, peer: PeerId, kind: Kind, data: impl Into<Bytes>) {
    node.send(Command::Request { id: RequestId(id), peer, kind, data: data.into() });
}

async fn answered(node: &mut Node) -> (u64, PeerId, Result<Bytes, Failure>) {
    node.wait("an answer", |event| match event {
        Event::Answered { id, peer, result } => Some((id.0, peer, result)),
        _ => None,
    })
    .await
}

/// Bytes of a body that differ in every chunk.
fn body() -> Vec<u8> {
    (0..4 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A node that serves chunks of `body`: the request is a chunk's number.
async fn holder(config: Config) -> Node {
    let body = body();
    Node::with(
        config,
        |_, _| Verdict::Accept,
        move |kind, request| {
            let index = usize::from(request[0]);
            let chunk = body.chunks(CHUNK_BYTES).nth(index);
            Some(match (kind, chunk) {
                (Kind::Body, Some(chunk)) => Answer::Found(chunk.to_vec().into()),
                _ => Answer::NotFound,
            })
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn four_mebibytes_come_in_chunks_from_two_peers() {
    let (one, two) = (holder(tcp(1)).await, holder(config(2)).await);
    let mut node = Node::start(Config { static_peers: vec![one.known(), two.known()], ..config(3) }).await;
    node.peers_until("two connections", |peers| peers.len() == 2).await;
    for index in 0..16_u8 {
        let peer = if index % 2 == 0 { one.peer } else { two.peer };
        ask(&node, u64::from(index), peer, Kind::Body, vec![index]);
    }
    let mut chunks = BTreeMap::new();
    while chunks.len() < 16 {
        let (id, peer, result) = answered(&mut node).await;
        assert_eq!(peer, if id % 2 == 0 { one.peer } else { two.peer });
        chunks.insert(id, result.unwrap());
    }
    assert_eq!(chunks.into_values().collect::<Vec<_>>().concat(), body());
    ask(&node, 99, one.peer, Kind::Body, vec![16]);
    assert_eq!(answered(&mut node).await, (99, one.peer, Err(Failure::NotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_asked_of_one_peer_at_a_time() {
    let silent = |_: Kind, _: &[u8]| None;
    let mut one = Node::with(tcp(1), |_, _| Verdict::Accept, silent).await;
    let two = holder(tcp(2)).await;
    let mut node = Node::start(Config { static_peers: vec![one.known(), two.known()], ..config(3) }).await;
    node.peers_until("two connections", |peers| peers.len() == 2).await;
    ask(&node, 1, one.peer, Kind::Body, vec![5]);
    one.wait("a request", |event| matches!(event, Event::Request { .. }).then_some(())).await;
    ask(&node, 2, two.peer, Kind::Body, vec![5]);
    assert_eq!(answered(&mut node).await, (2, two.peer, Err(Failure::Duplicate)));
    // the first is answered by the clock: "busy", in time for the one who asked
    assert_eq!(answered(&mut node).await, (1, one.peer, Err(Failure::Busy)));
    ask(&node, 3, two.peer, Kind::Body, vec![5]);
    let (id, _, result) = answered(&mut node).await;
    assert_eq!((id, result.unwrap().len()), (3, CHUNK_BYTES));
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_talk_and_hear_that_they_were_heard() {
    let (mut first, mut second) = pair(config(1), tcp(2)).await;
    ask(&second, 7, first.peer, Kind::Direct, "a share");
    let (from, data) = first
        .wait("a direct message", |event| match event {
            Event::Direct { from, data } => Some((from, data)),
            _ => None,
        })
        .await;
    assert_eq!((from, &data[..]), (second.peer, &b"a share"[..]));
    assert_eq!(answered(&mut second).await, (7, first.peer, Ok(Bytes::new())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_finds_its_way_or_says_that_it_did_not() {
    let mut node = Node::start(Config { min_out: 0, ..config(1) }).await;
    let nobody = key(99).peer_id().unwrap();
    ask(&node, 1, nobody, Kind::Range, "x");
    assert_eq!(answered(&mut node).await, (1, nobody, Err(Failure::Unreachable)));
    ask(&node, 2, node.peer, Kind::Range, "x");
    assert_eq!(answered(&mut node).await.2, Err(Failure::Unreachable));
    let long = vec![0; Kind::Range.request_bytes_max() + 1];
    ask(&node, 3, nobody, Kind::Range, long);
    assert_eq!(answered(&mut node).await.2, Err(Failure::Oversize));
    // a peer that is known and not connected is dialled
    let other = holder(tcp(2)).await;
    node.send(Command::Hint(KnownPeer { peer: other.peer, addresses: vec![other.address.clone()] }));
    ask(&node, 4, other.peer, Kind::Body, vec![0]);
    assert_eq!(answered(&mut node).await.2.unwrap().len(), CHUNK_BYTES);
    node.send(Command::Ban { peer: other.peer, length: Duration::from_secs(60) });
    ask(&node, 5, other.peer, Kind::Body, vec![0]);
    assert_eq!(answered(&mut node).await.2, Err(Failure::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_answered_also_when_the_layer_above_sleeps() {
    let awake = Arc::new(AtomicBool::new(false));
    let waker = Arc::clone(&awake);
    let oracle = move |_: Kind, _: &[u8]| waker.load(Ordering::SeqCst).then(|| Answer::Found("here".into()));
    let quick = Config { request_timeout: Duration::from_secs(3), ..config(1) };
    let first = Node::with(quick, |_, _| Verdict::Accept, oracle).await;
    let mut second = Node::start(Config { static_peers: vec![first.known()], ..config(2) }).await;
    second.connected(first.peer).await;
    for id in 0..8 {
        ask(&second, id, first.peer, Kind::Item, vec![id as u8]);
    }
    for _ in 0..8 {
        assert_eq!(answered(&mut second).await.2, Err(Failure::Busy));
    }
    awake.store(true, Ordering::SeqCst);
    ask(&second, 9, first.peer, Kind::Item, "now");
    assert_eq!(answered(&mut second).await.2.as_deref(), Ok(&b"here"[..]));
}
