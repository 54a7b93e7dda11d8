//! From confirmed slots to Arweave: what is collected, what is remembered, and the level that readers see.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ao_arweave::driver::{Keeper as _, Parcel, Rows, Standing};
use ao_arweave::pipeline::{Budget, Bundle, Carrier, Place, Shipment, Spent, Stage};
use ao_arweave::records::Record;
use ao_storage::{Direction, Store, schema};
use ao_types::{Address, Id, NetworkId, Signer as _, Slot, Verified, Wallet};
use bytes::Bytes;

use super::rig::{BEGIN_MS, Rig};
use crate::anchor::collect::Collector;
use crate::anchor::compare::{Here, Part, compare};
use crate::anchor::keeper::StoreKeeper;
use crate::anchor::{Anchoring, Setup};
use crate::levels::{Goal, Level};
use crate::metrics::{Build, Metrics};
use crate::shell::digests::Digests;

#[path = "../../../../storage/arweave/tests/common/mod.rs"]
pub mod arweave;

const NETWORK: NetworkId = NetworkId([5; 32]);
const PATIENCE: Duration = Duration::from_secs(60);
const LATER: u64 = BEGIN_MS + 100_000;

/// The scheduler's key of the rig.
fn scheduler() -> Arc<Wallet> {
    Arc::new(Wallet::ed25519_from_seed(&[1; 32]))
}

/// One that tells nobody.
fn keeper_of(rig: &Rig) -> StoreKeeper {
    StoreKeeper::new(rig.store.clone(), Arc::new(|_, _| {}))
}

fn collector(store: &Arc<dyn Store>) -> Collector {
    Collector::new(store.clone(), scheduler(), scheduler().address(), NETWORK, PATIENCE)
}

async fn process_with(rig: &Rig, messages: usize) -> Id {
    let process = rig.spawn(&[]).await;
    for n in 0..messages {
        let message = rig.send(process, &[], &n.to_string()).await.unwrap();
        rig.result(process, message.id).await;
    }
    process
}

pub(super) fn shipment(number: u64, parcel: &Parcel, stage: Stage) -> Shipment {
    let items = parcel.items.len() as u32;
    let bundle = Bundle { root: [1; 32], bytes: 1, chunks: 1, items, since_ms: parcel.since_ms, covered: parcel.covered.clone() };
    Shipment { stage, ..Shipment::new(number, bundle) }
}

