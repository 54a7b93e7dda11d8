//! From confirmed slots to a parcel: which slots are due, their items in order, and the record of each range (`arweave.md`, section 8).
//!
//! Reads the store and signs records; writes nothing. What it returns is owed until the keeper remembers that it is on its way.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::driver::Parcel;
use ao_arweave::flush::{Waiting, due};
use ao_arweave::limits::{CERTIFICATE_BYTES_MAX, FLUSH_ITEMS, RANGE_RESULTS_MAX, RANGE_SLOTS_MAX};
use ao_arweave::pipeline::Covered;
use ao_arweave::records::{RangeRecord, Record};
use ao_consensus::Proof;
use ao_storage::schema::{self, AnchorHead, EvaluationKey, ScheduleRow};
use ao_storage::{Direction, Error, Store};
use ao_types::{Assignment, Canonical as _, DataItem, Id, ItemError, NetworkId, Profile, ResultHash, SignError, Signer, Slot, Verified};
use bytes::Bytes;

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
    scheduler: Arc<dyn Signer>,
    own: String,
    network: NetworkId,
    patience: Duration,
}

/// A slot that waits.
struct Owed {
    process: Id,
    slot: Slot,
    row: ScheduleRow,
    items: Vec<Verified<DataItem>>,
}

impl Collector {
    /// Collects what this scheduler's processes owe; the oldest slot waits `patience` for others.
    pub fn new(store: Arc<dyn Store>, scheduler: Arc<dyn Signer>, network: NetworkId, patience: Duration) -> Self {
        let own = scheduler.address().to_string();
        Self { store, scheduler, own, network, patience }
    }

    /// What is due at `now_ms`, if anything is.
    ///
    /// # Errors
    /// The store's, and rows that do not belong together.
    pub fn collect(&self, now_ms: u64) -> Result<Option<Parcel>, CollectError> {
        let owed = self.owed()?;
        let waiting: Vec<Waiting> = owed
            .iter()
            .map(|owed| Waiting {
                items: owed.items.len(),
                bytes: owed.items.iter().map(|item| item.as_bytes().len() as u64).sum(),
                since_ms: owed.row.timestamp_ms,
                urgent: false,
            })
            .collect();
        let processes = owed.chunk_by(|one, next| one.process == next.process).count();
        let records = (processes, processes as u64 * RECORD_BYTES + owed.len() as u64 * 96);
        let patience_ms = self.patience.as_millis() as u64;
        let count = due(&waiting, records, patience_ms, now_ms);
        let Some(owed) = owed.get(..count).filter(|owed| !owed.is_empty()) else { return Ok(None) };
        let mut parcel = Parcel { items: Vec::new(), covered: Vec::new(), since_ms: u64::MAX };
        for run in owed.chunk_by(|one, next| one.process == next.process) {
            for range in run.chunks(RANGE_SLOTS_MAX) {
                self.range(range, &mut parcel)?;
            }
        }
        Ok(Some(parcel))
    }

    /// Confirmed slots of own processes that are in no shipment, as many as one bundle takes and one more. Of each process one range at most:
    /// the next one names this one.
    fn owed(&self) -> Result<Vec<Owed>, CollectError> {
        let (mut owed, mut items, mut from) = (Vec::new(), 0, Vec::new());
        loop {
            let page = schema::CONFIRMED.scan(&*self.store, &from, &[], Direction::Forward, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(owed) };
            from = [&last.0[..], &[0]].concat();
            for (process, confirmed) in page {
                let next = self.head(&process)?.next;
                if next > confirmed || !self.is_own(&process)? {
                    continue;
                }
                let end = confirmed.0.min(next.0.saturating_add(RANGE_SLOTS_MAX as u64 - 1));
                for slot in (next.0..=end).map(Slot) {
                    if items > FLUSH_ITEMS {
                        return Ok(owed);
                    }
                    let one = self.slot(process, slot)?;
                    items += one.items.len();
                    owed.push(one);
                }
            }
        }
    }

    fn is_own(&self, process: &Id) -> Result<bool, Error> {
        Ok(schema::PROCESSES.get(&*self.store, process)?.is_some_and(|row| row.scheduler == self.own))
    }

    fn head(&self, process: &Id) -> Result<AnchorHead, Error> {
        let none = AnchorHead { next: Slot(0), range: None, ranges: 0, results: Slot(0) };
        Ok(schema::ANCHOR_HEADS.get(&*self.store, process)?.unwrap_or(none))
    }

