//! A frame: a batch of new assignments over any of a scheduler's processes, chained to the scheduler's previous frame (`consensus.md` §3).
//!
//! Owns the canonical bytes of header and entries and the root over the entries. Refuses to judge: whether a frame may be confirmed is the
//! engine's question. The fields that only a network of several nodes needs (certificates, control height, closed processes, history
//! root, the scheduler's signature) come with the engine that reads them, under another [`FRAME_VERSION`].

use ao_types::{Address, Id, Slot};
use sha2::{Digest, Sha256};

use crate::limits::FRAME_ENTRIES_MAX;
use crate::time::Timestamp;

/// Leads every encoded header; other versions are refused.
pub const FRAME_VERSION: u8 = 1;
/// Size of one encoded entry.
pub const ENTRY_BYTES: usize = 32 * 5 + 16;
/// Upper bound of an encoded header.
pub const HEADER_BYTES_MAX: usize = 1 + 32 + 33 + 8 + 8 + 32 + 32 + 4 + 8 + 48 + 8;

/// SHA-256 of the canonical header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FrameId(pub [u8; 32]);

impl std::fmt::Display for FrameId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for FrameId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Whose frames: one scheduler in one tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain {
    /// The wallet that signs the assignments.
    pub scheduler: Address,
    /// Opened by the Origin; 0 on a network of one node.
    pub tenure: u64,
}

impl Chain {
    fn write(&self, out: &mut Vec<u8>) {
        match &self.scheduler {
            Address::Arweave(id) => {
                out.push(0);
                out.extend_from_slice(&id.0);
            }
            Address::Ethereum(bytes) => {
                out.push(1);
                out.extend_from_slice(bytes);
            }
        }
        out.extend_from_slice(&self.tenure.to_be_bytes());
    }

    /// What frame 0 names as its parent.
    pub fn id(&self) -> FrameId {
        let mut bytes = b"aonode chain".to_vec();
        self.write(&mut bytes);
        FrameId(Sha256::digest(&bytes).into())
    }

    /// Key bytes: frames of one chain sort by sequence behind them.
    pub fn key(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(41);
        self.write(&mut bytes);
        bytes
    }
}

/// One assignment, as a frame speaks of it.
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
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.process.0);
        out.extend_from_slice(&self.schedule_epoch.to_be_bytes());
        out.extend_from_slice(&self.slot.0.to_be_bytes());
        out.extend_from_slice(&self.item.0);
        out.extend_from_slice(&self.assignment.0);
        out.extend_from_slice(&self.content_hash);
        out.extend_from_slice(&self.hash_chain);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(Self {
            process: Id(bytes.array()?),
            schedule_epoch: bytes.u64()?,
            slot: Slot(bytes.u64()?),
            item: Id(bytes.array()?),
            assignment: Id(bytes.array()?),
            content_hash: bytes.array()?,
            hash_chain: bytes.array()?,
        })
    }
}

/// What a scheduler signs and an engine speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// SHA-256 of the canonical genesis.
    pub network_id: [u8; 32],
    /// Whose frame.
    pub chain: Chain,
    /// Gap-free within the chain, from 0.
    pub sequence: u64,
    /// The frame before it; of frame 0 the chain's id.
    pub parent: FrameId,
    /// Root over the entries.
    pub entries_root: [u8; 32],
    /// How many entries.
    pub entry_count: u32,
    /// Height the scheduler saw; never falls along a chain.
    pub block_height: u64,
    /// The block at that height; recorded, never judged.
    pub block_id: [u8; 48],
    /// The scheduler's clock; never falls along a chain.
    pub timestamp: Timestamp,
}

impl FrameHeader {
    /// The bytes that are hashed and signed.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES_MAX);
        out.push(FRAME_VERSION);
        out.extend_from_slice(&self.network_id);
        self.chain.write(&mut out);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.parent.0);
        out.extend_from_slice(&self.entries_root);
        out.extend_from_slice(&self.entry_count.to_be_bytes());
        out.extend_from_slice(&self.block_height.to_be_bytes());
        out.extend_from_slice(&self.block_id);
        out.extend_from_slice(&self.timestamp.0.to_be_bytes());
        out
    }

    /// The frame's id.
    pub fn id(&self) -> FrameId {
        FrameId(Sha256::digest(self.canonical()).into())
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, FrameError> {
        let [version] = bytes.array()?;
        if version != FRAME_VERSION {
            return Err(FrameError::Version { expected: FRAME_VERSION, found: version });
        }
        Ok(Self {
            network_id: bytes.array()?,
            chain: bytes.chain()?,
            sequence: bytes.u64()?,
            parent: FrameId(bytes.array()?),
            entries_root: bytes.array()?,
            entry_count: u32::from_be_bytes(bytes.array()?),
            block_height: bytes.u64()?,
            block_id: bytes.array()?,
            timestamp: Timestamp(bytes.u64()?),
        })
    }
}

