//! Engines on a network in memory, in virtual time, from one seed: latency, loss, repeats, crashes that keep what was remembered.
//!
//! Checks at every step what must never happen: a vote that leaves before it is remembered, two votes of one key in one place, a frame
//! confirmed twice, out of order, otherwise than elsewhere, or with a proof that does not stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_bft::Engine;
use ao_bft::driver::Say;
use ao_bft::message::Message;
use ao_bft::signing::vote_message;
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::{committee_of, peer};
use ao_consensus::protection::memory::MemoryProtection;
use ao_consensus::protection::{Kind, Position, Protection};
use ao_consensus::{
    Body, ChainTip, Confirmation, Consensus, ControlOp, Draft, Effect, Evidence, Facts, Given, Input, Offence, OriginChange, OriginUpdate,
    Record, Rosters, Setup, SignedHeader, Timestamp, Tip, To, proof,
};
use ao_types::codec::Canonical;
use ao_types::hash::sha256;
use ao_types::wallet::Ed25519Wallet;
use ao_types::{Address, Chain, Committee, Epoch, FrameId, NetworkId, PeerId, Signer};
use arc_malachitebft_core_types::VoteType;
use bytes::Bytes;

pub const NETWORK: NetworkId = NetworkId([7; 32]);

/// What a message may be subjected to on its way.
pub type Filter = Box<dyn FnMut(usize, usize, &Message) -> bool>;

pub struct Node {
    pub engine: Option<Engine>,
    pub records: BTreeMap<String, Record>,
    pub protection: MemoryProtection,
    /// In order, over all chains.
    pub confirmed: Vec<(Chain, u64, FrameId)>,
    pub decided: Vec<(u64, Vec<ControlOp>)>,
    pub evidence: Vec<Evidence>,
    pub penalties: Vec<(PeerId, Offence)>,
    /// How many records were remembered in all its lives.
    pub remembered: usize,
    /// Dies right after this many.
    pub dies_after: Option<usize>,
    frames: BTreeSet<(Chain, u64, FrameId)>,
    tips: BTreeMap<Chain, ChainTip>,
    life: usize,
}

enum Event {
    Written(usize, String),
    Bytes(usize, Bytes),
    Frame(SignedHeader),
    Wake,
}

pub struct Net {
    pub now: u64,
    pub nodes: Vec<Node>,
    pub loss_per_mille: u64,
    pub latency_ms: (u64, u64),
    /// What a record takes to be durable. A crash before that keeps it all the same.
    pub write_ms: u64,
    /// Messages that it says no to are lost.
    pub filter: Filter,
    /// Messages that were sent, by kind.
    pub sent: BTreeMap<&'static str, usize>,
    pub committee: Arc<Committee>,
    random: u64,
    number: u64,
    queue: BTreeMap<(u64, u64), (usize, Event)>,
    headers: BTreeMap<FrameId, SignedHeader>,
    tips: BTreeMap<FrameId, ChainTip>,
    heads: BTreeMap<Chain, ChainTip>,
    updates: Vec<OriginUpdate>,
    rosters: Rosters,
}

pub fn wallet(number: u8) -> Ed25519Wallet {
    Ed25519Wallet::from_seed(&[number + 1; 32])
}

pub fn chain(number: u8) -> Chain {
    Chain { scheduler: wallet(number).address(), tenure: 0 }
}

pub fn number_of(peer_id: &PeerId) -> usize {
    (0..100).find(|number| peer(*number) == *peer_id).expect("a node of the test") as usize
}

fn node() -> Node {
    Node {
        engine: None,
        records: BTreeMap::new(),
        protection: MemoryProtection::new(),
        confirmed: Vec::new(),
        decided: Vec::new(),
        evidence: Vec::new(),
        penalties: Vec::new(),
        remembered: 0,
        dies_after: None,
        frames: BTreeSet::new(),
        tips: BTreeMap::new(),
        life: 0,
    }
}

