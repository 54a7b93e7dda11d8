//! Engine `attest`: staked attestors check a scheduler's frames and sign them; a quorum of signatures on a frame is a certificate, and a
//! certificate that a quorum has signed is a confirmation. This file is the engine's specification; the modules carry it out.
//!
//! Owns the rules of `consensus.md` §4, §5 and the attestor's part of §8, as one state machine without clock, disk or socket. Refuses to
//! judge what a frame's entries mean (the caller brings a verdict on each body), to order control operations (engine `bft`), and to move
//! frames' bodies (the network does).
//!
//! # One frame's life
//!
//! ```text
//!   scheduler S                attestor A (each)                 aggregator G (2 drawn by stake)        anybody
//!   ───────────                ─────────────────                 ───────────────────────────────        ───────
//!   frame k ──────gossip─────▶ judged: hold │ refuse │ pass
//!                              group, 3 ms
//!                              Remember(row: k)       durable before
//!                              share(k) ──────────────────────▶ kept, not checked
//!   sum, one check ◀───────────share(k)                         │
//!   certificate(k)                                              │ certificate_wait passed, a quorum of shares,
//!   │                                                           │ and no certificate seen: sum, check, publish
//!   ├─ frame k+1 carries it ─▶ judged: verifies certificate(k)  ├──────────gossip──────────────────────▶ certificate(k)
//!   │                          Remember, share(k+1)
//!   └─ none follows within an interval: gossip ───────────────────────────────────────────────────────▶ certificate(k)
//!   certificate(k+1)           ⇒ everything up to k is confirmed
//! ```
//!
//! # Words
//!
//! * *row*: what this key must not forget of a chain: the last frame it signed, the signature, and whether it sealed the chain.
//! * *branch*: the frames on the way from a frame back to the chain's start. An honest scheduler's chain has one.
//! * *carried by m*: the newest certificate in the header of `m` or of a frame before it. Frames inherit it along the branch.
//! * *pass*: every rule of §4 except those on this key's own past holds for the frame and for all frames before it on its branch, back to
//!   where this key last signed (or to where it may start).
//!
//! # Rules of an attestor
//!
//! A1. **Judge in order.** A frame is judged once its parent passed. Three outcomes ([`Verdict`](ao_consensus::Verdict)): *refuse* is for
//!     good and takes every frame behind it along; *hold* is looked at again when what it waits for may have come; *sign* lets it pass.
//!     So frames that are skipped were judged like those that are signed.
//! A2. **One branch.** Only a frame that passed and whose branch contains the last frame this key signed is signed. A key without a row
//!     starts at frame 0 or at a crossing whose two certificates it holds.
//! A3. **Hold, never refuse,** what this node cannot tell yet: parent, body or control log not here, clock or tip behind, carried
//!     certificate of an unknown committee. Held frames are bounded ([`limits`]); one that falls out is asked for again.
//! A4. **Group.** What passed within [`limits::SYNC_WINDOW_MS`] shares one write: all rows first, then all shares. Of several frames of one
//!     chain in a group the newest is signed: it speaks for the others.
//! A5. **Far behind.** While a key's last signature is more than `W` behind the newest frame that passed, it signs only frames whose
//!     sequence is divisible by `W`, and the newest, so that keys that come back meet on the same frames.
//! A6. **Stored bytes.** A share is sent again, with growing waits, until a certificate covers its frame: always the bytes of the row.
//! A7. **Sealed is silent.** A decided `Close` is recorded in the row before anything else leaves; then the key proposes one seal with the
//!     highest certificate it knows and signs nothing more in that chain.
//!
//! # Rules of those who add up
//!
//! G1. The scheduler adds up shares on its frames, and so do two aggregators drawn by stake ([`draw`]). From 128 members the committee is
//!     cut into slices; shares go to two aggregators of the slice, who send one partial sum.
//! G2. Shares are taken only from the peer that the committee names for that member, one for each member and frame, unchecked. When their
//!     stake is a quorum they are added up and the sum is checked once. If it fails, halves are checked, down to the bad ones; their
//!     senders are penalised and, in that chain, checked one by one from then on.
//! G3. An aggregator checks nothing until `certificate_wait` after the first share; then, with a quorum and no certificate seen, it
//!     publishes one. A silent scheduler hides nothing, and an honest one costs the aggregators no pairing.
//! G4. Own shares are counted when their row is durable, not before: otherwise they could leave inside a certificate.
//!
//! # Rules of everybody
//!
//! C1. **Certified**: a certificate on the frame or on a descendant.
//! C2. **Confirmed**: a certificate on `m`, and a certificate of `a` carried by a frame after `a` and not after `m`: everything up to `a`
//!     is confirmed. Because frames inherit what their branch carries, this is: *a certificate on `m` confirms up to what `m` carries.* A
//!     certified `m` that carries nothing confirms nothing. The decided frontier of a closed chain confirms what is at or below it.
//!     If the node stores another frame in a place on the way to the certified one, it is told so once
//!     ([`Forked`](ao_consensus::Effect::Forked)): what it stores there can never be confirmed.
//! C3. A certificate is verified against the committee of the frame's epoch; a crossing needs those of both epochs, each by itself.
//! C4. One who hears of a frame that it does not have (by share, announcement, certificate or as a parent) asks for it, part by part if it
//!     is far ahead; and for a body that takes long, although fetching it is the caller's matter.
//! C5. One who hears a share or an announcement for a frame that it knows to be certified answers with the certificate.
//! C6. A scheduler whose frame lacks a certificate after `certificate_wait` announces it to the members it has not heard, again with
//!     growing waits. With the certificate in hand and no later frame it sends them that, a bounded number of times.
//! C7. A node that signs nothing, or not the newest frame, asks the scheduler and the aggregators for that frame's certificate if none
//!     came within half a second: the last certificate of a chain that has fallen silent is carried by nothing.
//!
//! # Evidence
//!
//! Two headers of one sequence convict the scheduler. Two shares of one key in one chain, neither frame an ancestor of the other, convict
//! the attestor; the headers between them come along, so anybody can check it offline.
//!
//! # After a crash
//!
//! The caller gives back the records; then frames above the last one whose confirmation it stored. A row that is durable is a promise
//! kept: the engine serves its bytes, counts them for itself, and signs only behind it. A row that was not durable is one whose share
//! never left.
//! Certificates that nobody carried yet are formed again: shares are sent again until they are covered.
//!
//! # Deviations from the page
//!
//! * *Shares sent again, announcements and questions* (A6, C4 to C7) are not on the page, which assumes that direct streams deliver. They carry
//!   nothing that was not signed and stored before.
//! * *Sliced committees fall back.* With slices, a slice whose two aggregators are both silent would lose its shares for 64 sequences; with
//!   a third of stake silent that is one slice in nine, and a quorum with it. After `certificate_wait` a member of a slice sends its share
//!   to the scheduler and the two aggregators of the whole committee as well.
//! * *The tail of a closed chain.* The frontier confirms what is at or below it (§5, §8); an offline proof of that is a path to the
//!   Origin's state root, which comes with the staking ledger. Until then frames between the last one confirmed by certificates and the
//!   frontier are neither confirmed nor voided here, and only what is above it is voided.
//! * *Batches.* Certificates of one chain that can be checked together are (§5). Frames are not held back to make batches over chains: with
//!   the frame interval as §13 sets it, less than one certificate arrives within a group's 3 ms.
//! * *Whoever passes a header on* is not blamed for what its scheduler put into the body: relays check a header's signature and no more.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod limits;

// Who adds up, and what is said.
pub mod draw;
pub mod wire;

// Adding up.
pub mod aggregate;

// One chain.
mod branches;
mod call;
mod chain;
mod close;
mod collect;
mod evidence;
mod judge;
mod lack;
mod settle;
mod sign;
mod timer;

// All of them.
mod common;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod mutation;
pub mod record;
pub mod state;

pub use state::{Attest, NAME};

#[cfg(test)]
mod tests;
