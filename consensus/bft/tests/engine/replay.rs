//! Crashes: after each record, of one node and of all.

use crate::net::Net;

fn run(seed: u64, dies: Option<(usize, usize)>) -> Net {
    let mut net = Net::new(seed, &[1; 4], 0, 1);
    net.loss_per_mille = 30;
    if let Some((index, after)) = dies {
        net.nodes[index].dies_after = Some(after);
    }
    for _ in 0..4 {
        let frame = net.frame(0);
        net.give_all(&frame);
        for _ in 0..4 {
            net.run_for(20);
            let dead: Vec<usize> = (0..4).filter(|index| net.nodes[*index].engine.is_none()).collect();
            dead.into_iter().for_each(|index| net.start(index));
        }
    }
    if net.nodes.iter().any(|node| node.engine.is_none()) {
        net.run_for(5);
        (0..4).filter(|index| net.nodes[*index].engine.is_none()).collect::<Vec<_>>().into_iter().for_each(|index| net.start(index));
    }
    net.run_until_confirmed(4, 60_000);
    net
}

/// The net panics if a vote leaves that contradicts a remembered one, and if protection is asked for a conflict.
#[test]
fn a_node_that_dies_after_any_record_goes_on_and_contradicts_nothing() {
    for seed in [40, 41] {
        let records = run(seed, None).nodes[1].remembered;
        assert!(records > 8, "{records} records");
        for after in 1..=records {
            let net = run(seed, Some((1, after)));
            assert!(net.nodes.iter().all(|node| node.evidence.is_empty()));
        }
    }
}

#[test]
fn a_network_that_dies_at_once_goes_on() {
    let mut net = Net::new(42, &[1; 4], 0, 1);
    for _ in 0..20 {
        let frame = net.frame(0);
        net.give_all(&frame);
        let ms = 1 + net.random(25);
        net.run_for(ms);
        (0..4).for_each(|index| net.crash(index));
        net.run_for(10);
        (0..4).for_each(|index| net.start(index));
    }
    net.run_until_confirmed(20, 60_000);
}

#[test]
fn a_node_that_lost_its_log_but_not_its_protection_is_silent_where_it_spoke() {
    let mut net = Net::new(43, &[1; 4], 0, 1);
    let frame = net.frame(0);
    net.give_all(&frame);
    while !net.nodes[1].records.keys().any(|key| key.starts_with("bft/wal/")) {
        assert!(net.step(u64::MAX));
    }
    net.crash(1);
    net.nodes[1].records.clear();
    net.start(1);
    net.run_until_confirmed(1, 60_000);
    let frame = net.frame(0);
    net.give_all(&frame);
    net.run_until_confirmed(2, 60_000);
    assert!(net.nodes.iter().all(|node| node.evidence.is_empty()));
}
