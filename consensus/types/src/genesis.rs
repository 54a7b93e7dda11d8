//! The file that a network is (`operations.md` §6): who validates at first, by which engine, within which limits.
//!
//! Its canonical JSON (keys sorted, no spaces, integers only) is hashed to the network id, so two operators who compare 64 digits have
//! compared everything in it. Owns reading, canonical bytes, the hash, and every relation between its numbers. Refuses to judge keys:
//! proofs of possession are checked with a scheme, in `ao-consensus`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::chain::NetworkId;
use crate::committee::{BlsKey, BlsSignature, Committee, CommitteeError, Epoch, Member, PeerId, Stake};
use crate::hash::sha256;
use crate::id::Address;
use crate::limits::GENESIS_BYTES_MAX;

mod canonical;

pub use canonical::canonical_json;

/// Format that this code reads and writes.
pub const GENESIS_VERSION: u64 = 1;

/// See the module documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// [`GENESIS_VERSION`].
    pub version: u64,
    /// For people: 1 to 32 characters of `a-z 0-9 -`. Names the data directory.
    pub name: String,
    /// Scope of proofs of possession, fixed before the first validator signs one. 1 to 64 characters of `a-z 0-9 - .`.
    pub chain_id: String,
    /// When the network begins, milliseconds since 1970.
    pub time: u64,
    /// Development keys and the embedded chain are refused by any network that does not say so.
    #[serde(default)]
    pub dev: bool,
    /// Who confirms, and how.
    pub consensus: Consensus,
    /// Windows and amounts of the Origin ledger (`consensus.md` §7, §8).
    pub staking: Staking,
    /// What decides results, the same on every node.
    pub limits: Limits,
    /// Which table of costs a machine counts by.
    pub gas_schedule: u64,
    /// The committee of epoch 0.
    pub validators: Vec<Validator>,
    /// Registered schedulers that are no validators. Every validator's operator is one.
    #[serde(default)]
    pub schedulers: Vec<Scheduler>,
    /// Balances of the beginning.
    #[serde(default)]
    pub accounts: BTreeMap<String, Stake>,
    /// How logs come to Arweave.
    pub anchor: Anchor,
    /// Addresses (multiaddr with peer id) to begin with.
    #[serde(default)]
    pub bootnodes: Vec<String>,
}

/// Who confirms, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consensus {
    /// Name of the engine: `solo`, `attest`, `bft`, or one that this build knows.
    pub plugin: String,
    /// The engine's own numbers; absent ones have the engine's defaults. Integers, flags and texts: a float has no canonical form.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
    /// Control heights of one epoch.
    pub epoch_len: u64,
}

/// One of an engine's own numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// On or off.
    Flag(bool),
    /// A count, or a time in milliseconds where the name ends in `_ms`.
    Number(u64),
    /// A choice.
    Text(String),
}

/// Windows, all in milliseconds of Origin time, and amounts. Defaults are a production network's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Staking {
    /// From `Unstake` to `Withdraw`; the stake is slashable until then.
    pub unbonding_period_ms: u64,
    /// Until a chain must have crossed into a new epoch.
    pub handover_window_ms: u64,
    /// Until evidence must be handed in.
    pub evidence_window_ms: u64,
    /// How long old committees' signatures are believed.
    pub trust_period_ms: u64,
    /// Until a scheduler must name an unhosted process `closed`.
    pub close_period_ms: u64,
    /// Lower bound of a process's `Liveness-Period`.
    pub liveness_min_ms: u64,
    /// Upper bound of a process's `Liveness-Period`.
    pub liveness_max_ms: u64,
    /// Slashed of the offender's stake, in millionths.
    pub slash_millionths: u64,
    /// Of that, to the reporter, in millionths.
    pub reward_millionths: u64,
    /// Bytes of an item that comes along with a challenge.
    pub challenge_item_max: u64,
    /// Open challenges per process and challenger.
    pub challenge_open_max: u64,
}

impl Default for Staking {
    fn default() -> Self {
        const DAY: u64 = 86_400_000;
        Self {
            unbonding_period_ms: 21 * DAY,
            handover_window_ms: DAY,
            evidence_window_ms: 4 * DAY,
            trust_period_ms: 14 * DAY,
            close_period_ms: 5_000,
            liveness_min_ms: 60_000,
            liveness_max_ms: 7 * DAY,
            slash_millionths: 50_000,
            reward_millionths: 100_000,
            challenge_item_max: 16 << 10,
            challenge_open_max: 4,
        }
    }
}

