//! The seam: frames of assignments go in; confirmations come out.
//!
//! A scheduler gives every accepted item a slot ([`schedule`]), puts the newly durable assignments of all its processes into a
//! [`Frame`] chained to its previous one, and hands the frame to an engine. The engine says, in sequence order per chain and once for
//! each frame, that it is confirmed. How it comes to say so (nobody else to ask, staked attestors, a BFT round) is its own business.
//!
//! ```text
//!   items ─▶ schedule::assign_run ─▶ durable ─▶ Frame ─▶ ┌────────────────┐ ─▶ Remember(record) ─▶ store ─▶ Remembered(key) ─┐
//!                                                        │ dyn Consensus  │ ─▶ Confirmed(frame, proof) ─▶ evaluation         │
//!                                           Tick(time) ─▶└────────────────┘◀──────────────────────────────────────────────────┘
//! ```
//!
//! **Contract**, which module `contract` (feature `contract`) checks for any engine:
//!
//! 1. `handle` never waits, reads a clock, or touches disk or network. Time is the argument.
//! 2. Each frame is confirmed at most once in the life of an engine, in sequence order within its chain, without a gap.
//! 3. Nothing is confirmed that was not given as [`Input::Frame`], and nothing confirmed is taken back.
//! 4. A frame given twice is confirmed no second time; a frame whose predecessor was not given waits for it, within a bound.
//! 5. An [`Effect::Remember`] is durable before any later effect of the same call becomes visible: the caller guarantees this.
//! 6. After a crash the caller gives back, in order, every frame above the last one whose confirmation it stored. It tells the engine
//!    where that is when it makes it.
//!
//! Slots are assigned outside the engine, the same way for every engine (`consensus.md` §11). What the two real engines add (`Peer`,
//! `Committee`, `Origin`, `Submit`; `Send`, `Fetch`, `Certified`, `Voided`, `Decided`, `Propose`, `Evidence`, `Penalise`) comes with them.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod frame;
pub mod limits;
pub mod schedule;
pub mod solo;
pub mod time;

pub use frame::{Chain, ChainTip, Entry, Frame, FrameError, FrameHeader, FrameId};
pub use solo::Solo;
pub use time::Timestamp;

use bytes::Bytes;

/// What an engine can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A frame, own or received, whose assignments and items are durable here and whose form was checked.
    Frame(Box<Frame>),
    /// The record of this key, of an earlier [`Effect::Remember`], is durable.
    Remembered(String),
    /// Time passed; see [`Consensus::next_deadline`].
    Tick,
}

/// What an engine can ask for. Effects of one call are carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Must be durable before any later effect of the same call is visible to anybody.
    Remember(Record),
    /// No other content for these slots can ever be confirmed.
    Confirmed(Confirmation),
}

/// Something an engine must not forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Names the record; a later record of the same key replaces it.
    pub key: String,
    /// Opaque to everybody but the engine.
    pub value: Bytes,
}

/// The engine's word on one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The frame's chain.
    pub chain: Chain,
    /// Its place in the chain.
    pub sequence: u64,
    /// The frame.
    pub frame_id: FrameId,
    /// What convinces somebody else, in the engine's own form; empty where nobody else took part.
    pub proof: Bytes,
}

/// An engine. See the module documentation for its contract.
pub trait Consensus: Send {
    /// Short, stable name, shown in HTTP answers: `solo`, `attest`, `bft`.
    fn name(&self) -> &'static str;

    /// One input, any number of effects, no waiting, no clock but `now`.
    fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>);

    /// When to call `handle(Input::Tick)` next, if at all.
    fn next_deadline(&self) -> Option<Timestamp>;
}
