//! What tables take, and that a compaction gives back what was deleted.

use ao_storage::Durability::Synced;
use ao_storage::{RocksStore, Store, Table, Usage, WriteBatch};
use bytes::Bytes;

/// Bytes that no compression makes smaller.
fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    next.take(bytes).collect::<Vec<_>>().into()
}

#[test]
fn a_compaction_gives_back_what_was_deleted_small_rows_and_bulky_ones() {
    const ROWS: u64 = 40;
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = RocksStore::open(directory.path(), &Default::default()).unwrap();
    for (table, bytes) in [(Table::Items, 64 << 10), (Table::Schedule, 4 << 10)] {
        assert_eq!(store.usage(table).unwrap(), Usage::default());
        for round in 0..2 {
            let mut batch = WriteBatch::default();
            (0..ROWS).for_each(|key| batch.put(table, key.to_be_bytes().to_vec(), noise(key + round, bytes)));
            store.write(batch, Synced).unwrap();
            store.flush().unwrap();
        }
        let mut batch = WriteBatch::default();
        (0..ROWS / 2).for_each(|key| batch.delete(table, key.to_be_bytes().to_vec()));
        store.write(batch, Synced).unwrap();
        store.flush().unwrap();
        let before = store.usage(table).unwrap();
        let all = ROWS * bytes as u64;
        // The engine may have begun by itself.
        assert!(before.disk > all / 2, "{before:?}");
        store.compact(table).unwrap();
        let after = store.usage(table).unwrap();
        assert_eq!(after.rows, ROWS / 2);
        assert!(after.disk > all / 2 && after.disk < all * 6 / 10, "{before:?} {after:?}");
        assert!(after.live <= after.disk && after.live > all * 4 / 10, "{after:?}");
        for key in ROWS / 2..ROWS {
            assert_eq!(store.get(table, &key.to_be_bytes()).unwrap(), Some(noise(key + 1, bytes)));
        }
    }
}
