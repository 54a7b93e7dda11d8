//! What can happen in a run.

/// The weather, the load and who is Byzantine. Everything random in it comes from the run's seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Names it in reports.
    pub name: &'static str,
    /// Members of the committee.
    pub nodes: usize,
    /// Stakes 1 to 10 instead of equal ones.
    pub skewed_stake: bool,
    /// How many members schedule a chain each.
    pub schedulers: usize,
    /// Batches of entries for each scheduler.
    pub batches: u64,
    /// One way, milliseconds. Reordering follows from the spread.
    pub latency_ms: (u64, u64),
    /// Lost on the way.
    pub loss_percent: u64,
    /// Delivered twice.
    pub duplicate_percent: u64,
    /// A synchronous write, milliseconds.
    pub write_ms: (u64, u64),
    /// Crashes, of any node at any time; each comes back after a while.
    pub crashes: u64,
    /// A node that starts only when the storm is over.
    pub late: bool,
    /// The network is cut in two for a while, up to three times.
    pub partitions: u64,
    /// Members with less than a third of stake never start.
    pub mute: bool,
    /// Members with less than a third of stake are twins, schedulers among them.
    pub twins: bool,
    /// Clocks are wrong by up to so much, either way.
    pub skew_ms: u64,
    /// Strangers send bytes: random, changed, and those of others again.
    pub noise: u64,
    /// One scheduler's bodies never come; another's frames break a rule of the log; a third's carry a certificate that nobody signed.
    pub rotten: bool,
    /// After so long the weather is calm, whatever it was.
    pub storm_ms: u64,
    /// After so long everything that is owed must be confirmed.
    pub patience_ms: u64,
}

impl Scenario {
    /// A calm network.
    pub fn calm(nodes: usize) -> Self {
        Self {
            name: "calm",
            nodes,
            skewed_stake: false,
            schedulers: nodes.min(2),
            batches: 20,
            latency_ms: (1, 3),
            loss_percent: 0,
            duplicate_percent: 0,
            write_ms: (0, 2),
            crashes: 0,
            late: false,
            partitions: 0,
            mute: false,
            twins: false,
            skew_ms: 0,
            noise: 0,
            rotten: false,
            storm_ms: 1_000,
            patience_ms: 60_000,
        }
    }

    /// Everything that is not Byzantine at once.
    pub fn storm(nodes: usize) -> Self {
        Self {
            name: "storm",
            skewed_stake: true,
            schedulers: nodes.min(3),
            latency_ms: (1, 150),
            loss_percent: 20,
            duplicate_percent: 10,
            write_ms: (0, 20),
            crashes: nodes as u64 + 2,
            late: nodes > 1,
            partitions: 2,
            skew_ms: 1_500,
            storm_ms: 6_000,
            patience_ms: 300_000,
            ..Self::calm(nodes)
        }
    }
}

/// Those that every engine must pass with `nodes` nodes.
pub fn scenarios(nodes: usize) -> Vec<Scenario> {
    let (calm, storm) = (Scenario::calm(nodes), Scenario::storm(nodes));
    let mut all = vec![
        calm.clone(),
        Scenario { name: "crashes", crashes: nodes as u64 * 3, write_ms: (0, 30), storm_ms: 4_000, patience_ms: 300_000, ..calm.clone() },
    ];
    if nodes > 1 {
        all.extend([
            Scenario {
                name: "loss",
                latency_ms: (1, 80),
                loss_percent: 30,
                duplicate_percent: 20,
                storm_ms: 4_000,
                patience_ms: 300_000,
                ..calm.clone()
            },
            Scenario { name: "partitions", partitions: 3, skewed_stake: true, storm_ms: 6_000, patience_ms: 300_000, ..calm.clone() },
            storm.clone(),
        ]);
    }
    if nodes > 3 {
        let rotten =
            Scenario { name: "rotten", rotten: true, schedulers: 4, noise: 200, storm_ms: 3_000, patience_ms: 300_000, ..calm.clone() };
        all.extend([
            Scenario { name: "mute", mute: true, skewed_stake: true, patience_ms: 300_000, ..calm.clone() },
            rotten,
            Scenario {
                name: "twins",
                twins: true,
                schedulers: nodes / 3 + 2,
                latency_ms: (1, 30),
                storm_ms: 3_000,
                patience_ms: 300_000,
                ..calm
            },
            Scenario { name: "twins in a storm", twins: true, schedulers: nodes / 3 + 2, batches: 8, noise: 100, ..storm },
        ]);
    }
    all
}
