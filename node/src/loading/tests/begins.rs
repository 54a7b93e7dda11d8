//! At which published state evaluation begins, and at which it does not.

use std::sync::Arc;

use ao_storage::schema::{self, BackfillStage, EvaluationHead, ScheduleRow};
use ao_storage::{Durability, MemoryStore, Store as _, WriteBatch};
use ao_types::checkpoint::CheckpointRecord;
use ao_types::hash::sha256;
use ao_types::{Address, AssignmentContent, DataItem, HashChain, Id, ItemBuilder, Signer as _, Slot, Verified, Wallet};

use super::world::{Log, Place, client, wallet};
use crate::limits::{LOAD_STATE_PAGES, LOAD_STATES_MAX};
use crate::loading::states::{Beginning, Begins, begin};
use crate::sim::script::Script;

/// A state of the scripted machine: so many messages were counted.
fn memory(count: u64) -> Vec<u8> {
    ao_vm::checkpoint::export_gzip(&count.to_be_bytes()).unwrap()
}

/// What the reference unit says of the state after a slot.
fn said(log: &Log, slot: usize) -> CheckpointRecord {
    let assignment = log.assignment(slot);
    let content = assignment.content();
    CheckpointRecord {
        module: log.module,
        process: log.process,
        schedule_epoch: Some(0),
        slot: content.slot,
        timestamp_ms: content.timestamp_ms,
        block_height: content.block_height,
        cron_interval: None,
        assignment: assignment.id(),
        hash_chain: content.hash_chain,
        sha256: sha256(&[&(slot as u64).to_be_bytes()]),
        content_encoding: "gzip".to_owned(),
        unit: None,
    }
}

fn signed(record: &CheckpointRecord, data: Vec<u8>, signer: &Wallet) -> Verified<DataItem> {
    ItemBuilder::new().tags(record.tags()).data(data).sign(signer).unwrap()
}

fn trusted() -> Wallet {
    wallet(5)
}

fn good(log: &Log, slot: usize) -> Verified<DataItem> {
    signed(&said(log, slot), memory(slot as u64), &trusted())
}

async fn loaded(log: &Log, gateway: &Place) -> MemoryStore {
    let store = MemoryStore::new();
    log.load(&store, &[gateway], &[], None).await.unwrap();
    store
}

async fn begins(store: &MemoryStore, log: &Log, gateways: &[&Place], owners: &[Address], last: u64) -> Begins {
    let client = client(gateways, &[]);
    begin(Beginning { client, store, vm: &Script, process: log.process, owners, last: Slot(last) }).await.unwrap()
}

/// Taken from a gateway that shows these.
async fn of(log: Arc<Log>, items: Vec<Verified<DataItem>>, last: u64) -> (Begins, MemoryStore, Arc<Log>) {
    let log = log.and(items);
    let gateway = log.shown().await;
    let store = loaded(&log, &gateway).await;
    (begins(&store, &log, &[&gateway], &[trusted().address()], last).await, store, log)
}

#[tokio::test]
async fn evaluation_begins_at_the_newest_state_of_an_owner_that_is_believed() {
    let log = Log::new();
    let all = vec![good(&log, 1), good(&log, 2), good(&log, 3), signed(&said(&log, 3), memory(3), &wallet(6))];
    for (last, slot) in [(3, 3), (2, 2), (1, 1)] {
        let (begins, store, log) = of(Log::new(), all.clone(), last).await;
        let taken = begins.taken.unwrap();
        assert_eq!((taken.slot, taken.owner, taken.id), (Slot(slot), trusted().address(), good(&log, slot as usize).id()));
        assert_eq!(begins.passed, []);
        let row = schema::BACKFILLS.get(&store, &log.process).unwrap().unwrap();
        assert_eq!((row.slot, row.done, row.stage), (Slot(slot), None, BackfillStage::Running));
        assert_eq!(schema::EVALUATION_HEADS.get(&store, &log.process).unwrap().unwrap().slot, Slot(slot));
        let gateway = log.shown().await;
        // What is begun is gone on with: nobody is asked for another one.
        gateway.faults.lock().down = true;
        assert_eq!(super::begins::begins(&store, &log, &[&gateway], &[trusted().address()], 3).await, Begins::default());
    }
    // Nobody is believed, or another one is.
    let log = Log::new().and([good(&log, 2)]);
    let gateway = log.shown().await;
    let store = loaded(&log, &gateway).await;
    for owners in [&[][..], &[wallet(6).address()]] {
        assert_eq!(begins(&store, &log, &[&gateway], owners, 3).await.taken, None);
    }
    assert_eq!(schema::BACKFILLS.get(&store, &log.process).unwrap(), None);
}

