//! Any bytes as records of the log, whole and torn: no panic, and no entry out of a record that is damaged.
#![no_main]

use ao_bft::context::Height;
use ao_bft::wal::{read_record, replayed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = read_record(input);
    let (one, two) = input.split_at(input.len() / 2);
    let found = replayed(Height(1), [(0, one), (1, two)]);
    assert!(found.next <= 2);
});
