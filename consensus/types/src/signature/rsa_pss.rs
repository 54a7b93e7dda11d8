//! Type 1: RSA-PSS with SHA-256, MGF1-SHA-256, e = 65537 and a salt of any length (`arweave.md`, section 1.1).
//!
//! The salt's length is not agreed on between signers, so it is recovered from the decoded block. Everything here is public, hence
//! nothing needs constant time.

use super::rsa_sys::{MODULUS_BYTES, PublicKey};
use crate::data_item::ItemError;
use crate::hash::sha256;

/// A modulus that passed the cheap checks, prepared for the expensive operation.
pub struct PreparedKey {
    key: PublicKey,
    modulus: Box<[u8; MODULUS_BYTES]>,
    #[cfg(target_arch = "x86_64")]
    vectors: Option<Box<super::ifma::Modulus>>,
}

impl PreparedKey {
    /// Checks and prepares an owner. Refused: lengths other than 512 significant bytes, even moduli.
    pub fn new(owner: &[u8]) -> Result<Self, ItemError> {
        let modulus: &[u8; MODULUS_BYTES] = owner.try_into().map_err(|_| ItemError::Signature)?;
        // A leading zero is a shorter key padded up: the L1 node compares byte lengths. An even modulus has no Montgomery form.
        if modulus[0] == 0 || modulus[MODULUS_BYTES - 1] & 1 == 0 {
            return Err(ItemError::Signature);
        }
        let key = PublicKey::new(modulus).map_err(|_| ItemError::Signature)?;
        Ok(Self {
            key,
            modulus: Box::new(*modulus),
            #[cfg(target_arch = "x86_64")]
            vectors: None,
        })
    }

    /// Prepares further for use again and again, where the processor has vector instructions for it: costs about ten microseconds
    /// once, and halves the public operation. The results are the same.
    #[must_use]
    pub fn accelerated(self) -> Self {
        #[cfg(target_arch = "x86_64")]
        let vectors = super::ifma::Modulus::new(&self.modulus).map(Box::new);
        Self {
            #[cfg(target_arch = "x86_64")]
            vectors,
            ..self
        }
    }

    /// The owner it was made from.
    pub fn modulus(&self) -> &[u8; MODULUS_BYTES] {
        &self.modulus
    }

    /// The bare public operation, `signature ^ 65537 mod n`.
    pub fn public_operation(&self, signature: &[u8]) -> Result<[u8; MODULUS_BYTES], ItemError> {
        let signature: &[u8; MODULUS_BYTES] = signature.try_into().map_err(|_| ItemError::Signature)?;
        // Both are big-endian and equally long, so comparing bytes compares numbers.
        if signature >= &*self.modulus {
            return Err(ItemError::Signature);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(vectors) = &self.vectors {
            return Ok(vectors.power_65537(signature));
        }
        self.key.apply(signature).map_err(|_| ItemError::Signature)
    }

    /// Checks a signature over `message`, which is hashed with SHA-256 first.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), ItemError> {
        let block = self.public_operation(signature)?;
        let modulus_bits = 8 * MODULUS_BYTES - self.modulus[0].leading_zeros() as usize;
        if pss_holds(&block, modulus_bits, message) { Ok(()) } else { Err(ItemError::Signature) }
    }
}

/// Checks a signature of an owner that is not worth preparing.
pub fn verify(owner: &[u8], message: &[u8], signature: &[u8]) -> Result<(), ItemError> {
    PreparedKey::new(owner)?.verify(message, signature)
}

/// EMSA-PSS-VERIFY (RFC 8017, section 9.1.2) with the salt length taken from the block.
fn pss_holds(block: &[u8; MODULUS_BYTES], modulus_bits: usize, message: &[u8]) -> bool {
    const HASH: usize = 32;
    // The encoded message is one bit shorter than the modulus: for 4089-bit moduli a whole byte.
    let encoded_bits = modulus_bits - 1;
    let encoded_len = encoded_bits.div_ceil(8);
    let (lead, encoded) = block.split_at(MODULUS_BYTES - encoded_len);
    let unused_bits = 8 * encoded_len - encoded_bits;
    let Some((&0xbc, encoded)) = encoded.split_last() else { return false };
    let (masked, hash) = encoded.split_at(encoded.len() - HASH);
    if lead.iter().any(|byte| *byte != 0) || (unused_bits > 0 && masked[0] >> (8 - unused_bits) != 0) {
        return false;
    }

    let mut unmasked = [0; MODULUS_BYTES];
    let unmasked = &mut unmasked[..masked.len()];
    unmasked.copy_from_slice(masked);
    for (counter, piece) in unmasked.chunks_mut(HASH).enumerate() {
        let mask = sha256(&[hash, &(counter as u32).to_be_bytes()]);
        piece.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    unmasked[0] &= 0xff >> unused_bits;

    let Some(start) = unmasked.iter().position(|byte| *byte != 0) else { return false };
    if unmasked[start] != 1 {
        return false;
    }
    let salt = &unmasked[start + 1..];
    sha256(&[&[0; 8], &sha256(&[message]), salt]) == hash
}