pub(super) fn settled() -> Stage {
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
    let (collector, keeper) = (collector(&rig.store), keeper_of(&rig));
    let early = collector.collect(BEGIN_MS + 59_000).unwrap();
    assert!(early.parcel.is_none(), "the oldest has not waited long enough");
    assert_eq!((early.waiting.slots, early.waiting.oldest_ms), (4, rig.log(process).first().map(|row| row.timestamp_ms)));
    let parcel = collector.collect(LATER).unwrap().parcel.unwrap();
    let kinds: Vec<_> = parcel.items.iter().map(|item| item.tag("Type").unwrap().to_owned()).collect();
    let pair = ["Message", "Assignment"];
    assert_eq!(kinds, [&["Module", "Process", "Assignment"][..], &pair, &pair, &pair, &["Anchor-Range"]].concat());
    let log = rig.log(process);
    let [(first, range)] = ranges(&parcel).try_into().unwrap();
    assert_eq!(range.slots, log.iter().map(|row| (row.item, row.assignment_id)).collect::<Vec<_>>());
    let head = schema::HEADS.get(&*rig.store, &process).unwrap().unwrap();
    assert_eq!((range.from, range.to(), range.hash_chain, range.previous), (Slot(0), Slot(3), head.hash_chain, None));
    let hashes: Vec<_> = rig.results(process).iter().map(|(_, row)| row.result_hash).collect();
    assert_eq!(range.results, (Slot(0), hashes));
    assert!(range.certificates.is_empty(), "a network of one proves nothing to strangers");
    // Nothing is remembered yet: a crash here costs nothing.
    assert_eq!(collector.collect(LATER).unwrap().parcel.unwrap().items.len(), parcel.items.len());
    let rows = Rows { shipments: vec![shipment(1, &parcel, Stage::Bundled)], parcel: Some((1, &parcel)), ..Rows::default() };
    keeper.remember(rows).unwrap();
    assert!(collector.collect(LATER).unwrap().parcel.is_none());
    // The bundle can be made again from the store, whoever asks.
    let again = keeper_of(&rig);
    assert_eq!(again.items(1).unwrap(), parcel.items);
    assert!(again.items(2).is_err());
    let message = rig.send(process, &[], "one more").await.unwrap();
    rig.result(process, message.id).await;
    let next = collector.collect(LATER).unwrap().parcel.unwrap();
    let [(_, range)] = ranges(&next).try_into().unwrap();
    assert_eq!((range.from, range.to(), range.previous, range.results.0), (Slot(4), Slot(4), Some(first), Slot(4)));
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_anchored_up_to_the_first_slot_that_is_under_way() {
    let rig = Rig::start();
    let process = process_with(&rig, 1).await;
    let (collector, keeper) = (collector(&rig.store), keeper_of(&rig));
    let mut parcels = Vec::new();
    for number in 1..=2 {
        let parcel = collector.collect(LATER).unwrap().parcel.unwrap();
        let rows = Rows { shipments: vec![shipment(number, &parcel, Stage::Bundled)], parcel: Some((number, &parcel)), ..Rows::default() };
        keeper.remember(rows).unwrap();
        parcels.push(parcel);
        let message = rig.send(process, &[], "more").await.unwrap();
        rig.result(process, message.id).await;
    }
    let anchored = || schema::ANCHORED.get(&*rig.store, &process).unwrap();
    // A second life knows as much.
    let keeper = keeper_of(&rig);
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
async fn what_this_node_signed_is_known_to_be_its_own_as_long_as_it_is_looked_after() {
    let rig = Rig::start();
    process_with(&rig, 1).await;
    let (keeper, parcel) = (keeper_of(&rig), collector(&rig.store).collect(LATER).unwrap().parcel.unwrap());
    let carrier = |n: u8| Carrier { id: Id([n; 32]), head: Bytes::new(), anchor_height: 1, reward: 1, signed_ms: 1, taken: true };
    let nothing = Parcel { items: Vec::new(), records: Vec::new(), covered: Vec::new(), since_ms: 0 };
    let remember = |stage, carriers: &[u8], parcel: Option<&Parcel>| {
        let of = Shipment { carriers: carriers.iter().copied().map(carrier).collect(), ..shipment(1, &nothing, stage) };
        keeper.remember(Rows { shipments: vec![of], parcel: parcel.map(|parcel| (1, parcel)), ..Rows::default() }).unwrap();
    };
    let (signed, ids) = (keeper.signed(), [1, 2, 3].map(|n| Id([n; 32])));
    remember(Stage::Bundled, &[], Some(&parcel));
    assert_eq!(ids.map(|id| signed.has(&id)), [false; 3], "nothing is signed yet");
    remember(Stage::Posted, &[1], None);
    remember(Stage::Seen, &[1, 2], None);
    assert_eq!(ids.map(|id| signed.has(&id)), [true, true, false], "the first may turn out to be mined after all");
    // A second life knows it before it is asked.
    let again = keeper_of(&rig);
    again.load().unwrap();
    assert_eq!(ids.map(|id| again.signed().has(&id)), [true, true, false]);
    let Stage::Settled(place, _) = settled() else { panic!("settled is settled") };
    remember(Stage::Done(place), &[1, 2], None);
    assert_eq!(ids.map(|id| signed.has(&id)), [false; 3], "nobody looks after it any more");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schedulers_process_is_not_ours_to_anchor() {
    let rig = Rig::start();
    process_with(&rig, 1).await;
    let other = Arc::new(Wallet::ed25519_from_seed(&[77; 32]));
    let collector = Collector::new(rig.store.clone(), other.clone(), other.address(), NETWORK, PATIENCE);
    assert!(collector.collect(LATER).unwrap().parcel.is_none());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_counts_only_where_it_is_what_stands_here() {
    let rig = Rig::start();
    rig.node.digests().keep();
    let process = process_with(&rig, 2).await;
    let items = collector(&rig.store).collect(LATER).unwrap().parcel.unwrap().items;
    let [(record, range)] =
        ranges(&Parcel { items: items.clone(), records: Vec::new(), covered: Vec::new(), since_ms: 0 }).try_into().unwrap();
    let stranger = Wallet::ed25519_from_seed(&[77; 32]);
    let network = [scheduler().address(), stranger.address()].into();
    let (none, known) = (Digests::default(), rig.node.digests());
    let compared = |bytes: Bytes, own: &Wallet, schedulers: &BTreeSet<Address>| {
        let by = |digests| compare(Here { store: &*rig.store, digests, own: &own.address() }, schedulers, bytes.clone()).unwrap();
        let reading = by(&none);
        assert_eq!(by(&known), reading, "what was written lately makes no difference");
        reading
    };
    let wrote = rig.log(process).into_iter().zip(0..).all(|(row, slot)| {
        let item = schema::ITEMS.get(&*rig.store, &row.item).unwrap().unwrap();
        known.know((&process, Slot(slot)), (&row.item, &item), (&row.assignment_id, &row.assignment))
    });
    assert!(wrote, "this node wrote it just now");
    let read = |items: &[Verified<ao_types::DataItem>], own: &Wallet| {
        let reading = compared(ao_types::bundle::build(items), own, &network);
        (reading.parts.len(), reading.again)
    };
    assert_eq!(read(&items, &stranger), (1, false));
    assert_eq!(read(&items, &scheduler()), (0, false), "what this node orders is the pipeline's");
    let whole = compared(ao_types::bundle::build(&items), &stranger, &network).parts.remove(0);
    assert_eq!(whole, Part::Slots { process, from: Slot(0), to: Slot(2), record, results: (Slot(0), 3) });
    // The module goes along, and is in no slot.
    for left_out in 1..items.len() - 1 {
        let rest: Vec<_> = items.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, item)| item.clone()).collect();
        assert_eq!(read(&rest, &stranger), (0, false), "{left_out} is missing");
    }
    let forged = |change: fn(&mut ao_arweave::records::RangeRecord)| {
        let mut range = range.clone();
        change(&mut range);
        let mut forged = items[..items.len() - 1].to_vec();
        forged.push(Record::Range(range).item(&NETWORK).unwrap().sign(&stranger).unwrap());
        read(&forged, &stranger)
    };
    assert_eq!(forged(|_| {}), (1, false), "any scheduler of the network may have written it");
    assert_eq!(forged(|range| range.results.1[1].0[0] ^= 1), (1, false));
    let nobody = BTreeSet::from([scheduler().address()]);
    let mut theirs = items[..items.len() - 1].to_vec();
    theirs.push(Record::Range(range.clone()).item(&NETWORK).unwrap().sign(&stranger).unwrap());
    let foreign = compared(ao_types::bundle::build(&theirs), &stranger, &nobody);
    assert_eq!((foreign.parts.len(), foreign.again), (0, false), "others cost one look");
    // The table calls other bytes by an item's name, or the record twice.
    let mut wrong = ao_types::bundle::build(&items).to_vec();
    let table = 32 + 64 * items.len();
    let end = table + items.iter().take(3).map(|item| item.as_bytes().len()).sum::<usize>();
    wrong[end - 1] ^= 1;
    let reading = compared(wrong.into(), &stranger, &network);
    assert_eq!((reading.parts.len(), reading.again), (0, false), "one bit of an assignment is another");
    let twice = [items.clone(), items[items.len() - 1..].to_vec()].concat();
    assert_eq!(read(&twice, &stranger), (1, false));
    assert_eq!(forged(|range| range.slots.swap(1, 2)), (0, false));
    assert_eq!(forged(|range| range.from = Slot(1)), (0, true), "of a slot that is not here yet nobody knows");
    assert_eq!(forged(|range| range.process = Id([3; 32])), (0, true));
    assert_eq!(compared(Bytes::from_static(b"no bundle"), &stranger, &network).parts, []);
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
    let metrics = Metrics::new(&Build::new("solo", "test")).unwrap();
    let anchoring = Anchoring::start(Setup {
        here: rig.store.clone(),
        digests: Arc::default(),
        gateways: gateways.iter().map(|gateway| gateway.url.clone()).collect(),
        services: Vec::new(),
        service_keys: Vec::new(),
        wallet: Some(Arc::new(arweave::wallet(0))),
        scheduler: scheduler(),
        schedulers: Vec::new(),
        network: NETWORK,
        store: rig.store.clone(),
        clock,
        budget: Budget { day_max: 1_000_000, floor: 0 },
        confirmations: 5,
        patience: PATIENCE,
        tip_every: Duration::from_millis(10),
        metrics: metrics.clone(),
        states: None,
        told: {
            let node = rig.node.clone();
            Arc::new(move |process, slot| node.anchored(process, slot))
        },
    })
    .unwrap();
    let (mut standing, view) = (anchoring.driver().standing(), anchoring.view());
    let reader = tokio::spawn({
        let node = rig.node.clone();
        async move { node.reach(process, Slot(3), Goal::Level(Level::Anchored), Duration::from_secs(120)).await }
    });
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
    assert_eq!(reader.await.unwrap().unwrap().standing.text(), "anchored", "who waits is told");
    assert_eq!((view.lag_ms(), view.trouble()), (0, None));
    stop.cancel();
    task.await.unwrap();
    assert!(metrics.render().contains("aonode_anchor_posts_total{outcome=\"settled\"} 1"));
    // The chain alone has it all.
    let (shipments, items) = (StoreKeeper::page(&*rig.store, 0, 9).unwrap(), keeper_of(&rig).items(1).unwrap());
    assert_eq!((shipments.len(), items.len()), (1, 10));
    let place = shipments[0].stage.place().unwrap();
    let held = chain.lock().transactions[&place.transaction].clone();
    let bytes: Vec<u8> = chain.lock().chunks[&held.data_root.0].values().flatten().copied().collect();
    let bundle = ao_types::bundle::Bundle::parse(bytes.into(), ao_types::Profile::Strict).unwrap();
    assert_eq!(bundle.verify(ao_types::Profile::Strict).unwrap(), items);
    assert_eq!(schema::SHIPMENTS.all(&*rig.store, Direction::Forward, 9).unwrap().len(), 1);
    rig.stop();
}
