//! Digests of the slots that were written lately: who compares a log with what others brought somewhere need not read it from the store.
//!
//! In memory, and of one size. Every slot has one place, which it shares with others; those of one process follow on each other, so that
//! nothing of a busy log displaces the rest of it. What is not here is in the store, and what is here is what the store had when it was
//! written: whoever drops rows says so ([`Digests::forget`]).

use std::collections::HashMap;
use std::sync::OnceLock;

use ao_storage::schema::ScheduleRow;
use ao_storage::typed::Row as _;
use ao_storage::{Table, WriteBatch};
use ao_types::hash::sha256;
use ao_types::{Id, Slot};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::limits::DIGESTS_MAX;

const KEY: usize = 40;
/// Process, slot, digest. All zeros: nobody's.
type Place = [u8; KEY + 32];

/// See the module.
#[derive(Default)]
pub struct Digests(OnceLock<Mutex<Vec<Place>>>);

/// Rows of a batch that concern slots.
#[derive(Default)]
pub struct Written {
    slots: Vec<(Vec<u8>, Option<Bytes>)>,
    items: HashMap<Vec<u8>, Bytes>,
}

impl Digests {
    /// From now on digests are kept. Without anybody who asks for them they only cost.
    pub fn keep(&self) {
        self.0.get_or_init(|| Mutex::new(vec![[0; KEY + 32]; DIGESTS_MAX]));
    }

    /// What [`Digests::see`] is told once this batch is written.
    pub fn of(&self, rows: &WriteBatch) -> Written {
        let mut written = Written::default();
        if self.0.get().is_none() {
            return written;
        }
        for (table, key, row) in &rows.writes {
            match (table, row) {
                (Table::Schedule, row) => written.slots.push((key.clone(), row.clone())),
                (Table::Items, Some(row)) => drop(written.items.insert(key.clone(), row.clone())),
                _ => {}
            }
        }
        written
    }

    /// These are written.
    pub fn see(&self, written: &Written) {
        let Some(places) = self.0.get() else { return };
        for (key, row) in &written.slots {
            let digest = row.as_ref().and_then(|row| {
                let row = ScheduleRow::decode(row).ok()?;
                let item = written.items.get(&row.item.0[..])?;
                Some(digest((&row.item, item), (&row.assignment_id, &row.assignment)))
            });
            let Some(at) = place_of(key) else { continue };
            let mut places = places.lock();
            let place = &mut places[at];
            match digest {
                Some(digest) => {
                    place[..KEY].copy_from_slice(key);
                    place[KEY..].copy_from_slice(&digest);
                }
                // What was there before it is there no more.
                None if place[..KEY] == key[..] => *place = [0; KEY + 32],
                None => {}
            }
        }
    }

    /// Rows were dropped: nothing that is here counts any more.
    pub fn forget(&self) {
        if let Some(places) = self.0.get() {
            places.lock().fill([0; KEY + 32]);
        }
    }

    /// The [`digest`] of a slot, if it is known.
    pub fn get(&self, process: &Id, slot: Slot) -> Option<[u8; 32]> {
        let key = [&process.0[..], &slot.0.to_be_bytes()].concat();
        let places = self.0.get()?.lock();
        let (of, digest) = places[place_of(&key)?].split_at(KEY);
        (of == key).then(|| digest.try_into().ok()).flatten()
    }
}

/// Over what stands in a slot: the item, and its assignment, each with the name that it goes by.
pub fn digest((item, bytes): (&Id, &[u8]), (assignment, assigned): (&Id, &[u8])) -> [u8; 32] {
    sha256(&[&item.0, &assignment.0, &(bytes.len() as u64).to_be_bytes(), bytes, assigned])
}

/// Slots of a process lie side by side. `None` for what is no key of a slot.
fn place_of(key: &[u8]) -> Option<usize> {
    let (process, slot) = (key.first_chunk()?, key.get(32..)?.try_into().ok()?);
    let sum = u64::from_be_bytes(*process).wrapping_add(u64::from_be_bytes(slot));
    Some((sum % DIGESTS_MAX as u64) as usize)
}