impl Net {
    /// A network whose members have these stakes, with `schedulers` chains. More nodes than members only follow.
    pub fn new(seed: u64, stakes: &[u128], followers: usize, schedulers: u8) -> Self {
        let committee = Arc::new(committee_of(Epoch(0), stakes));
        let rosters = Rosters::new(NETWORK, Arc::new(Cheap), [1; 32]).with([Committee::clone(&committee)]).expect("keys");
        let mut changes = vec![OriginChange::Epoch { epoch: Epoch(0), committee: committee.root(), frame_rate_max: 1_000 }];
        for number in 0..schedulers {
            changes.push(OriginChange::Admitted { scheduler: chain(number).scheduler, peer: peer(u64::from(number)) });
            changes.push(OriginChange::Opened { chain: chain(number) });
        }
        let mut net = Self {
            now: 1_000,
            nodes: (0..stakes.len() + followers).map(|_| node()).collect(),
            loss_per_mille: 0,
            latency_ms: (1, 10),
            write_ms: 2,
            filter: Box::new(|_, _, _| true),
            sent: BTreeMap::new(),
            committee,
            random: seed,
            number: 0,
            queue: BTreeMap::new(),
            headers: BTreeMap::new(),
            tips: BTreeMap::new(),
            heads: (0..schedulers).map(|number| (chain(number), ChainTip::opened(chain(number)))).collect(),
            updates: vec![OriginUpdate { height: 0, time: Timestamp(0), changes }],
            rosters,
        };
        (0..net.nodes.len()).for_each(|index| net.start(index));
        net
    }

    pub fn random(&mut self, below: u64) -> u64 {
        let number = sha256(&[&self.random.to_be_bytes()]);
        self.random = u64::from_be_bytes(number[..8].try_into().expect("eight bytes"));
        self.random % below.max(1)
    }

    /// Makes a node from what it remembered, and gives it what the contract says.
    pub fn start(&mut self, index: usize) {
        let node = &self.nodes[index];
        let member = index < self.committee.len();
        let secret = CheapSecret::new(index as u64);
        let (guards, _) = node.protection.rows(&ao_consensus::SecretKey::public(&secret)).expect("memory");
        let setup = Setup {
            network: NETWORK,
            scheme: Arc::new(Cheap),
            signer: member.then(|| Arc::new(secret) as Arc<dyn ao_consensus::SecretKey>),
            own: None,
            peer: peer(index as u64),
            secret: [index as u8; 32],
            params: BTreeMap::new(),
            records: node.records.values().cloned().collect(),
            guards,
            confirmed: node.tips.values().cloned().collect(),
            decided: node.decided.last().map_or(0, |(height, _)| *height),
        };
        let given: Vec<FrameId> = {
            let next = |chain: &Chain| node.tips.get(chain).map_or(0, |tip| tip.next_sequence);
            node.frames.iter().filter(|(chain, sequence, _)| *sequence >= next(chain)).map(|(.., frame)| *frame).collect()
        };
        self.nodes[index].engine = Some(Engine::new(setup));
        self.input(index, Input::Committee(Arc::clone(&self.committee)));
        for update in self.updates.clone() {
            self.input(index, Input::Origin(Box::new(update)));
        }
        self.input(index, Input::Tip(Tip { height: 1_000, since: Timestamp(self.now) }));
        for frame in given {
            self.give(index, &frame);
        }
    }

    pub fn crash(&mut self, index: usize) {
        self.nodes[index].engine = None;
        self.nodes[index].life += 1;
    }

    /// Tells every node of a control block.
    pub fn origin(&mut self, changes: Vec<OriginChange>) {
        let height = self.updates.len() as u64;
        let update = OriginUpdate { height, time: Timestamp(self.now), changes };
        self.updates.push(update.clone());
        (0..self.nodes.len()).for_each(|index| self.input(index, Input::Origin(Box::new(update.clone()))));
    }

    /// The next frame of a chain, which nobody has yet.
    pub fn frame(&mut self, number: u8) -> FrameId {
        let head = self.heads[&chain(number)].clone();
        let control_height = self.updates.len() as u64 - 1;
        let draft = Draft { control_height, ..Draft::alone(NETWORK, Body::default(), Timestamp(self.now), (1_000, [0; 48])) };
        let built = head.build(draft).expect("a lawful frame");
        let signed = SignedHeader::sign(built.frame.header, &wallet(number)).expect("a signature");
        self.headers.insert(built.id, signed);
        self.tips.insert(built.id, built.tip.clone());
        self.heads.insert(chain(number), built.tip);
        built.id
    }

    /// Another frame in place of the last of a chain, as an equivocating scheduler makes it.
    pub fn other_frame(&mut self, frame: &FrameId) -> FrameId {
        let (old, tip) = (self.headers[frame].clone(), self.tips[frame].clone());
        let mut header = old.header().clone();
        header.timestamp = header.timestamp.plus_ms(1);
        let number = (0..100).find(|number| chain(*number) == header.chain).expect("a chain of the test");
        let id = header.id();
        self.headers.insert(id, SignedHeader::sign(header, &wallet(number)).expect("a signature"));
        self.tips.insert(id, ChainTip { parent: id, ..tip });
        id
    }

    /// Gives a frame to a node, whole.
    pub fn give(&mut self, index: usize, frame: &FrameId) {
        let header = self.headers[frame].clone();
        self.on_frame(index, header);
    }

