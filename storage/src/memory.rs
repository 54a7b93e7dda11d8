//! The store of tests and simulations: an ordered map per table, in memory, with the same contract as RocksDB's.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::{Direction, Durability, Entry, Error, Store, Table, WriteBatch};

/// Everything a [`MemoryStore`] holds; clone it to take a picture of the disk.
pub type Contents = BTreeMap<Table, BTreeMap<Vec<u8>, Bytes>>;

/// An ordered map per table, in memory. [`Durability`] makes no difference here; `faulty::FaultyStore` (feature `test-util`) adds
/// what a crash does.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: RwLock<Contents>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that holds this.
    pub fn from_contents(contents: Contents) -> Self {
        Self { contents: RwLock::new(contents) }
    }

    /// A copy of everything it holds. Rows are shared, not copied.
    pub fn contents(&self) -> Contents {
        self.contents.read().clone()
    }
}

/// Applies a batch to a picture of the disk: what [`MemoryStore`] and the simulated disk both do.
pub(crate) fn apply(contents: &mut Contents, batch: WriteBatch) {
    for (table, key, row) in batch.writes {
        let rows = contents.entry(table).or_default();
        match row {
            Some(row) => rows.insert(key, row),
            None => rows.remove(&key),
        };
    }
}

impl Store for MemoryStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.contents.read().get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error> {
        let contents = self.contents.read();
        let Some(rows) = contents.get(&table) else { return Ok(Vec::new()) };
        if !to.is_empty() && from >= to {
            return Ok(Vec::new());
        }
        let end = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        let range = rows.range::<[u8], _>((Bound::Included(from), end));
        let entry = |(key, row): (&Vec<u8>, &Bytes)| (Bytes::copy_from_slice(key), row.clone());
        Ok(match direction {
            Direction::Forward => range.take(limit).map(entry).collect(),
            Direction::Backward => range.rev().take(limit).map(entry).collect(),
        })
    }

    fn write(&self, batch: WriteBatch, _: Durability) -> Result<(), Error> {
        apply(&mut self.contents.write(), batch);
        Ok(())
    }

    fn sizes(&self) -> Result<Vec<(Table, u64)>, Error> {
        let contents = self.contents.read();
        let size = |table: &Table| contents.get(table).map_or(0, |rows| rows.iter().map(|(key, row)| (key.len() + row.len()) as u64).sum());
        Ok(Table::ALL.iter().map(|table| (*table, size(table))).collect())
    }
}
