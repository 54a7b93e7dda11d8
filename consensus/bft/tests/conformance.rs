//! The suite for all engines, at each size: no violation, whatever the weather, the crashes and the twins.

use ao_bft::Engine;
use ao_consensus::contract::{Suite, conformance};

fn check(nodes: usize, seeds: u64) {
    let suite = Suite::new(&|setup| Box::new(Engine::new(setup)));
    match conformance(&suite, nodes, seeds) {
        Ok(reports) => {
            // A scenario in which every scheduler is down has no frames.
            let confirmed = reports.iter().filter(|(_, report)| report.frames > 0).all(|(_, report)| report.confirmed > 0);
            assert!(confirmed, "{reports:?}");
        }
        Err(violation) => panic!("{violation}"),
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

#[test]
fn seven_members() {
    check(7, 2);
}

#[test]
fn twenty_members() {
    check(20, 1);
}
