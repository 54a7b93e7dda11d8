//! The one place where stake is counted: whoever signed counts once, and a quorum is strictly more than two thirds.

use std::sync::Arc;

use ao_types::{BlsKey, Committee, Signers, Stake};

/// How much of a committee has said the same.
#[derive(Clone, Debug)]
pub struct Tally {
    committee: Arc<Committee>,
    signers: Signers,
    stake: Stake,
}

impl Tally {
    /// Nobody yet.
    pub fn new(committee: Arc<Committee>) -> Self {
        Self { signers: Signers::none(committee.len()), committee, stake: Stake(0) }
    }

    /// Counts the member at this place; false if it counted already or there is none.
    pub fn add(&mut self, index: u16) -> bool {
        let Some(member) = self.committee.member(index) else { return false };
        let new = self.signers.insert(index);
        if new {
            // Cannot overflow: a committee's total is bounded, and each member counts once.
            self.stake = Stake(self.stake.0.saturating_add(member.stake.0));
        }
        new
    }

    /// Counts the member with this key; false if it counted already or there is none.
    pub fn add_key(&mut self, key: &BlsKey) -> bool {
        self.committee.index_of(key).is_some_and(|index| self.add(index))
    }

    /// Takes a member back, whose share was found bad.
    pub fn remove(&mut self, index: u16) {
        if let (true, Some(member)) = (self.signers.contains(index), self.committee.member(index)) {
            self.signers.remove(index);
            self.stake = Stake(self.stake.0.saturating_sub(member.stake.0));
        }
    }

    /// Whose committee.
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// Who counted.
    pub fn signers(&self) -> &Signers {
        &self.signers
    }

    /// Their stake.
    pub fn stake(&self) -> Stake {
        self.stake
    }

    /// Strictly more than two thirds of all.
    pub fn is_quorum(&self) -> bool {
        self.committee.is_quorum(self.stake)
    }

    /// At least one third of all: an honest member may be missing for a quorum to say otherwise.
    pub fn is_third(&self) -> bool {
        self.committee.is_third(self.stake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::committee_of;
    use ao_types::Epoch;
    use proptest::prelude::*;

    #[test]
    fn a_quorum_is_strictly_more_than_two_thirds() {
        for (stakes, signers, quorum) in [
            (&[1][..], 1, true),
            (&[1, 1, 1], 2, false),
            (&[1, 1, 1], 3, true),
            (&[1; 4], 2, false),
            (&[1; 4], 3, true),
            (&[1; 7], 4, false),
            (&[1; 7], 5, true),
            (&[1; 20], 13, false),
            (&[1; 20], 14, true),
            (&[3, 2, 1], 1, false),
            (&[4, 1, 1], 1, false),
            (&[5, 1, 1], 1, true),
        ] {
            let mut tally = Tally::new(Arc::new(committee_of(Epoch(0), stakes)));
            (0..signers).for_each(|index| assert!(tally.add(index)));
            assert_eq!(tally.is_quorum(), quorum, "{signers} of {stakes:?}");
            assert!(!tally.add(0), "counts once");
            assert_eq!(tally.is_quorum(), quorum, "and once only");
        }
    }

    proptest! {
        /// In exact arithmetic, whatever the stakes: two quorums share more than a third.
        #[test]
        fn two_quorums_share_more_than_a_third(stakes in prop::collection::vec(1u128..1 << 100, 1..12), one: u16, two: u16) {
            let committee = Arc::new(committee_of(Epoch(0), &stakes));
            let tally = |bits: u16| {
                let mut tally = Tally::new(Arc::clone(&committee));
                (0..16).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| { tally.add(bit); });
                tally
            };
            let (a, b, both) = (tally(one), tally(two), tally(one & two));
            prop_assert_eq!(a.stake().0, a.signers().iter().map(|i| committee.members()[usize::from(i)].stake.0).sum::<u128>());
            if a.is_quorum() && b.is_quorum() {
                prop_assert!(both.stake().0 * 3 > committee.total().0);
                prop_assert!(both.is_third());
            }
        }

        #[test]
        fn what_is_taken_back_does_not_count(order in prop::collection::vec((0u16..9, any::<bool>()), 0..40)) {
            let committee = Arc::new(committee_of(Epoch(0), &[1, 2, 3, 4, 5, 6, 7]));
            let mut tally = Tally::new(Arc::clone(&committee));
            let mut model = std::collections::BTreeSet::new();
            for (index, add) in order {
                if add {
                    prop_assert_eq!(tally.add(index), index < 7 && model.insert(index));
                } else {
                    tally.remove(index);
                    model.remove(&index);
                }
            }
            prop_assert_eq!(tally.signers().iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(tally.stake().0, model.iter().map(|i| committee.members()[usize::from(*i)].stake.0).sum::<u128>());
        }
    }
}
