//! From confirmed slots to a parcel: which slots are due, their items in order, and the record of each range (`arweave.md`, section 8).
//!
//! Reads the store and signs records; writes nothing. What it returns is owed until the keeper remembers that it is on its way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ao_arweave::driver::Parcel;
use ao_arweave::flush::{Waiting, due};
use ao_arweave::limits::{CERTIFICATE_BYTES_MAX, FLUSH_BYTES, FLUSH_ITEMS, RANGE_RESULTS_MAX, RANGE_SLOTS_MAX};
use ao_arweave::pipeline::Covered;
use ao_arweave::records::{RangeRecord, Record, ResultsRecord};
use ao_consensus::{Chain, Proof};
use ao_storage::schema::{self, AnchorHead, ScheduleRow};
use ao_storage::{Direction, Error, Store};
use ao_types::message::Kind;
use ao_types::tag::TagRef;
use ao_types::{Address, Canonical as _, DataItem, Id, ItemError, NetworkId, Profile, ResultHash, SignError, Signer, Slot, Verified};
use bytes::Bytes;
use parking_lot::Mutex;

use super::extras::{self, Extra};
use super::frames::{self, Frames};
use super::log::Log;
use super::results::hashes;
use crate::chain::DevGenesis;
use crate::limits::{ANCHOR_BROKEN_SHOWN, ANCHOR_LATE_AT_ONCE};
use crate::shell::begin;
use crate::shell::frames::slot_proof;

/// Why nothing can be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The store's.
    #[error(transparent)]
    Store(#[from] Error),
    /// A row that is no item.
    #[error("item {id} in the store: {error}")]
    Item {
        /// Which.
        id: Id,
        /// Why not.
        error: ItemError,
    },
    /// A slot that is confirmed and not whole.
    #[error("slot {slot} of {process} is confirmed, and what stands in it is not in the store")]
    Missing {
        /// Which process.
        process: Id,
        /// Which slot.
        slot: Slot,
    },
    /// A record is not signed.
    #[error("a record is not signed: {0}")]
    Sign(#[from] SignError),
}

/// Rows of processes looked at together.
const PAGE: usize = 256;
/// A record of a range with one certificate, beside what it says of each slot.
const RECORD_BYTES: u64 = 4096;

/// See the module.
pub struct Collector {
    store: Arc<dyn Store>,
    signer: Arc<dyn Signer>,
    scheduler: Address,
    network: NetworkId,
    patience: Duration,
    /// Since when results are known to have come late, ms: they wait for others like everything else.
    late_since: Mutex<Option<u64>>,
    /// What was read of slots that still wait, so that no look reads it again: as much as one bundle takes, and one slot.
    read: Mutex<BTreeMap<(Id, Slot), Owed>>,
}

/// What is due, and what waits.
#[derive(Debug, Default)]
pub struct Collected {
    /// What is due, if anything is.
    pub parcel: Option<Parcel>,
    /// Everything that was looked at, what is due included: not more than one bundle takes, and one slot.
    pub waiting: Backlog,
    /// Processes that stop at a slot that cannot be read. The others go on.
    pub broken: Vec<CollectError>,
}

/// Slots that are confirmed and in no shipment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub slots: usize,
    /// Bytes of their items.
    pub bytes: u64,
    /// When the oldest was assigned, ms.
    pub oldest_ms: Option<u64>,
}

/// A slot that waits.
struct Owed {
    process: Id,
    slot: Slot,
    row: ScheduleRow,
    items: Vec<Verified<DataItem>>,
    /// What the assignment says.
    link: Link,
}

/// Everything that waits, as far as one parcel can take it.
#[derive(Default)]
struct Queue {
    /// By process, each in order.
    owed: Vec<Owed>,
    /// Results whose slots are in shipments already.
    late: Vec<ResultsRecord>,
    broken: Vec<CollectError>,
}

impl Owed {
    fn waiting(&self) -> Waiting {
        let bytes = self.items.iter().map(|item| item.as_bytes().len() as u64).sum();
        Waiting { items: self.items.len(), bytes, since_ms: self.row.timestamp_ms, urgent: false }
    }
}

