//! Whether what others wrote is what stands here: the records of a bundle, and the items that they name, byte by byte.
//!
//! What was written lately is known by its digests, and the rest is read from the store. Nothing of a bundle is parsed that is not asked for.
//! Refuses to fetch anything, and to say what follows from it.

use std::collections::{BTreeSet, HashMap};

use ao_arweave::records::{FramesRecord, RangeRecord, Record};
use ao_storage::schema::{self, FrameKey};
use ao_storage::{Error, Store};
use ao_types::bundle::{Bundle, BundleEntry};
use ao_types::{Address, DataItem, Id, Profile, Slot};
use bytes::Bytes;

use super::log::Log;
use super::results::hashes;
use crate::shell::digests::Digests;

/// Items of the store that are compared together, and so are in memory together,
const ITEMS: usize = 16;
/// or fewer, if they have so many bytes.
const ITEMS_BYTES: usize = 1 << 20;

/// Something of a log that is on Arweave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Slots of a process, with their record.
    Slots {
        /// Whose.
        process: Id,
        /// The first.
        from: Slot,
        /// The last.
        to: Slot,
        /// The record's item.
        record: Id,
        /// Of so many slots from this one on the hashes of results are there, and are those of here.
        results: (Slot, u64),
    },
    /// Frames of a scheduler, with their record.
    Frames {
        /// Scheduler and tenure.
        chain: (Address, u64),
        /// Sequence of the first.
        from: u64,
        /// Sequence behind the last.
        next: u64,
        /// The record's item.
        record: Id,
    },
}

/// What a bundle came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is there and is what stands here.
    pub parts: Vec<Part>,
    /// It names what is not here yet: worth another look.
    pub again: bool,
}

/// This node's log.
#[derive(Clone, Copy)]
pub struct Here<'s> {
    /// Where it is.
    pub store: &'s dyn Store,
    /// Digests of what was written to it lately.
    pub digests: &'s Digests,
    /// Whose processes are the pipeline's own: records of them are passed over.
    pub own: &'s Address,
}

/// Records in a bundle that name what stands here, of processes that others than `here.own` order; records are those of `schedulers`.
///
/// # Errors
/// The store's.
pub fn compare(here: Here<'_>, schedulers: &BTreeSet<Address>, bytes: Bytes) -> Result<Reading, Error> {
    let mut reading = Reading::default();
    // Whoever pays may tag what he likes.
    let Ok(bundle) = Bundle::parse(bytes, Profile::Archive) else { return Ok(reading) };
    let entries: Vec<BundleEntry> = bundle.entries().collect();
    let places = entries.iter().map(|entry| (entry.id, *entry)).collect();
    let mut there = There { places, bundle: &bundle, slots: vec![false; entries.len()] };
    // A record follows what it names, which then need not be looked at: what stands in a slot is not asked what it is.
    for entry in entries.iter().rev() {
        let Some((id, record)) = there.record(entry, schedulers) else { continue };
        let stands = match record {
            Record::Range(range) => of_range(here, &mut there, id, &range)?,
            Record::Frames(frames) if frames.scheduler != *here.own => of_frames(here.store, id, &frames)?,
            _ => continue,
        };
        match stands {
            Stands::Here(part) => reading.parts.push(part),
            Stands::NotYet => reading.again = true,
            Stands::No => {}
        }
    }
    reading.parts.reverse();
    Ok(reading)
}

/// What is in a bundle. Nothing of it is parsed that is not asked for: what equals a row of the store is what that row is.
struct There<'b> {
    bundle: &'b Bundle,
    places: HashMap<Id, BundleEntry>,
    /// By place in the table: it was found to stand in a slot here.
    slots: Vec<bool>,
}

impl There<'_> {
    /// The bytes that the table calls so.
    fn bytes(&self, id: &Id) -> Option<Bytes> {
        self.bundle.bytes_of(self.places.get(id)?)
    }

    /// Whether what the table calls so are these bytes.
    fn is(&self, id: &Id, bytes: &Bytes) -> bool {
        self.bytes(id).is_some_and(|found| found == bytes)
    }

    /// An item with that id, whose signature holds.
    fn holds(&self, id: &Id) -> bool {
        let item = self.places.get(id).and_then(|entry| self.bundle.item(entry, Profile::Archive).ok());
        item.is_some_and(|item| item.verify().is_ok())
    }

    /// Whether a slot is known to have what the table calls by these names.
    fn known(&self, digests: &Digests, slot: (&Id, Slot), item: &Id, assignment: &Id) -> bool {
        let (Some(bytes), Some(assigned)) = (self.bytes(item), self.bytes(assignment)) else { return false };
        digests.know(slot, (item, &bytes), (assignment, &assigned))
    }

    /// These stand in a slot.
    fn mark(&mut self, ids: &[(Id, Id)]) {
        for id in ids.iter().flat_map(|(item, assignment)| [item, assignment]) {
            if let Some(place) = self.places.get(id).and_then(|entry| self.slots.get_mut(entry.index)) {
                *place = true;
            }
        }
    }

    /// A record by somebody of the network. Recovery goes by its name later on: it must be one whose signature holds.
    fn record(&self, entry: &BundleEntry, schedulers: &BTreeSet<Address>) -> Option<(Id, Record)> {
        if self.slots.get(entry.index).is_none_or(|stands| *stands) {
            return None;
        }
        // One that the table names twice is looked at once.
        if self.places.get(&entry.id).is_none_or(|last| last.index != entry.index) {
            return None;
        }
        // Few are, and hashes cost more than a look at the tags.
        let bytes = self.bundle.bytes_of(entry)?;
        if !Record::is_said(&DataItem::tags_in(&bytes, Profile::Archive).ok()?) {
            return None;
        }
        let item = self.bundle.item(entry, Profile::Archive).ok()?;
        let record = Record::read(&item)?.ok()?;
        (schedulers.contains(&item.address()) && item.verify().is_ok()).then_some((entry.id, record))
    }
}