    pub fn give_all(&mut self, frame: &FrameId) {
        (0..self.nodes.len()).for_each(|index| self.give(index, frame));
    }

    fn on_frame(&mut self, index: usize, header: SignedHeader) {
        if self.nodes[index].engine.is_none() {
            return;
        }
        self.nodes[index].frames.insert((header.chain, header.sequence, header.id()));
        let given = Given { header: Arc::new(header), facts: Facts::WHOLE, from: None };
        self.input(index, Input::Frame(Box::new(given)));
    }

    pub fn input(&mut self, index: usize, input: Input) {
        let Some(engine) = &mut self.nodes[index].engine else { return };
        let mut effects = Vec::new();
        engine.handle(Timestamp(self.now), input, &mut effects);
        let deadline = engine.next_deadline();
        self.carry_out(index, effects);
        if let Some(Timestamp(at)) = deadline {
            self.push(at.max(self.now + 1), index, Event::Wake);
        }
    }

    fn push(&mut self, at: u64, index: usize, event: Event) {
        self.number += 1;
        self.queue.insert((at, self.number), (index, event));
    }

    fn carry_out(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Remember(record) => {
                    let (node, key) = (&mut self.nodes[index], record.key.clone());
                    node.protection.record(&record.guards).expect("an engine never asks for a conflict");
                    if record.value.is_empty() {
                        node.records.remove(&record.key);
                    } else {
                        node.records.insert(record.key.clone(), record);
                    }
                    node.remembered += 1;
                    if node.dies_after == Some(node.remembered) {
                        // Whatever else was to be done is lost.
                        return self.crash(index);
                    }
                    let (life, at) = (node.life, self.now + self.write_ms);
                    self.push(at, index, Event::Written(life, key));
                }
                Effect::Send(to, bytes) => self.send(index, to, bytes),
                Effect::Fetch(fetch) => self.answer(index, &fetch),
                Effect::Confirmed(confirmed) => self.on_confirmed(index, confirmed),
                Effect::Decided(decided) => {
                    let heights = &mut self.nodes[index].decided;
                    assert_eq!(
                        decided.height,
                        heights.last().map_or(1, |(height, _)| height + 1),
                        "blocks are decided in order, each once"
                    );
                    heights.push((decided.height, decided.ops));
                }
                Effect::Evidence(evidence) => {
                    assert!(evidence.verify(&self.rosters).is_ok(), "{evidence:?}");
                    self.nodes[index].evidence.push(*evidence);
                }
                // In these runs nodes are given bodies of both logs.
                // Nothing of these runs is long enough to be archived.
                Effect::Forked { .. } | Effect::Recall(_) => {}
                Effect::Penalise(peer, why) => self.nodes[index].penalties.push((peer, why)),
                Effect::Certified(_) | Effect::Voided { .. } | Effect::Propose(_) => panic!("this engine never says {effect:?}"),
            }
        }
    }

    fn on_confirmed(&mut self, index: usize, confirmed: ao_consensus::Confirmed) {
        let node = &mut self.nodes[index];
        let next = node.tips.get(&confirmed.chain).map_or(0, |tip| tip.next_sequence);
        assert_eq!(confirmed.sequence, next, "node {index} confirms out of order");
        assert!(node.frames.contains(&(confirmed.chain, confirmed.sequence, confirmed.frame)), "what was never given is confirmed");
        let header = self.headers[&confirmed.frame].shared();
        let bytes = Confirmation { header, proof: confirmed.proof }.encode();
        let confirmation = Confirmation::decode(&bytes).expect("a proof can be sent");
        assert_eq!(proof::verify(&confirmation, &self.rosters), Ok(()));
        node.tips.insert(confirmed.chain, self.tips[&confirmed.frame].clone());
        node.confirmed.push((confirmed.chain, confirmed.sequence, confirmed.frame));
    }

    fn send(&mut self, index: usize, to: To, bytes: Bytes) {
        let message = Message::decode(&bytes).expect("engines send messages");
        self.check_said(index, &message);
        let kind = match &message {
            Message::Say(..) => "say",
            Message::Tip(_) => "tip",
            Message::WantBody(..) | Message::Body(_) => "body",
            Message::WantBlocks(_) | Message::Blocks(_) => "blocks",
            Message::Op(_) => "op",
        };
        *self.sent.entry(kind).or_default() += 1;
        let receivers: Vec<usize> = match to {
            To::All => (0..self.nodes.len()).filter(|other| *other != index).collect(),
            // Strangers have an address and no engine.
            To::Peer(peer) => Some(number_of(&peer)).filter(|receiver| *receiver < self.nodes.len()).into_iter().collect(),
        };
        for receiver in receivers {
            if !(self.filter)(index, receiver, &message) || self.random(1000) < self.loss_per_mille {
                continue;
            }
            let (least, most) = self.latency_ms;
            let at = self.now + least + self.random(most - least + 1);
            self.push(at, receiver, Event::Bytes(index, bytes.clone()));
        }
    }

    /// A vote in a node's own name is remembered before it leaves, and what was remembered is what leaves.
    fn check_said(&self, index: usize, message: &Message) {
        let Message::Say(Say::Vote(vote), _) = message else { return };
        let vote = &vote.message;
        let key = ao_consensus::SecretKey::public(&CheapSecret::new(index as u64));
        if vote.voter.0 != key {
            return;
        }
        let kind = if vote.kind == VoteType::Prevote { Kind::Prevote } else { Kind::Precommit };
        let (height, round) = (vote.height.0, ao_bft::signing::number(vote.round));
        let position = Position { key, kind, scope: String::new(), term: 0, height, round };
        let row = self.nodes[index].protection.signed_row(&position).expect("memory");
        let root = row.and_then(|row| row.root).expect("a vote that leaves is remembered");
        assert_eq!(root, sha256(&[&vote_message(&NETWORK, vote)]), "what was remembered is what leaves");
    }

    /// Whoever has the frames sends them, after a while.
    fn answer(&mut self, index: usize, fetch: &ao_consensus::Fetch) {
        let mut frame = fetch.to.1;
        while let Some(header) = self.headers.get(&frame).cloned() {
            let held = (header.chain, header.sequence, frame);
            let parent = header.parent;
            let done = header.sequence <= fetch.from;
            if self.nodes.iter().any(|node| node.engine.is_some() && node.frames.contains(&held))
                && self.random(1000) >= self.loss_per_mille
            {
                let at = self.now + 2 * self.latency_ms.1;
                self.push(at, index, Event::Frame(header));
            }
            if done {
                break;
            }
            frame = parent;
        }
    }

    /// One event; false if there is none before `limit`.
    pub fn step(&mut self, limit: u64) -> bool {
        let Some(((at, _), _)) = self.queue.first_key_value() else { return false };
        if *at > limit {
            return false;
        }
        let ((at, _), (index, event)) = self.queue.pop_first().expect("looked at");
        self.now = at.max(self.now);
        match event {
            Event::Bytes(from, bytes) => self.input(index, Input::Peer(peer(from as u64), bytes)),
            Event::Frame(header) => self.on_frame(index, header),
            Event::Written(life, key) => {
                if self.nodes[index].life == life {
                    self.input(index, Input::Remembered(key));
                }
            }
            Event::Wake => {
                let due = self.nodes[index].engine.as_ref().and_then(Engine::next_deadline);
                if due.is_some_and(|due| due.0 <= self.now) {
                    self.input(index, Input::Tick);
                }
            }
        }
        true
    }

    pub fn run_for(&mut self, ms: u64) {
        let limit = self.now + ms;
        while self.step(limit) {}
        self.now = limit;
    }

    /// Until every live node has confirmed so many frames.
    pub fn run_until_confirmed(&mut self, frames: usize, ms: u64) {
        let limit = self.now + ms;
        while self.nodes.iter().any(|node| node.engine.is_some() && node.confirmed.len() < frames) {
            let found: Vec<usize> = self.nodes.iter().map(|node| node.confirmed.len()).collect();
            assert!(self.step(limit), "{found:?} of {frames} frames are confirmed by {limit} ms");
        }
        self.agree();
    }

    /// No two nodes have confirmed different frames in one place, nor decided different blocks.
    pub fn agree(&self) {
        let mut places = BTreeMap::new();
        for (chain, sequence, frame) in self.nodes.iter().flat_map(|node| &node.confirmed) {
            assert_eq!(places.entry((*chain, *sequence)).or_insert(*frame), frame, "two frames are confirmed in one place");
        }
        let mut blocks = BTreeMap::new();
        for (height, ops) in self.nodes.iter().flat_map(|node| &node.decided) {
            assert_eq!(blocks.entry(height).or_insert(ops), &ops, "two blocks are decided at one height");
        }
    }

    pub fn confirmed(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.confirmed.len()).collect()
    }

    pub fn nobody_is_blamed(&self) {
        self.nodes.iter().for_each(|node| assert_eq!(node.penalties, []));
    }
}

/// Not a wallet of any scheduler.
pub fn stranger() -> Address {
    wallet(200).address()
}
