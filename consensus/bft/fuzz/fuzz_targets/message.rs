//! Any bytes as a message of another engine: no panic, and what is read has exactly these bytes.
#![no_main]

use ao_bft::message::Message;
use ao_bft::values::check_shape;
use ao_types::codec::Canonical;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(message) = Message::decode(input) {
        assert_eq!(message.to_bytes(), input);
        if let Message::Body(block) = message {
            let _ = check_shape(&block);
        }
    }
});
