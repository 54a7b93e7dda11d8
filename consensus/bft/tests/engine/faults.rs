//! Loss, silence, liars.

use std::cell::RefCell;
use std::rc::Rc;

use ao_bft::context::{BlockId, Height, Signature, Vote, Voter};
use ao_bft::driver::Say;
use ao_bft::message::Message;
use ao_bft::signing::vote_message;
use ao_consensus::cheap::CheapSecret;
use ao_consensus::contract::peer;
use ao_consensus::{Evidence, Input, Offence, SecretKey};
use arc_malachitebft_core_types::{NilOrVal, Round, SignedMessage, VoteType};
use bytes::Bytes;

use crate::net::{NETWORK, Net, chain};

fn feed(net: &mut Net, frames: usize, every_ms: u64) {
    for _ in 0..frames {
        let frame = net.frame(0);
        net.give_all(&frame);
        net.run_for(every_ms);
    }
}

#[test]
fn a_lost_body_is_asked_for() {
    let mut net = Net::new(20, &[1; 4], 0, 1);
    // Without node 2 nothing is decided without node 3, which gets no proposal and no body unless it asks, and no block to catch up by.
    net.crash(2);
    let mut asked = false;
    net.filter = Box::new(move |from, to, message| {
        asked |= from == 3 && matches!(message, Message::WantBody(..));
        to != 3 || asked || !matches!(message, Message::Say(Say::Proposal(..), _) | Message::Blocks(_))
    });
    feed(&mut net, 5, 100);
    net.run_until_confirmed(5, 60_000);
    assert!(net.sent["body"] > 0);
    net.nobody_is_blamed();
}

#[test]
fn a_body_that_its_proposer_withholds_costs_a_round() {
    let mut net = Net::new(21, &[1; 4], 0, 1);
    // Bodies of node 0 reach nobody, asked for or not.
    net.filter = Box::new(|from, _, message| from != 0 || !matches!(message, Message::Say(Say::Proposal(_), _) | Message::Body(_)));
    feed(&mut net, 5, 100);
    net.run_until_confirmed(5, 60_000);
    net.nobody_is_blamed();
}

#[test]
fn who_missed_decisions_gets_blocks_and_frames_without_votes() {
    let mut net = Net::new(22, &[1; 4], 0, 1);
    net.crash(3);
    for _ in 0..150 {
        let frame = net.frame(0);
        (0..3).for_each(|index| net.give(index, &frame));
        net.run_for(40);
    }
    net.run_until_confirmed(150, 60_000);
    // Votes do not reach it: only what it asks for does.
    net.filter = Box::new(|_, to, message| to != 3 || !matches!(message, Message::Say(..)));
    net.start(3);
    net.run_until_confirmed(150, 60_000);
    net.nobody_is_blamed();
}

#[test]
fn who_was_cut_off_finds_out_although_nothing_else_happens() {
    let mut net = Net::new(23, &[1; 4], 0, 1);
    net.filter = Box::new(|from, to, _| from != 3 && to != 3);
    let frame = net.frame(0);
    (0..3).for_each(|index| net.give(index, &frame));
    net.run_for(600_000);
    assert_eq!(net.confirmed(), [1, 1, 1, 0]);
    net.filter = Box::new(|_, _, _| true);
    net.run_until_confirmed(1, 90_000);
}

#[test]
fn loss_costs_time_and_nothing_else() {
    for seed in 0..6 {
        let mut net = Net::new(100 + seed, &[1; 4], 1, 1);
        net.loss_per_mille = 200;
        feed(&mut net, 10, 100);
        net.run_until_confirmed(10, 300_000);
        assert!(net.nodes.iter().all(|node| node.evidence.is_empty()));
    }
}

#[test]
fn with_a_quorum_alive_it_goes_on_and_with_less_it_halts_and_resumes() {
    let mut net = Net::new(24, &[1; 4], 0, 1);
    net.crash(1);
    feed(&mut net, 5, 100);
    net.run_until_confirmed(5, 60_000);
    net.crash(2);
    let frame = net.frame(0);
    net.give_all(&frame);
    net.run_for(120_000);
    assert_eq!((net.nodes[0].confirmed.len(), net.nodes[3].confirmed.len()), (5, 5));
    net.start(2);
    net.start(1);
    net.run_until_confirmed(6, 60_000);
}

#[test]
fn a_partition_heals() {
    for (left, seed) in [(vec![0, 1], 25), (vec![0], 26)] {
        let mut net = Net::new(seed, &[1; 4], 0, 1);
        feed(&mut net, 2, 100);
        let side = left.clone();
        net.filter = Box::new(move |from, to, _| side.contains(&from) == side.contains(&to));
        feed(&mut net, 5, 2_000);
        net.filter = Box::new(|_, _, _| true);
        net.run_until_confirmed(7, 60_000);
        net.agree();
    }
}

