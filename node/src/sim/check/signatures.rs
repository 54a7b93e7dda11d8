//! S2: no signature leaves before its record is durable, and none contradicts another of the same key, whatever crashes came between.
//!
//! Engines' messages are opaque here; signatures of the cheap scheme can be found in any bytes, by the suite that engines pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::SecretKey as _;
use ao_consensus::contract::signatures::{Recorder, Seen};
use ao_consensus::protection::memory::MemoryProtection;
use ao_types::{Chain, FrameId, NetworkId};
use parking_lot::Mutex;

use super::Violation;
use super::safety::Ledger;

/// One attestor's key and what it said.
pub struct Watch {
    /// Signs for the node.
    pub key: Recorder,
    /// The node's slashing protection; survives its crashes.
    pub rows: Arc<Mutex<MemoryProtection>>,
    seen: Seen,
    /// Own frames by place.
    frames: BTreeMap<(Chain, u64), FrameId>,
}

impl Watch {
    /// Over member `n`'s key.
    pub fn of(n: usize) -> Self {
        Self { key: Recorder::new(n as u64 + 1), rows: Arc::default(), seen: Seen::default(), frames: BTreeMap::new() }
    }

    /// Bytes leave the node.
    pub fn leaves(&mut self, network: &NetworkId, bytes: &[u8], ledger: &Ledger) -> Result<(), Violation> {
        let key = self.key.public();
        for message in self.key.find(bytes) {
            let rows = self.rows.lock();
            let said = self.seen.leaves(network, &key, &message, &rows, &|frame, from| ledger.descends(frame, from));
            said.map_err(|what| Violation::new("S2", what))?;
        }
        Ok(())
    }

    /// A frame of its own chain leaves a scheduler.
    pub fn publishes(&mut self, chain: Chain, sequence: u64, frame: FrameId) -> Result<(), Violation> {
        let first = *self.frames.entry((chain, sequence)).or_insert(frame);
        Violation::unless(first == frame, "S2", || format!("an honest scheduler signed {first} and {frame} as frame {sequence}"))
    }
}
