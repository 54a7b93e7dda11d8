//! Rules A1 and A3: what holds a frame, what frees it, and what is refused for good.

use std::sync::Arc;

use ao_consensus::checks::Tip;
use ao_consensus::limits::{DRIFT_MS_MAX, HEIGHT_AHEAD_MAX, TIP_STALE_MS};
use ao_consensus::origin::{OriginChange, OriginUpdate};
use ao_consensus::{Given, Input, Timestamp};
use ao_types::Epoch;

use super::rig::*;
use crate::limits::{AHEAD_MAX, BRANCHES_MAX, FAR_FETCHES_MAX, PREMATURE_MAX};

/// Rows written by the group that is open.
fn rows(rig: &mut Rig) -> Vec<String> {
    only(&rig.write(), "row").into_iter().map(str::to_owned).collect()
}

#[test]
fn a_frame_waits_for_the_one_before_it_which_is_fetched() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frames = line.frames(3);
    assert_eq!(rig.frame(&frames[2]), ["fetch 0..=1"]);
    assert_eq!(rig.frame(&frames[1]), NOTHING, "frame 0 was asked for with it");
    assert!(rows(&mut rig).is_empty());
    let again = rig.pass(1_000);
    assert!(only(&again, "fetch 0..=0").len() >= 3, "asked for until it comes: {again:?}");
    rig.frame(&frames[0]);
    assert_eq!(rows(&mut rig), ["row 2"]);
    rig.assert_sound();
}

#[test]
fn a_frame_waits_for_its_body_and_for_the_disk() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frame = line.frame(vec![]);
    for held in [bare(&frame), not_stored(&frame)] {
        rig.frame(&held);
        assert!(rows(&mut rig).is_empty());
    }
    rig.frame(&frame);
    assert_eq!(rows(&mut rig), ["row 0"]);
}

#[test]
fn a_body_that_does_not_come_is_asked_for_again() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frame = line.frame(vec![]);
    assert_eq!(rig.frame(&bare(&frame)), NOTHING, "whoever brought the header is fetching the body");
    let seen = rig.pass(5_000);
    assert!(only(&seen, "fetch 0..=0").len() >= 2, "{seen:?}");
    rig.frame(&frame);
    assert!(only(&rig.pass(10_000), "fetch").is_empty());
}

#[test]
fn a_frame_from_the_future_waits_for_its_time_and_not_longer() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    line.now = START.plus_ms(DRIFT_MS_MAX + 499);
    rig.frame(&line.frame(vec![]));
    assert!(only(&rig.pass(499), "row").is_empty());
    assert_eq!(only(&rig.pass(10), "row"), ["row 0"]);
    rig.assert_sound();
}

#[test]
fn a_frame_of_before_an_outage_is_signable() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    line.now = Timestamp(START.0 - 365 * 86_400_000);
    rig.frame(&line.frame(vec![]));
    assert_eq!(rows(&mut rig), ["row 0"]);
}

#[test]
fn a_frame_above_the_tip_waits_until_the_tip_moves_or_is_stale() {
    let net = Net::of(4);
    for stale in [false, true] {
        let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
        rig.give(Input::Tip(Tip { height: 1_000, since: START }));
        line.block_height = 1_000 + HEIGHT_AHEAD_MAX;
        let first = line.frame(vec![]);
        rig.frame(&first);
        assert_eq!(rows(&mut rig), ["row 0"]);
        line.block_height += 1;
        let second = line.frame(vec![]);
        rig.frame(&second);
        assert!(rows(&mut rig).is_empty());
        if stale {
            // What a quorum signed stands in for a tip that does not move.
            rig.hear(net.peer(0), &crate::wire::Message::Certified(vec![net.quorum(&first)]));
            assert!(only(&rig.pass(TIP_STALE_MS - 100), "row").is_empty());
            assert_eq!(only(&rig.pass(200), "row"), ["row 1"]);
        } else {
            rig.give(Input::Tip(Tip { height: 1_001, since: rig.now }));
            assert_eq!(rows(&mut rig), ["row 1"]);
        }
        rig.assert_sound();
    }
}

