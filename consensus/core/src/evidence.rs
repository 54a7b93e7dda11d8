//! Faults that can be shown to anybody, and the check that shows them (`consensus.md` §7).
//!
//! Every piece carries all that its check needs but the committees, so it can be verified offline, years later, by a node that saw nothing
//! of it. An honest key is never convicted: it signs along one branch, seals what it knows, and repeats only stored bytes.

use ao_types::attestation::VoteStep;
use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_prefixed};
use ao_types::committee::PeerId;
use ao_types::hash::{sha256, sha384};
use ao_types::signature::verify_digest;
use ao_types::{
    Address, Assignment, Attestation, BlockValue, BlsKey, BlsSignature, Certificate, Chain, DataItem, Epoch, FrameId, NetworkId, Profile,
    SignatureType, Statement,
};
use bytes::Bytes;

use crate::control::Seal;
use crate::frame::{FrameError, FrameHeader, RawHeader};
use crate::limits::EVIDENCE_HEADERS_MAX;
use crate::roster::{Rosters, VerifyError};

mod codec;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two headers of one scheduler for one place in a chain, even if their contents agree.
    TwoHeaders(Box<(RawHeader, RawHeader)>),
    /// Two assignments of one scheduler that contradict each other (`protocol.md` §16.3). Raw ANS-104 bytes.
    TwoAssignments(Bytes, Bytes),
    /// Two attestations of one key in one chain, neither frame an ancestor of the other.
    TwoBranches {
        /// The one at the lower sequence, or either.
        lower: Attestation,
        /// The one at the higher sequence.
        higher: Attestation,
        /// From the higher frame down to the one after the lower sequence, so that the parent of the last shows the other branch. None
        /// if the sequences are equal.
        headers: Vec<FrameHeader>,
    },
    /// A seal, and an attestation of the same key to a frame that carries, or follows one that carries, a higher certificate: it hid a
    /// certificate or broke the seal, whichever came first.
    SealBroken {
        /// The seal.
        seal: Box<Seal>,
        /// The attestation.
        attestation: Attestation,
        /// From the attested frame down to the one that carries the certificate.
        headers: Vec<FrameHeader>,
    },
    /// Two certificates that exclude one another: frames of two branches of a chain, or two blocks of one height.
    TwoCertificates {
        /// The one at the lower sequence, or either.
        lower: Certificate,
        /// The one at the higher sequence.
        higher: Certificate,
        /// As in [`Evidence::TwoBranches`].
        headers: Vec<FrameHeader>,
    },
    /// Two votes of one validator in one step of one round, or two shares in one round's proof.
    TwoVotes(Box<(SignedVote, SignedVote)>),
    /// Two results of one node for one slot on one kind of host.
    TwoResults(Box<(Attestation, Attestation)>),
}

/// A vote with a signature of either key that a validator has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVote {
    /// [`Statement::Vote`] or [`Statement::Block`].
    pub statement: Statement,
    /// Whose.
    pub key: BlsKey,
    /// Epoch of the committee that it is a member of.
    pub epoch: Epoch,
    /// The signature.
    pub signature: VoteSignature,
}

/// How a vote is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteSignature {
    /// By the attestor's key.
    Bls(BlsSignature),
    /// By the node's Ed25519 key, which its peer id contains: 64 bytes over [`vote_digest`].
    Ed25519([u8; 64]),
}

/// What a node's Ed25519 key signs for a vote.
pub fn vote_digest(statement: &Statement, network: &NetworkId) -> [u8; 48] {
    sha384(&[&statement.message(network)])
}

/// The Ed25519 key that a peer id contains: the identity multihash of libp2p's protobuf form of a key. `None` for other peer ids.
pub fn ed25519_of(peer: &PeerId) -> Option<[u8; 32]> {
    peer.0.strip_prefix(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20])?.try_into().ok()
}