impl Collector {
    /// Collects what the processes of `scheduler` owe, in records that `signer` signs; the oldest slot waits `patience` for others.
    pub fn new(store: Arc<dyn Store>, signer: Arc<dyn Signer>, scheduler: Address, network: NetworkId, patience: Duration) -> Self {
        Self { store, signer, scheduler, network, patience, late_since: Mutex::default(), read: Mutex::default() }
    }

    /// Whether a slot waits that was due at `now_ms`, behind those that somebody is known to have brought to Arweave already: `claimed` is
    /// the first of a process that nobody has.
    ///
    /// # Errors
    /// The store's.
    pub fn is_late(&self, now_ms: u64, claimed: impl Fn(&Id) -> Slot) -> Result<bool, CollectError> {
        let mut from = Vec::new();
        loop {
            let page = schema::CONFIRMED.scan(&*self.store, &from, &[], Direction::Forward, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(false) };
            from = [&last.0[..], &[0]].concat();
            let all = page.len() < PAGE;
            for (process, confirmed) in page {
                let next = self.head(&process)?.next.max(claimed(&process));
                if next > confirmed || !self.is_of_scheduler(&process)? {
                    continue;
                }
                let row = schema::SCHEDULE.get(&*self.store, &(process, next))?.ok_or(CollectError::Missing { process, slot: next })?;
                if now_ms.saturating_sub(row.timestamp_ms) >= self.patience.as_millis() as u64 {
                    return Ok(true);
                }
            }
            if all {
                return Ok(false);
            }
        }
    }

    /// What is due at `now_ms`, if anything is.
    ///
    /// # Errors
    /// The store's, and rows that do not belong together.
    pub fn collect(&self, now_ms: u64) -> Result<Collected, CollectError> {
        let Queue { mut owed, late, mut broken } = self.queue()?;
        let late_since = {
            let mut since = self.late_since.lock();
            *since = (!late.is_empty()).then(|| since.unwrap_or(now_ms));
            since.unwrap_or(now_ms)
        };
        // Who stands in for another brings his slots: what this node has to say goes with its own.
        let own = self.signer.address() == self.scheduler;
        let mut extras = if own { extras::extras(&*self.store, &self.scheduler)? } else { Vec::new() };
        extras.extend(late.into_iter().map(|record| Extra::Results(record, late_since)));
        let mut waiting: Vec<Waiting> = extras.iter().map(|extra| extra.waiting(now_ms)).collect();
        waiting.extend(owed.iter().map(Owed::waiting));
        let processes = owed.chunk_by(|one, next| one.process == next.process).count();
        let records = (processes, processes as u64 * RECORD_BYTES + owed.len() as u64 * 96);
        let patience_ms = self.patience.as_millis() as u64;
        let count = due(&waiting, records, patience_ms, now_ms);
        let since_ms = waiting.iter().take(count).map(|one| one.since_ms).min().unwrap_or(u64::MAX);
        let waiting = Backlog {
            slots: owed.len(),
            bytes: waiting.iter().map(|one| one.bytes).sum(),
            oldest_ms: owed.iter().map(|owed| owed.row.timestamp_ms).min(),
        };
        let stay = owed.split_off(owed.len().min(count.saturating_sub(extras.len())));
        *self.read.lock() = stay.into_iter().map(|owed| ((owed.process, owed.slot), owed)).collect();
        if count == 0 {
            return Ok(Collected { parcel: None, waiting, broken });
        }
        let mut parcel = Parcel { items: Vec::new(), records: Vec::new(), covered: Vec::new(), since_ms };
        for extra in extras.into_iter().take(count) {
            let item = extra.item(&self.network, &*self.signer)?;
            parcel.records.extend(item.as_ref().map(|item| item.id()));
            parcel.items.extend(item);
        }
        let chain = Chain { scheduler: self.scheduler, tenure: 0 };
        let (frames, tail) = self.frames_with(&chain, &owed, &mut broken)?;
        for run in owed.chunk_by(|one, next| one.process == next.process) {
            for range in run.chunks(RANGE_SLOTS_MAX) {
                self.range(range, frames.proven, &mut parcel)?;
            }
        }
        self.frames(&chain, frames, tail, &mut parcel)?;
        // A module that several processes of this parcel have goes once.
        let mut seen = HashSet::with_capacity(parcel.items.len());
        parcel.items.retain(|item| seen.insert(item.id()));
        Ok(Collected { parcel: Some(parcel), waiting, broken })
    }

