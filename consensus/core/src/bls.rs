//! BLS12-381 with keys in G1 and signatures in G2, ciphersuite `BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_` of the CFRG draft.
//!
//! Keys and signing are `bls-signatures`; that crate refuses sums over one message (its basic scheme demands distinct ones), so sums are
//! made here by adding keys and checked with one pairing product of `blst`, which both crates stand on. That is sound because every key
//! of a committee came with a proof of possession and because every statement begins with our domain tag.
//!
//! What is refused, and where: points off the curve or outside the subgroup, and the identity, as keys when a table is made; as
//! signatures when a sum is verified. Shares are added unchecked, since only their sum matters, and looked at one by one only when it
//! fails ([`crate::certificate`]).

use std::fmt;
use std::sync::Arc;

use ao_types::{BlsKey, BlsSignature, Signers};
use bls_signatures::{PrivateKey, Serialize as _};
use blst::{BLST_ERROR, Pairing};
use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective, Scalar};
use group::prime::PrimeCurveAffine as _;
use group::{Curve as _, Group as _};
use zeroize::Zeroizing;

use crate::scheme::{Claim, KeySum, Keys, Scheme, SchemeError, SecretKey, coefficients};

/// Names curve, hash and mode; goes into every hash to the curve.
pub const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_";

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bls;

/// An attestor's secret, kept as the 32 big-endian bytes of its scalar, as EIP-2333 and key files (ERC-2335) have it: the scalar's own type
/// cannot be cleared from memory, so it is made for each signature. Shows nothing of itself.
pub struct BlsSecret {
    scalar: Zeroizing<[u8; 32]>,
    public: BlsKey,
}

impl BlsSecret {
    /// From 32 bytes of entropy (RFC draft `KeyGen`). The same seed is the same key for ever.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, SchemeError> {
        let seed = Zeroizing::new(seed);
        let scalar = Zeroizing::new(Scalar::from(PrivateKey::new(*seed)).to_bytes_be());
        Self::from_scalar(*scalar)
    }

    /// From a scalar, big-endian. Refused: 0, and what is not below the order of the group.
    pub fn from_scalar(scalar: [u8; 32]) -> Result<Self, SchemeError> {
        let scalar = Zeroizing::new(scalar);
        let value = Option::<Scalar>::from(Scalar::from_bytes_be(&scalar)).filter(|value| *value != Scalar::default());
        let public = PrivateKey::from(value.ok_or(SchemeError::Secret)?).public_key().as_bytes();
        Ok(Self { scalar, public: BlsKey(public.try_into().map_err(|_| SchemeError::Secret)?) })
    }

    /// The scalar, for a key store that encrypts it.
    pub fn scalar(&self) -> &[u8; 32] {
        &self.scalar
    }
}

impl fmt::Debug for BlsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlsSecret of {}", self.public)
    }
}

impl SecretKey for BlsSecret {
    fn public(&self) -> BlsKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> BlsSignature {
        // Never the default: the scalar was checked when this was made.
        let scalar = Scalar::from_bytes_be(&self.scalar).unwrap_or(Scalar::default());
        let signature = G2Affine::from(PrivateKey::from(scalar).sign(message));
        BlsSignature(signature.to_compressed())
    }
}

/// Checked keys of a committee and their sum.
struct BlsKeys {
    keys: Vec<G1Affine>,
    all: G1Projective,
}

impl fmt::Debug for BlsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlsKeys({})", self.keys.len())
    }
}

fn key_sum(point: G1Affine) -> Option<KeySum> {
    (!bool::from(point.is_identity())).then(|| KeySum(point.to_uncompressed()))
}

impl Keys for BlsKeys {
    fn one(&self, index: u16) -> Option<KeySum> {
        self.keys.get(usize::from(index)).copied().and_then(key_sum)
    }

    fn sum(&self, signers: &Signers) -> Option<KeySum> {
        if signers.members() != self.keys.len() {
            return None;
        }
        let count = signers.count();
        let key = |index: u16| self.keys.get(usize::from(index));
        let sum = if count * 2 > self.keys.len() {
            signers.missing().filter_map(key).fold(self.all, |sum, key| sum - key)
        } else {
            signers.iter().filter_map(key).fold(G1Projective::identity(), |sum, key| sum + key)
        };
        if count == 0 { None } else { key_sum(sum.to_affine()) }
    }
}

/// Points of a claim. The key sum is of our own making, so only its form is read; the signature's subgroup is checked with the pairing.
fn points(claim: &Claim<'_>) -> Option<(G1Affine, G2Affine)> {
    let key = Option::<G1Affine>::from(G1Affine::from_uncompressed_unchecked(&claim.keys.0))?;
    let signature = Option::<G2Affine>::from(G2Affine::from_compressed_unchecked(&claim.signature.0))?;
    let identity = bool::from(key.is_identity()) || bool::from(signature.is_identity());
    (!identity).then_some((key, signature))
}

impl Scheme for Bls {
    fn name(&self) -> &'static str {
        "bls12-381"
    }

    fn keys(&self, keys: &[BlsKey]) -> Result<Arc<dyn Keys>, SchemeError> {
        let parse = |key: &BlsKey| {
            let point = Option::<G1Affine>::from(G1Affine::from_compressed(&key.0)).filter(|point| !bool::from(point.is_identity()));
            point.ok_or(SchemeError::Key { key: *key })
        };
        let keys = keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let all = keys.iter().fold(G1Projective::identity(), |sum, key| sum + key);
        Ok(Arc::new(BlsKeys { keys, all }))
    }

    fn verify(&self, claim: &Claim<'_>) -> bool {
        let Some((key, signature)) = points(claim) else { return false };
        let mut pairing = Pairing::new(true, CIPHERSUITE);
        let added = pairing.aggregate(key.as_ref(), false, signature.as_ref(), true, claim.message, &[]);
        pairing.commit();
        added == BLST_ERROR::BLST_SUCCESS && pairing.finalverify(None)
    }

    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, SchemeError> {
        if signatures.is_empty() {
            return Err(SchemeError::Empty);
        }
        let mut sum = G2Projective::identity();
        for (index, signature) in signatures.iter().enumerate() {
            let point: Option<G2Affine> = G2Affine::from_compressed_unchecked(&signature.0).into();
            sum += point.ok_or(SchemeError::Signature { index })?;
        }
        Ok(BlsSignature(sum.to_affine().to_compressed()))
    }

    fn verify_batch(&self, claims: &[Claim<'_>], secret: &[u8; 32]) -> bool {
        let mut pairing = Pairing::new(true, CIPHERSUITE);
        for (claim, coefficient) in claims.iter().zip(coefficients(claims, secret)) {
            let Some((key, signature)) = points(claim) else { return false };
            let scalar = coefficient.to_le_bytes();
            let added = pairing.mul_n_aggregate(key.as_ref(), false, signature.as_ref(), true, &scalar, 64, claim.message, &[]);
            if added != BLST_ERROR::BLST_SUCCESS {
                return false;
            }
        }
        pairing.commit();
        claims.is_empty() || pairing.finalverify(None)
    }
}

#[cfg(test)]
mod tests;