/// Whom evidence convicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offender {
    /// A scheduler, and the chain that is closed for it if the fault shows one.
    Scheduler(Address, Option<Chain>),
    /// Attestors: of two certificates everybody who signed both.
    Attestors(Vec<BlsKey>),
}

/// Why evidence convicts nobody. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Statements of different kinds, chains, places or keys: nothing contradicts anything.
    #[error("the two do not exclude one another")]
    NoContradiction,
    /// Headers that do not lead from the one to the other.
    #[error("header {index} does not continue the branch")]
    Branch {
        /// Which.
        index: usize,
    },
    /// Of another network.
    #[error("a header is of another network")]
    Network,
    /// A header whose signature does not hold.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An item that is no assignment, or is not signed.
    #[error("not a signed assignment: {reason}")]
    Assignment {
        /// Why.
        reason: String,
    },
    /// A signature or certificate that does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl Evidence {
    /// Names it: SHA-256 of its canonical bytes.
    pub fn id(&self) -> [u8; 32] {
        sha256(&[b"aonode evidence", &self.encode()])
    }

    /// Short and stable: the label of a metric, the column of a list.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TwoHeaders(_) => "two-headers",
            Self::TwoAssignments(..) => "two-assignments",
            Self::TwoBranches { .. } => "two-branches",
            Self::SealBroken { .. } => "seal-broken",
            Self::TwoCertificates { .. } => "two-certificates",
            Self::TwoVotes(_) => "two-votes",
            Self::TwoResults(_) => "two-results",
        }
    }

    /// Whom it accuses, unchecked; of two certificates that shows only with their committees.
    pub fn accused(&self) -> Option<Offender> {
        match self {
            Self::TwoHeaders(two) => Some(Offender::Scheduler(two.0.header.chain.scheduler, Some(two.0.header.chain))),
            Self::TwoAssignments(one, _) => {
                DataItem::parse(one.clone(), Profile::Strict).ok().map(|item| Offender::Scheduler(item.address(), None))
            }
            Self::TwoBranches { lower, .. } => Some(Offender::Attestors(vec![lower.key])),
            Self::SealBroken { seal, .. } => Some(Offender::Attestors(vec![seal.key])),
            Self::TwoCertificates { .. } => None,
            Self::TwoVotes(two) => Some(Offender::Attestors(vec![two.0.key])),
            Self::TwoResults(two) => Some(Offender::Attestors(vec![two.0.key])),
        }
    }

    /// Checks it completely: whom it convicts. A few milliseconds.
    pub fn verify(&self, rosters: &Rosters) -> Result<Offender, EvidenceError> {
        match self {
            Self::TwoHeaders(two) => two_headers(&two.0, &two.1, rosters),
            Self::TwoAssignments(one, two) => two_assignments(one, two),
            Self::TwoBranches { lower, higher, headers } => {
                if lower.key != higher.key {
                    return Err(EvidenceError::NoContradiction);
                }
                apart(&lower.statement, &higher.statement, headers, rosters)?;
                signed(rosters, &[lower, higher])?;
                Ok(Offender::Attestors(vec![lower.key]))
            }
            Self::SealBroken { seal, attestation, headers } => seal_broken(seal, attestation, headers, rosters),
            Self::TwoCertificates { lower, higher, headers } => two_certificates(lower, higher, headers, rosters),
            Self::TwoVotes(two) => two_votes(&two.0, &two.1, rosters),
            Self::TwoResults(two) => two_results(&two.0, &two.1, rosters),
        }
    }
}

fn two_headers(one: &RawHeader, two: &RawHeader, rosters: &Rosters) -> Result<Offender, EvidenceError> {
    let (a, b) = (&one.header, &two.header);
    if a.network_id != rosters.network() || b.network_id != rosters.network() {
        return Err(EvidenceError::Network);
    }
    if a.chain != b.chain || a.sequence != b.sequence || a == b {
        return Err(EvidenceError::NoContradiction);
    }
    one.clone().verify()?;
    two.clone().verify()?;
    Ok(Offender::Scheduler(a.chain.scheduler, Some(a.chain)))
}

