//! Who adds up shares: aggregators drawn by stake (`consensus.md` §5).
//!
//! Owns the cut of a large committee into slices and the draw. The draw depends on the network, the epoch, the chain and
//! `sequence div 64`, none of which a scheduler can vary to pick whom it likes within a tenure. Refuses to know addresses: it answers with
//! places in the committee.
//!
//! ```text
//!   fewer than 128 members:   every share ─▶ scheduler, 2 aggregators
//!   128 members and more:     shares ─▶ 2 aggregators of the slice ─▶ one partial sum ─▶ scheduler, 2 aggregators
//! ```

use ao_types::{Canonical, Chain, Committee, Epoch, NetworkId};
use sha2::{Digest, Sha256};

use crate::limits::{AGGREGATORS, DRAW_SPAN, SLICE_MEMBERS_MAX, SLICES_FROM};

/// How many slices a committee of `members` is cut into: none below [`SLICES_FROM`].
pub fn slice_count(members: usize) -> usize {
    if members < SLICES_FROM { 0 } else { members.div_ceil(SLICE_MEMBERS_MAX) }
}

/// The slice of a member. Members stand in order of stake, so dealing them out one by one gives every slice about the same stake, and
/// sizes differ by one at most.
pub fn slice_of(member: u16, slices: usize) -> usize {
    usize::from(member) % slices.max(1)
}

/// The members of a slice, in order.
pub fn members_of(slice: usize, slices: usize, members: usize) -> impl Iterator<Item = u16> + Clone {
    (slice..members).step_by(slices.max(1)).map(|member| member as u16)
}

/// Everything drawn for one span of sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Aggregators of the whole committee.
    pub top: Vec<u16>,
    /// Aggregators of each slice; empty if the committee is not cut.
    pub slices: Vec<Vec<u16>>,
}

