//! Every bound of this crate, and how the bounds relate.
//!
//! Where Arweave has a number, it is Arweave's (`arweave.md`, sections 5 to 7); the others keep this process small.

use ao_types::limits::CHUNK_BYTES_MAX;

/// Blocks whose hash a transaction may name as its anchor, the tip included.
pub const ANCHOR_BLOCKS: usize = 50;

/// How deep the block lies that `/tx_anchor` offers: deep enough that no ordinary fork takes it away.
pub const ANCHOR_OFFERED_DEPTH: u64 = 6;

/// Transactions of one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 1000;

/// Bytes of headers that wait to be mined. Over it those that pay least go.
pub const MEMPOOL_BYTES_MAX: usize = 250 << 20;

/// Bytes that a header counts with in the mempool beside its tags: owner, signature and the small fields.
pub const HEADER_BYTES: usize = 1_400;

/// Blocks of one chain: three months of one every two seconds. A block is a few hundred bytes and is never forgotten.
pub const BLOCKS_MAX: usize = 4_000_000;

/// Blocks that one command mines.
pub const MINE_MAX: u64 = 10_000;

/// Blocks that one reorganisation takes away; older ones keep no record of how to be undone.
pub const REORG_DEPTH_MAX: u64 = 100;

/// Blocks of dead branches that are still shown by their hash.
pub const ORPHANS_MAX: usize = 1_000;

/// Refused transactions of which is remembered why (status 410).
pub const REFUSED_MAX: usize = 1_000;

/// Bytes of the body of `POST /tx` with a transaction.
pub const TRANSACTION_BODY_MAX: usize = 15 << 20;

/// Bytes of the body of `POST /chunk`: chunk and proof in base64url, and the rest of the JSON.
pub const CHUNK_BODY_MAX: usize = 768 << 10;

/// Bytes of every other body but an item's.
pub const BODY_MAX: usize = 1 << 20;

/// Bytes of chunks that are held, mined or not, unless configured otherwise.
pub const CHUNK_BYTES_HELD_MAX: u64 = 4 << 30;

/// Bytes of data that are put together in memory to be unbundled or served whole.
pub const DATA_BYTES_MAX: u64 = 300 << 20;

/// Bytes of one record of the journal.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// Faults remembered for `/dev/faults`; older ones are only in the log.
pub const FAULT_LOG_MAX: usize = 10_000;

/// Rules of one kind, and ids in one list of a fault.
pub const FAULT_RULES_MAX: usize = 10_000;

/// Milliseconds that a fault may hold an answer back.
pub const LATENCY_MS_MAX: u64 = 600_000;

/// Bytes that a fault may answer with.
pub const HUGE_BYTES_MAX: u64 = 16 << 30;

/// Gateways that one chain is shown through.
pub const GATEWAYS_MAX: usize = 16;

/// Requests answered at the same time, over all gateways; more wait in the listener's queue.
pub const REQUESTS_MAX: usize = 512;

const _: () = assert!(CHUNK_BODY_MAX > 2 * CHUNK_BYTES_MAX * 4 / 3 + 1_000, "a chunk with the longest proof fits");
const _: () = assert!(RECORD_BYTES_MAX > 2 * CHUNK_BODY_MAX, "whatever is posted fits a record");
const _: () = assert!(ANCHOR_OFFERED_DEPTH < ANCHOR_BLOCKS as u64, "the offered anchor is valid");
const _: () = assert!(REORG_DEPTH_MAX > ANCHOR_BLOCKS as u64, "a fork may invalidate every anchor");

/// Transactions and items that the index holds. About a kilobyte each.
pub const INDEX_ITEMS_MAX: usize = 2_000_000;

/// Entries that one search compares; beyond, the page ends and says that there is more.
pub const SEARCH_ROWS_MAX: usize = 200_000;

/// Items that wait to be bundled.
pub const BUNDLER_ITEMS_MAX: usize = 10_000;

/// Their bytes.
pub const BUNDLER_BYTES_MAX: usize = 256 << 20;

/// Bytes of one item handed to the bundler.
pub const ITEM_BODY_MAX: usize = 64 << 20;

const _: () =
    assert!(ITEM_BODY_MAX < BUNDLER_BYTES_MAX && (BUNDLER_BYTES_MAX as u64) < DATA_BYTES_MAX, "a bundle of all that waits can be opened");
