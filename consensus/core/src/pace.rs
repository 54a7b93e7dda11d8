//! When a scheduler closes its next frame (`consensus.md` §3, §13): pure bookkeeping over time, entries and certificates.
//!
//! A frame closes when the interval has passed and something is new: entries, a certificate that acknowledges entries, closed processes,
//! a crossing; earlier when it is full. The last entries are acknowledged by one empty frame, then the chain is silent.

use ao_types::{Certificate, Epoch};

use crate::limits::{FRAME_ENTRIES_MAX, PAYLOAD_BYTES_MAX};
use crate::time::Timestamp;
use crate::tip::ChainTip;

/// What waits for the next frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Entries.
    pub entries: usize,
    /// What they add to a payload.
    pub payload_bytes: usize,
    /// Processes to be named closed, or an epoch to be entered.
    pub news: bool,
}

/// When to close a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// At this time, if nothing comes before.
    At(Timestamp),
    /// Not until an ancestor is certified: the window is full, or the chain stands at a crossing.
    Certificate,
    /// Not until there is something to say.
    Nothing,
}

/// See the module documentation. One for each chain that a node schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    interval_ms: u64,
    closed_last: Option<Timestamp>,
    /// The newest certified frame that no frame carries yet.
    fresh: Option<(u64, Vec<Certificate>)>,
    /// Sequences with entries above the newest carried certificate.
    unacknowledged: Vec<u64>,
    /// The engine's frames carry no certificates: what it confirms directly opens the window.
    confirmed: Option<u64>,
}

impl Pace {
    /// One frame in `interval_ms` at most, unless frames are full.
    pub fn new(interval_ms: u64) -> Self {
        Self { interval_ms, closed_last: None, fresh: None, unacknowledged: Vec::new(), confirmed: None }
    }

    /// The interval was measured anew (§13).
    pub fn set_interval(&mut self, interval_ms: u64) {
        self.interval_ms = interval_ms;
    }

    /// A frame was built.
    pub fn on_built(&mut self, now: Timestamp, tip: &ChainTip, entries: usize) {
        self.closed_last = Some(now);
        if let Some(carried) = tip.carried {
            self.unacknowledged.retain(|sequence| *sequence > carried);
            if self.fresh.as_ref().is_some_and(|(sequence, _)| *sequence <= carried) {
                self.fresh = None;
            }
        }
        if entries > 0 {
            self.unacknowledged.push(tip.next_sequence.saturating_sub(1));
        }
    }

    /// The engine certified a frame of this chain.
    pub fn on_certified(&mut self, tip: &ChainTip, sequence: u64, certificates: Vec<Certificate>) {
        let newer = tip.carried.is_none_or(|carried| sequence > carried) && self.fresh.as_ref().is_none_or(|(fresh, _)| sequence > *fresh);
        if newer && tip.recent(sequence).is_some() {
            self.fresh = Some((sequence, certificates));
        }
    }

    /// The engine confirmed a frame of this chain.
    pub fn on_confirmed(&mut self, sequence: u64) {
        self.confirmed = self.confirmed.max(Some(sequence));
        let confirmed = self.confirmed;
        self.unacknowledged.retain(|open| Some(*open) > confirmed);
    }

    /// What the next frame carries: of the newest certified ancestor, if none carries it yet. At a crossing both, or nothing.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.fresh.as_ref().map(|(_, certificates)| certificates.clone()).unwrap_or_default()
    }

    /// When to close the next frame after `tip`.
    pub fn due(&self, now: Timestamp, tip: &ChainTip, pending: Pending) -> Due {
        let known = self.fresh.as_ref().map(|(sequence, _)| *sequence).max(tip.carried);
        let settled = known.max(self.confirmed);
        let open = settled.map_or(tip.next_sequence, |sequence| tip.next_sequence.saturating_sub(sequence.saturating_add(1)));
        let crossing_open = tip.at_crossing() && settled.is_none_or(|sequence| sequence.saturating_add(1) != tip.next_sequence);
        if open >= crate::limits::WINDOW || crossing_open {
            return Due::Certificate;
        }
        if pending.entries >= FRAME_ENTRIES_MAX || pending.payload_bytes >= PAYLOAD_BYTES_MAX {
            return Due::Now;
        }
        let acknowledges = self.fresh.as_ref().is_some_and(|(fresh, _)| self.unacknowledged.iter().any(|open| open <= fresh));
        if pending.entries == 0 && !pending.news && !acknowledges {
            return Due::Nothing;
        }
        match self.closed_last.map(|last| last.plus_ms(self.interval_ms)) {
            Some(at) if at > now => Due::At(at),
            _ => Due::Now,
        }
    }

    /// Whether the next frame would be a crossing: it enters another epoch than the last.
    pub fn crosses(tip: &ChainTip, epoch: Epoch) -> bool {
        tip.epoch.is_some_and(|before| before != epoch)
    }
}

/// What BLS work costs on the machine that a node runs on, in microseconds. Measured by whoever starts it: no state machine has a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Of each active chain, for each of its frames: an attestation, and the check of the certificate that the frame carries.
    pub attest_us: u64,
    /// Of the own chain besides: shares added up, and their sum checked.
    pub own_us: u64,
}

/// A chain counts as active for this long after a frame of its with entries.
pub const ACTIVE_MS: u64 = 1_000;

/// The interval for `chains` active chains, from measured costs in microseconds (§13): BLS work may take a fifth of a core.
pub fn interval_ms(chains: u64, attest_cost_us: u64, own_cost_us: u64) -> u64 {
    const BLS_SHARE_PERCENT: u64 = 20;
    let cost_us = chains.saturating_mul(attest_cost_us).saturating_add(own_cost_us);
    (cost_us.saturating_mul(100) / BLS_SHARE_PERCENT / 1000).clamp(20, 1000)
}

#[cfg(test)]
mod tests;
