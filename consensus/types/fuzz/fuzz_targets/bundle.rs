//! Any bytes as a bundle: no panic, entries within bounds and in order, nested ones walked within their limits.
#![no_main]

use ao_types::Profile;
use ao_types::bundle::{Bundle, UnpackLimits, unpack};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    for profile in [Profile::Strict, Profile::Archive] {
        let Ok(bundle) = Bundle::parse(bytes.clone(), profile) else { continue };
        let mut end = 32 + 64 * bundle.len();
        for entry in bundle.entries() {
            assert_eq!(entry.offset, end);
            end += entry.size;
        }
        assert!(end <= bytes.len());
        let limits = UnpackLimits { items_max: 1_000, ..UnpackLimits::default() };
        let mut found = 0;
        let report = unpack(bytes.clone(), profile, limits, |one| {
            found += 1;
            let at = one.offset as usize;
            assert_eq!(bytes[at..at + one.item.as_bytes().len()], one.item.as_bytes()[..]);
            assert!(one.depth <= limits.depth_max);
        });
        assert_eq!(report.map(|report| report.items), Ok(found));
    }
});
