//! See `aonode::network::fuzzing::messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| aonode::network::fuzzing::messages(input));
