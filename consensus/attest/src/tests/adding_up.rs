//! Rules G1 to G4, C4 to C6 in a committee that is not cut: shares, certificates, and whoever lags.

use ao_consensus::block::FrameRef;
use ao_consensus::evidence::Evidence;
use ao_types::{Attestation, PeerId};

use super::rig::*;
use crate::draw::Seed;
use crate::limits::{ASK_WAIT_MS, CERTIFICATE_WAIT_INTERVALS, INTERVAL_MS};
use crate::wire::Message;

const WAIT_MS: u64 = INTERVAL_MS * CERTIFICATE_WAIT_INTERVALS;

/// Members drawn to add up the first frames, but for the scheduler's.
fn aggregators(net: &Net) -> Vec<u16> {
    let members = net.committee(0).len() as u16;
    let drawn = Seed::new(&net.network, net.committee(0).epoch(), &net.chain, 0).draw(0, net.committee(0), 0..members);
    drawn.into_iter().filter(|member| *member != net.host).collect()
}

fn neither(net: &Net) -> u16 {
    (0..net.committee(0).len() as u16).find(|member| *member != net.host && !aggregators(net).contains(member)).unwrap()
}

#[test]
fn the_scheduler_certifies_when_a_quorum_signed() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    assert_eq!(rig.share(1, &frame), NOTHING);
    assert_eq!(rig.share(2, &frame), NOTHING, "two of four");
    assert_eq!(only(&rig.write(), "certified"), ["certified 0"], "its own is the third");
    assert_eq!(rig.share(3, &frame), NOTHING);
    rig.assert_sound();
}

#[test]
fn an_own_share_counts_once_its_row_is_durable() {
    let net = Net::of(1);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    rig.slow_disk = true;
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    assert_eq!(rig.write(), ["row 0"], "alone in the committee, and still no certificate");
    assert_eq!(rig.written(), ["certified 0"]);
    let second = line.frame(vec![net.quorum(&frame)]);
    rig.frame(&second);
    rig.write();
    assert_eq!(rig.written(), ["certified 1", "confirmed 0"]);
    rig.assert_sound();
}

#[test]
fn stake_counts_and_not_heads() {
    let net = Net::with_stakes(&[70, 10, 10, 10]);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    assert_eq!(only(&rig.write(), "certified"), ["certified 0"], "70 of 100 alone");

    let net = Net { host: 1, ..Net::with_stakes(&[34, 22, 22, 22]) };
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    assert_eq!(rig.share(2, &frame), NOTHING);
    assert_eq!(rig.share(3, &frame), NOTHING, "three of four hold 66 of 100");
    assert_eq!(rig.share(0, &frame), ["certified 0"]);
}

#[test]
fn a_bad_share_is_found_penalised_and_its_sender_checked_from_then_on() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let bad = Attestation { signature: net.share(1, &line.clone().other()).signature, ..net.share(1, &frame) };
    assert_eq!(rig.hear(net.peer(1), &Message::Share(bad)), NOTHING, "nothing is checked on arrival");
    assert_eq!(rig.share(2, &frame), ["penalise m1 BadSignature"]);
    assert_eq!(rig.hear(net.peer(1), &Message::Share(bad)), ["penalise m1 BadSignature"], "at once this time");
    assert_eq!(rig.share(1, &frame), ["certified 0"], "its good share counts");
    rig.assert_sound();
}

#[test]
fn shares_of_others_are_not_taken() {
    let net = Net::of(4).then(0, 1);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    let of_three = Message::Share(net.share(3, &frame));
    assert_eq!(rig.hear(net.peer(2), &of_three), ["penalise m2 Foreign"], "a member's share from another node");
    let newcomer = net.newcomer(1);
    let peer = net.committees[1].member(newcomer).unwrap().peer.clone();
    let share = Message::Share(net.share_of(1, newcomer, &frame));
    assert_eq!(only(&rig.hear(peer, &share), "penalise").len(), 1, "a member of the next epoch");
    assert_eq!(rig.hear(PeerId(b"stranger".to_vec().into()), &of_three), ["penalise stranger Foreign"]);
}

#[test]
fn a_share_that_comes_before_its_frame_counts_when_the_frame_comes() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    assert_eq!(rig.share(1, &frame), ["fetch 0..=0"], "somebody has a frame that is not here");
    assert_eq!(rig.share(2, &frame), NOTHING);
    assert_eq!(rig.share(3, &frame), NOTHING);
    assert_eq!(rig.frame(&frame), ["certified 0"]);
    let of_the_next = Message::Share(net.share(3, &line.frame(vec![])));
    assert_eq!(rig.hear(PeerId(b"stranger".to_vec().into()), &of_the_next), NOTHING, "a stranger's word is not worth a request");
}

