//! What a scheduler signs and certificates speak about.

use ao_types::codec::{Canonical, CodecError, Reader, write_list};
use ao_types::hash::sha256;
use ao_types::{Certificate, Chain, Epoch, FrameId, Id, NetworkId, Statement};

use super::check_counts;
use crate::limits::{CERTIFICATES_MAX, CLOSED_MAX};
use crate::time::Timestamp;

/// Leads every encoded header; other versions are refused.
pub const FRAME_VERSION: u8 = 2;

/// A process that this chain no longer hosts from this frame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Closed {
    /// The process.
    pub process: Id,
    /// Its schedule epoch that ends.
    pub schedule_epoch: u64,
}

impl Canonical for Closed {
    fn write(&self, out: &mut Vec<u8>) {
        self.process.write(out);
        self.schedule_epoch.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { process: Id::read(reader)?, schedule_epoch: reader.u64()? })
    }
}

/// See the module documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// SHA-256 of the canonical genesis.
    pub network_id: NetworkId,
    /// The epoch in force at `control_height`.
    pub epoch: Epoch,
    /// Whose frame.
    pub chain: Chain,
    /// Gap-free within the chain, from 0.
    pub sequence: u64,
    /// The frame before it; of frame 0 the chain's id.
    pub parent: FrameId,
    /// That of the newest certified ancestor, if newer than the one carried before; two only after a crossing, the older epoch's first.
    pub certificates: Vec<Certificate>,
    /// Height of the Origin's log that the scheduler had applied; never falls along a chain.
    pub control_height: u64,
    /// Unhosted at or below `control_height` and not named before, in ascending order.
    pub closed: Vec<Closed>,
    /// Root over the entries.
    pub entries_root: [u8; 32],
    /// How many entries.
    pub entry_count: u32,
    /// Size of the body.
    pub payload_bytes: u32,
    /// Root over the body's chunks.
    pub payload_root: [u8; 32],
    /// Root over all earlier frames of the chain.
    pub history_root: [u8; 32],
    /// Arweave height the scheduler saw; never falls along a chain.
    pub block_height: u64,
    /// The block at that height; recorded, never judged.
    pub block_id: [u8; 48],
    /// The scheduler's clock; never falls along a chain.
    pub timestamp: Timestamp,
}

impl FrameHeader {
    /// The frame's id: SHA-256 of the canonical header.
    pub fn id(&self) -> FrameId {
        FrameId(sha256(&[&self.encode()]))
    }

    /// What attestors of this frame sign. `id` is [`FrameHeader::id`], which the caller has.
    pub fn statement(&self, id: FrameId) -> Statement {
        Statement::Frame { chain: self.chain, sequence: self.sequence, frame: id }
    }
}

impl Canonical for FrameHeader {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(FRAME_VERSION);
        self.network_id.write(out);
        self.epoch.write(out);
        self.chain.write(out);
        self.sequence.write(out);
        self.parent.write(out);
        write_list(out, &self.certificates);
        self.control_height.write(out);
        write_list(out, &self.closed);
        out.extend_from_slice(&self.entries_root);
        out.extend_from_slice(&self.entry_count.to_be_bytes());
        out.extend_from_slice(&self.payload_bytes.to_be_bytes());
        out.extend_from_slice(&self.payload_root);
        out.extend_from_slice(&self.history_root);
        self.block_height.write(out);
        out.extend_from_slice(&self.block_id);
        self.timestamp.0.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a frame", FRAME_VERSION)?;
        let header = Self {
            network_id: NetworkId::read(reader)?,
            epoch: Epoch::read(reader)?,
            chain: Chain::read(reader)?,
            sequence: reader.u64()?,
            parent: FrameId::read(reader)?,
            certificates: reader.list("certificates of a frame", CERTIFICATES_MAX)?,
            control_height: reader.u64()?,
            closed: reader.list("closed processes of a frame", CLOSED_MAX)?,
            entries_root: reader.array()?,
            entry_count: reader.u32()?,
            payload_bytes: reader.u32()?,
            payload_root: reader.array()?,
            history_root: reader.array()?,
            block_height: reader.u64()?,
            block_id: reader.array()?,
            timestamp: Timestamp(reader.u64()?),
        };
        if !header.closed.is_sorted_by(|a, b| a < b) {
            return Err(CodecError::NotCanonical { what: "order of closed processes" });
        }
        let (entries, payload) = (header.entry_count as usize, header.payload_bytes as usize);
        check_counts(entries, payload).map_err(|_| CodecError::Bound {
            what: "entries or payload of a frame",
            max: super::payload_max(entries),
            found: payload.max(entries),
        })?;
        Ok(header)
    }
}
