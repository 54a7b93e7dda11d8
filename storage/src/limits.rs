//! Bounds on what an open store may take, whatever it is asked to do.

/// Block cache shared by all tables, with their indexes and filters: 24 MiB. Grows to this under load only; idle it is near empty.
pub const CACHE_BYTES: usize = 24 << 20;

/// Memory of rows not yet in a table file, all tables together: 16 MiB. Beyond it the oldest are written out.
pub const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// Rows of one table that are not yet in a file: 4 MiB, so that several tables fit [`WRITE_BUFFER_BYTES`].
pub const TABLE_WRITE_BUFFER_BYTES: usize = 4 << 20;

/// A table's first allocation, and the step in which its write buffer grows: 64 KiB, as there are two dozen tables.
pub const ARENA_BLOCK_BYTES: usize = 64 << 10;

/// Write-ahead log that a start after a crash may have to replay: 32 MiB.
pub const WAL_BYTES: u64 = 32 << 20;

/// Open files: 192, well under the usual limit of 1024 descriptors.
pub const OPEN_FILES: i32 = 192;

/// Threads for flushing and compaction: 2.
pub const BACKGROUND_THREADS: i32 = 2;

/// Rows of this size and above go to blob files in the tables of bulky rows, so that compaction does not copy them again and again:
/// 512 bytes, which nearly every signed item has.
pub const BLOB_BYTES_MIN: u64 = 512;

/// RocksDB's own log: three files of 4 MiB at most.
pub const ENGINE_LOG_BYTES: usize = 4 << 20;
/// See [`ENGINE_LOG_BYTES`].
pub const ENGINE_LOG_FILES: usize = 3;

/// Rows that [`Store::each`](crate::Store::each) reads at once from a store that cannot show them one by one.
pub const EACH_PAGE_ROWS: usize = 16;

/// Rows that [`Store::get_many`](crate::Store::get_many) asks the engine for at once: it pins them all until they are copied.
pub const GET_MANY_ROWS: usize = 64;

/// What is read ahead where a whole table is looked at: 2 MiB.
pub const READAHEAD_BYTES: usize = 2 << 20;

/// Rows of the protection database that are not yet in a file: 2 MiB. A chain's row is replaced in place, so few ever get there.
pub const PROTECTION_WRITE_BUFFER_BYTES: usize = 2 << 20;

/// Open files of the protection database.
pub const PROTECTION_OPEN_FILES: i32 = 32;

const _: () = assert!(TABLE_WRITE_BUFFER_BYTES * 2 <= WRITE_BUFFER_BYTES, "one table's buffer must not fill the budget of all");
const _: () = assert!(WRITE_BUFFER_BYTES as u64 * 2 <= WAL_BYTES, "the log's size must not be what flushes tables under load");
const _: () = assert!(ARENA_BLOCK_BYTES * crate::Table::ALL.len() * 2 <= WRITE_BUFFER_BYTES, "first allocations must not flush tables");
