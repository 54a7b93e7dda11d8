//! The power fails at every write of a run, and room ends at every write: `faults.md` F1, F2 and F5, on the whole node.

use ao_storage::faulty::{Disk, Fault};
use ao_storage::schema;

use super::world::{World, load, upload};
use super::*;

const MESSAGES: usize = 8;

#[test]
fn one_seed_is_one_run() {
    let run = || {
        let mut world = World::new(7, Default::default(), Fault::None);
        load(&mut world, MESSAGES);
        world.check();
        world.rows()
    };
    assert!(run() == run(), "the same seed gives the same rows");
}

#[test]
fn any_interleaving_comes_to_the_same_rest() {
    for seed in 0..24 {
        let mut world = World::new(seed, Default::default(), Fault::None);
        let sent = load(&mut world, MESSAGES);
        world.check();
        for (request, item) in sent {
            let reply = world.replies[&request].as_ref().unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}"));
            assert_eq!(reply.id, item.id(), "seed {seed}");
        }
        assert_eq!(world.processes().len(), 2);
    }
}

/// After a crash at any write, from any image that may have survived: what was acknowledged is there, nothing is twice, everything owed
/// is done, and sending again what was not acknowledged succeeds or is a repeat.
#[test]
fn a_crash_at_any_write_loses_nothing_that_was_acknowledged() {
    let seeds = if std::env::var_os("AONODE_FULL").is_some() { 1..6 } else { 1..2 };
    for seed in seeds {
        let mut whole = World::new(seed, Default::default(), Fault::None);
        load(&mut whole, MESSAGES);
        let writes = whole.store.writes();
        assert!(writes > 20, "the run writes {writes} times");
        for write in 1..=writes {
            let mut world = World::new(seed, Default::default(), Fault::CrashAt(write));
            let sent = load(&mut world, MESSAGES);
            for (image, contents) in world.store.survivors().into_iter().enumerate() {
                let at = format!("seed {seed}, write {write}, image {image}");
                let mut again = World::new(seed + 100, contents, Fault::None);
                again.settle();
                again.check();
                for (request, item) in &sent {
                    let target = item.target().unwrap_or(item.id());
                    let there = facts::assigned(&*again.store, target, item.id()).unwrap();
                    if let Some(Ok(accepted)) = world.replies.get(request) {
                        assert_eq!(there, accepted.slot, "{at}: an acknowledged item keeps its slot");
                    }
                    let known = schema::PROCESSES.contains(&*again.store, &target).unwrap();
                    let request = again.submit(item, false);
                    again.settle();
                    match &again.replies[&request] {
                        Ok(accepted) => assert!(there.is_none() && accepted.slot.is_some(), "{at}"),
                        Err(refusal) if there.is_some() => assert_eq!(refusal.code, Code::Duplicate, "{at}"),
                        Err(refusal) => assert!(!known, "{at}: {refusal}"),
                    }
                }
                again.settle();
                again.check();
            }
        }
    }
}

#[test]
fn room_that_ends_at_any_write_stops_writes_and_nothing_else() {
    let mut whole = World::new(3, Default::default(), Fault::None);
    load(&mut whole, MESSAGES);
    let writes = whole.store.writes();
    for write in 4..=writes {
        let mut world = World::new(3, Default::default(), Fault::FullFrom(write));
        let sent = load(&mut world, MESSAGES);
        assert!(sent.iter().all(|(request, _)| world.replies.contains_key(request)), "write {write}: everybody is answered");
        world.free_space();
        world.settle();
        for (request, item) in &sent {
            if world.replies[request].is_err() {
                let again = world.submit(item, false);
                world.settle();
                let reply = &world.replies[&again];
                assert!(reply.as_ref().is_ok_and(|accepted| accepted.slot.is_some()), "write {write}: {reply:?}");
            }
        }
        world.check();
    }
}

/// F2: a drive that answers before it has written may lose any suffix, acknowledged or not. What is left is a whole node of an earlier
/// moment: every log, result, outbox and checkpoint in it agrees with every other, and everything can be sent again. (What others have
/// certified cannot be lost this way; finding out that it is missing needs others.)
#[test]
fn a_disk_that_lies_leaves_a_whole_node_of_an_earlier_moment() {
    let mut world = World::on(Disk::Lying, 5, Default::default(), Fault::None);
    let sent = load(&mut world, MESSAGES);
    world.check();
    let whole = world.log_lengths();
    world.store.crash();
    let images = world.store.survivors();
    assert!(images.len() > 20);
    for (image, contents) in images.into_iter().enumerate() {
        let mut again = World::new(image as u64, contents, Fault::None);
        again.settle();
        again.check();
        upload(&mut again);
        for (_, item) in &sent {
            let request = again.submit(item, false);
            again.settle();
            let reply = &again.replies[&request];
            assert!(reply.as_ref().map_or_else(|refusal| refusal.code == Code::Duplicate, |_| true), "image {image}: {reply:?}");
        }
        again.check();
        assert_eq!(again.log_lengths(), whole, "image {image}");
    }
}
