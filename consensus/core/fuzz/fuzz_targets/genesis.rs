//! Any text as a genesis file: what is read has one canonical form, which is read as the same.
#![no_main]

use ao_types::Genesis;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(genesis) = Genesis::parse(input) {
        let canonical = genesis.canonical().expect("what was read can be written");
        let again = Genesis::parse(&canonical).expect("the canonical form is a genesis");
        assert_eq!((again.network_id(), again.canonical()), (genesis.network_id(), Ok(canonical)));
    }
});
