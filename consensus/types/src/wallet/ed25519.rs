//! An Ed25519 key: signature type 2.

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use crate::deep_hash::Digest;
use crate::id::Address;
use crate::signature::SignatureType;
use crate::signer::{SignError, Signer};

/// An Ed25519 private key. The key type clears itself.
#[derive(Clone)]
pub struct Ed25519Wallet {
    key: SigningKey,
    owner: [u8; 32],
}

impl Ed25519Wallet {
    /// The key of a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let owner = key.verifying_key().to_bytes();
        Self { key, owner }
    }

    /// The seed.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }
}

impl Signer for Ed25519Wallet {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Ed25519
    }

    fn owner(&self) -> &[u8] {
        &self.owner
    }

    fn address(&self) -> Address {
        SignatureType::Ed25519.address(&self.owner)
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        Ok(self.key.sign(digest).to_bytes().to_vec())
    }
}
