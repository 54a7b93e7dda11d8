//! What is on Arweave for good goes from here by policy, comes back when it is read, and nothing that is needed goes.

use std::sync::Arc;

use ao_arweave::compose::compose;
use ao_arweave::driver::{Keeper as _, Parcel, Rows};
use ao_arweave::pipeline::{Bundle, Carrier, Place, Shipment, Stage};
use ao_storage::{Error, MemoryStore, Store, schema};
use ao_types::transaction::Transaction;
use ao_types::{Id, NetworkId, Signer as _, Slot, Wallet};
use bytes::Bytes;

use super::anchoring::arweave;
use super::rig::{BEGIN_MS, Rig};
use super::*;
use crate::anchor::collect::Collector;
use crate::anchor::keeper::StoreKeeper;
use crate::check::{Finding, Watch, check};
use crate::retention::{Pass, Pruned, beside};

const LATER: u64 = BEGIN_MS + 100_000;

/// A process with messages, everything of it in one shipment, with the transaction that carries it.
async fn shipped(rig: &Rig, messages: usize) -> (Id, Shipment, Transaction) {
    let process = rig.spawn(&[]).await;
    for n in 0..messages {
        let sent = rig.send(process, &[], &format!("number {n}")).await.unwrap();
        rig.result(process, sent.id).await;
    }
    let scheduler = Arc::new(Wallet::ed25519_from_seed(&[1; 32]));
    let collector = Collector::new(rig.store.clone(), scheduler.clone(), scheduler.address(), NetworkId([5; 32]), Duration::ZERO);
    let parcel: Parcel = collector.collect(LATER).unwrap().parcel.unwrap();
    let composed = compose(&parcel.items).unwrap();
    let carrier = composed.header(&NetworkId([5; 32]), [7; 48], 1).sign(&arweave::wallet(0)).unwrap();
    let bundle = Bundle {
        root: composed.root(),
        bytes: composed.bytes.len() as u64,
        chunks: composed.chunk_count() as u32,
        items: parcel.items.len() as u32,
        since_ms: parcel.since_ms,
        covered: parcel.covered.clone(),
    };
    let id = Id::parse(&carrier.id.to_string()).unwrap();
    let place = Place { height: 1, block: Bytes::from_static(&[1; 48]), carrier: id, transaction: id };
    let carriers = vec![Carrier { id, head: Bytes::new(), anchor_height: 0, reward: 1, signed_ms: 1, taken: true }];
    let shipment = Shipment {
        number: 1,
        bundle,
        stage: Stage::Done(place),
        carriers,
        copies: Vec::new(),
        broken: Default::default(),
        signed_again: Default::default(),
    };
    let keeper = StoreKeeper::new(rig.store.clone(), Arc::new(|_, _| {}));
    let begun = Shipment { stage: Stage::Bundled, ..shipment.clone() };
    keeper.remember(Rows { shipments: vec![begun], parcel: Some((1, &parcel)), ..Rows::default() }).unwrap();
    keeper.remember(Rows { shipments: vec![shipment.clone()], settled: vec![1], ..Rows::default() }).unwrap();
    assert_eq!(schema::ANCHORED.get(&*rig.store, &process).unwrap(), Some(Slot(messages as u64)));
    (process, shipment, carrier)
}

fn pass(store: &Arc<dyn Store>, before_ms: u64, dry_run: bool) -> Pass {
    let mut pass = Pass::new(0, before_ms, dry_run);
    while pass.turn(store, 1).unwrap() {}
    pass
}

/// Bytes of the items of a log's messages, slot by slot.
fn items(rig: &Rig, process: Id) -> Vec<(Id, Option<Bytes>)> {
    let log = rig.log(process);
    log.iter().map(|row| (row.item, schema::ITEMS.get(&*rig.store, &row.item).unwrap())).collect()
}

/// The last slot whose message may go: that of the oldest state that is kept.
fn oldest_state(rig: &Rig, process: Id) -> u64 {
    let states = rig.checkpoints(process);
    states.iter().find(|(_, row)| row.parent.is_none()).map(|(key, _)| key.slot.0).expect("there is a full state")
}

