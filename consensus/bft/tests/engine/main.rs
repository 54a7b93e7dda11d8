//! The whole engine on a network in memory.

mod faults;
mod flow;
mod net;
mod replay;
