//! Which slot an item gets: pure arithmetic, the same for every engine (`protocol.md` §5.2 and §6).
//!
//! Owns the step from one assignment of a process to the next: slot, hash chain, time, height, signature. Refuses to know where heads are
//! kept, whether an item is lawful, and what time it is.

use ao_types::{Address, Assignment, AssignmentContent, DataItem, HashChain, Id, SignError, Signer, Slot, Verified};

use crate::time::Timestamp;

/// The last assignment of a process, as far as the next one needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its `Epoch`.
    pub schedule_epoch: u64,
    /// Its slot.
    pub slot: Slot,
    /// Its id.
    pub assignment: Id,
    /// Its `Hash-Chain`.
    pub hash_chain: [u8; 32],
    /// Its time.
    pub timestamp: Timestamp,
    /// Its height.
    pub block_height: u64,
}

/// What time it is for a run, and how high the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The scheduler's clock, or a point below which no assignment of this process may lie, whichever is later.
    pub now: Timestamp,
    /// Height seen.
    pub block_height: u64,
}

/// One item that gets a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToAssign {
    /// The item; `None`: the process item itself.
    pub item: Option<Id>,
    /// Fields that are not loaded.
    pub exclude: Vec<String>,
}

/// An item with its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Tag `Epoch`.
    pub schedule_epoch: u64,
    /// Tag `Nonce`.
    pub slot: Slot,
    /// Tag `Hash-Chain`.
    pub hash_chain: [u8; 32],
    /// Tag `Timestamp`.
    pub timestamp: Timestamp,
    /// Tag `Block-Height`.
    pub block_height: u64,
    /// Hash of all that, without the signature.
    pub content_hash: [u8; 32],
    /// Id of the assignment.
    pub id: Id,
    /// The assignment.
    pub assignment: Verified<DataItem>,
}

impl Assigned {
    /// The head after it.
    pub fn head(&self) -> Head {
        Head {
            schedule_epoch: self.schedule_epoch,
            slot: self.slot,
            assignment: self.id,
            hash_chain: self.hash_chain,
            timestamp: self.timestamp,
            block_height: self.block_height,
        }
    }
}

/// Gives the items of one run the slots after `head`, in order, and signs each assignment.
///
/// Timestamps of one process are strictly increasing, so that pages by timestamp lose nothing; a burst within one millisecond, and a
/// clock that went back, run ahead of the clock. Heights never fall. Fails only if the signer does: then no slot was given.
pub fn assign_run(
    process: Id,
    head: Option<Head>,
    clock: Clock,
    items: Vec<ToAssign>,
    scheduler: &dyn Signer,
) -> Result<Vec<Assigned>, SignError> {
    let mut last = head;
    let mut assigned = Vec::with_capacity(items.len());
    for ToAssign { item, exclude } in items {
        let content = next(process, last.as_ref(), clock, item, exclude);
        let (hash_chain, content_hash) = (*content.hash_chain.as_bytes(), content.content_hash());
        let assignment = content.sign(scheduler)?;
        let one = Assigned {
            schedule_epoch: content.schedule_epoch,
            slot: content.slot,
            hash_chain,
            timestamp: Timestamp(content.timestamp_ms),
            block_height: content.block_height,
            content_hash,
            id: assignment.id(),
            assignment: assignment.item().clone(),
        };
        last = Some(one.head());
        assigned.push(one);
    }
    Ok(assigned)
}

/// What the assignment after `head` says.
fn next(process: Id, head: Option<&Head>, clock: Clock, message: Option<Id>, exclude: Vec<String>) -> AssignmentContent {
    let first = AssignmentContent {
        process,
        schedule_epoch: 0,
        slot: Slot(0),
        hash_chain: HashChain::first(&process),
        block_height: clock.block_height,
        timestamp_ms: clock.now.0,
        message,
        exclude,
    };
    match head {
        None => first,
        Some(head) => AssignmentContent {
            schedule_epoch: head.schedule_epoch,
            slot: head.slot.next(),
            hash_chain: HashChain::from_bytes(head.hash_chain).next(&head.assignment),
            block_height: clock.block_height.max(head.block_height),
            timestamp_ms: clock.now.0.max(head.timestamp.0.saturating_add(1)),
            ..first
        },
    }
}

/// Why a log is not one. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A slot is missing or comes twice.
    #[error("slot {expected} is expected, slot {found} is there")]
    SlotGap {
        /// The next one.
        expected: Slot,
        /// As found.
        found: Slot,
    },
    /// The hash chain does not follow from the assignment before.
    #[error("hash chain of slot {slot} is {found}, its predecessor leads to {expected}")]
    HashChain {
        /// Where.
        slot: Slot,
        /// By the predecessor.
        expected: HashChain,
        /// As found.
        found: HashChain,
    },
    /// Another key than the scheduler's signed.
    #[error("slot {slot} is signed by {found}, the scheduler is {expected}")]
    Signer {
        /// Where.
        slot: Slot,
        /// The scheduler.
        expected: Address,
        /// As found.
        found: Address,
    },
    /// An assignment of another process.
    #[error("slot {slot} belongs to process {found}, not {expected}")]
    Process {
        /// Where.
        slot: Slot,
        /// Whose log it is.
        expected: Id,
        /// As found.
        found: Id,
    },
    /// Time or height runs backwards.
    #[error("time or height of slot {slot} is below that of the slot before")]
    Backwards {
        /// Where.
        slot: Slot,
    },
}

