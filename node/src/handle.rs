//! What the node can be asked. HTTP and the command line come through here; neither knows the core.
//!
//! Writes go to the core and are answered when they are durable. Reads open the store directly ([`Node::store`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ao_storage::Store;
use ao_storage::schema::{self, EvaluationKey, OutboxKey, OutboxKind};
use ao_types::{Address, Evaluation, Id, Invocation, Slot};
use bytes::Bytes;
use tokio::sync::{broadcast, oneshot};

use crate::chain::Block;
use crate::core::effect::{Again, Ask, Reply};
use crate::core::input::{Input, RequestId};
use crate::error::{Code, Rejection};
use crate::limits::{DRY_RUNS_MAX, HOSTS_SHOWN_MAX, ITEM_BYTES_MAX, MODULE_ITEM_BYTES_MAX, RESULT_TRIES_MAX};
use crate::metrics::labels::Stage;
use crate::network::seam::Order;
use crate::retention::elsewhere::Elsewhere;
use crate::shell::digests::Digests;
use crate::shell::evaluator::Read;
use crate::shell::hosts::Host;
use crate::shell::modules::store_failed;
use crate::shell::verify::Task;
use crate::shell::{Shared, begin, doorway, facts};

mod health;
mod states;
mod wait;

pub use health::HealthCheck;
pub use states::NotBegun;
pub use wait::Reached;

/// A cheap handle on the running node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Signs assignments; the `Scheduler` tag of the processes this node orders.
    pub scheduler: Address,
    /// Signs pushed messages; callers list it as `Authority`.
    pub messenger: Address,
    /// The embedded default module (Lua), which every node knows.
    pub default_module: Id,
    /// Name of the consensus engine: `solo`.
    pub engine: &'static str,
    /// Name of the network.
    pub network: String,
}

/// An item that is durable and has its slot (or, for a wallet target or a module, is stored).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Id of the item.
    pub id: Id,
    /// The process whose log it is in; `None` for an item that is only stored.
    pub process: Option<Id>,
    /// Its slot.
    pub slot: Option<Slot>,
    /// Id of the assignment.
    pub assignment: Option<Id>,
    /// Timestamp of the assignment, ms.
    pub timestamp_ms: u64,
}

/// Whose request it was; shown in traces, decides quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A client, through HTTP or the command line.
    Client,
    /// Only schedule, do not push the results (`/su`).
    ScheduleOnly,
}

/// `POST ?process-id=P&assign=M`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignRequest {
    /// The process that gets the item.
    pub process: Id,
    /// The existing item.
    pub item: Id,
    /// Fields that are not loaded.
    pub exclude: Vec<String>,
    /// The item is an L1 transaction.
    pub base_layer: bool,
}

/// An evaluation as it is stored: the JSON text exactly as clients get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvaluation {
    /// `{"Messages":[…],"Assignments":[…],"Spawns":[…],"Output":…,"GasUsed":n[,"Error":…]}`.
    pub json: Bytes,
    /// Slot of the message.
    pub slot: Slot,
}

/// What happened, for streams and the console. Lagging receivers lose events, never the node its pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An item got its slot, durably.
    Assigned {
        /// Whose log.
        process: Id,
        /// Which slot.
        slot: Slot,
        /// The item.
        message: Id,
    },
    /// A certificate covers it: a quorum has it. Networks of one go without.
    Certified {
        /// Whose log.
        process: Id,
        /// Which slot.
        slot: Slot,
    },
    /// The engine confirmed it.
    Confirmed {
        /// Whose log.
        process: Id,
        /// Which slot.
        slot: Slot,
    },
    /// It is on Arweave, as deep as the configuration asks, and so is everything before it.
    Anchored {
        /// Whose log.
        process: Id,
        /// The last slot of which that is so.
        slot: Slot,
    },
    /// It was evaluated.
    Evaluated {
        /// The process.
        process: Id,
        /// Its slot, or that of the message before a cron message.
        slot: Slot,
        /// The item; none for a cron message.
        message: Option<Id>,
        /// By a cron group after that slot.
        cron: bool,
        /// It ended in an error.
        failed: bool,
    },
    /// One outbox entry reached its target.
    Pushed {
        /// The sender.
        process: Id,
        /// Slot of the result it is from.
        slot: Slot,
        /// The item it became.
        child: Id,
    },
}

impl Node {
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Takes a data item: parses, verifies, and returns when it is durable in its process's log.
    pub async fn submit(&self, item: Bytes, via: Via) -> Result<Accepted, Rejection> {
        self.take(item, via == Via::Client, false).await
    }

