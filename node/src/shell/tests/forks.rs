//! A scheduler that signs two logs: every honest node ends with the one that is confirmed, or nothing behind the fork is confirmed anywhere.

use ao_consensus::frame::{FrameSignature, WireFrame};
use ao_consensus::schedule::{Clock, Head, ToAssign, assign_run};
use ao_consensus::{Body, Draft, Entry, RawHeader, Timestamp};
use ao_storage::Direction;
use ao_storage::schema;
use ao_types::{Canonical, DataItem, Verified};
use bytes::Bytes;

use super::cluster::{Cluster, peer, wallet};
use super::network::{message, process, upload};
use super::*;
use crate::network::seam::{Arrival, Judge, Way};

/// Another frame of scheduler 0 for the place after its last one, as node `n` has it: `item` in the next slot.
fn another_frame(cluster: &Cluster, n: usize, process: Id, item: &Verified<DataItem>) -> Bytes {
    let head = schema::HEADS.get(&*cluster.worlds[n].store, &process).unwrap().unwrap();
    let tip = cluster.last_tip(n, 0);
    let before = Head {
        schedule_epoch: head.schedule_epoch,
        slot: head.slot,
        assignment: head.assignment,
        hash_chain: head.hash_chain,
        timestamp: Timestamp(head.timestamp_ms),
        block_height: head.block_height,
    };
    let clock = Clock { now: tip.timestamp, block_height: tip.block_height };
    let items = vec![ToAssign { item: Some(item.id()), exclude: Vec::new() }];
    let assigned = assign_run(process, Some(before), clock, items, &wallet(0)).unwrap().remove(0);
    let entry = Entry {
        process,
        schedule_epoch: assigned.schedule_epoch,
        slot: assigned.slot,
        item: item.id(),
        assignment: assigned.id,
        content_hash: assigned.content_hash,
        hash_chain: assigned.hash_chain,
    };
    let body = Body::of([(entry, assigned.assignment.as_bytes().clone(), Some(item.as_bytes().clone()))]);
    let draft = Draft {
        network_id: cluster.network(),
        epoch: ao_types::Epoch(0),
        control_height: 0,
        closed: Vec::new(),
        certificates: Vec::new(),
        body: body.clone(),
        now: tip.timestamp,
        block: (tip.block_height, [0; 48]),
    };
    let built = tip.build(draft).unwrap();
    let signature = FrameSignature::sign(&built.id, &wallet(0)).unwrap();
    WireFrame { header: RawHeader { header: built.frame.header, signature }, body }.encode().into()
}

/// Two processes of two schedulers; then scheduler 0 tells `deceived` another next frame than the others.
fn deceive(engine: &'static str, deceived: &[usize], seed: u64) -> (Cluster, [Verified<DataItem>; 2], [Verified<DataItem>; 2]) {
    let mut cluster = Cluster::new(engine, 4, seed);
    upload(&mut cluster, 0);
    let processes = [process(&cluster, 0, 1), process(&cluster, 1, 2)];
    cluster.worlds[0].submit(&processes[0], false);
    cluster.worlds[1].submit(&processes[1], false);
    cluster.settle();
    let told = tell(&mut cluster, processes[0].id(), deceived, 1);
    (cluster, processes, told)
}

/// Scheduler 0 tells `deceived` another next slot of a process than the others; what it tells the others, and those.
fn tell(cluster: &mut Cluster, process: Id, deceived: &[usize], text: u8) -> [Verified<DataItem>; 2] {
    let told = [text, text + 1].map(|text| message(process, text, &[("Action", "Count")]));
    let other = another_frame(cluster, deceived[0], process, &told[1]);
    cluster.cut = deceived.iter().copied().collect();
    for n in deceived {
        cluster.worlds[*n].arrive(Arrival::Frame { from: peer(0), bytes: other.clone(), way: Way::Gossip, judge: Judge::nobody() });
    }
    cluster.worlds[0].submit(&told[0], false);
    cluster.run_for(3_000);
    let last = |n: usize| cluster.worlds[n].log(process).last().map(|row| row.item);
    assert_eq!((last(0), last(deceived[0])), (Some(told[0].id()), Some(told[1].id())));
    cluster.cut.clear();
    told
}

