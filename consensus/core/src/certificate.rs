//! From shares to a certificate: add all, check the sum once, and only if that fails look for whose share is bad (`consensus.md` §5).

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_types::{BlsSignature, Certificate, NetworkId, Stake, Statement};

use crate::roster::Roster;
use crate::scheme::{Claim, Scheme, SchemeError};
use crate::tally::Tally;

/// Shares on one statement, each counted once and not checked until there is a quorum of them.
#[derive(Clone, Debug)]
pub struct Collector {
    statement: Statement,
    message: Vec<u8>,
    roster: Roster,
    scheme: Arc<dyn Scheme>,
    tally: Tally,
    shares: BTreeMap<u16, BlsSignature>,
    /// Members whose share was found bad: nothing more is taken from them on this statement.
    bad: Vec<u16>,
}

/// What became of the shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The certificate, if enough shares hold.
    pub certificate: Option<Certificate>,
    /// Members whose shares did not hold, found in this call: they sent them, signed, so they answer for them.
    pub bad: Vec<u16>,
}

impl Collector {
    /// No shares yet.
    pub fn new(network: &NetworkId, scheme: Arc<dyn Scheme>, roster: Roster, statement: Statement) -> Self {
        let tally = Tally::new(Arc::clone(roster.committee()));
        Self { message: statement.message(network), statement, roster, scheme, tally, shares: BTreeMap::new(), bad: Vec::new() }
    }

    /// What the shares are on.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Who has been counted, shares unchecked.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes a member's share; false if there is one, or it sent a bad one before.
    pub fn add(&mut self, index: u16, share: BlsSignature) -> bool {
        if self.bad.contains(&index) || !self.tally.add(index) {
            return false;
        }
        self.shares.insert(index, share);
        true
    }

    /// A certificate over all shares, once they are a quorum: one addition each and one pairing if all are good. Bad ones are found by
    /// bisection, about 2·log₂ n pairings each, and dropped; if the rest is still a quorum it is certified.
    pub fn certificate(&mut self) -> Collected {
        let mut bad = Vec::new();
        while self.tally.is_quorum() {
            let shares: Vec<(u16, BlsSignature)> = self.shares.iter().map(|(index, share)| (*index, *share)).collect();
            if let Some(signature) = self.sum_if_good(&shares) {
                let certificate = Certificate {
                    statement: self.statement,
                    epoch: self.roster.committee().epoch(),
                    signers: self.tally.signers().clone(),
                    signature,
                };
                return Collected { certificate: Some(certificate), bad };
            }
            let before = bad.len();
            self.find_bad(&shares, &mut bad);
            for index in bad.get(before..).unwrap_or_default() {
                self.tally.remove(*index);
                self.shares.remove(index);
                self.bad.push(*index);
            }
            if bad.len() == before {
                // Every half was good and the whole was not: possible only if a sum is the identity. Nothing can be certified with it.
                break;
            }
        }
        Collected { certificate: None, bad }
    }

    /// The sum of these shares, if it is what these members signed.
    fn sum_if_good(&self, shares: &[(u16, BlsSignature)]) -> Option<BlsSignature> {
        let mut tally = Tally::new(Arc::clone(self.roster.committee()));
        shares.iter().for_each(|(index, _)| {
            tally.add(*index);
        });
        let keys = self.roster.sum(tally.signers())?;
        let signatures: Vec<BlsSignature> = shares.iter().map(|(_, share)| *share).collect();
        let signature = match self.scheme.aggregate(&signatures) {
            Ok(signature) => signature,
            Err(SchemeError::Signature { .. } | SchemeError::Empty | SchemeError::Key { .. } | SchemeError::Secret) => return None,
        };
        self.scheme.verify(&Claim { keys, message: &self.message, signature: &signature }).then_some(signature)
    }

    fn find_bad(&self, shares: &[(u16, BlsSignature)], bad: &mut Vec<u16>) {
        if shares.is_empty() || self.sum_if_good(shares).is_some() {
            return;
        }
        if let [(index, _)] = shares {
            bad.push(*index);
            return;
        }
        let (left, right) = shares.split_at(shares.len() / 2);
        self.find_bad(left, bad);
        self.find_bad(right, bad);
    }

    /// Stake of shares that are in, unchecked.
    pub fn stake(&self) -> Stake {
        self.tally.stake()
    }
}

#[cfg(test)]
mod tests;
