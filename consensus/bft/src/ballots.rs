//! The votes of one height: held back until they can be checked together.
//!
//! Signatures checked together cost less than one by one, and the core acts on quorums. So a vote waits until those with the same content
//! make a quorum together, or [`VOTE_WAIT_MS`] have passed; then all are checked in one batch. Only if it fails are bad ones looked for,
//! by bisection. Owns what was checked and what waits. Refuses to count towards a decision: the core does.
//!
//! The batch has random coefficients, and is not the plain sum: two signatures that are wrong by opposite amounts have the right sum, and
//! later not both of them need be in a certificate, or in a piece of evidence. Only a polka is checked by its sum: it stays whole.
//!
//! Votes beyond a quorum for the same are not needed and not checked, unless their voter also voted otherwise: that is evidence.
//!
//! A vote that does not hold says nothing about the voter it names: whoever relays could have made it up. It costs whoever sent it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::Timestamp;
use ao_consensus::scheme::{Claim, Scheme};
use ao_types::{BlsSignature, NetworkId, PeerId, Stake};
use arc_malachitebft_core_types::{NilOrVal, PolkaCertificate, SignedVote, VoteType};

use crate::context::{Bft, BlockId, Signature, Vote, Voter};
use crate::limits::{VARIANTS_PER_VOTER_MAX, VOTE_WAIT_MS, VOTES_WAITING_PER_MEMBER_MAX};
use crate::seats::Seats;
use crate::signing::{number, vote_message};

/// What votes with the same bytes to sign have in common: prevote or precommit, round, value.
type Subject = (VoteType, u32, NilOrVal<BlockId>);

fn subject(vote: &Vote) -> Subject {
    (vote.kind, number(vote.round), vote.value)
}

#[derive(Debug)]
struct Waiting {
    /// `None`: not needed.
    since: Option<Timestamp>,
    votes: Vec<(Option<PeerId>, SignedVote<Bft>)>,
    /// Of those who are named, each once.
    stake: u128,
}

/// Votes that were checked.
#[derive(Debug, Default, PartialEq)]
pub struct Checked {
    /// They hold; in order of arrival.
    pub good: Vec<(Option<PeerId>, SignedVote<Bft>)>,
    /// Who sent one that does not.
    pub blamed: Vec<PeerId>,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Ballots {
    network: NetworkId,
    scheme: Arc<dyn Scheme>,
    /// Makes coefficients of batches.
    secret: [u8; 32],
    seats: Seats,
    held: BTreeMap<(Subject, Voter), Signature>,
    /// Of those whose vote is held.
    stakes: BTreeMap<Subject, u128>,
    waiting: BTreeMap<Subject, Waiting>,
    count: usize,
}

impl Ballots {
    /// For a height of this committee.
    pub fn new(network: NetworkId, scheme: Arc<dyn Scheme>, secret: [u8; 32], seats: Seats) -> Self {
        Self { network, scheme, secret, seats, held: BTreeMap::new(), stakes: BTreeMap::new(), waiting: BTreeMap::new(), count: 0 }
    }

    /// The committee.
    pub fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Begins another height.
    pub fn start(&mut self, seats: Seats) {
        *self = Self::new(self.network, Arc::clone(&self.scheme), self.secret, seats);
    }

    /// A vote that this node made or has logged: it holds.
    pub fn trust(&mut self, vote: &SignedVote<Bft>) {
        self.hold((subject(&vote.message), vote.message.voter), vote.signature);
    }

    fn hold(&mut self, (subject, voter): (Subject, Voter), signature: Signature) {
        let stake = self.seats.stake(&voter);
        if self.held.insert((subject, voter), signature).is_none() {
            let sum = self.stakes.entry(subject).or_default();
            *sum = sum.saturating_add(stake);
        }
    }

    /// Takes a member's vote. What comes out was checked: nothing yet, or with others.
    pub fn take(&mut self, now: Timestamp, from: Option<PeerId>, vote: SignedVote<Bft>) -> Checked {
        let subject = subject(&vote.message);
        let known = self.held.contains_key(&(subject, vote.message.voter));
        if known || self.is_full() || self.seats.place(&vote.message.voter).is_none() {
            return Checked::default();
        }
        let other = self.other_vote(&subject, &vote.message.voter);
        let enough = self.seats.roster().committee().is_quorum(Stake(self.stakes.get(&subject).copied().unwrap_or(0)));
        let needed = !enough || other.is_some();
        let waiting = self.waiting.entry(subject).or_insert_with(|| Waiting { since: None, votes: Vec::new(), stake: 0 });
        let mut same_voter = waiting.votes.iter().filter(|(_, other)| other.message.voter == vote.message.voter);
        let repeated = same_voter.clone().any(|(_, other)| other.signature == vote.signature);
        if repeated || same_voter.nth(VARIANTS_PER_VOTER_MAX - 1).is_some() {
            return Checked::default();
        }
        if !waiting.votes.iter().any(|(_, other)| other.message.voter == vote.message.voter) {
            waiting.stake = waiting.stake.saturating_add(self.seats.stake(&vote.message.voter));
        }
        waiting.votes.push((from, vote));
        if needed {
            waiting.since.get_or_insert(now);
        }
        self.count += 1;
        if !enough && self.is_quorum(&subject) {
            return self.settle(&subject);
        }
        // The one that was not needed is needed now.
        if let Some(waiting) = other.and_then(|other| self.waiting.get_mut(&other)) {
            waiting.since.get_or_insert(now);
        }
        Checked::default()
    }

