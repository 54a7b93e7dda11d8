//! Networks on loopback whose cores are lists: what is published at one arrives at the others, whatever its size and whenever they join.

use std::sync::Arc;
use std::time::Duration;

use ao_consensus::{Fetch, To};
use ao_p2p::{KnownPeer, NodeKey};
use ao_storage::MemoryStore;
use ao_types::{Id, Slot};
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, AssignRequest};
use crate::network::message::Tip;
use crate::network::seam::{Arrival, ForwardId, Held, Load, Orders, Verdict};

pub mod frames;

use frames::{Author, Made, NETWORK};

/// Only a failure takes so long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A core that takes everything and writes it down.
struct Door(mpsc::UnboundedSender<Arrival>);

impl Doorway for Door {
    fn offer(&self, arrival: Arrival) -> Result<(), Box<Arrival>> {
        self.0.send(arrival).map_err(|error| Box::new(error.0))
    }
}

pub struct Rig {
    orders: Orders,
    arrivals: UnboundedReceiver<Arrival>,
    store: Arc<MemoryStore>,
    pub handle: Handle,
    pub running: Running,
    address: ao_p2p::NetAddress,
}

fn config(seed: u8) -> ao_p2p::Config {
    let mut config = ao_p2p::Config::new(NETWORK.0, NodeKey::from_seed(&mut [seed; 32]).unwrap());
    config.heartbeat = Duration::from_millis(100);
    config.upkeep = Duration::from_millis(50);
    config
}