    /// Stores an item that no process gets: a module, an upload. Verified, durable and in the indexes when it returns.
    /// A second time is no error. A message or process is scheduled as by [`Node::submit`].
    pub async fn store_item(&self, item: Bytes) -> Result<Accepted, Rejection> {
        self.take(item, true, true).await
    }

    /// Assigns an existing item to a process.
    pub async fn assign(&self, request: AssignRequest) -> Result<Accepted, Rejection> {
        accepted(self.ask(0, |id| Task::Assign { request: id, assign: request, forwarded: false }).await?)
    }

    /// The result of a message; waits while it is being evaluated. `message` may be the process id (the boot). A message that repeats an
    /// earlier one of its log is not evaluated: its result is that of the earlier one, with that one's slot.
    pub async fn result(&self, process: Id, message: Id) -> Result<StoredEvaluation, Rejection> {
        let slot = self.slot_of(process, message)?;
        let mut tries = 0;
        loop {
            // The head first: a result is written with it or before it.
            let head = schema::EVALUATION_HEADS.get(self.store(), &process).map_err(|error| store_failed(&error))?;
            if let Some(found) = self.stored(process, slot)? {
                return Ok(found);
            }
            if head.as_ref().is_some_and(|head| head.slot >= slot) {
                begin::not_in_gap(self.store(), process, slot)?;
                return self.repeated(process, slot);
            }
            if let Some(reason) = head.and_then(|head| head.halted) {
                return Err(Rejection::new(Code::NotEvaluated, format!("evaluation of {process} stopped: {reason}")));
            }
            self.next_turn(process, slot, &mut tries).await?;
        }
    }

