//! Bodies that are too large for gossip: who has them, and how they are pulled together from several peers.
//!
//! ```text
//!  header (gossip, range) ─▶ ┌─────────────────┐ ─▶ Ask(holder, chunk)    one outstanding request for each chunk
//!  "I have it" ────────────▶ │ Spread, no I/O, │ ◀─ answered
//!  poll(now) ──────────────▶ │ no clock        │ ─▶ Whole(frame)
//!                            └─────────────────┘ ─▶ Blame                 whose chunk is not the header's
//! ```
//!
//! A header is taken only after its scheduler's signature was checked, so nobody but a scheduler can make a node pull anything. A chunk
//! proves itself under the header's `payload_root`; a wrong one costs its sender points and is asked of somebody else. Holders that refuse
//! are passed over for the next one: each node carries few uploads at once (`consensus.md` §3), and whoever has the body joins in. Where a
//! node begins among the holders depends on its own id and the frame's, so that not all begin at the same one.

use std::collections::{BTreeMap, VecDeque};

use ao_consensus::Timestamp;
use ao_consensus::frame::{Chunk, RawHeader, chunk_count};
use ao_consensus::limits::CHUNK_BYTES;
use ao_p2p::{Failure, Offence, PeerId};
use ao_types::FrameId;
use ao_types::codec::Canonical;
use ao_types::hash::sha256;
use bytes::Bytes;

use super::limits::{
    CHUNK_PAUSE_MS_MAX, CHUNK_PAUSE_MS_MIN, CHUNKS_AT_ONCE, HOLDERS_AHEAD_MAX, HOLDERS_MAX, PULL_BYTES_MAX, PULL_MS_MAX, PULLS_MAX,
    PULLS_WAITING_MAX,
};
use super::message::{ChunkQuestion, Place};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask a peer; [`Spread::answered`] must follow.
    Ask {
        /// Names it in the answer.
        request: u64,
        /// Whom.
        peer: PeerId,
        /// What.
        question: ChunkQuestion,
    },
    /// A frame is complete, for the node.
    Whole {
        /// Who told of it.
        from: PeerId,
        /// Which.
        place: Place,
        /// Canonical bytes of a [`ao_consensus::frame::WireFrame`].
        bytes: Bytes,
    },
    /// A peer did what honest ones do not.
    Blame(PeerId, Offence),
}

/// What a chunk is doing.
#[derive(Clone, Debug)]
enum Part {
    Missing,
    Asked(u64),
    Here(Bytes),
}

/// A body on its way.
#[derive(Debug)]
struct Pull {
    header: RawHeader,
    place: Place,
    from: PeerId,
    parts: Vec<Part>,
    /// Who has it. The next one to ask is at the front.
    holders: VecDeque<PeerId>,
    since: Timestamp,
    /// Nobody is asked until then.
    rests_until: Timestamp,
    pause_ms: u64,
    /// Refusals since a chunk came or a pause ended: after one of each holder there is a pause.
    refusals: usize,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Spread {
    me: PeerId,
    pulls: BTreeMap<FrameId, Pull>,
    /// Those that have not begun, oldest first.
    waiting: VecDeque<Pull>,
    /// Frame and chunk of each request.
    asked: BTreeMap<u64, (FrameId, u32, PeerId)>,
    next_request: u64,
    /// Who said that it has a body whose header is not here yet, oldest first.
    ahead: VecDeque<(FrameId, Vec<PeerId>)>,
    /// By what the headers say.
    pulled_bytes: usize,
}

impl Spread {
    /// Nothing is on its way. `me`: this node, which it never asks.
    pub fn new(me: PeerId) -> Self {
        Self {
            me,
            pulls: BTreeMap::new(),
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            ahead: VecDeque::new(),
            pulled_bytes: 0,
        }
    }

    /// Whether the body of this frame is on its way or waits for it.
    pub fn knows(&self, frame: &FrameId) -> bool {
        self.pulls.contains_key(frame) || self.waiting.iter().any(|pull| pull.place.frame == *frame)
    }

    /// A header whose signature was checked, of a frame that is not here. `from` told of it, `holder` is said to have the body.
    pub fn header(&mut self, now: Timestamp, place: Place, header: RawHeader, from: PeerId, holder: PeerId) {
        if self.knows(&place.frame) {
            return self.have(place.frame, holder);
        }
        if self.waiting.len() >= PULLS_WAITING_MAX {
            return;
        }
        let chunks = chunk_count(header.header.payload_bytes) as usize;
        let told = self.ahead.iter().position(|(frame, _)| *frame == place.frame).and_then(|at| self.ahead.remove(at));
        let mut pull = Pull {
            header,
            place,
            from,
            parts: vec![Part::Missing; chunks],
            holders: VecDeque::new(),
            since: now,
            rests_until: now,
            pause_ms: CHUNK_PAUSE_MS_MIN,
            refusals: 0,
        };
        for holder in [holder].into_iter().chain(told.into_iter().flat_map(|(_, holders)| holders)) {
            pull.add(holder, self.me);
        }
        let turn = sha256(&[&place.frame.0, &self.me.key()])[0] as usize;
        let holders = pull.holders.len().max(1);
        pull.holders.rotate_left(turn % holders);
        self.waiting.push_back(pull);
    }

    /// A peer says that it has a body. Kept for a while if the header is not here yet.
    pub fn have(&mut self, frame: FrameId, holder: PeerId) {
        let me = self.me;
        if let Some(pull) = self.pulls.get_mut(&frame).or_else(|| self.waiting.iter_mut().find(|pull| pull.place.frame == frame)) {
            return pull.add(holder, me);
        }
        if let Some((_, holders)) = self.ahead.iter_mut().find(|(known, _)| *known == frame) {
            if holders.len() < HOLDERS_MAX && !holders.contains(&holder) {
                holders.push(holder);
            }
            return;
        }
        if self.ahead.len() >= HOLDERS_AHEAD_MAX {
            self.ahead.pop_front();
        }
        self.ahead.push_back((frame, vec![holder]));
    }

