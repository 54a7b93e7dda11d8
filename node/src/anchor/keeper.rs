//! Where the pipeline remembers: rows of the node's store.
//!
//! One call, one synced batch. With a new shipment go the rows that say that its slots are no longer owed; with a settled one the level
//! that readers see. The anchored slot of a process is the one before the first that is under way: shipments may settle in any order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ao_arweave::driver::{KeepError, Keeper, Parcel, Remembered, Rows};
use ao_arweave::pipeline::{Alarm, Covered, Shipment, Spent, Stage};
use ao_arweave::records::Record;
use ao_storage::schema::{self, AnchorChainRow, AnchorHead, AnchorSpentRow, AnchoredStateRow, ShipmentItemsRow};
use ao_storage::{Direction, Durability, Error, Store, WriteBatch};
use ao_types::message::Kind;
use ao_types::{Canonical as _, DataItem, Id, Slot, Verified};
use parking_lot::Mutex;

use super::extras::mark;

/// Rows read at once when a node starts.
const PAGE: usize = 256;

/// Is told of processes that are anchored up to a slot, after the rows say so.
pub type Told = Arc<dyn Fn(Id, Slot) + Send + Sync>;

/// What this node signed for shipments that are looked after: transactions, or items where services bring them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Signed(Arc<Mutex<BTreeMap<u64, Vec<Id>>>>);

impl Signed {
    /// Whether it is one of them: then its slots are the pipeline's, which knows where they are.
    pub fn has(&self, id: &Id) -> bool {
        self.0.lock().values().any(|ids| ids.contains(id))
    }

    fn put(&self, shipment: &Shipment) {
        let mut all = self.0.lock();
        if matches!(shipment.stage, Stage::Done(_)) {
            all.remove(&shipment.number);
        } else {
            all.insert(shipment.number, shipment.carriers.iter().map(|carrier| carrier.id).collect());
        }
    }
}

/// See the module.
pub struct StoreKeeper {
    store: Arc<dyn Store>,
    told: Told,
    /// Slots of every shipment that is not settled.
    open: Mutex<BTreeMap<u64, Vec<Covered>>>,
    signed: Signed,
}

fn failed(error: Error) -> KeepError {
    KeepError(error.to_string())
}

impl StoreKeeper {
    /// On this store.
    pub fn new(store: Arc<dyn Store>, told: Told) -> Self {
        Self { store, told, open: Mutex::default(), signed: Signed::default() }
    }

    /// What was signed for the shipments that it remembers.
    pub fn signed(&self) -> Signed {
        self.signed.clone()
    }

