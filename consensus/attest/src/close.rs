//! Rule A7 and the end of a chain (`consensus.md` §8): seals, and what a frontier voids.

use ao_consensus::control::{ControlOp, Seal};
use ao_consensus::effect::Effect;
use ao_consensus::protection::ChainRow;

use crate::branches::Place;
use crate::chain::ChainState;
use crate::common::Common;
use crate::record;

impl ChainState {
    /// The chain is being closed: sealed durably first, then said, with the highest certificate known. Once; after a crash the same again.
    pub fn seal(&mut self, common: &mut Common, out: &mut Vec<Effect>) {
        let (Some(signer), Some(key)) = (common.signer.clone(), common.key) else { return };
        let committees: Vec<_> = common.rosters.epochs().collect();
        if self.ended || !common.may_attest(&committees, common.origin.applied().unwrap_or(0)) {
            return;
        }
        self.know();
        let before = self.row.clone();
        let row = ChainRow {
            key,
            chain: self.chain,
            last: before.as_ref().and_then(|row| row.last),
            sealed: true,
            signature: before.as_ref().and_then(|row| row.signature),
        };
        if before.as_ref() != Some(&row) {
            self.row = Some(row.clone());
            // Its place in the queue of records; there is no share to count.
            common.unwritten.entry(record::row_key(&self.chain)).or_default().push_back(Vec::new());
            out.push(Effect::Remember(record::of_row(row, self.known.as_ref())));
        }
        let known = self.known.clone();
        let mut seal = Seal {
            key,
            chain: self.chain,
            highest: known.as_ref().map(|known| known.place),
            certificates: known.map(|known| known.certificates).unwrap_or_default(),
            signature: ao_types::BlsSignature([0; 96]),
        };
        seal.signature = signer.sign(&seal.statement().message(&common.network));
        self.share = None;
        out.push(Effect::Propose(Box::new(ControlOp::Seal(Box::new(seal)))));
    }

    /// Where the chain ends is decided: everything above is void, and nothing more happens in it here.
    pub fn end(&mut self, last: Option<Place>, out: &mut Vec<Effect>) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.collecting.clear();
        self.early.clear();
        (self.share, self.calls, self.watched, self.look_again) = (None, None, None, None);
        // A frontier is never below what is confirmed (§14 step 3); if it were, what is confirmed stays.
        let from = last.map_or(0, |(sequence, _)| sequence.saturating_add(1)).max(self.branches.base().next_sequence);
        out.push(Effect::Voided { chain: self.chain, from });
    }
}
