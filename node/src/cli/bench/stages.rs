//! Where the processor time of all nodes went: by what their threads are called, and by what is known of the work that they share.
//!
//! A thread of a node does one kind of work, so its time is that stage's; see `ARCHITECTURE.md`, "A message's walk". Signatures are checked
//! by the threads `verify` beside other things, so what one check costs is measured here and counted once for each message (and once for
//! its assignment, at every node but the scheduler's, whose own it is). BLS checks are timed by the nodes themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use ao_types::hash_chain::HashChain;
use ao_types::{AssignmentContent, DataItem, Id, Profile, Slot, Verified, Wallet};
use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure};

/// Checks that are timed together, and how often: the fastest counts, since a busy machine only makes a check slower.
const CHECKS: (u32, usize) = (64, 40);

/// What checks of signatures cost here: parsing, hashing and the signature itself, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checks {
    /// A message of the load.
    pub message: f64,
    /// An assignment by an Ed25519 wallet, which schedulers have unless told otherwise.
    pub assignment: f64,
}

impl Checks {
    /// Measures both.
    ///
    /// # Errors
    /// None that is not a bug: an item of ours does not hold.
    pub fn measure(message: &Verified<DataItem>, scheduler: &Wallet) -> Result<Self, Failure> {
        let content = AssignmentContent {
            process: Id([1; 32]),
            schedule_epoch: 0,
            slot: Slot(1_000),
            hash_chain: HashChain::from_bytes([2; 32]),
            block_height: 1_000_000,
            timestamp_ms: 1_800_000_000_000,
            message: Some(message.id()),
            exclude: Vec::new(),
        };
        let bug = |error: &dyn fmt::Display| Failure::new(Exit::Bug, error.to_string());
        let assignment = content.sign(scheduler).map_err(|error| bug(&error))?;
        Ok(Self {
            message: fastest(message).map_err(|error| bug(&error))?,
            assignment: fastest(assignment.item()).map_err(|error| bug(&error))?,
        })
    }

    /// Messages per second if nodes did nothing but check each message once.
    pub fn bound(&self, cores: usize, nodes: usize) -> f64 {
        cores as f64 / (nodes as f64 * self.message)
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} us for a message, {:.1} us for an assignment", self.message * 1e6, self.assignment * 1e6)
    }
}

fn fastest(item: &Verified<DataItem>) -> Result<f64, ao_types::ItemError> {
    let (together, rounds) = CHECKS;
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        for _ in 0..together {
            std::hint::black_box(DataItem::parse(item.as_bytes().clone(), Profile::Strict)?.verify()?);
        }
        best = best.min(began.elapsed().as_secs_f64() / f64::from(together));
    }
    Ok(best)
}

/// See the module documentation. Everything in microseconds per message and node.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages {
    /// By what threads are called, the largest first.
    threads: Vec<(String, f64)>,
    signatures: f64,
    bls: f64,
}

impl Stages {
    /// From seconds of processor time by threads and of BLS checks, over `each` messages times nodes.
    pub fn new(threads: &BTreeMap<String, f64>, checks: Checks, each: f64, bls_seconds: f64) -> Self {
        let us = |seconds: f64| seconds * 1e6 / each;
        let mut threads: Vec<_> =
            threads.iter().filter(|(_, seconds)| **seconds > 0.0).map(|(name, seconds)| (name.clone(), us(*seconds))).collect();
        threads.sort_by(|a, b| b.1.total_cmp(&a.1));
        Self { threads, signatures: (checks.message + checks.assignment) * 1e6, bls: us(bls_seconds) }
    }

    /// All of it.
    pub fn total(&self) -> f64 {
        self.threads.iter().map(|(_, us)| us).sum()
    }

    fn of(&self, name: &str) -> f64 {
        self.threads.iter().filter(|(found, _)| found == name).map(|(_, us)| us).sum()
    }

    /// What is neither a check of a signature, parsing and hashing included, nor evaluation.
    pub fn beyond(&self) -> f64 {
        (self.total() - self.signatures - self.of("evaluate")).max(0.0)
    }

    /// For programs.
    pub fn record(&self) -> Value {
        let threads: serde_json::Map<_, _> = self.threads.iter().map(|(name, us)| (name.clone(), json!(us))).collect();
        json!({
            "us_per_message_and_node": self.total(), "by_threads": threads, "signature_checks": self.signatures, "bls_checks": self.bls,
            "beyond_checks_and_evaluation": self.beyond(),
        })
    }

    /// For people.
    pub fn human(&self) -> String {
        let threads = self.threads.iter().map(|(name, us)| format!("{name} {us:.1}"));
        let known = [format!("of these signature checks {:.1}", self.signatures), format!("BLS checks {:.1} us", self.bls)];
        threads.chain(known).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_timed_and_bound_the_rate() {
        let wallet = Wallet::ed25519_from_seed(&[3; 32]);
        let item = ao_types::ItemBuilder::new().data("x").sign(&wallet).unwrap();
        let checks = Checks::measure(&item, &wallet).unwrap();
        assert!(checks.message > 0.0 && checks.assignment > 0.0);
        let checks = Checks { message: 100e-6, assignment: 20e-6 };
        assert_eq!(checks.bound(2, 4).round(), 5_000.0);
        assert_eq!(checks.to_string(), "100.0 us for a message, 20.0 us for an assignment");
    }

    #[test]
    fn what_is_left_is_what_is_neither_checked_nor_evaluated() {
        let threads = [("verify", 2.0), ("evaluate", 0.5), ("core", 1.0), ("push", 0.0)].map(|(name, seconds)| (name.to_owned(), seconds));
        let checks = Checks { message: 100e-6, assignment: 20e-6 };
        let stages = Stages::new(&threads.into_iter().collect(), checks, 10_000.0, 0.3);
        assert_eq!((stages.total().round(), stages.beyond().round()), (350.0, 180.0));
        let text = stages.human();
        assert!(text.starts_with("verify 200.0, core 100.0, evaluate 50.0") && text.ends_with("BLS checks 30.0 us"), "{text}");
        assert_eq!(stages.record()["by_threads"]["core"], 100.0);
    }
}
