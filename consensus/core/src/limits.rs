//! Every bound of this crate.

use ao_types::limits::{COMMITTEE_MEMBERS_MAX, ITEM_BYTES_MAX, ITEM_HEADER_BYTES_MAX, OWNER_BYTES_MAX, SIGNATURE_BYTES_MAX};

/// Entries of one frame (`consensus.md` §3, `entry_max`).
pub const FRAME_ENTRIES_MAX: usize = 4096;

/// A frame closes when its payload has this many bytes (`payload_max`). Only a frame of one entry may have more.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Payload of a frame of one entry: the largest item, its assignment, and what is around them.
pub const PAYLOAD_BYTES_ALONE_MAX: usize = ITEM_BYTES_MAX + ITEM_HEADER_BYTES_MAX + 1024;

/// Bytes of one chunk of a payload, proven under `payload_root`.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Frames up to this size travel by gossip as a whole (`gossip_max`); of larger ones only the header.
pub const GOSSIP_BYTES_MAX: usize = 32 << 10;

/// Bodies that a node uploads at once (`upload_max`), the scheduler no exception.
pub const UPLOADS_MAX: usize = 8;

/// Frames that may follow the ancestor certified last (`W`).
pub const WINDOW: u64 = 16;

/// Unhosted processes that one header names. With more, the scheduler's control height rises in steps.
pub const CLOSED_MAX: usize = 256;

/// Certificates that one header carries: two only after a crossing.
pub const CERTIFICATES_MAX: usize = 2;

/// Milliseconds a frame's time may be ahead of a node's clock before it is held (`drift_max`).
pub const DRIFT_MS_MAX: u64 = 2_000;

/// Blocks a frame's height may be above a node's tip before it is held.
pub const HEIGHT_AHEAD_MAX: u64 = 2;

/// Milliseconds after which a tip that does not move no longer holds frames back (`tip_stale`).
pub const TIP_STALE_MS: u64 = 30 * 60 * 1000;

/// Bytes of a certificate of a committee of the greatest size.
pub const CERTIFICATE_BYTES_MAX: usize = 82 + 8 + 2 + COMMITTEE_MEMBERS_MAX.div_ceil(8) + 96;

/// Bytes of an encoded header.
pub const HEADER_BYTES_MAX: usize = 1
    + 32
    + 8
    + 41
    + 8
    + 32
    + (4 + CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX)
    + 8
    + (4 + CLOSED_MAX * 40)
    + 32
    + 4
    + 4
    + 32
    + 32
    + 8
    + 48
    + 8;

/// Bytes of a scheduler's signature with its key.
pub const FRAME_SIGNATURE_BYTES_MAX: usize = 2 + OWNER_BYTES_MAX + SIGNATURE_BYTES_MAX;

/// Bytes of one frame as a store keeps it: header and entries.
pub const FRAME_BYTES_MAX: usize = FRAME_ENTRIES_MAX * crate::frame::ENTRY_BYTES + HEADER_BYTES_MAX;

/// Nodes of a Merkle path: no tree has more levels.
pub const PATH_NODES_MAX: usize = 64;

/// Headers of one proof: on a chain that goes on some certified frame follows within the window (`consensus.md` §15).
pub const PROOF_HEADERS_MAX: usize = 2 * WINDOW as usize;

/// Headers that evidence brings along to show that a frame does not descend from another.
pub const EVIDENCE_HEADERS_MAX: usize = 1024;

/// Bytes of one piece of evidence.
pub const EVIDENCE_BYTES_MAX: usize = 4 << 20;

/// Operations of one block (`consensus.md` §6).
pub const BLOCK_OPS_MAX: usize = 1024;

/// Frames of one block.
pub const BLOCK_FRAMES_MAX: usize = 4096;

/// Bytes of an operation of the ledger that no engine reads.
pub const LEDGER_OP_BYTES_MAX: usize = 64 << 10;

/// Items of one signing run: what one worker signs for one process before others get their turn.
pub const RUN_ITEMS_MAX: usize = 64;

/// Frames that the `solo` engine keeps because their predecessor has not come yet.
pub const SOLO_WAITING_MAX: usize = 1024;

/// Bytes of an interchange file of slashing protection.
pub const INTERCHANGE_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(RUN_ITEMS_MAX <= FRAME_ENTRIES_MAX, "a run fits one frame");
const _: () = assert!(HEADER_BYTES_MAX + FRAME_SIGNATURE_BYTES_MAX <= GOSSIP_BYTES_MAX, "any header can be gossiped");
const _: () = assert!(CHUNK_BYTES < PAYLOAD_BYTES_MAX && PAYLOAD_BYTES_MAX < PAYLOAD_BYTES_ALONE_MAX);
const _: () = assert!(FRAME_ENTRIES_MAX * crate::frame::ENTRY_BYTES < PAYLOAD_BYTES_MAX, "entries alone never fill a payload");
const _: () = assert!(PROOF_HEADERS_MAX <= EVIDENCE_HEADERS_MAX);
