//! A run as data: everything that will happen, so that it can be printed, replayed and made smaller.
//!
//! ```toml
//! seed = 7
//! engine = "attest"
//! stakes = [1, 1, 2, 1]
//! schedulers = 2
//! messages = 12
//! [[faults]]
//! kind = "crash"
//! node = 1
//! at_ms = 400
//! for_ms = 900
//! torn = true
//! ```
//!
//! What is not in it is drawn from `seed`, each purpose with dice of its own: taking a fault away leaves the rest of the run as it was until
//! the fault would have happened.

use serde::{Deserialize, Serialize};

use super::byzantine::Kind;

mod draw;
mod scenario;
pub use draw::Taste;

/// See the module documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of everything that is drawn during the run.
    pub seed: u64,
    /// As a genesis names it.
    pub engine: String,
    /// Of each node, in order; there are as many nodes.
    pub stakes: Vec<u64>,
    /// So many nodes, from the first on, schedule.
    pub schedulers: usize,
    /// Processes; each scheduler hosts its share.
    pub processes: usize,
    /// Messages that clients send.
    pub messages: usize,
    /// From the first to the last of them, milliseconds.
    pub load_ms: u64,
    /// How long anything travels.
    pub latency: Latency,
    /// Of a hundred parcels, how many are lost while the storm lasts.
    pub loss: u64,
    /// And how many come twice, the second time as if it had never been seen.
    pub duplicate: u64,
    /// A job of a node, milliseconds.
    pub job_ms: (u64, u64),
    /// A write, milliseconds.
    pub disk_ms: (u64, u64),
    /// By how much each node's clock is wrong; those that are not named are right.
    #[serde(default)]
    pub skew_ms: Vec<i64>,
    /// The faults last no longer, milliseconds from the beginning.
    pub storm_ms: u64,
    /// And then everything must be done within so long.
    pub patience_ms: u64,
    /// Members that do not keep the rules.
    #[serde(default)]
    pub byzantine: Vec<Bad>,
    /// What happens to nodes.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// How long anything travels, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// One to three milliseconds.
    Lan,
    /// Five regions, 100 ms from one to another at the mean; node `n` is in region `n mod 5`.
    Wan5,
    /// From the one to the other; parcels overtake one another.
    Within(u64, u64),
}

/// A member that does not keep the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bad {
    /// Which.
    pub node: usize,
    /// How.
    pub kind: Kind,
}

/// Something that happens to a node, or between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The power fails, and comes back. `torn`: during the next write, which may or may not survive.
    Crash { node: usize, at_ms: u64, for_ms: u64, torn: bool },
    /// The net is cut between these nodes and the others. `one_way`: what they send still arrives.
    Cut { nodes: Vec<usize>, at_ms: u64, for_ms: u64, one_way: bool },
    /// The process is stopped and goes on where it was.
    Pause { node: usize, at_ms: u64, for_ms: u64 },
    /// The clock jumps by so much, and back.
    Jump { node: usize, at_ms: u64, for_ms: u64, by_ms: i64 },
    /// Writes take so much longer.
    SlowDisk { node: usize, at_ms: u64, for_ms: u64, by_ms: u64 },
    /// There is no room.
    FullDisk { node: usize, at_ms: u64, for_ms: u64 },
}

impl Fault {
    /// When it begins and how long it lasts.
    pub fn times(&self) -> (u64, u64) {
        match *self {
            Self::Crash { at_ms, for_ms, .. }
            | Self::Cut { at_ms, for_ms, .. }
            | Self::Pause { at_ms, for_ms, .. }
            | Self::Jump { at_ms, for_ms, .. }
            | Self::SlowDisk { at_ms, for_ms, .. }
            | Self::FullDisk { at_ms, for_ms, .. } => (at_ms, for_ms),
        }
    }

