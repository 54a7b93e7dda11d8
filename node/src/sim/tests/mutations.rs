//! Rules of each engine broken on purpose in every node of a run (`make mutations`): the plans of ordinary seeds notice, by the rule named.
//!
//! What a seed cannot notice is caught in the crate of its engine, by a trial and, but for the foreign epoch, by the suite for all engines:
//! here the node stands in front of its engine. It tells it of a body when that is durable and every frame before it was found right, so an
//! engine that asks for neither goes unpunished; and a run has one epoch, so there is no foreign one.

use std::fmt::Debug;
use std::sync::Arc;

use ao_attest::Attest;
use ao_attest::mutation::{self as of_attest, Mutations};
use ao_bft::mutation as of_bft;
use ao_consensus::Setup;

use crate::shell::membership::Maker;
use crate::sim::check::Violation;
use crate::sim::plan::{Plan, Taste};
use crate::sim::run::run_with;

/// Seeds that are tried: each mutation below is noticed by the first or the second.
const SEEDS: u64 = 12;

/// The first seed that notices, and what it says; printed, as the command is for reading too.
fn first(engine: &str, mutation: &dyn Debug, run: impl Fn(&Plan) -> Option<Violation>) -> Option<(u64, Violation)> {
    let found = (0..SEEDS).find_map(|seed| Some((seed, run(&Plan::of_seed(engine, seed, Taste::ALL))?)));
    match &found {
        Some((seed, violation)) => println!("{engine} {mutation:?}: simulator, seed {seed}: {violation}"),
        None => println!("{engine} {mutation:?}: no seed below {SEEDS}"),
    }
    found
}

/// Which rule of a run this mutation breaks; none: no seed can see it.
type Noticed<M> = (M, &'static [&'static str]);

fn all_noticed<M: Copy + Debug + PartialEq>(engine: &str, all: &[M], noticed: &[Noticed<M>], run: impl Fn(M, &Plan) -> Option<Violation>) {
    assert_eq!(noticed.iter().map(|(mutation, _)| *mutation).collect::<Vec<_>>(), all, "every mutation is looked at");
    for (mutation, rules) in noticed.iter().filter(|(_, rules)| !rules.is_empty()) {
        let (seed, violation) = first(engine, mutation, |plan| run(*mutation, plan)).unwrap_or_else(|| panic!("{mutation:?} survives"));
        assert!(rules.contains(&violation.rule), "{engine} {mutation:?}, seed {seed}: another rule than {rules:?}: {violation}");
    }
}

#[test]
fn seeds_notice_a_broken_attest() {
    use of_attest::Mutation::*;
    let noticed: [Noticed<of_attest::Mutation>; 7] = [
        (NoSlashingCheck, &["S2"]),
        (StakeCountedWrongly, &["contract 3"]),
        (NoAvailabilityCheck, &[]),
        (ForeignEpoch, &[]),
        (ConfirmWithoutCarried, &["contract 3"]),
        (SkippedUnchecked, &[]),
        // Whoever sent it is blamed, or nobody ever signs it.
        (RefuseInsteadOfHold, &["honest", "S7"]),
    ];
    all_noticed("attest", &of_attest::ALL, &noticed, |mutation, plan| {
        let make: Maker = Arc::new(move |setup: Setup| match Attest::mutated(setup, Mutations::only(mutation)) {
            Ok(engine) => Ok(Box::new(engine)),
            Err(error) => Err(error.to_string()),
        });
        run_with(plan, make).violation
    });
}

#[test]
fn seeds_notice_a_broken_bft() {
    use of_bft::Mutation::*;
    let noticed: [Noticed<of_bft::Mutation>; 8] = [
        (SlashingUnchecked, &["S2"]),
        (LogNotAwaited, &["S2"]),
        (StakeMiscounted, &["contract 3"]),
        (AvailabilityUnchecked, &[]),
        (ForeignEpoch, &[]),
        (SkippedUnchecked, &[]),
        (RefuseInsteadOfHold, &["honest", "S7"]),
        // The row of a vote has its round.
        (RoundLeftOut, &["S2", "contract 3"]),
    ];
    all_noticed("bft", &of_bft::ALL, &noticed, |mutation, plan| {
        // A run is one thread, and so is what is broken.
        of_bft::with(mutation, || run_with(plan, Arc::new(|setup: Setup| Ok(Box::new(ao_bft::Engine::new(setup))))).violation)
    });
}
