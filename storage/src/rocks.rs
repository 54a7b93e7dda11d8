//! The store on disk: one RocksDB, a column family per table, one write-ahead log.
//!
//! It owns the directory while it is open (nobody else can open it), tunes RocksDB for a small machine, and says in our words what went
//! wrong. It refuses to open what is damaged, newer, or in use; it never repairs, skips or drops an acknowledged write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{BoundColumnFamily, DBWithThreadMode, MultiThreaded, ReadOptions, WriteOptions};

use crate::{Direction, Durability, Entry, Error, Store, Table, WriteBatch, limits, migrate};

pub(crate) mod fault;
mod tuning;
mod upkeep;
pub(crate) mod wal;

pub use upkeep::Usage;
pub use wal::Truncation;

type Db = DBWithThreadMode<MultiThreaded>;

/// How much an open store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Block cache of all tables, bytes.
    pub cache_bytes: usize,
    /// Rows not yet in table files, of all tables, bytes.
    pub write_buffer_bytes: usize,
    /// Open files.
    pub open_files: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache_bytes: limits::CACHE_BYTES, write_buffer_bytes: limits::WRITE_BUFFER_BYTES, open_files: limits::OPEN_FILES }
    }
}

/// The store on disk.
pub struct RocksStore {
    db: Db,
    directory: PathBuf,
    truncations: Vec<Truncation>,
}

impl RocksStore {
    /// Opens the store in `directory`, creating it if there is nothing, and brings it to this binary's format.
    ///
    /// Fails with [`Error::Locked`], [`Error::TooNew`] or [`Error::Corrupt`] (file and offset) without changing anything.
    pub fn open(directory: &Path, settings: &Settings) -> Result<Self, Error> {
        let exists = directory.join("CURRENT").exists();
        let mut truncations = Vec::new();
        if exists {
            truncations = wal::inspect(directory, false)?;
        } else {
            refuse_remains(directory)?;
        }
        let tuning = tuning::Tuning::new(settings);
        let options = tuning.database();
        // A newer version's tables must be opened too, or RocksDB opens nothing; the format version then decides.
        let found = if exists { Db::list_cf(&options, directory).map_err(|error| fault::typed(&error, directory))? } else { Vec::new() };
        let known = Table::ALL.iter().map(|table| tuning.table(*table));
        let is_known = |name: &str| Table::ALL.iter().any(|table| table.name() == name);
        let unknown = found.iter().filter(|name| !is_known(name)).map(|name| tuning.unknown(name));
        let db = Db::open_cf_descriptors(&options, directory, known.chain(unknown)).map_err(|error| located(&error, directory))?;
        for cut in &truncations {
            tracing::warn!(file = %cut.file.display(), offset = cut.offset, bytes = cut.bytes, "cut a write that was never acknowledged off the log");
        }
        let store = Self { db, directory: directory.to_owned(), truncations };
        migrate::prepare(&store)?;
        Ok(store)
    }

    /// What was cut off the log on opening: writes under way when the machine stopped. For metric `wal_truncations_total`.
    pub fn truncations(&self) -> &[Truncation] {
        &self.truncations
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes every row to table files. Not needed for durability; it makes the next start fast, and closing does it.
    pub fn flush(&self) -> Result<(), Error> {
        for table in Table::ALL {
            self.db.flush_cf(&self.family(*table)?).map_err(|error| self.typed(&error))?;
        }
        Ok(())
    }

    fn family(&self, table: Table) -> Result<Arc<BoundColumnFamily<'_>>, Error> {
        // Every table was opened, and none is ever dropped.
        self.db.cf_handle(table.name()).ok_or_else(|| Error::Io(format!("table {} is not open", table.name())))
    }

    /// Shows rows in order, as they lie, until `visit` says no.
    fn walk(&self, table: Table, options: ReadOptions, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let mut rows = self.db.raw_iterator_cf_opt(&self.family(table)?, options);
        rows.seek_to_first();
        while let Some((key, row)) = rows.item() {
            if !visit(key, row) {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|error| self.typed(&error))
    }

    fn typed(&self, error: &rocksdb::Error) -> Error {
        fault::typed(error, &self.directory)
    }
}

/// Without the file CURRENT RocksDB would begin anew beside the data, and everything would seem to be lost.
pub(crate) fn refuse_remains(directory: &Path) -> Result<(), Error> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        let has_data = ["sst", "blob"].contains(&&*extension) || extension == "log" && path.metadata().is_ok_and(|meta| meta.len() > 0);
        if has_data {
            let place = directory.join("CURRENT").display().to_string();
            let reason = format!("it is missing, though {} is there", path.display());
            return Err(Error::Corrupt { what: "database".into(), place, reason });
        }
    }
    Ok(())
}