/// What decides results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Fuel of one message.
    pub fuel: u64,
    /// Bytes of a process's memory.
    pub memory: u64,
    /// Bytes of a message item.
    pub message_max: u64,
}

/// One attestor of the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Signs attestations.
    pub pubkey: BlsKey,
    /// Signature of that key on [`crate::Statement::Possession`] within [`crate::attestation::possession_scope`] of `chain_id`.
    pub pop: BlsSignature,
    /// Its weight.
    pub stake: Stake,
    /// The account that is bonded; registered as a scheduler with tenure 0.
    pub operator: Address,
    /// Where its node is reached.
    pub peer_id: PeerId,
    /// How, as a multiaddr; empty where discovery finds it.
    #[serde(default)]
    pub addr: String,
}

/// A registered scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    /// The wallet that signs assignments.
    pub address: Address,
    /// Where its node is reached.
    pub peer_id: PeerId,
    /// How, as a multiaddr.
    #[serde(default)]
    pub addr: String,
}

/// How logs come to Arweave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Value of the tag that finds this network's bundles.
    pub tag: String,
    /// Milliseconds from bundle to bundle.
    pub interval_ms: u64,
    /// Blocks until a bundle is settled.
    pub confirmations: u64,
}

/// Why a file is not a genesis. Shown to an operator, so each says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Larger than anybody reads.
    #[error("a genesis file has at most {max} bytes, not {found}")]
    Size {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// Not JSON of this shape.
    #[error("the genesis file cannot be read: {reason}")]
    Form {
        /// By the parser.
        reason: String,
    },
    /// Of another format.
    #[error("genesis version {found} is not {expected}: use a build that knows it")]
    Version {
        /// Ours.
        expected: u64,
        /// Theirs.
        found: u64,
    },
    /// A text outside its alphabet or length.
    #[error("{field} is `{found}`; {expected} are expected")]
    Text {
        /// Which field.
        field: &'static str,
        /// As given.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A number that must not be zero, or be in a range.
    #[error("{field} is {found}; it must be {expected}")]
    Number {
        /// Which field.
        field: &'static str,
        /// As given.
        found: u64,
        /// What is allowed.
        expected: &'static str,
    },
    /// Stake could be withdrawn before its misdeeds can be shown (`consensus.md` §7).
    #[error(
        "handover_window_ms + evidence_window_ms + trust_period_ms = {windows} must be less than unbonding_period_ms = {unbonding}: \
         stake would be gone before it can be slashed"
    )]
    Windows {
        /// Their sum.
        windows: u128,
        /// The period.
        unbonding: u64,
    },
    /// The validators are not a committee.
    #[error("validators: {0}")]
    Committee(#[from] CommitteeError),
    /// One account operates two validators, or is listed twice: bonds and penalties belong to one key.
    #[error("{address} stands twice among operators and schedulers")]
    DuplicateOperator {
        /// Which.
        address: Address,
    },
    /// One node twice.
    #[error("peer {peer} stands twice among validators and schedulers")]
    DuplicatePeer {
        /// Which.
        peer: PeerId,
    },
    /// A name of an account that is none.
    #[error("account `{found}` is not an address")]
    Account {
        /// As given.
        found: String,
    },
    /// A proof of possession that does not hold.
    #[error("validator {key}: the proof of possession does not hold for chain id `{chain_id}`; make it again with `genesis add-validator`")]
    Possession {
        /// Which.
        key: BlsKey,
        /// The scope.
        chain_id: String,
    },
}

