//! RocksDB's options, chosen for a machine with two cores and little memory. Nothing here is part of the disk format: options may change
//! between two starts.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, DataBlockIndexType, LogLevel, Options,
    WriteBufferManager,
};

use crate::{Table, limits};

use super::Settings;

/// How a table is read, which decides how its files are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Mostly by exact key, often for keys that are not there: filters and hash indexes.
    Points,
    /// Mostly by ranges.
    Ranges,
    /// Rows of up to megabytes, by exact key: kept out of the sorted files.
    Bulk,
}

fn usage(table: Table) -> Use {
    match table {
        Table::Items | Table::CheckpointBodies | Table::AnchorItems => Use::Bulk,
        Table::Meta
        | Table::ItemIndex
        | Table::Processes
        | Table::Heads
        | Table::SlotOf
        | Table::Content
        | Table::Confirmed
        | Table::Evaluations
        | Table::Backfills
        | Table::AnchoredStates
        | Table::EvaluationHeads
        | Table::Schedule
        | Table::EngineRecords
        | Table::FrameOf
        | Table::Certified
        | Table::Evidence
        | Table::AnchorHeads
        | Table::Anchored
        | Table::AnchorChains
        | Table::AnchoredResults
        | Table::Pruned
        | Table::Loaded
        | Table::Accounts => Use::Points,
        Table::Sequence
        | Table::TagIndex
        | Table::OwnerIndex
        | Table::RecipientIndex
        | Table::Owing
        | Table::Outbox
        | Table::Pushed
        | Table::Monitors
        | Table::Checkpoints
        | Table::Blocks
        | Table::CertifiedStates
        | Table::Frames
        | Table::Shipments
        | Table::ShipmentItems => Use::Ranges,
    }
}

/// Options that share one cache and one budget for write buffers.
pub(super) struct Tuning {
    cache: Cache,
    buffers: WriteBufferManager,
    open_files: i32,
}

impl Tuning {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            cache: Cache::new_lru_cache(settings.cache_bytes),
            buffers: WriteBufferManager::new_write_buffer_manager(settings.write_buffer_bytes, false),
            open_files: settings.open_files,
        }
    }

    pub(super) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // A write that was cut short is dropped, any other damage refuses to open; see `wal.rs` for what this mode misses.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        // A log that is missing or shorter than when it was synced is noticed.
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_total_wal_size(limits::WAL_BYTES);
        options.set_write_buffer_manager(&self.buffers);
        options.set_max_open_files(self.open_files);
        options.set_max_file_opening_threads(1);
        options.increase_parallelism(limits::BACKGROUND_THREADS);
        // Dirty pages go out as files are written, not in one burst that delays a synced write.
        options.set_bytes_per_sync(1 << 20);
        options.set_manifest_preallocation_size(64 << 10);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(limits::ENGINE_LOG_BYTES);
        options.set_keep_log_file_num(limits::ENGINE_LOG_FILES);
        options
    }

    pub(super) fn table(&self, table: Table) -> ColumnFamilyDescriptor {
        ColumnFamilyDescriptor::new(table.name(), self.family(usage(table)))
    }

    /// A table that this binary does not know: opened, never touched.
    pub(super) fn unknown(&self, name: &str) -> ColumnFamilyDescriptor {
        ColumnFamilyDescriptor::new(name, self.family(Use::Ranges))
    }

    fn family(&self, usage: Use) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        // Indexes and filters count against the cache: memory stays bounded however large the store grows.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if usage != Use::Ranges {
            blocks.set_bloom_filter(10.0, false);
            blocks.set_optimize_filters_for_memory(true);
        }
        if usage == Use::Points {
            blocks.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        }
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_size(limits::TABLE_WRITE_BUFFER_BYTES);
        options.set_arena_block_size(limits::ARENA_BLOCK_BYTES);
        options.set_target_file_size_base(16 << 20);
        options.set_max_bytes_for_level_base(64 << 20);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        if usage == Use::Bulk {
            options.set_enable_blob_files(true);
            options.set_min_blob_size(limits::BLOB_BYTES_MIN);
            options.set_blob_compression_type(DBCompressionType::Lz4);
            options.set_enable_blob_gc(true);
        }
        options
    }
}
