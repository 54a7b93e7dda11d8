//! Types 3 and 7: ECDSA on secp256k1, over a `personal_sign` frame or EIP-712 typed data.
//!
//! The key is recovered and compared, never merely verified with: a signature has one right recovery byte, and s is in the lower half.
//! Common libraries drop the byte (256 ids per message) or take both halves.

use std::sync::LazyLock;

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

use super::ethereum_address;
use crate::data_item::ItemError;
use crate::deep_hash::Digest;
use crate::hash::keccak256;

/// Half the group order, big-endian: the largest s allowed.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4,
    0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// Type 3: owner is `04 ‖ x ‖ y`.
pub(super) fn verify(owner: &[u8], digest: &Digest, signature: &[u8]) -> Result<(), ItemError> {
    let parts = Canonical::check(signature)?;
    if owner.first() != Some(&4) {
        return Err(ItemError::Owner("an uncompressed point starts with 04"));
    }
    if parts.recover(&personal_message_hash(digest))? == owner { Ok(()) } else { Err(ItemError::Signature) }
}

/// Type 7: owner is the signer's address as text, in any case.
pub(super) fn verify_typed(owner: &[u8], digest: &Digest, signature: &[u8]) -> Result<(), ItemError> {
    let parts = Canonical::check(signature)?;
    let address = parse_address(owner).ok_or(ItemError::Owner("0x and 40 hexadecimal digits are expected"))?;
    let point = parts.recover(&typed_message_hash(&address, digest))?;
    if ethereum_address(&point) == address { Ok(()) } else { Err(ItemError::Signature) }
}

/// What `personal_sign` (EIP-191) hashes for a digest.
pub(crate) fn personal_message_hash(digest: &Digest) -> [u8; 32] {
    keccak256(&[b"\x19Ethereum Signed Message:\n48", digest])
}

/// What EIP-712 hashes: domain `{name: "Bundlr", version: "1"}`, type `Bundlr(bytes Transaction hash,address address)`.
pub(crate) fn typed_message_hash(address: &[u8; 20], digest: &Digest) -> [u8; 32] {
    static DOMAIN: LazyLock<[u8; 32]> = LazyLock::new(|| {
        keccak256(&[&keccak256(&[b"EIP712Domain(string name,string version)"]), &keccak256(&[b"Bundlr"]), &keccak256(&[b"1"])])
    });
    static TYPE: LazyLock<[u8; 32]> = LazyLock::new(|| keccak256(&[b"Bundlr(bytes Transaction hash,address address)"]));
    let content = keccak256(&[&*TYPE, &keccak256(&[digest]), &[0; 12], address]);
    keccak256(&[b"\x19\x01", &*DOMAIN, &content])
}

fn parse_address(text: &[u8]) -> Option<[u8; 20]> {
    let mut address = [0; 20];
    hex::decode_to_slice(text.strip_prefix(b"0x")?, &mut address).ok()?;
    Some(address)
}

/// A signature in the one form accepted.
struct Canonical {
    signature: Signature,
    recovery: RecoveryId,
}

impl Canonical {
    fn check(bytes: &[u8]) -> Result<Self, ItemError> {
        let Some((&v, parts)) = bytes.split_last() else { return Err(ItemError::Signature) };
        if v != 27 && v != 28 {
            return Err(ItemError::SignatureNonCanonical("v is neither 27 nor 28"));
        }
        if parts[32..] > HALF_ORDER[..] {
            return Err(ItemError::SignatureNonCanonical("s is in the upper half"));
        }
        let signature = Signature::from_slice(parts).map_err(|_| ItemError::Signature)?;
        Ok(Self { signature, recovery: RecoveryId::new(v == 28, false) })
    }

    /// The signer's uncompressed point.
    fn recover(&self, hash: &[u8; 32]) -> Result<[u8; 65], ItemError> {
        let key = VerifyingKey::recover_from_prehash(hash, &self.signature, self.recovery).map_err(|_| ItemError::Signature)?;
        key.to_sec1_point(false).as_bytes().try_into().map_err(|_| ItemError::Signature)
    }
}
