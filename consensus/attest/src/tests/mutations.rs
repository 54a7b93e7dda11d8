//! Each rule broken on purpose, and shown to be noticed (`consensus.md` §14: each hypothesis is needed).
//!
//! A trial tells whether a rule held. With the engine as it is every one does; with a mutation the trial that is about it does not, and
//! the others do.

use ao_consensus::contract::{Suite, run, scenarios};
use ao_consensus::limits::DRIFT_MS_MAX;
use ao_consensus::{Consensus, Setup};
use ao_types::Statement;

use super::rig::*;
use crate::mutation::{ALL, Mutation, Mutations};
use crate::state::Attest;
use crate::wire::Message;

type Trial = fn(Mutations) -> bool;

const TRIALS: [(Mutation, Trial); 7] = [
    (Mutation::NoSlashingCheck, one_branch),
    (Mutation::StakeCountedWrongly, two_thirds),
    (Mutation::NoAvailabilityCheck, stored_first),
    (Mutation::ForeignEpoch, own_epoch),
    (Mutation::ConfirmWithoutCarried, carried),
    (Mutation::SkippedUnchecked, skipped_are_checked),
    (Mutation::RefuseInsteadOfHold, held),
];

#[test]
fn every_mutation_is_caught_by_the_trial_that_is_about_it_and_by_no_other() {
    assert_eq!(TRIALS.map(|(mutation, _)| mutation), ALL);
    for (rule, trial) in TRIALS {
        assert!(trial(Mutations::default()), "{rule:?}: the engine as it is");
        for mutation in ALL {
            assert_eq!(trial(Mutations::only(mutation)), mutation != rule, "trial of {rule:?} with {mutation:?}");
        }
        println!("attest {rule:?}: its trial");
    }
}

/// The suite has one committee: a foreign one is for its trial alone.
const SEEN_BY_THE_SUITE: [Mutation; 6] = [
    Mutation::NoSlashingCheck,
    Mutation::StakeCountedWrongly,
    Mutation::NoAvailabilityCheck,
    Mutation::ConfirmWithoutCarried,
    Mutation::SkippedUnchecked,
    Mutation::RefuseInsteadOfHold,
];

#[test]
fn the_suite_for_every_engine_notices_them_too() {
    for mutation in SEEN_BY_THE_SUITE {
        let make = move |setup: Setup| -> Box<dyn Consensus> { Box::new(Attest::with(setup, Mutations::only(mutation)).unwrap()) };
        let suite = Suite::new(&make);
        let found = (0..6).find_map(|seed| scenarios(4).iter().find_map(|scenario| run(&suite, scenario, seed).err()));
        println!("attest {mutation:?}: the suite: {}", found.unwrap_or_else(|| panic!("{mutation:?} passes")));
    }
}

/// No two shares of one key on two branches, and no share without a row.
fn one_branch(mutations: Mutations) -> bool {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Member(0, 1), mutations), net.line());
    let mut fork = line.clone();
    rig.frame(&line.frame(vec![]));
    rig.write();
    let others = [fork.other(), fork.frame(vec![])];
    rig.frames(&others);
    rig.pass(1_000);
    let on_the_other = |message: &Message| match message {
        Message::Share(share) => others.iter().any(|other| share.statement == net.statement(other)),
        _ => false,
    };
    rig.violations.is_empty() && !rig.sent.iter().any(|(_, message)| on_the_other(message))
}

/// Half of the stake certifies nothing.
fn two_thirds(mutations: Mutations) -> bool {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Scheduler, mutations), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    let mut seen = rig.write();
    seen.extend(rig.share(1, &frame));
    only(&seen, "certified").is_empty()
}

/// A frame whose body is not on disk here is not signed.
fn stored_first(mutations: Mutations) -> bool {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Member(0, 1), mutations), net.line());
    rig.frame(&not_stored(&line.frame(vec![])));
    only(&rig.pass(1_000), "row").is_empty()
}

/// A share of a member of another epoch is turned away, and nobody else pays for it.
fn own_epoch(mutations: Mutations) -> bool {
    let net = Net::of(4).then(2, 2);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Scheduler, mutations), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let newcomer = net.newcomer(1);
    let member = net.committee(1).member(newcomer).unwrap();
    let seen = rig.hear(member.peer.clone(), &Message::Share(net.share_of(1, newcomer, &frame)));
    let turned_away = format!("penalise {} Foreign", rig.name(&member.peer));
    seen == [turned_away]
}

/// Certificates on frames that carry none confirm nothing.
fn carried(mutations: Mutations) -> bool {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Follower, mutations), net.line());
    let frames = line.frames(3);
    rig.frames(&frames);
    rig.hear(net.peer(1), &Message::Certified(vec![net.quorum(&frames[2])]));
    rig.confirmed.is_none() && rig.violations.is_empty()
}

/// Nothing is signed on top of a frame that nobody looked at.
fn skipped_are_checked(mutations: Mutations) -> bool {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Member(0, 1), mutations), net.line());
    let frames = line.frames(2);
    rig.frames([&bare(&frames[0]), &frames[1]]);
    only(&rig.pass(1_000), "row").is_empty()
}

/// A frame ahead of this clock is signed when its time has come.
fn held(mutations: Mutations) -> bool {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::broken(&net, Role::Member(0, 1), mutations), net.line());
    line.now = START.plus_ms(DRIFT_MS_MAX + 500);
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.pass(1_000);
    let Statement::Frame { sequence, .. } = net.statement(&frame) else { return false };
    // By the row or, where rows are not written, by the share itself.
    rig.sent
        .iter()
        .any(|(_, message)| matches!(message, Message::Share(_)) && message.subject().is_some_and(|one| one.sequence == sequence))
}
