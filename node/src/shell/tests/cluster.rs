//! A network in one thread, from one seed: several [`World`]s, one clock, and a net that carries what one wants of another.
//!
//! The net delays, reorders and, where a test says so, loses or cuts. It stands in for gossip, requests and the exchange of tips: what a
//! frame's gossip did not bring is brought later by [`Cluster::sync`], as the network shell does every few seconds.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::protection::memory::MemoryProtection;
use ao_consensus::scheme::SecretKey;
use ao_consensus::{OriginUpdate, Rosters, Timestamp, To};
use ao_storage::Direction;
use ao_storage::faulty::{Disk, Fault, FaultyStore};
use ao_storage::memory::Contents;
use ao_storage::schema::{self, FrameKey};
use ao_types::{Committee, Genesis, Member, PeerId, Stake, Wallet};
use bytes::Bytes;

use super::world::{Dice, World};
use super::*;
use crate::error::Code;
use crate::network::seam::{Arrival, ForwardId, Judge, Load, Order, Orders, Way};
use crate::shell::membership::Keeper;
use crate::wiring::engines;

/// Something on its way.
enum Parcel {
    Arrival(Arrival),
    Submission { asker: usize, forward: ForwardId, load: Load },
}

/// See the module documentation.
pub struct Cluster {
    pub worlds: Vec<World>,
    /// Survives a node's end.
    protections: Vec<Arc<Mutex<MemoryProtection>>>,
    engine: &'static str,
    /// By time of arrival; the second number keeps the order of those that arrive together.
    parcels: BTreeMap<(Timestamp, u64), (usize, Parcel)>,
    sent: u64,
    /// (asking node, its number) under the request of the node that was asked.
    asked: BTreeMap<(usize, u64), (usize, ForwardId)>,
    /// Nodes that get and give nothing.
    pub cut: BTreeSet<usize>,
    /// Of a hundred parcels, how many are lost.
    pub loss: usize,
    dice: Dice,
    now: Timestamp,
    /// Offences that nodes found in one another: (who, by whom).
    pub penalties: Vec<(PeerId, usize)>,
}

pub fn peer(n: usize) -> PeerId {
    PeerId(Bytes::from(vec![n as u8 + 1; 8]))
}

pub fn wallet(n: usize) -> Wallet {
    Wallet::ed25519_from_seed(&[100 + n as u8; 32])
}

fn node_of(peer: &PeerId) -> usize {
    usize::from(peer.0[0]) - 1
}

/// Everything that a membership is made of, with a scheme that costs nothing.
pub fn membership(engine: &'static str, n: usize, of: usize, protection: Arc<dyn Keeper>) -> Arc<Membership> {
    let secret = |n: usize| CheapSecret::new(n as u64 + 1);
    let member = |n: usize| Member { key: secret(n).public(), stake: Stake(1), address: wallet(n).address(), peer: peer(n) };
    let committee = Committee::new(ao_types::Epoch(0), (0..of).map(member).collect()).unwrap();
    let genesis = serde_json::json!({
        "version": 1, "name": "cluster", "chain_id": "cluster", "time": 1_000, "dev": true,
        "consensus": { "plugin": engine, "epoch_len": 1_000_000 },
        "staking": {}, "limits": { "fuel": 1, "memory": 1, "message_max": 1 }, "gas_schedule": 1,
        "validators": (0..of).map(|n| serde_json::json!({
            "pubkey": secret(n).public(), "pop": secret(n).sign(b""), "stake": Stake(1), "operator": wallet(n).address(), "peer_id": peer(n),
        })).collect::<Vec<_>>(),
        "anchor": { "tag": "t", "interval_ms": 1, "confirmations": 1 },
    });
    let genesis: Genesis = serde_json::from_value(genesis).unwrap();
    let network = genesis.network_id().unwrap();
    let rosters = Rosters::new(network, Arc::new(Cheap), [7; 32]).with([committee.clone()]).unwrap();
    Arc::new(Membership {
        network,
        origin: OriginUpdate::genesis(&genesis, committee.root()),
        genesis: Arc::new(genesis),
        committee: Arc::new(committee),
        rosters: Arc::new(rosters),
        engine: Arc::new(engines::named(engine).unwrap().make),
        scheme: Arc::new(Cheap),
        peer: peer(n),
        attestor: Some(Arc::new(secret(n))),
        protection,
        watch: None,
        heard: engines::named(engine).unwrap().heard,
        orders: Orders::channel().0,
        // The scheme costs nothing.
        costs: Default::default(),
    })
}

