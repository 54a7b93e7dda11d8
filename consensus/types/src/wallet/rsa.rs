//! A 4096-bit RSA key: signature type 1, Arweave's own.

use std::sync::Arc;

use super::WalletError;
use crate::deep_hash::Digest;
use crate::hash::sha256;
use crate::id::Address;
use crate::signature::SignatureType;
use crate::signature::rsa_pss::PreparedKey;
use crate::signature::rsa_sys::{MODULUS_BYTES, Parts, PrivateKey};
use crate::signer::{SignError, Signer};

/// An RSA private key.
#[derive(Clone)]
pub struct RsaWallet(Arc<Inner>);

struct Inner {
    key: PrivateKey,
    owner: [u8; MODULUS_BYTES],
}

impl RsaWallet {
    /// A new 4096-bit key. Takes about a second.
    pub fn generate() -> Result<Self, WalletError> {
        Self::new(PrivateKey::generate().map_err(|_| WalletError::Entropy)?)
    }

    pub(super) fn from_parts(parts: &Parts) -> Result<Self, WalletError> {
        if **parts.e != [1, 0, 1] {
            return Err(WalletError::Unsound("the public exponent is not 65537"));
        }
        Self::new(PrivateKey::new(parts).map_err(|_| WalletError::Unsound("the numbers do not belong together"))?)
    }

    /// Signs and verifies once, so that a bad key is found when it is loaded and not when it is needed.
    fn new(key: PrivateKey) -> Result<Self, WalletError> {
        let modulus = key.parts().n;
        let owner: [u8; MODULUS_BYTES] =
            modulus.as_slice().try_into().map_err(|_| WalletError::Unsound("the modulus has not 512 bytes"))?;
        let probe = sha256(&[b"aonode key check"]);
        let signature = key.sign_pss(&sha256(&[&probe])).map_err(|_| WalletError::Unsound("it does not sign"))?;
        let public = PreparedKey::new(&owner).map_err(|_| WalletError::Unsound("the modulus is not a valid owner"))?;
        public.verify(&probe, &signature).map_err(|_| WalletError::Unsound("what it signs does not verify"))?;
        Ok(Self(Arc::new(Inner { key, owner })))
    }

    pub(super) fn parts(&self) -> Parts {
        self.0.key.parts()
    }
}

impl Signer for RsaWallet {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Arweave
    }

    fn owner(&self) -> &[u8] {
        &self.0.owner
    }

    fn address(&self) -> Address {
        SignatureType::Arweave.address(&self.0.owner)
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        let signature = self.0.key.sign_pss(&sha256(&[digest]));
        signature.map(|bytes| bytes.to_vec()).map_err(|_| SignError::Key("RSA refused the digest"))
    }
}
