//! Digests of the slots that were written lately: who compares a log with what others brought somewhere need not read it from the store.
//!
//! In memory, and of one size. Every slot has one place, which it shares with others; those of one process follow on each other, so that
//! nothing of a busy log displaces the rest of it. What is not here is in the store, and what is here is what the store had when it was
//! written: whoever drops rows says so ([`Digests::forget`]).
//!
//! A digest is the tag of AES-GCM over what is in a slot, under a key that nobody but this process has and that tags never leave: a
//! universal hash, several times as fast as SHA-256. Two slots have the same one with a chance of less than one in 2^100, whoever made them.

use std::collections::HashMap;
use std::sync::OnceLock;

use ao_storage::schema::ScheduleRow;
use ao_storage::typed::{Key as _, Row as _};
use ao_storage::{Table, WriteBatch};
use ao_types::{Id, Slot};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::limits::DIGESTS_MAX;

const KEY: usize = 40;
const TAG: usize = 16;
/// Process, slot, digest. All zeros: nobody's.
type Place = [u8; KEY + TAG];

/// See the module.
#[derive(Default)]
pub struct Digests(OnceLock<Kept>);

struct Kept {
    key: LessSafeKey,
    places: Mutex<Vec<Place>>,
}

/// Rows of a batch that concern slots.
#[derive(Default)]
pub struct Written {
    slots: Vec<(Vec<u8>, Option<Bytes>)>,
    items: HashMap<Vec<u8>, Bytes>,
}

/// What stands in a slot: an item or its assignment, with the name that it goes by.
pub type Named<'a> = (&'a Id, &'a [u8]);

impl Digests {
    /// From now on digests are kept. Without anybody who asks for them they only cost. Where the system has no entropy none are.
    pub fn keep(&self) {
        let mut key = [0; 16];
        if self.0.get().is_some() || aws_lc_rs::rand::fill(&mut key).is_err() {
            return;
        }
        if let Ok(key) = UnboundKey::new(&AES_128_GCM, &key) {
            self.0.get_or_init(|| Kept { key: LessSafeKey::new(key), places: Mutex::new(vec![[0; KEY + TAG]; DIGESTS_MAX]) });
        }
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
        let Some(kept) = self.0.get() else { return };
        for (key, row) in &written.slots {
            let tag = row.as_ref().and_then(|row| {
                let row = ScheduleRow::decode(row).ok()?;
                let item = written.items.get(&row.item.0[..])?;
                kept.tag((&row.item, item), (&row.assignment_id, &row.assignment))
            });
            let Some(at) = place_of(key) else { continue };
            let mut places = kept.places.lock();
            let place = &mut places[at];
            match tag {
                Some(tag) => {
                    place[..KEY].copy_from_slice(key);
                    place[KEY..].copy_from_slice(&tag);
                }
                // What was there before it is there no more.
                None if place[..KEY] == key[..] => *place = [0; KEY + TAG],
                None => {}
            }
        }
    }

    /// Rows were dropped: nothing that is here counts any more.
    pub fn forget(&self) {
        if let Some(kept) = self.0.get() {
            kept.places.lock().fill([0; KEY + TAG]);
        }
    }

    /// Whether this is known to stand in a slot. If not, it is for the store to say.
    pub fn know(&self, (process, slot): (&Id, Slot), item: Named<'_>, assignment: Named<'_>) -> bool {
        let Some(kept) = self.0.get() else { return false };
        let key = (*process, slot).to_bytes();
        let place = place_of(&key).map(|at| kept.places.lock()[at]);
        place.is_some_and(|place| place[..KEY] == key && kept.tag(item, assignment).is_some_and(|tag| tag[..] == place[KEY..]))
    }
}

impl Kept {
    fn tag(&self, (item, bytes): Named<'_>, (assignment, assigned): Named<'_>) -> Option<[u8; TAG]> {
        let all = [&item.0[..], &assignment.0, &(bytes.len() as u64).to_be_bytes(), bytes, assigned].concat();
        // Nothing is encrypted, and tags stay here: one nonce is as good as another.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(all), &mut []).ok()?;
        tag.as_ref().try_into().ok()
    }
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
    const ASSIGNMENT: Id = Id([7; 32]);

