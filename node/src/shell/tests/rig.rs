//! A node on a memory store with a clock in hand.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

use ao_consensus::Timestamp;
use ao_storage::schema::{self, CheckpointRow, EvaluationKey, EvaluationRow, OutboxKey, PushedRow, ScheduleRow};
use ao_storage::{Direction, MemoryStore, Table};
use ao_types::{Assignment, DataItem, Evaluation, Invocation, ItemBuilder, Slot, Tag, Verified, Wallet};
use bytes::Bytes;

use super::*;
use crate::handle::Accepted;
use crate::metrics::Build;
use crate::sim::script::{FORMAT, Script};
use crate::wiring::Setup;

/// Where the clock of every rig stands at first.
pub const BEGIN_MS: u64 = 1_700_000_000_200;

pub struct Rig {
    pub node: Node,
    pub running: Running,
    pub user: Wallet,
    pub store: Arc<dyn Store>,
    /// The clock stands still but for what a test adds.
    ahead_ms: Arc<AtomicU64>,
}

pub fn options() -> Options {
    let key = |seed| Arc::new(Wallet::ed25519_from_seed(&[seed; 32]));
    // One registry for all tests: making one costs more than most of them.
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new(&Build::new("solo", "test")).unwrap());
    Options::new("test", key(1), key(2), METRICS.clone())
}

pub fn setup() -> Setup {
    let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Module"), ("Module-Format", FORMAT)];
    let tags = tags.map(|(name, value)| Tag::new(name, value)).to_vec();
    Setup { vm: Arc::new(Script), default_module: (tags, Bytes::new()), block_interval_ms: 2_000, membership: None }
}

