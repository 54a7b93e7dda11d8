//! The digests behind `require(".crypto")`, as an import of the guest: native code hashes some twenty times faster than the guest would.
//! Their fuel is counted by length, so a program pays for them as for its own instructions.

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use sha3::{Keccak256, Keccak512, Sha3_256, Sha3_512};

/// The digest of that number (`lua/runtime/lib/crypto.lua`), at most 64 bytes; `None` for an unknown one.
pub(crate) fn digest(kind: u32, data: &[u8]) -> Option<Vec<u8>> {
    Some(match kind {
        1 => Sha256::digest(data).to_vec(),
        2 => Sha512::digest(data).to_vec(),
        3 => Sha384::digest(data).to_vec(),
        4 => Sha3_256::digest(data).to_vec(),
        5 => Sha3_512::digest(data).to_vec(),
        6 => Keccak256::digest(data).to_vec(),
        7 => Keccak512::digest(data).to_vec(),
        8 => blake3::hash(data).as_bytes().to_vec(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // The empty text, as published with each function.
        let cases = [
            (1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (4, "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
            (6, "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
            (8, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        ];
        for (kind, expected) in cases {
            let found: String = digest(kind, b"").unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, expected, "{kind}");
        }
        for (kind, length) in [(2, 64), (3, 48), (5, 64), (7, 64)] {
            assert_eq!(digest(kind, b"abc").unwrap().len(), length, "{kind}");
        }
        assert_eq!(digest(0, b""), None);
        assert_eq!(digest(9, b""), None);
    }
}
