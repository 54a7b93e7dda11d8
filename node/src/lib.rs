//! The node: the only crate that knows all the others.
//!
//! Reading order: [`handle`] (what the node can be asked), `core` (how it decides), `shell` (how decisions are carried out), `http` and
//! `cli` (who asks).

pub mod anchor;
pub mod chain;
pub mod check;
pub mod cli;
pub mod config;
pub mod core;
pub mod datadir;
pub mod demo;
pub mod error;
pub mod gateway;
pub mod handle;
pub mod http;
pub mod keys;
pub mod levels;
pub mod limits;
pub mod loading;
pub mod logging;
pub mod member;
pub mod metrics;
pub mod network;
pub mod proofs;
pub mod protection;
pub mod recovery;
pub mod retention;
pub mod scenario;
pub mod shell;
#[cfg(feature = "sim")]
mod sim;
pub mod snapshot;
pub mod states;
pub mod wiring;

pub use error::{Code, Rejection};
pub use handle::Node;
pub use metrics::Metrics;

/// Version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, where the build was told (`AONODE_COMMIT`).
pub const COMMIT: &str = match option_env!("AONODE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
