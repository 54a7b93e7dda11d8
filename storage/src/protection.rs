//! A small database of its own for what signatures are bound by (`operations.md` §2, §5).
//!
//! It is kept apart from the store because it outlives it: a node that lost or restored its data must still not contradict what it signed,
//! and an operator may put it on another disk. Every write is synchronous and all or nothing; when [`ProtectionStore::write`] returns,
//! signatures may leave. One process has it open at a time. It refuses to interpret its rows: keys, values and the rules over them are the
//! caller's. It also refuses to open what is damaged, and to begin anew beside what is left of a database.

use std::path::{Path, PathBuf};

use rocksdb::{DB, DBRecoveryMode, LogLevel, Options, WriteBatch, WriteOptions};

use crate::rocks::{fault, located, refuse_remains, wal};
use crate::{Entry, Error, limits};

/// See the module documentation.
pub struct ProtectionStore {
    db: DB,
    directory: PathBuf,
}

impl std::fmt::Debug for ProtectionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProtectionStore({})", self.directory.display())
    }
}

impl ProtectionStore {
    /// Opens the database in `directory`, creating it if there is nothing.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process (or this one) has it open, [`Error::Corrupt`] with file and offset; nothing was changed.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        if directory.join("CURRENT").exists() {
            for cut in wal::inspect(directory, false)? {
                tracing::warn!(file = %cut.file.display(), offset = cut.offset, bytes = cut.bytes, "cut a write that was never acknowledged off the log");
            }
        } else {
            refuse_remains(directory)?;
        }
        let db = DB::open(&options(), directory).map_err(|error| located(&error, directory))?;
        Ok(Self { db, directory: directory.to_owned() })
    }

    /// Whether a database was ever made in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join("CURRENT").exists()
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The row at `key`.
    ///
    /// # Errors
    /// The disk failed, or the row is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db.get(key).map_err(|error| self.typed(&error))
    }

    /// Every row whose key starts with `prefix`, in order of keys.
    ///
    /// # Errors
    /// The disk failed, or a row is damaged.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<Entry>, Error> {
        let mut rows = self.db.raw_iterator();
        let mut found = Vec::new();
        rows.seek(prefix);
        while let Some((key, row)) = rows.item().filter(|(key, _)| key.starts_with(prefix)) {
            found.push((bytes::Bytes::copy_from_slice(key), bytes::Bytes::copy_from_slice(row)));
            rows.next();
        }
        rows.status().map_err(|error| self.typed(&error))?;
        Ok(found)
    }

    /// Puts rows, and deletes those that are `None`: all of them durably, or none.
    ///
    /// # Errors
    /// The disk failed or is full; nothing may be signed on account of these rows.
    pub fn write(&self, rows: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        for (key, row) in rows {
            match row {
                Some(row) => batch.put(key, row),
                None => batch.delete(key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|error| self.typed(&error))
    }

    fn typed(&self, error: &rocksdb::Error) -> Error {
        fault::typed(error, &self.directory)
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    // As in the store: a write that was cut short was never acknowledged and is dropped; any other damage refuses to open.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_write_buffer_size(limits::PROTECTION_WRITE_BUFFER_BYTES);
    options.set_arena_block_size(limits::ARENA_BLOCK_BYTES);
    options.set_max_total_wal_size(limits::PROTECTION_WRITE_BUFFER_BYTES as u64 * 2);
    options.set_max_open_files(limits::PROTECTION_OPEN_FILES);
    options.set_manifest_preallocation_size(64 << 10);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(1 << 20);
    options.set_keep_log_file_num(2);
    options
}
