//! Seeds over every engine of a network: no violation. Each test is a slice, so that they run beside each other.

use std::ops::Range;

use crate::sim::plan::{Plan, Taste};
use crate::sim::run::run;

/// Runs some seeds, of networks of one to seven nodes.
fn seeds(engine: &str, seeds: Range<u64>) {
    for seed in seeds {
        let plan = Plan::of_seed(engine, seed, Taste::ALL);
        if let Some(violation) = run(&plan).violation {
            panic!("{violation}\n{}", plan.to_text());
        }
    }
}

macro_rules! slices {
    ($engine:literal: $($name:ident $range:expr),* $(,)?) => { $(#[test] fn $name() { seeds($engine, $range) })* };
}

slices!("attest":
    attest_0_to_30 0..30, attest_30_to_60 30..60, attest_60_to_90 60..90, attest_90_to_120 90..120, attest_120_to_150 120..150,
);

slices!("bft":
    bft_0_to_30 0..30, bft_30_to_60 30..60, bft_60_to_90 60..90, bft_90_to_120 90..120, bft_120_to_150 120..150,
);

#[test]
fn one_plan_is_one_run() {
    for engine in ["attest", "bft"] {
        let plan = Plan::draw(engine, 5, 77, Taste::ALL);
        let (one, other) = (run(&plan), run(&Plan::parse(&plan.to_text()).unwrap()));
        assert_eq!(one.trace, other.trace, "{engine}: the plan goes through its text, and the run is the same");
        assert_ne!(one.trace, run(&Plan { seed: 78, ..plan }).trace);
    }
}
