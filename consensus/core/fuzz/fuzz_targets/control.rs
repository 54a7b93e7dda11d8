//! See `ao_consensus::fuzzing::control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_consensus::fuzzing::control(input));
