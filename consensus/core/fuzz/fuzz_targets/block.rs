//! Any bytes as a decided block or its header.
#![no_main]

use ao_consensus::block::{Block, BlockHeader};
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    common::one_form::<BlockHeader>(input);
    if let Some(block) = common::one_form::<Block>(input) {
        for index in 0..block.frames.len() {
            assert!(block.frame_path(index).is_some());
        }
    }
});
