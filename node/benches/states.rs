//! What states cost a node, on real Lua processes: a checkpoint by pages changed, a restore by deltas behind it, a start by processes that
//! are there and by those that owe.
//!
//! `cargo bench -p aonode --bench states`

#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_storage::schema::{self, EvaluationHead, EvaluationKey, Head, ItemKind, ItemRow, ProcessRow, ScheduleRow};
use ao_storage::{Durability, MemoryStore, RocksStore, Store, WriteBatch, rocks};
use ao_types::{Address, DataItem, Id, ItemBuilder, Signer as _, Slot, Tag, Verified, Wallet};
use aonode::chain::{DevChain, DevGenesis};
use aonode::core::input::Checkpointed;
use aonode::shell::fold::{Fold, Ground};
use aonode::shell::modules::Modules;
use aonode::shell::recover;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// A table of 4 000 strings of 4 KiB, that a message changes some of.
const SOURCE: &str = r#"
Rows = Rows or {}
for i = 1, 4000 do Rows[i] = string.rep("x", 4096) .. i end
Handlers.add("Touch", "Touch", function (msg)
  for i = 1, tonumber(msg.Count) do Rows[i] = string.rep(string.char(97 + tonumber(msg.N) % 26), 4096) .. i end
end)"#;

struct Process {
    ground: Ground,
    id: Id,
    user: Wallet,
    next: u64,
}

fn tags(kind: &str, more: &[(&str, String)]) -> Vec<Tag> {
    let fixed = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)].map(|(name, value)| Tag::new(name, value));
    fixed.into_iter().chain(more.iter().map(|(name, value)| Tag::new(*name, value.as_str()))).collect()
}

impl Process {
    fn new() -> Self {
        let user = Wallet::ed25519_from_seed(&[3; 32]);
        let module = ao_vm::lua::default_module();
        let module: Verified<DataItem> = ItemBuilder::new().tags(module.tags).data(module.data).sign(&user).expect("a module");
        let named = [("Module", module.id().to_string()), ("Scheduler", user.address().to_string())];
        let item: Verified<DataItem> = ItemBuilder::new().tags(tags("Process", &named)).data(" ").sign(&user).expect("a process");
        let store = Arc::new(MemoryStore::new());
        let chain = DevChain::new(DevGenesis { timestamp_ms: 0, height: 1_600_000, interval_ms: 2_000 });
        let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules");
        let machine = ao_vm::Machine::new(ao_vm::Settings { cache: Some(cache), ..ao_vm::Settings::default() }).expect("a machine");
        let ground = Ground { store, vm: Arc::new(machine), modules: Arc::new(Modules::default()), blocks: Arc::new(chain) };
        let mut process = Self { ground, id: item.id(), user, next: 0 };
        let mut rows = WriteBatch::default();
        let row = ProcessRow {
            owner: process.user.address(),
            module: module.id(),
            scheduler: process.user.address().to_string(),
            parent: None,
            timestamp_ms: 1,
            block_height: 1_600_000,
            has_cron: false,
        };
        schema::PROCESSES.put(&mut rows, &process.id, &row);
        schema::ITEMS.put(&mut rows, &module.id(), module.as_bytes());
        process.ground.store.write(rows, Durability::Buffered).expect("written");
        process.schedule(&item);
        process
    }

    fn schedule(&mut self, item: &Verified<DataItem>) {
        let slot = Slot(self.next);
        self.next += 1;
        let signed = [
            ("Process", self.id.to_string()),
            ("Epoch", "0".into()),
            ("Nonce", slot.to_string()),
            ("Hash-Chain", Id([0; 32]).to_string()),
            ("Block-Height", "000001600000".into()),
            ("Timestamp", (slot.0 + 1).to_string()),
            ("Message", item.id().to_string()),
        ];
        let assignment: Verified<DataItem> = ItemBuilder::new().tags(tags("Assignment", &signed)).sign(&self.user).expect("an assignment");
        let row = ScheduleRow {
            item: item.id(),
            assignment_id: assignment.id(),
            assignment: assignment.as_bytes().clone(),
            timestamp_ms: slot.0 + 1,
            block_height: 1_600_000,
            pushed_by: None,
            push: false,
        };
        let mut rows = WriteBatch::default();
        schema::ITEMS.put(&mut rows, &item.id(), item.as_bytes());
        schema::SCHEDULE.put(&mut rows, &(self.id, slot), &row);
        self.ground.store.write(rows, Durability::Buffered).expect("written");
    }

    fn message(&mut self, fold: &mut Fold, more: &[(&str, String)], data: &'static str) {
        let anchor = ao_types::hash::sha256(&[&self.next.to_be_bytes()]);
        let item =
            ItemBuilder::new().target(self.id).anchor(anchor).tags(tags("Message", more)).data(data).sign(&self.user).expect("a message");
        self.schedule(&item);
        let step = fold.message(&self.ground, Slot(self.next - 1)).expect("evaluated");
        assert!(step.row.is_some_and(|row| !row.failed), "the message fails");
    }

