//! What is collected for Arweave beside slots in order, and what one process that is broken, or one that is large, does to the others.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::driver::{Keeper as _, Parcel, Rows};
use ao_arweave::limits::FLUSH_BYTES;
use ao_arweave::pipeline::{Bundle, Shipment};
use ao_arweave::records::{RangeRecord, Record};
use ao_storage::schema::{self, AnchorHead};
use ao_types::scheduler_location::SchedulerLocation;
use ao_types::{Id, ItemBuilder, NetworkId, Signer as _, Slot, Verified, Wallet};
use bytes::Bytes;

use super::rig::{BEGIN_MS, Rig};
use crate::anchor::collect::{CollectError, Collected, Collector};
use crate::anchor::keeper::StoreKeeper;
use crate::handle::AssignRequest;
use crate::levels::Goal;
use crate::limits::ANCHOR_EVIDENCE_AT_ONCE;
use crate::shell::hosts;

const PATIENCE: Duration = Duration::from_secs(60);
const EARLY: u64 = BEGIN_MS + 30_000;
const LATER: u64 = BEGIN_MS + 100_000;

fn scheduler() -> Wallet {
    // The key of the rig.
    Wallet::ed25519_from_seed(&[1; 32])
}

/// Collects and remembers, as often as it is asked.
struct Hand {
    collector: Collector,
    keeper: StoreKeeper,
    number: u64,
}

impl Hand {
    fn of(rig: &Rig) -> Self {
        let scheduler = Arc::new(scheduler());
        let whose = scheduler.address();
        let collector = Collector::new(rig.store.clone(), scheduler, whose, NetworkId([5; 32]), PATIENCE);
        Self { collector, keeper: StoreKeeper::new(rig.store.clone(), Arc::new(|_, _| {})), number: 0 }
    }

    fn collect(&self, now_ms: u64) -> Collected {
        self.collector.collect(now_ms).unwrap()
    }

    /// A parcel, which is on its way then.
    fn take(&mut self, now_ms: u64) -> Option<Parcel> {
        let parcel = self.collect(now_ms).parcel?;
        self.number += 1;
        let items = parcel.items.len() as u32;
        let covered = parcel.covered.clone();
        let bundle = Bundle { root: [1; 32], bytes: 1, chunks: 1, items, since_ms: parcel.since_ms, covered };
        let shipments = vec![Shipment::new(self.number, bundle)];
        self.keeper.remember(Rows { shipments, parcel: Some((self.number, &parcel)), ..Rows::default() }).unwrap();
        assert_eq!(self.keeper.items(self.number).unwrap(), parcel.items, "the bundle can be made again");
        Some(parcel)
    }
}

async fn process_with(rig: &Rig, messages: usize) -> Id {
    let process = rig.spawn(&[]).await;
    for n in 0..messages {
        let message = rig.send(process, &[], &n.to_string()).await.unwrap();
        rig.result(process, message.id).await;
    }
    process
}

