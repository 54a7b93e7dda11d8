//! The simulator on itself, and the seeds of every `make test`.

mod faults;
#[cfg(feature = "mutations")]
mod mutations;
mod seeds;