    fn keep(&self, saved: &Checkpointed) {
        let Checkpointed { slot, cron, row, body, drop } = saved;
        let key = |slot: Slot, cron: u32| EvaluationKey { process: self.id, slot, cron };
        let mut rows = WriteBatch::default();
        for (slot, cron) in drop {
            schema::CHECKPOINTS.delete(&mut rows, &key(*slot, *cron));
            schema::CHECKPOINT_BODIES.delete(&mut rows, &key(*slot, *cron));
        }
        schema::CHECKPOINTS.put(&mut rows, &key(*slot, *cron), row);
        schema::CHECKPOINT_BODIES.put(&mut rows, &key(*slot, *cron), body);
        self.ground.store.write(rows, Durability::Buffered).expect("written");
    }
}

fn checkpoints(criterion: &mut Criterion) {
    let mut process = Process::new();
    let mut fold = Fold::open(&process.ground, process.id, None).expect("opened");
    fold.message(&process.ground, Slot(0)).expect("booted");
    process.message(&mut fold, &[("Action", "Eval".into())], SOURCE);
    let began = Instant::now();
    let full = fold.save(&process.ground).expect("saved").expect("a checkpoint");
    println!("a full checkpoint: {} bytes, {:?}", full.row.bytes, began.elapsed());
    process.keep(&full);
    let mut group = criterion.benchmark_group("checkpoint");
    let mut n = 0;
    for count in [1_u32, 10, 100, 1_000] {
        let (mut bytes, mut made) = (0, 0);
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        group.bench_function(BenchmarkId::new("rows_changed", count), |bencher| {
            bencher.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    n += 1;
                    process.message(&mut fold, &[("Action", "Touch".into()), ("Count", count.to_string()), ("N", n.to_string())], "");
                    let began = Instant::now();
                    let saved = fold.save(&process.ground).expect("saved").expect("a checkpoint");
                    if saved.row.parent.is_some() {
                        spent += began.elapsed();
                        (bytes, made) = (bytes + saved.row.bytes, made + 1);
                    }
                    process.keep(&saved);
                }
                spent
            });
        });
        println!("{count} of 4000 rows changed: {} bytes a delta", bytes / made.max(1));
    }
    group.bench_function("restore", |bencher| {
        let at = fold.at();
        bencher.iter(|| black_box(Fold::open(&process.ground, process.id, at).expect("restored").at()));
    });
    group.finish();
}

/// A hundred thousand processes in RocksDB, ten of which owe an evaluation.
fn start(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = RocksStore::open(folder.path(), &rocks::Settings::default()).expect("a store");
    let head = Head { schedule_epoch: 0, slot: Slot(3), assignment: Id([3; 32]), hash_chain: [0; 32], timestamp_ms: 1, block_height: 1 };
    let row = ProcessRow {
        owner: Address::Arweave(Id([1; 32])),
        module: Id([2; 32]),
        scheduler: Id([1; 32]).to_string(),
        parent: None,
        timestamp_ms: 1,
        block_height: 1,
        has_cron: false,
    };
    for page in 0..100_u64 {
        let mut rows = WriteBatch::default();
        for n in page * 1_000..(page + 1) * 1_000 {
            let process = Id(ao_types::hash::sha256(&[&n.to_be_bytes()]));
            let item =
                ItemRow { kind: ItemKind::Process, owner: row.owner, recipient: None, received_ms: 1, sequence: n, block_height: None };
            schema::ITEM_INDEX.put(&mut rows, &process, &item);
            schema::SEQUENCE.put(&mut rows, &n, &process);
            schema::PROCESSES.put(&mut rows, &process, &row);
            schema::HEADS.put(&mut rows, &process, &head);
            schema::CONFIRMED.put(&mut rows, &process, &Slot(3));
            let owes = n % 10_000 == 7;
            let slot = Slot(if owes { 2 } else { 3 });
            let evaluated = EvaluationHead { slot, cron: 0, ticked_ms: 1, ticked_height: 1, halted: None };
            schema::EVALUATION_HEADS.put(&mut rows, &process, &evaluated);
            if owes {
                schema::OWING.put(&mut rows, &process, &Slot(3));
            }
        }
        store.write(rows, Durability::Buffered).expect("written");
    }
    let chain = ao_consensus::Chain { scheduler: row.owner, tenure: 0 };
    criterion.bench_function("recover/10_of_100000_processes_owe", |bencher| {
        bencher.iter(|| {
            assert_eq!(recover::read(&store, &recover::Life { own: chain, membership: None }, 0, false).expect("read").owing.len(), 10)
        });
    });
}

criterion_group!(states, checkpoints, start);
criterion_main!(states);
