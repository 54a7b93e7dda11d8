//! Stories of many nodes (`consensus.md` §12: S1 to S3, S7), each from several seeds.

use std::collections::BTreeSet;

use super::rig::Net;
use super::world::{Kind, World, minority};
use crate::limits::INTERVAL_MS;

/// A load of a second, and silence until everything is acknowledged.
fn to_the_end(world: &mut World) {
    world.run(1_000, true);
    world.run(30_000, false);
}

#[test]
fn everything_is_confirmed_in_committees_of_every_size() {
    for members in [1, 2, 3, 4, 7, 20] {
        let mut world = World::new(&Net::of(members), 1, &[]);
        world.run(1_000, true);
        assert!(
            world.owed >= 1_000 / INTERVAL_MS - 1,
            "{members} members: waiting for certificates never holds a frame up: {}",
            world.owed
        );
        world.run(500, false);
        world.assert_safe();
        world.assert_live();
    }
}

#[test]
fn two_round_trips_confirm() {
    let mut world = World::new(&Net::of(7), 3, &[]);
    world.latency_ms = 100;
    let mut first = None;
    for ms in 0..2_000 {
        world.run(1, true);
        if world.honest().any(|rig| !rig.log.is_empty()) {
            first = Some(ms);
            break;
        }
    }
    // 50 to 150 ms one way; the slowest of a quorum counts: to certified at most 300, to confirmed at most 600 and two intervals.
    assert!(first.is_some_and(|ms| ms <= 660), "{first:?}");
}

#[test]
fn loss_delay_and_disorder_lose_nothing() {
    for seed in 0..9 {
        let mut world = World::new(&Net::of([4, 7, 20][seed as usize % 3]), seed, &[]);
        (world.loss, world.latency_ms) = (5, 60);
        to_the_end(&mut world);
        world.assert_safe();
        world.assert_live();
    }
}

#[test]
fn less_than_a_third_of_any_kind_stops_nothing() {
    for kind in [Kind::Mute, Kind::Garbler, Kind::DoubleVoter] {
        for (members, bad) in [(4, vec![1]), (7, vec![2, 3]), (20, vec![1, 2, 3, 4, 5, 6])] {
            let net = Net::of(members);
            assert!(minority(&net, &bad));
            let bad: Vec<(usize, Kind)> = bad.into_iter().map(|member| (member, kind)).collect();
            let mut world = World::new(&net, 7, &bad);
            to_the_end(&mut world);
            world.assert_safe();
            world.assert_live();
        }
    }
}

#[test]
fn without_a_quorum_nothing_is_confirmed_and_afterwards_everything_is() {
    for seed in 0..5 {
        let mut world = World::new(&Net::of(4), seed, &[]);
        world.run(500, true);
        world.down = BTreeSet::from([2, 3]);
        let before = world.honest().map(|rig| rig.log.len()).max().unwrap();
        // Ten minutes: frames of before stay signable, however late (§4: held, never refused).
        world.run(1_000, true);
        world.run(600_000, false);
        let meanwhile = world.honest().map(|rig| rig.log.len()).max().unwrap();
        assert!(meanwhile <= before + 4, "what was on its way: {before} then {meanwhile}");
        world.down.clear();
        to_the_end(&mut world);
        world.assert_safe();
        world.assert_live();
    }
}

#[test]
fn crashes_of_everybody_in_turn_lose_nothing_and_contradict_nothing() {
    for seed in 0..6 {
        let mut world = World::new(&Net::of(4), seed, &[]);
        world.loss = 10;
        for round in 0..12 {
            world.run(90, true);
            world.crash((round + seed as usize) % 4);
        }
        to_the_end(&mut world);
        world.assert_safe();
        world.assert_live();
    }
}

#[test]
fn a_node_that_was_away_ends_with_the_same_log() {
    let mut world = World::new(&Net::of(7), 5, &[]);
    world.down = BTreeSet::from([6]);
    world.run(4_000, true);
    assert_eq!(world.rigs[6].log.len(), 0);
    let others = world.rigs[1].log.len();
    assert!(others > 150, "{others}");
    world.down.clear();
    to_the_end(&mut world);
    world.assert_safe();
    world.assert_live();
}

#[test]
fn an_equivocating_scheduler_never_gets_two_certificates_and_is_convicted() {
    for seed in 0..5 {
        // The scheduler shows one frame to half of the nodes and another to the rest, and a third of the stake signs everything.
        let net = Net::of(7);
        let mut world = World::new(&net, seed, &[(5, Kind::DoubleVoter), (6, Kind::DoubleVoter)]);
        world.run(200, true);
        let (line, pace, _) = world.lines.remove(0);
        let split = seed as usize % 5;
        let mut fork = (line.clone(), pace.clone(), (split..7).collect::<BTreeSet<_>>());
        fork.0.block_height = 1;
        world.lines = vec![(line, pace, (0..split.max(1)).chain([5, 6]).collect()), fork];
        world.run(1_000, true);
        // Then everybody sees everything.
        world.lines.iter_mut().for_each(|(.., whom)| *whom = (0..7).collect());
        to_the_end(&mut world);
        world.assert_safe();
        assert!(world.honest().any(|rig| rig.evidence.contains(&"two-headers")), "seed {seed}: somebody holds two headers");
        assert!(world.honest().all(|rig| !rig.evidence.contains(&"two-certificates")), "seed {seed}");
    }
}

#[test]
fn a_cut_committee_confirms_although_a_third_of_its_aggregators_is_silent() {
    let net = Net::of(130);
    let mute: Vec<(usize, Kind)> = (1..130).filter(|member| member % 3 == 1).map(|member| (member, Kind::Mute)).take(43).collect();
    assert!(minority(&net, &mute.iter().map(|(member, _)| *member).collect::<Vec<_>>()));
    let mut world = World::new(&net, 2, &mute);
    world.run(300, true);
    world.run(5_000, false);
    world.assert_safe();
    world.assert_live();
}
