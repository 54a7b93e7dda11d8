//! A scripted node: it verifies and orders items as a real one does, writes the same rows, and evaluates only what a test tells it to.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ao_storage::memory::MemoryStore;
use ao_storage::schema::{self, EvaluationHead, EvaluationKey, EvaluationRow, Head, ItemKind, ItemRow, ProcessRow, ScheduleRow};
use ao_storage::{Durability, Store, WriteBatch};
use ao_types::hash_chain::HashChain;
use ao_types::{
    AssignmentContent, DataItem, Evaluation, Id, Invocation, ItemBuilder, Profile, ResultHash, Signer as _, Slot, Tag, Verified, Wallet,
};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::chain::{Block, Chain as _, DevChain, DevGenesis};
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, AssignRequest, Event, HealthCheck, Identity, Reached, StoredEvaluation, Via};
use crate::http::backend::{Backend, Later};
use crate::http::{App, Edge, Limits, Rates};
use crate::levels::{self, Goal};
use crate::metrics::labels::Check;
use crate::metrics::{Build, Metrics};
use crate::shell::hosts::Host;

/// When the script's chain and log begin, ms.
pub const START: u64 = 1_795_345_080_000;
/// The chain's height then.
pub const HEIGHT: u64 = 1_600_000;

pub struct Script {
    pub store: MemoryStore,
    identity: Identity,
    scheduler: Wallet,
    chain: DevChain,
    events: broadcast::Sender<Event>,
    clock: AtomicU64,
    /// Dry runs wait for one permit each.
    pub dry_runs: Semaphore,
    /// What was asked for, in order.
    pub calls: Mutex<Vec<String>>,
    pub dry: Mutex<Vec<Invocation>>,
    pub health: Mutex<Vec<HealthCheck>>,
}

pub fn wallet(seed: u8) -> Wallet {
    Wallet::ed25519_from_seed(&[seed; 32])
}

/// A process item whose id depends on `seed`.
pub fn process_item(seed: u8, tags: &[(&str, &str)], data: impl Into<Bytes>) -> Verified<DataItem> {
    let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Process"), ("Scheduler", "s")].iter().chain(tags);
    let tags = tags.map(|(name, value)| Tag::new(*name, *value));
    ItemBuilder::new().tags(tags).data(data).anchor([seed; 32]).sign(&wallet(seed)).unwrap()
}

/// A message from wallet 9 to a process.
pub fn message_item(process: Id, tags: &[(&str, &str)], data: impl Into<Bytes>) -> Verified<DataItem> {
    let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")].iter().chain(tags);
    let tags = tags.map(|(name, value)| Tag::new(*name, *value));
    ItemBuilder::new().target(process).tags(tags).data(data).sign(&wallet(9)).unwrap()
}

impl Script {
    pub fn new() -> Arc<Self> {
        let scheduler = wallet(1);
        let identity = Identity {
            scheduler: scheduler.address(),
            messenger: wallet(2).address(),
            default_module: Id([3; 32]),
            engine: "solo",
            network: "test".into(),
        };
        Arc::new(Self {
            store: MemoryStore::new(),
            identity,
            scheduler,
            chain: DevChain::new(DevGenesis { timestamp_ms: START, height: HEIGHT, interval_ms: 2000 }),
            events: broadcast::channel(64).0,
            clock: AtomicU64::new(START),
            dry_runs: Semaphore::new(Semaphore::MAX_PERMITS),
            calls: Mutex::default(),
            dry: Mutex::default(),
            health: Mutex::new(vec![check(Check::Db, true, true), check(Check::Core, true, true), check(Check::Chain, true, false)]),
        })
    }

    pub fn app(self: &Arc<Self>) -> App {
        self.app_with(Limits::default())
    }

    pub fn app_with(self: &Arc<Self>, limits: Limits) -> App {
        App::new(self.clone(), limits, Metrics::new(&Build::new("solo", "test")).unwrap(), CancellationToken::new())
    }

    fn call(&self, call: String) {
        self.calls.lock().push(call);
    }

