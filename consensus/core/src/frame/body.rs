//! What a frame speaks of: entries, the signed assignments, and the items that they assign.
//!
//! The body's canonical bytes are the payload. It is cut into chunks of 256 KiB, each proven under the header's `payload_root`, so that a
//! node can pull it from several strangers at once and notice the first wrong piece.

use std::collections::BTreeSet;

use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_prefixed};
use ao_types::{DataItem, FrameId, Id, Profile, Verified};
use bytes::Bytes;

use super::entry::{Entry, entries_root};
use super::{FrameError, FrameHeader, check_counts};
use crate::limits::{CHUNK_BYTES, FRAME_ENTRIES_MAX, PAYLOAD_BYTES_ALONE_MAX, PAYLOAD_BYTES_MAX};
use crate::merkle::{self, Path};

/// Bytes of a payload of nothing: two counts.
const BODY_BASE: usize = 8;

/// An item of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyItem {
    /// Raw ANS-104 bytes.
    Full(Bytes),
    /// Stands in the surviving log already: whoever lacks it asks for it by its id.
    Held(Id),
}

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// In the order in which they were assigned.
    pub entries: Vec<Entry>,
    /// One for each entry, raw ANS-104 bytes.
    pub assignments: Vec<Bytes>,
    /// Each item that the entries name, once, in the order in which they first name it.
    pub items: Vec<BodyItem>,
}

impl Canonical for BodyItem {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Full(bytes) => {
                out.push(0);
                write_prefixed(out, bytes);
            }
            Self::Held(id) => {
                out.push(1);
                id.write(out);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        match reader.u8()? {
            0 => reader.prefixed("bytes of an item", PAYLOAD_BYTES_ALONE_MAX).map(Bytes::copy_from_slice).map(Self::Full),
            1 => Id::read(reader).map(Self::Held),
            found => Err(CodecError::Kind { what: "form of an item in a body", found }),
        }
    }
}

impl Canonical for Body {
    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, &self.entries);
        self.assignments.iter().for_each(|assignment| write_prefixed(out, assignment));
        write_list(out, &self.items);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let entries: Vec<Entry> = reader.list("entries of a frame", FRAME_ENTRIES_MAX)?;
        let assignment = |_: &Entry| reader.prefixed("bytes of an assignment", PAYLOAD_BYTES_ALONE_MAX).map(Bytes::copy_from_slice);
        let assignments = entries.iter().map(assignment).collect::<Result<_, _>>()?;
        let items = reader.list("items of a frame", FRAME_ENTRIES_MAX)?;
        Ok(Self { entries, assignments, items })
    }
}

/// Assignments and items of a body, each well formed and signed; items that the body only names are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// One for each entry.
    pub assignments: Vec<Verified<DataItem>>,
    /// Those that came along.
    pub items: Vec<DataItem>,
    /// Those that must be here already.
    pub held: Vec<Id>,
}

impl Body {
    /// Puts one together: entries with their assignments, and each item once unless it stands in the surviving log already.
    pub fn of(parts: impl IntoIterator<Item = (Entry, Bytes, Option<Bytes>)>) -> Self {
        let (mut body, mut named) = (Self::default(), BTreeSet::new());
        for (entry, assignment, item) in parts {
            if named.insert(entry.item) {
                body.items.push(item.map_or(BodyItem::Held(entry.item), BodyItem::Full));
            }
            body.entries.push(entry);
            body.assignments.push(assignment);
        }
        body
    }

    /// As many as are needed: each within a frame's bounds, in order. An item that fits no frame is only named; whoever lacks it asks for
    /// it by its id.
    pub fn split(parts: impl IntoIterator<Item = (Entry, Bytes, Option<Bytes>)>) -> Vec<Self> {
        let (mut bodies, mut open, mut bytes) = (Vec::new(), Vec::new(), BODY_BASE);
        for (entry, assignment, item) in parts {
            let item = item.filter(|item| BODY_BASE + Self::weight(assignment.len(), Some(item.len())) <= PAYLOAD_BYTES_ALONE_MAX);
            let weight = Self::weight(assignment.len(), item.as_ref().map(Bytes::len));
            if !open.is_empty() && (open.len() >= FRAME_ENTRIES_MAX || bytes + weight > PAYLOAD_BYTES_MAX) {
                bodies.push(Self::of(std::mem::take(&mut open)));
                bytes = BODY_BASE;
            }
            bytes += weight;
            open.push((entry, assignment, item));
        }
        if !open.is_empty() {
            bodies.push(Self::of(open));
        }
        bodies
    }

    /// Items that it names without bringing them along.
    pub fn held(&self) -> Vec<Id> {
        let held = |item: &BodyItem| if let BodyItem::Held(id) = item { Some(*id) } else { None };
        self.items.iter().filter_map(held).collect()
    }

    /// Bytes that an assignment adds to a payload, at most.
    pub fn weight(assignment: usize, item: Option<usize>) -> usize {
        super::ENTRY_BYTES + 4 + assignment + item.map_or(33, |bytes| 5 + bytes)
    }

