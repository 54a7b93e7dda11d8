//! What [`super::judge`] can say of a frame, and why.

use ao_types::{Address, Chain, Epoch, FrameId, Id, NetworkId, Slot};

use super::contents;
use crate::time::Timestamp;
use crate::tip::ChainTip;

/// What may be done with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lawful, whole and stored here. The tip after it is what its successor is checked against.
    Sign(Box<ChainTip>),
    /// Not yet.
    Hold(Hold),
    /// Never, and by nobody honest.
    Refuse(Refusal),
}

/// Why a frame is held. (retry)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// The control plane is behind the scheduler's.
    #[error("the Origin is applied to height {applied:?}, the frame needs {needed}")]
    Control {
        /// The frame's control height.
        needed: u64,
        /// This node's.
        applied: Option<u64>,
    },
    /// Its parent is not here or not checked yet: fetch it.
    #[error("frame {sequence} {parent} before it is missing or not checked yet")]
    Ancestor {
        /// The parent.
        parent: FrameId,
        /// The parent's sequence.
        sequence: u64,
    },
    /// The committee that certified a carried certificate is not known here.
    #[error("the committee of epoch {epoch} is not known here")]
    Committee {
        /// Whose.
        epoch: Epoch,
    },
    /// The node does not know yet whether the entries are lawful.
    #[error("the entries have not been checked yet")]
    Contents,
    /// Bytes that it speaks of are not durable here.
    #[error("its body is not stored here yet")]
    Body,
    /// The scheduler's clock is ahead of this one.
    #[error("its time is {found}, it may be signed from {from} on")]
    Future {
        /// Look again then.
        from: Timestamp,
        /// Its time.
        found: Timestamp,
    },
    /// The scheduler's view of Arweave is ahead of this one.
    #[error("its block height is {found}, this node's tip allows {allowed}")]
    Height {
        /// The highest that may be signed.
        allowed: u64,
        /// Its height.
        found: u64,
        /// From when on this node's tip counts as stale.
        stale_from: Timestamp,
    },
    /// This key signed another branch, or the chain is sealed by it: it never signs this one. Others may.
    #[error("this key is bound to {bound:?}, which the frame does not descend from")]
    Bound {
        /// What this key signed last in the chain.
        bound: Option<(u64, FrameId)>,
    },
    /// The chain has more frames than the Origin allows in a second.
    #[error("the chain has more than {max} frames a second; it may be signed from {from} on")]
    Rate {
        /// The bound.
        max: u32,
        /// Look again then.
        from: Timestamp,
    },
}

/// Why a frame is refused. The same at every honest node. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Of another network.
    #[error("network {found} is not {expected}")]
    Network {
        /// Ours.
        expected: NetworkId,
        /// Its.
        found: NetworkId,
    },
    /// It does not name the frame before it.
    #[error("frame {sequence} names {found} as its parent, which is {expected}")]
    Parent {
        /// Its sequence.
        sequence: u64,
        /// The frame before.
        expected: FrameId,
        /// As named.
        found: FrameId,
    },
    /// Something falls that never may.
    #[error("{what} falls from {before} to {found}")]
    Falls {
        /// Which field.
        what: &'static str,
        /// Of the frame before.
        before: u64,
        /// Its own.
        found: u64,
    },
    /// An epoch was left out, or comes again.
    #[error("epoch {found} follows {before}")]
    EpochStep {
        /// Of the frame before.
        before: Epoch,
        /// Its own.
        found: Epoch,
    },
    /// Not the epoch in force at its control height.
    #[error("its epoch is {found}, in force at its control height is {expected}")]
    Epoch {
        /// By the Origin.
        expected: Epoch,
        /// Its own.
        found: Epoch,
    },
    /// Another history than its ancestors make.
    #[error("its history root is {found}, its ancestors make {expected}")]
    History {
        /// By the ancestors.
        expected: FrameId,
        /// Its own.
        found: FrameId,
    },
    /// Certificates that are not those of one recent ancestor, newer than the one carried before, one for each committee.
    #[error("frame {sequence} carries certificates that are not of a newer ancestor")]
    Carried {
        /// Its sequence.
        sequence: u64,
    },
    /// A carried certificate does not hold.
    #[error("frame {sequence} carries a certificate of epoch {epoch} that does not hold")]
    Certificate {
        /// Its sequence.
        sequence: u64,
        /// Whose certificate.
        epoch: Epoch,
    },
    /// It stands on a crossing without both of its certificates.
    #[error("frame {sequence} follows a crossing whose certificates it does not carry")]
    OverCrossing {
        /// Its sequence.
        sequence: u64,
    },
    /// Too far ahead of what was certified.
    #[error("frame {sequence} is more than {window} after the ancestor certified last, {carried:?}")]
    Window {
        /// Its sequence.
        sequence: u64,
        /// That ancestor.
        carried: Option<u64>,
        /// The bound.
        window: u64,
    },
    /// A body of an impossible size.
    #[error("a payload of {entries} entries cannot have {bytes} bytes")]
    Payload {
        /// How many entries.
        entries: u32,
        /// Of what size.
        bytes: u32,
    },
    /// Its scheduler may not schedule as of its control height.
    #[error("{scheduler} may not schedule as of height {height}")]
    Scheduler {
        /// Whose frame.
        scheduler: Address,
        /// Its control height.
        height: u64,
    },
    /// The tenure is not open as of its control height.
    #[error("{chain} is not open as of height {height}")]
    Tenure {
        /// Which.
        chain: Chain,
        /// Its control height.
        height: u64,
    },
    /// It crosses into an epoch before the crossing into the one before is recorded.
    #[error("it crosses into epoch {epoch}, and the crossing into the epoch before is not recorded")]
    Crossing {
        /// The epoch entered.
        epoch: Epoch,
    },
    /// Older than its control block.
    #[error("its time is {found}, that of its control block {expected}")]
    BeforeControl {
        /// Of the control block.
        expected: Timestamp,
        /// Its own.
        found: Timestamp,
    },
    /// Not exactly what was unhosted since the frame before.
    #[error("it closes {found} processes, unhosted since the frame before are {expected} (or others)")]
    Closed {
        /// By the Origin.
        expected: usize,
        /// Its own.
        found: usize,
    },
    /// Rule 4.
    #[error("slot {slot} of {process}: {rule}")]
    Entry {
        /// Whose log.
        process: Id,
        /// Where.
        slot: Slot,
        /// Which rule.
        rule: contents::EntryRule,
    },
    /// It descends from a refused frame.
    #[error("its ancestor {ancestor} is refused")]
    Ancestor {
        /// Which.
        ancestor: FrameId,
    },
}
