//! A frame: a batch of new assignments over any of a scheduler's processes, chained to the scheduler's previous frame (`consensus.md` §3).
//!
//! ```text
//!   header ── entries_root ─▶ entries (192 bytes each: what certificates and proofs speak of)
//!     │  └─── payload_root ─▶ body = entries, assignments, items; in chunks of 256 KiB, each with a path
//!     ├────── history_root ─▶ all earlier frames of the chain
//!     └────── certificates ─▶ that of the newest certified ancestor
//!   id = SHA-256(header), signed by the scheduler's wallet
//! ```
//!
//! Owns canonical bytes, roots, ids and the scheduler's signature. Refuses to judge: whether a frame follows from its parent is
//! [`crate::tip`]'s question, whether an attestor may sign it that of [`crate::checks`].

use ao_types::codec::{Canonical, CodecError, Reader};
use ao_types::{Address, FrameId, Id};

mod body;
mod entry;
mod header;
mod signature;

pub use body::{Body, BodyItem, Chunk, chunk_count, payload_root};
pub use entry::{ENTRY_BYTES, Entry, EntryPath, entries_root};
pub use header::{Closed, FRAME_VERSION, FrameHeader};
pub use signature::{FrameSignature, RawHeader, SignedHeader};

use crate::limits::{FRAME_ENTRIES_MAX, PAYLOAD_BYTES_ALONE_MAX, PAYLOAD_BYTES_MAX};

/// Why bytes are not a frame. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not the canonical bytes of one.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// More entries than a frame may have.
    #[error("a frame has at most {max} entries, not {found}")]
    EntryCount {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// The header counts other entries.
    #[error("the header counts {expected} entries, there are {found}")]
    Entries {
        /// By the header.
        expected: usize,
        /// As given.
        found: usize,
    },
    /// The header speaks of other entries.
    #[error("the header's entries root is {expected}, the entries hash to {found}")]
    EntriesRoot {
        /// By the header.
        expected: FrameId,
        /// By the entries.
        found: FrameId,
    },
    /// More bytes than a payload may have. (Only that of a single entry may be larger than 4 MiB.)
    #[error("a payload of {entries} entries has at most {max} bytes, not {found}")]
    PayloadBytes {
        /// How many entries.
        entries: usize,
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// The header speaks of another body.
    #[error("the header's payload root is {expected}, the body hashes to {found}")]
    PayloadRoot {
        /// By the header.
        expected: FrameId,
        /// By the body.
        found: FrameId,
    },
    /// A chunk that is not the header's.
    #[error("chunk {index} is not under the header's payload root")]
    Chunk {
        /// Which.
        index: u32,
    },
    /// An assignment of the body is not that of its entry.
    #[error("assignment {found} stands where the entry says {expected}")]
    Assignment {
        /// By the entry.
        expected: Id,
        /// By the body.
        found: Id,
    },
    /// The items of the body are not those of the entries, each once, in the order in which entries first name them.
    #[error("item {found} stands where the entries say {expected}")]
    Item {
        /// By the entries.
        expected: Id,
        /// By the body.
        found: Id,
    },
    /// An assignment or item that is none, or whose signature does not hold.
    #[error("{id} in a body: {reason}")]
    Content {
        /// Which.
        id: Id,
        /// Why not.
        reason: String,
    },
    /// Another wallet than the scheduler's signed.
    #[error("the frame is signed by {found}, its scheduler is {expected}")]
    Signer {
        /// By the header.
        expected: Address,
        /// By the signature's key.
        found: Address,
    },
    /// The scheduler's signature does not hold.
    #[error("the signature of {scheduler} on frame {frame} does not hold")]
    Signature {
        /// By the header.
        scheduler: Address,
        /// Which frame.
        frame: FrameId,
    },
}

/// A header and what it speaks of, as a store keeps it and a scheduler builds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: FrameHeader,
    /// In the order in which they were assigned; none in a frame that only acknowledges, closes or crosses.
    pub entries: Vec<Entry>,
}

impl Frame {
    /// Checks that the entries are the header's.
    pub fn new(header: FrameHeader, entries: Vec<Entry>) -> Result<Self, FrameError> {
        let (expected, found) = (header.entry_count as usize, entries.len());
        if found != expected {
            return Err(FrameError::Entries { expected, found });
        }
        let root = entries_root(&entries);
        if root != header.entries_root {
            return Err(FrameError::EntriesRoot { expected: FrameId(header.entries_root), found: FrameId(root) });
        }
        Ok(Self { header, entries })
    }

    /// Header, then entries.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode();
        out.reserve(self.entries.len() * ENTRY_BYTES);
        self.entries.iter().for_each(|entry| entry.write(&mut out));
        out
    }

    /// Reads what [`Frame::encode`] wrote; refuses anything else, the root included.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        let header = FrameHeader::read(&mut reader)?;
        let count = header.entry_count as usize;
        if reader.left() != count * ENTRY_BYTES {
            return Err(CodecError::Length { expected: reader.position() + count * ENTRY_BYTES, found: bytes.len() }.into());
        }
        let entries = (0..count).map(|_| Entry::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        Self::new(header, entries)
    }
}

/// A whole frame as it travels by gossip when it is small enough: signed header and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireFrame {
    /// Header and signature, unchecked.
    pub header: RawHeader,
    /// What it speaks of, unchecked.
    pub body: Body,
}

impl Canonical for WireFrame {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        self.body.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { header: RawHeader::read(reader)?, body: Body::read(reader)? })
    }
}

/// The most bytes that a payload of `entries` entries may have.
pub fn payload_max(entries: usize) -> usize {
    if entries == 1 { PAYLOAD_BYTES_ALONE_MAX } else { PAYLOAD_BYTES_MAX }
}

pub(crate) fn check_counts(entries: usize, payload: usize) -> Result<(), FrameError> {
    if entries > FRAME_ENTRIES_MAX {
        return Err(FrameError::EntryCount { max: FRAME_ENTRIES_MAX, found: entries });
    }
    let max = payload_max(entries);
    if payload > max { Err(FrameError::PayloadBytes { entries, max, found: payload }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