    /// The frame is here by another way.
    pub fn done(&mut self, frame: &FrameId) {
        self.end(frame);
        self.waiting.retain(|pull| pull.place.frame != *frame);
        self.ahead.retain(|(known, _)| known != frame);
    }

    /// A peer is gone. What it was asked for comes back as a failure.
    pub fn gone(&mut self, peer: &PeerId) {
        self.pulls.values_mut().chain(&mut self.waiting).for_each(|pull| pull.holders.retain(|holder| holder != peer));
    }

    /// What became of a request.
    pub fn answered(&mut self, now: Timestamp, request: u64, result: Result<Bytes, Failure>, acts: &mut Vec<Act>) {
        let Some((frame, index, peer)) = self.asked.remove(&request) else { return };
        let Some(pull) = self.pulls.get_mut(&frame) else { return };
        let Some(part) = pull.parts.get_mut(index as usize) else { return };
        *part = Part::Missing;
        match result {
            Ok(bytes) => {
                match Chunk::decode(&bytes).ok().filter(|chunk| chunk.index == index && chunk.check(&pull.header.header).is_ok()) {
                    Some(chunk) => {
                        *part = Part::Here(chunk.bytes);
                        (pull.refusals, pull.pause_ms) = (0, CHUNK_PAUSE_MS_MIN);
                        if let Some(bytes) = pull.assembled() {
                            acts.push(Act::Whole { from: pull.from, place: pull.place, bytes });
                            self.end(&frame);
                        }
                    }
                    None => {
                        pull.holders.retain(|holder| *holder != peer);
                        acts.push(Act::Blame(peer, Offence::Invalid));
                    }
                }
            }
            // This node asked too much: the holder is as good as before.
            Err(Failure::TooMany | Failure::Duplicate) => pull.rest(now),
            Err(Failure::NotFound | Failure::Refused | Failure::Unsupported | Failure::Malformed) => {
                pull.holders.retain(|holder| *holder != peer);
            }
            Err(_) => {
                pull.refusals += 1;
                if pull.refusals >= pull.holders.len() {
                    pull.rest(now);
                }
            }
        }
    }

    /// Says what is to be done now. `others` are peers that may be asked where nobody is known to have a body.
    pub fn poll(&mut self, now: Timestamp, others: &[PeerId], acts: &mut Vec<Act>) {
        let late: Vec<FrameId> =
            self.pulls.values().filter(|pull| now.since_ms(pull.since) >= PULL_MS_MAX).map(|pull| pull.place.frame).collect();
        late.iter().for_each(|frame| self.end(frame));
        self.waiting.retain(|pull| now.since_ms(pull.since) < PULL_MS_MAX);
        while self.pulls.len() < PULLS_MAX
            && let Some(next) = self.waiting.front()
            && self.pulled_bytes + next.bytes() <= PULL_BYTES_MAX
            && let Some(next) = self.waiting.pop_front()
        {
            self.pulled_bytes += next.bytes();
            self.pulls.insert(next.place.frame, next);
        }
        for (frame, pull) in &mut self.pulls {
            if pull.holders.is_empty() {
                others.iter().take(HOLDERS_MAX).for_each(|peer| pull.add(*peer, self.me));
            }
            while let Some((index, peer)) = pull.next(now) {
                let request = self.next_request;
                self.next_request += 1;
                pull.parts[index as usize] = Part::Asked(request);
                self.asked.insert(request, (*frame, index, peer));
                acts.push(Act::Ask { request, peer, question: ChunkQuestion { place: pull.place, index } });
            }
        }
    }

    fn end(&mut self, frame: &FrameId) {
        if let Some(pull) = self.pulls.remove(frame) {
            self.pulled_bytes -= pull.bytes();
            for part in pull.parts {
                if let Part::Asked(request) = part {
                    self.asked.remove(&request);
                }
            }
        }
    }
}

impl Pull {
    fn bytes(&self) -> usize {
        self.header.header.payload_bytes as usize
    }

    fn add(&mut self, holder: PeerId, me: PeerId) {
        if holder != me && self.holders.len() < HOLDERS_MAX && !self.holders.contains(&holder) {
            self.holders.push_back(holder);
        }
    }

    fn rest(&mut self, now: Timestamp) {
        self.rests_until = Timestamp(now.0.saturating_add(self.pause_ms));
        (self.pause_ms, self.refusals) = ((self.pause_ms * 2).min(CHUNK_PAUSE_MS_MAX), 0);
    }

    /// The next chunk to ask for, and whom; holders take turns.
    fn next(&mut self, now: Timestamp) -> Option<(u32, PeerId)> {
        let asked = self.parts.iter().filter(|part| matches!(part, Part::Asked(_))).count();
        if asked >= CHUNKS_AT_ONCE || self.rests_until > now {
            return None;
        }
        let index = self.parts.iter().position(|part| matches!(part, Part::Missing))?;
        let peer = self.holders.pop_front()?;
        self.holders.push_back(peer);
        Some((index as u32, peer))
    }

    /// The whole frame, once every chunk is here.
    fn assembled(&self) -> Option<Bytes> {
        let mut bytes = Vec::new();
        for part in &self.parts {
            let Part::Here(chunk) = part else { return None };
            if bytes.is_empty() {
                bytes.reserve_exact(self.bytes() + CHUNK_BYTES.min(8192));
                self.header.write(&mut bytes);
            }
            bytes.extend_from_slice(chunk);
        }
        Some(bytes.into())
    }
}

#[cfg(test)]
mod tests;
