//! Any text as a file of slashing protection: what is imported is exported with the same meaning.
#![no_main]

use ao_consensus::protection::interchange::{export, import};
use ao_types::NetworkId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let network = NetworkId([0; 32]);
    if let Ok(rows) = import(network, input) {
        let file = export(network, &rows).expect("rows can be written");
        assert_eq!(import(network, file.as_bytes()), Ok(rows));
    }
});
