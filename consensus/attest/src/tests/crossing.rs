//! Two committees and the frame between them (`consensus.md` §8).

use ao_consensus::origin::{OriginChange, OriginUpdate};
use ao_consensus::{Given, Input};
use ao_types::Epoch;

use super::rig::*;
use crate::wire::Message;

/// The next epoch begins at height 1, with a committee of two old members and two new ones.
fn network() -> Net {
    Net::of(4).then(2, 2)
}

fn enter(rig: &mut Rig) {
    let root = rig.net.committee(1).root();
    let epoch = OriginChange::Epoch { epoch: Epoch(1), committee: root, frame_rate_max: 100 };
    rig.give(Input::Origin(Box::new(OriginUpdate { height: 1, time: START, changes: vec![epoch] })));
}

/// A frame of epoch 0, the crossing, and the frame that carries both of its certificates.
fn frames(net: &Net) -> (Given, Given, Given) {
    let mut line = net.line();
    let before = line.frame(vec![]);
    (line.epoch, line.control_height) = (1, 1);
    let crossing = line.frame(vec![net.quorum(&before)]);
    let after = line.frame(vec![net.quorum_of(0, &crossing), net.quorum_of(1, &crossing)]);
    (before, crossing, after)
}

#[test]
fn a_crossing_is_certified_by_both_committees_or_not_at_all() {
    let net = network();
    let mut rig = Rig::new(&net, Role::Follower);
    enter(&mut rig);
    let (before, crossing, after) = frames(&net);
    assert_eq!(rig.frames([&before, &crossing]), ["certified 0"]);
    for (epoch, expected) in [(0, vec![]), (1, vec!["certified 1", "confirmed 0"])] {
        let message = Message::Certified(vec![net.quorum_of(epoch, &crossing)]);
        assert_eq!(rig.hear(net.peer(0), &message), expected);
    }
    assert_eq!(rig.frame(&after), NOTHING);
    assert_eq!(rig.hear(net.peer(0), &Message::Certified(vec![net.quorum_of(1, &after)])), ["certified 2", "confirmed 1"]);
    rig.assert_sound();
}

#[test]
fn stakes_of_two_committees_are_never_added() {
    let net = network();
    let mut rig = Rig::scheduler(&net);
    enter(&mut rig);
    let (before, crossing, _) = frames(&net);
    rig.frames([&before, &crossing]);
    rig.write();
    // Members 1 and 2 make three of four in the first committee with the scheduler's own; of the second only member 2 is.
    assert!(only(&rig.share(1, &crossing), "certified").is_empty());
    assert!(only(&rig.share(2, &crossing), "certified").is_empty(), "a quorum of the first alone");
    let second = net.committee(1).clone();
    let rest: Vec<u16> = (0..4).filter(|index| net.committee(0).index_of(&second.member(*index).unwrap().key) != Some(2)).collect();
    let mut seen = Vec::new();
    for index in &rest[..2] {
        let member = second.member(*index).unwrap();
        seen.extend(rig.hear(member.peer.clone(), &Message::Share(net.share_of(1, *index, &crossing))));
    }
    assert_eq!(only(&seen, "certified"), ["certified 1"], "with member 2 three of four of the second");
    assert_eq!(only(&seen, "crossed"), ["crossed into 1"], "and the Origin is told");
    rig.assert_sound();
}

#[test]
fn a_member_of_the_next_committee_signs_the_crossing_and_nothing_before() {
    let net = network();
    let (before, crossing, after) = frames(&net);
    let mut rig = Rig::new(&net, Role::Member(1, net.newcomer(1)));
    enter(&mut rig);
    rig.frame(&before);
    assert!(only(&rig.write(), "row").is_empty());
    rig.frame(&crossing);
    assert_eq!(only(&rig.write(), "row"), ["row 1"]);
    rig.frame(&after);
    assert_eq!(only(&rig.write(), "row"), ["row 2"]);

    let mut leaver = Rig::member(&net, 0);
    enter(&mut leaver);
    leaver.frames([&before, &crossing, &after]);
    assert_eq!(only(&leaver.write(), "row"), ["row 1"], "a member of the last committee owes the crossing and no more");
    rig.assert_sound();
}

#[test]
fn nothing_is_built_on_a_crossing_without_both_certificates() {
    let net = network();
    let mut rig = Rig::member(&net, 2);
    enter(&mut rig);
    let mut line = net.line();
    let before = line.frame(vec![]);
    (line.epoch, line.control_height) = (1, 1);
    let crossing = line.frame(vec![net.quorum(&before)]);
    let hasty = line.frame(vec![]);
    let seen = rig.frames([&before, &crossing, &hasty]);
    assert_eq!(only(&seen, "penalise"), ["penalise m0 Unlawful"]);
    assert_eq!(only(&rig.write(), "row"), ["row 1"]);
}
