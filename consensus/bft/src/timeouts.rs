//! How long the steps of a round may take. Owns the numbers and how they grow; the deadlines are the driver's.

use std::time::Duration;

use arc_malachitebft_core_types as core;
use core::TimeoutKind;

use crate::context::Bft;

/// How long each step may take, growing with the rounds of a height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a proposal and its body to arrive.
    pub propose_ms: u64,
    /// For the rest of the prevotes once a quorum voted, but not for one value.
    pub prevote_ms: u64,
    /// The same of precommits.
    pub precommit_ms: u64,
    /// Added to each of the above per round.
    pub delta_ms: u64,
    /// Between repeats of what this node said last.
    pub rebroadcast_ms: u64,
    /// No step is longer than this, in whatever round.
    pub longest_ms: u64,
}

impl Timeouts {
    /// For a local network. Over a wide area `propose_ms` should be three one-way delays and the rest two.
    pub const LOCAL: Self =
        Self { propose_ms: 500, prevote_ms: 200, precommit_ms: 200, delta_ms: 100, rebroadcast_ms: 300, longest_ms: 10_000 };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::LOCAL
    }
}

impl core::Timeouts<Bft> for Timeouts {
    fn duration_for(&self, timeout: core::Timeout) -> Duration {
        let first = match timeout.kind {
            TimeoutKind::Propose => self.propose_ms,
            TimeoutKind::Prevote => self.prevote_ms,
            TimeoutKind::Precommit => self.precommit_ms,
            TimeoutKind::Rebroadcast => self.rebroadcast_ms,
            TimeoutKind::FinalizeHeight(left) => return left,
        };
        let rounds = u64::from(timeout.round.as_u32().unwrap_or(0));
        Duration::from_millis(first.saturating_add(self.delta_ms.saturating_mul(rounds)).min(self.longest_ms))
    }
}
