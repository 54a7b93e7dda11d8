//! Private keys in memory: RSA, Ed25519, Ethereum; and their file form.
//!
//! The file form is a JSON web key: Arweave's own for RSA (`arweave.md`, section 6.3), RFC 8037 for Ed25519 (`OKP`), RFC 8812 for
//! secp256k1 (`EC`). Secrets are cleared when dropped and never printed; where files lie and who may read them is the caller's business.

use std::fmt;

use zeroize::Zeroizing;

use crate::deep_hash::Digest;
use crate::id::Address;
use crate::signature::SignatureType;
use crate::signer::{SignError, Signer};

mod ed25519;
mod ethereum;
mod jwk;
mod rsa;

pub use ed25519::Ed25519Wallet;
pub use ethereum::EthereumWallet;
pub use rsa::RsaWallet;

/// Why a key is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// Not a JSON web key at all. The parser's position is given, never the text.
    #[error("not a JSON web key: line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A kind of key that we do not have.
    #[error("key type `{kty}`, curve `{curve}`: expected RSA, OKP with Ed25519, or EC with secp256k1")]
    Kind {
        /// Member `kty`.
        kty: String,
        /// Member `crv`, or empty.
        curve: String,
    },
    /// A member is missing or not base64url of its length.
    #[error("member `{0}` is missing or malformed")]
    Member(&'static str),
    /// The numbers do not belong together, or the modulus has not 512 bytes.
    #[error("the key is not sound: {0}")]
    Unsound(&'static str),
    /// The machine gave no randomness.
    #[error("no randomness from the system")]
    Entropy,
}

/// A private key of one of three kinds.
#[derive(Clone)]
pub enum Wallet {
    /// 4096-bit RSA, Arweave's native kind. Signatures are randomised.
    Rsa(RsaWallet),
    /// Ed25519: fast, deterministic; the default of a scheduler.
    Ed25519(Ed25519Wallet),
    /// secp256k1 with `personal_sign`; deterministic.
    Ethereum(EthereumWallet),
}

impl Wallet {
    /// A new RSA key. Takes about a second.
    pub fn generate_rsa() -> Result<Self, WalletError> {
        RsaWallet::generate().map(Self::Rsa)
    }

    /// A new Ed25519 key.
    pub fn generate_ed25519() -> Result<Self, WalletError> {
        Ok(Self::Ed25519(Ed25519Wallet::from_seed(&*random_bytes()?)))
    }

    /// The Ed25519 key of a seed: for development keys and for keys derived elsewhere.
    pub fn ed25519_from_seed(seed: &[u8; 32]) -> Self {
        Self::Ed25519(Ed25519Wallet::from_seed(seed))
    }

    /// A new Ethereum key.
    pub fn generate_ethereum() -> Result<Self, WalletError> {
        EthereumWallet::from_secret(&*random_bytes()?).map(Self::Ethereum)
    }

    /// Reads the file form.
    pub fn from_jwk(text: &str) -> Result<Self, WalletError> {
        jwk::read(text)
    }

    /// Writes the file form: one line of JSON.
    pub fn to_jwk(&self) -> Zeroizing<String> {
        jwk::write(self)
    }

    fn signer(&self) -> &dyn Signer {
        match self {
            Self::Rsa(wallet) => wallet,
            Self::Ed25519(wallet) => wallet,
            Self::Ethereum(wallet) => wallet,
        }
    }
}

impl Signer for Wallet {
    fn signature_type(&self) -> SignatureType {
        self.signer().signature_type()
    }

    fn owner(&self) -> &[u8] {
        self.signer().owner()
    }

    fn address(&self) -> Address {
        self.signer().address()
    }

    fn sign(&self, digest: &Digest) -> Result<Vec<u8>, SignError> {
        self.signer().sign(digest)
    }
}

/// Shows the address only.
impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wallet").field(&self.address()).finish()
    }
}

fn random_bytes() -> Result<Zeroizing<[u8; 32]>, WalletError> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut bytes[..]).map_err(|_| WalletError::Entropy)?;
    Ok(bytes)
}
