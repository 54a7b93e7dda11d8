//! See `ao_attest::fuzzing::messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_attest::fuzzing::messages(input));
