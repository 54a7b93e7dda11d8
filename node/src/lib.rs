//! The node: the only crate that knows all the others.
//!
//! Reading order: [`handle`] (what the node can be asked), `core` (how it decides), `shell` (how decisions are carried out), `http` and
//! `cli` (who asks).

pub mod error;
pub mod handle;

pub use error::{Code, Rejection};
pub use handle::Node;
