//! What one transition costs on disk. `cargo bench -p ao-storage`; the directory is `$AO_BENCH_DIR` (a real disk, not memory) or the
//! system's temporary one. Figures of synced writes are those of the disk, so the setting is printed first.
#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints; criterion's macros make undocumented items")]

use std::cell::Cell;
use std::path::Path;

use ao_storage::schema::{self, Head, ItemKind, ItemRow, ScheduleRow};
use ao_storage::{Direction, Durability, RocksStore, Store, WriteBatch};
use ao_types::{Address, Id, Slot};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PROCESS: Id = Id([7; 32]);
/// An RSA-signed message with a few hundred bytes of tags and data.
const ITEM_BYTES: usize = 1500;
/// An assignment signed with Ed25519.
const ASSIGNMENT_BYTES: usize = 560;

fn number(seed: u64) -> Id {
    let mut id = [0; 32];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in &mut id {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    Id(id)
}

fn noise(seed: u64, size: usize) -> Bytes {
    let mut out = Vec::with_capacity(size + 32);
    let mut part = seed;
    while out.len() < size {
        part = part.wrapping_add(0x1_0000_0001);
        out.extend_from_slice(&number(part).0);
    }
    out.truncate(size);
    out.into()
}

/// What accepting one message writes: item, its index rows, assignment, head.
fn transition(slot: u64, batch: &mut WriteBatch) {
    let (item, assignment) = (number(slot), number(slot | 1 << 63));
    let owner = Address::Arweave(Id([9; 32]));
    schema::ITEMS.put(batch, &item, &noise(slot, ITEM_BYTES));
    let kind = ItemKind::Message;
    let row = ItemRow { kind, owner, recipient: Some(PROCESS), received_ms: slot, sequence: slot, block_height: None };
    schema::ITEM_INDEX.put(batch, &item, &row);
    schema::SEQUENCE.put(batch, &slot, &item);
    for tag in [b"Data-Protocol", b"Variant......", b"Type.........", b"Action......."] {
        schema::TAG_INDEX.put(batch, &(schema::tag_hash(tag, b"value"), slot), &item);
    }
    schema::OWNER_INDEX.put(batch, &(owner, slot), &item);
    schema::RECIPIENT_INDEX.put(batch, &(PROCESS, slot), &item);
    let row = ScheduleRow {
        item,
        assignment_id: assignment,
        assignment: noise(slot | 1 << 62, ASSIGNMENT_BYTES),
        timestamp_ms: slot,
        block_height: 1,
        pushed_by: None,
        push: true,
    };
    schema::SCHEDULE.put(batch, &(PROCESS, Slot(slot)), &row);
    for id in [item, assignment] {
        schema::SLOT_OF.put(batch, &(id, PROCESS), &Slot(slot));
    }
    let row = Head { schedule_epoch: 0, slot: Slot(slot), assignment, hash_chain: [0; 32], timestamp_ms: slot, block_height: 1 };
    schema::HEADS.put(batch, &PROCESS, &row);
}

fn transitions(slots: std::ops::Range<u64>) -> WriteBatch {
    let mut batch = WriteBatch::default();
    slots.for_each(|slot| transition(slot, &mut batch));
    batch
}

fn open(directory: &Path) -> RocksStore {
    RocksStore::open(directory, &Default::default()).expect("a fresh directory opens")
}

fn benches(criterion: &mut Criterion) {
    let root = std::env::var_os("AO_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(&root).expect("a directory for the benchmark");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "setting: {} on {cores} cores; one transition is {} rows, {} bytes",
        root.display(),
        transitions(0..1).writes.len(),
        transitions(0..1).bytes()
    );

    let store = open(directory.path());
    let slot = Cell::new(0);
    let next = |count| {
        slot.set(slot.get() + count);
        transitions(slot.get() - count..slot.get())
    };
    let mut group = criterion.benchmark_group("write");
    for (name, count, durability) in [
        ("1 transition, synced", 1, Durability::Synced),
        ("64 transitions in one batch, synced", 64, Durability::Synced),
        ("1 transition, buffered", 1, Durability::Buffered),
    ] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(|| next(count), |batch| store.write(batch, durability).expect("there is room"), BatchSize::PerIteration);
        });
    }
    group.finish();

    while slot.get() < 50_000 {
        store.write(next(500), Durability::Buffered).expect("there is room");
    }
    store.flush().expect("there is room");
    let total = slot.get();
    println!("setting: reads from {total} transitions, in table files");
    let turn = Cell::new(0_u64);
    let some = || {
        turn.set(turn.get() + 1);
        turn.get().wrapping_mul(7919) % total
    };
    let mut group = criterion.benchmark_group("read");
    group.bench_function("slot of an item that is there", |bencher| {
        bencher.iter(|| schema::SLOT_OF.get(&store, &(number(some()), PROCESS)).expect("sound").expect("there"));
    });
    group.bench_function("slot of an item that is not", |bencher| {
        bencher.iter(|| assert!(!schema::SLOT_OF.contains(&store, &(number(some() | 1 << 61), PROCESS)).expect("sound")));
    });
    group.bench_function("item", |bencher| bencher.iter(|| schema::ITEMS.get(&store, &number(some())).expect("sound").expect("there")));
    group.throughput(Throughput::Elements(100));
    group.bench_function("page of 100 assignments", |bencher| {
        bencher.iter(|| {
            let from = some().min(total - 100);
            let range = ((PROCESS, Slot(from)), (PROCESS, Slot(from + 100)));
            let page = schema::SCHEDULE.range(&store, &range.0, &range.1, Direction::Forward, 100).expect("sound");
            assert_eq!(page.len(), 100);
        });
    });
    group.finish();
    drop(store);

    // Closing syncs the log and is not part of the figure; a second open must wait for it.
    let timed = |count: u64, directory: &dyn Fn(u64) -> std::path::PathBuf| {
        let mut total = std::time::Duration::ZERO;
        for round in 0..count {
            let directory = directory(round);
            let started = std::time::Instant::now();
            let store = open(&directory);
            total += started.elapsed();
            drop(store);
        }
        total
    };
    criterion.bench_function("open", |bencher| bencher.iter_custom(|count| timed(count, &|_| directory.path().to_owned())));
    let created = Cell::new(0_u64);
    let fresh = tempfile::tempdir_in(&root).expect("a directory for the benchmark");
    criterion.bench_function("create", |bencher| {
        bencher.iter_custom(|count| {
            timed(count, &|_| {
                created.set(created.get() + 1);
                fresh.path().join(created.get().to_string())
            })
        });
    });
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).for_each(|line| println!("memory: {line}"));
    }
}

criterion_group! {
    name = store;
    config = Criterion::default().sample_size(40).warm_up_time(std::time::Duration::from_secs(1)).measurement_time(std::time::Duration::from_secs(3));
    targets = benches
}
criterion_main!(store);
