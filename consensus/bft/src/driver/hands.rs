//! How each effect of the core is answered: on the spot, and what it asks for is noted.
#![allow(clippy::result_large_err, reason = "the core's own error, which it wants by value")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_consensus::Timestamp;
use ao_consensus::protection::Kind;
use ao_consensus::scheme::Claim;
use ao_types::PeerId;
use ao_types::codec::Canonical;
use ao_types::hash::sha256;
use arc_malachitebft_core_consensus::{
    ConsensusMsg, Effect, Input, LivenessMsg, MisbehaviorEvidence, Resumable, Resume, SignedConsensusMsg, ThresholdParams,
};
use arc_malachitebft_core_types::{
    CertificateError, PolkaCertificate, Round, RoundCertificate, RoundCertificateType, SignedMessage, SignedVote, ThresholdParam, Timeout,
    TimeoutKind, Timeouts as _, Validator as _, ValidatorSet as _, VoteType,
};

use super::{Act, Identity, Say};
use crate::ballots::Ballots;
use crate::context::{Bft, Height, Proposal, PublicKey, Signature, Validators, Vote, Voter};
use crate::limits::REPEAT_DOUBLINGS_MAX;
use crate::seats::Seats;
use crate::signing::{number, proposal_message, vote_message};
use crate::timeouts::Timeouts;
use crate::wal::Entry;

/// When, and which: one of a kind in a round.
pub(super) type TimerKey = (Timestamp, u8, u32);

/// What effects need besides the core's own state, which is lent out while they are handled.
pub(super) struct Hands {
    pub(super) identity: Identity,
    pub(super) ballots: Ballots,
    pub(super) timeouts: Timeouts,
    pub(super) timers: BTreeMap<TimerKey, Timeout>,
    /// The entries that are being replayed: they are in the log already.
    pub(super) replayed: Option<BTreeSet<Vec<u8>>>,
    pub(super) evidence: Option<MisbehaviorEvidence<Bft>>,
    /// What this key signed in this height, in this life and in earlier ones, whatever the log says: hash of the message, by kind and round.
    pub(super) bound: BTreeMap<(Kind, u32), Option<[u8; 32]>>,
    /// Something else than that was to be signed.
    pub(super) conflict: bool,
    /// Who sent what is being handled.
    pub(super) from: Option<PeerId>,
    /// In which round votes were repeated last, and how often the time to the next repeat doubled there.
    pub(super) repeats: (Round, u32),
}

/// Strictly more than two thirds for a quorum, strictly more than one third for one honest member.
pub(super) fn thresholds() -> ThresholdParams {
    #[cfg(any(test, feature = "mutations"))]
    if crate::mutation::is(crate::mutation::Mutation::StakeMiscounted) {
        return ThresholdParams { quorum: ThresholdParam::F_PLUS_ONE, ..ThresholdParams::default() };
    }
    ThresholdParams::default()
}

impl Hands {
    pub(super) fn new(identity: Identity, timeouts: Timeouts, seats: &Seats) -> Self {
        let ballots = Ballots::new(identity.network, Arc::clone(&identity.scheme), identity.batches, seats.clone());
        let (timers, bound) = (BTreeMap::new(), BTreeMap::new());
        Self {
            identity,
            ballots,
            timeouts,
            timers,
            replayed: None,
            evidence: None,
            bound,
            conflict: false,
            from: None,
            repeats: (Round::Nil, 0),
        }
    }

