//! Typed access to a table: what its keys and rows are is said once, in [`schema`](crate::schema), and checked by the compiler everywhere.
//!
//! Keys are fixed-width and big-endian, so that byte order is the order people mean. Rows are postcard behind a leading version byte;
//! the few that are somebody else's bytes (items, checkpoint bodies) or a bare id or slot are stored as they are.

use std::marker::PhantomData;

use ao_types::{Address, Id, Slot};
use bytes::Bytes;

use crate::{Direction, Error, Store, Table, WriteBatch};

/// A key, or a part of one: written big-endian, one part after the other, without separators.
pub trait Key: Sized {
    /// Appends the key's bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes the key off the front of `input`; `None` if it is not one.
    fn read(input: &mut &[u8]) -> Option<Self>;

    /// The key's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        self.write(&mut out);
        out
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = input.split_first_chunk()?;
    *input = tail;
    Some(*head)
}

impl<const N: usize> Key for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input)
    }
}

macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl Key for $integer {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                take(input).map(Self::from_be_bytes)
            }
        }
    )*};
}
integer_keys!(u8, u32, u64);

impl Key for Id {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        take(input).map(Self)
    }
}

impl Key for Slot {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        u64::read(input).map(Self)
    }
}

/// 33 bytes whatever the kind: 0 and the 32-byte id, or 1, the 20-byte Ethereum address and 12 zeros.
impl Key for Address {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Arweave(id) => {
                out.push(0);
                id.write(out);
            }
            Self::Ethereum(address) => {
                out.push(1);
                address.write(out);
                [0; 12].write(out);
            }
        }
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        match u8::read(input)? {
            0 => Id::read(input).map(Self::Arweave),
            1 => {
                let address = take(input)?;
                (take(input)? == [0; 12]).then_some(Self::Ethereum(address))
            }
            _ => None,
        }
    }
}

/// Text takes the rest of the key.
impl Key for String {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(input).ok()?.to_owned();
        *input = &[];
        Some(text)
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        Some((A::read(input)?, B::read(input)?))
    }
}

/// What a table holds at a key.
pub trait Row: Sized {
    /// The bytes on disk.
    fn encode(&self) -> Bytes;

    /// The row of these bytes, or which rule they break.
    fn decode(bytes: &Bytes) -> Result<Self, String>;
}

/// Stored as it is: the bytes have a format of their own.
impl Row for Bytes {
    fn encode(&self) -> Bytes {
        self.clone()
    }
    fn decode(bytes: &Bytes) -> Result<Self, String> {
        Ok(bytes.clone())
    }
}

macro_rules! key_rows {
    ($($row:ty),*) => {$(
        impl Row for $row {
            fn encode(&self) -> Bytes {
                self.to_bytes().into()
            }
            fn decode(bytes: &Bytes) -> Result<Self, String> {
                let mut input = &bytes[..];
                match <$row>::read(&mut input) {
                    Some(row) if input.is_empty() => Ok(row),
                    _ => Err(format!("{} bytes are not {}", bytes.len(), stringify!($row))),
                }
            }
        }
    )*};
}
key_rows!(u32, u64, Id, Slot, String);

/// Postcard behind a version byte. `$version` is the version written; a row type that changes gets the next number and an arm that
/// reads the old one.
macro_rules! postcard_rows {
    ($($row:ty = $version:expr),* $(,)?) => {$(
        impl $crate::typed::Row for $row {
            fn encode(&self) -> ::bytes::Bytes {
                $crate::typed::encode_postcard($version, self)
            }
            fn decode(bytes: &::bytes::Bytes) -> Result<Self, String> {
                $crate::typed::decode_postcard($version, bytes)
            }
        }
    )*};
}
pub(crate) use postcard_rows;

pub(crate) fn encode_postcard<R: serde::Serialize>(version: u8, row: &R) -> Bytes {
    let mut out = Vec::with_capacity(128);
    out.push(version);
    // Postcard refuses only sequences of unknown length, and no row has one: a failure is a bug of this crate, found by any test.
    postcard::to_extend(row, out).expect("rows have only types that postcard can write").into()
}

pub(crate) fn decode_postcard<R: serde::de::DeserializeOwned>(version: u8, bytes: &Bytes) -> Result<R, String> {
    match bytes.split_first() {
        Some((found, rest)) if *found == version => match postcard::take_from_bytes(rest) {
            Ok((row, [])) => Ok(row),
            Ok((_, left)) => Err(format!("{} bytes after its end", left.len())),
            Err(error) => Err(error.to_string()),
        },
        Some((found, _)) => Err(format!("row version {found}, expected {version}")),
        None => Err("an empty row".into()),
    }
}

