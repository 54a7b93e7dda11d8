//! The engine's numbers: `consensus.params` of the genesis, the same on every node.

use ao_consensus::Setup;

use crate::limits::RECENT_BLOCKS_MAX;
use crate::timeouts::Timeouts;

/// See the module documentation. What ends in `_ms` is in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of the rounds.
    pub timeouts: Timeouts,
    /// A proposer lets at least this much pass since the last decision: more frames share one block.
    pub interval_ms: u64,
    /// After this much without an answer somebody else is asked for blocks.
    pub sync_ms: u64,
    /// After this much without a frame that was asked for, it is asked for again.
    pub fetch_ms: u64,
    /// A decided height is announced after this much without a further decision; then in steps that double [`ANNOUNCE_DOUBLINGS`] times.
    pub announce_ms: u64,
    /// Decided blocks kept in memory for those who missed them; older ones are read back from the archive.
    pub recent_blocks: usize,
    /// While the Origin's time matters, blocks are made after this much, however empty.
    pub tick_ms: u64,
}

/// From half a second the steps grow to about a minute: who was cut off is found out within one, although nothing else happens.
pub const ANNOUNCE_DOUBLINGS: u32 = 7;

impl Settings {
    /// What the genesis says; for a local network where it says nothing.
    pub fn of(setup: &Setup) -> Self {
        let default = Timeouts::default();
        let timeouts = Timeouts {
            propose_ms: setup.number("propose_ms", default.propose_ms),
            prevote_ms: setup.number("prevote_ms", default.prevote_ms),
            precommit_ms: setup.number("precommit_ms", default.precommit_ms),
            delta_ms: setup.number("delta_ms", default.delta_ms),
            rebroadcast_ms: setup.number("rebroadcast_ms", default.rebroadcast_ms),
            longest_ms: setup.number("longest_ms", default.longest_ms),
        };
        Self {
            timeouts,
            interval_ms: setup.number("block_interval_ms", 10),
            sync_ms: setup.number("sync_ms", 500),
            fetch_ms: setup.number("fetch_ms", 300),
            announce_ms: setup.number("announce_ms", 500),
            recent_blocks: (setup.number("recent_blocks", RECENT_BLOCKS_MAX as u64) as usize).clamp(2, RECENT_BLOCKS_MAX),
            tick_ms: setup.number("tick_ms", 1_000),
        }
    }
}
