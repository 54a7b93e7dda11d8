//! Any bytes as a gossiped message: no panic, nothing above the cap, and what is opened is sealed the same.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(payload) = wire::open_gossip(input) {
        assert!(!payload.is_empty() && payload.len() <= limits::GOSSIP_BYTES_MAX);
        assert_eq!(wire::seal_gossip(payload).unwrap(), input);
    }
});