    /// Whether no more can wait: those that are not needed go first.
    fn is_full(&mut self) -> bool {
        let most = VOTES_WAITING_PER_MEMBER_MAX * self.seats.count();
        if self.count >= most {
            self.waiting.retain(|_, waiting| waiting.since.is_some());
            self.count = self.waiting.values().map(|waiting| waiting.votes.len()).sum();
        }
        self.count >= most
    }

    /// For what else this member voted in the same step of the same round, as far as is known.
    fn other_vote(&self, subject: &Subject, voter: &Voter) -> Option<Subject> {
        let same_step = |other: &Subject| (other.0, other.1) == (subject.0, subject.1) && other != subject;
        let waiting = self.waiting.iter().filter(|(other, _)| same_step(other));
        let named =
            waiting.filter(|(_, waiting)| waiting.votes.iter().any(|(_, vote)| vote.message.voter == *voter)).map(|(other, _)| other);
        let held = self.stakes.keys().filter(|other| same_step(other) && self.held.contains_key(&(**other, *voter)));
        named.chain(held).next().copied()
    }

    /// Checks all that waited long enough.
    pub fn due(&mut self, now: Timestamp) -> Checked {
        let due: Vec<Subject> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.since.is_some_and(|since| since.plus_ms(VOTE_WAIT_MS) <= now))
            .map(|(subject, _)| *subject)
            .collect();
        let mut out = Checked::default();
        for subject in due {
            let Checked { good, blamed } = self.settle(&subject);
            out.good.extend(good);
            out.blamed.extend(blamed);
        }
        out
    }

    /// When [`Ballots::due`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.values().filter_map(|waiting| waiting.since).map(|since| since.plus_ms(VOTE_WAIT_MS)).min()
    }

    /// Whether a vote holds: known, or checked alone.
    pub fn holds(&mut self, vote: &SignedVote<Bft>) -> bool {
        let key = (subject(&vote.message), vote.message.voter);
        if let Some(known) = self.held.get(&key) {
            return *known == vote.signature;
        }
        let holds = self.all_hold(&[(None, vote.clone())]);
        if holds {
            self.hold(key, vote.signature);
        }
        holds
    }

    /// Whether a quorum's prevotes hold: one check of their sum.
    pub fn polka_holds(&self, certificate: &PolkaCertificate<Bft>) -> bool {
        let Some(first) = certificate.polka_signatures.first() else { return false };
        let (height, round, value) = (certificate.height, certificate.round, NilOrVal::Val(certificate.value_id));
        let message = vote_message(&self.network, &Vote { kind: VoteType::Prevote, height, round, value, voter: first.address });
        let signatures: Vec<BlsSignature> = certificate.polka_signatures.iter().map(|one| one.signature.0).collect();
        let keys = self.seats.sum(certificate.polka_signatures.iter().map(|one| &one.address));
        let (Some(keys), Ok(signature)) = (keys, self.scheme.aggregate(&signatures)) else { return false };
        self.scheme.verify(&Claim { keys, message: &message, signature: &signature })
    }

    fn is_quorum(&self, subject: &Subject) -> bool {
        let waiting = self.waiting.get(subject).map_or(0, |waiting| waiting.stake);
        let held = self.stakes.get(subject).copied().unwrap_or(0);
        self.seats.roster().committee().is_quorum(Stake(held.saturating_add(waiting)))
    }

    fn settle(&mut self, subject: &Subject) -> Checked {
        let Some(Waiting { votes, .. }) = self.waiting.remove(subject) else { return Checked::default() };
        self.count -= votes.len();
        let mut out = Checked::default();
        self.sort(votes, &mut out);
        for (_, vote) in &out.good {
            self.hold((*subject, vote.message.voter), vote.signature);
        }
        out
    }

    fn sort(&self, mut votes: Vec<(Option<PeerId>, SignedVote<Bft>)>, out: &mut Checked) {
        if votes.is_empty() {
        } else if self.all_hold(&votes) {
            out.good.extend(votes);
        } else if votes.len() == 1 {
            out.blamed.extend(votes.into_iter().filter_map(|(from, _)| from));
        } else {
            let right = votes.split_off(votes.len() / 2);
            self.sort(votes, out);
            self.sort(right, out);
        }
    }

    /// Whether each of these votes of the same subject holds.
    fn all_hold(&self, votes: &[(Option<PeerId>, SignedVote<Bft>)]) -> bool {
        let Some((_, first)) = votes.first() else { return false };
        let message = vote_message(&self.network, &first.message);
        let keys = votes.iter().map(|(_, vote)| self.seats.key(&vote.message.voter)).collect::<Option<Vec<_>>>();
        let Some(keys) = keys else { return false };
        let claims: Vec<Claim<'_>> =
            keys.into_iter().zip(votes).map(|(keys, (_, vote))| Claim { keys, message: &message, signature: &vote.signature.0 }).collect();
        match &claims[..] {
            [one] => self.scheme.verify(one),
            all => self.scheme.verify_batch(all, &self.secret),
        }
    }
}

#[cfg(test)]
mod tests;
