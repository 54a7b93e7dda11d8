//! See `ao_vm::fuzzing::result`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ao_vm::fuzzing::result(input));
