//! Real swarms on loopback. Nothing sleeps: every step waits for an event, with a deadline that only a failure reaches.

mod abuse;
mod common;
mod connections;
mod control;
mod crowd;
mod discovery;
mod exchange;
mod gossip;
mod hostile;
mod metrics;
mod overload;
