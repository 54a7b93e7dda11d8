//! Every bound of this crate, and how the bounds relate.

use std::time::Duration;

use ao_types::limits::{BUNDLE_BYTES_MAX, CHUNK_BYTES_MAX, DATA_PATH_BYTES_MAX, ITEM_BYTES_MAX, MODULE_BYTES_MAX};

/// Arweave stores, and charges for, multiples of this.
pub const CHUNK_BYTES: u64 = CHUNK_BYTES_MAX as u64;

/// A flush happens when so many bytes wait (`arweave.md`, section 8).
pub const FLUSH_BYTES: u64 = 4 << 20;

/// Or so many items.
pub const FLUSH_ITEMS: usize = 2000;

/// Items of one bundle that we build: those of a flush, and records that go with them.
pub const BUNDLE_ITEMS_MAX: usize = 2 * FLUSH_ITEMS;

/// Slots of one range record: 64 bytes each, and a result hash.
pub const RANGE_SLOTS_MAX: usize = 1000;

/// Hashes of results that one range record carries; those of slots that were evaluated late come with a later range.
pub const RANGE_RESULTS_MAX: usize = 4000;

/// Certificates of one range record.
pub const RANGE_CERTIFICATES_MAX: usize = 8;

/// Bytes of one of them: a slot's proof with the headers of a long silence.
pub const CERTIFICATE_BYTES_MAX: usize = 4 << 20;

/// Frames of one record.
pub const FRAMES_MAX: usize = 1024;

/// Bytes of frames that one record collects before the next begins. A frame larger than this has a record of its own.
pub const FRAMES_BYTES: usize = 1 << 20;

/// Ranges that one shipment covers.
pub const SHIPMENT_RANGES_MAX: usize = BUNDLE_ITEMS_MAX;

/// Shipments that are not settled, in all. More slots wait in the queue.
pub const SHIPMENTS_MAX: usize = 256;

/// Shipments that are worked on at once; each has one task out.
pub const TASKS_MAX: usize = 8;

/// Bundles kept in memory while they are worked on; others are composed again from their items.
pub const BUNDLES_KEPT: usize = 4;

/// Parcels handed to the driver and not taken yet.
pub const PARCELS_WAITING: usize = 4;

/// Transactions signed for one shipment, one after another.
pub const CARRIERS_MAX: usize = 16;

/// Endpoints of one kind that can be configured.
pub const ENDPOINTS_MAX: usize = 32;

/// Endpoints that must have taken a transaction and its chunks, where so many are configured.
pub const COPIES: usize = 2;

/// Chunks posted to one endpoint by one task.
pub const SEED_CHUNKS: usize = 16;

/// First pause after a failure; it doubles with each one more.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);

/// Longest pause, and the longest that `Retry-After` is obeyed.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Pause for an endpoint that said what is not so.
pub const BACKOFF_LIAR: Duration = Duration::from_secs(600);

/// A transaction nobody has heard of for so long is posted again.
pub const UNSEEN: Duration = Duration::from_secs(600);

/// Between two questions about one transaction.
pub const ASK_EVERY: Duration = Duration::from_secs(20);

/// A hold (price, balance, refusals) is looked at again after so long.
pub const HOLD: Duration = Duration::from_secs(600);

/// Blocks after that of its anchor in which a transaction can be mined (`arweave.md`, section 6.3).
pub const ANCHOR_BLOCKS: u64 = 50;

/// Confirmations from which on a transaction may be called settled.
pub const CONFIRMATIONS: u64 = 20;

/// Blocks after settling during which a shipment is still looked after.
pub const AUDIT_BLOCKS: u64 = 100;

/// Blocks that a member of the committee has for a range before the next one takes over.
pub const TAKE_OVER_BLOCKS: u64 = 10;

/// Added to a quoted price, in percent, so that it still suffices when the transaction is mined.
pub const PRICE_MARGIN_PERCENT: u128 = 15;

/// Redirects followed, each checked as if it were the first address (F41).
pub const REDIRECTS_MAX: usize = 3;

/// One request, with everything.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Connecting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of small answers: numbers, states, anchors, errors.
pub const SMALL_BYTES_MAX: usize = 16 << 10;

/// Bytes of a transaction's header: 2 KiB of tags, keys and signature, in base64url, with room.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// Bytes of a block as JSON: a thousand ids and what is around them, with room.
pub const BLOCK_BYTES_MAX: usize = 2 << 20;

/// Bytes of a chunk's answer: chunk and proof in base64url, with room.
pub const CHUNK_ANSWER_BYTES_MAX: usize = (CHUNK_BYTES_MAX + 2 * DATA_PATH_BYTES_MAX) / 3 * 4 + (64 << 10);

/// Bytes of an answer to GraphQL.
pub const GRAPHQL_BYTES_MAX: usize = 8 << 20;

/// Bytes read back of one transaction.
pub const READ_BACK_BYTES_MAX: usize = BUNDLE_BYTES_MAX;

/// Characters of a gateway's text that a message of ours repeats.
pub const ECHO_CHARS_MAX: usize = 160;

/// Branches of one process's hash chain that are followed side by side when it is read back: a scheduler that signed a slot more often
/// than that has lost its mind.
pub const RECOVER_BRANCHES_MAX: usize = 64;

/// Blocks asked for at the same time while a chain is read.
pub const SCAN_BLOCKS_AT_ONCE: usize = 8;

/// Transactions remembered whose header or data nobody had.
pub const SCAN_MISSING_MAX: usize = 10_000;

/// Bytes of items held while logs are put together.
pub const RECOVER_BYTES_MAX: u64 = 4 << 30;

const _: () = assert!(FLUSH_BYTES.is_multiple_of(CHUNK_BYTES), "a full flush fills its last chunk");
const _: () = assert!(FRAMES_BYTES < ITEM_BYTES_MAX && RANGE_SLOTS_MAX * 96 < ITEM_BYTES_MAX);
const _: () = assert!(MODULE_BYTES_MAX + FLUSH_BYTES as usize <= BUNDLE_BYTES_MAX, "a module fits a bundle with what goes along");
const _: () = assert!(COPIES <= ENDPOINTS_MAX && CONFIRMATIONS < ANCHOR_BLOCKS && TASKS_MAX <= SHIPMENTS_MAX);
const _: () = assert!(RANGE_CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX <= 4 * ITEM_BYTES_MAX);
