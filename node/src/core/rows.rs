//! Rows that more than one transition writes.

use ao_consensus::schedule::Assigned;
use ao_storage::WriteBatch;
use ao_storage::schema::{self, ItemRow, OutboxKey, ProcessRow, ScheduleRow};
use ao_types::{DataItem, Id, Verified};

use super::input::{Indexed, Place};

/// An item's bytes, and its place in every index of the gateway.
pub fn put_item(
    rows: &mut WriteBatch,
    item: &Verified<DataItem>,
    index: &Indexed,
    sequence: u64,
    received_ms: u64,
    block_height: Option<u64>,
) {
    let Indexed { kind, owner, recipient, tags } = index;
    let id = item.id();
    schema::ITEMS.put(rows, &id, item.as_bytes());
    let row = ItemRow { kind: *kind, owner: *owner, recipient: *recipient, received_ms, sequence, block_height };
    schema::ITEM_INDEX.put(rows, &id, &row);
    schema::SEQUENCE.put(rows, &sequence, &id);
    schema::OWNER_INDEX.put(rows, &(*owner, sequence), &id);
    if let Some(recipient) = recipient {
        schema::RECIPIENT_INDEX.put(rows, &(*recipient, sequence), &id);
    }
    for tag in tags {
        schema::TAG_INDEX.put(rows, &(*tag, sequence), &id);
    }
}

/// A slot that was given.
pub struct Slotted<'a> {
    /// Whose log.
    pub process: Id,
    /// What has the slot.
    pub item: Id,
    /// What the item is to the process.
    pub place: &'a Place,
    /// The assignment.
    pub assigned: &'a Assigned,
    /// The outbox entry of this node that it delivers.
    pub pushed_by: Option<OutboxKey>,
    /// Whether this node pushes what its evaluation puts into the outbox.
    pub push: bool,
}

/// The slot and what is found by it; with a process's own item, the process. The log's head is the caller's: one row, however many slots.
pub fn put_slot(rows: &mut WriteBatch, slotted: &Slotted<'_>) {
    let Slotted { process, item, place, assigned, pushed_by, push } = slotted;
    let (slot, timestamp_ms, block_height) = (assigned.slot, assigned.timestamp.0, assigned.block_height);
    let row = ScheduleRow {
        item: *item,
        assignment_id: assigned.id,
        assignment: assigned.assignment.as_bytes().clone(),
        timestamp_ms,
        block_height,
        pushed_by: *pushed_by,
        push: *push,
    };
    schema::SCHEDULE.put(rows, &(*process, slot), &row);
    schema::SLOT_OF.put(rows, &(*item, *process), &slot);
    schema::SLOT_OF.put(rows, &(assigned.id, *process), &slot);
    match place {
        Place::Spawn(spawn) => {
            let row = ProcessRow {
                owner: spawn.owner,
                module: spawn.module,
                scheduler: spawn.scheduler.clone(),
                parent: spawn.parent,
                timestamp_ms,
                block_height,
                has_cron: spawn.has_cron,
            };
            schema::PROCESSES.put(rows, process, &row);
        }
        Place::Log { content: Some(content), .. } => schema::CONTENT.put(rows, &(*process, *content), &slot),
        Place::Log { .. } | Place::Store | Place::Elsewhere { .. } | Place::Lacking { .. } => {}
    }
}
