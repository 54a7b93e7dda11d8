//! How attestations are signed, added up and checked, whatever the curve.
//!
//! [`crate::bls`] is the scheme of every network; [`crate::cheap`] stands in for it where a simulation of hundreds of members would spend
//! its time on pairings. Engines hold an `Arc<dyn Scheme>` and cannot tell.

use std::fmt::Debug;
use std::sync::Arc;

use ao_types::attestation::possession_scope;
use ao_types::{BlsKey, BlsSignature, Genesis, GenesisError, NetworkId, Signers, Statement};

/// Why a key or signature is none. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// Not a point, not in the subgroup, or the identity.
    #[error("{key} is not a usable public key")]
    Key {
        /// Which.
        key: BlsKey,
    },
    /// Not a point.
    #[error("signature {index} is not a point of the curve")]
    Signature {
        /// Its place among those given.
        index: usize,
    },
    /// Nothing to add.
    #[error("an aggregate of no signatures has no meaning")]
    Empty,
    /// The secret is no scalar.
    #[error("the secret key is not a seed of 32 bytes that gives a scalar")]
    Secret,
}

/// A sum of checked public keys, in the scheme's own form. Never made from outside bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeySum(pub(crate) [u8; 96]);

impl Debug for KeySum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySum(..)")
    }
}

/// One aggregate to be checked: that all whose keys are in the sum signed this message.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The signers' keys.
    pub keys: KeySum,
    /// The message, the same for all of them.
    pub message: &'a [u8],
    /// The sum of their signatures.
    pub signature: &'a BlsSignature,
}

/// The parsed keys of a committee.
pub trait Keys: Debug + Send + Sync {
    /// The key at this place.
    fn one(&self, index: u16) -> Option<KeySum>;

    /// The sum over the signers; `None` if nobody signed, the sum is the identity, or the bitmap is of another size. The sum of all is
    /// kept, and the missing are subtracted where that is shorter.
    fn sum(&self, signers: &Signers) -> Option<KeySum>;
}

/// A signature scheme with sums.
pub trait Scheme: Debug + Send + Sync {
    /// Short and stable.
    fn name(&self) -> &'static str;

    /// Parses keys: each a point of the right subgroup and not the identity. Costs about 0.1 ms a key, once for each committee.
    fn keys(&self, keys: &[BlsKey]) -> Result<Arc<dyn Keys>, SchemeError>;

    /// Checks one signature or sum: the point, its subgroup, the pairing.
    fn verify(&self, claim: &Claim<'_>) -> bool;

    /// Adds signatures without checking them; verify the sum. One that is no point at all is named.
    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, SchemeError>;

    /// Checks many sums at once with random 64-bit coefficients: true only if all hold, false if any does not, but for a chance of
    /// 2^-63. The coefficients come from `secret`, which no other node may know, and from the claims themselves.
    fn verify_batch(&self, claims: &[Claim<'_>], secret: &[u8; 32]) -> bool;
}

/// An attestor's secret key. Implementations have no `Debug` that shows it and clear their memory.
pub trait SecretKey: Send + Sync {
    /// Its public key.
    fn public(&self) -> BlsKey;

    /// Signs. Deterministic: the same message gives the same bytes.
    fn sign(&self, message: &[u8]) -> BlsSignature;
}

/// Makes the proof that the holder of `secret` possesses it, for networks of this `chain_id`.
pub fn prove_possession(secret: &dyn SecretKey, chain_id: &str) -> BlsSignature {
    secret.sign(&Statement::Possession { key: secret.public() }.message(&possession_scope(chain_id)))
}

/// Checks one.
pub fn verify_possession(scheme: &dyn Scheme, key: &BlsKey, proof: &BlsSignature, chain_id: &str) -> bool {
    let Ok(keys) = scheme.keys(std::slice::from_ref(key)) else { return false };
    let message = Statement::Possession { key: *key }.message(&possession_scope(chain_id));
    keys.one(0).is_some_and(|keys| scheme.verify(&Claim { keys, message: &message, signature: proof }))
}

/// Checks the proofs of possession of a genesis, after [`Genesis::check`]: adding same-message signatures is sound only with them.
pub fn check_genesis(genesis: &Genesis, scheme: &dyn Scheme) -> Result<NetworkId, GenesisError> {
    genesis.check()?;
    match genesis.validators.iter().find(|one| !verify_possession(scheme, &one.pubkey, &one.pop, &genesis.chain_id)) {
        Some(bad) => Err(GenesisError::Possession { key: bad.pubkey, chain_id: genesis.chain_id.clone() }),
        None => genesis.network_id(),
    }
}

/// Coefficients for a batch: 64 bits each, never zero, unpredictable without `secret`, different for any other claims.
pub(crate) fn coefficients(claims: &[Claim<'_>], secret: &[u8; 32]) -> impl Iterator<Item = u64> + use<> {
    let mut transcript = Vec::with_capacity(claims.len() * 256);
    for claim in claims {
        transcript.extend_from_slice(&claim.keys.0);
        transcript.extend_from_slice(&ao_types::hash::sha256(&[claim.message]));
        transcript.extend_from_slice(&claim.signature.0);
    }
    let seed = ao_types::hash::sha256(&[b"aonode batch", secret, &transcript]);
    (0u64..).map(move |index| {
        let hash = ao_types::hash::sha256(&[&seed, &index.to_be_bytes()]);
        hash.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes)).max(1)
    })
}
