//! Anchoring: what the node writes to Arweave, how it gets there, and whom to believe about it.
//!
//! Arweave is the network's memory: whoever has it can rebuild every process. This crate turns what was confirmed into bundles
//! ([`records`], [`compose`], when: [`flush`], whose turn: [`duty`]), brings each bundle to where nobody can take it away again
//! ([`pipeline`], run by [`driver`]), and talks to nodes, gateways and bundling services without believing them ([`gateways`], [`client`]).
//!
//! ```text
//!   confirmed slots ─▶ flush ─▶ compose ─▶ pipeline ◀──────────────▶ client ─▶ gateways of strangers
//!                                             │  tasks out, answers in   (bounded, checked, SSRF-guarded)
//!                                             ▼
//!                                    rows to remember, before each act
//! ```
//!
//! Everything but [`client`] and [`driver`] decides and does nothing else: time and chance are arguments, effects leave as values, and the same machine
//! runs against a simulated chain in this crate's tests. It knows `ao-types` and no sibling; who stores the rows is not its business.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

// What goes.
pub mod compose;
pub mod duty;
pub mod flush;
pub mod limits;
pub mod records;

// How it gets there.
pub mod backoff;
pub mod gateways;
pub mod pipeline;

// Whom to ask.
pub mod client;
pub mod shown;

// How it comes back.
pub mod recover;

// What waits.
pub mod driver;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
