//! Plans from a `testnet.toml` ([`crate::scenario`]).

use std::time::Duration;

use super::{Bad, BadPlan, Fault, LOAD_MAX, Latency, Plan};
use crate::scenario::{self, Perturb, Scenario, Sync};
use crate::sim::byzantine::Kind;

/// By how much a slow disk is slower, milliseconds a write.
const SLOW_MS: u64 = 200;

/// What a file calls what a member does.
const NAMES: [(&str, Kind); 6] = [
    ("equivocate", Kind::Equivocator),
    ("double-vote", Kind::DoubleVoter),
    ("mute", Kind::Mute),
    ("stale", Kind::Stale),
    ("withhold", Kind::Withholder),
    ("lie", Kind::Liar),
];

impl Plan {
    /// The same network with the same things happening to it, on the simulator's clock. Every node schedules; what the load weighs is not
    /// simulated, so its payload says nothing here.
    ///
    /// # Errors
    /// It asks for something that is not simulated, or is no plan.
    pub fn of_scenario(scenario: &Scenario) -> Result<Self, BadPlan> {
        let nodes = scenario.nodes.len();
        let load = scenario.load.as_ref().map(|load| (load.rate.saturating_mul(ms(load.r#for.0)) / 1_000, ms(load.r#for.0)));
        let calm = Self::calm(&scenario.plugin, nodes, scenario.seed);
        let (messages, load_ms) = load.unwrap_or((calm.messages as u64, calm.load_ms));
        let mut plan = Self {
            stakes: scenario.nodes.iter().map(|node| node.stake).collect(),
            schedulers: nodes,
            processes: nodes,
            messages: usize::try_from(messages).unwrap_or(usize::MAX),
            load_ms,
            latency: match scenario.latency {
                scenario::Latency::Lan => Latency::Lan,
                scenario::Latency::Wan5 => Latency::Wan5,
            },
            ..calm
        };
        if plan.messages > LOAD_MAX {
            return Err(BadPlan::Unsimulated(format!(
                "{messages} messages: at most {LOAD_MAX} are, take a lower `load.rate` or `load.for`"
            )));
        }
        for (node, member) in scenario.nodes.iter().enumerate() {
            if member.sync != Sync::Log {
                return Err(BadPlan::Unsimulated(format!("`node.n{}.sync`: nodes evaluate the log", node + 1)));
            }
            if !member.start_at.is_zero() {
                plan.faults.push(Fault::Crash { node, at_ms: 0, for_ms: ms(member.start_at), torn: false });
            }
            for name in &member.misbehave {
                let kind = NAMES.iter().find(|(known, _)| known == name).map(|(_, kind)| *kind);
                let known = || NAMES.map(|(name, _)| name).join(", ");
                let kind = kind.ok_or_else(|| {
                    BadPlan::Unsimulated(format!("`{name}` at node n{}: from its beginning on a member may {}", node + 1, known()))
                })?;
                plan.byzantine.push(Bad { node, kind });
            }
        }
        let last = scenario.nodes.iter().flat_map(|node| &node.perturb).map(|one| ms(one.at)).max().unwrap_or(0);
        let end_ms = plan.load_ms.max(last).max(plan.storm_ms);
        for (node, member) in scenario.nodes.iter().enumerate() {
            for one in &member.perturb {
                let at_ms = ms(one.at);
                plan.faults.push(match one.what {
                    Perturb::Kill(away) => Fault::Crash { node, at_ms, for_ms: ms(away), torn: false },
                    Perturb::Pause(lasts) => Fault::Pause { node, at_ms, for_ms: ms(lasts) },
                    Perturb::Partition(lasts) => Fault::Cut { nodes: vec![node], at_ms, for_ms: ms(lasts), one_way: false },
                    // Until the storm is over: then everything must get well.
                    Perturb::Skew(by_ms) => Fault::Jump { node, at_ms, for_ms: end_ms.saturating_sub(at_ms).max(1), by_ms },
                    Perturb::SlowDisk(lasts) => Fault::SlowDisk { node, at_ms, for_ms: ms(lasts), by_ms: SLOW_MS },
                    Perturb::FillDisk(lasts) => Fault::FullDisk { node, at_ms, for_ms: ms(lasts) },
                });
            }
        }
        plan.storm_ms = plan.faults.iter().map(|fault| fault.times()).fold(end_ms, |end, (at, lasts)| end.max(at.saturating_add(lasts)));
        plan.check()?;
        Ok(plan)
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Plan, BadPlan> {
        Plan::of_scenario(&Scenario::parse(text).unwrap())
    }

    #[test]
    fn everything_that_a_file_says_is_in_the_plan() {
        let text = r#"
            seed = 9
            plugin = "bft"
            load = { rate = 20, for = "2s" }
            latency = "wan5"
            [node.n1]
            stake = 150
            perturb = ["kill@1s:500ms", "pause@2s:1s", "partition@3s:2s", "skew@4s:-2s", "slow-disk@1s:1s", "fill-disk@5s:1s"]
            [node.n5]
            start_at = "700ms"
            misbehave = ["mute"]
        "#;
        let plan = of(text).unwrap();
        assert_eq!((plan.seed, plan.engine.as_str(), plan.latency), (9, "bft", Latency::Wan5));
        assert_eq!((plan.stakes.as_slice(), plan.messages, plan.load_ms), (&[150, 100, 100, 100, 100][..], 40, 2_000));
        assert_eq!(plan.byzantine, [Bad { node: 4, kind: Kind::Mute }]);
        let node = 0;
        let expected = [
            Fault::Crash { node: 4, at_ms: 0, for_ms: 700, torn: false },
            Fault::Crash { node, at_ms: 1_000, for_ms: 500, torn: false },
            Fault::Pause { node, at_ms: 2_000, for_ms: 1_000 },
            Fault::Cut { nodes: vec![0], at_ms: 3_000, for_ms: 2_000, one_way: false },
            Fault::Jump { node, at_ms: 4_000, for_ms: 1_000, by_ms: -2_000 },
            Fault::SlowDisk { node, at_ms: 1_000, for_ms: 1_000, by_ms: SLOW_MS },
            Fault::FullDisk { node, at_ms: 5_000, for_ms: 1_000 },
        ];
        assert_eq!(plan.faults, expected);
        assert_eq!(plan.storm_ms, 6_000, "until the last is over");
        // It can be run, and says the same each time.
        let outcome = crate::sim::run::run(&plan);
        assert!(outcome.violation.is_none(), "{:?}", outcome.violation);
        assert!(outcome.counts.0 >= 40);
    }

    #[test]
    fn what_is_not_simulated_is_refused_by_name() {
        let refused = |text: &str| of(text).unwrap_err().to_string();
        assert!(refused("[node.n2]\nsync = \"snapshot\"").contains("node.n2.sync"));
        assert!(refused("[node.n2]\nmisbehave = [\"equivocate@slot:50\"]").contains("equivocate@slot:50"));
        assert!(refused("load = { rate = 5000, for = \"60s\" }").contains("300000 messages"));
        assert!(refused("plugin = \"magic\"").contains("magic"));
    }
}
