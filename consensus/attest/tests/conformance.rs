//! The suite that every engine must pass (`consensus.md` §11), at n = 1, 4, 7 and 20.

use ao_attest::Attest;
use ao_consensus::contract::{Suite, conformance};
use ao_consensus::{Consensus, Setup};

fn conforms(nodes: usize, seeds: u64) {
    let make = |setup: Setup| -> Box<dyn Consensus> { Box::new(Attest::new(setup).expect("the records are this engine's own")) };
    let reports = conformance(&Suite::new(&make), nodes, seeds).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(reports.iter().all(|(_, report)| report.frames > 0 && report.confirmed > 0), "{reports:?}");
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
