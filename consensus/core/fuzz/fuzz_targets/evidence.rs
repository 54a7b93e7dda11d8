//! See `ao_consensus::fuzzing::evidence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_consensus::fuzzing::evidence(input));
