//! The engine of a network of one: what this node has made durable is confirmed, in sequence order.
//!
//! It gives none of the promises of `consensus.md` against a lying scheduler, and its name in every answer says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_types::{Chain, FrameId};

use crate::checks::Contents;
use crate::effect::Confirmed;
use crate::limits::SOLO_WAITING_MAX;
use crate::proof::Proof;
use crate::time::Timestamp;
use crate::tip::ChainTip;
use crate::{Consensus, Effect, Input, Setup};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Solo {
    /// Per chain, the sequence confirmed next.
    next: BTreeMap<Chain, u64>,
    /// Frames that came before their predecessor. A node gives its own frames in order, so this is empty but for replays.
    waiting: BTreeMap<(Chain, u64), FrameId>,
}

impl Solo {
    /// An engine for which everything below `next_sequence` of `chain` was confirmed in an earlier life.
    pub fn resume(chain: Chain, next_sequence: u64) -> Self {
        Self { next: BTreeMap::from([(chain, next_sequence)]), waiting: BTreeMap::new() }
    }

    /// The same from the general form.
    pub fn new(setup: &Setup) -> Self {
        let next = |tip: &ChainTip| (tip.chain, tip.next_sequence);
        Self { next: setup.confirmed.iter().map(next).collect(), waiting: BTreeMap::new() }
    }
}

impl Consensus for Solo {
    fn name(&self) -> &'static str {
        "solo"
    }

    fn handle(&mut self, _now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        let Input::Frame(given) = input else { return };
        if !given.facts.durable || given.facts.contents != Contents::Lawful {
            return;
        }
        let (chain, sequence) = (given.header.chain, given.header.sequence);
        let next = self.next.entry(chain).or_insert(0);
        if sequence < *next || (sequence > *next && self.waiting.len() >= SOLO_WAITING_MAX) {
            return;
        }
        self.waiting.entry((chain, sequence)).or_insert_with(|| given.header.id());
        while let Some(frame) = self.waiting.remove(&(chain, *next)) {
            out.push(Effect::Confirmed(Confirmed { chain, sequence: *next, frame, proof: Arc::new(Proof::Alone) }));
            *next += 1;
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}
