//! Rules C1 to C5 and the end of a chain: what certificates say, and what they do not.

use ao_consensus::Input;
use ao_consensus::checks::Facts;
use ao_types::{Certificate, FrameId, Statement};

use super::rig::*;
use crate::wire::Message;

fn follower(net: &Net) -> Rig {
    Rig::new(net, Role::Follower)
}

fn certified(certificate: Certificate) -> Message {
    Message::Certified(vec![certificate])
}

#[test]
fn a_certificate_that_a_certified_frame_carries_confirms() {
    let net = Net::of(4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let first = line.frame(vec![]);
    let second = line.frame(vec![net.quorum(&first)]);
    let third = line.frame(vec![net.quorum(&second)]);
    assert_eq!(rig.frame(&first), NOTHING);
    assert_eq!(rig.frame(&second), ["certified 0"], "certified, and a quorum need not know it");
    assert_eq!(rig.frame(&third), ["certified 1", "confirmed 0"]);
    assert_eq!(rig.hear(net.peer(2), &certified(net.quorum(&third))), ["certified 2", "confirmed 1"]);
    assert_eq!(rig.hear(net.peer(2), &certified(net.quorum(&third))), NOTHING, "once");
    rig.assert_sound();
}

#[test]
fn a_certified_successor_that_carries_nothing_confirms_nothing() {
    let net = Net::of(4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let frames = line.frames(3);
    rig.frames(&frames);
    for frame in &frames {
        let seen = rig.hear(net.peer(1), &certified(net.quorum(frame)));
        assert_eq!(seen, [format!("certified {}", frame.header.sequence)]);
    }
    rig.assert_sound();
}

#[test]
fn one_certificate_confirms_everything_up_to_what_is_carried() {
    let net = Net::of(4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let frames = line.frames(5);
    rig.frames(&frames);
    let carrier = line.frame(vec![net.quorum(&frames[3])]);
    let last = line.frame(vec![]);
    assert_eq!(rig.frame(&carrier), ["certified 3"]);
    rig.frame(&last);
    // The certificate is on a descendant of the carrier: what its branch carries, it knows.
    let seen = rig.hear(net.peer(1), &certified(net.quorum(&last)));
    assert_eq!(seen, ["certified 6", "confirmed 0", "confirmed 1", "confirmed 2", "confirmed 3"]);
    rig.assert_sound();
}

#[test]
fn what_is_not_whole_here_is_not_confirmed_and_nothing_after_it() {
    let net = Net::of(4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let frames = line.frames(3);
    let carrier = line.frame(vec![net.quorum(&frames[2])]);
    rig.frame(&frames[0]);
    rig.frame(&bare(&frames[1]));
    rig.frames([&frames[2], &carrier]);
    assert_eq!(rig.hear(net.peer(1), &certified(net.quorum(&carrier))), ["certified 3", "confirmed 0"]);
    assert_eq!(rig.frame(&frames[1]), ["confirmed 1", "confirmed 2"]);
    rig.assert_sound();
}

#[test]
fn a_certificate_of_a_frame_that_is_not_here_makes_it_asked_for() {
    let net = Net::of(4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let frames = line.frames(3);
    assert_eq!(rig.hear(net.peer(1), &certified(net.quorum(&frames[2]))), ["fetch 0..=2"]);
    assert_eq!(rig.frames(&frames), ["certified 2"]);
}

#[test]
fn certificates_that_do_not_hold_cost_whoever_sent_them() {
    let net = Net::of(4).then(4, 4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    let mut wrong = net.quorum(&frame);
    wrong.signature = net.quorum(&line.other()).signature;
    let unknown = Certificate { epoch: ao_types::Epoch(9), ..net.quorum(&frame) };
    for (what, bad, costs) in [
        ("another sum", wrong, vec!["penalise m1 BadSignature"]),
        ("half of the stake", net.certificate(&frame, 0..2), vec!["penalise m1 BadSignature"]),
        (
            "signers that did not sign",
            Certificate { signers: net.certificate(&frame, 1..4).signers, ..net.quorum(&frame) },
            vec!["penalise m1 BadSignature"],
        ),
        ("a committee that is not known here", unknown, vec![]),
    ] {
        assert_eq!(rig.hear(net.peer(1), &certified(bad)), costs, "{what}");
    }
    // It holds, and it is not a committee that certifies this frame: true, and says nothing.
    assert_eq!(rig.hear(net.peer(1), &certified(net.quorum_of(1, &frame))), NOTHING);
    assert_eq!(rig.hear(net.peer(1), &certified(net.quorum(&frame))), ["certified 0"]);
}

#[test]
fn two_certificates_that_exclude_one_another_stop_the_chain_and_convict() {
    let net = Net::of(4);
    for later in [false, true] {
        let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
        let mut fork = line.clone();
        let frame = line.frame(vec![]);
        let other = fork.other();
        let top = if later { fork.frame(vec![net.quorum(&other)]) } else { other.clone() };
        rig.frame(&frame);
        rig.write();
        rig.hear(net.peer(2), &certified(net.quorum(&frame)));
        let mut seen = rig.frame(&other);
        if later {
            seen.extend(rig.frame(&top));
        }
        seen.extend(rig.hear(net.peer(3), &certified(net.quorum(&top))));
        assert!(seen.contains(&"evidence two-certificates".into()), "{seen:?}");
        rig.frames(&line.frames(2));
        rig.frames(&fork.frames(2));
        assert!(only(&rig.pass(5_000), "row").is_empty(), "nothing is added to that");
        assert!(rig.confirmed.is_none());
        rig.assert_sound();
    }
}

#[test]
fn bytes_that_are_no_message_cost_whoever_sent_them() {
    let net = Net::of(4);
    let (mut rig, mut line) = (follower(&net), net.line());
    let frame = line.frame(vec![]);
    let share = ao_types::Canonical::encode(&Message::Share(net.share(1, &frame)));
    let about_a_block = Message::Share(ao_types::Attestation {
        statement: Statement::Block { height: 1, round: 0, value: ao_types::BlockValue([1; 32]) },
        ..net.share(1, &frame)
    });
    let two_frames = Message::Certified(vec![net.quorum(&frame), net.quorum(&line.frame(vec![]))]);
    for bytes in [
        vec![],
        share[..share.len() - 1].to_vec(),
        [&share[..], &[0]].concat(),
        [&[9], &share[1..]].concat(),
        ao_types::Canonical::encode(&about_a_block),
        ao_types::Canonical::encode(&two_frames),
    ] {
        assert_eq!(rig.give(Input::Peer(net.peer(1), bytes.into())), ["penalise m1 Malformed"]);
    }
    let elsewhere = ao_types::Chain { tenure: 7, ..net.chain };
    let unknown = Message::Announce(ao_consensus::block::FrameRef { chain: elsewhere, sequence: 0, frame: FrameId([1; 32]) });
    assert_eq!(rig.hear(net.peer(1), &unknown), NOTHING, "a chain that is not known here yet");
}

#[test]
fn facts_only_grow() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&not_stored(&frame));
    rig.frame(&ao_consensus::Given { facts: Facts { durable: true, ..Facts::default() }, ..frame.clone() });
    assert_eq!(only(&rig.write(), "row"), ["row 0"], "lawful by the one, stored by the other");
}