    /// The next millisecond but one of the script's clock.
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1000, Ordering::Relaxed) + 1000
    }

    fn put_item(&self, batch: &mut WriteBatch, item: &DataItem, kind: ItemKind) {
        let sequence =
            self.store.scan(ao_storage::Table::Sequence, &[], &[], ao_storage::Direction::Forward, usize::MAX).unwrap().len() as u64;
        let id = item.id();
        schema::ITEMS.put(batch, &id, item.as_bytes());
        let row = ItemRow {
            kind,
            owner: item.address(),
            recipient: item.target(),
            received_ms: self.clock.load(Ordering::Relaxed),
            sequence,
            block_height: Some(HEIGHT + sequence),
        };
        schema::ITEM_INDEX.put(batch, &id, &row);
        schema::SEQUENCE.put(batch, &sequence, &id);
        schema::OWNER_INDEX.put(batch, &(item.address(), sequence), &id);
        if let Some(target) = item.target() {
            schema::RECIPIENT_INDEX.put(batch, &(target, sequence), &id);
        }
        for tag in item.tags() {
            schema::TAG_INDEX.put(batch, &(schema::tag_hash(tag.name, tag.value), sequence), &id);
        }
    }

    /// Orders an item, as the core would.
    pub fn schedule(&self, process: Id, item: &DataItem, exclude: &[String]) -> Accepted {
        let timestamp_ms = self.tick();
        let mut batch = WriteBatch::default();
        let head = schema::HEADS.get(&self.store, &process).unwrap();
        let (slot, hash_chain) = match &head {
            None => (Slot(0), HashChain::first(&process)),
            Some(head) => (head.slot.next(), HashChain::from_bytes(head.hash_chain).next(&head.assignment)),
        };
        let block_height = HEIGHT + slot.0;
        let content = AssignmentContent {
            process,
            schedule_epoch: 0,
            slot,
            hash_chain,
            block_height,
            timestamp_ms,
            message: (slot.0 > 0).then(|| item.id()),
            exclude: exclude.to_vec(),
        };
        let assignment = content.sign(&self.scheduler).unwrap();
        if !schema::ITEMS.contains(&self.store, &item.id()).unwrap() {
            self.put_item(&mut batch, item, if slot.0 == 0 { ItemKind::Process } else { ItemKind::Message });
        }
        let row = ScheduleRow {
            item: item.id(),
            assignment_id: assignment.id(),
            assignment: assignment.item().as_bytes().clone(),
            timestamp_ms,
            block_height,
            pushed_by: None,
            push: true,
        };
        schema::SCHEDULE.put(&mut batch, &(process, slot), &row);
        schema::SLOT_OF.put(&mut batch, &(item.id(), process), &slot);
        schema::SLOT_OF.put(&mut batch, &(assignment.id(), process), &slot);
        let head =
            Head { schedule_epoch: 0, slot, assignment: assignment.id(), hash_chain: *hash_chain.as_bytes(), timestamp_ms, block_height };
        schema::HEADS.put(&mut batch, &process, &head);
        schema::CONFIRMED.put(&mut batch, &process, &slot);
        self.store.write(batch, Durability::Synced).unwrap();
        let _ = self.events.send(Event::Assigned { process, slot, message: item.id() });
        Accepted { id: item.id(), process: Some(process), slot: Some(slot), assignment: Some(assignment.id()), timestamp_ms }
    }

    /// Spawns a process; its boot is evaluated to an empty result.
    pub fn spawn(&self, item: &DataItem) -> Id {
        let process = item.id();
        let mut batch = WriteBatch::default();
        let row = ProcessRow {
            owner: item.address(),
            module: Id([3; 32]),
            scheduler: "s".into(),
            parent: None,
            timestamp_ms: self.clock.load(Ordering::Relaxed) + 1000,
            block_height: HEIGHT,
            has_cron: item.tag("Cron-Interval").is_some(),
        };
        schema::PROCESSES.put(&mut batch, &process, &row);
        self.store.write(batch, Durability::Synced).unwrap();
        self.schedule(process, item, &[]);
        process
    }

    /// A process with an empty boot result.
    pub fn spawned(&self, seed: u8) -> Id {
        let process = self.spawn(&process_item(seed, &[("Name", "counter")], "x"));
        self.evaluate(process, 0, 0, &result("boot"), false);
        process
    }

    /// A message that has its slot.
    pub fn sent(&self, process: Id, data: &str) -> Accepted {
        self.schedule(process, &message_item(process, &[("Action", "Eval")], data.to_owned()), &[])
    }

    /// Writes the result of a slot, or of cron message `cron` after it.
    pub fn evaluate(&self, process: Id, slot: u64, cron: u32, json: &str, failed: bool) {
        let row = schema::SCHEDULE.get(&self.store, &(process, Slot(slot))).unwrap().unwrap();
        let mut batch = WriteBatch::default();
        let key = EvaluationKey { process, slot: Slot(slot), cron };
        let evaluation = EvaluationRow {
            json: Bytes::from(json.to_owned()),
            exact_data: vec![],
            message: (cron == 0).then_some(row.item),
            cron: (cron > 0).then(|| "0-1-second".into()),
            timestamp_ms: row.timestamp_ms + u64::from(cron) * 100,
            block_height: row.block_height,
            failed,
            fuel: 7,
            result_hash: ResultHash([slot as u8; 32]),
            state_hash: None,
        };
        schema::EVALUATIONS.put(&mut batch, &key, &evaluation);
        let head = EvaluationHead { slot: Slot(slot), cron, ticked_ms: evaluation.timestamp_ms, ticked_height: HEIGHT, halted: None };
        schema::EVALUATION_HEADS.put(&mut batch, &process, &head);
        self.store.write(batch, Durability::Synced).unwrap();
        let message = evaluation.message;
        let _ = self.events.send(Event::Evaluated { process, slot: Slot(slot), message, cron: cron > 0, failed });
    }

    fn verified(bytes: Bytes) -> Result<Verified<DataItem>, Rejection> {
        let item = DataItem::parse(bytes, Profile::Strict).map_err(|error| Rejection::new(Code::ItemMalformed, error.to_string()))?;
        item.verify().map_err(|error| Rejection::new(Code::SignatureInvalid, error.to_string()))
    }

    fn take(&self, bytes: Bytes) -> Result<Accepted, Rejection> {
        let item = Self::verified(bytes)?;
        match item.tag("Type") {
            Some("Process") => {
                self.spawn(&item);
                let row = schema::SCHEDULE.get(&self.store, &(item.id(), Slot(0))).unwrap().unwrap();
                Ok(Accepted {
                    id: item.id(),
                    process: Some(item.id()),
                    slot: Some(Slot(0)),
                    assignment: Some(row.assignment_id),
                    timestamp_ms: row.timestamp_ms,
                })
            }
            Some("Message") => {
                let target = item.target().unwrap();
                if !schema::PROCESSES.contains(&self.store, &target).unwrap() {
                    return Err(Rejection::new(Code::ProcessUnknown, format!("process {target} is not known here")));
                }
                if schema::SLOT_OF.contains(&self.store, &(item.id(), target)).unwrap() {
                    return Err(Rejection::new(Code::Duplicate, format!("MessageExists({})", item.id())));
                }
                Ok(self.schedule(target, &item, &[]))
            }
            other => Err(Rejection::new(Code::TagInvalid, format!("Unsupported Type tag value: {other:?}"))),
        }
    }
}

