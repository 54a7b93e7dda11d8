use super::*;
use crate::example::{chain, frames, wallet};
use crate::frame::Closed;
use crate::schedule::{Assigned, Clock, ToAssign, assign_run};
use crate::time::Timestamp;

const PROCESS: Id = Id([7; 32]);

/// A log of which the first `known` slots stand in earlier frames.
struct Book {
    log: Vec<Assigned>,
    known: usize,
    hosted: Option<u64>,
    unlawful: Option<Id>,
}

impl Log for Book {
    fn hosts(&self, of: &Chain, process: &Id, schedule_epoch: u64, _: u64) -> bool {
        *of == chain() && *process == PROCESS && self.hosted == Some(schedule_epoch)
    }
    fn head(&self, process: &Id) -> Option<Head> {
        assert_eq!(*process, PROCESS);
        self.known.checked_sub(1).map(|last| self.log[last].head())
    }
    fn lawful(&self, _: &Id, item: &Id) -> Result<(), String> {
        if self.unlawful == Some(*item) { Err("a signature does not hold".into()) } else { Ok(()) }
    }
    fn has(&self, _: &Id, item: &Id) -> bool {
        self.log[..self.known].iter().any(|one| message(one) == *item)
    }
}

fn message(one: &Assigned) -> Id {
    Assignment::read(one.assignment.clone()).unwrap().message()
}

fn log(messages: &[u8]) -> Vec<Assigned> {
    let first = ToAssign { item: None, exclude: Vec::new() };
    let items = messages.iter().map(|n| ToAssign { item: Some(Id([*n; 32])), exclude: Vec::new() });
    assign_run(PROCESS, None, Clock { now: Timestamp(50), block_height: 9 }, std::iter::once(first).chain(items).collect(), &wallet(1))
        .unwrap()
}

fn entry(one: &Assigned) -> Entry {
    Entry {
        process: PROCESS,
        schedule_epoch: one.schedule_epoch,
        slot: one.slot,
        item: message(one),
        assignment: one.id,
        content_hash: one.content_hash,
        hash_chain: one.hash_chain,
    }
}

/// The verdict on the slots above those known, after a change.
fn verdict(messages: &[u8], known: usize, change: impl Fn(&mut Book, &mut Vec<Entry>, &mut FrameHeader)) -> Result<(), EntryRule> {
    let mut book = Book { log: log(messages), known, hosted: Some(0), unlawful: None };
    let mut entries: Vec<Entry> = book.log[known..].iter().map(entry).collect();
    let mut header = frames(1, |_| false).remove(0).frame.header;
    change(&mut book, &mut entries, &mut header);
    let assignments: Vec<_> = book.log[known..].iter().map(|one| Read::of(one.assignment.clone()).unwrap()).collect();
    check(&header, &entries, &assignments, &book).map_err(|refusal| match refusal {
        Refusal::Entry { process, rule, .. } if process == PROCESS => rule,
        other => panic!("an entry's rule, not {other}"),
    })
}

#[test]
fn a_log_that_goes_on_is_lawful_from_any_slot() {
    for known in 0..4 {
        assert_eq!(verdict(&[1, 2, 3], known, |_, _, _| {}), Ok(()), "{known}");
    }
}

#[test]
fn each_broken_rule_has_its_name() {
    let after_two = |change: &dyn Fn(&mut Book, &mut Vec<Entry>, &mut FrameHeader)| verdict(&[1, 2, 3], 2, change).unwrap_err();
    assert_eq!(after_two(&|book, _, _| book.hosted = None), EntryRule::NotHosted { schedule_epoch: 0 });
    assert_eq!(after_two(&|book, _, _| book.hosted = Some(1)), EntryRule::NotHosted { schedule_epoch: 0 });
    assert_eq!(after_two(&|_, _, header| header.closed = vec![Closed { process: PROCESS, schedule_epoch: 0 }]), EntryRule::Closed);
    assert!(matches!(after_two(&|book, _, _| book.unlawful = Some(Id([3; 32]))), EntryRule::Item { .. }));
    type Change<'a> = &'a dyn Fn(&mut Entry);
    let fields: [(&str, Change<'_>); 6] = [
        ("assignment", &|entry| entry.assignment = Id([0; 32])),
        ("slot", &|entry| entry.slot = Slot(9)),
        ("schedule epoch", &|entry| entry.schedule_epoch = 1),
        ("item", &|entry| entry.item = Id([0; 32])),
        ("content hash", &|entry| entry.content_hash[0] ^= 1),
        ("hash chain", &|entry| entry.hash_chain[0] ^= 1),
    ];
    for (what, change) in fields {
        let found = verdict(&[1, 2, 3], 2, |book, entries, _| {
            book.hosted = Some(entries[1].schedule_epoch);
            change(&mut entries[0]);
            book.hosted = Some(entries[0].schedule_epoch);
        });
        assert_eq!(found, Err(EntryRule::Mismatch { what }));
    }
}

#[test]
fn a_gap_a_fork_and_a_repeat_are_noticed() {
    let gap = verdict(&[1, 2, 3], 2, |book, _, _| book.known = 1);
    assert!(matches!(gap, Err(EntryRule::Schedule(ScheduleError::SlotGap { .. }))), "{gap:?}");
    let fork = verdict(&[1, 2, 3], 2, |book, _, _| book.log[1].id = Id([0; 32]));
    assert!(matches!(fork, Err(EntryRule::Schedule(ScheduleError::HashChain { .. }))), "{fork:?}");
    assert_eq!(verdict(&[1, 2, 1], 3, |_, _, _| {}), Err(EntryRule::Duplicate), "in an earlier frame");
    assert_eq!(verdict(&[1, 2, 1], 1, |_, _, _| {}), Err(EntryRule::Duplicate), "in this one");
}

#[test]
fn who_hosts_one_schedule_epoch_does_not_thereby_host_the_next() {
    // The second entry of the frame claims a schedule epoch of its own.
    let found = verdict(&[1, 2, 3], 2, |_, entries, _| entries[1].schedule_epoch = 1);
    assert_eq!(found, Err(EntryRule::NotHosted { schedule_epoch: 1 }));
}
