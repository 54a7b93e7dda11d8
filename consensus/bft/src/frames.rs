//! Frames that wait to be decided, and decided ones that wait for their bytes.
//!
//! Owns where each chain stands, the verdict of §4 on each frame, and the order of confirmation within a chain. Refuses to say what is
//! decided, and to fetch: it says what is lacking.
//!
//! ```text
//!        tip: confirmed up to here          next to be decided
//!          ▼                                  ▼
//!   ── k-1 ┊ k ── k+1 ── (k+2) ── decided ──┊ k+3 ── k+4 ── waiting: Sign, Hold, Refuse
//!            └──── owed: confirmed when given ┘
//! ```
//!
//! Frames of this engine carry no certificates: what is decided acknowledges them. So the window of §3 opens with what was decided, and a
//! frame beyond it is held and not refused: how far this node has followed decisions is its own matter.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ao_consensus::block::FrameRef;
use ao_consensus::{ChainTip, Confirmed, Evidence, Facts, Fetch, Given, Proof, Timestamp};
use ao_types::{Chain, FrameId, NetworkId, PeerId};

use crate::limits::{CHAIN_WAITING_MAX, CHAINS_MAX, FRAMES_WAITING_MAX, UNKNOWN_CHAINS_MAX};

mod line;
mod verdict;

use line::{Line, Owed, settled};
pub use verdict::{Scene, Standing};

/// See the module documentation.
#[derive(Debug)]
pub struct Frames {
    network: NetworkId,
    lines: BTreeMap<Chain, Line>,
    count: usize,
    /// The highest Arweave height of a confirmed frame.
    confirmed_height: u64,
    /// Answers over all chains, since nothing changed: most inputs of an engine are votes.
    summary: Option<Summary>,
}

#[derive(Clone, Debug)]
struct Summary {
    owed: usize,
    oldest_owed: Option<u64>,
    deadline: Option<Timestamp>,
    candidates: bool,
    lacking: Vec<Fetch>,
}

/// What became of a frame that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Kept, or more is known of it.
    Kept,
    /// Its place is decided, or too far ahead, or full.
    Dropped,
    /// Its scheduler signed another frame of this sequence. Said once for a chain.
    Conflict(Box<Evidence>),
}

impl Frames {
    /// Chains that have confirmed frames, as the node knows them.
    pub fn new(network: NetworkId, confirmed: impl IntoIterator<Item = ChainTip>) -> Self {
        let lines: BTreeMap<Chain, Line> = confirmed.into_iter().map(|tip| (tip.chain, Line::new(settled(tip)))).collect();
        let confirmed_height = lines.values().map(|line| line.tip.block_height).max().unwrap_or(0);
        Self { network, lines, count: 0, confirmed_height, summary: None }
    }

    /// Sequence of the next frame to be decided in a chain, and its parent.
    pub fn head(&self, chain: &Chain) -> (u64, FrameId) {
        self.lines.get(chain).map_or((0, chain.id()), |line| (line.next(), line.last()))
    }

    /// How many frames wait, over all chains.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Answers what is asked most, until something changes.
    pub fn summarise(&mut self) {
        if self.summary.is_none() {
            let (owed, oldest_owed) = (self.owed(), self.oldest_owed());
            let (deadline, candidates, lacking) = (self.next_deadline(), self.has_candidates(), self.lacking());
            self.summary = Some(Summary { owed, oldest_owed, deadline, candidates, lacking });
        }
    }

    /// How many decided frames are not confirmed yet because their bytes are lacking.
    pub fn owed(&self) -> usize {
        let count = || self.lines.values().map(|line| line.owed.len()).sum();
        self.summary.as_ref().map_or_else(count, |summary| summary.owed)
    }

    /// The lowest height of a block that decided a frame which is not confirmed here.
    pub fn oldest_owed(&self) -> Option<u64> {
        let oldest = || self.lines.values().filter_map(|line| line.owed.front().map(|owed| owed.height)).min();
        self.summary.as_ref().map_or_else(oldest, |summary| summary.oldest_owed)
    }

    /// Takes a frame, and judges what it may have freed.
    pub fn take(&mut self, scene: &Scene<'_>, given: Given) -> Taken {
        self.summary = None;
        let (chain, sequence) = (given.header.chain, given.header.sequence);
        let room = self.count < FRAMES_WAITING_MAX;
        if !self.lines.contains_key(&chain) && (!room || !self.has_place_for(scene, &chain)) {
            return Taken::Dropped;
        }
        let line = self.lines.entry(chain).or_insert_with(|| Line::new(ChainTip::opened(chain)));
        match sequence.checked_sub(line.tip.next_sequence) {
            None => return line.take_late(&given.header),
            Some(ahead) if ahead >= CHAIN_WAITING_MAX as u64 => return Taken::Dropped,
            Some(_) => {}
        }
        let taken = line.take(given, room, &mut self.count);
        line.judge(self.network, scene, self.confirmed_height);
        taken
    }

    /// Anybody can sign a header of a chain that the Origin does not know, or not yet: such chains do not crowd out others.
    fn has_place_for(&self, scene: &Scene<'_>, chain: &Chain) -> bool {
        let unknown = |chain: &Chain| scene.origin.chain(chain).is_none();
        let strangers = || self.lines.iter().filter(|(chain, line)| unknown(chain) && line.owed.is_empty()).count();
        self.lines.len() < CHAINS_MAX && (!unknown(chain) || strangers() < UNKNOWN_CHAINS_MAX)
    }

    /// Judges everything that is held again: the clock, the Origin or the tip moved.
    pub fn judge(&mut self, scene: &Scene<'_>) {
        self.summary = None;
        for line in self.lines.values_mut() {
            line.judge(self.network, scene, self.confirmed_height);
        }
    }

