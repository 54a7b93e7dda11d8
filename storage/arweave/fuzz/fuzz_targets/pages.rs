//! See `ao_arweave::fuzzing::pages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_arweave::fuzzing::pages(input));
