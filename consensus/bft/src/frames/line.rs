//! One chain: what is confirmed, what is decided, what waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ao_consensus::block::FrameRef;
use ao_consensus::{ChainTip, Evidence, Facts, Given, Proof, SignedHeader};
use ao_types::{Chain, FrameId, NetworkId};

use super::Taken;
use super::verdict::{Before, Scene, Standing, verdict};
use crate::limits::{PAST_HEADERS_MAX, VARIANTS_MAX};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) given: Given,
    pub(super) standing: Standing,
}

#[derive(Debug)]
pub(super) struct Owed {
    pub(super) frame: FrameId,
    /// Of the block that decided it.
    pub(super) height: u64,
    pub(super) proof: Arc<Proof>,
}

#[derive(Debug)]
pub(super) struct Line {
    /// After the last confirmed frame.
    pub(super) tip: ChainTip,
    /// Decided, and not given yet or behind one that is not.
    pub(super) owed: VecDeque<Owed>,
    /// Given, from the tip's next sequence on.
    pub(super) waiting: BTreeMap<u64, Vec<Entry>>,
    /// Headers of the frames confirmed last: another one for a place of theirs is a fault that can be shown.
    pub(super) past: VecDeque<Arc<SignedHeader>>,
    /// Two headers of one sequence were reported.
    pub(super) reported: bool,
    /// The node was told that it stores another frame than the decided one.
    pub(super) forked: bool,
    /// A decided frame does not follow from what was decided before it: this chain is stuck, and nothing more of it is confirmed here.
    pub(super) broken: bool,
}

impl Line {
    pub(super) fn new(tip: ChainTip) -> Self {
        Self { tip, owed: VecDeque::new(), waiting: BTreeMap::new(), past: VecDeque::new(), reported: false, forked: false, broken: false }
    }

    pub(super) fn next(&self) -> u64 {
        self.tip.next_sequence.saturating_add(self.owed.len() as u64)
    }

    pub(super) fn last(&self) -> FrameId {
        self.owed.back().map_or(self.tip.parent, |owed| owed.frame)
    }

    pub(super) fn entry(&self, sequence: u64, frame: &FrameId) -> Option<&Entry> {
        self.waiting.get(&sequence)?.iter().find(|entry| entry.given.header.id() == *frame)
    }

    /// The tip before a frame of this sequence with this parent, with the window opened by what was decided.
    pub(super) fn parent(&self, sequence: u64, parent: &FrameId) -> Before {
        let mut tip = if sequence == self.tip.next_sequence {
            self.tip.clone()
        } else {
            match sequence.checked_sub(1).and_then(|before| self.entry(before, parent)).map(|entry| &entry.standing) {
                Some(Standing::Sign(tip)) => (**tip).clone(),
                Some(Standing::Refuse(_)) => return Before::Refused(*parent),
                Some(Standing::Hold(_)) | None => return Before::Missing,
            }
        };
        tip.carried = tip.carried.max(self.next().min(sequence).checked_sub(1));
        Before::Checked(Box::new(tip))
    }

    pub(super) fn judge(&mut self, network: NetworkId, scene: &Scene<'_>, certified_height: u64) {
        let places: Vec<(u64, usize)> =
            self.waiting.iter().flat_map(|(sequence, entries)| (0..entries.len()).map(move |at| (*sequence, at))).collect();
        for (sequence, at) in places {
            let Some(entry) = self.waiting.get(&sequence).and_then(|entries| entries.get(at)) else { continue };
            if !matches!(entry.standing, Standing::Hold(_)) {
                continue;
            }
            let before = self.parent(sequence, &entry.given.header.parent);
            let standing = verdict(network, scene, certified_height, before, &entry.given);
            if let Some(entry) = self.waiting.get_mut(&sequence).and_then(|entries| entries.get_mut(at)) {
                entry.standing = standing;
            }
        }
    }

    /// Takes a frame whose place is not confirmed; `count` is of all that wait, and there is `room` for one more.
    pub(super) fn take(&mut self, given: Given, room: bool, count: &mut usize) -> Taken {
        let (sequence, frame) = (given.header.sequence, given.header.id());
        // What was decided always has its place: without it nothing after it can be confirmed.
        let owed = sequence.checked_sub(self.tip.next_sequence).and_then(|at| self.owed.get(at as usize));
        let wanted = owed.is_some_and(|owed| owed.frame == frame);
        let entries = self.waiting.entry(sequence).or_default();
        if let Some(known) = entries.iter_mut().find(|entry| entry.given.header.id() == frame) {
            // Facts only grow: what was durable stays so.
            if given.facts != known.given.facts && known.given.facts != Facts::WHOLE {
                known.given = given;
                if !matches!(known.standing, Standing::Refuse(_)) {
                    known.standing = Standing::Hold(None);
                }
            }
            return Taken::Kept;
        }
        if !wanted && (!room || entries.len() >= VARIANTS_MAX) {
            if entries.is_empty() {
                self.waiting.remove(&sequence);
            }
            return Taken::Dropped;
        }
        let other = entries.first().map(|entry| Arc::clone(&entry.given.header));
        let header = Arc::clone(&given.header);
        entries.push(Entry { given, standing: Standing::Hold(None) });
        *count += 1;
        other.and_then(|other| self.conflict(&other, &header)).unwrap_or(Taken::Kept)
    }

