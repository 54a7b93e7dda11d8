//! From confirmed slots to Arweave: what is collected, what is remembered, and the level that readers see.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::driver::{Keeper as _, Parcel, Rows, Standing};
use ao_arweave::pipeline::{Budget, Bundle, Place, Shipment, Spent, Stage};
use ao_arweave::records::Record;
use ao_storage::{Direction, Store, schema};
use ao_types::{Id, NetworkId, Slot, Verified, Wallet};
use bytes::Bytes;

use super::rig::{BEGIN_MS, Rig};
use crate::anchor::collect::Collector;
use crate::anchor::keeper::StoreKeeper;
use crate::anchor::{Anchoring, Setup};

#[path = "../../../../storage/arweave/tests/common/mod.rs"]
mod arweave;

const NETWORK: NetworkId = NetworkId([5; 32]);
const PATIENCE: Duration = Duration::from_secs(60);
const LATER: u64 = BEGIN_MS + 100_000;

/// The scheduler's key of the rig.
fn scheduler() -> Arc<Wallet> {
    Arc::new(Wallet::ed25519_from_seed(&[1; 32]))
}

fn collector(store: &Arc<dyn Store>) -> Collector {
    Collector::new(store.clone(), scheduler(), NETWORK, PATIENCE)
}

async fn process_with(rig: &Rig, messages: usize) -> Id {
    let process = rig.spawn(&[]).await;
    for n in 0..messages {
        let message = rig.send(process, &[], &n.to_string()).await.unwrap();
        rig.result(process, message.id).await;
    }
    process
}

fn shipment(number: u64, parcel: &Parcel, stage: Stage) -> Shipment {
    let items = parcel.items.len() as u32;
    let bundle = Bundle { root: [1; 32], bytes: 1, chunks: 1, items, since_ms: parcel.since_ms, covered: parcel.covered.clone() };
    Shipment { number, bundle, stage, carriers: Vec::new(), copies: Vec::new() }
}

fn settled() -> Stage {
    Stage::Settled(Place { height: 1, block: Bytes::from_static(&[1; 48]), carrier: Id([1; 32]), transaction: Id([1; 32]) }, 20)
}