#[test]
fn whoever_was_told_another_log_than_the_confirmed_one_turns_to_that() {
    for (engine, seed) in [("attest", 21), ("bft", 22), ("attest", 23), ("bft", 24)] {
        let (mut cluster, [first, second], told) = deceive(engine, &[3], seed);
        // A client of the deceived node is not forgotten.
        let request = cluster.worlds[3].submit(&message(second.id(), 9, &[("Action", "Count")]), false);
        cluster.settle();
        cluster.run_for(10_000);
        cluster.settle();
        cluster.check(&[0, 1, 2, 3]);
        assert_eq!(cluster.worlds[3].log(first.id()).last().map(|row| row.item), Some(told[0].id()), "{engine}");
        assert!(cluster.worlds[3].replies.contains_key(&request), "{engine}");
        for (n, world) in cluster.worlds.iter().enumerate() {
            let shown = schema::EVIDENCE.all(&*world.store, Direction::Forward, 10).unwrap();
            assert!(!shown.is_empty(), "{engine}: node {n} has no evidence");
        }
        // It goes on with everything but its old word: what it is sent is in every log.
        cluster.worlds[3].submit(&message(second.id(), 10, &[("Action", "Count")]), false);
        cluster.settle();
        cluster.check(&[0, 1, 2, 3]);
        assert_eq!(
            cluster.worlds[0].log(second.id()).last().map(|row| row.item),
            Some(message(second.id(), 10, &[("Action", "Count")]).id())
        );
    }
}

/// The first certificate that the deceived node hears is of a frame far behind the fork.
#[test]
fn whoever_was_told_another_log_turns_however_far_the_others_went_on() {
    for (engine, seed) in [("attest", 51), ("bft", 52), ("attest", 53), ("attest", 54)] {
        let (mut cluster, [first, _], _) = deceive(engine, &[3], seed);
        cluster.cut = [3].into();
        let messages: Vec<_> = (60..66).map(|text| message(first.id(), text, &[("Action", "Count")])).collect();
        for one in &messages {
            cluster.worlds[0].submit(one, false);
            cluster.run_for(3_000);
        }
        cluster.cut.clear();
        cluster.run_for(10_000);
        cluster.settle();
        cluster.check(&[0, 1, 2, 3]);
        assert_eq!(cluster.worlds[3].log(first.id()).last().map(|row| row.item), messages.last().map(|one| one.id()), "{engine}");
    }
}

/// The second time a node waits before it turns. Meanwhile it learns that the frame before the fork is confirmed, by the frame that it
/// does not have yet and which carries that very certificate: it once refused it for ever.
#[test]
fn a_scheduler_that_does_it_again_and_again_loses_nobody() {
    for (engine, seed) in [("attest", 41), ("bft", 42), ("attest", 43)] {
        let (mut cluster, [first, _], _) = deceive(engine, &[3], seed);
        for text in [20, 30, 40] {
            cluster.run_for(10_000);
            cluster.settle();
            cluster.check(&[0, 1, 2, 3]);
            let told = tell(&mut cluster, first.id(), &[3], text);
            cluster.run_for(30_000);
            cluster.settle();
            cluster.check(&[0, 1, 2, 3]);
            assert_eq!(cluster.worlds[3].log(first.id()).last().map(|row| row.item), Some(told[0].id()), "{engine}");
        }
        assert!(cluster.penalties.iter().all(|(whom, _)| *whom == peer(0)), "{engine}: {:?}", cluster.penalties);
    }
}

#[test]
fn a_log_that_no_quorum_holds_stops_with_evidence_and_the_others_go_on() {
    for (engine, seed) in [("attest", 31), ("bft", 32)] {
        let (mut cluster, [first, second], _) = deceive(engine, &[2, 3], seed);
        cluster.run_for(20_000);
        for n in 0..4 {
            cluster.worlds[n].submit(&message(second.id(), 10 + n as u8, &[("Action", "Count")]), false);
            cluster.run_for(2_000);
        }
        cluster.run_for(20_000);
        for (n, world) in cluster.worlds.iter().enumerate() {
            let confirmed = |process| schema::CONFIRMED.get(&*world.store, &process).unwrap();
            assert_eq!(confirmed(first.id()), Some(Slot(0)), "{engine}: node {n}: neither log has a quorum");
            assert_eq!(confirmed(second.id()), Some(Slot(4)), "{engine}: node {n}: the other chain does not wait");
            assert!(!schema::EVIDENCE.all(&*world.store, Direction::Forward, 10).unwrap().is_empty(), "{engine}: node {n}");
        }
    }
}