fn evidence(parcel: &Parcel) -> Vec<Bytes> {
    let read = |item: &Verified<ao_types::DataItem>| match Record::read(item)? {
        Ok(Record::Evidence(bytes)) => Some(bytes),
        _ => None,
    };
    parcel.items.iter().filter_map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_goes_at_once_and_once() {
    let (rig, all) = (Rig::start(), ANCHOR_EVIDENCE_AT_ONCE + 2);
    let mut hand = Hand::of(&rig);
    assert!(hand.take(EARLY).is_none());
    let bytes = |n: usize| Bytes::from(format!("two headers of one place, number {n}"));
    rig.change(|batch| (0..all).for_each(|n| schema::EVIDENCE.put(batch, &[n as u8; 32], &bytes(n))));
    let (first, second) = (hand.take(EARLY).expect("nobody waits for evidence"), hand.take(EARLY).expect("nor for more of it"));
    let mut went = evidence(&first);
    assert_eq!(went.len(), ANCHOR_EVIDENCE_AT_ONCE, "so much at once");
    went.extend(evidence(&second));
    assert_eq!(went, (0..all).map(bytes).collect::<Vec<_>>());
    assert!(hand.take(LATER).is_none());
    // A second life knows that it went.
    assert!(Hand::of(&rig).take(LATER).is_none());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_call_a_record_moves_nothing() {
    let rig = Rig::start();
    let mut hand = Hand::of(&rig);
    let (victim, own) = (process_with(&rig, 2).await, rig.spawn(&[("Name", "own")]).await);
    let before = hand.take(LATER).expect("slots are due");
    let head = |process: &Id| schema::ANCHOR_HEADS.get(&*rig.store, process).unwrap().unwrap();
    let known = head(&victim);
    assert_eq!(known.next, Slot(3));
    let forge = |from: u64, signer: &Wallet| {
        let record = RangeRecord {
            process: victim,
            schedule_epoch: 0,
            from: Slot(from),
            hash_chain: [7; 32],
            previous: None,
            slots: vec![(Id([1; 32]), Id([2; 32]))],
            results: (Slot(0), Vec::new()),
            certificates: Vec::new(),
        };
        Record::Range(record).item(&NetworkId([5; 32])).unwrap().sign(signer).unwrap()
    };
    let stranger = Wallet::ed25519_from_seed(&[66; 32]);
    // One that goes back, one that goes far ahead, and an old one of the node's own, which everybody can read on Arweave.
    let old = before.items.iter().find(|item| before.records.contains(&item.id()) && item.tag("Process") == Some(&victim.to_string()));
    for item in [forge(0, &stranger), forge(u64::MAX, &stranger), old.expect("a record went").clone()] {
        rig.node.store_item(item.as_bytes().clone()).await.unwrap();
        let request = AssignRequest { process: own, item: item.id(), exclude: Vec::new(), base_layer: false };
        let slot = rig.node.assign(request).await.unwrap().slot.unwrap();
        rig.node.reach(own, slot, Goal::Computed, PATIENCE).await.unwrap();
        let went: Vec<Parcel> = std::iter::from_fn(|| hand.take(LATER)).collect();
        let goes = |parcel: &Parcel| parcel.items.iter().any(|one| one.id() == item.id());
        assert!(went.iter().any(goes), "it goes as what it is: something that was said");
        assert_eq!(head(&victim), known);
    }
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_goes_when_it_changes() {
    let rig = Rig::start();
    let mut hand = Hand::of(&rig);
    let say = |rig: &Rig, url: &str, at: u64| {
        let tags = SchedulerLocation::tags(url, 1, &Wallet::ed25519_from_seed(&[9; 32]).address());
        let item = ItemBuilder::new().anchor(hosts::anchor(at)).tags(tags).sign(&scheduler()).unwrap();
        rig.change(|batch| {
            schema::ITEMS.put(batch, &item.id(), item.as_bytes());
            schema::OWNER_INDEX.put(batch, &(scheduler().address(), u64::MAX - LATER + at), &item.id());
        });
        item
    };
    let first = say(&rig, "http://a", BEGIN_MS);
    assert!(hand.take(EARLY).is_none(), "it waits for others like everything else");
    let parcel = hand.take(LATER).unwrap();
    assert_eq!((parcel.items.as_slice(), parcel.since_ms), (&[first][..], BEGIN_MS));
    assert!(hand.take(LATER).is_none());
    let second = say(&rig, "http://b", BEGIN_MS + 1);
    assert_eq!(hand.take(LATER).unwrap().items, [second]);
    assert!(hand.take(LATER).is_none());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_come_after_their_range_go_by_themselves() {
    let rig = Rig::start();
    let process = process_with(&rig, 3).await;
    let mut hand = Hand::of(&rig);
    hand.take(LATER).unwrap();
    assert!(hand.take(LATER).is_none());
    // As if two of them had not been computed by then.
    let head = schema::ANCHOR_HEADS.get(&*rig.store, &process).unwrap().unwrap();
    assert_eq!((head.next, head.results), (Slot(4), Slot(4)));
    rig.change(|batch| schema::ANCHOR_HEADS.put(batch, &process, &AnchorHead { results: Slot(2), ..head }));
    assert!(hand.take(LATER).is_none(), "they wait for others, from when they were seen");
    let parcel = hand.take(LATER + PATIENCE.as_millis() as u64).unwrap();
    let hashes: Vec<_> = rig.results(process).iter().skip(2).map(|(_, row)| row.result_hash).collect();
    match parcel.items.iter().map(|item| Record::read(item).unwrap().unwrap()).collect::<Vec<_>>().as_slice() {
        [Record::Results(record)] => assert_eq!((record.process, &record.results), (process, &(Slot(2), hashes))),
        other => panic!("{other:?}"),
    }
    assert_eq!(schema::ANCHOR_HEADS.get(&*rig.store, &process).unwrap(), Some(head), "and are not owed any more");
    assert!(hand.take(u64::MAX).is_none());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_be_read_does_not_stop_the_others() {
    let rig = Rig::start();
    let other = rig.spawn(&[("Name", "another")]).await;
    for n in ["1", "2"] {
        let message = rig.send(other, &[], n).await.unwrap();
        rig.result(other, message.id).await;
    }
    let mut processes = [process_with(&rig, 2).await, other];
    // The broken one comes first.
    processes.sort_unstable();
    let [broken, whole] = processes;
    rig.change(|batch| schema::SCHEDULE.delete(batch, &(broken, Slot(1))));
    let mut hand = Hand::of(&rig);
    let collected = hand.collect(LATER);
    assert!(matches!(collected.broken.as_slice(), [CollectError::Missing { process, slot: Slot(1) }] if *process == broken));
    let covered = hand.take(LATER).unwrap().covered;
    let ranges: Vec<_> = covered.iter().map(|range| (range.process, range.from, range.to)).collect();
    assert_eq!(ranges, [(broken, Slot(0), Slot(0)), (whole, Slot(0), Slot(2))], "it goes as far as it can be read");
    let after = hand.collect(LATER);
    assert_eq!((after.parcel.is_none(), after.broken.len()), (true, 1), "and says so as long as that is so");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_read_than_one_bundle_takes() {
    let rig = Rig::start();
    let process = process_with(&rig, 0).await;
    let large = "x".repeat(1 << 20);
    for _ in 0..8 {
        let message = rig.send(process, &[], &large).await.unwrap();
        rig.result(process, message.id).await;
    }
    let mut hand = Hand::of(&rig);
    let (mut slots, mut parcels) = (0, 0);
    while let Some(parcel) = {
        let waiting = hand.collect(LATER).waiting;
        assert!(waiting.bytes <= FLUSH_BYTES + (2 << 20), "{waiting:?}");
        hand.take(LATER)
    } {
        slots += parcel.covered.iter().map(|range| range.to.0 - range.from.0 + 1).sum::<u64>();
        parcels += 1;
    }
    assert_eq!(slots, 9);
    assert!(parcels >= 2, "{parcels}");
    rig.stop();
}