/// A port that is free now: peers have to know each other's before they start.
fn port() -> ao_p2p::NetAddress {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

impl Rig {
    /// Starts a node with these frames in its store, which knows these others.
    pub fn start(seed: u8, chain: Chain, made: &[Made], known: &[&Rig]) -> Self {
        let (store, address) = (Arc::new(MemoryStore::new()), port());
        made.iter().for_each(|made| made.store(&*store));
        let mut p2p = config(seed);
        p2p.listen = vec![address.clone()];
        p2p.static_peers = known.iter().map(|rig| rig.known()).collect();
        let (tell, arrivals) = unbounded_channel();
        let (orders, taken) = Orders::channel();
        let clock: Now = Arc::new(crate::shell::wall_clock);
        let settings = Settings { p2p, network: NETWORK, chains: vec![chain], validators: Vec::new(), peers_file: None, clock };
        let states: Arc<dyn States> = Arc::new(seam::NoStates);
        let (handle, running) = start(settings, store.clone(), taken, Arc::new(Door(tell)), &states).unwrap();
        Self { orders, arrivals, store, handle, running, address }
    }

    fn known(&self) -> KnownPeer {
        KnownPeer { peer: self.handle.peer_id(), addresses: vec![self.address.clone()] }
    }

    fn name(&self) -> ao_types::PeerId {
        to_types(&self.handle.peer_id())
    }

    fn give(&self, order: Order) {
        self.orders.give(order).unwrap();
    }

    /// Makes it durable here, then tells everybody.
    fn publish(&self, made: &Made) {
        made.store(&*self.store);
        self.give(Order::Publish(Arc::new(made.published.clone())));
    }

    /// What a core does with a frame that follows: stores it and says so.
    fn apply(&self, made: &Made) {
        made.store(&*self.store);
        let header = &made.header;
        self.give(Order::Stored(Held { chain: header.chain, sequence: header.sequence, frame: header.id() }));
    }

    async fn next(&mut self, what: &str) -> Arrival {
        tokio::time::timeout(DEADLINE, self.arrivals.recv()).await.unwrap_or_else(|_| panic!("no {what}")).unwrap()
    }

    /// The next frame's bytes; whoever sent it is told that it is right.
    async fn frame(&mut self) -> Bytes {
        loop {
            if let Arrival::Frame { bytes, judge, .. } = self.next("frame").await {
                judge.say(Verdict::Accept);
                return bytes;
            }
        }
    }

    /// Waits until so many peers are connected.
    async fn meets(&self, count: usize) {
        let met = async {
            while self.handle.peers().await.unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, met).await.expect("peers connect");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_published_at_one_node_arrives_at_the_other_whatever_its_size() {
    let mut author = Author::new(1);
    let one = Rig::start(1, author.chain(), &[], &[]);
    let mut two = Rig::start(2, author.chain(), &[], &[&one]);
    one.meets(1).await;
    // Nobody knows which way a frame takes: gossip if both are in the mesh already, else a range.
    for bytes in [100, 20 << 10, 300 << 10, 3 << 20, 0, 5] {
        let made = author.next(&vec![7; bytes]);
        one.publish(&made);
        let expected = made.to_wire().unwrap();
        while two.frame().await != expected {}
        two.apply(&made);
    }
    one.running.stop().await;
    two.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_node_catches_up_from_several_and_passes_large_bodies_on() {
    let mut author = Author::new(1);
    let made: Vec<_> =
        (0..400).map(|n: u32| author.next(&if n % 100 == 50 { vec![n as u8; 700 << 10] } else { n.to_be_bytes().to_vec() })).collect();
    let one = Rig::start(1, author.chain(), &made, &[]);
    let two = Rig::start(2, author.chain(), &made, &[&one]);
    let mut late = Rig::start(3, author.chain(), &made[..10], &[&one, &two]);
    let (mut next, mut early) = (10, std::collections::BTreeMap::new());
    while next < made.len() {
        let bytes = late.frame().await;
        let wire = <ao_consensus::frame::WireFrame as ao_types::Canonical>::decode(&bytes).unwrap();
        early.insert(wire.header.header.sequence as usize, bytes);
        while let Some(bytes) = early.remove(&next) {
            assert_eq!(bytes, made[next].to_wire().unwrap());
            late.apply(&made[next]);
            next += 1;
        }
    }
    for rig in [one, two, late] {
        rig.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_large_frame_for_a_place_that_is_taken_arrives_by_its_header() {
    let (mut author, mut twin) = (Author::new(1), Author::new(1));
    let (first, second) = (author.next(&vec![7; 300 << 10]), twin.next(&vec![8; 300 << 10]));
    let one = Rig::start(1, author.chain(), &[], &[]);
    let mut two = Rig::start(2, author.chain(), std::slice::from_ref(&first), &[&one]);
    one.meets(1).await;
    one.publish(&second);
    assert_eq!(two.frame().await, second.header.to_raw().unwrap().encode(), "its body is not pulled");
    one.running.stop().await;
    two.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_scheduler_is_reached_is_told_to_those_who_are_connected_and_those_who_come() {
    let author = Author::new(1);
    let one = Rig::start(1, author.chain(), &[], &[]);
    let mut early = Rig::start(2, author.chain(), &[], &[&one]);
    one.meets(1).await;
    one.give(Order::Location(Bytes::from_static(b"here")));
    let mut late = Rig::start(3, author.chain(), &[], &[&one]);
    for rig in [&mut early, &mut late] {
        let Arrival::Location { from, bytes } = rig.next("location").await else { panic!("nothing else is said") };
        assert_eq!((from, bytes), (one.name(), Bytes::from_static(b"here")));
    }
    for rig in [one, early, late] {
        rig.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_items_and_forwarded_items_find_their_way() {
    let mut author = Author::new(1);
    let wallet = ao_types::Wallet::ed25519_from_seed(&[8; 32]);
    let item = |bytes: usize| ao_types::ItemBuilder::new().data(vec![9; bytes]).sign(&wallet).unwrap().into_inner();
    let held = item(600 << 10);
    let made = author.next(held.as_bytes());
    let one = Rig::start(1, author.chain(), &[], &[]);
    let mut two = Rig::start(2, author.chain(), &[], &[&one]);
    let mut one = one;
    one.meets(1).await;
    two.meets(1).await;
    // Engine to engine.
    two.give(Order::Engine(To::Peer(one.name()), Bytes::from_static(b"share")));
    let Arrival::Engine { from, bytes, .. } = one.next("share").await else { panic!() };
    assert_eq!((from, bytes), (two.name(), Bytes::from_static(b"share")));
    // An item by its id.
    made.store(&*one.store);
    let mut batch = ao_storage::WriteBatch::default();
    ao_storage::schema::ITEMS.put(&mut batch, &held.id(), held.as_bytes());
    one.store.write(batch, ao_storage::Durability::Buffered).unwrap();
    two.give(Order::Items { ids: vec![held.id()], holders: vec![one.name()] });
    let Arrival::Item { from, bytes } = two.next("item").await else { panic!() };
    assert_eq!((from, &bytes), (one.name(), held.as_bytes()));
    // A client's item, small and too large for one message.
    for (n, bytes) in [(1, 100), (2, 2 << 20)] {
        let item = item(bytes);
        two.give(Order::Forward { forward: ForwardId(n), to: one.name(), load: Load::Item(item.as_bytes().clone()) });
        let Arrival::Submission { from, load: Load::Item(came), reply } = one.next("submission").await else { panic!() };
        assert_eq!((from, &came), (two.name(), item.as_bytes()));
        let accepted =
            Accepted { id: item.id(), process: Some(Id([1; 32])), slot: Some(Slot(n)), assignment: Some(Id([2; 32])), timestamp_ms: 5 };
        reply.answer(Ok(accepted.clone()));
        let Arrival::Forwarded { forward, answer } = two.next("answer").await else { panic!() };
        assert_eq!((forward, answer), (ForwardId(n), Ok(accepted)));
    }
    // Or the name of one that the other has.
    let assign = AssignRequest { process: Id([1; 32]), item: held.id(), exclude: vec!["Data".to_owned()], base_layer: false };
    two.give(Order::Forward { forward: ForwardId(9), to: one.name(), load: Load::Assign(assign.clone()) });
    let Arrival::Submission { load, reply, .. } = one.next("assignment").await else { panic!() };
    assert_eq!(load, Load::Assign(assign));
    reply.answer(Err(Rejection::new(Code::ProcessUnknown, "nobody's")));
    let Arrival::Forwarded { forward: ForwardId(9), .. } = two.next("answer").await else { panic!() };
    // A refusal is the scheduler's; a node that is nobody's is said to be out of reach.
    two.give(Order::Forward { forward: ForwardId(3), to: one.name(), load: Load::Item(Bytes::from_static(b"not an item")) });
    let Arrival::Submission { reply, .. } = one.next("submission").await else { panic!() };
    reply.answer(Err(Rejection::new(Code::ItemMalformed, "not an item")));
    let Arrival::Forwarded { answer, .. } = two.next("answer").await else { panic!() };
    assert_eq!(answer.unwrap_err().code, Code::ItemMalformed);
    let stranger = to_types(&NodeKey::from_seed(&mut [99; 32]).unwrap().peer_id().unwrap());
    two.give(Order::Forward { forward: ForwardId(4), to: stranger, load: Load::Item(Bytes::from_static(b"item")) });
    let Arrival::Forwarded { answer, .. } = two.next("answer").await else { panic!() };
    let refusal = answer.unwrap_err();
    assert_eq!(refusal.code, Code::Unavailable);
    assert!(refusal.retry_after_s.is_some());
    one.running.stop().await;
    two.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_is_answered_and_an_offender_is_banned() {
    let mut author = Author::new(1);
    let made: Vec<_> = (0..5u8).map(|n| author.next(&[n; 10])).collect();
    let one = Rig::start(1, author.chain(), &made, &[]);
    let mut two = Rig::start(2, author.chain(), &made, &[&one]);
    two.meets(1).await;
    // Below what it has: an engine that wants to see it again.
    let to = (3, made[3].header.id());
    two.give(Order::Fetch(Fetch { chain: author.chain(), from: 2, to, holders: vec![one.name()] }));
    assert_eq!([two.frame().await, two.frame().await], [2, 3].map(|n: usize| made[n].to_wire().unwrap()));
    for _ in 0..3 {
        two.give(Order::Penalise(one.name(), ao_consensus::Offence::Conflict));
    }
    let banned = async {
        while two.handle.bans().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, banned).await.expect("three proven faults are enough");
    assert_eq!(two.handle.bans().await.unwrap()[0].peer, one.handle.peer_id());
    let tip = Tip { chain: author.chain(), next: 5, last: made[4].header.id() };
    assert_eq!(serve::Server::new(two.store.clone()).tip(author.chain()).unwrap(), tip);
    assert!(two.handle.metrics_text().contains("\naonode_sync_frames 5\n"), "{}", two.handle.metrics_text());
    one.running.stop().await;
    two.running.stop().await;
}

/// Makes the n-th message of a kind.
type Say<'a> = Box<dyn Fn(u32) -> Command + 'a>;

/// A peer that says what it likes: the network below, with nothing above.
async fn stranger(seed: u8, to: &Rig) -> (ao_p2p::Network, ao_p2p::Events) {
    let mut p2p = config(seed);
    p2p.static_peers = vec![to.known()];
    let (network, mut events) = ao_p2p::Network::start(p2p).unwrap();
    let connected = async { while !matches!(events.recv().await, Some(ao_p2p::Event::Connected { .. })) {} };
    tokio::time::timeout(DEADLINE, connected).await.expect("it connects");
    (network, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_talks_nonsense_is_banned() {
    let author = Author::new(1);
    let rig = Rig::start(1, author.chain(), &[], &[]);
    let forged = {
        let mut raw = Author::new(1).next(&vec![1; 100 << 10]).header.to_raw().unwrap();
        raw.header.timestamp.0 += 1;
        let holder = rig.handle.peer_id();
        message::Gossip::Header { header: Box::new(raw), holder }.encode()
    };
    let topic = task::topic(&author.chain());
    let request = |kind, data: Bytes| Command::Request { id: ao_p2p::RequestId(0), peer: rig.handle.peer_id(), kind, data };
    let nonsense: [(&str, Say<'_>); 4] = [
        ("messages that are none", Box::new(|n| request(ao_p2p::Kind::Direct, n.to_be_bytes().to_vec().into()))),
        ("questions that are none", Box::new(|n| request(ao_p2p::Kind::Range, n.to_be_bytes().to_vec().into()))),
        ("gossip that is none", Box::new(|n| Command::Publish { topic, data: n.to_be_bytes().to_vec().into() })),
        (
            "headers that nobody signed",
            Box::new(|n| {
                let mut data = forged.to_vec();
                // Another signature each time: gossip shows the same message once.
                let at = data.len() - 4;
                data[at..].copy_from_slice(&n.to_be_bytes());
                Command::Publish { topic, data: data.into() }
            }),
        ),
    ];
    for (seed, (what, say)) in (40..).zip(&nonsense) {
        let (network, mut events) = stranger(seed, &rig).await;
        let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
        let banned = async {
            for n in 1u32.. {
                if rig.handle.bans().await.unwrap().iter().any(|ban| ban.peer == network.peer_id()) {
                    return;
                }
                drop(network.send(say(n)));
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, banned).await.unwrap_or_else(|_| panic!("{what} go unpunished"));
        drain.abort();
    }
    rig.running.stop().await;
}
