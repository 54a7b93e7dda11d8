//! Type 6: up to 32 Ed25519 keys and a threshold.
//!
//! Owner: 32 key slots, then the threshold byte. Signature: 32 signature slots, then a bitmap; bit i is `bitmap[i/8] & (0x80 >> i%8)`.
//! The common library ignores the threshold and takes an empty bitmap, so an item nobody signed verifies there. Not here.

use super::ed25519;
use crate::data_item::ItemError;
use crate::deep_hash::Digest;

const SLOTS: usize = 32;

pub(super) fn verify(owner: &[u8], digest: &Digest, signature: &[u8]) -> Result<(), ItemError> {
    let (keys, threshold) = owner.split_at(SLOTS * 32);
    let (signatures, bitmap) = signature.split_at(SLOTS * 64);
    let flagged = |slot: usize| bitmap[slot / 8] & (0x80 >> (slot % 8)) != 0;
    let threshold = threshold.first().map_or(0, |byte| usize::from(*byte));

    // The cheap rules for all slots first, so that a bad item costs no curve arithmetic.
    let slots = || keys.chunks_exact(32).zip(signatures.chunks_exact(64)).enumerate();
    for (slot, (key, part)) in slots() {
        if flagged(slot) {
            if key.iter().all(|byte| *byte == 0) {
                return Err(ItemError::Signature);
            }
            ed25519::check_canonical(part.try_into().map_err(|_| ItemError::Signature)?)?;
        } else if part.iter().any(|byte| *byte != 0) {
            return Err(ItemError::SignatureNonCanonical("bytes in the slot of a key that did not sign"));
        }
    }
    let signers = (0..SLOTS).filter(|slot| flagged(*slot)).count();
    if threshold == 0 || threshold > SLOTS || signers < threshold {
        return Err(ItemError::Signature);
    }
    slots().filter(|(slot, _)| flagged(*slot)).try_for_each(|(_, (key, part))| ed25519::verify(key, digest, part))
}