/// What leads a row, borrowed from it; nothing is said of the rest.
pub(crate) fn postcard_head<'a, R: serde::Deserialize<'a>>(version: u8, bytes: &'a [u8]) -> Result<R, String> {
    match bytes.split_first() {
        Some((found, rest)) if *found == version => {
            postcard::take_from_bytes(rest).map(|(head, _)| head).map_err(|error| error.to_string())
        }
        Some((found, _)) => Err(format!("row version {found}, expected {version}")),
        None => Err("an empty row".into()),
    }
}

/// A table whose keys are `K` and rows are `R`.
pub struct TableOf<K, R> {
    table: Table,
    types: PhantomData<fn() -> (K, R)>,
}

impl<K: Key, R: Row> TableOf<K, R> {
    pub(crate) const fn new(table: Table) -> Self {
        Self { table, types: PhantomData }
    }

    /// The table on disk.
    pub const fn table(&self) -> Table {
        self.table
    }

    /// The row at `key`. Fails where the store does, and with [`Error::Corrupt`] where the row is not one.
    pub fn get(&self, store: &(impl Store + ?Sized), key: &K) -> Result<Option<R>, Error> {
        let key = key.to_bytes();
        store.get(self.table, &key)?.map(|bytes| self.row(&key, &bytes)).transpose()
    }

    /// The rows at these keys, in their order: see [`Store::get_many`].
    pub fn get_many(&self, store: &(impl Store + ?Sized), keys: &[K]) -> Result<Vec<Option<R>>, Error> {
        let keys: Vec<Vec<u8>> = keys.iter().map(K::to_bytes).collect();
        let rows = store.get_many(self.table, &keys)?;
        rows.into_iter().zip(&keys).map(|(row, key)| row.map(|bytes| self.row(key, &bytes)).transpose()).collect()
    }

    /// Whether there is a row at `key`.
    pub fn contains(&self, store: &(impl Store + ?Sized), key: &K) -> Result<bool, Error> {
        store.contains(self.table, &key.to_bytes())
    }

    /// Adds "`key` becomes `row`" to a batch.
    pub fn put(&self, batch: &mut WriteBatch, key: &K, row: &R) {
        batch.put(self.table, key.to_bytes(), row.encode());
    }

    /// Adds "`key` goes away" to a batch.
    pub fn delete(&self, batch: &mut WriteBatch, key: &K) {
        batch.delete(self.table, key.to_bytes());
    }

    /// Up to `limit` rows with `from <= key < to`.
    pub fn range(&self, store: &(impl Store + ?Sized), from: &K, to: &K, way: Direction, limit: usize) -> Result<Vec<(K, R)>, Error> {
        self.scan(store, &from.to_bytes(), &to.to_bytes(), way, limit)
    }

    /// Up to `limit` rows whose key begins with `prefix` (a process, a tag's hash).
    pub fn prefix(&self, store: &(impl Store + ?Sized), prefix: &impl Key, way: Direction, limit: usize) -> Result<Vec<(K, R)>, Error> {
        let from = prefix.to_bytes();
        self.scan(store, &from, &after_prefix(&from), way, limit)
    }

    /// Up to `limit` rows of the whole table.
    pub fn all(&self, store: &(impl Store + ?Sized), way: Direction, limit: usize) -> Result<Vec<(K, R)>, Error> {
        self.scan(store, &[], &[], way, limit)
    }

    /// Up to `limit` rows with `from <= key < to`, bounds as bytes; `to` empty: no upper end.
    pub fn scan(&self, store: &(impl Store + ?Sized), from: &[u8], to: &[u8], way: Direction, limit: usize) -> Result<Vec<(K, R)>, Error> {
        let entries = store.scan(self.table, from, to, way, limit)?;
        entries.iter().map(|(key, bytes)| Ok((self.key(key)?, self.row(key, bytes)?))).collect()
    }

    /// Shows every row of the table in order until `visit` says no, and the error of every row that is not one: see [`Store::each`].
    pub fn each(&self, store: &(impl Store + ?Sized), mut visit: impl FnMut(Result<(K, R), Error>) -> bool) -> Result<(), Error> {
        let read = |key: &[u8], row: &[u8]| Ok((self.key(key)?, self.row(key, &Bytes::copy_from_slice(row))?));
        store.each(self.table, &[], &mut |key, row| visit(read(key, row)))
    }

