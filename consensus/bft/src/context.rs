//! The types malachite's core is instantiated with: heights, voters, votes, proposals.
//!
//! Owns their equality and order, on which replay of the log and the choice of proposers rest. Refuses to encode (`codec`), to sign or to
//! verify (`signing`), and to say what a block holds (`values`): to the core a value is its digest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ao_consensus::scheme::KeySum;
use ao_types::hash::sha256;
use ao_types::{BlsKey, BlsSignature};
use arc_malachitebft_core_types as core;
use core::{Context, NilOrVal, Round, SignedExtension, VoteType, VotingPower};

use crate::limits::POWER_TOTAL_MAX;
use crate::timeouts::Timeouts;

/// Marker that ties the types below together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bft;

/// Position in the sequence of blocks; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl core::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A block's value ([`ao_types::BlockValue`]): what votes are about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockId(pub [u8; 32]);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::Value for BlockId {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

/// A member, named by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voter(pub BlsKey);

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl core::Address for Voter {}

/// Votes are signed with the members' BLS keys, so that precommits add up to the certificate that everybody checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlsVotes;

/// A signature, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(pub BlsSignature);

/// A member's key, checked when its committee became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub KeySum);

/// The core decodes nothing itself: bytes are this crate's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keys and signatures are not decoded here")]
pub struct NotHere;

impl core::SigningScheme for BlsVotes {
    type DecodingError = NotHere;
    type Signature = Signature;
    type PublicKey = PublicKey;
    /// The core never sees a private key.
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signature, NotHere> {
        bytes.try_into().map(BlsSignature).map(Signature).map_err(|_| NotHere)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.0.to_vec()
    }

    fn decode_public_key(_bytes: &[u8]) -> Result<PublicKey, NotHere> {
        Err(NotHere)
    }

    fn encode_public_key(_key: &PublicKey) -> Vec<u8> {
        Vec::new()
    }
}

/// A prevote or precommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteType,
    /// Height voted on.
    pub height: Height,
    /// Round within the height.
    pub round: Round,
    /// A block, or nil: none in this round.
    pub value: NilOrVal<BlockId>,
    /// Whose vote. Not signed: the key says it, and equal votes must have equal bytes to add up.
    pub voter: Voter,
}

impl core::Vote<Bft> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Voter {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Bft>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Bft>> {
        None
    }

    /// Votes need no extension: a precommit is its own share.
    fn extend(self, _extension: SignedExtension<Bft>) -> Self {
        self
    }
}

/// A proposer's word that this block is its choice for the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Height proposed for.
    pub height: Height,
    /// Round within the height.
    pub round: Round,
    /// The block.
    pub value: BlockId,
    /// Round in which a quorum prevoted it, if this is a repeat.
    pub pol_round: Round,
    /// Whose proposal.
    pub proposer: Voter,
}

impl core::Proposal<Bft> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockId {
        &self.value
    }

    fn take_value(self) -> BlockId {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Voter {
        &self.proposer
    }
}

/// Bodies travel whole, outside the core; it has no parts to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoParts {}

impl core::ProposalPart<Bft> for NoParts {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

/// A member of the committee as the core sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    name: Voter,
    key: PublicKey,
    power: VotingPower,
}

impl core::Validator<Bft> for Validator {
    fn address(&self) -> &Voter {
        &self.name
    }

    fn public_key(&self) -> &PublicKey {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

/// Why a committee cannot run this engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Nobody to vote.
    #[error("no member has stake")]
    Empty,
}

/// The voters of one height: by power, the largest first, then by key. Cheap to clone, which the core does often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    members: Vec<Validator>,
    places: BTreeMap<Voter, usize>,
    total: VotingPower,
}

impl Validators {
    /// Scales `stakes` to what the core can multiply.
    ///
    /// Powers are rounded down and their total is rounded up, so that a quorum of powers is a quorum of the stakes themselves, whatever
    /// the rounding: the certificate that everybody else checks counts exact stakes. Where the total stake is at most
    /// [`POWER_TOTAL_MAX`], nothing is rounded.
    pub fn new(stakes: impl IntoIterator<Item = (BlsKey, KeySum, u128)>) -> Result<Self, CommitteeError> {
        let stakes: Vec<(BlsKey, KeySum, u128)> = stakes.into_iter().collect();
        let total = stakes.iter().fold(0u128, |sum, (_, _, stake)| sum.saturating_add(*stake));
        let unit = total.div_ceil(POWER_TOTAL_MAX).max(1);
        let member = |(name, key, stake)| Validator { name: Voter(name), key: PublicKey(key), power: (stake / unit) as VotingPower };
        let mut members: Vec<Validator> = stakes.into_iter().map(member).filter(|member| member.power > 0).collect();
        if members.is_empty() {
            return Err(CommitteeError::Empty);
        }
        members.sort_by(|a, b| b.power.cmp(&a.power).then(a.name.cmp(&b.name)));
        let places = members.iter().enumerate().map(|(place, member)| (member.name, place)).collect();
        Ok(Self(Arc::new(Inner { members, places, total: total.div_ceil(unit) as VotingPower })))
    }

    /// Who proposes in a round: drawn by power without replacement from a seed that only the height fixes.
    ///
    /// Round 0 goes to everybody in proportion to power; within as many rounds as there are members each has its turn, so that a third of
    /// bad proposers costs a bounded number of rounds. Nobody can grind the draw: no proposer has a say in the seed.
    fn proposer(&self, height: Height, round: Round) -> &Validator {
        let turns = round.as_u32().unwrap_or(0) as usize % self.0.members.len();
        let mut left: Vec<&Validator> = self.0.members.iter().collect();
        let mut total: u128 = left.iter().map(|member| u128::from(member.power)).sum();
        for turn in 0..turns {
            let at = Self::draw(&left, total, height, turn);
            total -= u128::from(left.remove(at).power);
        }
        left[Self::draw(&left, total, height, turns)]
    }

    fn draw(left: &[&Validator], total: u128, height: Height, turn: usize) -> usize {
        let seed = sha256(&[b"aonode/bft/proposer", &height.0.to_be_bytes(), &(turn as u64).to_be_bytes()]);
        let seed = seed.iter().take(16).fold(0u128, |number, byte| (number << 8) | u128::from(*byte));
        let mut point = seed % total.max(1);
        for (at, member) in left.iter().enumerate() {
            match point.checked_sub(u128::from(member.power)) {
                Some(rest) => point = rest,
                None => return at,
            }
        }
        0
    }
}

impl core::ValidatorSet<Bft> for Validators {
    fn count(&self) -> usize {
        self.0.members.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.0.total
    }

    fn get_by_address(&self, address: &Voter) -> Option<&Validator> {
        self.0.places.get(address).and_then(|place| self.0.members.get(*place))
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.members.get(index)
    }
}

impl Context for Bft {
    type Address = Voter;
    type Height = Height;
    type ProposalPart = NoParts;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = Timeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = BlsVotes;

    fn select_proposer<'a>(&self, validators: &'a Validators, height: Height, round: Round) -> &'a Validator {
        validators.proposer(height, round)
    }

    fn new_proposal(&self, height: Height, round: Round, value: BlockId, pol_round: Round, proposer: Voter) -> Proposal {
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Voter) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<BlockId>, voter: Voter) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter }
    }
}

#[cfg(test)]
mod tests;
