//! The seven signature types of ANS-104 (`arweave.md`, section 1), one family per file.
//!
//! An item's id is a hash of its signature, so whatever lets a stranger rewrite a signature lets him mint ids for content he did not
//! sign. Each family therefore refuses every form but one *before* the expensive operation (section 1.2); the common libraries do not.

use crate::data_item::{DataItem, ItemError};
use crate::deep_hash::Digest;
use crate::hash::{keccak256, sha256};
use crate::id::{Address, Id};

mod ed25519;
mod ethereum;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod multi_aptos;
pub mod rsa_pss;
pub(crate) mod rsa_sys;
mod signers;

/// How an item is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum SignatureType {
    /// RSA-PSS with a 4096-bit key.
    Arweave = 1,
    /// Ed25519 over the digest.
    Ed25519 = 2,
    /// secp256k1, `personal_sign`.
    Ethereum = 3,
    /// Ed25519 over the digest as hexadecimal text.
    Solana = 4,
    /// Ed25519 over a wallet's framed text.
    InjectedAptos = 5,
    /// Up to 32 Ed25519 keys with a threshold.
    MultiAptos = 6,
    /// secp256k1, EIP-712.
    TypedEthereum = 7,
}

impl SignatureType {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Arweave, Self::Ed25519, Self::Ethereum, Self::Solana, Self::InjectedAptos, Self::MultiAptos, Self::TypedEthereum];

    /// From the number on the wire.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.code() == code)
    }

    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Bytes of a signature.
    pub fn signature_len(self) -> usize {
        match self {
            Self::Arweave => 512,
            Self::Ed25519 | Self::Solana | Self::InjectedAptos => 64,
            Self::Ethereum | Self::TypedEthereum => 65,
            Self::MultiAptos => 2052,
        }
    }

    /// Bytes of an owner.
    pub fn owner_len(self) -> usize {
        match self {
            Self::Arweave => 512,
            Self::Ed25519 | Self::Solana | Self::InjectedAptos => 32,
            Self::Ethereum => 65,
            Self::MultiAptos => 1025,
            Self::TypedEthereum => 42,
        }
    }

    /// The form AO shows for an owner: EIP-55 for type 3, SHA-256 of the owner for all others, type 7 included.
    pub fn address(self, owner: &[u8]) -> Address {
        match self {
            Self::Ethereum => Address::Ethereum(ethereum_address(owner)),
            _ => Address::Arweave(Id(sha256(&[owner]))),
        }
    }
}

/// The last 20 bytes of Keccak-256 of an uncompressed point, without its leading `04`.
pub(crate) fn ethereum_address(owner: &[u8]) -> [u8; 20] {
    let hash = keccak256(&[owner.get(1..).unwrap_or_default()]);
    let mut address = [0; 20];
    address.copy_from_slice(&hash[12..]);
    address
}

/// Checks the signature of a well-formed item.
pub(crate) fn verify_item(item: &DataItem) -> Result<(), ItemError> {
    match item.signature_type() {
        SignatureType::Arweave => signers::verify(item),
        other => verify_digest(other, item.owner(), item.signature(), &item.signed_digest()),
    }
}

/// Checks a signature over a digest. Lengths of `owner` and `signature` must be those of the type.
pub fn verify_digest(kind: SignatureType, owner: &[u8], signature: &[u8], digest: &Digest) -> Result<(), ItemError> {
    if owner.len() != kind.owner_len() || signature.len() != kind.signature_len() {
        return Err(ItemError::Signature);
    }
    match kind {
        SignatureType::Arweave => rsa_pss::verify(owner, digest, signature),
        SignatureType::Ed25519 => ed25519::verify(owner, digest, signature),
        SignatureType::Solana => ed25519::verify_solana(owner, digest, signature),
        SignatureType::InjectedAptos => ed25519::verify_injected_aptos(owner, digest, signature),
        SignatureType::MultiAptos => multi_aptos::verify(owner, digest, signature),
        SignatureType::Ethereum => ethereum::verify(owner, digest, signature),
        SignatureType::TypedEthereum => ethereum::verify_typed(owner, digest, signature),
    }
}

pub(crate) use ethereum::{personal_message_hash, typed_message_hash};
