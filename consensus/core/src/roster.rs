//! Committees with their parsed keys, and every check of a signature against them.
//!
//! One [`Roster`] is made for each committee, when it becomes known; [`Rosters`] holds those that are in force or may still be asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_types::{Attestation, BlsKey, BlsSignature, Certificate, Committee, Epoch, NetworkId, Signers, Stake, Statement};

use crate::scheme::{Claim, KeySum, Keys, Scheme, SchemeError};

/// A committee whose keys were checked.
#[derive(Clone, Debug)]
pub struct Roster {
    committee: Arc<Committee>,
    keys: Arc<dyn Keys>,
}

impl Roster {
    /// Parses the keys. A key that is none makes the whole committee unusable: whoever fixed it checked proofs of possession.
    pub fn new(scheme: &dyn Scheme, committee: Arc<Committee>) -> Result<Self, SchemeError> {
        let keys: Vec<BlsKey> = committee.members().iter().map(|member| member.key).collect();
        Ok(Self { keys: scheme.keys(&keys)?, committee })
    }

    /// Members, stake, order.
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// The parsed key of a member.
    pub fn key(&self, index: u16) -> Option<KeySum> {
        self.keys.one(index)
    }

    /// The sum of the signers' keys.
    pub fn sum(&self, signers: &Signers) -> Option<KeySum> {
        self.keys.sum(signers)
    }

    /// Stake of the signers together.
    pub fn stake(&self, signers: &Signers) -> Stake {
        let stakes = signers.iter().filter_map(|index| self.committee.member(index)).map(|member| member.stake.0);
        Stake(stakes.fold(0, u128::saturating_add))
    }
}

/// Why a signature proves nothing. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A committee that is not known here. Not necessarily the sender's fault.
    #[error("the committee of epoch {epoch} is not known here")]
    UnknownEpoch {
        /// Whose.
        epoch: Epoch,
    },
    /// A key outside the committee.
    #[error("{key} is no member of the committee of epoch {epoch}")]
    NotMember {
        /// Whose signature.
        key: BlsKey,
        /// Of which committee.
        epoch: Epoch,
    },
    /// A bitmap of another size than the committee.
    #[error("a bitmap of {found} members speaks of a committee of {expected}")]
    Bitmap {
        /// Size of the committee.
        expected: usize,
        /// Of the bitmap.
        found: usize,
    },
    /// Not more than two thirds.
    #[error("signers hold {found} of {total}, which is no quorum")]
    Quorum {
        /// Their stake.
        found: Stake,
        /// Everybody's.
        total: Stake,
    },
    /// The signature or sum does not hold.
    #[error("the signature does not hold")]
    Signature,
}

/// The committees known, and the network that statements are bound to.
#[derive(Clone, Debug)]
pub struct Rosters {
    network: NetworkId,
    scheme: Arc<dyn Scheme>,
    secret: [u8; 32],
    rosters: BTreeMap<Epoch, Roster>,
}

impl Rosters {
    /// None yet. `secret` makes coefficients of batches unpredictable to others; a node derives it from its keys.
    pub fn new(network: NetworkId, scheme: Arc<dyn Scheme>, secret: [u8; 32]) -> Self {
        Self { network, scheme, secret, rosters: BTreeMap::new() }
    }

    /// With committees, for checks offline.
    pub fn with(mut self, committees: impl IntoIterator<Item = Committee>) -> Result<Self, SchemeError> {
        for committee in committees {
            self.insert(Arc::new(committee))?;
        }
        Ok(self)
    }

    /// Adds one. Parsing costs about 0.1 ms a key; a committee that is known already costs nothing.
    pub fn insert(&mut self, committee: Arc<Committee>) -> Result<(), SchemeError> {
        let known = self.rosters.get(&committee.epoch()).is_some_and(|roster| roster.committee.root() == committee.root());
        if !known {
            let roster = Roster::new(self.scheme.as_ref(), committee)?;
            self.rosters.insert(roster.committee.epoch(), roster);
        }
        Ok(())
    }

