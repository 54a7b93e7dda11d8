//! An Arweave of our own: node, gateway and bundling service in one process, for development, for tests, and for faults that the real one
//! cannot be asked to have (`arweave.md`, section 13.1).
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod block;
pub mod chain;
pub mod chunks;
pub mod event;
pub mod faults;
mod http;
pub mod index;
pub mod keys;
pub mod limits;
pub mod odds;
pub mod server;
pub mod station;
pub mod store;

pub use block::{Block, BlockHash};
pub use chain::Chain;
pub use event::{Event, Genesis};
pub use server::{Blocks, Config, Weave};
pub use station::{Command, Station};
