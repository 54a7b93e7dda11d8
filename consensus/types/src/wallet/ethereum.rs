//! A secp256k1 key: signature types 3 (`personal_sign`) and 7 (EIP-712).

use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

use super::WalletError;
use crate::deep_hash::Digest;
use crate::id::Address;
use crate::signature::{SignatureType, ethereum_address, personal_message_hash, typed_message_hash};
use crate::signer::{SignError, Signer};

/// A secp256k1 private key that signs items of type 3. The key type clears itself.
#[derive(Clone)]
pub struct EthereumWallet {
    key: SigningKey,
    owner: [u8; 65],
}

impl EthereumWallet {
    /// From the 32 bytes of the secret; zero and numbers over the group order are refused.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, WalletError> {
        let key = SigningKey::from_slice(secret).map_err(|_| WalletError::Unsound("the secret is not in the group's range"))?;
        let point = key.verifying_key().to_sec1_point(false);
        let owner = point.as_bytes().try_into().map_err(|_| WalletError::Unsound("the public point is not 65 bytes"))?;
        Ok(Self { key, owner })
    }

    /// The 32 bytes of the secret.
    pub fn secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes().into())
    }

    /// The same key as a signer of type 7, whose owner is the address as text.
    pub fn typed(&self) -> TypedEthereumWallet {
        let address = ethereum_address(&self.owner);
        let mut owner = [0; 42];
        owner[..2].copy_from_slice(b"0x");
        // Cannot fail: 40 digits for 20 bytes.
        let _ = hex::encode_to_slice(address, &mut owner[2..]);
        TypedEthereumWallet { key: self.key.clone(), address, owner }
    }
}

impl Signer for EthereumWallet {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Ethereum
    }

    fn owner(&self) -> &[u8] {
        &self.owner
    }

    fn address(&self) -> Address {
        SignatureType::Ethereum.address(&self.owner)
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        Ok(sign(&self.key, &personal_message_hash(digest)))
    }
}

/// A secp256k1 private key that signs items of type 7.
#[derive(Clone)]
pub struct TypedEthereumWallet {
    key: SigningKey,
    address: [u8; 20],
    owner: [u8; 42],
}

impl Signer for TypedEthereumWallet {
    fn signature_type(&self) -> SignatureType {
        SignatureType::TypedEthereum
    }

    fn owner(&self) -> &[u8] {
        &self.owner
    }

    fn address(&self) -> Address {
        SignatureType::TypedEthereum.address(&self.owner)
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        Ok(sign(&self.key, &typed_message_hash(&self.address, digest)))
    }
}

/// r ‖ s ‖ v with s in the lower half and v 27 or 28; deterministic (RFC 6979).
fn sign(key: &SigningKey, hash: &[u8; 32]) -> Vec<u8> {
    let (signature, recovery) = key.sign_prehash_recoverable(hash);
    let mut out = signature.to_bytes().to_vec();
    out.push(27 + u8::from(recovery.is_y_odd()));
    out
}
