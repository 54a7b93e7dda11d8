//! A committee as this engine uses it: the core's voters, and the making of certificates.

use std::sync::Arc;

use ao_consensus::roster::Roster;
use ao_consensus::scheme::{KeySum, Scheme, SchemeError};
use ao_types::{BlsSignature, Certificate, Committee, Epoch, PeerId, Signers, Statement};

use crate::context::{CommitteeError, Signature, Validators, Voter};

/// Why a committee cannot run this engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeatsError {
    /// Nobody with power.
    #[error(transparent)]
    Votes(#[from] CommitteeError),
    /// A key that is none.
    #[error(transparent)]
    Keys(#[from] SchemeError),
}

/// See the module documentation.
#[derive(Clone, Debug)]
pub struct Seats {
    roster: Roster,
    validators: Validators,
}

impl Seats {
    /// Parses the keys.
    pub fn new(scheme: &dyn Scheme, committee: Arc<Committee>) -> Result<Self, SeatsError> {
        let roster = Roster::new(scheme, Arc::clone(&committee))?;
        let key = |place: usize| roster.key(place as u16);
        let members = committee.members().iter().enumerate().filter_map(|(place, member)| Some((member.key, key(place)?, member.stake.0)));
        Ok(Self { validators: Validators::new(members)?, roster })
    }

    /// Whose committee.
    pub fn epoch(&self) -> Epoch {
        self.roster.committee().epoch()
    }

    /// As everybody else sees it.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// As the core sees it.
    pub fn validators(&self) -> &Validators {
        &self.validators
    }

    /// The place of a voter, if it is a member.
    pub fn place(&self, voter: &Voter) -> Option<u16> {
        self.roster.committee().index_of(&voter.0)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.roster.committee().len()
    }

    /// Where the other members are reached.
    pub fn peers(&self, except: &Voter) -> Vec<PeerId> {
        let members = self.roster.committee().members().iter();
        members.filter(|member| member.key != except.0).map(|member| member.peer.clone()).collect()
    }

    /// A member's key.
    pub fn key(&self, voter: &Voter) -> Option<KeySum> {
        self.roster.key(self.place(voter)?)
    }

    /// A member's stake; of others none.
    pub fn stake(&self, voter: &Voter) -> u128 {
        self.place(voter).and_then(|place| self.roster.committee().member(place)).map_or(0, |member| member.stake.0)
    }

    /// The sum of the keys of these members; `None` if one is no member or counts twice.
    pub fn sum<'a>(&self, voters: impl IntoIterator<Item = &'a Voter>) -> Option<KeySum> {
        self.roster.sum(&self.signers(voters)?)
    }

    fn signers<'a>(&self, voters: impl IntoIterator<Item = &'a Voter>) -> Option<Signers> {
        let mut signers = Signers::none(self.count());
        voters.into_iter().all(|voter| self.place(voter).is_some_and(|place| signers.insert(place))).then_some(signers)
    }

    /// Adds up precommits that hold; `None` where they are no quorum of exact stake.
    pub fn certify(&self, scheme: &dyn Scheme, statement: Statement, precommits: &[(Voter, Signature)]) -> Option<Certificate> {
        let signers = self.signers(precommits.iter().map(|(voter, _)| voter))?;
        let quorum = self.roster.committee().is_quorum(self.roster.stake(&signers));
        #[cfg(any(test, feature = "mutations"))]
        let quorum = quorum || crate::mutation::is(crate::mutation::Mutation::StakeMiscounted);
        if !quorum {
            return None;
        }
        let signatures: Vec<BlsSignature> = precommits.iter().map(|(_, signature)| signature.0).collect();
        Some(Certificate { statement, epoch: self.epoch(), signers, signature: scheme.aggregate(&signatures).ok()? })
    }
}
