//! The whole engine on a network in memory.

mod faults;
mod flow;
#[cfg(feature = "mutations")]
mod mutations;
mod net;
mod replay;
