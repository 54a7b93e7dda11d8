//! What happens when nothing goes wrong, and when frames, operations or time alone ask for a block.

use ao_consensus::{ControlOp, Input, OriginChange};
use bytes::Bytes;

use crate::net::{Net, chain, stranger};

#[test]
fn frames_are_confirmed_at_every_size() {
    for (n, seed) in [(1, 1), (4, 2), (7, 3), (20, 4)] {
        let mut net = Net::new(seed, &vec![1; n], 1, 2);
        for _ in 0..6 {
            for number in 0..2 {
                let frame = net.frame(number);
                net.give_all(&frame);
            }
            net.run_for(100);
        }
        net.run_until_confirmed(12, 10_000);
        net.nobody_is_blamed();
    }
}

#[test]
fn a_chain_goes_on_beyond_the_window_because_decisions_acknowledge_it() {
    let mut net = Net::new(5, &[1; 4], 0, 1);
    let frames: Vec<_> = (0..50).map(|_| net.frame(0)).collect();
    // In the wrong order, all at once.
    frames.iter().rev().for_each(|frame| net.give_all(frame));
    net.run_until_confirmed(50, 10_000);
}

#[test]
fn one_node_s_frame_reaches_all_by_the_block_that_names_it() {
    let mut net = Net::new(6, &[1; 4], 1, 1);
    let frame = net.frame(0);
    net.give(2, &frame);
    net.run_until_confirmed(1, 20_000);
    net.nobody_is_blamed();
}

#[test]
fn nothing_is_decided_when_there_is_nothing_to_decide() {
    let mut net = Net::new(7, &[1; 4], 0, 1);
    net.run_for(60_000);
    assert!(net.nodes.iter().all(|node| node.decided.is_empty()));
    let frame = net.frame(0);
    net.give_all(&frame);
    net.run_until_confirmed(1, 1_000);
    net.run_for(60_000);
    assert!(net.nodes.iter().all(|node| node.decided.len() == 1), "one block, and then silence");
}

#[test]
fn an_operation_is_decided_once_everywhere_whoever_it_was_given_to() {
    let mut net = Net::new(8, &[1; 4], 1, 0);
    let op = |number: u8| ControlOp::Ledger(Bytes::from(vec![number; 100]));
    net.input(3, Input::Submit(Box::new(op(1))));
    net.input(4, Input::Submit(Box::new(op(2))));
    net.input(0, Input::Submit(Box::new(op(1))));
    net.run_for(10_000);
    for node in &net.nodes {
        let mut ops: Vec<_> = node.decided.iter().flat_map(|(_, ops)| ops.clone()).collect();
        ops.sort_by_key(|op| if let ControlOp::Ledger(bytes) = op { bytes[0] } else { 0 });
        assert_eq!(ops, [op(1), op(2)]);
    }
    net.agree();
}

#[test]
fn a_large_operation_and_a_large_block_reach_everybody() {
    let mut net = Net::new(9, &[1; 4], 0, 1);
    for number in 0..8u8 {
        net.input(0, Input::Submit(Box::new(ControlOp::Ledger(Bytes::from(vec![number; 40_000])))));
    }
    let frame = net.frame(0);
    net.give_all(&frame);
    net.run_until_confirmed(1, 20_000);
    net.run_for(20_000);
    assert!(net.nodes.iter().all(|node| node.decided.iter().map(|(_, ops)| ops.len()).sum::<usize>() == 8));
    assert!(net.sent["body"] > 0, "blocks of 120 KB are not gossiped");
    net.nobody_is_blamed();
}

#[test]
fn while_a_chain_is_being_closed_time_goes_on() {
    let mut net = Net::new(10, &[1; 4], 0, 1);
    net.run_for(5_000);
    assert!(net.nodes[0].decided.is_empty());
    net.origin(vec![OriginChange::Closing { chain: chain(0) }]);
    net.run_for(10_000);
    let ticks = net.nodes[0].decided.len();
    assert!((5..=10).contains(&ticks), "{ticks} blocks in ten seconds");
    net.origin(vec![OriginChange::Frontier { chain: chain(0), last: None }]);
    net.run_for(3_000);
    let after = net.nodes[0].decided.len();
    net.run_for(30_000);
    assert_eq!(net.nodes[0].decided.len(), after);
    net.agree();
}

#[test]
fn a_frame_of_a_scheduler_that_is_none_is_not_confirmed_and_keeps_nobody_from_going_on() {
    let mut net = Net::new(11, &[1; 4], 0, 2);
    net.origin(vec![OriginChange::Dismissed { scheduler: chain(1).scheduler }]);
    assert_ne!(stranger(), chain(1).scheduler);
    for _ in 0..3 {
        for number in 0..2 {
            let frame = net.frame(number);
            net.give_all(&frame);
        }
    }
    net.run_until_confirmed(3, 5_000);
    net.run_for(5_000);
    assert!(net.nodes.iter().all(|node| node.confirmed.iter().all(|(of, ..)| *of == chain(0))));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let mut net = Net::new(seed, &[3, 2, 2, 1, 1], 1, 2);
        net.loss_per_mille = 100;
        for _ in 0..10 {
            for number in 0..2 {
                let frame = net.frame(number);
                net.give_all(&frame);
            }
            net.run_for(50);
        }
        net.run_until_confirmed(20, 120_000);
        (net.now, net.sent, net.nodes.iter().map(|node| node.remembered).collect::<Vec<_>>())
    };
    assert_eq!(run(12), run(12));
    assert_ne!(run(12), run(13));
}