/// A header and what it speaks of. The assignments and items themselves are in the store under the ids that the entries name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The header.
    pub header: FrameHeader,
    /// In the order in which they were assigned.
    pub entries: Vec<Entry>,
}

/// Where a chain stands: what its next frame is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// The chain.
    pub chain: Chain,
    /// Sequence of the next frame.
    pub next_sequence: u64,
    /// Its parent.
    pub parent: FrameId,
    /// Lower bound of its time.
    pub timestamp: Timestamp,
    /// Lower bound of its height.
    pub block_height: u64,
}

impl ChainTip {
    /// A chain without frames.
    pub fn opened(chain: Chain) -> Self {
        Self { chain, next_sequence: 0, parent: chain.id(), timestamp: Timestamp(0), block_height: 0 }
    }

    /// The tip after `frame`.
    pub fn after(frame: &Frame) -> Self {
        Self {
            chain: frame.header.chain,
            next_sequence: frame.header.sequence.saturating_add(1),
            parent: frame.header.id(),
            timestamp: frame.header.timestamp,
            block_height: frame.header.block_height,
        }
    }
}

/// Why bytes are not a frame. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end too early or too late.
    #[error("a frame of {expected} bytes is expected, {found} were given")]
    Length {
        /// By what was read so far.
        expected: usize,
        /// As given.
        found: usize,
    },
    /// Written by another version.
    #[error("frame version {found} is not {expected}")]
    Version {
        /// Ours.
        expected: u8,
        /// Theirs.
        found: u8,
    },
    /// An address kind that does not exist.
    #[error("address kind {found} does not exist")]
    AddressKind {
        /// As given.
        found: u8,
    },
    /// More entries than a frame may have, or none.
    #[error("a frame has 1 to {max} entries, not {found}")]
    EntryCount {
        /// The bound.
        max: usize,
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
}

impl Frame {
    /// The frame after `tip`. Time and height are raised to the chain's if the caller's are below.
    pub fn build(
        tip: &ChainTip,
        network_id: [u8; 32],
        entries: Vec<Entry>,
        now: Timestamp,
        block: (u64, [u8; 48]),
    ) -> Result<Self, FrameError> {
        if entries.is_empty() || entries.len() > FRAME_ENTRIES_MAX {
            return Err(FrameError::EntryCount { max: FRAME_ENTRIES_MAX, found: entries.len() });
        }
        let header = FrameHeader {
            network_id,
            chain: tip.chain,
            sequence: tip.next_sequence,
            parent: tip.parent,
            entries_root: entries_root(&entries),
            entry_count: entries.len() as u32,
            block_height: block.0.max(tip.block_height),
            block_id: block.1,
            timestamp: now.max(tip.timestamp),
        };
        Ok(Self { header, entries })
    }

    /// Header, then entries.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header.canonical();
        out.reserve(self.entries.len() * ENTRY_BYTES);
        self.entries.iter().for_each(|entry| entry.write(&mut out));
        out
    }

    /// Reads what [`Frame::encode`] wrote; refuses anything else, the root included.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader { bytes, at: 0 };
        let header = FrameHeader::read(&mut reader)?;
        let count = header.entry_count as usize;
        if count == 0 || count > FRAME_ENTRIES_MAX {
            return Err(FrameError::EntryCount { max: FRAME_ENTRIES_MAX, found: count });
        }
        let expected = reader.at + count * ENTRY_BYTES;
        if bytes.len() != expected {
            return Err(FrameError::Length { expected, found: bytes.len() });
        }
        let entries = (0..count).map(|_| Entry::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let found = entries_root(&entries);
        if found != header.entries_root {
            return Err(FrameError::EntriesRoot { expected: FrameId(header.entries_root), found: FrameId(found) });
        }
        Ok(Self { header, entries })
    }
}

