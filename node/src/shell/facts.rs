//! What the store knows around a submission: the look-ups that the core does not make.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};

use ao_storage::{Error, Store, schema};
use ao_types::message::Kind;
use ao_types::{Address, ContentKey, DataItem, Id, Slot, Verified};

use crate::core::cron::Point;
use crate::core::input::{Batch, Facts, Place, ProcessFacts, Submission};

/// The last batch that is settled: written, or failed and no longer to come.
#[derive(Debug, Default)]
pub struct Settled(AtomicU64);

impl Settled {
    /// Everything up to `batch` is settled. Called after the write, before anybody hears of it.
    pub fn through(&self, batch: Batch) {
        self.0.fetch_max(batch, Ordering::Release);
    }

    /// The last one that is. Ask before looking anything up.
    pub fn now(&self) -> Batch {
        self.0.load(Ordering::Acquire)
    }
}

/// Processes that were looked up for one purpose: a frame speaks of few, and of each many times.
#[derive(Debug)]
pub struct Looked {
    /// Settled when the first look-up began: what comes later is no older.
    as_of: Batch,
    processes: BTreeMap<Id, Option<ProcessFacts>>,
}

impl Looked {
    /// Nothing was looked up yet.
    pub fn from_now(settled: &Settled) -> Self {
        Self { as_of: settled.now(), processes: BTreeMap::new() }
    }

    /// Every batch up to this one is in what was looked up.
    pub fn as_of(&self) -> Batch {
        self.as_of
    }

    fn process(&mut self, store: &dyn Store, process: Id) -> Result<Option<ProcessFacts>, Error> {
        Ok(match self.processes.entry(process) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(of_process(store, process)?).clone(),
        })
    }
}

/// Looks up everything that the core needs to decide about a submission.
pub fn of_submission(store: &dyn Store, looked: &mut Looked, submission: &Submission) -> Result<Facts, Error> {
    let as_of = looked.as_of;
    let stored = known(store, &submission.id)?;
    Ok(match &submission.place {
        Place::Store | Place::Lacking { .. } => Facts { as_of, process: None, assigned: None, content: None, stored },
        // Its node decides; whether it was in the log before it was sent tells what to make of an answer that says so.
        Place::Elsewhere { assign, .. } => {
            let process = assign.as_ref().map(|assign| assign.process).or_else(|| log_of(submission));
            let assigned = match process {
                Some(process) if stored => assigned(store, process, submission.id)?,
                _ => None,
            };
            let pushed = submission.item.as_ref().filter(|item| item.tag("From-Process").is_some());
            let content = match (process, pushed) {
                (Some(process), Some(item)) => content_slot(store, process, &ContentKey::of(item).0)?,
                _ => None,
            };
            Facts { as_of, process: None, assigned, content, stored }
        }
        Place::Spawn(_) => {
            let assigned = assigned(store, submission.id, submission.id)?;
            Facts { as_of, process: None, assigned, content: None, stored }
        }
        Place::Log { process, content, .. } => {
            let content = content.map(|key| content_slot(store, *process, &key)).transpose()?.flatten();
            let assigned = if stored { assigned(store, *process, submission.id)? } else { None };
            Facts { as_of, process: looked.process(store, *process)?, assigned, content, stored }
        }
    })
}

/// The process into whose log an item belongs.
fn log_of(submission: &Submission) -> Option<Id> {
    let item = submission.item.as_ref()?;
    if Kind::of(item) == Some(Kind::Process) { Some(submission.id) } else { item.target() }
}

/// Looks up a process for a request that is not a submission.
pub fn around_process(store: &dyn Store, settled: &Settled, process: Id) -> Result<Facts, Error> {
    let as_of = settled.now();
    Ok(Facts { as_of, process: of_process(store, process)?, assigned: None, content: None, stored: false })
}

