//! Where the node remembers.
//!
//! A [`Store`] is an ordered map per [`Table`], written in atomic batches: one batch per state transition, across tables. What a table
//! holds, how its keys sort and how its rows are encoded is on one page, [`schema`]. Two implementations pass one contract suite:
//! RocksDB, and memory for tests and simulations.
//!
//! ```
//! # use ao_storage::{schema, Store, WriteBatch, Durability, Error};
//! # use ao_types::{Id, Slot};
//! # fn example(store: &dyn Store, process: Id, item: Id) -> Result<(), Error> {
//! let mut batch = WriteBatch::default();
//! schema::SLOT_OF.put(&mut batch, &(item, process), &Slot(7));
//! store.write(batch, Durability::Synced)?;
//! assert_eq!(schema::SLOT_OF.get(store, &(item, process))?, Some(Slot(7)));
//! # Ok(()) }
//! ```
//!
//! It does not interpret what it stores: no hash is checked, no signature, no order of slots. That is the core's.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

use bytes::Bytes;

pub mod batch;
pub mod disk;
pub mod failpoint;
#[cfg(any(test, feature = "test-util"))]
pub mod faulty;
pub mod limits;
pub mod memory;
mod migrate;
pub mod protection;
pub mod rocks;
pub mod rows;
pub mod schema;
pub mod typed;

pub use batch::WriteBatch;
pub use disk::free_bytes;
pub use memory::MemoryStore;
pub use protection::ProtectionStore;
pub use rocks::{RocksStore, Usage};
pub use schema::Table;

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room left: the caller stops accepting writes; reads go on. (retry)
    #[error("disk full: {0}")]
    DiskFull(String),
    /// The engine failed in another way. (retry)
    #[error("storage: {0}")]
    Io(String),
    /// Bytes on disk are not what was written: exit code 10.
    #[error("corrupt {what} at {place}: {reason}; stop the node and restore this directory from a backup, or re-create it from Arweave")]
    Corrupt {
        /// Kind of thing.
        what: String,
        /// File and offset, or table and key.
        place: String,
        /// What does not hold.
        reason: String,
    },
    /// Written by a newer version: exit code 9.
    #[error("the data directory has format {found}, this binary reads up to {supported}; use a newer aonode")]
    TooNew {
        /// On disk.
        found: u32,
        /// By this binary.
        supported: u32,
    },
    /// The row was pruned, and where its bytes are now they cannot be had at the moment. (retry)
    #[error("{0}")]
    Elsewhere(String),
    /// Another process has it open: exit code 9.
    #[error("{0} is locked by another process")]
    Locked(String),
}

/// When a write may be lost by a crash of the machine. A crash of the process alone loses neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk when the call returns: everything that is acknowledged or leads to a signature.
    Synced,
    /// May be lost with the machine: what can be computed again from synced rows.
    Buffered,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the lowest key up.
    Forward,
    /// From the highest key down.
    Backward,
}

/// A key and its row.
pub type Entry = (Bytes, Bytes);

/// An ordered, durable map per table.
pub trait Store: Send + Sync + 'static {
    /// The row at `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// The rows at these keys, in their order: as [`Store::get`] of each, for who has many.
    fn get_many(&self, table: Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, Error> {
        keys.iter().map(|key| self.get(table, key)).collect()
    }

    /// Whether there is a row at `key`.
    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        Ok(self.get(table, key)?.is_some())
    }

    /// Up to `limit` rows with `from <= key < to` (`to` empty: no upper end), in the given direction.
    fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error>;

    /// Shows every row with `from <= key` in order, each once, until `visit` says no: for what looks at whole tables. One row is in memory at a
    /// time, and what others read often is not pushed out of caches. Rows that change meanwhile are shown as before or as after.
    fn each(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.visit(table, from, &[], visit)
    }

    /// Shows rows with `from <= key < to` (`to` empty: no upper end) in order, each once, until `visit` says no: as [`Store::scan`], for who
    /// needs a little of each of many rows. They need not be in memory together, and are not copied where the store can show them as they
    /// lie.
    fn visit(&self, table: Table, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let mut from = from.to_vec();
        loop {
            let page = self.scan(table, &from, to, Direction::Forward, limits::EACH_PAGE_ROWS)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = [last, &[0][..]].concat();
            if !page.iter().all(|(key, row)| visit(key, row)) {
                return Ok(());
            }
        }
    }

    /// Applies a batch atomically.
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), Error>;

    /// Bytes on disk per table, for metrics.
    fn sizes(&self) -> Result<Vec<(Table, u64)>, Error>;
}
