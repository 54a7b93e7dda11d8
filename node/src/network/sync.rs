//! Catching up: which frames are missing, which peer is asked for which range, and in which order they are handed on.
//!
//! ```text
//!  tips of peers ─▶ ┌───────────────┐ ─▶ Ask(peer, range)    several peers at once, a few ranges ahead
//!  own progress ──▶ │ Sync, no I/O, │ ◀─ answered
//!  Fetch ─────────▶ │ no clock      │ ─▶ Frame               authentic, in order, at most 64 ahead of what is applied
//!  poll(now) ─────▶ └───────────────┘ ─▶ Blame               whose range was a lie
//! ```
//!
//! A claim of a tip is a hint: whoever does not give what it claimed loses the claim and rests for a while. A range is taken only if its
//! scheduler signed it ([`super::range`]), so a peer can be slow or silent, but not change anything. The first range is what everything
//! waits for: if it takes long, another peer is asked for its first half. What was handed on and is not applied within a while is taken for
//! lost and asked for again, from another peer if there is one. Everything is kept in memory only: after a restart the node's own tip says
//! where to go on.
//!
//! Refuses to judge frames, and to ask for what is on its way by gossip: of the newest few only what is missing for longer than
//! [`GRACE_MS`].

use std::collections::BTreeMap;

use ao_consensus::{Fetch, Timestamp};
use ao_p2p::{Failure, Offence, PeerId};
use ao_types::{Chain, NetworkId};
use bytes::Bytes;

use super::limits::{
    AHEAD_MAX, DETOURS_MAX, GRACE_MS, NEAR, RANGE_BYTES_WAITING_MAX, RANGE_FRAMES_MAX, RANGES_PER_CHAIN, RANGES_PER_PEER, REST_MS_MAX,
    REST_MS_MIN, SLOW_MS, STUCK_MS_MAX, STUCK_MS_MIN, SYNC_PEERS_MAX, TIPS_MAX,
};
use super::message::{RangeQuestion, Tip};
use super::range::{Authentic, authenticate};

mod detour;
mod follow;

use detour::Detour;
use follow::{Follow, Segment};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask a peer; [`Sync::answered`] must follow.
    Ask {
        /// Names it in the answer.
        request: u64,
        /// Whom.
        peer: PeerId,
        /// What.
        question: RangeQuestion,
    },
    /// A frame, for the node.
    Frame {
        /// Who sent it.
        peer: PeerId,
        /// The frame.
        frame: Authentic,
    },
    /// A peer did what honest ones do not.
    Blame(PeerId, Offence),
}

/// What a node knows of a peer.
#[derive(Debug, Default)]
struct Peer {
    /// First sequence that it lacks, by chain: claims.
    claims: BTreeMap<Chain, u64>,
    /// Ranges asked of it.
    open: usize,
    /// Failures in a row.
    failures: u32,
    /// It is left alone until then.
    rests_until: Timestamp,
    /// When it was asked last: whoever waits longest is next.
    asked: u64,
    /// It said how far it is, and is not gone.
    connected: bool,
}

impl Peer {
    fn failed(&mut self, now: Timestamp) {
        let pause = REST_MS_MIN.saturating_mul(1 << self.failures.min(10)).min(REST_MS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Timestamp(now.0.saturating_add(pause));
    }

    fn is_free(&self, now: Timestamp) -> bool {
        self.open < RANGES_PER_PEER && self.rests_until <= now
    }
}

/// A range that a peer was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: PeerId,
    question: RangeQuestion,
    /// For an engine that wants another branch than the one applied here.
    detour: bool,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Sync {
    network: NetworkId,
    chains: BTreeMap<Chain, Follow>,
    peers: BTreeMap<PeerId, Peer>,
    asked: BTreeMap<u64, Asked>,
    detours: Vec<Detour>,
    next_request: u64,
    /// Bytes of ranges that wait for their turn.
    waiting_bytes: usize,
}

impl Sync {
    /// Knows no chain and no peer.
    pub fn new(network: NetworkId) -> Self {
        Self {
            network,
            chains: BTreeMap::new(),
            peers: BTreeMap::new(),
            asked: BTreeMap::new(),
            detours: Vec::new(),
            next_request: 0,
            waiting_bytes: 0,
        }
    }

    /// This node is so far. Chains that were never named here are nobody's: claims about them are not kept.
    pub fn local(&mut self, now: Timestamp, tip: Tip) {
        if !self.chains.contains_key(&tip.chain) && self.chains.len() >= TIPS_MAX {
            return;
        }
        let follow = self.chains.entry(tip.chain).or_insert_with(|| Follow::new(tip, now));
        self.waiting_bytes -= follow.applied(now, tip);
    }

    /// This node dropped frames and is only so far again; the others are ahead.
    pub fn turned_back(&mut self, now: Timestamp, tip: Tip) {
        if let Some(follow) = self.chains.get_mut(&tip.chain) {
            self.waiting_bytes -= follow.restart(now);
            *follow = Follow::new(tip, now);
            follow.hurry(now);
        }
    }

