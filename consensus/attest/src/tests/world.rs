//! Many engines, a scheduler that paces itself by their certificates, and a network that loses and delays, all from one seed.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::pace::{Due, Pace, Pending};
use ao_consensus::{Consensus, Given, Input, Timestamp};
use ao_types::{Canonical, FrameId, PeerId, Stake};
use bytes::Bytes;

use super::rig::*;
use crate::limits::INTERVAL_MS;
use crate::mutation::{Mutation, Mutations};
use crate::wire::Message;

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Honest,
    /// Says nothing at all.
    Mute,
    /// Signs every branch.
    DoubleVoter,
    /// Sends shares that do not hold.
    Garbler,
}

/// Neighbours in gossip, to whom a message is handed on and who hand it on to here.
const GOSSIP_MESH: u64 = 8;

enum Event {
    Bytes { to: usize, from: usize, bytes: Bytes },
    Frame { to: usize, frame: FrameId },
}

/// See the module documentation.
pub struct World {
    pub net: Net,
    pub rigs: Vec<Rig>,
    pub kinds: Vec<Kind>,
    pub now: Timestamp,
    pub lines: Vec<(Line, Pace, BTreeSet<usize>)>,
    /// Nodes that are cut off.
    pub down: BTreeSet<usize>,
    /// One message in so many is lost.
    pub loss: u64,
    pub latency_ms: u64,
    /// Frames up to the last one with entries: what must be confirmed.
    pub owed: u64,
    /// Bytes of shares, sums and certificates that each node sent and got; gossip goes to, and comes from, each of its mesh.
    pub said: Vec<u64>,
    frames: BTreeMap<FrameId, Given>,
    queue: BTreeMap<(Timestamp, u64), Event>,
    random: u64,
    events: u64,
}

