//! Rule 4 of `consensus.md` §4: whether a frame's entries follow from the logs that its ancestors make.
//!
//! The node calls this once for a frame whose body is here and whose ancestors passed, and gives the outcome to the engine. The log before
//! the frame is the caller's: the confirmed log with the entries of the frame's unconfirmed ancestors laid over it.

use std::collections::{BTreeMap, BTreeSet};

use ao_types::message::ViewError;
use ao_types::{Assignment, Chain, DataItem, Id, Slot, Verified};

use super::Refusal;
use crate::frame::{Entry, FrameHeader};
use crate::schedule::{Head, ScheduleError, check_next};

/// Which rule an entry breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryRule {
    /// Not this chain's to schedule, as of the frame's control height.
    #[error("the process is not hosted by this chain in schedule epoch {schedule_epoch}")]
    NotHosted {
        /// Of the entry.
        schedule_epoch: u64,
    },
    /// Named `closed` by this frame.
    #[error("the process is closed by this very frame")]
    Closed,
    /// Slot, hash chain, signer, time.
    #[error(transparent)]
    Schedule(ScheduleError),
    /// The assignment says something else than the entry.
    #[error("the entry's {what} is not the assignment's")]
    Mismatch {
        /// Which field.
        what: &'static str,
    },
    /// The item is unlawful or cannot be in this log (`protocol.md` §5).
    #[error("the item may not be assigned: {reason}")]
    Item {
        /// Why.
        reason: String,
    },
    /// The item has a slot in this log.
    #[error("the item has a slot in this log already")]
    Duplicate,
}

/// An assignment with what it says. Reading it and hashing what it says cost more than comparing them: done once, by a worker, and not
/// again by the one thread that knows the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    assignment: Assignment,
    content_hash: [u8; 32],
}

impl Read {
    /// Reads one.
    ///
    /// # Errors
    /// The item is no assignment.
    pub fn of(item: Verified<DataItem>) -> Result<Self, ViewError> {
        let assignment = Assignment::read(item)?;
        Ok(Self { content_hash: assignment.content().content_hash(), assignment })
    }

    /// The assignment.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Hash of what it says.
    pub fn content_hash(&self) -> [u8; 32] {
        self.content_hash
    }
}

/// The log before the frame, and what the node knows of items.
pub trait Log {
    /// Whether this chain schedules the process in this schedule epoch as of `control_height`. For schedule epoch 0 of a process that
    /// begins in this very frame: whether the item's tag `Scheduler` names the chain's scheduler.
    fn hosts(&self, chain: &Chain, process: &Id, schedule_epoch: u64, control_height: u64) -> bool;

    /// The last assignment of the process before the frame, on this branch.
    fn head(&self, process: &Id) -> Option<Head>;

    /// Whether the item may be assigned to the process: signature, rules of the epoch, and for slot 0 that it is the process itself.
    /// Bytes that are not here are for the caller to fetch first.
    fn lawful(&self, process: &Id, item: &Id) -> Result<(), String>;

    /// Whether the item, or another of the same content, has a slot of the process before the frame, on this branch.
    fn has(&self, process: &Id, item: &Id) -> bool;
}

/// Whether all entries pass. `assignments` are the body's, verified, one for each entry in order.
pub fn check(header: &FrameHeader, entries: &[Entry], assignments: &[Read], log: &dyn Log) -> Result<(), Refusal> {
    let mut heads: BTreeMap<Id, Head> = BTreeMap::new();
    let mut given: BTreeSet<(Id, Id)> = BTreeSet::new();
    for (entry, assignment) in entries.iter().zip(assignments) {
        let refuse = |rule| Err(Refusal::Entry { process: entry.process, slot: entry.slot, rule });
        let known = heads.get(&entry.process).is_some_and(|head| head.schedule_epoch == entry.schedule_epoch);
        if !known && !log.hosts(&header.chain, &entry.process, entry.schedule_epoch, header.control_height) {
            return refuse(EntryRule::NotHosted { schedule_epoch: entry.schedule_epoch });
        }
        if header.closed.iter().any(|closed| closed.process == entry.process && closed.schedule_epoch == entry.schedule_epoch) {
            return refuse(EntryRule::Closed);
        }
        let before = heads.get(&entry.process).copied().or_else(|| log.head(&entry.process));
        let head = match check_entry(header, entry, assignment, before.as_ref()) {
            Ok(head) => head,
            Err(rule) => return refuse(rule),
        };
        if let Err(reason) = log.lawful(&entry.process, &entry.item) {
            return refuse(EntryRule::Item { reason });
        }
        if !given.insert((entry.process, entry.item)) || log.has(&entry.process, &entry.item) {
            return refuse(EntryRule::Duplicate);
        }
        heads.insert(entry.process, head);
    }
    Ok(())
}

/// One entry against its assignment and the assignment before.
fn check_entry(header: &FrameHeader, entry: &Entry, read: &Read, before: Option<&Head>) -> Result<Head, EntryRule> {
    let Read { assignment, content_hash } = read;
    let content = assignment.content();
    for (what, same) in [
        ("assignment", assignment.id() == entry.assignment),
        ("slot", content.slot == entry.slot),
        ("schedule epoch", content.schedule_epoch == entry.schedule_epoch),
        ("item", assignment.message() == entry.item),
        ("content hash", *content_hash == entry.content_hash),
        ("hash chain", *content.hash_chain.as_bytes() == entry.hash_chain),
    ] {
        if !same {
            return Err(EntryRule::Mismatch { what });
        }
    }
    // A new tenure continues slots and hash chain after the frontier (§8); only the schedule epoch rises.
    let epoch = before.map_or(entry.schedule_epoch, |head| head.schedule_epoch);
    if entry.schedule_epoch < epoch || (entry.slot == Slot(0)) != (entry.item == entry.process) {
        return Err(EntryRule::Mismatch { what: if entry.schedule_epoch < epoch { "schedule epoch" } else { "slot" } });
    }
    check_next(entry.process, header.chain.scheduler, before, assignment).map_err(EntryRule::Schedule)
}

#[cfg(test)]
mod tests;