/// Whether `assignment` is the one after `head` in the log of `process`.
pub fn check_next(process: Id, scheduler: Address, head: Option<&Head>, assignment: &Assignment) -> Result<Head, ScheduleError> {
    let content = assignment.content();
    let slot = content.slot;
    let expected = head.map_or(Slot(0), |head| head.slot.next());
    if content.process != process {
        return Err(ScheduleError::Process { slot, expected: process, found: content.process });
    }
    if slot != expected {
        return Err(ScheduleError::SlotGap { expected, found: slot });
    }
    if assignment.signer() != scheduler {
        return Err(ScheduleError::Signer { slot, expected: scheduler, found: assignment.signer() });
    }
    let chain = match head {
        None => HashChain::first(&process),
        Some(head) => HashChain::from_bytes(head.hash_chain).next(&head.assignment),
    };
    if content.hash_chain != chain {
        return Err(ScheduleError::HashChain { slot, expected: chain, found: content.hash_chain });
    }
    if head.is_some_and(|head| content.timestamp_ms < head.timestamp.0 || content.block_height < head.block_height) {
        return Err(ScheduleError::Backwards { slot });
    }
    Ok(Head {
        schedule_epoch: content.schedule_epoch,
        slot,
        assignment: assignment.id(),
        hash_chain: *content.hash_chain.as_bytes(),
        timestamp: Timestamp(content.timestamp_ms),
        block_height: content.block_height,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ao_types::Wallet;
    use proptest::prelude::*;

    const PROCESS: Id = Id([7; 32]);

    fn wallet() -> Wallet {
        Wallet::ed25519_from_seed(&[1; 32])
    }

    fn message(n: u8) -> ToAssign {
        ToAssign { item: Some(Id([n; 32])), exclude: Vec::new() }
    }

    fn run(head: Option<Head>, now: u64, height: u64, items: Vec<ToAssign>) -> Vec<Assigned> {
        assign_run(PROCESS, head, Clock { now: Timestamp(now), block_height: height }, items, &wallet()).unwrap()
    }

    #[test]
    fn the_first_slot_is_the_process_and_the_chain_follows_the_page() {
        let log = run(None, 50, 9, vec![ToAssign { item: None, exclude: Vec::new() }, message(1)]);
        let first = Assignment::read(log[0].assignment.clone()).unwrap();
        assert_eq!((first.content().message, log[0].slot, log[0].hash_chain), (None, Slot(0), *HashChain::first(&PROCESS).as_bytes()));
        assert_eq!(log[1].hash_chain, *first.next_chain().as_bytes());
        assert_eq!(log[1].timestamp, Timestamp(51), "strictly increasing within a millisecond");
    }

    #[test]
    fn the_same_run_signed_again_is_the_same_bytes() {
        let items = || vec![ToAssign { item: None, exclude: Vec::new() }, message(1), message(2)];
        assert_eq!(run(None, 50, 9, items()), run(None, 50, 9, items()));
    }

    #[test]
    fn a_log_with_a_fault_is_refused() {
        let log = run(None, 50, 9, vec![ToAssign { item: None, exclude: Vec::new() }, message(1), message(2)]);
        let read = |at: usize| Assignment::read(log[at].assignment.clone()).unwrap();
        let scheduler = wallet().address();
        let head = log[0].head();
        assert!(check_next(PROCESS, scheduler, Some(&head), &read(1)).is_ok());
        let gap = check_next(PROCESS, scheduler, Some(&head), &read(2)).unwrap_err();
        assert_eq!(gap, ScheduleError::SlotGap { expected: Slot(1), found: Slot(2) });
        let forked = Head { assignment: Id([0; 32]), ..head };
        assert!(matches!(check_next(PROCESS, scheduler, Some(&forked), &read(1)), Err(ScheduleError::HashChain { .. })));
        let stranger = Address::Arweave(Id([0; 32]));
        assert!(matches!(check_next(PROCESS, stranger, Some(&head), &read(1)), Err(ScheduleError::Signer { .. })));
        let later = Head { timestamp: Timestamp(60), ..head };
        assert_eq!(check_next(PROCESS, scheduler, Some(&later), &read(1)), Err(ScheduleError::Backwards { slot: Slot(1) }));
        assert!(matches!(check_next(Id([8; 32]), scheduler, Some(&head), &read(1)), Err(ScheduleError::Process { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        /// However runs are cut and whatever the clock does, the log has no gap and never runs backwards.
        #[test]
        fn any_cut_and_any_clock_gives_a_lawful_log(runs in prop::collection::vec((0u64..100, 0u64..10, 1usize..5), 1..6)) {
            let mut head: Option<Head> = None;
            let mut log = Vec::new();
            for (now, height, count) in runs {
                let items = (0..count).map(|n| ToAssign { item: (!log.is_empty() || n > 0).then_some(Id([n as u8; 32])), exclude: Vec::new() });
                let assigned = run(head, now, height, items.collect());
                head = assigned.last().map(Assigned::head);
                log.extend(assigned);
            }
            let mut last: Option<Head> = None;
            for one in &log {
                let assignment = Assignment::read(one.assignment.clone()).unwrap();
                if let Some(last) = &last {
                    prop_assert!(one.timestamp > last.timestamp);
                }
                last = Some(check_next(PROCESS, wallet().address(), last.as_ref(), &assignment).unwrap());
                prop_assert_eq!(last.unwrap(), one.head());
            }
        }
    }
}
