use std::collections::BTreeSet;

use ao_consensus::cheap::Cheap;
use ao_consensus::contract::committee_of;
use ao_types::Epoch;
use arc_malachitebft_core_types::{self as core, Timeouts as _, ValidatorSet as _};
use proptest::prelude::*;

use super::*;
use crate::seats::Seats;
use crate::timeouts::Timeouts;

fn validators(stakes: &[u128]) -> Validators {
    let committee = committee_of(Epoch(0), stakes);
    Seats::new(&Cheap, Arc::new(committee)).expect("a committee").validators().clone()
}

#[test]
fn everybody_proposes_in_proportion_to_stake() {
    let validators = validators(&[60, 20, 10, 10]);
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for height in 1..=2000 {
        *times.entry(validators.proposer(Height(height), Round::new(0)).power).or_default() += 1;
    }
    assert!((1100..1300).contains(&times[&60]) && (340..460).contains(&times[&20]), "{times:?}");
}

#[test]
fn within_as_many_rounds_as_members_each_has_its_turn() {
    let validators = validators(&[1000, 1, 1, 1, 1, 1, 1]);
    for height in 1..50 {
        let turns: BTreeSet<Voter> = (0..7).map(|round| validators.proposer(Height(height), Round::new(round)).name).collect();
        assert_eq!(turns.len(), 7);
        assert_eq!(validators.proposer(Height(height), Round::new(7)), validators.proposer(Height(height), Round::new(0)));
    }
}

#[test]
fn steps_grow_with_rounds_up_to_a_bound() {
    let timeouts = Timeouts::default();
    let ms = |timeout| timeouts.duration_for(timeout).as_millis() as u64;
    assert_eq!(ms(core::Timeout::propose(Round::new(0))), timeouts.propose_ms);
    assert_eq!(ms(core::Timeout::prevote(Round::new(3))), timeouts.prevote_ms + 3 * timeouts.delta_ms);
    assert_eq!(ms(core::Timeout::propose(Round::new(1_000_000))), timeouts.longest_ms);
}

proptest! {
    /// Whatever is rounded: more than two thirds of power is more than two thirds of stake, and nothing overflows.
    #[test]
    fn a_quorum_of_power_is_one_of_stake(stakes in proptest::collection::vec(1u128..u128::MAX >> 8, 1..20), signs in any::<u32>()) {
        let committee = committee_of(Epoch(0), &stakes);
        let validators = validators(&stakes);
        prop_assert!(u128::from(validators.total_voting_power()) <= POWER_TOTAL_MAX + 1);
        let signed = |name: &Voter| committee.index_of(&name.0).is_some_and(|index| signs >> index & 1 == 1);
        let power: u64 = validators.0.members.iter().filter(|member| signed(&member.name)).map(core::Validator::voting_power).sum();
        let stake = committee.members().iter().filter(|member| signed(&Voter(member.key))).map(|member| member.stake.0).sum();
        if core::ThresholdParams::default().quorum.is_met(power, validators.total_voting_power()) {
            prop_assert!(committee.is_quorum(ao_types::Stake(stake)));
        }
    }
}
