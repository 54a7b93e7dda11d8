//! Retention: messages that are on Arweave for good, and that nothing here needs, give their room back.
//!
//! ```text
//!   SHIPMENTS (done) ─▶ items of a shipment ─▶ which may go ─▶ one batch: ITEMS out, PRUNED in
//!                                                                  │
//!   readers who may wait ◀─ elsewhere.rs ◀─ gateway, by root ◀─────┘ number of the shipment
//! ```
//!
//! What may go is the bytes of a message, never a row about it. It must be
//! * in a shipment that is done: settled, read back, and looked at again long after ([`Stage::Done`]), so that nothing composes it again;
//! * in logs only whose slot with it is anchored, evaluated and at or below the oldest state that is kept to go on from;
//! * older than what is kept by the policy, in every one of those logs;
//! * not waited for by an outbox.
//!
//! Kept for ever: processes, modules and everything else that is no message; assignments, which are small and carry the hash chain, so that
//! logs and proofs stay whole; and what came out of a process's outbox, because whether a later message repeats it is decided by comparing the
//! two (`protocol.md` §7.3), and every node must decide alike, offline too.
//!
//! Peers get frames with bodies as long as bodies are kept; who is further behind takes the log from Arweave.

use std::collections::BTreeSet;

use ao_arweave::driver::Keeper as _;
use ao_arweave::pipeline::Stage;
use ao_storage::schema::{self, ItemKind, PrunedRow};
use ao_storage::{Direction, Durability, Error, Store, WriteBatch};
use ao_types::{DataItem, Id, Profile, Slot};
use bytes::Bytes;

use crate::anchor::keeper::StoreKeeper;
use crate::shell::{begin, checkpoints};

pub mod beside;
pub mod elsewhere;
pub mod limits;

use limits::{LOGS_MAX, OUTBOX_ITEMS_MAX};

/// What a pass did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Shipments looked at.
    pub shipments: u64,
    /// Items that went.
    pub items: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Items that stay for now: too young, not settled everywhere, or needed.
    pub waiting: u64,
}

/// A pass over the shipments, a few at a time.
#[derive(Clone, Debug)]
pub struct Pass {
    /// What is younger stays, ms since 1970.
    before_ms: u64,
    /// Changes nothing.
    dry_run: bool,
    /// The next shipment.
    next: u64,
    /// The first shipment that a later pass must look at again.
    first_waiting: Option<u64>,
    /// What went so far.
    pub done: Pruned,
}

/// What becomes of an item.
enum Fate {
    /// It is no message, came out of an outbox, stands in many logs, or went already.
    Stays,
    /// A later pass looks again.
    Waits,
    /// It goes: so many bytes.
    Goes(u32),
}

impl Pass {
    /// Begins with a shipment, 0 for all. What was assigned at `before_ms` or later stays.
    pub fn new(from: u64, before_ms: u64, dry_run: bool) -> Self {
        Self { before_ms, dry_run, next: from, first_waiting: None, done: Pruned::default() }
    }

    /// Where the next pass begins: nothing before has anything left that can go.
    pub fn next_from(&self) -> u64 {
        self.first_waiting.unwrap_or(self.next)
    }

    /// Looks at a few more shipments; whether there may be others. One small batch for each, not synced: a crash leaves bytes here that a
    /// later pass finds again.
    ///
    /// # Errors
    /// The store's.
    pub fn turn(&mut self, store: &std::sync::Arc<dyn Store>, shipments: usize) -> Result<bool, Error> {
        let page = StoreKeeper::page(&**store, self.next, shipments)?;
        if page.is_empty() {
            return Ok(false);
        }
        let Some(needed) = outbox(&**store)? else { return Ok(false) };
        let keeper = StoreKeeper::new(store.clone(), std::sync::Arc::new(|_, _| {}));
        for shipment in page {
            self.next = shipment.number.saturating_add(1);
            self.done.shipments += 1;
            if !matches!(shipment.stage, Stage::Done(_)) {
                self.first_waiting.get_or_insert(shipment.number);
                continue;
            }
            let Some(row) = schema::SHIPMENT_ITEMS.get(&**store, &shipment.number)? else { continue };
            let (mut going, mut bytes, mut part_gone) = (Vec::new(), 0_u64, false);
            for id in row.items {
                part_gone |= schema::PRUNED.contains(&**store, &id)?;
                match self.fate(&**store, &needed, &id)? {
                    Fate::Stays => {}
                    Fate::Waits => {
                        self.done.waiting += 1;
                        self.first_waiting.get_or_insert(shipment.number);
                    }
                    Fate::Goes(size) => {
                        bytes += u64::from(size);
                        going.push((id, PrunedRow { shipment: shipment.number, bytes: size }));
                    }
                }
            }
            if going.is_empty() {
                continue;
            }
            if !self.dry_run {
                if !is_the_bundle(&keeper, shipment.number, &shipment.bundle.root, part_gone) {
                    let number = shipment.number;
                    tracing::error!(
                        event = "not_pruned",
                        shipment = number,
                        "items here are not those that it carries; `aonode db check` says more"
                    );
                    continue;
                }
                let mut batch = WriteBatch::default();
                for (id, row) in &going {
                    schema::ITEMS.delete(&mut batch, id);
                    schema::PRUNED.put(&mut batch, id, row);
                }
                store.write(batch, Durability::Buffered)?;
            }
            self.done.items += going.len() as u64;
            self.done.bytes += bytes;
        }
        Ok(true)
    }