    pub(super) fn on_effect(&mut self, now: Timestamp, effect: Effect<Bft>, acts: &mut Vec<Act>) -> Resume<Bft> {
        match effect {
            Effect::CancelAllTimeouts(r) => {
                self.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.timers.retain(|_, set| *set != timeout);
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                self.schedule(now, timeout);
                r.resume_with(())
            }
            Effect::StartRound(.., r) => r.resume_with(()),
            Effect::PublishConsensusMsg(SignedConsensusMsg::Vote(vote), r) => {
                acts.push(Act::Say(Say::Vote(vote)));
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                acts.push(Act::Again(Say::Vote(vote)));
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(SignedConsensusMsg::Proposal(proposal), r) => {
                acts.push(Act::Say(Say::Proposal(proposal)));
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                acts.push(Act::Say(match message {
                    LivenessMsg::Vote(vote) => Say::Vote(vote),
                    LivenessMsg::PolkaCertificate(certificate) => Say::Polka(certificate),
                    LivenessMsg::SkipRoundCertificate(certificate) => Say::Round(certificate),
                }));
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, r) => {
                acts.push(Act::Again(Say::Round(certificate)));
                r.resume_with(())
            }
            Effect::GetValue(height, round, _, r) => {
                acts.push(Act::Build { height, round });
                r.resume_with(())
            }
            Effect::RestreamProposal(_, _, _, _, value, r) => {
                acts.push(Act::Restream(value));
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                let precommits = certificate.commit_signatures.into_iter().map(|one| (one.address, one.signature)).collect();
                acts.push(Act::Decided { round: certificate.round, value: certificate.value_id, precommits });
                r.resume_with(())
            }
            Effect::Finalize(_, _, evidence, r) => {
                self.evidence = Some(evidence);
                r.resume_with(())
            }
            Effect::WalAppend(_, input, r) => {
                self.log(&input, acts);
                r.resume_with(())
            }
            // Where the key is bound otherwise the core gets no signature, takes that for an error, and gives up on what it was doing.
            Effect::SignVote(vote, r) => match self.sign_vote(vote, acts) {
                Some(vote) => r.resume_with(vote),
                None => Resume::Continue,
            },
            Effect::SignProposal(proposal, r) => {
                let message = proposal_message(&self.identity.network, &proposal);
                match self.sign(Kind::Proposal, proposal.height, proposal.round, &message, acts) {
                    Some(signature) => r.resume_with(SignedMessage::new(proposal, signature)),
                    None => Resume::Continue,
                }
            }
            Effect::VerifySignature(message, key, r) => {
                let holds = self.holds(message, &key);
                if !holds {
                    self.blame(acts);
                }
                r.resume_with(holds)
            }
            // Votes have no extensions: a precommit is its own share.
            Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => r.resume_with(Ok(())),
            // The core put it together from precommits that it had checked one by one.
            Effect::VerifyCommitCertificate(_, _, _, r) => r.resume_with(Ok(())),
            Effect::VerifyPolkaCertificate(certificate, validators, thresholds, r) => {
                let verdict = self.check_polka(&certificate, &validators, thresholds);
                if verdict.is_err() {
                    self.blame(acts);
                }
                r.resume_with(verdict)
            }
            Effect::VerifyRoundCertificate(certificate, validators, thresholds, r) => {
                let verdict = self.check_round(&certificate, &validators, thresholds);
                if verdict.is_err() {
                    self.blame(acts);
                }
                r.resume_with(verdict)
            }
            // Missed blocks do not go through the core: their certificate is the one that everybody checks (see `sync`).
            Effect::VerifyExtendedCommitCertificate(_, _, _, _, r) => r.resume_with(Err(CertificateError::VerificationError(None))),
            Effect::CertVerifiedSyncValue(_, _, r) => r.resume_with(()),
            Effect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
        }
    }

    fn schedule(&mut self, now: Timestamp, timeout: Timeout) {
        self.timers.retain(|_, set| *set != timeout);
        let mut ms = self.timeouts.duration_for(timeout).as_millis() as u64;
        if timeout.kind == TimeoutKind::Rebroadcast {
            // A round that waits for long waits for somebody who is away.
            let before = if self.repeats.0 == timeout.round { self.repeats.1 } else { 0 };
            self.repeats = (timeout.round, (before + 1).min(REPEAT_DOUBLINGS_MAX));
            ms <<= before;
        }
        let kind = match timeout.kind {
            TimeoutKind::Propose => 0,
            TimeoutKind::Prevote => 1,
            TimeoutKind::Precommit => 2,
            TimeoutKind::Rebroadcast => 3,
            TimeoutKind::FinalizeHeight(_) => 4,
        };
        self.timers.insert((now.plus_ms(ms.max(1)), kind, number(timeout.round)), timeout);
    }

    fn log(&mut self, input: &Input<Bft>, acts: &mut Vec<Act>) {
        let Some(entry) = Entry::of(input) else { return };
        if self.replayed.as_ref().is_some_and(|replayed| replayed.contains(&entry.encode())) {
            return;
        }
        acts.push(Act::Log(entry));
    }

    /// `None` without a key, which a core that is enabled has, and where the key signed something else here.
    fn sign(&mut self, kind: Kind, height: Height, round: Round, message: &[u8], acts: &mut Vec<Act>) -> Option<Signature> {
        let (root, place) = (sha256(&[message]), (kind, number(round)));
        let conflict = self.bound.insert(place, Some(root)).is_some_and(|bound| bound != Some(root));
        #[cfg(any(test, feature = "mutations"))]
        let conflict = conflict && !crate::mutation::is(crate::mutation::Mutation::SlashingUnchecked);
        if conflict {
            self.conflict = true;
            return None;
        }
        let signature = Signature(self.identity.secret.as_ref()?.sign(message));
        acts.push(Act::Signed { kind, height, round, root, signature });
        Some(signature)
    }

    fn sign_vote(&mut self, vote: Vote, acts: &mut Vec<Act>) -> Option<SignedVote<Bft>> {
        let kind = match vote.kind {
            VoteType::Prevote => Kind::Prevote,
            VoteType::Precommit => Kind::Precommit,
        };
        let message = vote_message(&self.identity.network, &vote);
        let signature = self.sign(kind, vote.height, vote.round, &message, acts)?;
        let vote = SignedMessage::new(vote, signature);
        self.ballots.trust(&vote);
        Some(vote)
    }

    fn holds(&mut self, message: SignedMessage<Bft, ConsensusMsg<Bft>>, key: &PublicKey) -> bool {
        let SignedMessage { message, signature } = message;
        match message {
            ConsensusMsg::Vote(vote) => self.ballots.holds(&SignedMessage::new(vote, signature)),
            ConsensusMsg::Proposal(proposal) => self.proposal_holds(&proposal, &signature, key),
        }
    }

    fn proposal_holds(&self, proposal: &Proposal, signature: &Signature, key: &PublicKey) -> bool {
        let message = proposal_message(&self.identity.network, proposal);
        self.identity.scheme.verify(&Claim { keys: key.0, message: &message, signature: &signature.0 })
    }

    fn check_polka(
        &self,
        certificate: &PolkaCertificate<Bft>,
        validators: &Validators,
        thresholds: ThresholdParams,
    ) -> Result<(), CertificateError<Bft>> {
        weigh(certificate.polka_signatures.iter().map(|one| one.address), validators, thresholds.quorum)?;
        let holds = self.ballots.polka_holds(certificate);
        if holds { Ok(()) } else { Err(CertificateError::VerificationError(None)) }
    }

    fn check_round(
        &mut self,
        certificate: &RoundCertificate<Bft>,
        validators: &Validators,
        thresholds: ThresholdParams,
    ) -> Result<(), CertificateError<Bft>> {
        let enough = match certificate.cert_type {
            RoundCertificateType::Precommit => thresholds.quorum,
            RoundCertificateType::Skip => thresholds.honest,
        };
        weigh(certificate.round_signatures.iter().map(|one| one.address), validators, enough)?;
        for (one, vote) in certificate.round_signatures.iter().zip(certificate.votes(&Bft)) {
            if certificate.cert_type == RoundCertificateType::Precommit && one.vote_type == VoteType::Prevote {
                return Err(CertificateError::InvalidVoteType(one.address));
            }
            if !self.ballots.holds(&vote) {
                return Err(CertificateError::InvalidRoundSignature(one.clone()));
            }
        }
        Ok(())
    }

    fn blame(&self, acts: &mut Vec<Act>) {
        acts.extend(self.from.clone().map(Act::Blame));
    }
}

/// Whether these are different members with enough power.
fn weigh(voters: impl Iterator<Item = Voter>, validators: &Validators, enough: ThresholdParam) -> Result<(), CertificateError<Bft>> {
    let (mut seen, mut signed) = (BTreeSet::new(), 0u64);
    for voter in voters {
        if !seen.insert(voter) {
            return Err(CertificateError::DuplicateVote(voter));
        }
        let member = validators.get_by_address(&voter).ok_or(CertificateError::UnknownValidator(voter))?;
        // Cannot overflow: the total was bounded, and each counts once.
        signed += member.voting_power();
    }
    let total = validators.total_voting_power();
    if enough.is_met(signed, total) {
        return Ok(());
    }
    Err(CertificateError::NotEnoughVotingPower { signed, total, expected: enough.min_expected(total) })
}
