//! The engine of a network of one: what this node has made durable is confirmed, in sequence order.
//!
//! It gives none of the promises of `consensus.md` against a lying scheduler, and its name in every answer says so.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::frame::{Chain, FrameId};
use crate::limits::SOLO_WAITING_MAX;
use crate::time::Timestamp;
use crate::{Confirmation, Consensus, Effect, Input};

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
}

impl Consensus for Solo {
    fn name(&self) -> &'static str {
        "solo"
    }

    fn handle(&mut self, _now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        let Input::Frame(frame) = input else { return };
        let chain = frame.header.chain;
        let next = self.next.entry(chain).or_insert(0);
        if frame.header.sequence < *next || (frame.header.sequence > *next && self.waiting.len() >= SOLO_WAITING_MAX) {
            return;
        }
        self.waiting.entry((chain, frame.header.sequence)).or_insert_with(|| frame.header.id());
        while let Some(frame_id) = self.waiting.remove(&(chain, *next)) {
            out.push(Effect::Confirmed(Confirmation { chain, sequence: *next, frame_id, proof: Bytes::new() }));
            *next += 1;
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[test]
    fn keeps_the_contract() {
        contract::check(&|chain, next| Box::new(Solo::resume(chain, next)));
    }

    #[test]
    fn frames_ahead_of_their_predecessor_are_bounded() {
        let frames = contract::chain_of(SOLO_WAITING_MAX as u64 + 2);
        let mut engine = Solo::resume(frames[0].header.chain, 0);
        let mut out = Vec::new();
        for frame in &frames[1..] {
            engine.handle(Timestamp(0), Input::Frame(Box::new(frame.clone())), &mut out);
        }
        assert_eq!((out.len(), engine.waiting.len()), (0, SOLO_WAITING_MAX));
        engine.handle(Timestamp(0), Input::Frame(Box::new(frames[0].clone())), &mut out);
        assert_eq!(out.len(), SOLO_WAITING_MAX + 1, "the frame over the bound was dropped and is asked for again");
    }
}