/// A process as the store has it; `None` where it was not spawned here.
pub fn of_process(store: &dyn Store, process: Id) -> Result<Option<ProcessFacts>, Error> {
    let (Some(row), Some(head)) = (schema::PROCESSES.get(store, &process)?, schema::HEADS.get(store, &process)?) else {
        return Ok(None);
    };
    let evaluation = schema::EVALUATION_HEADS.get(store, &process)?;
    let floor =
        evaluation.as_ref().map_or(Point::default(), |head| Point { timestamp_ms: head.ticked_ms, block_height: head.ticked_height });
    Ok(Some(ProcessFacts {
        host: Address::parse(&row.scheduler).ok(),
        head,
        floor,
        confirmed: schema::CONFIRMED.get(store, &process)?,
        evaluated: evaluation.as_ref().map(|head| (head.slot, head.cron)),
        has_cron: row.has_cron,
        halted: evaluation.and_then(|head| head.halted),
    }))
}

/// The slot of an item in a process's log.
///
/// After a write that failed on a full disk the engine may find parts of it again when it opens: a row that the log itself does not
/// agree with is such a part and counts for nothing.
pub fn assigned(store: &dyn Store, process: Id, item: Id) -> Result<Option<Slot>, Error> {
    let Some(slot) = schema::SLOT_OF.get(store, &(item, process))? else { return Ok(None) };
    let row = schema::SCHEDULE.get(store, &(process, slot))?;
    Ok(row.filter(|row| row.item == item || row.assignment_id == item).map(|_| slot))
}

/// The slot of a pushed item of this content in a process's log. Agrees with the log for the reason that [`assigned`] gives: a row that an
/// item of another content stands behind counts for nothing.
pub fn content_slot(store: &dyn Store, process: Id, content: &[u8; 48]) -> Result<Option<Slot>, Error> {
    let Some(slot) = schema::CONTENT.get(store, &(process, *content))? else { return Ok(None) };
    let same = item_in(store, process, slot)?.is_some_and(|item| ContentKey::of(&item).0 == *content);
    Ok(same.then_some(slot))
}

/// The earlier slot that `slot` of a log repeats, so that it is not evaluated (`protocol.md` §7.3): the same item, or for an item that came
/// out of an outbox the same target, anchor, tags and data, whoever signed it. Decided by the log alone: never by what was evaluated, nor
/// by where evaluation began.
pub fn repeated(store: &dyn Store, process: Id, slot: Slot, item: &DataItem) -> Result<Option<Slot>, Error> {
    // Almost every item stands where its index says: the log is asked only about those that do not.
    if schema::SLOT_OF.get(store, &(item.id(), process))?.is_some_and(|first| first < slot)
        && let Some(first) = assigned(store, process, item.id())?
    {
        return Ok(Some(first));
    }
    if item.tag("From-Process").is_none() {
        return Ok(None);
    }
    let key = ContentKey::of(item).0;
    if schema::CONTENT.get(store, &(process, key))?.is_none_or(|first| first >= slot) {
        return Ok(None);
    }
    let Some(first) = content_slot(store, process, &key)? else { return Ok(None) };
    // The reference neither sorts tags here nor leaves `Pushed-For` out: less is a repeat than what a scheduler refuses.
    let exact = |other: &DataItem| {
        (other.target(), other.anchor(), other.raw_tags(), other.data()) == (item.target(), item.anchor(), item.raw_tags(), item.data())
    };
    Ok(item_in(store, process, first)?.filter(|other| exact(other)).map(|_| first))
}

/// The item in a slot of a log, if it is in the store.
fn item_in(store: &dyn Store, process: Id, slot: Slot) -> Result<Option<Verified<DataItem>>, Error> {
    let Some(row) = schema::SCHEDULE.get(store, &(process, slot))? else { return Ok(None) };
    item(store, row.item)
}

/// Whether an item was taken in before: its bytes are here, or were pruned. It is not stored again, and what it stands in counts.
pub fn known(store: &dyn Store, id: &Id) -> Result<bool, Error> {
    Ok(schema::ITEMS.contains(store, id)? || schema::PRUNED.contains(store, id)?)
}

/// An item, if it is in the store.
pub fn item(store: &dyn Store, id: Id) -> Result<Option<Verified<DataItem>>, Error> {
    Ok(schema::ITEMS.get(store, &id)?.and_then(|bytes| Verified::<DataItem>::reload(bytes).ok()))
}
