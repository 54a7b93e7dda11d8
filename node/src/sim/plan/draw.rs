//! Plans from seeds: which faults, of which kind and when.

use super::{Bad, Fault, Latency, Plan};
use crate::sim::byzantine::Kind;
use crate::sim::dice::Dice;

/// What a run may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taste {
    /// Crashes, with lost and torn writes.
    pub crashes: bool,
    /// Partitions, loss, duplicates, slow links.
    pub net: bool,
    /// Slow and full disks, stopped processes.
    pub machine: bool,
    /// Clocks that are wrong, and jump.
    pub clocks: bool,
    /// Members that do not keep the rules.
    pub byzantine: bool,
}

impl Taste {
    /// Everything.
    pub const ALL: Self = Self { crashes: true, net: true, machine: true, clocks: true, byzantine: true };

    /// Nothing.
    pub const CALM: Self = Self { crashes: false, net: false, machine: false, clocks: false, byzantine: false };

    /// By names: `crashes,net,machine,clocks,byzantine`, `all`, `none`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut taste = Self::CALM;
        for name in text.split(',').map(str::trim) {
            match name {
                "crashes" => taste.crashes = true,
                "net" => taste.net = true,
                "machine" => taste.machine = true,
                "clocks" => taste.clocks = true,
                "byzantine" => taste.byzantine = true,
                "all" => taste = Self::ALL,
                "none" => {}
                other => return Err(format!("`{other}` is none of crashes, net, machine, clocks, byzantine, all, none")),
            }
        }
        Ok(taste)
    }
}

/// Sizes of networks, by seed.
const SIZES: [usize; 8] = [4, 4, 5, 4, 7, 4, 3, 1];

impl Plan {
    /// What this seed stands for, of a size that it chooses.
    pub fn of_seed(engine: &str, seed: u64, taste: Taste) -> Self {
        Self::draw(engine, SIZES[(seed % 8) as usize], seed, taste)
    }

    /// What this seed stands for.
    pub fn draw(engine: &str, nodes: usize, seed: u64, taste: Taste) -> Self {
        let mut dice = Dice::of(seed, "plan");
        let mut plan = Self::calm(engine, nodes, seed);
        plan.schedulers = 1 + dice.below(nodes.min(3));
        plan.processes = plan.schedulers + dice.below(2);
        plan.messages = 4 + dice.below(12);
        plan.storm_ms = dice.within((1_500, 6_000));
        plan.load_ms = dice.within((200, plan.storm_ms));
        if dice.chance(30) {
            plan.stakes = (0..nodes).map(|_| dice.within((1, 10))).collect();
        }
        if taste.net {
            net(&mut plan, &mut dice);
        }
        if taste.crashes {
            for _ in 0..dice.below(4) {
                let (node, at_ms, for_ms) = when(&plan, &mut dice, 2_000);
                plan.faults.push(Fault::Crash { node, at_ms, for_ms, torn: dice.chance(60) });
            }
        }
        if taste.machine {
            machine(&mut plan, &mut dice);
        }
        if taste.clocks {
            clocks(&mut plan, &mut dice);
        }
        if taste.byzantine && dice.chance(40) {
            byzantine(&mut plan, &mut dice);
        }
        plan
    }
}

/// A node and a time within the storm.
fn when(plan: &Plan, dice: &mut Dice, for_ms_max: u64) -> (usize, u64, u64) {
    (dice.below(plan.nodes()), dice.within((50, plan.storm_ms)), dice.within((20, for_ms_max)))
}

fn net(plan: &mut Plan, dice: &mut Dice) {
    plan.latency = match dice.below(4) {
        0 => Latency::Lan,
        1 => Latency::Within(1, 20),
        2 => Latency::Within(1, 150),
        _ => Latency::Wan5,
    };
    if dice.chance(50) {
        plan.loss = dice.within((1, 30));
        plan.duplicate = dice.within((0, 20));
    }
    if plan.nodes() < 2 {
        return;
    }
    for _ in 0..dice.below(3) {
        let (_, at_ms, for_ms) = when(plan, dice, 3_000);
        let mut nodes: Vec<usize> = (0..plan.nodes()).filter(|_| dice.chance(40)).collect();
        if nodes.is_empty() {
            nodes.push(dice.below(plan.nodes()));
        }
        plan.faults.push(Fault::Cut { nodes, at_ms, for_ms, one_way: dice.chance(25) });
    }
}

fn machine(plan: &mut Plan, dice: &mut Dice) {
    if dice.chance(30) {
        let (node, at_ms, for_ms) = when(plan, dice, 2_000);
        plan.faults.push(Fault::SlowDisk { node, at_ms, for_ms, by_ms: dice.within((20, 2_000)) });
    }
    if dice.chance(25) {
        let (node, at_ms, for_ms) = when(plan, dice, 2_000);
        plan.faults.push(Fault::FullDisk { node, at_ms, for_ms });
    }
    if dice.chance(25) {
        let (node, at_ms, for_ms) = when(plan, dice, 5_000);
        plan.faults.push(Fault::Pause { node, at_ms, for_ms });
    }
}

fn clocks(plan: &mut Plan, dice: &mut Dice) {
    if dice.chance(50) {
        plan.skew_ms = (0..plan.nodes()).map(|_| dice.within((0, 3_000)) as i64 - 1_500).collect();
    }
    if dice.chance(25) {
        let (node, at_ms, for_ms) = when(plan, dice, 2_000);
        let by_ms = if dice.chance(4) { HOUR_MS } else { dice.within((100, 5_000)) as i64 };
        if by_ms == HOUR_MS {
            plan.patience_ms += 3 * HOUR_MS as u64;
        }
        plan.faults.push(Fault::Jump { node, at_ms, for_ms, by_ms: if dice.chance(50) { by_ms } else { -by_ms } });
    }
}

/// A clock that was an hour ahead signs nothing that others take before they are there.
const HOUR_MS: i64 = 3_600_000;

/// As many as keep the network live; one kind for each.
fn byzantine(plan: &mut Plan, dice: &mut Dice) {
    let mut nodes: Vec<usize> = (0..plan.nodes()).collect();
    while !nodes.is_empty() {
        let node = nodes.remove(dice.below(nodes.len()));
        let kind = Kind::ALL[dice.below(Kind::ALL.len())];
        plan.byzantine.push(Bad { node, kind });
        if !plan.is_live() {
            plan.byzantine.pop();
        }
    }
}