#[test]
fn a_frame_waits_for_the_control_plane() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    line.control_height = 2;
    rig.frame(&line.frame(vec![]));
    for (height, expected) in [(1, vec![]), (2, vec!["row 0"])] {
        rig.give(Input::Origin(Box::new(OriginUpdate { height, time: START, changes: vec![] })));
        assert_eq!(rows(&mut rig), expected);
    }
}

#[test]
fn a_chain_that_the_origin_may_yet_open_is_waited_for() {
    let net = Net::of(4);
    let mut other = net.clone();
    other.chain.tenure = 1;
    let (mut rig, mut line) = (Rig::member(&net, 1), other.line());
    line.control_height = 1;
    let frames = line.frames(PREMATURE_MAX + 1);
    assert_eq!(rig.frames(&frames[..1]), NOTHING);
    let opened = OriginUpdate { height: 1, time: START, changes: vec![OriginChange::Opened { chain: other.chain }] };
    rig.give(Input::Origin(Box::new(opened.clone())));
    assert_eq!(rows(&mut rig), ["row 0"]);

    let mut rig = Rig::member(&net, 1);
    assert_eq!(rig.frames(&frames), NOTHING);
    rig.give(Input::Origin(Box::new(opened)));
    assert!(rows(&mut rig).is_empty(), "bounded: the oldest of {} fell out", frames.len());

    let (mut rig, mut line) = (Rig::member(&net, 1), other.line());
    assert_eq!(rig.frame(&line.frame(vec![])), ["penalise m0 Unlawful"], "as of height 0 there is no such chain");
}

#[test]
fn what_is_unlawful_is_refused_with_everything_behind_it() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frames = line.frames(3);
    assert_eq!(rig.frame(&unlawful(&frames[0])), ["penalise m0 Unlawful"]);
    assert_eq!(rig.frames(&frames[1..]), NOTHING, "whoever built on it is not blamed again");
    assert!(rows(&mut rig).is_empty());

    let mut rig = Rig::member(&net, 1);
    let relayed = Given { from: Some(net.peer(3)), ..unlawful(&frames[0]) };
    assert_eq!(rig.frame(&relayed), NOTHING, "whoever passed the header on need not have seen the body");
    rig.frames(&frames[1..]);
    assert!(rows(&mut rig).is_empty());
}

#[test]
fn frames_that_are_skipped_are_checked_too() {
    let net = Net::of(4);
    for middle in [bare as fn(&Given) -> Given, not_stored, unlawful] {
        let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
        let frames = line.frames(3);
        rig.frame(&frames[0]);
        rig.frame(&middle(&frames[1]));
        rig.frame(&frames[2]);
        assert_eq!(rows(&mut rig), ["row 0"], "frame 2 stands on something that is not known to be lawful and stored");
    }
}

#[test]
fn a_carried_certificate_that_does_not_hold_is_refused() {
    let net = Net::of(4);
    let first = net.line().frame(vec![]);
    let mut forged = net.quorum(&first);
    forged.signature = net.share(0, &first).signature;
    for (bad, why) in [
        (forged, "another sum"),
        (net.certificate(&first, 0..2), "half of the stake"),
        (net.certificate(&net.line().other(), 0..3), "another frame"),
    ] {
        let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
        rig.frame(&line.frame(vec![]));
        assert_eq!(rig.frame(&line.frame(vec![bad])), ["penalise m0 Unlawful"], "{why}");
        assert_eq!(rows(&mut rig), ["row 0"], "{why}");
    }
}

