//! Any bytes as a request: no panic, nothing above a cap, no room kept that was not given back, and what is read is written the same.
#![no_main]
#![allow(dead_code)]

mod common;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/wire.rs"]
mod wire;

use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = input.split_first() else { return };
    let budget = wire::Budget::new(256 << 10);
    let mut stream = common::Pieces { bytes, step: usize::from(*step) + 1 };
    if let Ok((kind, payload)) = block_on(wire::read_request(&mut stream, &budget)) {
        assert!(payload.len() <= kind.request_bytes_max());
        assert_eq!(budget.used(), payload.len());
        let mut written = futures::io::Cursor::new(Vec::new());
        block_on(wire::write_request(&mut written, kind, &payload)).unwrap();
        assert_eq!(written.into_inner(), bytes);
    }
    assert_eq!(budget.used(), 0);
});
