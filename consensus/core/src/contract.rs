//! One suite for every engine: the contract of the crate's documentation as code.
//!
//! ```text
//!   load ─▶ scheduler ─▶ disk ─▶ Input::Frame ─▶ ┌────────┐ ─▶ Remember ─▶ disk (late; lost by a crash) ─▶ rest of the call
//!                 └─▶ network ─▶ body, facts ──▶ │ engine │ ─▶ Send, Fetch ─▶ network (late, lost, doubled, reordered, cut in two)
//!                                                └────────┘ ─▶ Confirmed, Decided, Evidence … ─▶ checks, after every single one
//! ```
//!
//! A run is a [`Scenario`] and a seed: same seed, same run. Engines are made by whoever tests them ([`Suite`]); everything around them is
//! here, in one thread and in virtual time, with the cheap scheme. What is checked:
//!
//! | Rule | Where |
//! |---|---|
//! | S1: no two frames confirmed, or certified, for one place | [`ledger`] |
//! | S2: no signature leaves before its row is durable; no key contradicts itself, across crashes | [`signatures`] |
//! | S3, contract 2: in order, without a gap, once in a life; nothing stored as confirmed is lost, voided, or said again | [`ledger`] |
//! | contract 3: only what was given whole, and with a proof that stands offline | [`ledger`] |
//! | promise: nobody vouches for a body that its disk does not have, or for what stands on a frame that breaks a rule | [`world`] |
//! | contract 5: a life after a crash goes on from what was durable | [`host`] |
//! | contract 7: what an honest scheduler made durable is confirmed everywhere, once the weather is calm | [`world`] |
//! | honest nodes are neither accused nor penalised; whoever signs two frames for one place is convicted by all who got both | [`ledger`] |
//! | contract 1: same inputs, same effects; no deadline that never moves on | [`conformance`], [`world`] |
//!
//! Byzantine members are *twins*: two honest engines with one key, which do not know of each other. Each keeps every rule; together they
//! vote twice, propose twice and, as schedulers, sign two frames for one place.

use std::collections::BTreeMap;
use std::fmt;

use ao_types::genesis::Param;
use ao_types::{Address, Committee, Epoch, Id, Member, PeerId, Stake};
use bytes::Bytes;

use crate::cheap::CheapSecret;
use crate::scheme::SecretKey;
use crate::{Consensus, Setup};

pub mod host;
pub mod ledger;
pub mod random;
pub mod scenario;
pub mod signatures;
pub mod world;

pub use scenario::{Scenario, scenarios};

/// What is tested.
pub struct Suite<'a> {
    /// Makes the engine, at start and after every crash.
    pub make: &'a dyn Fn(Setup) -> Box<dyn Consensus>,
    /// The engine's own numbers.
    pub params: BTreeMap<String, Param>,
    /// It gives no proofs that convince anybody: the engine of a network of one.
    pub alone: bool,
}

impl<'a> Suite<'a> {
    /// An engine with proofs and default numbers.
    pub fn new(make: &'a dyn Fn(Setup) -> Box<dyn Consensus>) -> Self {
        Self { make, params: BTreeMap::new(), alone: false }
    }
}

/// A rule that was broken, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, by its name in `consensus.md` §12 or the number in the contract.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
    /// Milliseconds into the run.
    pub at_ms: u64,
    /// The scenario.
    pub scenario: &'static str,
    /// How many nodes.
    pub nodes: usize,
    /// The seed.
    pub seed: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, what, at_ms, scenario, nodes, seed } = self;
        write!(f, "{rule} broken after {at_ms} ms of `{scenario}` with {nodes} nodes, seed {seed}: {what}")
    }
}

/// What happened in a run without a violation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Frames that honest schedulers made durable.
    pub frames: u64,
    /// Confirmations at all honest nodes.
    pub confirmed: u64,
    /// Messages of engines, one for each receiver, and their bytes.
    pub messages: u64,
    /// See [`Report::messages`].
    pub bytes: u64,
    /// Crashes.
    pub crashes: u64,
    /// Pieces of evidence, at all honest nodes.
    pub evidence: u64,
    /// When all that is owed was confirmed everywhere, milliseconds into the run.
    pub settled_ms: u64,
    /// Over all effects in order: equal for equal runs.
    pub trace: u64,
}

/// One run.
pub fn run(suite: &Suite<'_>, scenario: &Scenario, seed: u64) -> Result<Report, Box<Violation>> {
    world::World::new(suite, scenario, seed).run()
}

/// Every scenario for `nodes` nodes, each with seeds `0..seeds`, and the first seed twice: same seed, same run.
pub fn conformance(suite: &Suite<'_>, nodes: usize, seeds: u64) -> Result<Vec<(&'static str, Report)>, Box<Violation>> {
    let mut reports = Vec::new();
    for scenario in scenarios(nodes) {
        for seed in 0..seeds {
            let report = run(suite, &scenario, seed)?;
            let again = if seed == 0 { run(suite, &scenario, seed)? } else { report };
            if report != again {
                let what = format!("two runs differ: {report:?} and {again:?}");
                return Err(Box::new(Violation { rule: "contract 1", what, at_ms: 0, scenario: scenario.name, nodes, seed }));
            }
            reports.push((scenario.name, report));
        }
    }
    Ok(reports)
}

/// The peer id of member `n` of a test network.
pub fn peer(n: u64) -> PeerId {
    PeerId(Bytes::copy_from_slice(&[&b"peer"[..], &n.to_be_bytes()].concat()))
}

/// A committee with [`CheapSecret`] keys 0, 1, … of these stakes. Canonical order need not be that of the keys' numbers.
///
/// # Panics
/// If the stakes are none that a committee can have.
#[allow(clippy::expect_used, reason = "test support")]
pub fn committee_of(epoch: Epoch, stakes: &[u128]) -> Committee {
    let member = |(n, stake): (usize, &u128)| Member {
        key: CheapSecret::new(n as u64).public(),
        stake: Stake(*stake),
        address: Address::Arweave(Id([n as u8; 32])),
        peer: peer(n as u64),
    };
    Committee::new(epoch, stakes.iter().enumerate().map(member).collect()).expect("stakes of a committee")
}

#[cfg(test)]
mod tests;