#[tokio::test]
async fn what_does_not_hold_is_passed_over_for_the_next_older_one() {
    let log = Log::new();
    let (true_one, right) = (said(&log, 2), memory(2));
    let chain = HashChain::first(&Id([9; 32]));
    let wrong = [
        ("it names another assignment", CheckpointRecord { assignment: Id([9; 32]), ..true_one.clone() }, right.clone()),
        ("its hash chain is", CheckpointRecord { hash_chain: chain, ..true_one.clone() }, right.clone()),
        ("its timestamp is", CheckpointRecord { timestamp_ms: 7, ..true_one.clone() }, right.clone()),
        ("SHA-256 of its memory is", CheckpointRecord { sha256: [9; 32], ..true_one.clone() }, right.clone()),
        ("SHA-256 of its memory is", true_one.clone(), memory(7)),
        ("it does not unpack", true_one.clone(), b"no gzip".to_vec()),
        ("it is of module", CheckpointRecord { module: log.process, ..true_one.clone() }, right.clone()),
        ("after the cron message", CheckpointRecord { cron_interval: Some("0-1-second".into()), ..true_one.clone() }, right.clone()),
        ("it is packed as", CheckpointRecord { content_encoding: "br".into(), ..true_one.clone() }, right.clone()),
        ("is not in the log", CheckpointRecord { slot: Slot(9), ..true_one.clone() }, right.clone()),
    ];
    for (why, record, data) in wrong {
        let bad = signed(&record, data, &trusted());
        let (begins, ..) = of(Log::new(), vec![good(&log, 1), bad.clone()], 9).await;
        let [(id, found)] = &begins.passed[..] else { panic!("{why}: {begins:?}") };
        assert!(*id == bad.id() && found.contains(why), "{why}: {found}");
        assert_eq!(begins.taken.unwrap().slot, Slot(1), "{why}");
        let (begins, store, log) = of(Log::new(), vec![bad], 9).await;
        assert_eq!((begins.taken, schema::BACKFILLS.get(&store, &log.process).unwrap()), (None, None), "{why}");
    }
}

#[tokio::test]
async fn nothing_is_begun_where_evaluation_is_further() {
    let log = Log::new();
    let log = Log::new().and([good(&log, 1), good(&log, 2)]);
    let gateway = log.shown().await;
    let store = loaded(&log, &gateway).await;
    let mut batch = WriteBatch::default();
    let head = EvaluationHead { slot: Slot(2), cron: 0, ticked_ms: 0, ticked_height: 0, halted: None };
    schema::EVALUATION_HEADS.put(&mut batch, &log.process, &head);
    store.write(batch, Durability::Synced).unwrap();
    let begins = begins(&store, &log, &[&gateway], &[trusted().address()], 3).await;
    assert_eq!(begins, Begins::default());
}

#[tokio::test]
async fn a_gateway_that_shows_many_false_states_is_not_listened_to_for_ever() {
    let log = Log::new();
    let false_ones = |from: usize, count: usize| {
        let one = |n: usize| CheckpointRecord { sha256: sha256(&[b"false", &n.to_be_bytes()]), ..said(&log, 3) };
        (from..from + count).map(|n| signed(&one(n), memory(3), &trusted())).collect::<Vec<_>>()
    };
    let mut few = false_ones(0, LOAD_STATES_MAX - 1);
    few.push(good(&log, 2));
    let (begins, ..) = of(Log::new(), few, 3).await;
    assert_eq!((begins.taken.unwrap().slot, begins.passed.len()), (Slot(2), LOAD_STATES_MAX - 1));
    let mut many = false_ones(0, LOAD_STATES_MAX);
    many.push(good(&log, 2));
    let (begins, ..) = of(Log::new(), many, 3).await;
    assert_eq!((begins.taken, begins.passed.len()), (None, LOAD_STATES_MAX + 1));
    // Those that are of no slot of this log cost nothing but a line.
    let astray = |n: u64| CheckpointRecord { assignment: Id([9; 32]), timestamp_ms: n, ..said(&log, 3) };
    let mut cheap: Vec<_> = (0..2 * LOAD_STATES_MAX as u64).map(|n| signed(&astray(n), memory(3), &trusted())).collect();
    cheap.push(good(&log, 2));
    let (begins, ..) = of(Log::new(), cheap, 3).await;
    assert_eq!((begins.taken.unwrap().slot, begins.passed.len()), (Slot(2), LOAD_STATES_MAX));
}

#[tokio::test]
async fn a_state_is_passed_over_where_the_next_slot_does_not_follow_from_it() {
    let log = Log::new();
    let log = Log::new().and([good(&log, 1)]);
    let gateway = log.shown().await;
    let store = loaded(&log, &gateway).await;
    // As in logs that are older than the rule: the scheduler signed another chain.
    let content = AssignmentContent { hash_chain: HashChain::first(&Id([9; 32])), ..log.assignment(2).content().clone() };
    let row = schema::SCHEDULE.get(&store, &(log.process, Slot(2))).unwrap().unwrap();
    let assignment = bytes::Bytes::copy_from_slice(content.sign(&wallet(1)).unwrap().item().as_bytes());
    let mut batch = WriteBatch::default();
    schema::SCHEDULE.put(&mut batch, &(log.process, Slot(2)), &ScheduleRow { assignment, ..row });
    store.write(batch, Durability::Synced).unwrap();
    let begins = begins(&store, &log, &[&gateway], &[trusted().address()], 3).await;
    assert!(begins.taken.is_none() && begins.passed[0].1.contains("the hash chain of slot 2 is"), "{begins:?}");
}

#[tokio::test]
async fn a_gateway_whose_pages_of_states_never_end_is_left() {
    let log = Log::new();
    let log = Log::new().and([good(&log, 2)]);
    let gateway = log.shown().await;
    let store = loaded(&log, &gateway).await;
    gateway.faults.lock().endless = Some(0);
    let begins = begins(&store, &log, &[&gateway], &[trusted().address()], 3).await;
    assert_eq!(begins.taken.unwrap().slot, Slot(2));
    assert_eq!(gateway.faults.lock().endless, Some(LOAD_STATE_PAGES));
}
