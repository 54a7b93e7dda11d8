//! The seam: frames of assignments go in; confirmations with a proof come out.
//!
//! A scheduler gives every accepted item a slot ([`schedule`]), puts the newly durable assignments of all its processes into a
//! [`Frame`] chained to its previous one ([`tip`], [`pace`]), signs its header, and hands it to an engine here and on every other node. The
//! engine says, in sequence order per chain and once for each frame, that it is confirmed, with a proof that [`proof::verify`] accepts
//! offline. How it comes to say so (nobody else to ask, staked attestors, a BFT round) is its own business.
//!
//! ```text
//!   items ─▶ schedule ─▶ durable ─▶ Frame ─▶ ┌───────────────┐ ─▶ Remember(record) ─▶ protection, store ─▶ Remembered(key) ─┐
//!   other schedulers' frames, with facts ──▶ │               │ ─▶ Send, Fetch ─▶ peers                                     │
//!   Peer(bytes) ───────────────────────────▶ │ dyn Consensus │ ─▶ Certified ─▶ the next frame carries it                   │
//!   Committee, Origin, Submit, Tip ────────▶ │               │ ─▶ Confirmed(proof) ─▶ evaluation, anchoring                │
//!   Tick(time) ────────────────────────────▶ └───────────────┘ ─▶ Voided, Decided, Propose, Evidence, Penalise             │
//!                                                   ▲──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! **Contract**, which module `contract` (feature `contract`) checks for any engine at n = 1, 4, 7 and 20:
//!
//! 1. `handle` never waits, reads a clock, or touches disk or network. Time is the argument and never falls. Same inputs, same effects.
//! 2. Each frame is confirmed at most once in the life of a node, in sequence order within its chain, without a gap, and never two
//!    frames of one sequence, on whatever node.
//! 3. Nothing is confirmed that was not given as [`Input::Frame`] with [`Facts::WHOLE`]; nothing confirmed is voided; nothing is confirmed
//!    without a proof that stands offline (only the network of one has [`Proof::Alone`]).
//! 4. An [`Effect::Remember`] is durable before any later effect of the same call becomes visible to anybody: the caller guarantees this,
//!    and says so with [`Input::Remembered`]. Its [`protection::Guard`]s are durable by then too, after whatever crash. Records become durable in the order in which
//!    they are said, over all calls; several may share one write. Everything else is carried out in that order too, but that what
//!    [`Effect::may_overtake`] need not wait for records of earlier calls.
//! 5. After a crash the caller makes the engine anew from [`Setup`] and gives, in this order: every [`Input::Committee`] it has, every
//!    [`Input::Origin`] from the genesis on, and in order per chain every frame that it holds above the last one whose confirmation it
//!    stored, as well as those of the window below it. An engine made so never contradicts itself, and says
//!    again what was confirmed or decided above what [`Setup`] names as stored.
//!    Archived records ([`Record::is_archived`]) are kept as durably, and given only when asked for ([`Effect::Recall`]).
//! 6. Frames may be given again, in any order, with more known of them. What an engine lacks it asks for ([`Effect::Fetch`]) and asks again;
//!    the caller may answer late, in part or never. [`Input::Peer`] bytes are hostile.
//! 7. With less than a third of stake Byzantine and a connected quorum, every frame given to enough nodes is confirmed.
//!
//! Slots are assigned outside the engine, the same way for every engine (`consensus.md` §11). Rules of the log are here too, in
//! [`checks`]; an engine calls [`checks::judge`] before it signs, and looks its facts up through [`checks::View`].
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

// What schedulers make.
pub mod frame;
pub mod history;
pub mod limits;
pub mod merkle;
pub mod pace;
pub mod schedule;
pub mod time;
pub mod tip;

// What goes in and comes out.
pub mod control;
pub mod effect;
pub mod input;
pub mod origin;

// What engines are made of.
pub mod block;
pub mod bls;
pub mod certificate;
pub mod cheap;
pub mod checks;
pub mod evidence;
pub mod proof;
pub mod protection;
pub mod roster;
pub mod scheme;
pub mod tally;

// The smallest engine, and the suite for all of them.
#[cfg(any(test, fuzzing, feature = "contract"))]
pub mod contract;
#[cfg(test)]
mod example;
#[cfg(any(test, fuzzing, feature = "contract"))]
pub mod fuzzing;
pub mod solo;

pub use ao_types::{Chain, FrameId};
pub use checks::{Contents, Facts, Refusal, Tip, Verdict};
pub use control::{ControlOp, Seal};
pub use effect::{Certified, Confirmed, Decided, Effect, Fetch, Offence, Recall, Record, To};
pub use evidence::Evidence;
pub use frame::{Body, Entry, Frame, FrameError, FrameHeader, RawHeader, SignedHeader};
pub use input::{Given, Input, Setup};
pub use origin::{Origin, OriginChange, OriginUpdate};
pub use proof::{Confirmation, Proof, SlotProof};
pub use roster::{Roster, Rosters, VerifyError};
pub use scheme::{Scheme, SecretKey};
pub use solo::Solo;
pub use tally::Tally;
pub use time::Timestamp;
pub use tip::{ChainTip, Draft};

/// An engine. See the module documentation for its contract.
pub trait Consensus: Send {
    /// Short, stable name, shown in HTTP answers: `solo`, `attest`, `bft`.
    fn name(&self) -> &'static str;

    /// One input, any number of effects, no waiting, no clock but `now`.
    fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>);

    /// When to call `handle(Input::Tick)` next, if at all.
    fn next_deadline(&self) -> Option<Timestamp>;
}
