//! How fast a log is read back before anything is evaluated: bundles parsed, every signature checked, slots put in order along the hash
//! chain. On one core; a recovery gleans bundles on all of them. And what anchoring costs: bytes and fees for a thousand messages.
#![allow(missing_docs, clippy::print_stdout, reason = "a benchmark is its own documentation, and says what it found")]

use ao_arweave::compose::compose;
use ao_arweave::limits::{CHUNK_BYTES, FLUSH_BYTES, RANGE_SLOTS_MAX};
use ao_arweave::records::{RangeRecord, Record};
use ao_arweave::recover::depot::Depot;
use ao_arweave::recover::glean::glean;
use ao_arweave::recover::{Archive, End};
use ao_types::hash::sha256;
use ao_types::{AssignmentContent, DataItem, HashChain, Id, ItemBuilder, NetworkId, ResultHash, Signer, Slot, Verified, Wallet};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Bytes that a fee covers besides the data (`arweave.md`, section 6.3), and what a byte costs at least and at most, winston.
const HEADER_BYTES: u64 = 3210;
const WINSTON: (u64, u64) = (350, 830);
const MESSAGES: u64 = 1000;
const MESSAGE_BYTES: usize = 1024;

fn rsa(place: usize) -> Wallet {
    let keys: serde_json::Value =
        serde_json::from_str(include_str!("../../../consensus/types/tests/vectors/keys.TEST-ONLY.json")).expect("JSON");
    Wallet::from_jwk(&keys["rsa"][place]["jwk"].to_string()).expect("a key")
}

/// A process with so many messages of 1 KiB as a node anchors them: each item with its assignment behind it, a record behind each range.
fn log(client: &dyn Signer, scheduler: &Wallet, messages: u64) -> (Id, Vec<Verified<DataItem>>) {
    let ao = |kind: &str| ItemBuilder::new().tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", kind);
    let process = ao("Process").tag("Module", Id([3; 32]).to_string()).tag("Scheduler", scheduler.address().to_string());
    let process = process.sign(client).expect("it signs");
    let (mut items, mut slots, mut hash_chain) = (Vec::new(), Vec::new(), HashChain::first(&process.id()));
    for slot in 0..=messages {
        let item = match slot {
            0 => process.clone(),
            slot => {
                // As random as real data is to a hash.
                let data: Vec<u8> = (0..MESSAGE_BYTES / 32).flat_map(|part| sha256(&[&slot.to_be_bytes(), &[part as u8]])).collect();
                let message =
                    ao("Message").target(process.id()).tag("Action", "Transfer").tag("Quantity", "1000").tag("Reference", slot.to_string());
                message.data(data).sign(client).expect("it signs")
            }
        };
        let message = (slot > 0).then(|| item.id());
        let (schedule_epoch, block_height, exclude) = (0, 1_500_000, Vec::new());
        let content = AssignmentContent {
            process: process.id(),
            schedule_epoch,
            slot: Slot(slot),
            hash_chain,
            block_height,
            timestamp_ms: 1_700_000_000_000 + slot,
            message,
            exclude,
        };
        let assignment = content.sign(scheduler).expect("it signs");
        let before = std::mem::replace(&mut hash_chain, assignment.next_chain());
        slots.push((item.id(), assignment.id()));
        items.extend([item, assignment.item().clone()]);
        if slots.len() == RANGE_SLOTS_MAX || slot == messages {
            let count = slots.len();
            let range = RangeRecord {
                process: process.id(),
                schedule_epoch,
                from: Slot(slot + 1 - count as u64),
                hash_chain: *before.as_bytes(),
                previous: None,
                slots: std::mem::take(&mut slots),
                results: (Slot(slot + 1 - count as u64), vec![ResultHash([7; 32]); count]),
                certificates: vec![Bytes::from(vec![1; 700])],
            };
            items.push(Record::Range(range).item(&NetworkId([5; 32])).expect("a record").sign(scheduler).expect("it signs"));
        }
    }
    (process.id(), items)
}

/// Bundles as full as the flush makes them.
fn bundles(items: &[Verified<DataItem>]) -> Vec<Bytes> {
    let (mut bundles, mut some, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let more = item.as_bytes().len() as u64 + 64;
        if bytes + more > FLUSH_BYTES {
            bundles.push(compose(&std::mem::take(&mut some)).expect("a bundle").bytes);
            bytes = 0;
        }
        bytes += more;
        some.push(item.clone());
    }
    bundles.push(compose(&some).expect("a bundle").bytes);
    bundles
}

fn costs(name: &str, bundles: &[Bytes], items: &[Verified<DataItem>]) {
    let raw: u64 = items.iter().filter(|item| item.tag("Type") == Some("Message")).map(|item| item.as_bytes().len() as u64).sum();
    let data = MESSAGES * MESSAGE_BYTES as u64;
    let anchored: u64 = bundles.iter().map(|bundle| bundle.len() as u64).sum();
    let paid: u64 = bundles.iter().map(|bundle| (bundle.len() as u64).next_multiple_of(CHUNK_BYTES) + HEADER_BYTES).sum();
    let ar = |winston: u64| (paid * winston) as f64 / 1e12;
    println!(
        "{name}: {MESSAGES} messages of 1 KiB are {anchored} bytes in {} transactions: {:.2} times the messages as they were signed ({raw}), \
         {:.2} times their data ({data}); paid are {paid} bytes, {:.6} to {:.6} AR",
        bundles.len(),
        anchored as f64 / raw as f64,
        anchored as f64 / data as f64,
        ar(WINSTON.0),
        ar(WINSTON.1),
    );
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read, verify, schedule");
    group.sample_size(10);
    let keys: [(&str, Box<dyn Signer>); 2] =
        [("RSA-4096 clients", Box::new(rsa(0))), ("Ed25519 clients", Box::new(Wallet::ed25519_from_seed(&[2; 32])))];
    for (name, client) in keys {
        let (process, items) = log(&*client, &rsa(1), MESSAGES);
        let bundles = bundles(&items);
        costs(name, &bundles, &items);
        group.throughput(Throughput::Elements(MESSAGES));
        group.bench_function(name, |b| {
            b.iter(|| {
                let (mut depot, mut archive) = (Depot::in_memory(), Archive::default());
                for (number, bundle) in bundles.iter().enumerate() {
                    let root = depot.hold(Id([number as u8; 32]), bundle.clone());
                    archive.take(glean(root, bundle.clone()).expect("a bundle")).expect("room");
                }
                let log = archive.log(&process, &depot).expect("a process");
                assert_eq!(log.entries.len() as u64, MESSAGES + 1);
                assert_eq!(log.end, End::NoAssignment { slot: Slot(MESSAGES + 1), hole: false });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