    /// When a verdict may change by time alone.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let until = |entry: &line::Entry| if let Standing::Hold(until) = entry.standing { until } else { None };
        let deadline = || self.lines.values().flat_map(|line| line.waiting.values().flatten()).filter_map(until).min();
        self.summary.as_ref().map_or_else(deadline, |summary| summary.deadline)
    }

    /// What §4 says of a frame, if it is here.
    pub fn standing(&self, frame: &FrameRef) -> Option<&Standing> {
        self.lines.get(&frame.chain)?.entry(frame.sequence, &frame.frame).map(|entry| &entry.standing)
    }

    /// The parent that a frame names, if it is here.
    pub fn parent(&self, frame: &FrameRef) -> Option<FrameId> {
        self.lines.get(&frame.chain)?.entry(frame.sequence, &frame.frame).map(|entry| entry.given.header.parent)
    }

    /// Whether anything can be proposed.
    pub fn has_candidates(&self) -> bool {
        let any = || self.lines.iter().any(|(chain, line)| line.candidate(chain, line.next(), line.last()).is_some());
        self.summary.as_ref().map_or_else(any, |summary| summary.candidates)
    }

    /// What can be proposed now: one frame of each chain in turn, until none is left or there are `max`. `turn` says with which chain to
    /// begin, so that none is always last.
    pub fn candidates(&self, max: usize, turn: u64) -> Vec<FrameRef> {
        let mut runs: Vec<VecDeque<FrameRef>> =
            self.lines.iter().map(|(chain, line)| line.run(chain, max)).filter(|run| !run.is_empty()).collect();
        if !runs.is_empty() {
            let first = (turn % runs.len() as u64) as usize;
            runs.rotate_left(first);
        }
        let mut out = Vec::new();
        while out.len() < max && runs.iter().any(|run| !run.is_empty()) {
            for run in &mut runs {
                if out.len() < max {
                    out.extend(run.pop_front());
                }
            }
        }
        out
    }

    /// Notes a decided frame. False if it is not the next of its chain: it was noted before.
    pub fn decide(&mut self, frame: &FrameRef, height: u64, proof: Arc<Proof>) -> bool {
        let line = self.lines.entry(frame.chain).or_insert_with(|| Line::new(ChainTip::opened(frame.chain)));
        let next = frame.sequence == line.next();
        if next {
            self.summary = None;
            line.owed.push_back(Owed { frame: frame.frame, height, proof });
        }
        next
    }

    /// Takes out what is decided and here, in order within each chain.
    pub fn confirm(&mut self, scene: &Scene<'_>) -> Vec<Confirmed> {
        if self.owed() == 0 {
            return Vec::new();
        }
        let mut out = Vec::new();
        for (chain, line) in &mut self.lines {
            let before = out.len();
            while let Some((Owed { frame, proof, .. }, gone)) = line.confirm(self.network) {
                self.count -= gone;
                self.confirmed_height = self.confirmed_height.max(line.tip.block_height);
                let sequence = line.tip.next_sequence.saturating_sub(1);
                out.push(Confirmed { chain: *chain, sequence, frame, proof });
            }
            if out.len() > before {
                self.summary = None;
                line.judge(self.network, scene, self.confirmed_height);
            }
        }
        out
    }

    /// Chains where the node stores another frame than the decided one, with the lowest such place. Said once for a chain.
    pub fn forked(&mut self) -> Vec<FrameRef> {
        if self.owed() == 0 {
            return Vec::new();
        }
        self.lines.iter_mut().filter_map(|(chain, line)| line.fork(chain)).collect()
    }

    /// What is lacking to confirm what was decided, and to judge what waits.
    pub fn lacking(&self) -> Vec<Fetch> {
        if let Some(summary) = &self.summary {
            return summary.lacking.clone();
        }
        let mut out = Vec::new();
        for (chain, line) in &self.lines {
            let (mut wanted, mut holders) = (None, Vec::new());
            let from = line.tip.next_sequence;
            for (at, owed) in line.owed.iter().enumerate() {
                let sequence = from.saturating_add(at as u64);
                if line.entry(sequence, &owed.frame).is_none_or(|entry| entry.given.facts != Facts::WHOLE) {
                    wanted = Some((sequence, owed.frame));
                }
            }
            for (sequence, entry) in line.waiting.iter().flat_map(|(sequence, entries)| entries.iter().map(move |entry| (*sequence, entry)))
            {
                if matches!(entry.standing, Standing::Hold(None)) {
                    let target = (sequence, entry.given.header.id());
                    wanted = wanted.max(Some(target));
                    holders.extend(entry.given.from.clone());
                }
            }
            if let Some(to) = wanted {
                holders.dedup();
                out.push(Fetch { chain: *chain, from, to, holders });
            }
        }
        out
    }

    /// Frames of a block that are not here or not whole: what to fetch to judge it.
    pub fn missing(&self, frames: &[FrameRef], holder: Option<&PeerId>) -> Vec<Fetch> {
        let mut wanted: BTreeMap<Chain, (u64, FrameId)> = BTreeMap::new();
        for frame in frames.iter().filter(|frame| !matches!(self.standing(frame), Some(Standing::Sign(_)))) {
            wanted.insert(frame.chain, (frame.sequence, frame.frame));
        }
        let holders: Vec<PeerId> = holder.into_iter().cloned().collect();
        let from = |chain: &Chain| self.lines.get(chain).map_or(0, |line| line.tip.next_sequence);
        wanted.into_iter().map(|(chain, to)| Fetch { chain, from: from(&chain), to, holders: holders.clone() }).collect()
    }
}

#[cfg(test)]
mod tests;