#[test]
fn frames_of_one_sequence_are_bounded() {
    let net = Net::of(4);
    let (mut rig, line) = (Rig::member(&net, 1), net.line());
    let others: Vec<Given> = (0..BRANCHES_MAX as u64 + 1)
        .map(|n| {
            let mut fork = line.clone();
            fork.now = fork.now.plus_ms(n);
            fork.frame(vec![])
        })
        .collect();
    let seen: Vec<String> = rig.frames(&others);
    assert_eq!(only(&seen, "evidence"), vec!["evidence two-headers"; BRANCHES_MAX - 1]);
    assert_eq!(only(&seen, "penalise"), ["penalise m0 Flood"]);
}

#[test]
fn a_frame_too_far_ahead_is_reached_by_fetching_what_lies_between() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut frames = vec![line.frame(vec![])];
    for _ in 0..3 * AHEAD_MAX {
        let certificate = net.quorum(frames.last().unwrap());
        frames.push(line.frame(vec![certificate]));
    }
    let last = frames.len() - 1;
    assert_eq!(rig.frame(&frames[last]), [format!("fetch 0..={last}")]);
    // Whoever serves ranges gives a part at a time: the next part is asked for as soon as this one is digested.
    let (mut given, mut asked) = (0, 0);
    while given <= last {
        let until = (given + AHEAD_MAX as usize / 2).min(last + 1);
        let seen = rig.frames(&frames[given..until]);
        asked += only(&seen, "fetch").len();
        given = until;
    }
    assert!((3..=8).contains(&asked), "asked {asked} times without any time passing");
    assert_eq!(rig.confirmed.as_ref().map(|tip| tip.next_sequence), Some(last as u64 - 1), "all that certificates confirm");
    rig.assert_sound();
}

#[test]
fn an_answer_in_any_order_is_asked_for_once() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut frames = vec![line.frame(vec![])];
    for _ in 0..40 {
        let certificate = net.quorum(frames.last().unwrap());
        frames.push(line.frame(vec![certificate]));
    }
    assert_eq!(rig.frame(&frames[40]), ["fetch 0..=39"]);
    let seen = rig.frames(frames[..40].iter().rev());
    assert_eq!(only(&seen, "fetch"), NOTHING, "each is followed by the one before it");
    assert_eq!(rig.confirmed.as_ref().map(|tip| tip.next_sequence), Some(39));
}

#[test]
fn frames_too_far_ahead_cause_no_flood_of_requests() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut frames = vec![line.frame(vec![])];
    for _ in 0..5 * AHEAD_MAX {
        let certificate = net.quorum(frames.last().unwrap());
        frames.push(line.frame(vec![certificate]));
    }
    let far = AHEAD_MAX as usize + 1;
    let seen = rig.frames(frames[far..].iter().rev());
    assert_eq!(only(&seen, "fetch").len(), FAR_FETCHES_MAX, "{seen:?}");
    // One that leads nowhere does not keep the place for ever.
    rig.pass(1_000);
    assert_eq!(only(&rig.frame(&frames[far + 1]), "fetch").len(), 1);
}

#[test]
fn a_committee_that_comes_late_frees_what_it_certifies() {
    let net = Net::of(4).then(0, 0);
    let late = Net { committees: vec![net.committees[0].clone()], ..net.clone() };
    let mut rig = Rig::member(&late, 1);
    rig.know(&net);
    let epoch = OriginChange::Epoch { epoch: Epoch(1), committee: net.committee(1).root(), frame_rate_max: 100 };
    rig.give(Input::Origin(Box::new(OriginUpdate { height: 1, time: START, changes: vec![epoch] })));
    let mut line = net.line();
    let before = line.frame(vec![]);
    (line.epoch, line.control_height) = (1, 1);
    let crossing = line.frame(vec![net.quorum(&before)]);
    let both = vec![net.quorum_of(0, &crossing), net.quorum_of(1, &crossing)];
    let after = line.frame(both);
    rig.frames([&before, &crossing, &after]);
    assert_eq!(rows(&mut rig), ["row 1"], "the crossing is signed as a member of the committee before");
    rig.give(Input::Committee(Arc::clone(&net.committees[1])));
    assert_eq!(rows(&mut rig), ["row 2"]);
    rig.assert_sound();
}