    fn row(item: Id) -> ScheduleRow {
        let assignment = Bytes::from(vec![item.0[0]; 9]);
        ScheduleRow { item, assignment_id: ASSIGNMENT, assignment, timestamp_ms: 1, block_height: 1, pushed_by: None, push: false }
    }

    fn put(process: Id, slot: u64, item: u8) -> WriteBatch {
        let mut batch = WriteBatch::default();
        let id = Id([item; 32]);
        schema::SCHEDULE.put(&mut batch, &(process, Slot(slot)), &row(id));
        schema::ITEMS.put(&mut batch, &id, &Bytes::from(vec![item; 5]));
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

    /// Whether a slot is known to have what [`put`] put there.
    fn known(digests: &Digests, slot: u64, item: u8) -> bool {
        digests.know((&PROCESS, Slot(slot)), (&Id([item; 32]), &[item; 5]), (&ASSIGNMENT, &[item; 9]))
    }

    #[test]
    fn what_is_written_is_known_until_it_is_something_else() {
        let digests = kept();
        written(&digests, &put(PROCESS, 4, 3));
        assert!(known(&digests, 4, 3));
        assert!(!known(&digests, 5, 3) && !known(&digests, 4, 8));
        written(&digests, &put(PROCESS, 4, 8));
        assert!(known(&digests, 4, 8) && !known(&digests, 4, 3));
        let mut alone = put(PROCESS, 4, 8);
        alone.writes.retain(|(table, ..)| *table == Table::Schedule);
        written(&digests, &alone);
        assert!(!known(&digests, 4, 8), "its item was written before: it is looked up");
        written(&digests, &put(PROCESS, 4, 3));
        let mut gone = WriteBatch::default();
        schema::SCHEDULE.delete(&mut gone, &(PROCESS, Slot(4)));
        written(&digests, &gone);
        assert!(!known(&digests, 4, 3));
        written(&digests, &put(PROCESS, 4, 3));
        digests.forget();
        assert!(!known(&digests, 4, 3));
    }

    #[test]
    fn every_bit_counts_and_where_one_thing_ends() {
        let (digests, slot) = (kept(), (&PROCESS, Slot(4)));
        written(&digests, &put(PROCESS, 4, 3));
        let (item, bytes, assigned) = (Id([3; 32]), [3; 5], [3; 9]);
        assert!(digests.know(slot, (&item, &bytes), (&ASSIGNMENT, &assigned)));
        for bit in 0..8 * (32 + 32 + 5 + 9) {
            let (mut item, mut bytes, mut assignment, mut assigned) = (item.0, bytes, ASSIGNMENT.0, assigned);
            let mut all = item.iter_mut().chain(&mut bytes).chain(&mut assignment).chain(&mut assigned);
            *all.nth(bit / 8).unwrap() ^= 1 << (bit % 8);
            assert!(!digests.know(slot, (&Id(item), &bytes), (&Id(assignment), &assigned)), "{bit}");
        }
        assert!(!digests.know(slot, (&item, &[3; 6]), (&ASSIGNMENT, &[3; 8])));
        assert!(!digests.know(slot, (&ASSIGNMENT, &bytes), (&item, &assigned)));
    }

    #[test]
    fn there_are_only_so_many() {
        let (digests, far) = (kept(), DIGESTS_MAX as u64);
        written(&digests, &put(PROCESS, 0, 3));
        written(&digests, &put(PROCESS, 1, 3));
        written(&digests, &put(PROCESS, far, 4));
        assert!(!known(&digests, 0, 3), "another one has its place");
        assert!(known(&digests, 1, 3) && known(&digests, far, 4));
        // Whoever drops a slot whose place another one has takes nothing from that.
        let mut gone = WriteBatch::default();
        schema::SCHEDULE.delete(&mut gone, &(PROCESS, Slot(0)));
        written(&digests, &gone);
        assert!(known(&digests, far, 4));
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let digests = Digests::default();
        written(&digests, &put(PROCESS, 0, 3));
        assert!(!known(&digests, 0, 3));
        assert!(digests.of(&put(PROCESS, 0, 3)).slots.is_empty());
    }
}
