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

/// How deep the block lies that a transaction is anchored to: deep enough that no ordinary reorganisation takes it away.
pub const ANCHOR_DEPTH: u64 = 6;

/// Of two prices the dearer is paid, but at most so many times the cheaper.
pub const PRICES_APART: u128 = 2;

/// Confirmations from which on a transaction may be called settled.
pub const CONFIRMATIONS: u64 = 20;

/// Blocks after settling during which a shipment is still looked after.
pub const AUDIT_BLOCKS: u64 = 100;

/// Blocks that a member of the committee has for a range before the next one takes over.
pub const TAKE_OVER_BLOCKS: u64 = 10;

/// Blocks that a bundling service has to bring an item to Arweave, whatever later deadline its receipt names or leaves out
/// (`arweave.md`, section 7.2: services say 200), with room for a height that is not quite ours.
pub const PROMISE_BLOCKS: u64 = 220;

/// Blocks after which a bundle that no other gateway hands out may be read back from those that took it from us: as far as a gateway may
/// be behind, and still be waited for.
pub const READ_BACK_BLOCKS: u64 = 30;

/// Questions about one block to which gateways give different answers, before an operator is told.
pub const DISPUTES_MAX: u32 = 10;

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

/// Entries of a bundling service's bundle that are looked through for an item of ours.
pub const WITHIN_ITEMS_MAX: u64 = 1 << 20;

/// Bytes read of an item to know it: the largest signature and key, and tags, with room.
pub const ITEM_HEAD_BYTES_MAX: usize = 16 << 10;

/// Room made for an answer that says how long it is, before it has come: a full bundle of ours. Longer ones get theirs as they come.
pub const ANNOUNCED_BYTES_MAX: usize = 8 << 20;

/// Characters of a gateway's text that a message of ours repeats.
pub const ECHO_CHARS_MAX: usize = 160;

/// Branches of one process's hash chain that are followed side by side when it is read back: a scheduler that signed a slot more often
/// than that has lost its mind.
pub const RECOVER_BRANCHES_MAX: usize = 64;

/// Blocks asked for at the same time while a chain is read.
pub const SCAN_BLOCKS_AT_ONCE: usize = 8;

/// Transactions remembered whose header or data nobody had.
pub const RECOVER_MISSING_MAX: usize = 10_000;

/// Items whose places are held while logs are put together: at about two hundred bytes each.
pub const RECOVER_ITEMS_MAX: usize = 32 << 20;

/// Times that indexes are asked for what the last answers named.
pub const RECOVER_ROUNDS_MAX: usize = 64;

/// Times that a recovery waits for gateways that say nothing of headers, one after another without any answer,
pub const RECOVER_RESTS_MAX: u32 = 4;
/// and how long each time: whoever wants to be left alone for longer is not waited for.
pub const RECOVER_REST: Duration = Duration::from_secs(10);

/// Bundles fetched at the same time.
pub const RECOVER_FETCH_AT_ONCE: usize = 16;

/// Bytes of bundles that are on their way at the same time. One that is larger comes alone.
pub const RECOVER_FETCH_BYTES: u64 = 64 << 20;

/// Heights that an index is asked for at once; a window that it refuses, or that has more than its pages, is halved.
pub const INDEX_WINDOW: u64 = 1 << 20;

/// Pages that one index is asked for in one search, over all its questions and windows.
pub const INDEX_REQUESTS_MAX: usize = 20_000;

/// How long one index may take over one search, with all its questions and pages,
pub const INDEX_PATIENCE: Duration = Duration::from_secs(120);
/// and how much longer for every thousand heights that are searched.
pub const INDEX_PATIENCE_PER_1000: Duration = Duration::from_millis(600);

/// Entries taken from one index in one search: more than that nobody has anchored, and memory has an end. Bundles that one names, and that
/// are asked for in turn, are no more.
pub const INDEX_HITS_MAX: usize = 4 << 20;

/// Entries asked for of one page of an index; it may give fewer.
pub const INDEX_PAGE: usize = 100;

/// Blocks of a span that are asked for at the same time, where no index shows them.
pub const BLOCKS_AT_ONCE: usize = 8;

/// Pages of one window: an index whose pages never end is no index. A single height may have as many transactions as a block holds, each
/// with its items.
pub const INDEX_PAGES_MAX: usize = 200;

/// Pages that one gateway is asked for with one question about items in full: a question names a hundred ids or slots, and of each there
/// are few items.
pub const NODES_PAGES_MAX: usize = 8;

/// Slots of a log that a scheduler is asked for at once.
pub const SCHEDULE_PAGE: usize = 500;

/// Bytes of a page of a scheduler's log: one message of the largest size, each byte of it escaped, and room for its company. Larger pages are
/// asked for again with fewer slots.
pub const SCHEDULE_BYTES_MAX: usize = 6 * ITEM_BYTES_MAX + (4 << 20);

/// Ids asked for at once.
pub const INDEX_IDS: usize = 100;

/// Entries taken from one index in a search for what so many items lie in: each of them, and of each everything around it.
pub const ITEMS_HITS_MAX: usize = INDEX_IDS * (INDEX_DEPTH_MAX + 1);

/// Bundles within bundles that an index is asked about until it names a transaction.
pub const INDEX_DEPTH_MAX: usize = 16;

const _: () = assert!(FLUSH_BYTES.is_multiple_of(CHUNK_BYTES), "a full flush fills its last chunk");
const _: () = assert!(FRAMES_BYTES < ITEM_BYTES_MAX && RANGE_SLOTS_MAX * 96 < ITEM_BYTES_MAX);
const _: () = assert!(MODULE_BYTES_MAX + FLUSH_BYTES as usize <= BUNDLE_BYTES_MAX, "a module fits a bundle with what goes along");
const _: () = assert!(REQUEST_TIMEOUT.as_secs() < INDEX_PATIENCE.as_secs(), "an index may answer late more often than once");
const _: () = assert!(ANCHOR_DEPTH < ANCHOR_BLOCKS);
const _: () = assert!(COPIES <= ENDPOINTS_MAX && CONFIRMATIONS < ANCHOR_BLOCKS && TASKS_MAX <= SHIPMENTS_MAX);
const _: () = assert!(RANGE_CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX <= 4 * ITEM_BYTES_MAX);
