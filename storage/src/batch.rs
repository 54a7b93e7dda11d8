//! Writes that take effect together.

use bytes::Bytes;

use crate::Table;

/// One write: a table, a key, and the row it becomes (`None`: it goes away).
pub type Write = (Table, Vec<u8>, Option<Bytes>);

/// Writes that take effect together or not at all, in order: of two writes to one key the later counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// In the order in which they were added.
    pub writes: Vec<Write>,
}

impl WriteBatch {
    /// Adds "`key` becomes `row`". Tables with a schema are better written through [`TableOf::put`](crate::typed::TableOf::put).
    pub fn put(&mut self, table: Table, key: Vec<u8>, row: Bytes) {
        self.writes.push((table, key, Some(row)));
    }

    /// Adds "`key` goes away"; no matter whether it is there.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.writes.push((table, key, None));
    }

    /// Adds another batch's writes after these: how several transitions become one disk write.
    pub fn append(&mut self, other: Self) {
        self.writes.extend(other.writes);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Bytes of keys and rows together: what a bound on batches counts.
    pub fn bytes(&self) -> usize {
        self.writes.iter().map(|(_, key, row)| key.len() + row.as_ref().map_or(0, Bytes::len)).sum()
    }
}