/// A health row.
pub fn check(check: Check, ok: bool, vital: bool) -> HealthCheck {
    HealthCheck { check, ok, vital, age_s: 0, reason: if ok { "ok".into() } else { "scripted".into() }, fix: "" }
}

/// A result with this output, as it is stored.
pub fn result(output: &str) -> String {
    format!(r#"{{"Messages":[],"Assignments":[],"Spawns":[],"Output":{{"data":"{output}"}},"GasUsed":0}}"#)
}

/// The same as `/results` shows it.
pub fn shown(output: &str) -> String {
    format!(r#"{{"Messages":[],"Assignments":[],"Spawns":[],"Output":{{"data":"{output}"}}}}"#)
}

impl Backend for Script {
    fn submit(&self, item: Bytes, via: Via) -> Later<'_, Accepted> {
        self.call(format!("submit {via:?}"));
        async move { self.take(item) }.boxed()
    }
    fn store_item(&self, item: Bytes) -> Later<'_, Accepted> {
        self.call("store_item".into());
        async move {
            let item = Self::verified(item)?;
            let mut batch = WriteBatch::default();
            self.put_item(&mut batch, &item, ItemKind::Module);
            self.store.write(batch, Durability::Synced).unwrap();
            Ok(Accepted { id: item.id(), process: None, slot: None, assignment: None, timestamp_ms: START })
        }
        .boxed()
    }
    fn assign(&self, request: AssignRequest) -> Later<'_, Accepted> {
        self.call(format!("assign exclude={:?} base_layer={}", request.exclude, request.base_layer));
        async move {
            let bytes = schema::ITEMS.get(&self.store, &request.item).unwrap();
            let bytes = bytes.ok_or_else(|| Rejection::new(Code::ItemUnknown, format!("item {} is not known here", request.item)))?;
            let item = DataItem::parse(bytes, Profile::Archive).unwrap();
            Ok(self.schedule(request.process, &item, &request.exclude))
        }
        .boxed()
    }
    fn result(&self, process: Id, message: Id) -> Later<'_, StoredEvaluation> {
        self.call("result".into());
        let mut events = self.events.subscribe();
        async move {
            let slot = schema::SLOT_OF.get(&self.store, &(message, process)).unwrap();
            let slot = slot.ok_or_else(|| Rejection::new(Code::MessageUnknown, format!("message {message} is not known here")))?;
            loop {
                if let Some(row) = schema::EVALUATIONS.get(&self.store, &EvaluationKey { process, slot, cron: 0 }).unwrap() {
                    return Ok(StoredEvaluation { json: row.json, slot });
                }
                events.recv().await.unwrap();
            }
        }
        .boxed()
    }
    fn reach(&self, process: Id, slot: Slot, goal: Goal, patience: Duration) -> Later<'_, Reached> {
        self.call(format!("reach {} {patience:?}", goal.text()));
        let mut events = self.events.subscribe();
        async move {
            let end = tokio::time::Instant::now() + patience;
            loop {
                let standing = levels::standing(&self.store, process, slot).unwrap();
                if standing.meets(goal) || tokio::time::timeout_at(end, events.recv()).await.is_err() {
                    return Ok(Reached { standing, why: None });
                }
            }
        }
        .boxed()
    }
    fn dry_run(&self, _process: Id, message: Invocation, at: Option<Slot>) -> Later<'_, Evaluation> {
        self.call(format!("dry_run at={at:?}"));
        self.dry.lock().push(message);
        async move {
            self.dry_runs.acquire().await.unwrap().forget();
            Ok(Evaluation { output: json!("dry"), ..Evaluation::default() })
        }
        .boxed()
    }
    fn run_cron(&self, _process: Id) -> Later<'_, ()> {
        self.call("run_cron".into());
        async { Ok(()) }.boxed()
    }
    fn monitor(&self, process: Id, item: Bytes) -> Later<'_, ()> {
        self.call("monitor".into());
        async move {
            let item = Self::verified(item)?;
            assert_eq!(item.target(), Some(process));
            Ok(())
        }
        .boxed()
    }
    fn unmonitor(&self, _process: Id, item: Bytes) -> Later<'_, ()> {
        self.call("unmonitor".into());
        async move {
            Self::verified(item)?;
            Err(Rejection::new(Code::MonitorState, "Process monitor not found"))
        }
        .boxed()
    }
    fn push(&self, _process: Id, message: Id, index: usize) -> Later<'_, Id> {
        assert_ne!(index, 666, "scripted: a bug in a handler");
        async move { Ok(message) }.boxed()
    }
    fn state(&self, _process: Id, at: Option<Slot>) -> Later<'_, (Bytes, Slot)> {
        async move { Ok((Bytes::from_static(&[0, 1, 2, 255]), at.unwrap_or(Slot(1)))) }.boxed()
    }
    fn store(&self) -> &dyn Store {
        &self.store
    }
    fn identity(&self) -> &Identity {
        &self.identity
    }
    fn hosts(&self) -> Vec<Host> {
        vec![Host { scheduler: self.identity.scheduler, authority: Some(self.identity.messenger), url: None }]
    }
    fn tip(&self) -> (u64, u64) {
        (HEIGHT + 100, START + 200_000)
    }
    fn block(&self, height: u64) -> Option<Block> {
        self.chain.block(height)
    }
    fn health(&self) -> Vec<HealthCheck> {
        self.health.lock().clone()
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub async fn send(edge: &Edge, request: Request) -> Answer {
    send_from(edge, HOME, request).await
}

pub async fn send_from(edge: &Edge, peer: IpAddr, request: Request) -> Answer {
    let response = edge.handle(request, peer).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 64 * 1024 * 1024).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub async fn get(edge: &Edge, uri: &str) -> Answer {
    send(edge, Request::builder().uri(uri).body(Body::empty()).unwrap()).await
}

pub async fn post(edge: &Edge, uri: &str, body: impl Into<Body>) -> Answer {
    send(edge, Request::builder().method(Method::POST).uri(uri).body(body.into()).unwrap()).await
}

/// Limits so small that tests reach them.
pub fn strict() -> Limits {
    Limits { rates: Rates { loopback_free: false, read_per_s: 0, write_per_s: 0, dry_run_per_s: 0, burst_s: 1 }, ..Limits::default() }
}
