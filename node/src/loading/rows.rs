//! Rows of a loaded log: those of slots that are assigned and confirmed, with a row that says whose log it is.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::checks::contents::Read;
use ao_storage::schema::{self, Head, LoadedRow, ProcessRow};
use ao_storage::{Direction, Durability, Store, WriteBatch};
use ao_types::{ContentKey, DataItem, Id, Process, Slot, Verified};

use super::Error;
use super::log::{One, Tail};
use crate::core::cron::Point;
use crate::core::input::Place;
use crate::core::rows::{Slotted, put_item, put_slot};
use crate::limits::RECOVER_BATCH_BYTES;
use crate::shell::facts;
use crate::shell::frames::{assigned, born};
use crate::shell::verify::indexed;

/// Writes slots of one process.
pub struct Rows<'a> {
    store: &'a dyn Store,
    process: Id,
    /// What is said of the log.
    pub row: LoadedRow,
    /// Slots that were put and follow by the hash chain.
    pub linked: u64,
    batch: WriteBatch,
    bytes: usize,
    head: Option<Head>,
    /// Items of the batch.
    fresh: BTreeSet<Id>,
    /// Slots of the batch, by item and by content: where a message stands first.
    slots: BTreeMap<Id, Slot>,
    contents: BTreeMap<[u8; 48], Slot>,
    next_sequence: u64,
}

impl<'a> Rows<'a> {
    /// Goes on with what is there.
    pub fn new(store: &'a dyn Store, process: Id, row: LoadedRow) -> Result<Self, Error> {
        let last = schema::SEQUENCE.all(store, Direction::Backward, 1)?;
        let next_sequence = last.first().map_or(0, |(sequence, _)| sequence + 1);
        let (fresh, slots, contents) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let batch = WriteBatch::default();
        Ok(Self { store, process, row, linked: 0, batch, bytes: 0, head: None, fresh, slots, contents, next_sequence })
    }

    /// Where the log ends in the store.
    pub fn tail(&self) -> Result<Tail, Error> {
        let Some(head) = schema::HEADS.get(self.store, &self.process)? else { return Ok(Tail::of(&self.process)) };
        let chain = ao_types::HashChain::from_bytes(head.hash_chain).next(&head.assignment);
        let last = Point { timestamp_ms: head.timestamp_ms, block_height: head.block_height };
        Ok(Tail { next: head.slot.next(), chain, last })
    }

    /// Height of the first slot, once it is in the store.
    pub fn first_height(&self) -> Result<Option<u64>, Error> {
        Ok(schema::SCHEDULE.get(self.store, &(self.process, Slot(0)))?.map(|row| row.block_height))
    }

    /// Whether an item is in the store.
    pub fn has(&self, id: &Id) -> Result<bool, Error> {
        Ok(facts::known(self.store, id)?)
    }

    /// An item, where it is not there yet.
    pub fn put_item(&mut self, item: &Verified<DataItem>, at: Point) -> Result<(), Error> {
        let id = item.id();
        if self.fresh.contains(&id) || self.has(&id)? {
            return Ok(());
        }
        put_item(&mut self.batch, item, &indexed(item), self.next_sequence, at.timestamp_ms, Some(at.block_height));
        self.next_sequence += 1;
        self.bytes += item.as_bytes().len();
        self.fresh.insert(id);
        Ok(())
    }

    /// A process whose own item has no slot.
    pub fn put_process(&mut self, item: &Verified<DataItem>, view: &Process, at: Point) -> Result<(), Error> {
        self.put_item(item, at)?;
        let spawn = born(view.clone());
        let row = ProcessRow {
            owner: spawn.owner,
            module: spawn.module,
            scheduler: spawn.scheduler,
            parent: spawn.parent,
            timestamp_ms: at.timestamp_ms,
            block_height: at.block_height,
            has_cron: spawn.has_cron,
        };
        schema::PROCESSES.put(&mut self.batch, &self.process, &row);
        Ok(())
    }

    /// The next slot.
    pub fn put(&mut self, one: &One, item: &Verified<DataItem>) -> Result<(), Error> {
        let assignment = &one.assignment;
        let (content, process) = (assignment.content(), self.process);
        let not = |why: String| Error::NotAProcess { id: process, why };
        let read = Read::of(assignment.item().clone()).map_err(|error| not(error.to_string()))?;
        let assigned = assigned(&read);
        let place = if item.id() == process && content.slot == Slot(0) {
            Place::Spawn(born(Process::read(item).map_err(|error| not(error.to_string()))?))
        } else {
            let content_key = item.tag("From-Process").is_some().then(|| ContentKey::of(item).0);
            Place::Log { process, exclude: content.exclude.clone(), content: content_key }
        };
        self.put_item(item, Point { timestamp_ms: content.timestamp_ms, block_height: content.block_height })?;
        // Nobody here pushes what it asks for: whoever orders it does.
        let slotted = Slotted { process, item: item.id(), place: &place, assigned: &assigned, pushed_by: None, push: false };
        let before = (self.first_of(&item.id())?, self.first_content(&place)?);
        put_slot(&mut self.batch, &slotted);
        self.keep_first(content.slot, &item.id(), &place, before);
        self.head = Some(crate::core::ingest::head_of(&assigned));
        self.bytes += assigned.assignment.as_bytes().len();
        // Counted with what is written: what is read again is not counted again.
        *(if one.linked { &mut self.linked } else { &mut self.row.unlinked }) += 1;
        self.row.backwards += u64::from(one.backwards);
        if self.bytes >= RECOVER_BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Where an item stands already.
    fn first_of(&self, item: &Id) -> Result<Option<Slot>, Error> {
        match self.slots.get(item) {
            Some(slot) => Ok(Some(*slot)),
            None => Ok(facts::assigned(self.store, self.process, *item)?),
        }
    }

    fn first_content(&self, place: &Place) -> Result<Option<Slot>, Error> {
        let Place::Log { content: Some(key), .. } = place else { return Ok(None) };
        match self.contents.get(key) {
            Some(slot) => Ok(Some(*slot)),
            None => Ok(facts::content_slot(self.store, self.process, key)?),
        }
    }

    /// Schedulers of the older network may have let a message in twice. It is found where it stands first: by that alone is told that the second
    /// one is not evaluated (`protocol.md`, section 7.3).
    fn keep_first(&mut self, slot: Slot, item: &Id, place: &Place, (by_id, by_content): (Option<Slot>, Option<Slot>)) {
        match by_id {
            Some(first) => schema::SLOT_OF.put(&mut self.batch, &(*item, self.process), &first),
            None => drop(self.slots.insert(*item, slot)),
        }
        if let Place::Log { content: Some(key), .. } = place {
            match by_content {
                Some(first) => schema::CONTENT.put(&mut self.batch, &(self.process, *key), &first),
                None => drop(self.contents.insert(*key, slot)),
            }
        }
    }

    /// Whether slots wait to be written.
    pub fn holds_slots(&self) -> bool {
        self.head.is_some()
    }

    /// Writes what was put, with how far the log is.
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut batch = std::mem::take(&mut self.batch);
        if let Some(head) = self.head.take() {
            crate::recovery::rows::confirmed(&mut batch, &self.process, head.slot);
            schema::HEADS.put(&mut batch, &self.process, &head);
        }
        schema::LOADED.put(&mut batch, &self.process, &self.row);
        self.bytes = 0;
        self.fresh.clear();
        self.slots.clear();
        self.contents.clear();
        Ok(self.store.write(batch, Durability::Synced)?)
    }
}