    /// How far this node is with each chain.
    pub fn tips(&self) -> Vec<Tip> {
        self.chains.iter().map(|(chain, follow)| Tip { chain: *chain, next: follow.here, last: follow.last }).collect()
    }

    /// Whether the frame of this sequence is applied here.
    pub fn has(&self, chain: &Chain, sequence: u64) -> bool {
        self.chains.get(chain).is_some_and(|follow| sequence < follow.here)
    }

    /// How far the farthest peer claims to be and how far this node is, over all chains.
    pub fn progress(&self) -> (u64, u64) {
        self.chains.iter().fold((0, 0), |(target, here): (u64, u64), (chain, follow)| {
            // What is claimed may be anything.
            (target.saturating_add(self.target(chain).max(follow.here)), here.saturating_add(follow.here))
        })
    }

    /// A peer says how far it is.
    pub fn claimed(&mut self, peer: PeerId, tips: &[Tip]) {
        if !self.peers.contains_key(&peer) && self.peers.len() >= SYNC_PEERS_MAX {
            return;
        }
        let known = self.peers.entry(peer).or_default();
        known.connected = true;
        known.claims = tips.iter().filter(|tip| self.chains.contains_key(&tip.chain)).map(|tip| (tip.chain, tip.next)).collect();
    }

    /// A peer is gone. What it was asked for comes back as a failure.
    pub fn gone(&mut self, peer: &PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.claims.clear();
            known.connected = false;
            if known.open == 0 {
                self.peers.remove(peer);
            }
        }
    }

    /// The node lacks frames. What lies ahead of its tip is asked for at once, from the holders first; what does not is another branch and
    /// is handed on as it comes.
    pub fn fetch(&mut self, now: Timestamp, fetch: &Fetch, holders: &[PeerId]) {
        let Some(follow) = self.chains.get_mut(&fetch.chain) else { return };
        if fetch.to.0 >= follow.here {
            follow.hurry(now);
            for holder in holders {
                if self.peers.contains_key(holder) || self.peers.len() < SYNC_PEERS_MAX {
                    let claim = self.peers.entry(*holder).or_default().claims.entry(fetch.chain).or_default();
                    *claim = (*claim).max(fetch.to.0.saturating_add(1));
                }
            }
        } else {
            let count = fetch.to.0.saturating_sub(fetch.from).saturating_add(1).min(RANGE_FRAMES_MAX as u64) as u16;
            let from = fetch.to.0.saturating_add(1) - u64::from(count);
            self.detour(RangeQuestion { chain: fetch.chain, from, count }, holders);
        }
    }

    fn detour(&mut self, question: RangeQuestion, holders: &[PeerId]) {
        if self.detours.len() < DETOURS_MAX && self.detours.iter().all(|detour| detour.question != question) {
            self.detours.push(Detour::new(question, holders));
        }
    }