impl Cluster {
    /// `of` nodes with one stake each, every one a scheduler.
    pub fn new(engine: &'static str, of: usize, seed: u64) -> Self {
        let mut cluster = Self {
            worlds: Vec::new(),
            protections: (0..of).map(|_| Arc::default()).collect(),
            engine,
            parcels: BTreeMap::new(),
            sent: 0,
            asked: BTreeMap::new(),
            cut: BTreeSet::new(),
            loss: 0,
            dice: Dice::new(seed),
            now: Timestamp(10_000),
            penalties: Vec::new(),
        };
        cluster.worlds = (0..of).map(|n| cluster.world(n, seed + n as u64, Contents::default(), Fault::None)).collect();
        cluster
    }

    fn world(&self, n: usize, seed: u64, contents: Contents, fault: Fault) -> World {
        let membership = membership(self.engine, n, self.protections.len(), self.protections[n].clone());
        World::of(FaultyStore::on(Disk::Honest, contents, fault), seed, wallet(n), Some(membership), self.now)
    }

    /// The power of a node fails, and it starts again from what survived; or with a fault to come.
    pub fn restart(&mut self, n: usize, contents: Contents, fault: Fault) {
        self.parcels.retain(|_, (to, _)| *to != n);
        let seed = self.dice.below(1 << 20) as u64;
        self.worlds[n] = self.world(n, seed, contents, fault);
    }

    /// A node's disk is lost, with what its key is bound by; it starts from what is put into a new one.
    pub fn replace(&mut self, n: usize, contents: Contents) {
        self.protections[n] = Arc::default();
        self.restart(n, contents, Fault::None);
    }

    /// What a node knows of its network.
    pub fn membership(&self, n: usize) -> Arc<Membership> {
        membership(self.engine, n, self.protections.len(), self.protections[n].clone())
    }

    /// Until nothing is on its way and nobody has anything to do for a while.
    pub fn settle(&mut self) {
        let mut quiet_since = self.now;
        for step in 0..2_000_000_u64 {
            if step.is_multiple_of(20_000) && step > 0 {
                self.sync();
            }
            if self.turn() {
                quiet_since = self.now;
                continue;
            }
            // Nothing now: it gets later. Engines repeat themselves with growing waits, so being quiet is a matter of time.
            if self.now.since_ms(quiet_since) > 4_000 || !self.later() {
                if self.sync() == 0 {
                    return;
                }
                quiet_since = self.now;
            }
        }
        panic!("it does not come to rest");
    }

