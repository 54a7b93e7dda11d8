//! Types 2, 4 and 5: Ed25519 over three framings of the digest.
//!
//! The strict equation (no cofactor), s below the group order, neither key nor R of small order: under the lax rules of common libraries
//! the identity point as owner makes one signature hold for every content.
//!
//! Every frame brings thousands of signatures of a few schedulers. So keys that have signed before are kept decompressed, and R is never
//! decompressed: the equation gives the point that R must encode, and an encoding is equal to that point's or it is wrong. What is
//! accepted is what `verify_strict` of the library accepts, which tests compare; it costs less than half.

use std::sync::{LazyLock, Mutex, PoisonError};

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

use crate::data_item::ItemError;
use crate::deep_hash::Digest;
use crate::limits::ED25519_KEYS_KEPT;

/// Order of the base point, little-endian.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0x10,
];

/// The y of the eight points of small order, little-endian; the sign of x, which is the last bit, left out.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
        0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
        0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

type Place = Mutex<Option<VerifyingKey>>;

/// Keys under which a signature held, so that garbage cannot flush it. A newcomer takes over the place of whoever had it. It changes how
/// long an answer takes, never the answer.
static KEPT: LazyLock<Box<[Place]>> = LazyLock::new(|| (0..ED25519_KEYS_KEPT).map(|_| Mutex::new(None)).collect());

