//! Members' messages for heights that have not begun here: checked, and kept until they do.

use std::collections::BTreeMap;

use ao_consensus::block::Block;
use ao_types::PeerId;

use crate::context::{Height, Voter};
use crate::driver::Say;
use crate::limits::{AHEAD_PER_MEMBER_MAX, EARLY_BODIES_MAX};

/// One message and the body that came with it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) voter: Voter,
    pub(super) from: PeerId,
    pub(super) say: Say,
    pub(super) body: Option<Block>,
}

/// By height, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Early(BTreeMap<u64, Vec<Kept>>);

impl Early {
    /// Keeps a message whose signature was checked; of one member only so many. A body for which there is no room is asked for later.
    pub(super) fn keep(&mut self, height: Height, mut kept: Kept) {
        let bodies = self.0.values().flatten().filter(|other| other.body.is_some()).count();
        if bodies >= EARLY_BODIES_MAX {
            kept.body = None;
        }
        let all = self.0.entry(height.0).or_default();
        let mut same = all.iter().filter(|other| other.voter == kept.voter);
        if same.clone().all(|other| other.say != kept.say) && same.nth(AHEAD_PER_MEMBER_MAX - 1).is_none() {
            all.push(kept);
        }
    }

    /// Whether anything is kept for a height.
    pub(super) fn has(&self, height: Height) -> bool {
        self.0.get(&height.0).is_some_and(|kept| !kept.is_empty())
    }

    /// Takes out what is kept for a height, and forgets lower ones.
    pub(super) fn take(&mut self, height: Height) -> Vec<Kept> {
        self.0 = self.0.split_off(&height.0);
        self.0.remove(&height.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use ao_types::{BlsKey, BlsSignature};
    use arc_malachitebft_core_types::{Round, SignedMessage};
    use bytes::Bytes;

    use super::*;
    use crate::context::{BlockId, Proposal, Signature};
    use crate::values::tests::block;

    fn kept(voter: u8, round: u32) -> Kept {
        let voter = Voter(BlsKey([voter; 48]));
        let proposal =
            Proposal { height: Height(7), round: Round::new(round), value: BlockId([1; 32]), pol_round: Round::Nil, proposer: voter };
        let say = Say::Proposal(SignedMessage::new(proposal, Signature(BlsSignature([0; 96]))));
        Kept { voter, from: PeerId(Bytes::new()), say, body: Some(block(7, vec![], vec![])) }
    }

    #[test]
    fn bounds_bite_and_no_member_crowds_out_another() {
        let mut early = Early::default();
        for round in 0..100 {
            early.keep(Height(7), kept(1, round));
            early.keep(Height(7), kept(2, 5));
        }
        let all = early.take(Height(7));
        let count = |voter: u8| all.iter().filter(|kept| kept.voter == Voter(BlsKey([voter; 48]))).count();
        assert_eq!((count(1), count(2)), (AHEAD_PER_MEMBER_MAX, 1), "a repeat is kept once");
        assert_eq!(all.iter().filter(|kept| kept.body.is_some()).count(), EARLY_BODIES_MAX);
    }

    #[test]
    fn lower_heights_are_forgotten() {
        let mut early = Early::default();
        early.keep(Height(7), kept(1, 0));
        early.keep(Height(9), kept(1, 0));
        assert!(early.has(Height(7)) && early.take(Height(8)).is_empty());
        assert!(!early.has(Height(7)) && early.take(Height(9)).len() == 1);
    }
}