    /// Forgets committees of before `epoch`.
    pub fn forget_before(&mut self, epoch: Epoch) {
        self.rosters = self.rosters.split_off(&epoch);
    }

    /// The committee of an epoch.
    pub fn get(&self, epoch: Epoch) -> Option<&Roster> {
        self.rosters.get(&epoch)
    }

    /// Epochs whose committees are known, ascending.
    pub fn epochs(&self) -> impl DoubleEndedIterator<Item = Epoch> + '_ {
        self.rosters.keys().copied()
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The scheme.
    pub fn scheme(&self) -> &Arc<dyn Scheme> {
        &self.scheme
    }

    fn known(&self, epoch: Epoch) -> Result<&Roster, VerifyError> {
        self.rosters.get(&epoch).ok_or(VerifyError::UnknownEpoch { epoch })
    }

    /// Checks one signature of a member of the committee of `epoch`: about 1.4 ms. Its place in the committee.
    pub fn verify_attestation(&self, epoch: Epoch, attestation: &Attestation) -> Result<u16, VerifyError> {
        let (roster, key) = (self.known(epoch)?, attestation.key);
        let index = roster.committee.index_of(&key).ok_or(VerifyError::NotMember { key, epoch })?;
        let keys = roster.key(index).ok_or(VerifyError::NotMember { key, epoch })?;
        let message = attestation.statement.message(&self.network);
        let holds = self.scheme.verify(&Claim { keys, message: &message, signature: &attestation.signature });
        if holds { Ok(index) } else { Err(VerifyError::Signature) }
    }

    /// Checks a signature by any key, member or not: 1.5 ms.
    pub fn verify_key(&self, key: &BlsKey, statement: &Statement, signature: &BlsSignature) -> bool {
        let Ok(keys) = self.scheme.keys(std::slice::from_ref(key)) else { return false };
        let message = statement.message(&self.network);
        keys.one(0).is_some_and(|keys| self.scheme.verify(&Claim { keys, message: &message, signature }))
    }

    /// Size of the bitmap and stake of the signers; the sum of their keys.
    fn weigh(&self, certificate: &Certificate) -> Result<KeySum, VerifyError> {
        let roster = self.known(certificate.epoch)?;
        let (expected, found) = (roster.committee.len(), certificate.signers.members());
        if expected != found {
            return Err(VerifyError::Bitmap { expected, found });
        }
        let stake = roster.stake(&certificate.signers);
        if !roster.committee.is_quorum(stake) {
            return Err(VerifyError::Quorum { found: stake, total: roster.committee.total() });
        }
        roster.sum(&certificate.signers).ok_or(VerifyError::Signature)
    }

    /// Checks a certificate: the bitmap, the stake, the sum. About 1.4 ms and 0.7 µs for each signer or missing one.
    pub fn verify_certificate(&self, certificate: &Certificate) -> Result<(), VerifyError> {
        let (keys, message) = (self.weigh(certificate)?, certificate.statement.message(&self.network));
        let holds = self.scheme.verify(&Claim { keys, message: &message, signature: &certificate.signature });
        if holds { Ok(()) } else { Err(VerifyError::Signature) }
    }

    /// Checks many at once: about 0.9 ms each if all hold. If any does not, each is looked at alone; one verdict each, in order.
    pub fn verify_certificates(&self, certificates: &[&Certificate]) -> Vec<Result<(), VerifyError>> {
        let weighed: Vec<_> = certificates.iter().map(|one| self.weigh(one)).collect();
        let messages: Vec<_> = certificates.iter().map(|one| one.statement.message(&self.network)).collect();
        let claims: Vec<Claim<'_>> = weighed
            .iter()
            .zip(certificates.iter().zip(&messages))
            .filter_map(|(keys, (one, message))| keys.as_ref().ok().map(|keys| Claim { keys: *keys, message, signature: &one.signature }))
            .collect();
        if self.scheme.verify_batch(&claims, &self.secret) {
            return weighed.into_iter().map(|one| one.map(|_| ())).collect();
        }
        certificates.iter().map(|one| self.verify_certificate(one)).collect()
    }
}
