//! Adding up: shares and partial sums of one frame in one committee become its certificate (rules G1 to G3).
//!
//! Owns which parts are added, and the search for the bad one when a sum does not hold. Refuses to decide when: whoever collects asks
//! for the certificate when its waits are over. Nothing is checked on arrival: one check for a frame is the normal case.
//!
//! ```text
//!   shares  ─┐ parts that do not overlap     sum      one check     ┌─ holds ──▶ certificate
//!   sums    ─┴────────────────────────────▶  Σ  ───────────────────┤
//!                        ▲                                          └─ does not ─▶ halves, quarters, … ─▶ bad parts, by whom
//!                        └───────────────── without them ◀─────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::roster::{Roster, Rosters};
use ao_consensus::scheme::{Claim, Scheme};
use ao_types::{BlsSignature, Certificate, Epoch, Signers, Stake, Statement};

use crate::draw;
use crate::mutation::{Mutation, Mutations};

/// What is added up, and by whom it may be signed.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    statement: Statement,
    message: &'a [u8],
    roster: &'a Roster,
    scheme: &'a dyn Scheme,
    mutations: Mutations,
}

impl<'a> Subject<'a> {
    /// `message` is the statement's, on the network of `rosters`. `None` if the committee of `epoch` is not known here.
    pub fn new(rosters: &'a Rosters, epoch: Epoch, statement: Statement, message: &'a [u8], mutations: Mutations) -> Option<Self> {
        Some(Self { statement, message, roster: rosters.get(epoch)?, scheme: rosters.scheme().as_ref(), mutations })
    }

    fn is_quorum(&self, signers: &Signers) -> bool {
        let committee = self.roster.committee();
        if self.mutations.has(Mutation::StakeCountedWrongly) {
            return signers.count() * 2 >= committee.len();
        }
        committee.is_quorum(self.roster.stake(signers))
    }

    /// The sum of parts, if it is what their members signed.
    fn sum_that_holds(&self, parts: &[Part]) -> Option<BlsSignature> {
        let signatures: Vec<BlsSignature> = parts.iter().map(|part| part.signature).collect();
        let signature = self.scheme.aggregate(&signatures).ok()?;
        let keys = self.roster.sum(&union(self.roster.committee().len(), parts))?;
        self.scheme.verify(&Claim { keys, message: self.message, signature: &signature }).then_some(signature)
    }

    /// Halves parts whose sum does not hold until the bad ones are left: about `2 b log₂ n` checks for `b` bad ones among `n`.
    fn sift(&self, parts: &[Part], bad: &mut BTreeSet<Sender>) {
        if let [alone] = parts {
            bad.insert(alone.sender);
            return;
        }
        let (left, right) = parts.split_at(parts.len() / 2);
        for half in [left, right] {
            if !half.is_empty() && self.sum_that_holds(half).is_none() {
                self.sift(half, bad);
            }
        }
    }
}

/// Whose fault a bad part is: whoever sent it, by place in the committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A member's own share.
    Member(u16),
    /// A partial sum by this aggregator.
    Aggregator(u16),
}

/// What was collected for one frame in one committee.
#[derive(Clone, Debug)]
pub struct Collection {
    epoch: Epoch,
    members: usize,
    shares: BTreeMap<u16, BlsSignature>,
    /// By slice and aggregator.
    sums: BTreeMap<(usize, u16), Part>,
}

#[derive(Clone, Debug)]
struct Part {
    sender: Sender,
    signers: Signers,
    signature: BlsSignature,
}

impl Collection {
    /// Nothing yet.
    pub fn new(roster: &Roster) -> Self {
        let committee = roster.committee();
        Self { epoch: committee.epoch(), members: committee.len(), shares: BTreeMap::new(), sums: BTreeMap::new() }
    }

    /// Of which epoch's committee.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Keeps a member's share. The first one stays until it proves bad.
    pub fn share(&mut self, member: u16, signature: BlsSignature) {
        if usize::from(member) < self.members {
            self.shares.entry(member).or_insert(signature);
        }
    }

