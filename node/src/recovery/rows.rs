//! Rows of recovered slots: the very ones that a node writes when it assigns or follows, collected into batches of a bounded size.

use std::collections::{BTreeMap, BTreeSet};

use ao_arweave::recover::Archive;
use ao_arweave::recover::depot::Depot;
use ao_consensus::checks::contents::Read;
use ao_storage::schema::{self, Head};
use ao_storage::{Direction, Durability, Store, Table, WriteBatch};
use ao_types::{Address, DataItem, Id, Slot, Verified};

use super::{Error, item};
use crate::core::input::Place;
use crate::core::rows::{Slotted, put_item, put_slot};
use crate::limits::RECOVER_BATCH_BYTES;
use crate::shell::frames::{assigned, place};
use crate::shell::verify::indexed;

/// Writes slots.
pub struct Writer<'a> {
    store: &'a dyn Store,
    archive: &'a Archive,
    depot: &'a Depot,
    own: Address,
    /// The batch that is being built. Whoever adds rows of his own adds them here.
    pub batch: WriteBatch,
    bytes: usize,
    heads: BTreeMap<Id, Head>,
    /// Items of the batch.
    fresh: BTreeSet<Id>,
    next_sequence: u64,
}

/// A slot, read and checked as far as it can be by itself.
pub struct Ready {
    /// Whose log.
    pub process: Id,
    /// The assignment.
    pub read: Read,
    /// What has the slot.
    pub item: Verified<DataItem>,
    /// What it is to the process.
    pub place: Place,
    /// Whether it may be there.
    pub lawful: Result<(), String>,
}

impl<'a> Writer<'a> {
    /// Goes on after the last item in the store.
    pub fn new(store: &'a dyn Store, archive: &'a Archive, depot: &'a Depot, own: Address) -> Result<Self, Error> {
        let last = schema::SEQUENCE.all(store, Direction::Backward, 1)?;
        let next_sequence = last.first().map_or(0, |(sequence, _)| sequence + 1);
        let (batch, heads, fresh) = (WriteBatch::default(), BTreeMap::new(), BTreeSet::new());
        Ok(Self { store, archive, depot, own, batch, bytes: 0, heads, fresh, next_sequence })
    }

    /// Reads a slot of a process; `Err` inside: what is not here.
    pub fn read(&self, process: Id, slot: Slot, assignment: &Id, message: &Id) -> Result<Result<Ready, Id>, Error> {
        let wrong = |why: String| Error::Slot { process, slot, why };
        let Some(signed) = item(self.archive, self.depot, assignment)? else { return Ok(Err(*assignment)) };
        let Some(item) = item(self.archive, self.depot, message)? else { return Ok(Err(*message)) };
        let read = Read::of(signed).map_err(|error| wrong(error.to_string()))?;
        let content = read.assignment().content();
        if content.process != process || content.slot != slot || read.assignment().message() != *message {
            return Err(wrong("its assignment is of something else".to_owned()));
        }
        let (place, lawful) = place(process, &item, content.exclude.clone());
        Ok(Ok(Ready { process, read, item, place, lawful }))
    }

    /// Puts a slot into the batch.
    pub fn put(&mut self, ready: Ready) -> Result<(), Error> {
        let Ready { process, read, item, place, .. } = ready;
        let assigned = assigned(&read);
        if assigned.slot == Slot(0) && !matches!(place, Place::Spawn(_)) {
            return Err(Error::Slot { process, slot: assigned.slot, why: "what begins the log is no process".to_owned() });
        }
        self.put_item(&item, assigned.timestamp.0, assigned.block_height)?;
        let push = self.pushes(&process, &place)?;
        let slotted = Slotted { process, item: item.id(), place: &place, assigned: &assigned, pushed_by: None, push };
        put_slot(&mut self.batch, &slotted);
        self.heads.insert(process, crate::core::ingest::head_of(&assigned));
        self.bytes += item.as_bytes().len() + assigned.assignment.as_bytes().len();
        Ok(())
    }

    /// An item that no log has, or that a log has already.
    pub fn put_item(&mut self, item: &Verified<DataItem>, received_ms: u64, height: u64) -> Result<(), Error> {
        let id = item.id();
        if self.fresh.contains(&id) || schema::ITEMS.contains(self.store, &id)? {
            return Ok(());
        }
        self.fresh.insert(id);
        put_item(&mut self.batch, item, &indexed(item), self.next_sequence, received_ms, Some(height));
        self.next_sequence += 1;
        Ok(())
    }

    /// Only the node that schedules a process pushes what its results ask for.
    fn pushes(&self, process: &Id, place: &Place) -> Result<bool, Error> {
        let own = self.own.to_string();
        if let Place::Spawn(spawn) = place {
            return Ok(spawn.scheduler == own);
        }
        // The row of its own slot is in the store, or in this batch with it.
        match schema::PROCESSES.get(self.store, process)? {
            Some(row) => Ok(row.scheduler == own),
            None => Ok(item(self.archive, self.depot, process)?.is_some_and(|item| item.tag("Scheduler") == Some(own.as_str()))),
        }
    }

    /// The last assignment of a log, written or about to be.
    pub fn head(&self, process: &Id) -> Result<Option<Head>, Error> {
        if let Some(head) = self.heads.get(process) {
            return Ok(Some(head.clone()));
        }
        Ok(schema::HEADS.get(self.store, process)?)
    }

    /// Whether the batch is large enough to be written.
    pub fn is_full(&self) -> bool {
        self.bytes >= RECOVER_BATCH_BYTES
    }

    /// Writes the batch. What it says of a log, it says whole: slots, head.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut batch = std::mem::take(&mut self.batch);
        for (process, head) in std::mem::take(&mut self.heads) {
            schema::HEADS.put(&mut batch, &process, &head);
        }
        self.fresh.clear();
        self.bytes = 0;
        if batch.writes.is_empty() { Ok(()) } else { Ok(self.store.write(batch, Durability::Synced)?) }
    }
}

/// Slots up to which a process is confirmed, and that it owes their evaluation.
pub fn confirmed(batch: &mut WriteBatch, process: &Id, last: Slot) {
    schema::CONFIRMED.put(batch, process, &last);
    schema::OWING.put(batch, process, &last);
}

/// Rows deleted at once.
const CLEARED_AT_ONCE: usize = 1_024;

/// Deletes everything that a recovery wrote, which is everything but what says whose store it is.
pub fn clear(store: &dyn Store) -> Result<(), Error> {
    for table in Table::ALL.iter().filter(|table| **table != Table::Meta) {
        loop {
            let rows = store.scan(*table, &[], &[], Direction::Forward, CLEARED_AT_ONCE)?;
            if rows.is_empty() {
                break;
            }
            let mut batch = WriteBatch::default();
            rows.iter().for_each(|(key, _)| batch.delete(*table, key.to_vec()));
            store.write(batch, Durability::Buffered)?;
        }
    }
    Ok(())
}