    /// Reads a payload and checks that it is the header's: size, chunks, entries.
    pub fn read_payload(header: &FrameHeader, payload: &[u8]) -> Result<Self, FrameError> {
        if payload.len() != header.payload_bytes as usize {
            return Err(CodecError::Length { expected: header.payload_bytes as usize, found: payload.len() }.into());
        }
        let root = payload_root(payload);
        if root != header.payload_root {
            return Err(FrameError::PayloadRoot { expected: FrameId(header.payload_root), found: FrameId(root) });
        }
        let body = Self::decode(payload)?;
        let (expected, found) = (header.entry_count as usize, body.entries.len());
        if expected != found {
            return Err(FrameError::Entries { expected, found });
        }
        let root = entries_root(&body.entries);
        if root != header.entries_root {
            return Err(FrameError::EntriesRoot { expected: FrameId(header.entries_root), found: FrameId(root) });
        }
        check_counts(found, payload.len())?;
        Ok(body)
    }

    /// Parses assignments and items and checks that they are those of the entries. Signatures of items are *not* checked here: a node
    /// checks each once, on entry, in a pool (`consensus.md` §3). Those of assignments are skipped too if `trusted` says that these very
    /// bytes were verified before.
    pub fn contents(&self, trusted: &dyn Fn(&Id) -> bool) -> Result<Contents, FrameError> {
        let mut out = Contents::default();
        for (entry, bytes) in self.entries.iter().zip(&self.assignments) {
            let item = parse(entry.assignment, bytes)?;
            if item.id() != entry.assignment {
                return Err(FrameError::Assignment { expected: entry.assignment, found: item.id() });
            }
            let verified = if trusted(&entry.assignment) {
                Verified::reloaded_from_own_store(item)
            } else {
                item.verify().map_err(|error| FrameError::Content { id: entry.assignment, reason: error.to_string() })?
            };
            out.assignments.push(verified);
        }
        let mut named = BTreeSet::new();
        let mut expected = self.entries.iter().map(|entry| entry.item).filter(|item| named.insert(*item));
        for item in &self.items {
            let Some(expected) = expected.next() else {
                return Err(FrameError::Entries { expected: self.entries.len(), found: self.items.len() });
            };
            let found = match item {
                BodyItem::Held(id) => *id,
                BodyItem::Full(bytes) => {
                    let item = parse(expected, bytes)?;
                    let id = item.id();
                    out.items.push(item);
                    id
                }
            };
            if found != expected {
                return Err(FrameError::Item { expected, found });
            }
            if matches!(item, BodyItem::Held(_)) {
                out.held.push(found);
            }
        }
        match expected.next() {
            Some(missing) => Err(FrameError::Item { expected: missing, found: Id([0; 32]) }),
            None => Ok(out),
        }
    }
}

fn parse(id: Id, bytes: &Bytes) -> Result<DataItem, FrameError> {
    DataItem::parse(bytes.clone(), Profile::Strict).map_err(|error| FrameError::Content { id, reason: error.to_string() })
}

/// How many chunks a payload of `bytes` has.
pub fn chunk_count(bytes: u32) -> u32 {
    bytes.div_ceil(CHUNK_BYTES as u32)
}

fn leaves(payload: &[u8]) -> Vec<[u8; 32]> {
    payload.chunks(CHUNK_BYTES).map(merkle::leaf).collect()
}

/// Root over the chunks of a payload.
pub fn payload_root(payload: &[u8]) -> [u8; 32] {
    merkle::root(&leaves(payload))
}

/// A piece of a payload that proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which piece; it begins at `index` × 256 KiB.
    pub index: u32,
    /// At most 256 KiB.
    pub bytes: Bytes,
    /// To the header's `payload_root`.
    pub path: Path,
}

impl Chunk {
    /// Cuts one out; `None` if there is none of this number.
    pub fn of(payload: &Bytes, index: u32) -> Option<Self> {
        let start = CHUNK_BYTES.checked_mul(index as usize)?;
        let end = start.checked_add(CHUNK_BYTES)?.min(payload.len());
        let path = Path::of(&leaves(payload), index as usize)?;
        Some(Self { index, bytes: payload.slice(start..end), path })
    }

    /// Whether it is a piece of the header's payload.
    pub fn check(&self, header: &FrameHeader) -> Result<(), FrameError> {
        let (count, last) = (chunk_count(header.payload_bytes), header.payload_bytes as usize % CHUNK_BYTES);
        let length = if self.index.checked_add(1) == Some(count) && last > 0 { last } else { CHUNK_BYTES };
        let root = self.path.root_from(count.into(), self.index.into(), merkle::leaf(&self.bytes));
        if self.bytes.len() == length && root == Some(header.payload_root) { Ok(()) } else { Err(FrameError::Chunk { index: self.index }) }
    }
}

impl Canonical for Chunk {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_be_bytes());
        write_prefixed(out, &self.bytes);
        self.path.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            index: reader.u32()?,
            bytes: Bytes::copy_from_slice(reader.prefixed("bytes of a chunk", CHUNK_BYTES)?),
            path: Path::read(reader)?,
        })
    }
}