impl Genesis {
    /// Reads and checks a file. Layout and order of keys do not matter, unknown and doubled keys do.
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        if bytes.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::Size { max: GENESIS_BYTES_MAX, found: bytes.len() });
        }
        let genesis: Self = serde_json::from_slice(bytes).map_err(|error| GenesisError::Form { reason: error.to_string() })?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The canonical bytes: what is hashed.
    pub fn canonical(&self) -> Result<Vec<u8>, GenesisError> {
        let value = serde_json::to_value(self).map_err(|error| GenesisError::Form { reason: error.to_string() })?;
        canonical_json(&value).ok_or_else(|| GenesisError::Form { reason: "a float has no canonical form".into() })
    }

    /// SHA-256 of the canonical bytes.
    pub fn network_id(&self) -> Result<NetworkId, GenesisError> {
        Ok(NetworkId(sha256(&[&self.canonical()?])))
    }

    /// The committee of epoch 0.
    pub fn committee(&self) -> Result<Committee, GenesisError> {
        let member = |one: &Validator| Member { key: one.pubkey, stake: one.stake, address: one.operator, peer: one.peer_id.clone() };
        Ok(Committee::new(Epoch(0), self.validators.iter().map(member).collect())?)
    }

    /// Everybody who may schedule from the beginning: operators of validators, then the others.
    pub fn all_schedulers(&self) -> impl Iterator<Item = (Address, &PeerId)> {
        let operators = self.validators.iter().map(|one| (one.operator, &one.peer_id));
        operators.chain(self.schedulers.iter().map(|one| (one.address, &one.peer_id)))
    }

    /// Every rule but proofs of possession.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.version != GENESIS_VERSION {
            return Err(GenesisError::Version { expected: GENESIS_VERSION, found: self.version });
        }
        text("name", &self.name, 32, "-", "1 to 32 characters of a-z, 0-9 and -")?;
        text("chain_id", &self.chain_id, 64, "-.", "1 to 64 characters of a-z, 0-9, - and .")?;
        text("consensus.plugin", &self.consensus.plugin, 32, "-", "1 to 32 characters of a-z, 0-9 and -")?;
        self.check_numbers()?;
        self.committee()?;
        let (mut addresses, mut peers) = (BTreeSet::new(), BTreeSet::new());
        for (address, peer) in self.all_schedulers() {
            if !addresses.insert(address) {
                return Err(GenesisError::DuplicateOperator { address });
            }
            if !peers.insert(peer) {
                return Err(GenesisError::DuplicatePeer { peer: peer.clone() });
            }
        }
        match self.accounts.keys().find(|account| Address::parse(account).map(|address| address.to_string()).as_ref() != Ok(*account)) {
            Some(found) => Err(GenesisError::Account { found: found.clone() }),
            None => Ok(()),
        }
    }

    fn check_numbers(&self) -> Result<(), GenesisError> {
        let staking = &self.staking;
        let positive = [
            ("consensus.epoch_len", self.consensus.epoch_len),
            ("limits.fuel", self.limits.fuel),
            ("limits.memory", self.limits.memory),
            ("limits.message_max", self.limits.message_max),
            ("anchor.interval_ms", self.anchor.interval_ms),
            ("staking.handover_window_ms", staking.handover_window_ms),
            ("staking.evidence_window_ms", staking.evidence_window_ms),
            ("staking.trust_period_ms", staking.trust_period_ms),
            ("staking.close_period_ms", staking.close_period_ms),
            ("staking.liveness_min_ms", staking.liveness_min_ms),
        ];
        if let Some((field, found)) = positive.into_iter().find(|(_, number)| *number == 0) {
            return Err(GenesisError::Number { field, found, expected: "more than 0" });
        }
        let message = self.limits.message_max;
        if message > crate::limits::ITEM_BYTES_MAX as u64 {
            return Err(GenesisError::Number { field: "limits.message_max", found: message, expected: "at most 10 MiB (10485760)" });
        }
        for (field, found) in
            [("staking.slash_millionths", staking.slash_millionths), ("staking.reward_millionths", staking.reward_millionths)]
        {
            if found > 1_000_000 {
                return Err(GenesisError::Number { field, found, expected: "at most 1000000, which is all of it" });
            }
        }
        if staking.liveness_max_ms < staking.liveness_min_ms {
            let found = staking.liveness_max_ms;
            return Err(GenesisError::Number { field: "staking.liveness_max_ms", found, expected: "at least liveness_min_ms" });
        }
        let windows = [staking.handover_window_ms, staking.evidence_window_ms, staking.trust_period_ms];
        let windows = windows.into_iter().map(u128::from).sum();
        if windows >= u128::from(staking.unbonding_period_ms) {
            return Err(GenesisError::Windows { windows, unbonding: staking.unbonding_period_ms });
        }
        Ok(())
    }
}

fn text(field: &'static str, found: &str, max: usize, others: &str, expected: &'static str) -> Result<(), GenesisError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c);
    if !found.is_empty() && found.len() <= max && found.chars().all(allowed) {
        return Ok(());
    }
    Err(GenesisError::Text { field, found: found.chars().take(crate::limits::ECHO_CHARS_MAX).collect(), expected })
}

#[cfg(test)]
mod tests;