    /// Waits until a turn of the evaluator is over that may have brought this slot.
    async fn next_turn(&self, process: Id, slot: Slot, tries: &mut u32) -> Result<(), Rejection> {
        let waiting = self.shared.results.wait(process, slot)?;
        // It may have come before the place was taken.
        if self.evaluated(process, slot)? {
            return Ok(());
        }
        match waiting.await.map_err(|_| stopping())? {
            Err(refusal) if refusal.retry_after_s.is_none() || *tries >= RESULT_TRIES_MAX => Err(refusal),
            // This host could not evaluate it just now; it tries again by itself.
            Err(_) => {
                *tries += 1;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Evaluates without a trace, on the newest state, or that after `at`. What was assigned before the call is evaluated first,
    /// unless there is no room on disk for its results.
    pub async fn dry_run(&self, process: Id, message: Invocation, at: Option<Slot>) -> Result<Evaluation, Rejection> {
        self.caught_up(process, at).await?;
        let (reply, answer) = oneshot::channel();
        self.read(process, Read::DryRun { message: Box::new(message), at, reply })?;
        answer.await.map_err(|_| stopping())?
    }

    /// Evaluates cron groups of a process up to now; its rows are then in the store.
    pub async fn run_cron(&self, process: Id) -> Result<(), Rejection> {
        self.ask(0, |request| Task::Process(Again { request: Some(request), process, ask: Ask::RunCron })).await.map(drop)
    }

    /// Starts pushing a process's cron results. The item is signed and its target is the process.
    pub async fn monitor(&self, process: Id, item: Bytes) -> Result<(), Rejection> {
        self.ask(item.len(), |request| Task::Monitor { request, process, bytes: item, on: true }).await.map(drop)
    }

    /// Stops it.
    pub async fn unmonitor(&self, process: Id, item: Bytes) -> Result<(), Rejection> {
        self.ask(item.len(), |request| Task::Monitor { request, process, bytes: item, on: false }).await.map(drop)
    }

    /// Pushes entry `index` of the `Messages` of a result again. Delivered before is delivered: then only the item's id comes back.
    pub async fn push(&self, process: Id, message: Id, index: usize) -> Result<Id, Rejection> {
        let slot = self.slot_of(process, message)?;
        self.result(process, message).await?;
        let index = u32::try_from(index).map_err(|_| Rejection::new(Code::MessageUnknown, format!("the result has no entry {index}")))?;
        let key = OutboxKey { process, slot, cron: 0, kind: OutboxKind::Message, index, part: 0 };
        let pushed_for = self.origin_of(message)?;
        let item = self.shared.pusher.lock().again(key, Some(pushed_for))?;
        let id = item.id();
        match self.submit(item.as_bytes().clone(), Via::Client).await {
            Ok(_) => Ok(id),
            Err(refusal) if refusal.code == Code::Duplicate => Ok(id),
            // A wallet's: stored, not scheduled.
            Err(refusal) if refusal.code == Code::ProcessUnknown => {
                self.store_item(item.as_bytes().clone()).await.map(|accepted| accepted.id)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Refuses writes from now on below so many bytes of free space; looked at within two seconds.
    pub fn set_disk_reserve(&self, bytes: u64) {
        self.shared.disk_reserve_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of free space that writes leave alone, as of now.
    pub fn disk_reserve(&self) -> u64 {
        self.shared.disk_reserve_bytes.load(Ordering::Relaxed)
    }

    /// The node's clock.
    pub fn clock(&self) -> crate::shell::Now {
        self.shared.clock.clone()
    }

    /// Says that a process is anchored up to a slot, which its rows say already.
    pub(crate) fn anchored(&self, process: Id, slot: Slot) {
        let event = Event::Anchored { process, slot };
        self.shared.levels.see(&event);
        // Nobody listening is no error.
        drop(self.shared.events.send(event));
    }

    /// The store, for readers. An item that was pruned is fetched back when it is read, which takes as long as a gateway does: whoever reads items
    /// does it on a thread that may wait.
    pub fn store(&self) -> &dyn Store {
        &*self.shared.archive
    }

    /// Where items that were pruned are fetched from.
    pub fn archive(&self) -> &Arc<Elsewhere> {
        &self.shared.archive
    }

    /// What the engine may sign with has changed: the core makes it anew from the store, at the next quiet moment.
    pub fn renew_engine(&self) {
        self.shared.inputs.send(Input::Renew);
    }

    /// The store, for readers with threads of their own; items as of [`Node::store`].
    pub fn shared_store(&self) -> Arc<dyn Store> {
        self.shared.archive.clone()
    }

    /// What is really here, for readers with threads of their own: an item that was pruned is not, and nobody is asked for it.
    pub fn plain_store(&self) -> Arc<dyn Store> {
        self.shared.archive.plain().clone()
    }

    /// Digests of what was written to the log lately.
    pub fn digests(&self) -> Arc<Digests> {
        self.shared.digests.clone()
    }

    /// The network it belongs to, or the one that it is by itself.
    pub fn network_id(&self) -> ao_types::NetworkId {
        self.shared.verifier.neighbours.network
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Who may order the messages of processes that are born through this node: this scheduler unless it schedules nothing, then the others
    /// of the network, those first that were heard. Whoever names none gets the first. Never empty, at most
    /// [`HOSTS_SHOWN_MAX`].
    pub fn hosts(&self) -> Vec<Host> {
        let neighbours = &self.shared.verifier.neighbours;
        let own = Host { scheduler: self.identity().scheduler, authority: Some(self.identity().messenger), url: None };
        let own = (neighbours.schedules || neighbours.schedulers.is_empty()).then_some(own);
        own.into_iter().chain(neighbours.hosts.all()).take(HOSTS_SHOWN_MAX).collect()
    }

    /// Tells peers where this scheduler is reached; `item` is its Scheduler-Location. A node that schedules nothing has nothing to tell.
    pub fn announce(&self, item: Bytes) {
        if self.shared.verifier.neighbours.schedules {
            doorway::order(&self.shared, Order::Location(item));
        }
    }

    /// The chain's tip: height and milliseconds since 1970.
    pub fn tip(&self) -> (u64, u64) {
        let tip = self.shared.chain.tip((self.shared.clock)());
        (tip.height, tip.timestamp_ms)
    }

    /// The chain's block at a height; none above the tip.
    pub fn block(&self, height: u64) -> Option<Block> {
        if height > self.tip().0 { None } else { self.shared.chain.block(height) }
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    async fn take(&self, item: Bytes, push: bool, store: bool) -> Result<Accepted, Rejection> {
        let max = if store { MODULE_ITEM_BYTES_MAX } else { ITEM_BYTES_MAX };
        if item.len() > max {
            return Err(Rejection::new(Code::TooLarge, format!("the item has {} bytes, at most {max} are taken", item.len())));
        }
        let began = Instant::now();
        let reply = self.ask(item.len(), |request| Task::Item { request, bytes: item, push, store, forwarded: false }).await?;
        let accepted = accepted(reply)?;
        if accepted.slot.is_some() {
            self.shared.metrics.message_stage_seconds.of(Stage::Assign).observe(began.elapsed().as_secs_f64());
        }
        Ok(accepted)
    }

    async fn ask(&self, bytes: usize, task: impl FnOnce(RequestId) -> Task) -> Result<Reply, Rejection> {
        let (request, answer) = self.shared.requests.open(bytes)?;
        if self.shared.tasks.push(task(request)).is_err() {
            self.shared.requests.answer(request, Err(stopping()));
        }
        answer.await.map_err(|_| stopping())?
    }

    fn read(&self, process: Id, read: Read) -> Result<(), Rejection> {
        let refused = self.shared.evaluator.lanes.push_read(process, read);
        refused.map_err(|_| Rejection::retry(Code::Busy, format!("{DRY_RUNS_MAX} reads of states wait; try again in a moment"), 1))
    }

    fn slot_of(&self, process: Id, message: Id) -> Result<Slot, Rejection> {
        let failed = |error: ao_storage::Error| store_failed(&error);
        if let Some(slot) = facts::assigned(self.store(), process, message).map_err(failed)? {
            return Ok(slot);
        }
        if !schema::PROCESSES.contains(self.store(), &process).map_err(failed)? {
            return Err(Rejection::new(Code::ProcessUnknown, format!("process {process} is not known here")));
        }
        Err(Rejection::new(Code::MessageUnknown, format!("message {message} is not in the schedule of process {process}")))
    }

    fn stored(&self, process: Id, slot: Slot) -> Result<Option<StoredEvaluation>, Rejection> {
        let key = EvaluationKey { process, slot, cron: 0 };
        let row = schema::EVALUATIONS.get(self.store(), &key).map_err(|error| store_failed(&error))?;
        Ok(row.map(|row| StoredEvaluation { json: row.json, slot }))
    }

    fn evaluated(&self, process: Id, slot: Slot) -> Result<bool, Rejection> {
        let head = schema::EVALUATION_HEADS.get(self.store(), &process).map_err(|error| store_failed(&error))?;
        Ok(head.is_some_and(|head| head.slot >= slot))
    }

    /// What a message has that was skipped: the result of the one it repeats.
    fn repeated(&self, process: Id, slot: Slot) -> Result<StoredEvaluation, Rejection> {
        let failed = |error: ao_storage::Error| store_failed(&error);
        let row = schema::SCHEDULE.get(self.store(), &(process, slot)).map_err(failed)?;
        let item = row.map(|row| facts::item(&*self.shared.store, row.item)).transpose().map_err(failed)?.flatten();
        let first = item.map(|item| facts::repeated(self.store(), process, slot, &item)).transpose().map_err(failed)?.flatten();
        let found = first.map(|first| self.stored(process, first)).transpose()?.flatten();
        found.ok_or_else(|| {
            Rejection::new(Code::NotEvaluated, format!("slot {slot} of {process} is evaluated, but its result is not in the store"))
        })
    }

    /// Waits until everything assigned so far (or up to `at`) is evaluated. While there is no room on disk nothing is evaluated: then the
    /// newest state is the one that there is.
    async fn caught_up(&self, process: Id, at: Option<Slot>) -> Result<(), Rejection> {
        let head = schema::HEADS.get(self.store(), &process).map_err(|error| store_failed(&error))?;
        let head = head.ok_or_else(|| Rejection::new(Code::ProcessUnknown, format!("process {process} is not known here")))?;
        let wanted = at.map_or(head.slot, |at| at.min(head.slot));
        let mut tries = 0;
        while !self.evaluated(process, wanted)? {
            match self.next_turn(process, wanted, &mut tries).await {
                Err(why) if why.code == Code::ReadOnly && at.is_none() => return Ok(()),
                turn => turn?,
            }
        }
        Ok(())
    }

    /// The item that a message's chain began with.
    fn origin_of(&self, message: Id) -> Result<Id, Rejection> {
        let item = facts::item(&*self.shared.store, message).map_err(|error| store_failed(&error))?;
        let origin = item.as_ref().and_then(|item| item.tag("Pushed-For"));
        Ok(origin.and_then(|origin| Id::parse(origin).ok()).unwrap_or(message))
    }
}

pub(crate) fn accepted(reply: Reply) -> Result<Accepted, Rejection> {
    match reply {
        Reply::Accepted(accepted) => Ok(accepted),
        Reply::Done => Err(Rejection::new(Code::Internal, "a submission was answered without its slot")),
    }
}

fn stopping() -> Rejection {
    Rejection::retry(Code::Unavailable, "the node is shutting down", 5)
}
