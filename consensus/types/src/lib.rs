//! The words of the network: everything that two nodes, or a node and a client, can say to each other.
//!
//! This is the ground floor. It knows no runtime, no disk, no socket and no sibling crate; it turns bytes into values whose types say
//! how far they were checked (`DataItem` is well formed, `Verified<DataItem>` is signed, an `Assignment` has a slot), and values back
//! into the very same bytes.
//!
//! Modules are declared in reading order.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod evaluation;
pub mod id;
pub mod invocation;

pub use evaluation::{Evaluation, Outgoing};
pub use id::{Address, Id, ResultHash, Slot, StateHash};
pub use invocation::{Environment, Invocation, Tag};
