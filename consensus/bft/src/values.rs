//! What is decided: the blocks of [`ao_consensus::block`] (`consensus.md` §6).
//!
//! Owns the rules that a block's bytes alone can break, beyond those of its encoding. Refuses to judge whether this node can vouch for a
//! block: that takes its frames, its clock and the state before it ([`crate::judge`]).

use std::collections::BTreeMap;

use ao_consensus::block::{Block, FrameRef};
use ao_types::codec::Canonical;
use ao_types::{BlockValue, Chain};

use crate::context::BlockId;
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_FRAMES_MAX, BLOCK_OPS_MAX};

impl From<BlockId> for BlockValue {
    fn from(id: BlockId) -> Self {
        Self(id.0)
    }
}

impl From<BlockValue> for BlockId {
    fn from(value: BlockValue) -> Self {
        Self(value.0)
    }
}

/// What votes on this block are about.
pub fn block_id(block: &Block) -> BlockId {
    block.header.value().into()
}

/// Which rule a block breaks that needs nothing but its bytes. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// More frames than a block may order.
    #[error("a block orders at most {max} frames, not {found}")]
    Frames {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// More operations than a block may hold.
    #[error("a block holds at most {max} operations, not {found}")]
    Ops {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// More bytes than a block may have.
    #[error("a block has at most {max} bytes, not {found}")]
    Bytes {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// A chain's frames do not follow one another.
    #[error("frame {found} of chain {chain} stands where {expected} should")]
    Sequence {
        /// The chain.
        chain: Chain,
        /// The next in order.
        expected: u64,
        /// As given.
        found: u64,
    },
}

/// Checks counts, size, and that the frames of each chain follow one another. Chains may alternate.
pub fn check_shape(block: &Block) -> Result<(), BlockError> {
    let (frames, ops) = (block.frames.len(), block.ops.len());
    if frames > BLOCK_FRAMES_MAX {
        return Err(BlockError::Frames { max: BLOCK_FRAMES_MAX, found: frames });
    }
    if ops > BLOCK_OPS_MAX {
        return Err(BlockError::Ops { max: BLOCK_OPS_MAX, found: ops });
    }
    let bytes = block.encode().len();
    if bytes > BLOCK_BYTES_MAX {
        return Err(BlockError::Bytes { max: BLOCK_BYTES_MAX, found: bytes });
    }
    contiguous(&block.frames)
}

fn contiguous(frames: &[FrameRef]) -> Result<(), BlockError> {
    let mut next = BTreeMap::new();
    for frame in frames {
        let found = frame.sequence;
        match next.insert(frame.chain, found.saturating_add(1)) {
            Some(expected) if expected != found => return Err(BlockError::Sequence { chain: frame.chain, expected, found }),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