/// The seed of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// For the frames around `sequence` of a chain in an epoch.
    pub fn new(network: &NetworkId, epoch: Epoch, chain: &Chain, sequence: u64) -> Self {
        let hash = Sha256::new()
            .chain_update(b"aonode/aggregators/v1")
            .chain_update(network.0)
            .chain_update(epoch.0.to_be_bytes())
            .chain_update(chain.encode())
            .chain_update((sequence / DRAW_SPAN).to_be_bytes());
        Self(hash.finalize().into())
    }

    /// A number below `bound`, each equally likely: values of the last, incomplete run of `bound` numbers are drawn again.
    fn below(&self, label: u64, nth: u64, bound: u128) -> u128 {
        let complete = u128::MAX - u128::MAX % bound;
        let mut again = 0u64;
        loop {
            let hash: [u8; 32] = Sha256::new()
                .chain_update(self.0)
                .chain_update(label.to_be_bytes())
                .chain_update(nth.to_be_bytes())
                .chain_update(again.to_be_bytes())
                .finalize()
                .into();
            let mut high = [0; 16];
            high.copy_from_slice(&hash[..16]);
            let drawn = u128::from_be_bytes(high);
            if drawn < complete {
                return drawn % bound;
            }
            again += 1;
        }
    }

    /// Aggregators of the committee and of each of its slices.
    pub fn draw_all(&self, committee: &Committee) -> Drawn {
        let (members, slices) = (committee.len(), slice_count(committee.len()));
        let of_slice = |slice: usize| self.draw(slice as u64 + 1, committee, members_of(slice, slices, members));
        Drawn { top: self.draw(0, committee, 0..members as u16), slices: (0..slices).map(of_slice).collect() }
    }

    /// Up to [`AGGREGATORS`] different members of `among`, each drawn with a chance proportional to its stake. `label` tells draws of one
    /// seed apart. Fewer come out only where there are fewer.
    pub fn draw(&self, label: u64, committee: &Committee, among: impl Iterator<Item = u16> + Clone) -> Vec<u16> {
        let mut drawn: Vec<u16> = Vec::with_capacity(AGGREGATORS);
        while drawn.len() < AGGREGATORS {
            let rest = || {
                let left = among.clone().filter(|member| !drawn.contains(member));
                left.filter_map(|member| committee.member(member).map(|one| (member, one.stake.0)))
            };
            // A committee's total was checked to fit.
            let total: u128 = rest().map(|(_, stake)| stake).sum();
            if total == 0 {
                break;
            }
            let mut point = self.below(label, drawn.len() as u64, total);
            let hit = rest().find(|(_, stake)| {
                let within = point < *stake;
                point = point.saturating_sub(*stake);
                within
            });
            match hit {
                Some((member, _)) => drawn.push(member),
                None => break,
            }
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use ao_types::{Address, BlsKey, Committee, Epoch, Id, Member, PeerId, Stake};

    use super::*;

    fn seed(sequence: u64) -> Seed {
        Seed::new(&NetworkId([7; 32]), Epoch(3), &Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 }, sequence)
    }

    fn committee(stakes: impl IntoIterator<Item = u128>) -> Committee {
        let member = |(i, stake): (usize, u128)| {
            let mut key = [0; 48];
            key[..8].copy_from_slice(&(i as u64).to_be_bytes());
            Member { key: BlsKey(key), stake: Stake(stake), address: Address::Arweave(Id([2; 32])), peer: PeerId(vec![1].into()) }
        };
        Committee::new(Epoch(3), stakes.into_iter().enumerate().map(member).collect()).unwrap()
    }

    #[test]
    fn slices_hold_everybody_once_and_are_even() {
        for members in (0..=300).chain([1_000, 4_096]) {
            let slices = slice_count(members);
            if members < SLICES_FROM {
                assert_eq!(slices, 0, "{members} members are not cut");
                continue;
            }
            let mut seen = vec![0; members];
            for slice in 0..slices {
                let of_slice: Vec<u16> = members_of(slice, slices, members).collect();
                assert!(of_slice.len() <= SLICE_MEMBERS_MAX && of_slice.len() >= members / slices, "{members}: {}", of_slice.len());
                assert!(of_slice.iter().all(|member| slice_of(*member, slices) == slice));
                of_slice.iter().for_each(|member| seen[usize::from(*member)] += 1);
            }
            assert!(seen.iter().all(|times| *times == 1), "{members}");
        }
    }

    #[test]
    fn one_draw_for_a_span_of_sequences_and_another_for_the_next() {
        let committee = committee(vec![1; 1_000]);
        let of = |sequence| seed(sequence).draw(0, &committee, 0..1_000);
        assert_eq!(of(0), of(DRAW_SPAN - 1));
        assert_ne!(of(0), of(DRAW_SPAN));
        assert_ne!(of(0), seed(0).draw(1, &committee, 0..1_000), "labels tell draws apart");
        let chain = Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 };
        let elsewhere = [
            Seed::new(&NetworkId([8; 32]), Epoch(3), &chain, 0),
            Seed::new(&NetworkId([7; 32]), Epoch(4), &chain, 0),
            Seed::new(&NetworkId([7; 32]), Epoch(3), &Chain { tenure: 1, ..chain }, 0),
        ];
        assert!(elsewhere.iter().all(|other| *other != seed(0)), "network, epoch and chain reach the seed");
    }

    #[test]
    fn drawn_members_differ_and_are_of_the_slice() {
        let committee = committee(vec![1; 100]);
        for sequence in 0..50 {
            let drawn = seed(sequence * DRAW_SPAN).draw(0, &committee, [13, 77].into_iter());
            assert!(drawn == [13, 77] || drawn == [77, 13], "{drawn:?}");
        }
        assert_eq!(seed(0).draw(0, &committee, 5..6), [5], "one member is its own aggregator");
        assert_eq!(seed(0).draw(0, &committee, 0..0), Vec::<u16>::new());
    }

    #[test]
    fn chances_follow_stakes() {
        // One of four has 70 % of all stake: it comes first in 70 % of draws. 4 000 draws: σ = 0.72 %, so 3 % is past four of them.
        let committee = committee([10, 70, 10, 10]);
        let first = (0..4_000u64).filter(|i| seed(i * DRAW_SPAN).draw(0, &committee, 0..4)[0] == 0).count();
        assert!((2_680..=2_920).contains(&first), "{first} of 4000");
    }
}