    /// The nodes that it names.
    pub fn nodes(&self) -> &[usize] {
        match self {
            Self::Cut { nodes, .. } => nodes,
            Self::Crash { node, .. }
            | Self::Pause { node, .. }
            | Self::Jump { node, .. }
            | Self::SlowDisk { node, .. }
            | Self::FullDisk { node, .. } => std::slice::from_ref(node),
        }
    }
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// The text.
    #[error("it cannot be read: {0}")]
    Text(String),
    /// The engine.
    #[error("no engine of a network is called `{0}`")]
    Engine(String),
    /// The size.
    #[error("{nodes} nodes, {schedulers} of them schedulers: it takes 1 to {max} nodes with stake, and a scheduler among them")]
    Size {
        /// Nodes.
        nodes: usize,
        /// Schedulers.
        schedulers: usize,
        /// The most.
        max: usize,
    },
    /// A node that is named and is none.
    #[error("node {0} is named, and there are fewer")]
    Node(usize),
    /// A file asks for what is not simulated.
    #[error("not simulated: {0}")]
    Unsimulated(String),
    /// Bounds of time or number that make no sense.
    #[error("{0}")]
    Number(&'static str),
}

/// Nodes of a run: names of nodes are one byte.
pub const NODES_MAX: usize = 200;

/// Processes and messages of a run.
pub const LOAD_MAX: usize = 10_000;

/// A storm or a wait, in milliseconds: a day.
pub const TIME_MS_MAX: u64 = 86_400_000;

impl Plan {
    /// A network where nothing goes wrong.
    pub fn calm(engine: &str, nodes: usize, seed: u64) -> Self {
        Self {
            seed,
            engine: engine.to_owned(),
            stakes: vec![1; nodes],
            schedulers: nodes.min(2),
            processes: nodes.min(2),
            messages: 12,
            load_ms: 1_500,
            latency: Latency::Within(1, 20),
            loss: 0,
            duplicate: 0,
            job_ms: (0, 2),
            disk_ms: (0, 3),
            skew_ms: Vec::new(),
            storm_ms: 2_000,
            patience_ms: 300_000,
            byzantine: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// How many nodes.
    pub fn nodes(&self) -> usize {
        self.stakes.len()
    }

    /// Whether the Byzantine stake leaves a quorum to the others: else nothing need be confirmed.
    pub fn is_live(&self) -> bool {
        let total: u64 = self.stakes.iter().sum();
        3 * (total - self.bad_stake()) > 2 * total
    }

    /// Whether the Byzantine stake may break S1: more than a third can be in two quorums. Then what it leaves behind is looked at.
    pub fn may_split(&self) -> bool {
        3 * self.bad_stake() > self.stakes.iter().sum::<u64>()
    }

    fn bad_stake(&self) -> u64 {
        let bad = |node: usize| self.byzantine.iter().any(|bad| bad.node == node);
        self.stakes.iter().enumerate().filter(|(node, _)| bad(*node)).map(|(_, stake)| stake).sum()
    }

    /// The scheduler of a process.
    pub fn host_of(&self, process: usize) -> usize {
        process % self.schedulers.max(1)
    }

    /// Whether a node keeps every rule.
    pub fn is_honest(&self, node: usize) -> bool {
        self.byzantine.iter().all(|bad| bad.node != node)
    }

    /// Whether a scheduler can be relied on: honest, and what it assigns reaches everybody.
    pub fn serves(&self, process: usize) -> bool {
        self.is_honest(self.host_of(process))
    }

    /// Reads and checks a plan.
    pub fn parse(text: &str) -> Result<Self, BadPlan> {
        let plan: Self = toml::from_str(text).map_err(|error| BadPlan::Text(error.to_string()))?;
        plan.check()?;
        Ok(plan)
    }

    /// As text.
    pub fn to_text(&self) -> String {
        // Every field has a form in TOML.
        toml::to_string(self).unwrap_or_default()
    }

    /// Whether it can be run.
    pub fn check(&self) -> Result<(), BadPlan> {
        let nodes = self.nodes();
        if !(1..=NODES_MAX).contains(&nodes) || self.stakes.contains(&0) || self.schedulers == 0 || self.schedulers > nodes {
            return Err(BadPlan::Size { nodes, schedulers: self.schedulers, max: NODES_MAX });
        }
        if crate::wiring::engines::named(&self.engine).is_none() {
            return Err(BadPlan::Engine(self.engine.clone()));
        }
        let named = self.faults.iter().flat_map(Fault::nodes).chain(self.byzantine.iter().map(|bad| &bad.node));
        if let Some(node) = named.copied().find(|node| *node >= nodes) {
            return Err(BadPlan::Node(node));
        }
        if self.processes == 0 || self.processes > LOAD_MAX || self.messages > LOAD_MAX {
            return Err(BadPlan::Number("a run has a process at least, and at most 10000 processes and messages"));
        }
        let times = self.faults.iter().flat_map(|fault| <[u64; 2]>::from(fault.times()));
        if times.chain([self.storm_ms, self.patience_ms, self.load_ms]).any(|time| time > TIME_MS_MAX) {
            return Err(BadPlan::Number("nothing lasts longer than a day"));
        }
        if self.stakes.iter().try_fold(0u64, |sum, stake| sum.checked_add(*stake)).is_none_or(|sum| sum > u64::MAX / 3) {
            return Err(BadPlan::Number("the stakes are too large"));
        }
        if self.loss > 100 || self.duplicate > 100 {
            return Err(BadPlan::Number("loss and duplicate are of a hundred"));
        }
        Ok(())
    }
}
