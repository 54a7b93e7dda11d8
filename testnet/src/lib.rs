//! Drives real nodes: processes of the `aonode` binary on loopback, each with its own data directory.
//!
//! Owns the life of those processes ([`node`], several as [`network`]) and of what watches them ([`prometheus`]), what the suites need from outside the
//! repository ([`npm`], [`modules`]), the client side of the tests in Rust ([`client`], [`items`], [`schedule`]) and nothing of the
//! node's own code: a suite meets a node as a stranger does, through its command line, its sockets and its files. Refuses to sleep: it
//! waits for lines, answers and exits, each with a deadline that names what never came.
//!
//! ```text
//! tests/aoconnect.rs ──► suite ──► node --test suites/aoconnect/*.mjs ──┐
//! tests/crash.rs …   ──► client, schedule ──────────────────────────────┼──► http ──► aonode (node::Node)
//! ```

pub mod binary;
pub mod cache;
pub mod client;
pub mod items;
pub mod modules;
pub mod netns;
pub mod network;
pub mod node;
pub mod npm;
pub mod prometheus;
pub mod proxy;
pub mod random;
pub mod schedule;
pub mod suite;
pub mod wait;

/// Whether full counts were asked for (`AONODE_FULL=1`); otherwise suites run the quick ones.
pub fn full() -> bool {
    std::env::var_os("AONODE_FULL").is_some_and(|value| value != "0" && !value.is_empty())
}

/// One of two counts, by [`full`].
pub fn count(quick: usize, full_count: usize) -> usize {
    if full() { full_count } else { quick }
}

/// Says something in the log of a test run: figures, seeds, what was skipped and why.
#[expect(clippy::print_stderr, reason = "the log of a test run is what this is for")]
pub fn say(line: impl std::fmt::Display) {
    eprintln!("{line}");
}