/// Whether what a record names is what stands here.
enum Stands {
    Here(Part),
    /// Some of it is not here yet.
    NotYet,
    No,
}

fn of_range(here: Here<'_>, there: &mut There<'_>, record: Id, range: &RangeRecord) -> Result<Stands, Error> {
    let Here { store, digests, own } = here;
    match schema::PROCESSES.get(store, &range.process)? {
        None => return Ok(Stands::NotYet),
        Some(row) if row.scheduler == own.to_string() => return Ok(Stands::No),
        Some(_) => {}
    }
    if schema::CONFIRMED.get(store, &range.process)?.is_none_or(|confirmed| confirmed < range.to()) {
        return Ok(Stands::NotYet);
    }
    // Begun anew behind slots that need not be read.
    let mut log: Option<Log<'_>> = None;
    let (mut ids, mut bytes) = (Vec::with_capacity(ITEMS), 0_usize);
    for (slot, (item, assignment)) in (range.from.0..).map(Slot).zip(&range.slots) {
        if there.known(digests, (&range.process, slot), item, assignment) {
            log = None;
            continue;
        }
        let log = log.get_or_insert_with(|| Log::new(store, range.process, slot, range.to()));
        let Some(row) = log.next()? else { return Ok(Stands::NotYet) };
        if row.item != *item || row.assignment_id != *assignment || !there.is(assignment, &row.assignment) {
            return Ok(Stands::No);
        }
        ids.push(*item);
        bytes = bytes.saturating_add(there.places.get(item).map_or(ITEMS_BYTES, |entry| entry.size));
        if ids.len() >= ITEMS || bytes >= ITEMS_BYTES {
            if !are_there(store, there, &ids)? {
                return Ok(Stands::No);
            }
            ids.clear();
            bytes = 0;
        }
    }
    if !are_there(store, there, &ids)? {
        return Ok(Stands::No);
    }
    there.mark(&range.slots);
    // As far as they are what was computed here: others are left to whoever writes next.
    let computed = hashes(store, &range.process, range.results.0, range.results.1.len())?;
    let same = computed.iter().zip(&range.results.1).take_while(|(here, there)| here == there).count() as u64;
    let results = (range.results.0, same);
    Ok(Stands::Here(Part::Slots { process: range.process, from: range.from, to: range.to(), record, results }))
}

/// Whether these items are in the bundle, as they are here.
fn are_there(store: &dyn Store, there: &There<'_>, ids: &[Id]) -> Result<bool, Error> {
    for (id, kept) in ids.iter().zip(schema::ITEMS.get_many(store, ids)?) {
        let whole = match kept {
            Some(bytes) if there.places.contains_key(id) => there.is(id, &bytes),
            // Of a form that only Arweave itself has: it is there already, and goes into no bundle.
            Some(bytes) => DataItem::parse(bytes, Profile::Strict).is_err(),
            // Not kept any more: its signature says that it is the one.
            None => there.holds(id),
        };
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Frames count as far as they are here and came with their proofs; those behind come again with theirs.
fn of_frames(store: &dyn Store, record: Id, frames: &FramesRecord) -> Result<Stands, Error> {
    let mut next = frames.from;
    for frame in frames.frames.iter().take_while(|frame| !frame.proof.is_empty()) {
        let key = FrameKey { scheduler: frames.scheduler, tenure: frames.tenure, sequence: next };
        match schema::FRAMES.get(store, &key)? {
            None => return Ok(Stands::NotYet),
            Some(row) if row.frame != frame.frame || row.signature != frame.signature || row.held != frame.held => return Ok(Stands::No),
            // What proves it need not be what proves it here; that it is confirmed is known here.
            Some(row) if row.proof.is_none() => return Ok(Stands::NotYet),
            Some(_) => next += 1,
        }
    }
    if next == frames.from {
        return Ok(Stands::No);
    }
    Ok(Stands::Here(Part::Frames { chain: (frames.scheduler, frames.tenure), from: frames.from, next, record }))
}
