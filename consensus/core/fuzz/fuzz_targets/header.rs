//! Any bytes as a frame header, with and without its signature, and as a stored frame.
#![no_main]

use ao_consensus::{Frame, FrameHeader, RawHeader};
use libfuzzer_sys::fuzz_target;

mod common;

fuzz_target!(|input: &[u8]| {
    common::one_form::<FrameHeader>(input);
    if let Some(raw) = common::one_form::<RawHeader>(input) {
        let _ = raw.verify();
    }
    if let Ok(frame) = Frame::decode(input) {
        assert_eq!(frame.encode(), input);
    }
});