fn ranges(parcel: &Parcel) -> Vec<(Id, ao_arweave::records::RangeRecord)> {
    let read = |item: &Verified<ao_types::DataItem>| match Record::read(item)? {
        Ok(Record::Range(range)) => Some((item.id(), range)),
        other => panic!("{other:?}"),
    };
    parcel.items.iter().filter_map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_slots_are_collected_in_order_until_they_are_in_a_shipment() {
    let rig = Rig::start();
    let process = process_with(&rig, 3).await;
    let (collector, keeper) = (collector(&rig.store), StoreKeeper::new(rig.store.clone()));
    assert!(collector.collect(BEGIN_MS + 59_000).unwrap().is_none(), "the oldest has not waited long enough");
    let parcel = collector.collect(LATER).unwrap().unwrap();
    let kinds: Vec<_> = parcel.items.iter().map(|item| item.tag("Type").unwrap().to_owned()).collect();
    let pair = ["Message", "Assignment"];
    assert_eq!(kinds, [&["Process", "Assignment"][..], &pair, &pair, &pair, &["Anchor-Range"]].concat());
    let log = rig.log(process);
    let [(first, range)] = ranges(&parcel).try_into().unwrap();
    assert_eq!(range.slots, log.iter().map(|row| (row.item, row.assignment_id)).collect::<Vec<_>>());
    let head = schema::HEADS.get(&*rig.store, &process).unwrap().unwrap();
    assert_eq!((range.from, range.to(), range.hash_chain, range.previous), (Slot(0), Slot(3), head.hash_chain, None));
    let hashes: Vec<_> = rig.results(process).iter().map(|(_, row)| row.result_hash).collect();
    assert_eq!(range.results, (Slot(0), hashes));
    assert!(range.certificates.is_empty(), "a network of one proves nothing to strangers");
    // Nothing is remembered yet: a crash here costs nothing.
    assert_eq!(collector.collect(LATER).unwrap().unwrap().items.len(), parcel.items.len());
    let rows = Rows { shipments: vec![shipment(1, &parcel, Stage::Bundled)], parcel: Some((1, &parcel)), ..Rows::default() };
    keeper.remember(rows).unwrap();
    assert!(collector.collect(LATER).unwrap().is_none());
    // The bundle can be made again from the store, whoever asks.
    let again = StoreKeeper::new(rig.store.clone());
    assert_eq!(again.items(1).unwrap(), parcel.items);
    assert!(again.items(2).is_err());
    let message = rig.send(process, &[], "one more").await.unwrap();
    rig.result(process, message.id).await;
    let next = collector.collect(LATER).unwrap().unwrap();
    let [(_, range)] = ranges(&next).try_into().unwrap();
    assert_eq!((range.from, range.to(), range.previous, range.results.0), (Slot(4), Slot(4), Some(first), Slot(4)));
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_anchored_up_to_the_first_slot_that_is_under_way() {
    let rig = Rig::start();
    let process = process_with(&rig, 1).await;
    let (collector, keeper) = (collector(&rig.store), StoreKeeper::new(rig.store.clone()));
    let mut parcels = Vec::new();
    for number in 1..=2 {
        let parcel = collector.collect(LATER).unwrap().unwrap();
        let rows = Rows { shipments: vec![shipment(number, &parcel, Stage::Bundled)], parcel: Some((number, &parcel)), ..Rows::default() };
        keeper.remember(rows).unwrap();
        parcels.push(parcel);
        let message = rig.send(process, &[], "more").await.unwrap();
        rig.result(process, message.id).await;
    }
    let anchored = || schema::ANCHORED.get(&*rig.store, &process).unwrap();
    // A second life knows as much.
    let keeper = StoreKeeper::new(rig.store.clone());
    let loaded = keeper.load().unwrap();
    assert_eq!((loaded.shipments.len(), loaded.next, loaded.spent), (2, 3, Spent::default()));
    let settle = |number: u64, stage: Stage, settled, unsettled| {
        let spent = Some(Spent { day: 7, winston: 9 });
        let shipments = vec![shipment(number, &parcels[number as usize - 1], stage)];
        keeper.remember(Rows { shipments, spent, parcel: None, settled, unsettled }).unwrap();
    };
    settle(2, settled(), vec![2], vec![]);
    assert_eq!(anchored(), None, "the range before it is still under way");
    settle(1, settled(), vec![1], vec![]);
    assert_eq!(anchored(), Some(Slot(2)));
    settle(2, Stage::Seen, vec![], vec![2]);
    assert_eq!(anchored(), Some(Slot(1)), "what was settled is no more");
    settle(1, Stage::Seen, vec![], vec![1]);
    assert_eq!(anchored(), None);
    assert_eq!(keeper.load().unwrap().spent, Spent { day: 7, winston: 9 });
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schedulers_process_is_not_ours_to_anchor() {
    let rig = Rig::start();
    process_with(&rig, 1).await;
    let other = Arc::new(Wallet::ed25519_from_seed(&[77; 32]));
    let collector = Collector::new(rig.store.clone(), other, NETWORK, PATIENCE);
    assert!(collector.collect(LATER).unwrap().is_none());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_confirmed_is_on_arweave_in_the_end_and_can_be_read_back() {
    let rig = Rig::start();
    let process = process_with(&rig, 3).await;
    let chain = arweave::Chain::new();
    let gateways = [arweave::Gateway::start(&chain).await, arweave::Gateway::start(&chain).await];
    rig.advance(100_000);
    let clock = rig.node.clock();
    let anchoring = Anchoring::start(Setup {
        gateways: gateways.iter().map(|gateway| gateway.url.clone()).collect(),
        services: Vec::new(),
        service_keys: Vec::new(),
        wallet: Some(Arc::new(arweave::wallet(0))),
        scheduler: scheduler(),
        network: NETWORK,
        store: rig.store.clone(),
        clock,
        budget: Budget { day_max: 1_000_000, floor: 0 },
        confirmations: 5,
        patience: PATIENCE,
        tip_every: Duration::from_millis(10),
    })
    .unwrap();
    let mut standing = anchoring.driver().standing();
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(anchoring.run(stop.clone()));
    let under_way = |standing: &Standing| {
        standing.busy == 0 && standing.summary.as_ref().is_some_and(|summary| summary.stages.iter().any(|stage| stage.1 > 0))
    };
    tokio::time::timeout(Duration::from_secs(120), standing.wait_for(under_way)).await.expect("a shipment is made").unwrap();
    for _ in 0..40 {
        if schema::ANCHORED.get(&*rig.store, &process).unwrap().is_some() {
            break;
        }
        let tip = {
            let mut chain = chain.lock();
            chain.mine();
            chain.tip()
        };
        let quiet = |standing: &Standing| standing.busy == 0 && standing.summary.as_ref().is_some_and(|summary| summary.tip == tip);
        tokio::time::timeout(Duration::from_secs(120), standing.wait_for(quiet)).await.expect("it comes to rest").unwrap();
    }
    assert_eq!(schema::ANCHORED.get(&*rig.store, &process).unwrap(), Some(Slot(3)));
    stop.cancel();
    task.await.unwrap();
    // The chain alone has it all.
    let (shipments, items) = (StoreKeeper::page(&*rig.store, 0, 9).unwrap(), StoreKeeper::new(rig.store.clone()).items(1).unwrap());
    assert_eq!((shipments.len(), items.len()), (1, 9));
    let place = shipments[0].stage.place().unwrap();
    let held = chain.lock().transactions[&place.transaction].clone();
    let bytes: Vec<u8> = chain.lock().chunks[&held.data_root.0].values().flatten().copied().collect();
    let bundle = ao_types::bundle::Bundle::parse(bytes.into(), ao_types::Profile::Strict).unwrap();
    assert_eq!(bundle.verify(ao_types::Profile::Strict).unwrap(), items);
    assert_eq!(schema::SHIPMENTS.all(&*rig.store, Direction::Forward, 9).unwrap().len(), 1);
    rig.stop();
}
