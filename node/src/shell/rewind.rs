//! Takes frames that can never be confirmed out of the store, with every row that says something about their slots.
//!
//! Items stay: they are their signers' words, and may get a slot again. Nothing confirmed is ever touched, so no result and no outbox is.

use std::collections::BTreeMap;

use ao_consensus::checks::contents::Read;
use ao_consensus::{Chain, Frame};
use ao_storage::schema::{self, FrameKey, Head};
use ao_storage::{Direction, Durability, Error, Store, WriteBatch};
use ao_types::{ContentKey, Id, Slot};

use super::{facts, frames};
use crate::limits::RECOVER_PAGE;

/// Drops the frames of a chain from a sequence on; how many there were. One synced batch: all or nothing.
///
/// # Errors
/// The store's; a frame among them that is confirmed, which no engine may contradict.
pub fn rewind(store: &dyn Store, chain: Chain, from: u64) -> Result<usize, Error> {
    let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
    // No more than FRAMES_UNCONFIRMED_MAX are above a confirmed one, whoever made them.
    let rows = schema::FRAMES.range(store, &key(from), &key(u64::MAX), Direction::Forward, RECOVER_PAGE)?;
    let mut batch = WriteBatch::default();
    let mut lowest: BTreeMap<Id, Slot> = BTreeMap::new();
    let dropped = rows.len();
    for (at, row) in rows {
        let corrupt = |reason: String| corrupt(at.sequence, reason);
        if row.proof.is_some() {
            return Err(corrupt("it is confirmed, and another frame for its place is certified".to_owned()));
        }
        for entry in Frame::decode(&row.frame).map_err(|error| corrupt(error.to_string()))?.entries {
            let (process, slot) = (entry.process, entry.slot);
            let known = lowest.entry(process).or_insert(slot);
            *known = slot.min(*known);
            schema::SCHEDULE.delete(&mut batch, &(process, slot));
            schema::FRAME_OF.delete(&mut batch, &(process, slot));
            for id in [entry.item, entry.assignment] {
                if schema::SLOT_OF.get(store, &(id, process))? == Some(slot) {
                    schema::SLOT_OF.delete(&mut batch, &(id, process));
                }
            }
            let pushed = facts::item(store, entry.item)?.filter(|item| item.tag("From-Process").is_some());
            if let Some(content) = pushed.map(|item| ContentKey::of(&item).0)
                && schema::CONTENT.get(store, &(process, content))? == Some(slot)
            {
                schema::CONTENT.delete(&mut batch, &(process, content));
            }
        }
        schema::FRAMES.delete(&mut batch, &at);
    }
    for (process, slot) in lowest {
        match slot.0.checked_sub(1) {
            Some(before) => schema::HEADS.put(&mut batch, &process, &head(store, process, Slot(before))?),
            None => {
                schema::HEADS.delete(&mut batch, &process);
                schema::PROCESSES.delete(&mut batch, &process);
            }
        }
    }
    store.write(batch, Durability::Synced)?;
    Ok(dropped)
}

/// The head that a log had after this slot.
fn head(store: &dyn Store, process: Id, slot: Slot) -> Result<Head, Error> {
    let corrupt =
        |reason: &str| Error::Corrupt { what: "schedule".into(), place: format!("{process}, slot {slot}"), reason: reason.to_owned() };
    let row = schema::SCHEDULE.get(store, &(process, slot))?.ok_or_else(|| corrupt("it is not here"))?;
    let assignment =
        ao_types::Verified::<ao_types::DataItem>::reload(row.assignment).map_err(|_| corrupt("its assignment cannot be read"))?;
    let assigned = Read::of(assignment).map(|read| frames::assigned(&read)).map_err(|_| corrupt("its assignment is none"))?;
    Ok(crate::core::head_of(&assigned))
}

fn corrupt(sequence: u64, reason: String) -> Error {
    Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {sequence}"), reason }
}