    /// Every shipment that was remembered, oldest first, from this number on.
    ///
    /// # Errors
    /// The store's, and rows that are no shipments.
    pub fn page(store: &dyn Store, from: u64, limit: usize) -> Result<Vec<Shipment>, Error> {
        let rows = schema::SHIPMENTS.range(store, &from, &u64::MAX, Direction::Forward, limit)?;
        let read = |(number, row): (u64, bytes::Bytes)| {
            Shipment::decode(&row).map_err(|error| Error::Corrupt {
                what: "shipment".into(),
                place: format!("table shipments, number {number}"),
                reason: error.to_string(),
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// The rows that say that a parcel's slots are in a shipment.
    fn take(&self, batch: &mut WriteBatch, number: u64, parcel: &Parcel) -> Result<(), Error> {
        let mut seen = HashSet::with_capacity(parcel.items.len());
        let items = parcel.items.iter().map(|item| item.id()).filter(|id| seen.insert(*id)).collect();
        schema::SHIPMENT_ITEMS.put(batch, &number, &ShipmentItemsRow { items });
        for item in &parcel.items {
            if item.tag("Type") == Some("Module") {
                schema::ANCHOR_ITEMS.put(batch, &item.id(), &bytes::Bytes::new());
            }
            // Anybody can have an item assigned that says that it is a record, or that was one of ours long ago.
            if !parcel.records.contains(&item.id()) {
                continue;
            }
            if Kind::of(item) == Some(Kind::Checkpoint) {
                schema::ANCHOR_ITEMS.put(batch, &item.id(), item.as_bytes());
            }
            let record = Record::read(item).and_then(Result::ok);
            if let Some(mark) = mark(item, record.as_ref()) {
                schema::ANCHOR_ITEMS.put(batch, &mark, &bytes::Bytes::new());
            }
            let Some(record) = record else { continue };
            schema::ANCHOR_ITEMS.put(batch, &item.id(), item.as_bytes());
            if let Record::Frames(frames) = &record
                && let Some(last) = frames.frames.iter().rposition(|frame| !frame.proof.is_empty())
            {
                let row = AnchorChainRow { next: frames.from.saturating_add(last as u64 + 1), record: Some(item.id()) };
                schema::ANCHOR_CHAINS.put(batch, &(frames.scheduler, frames.tenure), &row);
            }
            if let Record::State(state) = &record {
                let row = AnchoredStateRow { slot: state.slot, state: state.state, at_ms: parcel.since_ms, record: item.id() };
                schema::ANCHORED_STATES.put(batch, &state.process, &row);
            }
            if let Record::Results(late) = &record
                && let Some(before) = schema::ANCHOR_HEADS.get(&*self.store, &late.process)?
            {
                let results = Slot(late.results.0.0.saturating_add(late.results.1.len() as u64));
                schema::ANCHOR_HEADS.put(batch, &late.process, &AnchorHead { results, ..before });
            }
            if let Record::Range(range) = record {
                let before = schema::ANCHOR_HEADS.get(&*self.store, &range.process)?;
                let head = AnchorHead {
                    next: range.to().next(),
                    range: Some(item.id()),
                    ranges: before.map_or(1, |head| head.ranges.saturating_add(1)),
                    results: Slot(range.results.0.0.saturating_add(range.results.1.len() as u64)),
                };
                schema::ANCHOR_HEADS.put(batch, &range.process, &head);
            }
        }
        Ok(())
    }

    /// The bytes of states that are on Arweave for good and will not be asked for again: they are large, and the next is another. Slots and
    /// records stay, as everything that others may need.
    fn free_states(&self, batch: &mut WriteBatch, shipment: &Shipment) -> Result<(), Error> {
        if !shipment.bundle.covered.is_empty() || !matches!(shipment.stage, Stage::Done(_)) {
            return Ok(());
        }
        let row = schema::SHIPMENT_ITEMS.get(&*self.store, &shipment.number)?;
        for id in row.into_iter().flat_map(|row| row.items) {
            let bytes = schema::ANCHOR_ITEMS.get(&*self.store, &id)?.filter(|bytes| !bytes.is_empty());
            let item = bytes.and_then(|bytes| Verified::<DataItem>::reload(bytes).ok());
            if item.is_some_and(|item| Kind::of(&item) == Some(Kind::Checkpoint)) {
                schema::ANCHOR_ITEMS.put(batch, &id, &bytes::Bytes::new());
            }
        }
        Ok(())
    }

    /// The level of every process that shipments cover, as it follows from those that are open. It falls only where something was unsettled
    /// (`true`): others may have brought more to Arweave than this node ([`super::observe`]).
    fn level(
        &self,
        batch: &mut WriteBatch,
        open: &BTreeMap<u64, Vec<Covered>>,
        processes: &BTreeMap<Id, bool>,
    ) -> Result<Vec<(Id, Slot)>, Error> {
        let mut levels = Vec::new();
        for (process, may_fall) in processes {
            let first = open.values().flatten().filter(|covered| covered.process == *process).map(|covered| covered.from).min();
            let next = match first {
                Some(first) => first,
                None => schema::ANCHOR_HEADS.get(&*self.store, process)?.map_or(Slot(0), |head| head.next),
            };
            let before = schema::ANCHORED.get(&*self.store, process)?;
            match next.0.checked_sub(1) {
                Some(last) if !may_fall && before.is_some_and(|before| before.0 > last) => {}
                Some(last) => {
                    schema::ANCHORED.put(batch, process, &Slot(last));
                    levels.push((*process, Slot(last)));
                }
                None if *may_fall => schema::ANCHORED.delete(batch, process),
                None => {}
            }
        }
        Ok(levels)
    }

    /// The bytes of an item that is in a shipment: of one that came in, of an assignment, or of a record.
    fn item(&self, id: &Id) -> Result<Option<bytes::Bytes>, Error> {
        if let Some(bytes) = schema::ITEMS.get(&*self.store, id)? {
            return Ok(Some(bytes));
        }
        if let Some(bytes) = schema::ANCHOR_ITEMS.get(&*self.store, id)?.filter(|bytes| !bytes.is_empty()) {
            return Ok(Some(bytes));
        }
        let Some(((_, process), slot)) = schema::SLOT_OF.prefix(&*self.store, id, Direction::Forward, 1)?.pop() else { return Ok(None) };
        let row = schema::SCHEDULE.get(&*self.store, &(process, slot))?.filter(|row| row.assignment_id == *id);
        Ok(row.map(|row| row.assignment))
    }
}

impl Keeper for StoreKeeper {
    fn load(&self) -> Result<Remembered, KeepError> {
        let mut open = self.open.lock();
        open.clear();
        let (mut shipments, mut next) = (Vec::new(), 1);
        loop {
            let page = Self::page(&*self.store, next, PAGE).map_err(failed)?;
            let Some(last) = page.last() else { break };
            next = last.number.saturating_add(1);
            for shipment in page.into_iter().filter(|shipment| !matches!(shipment.stage, Stage::Done(_))) {
                self.signed.put(&shipment);
                if !shipment.stage.is_settled() {
                    open.insert(shipment.number, shipment.bundle.covered.clone());
                }
                shipments.push(shipment);
            }
        }
        let spent = schema::ANCHOR_SPENT.get(&*self.store).map_err(failed)?;
        let spent = spent.map_or(Spent::default(), |row| Spent { day: row.day, winston: row.winston });
        Ok(Remembered { shipments, spent, next })
    }

    fn remember(&self, rows: Rows<'_>) -> Result<(), KeepError> {
        let Rows { shipments, spent, parcel, settled, unsettled } = rows;
        let mut batch = WriteBatch::default();
        // Seen by nobody else before the batch is written: a failure leaves it as it was.
        let mut open = self.open.lock();
        let mut after = open.clone();
        let mut changed: BTreeMap<Id, bool> = BTreeMap::new();
        for shipment in &shipments {
            schema::SHIPMENTS.put(&mut batch, &shipment.number, &shipment.encode().into());
            self.free_states(&mut batch, shipment).map_err(failed)?;
            if shipment.stage.is_settled() {
                after.remove(&shipment.number);
            } else {
                after.insert(shipment.number, shipment.bundle.covered.clone());
            }
            if settled.contains(&shipment.number) || unsettled.contains(&shipment.number) {
                let falls = unsettled.contains(&shipment.number);
                for covered in &shipment.bundle.covered {
                    *changed.entry(covered.process).or_default() |= falls;
                }
            }
        }
        if let Some(Spent { day, winston }) = spent {
            schema::ANCHOR_SPENT.put(&mut batch, &AnchorSpentRow { day, winston });
        }
        if let Some((number, parcel)) = parcel {
            self.take(&mut batch, number, parcel).map_err(failed)?;
        }
        let levels = self.level(&mut batch, &after, &changed).map_err(failed)?;
        self.store.write(batch, Durability::Synced).map_err(failed)?;
        *open = after;
        drop(open);
        shipments.iter().for_each(|shipment| self.signed.put(shipment));
        levels.into_iter().for_each(|(process, slot)| (self.told)(process, slot));
        Ok(())
    }

    fn items(&self, shipment: u64) -> Result<Vec<Verified<DataItem>>, KeepError> {
        let row = schema::SHIPMENT_ITEMS.get(&*self.store, &shipment).map_err(failed)?;
        let ids = row.ok_or_else(|| KeepError(format!("what shipment {shipment} is made of is not in the store")))?.items;
        let read = |id: &Id| {
            let bytes = self.item(id).map_err(failed)?.ok_or_else(|| KeepError(format!("item {id} of shipment {shipment} is gone")))?;
            Verified::reload(bytes).map_err(|error| KeepError(format!("item {id}: {error}")))
        };
        ids.iter().map(read).collect()
    }

    fn alarm(&self, shipment: u64, alarm: Alarm, why: &str) {
        let fix = super::view::fix(alarm);
        tracing::error!(event = "anchor_alarm", shipment, alarm = alarm.text(), why, fix);
    }
}
