//! Faults of the disk of a real process: a crash at a chosen write (faults.md F1: `AONODE_FP=k` ends it right before the k-th batch is
//! handed to the store, `AONODE_FP=k+` right after), and a disk that syncs slowly (F6: `AONODE_SLOW_SYNC=MS`, so much longer for each
//! synced batch). Only in builds with debug assertions; a released binary ignores the variables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::{Direction, Durability, Entry, Error, Store, Table, WriteBatch};

/// Name of the environment variable. Not set, 0 or not a number: no crash.
pub const VARIABLE: &str = "AONODE_FP";

/// Milliseconds that each synced batch takes longer. Not set, or not a number: none.
pub const SLOW_VARIABLE: &str = "AONODE_SLOW_SYNC";

/// Wraps `store` as [`VARIABLE`] (one of its writes, counted from 1 and from here on) and [`SLOW_VARIABLE`] want it.
pub fn from_env(store: Arc<dyn Store>) -> Arc<dyn Store> {
    let wanted = |name| std::env::var(name).ok().filter(|_| cfg!(debug_assertions));
    let slower = wanted(SLOW_VARIABLE).and_then(|ms| ms.parse().ok()).map_or(Duration::ZERO, Duration::from_millis);
    let crash = wanted(VARIABLE).and_then(|point| Crash::parse(&point, std::process::abort));
    if slower.is_zero() && crash.is_none() { store } else { Arc::new(Failing { inner: store, slower, crash }) }
}

/// At which write to crash, and how.
struct Crash {
    write: u64,
    after: bool,
    crash: fn() -> !,
    writes: AtomicU64,
}

impl Crash {
    fn parse(point: &str, crash: fn() -> !) -> Option<Self> {
        let (number, after) = point.strip_suffix('+').map_or((point, false), |number| (number, true));
        let write = number.parse().ok().filter(|write| *write > 0)?;
        Some(Self { write, after, crash, writes: AtomicU64::new(0) })
    }
}

struct Failing {
    inner: Arc<dyn Store>,
    slower: Duration,
    crash: Option<Crash>,
}

impl Store for Failing {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.inner.get(table, key)
    }

    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        self.inner.contains(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error> {
        self.inner.scan(table, from, to, direction, limit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), Error> {
        let due = self.crash.as_ref().filter(|crash| crash.writes.fetch_add(1, Ordering::SeqCst) + 1 == crash.write);
        if let Some(crash) = due.filter(|crash| !crash.after) {
            (crash.crash)();
        }
        if durability == Durability::Synced && !self.slower.is_zero() {
            std::thread::sleep(self.slower);
        }
        let outcome = self.inner.write(batch, durability);
        if let Some(crash) = due {
            (crash.crash)();
        }
        outcome
    }

    fn sizes(&self) -> Result<Vec<(Table, u64)>, Error> {
        self.inner.sizes()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::MemoryStore;

    fn crash() -> ! {
        panic!("crash")
    }

    /// How many of five writes are made, and how many are in the store.
    fn outcome(point: &str) -> (u64, usize) {
        let memory = Arc::new(MemoryStore::new());
        let crash = Crash::parse(point, crash);
        let store = Failing { inner: memory.clone(), slower: Duration::ZERO, crash };
        let made = (1..=5).take_while(|key| {
            let mut batch = WriteBatch::default();
            batch.put(Table::Items, vec![*key], Bytes::new());
            catch_unwind(AssertUnwindSafe(|| store.write(batch, Durability::Synced))).is_ok()
        });
        (made.count() as u64, memory.scan(Table::Items, &[], &[], Direction::Forward, 9).unwrap().len())
    }

    #[test]
    fn a_slow_disk_takes_its_time_for_what_is_synced_and_for_nothing_else() {
        let sync = Duration::from_millis(30);
        let store = Failing { inner: Arc::new(MemoryStore::new()), slower: sync, crash: None };
        let write = |durability| {
            let mut batch = WriteBatch::default();
            batch.put(Table::Items, vec![1], Bytes::new());
            let began = std::time::Instant::now();
            store.write(batch, durability).unwrap();
            began.elapsed()
        };
        assert!(write(Durability::Synced) >= sync);
        assert_eq!(store.scan(Table::Items, &[], &[], Direction::Forward, 9).unwrap().len(), 1);
    }

    #[test]
    fn it_crashes_before_or_after_the_write_named_and_only_there() {
        assert_eq!(outcome("3"), (2, 2));
        assert_eq!(outcome("3+"), (2, 3));
        for never in ["0", "", "x", "-1", "6", "99+"] {
            assert_eq!(outcome(never), (5, 5), "{never:?}");
        }
    }
}
