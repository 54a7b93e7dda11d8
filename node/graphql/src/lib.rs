//! The subset of GraphQL that clients ask gateways in (`arweave.md`, section 7.1): `transaction(s)`, `block(s)`.
//!
//! [`plan()`] turns a query's text into bounded searches, [`show`] puts what was found into the shape that was asked for. Where results come
//! from is the caller's business: this crate has no store, no socket and no chain.
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod limits;
pub mod plan;
pub mod show;

pub use plan::{Request, Search, Shown, Sort, TagFilter, Wrong, plan};
pub use show::{BlockView, Node, Page};
