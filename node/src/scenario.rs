//! `testnet.toml` (`operations.md` §6): of whom a testnet consists, what happens to them, and what is expected of it.
//!
//! ```toml
//! seed = 42
//! plugin = "attest"
//! load = { rate = 200, payload = 1024, for = "10s" }
//! latency = "wan5"
//! [node.n1]
//! stake = 200
//! perturb = ["kill@2s", "pause@4s:1s", "partition@6s:2s", "skew@8s:+2s"]
//! [node.n4]
//! misbehave = ["equivocate"]
//! [expect]
//! finalized_min = 500
//! p99_ms = 2000
//! ```
//!
//! One reader for everybody who is given one: `testnet generate` and `devnet up` take from it who there is, the simulator everything
//! (`sim/plan/scenario.rs`). What a reader cannot do with a file it refuses, by name; nothing in a file is passed over in silence.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::config::{ByteSize, Span};

/// Nodes of a file: what one machine can run, or one simulator.
pub const NODES_MAX: usize = 64;
/// Bytes of a file.
pub const SCENARIO_BYTES_MAX: u64 = 1 << 20;
/// What happens to one node.
pub const PERTURBATIONS_MAX: usize = 256;
/// Stake of a node of which nothing is said.
pub const STAKE: u64 = 100;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of everything that chance decides.
    pub seed: u64,
    /// Who confirms, as a genesis names it.
    pub plugin: String,
    /// What clients send.
    pub load: Option<Load>,
    /// How long anything travels.
    pub latency: Latency,
    /// `n1`, `n2` and so on.
    pub nodes: Vec<Member>,
    /// Beyond what must hold in every network.
    pub expect: Expect,
}

/// What clients send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Messages a second.
    pub rate: u64,
    /// Bytes of each.
    #[serde(default = "payload")]
    pub payload: ByteSize,
    /// How long.
    pub r#for: Span,
}

fn payload() -> ByteSize {
    ByteSize(1024)
}

/// Nets to choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// That of one machine, or one room.
    #[default]
    Lan,
    /// Five regions, 100 ms from one to another at the mean; node `n` is in region `n mod 5`.
    Wan5,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What its attestor has at stake.
    pub stake: u64,
    /// When it starts, from the beginning.
    pub start_at: Duration,
    /// How it comes to the state of the others.
    pub sync: Sync,
    /// What happens to it.
    pub perturb: Vec<Perturbation>,
    /// How it breaks the rules.
    pub misbehave: Vec<String>,
}

/// How a node comes to the state of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// By evaluating every message.
    #[default]
    Log,
    /// From a certified state that peers give it.
    Snapshot,
}

/// Something that happens to a node: `kind@at[:argument]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Perturbation {
    /// When, from the beginning.
    pub at: Duration,
    /// What.
    pub what: Perturb,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Perturb {
    /// It is killed and comes back after so long; 5 s where nothing is said.
    Kill(Duration),
    /// Its process is stopped for so long.
    Pause(Duration),
    /// It is cut off from all others for so long.
    Partition(Duration),
    /// Its clock is wrong by so many milliseconds from then on.
    Skew(i64),
    /// Its disk is slow for so long.
    SlowDisk(Duration),
    /// Its disk is full for so long.
    FillDisk(Duration),
}

/// Beyond what must hold in every network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Messages that are confirmed at the end.
    #[serde(default)]
    pub finalized_min: u64,
    /// Of a hundred messages, 99 are confirmed within so long.
    pub p99_ms: Option<u64>,
}

/// Why a file is none. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// No such text.
    #[error("it cannot be read: {0}")]
    Text(String),
    /// A node's name.
    #[error("`node.{0}`: nodes are called n1 to n{NODES_MAX}")]
    Name(String),
    /// None, or a stake that is none.
    #[error("`node.{0}.stake` is 0: every node of a file attests")]
    Stake(String),
    /// What happens cannot be read.
    #[error("`{text}` at node {node}: {wanted}")]
    Perturb {
        /// Whose.
        node: String,
        /// As written.
        text: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// More than is kept.
    #[error("more than {PERTURBATIONS_MAX} things happen to node {0}")]
    TooMuch(String),
    /// Of another build.
    #[error("`node.{node}.version` is {found}: this is {}, and starts no other", env!("CARGO_PKG_VERSION"))]
    Version {
        /// Whose.
        node: String,
        /// As written.
        found: String,
    },
}