    /// Confirmed slots of the scheduler's processes that are in no shipment, as many as one bundle takes and one more. Of each process one range at most:
    /// the next one names this one. A process of which a slot cannot be read goes as far as it can be.
    fn queue(&self) -> Result<Queue, CollectError> {
        let mut known = std::mem::take(&mut *self.read.lock());
        let (mut queue, mut items, mut bytes, mut from) = (Queue::default(), 0, 0, Vec::new());
        loop {
            let page = schema::CONFIRMED.scan(&*self.store, &from, &[], Direction::Forward, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(queue) };
            from = [&last.0[..], &[0]].concat();
            let all = page.len() < PAGE;
            for (process, confirmed) in page {
                let head = self.head(&process)?;
                if head.next > confirmed {
                    if self.is_of_scheduler(&process)? {
                        self.late(process, &head, &mut queue)?;
                    }
                    continue;
                }
                if !self.is_of_scheduler(&process)? {
                    continue;
                }
                let end = confirmed.0.min(head.next.0.saturating_add(RANGE_SLOTS_MAX as u64 - 1));
                let mut log: Option<Log<'_>> = None;
                for slot in (head.next.0..=end).map(Slot) {
                    if items > FLUSH_ITEMS || bytes > FLUSH_BYTES {
                        return Ok(queue);
                    }
                    let one = match known.remove(&(process, slot)) {
                        // What is behind it is read from there on.
                        Some(one) => {
                            log = None;
                            one
                        }
                        None => {
                            let log = log.get_or_insert_with(|| Log::new(&*self.store, process, slot, Slot(end)));
                            match self.readable(process, slot, log.next()?, &mut queue.broken)? {
                                Some(one) => one,
                                None => break,
                            }
                        }
                    };
                    items += one.items.len();
                    bytes += one.waiting().bytes;
                    queue.owed.push(one);
                }
            }
            if all {
                return Ok(queue);
            }
        }
    }

    /// A slot, if it can be read. One that cannot stops its own process: what is broken, and what was pruned and nobody has just now.
    fn readable(
        &self,
        process: Id,
        slot: Slot,
        row: Option<ScheduleRow>,
        broken: &mut Vec<CollectError>,
    ) -> Result<Option<Owed>, CollectError> {
        match self.slot(process, slot, row) {
            Ok(one) => Ok(Some(one)),
            Err(CollectError::Store(error)) if !matches!(error, Error::Elsewhere { .. }) => Err(error.into()),
            Err(error) => {
                if broken.len() < ANCHOR_BROKEN_SHOWN {
                    broken.push(error);
                }
                Ok(None)
            }
        }
    }

    /// Results of a process all of whose slots are in shipments, and whose hashes are in no record.
    fn late(&self, process: Id, head: &AnchorHead, queue: &mut Queue) -> Result<(), Error> {
        if queue.late.len() >= ANCHOR_LATE_AT_ONCE {
            return Ok(());
        }
        let mut hashes = self.results(&process, head.results)?;
        // Of slots that are there.
        hashes.truncate(usize::try_from(head.next.0.saturating_sub(head.results.0)).unwrap_or(usize::MAX));
        if !hashes.is_empty() {
            queue.late.push(ResultsRecord { process, results: (head.results, hashes) });
        }
        Ok(())
    }

    fn is_of_scheduler(&self, process: &Id) -> Result<bool, Error> {
        let scheduler = self.scheduler.to_string();
        Ok(schema::PROCESSES.get(&*self.store, process)?.is_some_and(|row| row.scheduler == scheduler))
    }