    /// Keeps an aggregator's partial sum, if it is about members of that slice and says more than its last one.
    pub fn sum(&mut self, slice: usize, aggregator: u16, signers: Signers, signature: BlsSignature) -> bool {
        let slices = draw::slice_count(self.members);
        let fits = signers.members() == self.members && signers.count() > 0 && slices > 0;
        if !fits || !signers.iter().all(|member| draw::slice_of(member, slices) == slice) {
            return false;
        }
        let known = self.sums.get(&(slice, aggregator)).map_or(0, |part| part.signers.count());
        if signers.count() > known {
            self.sums.insert((slice, aggregator), Part { sender: Sender::Aggregator(aggregator), signers, signature });
        }
        true
    }

    /// Whether this member was heard, by itself or in a sum.
    pub fn heard(&self, member: u16) -> bool {
        self.shares.contains_key(&member) || self.sums.values().any(|part| part.signers.contains(member))
    }

    /// The share of a member that sent it itself.
    pub fn share_of(&self, member: u16) -> Option<BlsSignature> {
        self.shares.get(&member).copied()
    }

    /// Forgets what this sender sent.
    pub fn discard(&mut self, sender: Sender) {
        match sender {
            Sender::Member(member) => {
                self.shares.remove(&member);
            }
            Sender::Aggregator(aggregator) => self.sums.retain(|(_, by), _| *by != aggregator),
        }
    }

    /// Stake behind all parts that would be added, unchecked.
    pub fn stake(&self, roster: &Roster) -> Stake {
        roster.stake(&union(self.members, &self.parts()))
    }

    /// The certificate, if a quorum is behind it. Parts that prove bad are forgotten and their senders appended to `bad`; what is left is
    /// tried again.
    pub fn certificate(&mut self, subject: &Subject<'_>, bad: &mut Vec<Sender>) -> Option<Certificate> {
        self.formed(subject, bad, |signers| subject.is_quorum(signers))
    }

    /// The partial sum of a slice: whatever of its members' shares hold, checked, so that nobody blames this aggregator for a member's
    /// bad share.
    pub fn partial(&mut self, subject: &Subject<'_>, slice: usize, bad: &mut Vec<Sender>) -> Option<Certificate> {
        let slices = draw::slice_count(self.members);
        let own = |member: &u16| draw::slice_of(*member, slices) == slice;
        let shares = self.shares.iter().filter(|(member, _)| own(member)).map(|(member, share)| (*member, *share)).collect();
        let mut of_slice = Self { epoch: self.epoch, members: self.members, shares, sums: BTreeMap::new() };
        let before = bad.len();
        let sum = of_slice.formed(subject, bad, |signers| signers.count() > 0);
        bad[before..].iter().for_each(|sender| self.discard(*sender));
        sum
    }

    fn formed(&mut self, subject: &Subject<'_>, bad: &mut Vec<Sender>, enough: impl Fn(&Signers) -> bool) -> Option<Certificate> {
        loop {
            let parts = self.parts();
            let signers = union(self.members, &parts);
            if !enough(&signers) {
                return None;
            }
            if let Some(signature) = subject.sum_that_holds(&parts) {
                return Some(Certificate { statement: subject.statement, epoch: self.epoch, signers, signature });
            }
            let mut found = BTreeSet::new();
            subject.sift(&parts, &mut found);
            if found.is_empty() {
                // Both halves hold and the whole does not: only if a sum of keys is the identity, which no certificate can name.
                return None;
            }
            found.iter().for_each(|sender| self.discard(*sender));
            bad.extend(found);
        }
    }

    /// Parts that do not overlap: the largest sum of each slice, then shares of members that are in none of these.
    fn parts(&self) -> Vec<Part> {
        let mut best: BTreeMap<usize, &Part> = BTreeMap::new();
        for ((slice, _), part) in &self.sums {
            let more = best.get(slice).is_none_or(|other| part.signers.count() > other.signers.count());
            if more {
                best.insert(*slice, part);
            }
        }
        let covered = |member: u16| best.values().any(|part| part.signers.contains(member));
        let shares = self.shares.iter().filter(|(member, _)| !covered(**member)).map(|(member, signature)| {
            let mut signers = Signers::none(self.members);
            signers.insert(*member);
            Part { sender: Sender::Member(*member), signers, signature: *signature }
        });
        let shares: Vec<Part> = shares.collect();
        best.into_values().cloned().chain(shares).collect()
    }
}

fn union(members: usize, parts: &[Part]) -> Signers {
    let mut all = Signers::none(members);
    parts.iter().flat_map(|part| part.signers.iter()).for_each(|member| {
        all.insert(member);
    });
    all
}

#[cfg(test)]
mod tests;