fn tags(kind: &str, more: &[(&str, &str)]) -> Vec<Tag> {
    let fixed = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)];
    fixed.iter().chain(more).map(|(name, value)| Tag::new(*name, *value)).collect()
}

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A signed message; each has an anchor of its own.
pub fn message(user: &Wallet, process: Id, more: &[(&str, &str)], data: &str) -> Bytes {
    let mut anchor = [0; 32];
    anchor[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let item = ItemBuilder::new().target(process).anchor(anchor).tags(tags("Message", more)).data(Bytes::copy_from_slice(data.as_bytes()));
    item.sign(user).unwrap().as_bytes().clone()
}

impl Rig {
    pub fn start() -> Self {
        Self::on(Arc::new(MemoryStore::new()))
    }

    pub fn on(store: Arc<dyn Store>) -> Self {
        Self::at(store, Arc::new(AtomicU64::new(0)), options())
    }

    /// With so many slots between checkpoints.
    pub fn saving_every(slots: u64) -> Self {
        Self::at(Arc::new(MemoryStore::new()), Arc::new(AtomicU64::new(0)), Options { checkpoint_slots: slots, ..options() })
    }

    /// With a state certified every so many slots.
    pub fn certifying_every(slots: u64) -> Self {
        Self::at(Arc::new(MemoryStore::new()), Arc::new(AtomicU64::new(0)), Options { certify_slots: slots, ..options() })
    }

    /// Where nothing that is not used stays in memory.
    pub fn forgetful() -> Self {
        Self::at(Arc::new(MemoryStore::new()), Arc::new(AtomicU64::new(0)), Options { instance_idle_max: Duration::ZERO, ..options() })
    }

    /// With the hash of every state.
    pub fn hashing() -> Self {
        let options = Options { state_hashes: StateHashes::Every, ..options() };
        Self::at(Arc::new(MemoryStore::new()), Arc::new(AtomicU64::new(0)), options)
    }

    fn at(store: Arc<dyn Store>, ahead_ms: Arc<AtomicU64>, options: Options) -> Self {
        let ahead = ahead_ms.clone();
        let clock: Now = Arc::new(move || Timestamp(BEGIN_MS + ahead.load(Ordering::Relaxed)));
        let (node, running) = Node::start_on(store.clone(), Options { clock, ..options }, setup()).unwrap();
        Self { node, running, user: Wallet::ed25519_from_seed(&[3; 32]), store, ahead_ms }
    }

    pub fn stop(self) {
        self.running.stop(Duration::from_secs(5));
    }

    pub fn restart(self) -> Self {
        let (store, ahead_ms) = (self.store.clone(), self.ahead_ms.clone());
        self.stop();
        Self::at(store, ahead_ms, options())
    }

    /// As [`Rig::restart`], with a state certified every so many slots.
    pub fn restart_certifying(self, slots: u64) -> Self {
        let (store, ahead_ms) = (self.store.clone(), self.ahead_ms.clone());
        self.stop();
        Self::at(store, ahead_ms, Options { certify_slots: slots, ..options() })
    }

    /// Another node that has this one's items and logs, and nothing that was made of them.
    pub fn follower(&self) -> Self {
        Self::at(Arc::new(self.unevaluated()), self.ahead_ms.clone(), options())
    }

    /// The same, on this store and with the hash of every state.
    pub fn beside(&self, store: MemoryStore) -> Self {
        Self::at(Arc::new(store), self.ahead_ms.clone(), Options { state_hashes: StateHashes::Every, ..options() })
    }

    /// The same, with a state certified every so many slots.
    pub fn beside_certifying_every(&self, slots: u64, store: MemoryStore) -> Self {
        let options = Options { state_hashes: StateHashes::Every, certify_slots: slots, ..options() };
        Self::at(Arc::new(store), self.ahead_ms.clone(), options)
    }

    /// The same, with so many slots between checkpoints.
    pub fn beside_saving_every(&self, slots: u64, store: MemoryStore) -> Self {
        Self::at(Arc::new(store), self.ahead_ms.clone(), Options { checkpoint_slots: slots, ..options() })
    }

    /// The same, on any store and with so long a turn for each process that began elsewhere.
    pub fn beside_in_turns(&self, turn: Duration, store: Arc<dyn Store>) -> Self {
        let options = Options { state_hashes: StateHashes::Every, backfill_turn: turn, ..options() };
        Self::at(store, self.ahead_ms.clone(), options)
    }

    /// A store with this node's items and logs, and nothing that was made of them.
    pub fn unevaluated(&self) -> MemoryStore {
        let store = MemoryStore::new();
        let mut rows = WriteBatch::default();
        let made = [
            Table::Evaluations,
            Table::EvaluationHeads,
            Table::Outbox,
            Table::Pushed,
            Table::Checkpoints,
            Table::CheckpointBodies,
            Table::CertifiedStates,
        ];
        for table in Table::ALL.iter().filter(|table| !made.contains(table)) {
            for (key, row) in self.store.scan(*table, &[], &[], Direction::Forward, usize::MAX).unwrap() {
                rows.put(*table, key.to_vec(), row);
            }
        }
        for (process, confirmed) in schema::CONFIRMED.all(&*self.store, Direction::Forward, 1_000).unwrap() {
            schema::OWING.put(&mut rows, &process, &confirmed);
        }
        store.write(rows, Durability::Synced).unwrap();
        store
    }

    /// What the node does from time to time for instances that nobody uses; gives how many are left.
    pub fn tidy(&self) -> usize {
        self.running.shared.evaluator.tidy();
        self.running.shared.evaluator.instances()
    }

    pub fn module(&self) -> Id {
        self.node.identity().default_module
    }

    pub fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub async fn spawn(&self, more: &[(&str, &str)]) -> Id {
        self.spawn_of(self.module(), more).await.unwrap().id
    }

    pub async fn spawn_of(&self, module: Id, more: &[(&str, &str)]) -> Result<Accepted, Rejection> {
        let (module, scheduler) = (module.to_string(), self.node.identity().scheduler.to_string());
        let all = [&[("Module", module.as_str()), ("Scheduler", scheduler.as_str())], more].concat();
        let item = ItemBuilder::new().tags(tags("Process", &all)).sign(&self.user).unwrap();
        self.node.submit(item.as_bytes().clone(), Via::Client).await
    }

    pub async fn send(&self, process: Id, more: &[(&str, &str)], data: &str) -> Result<Accepted, Rejection> {
        self.node.submit(message(&self.user, process, more, data), Via::Client).await
    }

    pub async fn result(&self, process: Id, message: Id) -> serde_json::Value {
        serde_json::from_slice(&self.node.result(process, message).await.unwrap().json).unwrap()
    }

    pub async fn dry_run(&self, process: Id, more: &[(&str, &str)]) -> Result<Evaluation, Rejection> {
        let message = Invocation {
            owner: "1234".into(),
            from: "1234".into(),
            target: process.to_string(),
            tags: tags("Message", more),
            ..Invocation::default()
        };
        self.node.dry_run(process, message, None).await
    }

    pub async fn until(&self, events: &mut broadcast::Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
        let found = async {
            loop {
                let event = events.recv().await.unwrap();
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("the event comes")
    }

    /// Waits until the rows say so. Looked at again whenever something may have happened, and now and then.
    pub async fn eventually(&self, what: &str, holds: impl Fn(&dyn Store) -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let looking = async {
            while !holds(&*self.store) {
                looks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap_or_else(|_| panic!("in time: {what}"));
    }

    /// Waits until a process is evaluated up to a slot.
    pub async fn settled(&self, process: Id, slot: u64) {
        let head = |store: &dyn Store| schema::EVALUATION_HEADS.get(store, &process).unwrap();
        self.eventually("it is evaluated", |store| head(store).is_some_and(|head| head.slot.0 >= slot && head.halted.is_none())).await;
    }

    pub fn assignment(&self, row: &ScheduleRow) -> Verified<DataItem> {
        Verified::<DataItem>::reload(row.assignment.clone()).unwrap()
    }

    pub fn log(&self, process: Id) -> Vec<ScheduleRow> {
        let rows = schema::SCHEDULE.prefix(&*self.store, &process, Direction::Forward, 10_000).unwrap();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    pub fn item(&self, id: Id) -> Verified<DataItem> {
        Verified::<DataItem>::reload(schema::ITEMS.get(&*self.store, &id).unwrap().unwrap()).unwrap()
    }

    pub fn outbox(&self) -> Vec<OutboxKey> {
        schema::OUTBOX.all(&*self.store, Direction::Forward, 10_000).unwrap().into_iter().map(|(key, _)| key).collect()
    }

    pub fn crons(&self, process: Id) -> Vec<EvaluationRow> {
        let rows = schema::EVALUATIONS.prefix(&*self.store, &process, Direction::Forward, 10_000).unwrap();
        rows.into_iter().filter(|(key, _)| key.cron > 0).map(|(_, row)| row).collect()
    }

    pub fn checkpoints(&self, process: Id) -> Vec<(EvaluationKey, CheckpointRow)> {
        schema::CHECKPOINTS.prefix(&*self.store, &process, Direction::Forward, 100).unwrap()
    }

    /// Every stored result of a process.
    pub fn results(&self, process: Id) -> Vec<(EvaluationKey, EvaluationRow)> {
        schema::EVALUATIONS.prefix(&*self.store, &process, Direction::Forward, 10_000).unwrap()
    }

    /// What became of every outbox entry of a process.
    pub fn pushed(&self, process: Id) -> Vec<(OutboxKey, PushedRow)> {
        schema::PUSHED.prefix(&*self.store, &process, Direction::Forward, 10_000).unwrap()
    }

    pub fn forget_checkpoints(&self, process: Id) {
        let keys = self.checkpoints(process);
        self.change(|rows| keys.iter().for_each(|(key, _)| schema::CHECKPOINTS.delete(rows, key)));
    }

    pub fn forget_evaluation(&self, process: Id, slot: u64) {
        self.change(|rows| schema::EVALUATIONS.delete(rows, &EvaluationKey { process, slot: Slot(slot), cron: 0 }));
    }

    pub fn forget_all_evaluations(&self, process: Id) {
        self.forget_checkpoints(process);
        for slot in 0..self.log(process).len() as u64 {
            self.forget_evaluation(process, slot);
        }
        self.change(|rows| {
            schema::EVALUATION_HEADS.delete(rows, &process);
            schema::OWING.put(rows, &process, &Slot(0));
        });
    }

    /// As if another result had been stored.
    pub fn forge_result(&self, process: Id, slot: u64) {
        let key = EvaluationKey { process, slot: Slot(slot), cron: 0 };
        let mut row = schema::EVALUATIONS.get(&*self.store, &key).unwrap().unwrap();
        row.result_hash = ao_types::ResultHash([9; 32]);
        self.change(|rows| schema::EVALUATIONS.put(rows, &key, &row));
    }

    /// As if the scheduler had given the item of one slot another slot as well.
    pub fn repeat(&self, process: Id, of: u64, at: u64) {
        let log = self.log(process);
        let row = ScheduleRow { item: log[of as usize].item, ..log[at as usize].clone() };
        self.change(|rows| schema::SCHEDULE.put(rows, &(process, Slot(at)), &row));
    }

    /// As if the log had given a slot to another item.
    pub fn replace(&self, process: Id, at: u64, item: &Verified<DataItem>) {
        let row = ScheduleRow { item: item.id(), ..self.log(process)[at as usize].clone() };
        self.change(|rows| {
            schema::ITEMS.put(rows, &item.id(), item.as_bytes());
            schema::SCHEDULE.put(rows, &(process, Slot(at)), &row);
            schema::SLOT_OF.put(rows, &(item.id(), process), &Slot(at));
        });
    }

    /// As if the process were of the time when the process item had no slot of its own.
    pub fn make_older(&self, process: Id) {
        let log = self.log(process);
        let last = log.len() as u64 - 2;
        let head = schema::HEADS.get(&*self.store, &process).unwrap().unwrap();
        self.change(|rows| {
            schema::SLOT_OF.delete(rows, &(process, process));
            schema::SLOT_OF.delete(rows, &(log[0].assignment_id, process));
            for (slot, row) in (0..).map(Slot).zip(&log[1..]) {
                schema::SCHEDULE.put(rows, &(process, slot), row);
                schema::SLOT_OF.put(rows, &(row.item, process), &slot);
                schema::SLOT_OF.put(rows, &(row.assignment_id, process), &slot);
            }
            schema::SCHEDULE.delete(rows, &(process, Slot(last + 1)));
            schema::CONFIRMED.put(rows, &process, &Slot(last));
            schema::HEADS.put(rows, &process, &schema::Head { slot: Slot(last), ..head });
        });
        self.forget_all_evaluations(process);
        self.forget_evaluation(process, last + 1);
    }

    /// An orphan of a write that failed: the index says a slot that the log does not have.
    pub fn orphan_content(&self, process: Id, item: &DataItem, slot: u64) {
        self.change(|rows| schema::CONTENT.put(rows, &(process, ao_types::ContentKey::of(item).0), &Slot(slot)));
    }

    pub fn change(&self, change: impl FnOnce(&mut WriteBatch)) {
        let mut rows = WriteBatch::default();
        change(&mut rows);
        self.store.write(rows, Durability::Synced).unwrap();
    }

    /// Slots without gap, a hash chain that follows, no item twice.
    pub fn check_log(&self, process: Id) {
        let (mut head, mut seen) = (None, std::collections::BTreeSet::new());
        for row in self.log(process) {
            let item = DataItem::parse(row.assignment, ao_types::Profile::Strict).and_then(DataItem::verify).unwrap();
            let assignment = Assignment::read(item).unwrap();
            let scheduler = self.node.identity().scheduler;
            head = Some(ao_consensus::schedule::check_next(process, scheduler, head.as_ref(), &assignment).unwrap());
            assert!(seen.insert(row.item), "{} is there twice", row.item);
        }
    }
}
