//! Any bytes as the answer to a request of any kind: no panic, nothing above the kind's cap, no room kept that was not given back.
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
    let [kind, step, bytes @ ..] = input else { return };
    let kind = wire::Kind::ALL[usize::from(*kind) % wire::Kind::ALL.len()];
    let budget = wire::Budget::new(2 << 20);
    let mut stream = common::Pieces { bytes, step: usize::from(*step) + 1 };
    if let Ok((status, payload)) = block_on(wire::read_answer(&mut stream, kind, &budget)) {
        assert!(payload.len() <= kind.answer_bytes_max());
        assert!(status == wire::Status::Ok || payload.is_empty());
        assert_eq!(budget.used(), payload.len());
        let mut written = futures::io::Cursor::new(Vec::new());
        block_on(wire::write_answer(&mut written, status, &payload)).unwrap();
        assert_eq!(written.into_inner(), bytes);
    }
    assert_eq!(budget.used(), 0);
});