#[cfg(test)]
mod tests {
    use ao_storage::schema;

    use super::*;

    const PROCESS: Id = Id([1; 32]);

    fn row(item: Id) -> ScheduleRow {
        let assignment = Bytes::from(vec![item.0[0]; 9]);
        ScheduleRow { item, assignment_id: Id([7; 32]), assignment, timestamp_ms: 1, block_height: 1, pushed_by: None, push: false }
    }

    fn put(process: Id, slot: u64, item: Option<u8>) -> WriteBatch {
        let mut batch = WriteBatch::default();
        let id = Id([item.unwrap_or(3); 32]);
        schema::SCHEDULE.put(&mut batch, &(process, Slot(slot)), &row(id));
        if let Some(byte) = item {
            schema::ITEMS.put(&mut batch, &id, &Bytes::from(vec![byte; 5]));
        }
        batch
    }

    fn kept() -> Digests {
        let digests = Digests::default();
        digests.keep();
        digests
    }

    fn written(digests: &Digests, batch: &WriteBatch) {
        digests.see(&digests.of(batch));
    }

    #[test]
    fn what_is_written_is_known_until_it_is_something_else() {
        let digests = kept();
        written(&digests, &put(PROCESS, 4, Some(3)));
        let id = Id([3; 32]);
        let expected = digest((&id, &[3; 5]), (&Id([7; 32]), &[3; 9]));
        assert_eq!(digests.get(&PROCESS, Slot(4)), Some(expected));
        assert_eq!((digests.get(&PROCESS, Slot(5)), digests.get(&Id([2; 32]), Slot(4))), (None, None));
        // Where bytes end and others begin is part of it.
        assert_ne!(digest((&id, &[3; 6]), (&Id([7; 32]), &[3; 8])), expected);
        written(&digests, &put(PROCESS, 4, Some(8)));
        assert!(digests.get(&PROCESS, Slot(4)).is_some_and(|digest| digest != expected));
        written(&digests, &put(PROCESS, 4, None));
        assert_eq!(digests.get(&PROCESS, Slot(4)), None, "its item was written before: it is looked up");
        written(&digests, &put(PROCESS, 4, Some(3)));
        let mut gone = WriteBatch::default();
        schema::SCHEDULE.delete(&mut gone, &(PROCESS, Slot(4)));
        written(&digests, &gone);
        assert_eq!(digests.get(&PROCESS, Slot(4)), None);
        written(&digests, &put(PROCESS, 4, Some(3)));
        digests.forget();
        assert_eq!(digests.get(&PROCESS, Slot(4)), None);
    }

    #[test]
    fn there_are_only_so_many() {
        let digests = kept();
        written(&digests, &put(PROCESS, 0, Some(3)));
        written(&digests, &put(PROCESS, 1, Some(3)));
        written(&digests, &put(PROCESS, DIGESTS_MAX as u64, Some(4)));
        assert_eq!(digests.get(&PROCESS, Slot(0)), None, "another one has its place");
        assert!(digests.get(&PROCESS, Slot(1)).is_some() && digests.get(&PROCESS, Slot(DIGESTS_MAX as u64)).is_some());
        // Whoever drops a slot whose place another one has takes nothing from that.
        let mut gone = WriteBatch::default();
        schema::SCHEDULE.delete(&mut gone, &(PROCESS, Slot(0)));
        written(&digests, &gone);
        assert!(digests.get(&PROCESS, Slot(DIGESTS_MAX as u64)).is_some());
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let digests = Digests::default();
        written(&digests, &put(PROCESS, 0, Some(3)));
        assert_eq!(digests.get(&PROCESS, Slot(0)), None);
        assert!(digests.of(&put(PROCESS, 0, Some(3))).slots.is_empty());
    }
}
