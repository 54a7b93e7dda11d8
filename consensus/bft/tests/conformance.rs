//! The suite for all engines, at each size: no violation, whatever the weather, the crashes and the twins.

use ao_bft::Engine;
use ao_consensus::contract::{Report, Suite, conformance, run, scenarios};

fn suite() -> Suite<'static> {
    Suite::new(&|setup| Box::new(Engine::new(setup)))
}

/// A scenario in which every scheduler is down has no frames.
fn confirms(report: &Report) -> bool {
    report.frames == 0 || report.confirmed > 0
}

fn check(nodes: usize, seeds: u64) {
    match conformance(&suite(), nodes, seeds) {
        Ok(reports) => assert!(reports.iter().all(|(_, report)| confirms(report)), "{reports:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

/// Each scenario once: that the same seed is the same run is shown by smaller networks.
fn check_once(nodes: usize, part: usize) {
    for scenario in scenarios(nodes).iter().skip(part).step_by(2) {
        match run(&suite(), scenario, 0) {
            Ok(report) => assert!(confirms(&report), "{}: {report:?}", scenario.name),
            Err(violation) => panic!("{violation}"),
        }
    }
}

#[test]
fn alone() {
    check(1, 20);
}

#[test]
fn four_members() {
    check(4, 4);
}

/// Whoever was away for a few blocks already needs what others have on disk only.
#[test]
fn four_members_that_keep_three_blocks_in_memory() {
    let mut suite = suite();
    suite.params.insert("recent_blocks".to_owned(), ao_types::genesis::Param::Number(3));
    match conformance(&suite, 4, 2) {
        Ok(reports) => assert!(reports.iter().all(|(_, report)| confirms(report)), "{reports:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn seven_members() {
    check(7, 2);
}

#[test]
fn twenty_members_in_one_half_of_the_scenarios() {
    check_once(20, 0);
}

#[test]
fn twenty_members_in_the_other_half() {
    check_once(20, 1);
}
