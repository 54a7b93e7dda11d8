//! After a crash: records and rows come back, and nothing contradicts what left before.

use ao_consensus::protection::Guard;
use ao_consensus::{Effect, Input};

use super::rig::*;

#[test]
fn the_last_share_is_sent_again_from_its_row() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let frames = line.frames(2);
    rig.frames(&frames);
    rig.write();
    let before = rig.sent.clone();
    rig.crash();
    assert!(rig.sent.len() == before.len());
    rig.frames(&frames);
    let seen = rig.pass(100);
    assert!(only(&seen, "row").is_empty(), "no new signature: {seen:?}");
    assert!(!only(&seen, "share 1 → m0").is_empty());
    assert_eq!(rig.sent.last(), before.last(), "the same bytes");
    rig.assert_sound();
}

#[test]
fn a_write_that_was_lost_had_no_share() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut fork = line.clone();
    rig.frame(&line.frame(vec![]));
    // The machine dies before the group is written; what was to be signed is free again, on either branch.
    rig.crash();
    rig.frame(&fork.other());
    assert_eq!(only(&rig.write(), "row"), ["row 0"]);
    rig.assert_sound();
}

#[test]
fn a_row_whose_share_never_left_binds_all_the_same() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut fork = line.clone();
    let frame = line.frame(vec![]);
    rig.frame(&frame);
    rig.now = rig.now.plus_ms(3);
    let mut effects = Vec::new();
    ao_consensus::Consensus::handle(&mut rig.engine, rig.now, Input::Tick, &mut effects);
    let Some(Effect::Remember(record)) = effects.into_iter().next() else { panic!("a row first") };
    let Some(Guard::Chain(row)) = record.guards.first() else { panic!("with a guard") };
    // The store of protection is durable before the record is; the power fails between the two, and before anything is sent.
    ao_consensus::protection::Protection::record(&mut rig.protection, &[Guard::Chain(row.clone())]).unwrap();
    rig.crash();
    rig.frame(&fork.other());
    rig.frames(&fork.frames(2));
    assert!(only(&rig.pass(1_000), "row").is_empty(), "bound to a frame that is not even here");
    rig.frame(&frame);
    assert!(!only(&rig.pass(3_000), "share 0").is_empty());
    rig.frame(&line.frame(vec![]));
    assert_eq!(only(&rig.write(), "row"), ["row 1"]);
    rig.assert_sound();
}

#[test]
fn an_own_share_of_before_counts_again() {
    let net = Net::of(1);
    let (mut rig, mut line) = (Rig::scheduler(&net), net.line());
    let frame = line.frame(vec![]);
    rig.slow_disk = true;
    rig.frame(&frame);
    assert_eq!(rig.write(), ["row 0"]);
    // The row is durable, and the process dies before it hears of that. Nobody else can send the share.
    rig.crash();
    assert_eq!(rig.frame(&frame), ["certified 0"]);
    rig.assert_sound();
}

#[test]
fn a_confirmed_past_binds_without_walking_back_to_it() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut frames = vec![line.frame(vec![])];
    rig.frame(&frames[0]);
    assert_eq!(only(&rig.write(), "row"), ["row 0"]);
    for _ in 0..60 {
        let certificate = net.quorum(frames.last().unwrap());
        frames.push(line.frame(vec![certificate]));
    }
    rig.frames(&frames[1..]);
    let confirmed = rig.confirmed.as_ref().unwrap().next_sequence;
    assert_eq!(confirmed, 59, "certificate on 59, carried by 60, confirms 58");
    // No time has passed, so the key's last signature is on frame 0, far behind what is confirmed.
    rig.crash();
    rig.frames(&frames[confirmed as usize - 16..]);
    let seen = rig.write();
    assert_eq!(only(&seen, "row"), ["row 60"]);
    rig.assert_sound();
}

#[test]
fn a_key_on_a_branch_that_lost_never_signs_in_the_chain_again() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let mut fork = line.clone();
    rig.frame(&fork.other());
    assert_eq!(only(&rig.write(), "row"), ["row 0"]);
    let mut frames = vec![line.frame(vec![])];
    for _ in 0..5 {
        let certificate = net.certificate(frames.last().unwrap(), [0, 2, 3]);
        frames.push(line.frame(vec![certificate]));
    }
    rig.frames(&frames);
    assert_eq!(rig.confirmed.as_ref().map(|tip| tip.next_sequence), Some(4), "it follows what others confirm");
    for crash in [false, true] {
        if crash {
            rig.crash();
            rig.frames(&frames[4..]);
        }
        let certificate = net.certificate(frames.last().unwrap(), [0, 2, 3]);
        frames.push(line.frame(vec![certificate]));
        rig.frame(frames.last().unwrap());
        assert!(only(&rig.pass(5_000), "row").is_empty(), "crash: {crash}");
    }
    rig.assert_sound();
}

#[test]
fn nothing_is_confirmed_twice() {
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::new(&net, Role::Follower), net.line());
    let mut frames = vec![line.frame(vec![])];
    for _ in 0..10 {
        let certificate = net.quorum(frames.last().unwrap());
        frames.push(line.frame(vec![certificate]));
    }
    rig.frames(&frames[..6]);
    rig.crash();
    let seen = rig.frames(&frames);
    assert_eq!(only(&seen, "confirmed"), ["confirmed 4", "confirmed 5", "confirmed 6", "confirmed 7", "confirmed 8"]);
    rig.assert_sound();
}

#[test]
fn a_seal_is_the_same_after_a_crash() {
    use ao_consensus::origin::{OriginChange, OriginUpdate};
    let net = Net::of(4);
    let (mut rig, mut line) = (Rig::member(&net, 1), net.line());
    let first = line.frame(vec![]);
    let second = line.frame(vec![net.quorum(&first)]);
    rig.frames([&first, &second]);
    rig.write();
    let closing = OriginUpdate { height: 1, time: START, changes: vec![OriginChange::Closing { chain: net.chain }] };
    assert_eq!(rig.give(Input::Origin(Box::new(closing.clone()))), ["row 1 sealed", "seal 0"]);
    rig.crash();
    // Without any frame: what a seal shows was written down with the row.
    assert_eq!(rig.give(Input::Origin(Box::new(closing))), ["seal 0"]);
    rig.frames([&first, &second]);
    rig.frames(&line.frames(2));
    assert!(only(&rig.pass(5_000), "share").is_empty());
    rig.assert_sound();
}