/// An error on opening, with its place in the log where RocksDB does not say it.
pub(crate) fn located(error: &rocksdb::Error, directory: &Path) -> Error {
    match (fault::typed(error, directory), wal::inspect(directory, true)) {
        (Error::Corrupt { .. }, Err(found @ Error::Corrupt { .. })) => found,
        (typed, _) => typed,
    }
}

impl Store for RocksStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let row = self.db.get_cf(&self.family(table)?, key).map_err(|error| self.typed(&error))?;
        Ok(row.map(Bytes::from))
    }

    fn get_many(&self, table: Table, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, Error> {
        // In order of keys: neighbours lie in one block, and the engine finds it once.
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by(|a, b| keys[*a].cmp(&keys[*b]));
        let family = self.family(table)?;
        let mut rows = vec![None; keys.len()];
        for part in order.chunks(limits::GET_MANY_ROWS) {
            let found = self.db.batched_multi_get_cf(&family, part.iter().map(|at| &keys[*at]), true);
            for (at, row) in part.iter().zip(found) {
                rows[*at] = row.map_err(|error| self.typed(&error))?.map(|row| Bytes::copy_from_slice(&row));
            }
        }
        Ok(rows)
    }

    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        Ok(self.db.get_pinned_cf(&self.family(table)?, key).map_err(|error| self.typed(&error))?.is_some())
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        if limit == 0 || !to.is_empty() && from >= to {
            return Ok(entries);
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if !to.is_empty() {
            options.set_iterate_upper_bound(to);
        }
        let mut rows = self.db.raw_iterator_cf_opt(&self.family(table)?, options);
        match direction {
            Direction::Forward => rows.seek_to_first(),
            Direction::Backward => rows.seek_to_last(),
        }
        while let (true, Some((key, row))) = (entries.len() < limit, rows.item()) {
            entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(row)));
            match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.prev(),
            }
        }
        rows.status().map_err(|error| self.typed(&error))?;
        Ok(entries)
    }

    fn each(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.fill_cache(false);
        options.set_readahead_size(limits::READAHEAD_BYTES);
        self.walk(table, options, visit)
    }

    fn visit(&self, table: Table, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        if !to.is_empty() && from >= to {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if !to.is_empty() {
            options.set_iterate_upper_bound(to);
        }
        self.walk(table, options, visit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), Error> {
        let mut writes = rocksdb::WriteBatch::default();
        // Families are found by name behind a lock: once for each table of a batch, not once for each of its thousands of rows.
        let mut families: [Option<Arc<BoundColumnFamily<'_>>>; Table::ALL.len()] = [const { None }; Table::ALL.len()];
        for (table, key, row) in &batch.writes {
            let place = &mut families[*table as usize];
            let family = match place {
                Some(family) => family,
                None => place.insert(self.family(*table)?),
            };
            match row {
                Some(row) => writes.put_cf(family, key, row),
                None => writes.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db.write_opt(writes, &options).map_err(|error| self.typed(&error))
    }

    fn sizes(&self) -> Result<Vec<(Table, u64)>, Error> {
        let bytes = |table: Table| {
            let family = self.family(table)?;
            let property = |name| self.db.property_int_value_cf(&family, name).map_err(|error| self.typed(&error));
            let files = property("rocksdb.total-sst-files-size")?.unwrap_or(0);
            let blobs = property("rocksdb.total-blob-file-size")?.unwrap_or(0);
            Ok((table, files + blobs))
        };
        Table::ALL.iter().map(|table| bytes(*table)).collect()
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        // Buffered writes are in the log, but maybe not on the disk: a graceful stop loses nothing, whatever the machine does next. With
        // all rows in table files the next start has no log to replay.
        if let Err(error) = self.db.flush_wal(true).map_err(|error| self.typed(&error)).and_then(|()| self.flush()) {
            tracing::error!(%error, "not everything could be written on closing; the next start replays the log");
        }
        self.db.cancel_all_background_work(true);
    }
}