/// Merkle root over the entries: leaves and nodes are hashed under different leading bytes, a node without a sibling moves up unchanged.
pub fn entries_root(entries: &[Entry]) -> [u8; 32] {
    let mut level: Vec<[u8; 32]> = entries
        .iter()
        .map(|entry| {
            let mut bytes = Vec::with_capacity(1 + ENTRY_BYTES);
            bytes.push(0);
            entry.write(&mut bytes);
            Sha256::digest(&bytes).into()
        })
        .collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into(),
                [alone] => *alone,
                _ => [0; 32],
            })
            .collect();
    }
    level.first().copied().unwrap_or([0; 32])
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let end = self.at + N;
        let found = self.bytes.len();
        let part = self.bytes.get(self.at..end).and_then(|part| <[u8; N]>::try_from(part).ok());
        self.at = end;
        part.ok_or(FrameError::Length { expected: end, found })
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn chain(&mut self) -> Result<Chain, FrameError> {
        let [kind] = self.array()?;
        let scheduler = match kind {
            0 => Address::Arweave(Id(self.array()?)),
            1 => Address::Ethereum(self.array()?),
            found => return Err(FrameError::AddressKind { found }),
        };
        Ok(Chain { scheduler, tenure: self.u64()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u8) -> Entry {
        Entry {
            process: Id([n; 32]),
            schedule_epoch: 0,
            slot: Slot(n.into()),
            item: Id([n.wrapping_add(1); 32]),
            assignment: Id([n.wrapping_add(2); 32]),
            content_hash: [3; 32],
            hash_chain: [4; 32],
        }
    }

    fn tip() -> ChainTip {
        ChainTip::opened(Chain { scheduler: Address::Arweave(Id([9; 32])), tenure: 0 })
    }

    fn frame(count: u8) -> Frame {
        Frame::build(&tip(), [7; 32], (0..count).map(entry).collect(), Timestamp(1000), (5, [6; 48])).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is_read() {
        for count in [1, 2, 3, 7, 64] {
            let frame = frame(count);
            let bytes = frame.encode();
            assert_eq!(Frame::decode(&bytes).unwrap(), frame);
            for cut in 0..bytes.len() {
                assert!(Frame::decode(&bytes[..cut]).is_err(), "{count} entries cut at {cut}");
            }
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 1;
                if let Ok(read) = Frame::decode(&other) {
                    assert_ne!(read.header.id(), frame.header.id(), "byte {at} does not reach the id");
                }
            }
        }
    }

    #[test]
    fn ethereum_schedulers_have_their_own_form() {
        let mut frame = frame(1);
        frame.header.chain.scheduler = Address::Ethereum([8; 20]);
        assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame);
    }

    #[test]
    fn every_entry_and_its_place_reach_the_root() {
        let entries: Vec<_> = (0..5).map(entry).collect();
        let root = entries_root(&entries);
        let mut swapped = entries.clone();
        swapped.swap(0, 1);
        assert_ne!(root, entries_root(&swapped));
        for cut in 1..5 {
            assert_ne!(root, entries_root(&entries[..cut]));
        }
    }

    #[test]
    fn a_chain_names_its_parent_and_never_runs_backwards() {
        let first = frame(1);
        assert_eq!(first.header.parent, tip().chain.id());
        let second = Frame::build(&ChainTip::after(&first), [7; 32], vec![entry(1)], Timestamp(10), (2, [0; 48])).unwrap();
        assert_eq!((second.header.sequence, second.header.parent), (1, first.header.id()));
        assert_eq!((second.header.timestamp, second.header.block_height), (Timestamp(1000), 5));
    }

    #[test]
    fn entry_bounds_bite() {
        let of = |count: usize| Frame::build(&tip(), [0; 32], vec![entry(0); count], Timestamp(0), (0, [0; 48]));
        assert_eq!(of(0).unwrap_err(), FrameError::EntryCount { max: FRAME_ENTRIES_MAX, found: 0 });
        assert!(of(FRAME_ENTRIES_MAX).is_ok());
        assert_eq!(of(FRAME_ENTRIES_MAX + 1).unwrap_err(), FrameError::EntryCount { max: FRAME_ENTRIES_MAX, found: FRAME_ENTRIES_MAX + 1 });
        assert!(of(FRAME_ENTRIES_MAX).unwrap().encode().len() <= crate::limits::FRAME_BYTES_MAX);
    }
}