const WANTED: &str =
    "it is kill@TIME[:DOWN], pause@TIME:FOR, partition@TIME:FOR, skew@TIME:+TIME or :-TIME, slow-disk@TIME:FOR or fill-disk@TIME:FOR";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    seed: u64,
    #[serde(default = "attest")]
    plugin: String,
    load: Option<Load>,
    #[serde(default)]
    latency: Latency,
    #[serde(default)]
    node: BTreeMap<String, RawMember>,
    #[serde(default)]
    expect: Expect,
}

fn attest() -> String {
    "attest".to_owned()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    stake: Option<u64>,
    #[serde(default)]
    start_at: Span,
    #[serde(default)]
    sync: Sync,
    version: Option<String>,
    #[serde(default)]
    perturb: Vec<String>,
    #[serde(default)]
    misbehave: Vec<String>,
}

impl Scenario {
    /// Reads a file. It has as many nodes as the highest number that it names, four at least where it names none; of those in between
    /// nothing is special.
    ///
    /// # Errors
    /// It is none; says where.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ScenarioError::Text(error.to_string()))?;
        let mut named = BTreeMap::new();
        for (name, member) in raw.node {
            let number = name.strip_prefix('n').and_then(|number| number.parse::<usize>().ok());
            let number = number.filter(|number| (1..=NODES_MAX).contains(number) && name == format!("n{number}"));
            named.insert(number.ok_or_else(|| ScenarioError::Name(name.clone()))?, member.checked(name)?);
        }
        let count = named.last_key_value().map_or(4, |(last, _)| *last);
        let plain = || RawMember::default().checked(String::new());
        let nodes = (1..=count).map(|number| named.remove(&number).map_or_else(plain, Ok)).collect::<Result<_, _>>()?;
        let Raw { seed, plugin, load, latency, expect, .. } = raw;
        Ok(Self { seed, plugin, load, latency, nodes, expect })
    }

    /// Whether anything is said of what happens, and not only of who there is.
    pub fn has_events(&self) -> bool {
        let happens = |node: &Member| !node.perturb.is_empty() || !node.misbehave.is_empty() || !node.start_at.is_zero();
        self.load.is_some() || self.latency != Latency::Lan || self.expect != Expect::default() || self.nodes.iter().any(happens)
    }
}

impl RawMember {
    fn checked(self, node: String) -> Result<Member, ScenarioError> {
        if let Some(found) = self.version.filter(|version| version != env!("CARGO_PKG_VERSION")) {
            return Err(ScenarioError::Version { node, found });
        }
        let stake = self.stake.unwrap_or(STAKE);
        if stake == 0 {
            return Err(ScenarioError::Stake(node));
        }
        if self.perturb.len() > PERTURBATIONS_MAX || self.misbehave.len() > PERTURBATIONS_MAX {
            return Err(ScenarioError::TooMuch(node));
        }
        let read = |text: &String| {
            perturbation(text).ok_or_else(|| ScenarioError::Perturb { node: node.clone(), text: text.clone(), wanted: WANTED })
        };
        let perturb = self.perturb.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Member { stake, start_at: self.start_at.0, sync: self.sync, perturb, misbehave: self.misbehave })
    }
}

/// How long a killed node stays away where nothing is said.
const AWAY: Duration = Duration::from_secs(5);

