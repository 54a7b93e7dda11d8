//! One chain on its way: what is applied, what was handed on, and the ranges ahead of that.

use std::collections::BTreeMap;

use ao_consensus::Timestamp;
use ao_p2p::PeerId;
use ao_types::FrameId;

use super::{AHEAD_MAX, GRACE_MS, NEAR, RANGE_FRAMES_MAX, RANGES_PER_CHAIN, SLOW_MS, STUCK_MS_MAX, STUCK_MS_MIN};
use crate::network::message::Tip;
use crate::network::range::Authentic;

/// Milliseconds until a range that failed is asked for again, whoever is free then.
const AGAIN_MS: u64 = 100;

/// A run of frames ahead of what was handed on. Runs follow one another without a gap.
#[derive(Debug)]
pub(super) enum Segment {
    /// Nobody is asked.
    Wanted { count: u16, not_before: Timestamp },
    /// Somebody is asked.
    Asked { count: u16, requests: Vec<u64>, peer: PeerId, since: Timestamp },
    /// Somebody gave it. Never empty; frames are taken from the end of the reversed list.
    Here { peer: PeerId, reversed: Vec<Authentic> },
}

#[derive(Debug)]
pub(super) struct Follow {
    /// The first sequence that is not applied here.
    pub(super) here: u64,
    /// The frame before it.
    pub(super) last: FrameId,
    /// The first sequence that was not handed on, at or above `here`.
    given: u64,
    given_last: FrameId,
    /// By the first sequence of each.
    segments: BTreeMap<u64, Segment>,
    /// Since when a peer claims to be further.
    behind_since: Option<Timestamp>,
    /// When something was handed on or applied.
    moved: Timestamp,
    /// How long nothing may move.
    patience_ms: u64,
}

impl Follow {
    pub(super) fn new(tip: Tip, now: Timestamp) -> Self {
        Self {
            here: tip.next,
            last: tip.last,
            given: tip.next,
            given_last: tip.last,
            segments: BTreeMap::new(),
            behind_since: None,
            moved: now,
            patience_ms: STUCK_MS_MIN,
        }
    }

    /// More is applied; how many bytes that waited are of no use any more.
    pub(super) fn applied(&mut self, now: Timestamp, tip: Tip) -> usize {
        if tip.next <= self.here {
            return 0;
        }
        (self.here, self.last, self.moved, self.patience_ms) = (tip.next, tip.last, now, STUCK_MS_MIN);
        // Gossip does its work: what is missing now is missing since now.
        self.behind_since = self.behind_since.map(|_| now);
        if self.given >= self.here {
            return 0;
        }
        (self.given, self.given_last) = (self.here, self.last);
        let mut freed = 0;
        while let Some(first) = self.segments.first_entry() {
            let (from, end) = (*first.key(), *first.key() + first.get().count());
            if from >= self.here {
                break;
            }
            match first.remove() {
                Segment::Here { peer, mut reversed } => {
                    freed +=
                        reversed.iter().filter(|frame| frame.place.sequence < tip.next).map(|frame| frame.piece.weight()).sum::<usize>();
                    reversed.retain(|frame| frame.place.sequence >= tip.next);
                    if !reversed.is_empty() {
                        self.segments.insert(tip.next, Segment::Here { peer, reversed });
                    }
                }
                // Its answer, if it still comes, is of no use.
                Segment::Wanted { .. } | Segment::Asked { .. } if end > tip.next => {
                    self.segments.insert(tip.next, Segment::Wanted { count: (end - tip.next) as u16, not_before: now });
                }
                Segment::Wanted { .. } | Segment::Asked { .. } => {}
            }
        }
        freed
    }

