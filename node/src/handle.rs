//! What the node can be asked. HTTP and the command line come through here; neither knows the core.
//!
//! Writes go to the core and are answered when they are durable. Reads open the store directly ([`Node::store`]).

use std::sync::Arc;

use ao_storage::Store;
use ao_types::{Address, Evaluation, Id, Invocation, Slot};
use bytes::Bytes;
use tokio::sync::broadcast;

use crate::chain::Block;
use crate::error::Rejection;
use crate::metrics::labels::Check;

/// A cheap handle on the running node.
#[derive(Clone)]
pub struct Node {
    _inner: Arc<()>,
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
#[derive(Clone, Debug)]
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

/// One thing that must hold for the node to be well: a row of `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Which.
    pub check: Check,
    /// It holds.
    pub ok: bool,
    /// Without it the node is not ready; else it is only degraded.
    pub vital: bool,
    /// Seconds since it was looked at.
    pub age_s: u64,
    /// What was found, for people.
    pub reason: String,
    /// What an operator does about it; empty while it holds.
    pub fix: &'static str,
}

/// What happened, for streams and the console. Lagging receivers lose events, never the node its pace.
#[derive(Clone, Debug)]
pub enum Event {
    /// An item got its slot, durably.
    Assigned { process: Id, slot: Slot, message: Id },
    /// The engine confirmed it.
    Confirmed { process: Id, slot: Slot },
    /// It was evaluated (`cron`: by a cron group after that slot).
    Evaluated { process: Id, slot: Slot, message: Option<Id>, cron: bool, failed: bool },
    /// One outbox entry reached its target.
    Pushed { process: Id, slot: Slot, child: Id },
}

#[allow(unused_variables, clippy::todo, reason = "skeleton: the shell's owner fills these in")]
impl Node {
    /// Takes a data item: parses, verifies, and returns when it is durable in its process's log.
    pub async fn submit(&self, item: Bytes, via: Via) -> Result<Accepted, Rejection> {
        todo!()
    }

    /// Stores an item that no process gets: a module, an upload. Verified, durable and in the indexes when it returns.
    /// A second time is no error. A message or process is scheduled as by [`Node::submit`].
    pub async fn store_item(&self, item: Bytes) -> Result<Accepted, Rejection> {
        todo!()
    }

    /// Assigns an existing item to a process.
    pub async fn assign(&self, request: AssignRequest) -> Result<Accepted, Rejection> {
        todo!()
    }

    /// The result of a message; waits while it is being evaluated. `message` may be the process id (the boot).
    pub async fn result(&self, process: Id, message: Id) -> Result<StoredEvaluation, Rejection> {
        todo!()
    }

    /// Evaluates without a trace, on the newest state, or that after `at`.
    pub async fn dry_run(&self, process: Id, message: Invocation, at: Option<Slot>) -> Result<Evaluation, Rejection> {
        todo!()
    }

    /// Evaluates cron groups of a process up to now; its rows are then in the store.
    pub async fn run_cron(&self, process: Id) -> Result<(), Rejection> {
        todo!()
    }

    /// Starts pushing a process's cron results. The item is signed and its target is the process.
    pub async fn monitor(&self, process: Id, item: Bytes) -> Result<(), Rejection> {
        todo!()
    }

    /// Stops it.
    pub async fn unmonitor(&self, process: Id, item: Bytes) -> Result<(), Rejection> {
        todo!()
    }

    /// Pushes entry `index` of a result again.
    pub async fn push(&self, process: Id, message: Id, index: usize) -> Result<Id, Rejection> {
        todo!()
    }

    /// Raw linear memory after the newest (or `at`) slot, with that slot.
    pub async fn state(&self, process: Id, at: Option<Slot>) -> Result<(Bytes, Slot), Rejection> {
        todo!()
    }

    /// The store, for readers.
    pub fn store(&self) -> &dyn Store {
        todo!()
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        todo!()
    }

    /// The chain's tip: height and milliseconds since 1970.
    pub fn tip(&self) -> (u64, u64) {
        todo!()
    }

    /// The block of the chain at `height`, if there is one or will be.
    pub fn block(&self, height: u64) -> Option<Block> {
        todo!()
    }

    /// How the node is, as of now. Cheap: asked by every probe.
    pub fn health(&self) -> Vec<HealthCheck> {
        todo!()
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }
}
