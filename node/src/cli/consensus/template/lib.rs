//! An engine to begin with: whatever this node made durable is confirmed, in order of sequence, because nobody else is asked.
//!
//! It keeps the contract of `ao-consensus` for a network of one, and `tests/conformance.rs` shows it. Where yours goes on: sign what
//! `ao_consensus::checks::judge` allows, send it (`Effect::Send`) after it is durable (`Effect::Remember`), count what comes back
//! (`Input::Peer`, `ao_consensus::tally`), and confirm with a proof that stands offline instead of `Proof::Alone`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::proof::Proof;
use ao_consensus::{Chain, Confirmed, Consensus, Contents, Effect, FrameId, Input, Setup, Timestamp};

/// Frames kept until the one before them comes.
const WAITING_MAX: usize = 1_024;

/// See the module documentation.
#[derive(Debug)]
pub struct Engine {
    /// Per chain, the sequence confirmed next.
    next: BTreeMap<Chain, u64>,
    /// Frames that came before their predecessor.
    waiting: BTreeMap<(Chain, u64), FrameId>,
}

impl Engine {
    /// From what the node knows at its start: what was confirmed in an earlier life is not said again.
    pub fn new(setup: &Setup) -> Self {
        Self { next: setup.confirmed.iter().map(|tip| (tip.chain, tip.next_sequence)).collect(), waiting: BTreeMap::new() }
    }
}

impl Consensus for Engine {
    fn name(&self) -> &'static str {
        "NAME"
    }

    fn handle(&mut self, _now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        let Input::Frame(given) = input else { return };
        // What is not durable may be lost, and what is not known to be lawful may be refused by others.
        if !given.facts.durable || given.facts.contents != Contents::Lawful {
            return;
        }
        let (chain, sequence) = (given.header.chain, given.header.sequence);
        let next = self.next.entry(chain).or_insert(0);
        // Frames may come again, and in any order.
        if sequence < *next || (sequence > *next && self.waiting.len() >= WAITING_MAX) {
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
