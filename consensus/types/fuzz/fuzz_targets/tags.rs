//! Any bytes as a tag section: no panic, what is canonical is exactly what the encoder writes.
#![no_main]

use ao_types::tag::{TagReader, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let lax: Result<Vec<_>, _> = TagReader::new(input, false).collect();
    match TagReader::new(input, true).collect::<Result<Vec<_>, _>>() {
        Ok(tags) => {
            assert_eq!(encode(tags.iter().copied()), input);
            assert_eq!(lax, Ok(tags));
        }
        Err(_) => {
            if let Ok(tags) = lax {
                assert_ne!(encode(tags.iter().copied()), input);
            }
        }
    }
});