impl World {
    /// One node for each member; a scheduler on one of them, if it is honest.
    pub fn new(net: &Net, seed: u64, kinds: &[(usize, Kind)]) -> Self {
        let members = net.committee(0).len();
        let mut of: Vec<Kind> = vec![Kind::Honest; members];
        kinds.iter().for_each(|(member, kind)| of[*member] = *kind);
        let rig = |member: usize| {
            let role = if member == usize::from(net.host) { Role::Scheduler } else { Role::Member(0, member as u16) };
            let mutation = (of[member] == Kind::DoubleVoter).then(|| Mutations::only(Mutation::NoSlashingCheck));
            Rig::broken(net, role, mutation.unwrap_or_default())
        };
        let everybody = (0..members).collect();
        Self {
            net: net.clone(),
            rigs: (0..members).map(rig).collect(),
            kinds: of,
            now: START,
            lines: vec![(net.line(), Pace::new(INTERVAL_MS), everybody)],
            down: BTreeSet::new(),
            loss: 0,
            latency_ms: 10,
            owed: 0,
            said: vec![0; members],
            frames: BTreeMap::new(),
            queue: BTreeMap::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            events: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound.max(1)
    }

    fn later(&mut self, event: Event) {
        let lost = self.loss > 0 && self.below(self.loss) == 0;
        if !lost {
            let delay = self.latency_ms / 2 + self.below(self.latency_ms + 1);
            self.events += 1;
            self.queue.insert((self.now.plus_ms(delay), self.events), event);
        }
    }

    fn index_of(&self, peer: &PeerId) -> Option<usize> {
        self.net.committee(0).members().iter().position(|member| member.peer == *peer)
    }

    /// The scheduler goes on: `entries` wait to be framed. Each of its lines (more than one if it equivocates) is given to its own nodes.
    fn schedule(&mut self, entries: bool) {
        for at in 0..self.lines.len() {
            let (line, pace, whom) = &mut self.lines[at];
            if pace.due(self.now, &line.tip, pending(entries)) != Due::Now {
                continue;
            }
            line.now = self.now.max(line.now);
            let carried = pace.certificates();
            let frame = line.frame(carried);
            pace.on_built(self.now, &line.tip, usize::from(entries));
            if entries {
                self.owed = self.owed.max(line.tip.next_sequence);
            }
            let (id, whom) = (frame.header.id(), whom.clone());
            self.frames.insert(id, frame);
            for to in whom {
                if to == usize::from(self.net.host) {
                    self.give_frame(to, &id);
                } else {
                    self.later(Event::Frame { to, frame: id });
                }
            }
        }
    }

    fn give_frame(&mut self, to: usize, frame: &FrameId) {
        if let Some(given) = self.frames.get(frame).cloned().filter(|_| !self.down.contains(&to)) {
            self.rigs[to].now = self.now;
            self.rigs[to].frame(&given);
            self.carry(to);
        }
    }

    /// What a node's engine wants of others.
    fn carry(&mut self, from: usize) {
        let (sent, asked) = (std::mem::take(&mut self.rigs[from].sent), std::mem::take(&mut self.rigs[from].asked));
        if from == usize::from(self.net.host) {
            for certified in std::mem::take(&mut self.rigs[from].certified) {
                for (line, pace, _) in &mut self.lines {
                    let own = line.tip.recent(certified.sequence).is_some_and(|recent| recent.frame == certified.frame);
                    if own {
                        pace.on_certified(&line.tip, certified.sequence, certified.certificates.clone());
                    }
                }
            }
        }
        if self.kinds[from] == Kind::Mute {
            return;
        }
        for (to, message) in sent {
            let message = match (message, self.kinds[from]) {
                (Message::Share(mut share), Kind::Garbler) => {
                    share.signature = self.net.share(from as u16, self.frames.values().next().unwrap()).signature;
                    Message::Share(share)
                }
                (message, _) => message,
            };
            let bytes: Bytes = message.encode().into();
            match to {
                ao_consensus::To::Peer(peer) => {
                    if let Some(to) = self.index_of(&peer) {
                        for side in [from, to] {
                            self.said[side] += bytes.len() as u64;
                        }
                        self.later(Event::Bytes { to, from, bytes });
                    }
                }
                ao_consensus::To::All => {
                    self.said.iter_mut().for_each(|sum| *sum += 2 * GOSSIP_MESH * bytes.len() as u64);
                    for to in (0..self.rigs.len()).filter(|to| *to != from) {
                        self.later(Event::Bytes { to, from, bytes: bytes.clone() });
                    }
                }
            }
        }
        for fetch in asked {
            // Whoever is asked answers with a part of the branch, oldest first.
            let mut way = Vec::new();
            let mut at = Some(fetch.to.1);
            while let Some(frame) = at.and_then(|id| self.frames.get(&id)) {
                way.push(frame.header.id());
                at = (frame.header.sequence > fetch.from).then_some(frame.header.parent);
            }
            way.into_iter().rev().take(32).for_each(|frame| self.later(Event::Frame { to: from, frame }));
        }
    }

    /// Time passes; the scheduler has something to frame all the while, if `entries`.
    pub fn run(&mut self, ms: u64, entries: bool) {
        let end = self.now.plus_ms(ms);
        while self.now < end {
            self.schedule(entries);
            loop {
                let next = self.queue.first_key_value().map(|(key, _)| *key).filter(|(at, _)| *at <= self.now);
                let Some(event) = next.and_then(|key| self.queue.remove(&key)) else { break };
                match event {
                    Event::Frame { to, frame } => self.give_frame(to, &frame),
                    Event::Bytes { to, from, bytes } => {
                        if !self.down.contains(&to) && !self.down.contains(&from) {
                            let peer = self.net.peer(from as u16);
                            self.rigs[to].now = self.now;
                            self.rigs[to].give(Input::Peer(peer, bytes));
                            self.carry(to);
                        }
                    }
                }
            }
            for at in 0..self.rigs.len() {
                self.rigs[at].now = self.now;
                if !self.down.contains(&at) && self.rigs[at].engine.next_deadline().is_some_and(|due| due <= self.now) {
                    self.rigs[at].give(Input::Tick);
                    self.carry(at);
                }
            }
            self.now = self.next(entries).clamp(self.now.plus_ms(1), end);
        }
    }

    /// When something happens next.
    fn next(&self, entries: bool) -> Timestamp {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let up = self.rigs.iter().enumerate().filter(|(at, _)| !self.down.contains(at));
        let deadlines = up.filter_map(|(_, rig)| rig.engine.next_deadline());
        let frames = self.lines.iter().filter_map(|(line, pace, _)| match pace.due(self.now, &line.tip, pending(entries)) {
            Due::Now => Some(self.now),
            Due::At(at) => Some(at),
            Due::Certificate | Due::Nothing => None,
        });
        frames.chain(deadlines).chain(queued).min().unwrap_or(Timestamp(u64::MAX))
    }

    /// A node dies and comes back with its disk, and gets what it held above and in the window below its last confirmed frame.
    pub fn crash(&mut self, node: usize) {
        let rig = &mut self.rigs[node];
        rig.now = self.now;
        let mut held: Vec<Given> = rig.held();
        rig.crash();
        held.sort_by_key(|given| given.header.sequence);
        for given in held {
            self.rigs[node].frame(&given);
        }
        self.carry(node);
    }

    pub fn honest(&self) -> impl Iterator<Item = &Rig> {
        self.rigs.iter().zip(&self.kinds).filter(|(_, kind)| **kind == Kind::Honest).map(|(rig, _)| rig)
    }

    /// S1, S2, proofs and evidence: on every honest node, and between them.
    pub fn assert_safe(&self) {
        let longest = self.honest().map(|rig| &rig.log).max_by_key(|log| log.len()).unwrap();
        for rig in self.honest() {
            rig.assert_sound();
            assert_eq!(rig.log[..], longest[..rig.log.len()], "two logs");
        }
    }

    /// How many frames every honest node has confirmed.
    pub fn confirmed(&self) -> usize {
        self.honest().map(|rig| rig.log.len()).min().unwrap()
    }

    /// S7: what was framed is confirmed everywhere, but for empty frames that only acknowledge.
    pub fn assert_live(&self) {
        assert!(self.owed > 10, "only {} frames", self.owed);
        assert!(self.confirmed() as u64 >= self.owed, "{} of {} frames are confirmed", self.confirmed(), self.owed);
    }
}

/// What waits for the next frame: entries, or nothing.
fn pending(entries: bool) -> Pending {
    Pending { entries: usize::from(entries), payload_bytes: 0, news: false }
}

/// Stake of these members is below a third.
pub fn minority(net: &Net, members: &[usize]) -> bool {
    let stake = members.iter().map(|member| net.committee(0).member(*member as u16).unwrap().stake.0).sum();
    !net.committee(0).is_third(Stake(stake))
}