fn two_assignments(one: &Bytes, two: &Bytes) -> Result<Offender, EvidenceError> {
    let read = |bytes: &Bytes| {
        let item = DataItem::parse(bytes.clone(), Profile::Strict).and_then(DataItem::verify);
        let item = item.map_err(|error| EvidenceError::Assignment { reason: error.to_string() })?;
        Assignment::read(item).map_err(|error| EvidenceError::Assignment { reason: error.to_string() })
    };
    let (one, two) = (read(one)?, read(two)?);
    if !one.conflicts_with(&two) {
        return Err(EvidenceError::NoContradiction);
    }
    Ok(Offender::Scheduler(one.signer(), None))
}

/// Whether two frames of one chain are on different branches: the ancestor of the higher one at the lower sequence is another frame.
fn apart(lower: &Statement, higher: &Statement, headers: &[FrameHeader], rosters: &Rosters) -> Result<(), EvidenceError> {
    let (Statement::Frame { chain, sequence: low, frame }, Statement::Frame { chain: other, sequence: high, frame: top }) = (lower, higher)
    else {
        return Err(EvidenceError::NoContradiction);
    };
    if chain != other || low > high {
        return Err(EvidenceError::NoContradiction);
    }
    let ancestor = descend(*chain, (*high, *top), *low, headers, rosters)?;
    if ancestor == *frame { Err(EvidenceError::NoContradiction) } else { Ok(()) }
}

/// Follows headers from a frame down to the one after `low`; the id of the ancestor at `low`.
fn descend(
    chain: Chain,
    (high, top): (u64, FrameId),
    low: u64,
    headers: &[FrameHeader],
    rosters: &Rosters,
) -> Result<FrameId, EvidenceError> {
    let (mut sequence, mut id) = (high, top);
    for (index, header) in headers.iter().enumerate() {
        if header.chain != chain
            || header.sequence != sequence
            || header.id() != id
            || header.network_id != rosters.network()
            || sequence == low
        {
            return Err(EvidenceError::Branch { index });
        }
        (sequence, id) = (sequence.saturating_sub(1), header.parent);
    }
    if sequence == low { Ok(id) } else { Err(EvidenceError::Branch { index: headers.len() }) }
}

fn signed(rosters: &Rosters, attestations: &[&Attestation]) -> Result<(), EvidenceError> {
    let bad = attestations.iter().any(|one| !rosters.verify_key(&one.key, &one.statement, &one.signature));
    if bad { Err(VerifyError::Signature.into()) } else { Ok(()) }
}

fn seal_broken(seal: &Seal, attestation: &Attestation, headers: &[FrameHeader], rosters: &Rosters) -> Result<Offender, EvidenceError> {
    let Statement::Frame { chain, sequence, frame } = attestation.statement else { return Err(EvidenceError::NoContradiction) };
    let Some(carrier) = headers.last() else { return Err(EvidenceError::NoContradiction) };
    if seal.key != attestation.key || seal.chain != chain {
        return Err(EvidenceError::NoContradiction);
    }
    // Down to and with the carrier: the frame before it is where the walk ends.
    let below = carrier.sequence.checked_sub(1).ok_or(EvidenceError::NoContradiction)?;
    descend(chain, (sequence, frame), below, headers, rosters)?;
    let higher = carrier.certificates.first().and_then(Certificate::frame).map(|(_, sequence, _)| sequence);
    let known = seal.highest.map(|(sequence, _)| sequence);
    if higher.is_none() || higher <= known {
        return Err(EvidenceError::NoContradiction);
    }
    // A header is a scheduler's word; that the key saw a true certificate is what convicts it.
    for certificate in &carrier.certificates {
        if certificate.frame().map(|(of, ..)| of) != Some(chain) {
            return Err(EvidenceError::NoContradiction);
        }
        rosters.verify_certificate(certificate)?;
    }
    if !rosters.verify_key(&seal.key, &seal.statement(), &seal.signature) {
        return Err(VerifyError::Signature.into());
    }
    signed(rosters, &[attestation])?;
    Ok(Offender::Attestors(vec![seal.key]))
}

