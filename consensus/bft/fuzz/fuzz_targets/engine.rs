//! See `ao_bft::fuzzing::engine`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_bft::fuzzing::engine(input));
