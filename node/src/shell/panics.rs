//! What a panic costs (`faults.md` F52), and panics on purpose to show it.
//!
//! A panic is a bug. In a thread that owns state the whole node lives by (core, writer, reserve) it ends the process at once: what is on
//! disk is where it begins again, and half of a transition is seen by nobody. Anywhere else it costs the one job: a request is answered
//! with an error, an evaluation is *not evaluated* and tried again on a fresh instance, a turn of an outbox comes again.
//!
//! `AONODE_PANIC=PLACE:N` makes the N-th pass of a place panic, in builds with debug assertions only; a released binary ignores it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name of the environment variable.
pub const VARIABLE: &str = "AONODE_PANIC";

/// Runs a vital thread's work; a panic in it is the end of the process.
pub fn vital(name: &str, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!(event = "thread_panicked", thread = name, "a bug; the node stops at once and begins again from its store");
        std::process::abort();
    }
}

/// Runs one job of a worker; `None` where it panicked. Whatever the job held is to be dropped unseen.
pub fn contained<T>(what: &str, job: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(job)).ok();
    if done.is_none() {
        tracing::error!(event = "job_panicked", what, "a bug; this job is given up, the node goes on; please report it with its log");
    }
    done
}

/// A place that a test may have panic: `core`, `write`, `verify`, `sign`, `push`, `evaluate`, `read`, `http`.
pub fn here(place: &str) {
    static POINT: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);
    if !cfg!(debug_assertions) {
        return;
    }
    let point = POINT.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?));
    let ours = point.as_ref().is_some_and(|(wanted, at)| wanted == place && PASSES.fetch_add(1, Ordering::Relaxed) + 1 == *at);
    #[expect(clippy::panic, reason = "on purpose, where a test asked for it")]
    if ours {
        panic!("as {VARIABLE} asks, at {place}");
    }
}

fn parse(point: &str) -> Option<(String, u64)> {
    let (place, at) = point.split_once(':')?;
    Some((place.to_owned(), at.parse().ok().filter(|at| *at > 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_place_and_a_pass() {
        assert_eq!(parse("core:3"), Some(("core".to_owned(), 3)));
        for none in ["", "core", "core:", "core:0", "core:x", "3"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_job_that_panics_is_given_up_and_no_more() {
        assert_eq!(contained("test", || 7), Some(7));
        assert_eq!(contained("test", || -> u8 { panic!("on purpose") }), None);
    }
}