    /// A slot with everything that belongs to it: the module before a process, the item, then its assignment.
    fn slot(&self, process: Id, slot: Slot) -> Result<Owed, CollectError> {
        let missing = || CollectError::Missing { process, slot };
        let row = schema::SCHEDULE.get(&*self.store, &(process, slot))?.ok_or_else(missing)?;
        let mut items = Vec::with_capacity(3);
        if slot == Slot(0) {
            let module = schema::PROCESSES.get(&*self.store, &process)?.map(|row| row.module);
            items.extend(module.map(|id| self.module(&id)).transpose()?.flatten());
        }
        let item = schema::ITEMS.get(&*self.store, &row.item)?.ok_or_else(missing)?;
        items.extend(strict(&row.item, item)?);
        let assignment = reload(&row.assignment_id, row.assignment.clone())?;
        items.push(assignment);
        Ok(Owed { process, slot, row, items })
    }

    /// A module that is not on Arweave, and did not go there with another process.
    fn module(&self, id: &Id) -> Result<Option<Verified<DataItem>>, CollectError> {
        let on_chain = schema::ITEM_INDEX.get(&*self.store, id)?.is_none_or(|row| row.block_height.is_some());
        if on_chain || schema::ANCHOR_ITEMS.contains(&*self.store, id)? {
            return Ok(None);
        }
        match schema::ITEMS.get(&*self.store, id)? {
            Some(bytes) => strict(id, bytes),
            None => Ok(None),
        }
    }

    /// The items of a run of slots, and their record behind them.
    fn range(&self, slots: &[Owed], parcel: &mut Parcel) -> Result<(), CollectError> {
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Ok(()) };
        let head = self.head(&first.process)?;
        let missing = || CollectError::Missing { process: last.process, slot: last.slot };
        let assignment = last.items.last().cloned().ok_or_else(missing)?;
        let assignment = Assignment::read(assignment).map_err(|_| missing())?;
        let record = RangeRecord {
            process: first.process,
            schedule_epoch: assignment.content().schedule_epoch,
            from: first.slot,
            hash_chain: *assignment.content().hash_chain.as_bytes(),
            previous: head.range,
            slots: slots.iter().map(|owed| (owed.row.item, owed.row.assignment_id)).collect(),
            results: (head.results, self.results(&first.process, head.results)?),
            certificates: self.certificate(last)?.into_iter().collect(),
        };
        if let Some(item) = Record::Range(record).item(&self.network) {
            slots.iter().for_each(|owed| parcel.items.extend(owed.items.iter().cloned()));
            parcel.items.push(item.sign(&*self.scheduler)?);
            parcel.covered.push(Covered { process: first.process, from: first.slot, to: last.slot });
            parcel.since_ms = slots.iter().map(|owed| owed.row.timestamp_ms).min().unwrap_or(u64::MAX).min(parcel.since_ms);
        }
        Ok(())
    }

    /// Hashes of the results that are there, from this slot on.
    fn results(&self, process: &Id, from: Slot) -> Result<Vec<ResultHash>, Error> {
        let Some(evaluated) = schema::EVALUATION_HEADS.get(&*self.store, process)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for slot in (from.0..=evaluated.slot.0).take(RANGE_RESULTS_MAX).map(Slot) {
            let key = EvaluationKey { process: *process, slot, cron: 0 };
            let Some(row) = schema::EVALUATIONS.get(&*self.store, &key)? else { break };
            found.push(row.result_hash);
        }
        Ok(found)
    }

    /// What proves a slot, and with its hash chain all before it; nothing where nobody else took part.
    fn certificate(&self, owed: &Owed) -> Result<Option<Bytes>, Error> {
        let proof = slot_proof(&*self.store, owed.process, owed.slot)?;
        let proof = proof.filter(|proof| !matches!(proof.confirmation.proof.as_ref(), Proof::Alone));
        Ok(proof.map(|proof| Bytes::from(proof.encode())).filter(|bytes| bytes.len() <= CERTIFICATE_BYTES_MAX))
    }
}

fn reload(id: &Id, bytes: Bytes) -> Result<Verified<DataItem>, CollectError> {
    Verified::reload(bytes).map_err(|error| CollectError::Item { id: *id, error })
}

/// An item as it may go into a bundle; nothing for one of a form that only Arweave itself has: it is there already.
fn strict(id: &Id, bytes: Bytes) -> Result<Option<Verified<DataItem>>, CollectError> {
    match DataItem::parse(bytes.clone(), Profile::Strict) {
        Ok(_) => reload(id, bytes).map(Some),
        Err(_) => Ok(None),
    }
}
