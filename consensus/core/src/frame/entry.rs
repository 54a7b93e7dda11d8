//! One assignment, as a frame speaks of it, and the root over all of a frame.

use ao_types::codec::{Canonical, CodecError, Reader};
use ao_types::{Id, Slot};

use crate::merkle::{self, Path};

/// Size of one encoded entry.
pub const ENTRY_BYTES: usize = 32 * 5 + 16;

/// One assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The process.
    pub process: Id,
    /// The assignment's `Epoch` tag.
    pub schedule_epoch: u64,
    /// Position in the process's schedule.
    pub slot: Slot,
    /// The assigned item; the process itself at its first slot.
    pub item: Id,
    /// The assignment item that carries the scheduler's signature.
    pub assignment: Id,
    /// Hash of the assignment's content without its signature: signing again does not change it.
    pub content_hash: [u8; 32],
    /// Hash chain at this slot.
    pub hash_chain: [u8; 32],
}

impl Entry {
    /// Its leaf under the header's `entries_root`.
    pub fn leaf(&self) -> [u8; 32] {
        merkle::leaf(&self.encode())
    }
}

impl Canonical for Entry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.process.0);
        self.schedule_epoch.write(out);
        self.slot.0.write(out);
        out.extend_from_slice(&self.item.0);
        out.extend_from_slice(&self.assignment.0);
        out.extend_from_slice(&self.content_hash);
        out.extend_from_slice(&self.hash_chain);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            process: Id(reader.array()?),
            schedule_epoch: reader.u64()?,
            slot: Slot(reader.u64()?),
            item: Id(reader.array()?),
            assignment: Id(reader.array()?),
            content_hash: reader.array()?,
            hash_chain: reader.array()?,
        })
    }
}

/// Merkle root over the entries; zeros if there are none.
pub fn entries_root(entries: &[Entry]) -> [u8; 32] {
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    merkle::root(&leaves)
}

/// An entry, and that it stands in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPath {
    /// The entry.
    pub entry: Entry,
    /// Its place in the frame.
    pub index: u32,
    /// To the header's `entries_root`.
    pub path: Path,
}

impl EntryPath {
    /// Of the entry at `index`; `None` if there is none.
    pub fn of(entries: &[Entry], index: usize) -> Option<Self> {
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        Some(Self { entry: *entries.get(index)?, index: index as u32, path: Path::of(&leaves, index)? })
    }

    /// The root that follows, in a frame of `count` entries.
    pub fn root(&self, count: u32) -> Option<[u8; 32]> {
        self.path.root_from(count.into(), self.index.into(), self.entry.leaf())
    }
}

impl Canonical for EntryPath {
    fn write(&self, out: &mut Vec<u8>) {
        self.entry.write(out);
        out.extend_from_slice(&self.index.to_be_bytes());
        self.path.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { entry: Entry::read(reader)?, index: reader.u32()?, path: Path::read(reader)? })
    }
}
