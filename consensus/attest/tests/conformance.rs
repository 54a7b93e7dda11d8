//! The suite that every engine must pass (`consensus.md` §11), at n = 1, 4, 7 and 20.

use ao_attest::Attest;
use ao_consensus::contract::{Scenario, Suite, conformance, run};
use ao_consensus::{Consensus, Setup};

fn conforms(nodes: usize, seeds: u64) {
    let make = |setup: Setup| -> Box<dyn Consensus> { Box::new(Attest::new(setup).expect("the records are this engine's own")) };
    let reports = conformance(&Suite::new(&make), nodes, seeds).unwrap_or_else(|violation| panic!("{violation}"));
    // All schedulers may be among those who never start.
    let idle = reports.iter().find(|(name, report)| *name != "mute" && (report.frames == 0 || report.confirmed == 0));
    assert_eq!(idle, None, "nothing happened");
}

#[test]
fn one_node() {
    conforms(1, 10);
}

#[test]
fn four_nodes() {
    conforms(4, 3);
}

#[test]
fn seven_nodes() {
    conforms(7, 2);
}

#[test]
fn twenty_nodes() {
    conforms(20, 1);
}

/// Frames by the hundred, and a node that starts when they are all there.
#[test]
fn a_node_that_comes_late() {
    let make = |setup: Setup| -> Box<dyn Consensus> { Box::new(Attest::new(setup).expect("the records are this engine's own")) };
    let scenario =
        Scenario { name: "late", late: true, schedulers: 2, batches: 400, storm_ms: 8_000, patience_ms: 300_000, ..Scenario::calm(4) };
    let report = run(&Suite::new(&make), &scenario, 0).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(report.frames > 200, "{report:?}");
}
