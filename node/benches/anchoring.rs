//! What anchoring costs the nodes of a network for each slot, on a store on disk: who brings a full bundle to Arweave collects and composes
//! it, everybody else compares it with his own log. Figures are times of a whole bundle; elements are slots.
//!
//! `cargo bench -p aonode --bench anchoring`

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ao_arweave::compose::compose;
use ao_storage::schema::{self, AnchorHead, EvaluationHead, EvaluationKey, EvaluationRow, ProcessRow, ScheduleRow};
use ao_storage::{Direction, Durability, RocksStore, Store, WriteBatch, rocks};
use ao_types::hash_chain::HashChain;
use ao_types::{Address, AssignmentContent, Id, ItemBuilder, NetworkId, ResultHash, Signer as _, Slot, Tag, Wallet};
use aonode::anchor::collect::Collector;
use aonode::anchor::compare::{Here, compare};
use aonode::demo::wallets;
use aonode::shell::digests::Digests;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Processes, and slots of each: together a little more than one bundle takes.
const PROCESSES: u8 = 4;
const SLOTS: u64 = 400;
const PAYLOAD: usize = 1024;
const NETWORK: NetworkId = NetworkId([5; 32]);

fn tags(kind: &str) -> Vec<Tag> {
    let fixed = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind), ("SDK", "aonode"), ("Action", "Count")];
    fixed.map(|(name, value)| Tag::new(name, value)).into()
}

/// A store with the logs of some processes, whose messages an RSA key signed.
fn filled(store: &RocksStore, scheduler: &Wallet) {
    let user = wallets::wallets(wallets::NETWORK).expect("the known wallets").swap_remove(0);
    for process in (1..=PROCESSES).map(|n| Id([n; 32])) {
        let mut rows = WriteBatch::default();
        let row = ProcessRow {
            owner: user.address(),
            module: Id([9; 32]),
            scheduler: scheduler.address().to_string(),
            parent: None,
            timestamp_ms: 1,
            block_height: 1,
            has_cron: false,
        };
        schema::PROCESSES.put(&mut rows, &process, &row);
        schema::CONFIRMED.put(&mut rows, &process, &Slot(SLOTS));
        let head = AnchorHead { next: Slot(1), range: None, ranges: 1, results: Slot(1) };
        schema::ANCHOR_HEADS.put(&mut rows, &process, &head);
        let head = EvaluationHead { slot: Slot(SLOTS), cron: 0, ticked_ms: 1, ticked_height: 1, halted: None };
        schema::EVALUATION_HEADS.put(&mut rows, &process, &head);
        for slot in (1..=SLOTS).map(Slot) {
            put_slot(&mut rows, process, slot, &user, scheduler);
        }
        store.write(rows, Durability::Buffered).expect("written");
    }
    store.flush().expect("in table files");
}

fn put_slot(rows: &mut WriteBatch, process: Id, slot: Slot, user: &Wallet, scheduler: &Wallet) {
    let mut anchor = [0; 32];
    anchor[..8].copy_from_slice(&slot.0.to_be_bytes());
    let item = ItemBuilder::new().target(process).anchor(anchor).tags(tags("Message")).data("x".repeat(PAYLOAD)).sign(user);
    let item = item.expect("a message");
    let content = AssignmentContent {
        process,
        schedule_epoch: 0,
        slot,
        hash_chain: HashChain::from_bytes(item.id().0),
        block_height: 1_600_000,
        timestamp_ms: slot.0 + 1,
        message: Some(item.id()),
        exclude: Vec::new(),
    };
    let assignment = content.sign(scheduler).expect("an assignment");
    let row = ScheduleRow {
        item: item.id(),
        assignment_id: assignment.id(),
        assignment: assignment.item().as_bytes().clone(),
        timestamp_ms: slot.0 + 1,
        block_height: 1_600_000,
        pushed_by: None,
        push: true,
    };
    schema::SCHEDULE.put(rows, &(process, slot), &row);
    schema::ITEMS.put(rows, &item.id(), item.as_bytes());
    let row = EvaluationRow {
        json: Bytes::from_static(
            br#"{"Messages":[],"Spawns":[],"Assignments":[],"Output":{"data":"","print":false,"prompt":""},"GasUsed":0}"#,
        ),
        exact_data: Vec::new(),
        message: Some(item.id()),
        cron: None,
        timestamp_ms: slot.0 + 1,
        block_height: 1_600_000,
        failed: false,
        fuel: 100_000,
        result_hash: ResultHash(item.id().0),
        state_hash: None,
    };
    schema::EVALUATIONS.put(rows, &EvaluationKey { process, slot, cron: 0 }, &row);
}

/// As if everything had been written just now.
fn lately(store: &dyn Store) -> Digests {
    let digests = Digests::default();
    digests.keep();
    let slots = schema::SCHEDULE.scan(store, &[], &[], Direction::Forward, usize::MAX).expect("the log");
    let mut rows = WriteBatch::default();
    for (key, row) in slots {
        let item = schema::ITEMS.get(store, &row.item).expect("the items").expect("of every slot");
        schema::ITEMS.put(&mut rows, &row.item, &item);
        schema::SCHEDULE.put(&mut rows, &key, &row);
    }
    digests.see(&digests.of(&rows));
    digests
}

fn anchoring(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a directory");
    let store: Arc<dyn Store> = {
        let store = RocksStore::open(folder.path(), &rocks::Settings::default()).expect("a store");
        filled(&store, &Wallet::ed25519_from_seed(&[1; 32]));
        Arc::new(store)
    };
    let scheduler = Arc::new(Wallet::ed25519_from_seed(&[1; 32]));
    // Nothing that was read before is kept: each look is the first.
    let collect = || {
        let collector = Collector::new(store.clone(), scheduler.clone(), scheduler.address(), NETWORK, Duration::ZERO);
        collector.collect(u64::MAX / 2).expect("collected").parcel.expect("a parcel")
    };
    let parcel = collect();
    let bundle = compose(&parcel.items).expect("a bundle").bytes;
    let slots: u64 = parcel.covered.iter().map(|covered| covered.to.0 - covered.from.0 + 1).sum();
    let mut group = c.benchmark_group("anchoring");
    group.sample_size(40).throughput(Throughput::Elements(slots));
    group.bench_function("collect", |b| b.iter(&collect));
    group.bench_function("compose", |b| b.iter(|| compose(&parcel.items).expect("a bundle").root()));
    let (own, all): (Address, BTreeSet<Address>) = (Wallet::ed25519_from_seed(&[7; 32]).address(), [scheduler.address()].into());
    // Nothing was written lately, or all of it was.
    for (name, digests) in [("compare", Digests::default()), ("compare_lately", lately(&*store))] {
        let here = Here { store: &*store, digests: &digests, own: &own };
        let found = compare(here, &all, bundle.clone()).expect("compared");
        assert_eq!((found.parts.len(), found.again), (parcel.covered.len(), false));
        group.bench_function(name, |b| b.iter(|| compare(here, &all, black_box(bundle.clone())).expect("compared")));
    }
    group.finish();
}

criterion_group!(benches, anchoring);
criterion_main!(benches);