#[test]
fn an_aggregator_publishes_what_a_silent_scheduler_hides() {
    let net = Net::of(7);
    let aggregator = aggregators(&net)[0];
    let (mut rig, mut line) = (Rig::member(&net, aggregator), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let others: Vec<u16> = (0..7).filter(|member| *member != aggregator).collect();
    assert_eq!(others[..4].iter().flat_map(|member| rig.share(*member, &frame)).collect::<Vec<_>>(), NOTHING, "a quorum, and no hurry");
    let seen = rig.pass(WAIT_MS + 5);
    assert!(seen.contains(&"certificate 0 → all".into()) && seen.contains(&"certified 0".into()), "{seen:?}");
    rig.assert_sound();
}

#[test]
fn an_aggregator_leaves_it_to_a_scheduler_that_does_its_work() {
    let net = Net::of(7);
    let aggregator = aggregators(&net)[0];
    let (mut rig, mut line) = (Rig::member(&net, aggregator), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    (0..7).filter(|member| *member != aggregator).for_each(|member| {
        rig.share(member, &frame);
    });
    assert_eq!(only(&rig.frame(&line.frame(vec![net.quorum(&frame)])), "certified"), ["certified 0"], "the next frame carries it");
    assert!(only(&rig.pass(500), "certificate 0").is_empty());
}

#[test]
fn an_aggregator_that_waited_in_vain_publishes_as_soon_as_there_is_a_quorum() {
    let net = Net::of(7);
    let aggregator = aggregators(&net)[0];
    let (mut rig, mut line) = (Rig::member(&net, aggregator), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let others: Vec<u16> = (0..7).filter(|member| *member != aggregator).collect();
    others[..3].iter().for_each(|member| drop(rig.share(*member, &frame)));
    assert!(only(&rig.pass(1_000), "certificate").is_empty());
    assert!(rig.share(others[3], &frame).contains(&"certificate 0 → all".into()));
}

#[test]
fn a_scheduler_publishes_a_certificate_that_no_frame_carries() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    rig.share(1, &frame);
    assert_eq!(rig.share(2, &frame), ["certified 0"]);
    assert_eq!(only(&rig.pass(INTERVAL_MS), "certificate 0 → all").len(), 1);
    let seen = rig.pass(60_000);
    let calls = only(&seen, "certificate 0 → m3").len();
    assert!((3..=9).contains(&calls), "a bounded number of times to whoever was not heard: {calls}");
    assert_eq!(only(&seen, "certificate").len(), calls, "and to nobody else");
}

#[test]
fn a_scheduler_calls_those_who_did_not_sign() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    rig.share(1, &frame);
    let seen = rig.pass(WAIT_MS);
    assert_eq!(only(&seen, "announce"), ["announce 0 → m2", "announce 0 → m3"]);
    assert!(only(&rig.pass(60_000), "announce 0 → m2").len() >= 20, "for as long as it takes");
}

#[test]
fn whoever_is_called_answers_with_the_share_or_asks_for_the_frame() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, neither(&net)), net.line());
    let frame = line.frame(vec![]);
    let call = Message::Announce(FrameRef { chain: net.chain, sequence: 0, frame: frame.header.id() });
    assert_eq!(rig.hear(net.peer(0), &call), ["fetch 0..=0"]);
    rig.frame(&frame);
    rig.write();
    assert_eq!(rig.hear(net.peer(0), &call), ["share 0 → m0"]);
    rig.hear(net.peer(0), &Message::Certified(vec![net.quorum(&frame)]));
    assert_eq!(rig.hear(net.peer(0), &call), ["certificate 0 → m0"], "it is certified already");
    assert_eq!(rig.hear(PeerId(b"stranger".to_vec().into()), &call), ["certificate 0 → stranger"], "anybody may know that");
    let next = line.frame(vec![]);
    let call = Message::Announce(FrameRef { chain: net.chain, sequence: 1, frame: next.header.id() });
    assert_eq!(rig.hear(PeerId(b"stranger".to_vec().into()), &call), NOTHING, "a stranger's word is not worth a request");
    rig.assert_sound();
}

#[test]
fn whoever_signs_nothing_asks_for_the_last_certificate_of_a_silent_chain() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::new(&net, Role::Follower), net.line());
    let frames = line.frames(3);
    rig.frames(&frames);
    assert_eq!(rig.pass(ASK_WAIT_MS - 1), NOTHING);
    assert!(rig.pass(1).contains(&"announce 2 → m0".into()));
    assert!(only(&rig.pass(60_000), "announce 2 → m0").len() >= 20);
    rig.hear(net.peer(1), &Message::Certified(vec![net.quorum(&frames[2])]));
    assert_eq!(rig.pass(60_000), NOTHING);
}

#[test]
fn a_share_of_a_frame_that_is_certified_is_answered_with_the_certificate() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    rig.share(1, &frame);
    rig.share(2, &frame);
    assert_eq!(rig.share(3, &frame), NOTHING, "the first one is merely late");
    assert_eq!(rig.share(3, &frame), ["certificate 0 → m3"], "sent again: it does not know");
    assert_eq!(rig.share(1, &frame), ["certificate 0 → m1"]);
}

#[test]
fn one_key_on_two_branches_is_convicted() {
    let net = Net::of(4);
    for apart in [0, 2] {
        let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
        let mut fork = line.clone();
        let frame = line.frame(vec![]);
        let mut others = vec![fork.other()];
        others.extend(fork.frames(apart));
        rig.frame(&frame);
        rig.frames(&others);
        assert_eq!(rig.share(2, &frame), NOTHING);
        let seen = rig.share(2, others.last().unwrap());
        assert_eq!(seen, ["evidence two-branches", "penalise m2 Conflict"]);
        rig.assert_sound();
    }
}

#[test]
fn evidence_names_whoever_signed_and_nobody_is_convicted_by_a_forgery() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let mut fork = line.clone();
    let (frame, other) = (line.frame(vec![]), fork.other());
    rig.frames([&frame, &other]);
    rig.share(2, &frame);
    let forged = Attestation { signature: net.share(1, &other).signature, ..net.share(2, &other) };
    assert!(only(&rig.hear(net.peer(2), &Message::Share(forged)), "evidence").is_empty());
    let evidence = Evidence::TwoBranches { lower: net.share(2, &frame), higher: net.share(2, &other), headers: vec![] };
    assert!(evidence.verify(&net.rosters()).is_ok());
}