    /// Shows the bytes of rows with `from <= key < to` in order until `visit` says no: see [`Store::visit`]. Fails with [`Error::Corrupt`] where
    /// a key is not one, or `read` finds that of a row.
    pub fn visit<P>(
        &self,
        store: &(impl Store + ?Sized),
        (from, to): (&K, &K),
        read: impl Fn(&[u8]) -> Result<P, String>,
        mut visit: impl FnMut(K, P) -> bool,
    ) -> Result<(), Error> {
        let mut broken = None;
        store.visit(self.table, &from.to_bytes(), &to.to_bytes(), &mut |key, row| {
            let found = self.key(key).and_then(|at| Ok((at, read(row).map_err(|reason| self.corrupt("row", key, reason))?)));
            match found {
                Ok((at, part)) => visit(at, part),
                Err(error) => {
                    broken = Some(error);
                    false
                }
            }
        })?;
        broken.map_or(Ok(()), Err)
    }

    /// Whether these are a key and a row of this table.
    pub(crate) fn reads(&self, key: &[u8], row: &Bytes) -> Result<(), Error> {
        self.key(key)?;
        self.row(key, row).map(drop)
    }

    fn key(&self, bytes: &[u8]) -> Result<K, Error> {
        let mut input = bytes;
        match K::read(&mut input) {
            Some(key) if input.is_empty() => Ok(key),
            _ => Err(self.corrupt("key", bytes, format!("a key of {} bytes is not of this table's form", bytes.len()))),
        }
    }

    fn row(&self, key: &[u8], bytes: &Bytes) -> Result<R, Error> {
        R::decode(bytes).map_err(|reason| self.corrupt("row", key, reason))
    }

    fn corrupt(&self, what: &str, key: &[u8], reason: String) -> Error {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Error::Corrupt { what: what.into(), place: format!("table {}, key {key}", self.table.name()), reason }
    }
}

/// One row of table `meta` under a fixed name.
pub struct Single<R> {
    name: &'static str,
    row: PhantomData<fn() -> R>,
}

impl<R: Row> Single<R> {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, row: PhantomData }
    }

    /// Its value, if ever written.
    pub fn get(&self, store: &(impl Store + ?Sized)) -> Result<Option<R>, Error> {
        TableOf::<String, R>::new(Table::Meta).get(store, &self.name.to_owned())
    }

    /// Whether `row` is what it may be, if `key` is its name.
    pub(crate) fn reads(&self, key: &[u8], row: &Bytes) -> Option<Result<(), Error>> {
        (key == self.name.as_bytes()).then(|| TableOf::<String, R>::new(Table::Meta).reads(key, row))
    }

    /// Adds "it becomes `row`" to a batch.
    pub fn put(&self, batch: &mut WriteBatch, row: &R) {
        TableOf::<String, R>::new(Table::Meta).put(batch, &self.name.to_owned(), row);
    }

    /// Adds "it goes away" to a batch.
    pub fn delete(&self, batch: &mut WriteBatch) {
        TableOf::<String, R>::new(Table::Meta).delete(batch, &self.name.to_owned());
    }
}

/// The first key after every key that begins with `prefix`; empty (no upper end) if there is none.
pub fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(after_prefix(&[1, 2]), [1, 3]);
        assert_eq!(after_prefix(&[1, 255]), [2]);
        assert_eq!(after_prefix(&[255, 255]), [0; 0]);
        assert_eq!(after_prefix(&[]), [0; 0]);
    }

    #[test]
    fn rows_say_why_they_are_refused() {
        assert_eq!(decode_postcard::<u64>(1, &Bytes::new()), Err("an empty row".into()));
        assert_eq!(decode_postcard::<u64>(1, &Bytes::from_static(&[2, 7])), Err("row version 2, expected 1".into()));
        assert_eq!(decode_postcard::<u64>(1, &Bytes::from_static(&[1, 7, 0])), Err("1 bytes after its end".into()));
        assert_eq!(decode_postcard::<u64>(1, &Bytes::from_static(&[1, 7])), Ok(7));
        assert!(Id::decode(&Bytes::from_static(&[0; 31])).is_err());
        assert!(Slot::decode(&Bytes::from_static(&[0; 9])).is_err());
    }
}
