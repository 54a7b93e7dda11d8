//! Types 2, 4 and 5: Ed25519 over three framings of the digest.
//!
//! The strict equation (no cofactor), s below the group order, no keys of small order: under the lax rules of common libraries the
//! identity point as owner makes one signature hold for every content.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::data_item::ItemError;
use crate::deep_hash::Digest;

/// Order of the base point, little-endian.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0x10,
];

/// Type 2, and each part of type 6: over the message itself.
pub(super) fn verify(owner: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ItemError> {
    let owner: &[u8; 32] = owner.try_into().map_err(|_| ItemError::Signature)?;
    let signature: &[u8; 64] = signature.try_into().map_err(|_| ItemError::Signature)?;
    check_canonical(signature)?;
    let key = VerifyingKey::from_bytes(owner).map_err(|_| ItemError::Signature)?;
    if key.is_weak() {
        return Err(ItemError::Owner("an Ed25519 key of small order signs everything"));
    }
    key.verify_strict(message, &Signature::from_bytes(signature)).map_err(|_| ItemError::Signature)
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
