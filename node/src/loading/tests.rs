//! Which assignments are a log, in any order, with holes, repetitions and contradictions.

use std::collections::BTreeMap;

use ao_types::{Assignment, AssignmentContent, HashChain, Id, Slot, Wallet};

use super::log::{Chosen, Tail, Untrue, choose};

mod asked;
mod begins;
mod crons;
mod world;

const PROCESS: Id = Id([7; 32]);

fn assign(slot: u64, chain: HashChain, message: u8) -> Assignment {
    at(slot, chain, message, 1_700_000_000_000 + slot)
}

fn at(slot: u64, hash_chain: HashChain, message: u8, timestamp_ms: u64) -> Assignment {
    let (process, schedule_epoch, slot) = (PROCESS, 0, Slot(slot));
    let (block_height, exclude, message) = (1_500_000, vec![], Some(Id([message; 32])));
    let content = AssignmentContent { process, schedule_epoch, slot, hash_chain, block_height, timestamp_ms, message, exclude };
    content.sign(&Wallet::ed25519_from_seed(&[1; 32])).unwrap()
}

fn log(slots: u64) -> Vec<Assignment> {
    let (mut log, mut chain) = (Vec::new(), HashChain::first(&PROCESS));
    for slot in 0..slots {
        let next = assign(slot, chain, slot as u8);
        chain = next.next_chain();
        log.push(next);
    }
    log
}

fn known(all: impl IntoIterator<Item = Assignment>) -> BTreeMap<Slot, Vec<Assignment>> {
    let mut known: BTreeMap<Slot, Vec<Assignment>> = BTreeMap::new();
    all.into_iter().for_each(|one| known.entry(one.content().slot).or_default().push(one));
    known
}

fn chosen(all: impl IntoIterator<Item = Assignment>, chained: bool) -> Chosen {
    choose(&Tail::of(&PROCESS), chained, known(all))
}

fn ids(all: &[Assignment]) -> Vec<Id> {
    all.iter().map(Assignment::id).collect()
}

fn taken(chosen: &Chosen) -> Vec<Id> {
    chosen.entries.iter().map(|one| one.assignment.id()).collect()
}

fn linked(chosen: &Chosen) -> usize {
    chosen.entries.iter().filter(|one| one.linked).count()
}

#[test]
fn a_whole_log_is_taken_whole_and_gone_on_with_where_it_ended() {
    let log = log(6);
    let first = chosen(log[..3].iter().rev().cloned(), true);
    assert_eq!((taken(&first), linked(&first), first.end.clone(), first.held), (ids(&log[..3]), 3, None, false));
    let rest = choose(&first.tail, true, known(log[3..].to_vec()));
    assert_eq!((taken(&rest), linked(&rest)), (ids(&log[3..]), 3));
    assert!(rest.entries.iter().all(|one| !one.backwards));
    assert_eq!(rest.tail, Tail::behind(&log[5]));
}

#[test]
fn a_hole_ends_it_and_says_that_there_is_more() {
    let mut log = log(6);
    log.remove(2);
    let found = chosen(log, true);
    assert_eq!((found.entries.len(), found.held, found.end), (2, true, None));
}

#[test]
fn a_chain_that_does_not_follow_ends_it_where_chains_hold_and_is_counted_where_they_do_not() {
    let mut log = log(4);
    log[2] = assign(2, HashChain::first(&Id([9; 32])), 2);
    let strict = chosen(log.clone(), true);
    assert_eq!(strict.entries.len(), 2);
    assert!(matches!(strict.end, Some(Untrue::Unlinked { slot: Slot(2), .. })), "{:?}", strict.end);
    // Slot 3 follows on another slot 2 than the one that is here.
    let old = chosen(log, false);
    assert_eq!((old.entries.len(), linked(&old), old.end), (4, 2, None));
}

#[test]
fn of_two_messages_in_a_slot_the_chain_decides_or_nobody() {
    let log = log(4);
    let other = assign(2, log[2].content().hash_chain, 99);
    let mut proof = [log[2].id(), other.id()];
    proof.sort_unstable();
    let decided = chosen(log.iter().cloned().chain([other.clone()]), true);
    let contradictions: Vec<(Id, Id)> = decided.entries.iter().filter_map(|one| one.contradiction).collect();
    assert_eq!((taken(&decided), contradictions), (ids(&log), vec![(proof[0], proof[1])]));
    // Nothing follows that would decide: the next window has to.
    let open = chosen(log[..3].iter().cloned().chain([other.clone()]), true);
    assert_eq!((open.entries.len(), open.open, open.end), (2, true, None));
    let end = choose(&Tail::behind(&log[1]), true, known([log[2].clone(), other])).end;
    assert_eq!(end, Some(Untrue::Contradiction { slot: Slot(2), one: proof[0], two: proof[1] }));
}

#[test]
fn what_was_signed_again_is_the_one_that_the_log_goes_on_from() {
    let log = log(3);
    // The same message at another time: another id.
    let again = at(1, log[1].content().hash_chain, 1, 1_700_000_000_999);
    let from = |one: &Assignment| assign(2, one.next_chain(), 2);
    for goes_on in [&log[1], &again] {
        let found = chosen([log[0].clone(), log[1].clone(), again.clone(), from(goes_on)], true);
        assert_eq!(taken(&found), [log[0].id(), goes_on.id(), from(goes_on).id()]);
        assert!(found.entries.iter().all(|one| one.contradiction.is_none()));
        // Looked at for the slot before alone.
        let mut cut = found.clone();
        cut.cut(Slot(1));
        assert_eq!((taken(&cut), cut.tail), (vec![log[0].id(), goes_on.id()], Tail::behind(goes_on)));
    }
    // Of the last slot nobody can say yet which one counts.
    for here in [[log[1].clone(), again.clone()], [again.clone(), log[1].clone()]] {
        let last = choose(&Tail::behind(&log[0]), true, known(here));
        assert_eq!((last.entries.len(), last.open, last.held, last.end), (0, true, false, None));
    }
    // Where the chain does, it is decided.
    let astray = at(1, HashChain::first(&Id([9; 32])), 1, 1_700_000_000_999);
    let decided = choose(&Tail::behind(&log[0]), true, known([astray, log[1].clone()]));
    assert_eq!((taken(&decided), decided.open), (vec![log[1].id()], false));
}

#[test]
fn what_is_wrong_behind_the_last_slot_that_is_wanted_is_no_matter() {
    let log = log(3);
    let astray = assign(2, HashChain::first(&Id([9; 32])), 2);
    let mut found = chosen([log[0].clone(), log[1].clone(), astray], true);
    assert!(found.end.is_some());
    found.cut(Slot(1));
    assert_eq!((taken(&found), found.end), (ids(&log[..2]), None));
    // What is wrong before it is.
    let mut held = chosen([log[0].clone(), log[2].clone()], true);
    held.cut(Slot(1));
    assert_eq!((taken(&held), held.held), (ids(&log[..1]), true));
}

#[test]
fn time_that_runs_backwards_is_counted() {
    let first = assign(0, HashChain::first(&PROCESS), 0);
    let second = at(1, first.next_chain(), 1, 5);
    let found = chosen([first, second], true);
    assert_eq!(found.entries.iter().map(|one| one.backwards).collect::<Vec<_>>(), [false, true]);
}
