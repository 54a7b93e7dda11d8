//! Every bound of snapshots, and how bounds relate.

use super::CHUNK_BYTES;

/// Bytes of a body: a full checkpoint of the largest memory, and what packing may add.
pub const BODY_BYTES_MAX: u64 = ao_vm::limits::MEMORY_BYTES_MAX as u64 + (16 << 20);

/// Chunks of a body.
pub const CHUNKS_MAX: usize = BODY_BYTES_MAX.div_ceil(CHUNK_BYTES as u64) as usize;

/// Bytes of one part of a chunk, as it travels.
pub const PART_BYTES: usize = ao_p2p::limits::CHUNK_BYTES;

/// Parts of a chunk.
pub const PARTS_PER_CHUNK: usize = CHUNK_BYTES / PART_BYTES;

/// Bytes of a certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 1_024;

/// Bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 512 + CERTIFICATE_BYTES_MAX + 32 * CHUNKS_MAX;

/// Snapshots of one process that are kept; the oldest goes.
pub const KEPT_PER_PROCESS: usize = 2;

/// Bytes of all snapshots of a node; the oldest go.
pub const KEPT_BYTES_MAX: u64 = 32 << 30;

/// Peers that take parts of snapshots from this node at once; more are told that it is busy.
pub const TAKERS_MAX: usize = 8;

/// Milliseconds after which a peer that takes nothing more gives its place back.
pub const TAKER_IDLE_MS: u64 = 10_000;

/// Files of snapshots that are open because parts of them were asked for.
pub const OPEN_MAX: usize = 8;

/// Processes whose state somebody asked for and that wait to be written down; one is written at a time.
pub const WANTED_MAX: usize = 16;

/// A process's state is written down at most so often because somebody asked.
pub const MADE_AGAIN_MS: u64 = 60_000;

/// Parts asked of one peer at once.
pub const PARTS_PER_PEER: usize = 4;

/// Chunks fetched at once.
pub const CHUNKS_AT_ONCE: usize = 4;

/// Peers of whom one snapshot is fetched.
pub const SOURCES_MAX: usize = 16;

/// Failures in a row after which a source is not asked any more for this snapshot.
pub const SOURCE_FAILURES_MAX: u32 = 8;

/// Milliseconds that a source rests after a failure, at first;
pub const SOURCE_REST_MS_MIN: u64 = 250;
/// doubling up to this.
pub const SOURCE_REST_MS_MAX: u64 = 8_000;

/// How often a node that joins looks which of its processes need a state, and whether a log has come far enough.
pub const JOIN_TICK_MS: u64 = 500;

/// Looks for a second source before one is enough.
pub const JOIN_LOOKS_FOR_MORE: u32 = 4;

/// Milliseconds until a process for which nobody had a snapshot is asked for again, at first;
pub const JOIN_PAUSE_MS_MIN: u64 = 1_000;
/// doubling up to this.
pub const JOIN_PAUSE_MS_MAX: u64 = 60_000;

/// Snapshots that proved to be none and are remembered; the oldest are forgotten, and each cost its sources their good name.
pub const BAD_MAX: usize = 1_024;

/// Bytes that come at least in [`JOIN_STUCK_MS`] while a snapshot is being fetched: 273 KiB a second, so that the largest holds up others for an
/// hour and a quarter at most.
pub const STUCK_BYTES_MIN: usize = 32 << 20;

/// Milliseconds without enough progress after which a snapshot that is being fetched is given up; what is here of it is kept.
pub const JOIN_STUCK_MS: u64 = 120_000;

/// Processes looked at in one round of joining.
pub const JOIN_AT_ONCE: usize = 256;

/// Milliseconds without a change after which half a file is nobody's any more; it is removed when the next is written.
pub const DEAD_WRITE_MS: u64 = 10 * 60_000;

/// Files that are looked at in the folder of snapshots; it is no place for more.
pub const FILES_MAX: usize = 4_096;

const _: () = assert!(CHUNK_BYTES.is_multiple_of(PART_BYTES) && PARTS_PER_CHUNK <= u8::MAX as usize, "a part's number is small");
const _: () = assert!(CHUNKS_AT_ONCE * PARTS_PER_PEER <= crate::network::limits::INQUIRIES_MAX, "questions find their way");
const _: () = assert!(CHUNKS_MAX <= u16::MAX as usize, "a chunk's number is small");
const _: () =
    assert!(STUCK_BYTES_MIN.is_multiple_of(CHUNK_BYTES) && STUCK_BYTES_MIN <= CHUNKS_AT_ONCE * CHUNK_BYTES, "what comes at once is enough");
const _: () = assert!(BODY_BYTES_MAX / STUCK_BYTES_MIN as u64 * JOIN_STUCK_MS <= 75 * 60_000, "others wait no longer");
const _: () = assert!(2 * BODY_BYTES_MAX < KEPT_BYTES_MAX, "the largest state can be kept twice");