fn two_certificates(
    lower: &Certificate,
    higher: &Certificate,
    headers: &[FrameHeader],
    rosters: &Rosters,
) -> Result<Offender, EvidenceError> {
    match (&lower.statement, &higher.statement) {
        (Statement::Block { height, value, .. }, Statement::Block { height: other, value: another, .. }) => {
            if height != other || value == another || !headers.is_empty() {
                return Err(EvidenceError::NoContradiction);
            }
        }
        (lower, higher) => apart(lower, higher, headers, rosters)?,
    }
    rosters.verify_certificates(&[lower, higher]).into_iter().collect::<Result<Vec<()>, _>>()?;
    let keys = |certificate: &Certificate| -> Vec<BlsKey> {
        let roster = rosters.get(certificate.epoch);
        let member = |index| roster.and_then(|roster| roster.committee().member(index)).map(|member| member.key);
        certificate.signers.iter().filter_map(member).collect()
    };
    let (one, mut both) = (keys(lower), keys(higher));
    both.retain(|key| one.contains(key));
    Ok(Offender::Attestors(both))
}

/// Place and content of a vote. A precommit for a block is the share of its proof, one for no block is a vote, and they exclude one another.
fn vote(statement: &Statement) -> Option<((u64, u32, VoteStep), Option<BlockValue>)> {
    match statement {
        Statement::Vote { height, round, step, value } => Some(((*height, *round, *step), *value)),
        Statement::Block { height, round, value } => Some(((*height, *round, VoteStep::Precommit), Some(*value))),
        _ => None,
    }
}

fn two_votes(one: &SignedVote, two: &SignedVote, rosters: &Rosters) -> Result<Offender, EvidenceError> {
    let (Some((place, value)), Some((other, another))) = (vote(&one.statement), vote(&two.statement)) else {
        return Err(EvidenceError::NoContradiction);
    };
    if place != other || value == another || one.key != two.key {
        return Err(EvidenceError::NoContradiction);
    }
    one.verify(rosters)?;
    two.verify(rosters)?;
    Ok(Offender::Attestors(vec![one.key]))
}

impl SignedVote {
    /// Checks membership and signature.
    pub fn verify(&self, rosters: &Rosters) -> Result<(), VerifyError> {
        let (key, epoch) = (self.key, self.epoch);
        let roster = rosters.get(epoch).ok_or(VerifyError::UnknownEpoch { epoch })?;
        let committee = roster.committee();
        let member = committee.index_of(&key).and_then(|index| committee.member(index)).ok_or(VerifyError::NotMember { key, epoch })?;
        let holds = match &self.signature {
            VoteSignature::Bls(signature) => rosters.verify_key(&key, &self.statement, signature),
            VoteSignature::Ed25519(signature) => ed25519_of(&member.peer).is_some_and(|owner| {
                verify_digest(SignatureType::Ed25519, &owner, signature, &vote_digest(&self.statement, &rosters.network())).is_ok()
            }),
        };
        if holds { Ok(()) } else { Err(VerifyError::Signature) }
    }
}

fn two_results(one: &Attestation, two: &Attestation, rosters: &Rosters) -> Result<Offender, EvidenceError> {
    let (
        Statement::Result { process: p, schedule_epoch: e, slot: s, host_abi: h, .. },
        Statement::Result { process, schedule_epoch, slot, host_abi, .. },
    ) = (&one.statement, &two.statement)
    else {
        return Err(EvidenceError::NoContradiction);
    };
    if (p, e, s, h) != (process, schedule_epoch, slot, host_abi) || one.statement == two.statement || one.key != two.key {
        return Err(EvidenceError::NoContradiction);
    }
    signed(rosters, &[one, two])?;
    Ok(Offender::Attestors(vec![one.key]))
}

#[cfg(test)]
mod tests;