fn perturbation(text: &str) -> Option<Perturbation> {
    let (kind, rest) = text.split_once('@')?;
    let (at, argument) = rest.split_once(':').map_or((rest, None), |(at, argument)| (at, Some(argument)));
    let span = |text: &str| text.parse::<Span>().ok().map(|span| span.0);
    let at = span(at)?;
    let lasting = || argument.and_then(span).filter(|span| !span.is_zero());
    let what = match kind {
        "kill" if argument.is_none() => Perturb::Kill(AWAY),
        "kill" => Perturb::Kill(lasting()?),
        "pause" => Perturb::Pause(lasting()?),
        "partition" => Perturb::Partition(lasting()?),
        "slow-disk" => Perturb::SlowDisk(lasting()?),
        "fill-disk" => Perturb::FillDisk(lasting()?),
        "skew" => {
            let text = argument?;
            let by = |text: &str| span(text).and_then(|span| i64::try_from(span.as_millis()).ok());
            Perturb::Skew(match text.strip_prefix('-') {
                Some(behind) => -by(behind)?,
                None => by(text.strip_prefix('+').unwrap_or(text))?,
            })
        }
        _ => return None,
    };
    Some(Perturbation { at, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn the_file_of_the_page_is_read() {
        let text = r#"
            seed = 42
            plugin = "bft"
            load = { rate = 200, payload = 2048, for = "60s" }
            latency = "wan5"
            [node.n1]
            stake = 150
            perturb = ["kill@20s", "kill@25s:1s", "pause@30s:10s", "partition@40s:15s", "skew@50s:+2s", "skew@51s:-500ms", "fill-disk@1s:2s"]
            [node.n4]
            start_at = "3s"
            sync = "snapshot"
            misbehave = ["equivocate"]
            [expect]
            finalized_min = 500
            p99_ms = 2000
        "#;
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!((scenario.seed, scenario.plugin.as_str(), scenario.latency), (42, "bft", Latency::Wan5));
        let load = scenario.load.clone().unwrap();
        assert_eq!((load.rate, load.payload.0, load.r#for.0), (200, 2048, S(60)));
        assert_eq!(scenario.nodes.len(), 4);
        assert_eq!((scenario.nodes[0].stake, scenario.nodes[1].stake), (150, STAKE));
        let happens: Vec<_> = scenario.nodes[0].perturb.iter().map(|one| (one.at, one.what)).collect();
        let expected = [
            (S(20), Perturb::Kill(AWAY)),
            (S(25), Perturb::Kill(S(1))),
            (S(30), Perturb::Pause(S(10))),
            (S(40), Perturb::Partition(S(15))),
            (S(50), Perturb::Skew(2_000)),
            (S(51), Perturb::Skew(-500)),
            (S(1), Perturb::FillDisk(S(2))),
        ];
        assert_eq!(happens, expected);
        assert_eq!((scenario.nodes[3].start_at, scenario.nodes[3].sync), (S(3), Sync::Snapshot));
        assert_eq!((scenario.expect.finalized_min, scenario.expect.p99_ms), (500, Some(2_000)));
        assert!(scenario.has_events());
    }

    #[test]
    fn a_file_that_says_nothing_is_four_nodes() {
        let scenario = Scenario::parse("").unwrap();
        assert_eq!((scenario.nodes.len(), scenario.plugin.as_str(), scenario.has_events()), (4, "attest", false));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let refused = |text: &str| Scenario::parse(text).unwrap_err().to_string();
        for name in ["n0", "n65", "m1", "n01", "n", "n1x", "n+1"] {
            assert!(refused(&format!("[node.\"{name}\"]")).contains(&format!("node.{name}")), "{name}");
        }
        assert!(refused("sede = 1").contains("sede"));
        assert!(refused("[node.n1]\ndisk = \"1GiB\"").contains("disk"));
        assert!(refused("[node.n2]\nstake = 0").contains("node.n2.stake"));
        assert!(refused("[node.n2]\nversion = \"0.0.0\"").contains("0.0.0"));
        assert!(refused("latency = \"moon\"").contains("moon"));
        for wrong in ["kill", "kill@", "kill@x", "pause@1s", "pause@1s:0s", "skew@1s", "skew@1s:2", "die@1s", "partition@1s:2s:3s"] {
            let text = refused(&format!("[node.n3]\nperturb = [\"{wrong}\"]"));
            assert!(text.contains("n3") && text.contains(wrong) && text.contains("kill@TIME"), "{text}");
        }
        let many = vec!["\"kill@1s\""; PERTURBATIONS_MAX + 1].join(",");
        assert!(refused(&format!("[node.n1]\nperturb = [{many}]")).contains("n1"));
    }
}