async fn gateway(shipment: &Shipment, carrier: &Transaction, bundle: &Bytes) -> (Arc<arweave::Gateway>, String) {
    let chain = arweave::Chain::new();
    {
        let mut chain = chain.lock();
        chain.transactions.insert(carrier.id, carrier.clone());
        chain.chunks.entry(shipment.bundle.root.to_vec()).or_default().insert(0, bundle.to_vec());
    }
    let gateway = arweave::Gateway::start(&chain).await;
    let url = gateway.url.clone();
    (gateway, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_where_nothing_needs_them_and_come_back_when_they_are_read() {
    let rig = Rig::saving_every(2);
    let (process, shipment, carrier) = shipped(&rig, 9).await;
    let (before, oldest) = (items(&rig, process), oldest_state(&rig, process));
    assert!((1..9).contains(&oldest), "the test shows both: what goes and what is needed; the oldest state is at {oldest}");
    let bundle = compose(&StoreKeeper::new(rig.store.clone(), Arc::new(|_, _| {})).items(1).unwrap()).unwrap().bytes;
    let early = rig.node.state(process, Some(Slot(1))).await.unwrap();
    let young = pass(&rig.store, BEGIN_MS, false);
    assert_eq!((young.done, young.next_from()), (Pruned { shipments: 1, waiting: 9, ..Pruned::default() }, 1), "too young");
    let dry = pass(&rig.store, LATER, true).done;
    assert_eq!((dry.items, dry.waiting), (oldest, 9 - oldest));
    assert_eq!(items(&rig, process), before, "a dry run changes nothing");
    let wet = pass(&rig.store, LATER, false);
    assert_eq!(wet.done, dry);
    assert_eq!(wet.next_from(), 1, "what waits is looked at again");
    for (slot, (id, bytes)) in items(&rig, process).into_iter().enumerate() {
        let goes = (1..=oldest).contains(&(slot as u64));
        let marker = schema::PRUNED.get(&*rig.store, &id).unwrap();
        assert_eq!((bytes.is_none(), marker.map(|row| row.shipment)), (goes, goes.then_some(1)), "slot {slot}");
        assert_eq!(marker.map(|row| row.bytes as usize), goes.then(|| before[slot].1.as_ref().unwrap().len()));
    }
    assert_eq!(pass(&rig.store, LATER, false).done, Pruned { shipments: 1, waiting: 9 - oldest, ..Pruned::default() }, "once");
    assert_eq!(findings(&*rig.store), [], "what was pruned is missed by nobody");

    // It is known: sent again it gets no other slot.
    let (id, bytes) = (before[1].0, before[1].1.clone().unwrap());
    let again = rig.node.submit(bytes.clone(), Via::Client).await;
    assert!(again.is_err() || again.is_ok_and(|accepted| accepted.slot == Some(Slot(1))), "a second slot");
    assert_eq!(rig.log(process).len(), 10);

    // Nobody to ask, a liar, and somebody honest beside the liar.
    let read = |archive: &Elsewhere| schema::ITEMS.get(archive, &id);
    let why = |found: Result<Option<Bytes>, Error>| match found {
        Err(Error::Elsewhere(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(read(rig.node.archive())).contains("set arweave.gateways"));
    assert!(schema::ITEMS.contains(&**rig.node.archive(), &id).unwrap());
    let (liar, lying) = gateway(&shipment, &carrier, &bundle).await;
    liar.with(|faults| faults.wrong_data = true);
    let (_honest, honest) = gateway(&shipment, &carrier, &bundle).await;
    let fooled = Elsewhere::new(rig.store.clone());
    beside::fetch_from(&fooled, std::slice::from_ref(&lying), rig.node.clock()).unwrap();
    let error = why(read(&fooled));
    assert!(error.contains(&carrier.id.to_string()) && error.contains("no gateway has transaction"), "{error}");
    let hits = liar.hits();
    assert!(why(read(&fooled)) == error && liar.hits() == hits, "nobody is asked again at once");
    beside::fetch_from(rig.node.archive(), &[lying, honest], rig.node.clock()).unwrap();
    assert_eq!(read(rig.node.archive()).unwrap(), Some(bytes));
    for (id, bytes) in &before {
        assert_eq!(schema::ITEMS.get(rig.node.store(), id).unwrap().as_ref(), bytes.as_ref());
    }
    assert_eq!(rig.node.state(process, Some(Slot(1))).await.unwrap(), early, "older states can be made again");
    assert!(schema::ITEMS.get(&*rig.store, &id).unwrap().is_none(), "nothing was written");
    rig.stop();
}

fn findings(store: &dyn Store) -> Vec<Finding> {
    struct Heard(Vec<Finding>);
    impl Watch for Heard {
        fn found(&mut self, finding: &Finding) {
            self.0.push(finding.clone());
        }
        fn progress(&mut self, _: &'static str, _: u64) {}
    }
    let mut heard = Heard(Vec::new());
    check(store, true, &mut heard).unwrap();
    heard.0
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_needed_or_not_for_certain_on_arweave_stays() {
    let rig = Rig::saving_every(2);
    let (process, shipment, _) = shipped(&rig, 9).await;
    let log = rig.log(process);
    let contents = {
        let copy = MemoryStore::new();
        let mut all = WriteBatch::default();
        for table in ao_storage::Table::ALL {
            for (key, row) in rig.store.scan(*table, &[], &[], ao_storage::Direction::Forward, usize::MAX).unwrap() {
                all.put(*table, key.to_vec(), row);
            }
        }
        copy.write(all, Durability::Synced).unwrap();
        copy.contents()
    };
    rig.stop();
    let goes = |change: &dyn Fn(&mut WriteBatch)| {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::from_contents(contents.clone()));
        let mut rows = WriteBatch::default();
        change(&mut rows);
        store.write(rows, Durability::Synced).unwrap();
        pass(&store, LATER, false).done.items
    };
    let all = goes(&|_| {});
    assert!(all > 1);
    let first = log[1].item;
    let Stage::Done(place) = shipment.stage.clone() else { panic!("it is done") };
    let with = |stage: Stage| Bytes::from(ao_types::Canonical::encode(&Shipment { stage, ..shipment.clone() }));
    assert_eq!(
        goes(&|rows| schema::SHIPMENTS.put(rows, &1, &with(Stage::Settled(place.clone(), 20)))),
        0,
        "it may have to be composed again"
    );
    assert_eq!(goes(&|rows| schema::SHIPMENTS.put(rows, &1, &with(Stage::Mined(place.clone())))), 0, "it may be lost");
    assert_eq!(goes(&|rows| schema::ANCHORED.delete(rows, &process)), 0, "it is not anchored");
    assert_eq!(goes(&|rows| schema::ANCHORED.put(rows, &process, &Slot(1))), 1, "as far as it is anchored");
    let head = |slot| schema::EvaluationHead { slot, cron: 0, ticked_ms: 0, ticked_height: 0, halted: None };
    assert_eq!(goes(&|rows| schema::EVALUATION_HEADS.put(rows, &process, &head(Slot(1)))), 1, "as far as it is evaluated");
    let states: Vec<_> = contents[&ao_storage::Table::CheckpointBodies].keys().cloned().collect();
    assert_eq!(
        goes(&|rows| states.iter().for_each(|key| rows.delete(ao_storage::Table::CheckpointBodies, key.clone()))),
        0,
        "no state to go on from"
    );
    let outbox = schema::OutboxKey { process, slot: Slot(1), cron: 0, kind: schema::OutboxKind::MessageAssignment, index: 0, part: 0 };
    let owed = schema::OutboxRow { pushed_for: None, subject: Some(first), attempts: 0, not_before_ms: 0 };
    assert_eq!(goes(&|rows| schema::OUTBOX.put(rows, &outbox, &owed)), all - 1, "a delivery needs it");
    let logs = |rows: &mut WriteBatch, count: usize| {
        (0..count).for_each(|n| schema::SLOT_OF.put(rows, &(first, Id([n as u8 + 1; 32])), &Slot(0)));
    };
    assert_eq!(goes(&|rows| logs(rows, 1)), all - 1, "another log is not anchored");
    assert_eq!(goes(&|rows| logs(rows, crate::retention::limits::LOGS_MAX)), all - 1, "it stands in more logs than are looked at");
    let other = Bytes::from_static(b"not what is on Arweave");
    assert_eq!(goes(&|rows| schema::ITEMS.put(rows, &log[9].item, &other)), 0, "what is here is not what is there");
}
