//! Engine `bft`: a Tendermint round orders frames and control operations into blocks (`consensus.md` §6).
//!
//! The rounds are the core of malachite, a pure state machine; everything around it is ours and as pure: network, clock, disk and keys are
//! inputs and effects of the seam ([`ao_consensus`]). This page says how the core is driven.
//!
//! ```text
//!   Input::Frame ─▶ pool ──▶ candidates ─▶ block ─┐ propose                ┌─▶ Remember(log)  ─▶ Send(vote, proposal)
//!   Input::Submit ─▶ ops ─────────────────────────┤                        │
//!                                                 ▼                        │
//!   Input::Peer ─▶ message ─┬─ vote, proposal ─▶ driver ◀──▶ malachite ────┤
//!                           │                     ▲                        │
//!                           ├─ body ─▶ judge ─────┘ valid, invalid, (hold) └─▶ decided + shares ─▶ certificate
//!                           │                                                                         │
//!                           └─ missed blocks ─▶ certificate checked ─────────────────────────────▶ commit ─▶ Remember(block)
//!                                                                                                     └──▶ Decided, Confirmed
//! ```
//!
//! **A height.** Nothing runs while there is nothing to decide. A frame or operation that waits here, or a message of a member for the
//! next height, begins it: the core is told the committee of that height and calls its rounds. The proposer of a round is drawn by stake
//! ([`context::Validators`]). If it is this node, the core asks for a value: as soon as something waits, frames of all chains in turn
//! and operations become a block; if nothing comes within half the propose timeout (somebody else began this height), an empty block
//! lets all be idle again. The proposal carries the body along. Whoever lacks a body asks for it by its id.
//!
//! **Verdict.** A member prevotes a block only when every frame of it is here, is the next of its chain, and §4 says sign. A broken rule
//! is `Invalid`: prevote nil. What cannot be told yet (a body on its way, a clock behind, the Origin not applied so far) gets no verdict
//! at all; the core's propose timeout then prevotes nil, and a later round repairs it, for the block is judged again whenever something
//! changed. Nothing that only this node's clock or disk knows makes a block invalid.
//!
//! **Before anything leaves.** The core names what must survive ([`wal`]). Entries gather until a vote or proposal of this node is about
//! to leave; then they are one `Remember` in front of it, with the rows by which the slashing protection binds this key. After a crash
//! the records are given back, the core hears the same inputs in the same order, and says the same, with the same signatures. What it
//! would say otherwise silences this node for the height; so does a hole in the log, and so does a row of the protection that the log
//! does not know of. What was decided is remembered before it is told.
//!
//! **Votes and proof.** Votes are signed with the members' BLS keys. A precommit for a block signs the statement
//! `block(height, round, value)` and is thereby a share of the proof: the precommits that decide, added up, are the certificate that
//! everybody checks, of the same kind as the other engine's. Votes wait a few milliseconds to be checked together ([`ballots`]).
//! (A second, Ed25519 signature on each vote would be cheaper to check alone. Batches take most of that away, and members would need a
//! second key that is bound to their stake.)
//!
//! **Time.** The core's timeouts are deadlines of [`ao_consensus::Consensus::next_deadline`]; the core itself has no clock. Each belongs
//! to the height that runs and is gone with it. Votes are repeated by the core's rebroadcast timer; proposals, which it does not repeat,
//! by ours. What is repeated goes to members directly: gossip does not carry the same bytes twice, and a member whose engine began anew
//! (after a write that failed) lacks votes that its gossip has seen.
//!
//! **When it is quiet** nothing is decided and nothing said, but for an announcement of the height about once a minute; while a chain is
//! being closed, whose steps are counted in the Origin's time, a block is made every `tick`. A chain's frames carry no certificates: the
//! window of §3 opens with what was decided.
//!
//! **Who missed a block** never gets it from votes ([`sync`]). Certified blocks are asked of whoever claims to be ahead, checked by their
//! certificates in one batch, and committed as they are, without the core: a quorum has decided, and to this node's own rounds of that
//! height nothing is owed. Frames of such blocks that are not here are fetched, and confirmed in order when they come.
//!
//! **Faults.** Two votes of one member in one step of one round are evidence, reported when the height is decided; two frames of one
//! scheduler for one place are, at once. A proposer who makes two blocks in one round costs at most that round, and is not convicted.
//!
//! Where this differs from how malachite's own shell drives the core: missed blocks do not pass through it (above); what it puts
//! together from checked votes is not checked a second time; log entries of others' votes are not written before something rests on
//! them.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod ballots;
pub mod codec;
pub mod context;
pub mod driver;
pub mod engine;
pub mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod judge;
pub mod limits;
pub mod message;
#[cfg(any(test, feature = "mutations"))]
pub mod mutation;
pub mod seats;
pub mod settings;
pub mod signing;
pub mod sync;
pub mod timeouts;
pub mod values;
pub mod wal;

pub use engine::Engine;

/// Tests share the network of the integration tests, which names the crate as others do.
#[cfg(test)]
extern crate self as ao_bft;
