//! The Lua machine, driven through the crate's own interface.

mod bombs;
mod boot;
mod compute;
mod determinism;
mod examples;
mod library;
mod messages;
mod receive;
mod runtimes;
mod support;