    /// What was handed on breaks a rule, or found no room: it is asked for again, not of this peer if there is another.
    pub fn refused(&mut self, now: Timestamp, peer: PeerId, chain: Chain) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.failed(now);
        }
        if let Some(follow) = self.chains.get_mut(&chain) {
            self.waiting_bytes -= follow.restart(now);
        }
    }

    /// What became of a range.
    pub fn answered(&mut self, now: Timestamp, request: u64, result: Result<Bytes, Failure>, acts: &mut Vec<Act>) {
        let Some(Asked { peer, question, detour }) = self.asked.remove(&request) else { return };
        let known = self.peers.entry(peer).or_default();
        known.open = known.open.saturating_sub(1);
        let found = match result {
            Ok(bytes) => match authenticate(self.network, &question, &bytes) {
                Ok(frames) => {
                    known.failures = 0;
                    Some(frames)
                }
                Err(bad) => {
                    tracing::debug!(event = "bad_range", %peer, chain = %question.chain, from = question.from, "{bad}");
                    known.failed(now);
                    known.claims.remove(&question.chain);
                    acts.push(Act::Blame(peer, Offence::Invalid));
                    None
                }
            },
            Err(failure) => {
                match failure {
                    // This node asked too much, or twice.
                    Failure::Duplicate | Failure::TooMany => {}
                    Failure::NotFound => {
                        known.claims.entry(question.chain).and_modify(|claim| *claim = (*claim).min(question.from));
                        known.failed(now);
                    }
                    _ => known.failed(now),
                }
                None
            }
        };
        if !known.connected && known.open == 0 && found.is_none() {
            self.peers.remove(&peer);
        }
        if detour {
            return self.detour_answered(request, peer, found, acts);
        }
        let Some(follow) = self.chains.get_mut(&question.chain) else { return };
        match found {
            Some(frames) => self.waiting_bytes += follow.found(request, question.from, peer, frames),
            None => follow.failed(now, request, question.from),
        }
    }

    fn detour_answered(&mut self, request: u64, peer: PeerId, found: Option<Vec<Authentic>>, acts: &mut Vec<Act>) {
        let Some(at) = self.detours.iter().position(|detour| detour.is_asked(request)) else { return };
        match found {
            Some(frames) => {
                self.detours.swap_remove(at);
                acts.extend(frames.into_iter().map(|frame| Act::Frame { peer, frame }));
            }
            None if self.detours[at].gives_up() => drop(self.detours.swap_remove(at)),
            None => {}
        }
    }

    /// Says what is to be done now. To be called after every input, and every few milliseconds.
    pub fn poll(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        let chains: Vec<Chain> = self.chains.keys().copied().collect();
        for chain in chains {
            self.poll_chain(now, chain, acts);
        }
        self.poll_detours(now, acts);
    }

    fn poll_chain(&mut self, now: Timestamp, chain: Chain, acts: &mut Vec<Act>) {
        let target = self.target(&chain);
        let Some(follow) = self.chains.get_mut(&chain) else { return };
        if follow.is_stuck(now) {
            self.waiting_bytes -= follow.restart(now);
        }
        while let Some((peer, frame)) = follow.ready() {
            if frame.parent != follow.given_last() {
                self.waiting_bytes -= follow.restart(now);
                return self.other_branch(now, chain, peer);
            }
            self.waiting_bytes -= frame.piece.weight();
            follow.give(now, &frame);
            acts.push(Act::Frame { peer, frame });
        }
        if !follow.is_due(now, target) {
            return;
        }
        follow.plan(target, self.waiting_bytes < RANGE_BYTES_WAITING_MAX);
        for from in follow.wanted(now) {
            self.ask_for(now, chain, from, acts);
        }
    }

    /// A peer's frame does not follow ours: one of the two is on a branch that the scheduler should not have. Two headers of one sequence
    /// are proof, so its frame at the last sequence that is applied here is asked for; the node finds the rest.
    fn other_branch(&mut self, now: Timestamp, chain: Chain, peer: PeerId) {
        let Some(follow) = self.chains.get(&chain) else { return };
        let before = follow.here.checked_sub(1);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.claims.remove(&chain);
            known.failed(now);
        }
        if let Some(from) = before {
            self.detour(RangeQuestion { chain, from, count: 1 }, &[peer]);
        }
    }

    fn ask_for(&mut self, now: Timestamp, chain: Chain, from: u64, acts: &mut Vec<Act>) {
        let Some(segment) = self.chains.get(&chain).and_then(|follow| follow.segment(from)) else { return };
        let (count, but, again) = match segment {
            Segment::Wanted { count, .. } => (*count, None, false),
            Segment::Asked { count, peer, .. } => (*count, Some(*peer), true),
            Segment::Here { .. } => return,
        };
        let free = self.peers.iter().filter(|(peer, known)| Some(**peer) != but && known.is_free(now));
        let able = free.filter_map(|(peer, known)| Some((*peer, *known.claims.get(&chain)?))).filter(|(_, claim)| *claim > from);
        let Some((peer, claim)) = able.min_by_key(|(peer, _)| self.peers.get(peer).map(|known| (known.open, known.asked))) else { return };
        // Of a slow range the first half: another question, so that both may be open.
        let count = if again { (count / 2).max(1) } else { count };
        let count = u64::from(count).min(claim - from) as u16;
        let question = RangeQuestion { chain, from, count };
        let request = self.ask(peer, question, false, acts);
        if again && let Some(slow) = but.and_then(|peer| self.peers.get_mut(&peer)) {
            slow.failed(now);
        }
        if let Some(follow) = self.chains.get_mut(&chain) {
            follow.asked(now, from, count, request, peer);
        }
    }

    fn poll_detours(&mut self, now: Timestamp, acts: &mut Vec<Act>) {
        for at in 0..self.detours.len() {
            if !self.detours[at].is_open() {
                continue;
            }
            let anybody = self.peers.iter().filter(|(_, known)| known.is_free(now)).map(|(peer, _)| *peer);
            let Some(peer) = self.detours[at].choose(anybody) else { continue };
            let request = self.ask(peer, self.detours[at].question, true, acts);
            self.detours[at].asked(request);
        }
    }

    fn ask(&mut self, peer: PeerId, question: RangeQuestion, detour: bool, acts: &mut Vec<Act>) -> u64 {
        let request = self.next_request;
        self.next_request += 1;
        let known = self.peers.entry(peer).or_default();
        known.open += 1;
        known.asked = request + 1;
        self.asked.insert(request, Asked { peer, question, detour });
        acts.push(Act::Ask { request, peer, question });
        request
    }

    fn target(&self, chain: &Chain) -> u64 {
        self.peers.values().filter_map(|peer| peer.claims.get(chain)).max().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
