//! See `wire::fuzzing::request`.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: &[u8]| wire::fuzzing::request(input));
