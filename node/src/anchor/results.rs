//! Hashes of the results of a process, in order of its slots.

use ao_storage::schema::{self, EvaluationKey, EvaluationRow};
use ao_storage::{Error, Store};
use ao_types::{Id, ResultHash, Slot};

/// Hashes from this slot on, of slots that follow on each other, `max` at most. Those of cron messages are no part of a log.
///
/// # Errors
/// The store's.
pub fn hashes(store: &dyn Store, process: &Id, from: Slot, max: usize) -> Result<Vec<ResultHash>, Error> {
    let mut found = Vec::new();
    if max == 0 {
        return Ok(found);
    }
    let key = |slot, cron| EvaluationKey { process: *process, slot, cron };
    let (from, end) = (key(from, 0), key(Slot(u64::MAX), u32::MAX));
    // A result may be large, and its hash is all that is wanted of it.
    schema::EVALUATIONS.visit(store, (&from, &end), EvaluationRow::result_hash_of, |at, hash| {
        let next = from.slot.0.saturating_add(found.len() as u64);
        if at.cron == 0 && at.slot.0 == next {
            found.push(hash);
        }
        found.len() < max && (at.cron != 0 || at.slot.0 == next)
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ao_storage::{Durability, MemoryStore, WriteBatch};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn they_follow_on_each_other() {
        let (store, mut batch, process) = (MemoryStore::new(), WriteBatch::default(), Id([1; 32]));
        let mut put = |process, slot: u64, cron| {
            let row = EvaluationRow {
                json: Bytes::new(),
                exact_data: Vec::new(),
                message: None,
                cron: None,
                timestamp_ms: 0,
                block_height: 0,
                failed: false,
                fuel: 0,
                result_hash: ResultHash([if cron == 0 { slot as u8 } else { 255 }; 32]),
                state_hash: None,
            };
            schema::EVALUATIONS.put(&mut batch, &EvaluationKey { process, slot: Slot(slot), cron }, &row);
        };
        (0..40).filter(|slot| *slot != 37).for_each(|slot| put(process, slot, 0));
        (1..20).for_each(|cron| put(process, 5, cron));
        put(Id([2; 32]), 0, 0);
        store.write(batch, Durability::Synced).unwrap();
        let found = |from, max| {
            let hashes = hashes(&store, &process, Slot(from), max).unwrap();
            hashes.iter().map(|hash| hash.0[0]).collect::<Vec<_>>()
        };
        assert_eq!(found(0, 1000), (0..37).collect::<Vec<_>>(), "up to the hole, without crons");
        assert_eq!(found(3, 16), (3..19).collect::<Vec<_>>());
        assert_eq!((found(38, 9), found(37, 9), found(40, 9), found(0, 0)), (vec![38, 39], vec![], vec![], vec![]));
    }
}
