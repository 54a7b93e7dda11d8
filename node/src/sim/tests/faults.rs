//! Rows of the fault matrix, each as a plan of its own beside what seeds draw: what must hold is checked by the run after every step, and at
//! the end everything that was sent is in every log (S7). Which test shows which row: `testnet/faults.md`. `AONODE_FULL=1` runs all plans of a
//! row, otherwise only its first.

use crate::sim::plan::{Fault, Latency, Plan};
use crate::sim::run::{Outcome, run};

const ENGINES: [&str; 2] = ["attest", "bft"];

/// All plans of a row, or the first.
fn some<T>(plans: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    let count = if std::env::var_os("AONODE_FULL").is_some() { usize::MAX } else { 1 };
    plans.into_iter().take(count)
}

/// A calm network of four with these faults.
fn with(engine: &str, seed: u64, faults: Vec<Fault>) -> Plan {
    let over = faults.iter().map(|fault| fault.times()).map(|(at, length)| at + length).max().unwrap_or(0);
    let calm = Plan::calm(engine, 4, seed);
    Plan { schedulers: 4, processes: 4, messages: 16, storm_ms: calm.storm_ms.max(over), faults, ..calm }
}

fn holds(what: &str, plan: &Plan) -> Outcome {
    plan.check().unwrap_or_else(|error| panic!("{what}: {error}"));
    let outcome = run(plan);
    assert_eq!(outcome.violation, None, "{what}\n{}", plan.to_text());
    assert!(outcome.counts.0 > 0, "{what}: nothing was confirmed");
    outcome
}

/// F6: every write of one node takes two seconds, be it one that schedules or one that leads a round. The others do not wait for it.
#[test]
fn a_disk_that_takes_two_seconds_stops_nobody() {
    for engine in ENGINES {
        for node in some(0..4) {
            let fault = Fault::SlowDisk { node, at_ms: 100, for_ms: 15_000, by_ms: 2_000 };
            holds(&format!("{engine}: a slow disk at node {node}"), &with(engine, node as u64, vec![fault]));
        }
    }
}

/// F7: clocks that are wrong by nearly the drift that is allowed, one that jumps ahead and back, one that falls behind.
#[test]
fn clocks_that_are_wrong_or_jump_refuse_nothing() {
    for engine in ENGINES {
        let wrong = Plan { skew_ms: vec![1_900, -1_900, 0, 900], ..with(engine, 3, Vec::new()) };
        holds(&format!("{engine}: wrong clocks"), &wrong);
        for by_ms in some([-5_000, -3_600_000, 5_000, 20_000]) {
            let fault = Fault::Jump { node: 1, at_ms: 300, for_ms: 1_000, by_ms };
            holds(&format!("{engine}: a clock that jumps by {by_ms} ms"), &with(engine, 4, vec![fault]));
        }
    }
}

/// F8: the network is cut in two halves, three against one, and one way, for half a minute.
#[test]
fn partitions_heal_without_a_fork() {
    for engine in ENGINES {
        for (nodes, one_way) in some([(vec![2, 3], false), (vec![3], false), (vec![0], true), (vec![0, 1], true)]) {
            let what = format!("{engine}: {nodes:?} cut off, one way: {one_way}");
            let fault = Fault::Cut { nodes, at_ms: 300, for_ms: 30_000, one_way };
            let outcome = holds(&what, &with(engine, 5, vec![fault]));
            assert!(outcome.elapsed_ms < 60_000, "{what}: everything is done {} ms after the beginning", outcome.elapsed_ms);
        }
    }
}

/// F9: every delay with every loss, packets that overtake one another, and half of them twice.
#[test]
fn a_matrix_of_bad_links_halts_nobody() {
    for engine in ENGINES {
        for latency in some([Latency::Within(1, 400), Latency::Lan, Latency::Wan5]) {
            for loss in some([40, 0, 10]) {
                for duplicate in some([50, 0]) {
                    let plan = Plan { latency, loss, duplicate, storm_ms: 6_000, ..with(engine, 6, Vec::new()) };
                    holds(&format!("{engine}: {latency:?}, {loss} of a hundred lost, {duplicate} twice"), &plan);
                }
            }
        }
    }
}

/// F10: a node sleeps for thirty seconds in the middle of everything, and finds all that others said meanwhile in its sockets. What it was
/// about to say it says to another world: nothing that contradicts what it said before.
#[test]
fn who_slept_for_half_a_minute_contradicts_nobody() {
    for engine in ENGINES {
        for (node, at_ms) in some([(0, 200), (1, 450), (2, 800), (3, 1_200)]) {
            let fault = Fault::Pause { node, at_ms, for_ms: 30_000 };
            holds(&format!("{engine}: node {node} sleeps"), &with(engine, 7, vec![fault]));
        }
    }
}

/// F18: everything comes twice, the second time when it is forgotten that it was seen; and nodes that begin anew hear all of it once more.
#[test]
fn everything_said_twice_and_after_a_restart_is_said_once() {
    for engine in ENGINES {
        let crash = |node, at_ms| Fault::Crash { node, at_ms, for_ms: 500, torn: false };
        let plan = Plan { duplicate: 100, ..with(engine, 8, vec![crash(0, 500), crash(2, 900), crash(3, 1_300)]) };
        holds(&format!("{engine}: everything twice"), &plan);
    }
}
