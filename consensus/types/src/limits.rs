//! Every bound of this crate, and how the bounds relate.
//!
//! Parsers never allocate from a claimed count or length, so most of these bound what is *accepted*, not what is held. Bounds on queues,
//! bodies and connections belong to the crates that own those.

/// Tags of one item in the strict profile (`arweave.md`, section 2.2).
pub const TAGS_MAX: usize = 128;

/// Bytes of one tag name in the strict profile.
pub const TAG_NAME_BYTES_MAX: usize = 1024;

/// Bytes of one tag value in the strict profile.
pub const TAG_VALUE_BYTES_MAX: usize = 3072;

/// Bytes of the encoded tag section, in both profiles: nobody carries more.
pub const TAG_SECTION_BYTES_MAX: usize = 4096;

/// Longest signature: type 6, 32 slots of 64 bytes and a bitmap.
pub const SIGNATURE_BYTES_MAX: usize = 2052;

/// Longest owner: type 6, 32 slots of 32 bytes and the threshold.
pub const OWNER_BYTES_MAX: usize = 1025;

/// Everything of an item before its data, at most.
pub const ITEM_HEADER_BYTES_MAX: usize = 2 + SIGNATURE_BYTES_MAX + OWNER_BYTES_MAX + 33 + 33 + 16 + TAG_SECTION_BYTES_MAX;

/// Bytes of an item at ingest, unless it is a module (`arweave.md`, section 2).
pub const ITEM_BYTES_MAX: usize = 10 << 20;

/// Bytes of a module item.
pub const MODULE_BYTES_MAX: usize = 100 << 20;

/// Bytes of a bundle that we build, so that gateways carry it (`arweave.md`, section 8).
pub const BUNDLE_BYTES_MAX: usize = 250 << 20;

/// Nested bundles are opened down to this depth; deeper ones are reported, not opened.
pub const BUNDLE_DEPTH_MAX: u32 = 16;

/// Items looked at below one root.
pub const BUNDLE_ITEMS_MAX: u64 = 1_000_000;

/// Bytes handed to the item parser below one root, counted once per level they appear on.
pub const BUNDLE_WORK_BYTES_MAX: u64 = 1 << 32;

/// Prepared RSA keys kept for signers seen before. About 4 KiB each.
pub const SIGNER_CACHE_ENTRIES: usize = 1024;

/// Decompressed Ed25519 keys kept for signers seen before: schedulers above all. 192 bytes each.
pub const ED25519_KEYS_KEPT: usize = 256;

/// Bytes of an Arweave transaction's tag names and values together (`arweave.md`, section 6.1).
pub const TRANSACTION_TAG_BYTES_MAX: usize = 2048;

/// Digits of a transaction's `quantity` and `reward`.
pub const WINSTON_DIGITS_MAX: usize = 30;

/// Bytes of one chunk of a transaction's data (`arweave.md`, section 5).
pub const CHUNK_BYTES_MAX: usize = 262_144;

/// Bytes of a proof that a chunk belongs to a root.
pub const DATA_PATH_BYTES_MAX: usize = 262_144;

/// Deliveries that one result may ask for (`outbox::deliveries`): an evaluation that asks for more is an error. The same on every node,
/// since a result is the same on every node.
pub const DELIVERIES_MAX: usize = 10_000;

/// Characters of outside text that an error message repeats.
pub const ECHO_CHARS_MAX: usize = 64;

const _: () = assert!(TAG_NAME_BYTES_MAX <= TAG_SECTION_BYTES_MAX && TAG_VALUE_BYTES_MAX <= TAG_SECTION_BYTES_MAX);
const _: () = assert!(ITEM_HEADER_BYTES_MAX <= u16::MAX as usize, "offsets into an item's header are kept in 16 bits");
const _: () = assert!(TAG_SECTION_BYTES_MAX / 2 <= u16::MAX as usize, "tag counts are kept in 16 bits");
const _: () = assert!(ITEM_HEADER_BYTES_MAX < ITEM_BYTES_MAX && ITEM_BYTES_MAX <= MODULE_BYTES_MAX);
const _: () = assert!(MODULE_BYTES_MAX < BUNDLE_BYTES_MAX, "a module fits a bundle");
const _: () = assert!(SIGNER_CACHE_ENTRIES.is_power_of_two(), "the table is indexed by masking");
const _: () = assert!(ED25519_KEYS_KEPT.is_power_of_two() && ED25519_KEYS_KEPT <= 1 << 16, "the table is indexed by masking 16 bits");

/// Members of one committee. A bitmap of so many is 512 bytes.
pub const COMMITTEE_MEMBERS_MAX: usize = 4096;

/// Stake of one committee: three times it must not overflow, so that thresholds are exact.
pub const STAKE_TOTAL_MAX: u128 = u128::MAX / 3;

/// Bytes of a peer id: a multihash of an inlined Ed25519 key has 38, of an RSA key 34.
pub const PEER_ID_BYTES_MAX: usize = 64;

/// Characters of a base58 text: as many bytes as a peer id, plus room.
pub const BASE58_CHARS_MAX: usize = 128;

/// Bytes of a genesis file: 4096 validators of about 600 bytes, and room for accounts.
pub const GENESIS_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(COMMITTEE_MEMBERS_MAX <= u16::MAX as usize, "members are numbered in 16 bits");