    /// Nothing is given to gossip any more.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        self.behind_since = Some(Timestamp(now.0.saturating_sub(GRACE_MS)));
    }

    pub(super) fn given_last(&self) -> FrameId {
        self.given_last
    }

    pub(super) fn segment(&self, from: u64) -> Option<&Segment> {
        self.segments.get(&from)
    }

    /// What was handed on did not arrive: everything from the first frame that is not applied is asked for again.
    pub(super) fn restart(&mut self, now: Timestamp) -> usize {
        (self.given, self.given_last, self.moved) = (self.here, self.last, now);
        std::mem::take(&mut self.segments).into_values().map(|segment| segment.bytes()).sum()
    }

    /// Frames were handed on, and none of them is applied for too long. Waits twice as long the next time.
    pub(super) fn is_stuck(&mut self, now: Timestamp) -> bool {
        let stuck = self.given > self.here && now.since_ms(self.moved) >= self.patience_ms;
        if stuck {
            self.patience_ms = (self.patience_ms * 2).min(STUCK_MS_MAX);
        }
        stuck
    }

    /// The next frame to hand on, if it is here and the node is not too far behind.
    pub(super) fn ready(&mut self) -> Option<(PeerId, Authentic)> {
        if self.given >= self.here.saturating_add(AHEAD_MAX) {
            return None;
        }
        match self.segments.get(&self.given)? {
            Segment::Here { peer, reversed } => Some((*peer, reversed.last()?.clone())),
            Segment::Wanted { .. } | Segment::Asked { .. } => None,
        }
    }

    /// It is handed on.
    pub(super) fn give(&mut self, now: Timestamp, frame: &Authentic) {
        if self.given == self.here {
            self.moved = now;
        }
        if let Some(Segment::Here { peer, mut reversed }) = self.segments.remove(&self.given) {
            reversed.pop();
            if !reversed.is_empty() {
                self.segments.insert(self.given + 1, Segment::Here { peer, reversed });
            }
        }
        (self.given, self.given_last) = (self.given + 1, frame.place.frame);
    }

    /// Whether it is time to ask for what lies between here and `target`.
    pub(super) fn is_due(&mut self, now: Timestamp, target: u64) -> bool {
        if target <= self.given {
            self.behind_since = None;
            return !self.segments.is_empty();
        }
        let since = *self.behind_since.get_or_insert(now);
        !self.segments.is_empty() || target - self.given > NEAR || now.since_ms(since) >= GRACE_MS
    }

    /// Cuts what is missing into ranges, a few ahead.
    pub(super) fn plan(&mut self, target: u64, room: bool) {
        let ranges = if room { RANGES_PER_CHAIN } else { 1 };
        let mut end = self.segments.last_key_value().map_or(self.given, |(from, segment)| from + segment.count());
        while self.segments.len() < ranges && end < target {
            let count = (target - end).min(RANGE_FRAMES_MAX as u64) as u16;
            self.segments.insert(end, Segment::Wanted { count, not_before: Timestamp(0) });
            end += u64::from(count);
        }
    }

    /// The ranges to ask for, lowest first: those nobody was asked for, and the first of all if it takes long.
    pub(super) fn wanted(&self, now: Timestamp) -> Vec<u64> {
        let is_wanted = |(from, segment): (&u64, &Segment)| match segment {
            Segment::Wanted { not_before, .. } => *not_before <= now,
            Segment::Asked { requests, since, .. } => *from == self.given && requests.len() == 1 && now.since_ms(*since) >= SLOW_MS,
            Segment::Here { .. } => false,
        };
        self.segments.iter().filter(|segment| is_wanted(*segment)).map(|(from, _)| *from).collect()
    }

    /// Somebody is asked for the first `count` frames of a range; what is behind them becomes a range of its own.
    pub(super) fn asked(&mut self, now: Timestamp, from: u64, count: u16, request: u64, peer: PeerId) {
        match self.segments.get_mut(&from) {
            Some(Segment::Asked { requests, .. }) => requests.push(request),
            Some(segment @ Segment::Wanted { .. }) => {
                let behind = segment.count() - u64::from(count);
                *segment = Segment::Asked { count, requests: vec![request], peer, since: now };
                if behind > 0 {
                    self.segments.insert(from + u64::from(count), Segment::Wanted { count: behind as u16, not_before: now });
                }
            }
            Some(Segment::Here { .. }) | None => {}
        }
    }

    /// A range came; how many bytes wait more.
    pub(super) fn found(&mut self, request: u64, from: u64, peer: PeerId, mut frames: Vec<Authentic>) -> usize {
        let count = match self.segments.get(&from) {
            Some(Segment::Asked { count, requests, .. }) if requests.contains(&request) => *count,
            _ => return 0,
        };
        let got = frames.len() as u16;
        if got < count {
            self.segments.insert(from + u64::from(got), Segment::Wanted { count: count - got, not_before: Timestamp(0) });
        }
        let bytes = frames.iter().map(|frame| frame.piece.weight()).sum();
        frames.reverse();
        self.segments.insert(from, Segment::Here { peer, reversed: frames });
        bytes
    }

    /// A range did not come.
    pub(super) fn failed(&mut self, now: Timestamp, request: u64, from: u64) {
        let Some(segment) = self.segments.get_mut(&from) else { return };
        let Segment::Asked { count, requests, .. } = segment else { return };
        requests.retain(|open| *open != request);
        if requests.is_empty() {
            *segment = Segment::Wanted { count: *count, not_before: Timestamp(now.0.saturating_add(AGAIN_MS)) };
        }
    }
}

impl Segment {
    fn count(&self) -> u64 {
        match self {
            Self::Wanted { count, .. } | Self::Asked { count, .. } => u64::from(*count),
            Self::Here { reversed, .. } => reversed.len() as u64,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Here { reversed, .. } => reversed.iter().map(|frame| frame.piece.weight()).sum(),
            Self::Wanted { .. } | Self::Asked { .. } => 0,
        }
    }
}