    fn head(&self, process: &Id) -> Result<AnchorHead, Error> {
        let none = AnchorHead { next: Slot(0), range: None, ranges: 0, results: Slot(0) };
        Ok(schema::ANCHOR_HEADS.get(&*self.store, process)?.unwrap_or(none))
    }

    /// A slot with everything that belongs to it: the module before a process, the item, then its assignment. What is in the store was
    /// checked on its way there; that ids are those of the bytes is checked once more when the bundle is read again.
    fn slot(&self, process: Id, slot: Slot, row: Option<ScheduleRow>) -> Result<Owed, CollectError> {
        let missing = || CollectError::Missing { process, slot };
        let row = row.ok_or_else(missing)?;
        let mut items = Vec::with_capacity(3);
        if slot == Slot(0) {
            let module = schema::PROCESSES.get(&*self.store, &process)?.map(|row| row.module);
            items.extend(module.map(|id| self.module(&id)).transpose()?.flatten());
        }
        let item = schema::ITEMS.get(&*self.store, &row.item)?.ok_or_else(missing)?;
        items.extend(strict(&row.item, item));
        let assignment = reload(&row.assignment_id, row.assignment.clone())?;
        let link = Link::of(&assignment).ok_or_else(missing)?;
        items.push(assignment);
        Ok(Owed { process, slot, row, items, link })
    }

    /// A module that did not go there with another process. Where it came from does not say whether Arweave has it: a module costs once
    /// what it costs, and without it nothing of the process can be computed again.
    fn module(&self, id: &Id) -> Result<Option<Verified<DataItem>>, CollectError> {
        if schema::ANCHOR_ITEMS.contains(&*self.store, id)? {
            return Ok(None);
        }
        match schema::ITEMS.get(&*self.store, id)? {
            Some(bytes) => Ok(strict(id, bytes)),
            None => Ok(None),
        }
    }

    /// Frames that go along with these slots, and what stands in those that no range covers yet. None, where something of that cannot be
    /// read: then no proof goes either.
    fn frames_with(&self, chain: &Chain, owed: &[Owed], broken: &mut Vec<CollectError>) -> Result<(Frames, Vec<Owed>), CollectError> {
        let nothing = (Frames::default(), Vec::new());
        if owed.is_empty() {
            return Ok(nothing);
        }
        let next = owed.iter().map(|owed| (owed.process, owed.slot.next())).collect();
        let frames = frames::frames(&*self.store, chain, &next)?;
        let read = |(process, slot): &(Id, Slot)| self.slot(*process, *slot, schema::SCHEDULE.get(&*self.store, &(*process, *slot))?);
        match frames.tail.iter().map(read).collect::<Result<_, _>>() {
            Ok(tail) => Ok((frames, tail)),
            Err(CollectError::Store(error)) => Err(error.into()),
            Err(error) => {
                if broken.len() < ANCHOR_BROKEN_SHOWN {
                    broken.push(error);
                }
                Ok(nothing)
            }
        }
    }

    fn frames(&self, chain: &Chain, frames: Frames, tail: Vec<Owed>, parcel: &mut Parcel) -> Result<(), CollectError> {
        parcel.items.extend(tail.into_iter().flat_map(|owed| owed.items));
        let before = schema::ANCHOR_CHAINS.get(&*self.store, &(chain.scheduler, chain.tenure))?;
        frames.records(chain, before, |record| {
            let signed = Record::Frames(record).item(&self.network).map(|item| item.sign(&*self.signer)).transpose()?;
            let id = signed.as_ref().map(|item| item.id());
            parcel.records.extend(id);
            parcel.items.extend(signed);
            Ok(id)
        })
    }