    fn fate(&self, store: &dyn Store, needed: &BTreeSet<Id>, id: &Id) -> Result<Fate, Error> {
        if schema::ITEM_INDEX.get(store, id)?.is_none_or(|row| row.kind != ItemKind::Message) {
            return Ok(Fate::Stays);
        }
        let Some(bytes) = schema::ITEMS.get(store, id)? else { return Ok(Fate::Stays) };
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if came_out_of_a_process(bytes) {
            return Ok(Fate::Stays);
        }
        let logs = schema::SLOT_OF.prefix(store, id, Direction::Forward, LOGS_MAX + 1)?;
        // Logs only become more: no later pass need look again.
        if logs.len() > LOGS_MAX {
            return Ok(Fate::Stays);
        }
        if logs.is_empty() || needed.contains(id) {
            return Ok(Fate::Waits);
        }
        for ((_, process), slot) in logs {
            let row = schema::SCHEDULE.get(store, &(process, slot))?;
            let old = row.is_some_and(|row| row.timestamp_ms < self.before_ms);
            if !old || done_with(store, process)?.is_none_or(|last| slot > last) {
                return Ok(Fate::Waits);
            }
        }
        Ok(Fate::Goes(size))
    }
}

/// What does not read stays for `db check` to find.
fn came_out_of_a_process(bytes: Bytes) -> bool {
    DataItem::parse(bytes, Profile::Archive).map_or(true, |item| item.tag("From-Process").is_some())
}

/// The last slot of a log that is anchored and evaluated, and not needed to go on from the oldest state that is kept.
fn done_with(store: &dyn Store, process: Id) -> Result<Option<Slot>, Error> {
    let (Some(anchored), Some(evaluated)) = (schema::ANCHORED.get(store, &process)?, schema::EVALUATION_HEADS.get(store, &process)?) else {
        return Ok(None);
    };
    // What lies before a checkpoint at which evaluation began is still needed here.
    if begin::gap(store, process)?.is_some() {
        return Ok(None);
    }
    let states = checkpoints::until(store, process, Some((Slot(u64::MAX), u32::MAX - 1)))?;
    let oldest = states.iter().rev().find(|(_, row)| row.parent.is_none());
    let Some((oldest, _)) = oldest else { return Ok(None) };
    if !schema::CHECKPOINT_BODIES.contains(store, oldest)? {
        return Ok(None);
    }
    Ok(Some(anchored.min(evaluated.slot).min(oldest.slot)))
}

/// Items that deliveries still need; `None`: more than are held in memory.
fn outbox(store: &dyn Store) -> Result<Option<BTreeSet<Id>>, Error> {
    let (mut needed, mut failed) = (BTreeSet::new(), None);
    schema::OUTBOX.each(store, |row| {
        match row {
            Ok((_, row)) => needed.extend(row.subject),
            Err(error) => failed = Some(error),
        }
        failed.is_none() && needed.len() <= OUTBOX_ITEMS_MAX
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok((needed.len() <= OUTBOX_ITEMS_MAX).then_some(needed)),
    }
}

/// Whether what is here is byte for byte what lies on Arweave under the root. Where a part has gone already that was found out then.
fn is_the_bundle(keeper: &StoreKeeper, number: u64, root: &[u8; 32], part_gone: bool) -> bool {
    match keeper.items(number) {
        Ok(items) => ao_arweave::compose::compose(&items).is_ok_and(|composed| composed.root() == *root),
        Err(_) => part_gone,
    }
}
