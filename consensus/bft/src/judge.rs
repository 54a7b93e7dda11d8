//! Whether this node can vouch for a block (`consensus.md` §6).
//!
//! The same three answers as §4 has for a frame, and for the same reason: what only this node's clock or disk knows never makes a block
//! invalid. Everything that does is the same at every honest node that has decided the same blocks before it.

use std::collections::BTreeMap;

use ao_consensus::block::Block;
use ao_consensus::limits::DRIFT_MS_MAX;
use ao_consensus::{ControlOp, Rosters, Timestamp};
use ao_types::{Chain, FrameId, NetworkId};

use crate::context::{BlockId, Height};
use crate::frames::{Frames, Standing};
use crate::values::{BlockError, check_shape};

/// The last decided block, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its height; 0 before the first.
    pub height: Height,
    /// Which.
    pub id: BlockId,
    /// Its time.
    pub time: Timestamp,
}

/// Before the first block.
pub const GENESIS: Head = Head { height: Height(0), id: BlockId([0; 32]), time: Timestamp(0) };

/// Root of the Origin's state while no ledger computes one.
pub const NO_STATE: [u8; 32] = [0; 32];

/// Which rule a block breaks. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A rule of its bytes.
    #[error(transparent)]
    Shape(#[from] BlockError),
    /// Another network's.
    #[error("network {found} is not {expected}")]
    Network {
        /// Ours.
        expected: NetworkId,
        /// Its.
        found: NetworkId,
    },
    /// It does not stand on what was decided last.
    #[error("block {found_height} on {found} does not follow {expected}")]
    Parent {
        /// What was decided last.
        expected: BlockId,
        /// Its parent.
        found: BlockId,
        /// Its height.
        found_height: Height,
    },
    /// Time falls.
    #[error("its time is {found}, that of its parent {parent}")]
    Time {
        /// The parent's.
        parent: Timestamp,
        /// Its own.
        found: Timestamp,
    },
    /// Another state than the parent leaves.
    #[error("it names a state or a committee that the parent does not lead to")]
    State,
    /// A frame that is not the next of its chain.
    #[error("frame {found} of chain {chain} is not the next, which is {expected}")]
    Sequence {
        /// Whose.
        chain: Chain,
        /// The next.
        expected: u64,
        /// As given.
        found: u64,
    },
    /// A frame of another branch than the one decided.
    #[error("frame {frame} does not follow what was decided of its chain")]
    Branch {
        /// Which.
        frame: FrameId,
    },
    /// A frame that no honest node vouches for.
    #[error("frame {frame} breaks a rule of the log")]
    Frame {
        /// Which.
        frame: FrameId,
    },
    /// An operation that shows nothing.
    #[error("operation {index} does not hold")]
    Op {
        /// Its place.
        index: usize,
    },
}

/// What this node says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It vouches for it.
    Valid,
    /// It cannot tell before this time; `None`: before something comes.
    Hold(Option<Timestamp>),
    /// Nobody honest does.
    Invalid(Broken),
}

/// The verdict on a block that may follow `head`.
pub fn judge(now: Timestamp, head: &Head, frames: &Frames, rosters: &Rosters, block: &Block) -> Verdict {
    match decide(now, head, frames, rosters, block) {
        Ok(None) => Verdict::Valid,
        #[cfg(any(test, feature = "mutations"))]
        Ok(Some(_)) if crate::mutation::is(crate::mutation::Mutation::RefuseInsteadOfHold) => Verdict::Invalid(Broken::State),
        Ok(Some(until)) => Verdict::Hold(until),
        Err(broken) => Verdict::Invalid(broken),
    }
}

/// `Some`: hold. Everything is looked at before it is held: what is invalid is not waited for.
fn decide(now: Timestamp, head: &Head, frames: &Frames, rosters: &Rosters, block: &Block) -> Result<Option<Option<Timestamp>>, Broken> {
    check_shape(block)?;
    let header = &block.header;
    let (expected, found) = (rosters.network(), header.network_id);
    if expected != found {
        return Err(Broken::Network { expected, found });
    }
    let (found, found_height) = (BlockId::from(header.parent), Height(header.height));
    if found != head.id || found_height.0 != head.height.0.saturating_add(1) {
        return Err(Broken::Parent { expected: head.id, found, found_height });
    }
    if header.time < head.time {
        return Err(Broken::Time { parent: head.time, found: header.time });
    }
    if header.state_root != NO_STATE || header.next_committee.is_some() {
        return Err(Broken::State);
    }
    for (index, op) in block.ops.iter().enumerate() {
        if let ControlOp::Evidence(evidence) = op {
            evidence.verify(rosters).map_err(|_| Broken::Op { index })?;
        }
    }
    let mut hold = check_frames(frames, block)?.then_some(None);
    if header.time.0 > now.0.saturating_add(DRIFT_MS_MAX) {
        hold.get_or_insert(Some(Timestamp(header.time.0 - DRIFT_MS_MAX)));
    }
    Ok(hold)
}

/// Whether something of the frames cannot be told yet.
fn check_frames(frames: &Frames, block: &Block) -> Result<bool, Broken> {
    let (mut heads, mut hold) = (BTreeMap::new(), false);
    for frame in &block.frames {
        let (expected, parent) = *heads.entry(frame.chain).or_insert_with(|| frames.head(&frame.chain));
        if frame.sequence != expected {
            return Err(Broken::Sequence { chain: frame.chain, expected, found: frame.sequence });
        }
        #[cfg(any(test, feature = "mutations"))]
        if heads.get(&frame.chain).is_some_and(|_| expected != frames.head(&frame.chain).0)
            && crate::mutation::is(crate::mutation::Mutation::SkippedUnchecked)
        {
            heads.insert(frame.chain, (expected.saturating_add(1), frame.frame));
            continue;
        }
        match frames.standing(frame) {
            Some(Standing::Refuse(_)) => return Err(Broken::Frame { frame: frame.frame }),
            Some(Standing::Sign(_)) => {}
            #[cfg(any(test, feature = "mutations"))]
            Some(Standing::Hold(_)) if crate::mutation::is(crate::mutation::Mutation::AvailabilityUnchecked) => {}
            Some(Standing::Hold(_)) | None => hold = true,
        }
        if frames.parent(frame).is_some_and(|found| found != parent) {
            return Err(Broken::Branch { frame: frame.frame });
        }
        heads.insert(frame.chain, (expected.saturating_add(1), frame.frame));
    }
    Ok(hold)
}

#[cfg(test)]
pub(crate) mod tests;
