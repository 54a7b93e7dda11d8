//! What a table takes on disk, and how it is made to take no more than it must.

use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::RocksStore;
use crate::{Error, Table};

/// What a table takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Rows, as the engine estimates them: exact after a compaction, else rows that were replaced or deleted may be counted.
    pub rows: u64,
    /// Bytes of rows that can be read, compressed as they lie there; an estimate.
    pub live: u64,
    /// Bytes of files. What is beyond `live` comes back with a compaction.
    pub disk: u64,
}

impl RocksStore {
    /// What a table takes. Costs no reading of rows.
    ///
    /// # Errors
    /// The engine's.
    pub fn usage(&self, table: Table) -> Result<Usage, Error> {
        let family = self.family(table)?;
        let property =
            |name: &str| Ok::<_, Error>(self.db.property_int_value_cf(&family, name).map_err(|error| self.typed(&error))?.unwrap_or(0));
        Ok(Usage {
            rows: property("rocksdb.estimate-num-keys")?,
            live: property("rocksdb.estimate-live-data-size")?,
            disk: property("rocksdb.total-sst-files-size")?.saturating_add(property("rocksdb.total-blob-file-size")?),
        })
    }

    /// Rewrites a table without what was replaced or deleted, its bulky rows too. Needs as much room again as the table's files take, and as long as
    /// reading and writing them; readers and writers may go on.
    ///
    /// # Errors
    /// The engine's, [`Error::DiskFull`] among them: the table is then as it was.
    pub fn compact(&self, table: Table) -> Result<(), Error> {
        let family = self.family(table)?;
        self.db.flush_cf(&family).map_err(|error| self.typed(&error))?;
        // Rows in blob files are only moved out of the oldest files, unless all of them count as old. Of the open store only: options come from
        // `tuning` at the next start.
        let all = [("blob_garbage_collection_age_cutoff", "1.0")];
        self.db.set_options_cf(&family, &all).map_err(|error| self.typed(&error))?;
        let failures = || self.db.property_int_value_cf(&family, "rocksdb.background-errors").map_err(|error| self.typed(&error));
        let before = failures()?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(&family, None::<&[u8]>, None::<&[u8]>, &options);
        // The call itself says nothing.
        if failures()? == before {
            return Ok(());
        }
        let name = table.name();
        Err(match crate::disk::free_bytes(&self.directory) {
            Ok(free) if free < super::limits::WAL_BYTES => {
                Error::DiskFull(format!("table {name} could not be rewritten: {free} bytes are free"))
            }
            _ => Error::Io(format!("table {name} could not be rewritten; the engine says why in {}", self.directory.join("LOG").display())),
        })
    }
}
