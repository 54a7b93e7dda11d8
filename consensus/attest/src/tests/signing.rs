//! Rules A2, A4 to A7: what a key signs, when, and in what order it leaves.

use ao_consensus::Input;
use ao_consensus::block::FrameRef;
use ao_consensus::origin::{OriginChange, OriginUpdate};
use ao_types::Epoch;

use super::rig::*;
use crate::limits::SYNC_WINDOW_MS;
use crate::wire::Message;

#[test]
fn the_row_is_written_before_the_share_leaves() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    assert_eq!(rig.frame(&line.frame(vec![])), NOTHING, "the group is still open");
    assert_eq!(rig.pass(SYNC_WINDOW_MS - 1), NOTHING);
    let seen = rig.pass(1);
    assert_eq!(seen[0], "row 0");
    assert_eq!(only(&seen, "share 0"), &seen[1..]);
    assert!(seen.contains(&"share 0 → m0".into()), "the scheduler's node gets it: {seen:?}");
    rig.assert_sound();
}

#[test]
fn of_several_frames_in_a_group_the_newest_speaks_for_all() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    assert_eq!(rig.frames(&line.frames(3)), NOTHING);
    let seen = rig.write();
    assert_eq!(only(&seen, "row"), ["row 2"]);
    assert!(only(&seen, "share").iter().all(|share| share.starts_with("share 2")));
    rig.assert_sound();
}

#[test]
fn a_frame_that_comes_again_is_not_signed_again() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frames = line.frames(2);
    rig.frames(&frames);
    assert_eq!(only(&rig.write(), "row"), ["row 1"]);
    assert_eq!(rig.frames(&frames), NOTHING);
    assert_eq!(rig.write(), NOTHING);
}

#[test]
fn a_share_is_sent_again_with_the_same_bytes_until_a_certificate_covers_it() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.write();
    let seen = rig.pass(10_000);
    assert!(only(&seen, "row").is_empty(), "nothing is signed twice: {seen:?}");
    let times = only(&seen, "share 0 → m0").len();
    assert!((7..=12).contains(&times), "waits double from 40 ms to 2 s: {times}");
    let shares: Vec<_> = rig.sent.iter().map(|(_, message)| message).collect();
    assert!(shares.iter().all(|share| *share == shares[0]), "one signature");
    let certificate = Message::Certified(vec![net.quorum(&frame)]);
    assert_eq!(rig.hear(net.peer(0), &certificate), ["certified 0"]);
    assert_eq!(rig.pass(10_000), NOTHING, "covered");
    rig.assert_sound();
}

#[test]
fn nothing_is_sent_again_while_its_row_is_under_way() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    rig.slow_disk = true;
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    assert!(!only(&rig.write(), "share").is_empty(), "behind its record, in the same call: the caller holds it back");
    let call = FrameRef { chain: net.chain, sequence: 0, frame: frame.header.id() };
    assert_eq!(rig.hear(net.peer(0), &Message::Announce(call)), NOTHING);
    assert!(only(&rig.pass(5_000), "share").is_empty());
    rig.written();
    assert!(!only(&rig.pass(5_000), "share").is_empty());
}

#[test]
fn branches_are_never_switched() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    rig.frame(&line.frame(vec![]));
    let mut fork = line.clone();
    rig.frame(&line.frame(vec![]));
    assert_eq!(only(&rig.write(), "row"), ["row 1"]);
    assert_eq!(rig.frame(&fork.other()), ["evidence two-headers"]);
    assert_eq!(rig.frames(&fork.frames(3)), NOTHING, "longer, and another branch all the same");
    assert!(only(&rig.write(), "row").is_empty());
    rig.frame(&line.frame(vec![]));
    assert_eq!(only(&rig.write(), "row"), ["row 2"], "the first branch goes on");
    rig.assert_sound();
}

#[test]
fn of_two_branches_before_the_first_signature_the_longer_one_is_signed() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut fork = line.clone();
    rig.frame(&line.frame(vec![]));
    rig.frame(&fork.other());
    rig.frame(&fork.frame(vec![]));
    assert_eq!(only(&rig.write(), "row"), ["row 1"]);
    rig.frames(&line.frames(2));
    assert_eq!(only(&rig.write(), "row"), NOTHING);
    rig.assert_sound();
}