#[test]
fn stake_decides_not_heads() {
    let mut net = Net::new(27, &[7, 1, 1, 1], 0, 1);
    (1..4).for_each(|index| net.crash(index));
    feed(&mut net, 3, 100);
    net.run_until_confirmed(3, 60_000);
}

#[test]
fn an_equivocating_scheduler_never_gets_two_frames_confirmed_and_everybody_can_show_it() {
    let mut net = Net::new(28, &[1; 4], 0, 1);
    let one = net.frame(0);
    let two = net.other_frame(&one);
    for index in 0..4 {
        net.give(index, if index % 2 == 0 { &one } else { &two });
    }
    net.run_for(5_000);
    for index in 0..4 {
        net.give(index, if index % 2 == 0 { &two } else { &one });
    }
    net.run_until_confirmed(1, 60_000);
    assert!(net.nodes.iter().all(|node| node.confirmed.len() == 1));
    for node in &net.nodes {
        assert!(matches!(&node.evidence[..], [Evidence::TwoHeaders(_)]), "{:?}", node.evidence);
    }
}

/// Votes of member 3 that contradict one another reach everybody while a height is decided without it: two prevotes, two precommits, and a
/// precommit for a block and for none.
#[test]
fn a_double_voter_is_shown() {
    let mut net = Net::new(29, &[1; 4], 0, 1);
    net.crash(3);
    let vote = |kind, value: NilOrVal<BlockId>, height: u64| {
        let voter = Voter(CheapSecret::new(3).public());
        let vote = Vote { kind, height: Height(height), round: Round::new(0), value, voter };
        let signature = Signature(CheapSecret::new(3).sign(&vote_message(&NETWORK, &vote)));
        Message::Say(Say::Vote(SignedMessage::new(vote, signature)), None).to_bytes()
    };
    let (one, two) = (NilOrVal::Val(BlockId([1; 32])), NilOrVal::Val(BlockId([2; 32])));
    let pairs = [(VoteType::Prevote, one, two), (VoteType::Precommit, one, two), (VoteType::Precommit, one, NilOrVal::Nil)];
    for (height, (kind, one, two)) in (1..).zip(pairs) {
        let frame = net.frame(0);
        net.give_all(&frame);
        for index in 0..3 {
            net.input(index, Input::Peer(peer(3), vote(kind, one, height)));
            net.input(index, Input::Peer(peer(3), vote(kind, two, height)));
        }
        net.run_until_confirmed(height as usize, 60_000);
    }
    for node in &net.nodes[..3] {
        assert_eq!(node.evidence.len(), 3, "one for each height");
        assert!(node.evidence.iter().all(|evidence| matches!(evidence, Evidence::TwoVotes(_))));
    }
}

#[test]
fn rubbish_costs_its_sender_and_nobody_else() {
    let mut net = Net::new(30, &[1; 4], 0, 1);
    feed(&mut net, 2, 100);
    let taken = Rc::new(RefCell::new(Vec::<Bytes>::new()));
    let tap = Rc::clone(&taken);
    net.filter = Box::new(move |_, _, message| {
        tap.borrow_mut().push(message.to_bytes());
        true
    });
    let frame = net.frame(0);
    net.give_all(&frame);
    let mut sent = 0;
    for step in 0..4_000u64 {
        let bytes = taken.borrow().get((step as usize * 7) % taken.borrow().len().max(1)).cloned().unwrap_or_default();
        let mut bytes = bytes.to_vec();
        match step % 4 {
            0 => bytes.truncate((step as usize * 13) % bytes.len().max(1)),
            1 => {}
            _ => {
                let at = (step as usize * 31) % bytes.len().max(1);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (step % 8));
            }
        }
        net.input(0, Input::Peer(peer(9), bytes.into()));
        sent += 1;
        net.step(u64::MAX);
    }
    assert_eq!(sent, 4_000);
    let others = net.nodes[0].penalties.iter().filter(|(from, _)| *from != peer(9)).count();
    assert_eq!(others, 0);
    assert!(net.nodes[0].penalties.iter().any(|(_, why)| *why == Offence::Malformed));
    feed(&mut net, 3, 100);
    net.run_until_confirmed(6, 60_000);
    assert!(net.nodes.iter().all(|node| node.confirmed.iter().all(|(of, ..)| *of == chain(0))));
}

#[test]
fn a_peer_that_claims_to_be_ahead_and_is_not_is_found_out() {
    let mut net = Net::new(31, &[1; 4], 0, 1);
    feed(&mut net, 2, 100);
    net.input(0, Input::Peer(peer(3), Message::Tip(Height(1_000_000)).to_bytes()));
    net.filter = Box::new(|from, to, message| (from, to) != (3, 0) || !matches!(message, Message::Blocks(_)));
    feed(&mut net, 2, 100);
    net.run_for(30_000);
    net.run_until_confirmed(4, 60_000);
    assert_eq!(net.nodes[0].penalties, [(peer(3), Offence::Withheld)]);
}