/// Type 2, and each part of type 6: over the message itself.
pub(super) fn verify(owner: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ItemError> {
    let owner: &[u8; 32] = owner.try_into().map_err(|_| ItemError::Signature)?;
    let signature: &[u8; 64] = signature.try_into().map_err(|_| ItemError::Signature)?;
    check_canonical(signature)?;
    let place = &KEPT[place_of(owner)];
    let kept = place.lock().unwrap_or_else(PoisonError::into_inner).filter(|key| key.as_bytes() == owner);
    if let Some(key) = kept {
        return holds(&key, message, signature);
    }
    let key = VerifyingKey::from_bytes(owner).map_err(|_| ItemError::Signature)?;
    if key.is_weak() {
        return Err(ItemError::Owner("an Ed25519 key of small order signs everything"));
    }
    holds(&key, message, signature)?;
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    Ok(())
}

/// The equation for a key that is not of small order. The library's `verify` compares R's bytes with those of the point that the equation
/// gives; what `verify_strict` refuses besides is an R of small order.
fn holds(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> Result<(), ItemError> {
    if has_small_order(signature) {
        return Err(ItemError::Signature);
    }
    key.verify(message, &Signature::from_bytes(signature)).map_err(|_| ItemError::Signature)
}

/// Whether R encodes a point of small order.
fn has_small_order(signature: &[u8; 64]) -> bool {
    let mut y = [0; 32];
    y.copy_from_slice(&signature[..32]);
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

/// From the key's first bytes, which are as good as random for honest keys.
fn place_of(owner: &[u8; 32]) -> usize {
    u16::from_le_bytes([owner[0], owner[1]]) as usize & (ED25519_KEYS_KEPT - 1)
}

/// Type 4: over the 96 lower-case hexadecimal characters.
pub(super) fn verify_solana(owner: &[u8], digest: &Digest, signature: &[u8]) -> Result<(), ItemError> {
    verify(owner, &hex_text(digest), signature)
}

/// Type 5: over the text an Aptos wallet frames.
pub(super) fn verify_injected_aptos(owner: &[u8], digest: &Digest, signature: &[u8]) -> Result<(), ItemError> {
    verify(owner, &injected_aptos_message(digest), signature)
}

fn hex_text(digest: &Digest) -> [u8; 96] {
    let mut text = [0; 96];
    // Cannot fail: the buffer is twice as long as the digest.
    let _ = hex::encode_to_slice(digest, &mut text);
    text
}

fn injected_aptos_message(digest: &Digest) -> Vec<u8> {
    [b"APTOS\nmessage: ".as_slice(), &hex_text(digest), b"\nnonce: bundlr"].concat()
}

/// s < L: otherwise s + L is another signature of the same content.
pub(super) fn check_canonical(signature: &[u8; 64]) -> Result<(), ItemError> {
    let s = &signature[32..];
    if s.iter().rev().lt(GROUP_ORDER.iter().rev()) {
        Ok(())
    } else {
        Err(ItemError::SignatureNonCanonical("s is not below the group order"))
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use ed25519_dalek::{Signer as _, SigningKey};
    use sha2::{Digest as _, Sha512};

    use super::*;

    /// What the library says.
    fn strict(owner: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let key = VerifyingKey::from_bytes(owner);
        key.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    /// Made with the secret scalar, so that R and key can be any points: R = r·B + `twist`, key = a·B + `key_twist`.
    fn forged(r: Scalar, twist: EdwardsPoint, key_twist: EdwardsPoint, message: &[u8]) -> ([u8; 32], [u8; 64]) {
        let a = SigningKey::from_bytes(&[7; 32]).to_scalar();
        let point = (EdwardsPoint::mul_base(&r) + twist).compress().0;
        let owner = (EdwardsPoint::mul_base(&a) + key_twist).compress().0;
        let k = Sha512::new().chain_update(point).chain_update(owner).chain_update(message).finalize();
        let s = r + Scalar::from_bytes_mod_order_wide(&k.into()) * a;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&point);
        signature[32..].copy_from_slice(s.as_bytes());
        (owner, signature)
    }

    #[test]
    fn the_points_of_small_order_are_these() {
        for point in EIGHT_TORSION {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&point.compress().0);
            assert!(has_small_order(&signature), "{point:?}");
        }
        let base = EdwardsPoint::mul_base(&Scalar::ONE);
        for point in EIGHT_TORSION.map(|point| point + base) {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&point.compress().0);
            assert!(!has_small_order(&signature), "{point:?}");
        }
    }

    #[test]
    fn what_is_accepted_is_what_the_strict_rules_accept() {
        let [r, one] = [Scalar::from(99_u8), Scalar::ONE];
        let (mut accepted, mut refused) = (0, 0);
        for scalar in [r, one, Scalar::ZERO] {
            for twist in EIGHT_TORSION {
                for key_twist in EIGHT_TORSION {
                    for message in 0..8_u8 {
                        let (owner, signature) = forged(scalar, twist, key_twist, &[message]);
                        let expected = strict(&owner, &[message], &signature);
                        // The second time the key is kept, if it ever is.
                        for _ in 0..2 {
                            assert_eq!(verify(&owner, &[message], &signature).is_ok(), expected, "{scalar:?} {twist:?} {key_twist:?}");
                        }
                        *(if expected { &mut accepted } else { &mut refused }) += 1;
                    }
                }
            }
        }
        assert!(accepted > 100 && refused > 1_000, "both must have been tried: {accepted} {refused}");
        // R of small order that solves the equation: `verify` of the library takes it.
        let (owner, signature) = forged(Scalar::ZERO, EIGHT_TORSION[0], EIGHT_TORSION[0], b"m");
        assert!(VerifyingKey::from_bytes(&owner).unwrap().verify(b"m", &Signature::from_bytes(&signature)).is_ok());
        assert_eq!(verify(&owner, b"m", &signature), Err(ItemError::Signature));
    }

    #[test]
    fn other_bytes_are_refused_whether_the_key_is_kept_or_not() {
        let key = SigningKey::from_bytes(&[8; 32]);
        let (owner, signature) = (key.verifying_key().to_bytes(), key.sign(b"message").to_bytes());
        let kept = || KEPT[place_of(&owner)].lock().unwrap().is_some_and(|kept| *kept.as_bytes() == owner);
        let refused = || {
            for at in 0..64 {
                let mut other = signature;
                other[at] ^= 0x10;
                assert!(verify(&owner, b"message", &other).is_err() && !strict(&owner, b"message", &other), "{at}");
            }
            assert_eq!(verify(&owner, b"massage", &signature), Err(ItemError::Signature));
        };
        refused();
        assert!(!kept(), "a signature that does not hold keeps no key");
        assert_eq!(verify(&owner, b"message", &signature), Ok(()));
        assert!(kept());
        refused();
        // s plus the group order.
        let mut other = signature;
        let mut carry = 0;
        for (byte, order) in other[32..].iter_mut().zip(GROUP_ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert!(matches!(verify(&owner, b"message", &other), Err(ItemError::SignatureNonCanonical(_))));
        // Another key in the same place is another key.
        let mut neighbour = owner;
        neighbour[20] ^= 1;
        assert!(verify(&neighbour, b"message", &signature).is_err());
    }
}
