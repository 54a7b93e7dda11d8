//! See `ao_vm::fuzzing::gzip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_vm::fuzzing::gzip(input));
