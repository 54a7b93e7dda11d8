//! A scheme for simulations of many members: sums of 64-bit tags instead of points of a curve.
//!
//! **It proves nothing to anybody**: whoever knows a public key can sign for it. It keeps what engines rely on: deterministic, additive,
//! a wrong, missing or doubled share makes a sum wrong. `Scheme::name` says `cheap`, and the wiring of a node never names it.

use std::sync::Arc;

use ao_types::hash::sha256;
use ao_types::{BlsKey, BlsSignature, Signers};

use crate::scheme::{Claim, KeySum, Keys, Scheme, SchemeError, SecretKey};

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cheap;

/// Key number `n`: the key is the number, spread over 16 bytes.
#[derive(Clone, Copy)]
pub struct CheapSecret(u64);

impl CheapSecret {
    /// The secret of member `n`.
    pub fn new(n: u64) -> Self {
        Self(n)
    }
}

const MARK: &[u8; 8] = b"cheapkey";
pub(crate) const MARK_SIGNATURE: &[u8; 8] = b"cheapsig";

/// A scalar from the key's number; odd, so that it has an inverse and no key is neutral.
fn scalar(n: u64) -> u64 {
    sha256(&[b"cheap scalar", &n.to_be_bytes()]).first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)) | 1
}

fn hash(message: &[u8]) -> u64 {
    sha256(&[b"cheap message", message]).first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)) | 1
}

fn key(scalar: u64) -> BlsKey {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(MARK);
    bytes[8..16].copy_from_slice(&scalar.to_be_bytes());
    BlsKey(bytes)
}

fn signature(value: u64) -> BlsSignature {
    let mut bytes = [0; 96];
    bytes[..8].copy_from_slice(MARK_SIGNATURE);
    bytes[8..16].copy_from_slice(&value.to_be_bytes());
    BlsSignature(bytes)
}

/// The number in marked bytes; everything else in them is zero.
fn number(bytes: &[u8], mark: &[u8; 8]) -> Option<u64> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let (value, rest) = rest.split_first_chunk::<8>()?;
    (head == mark && rest.iter().all(|byte| *byte == 0)).then(|| u64::from_be_bytes(*value))
}

fn sum(value: u64) -> KeySum {
    let mut bytes = [0; 96];
    bytes[..8].copy_from_slice(&value.to_be_bytes());
    KeySum(bytes)
}

fn value(sum: &KeySum) -> u64 {
    sum.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl SecretKey for CheapSecret {
    fn public(&self) -> BlsKey {
        key(scalar(self.0))
    }
    fn sign(&self, message: &[u8]) -> BlsSignature {
        signature(scalar(self.0).wrapping_mul(hash(message)))
    }
}

#[derive(Debug)]
struct CheapKeys(Vec<u64>);

impl Keys for CheapKeys {
    fn one(&self, index: u16) -> Option<KeySum> {
        self.0.get(usize::from(index)).copied().map(sum)
    }
    fn sum(&self, signers: &Signers) -> Option<KeySum> {
        let fits = signers.members() == self.0.len() && signers.count() > 0;
        fits.then(|| sum(signers.iter().filter_map(|index| self.0.get(usize::from(index))).fold(0, |sum, key| sum.wrapping_add(*key))))
    }
}

impl Scheme for Cheap {
    fn name(&self) -> &'static str {
        "cheap"
    }
    fn keys(&self, keys: &[BlsKey]) -> Result<Arc<dyn Keys>, SchemeError> {
        let parsed = keys.iter().map(|key| number(&key.0, MARK).ok_or(SchemeError::Key { key: *key })).collect::<Result<_, _>>()?;
        Ok(Arc::new(CheapKeys(parsed)))
    }
    fn verify(&self, claim: &Claim<'_>) -> bool {
        number(&claim.signature.0, MARK_SIGNATURE) == Some(value(&claim.keys).wrapping_mul(hash(claim.message)))
    }
    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, SchemeError> {
        if signatures.is_empty() {
            return Err(SchemeError::Empty);
        }
        let mut total = 0u64;
        for (index, one) in signatures.iter().enumerate() {
            total = total.wrapping_add(number(&one.0, MARK_SIGNATURE).ok_or(SchemeError::Signature { index })?);
        }
        Ok(signature(total))
    }
    fn verify_batch(&self, claims: &[Claim<'_>], _secret: &[u8; 32]) -> bool {
        claims.iter().all(|claim| self.verify(claim))
    }
}