    /// So much time passes.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while self.now < end {
            if !self.turn() && !self.later() {
                self.now = end;
            }
        }
    }

    /// One job of one node, drawn by lot; false if nobody has one.
    pub fn turn(&mut self) -> bool {
        let ready: Vec<usize> = (0..self.worlds.len()).filter(|n| !self.worlds[*n].is_quiet()).collect();
        if ready.is_empty() {
            return false;
        }
        let n = ready[self.dice.below(ready.len())];
        self.worlds[n].at(self.now);
        self.worlds[n].turn();
        self.now = self.now.max(self.worlds[n].now());
        self.carry(n);
        self.deliver();
        true
    }

    /// The clock moves to what comes next; false if nothing does.
    fn later(&mut self) -> bool {
        let deadlines = self.worlds.iter().filter_map(World::deadline).min();
        let parcel = self.parcels.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = deadlines.into_iter().chain(parcel).min() else { return false };
        self.now = self.now.max(next);
        self.deliver();
        for n in 0..self.worlds.len() {
            self.worlds[n].at(self.now);
            if self.worlds[n].deadline().is_some_and(|at| at <= self.now) {
                self.worlds[n].tick();
                self.carry(n);
            }
        }
        true
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.parcels.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, parcel) = entry.remove();
            if self.worlds[to].store.crashed() {
                continue;
            }
            self.worlds[to].at(self.now);
            match parcel {
                Parcel::Arrival(arrival) => self.worlds[to].arrive(arrival),
                Parcel::Submission { asker, forward, load } => {
                    let request = self.worlds[to].forwarded(load);
                    self.asked.insert((to, request), (asker, forward));
                }
            }
        }
    }

    fn post(&mut self, from: usize, to: usize, parcel: Parcel) {
        if from == to || self.cut.contains(&from) || self.cut.contains(&to) || self.dice.below(100) < self.loss {
            return;
        }
        let at = self.now.plus_ms(1 + self.dice.below(20) as u64);
        self.sent += 1;
        self.parcels.insert((at, self.sent), (to, parcel));
    }

    fn post_all(&mut self, from: usize, arrival: &dyn Fn() -> Arrival) {
        (0..self.worlds.len()).for_each(|to| self.post(from, to, Parcel::Arrival(arrival())));
    }

    /// Carries what a node wants, and answers that others wait for.
    fn carry(&mut self, n: usize) {
        for order in std::mem::take(&mut self.worlds[n].orders) {
            self.order(n, order);
        }
        let answered: Vec<_> =
            self.asked.keys().copied().filter(|(at, request)| *at == n && self.worlds[n].replies.contains_key(request)).collect();
        for key in answered {
            let (asker, forward) = self.asked.remove(&key).unwrap();
            let answer = self.worlds[n].replies.remove(&key.1).unwrap();
            self.post(n, asker, Parcel::Arrival(Arrival::Forwarded { forward, answer }));
        }
    }

    fn order(&mut self, n: usize, order: Order) {
        let from = peer(n);
        match order {
            Order::Publish(frame) => {
                let bytes = frame.to_wire().unwrap();
                self.post_all(n, &|| Arrival::Frame { from: from.clone(), bytes: bytes.clone(), way: Way::Gossip, judge: Judge::nobody() });
            }
            Order::Engine(To::All, bytes) => {
                self.post_all(n, &|| Arrival::Engine { from: from.clone(), bytes: bytes.clone(), judge: Judge::nobody() })
            }
            Order::Engine(To::Peer(to), bytes) => {
                self.post(n, node_of(&to), Parcel::Arrival(Arrival::Engine { from, bytes, judge: Judge::nobody() }))
            }
            Order::Evidence(evidence) => {
                let bytes = Bytes::from(ao_types::Canonical::encode(&*evidence));
                self.post_all(n, &|| Arrival::Evidence { from: from.clone(), bytes: bytes.clone(), judge: Judge::nobody() });
            }
            Order::Fetch(fetch) => {
                let other = self.dice.below(self.worlds.len());
                for sequence in fetch.from..=fetch.to.0.min(fetch.from + 63) {
                    let key = FrameKey { scheduler: fetch.chain.scheduler, tenure: fetch.chain.tenure, sequence };
                    self.give_frame(other, n, &key);
                }
            }
            Order::Items { ids, .. } => {
                for id in ids {
                    let has = |to: &usize| schema::ITEMS.get(&*self.worlds[*to].store, &id).unwrap();
                    let reached =
                        |to: &usize| *to != n && !self.cut.contains(to) && !self.cut.contains(&n) && !self.worlds[*to].store.crashed();
                    let others: Vec<usize> = (0..self.worlds.len()).filter(reached).collect();
                    match others.iter().find_map(|to| Some((*to, has(to)?))) {
                        Some((other, bytes)) => self.post(other, n, Parcel::Arrival(Arrival::Item { from: peer(other), bytes })),
                        None => {
                            let denied = others.into_iter().map(peer).collect();
                            self.worlds[n].arrive(Arrival::Nobody { item: id, denied });
                        }
                    }
                }
            }
            Order::Forward { forward, to, load } => {
                let to = node_of(&to);
                if self.cut.contains(&to) || self.worlds[to].store.crashed() {
                    let answer = Err(Rejection::retry(Code::Unavailable, "the scheduler's node does not answer", 1));
                    self.worlds[n].arrive(Arrival::Forwarded { forward, answer });
                } else {
                    self.post(n, to, Parcel::Submission { asker: n, forward, load });
                }
            }
            Order::Penalise(peer, _) => self.penalties.push((peer, n)),
            Order::Stored(_) | Order::TurnedBack { .. } | Order::Location(_) => {}
        }
    }

    fn give_frame(&mut self, from: usize, to: usize, key: &FrameKey) -> bool {
        let Some(bytes) = frames::whole(&*self.worlds[from].store, key).unwrap() else { return false };
        let at = self.now.plus_ms(1 + self.dice.below(20) as u64);
        self.sent += 1;
        let arrival = Arrival::Frame { from: peer(from), bytes, way: Way::Asked, judge: Judge::nobody() };
        self.parcels.insert((at, self.sent), (to, Parcel::Arrival(arrival)));
        true
    }

    /// Tips are compared; what is lacking comes from somebody who has it. How many frames that is.
    pub fn sync(&mut self) -> usize {
        let mut given = 0;
        let alive: Vec<usize> = (0..self.worlds.len()).filter(|n| !self.cut.contains(n) && !self.worlds[*n].store.crashed()).collect();
        for scheduler in (0..self.worlds.len()).map(|n| wallet(n).address()) {
            let next = |n: usize| {
                let key = |sequence| FrameKey { scheduler, tenure: 0, sequence };
                let last = schema::FRAMES.range(&*self.worlds[n].store, &key(0), &key(u64::MAX), Direction::Backward, 1).unwrap();
                last.first().map_or(0, |(key, _)| key.sequence + 1)
            };
            let best = alive.iter().copied().max_by_key(|n| next(*n)).unwrap_or(0);
            let (top, behind): (u64, Vec<_>) = (next(best), alive.iter().map(|n| (*n, next(*n))).collect());
            for (n, have) in behind {
                for sequence in have..top.min(have + 64) {
                    given += usize::from(self.give_frame(best, n, &FrameKey { scheduler, tenure: 0, sequence }));
                }
            }
        }
        given
    }

    /// What must hold where a network has come to rest: every node has the same logs, confirmed, and the same states.
    pub fn check(&self, alive: &[usize]) {
        let first = alive[0];
        for n in alive {
            let world = &self.worlds[*n];
            assert_eq!(world.alarms, Vec::<String>::new(), "node {n}");
            assert_eq!(world.processes(), self.worlds[first].processes(), "node {n}");
            for process in world.processes() {
                let ids = |world: &World| world.log(process).into_iter().map(|row| row.assignment_id).collect::<Vec<_>>();
                assert_eq!(ids(world), ids(&self.worlds[first]), "node {n}, {process}");
                let last = world.log(process).len() as u64 - 1;
                assert_eq!(schema::CONFIRMED.get(&*world.store, &process).unwrap(), Some(Slot(last)), "node {n}, {process}");
                for slot in 0..=last {
                    let (mine, theirs) = (world.evaluation(process, slot), self.worlds[first].evaluation(process, slot));
                    assert_eq!(mine.result_hash, theirs.result_hash, "node {n}, {process}, slot {slot}");
                }
            }
            assert!(schema::OUTBOX.all(&*world.store, Direction::Forward, 1).unwrap().is_empty(), "node {n} owes something");
        }
    }

    /// The network's id.
    pub fn network(&self) -> ao_types::NetworkId {
        membership(self.engine, 0, self.protections.len(), self.protections[0].clone()).network
    }

    /// Where a scheduler's chain stands, as node `n` has it.
    pub fn last_tip(&self, n: usize, scheduler: usize) -> ao_consensus::ChainTip {
        let key = |sequence| FrameKey { scheduler: wallet(scheduler).address(), tenure: 0, sequence };
        let last = schema::FRAMES.range(&*self.worlds[n].store, &key(0), &key(u64::MAX), Direction::Backward, 1).unwrap();
        ao_types::Canonical::decode(&last[0].1.tip).unwrap()
    }

    /// Proofs of confirmed frames, as an outsider checks them.
    pub fn check_proofs(&self, n: usize) -> usize {
        let rows = schema::FRAMES.all(&*self.worlds[n].store, Direction::Forward, 100_000).unwrap();
        let rosters = membership(self.engine, n, self.protections.len(), self.protections[n].clone()).rosters.clone();
        let mut proven = 0;
        for (_, row) in rows {
            let Some(proof) = row.proof else { continue };
            let header = Arc::new(ao_consensus::Frame::decode(&row.frame).unwrap().header);
            let proof = Arc::new(ao_types::Canonical::decode(&proof).unwrap());
            let confirmation = ao_consensus::Confirmation { header, proof };
            ao_consensus::proof::verify(&confirmation, &rosters).unwrap();
            proven += 1;
        }
        proven
    }
}
