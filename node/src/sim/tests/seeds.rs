//! Seeds over every engine of a network: no violation. Each test is a slice, so that they run beside each other.

use std::ops::Range;

use crate::sim::byzantine::Kind;
use crate::sim::plan::{Bad, Plan, Taste};
use crate::sim::run::run;

fn holds(plan: &Plan) {
    if let Some(violation) = run(plan).violation {
        panic!("{violation}\n{}", plan.to_text());
    }
}

/// Runs some seeds.
fn seeds(engine: &str, seeds: Range<u64>) {
    for seed in seeds {
        holds(&Plan::of_seed(engine, seed, Taste::ALL));
    }
}

macro_rules! slices {
    ($engine:literal: $($name:ident $range:expr),* $(,)?) => { $(#[test] fn $name() { seeds($engine, $range) })* };
}

slices!("attest":
    attest_0_to_30 0..30, attest_30_to_60 30..60, attest_60_to_90 60..90, attest_90_to_120 90..120, attest_120_to_150 120..150,
    attest_150_to_180 150..180, attest_180_to_210 180..210, attest_210_to_240 210..240, attest_240_to_270 240..270, attest_270_to_300 270..300,
);

// Without 244: a clock an hour ahead among seven members, so that an hour passes at a block or two a second. Minutes for one seed; it is left
// to the nightly runs.
slices!("bft":
    bft_0_to_30 0..30, bft_30_to_60 30..60, bft_60_to_90 60..90, bft_90_to_120 90..120, bft_120_to_150 120..150,
    bft_150_to_180 150..180, bft_180_to_210 180..210, bft_210_to_240 210..240, bft_240_to_244 240..244, bft_245_to_270 245..270, bft_270_to_301 270..301,
);

/// A write that fails takes what its engine had heard and not yet written; what its votes bind the key to must go with it, and what others
/// said must be said to it again, or the height never ends: each of these once halted.
#[test]
fn a_torn_write_silences_no_member_for_good() {
    for seed in [6, 38, 54, 93] {
        holds(&Plan::of_seed("bft", seed, Taste::ALL));
    }
}

/// A frame that is handed on, breaks a rule of the log and arrives twice is gossip both times: once its second arrival was taken for the
/// answer to a question, and an honest node blamed for it.
#[test]
fn gossip_that_arrives_twice_is_nobodys_answer() {
    holds(&Plan::of_seed("attest", 8114, Taste::ALL));
}

/// A node that stores another log than the certified one, and of which the first certificate that it hears is several frames ahead: it once
/// kept the frames between for itself, and its engine never learnt how the certified one hangs together with what is stored.
#[test]
fn a_certificate_far_ahead_turns_a_node_too() {
    holds(&Plan::of_seed("attest", 4920, Taste::ALL));
}

#[test]
fn one_plan_is_one_run() {
    for engine in ["attest", "bft"] {
        let plan = Plan::draw(engine, 5, 77, Taste::ALL);
        let (one, other) = (run(&plan), run(&Plan::parse(&plan.to_text()).unwrap()));
        assert_eq!(one.trace, other.trace, "{engine}: the plan goes through its text, and the run is the same");
        assert_ne!(one.trace, run(&Plan { seed: 78, ..plan }).trace);
    }
}

/// Two heartbeats of gossip.
const EVIDENCE_MS_MAX: u64 = 2_000;

/// With a third of the stake Byzantine of each kind nothing wrong is confirmed; with less, everything is.
#[test]
fn a_third_of_each_kind_breaks_nothing_and_less_stops_nothing() {
    for engine in ["attest", "bft"] {
        for kind in Kind::ALL {
            for nodes in [6, 7] {
                let byzantine = [0, 1].map(|node| Bad { node, kind }).to_vec();
                let plan = Plan { schedulers: 3, processes: 3, byzantine, ..Plan::calm(engine, nodes, nodes as u64) };
                assert_eq!(plan.is_live(), nodes == 7);
                let outcome = run(&plan);
                assert_eq!(outcome.violation, None, "{engine}, {kind:?}, {nodes} nodes");
                assert!(nodes == 6 || outcome.counts.0 > 5, "{engine}, {kind:?}: {:?}", outcome.counts);
                if kind == Kind::Equivocator {
                    assert!(!outcome.evidence_ms.is_empty(), "{engine}: two headers are seen");
                    let fast = |ms: &Option<u64>| ms.is_some_and(|ms| ms <= EVIDENCE_MS_MAX);
                    assert!(outcome.evidence_ms.iter().all(fast), "{engine}: {:?}", outcome.evidence_ms);
                }
            }
        }
    }
}

/// More than a third of the stake on two sides of a network confirms two things for one place. Whoever did it is convicted by what honest
/// nodes keep: a third of the committee's stake at least.
#[test]
fn more_than_a_third_can_break_safety_and_is_convicted() {
    let bad = |node, kind| Bad { node, kind };
    let byzantine = vec![bad(0, Kind::Equivocator), bad(1, Kind::DoubleVoter), bad(2, Kind::DoubleVoter)];
    let mut split = 0;
    for seed in 0..16 {
        let plan = Plan {
            stakes: vec![1, 2, 2, 1, 1],
            schedulers: 1,
            processes: 1,
            messages: 8,
            byzantine: byzantine.clone(),
            ..Plan::calm("attest", 5, seed)
        };
        assert!(plan.may_split());
        let outcome = run(&plan);
        assert_eq!(outcome.violation, None, "seed {seed}");
        split += usize::from(outcome.split.is_some());
    }
    assert!(split > 0, "two sides never confirmed two things");
}
