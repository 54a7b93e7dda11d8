//! What a BFT round decides (`consensus.md` §6): a header that commits to operations and frames, so that one frame's proof is a path and
//! not the whole block.

use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_option};
use ao_types::hash::sha256;
use ao_types::{BlockValue, Chain, FrameId, NetworkId, Statement};

use crate::control::ControlOp;
use crate::limits::{BLOCK_FRAMES_MAX, BLOCK_OPS_MAX};
use crate::merkle::{self, Path};
use crate::time::Timestamp;

/// A frame as a block names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRef {
    /// Whose.
    pub chain: Chain,
    /// Its place.
    pub sequence: u64,
    /// The frame.
    pub frame: FrameId,
}

impl FrameRef {
    fn leaf(&self) -> [u8; 32] {
        merkle::leaf(&self.encode())
    }
}

/// Whose hash the value of a round is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// The network.
    pub network_id: NetworkId,
    /// From 1; 0 is the genesis.
    pub height: u64,
    /// Value of the block before; of the first one zeros.
    pub parent: BlockValue,
    /// Monotone, not ahead of validators' clocks by more than `drift_max`.
    pub time: Timestamp,
    /// Root over the operations.
    pub ops_root: [u8; 32],
    /// How many.
    pub ops_count: u32,
    /// Root over the frames.
    pub frames_root: [u8; 32],
    /// How many.
    pub frames_count: u32,
    /// Root of the Origin's state after the parent.
    pub state_root: [u8; 32],
    /// In the last block of an epoch: root of the committee after it.
    pub next_committee: Option<[u8; 32]>,
}

impl BlockHeader {
    /// The value that is voted on.
    pub fn value(&self) -> BlockValue {
        BlockValue(sha256(&[b"aonode block", &self.encode()]))
    }

    /// What a validator's share in the finality proof says. The round is part of it (§6).
    pub fn statement(&self, round: u32) -> Statement {
        Statement::Block { height: self.height, round, value: self.value() }
    }
}

/// A header and what it commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// In order: each acts at its place.
    pub ops: Vec<ControlOp>,
    /// In order; each chain's sequences contiguous. They act after the operations.
    pub frames: Vec<FrameRef>,
}

/// Roots over operations and frames.
fn roots(ops: &[ControlOp], frames: &[FrameRef]) -> ([u8; 32], [u8; 32]) {
    let ops: Vec<_> = ops.iter().map(|op| merkle::leaf(&op.encode())).collect();
    let frames: Vec<_> = frames.iter().map(FrameRef::leaf).collect();
    (merkle::root(&ops), merkle::root(&frames))
}

impl Block {
    /// Puts roots and counts of `ops` and `frames` into `header`.
    pub fn new(mut header: BlockHeader, ops: Vec<ControlOp>, frames: Vec<FrameRef>) -> Self {
        (header.ops_root, header.frames_root) = roots(&ops, &frames);
        (header.ops_count, header.frames_count) = (ops.len() as u32, frames.len() as u32);
        Self { header, ops, frames }
    }

    /// That frame `index` stands in this block; `None` if there is none of this number.
    pub fn frame_path(&self, index: usize) -> Option<Path> {
        let leaves: Vec<_> = self.frames.iter().map(FrameRef::leaf).collect();
        Path::of(&leaves, index)
    }
}

/// The frames root that follows if frame `index` of `header` is `frame`.
pub(crate) fn frames_root_from(header: &BlockHeader, index: u32, frame: &FrameRef, path: &Path) -> Option<[u8; 32]> {
    path.root_from(header.frames_count.into(), index.into(), frame.leaf())
}

impl Canonical for FrameRef {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain.write(out);
        self.sequence.write(out);
        self.frame.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { chain: Chain::read(reader)?, sequence: reader.u64()?, frame: FrameId::read(reader)? })
    }
}

const BLOCK_VERSION: u8 = 1;

impl Canonical for BlockHeader {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(BLOCK_VERSION);
        self.network_id.write(out);
        self.height.write(out);
        self.parent.write(out);
        self.time.0.write(out);
        out.extend_from_slice(&self.ops_root);
        out.extend_from_slice(&self.ops_count.to_be_bytes());
        out.extend_from_slice(&self.frames_root);
        out.extend_from_slice(&self.frames_count.to_be_bytes());
        out.extend_from_slice(&self.state_root);
        write_option(out, self.next_committee.as_ref());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a block", BLOCK_VERSION)?;
        Ok(Self {
            network_id: NetworkId::read(reader)?,
            height: reader.u64()?,
            parent: BlockValue::read(reader)?,
            time: Timestamp(reader.u64()?),
            ops_root: reader.array()?,
            ops_count: reader.u32()?,
            frames_root: reader.array()?,
            frames_count: reader.u32()?,
            state_root: reader.array()?,
            next_committee: reader.option("next committee of a block")?,
        })
    }
}

impl Canonical for Block {
    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        write_list(out, &self.ops);
        write_list(out, &self.frames);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let header = BlockHeader::read(reader)?;
        let ops: Vec<ControlOp> = reader.list("operations of a block", BLOCK_OPS_MAX)?;
        let frames: Vec<FrameRef> = reader.list("frames of a block", BLOCK_FRAMES_MAX)?;
        let counts = (header.ops_count as usize, header.frames_count as usize);
        if counts != (ops.len(), frames.len()) || roots(&ops, &frames) != (header.ops_root, header.frames_root) {
            return Err(CodecError::NotCanonical { what: "body of a block" });
        }
        Ok(Self { header, ops, frames })
    }
}