    /// The items of a run of slots, and their record behind them. `proven`: the last frame whose proof may be shown.
    fn range(&self, slots: &[Owed], proven: Option<u64>, parcel: &mut Parcel) -> Result<(), CollectError> {
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Ok(()) };
        let head = self.head(&first.process)?;
        let record = RangeRecord {
            process: first.process,
            schedule_epoch: last.link.schedule_epoch,
            from: first.slot,
            hash_chain: last.link.hash_chain,
            previous: head.range,
            slots: slots.iter().map(|owed| (owed.row.item, owed.row.assignment_id)).collect(),
            results: (head.results, self.results(&first.process, head.results)?),
            certificates: self.certificate(last, proven)?.into_iter().collect(),
        };
        if let Some(item) = Record::Range(record).item(&self.network) {
            // Which blocks there were is an input of crons: whoever recovers the log evaluates it with the same.
            let item = match schema::DEV_GENESIS.get(&*self.store)? {
                Some(row) => item.tag(DevGenesis::TAG, DevGenesis::from(row).text()),
                None => item,
            };
            slots.iter().for_each(|owed| parcel.items.extend(owed.items.iter().cloned()));
            let record = item.sign(&*self.signer)?;
            parcel.records.push(record.id());
            parcel.items.push(record);
            parcel.covered.push(Covered { process: first.process, from: first.slot, to: last.slot });
        }
        Ok(())
    }

    /// Hashes of the results that are there, from this slot on.
    fn results(&self, process: &Id, from: Slot) -> Result<Vec<ResultHash>, Error> {
        let Some(evaluated) = schema::EVALUATION_HEADS.get(&*self.store, process)? else { return Ok(Vec::new()) };
        let there = (evaluated.slot.0 + 1).saturating_sub(from.0);
        // What was computed from a checkpoint of others is not this node's word before it found that the log gives that state.
        if there == 0 || begin::gap(&*self.store, *process)?.is_some() {
            return Ok(Vec::new());
        }
        hashes(&*self.store, process, from, RANGE_RESULTS_MAX.min(there as usize))
    }

    /// What proves a slot, and with its hash chain all before it; nothing where nobody else took part, or where what the proof speaks of
    /// does not go along.
    fn certificate(&self, owed: &Owed, proven: Option<u64>) -> Result<Option<Bytes>, Error> {
        let next = schema::ANCHOR_CHAINS.get(&*self.store, &(self.scheduler, 0))?.map_or(0, |row| row.next);
        let known = proven.map_or(next, |proven| proven.saturating_add(1));
        if schema::FRAME_OF.get(&*self.store, &(owed.process, owed.slot))?.is_none_or(|sequence| sequence >= known) {
            return Ok(None);
        }
        let proof = slot_proof(&*self.store, owed.process, owed.slot)?;
        let proof = proof.filter(|proof| !matches!(proof.confirmation.proof.as_ref(), Proof::Alone));
        Ok(proof.map(|proof| Bytes::from(proof.encode())).filter(|bytes| bytes.len() <= CERTIFICATE_BYTES_MAX))
    }
}

/// What a record of a range says of its last assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    schedule_epoch: u64,
    hash_chain: [u8; 32],
}

impl Link {
    /// Reads what it takes of an assignment, and no more: every slot's is looked at, and one of many is used.
    fn of(item: &DataItem) -> Option<Self> {
        let (mut kind, mut schedule_epoch, mut hash_chain) = (None, None, None);
        for TagRef { name, value } in item.tags() {
            let place = match name {
                b"Type" | b"type" => &mut kind,
                b"Epoch" => &mut schedule_epoch,
                b"Hash-Chain" => &mut hash_chain,
                _ => continue,
            };
            // The first of a name counts.
            place.get_or_insert(value);
        }
        let [schedule_epoch, hash_chain] = [schedule_epoch, hash_chain].map(|value| std::str::from_utf8(value?).ok());
        if kind != Some(Kind::Assignment.as_str().as_bytes()) {
            return None;
        }
        Some(Self { schedule_epoch: schedule_epoch?.parse().ok()?, hash_chain: Id::parse(hash_chain?).ok()?.0 })
    }
}

fn reload(id: &Id, bytes: Bytes) -> Result<Verified<DataItem>, CollectError> {
    Verified::reload_as(*id, bytes, Profile::Archive).map_err(|error| CollectError::Item { id: *id, error })
}

/// An item as it may go into a bundle; nothing for one of a form that only Arweave itself has: it is there already.
fn strict(id: &Id, bytes: Bytes) -> Option<Verified<DataItem>> {
    Verified::reload_as(*id, bytes, Profile::Strict).ok()
}
