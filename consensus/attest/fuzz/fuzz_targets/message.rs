//! See `ao_attest::fuzzing::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_attest::fuzzing::message(input));