#[test]
fn a_key_far_behind_signs_where_other_keys_do() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut frames = vec![line.frame(vec![])];
    for _ in 0..20 {
        let certificate = net.quorum(frames.last().unwrap());
        frames.push(line.frame(vec![certificate]));
    }
    // Then the quorum was lost, and the scheduler went on as far as it may.
    frames.extend(line.frames(15));
    rig.frames(&frames[..35]);
    let seen = rig.write();
    assert_eq!(only(&seen, "row"), ["row 34"], "one row for all");
    let signed = |sequence: u64| !only(&seen, &format!("share {sequence} ")).is_empty();
    assert_eq!((19..=35).filter(|sequence| signed(*sequence)).collect::<Vec<_>>(), [32, 34]);

    let mut rig = Rig::member(&net, 1);
    rig.frame(&bare(&frames[35]));
    rig.frames(&frames[..35]);
    assert_eq!(only(&rig.write(), "row"), ["row 32"], "34 is not the newest: others wait for 35");
    rig.frame(&frames[35]);
    assert_eq!(only(&rig.write(), "row"), ["row 35"], "no longer far behind");
    rig.assert_sound();
}

#[test]
fn a_chain_is_not_signed_more_often_than_the_origin_allows() {
    let net = Net::of(4);
    let mut rig = Rig::member(&net, 1);
    let epoch = OriginChange::Epoch { epoch: Epoch(0), committee: net.committee(0).root(), frame_rate_max: 5 };
    rig.give(Input::Origin(Box::new(OriginUpdate { height: 1, time: START, changes: vec![epoch] })));
    let (mut line, mut rows) = (net.line(), 0);
    let mut frame = line.frame(vec![]);
    for _ in 0..20 {
        rig.frame(&frame);
        rows += only(&rig.pass(20), "row").len();
        let certificate = net.quorum(&frame);
        frame = line.frame(vec![certificate]);
    }
    assert_eq!(rows, 5, "in 400 ms");
    let seen = rig.pass(1_000);
    assert_eq!(only(&seen, "row"), ["row 19"], "what was held is signed later: the newest speaks for the others");
    rig.assert_sound();
}

#[test]
fn whoever_is_no_member_signs_nothing() {
    let net = Net::of(4).then(0, 1);
    for role in [Role::Follower, Role::Member(1, net.newcomer(1))] {
        let (mut rig, mut line) = (Rig::new(&net, role), net.line());
        rig.frame(&line.frame(vec![]));
        let seen = rig.pass(5_000);
        assert_eq!(only(&seen, "announce"), seen, "it only asks for the certificate");
    }
}

#[test]
fn a_jailed_key_signs_nothing() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let jailed = OriginChange::Jailed { key: net.committee(0).member(1).unwrap().key };
    rig.give(Input::Origin(Box::new(OriginUpdate { height: 1, time: START, changes: vec![jailed] })));
    rig.frame(&line.frame(vec![]));
    assert!(only(&rig.pass(100), "row").len() == 1, "as of the frame's control height it was not jailed");
    line.control_height = 1;
    rig.frame(&line.frame(vec![]));
    assert!(only(&rig.pass(100), "row").is_empty());
}

#[test]
fn a_closing_chain_is_sealed_once_and_nothing_is_signed_in_it_any_more() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let first = line.frame(vec![]);
    let second = line.frame(vec![net.quorum(&first)]);
    rig.frame(&first);
    rig.write();
    rig.frame(&second);
    let closing = OriginUpdate { height: 1, time: START, changes: vec![OriginChange::Closing { chain: net.chain }] };
    let seen = rig.give(Input::Origin(Box::new(closing)));
    assert_eq!(seen, ["row 0 sealed", "seal 0"], "the group with frame 1 was not written yet, the certificate it carries is known");
    assert_eq!(only(&rig.pass(10_000), "share"), NOTHING);
    rig.frame(&line.frame(vec![]));
    let seen = rig.pass(10_000);
    assert_eq!(only(&seen, "announce"), seen);
    let frontier = OriginChange::Frontier { chain: net.chain, last: Some((0, first.header.id())) };
    let update = OriginUpdate { height: 2, time: START, changes: vec![frontier] };
    assert_eq!(rig.give(Input::Origin(Box::new(update))), ["void from 1"]);
    rig.assert_sound();
}
