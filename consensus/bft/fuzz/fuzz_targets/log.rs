//! See `ao_bft::fuzzing::log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_bft::fuzzing::log(input));