    /// A frame for a place that is confirmed: nothing, or another than that.
    pub(super) fn take_late(&mut self, header: &SignedHeader) -> Taken {
        let place = self.past.iter().find(|past| past.sequence == header.sequence).map(Arc::clone);
        let other = place.filter(|past| past.id() != header.id());
        other.and_then(|other| self.conflict(&other, header)).unwrap_or(Taken::Dropped)
    }

    fn conflict(&mut self, one: &SignedHeader, two: &SignedHeader) -> Option<Taken> {
        let two = one.to_raw().zip(two.to_raw()).filter(|_| !self.reported)?;
        self.reported = true;
        Some(Taken::Conflict(Box::new(Evidence::TwoHeaders(Box::new(two)))))
    }

    /// Takes out the next decided frame if it is here: its proof, and how many that waited are gone. `None` if it is not.
    pub(super) fn confirm(&mut self, network: NetworkId) -> Option<(Owed, usize)> {
        let owed = self.owed.front().filter(|_| !self.broken)?;
        let sequence = self.tip.next_sequence;
        let Some(tip) = after(network, self, sequence, &owed.frame)? else {
            tracing::error!(chain = %self.tip.chain, sequence, "a decided frame does not follow from those decided before it");
            self.broken = true;
            return None;
        };
        let owed = self.owed.pop_front()?;
        let gone = self.waiting.remove(&sequence).unwrap_or_default();
        self.past.extend(gone.iter().find(|entry| entry.given.header.id() == owed.frame).map(|entry| Arc::clone(&entry.given.header)));
        while self.past.len() > PAST_HEADERS_MAX {
            self.past.pop_front();
        }
        self.tip = tip;
        Some((owed, gone.len()))
    }

    /// The lowest decided place where the node stores another frame; once, and not before the decided one's header is here: only with both
    /// headers is there evidence against their scheduler.
    pub(super) fn fork(&mut self, chain: &Chain) -> Option<FrameRef> {
        if self.forked {
            return None;
        }
        let places = (self.tip.next_sequence..).zip(&self.owed);
        let stored = |sequence: &u64, is: &dyn Fn(FrameId) -> bool| {
            let entries = self.waiting.get(sequence).into_iter().flatten();
            entries.into_iter().any(|entry| entry.given.facts.durable && is(entry.given.header.id()))
        };
        let parted = |(sequence, owed): &(u64, &Owed)| {
            let here = self.entry(*sequence, &owed.frame).is_some_and(|entry| !entry.given.facts.durable);
            here && stored(sequence, &|frame| frame != owed.frame)
        };
        let (sequence, owed) = places.into_iter().find(parted)?;
        let fork = FrameRef { chain: *chain, sequence, frame: owed.frame };
        self.forked = true;
        Some(fork)
    }

    /// What can be proposed of this chain now, up to `max`.
    pub(super) fn run(&self, chain: &Chain, max: usize) -> VecDeque<FrameRef> {
        let (mut run, mut sequence, mut last) = (VecDeque::new(), self.next(), self.last());
        while let Some(frame) = self.candidate(chain, sequence, last).filter(|_| run.len() < max) {
            (sequence, last) = (sequence.saturating_add(1), frame.frame);
            run.push_back(frame);
        }
        run
    }

    pub(super) fn candidate(&self, chain: &Chain, sequence: u64, parent: FrameId) -> Option<FrameRef> {
        // Its scheduler signed two logs, and others may hold the other one: a block that names either would be held by them until its round
        // ends, at the cost of every chain. What was decided of it stands.
        if self.reported {
            return None;
        }
        let fits = |entry: &&Entry| entry.given.header.parent == parent && matches!(entry.standing, Standing::Sign(_));
        let found = self.waiting.get(&sequence)?.iter().find(fits)?;
        Some(FrameRef { chain: *chain, sequence, frame: found.given.header.id() })
    }
}

/// A confirmed tip opens the window: everything up to it was decided.
pub(super) fn settled(mut tip: ChainTip) -> ChainTip {
    tip.carried = tip.carried.max(tip.next_sequence.checked_sub(1));
    tip
}

/// The tip after a decided frame: `None` if the frame is not here whole, `Some(None)` if it does not follow.
fn after(network: NetworkId, line: &Line, sequence: u64, frame: &FrameId) -> Option<Option<ChainTip>> {
    let entry = line.entry(sequence, frame).filter(|entry| entry.given.facts == Facts::WHOLE)?;
    let header = &entry.given.header;
    let tip = match &entry.standing {
        Standing::Sign(tip) => Some((**tip).clone()),
        // A quorum vouched for it: this node's clock, or how far it follows the Origin, does not matter any more.
        Standing::Hold(_) | Standing::Refuse(_) => line.tip.follow(network, header, *frame).ok(),
    };
    Some(tip.filter(|_| header.parent == line.tip.parent).map(settled))
}
