//! The core's shell: threads, disk, workers. It carries out what the core decides and decides nothing itself.
//!
//! ```text
//!   Node (handle) ─▶ verify pool ─▶ ┌──────┐ ─▶ writer ─────┐
//!                                   │ core │ ─▶ signers ────┤
//!          reserve, clock, chain ─▶ │thread│ ─▶ evaluators ─┼─▶ inputs of the core
//!                                   └──────┘ ─▶ pusher ─────┘
//! ```
//!
//! One named OS thread owns the core. Its inputs come through one channel whose length is bounded by what is under way: requests by
//! [`Requests`], everything else by the core, which has at most one write, one run and one evaluation per process, and a few turns of
//! outboxes out at a time. Readers go around all this and open the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ao_consensus::protection::Guard;
use ao_consensus::schedule::{Clock, Head, ToAssign};
use ao_storage::{Durability, Store, WriteBatch};
use ao_types::{Id, Signer};
use ao_vm::Vm;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::chain::Chain;
use crate::core::input::{Batch, Input, Term};
use crate::core::{Core, Fixed, Unconfirmed};
use crate::error::{Code, Rejection};
use crate::handle::{Event, Identity, Node};
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::labels::EvidenceStatus;
use crate::retention::elsewhere::Elsewhere;

pub mod backfill;
mod backlog;
pub mod begin;
pub mod blocks;
pub mod checkpoints;
pub mod digests;
pub mod doorway;
pub mod evaluator;
pub mod facts;
pub mod fold;
pub mod frames;
pub mod hosts;
pub mod lanes;
mod loops;
pub mod membership;
pub mod modules;
pub mod options;
pub mod panics;
pub mod pusher;
pub mod queue;
pub mod recover;
pub mod rewind;
mod slow;
pub mod spent;
mod stages;
pub mod steady;
mod timed;
pub mod verify;
pub mod waiters;

use backfill::Backfill;
use digests::Digests;
use evaluator::{Evaluator, Habits, Read};
use facts::Settled;
use fold::Ground;
use lanes::Bounds;
use membership::{Membership, Neighbours};
use modules::Modules;
pub use options::{Now, Options, StateHashes, skewed_clock, wall_clock};
use pusher::Pusher;
use queue::Queue;
use recover::Life;
use verify::{Task, Verifier};
use waiters::{LevelWaiters, Requests, SlotWaiters};

/// Parts that the wiring chooses.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The machine.
    pub vm: Arc<dyn Vm>,
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// The same chain, for folds.
    pub blocks: Arc<dyn crate::chain::Blocks>,
    /// See [`Fixed::items_in_tip`].
    pub items_in_tip: bool,
    /// The network; `None`: a network of one.
    pub membership: Option<Membership>,
    /// In every frame.
    pub network_id: ao_types::NetworkId,
    /// The embedded module, which is in the store.
    pub default_module: Id,
}

/// Where inputs of the core go.
#[derive(Clone)]
pub struct Inputs(Sender<Note>);

impl Inputs {
    /// For a core that is driven by hand.
    #[cfg(feature = "sim")]
    pub(crate) fn channel() -> (Self, Receiver<Note>) {
        let (notes, inbox) = std::sync::mpsc::channel();
        (Self(notes), inbox)
    }

    /// Hands an input over. Nothing happens if the core has ended: then the node is stopping.
    pub fn send(&self, input: Input) {
        self.send_held(input, None);
    }

    /// The same for something from outside, whose place is free again when the core has it.
    fn send_held(&self, input: Input, place: Option<doorway::Place>) {
        drop(self.0.send(Note::Input(input, Instant::now(), place)));
    }
}

/// What comes through the core's channel.
#[expect(clippy::large_enum_variant, reason = "almost every note is an input; the other one comes once")]
pub(crate) enum Note {
    /// With the moment at which it was sent, and the place that it takes.
    Input(Input, Instant, Option<doorway::Place>),
    /// Write what there is to write, then end.
    Stop,
}

/// One job of the writer.
enum Write {
    Batch { term: Term, batch: Batch, rows: WriteBatch, seals: Vec<Unconfirmed>, guards: Vec<Guard>, durability: Durability },
    Recover { term: Term, failed: Batch, rewind: Option<(ao_consensus::Chain, u64)> },
}

/// A run to sign.
struct Run {
    term: Term,
    process: Id,
    head: Option<Head>,
    clock: Clock,
    items: Vec<ToAssign>,
}

/// What the handle and the threads share.
pub struct Shared {
    pub(crate) store: Arc<dyn Store>,
    /// The store for whoever may wait: what was pruned is there, too.
    pub(crate) archive: Arc<Elsewhere>,
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) identity: Identity,
    pub(crate) requests: Requests,
    pub(crate) results: SlotWaiters,
    pub(crate) levels: LevelWaiters,
    pub(crate) tasks: Queue<Task>,
    pub(crate) evaluator: Evaluator,
    pub(crate) backfill: Backfill,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) pusher: Mutex<Pusher>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Now,
    pub(crate) data_dir: Option<PathBuf>,
    /// May change while the node runs.
    pub(crate) disk_reserve_bytes: AtomicU64,
    pub(crate) low_disk: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// When the core's loop last turned, ms.
    pub(crate) beat: AtomicU64,
    pub(crate) settled: Arc<Settled>,
    pub(crate) digests: Arc<Digests>,
    /// Looks things up for the core; what it knows of the network is for readers too.
    pub verifier: Arc<Verifier>,
    messenger: Arc<dyn Signer>,
    scheduler: Arc<dyn Signer>,
    pub(crate) life: Life,
    pub(crate) certify_slots: u64,
    doors: doorway::Doors,
    runs: Queue<Run>,
    turns: Queue<(Term, Id)>,
    pub(crate) inputs: Inputs,
    writes: Mutex<Option<Sender<Write>>>,
}

/// The node's threads. Dropping it does not stop them; [`Running::stop`] does.
pub struct Running {
    shared: Arc<Shared>,
    core: JoinHandle<()>,
    writer: JoinHandle<()>,
    evaluators: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] ao_storage::Error),
    /// No thread could be made.
    #[error("no thread {name}: {reason}")]
    Thread {
        /// Which.
        name: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The machine that runs modules.
    #[error("the machine does not start: {0}")]
    Machine(String),
    /// A key of the network's committee is none.
    #[error("the committee: {0}")]
    Committee(String),
    /// A recovery into the store did not come to its end. Exit code 9.
    #[error("{0} is being recovered into this data directory and is not whole; run the same `aonode recover` again")]
    Recovering(String),
    /// An embedded part is not as it should be.
    #[error("the embedded module: {0}")]
    Module(String),
}

/// Reads what the store holds, starts the threads, and goes on with what is owed.
pub fn start(options: Options, parts: Parts) -> Result<(Node, Running), StartError> {
    let Parts { store, vm, chain, blocks, items_in_tip, membership, network_id, default_module } = parts;
    let own = ao_consensus::Chain { scheduler: options.scheduler.address(), tenure: 0 };
    let low = options.data_dir.as_deref().is_some_and(|path| loops::is_low(path, options.disk_reserve_bytes, false));
    let membership = membership.map(|membership| membership.metered(&options.metrics)).transpose();
    let life = Life { own, membership: membership.map_err(|error| StartError::Committee(error.to_string()))?.map(Arc::new) };
    recover::look_back(&*store, &life)?;
    let recovered = recover::read(&*store, &life, 0, low)?;
    let engine = recovered.engine.name();
    options.metrics.outbox_pending.set(i64::try_from(backlog::outbox_entries(&*store)?).unwrap_or(i64::MAX));
    options.metrics.evidence_items.of(EvidenceStatus::Verified).set(i64::try_from(backlog::evidence(&*store)?).unwrap_or(i64::MAX));
    let now = (options.clock)();
    let member = life.membership.as_ref().map(|membership| membership.for_core(own));
    let core = Core::new(Fixed { network_id, items_in_tip, member }, own, chain.tip(now));
    let neighbours = match &life.membership {
        Some(membership) => Neighbours::of(membership, own.scheduler, &*store),
        None => Neighbours::none(network_id),
    };
    let (notes, inbox) = std::sync::mpsc::channel();
    let (writes, write_jobs) = std::sync::mpsc::channel();
    let inputs = Inputs(notes);
    inputs.send(Input::Recovered(Box::new(recovered)));
    let (settled, modules) = (Arc::new(Settled::default()), Arc::new(Modules::default()));
    let verifier = Arc::new(Verifier {
        store: store.clone(),
        vm: vm.clone(),
        modules: modules.clone(),
        settled: settled.clone(),
        scheduler: options.scheduler.address(),
        neighbours: Arc::new(neighbours),
    });
    let habits = Habits {
        bytes_max: options.instance_bytes_max,
        idle_max: options.instance_idle_max,
        checkpoint_slots: options.checkpoint_slots,
        certify_slots: options.certify_slots,
        hashes: options.state_hashes,
        chunk: Duration::from_millis(limits::EVALUATION_CHUNK_MS),
        bounds: Bounds {
            logs: options.evaluators.max(1),
            reads: options.readers.max(1),
            reads_waiting: limits::DRY_RUNS_MAX,
            slow: Duration::from_millis(limits::SLOW_MS),
        },
    };
    let archive = Arc::new(Elsewhere::new(store.clone()));
    // What is evaluated again from further back than usual may need what was pruned.
    let ground = Ground { store: archive.clone(), vm, modules, blocks };
    let shared = Arc::new(Shared {
        identity: Identity {
            scheduler: options.scheduler.address(),
            messenger: options.messenger.address(),
            default_module,
            engine,
            network: options.network,
        },
        evaluator: Evaluator::new(ground, inputs.clone(), habits, options.metrics.clone()),
        backfill: Backfill::new(options.backfill_turn),
        pusher: Mutex::new(Pusher::new(verifier.clone(), options.messenger.clone())),
        store,
        archive,
        chain,
        requests: Requests::new(limits::WRITES_IN_FLIGHT_MAX, limits::WRITE_BYTES_IN_FLIGHT_MAX),
        results: SlotWaiters::new(limits::RESULT_WAITERS_MAX),
        levels: LevelWaiters::new(limits::LEVEL_WAITERS_MAX),
        // Every task has a place among the requests, or stands for one outbox entry of a turn or one monitor.
        // Those from outside have places of their own.
        tasks: Queue::new(
            limits::WRITES_IN_FLIGHT_MAX
                + limits::PUSH_RUN_MAX * limits::PUSH_PROCESSES_MAX
                + limits::MONITORS_MAX
                + 2 * limits::FRAMES_WAITING_MAX,
        ),
        events: broadcast::Sender::new(limits::EVENTS_LAG_MAX),
        metrics: options.metrics,
        clock: options.clock,
        data_dir: options.data_dir,
        disk_reserve_bytes: AtomicU64::new(options.disk_reserve_bytes),
        low_disk: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        beat: AtomicU64::new(now.0),
        settled,
        digests: Arc::default(),
        verifier,
        messenger: options.messenger,
        scheduler: options.scheduler,
        life,
        certify_slots: options.certify_slots,
        doors: doorway::Doors::default(),
        runs: Queue::new(limits::RUNS_WAITING_MAX),
        turns: Queue::new(limits::TURNS_WAITING_MAX),
        inputs,
        writes: Mutex::new(Some(writes)),
    });
    loops::set_room(&shared, low);
    let running = spawn(&shared, core, inbox, write_jobs, [options.verifiers, options.signers, options.evaluators, options.readers])?;
    Ok((Node::of(shared), running))
}

fn spawn(
    shared: &Arc<Shared>,
    core: Core,
    inbox: Receiver<Note>,
    jobs: Receiver<Write>,
    [verifiers, signers, evaluators, readers]: [usize; 4],
) -> Result<Running, StartError> {
    let with = |name: &str, work: fn(&Shared)| {
        let shared = shared.clone();
        thread(name, None, move || work(&shared))
    };
    let guests = |name: &str, work: fn(&Shared)| {
        let shared = shared.clone();
        thread(name, Some(limits::EVALUATOR_STACK_BYTES), move || work(&shared))
    };
    let mut others = Vec::new();
    for n in 0..verifiers.max(1) {
        others.push(with(&format!("verify-{n}"), loops::verify_loop)?);
    }
    for n in 0..signers.max(1) {
        others.push(with(&format!("sign-{n}"), loops::sign_loop)?);
    }
    others.push(with("push", loops::push_loop)?);
    others.push(with("reserve", |shared| panics::vital("reserve", || loops::reserve_loop(shared)))?);
    let mut workers = Vec::new();
    for n in 0..evaluators.max(1) + limits::SLOW_JOBS_MAX {
        workers.push(guests(&format!("evaluate-{n}"), |shared| shared.evaluator.work_log())?);
    }
    for n in 0..readers.max(1) + limits::SLOW_JOBS_MAX / 2 {
        workers.push(guests(&format!("read-{n}"), |shared| shared.evaluator.work_reads())?);
    }
    workers.push(guests("backfill", backfill::backfill_loop)?);
    let (for_core, for_writer) = (shared.clone(), shared.clone());
    let core = thread("core", None, move || panics::vital("core", || loops::core_loop(&for_core, core, &inbox)))?;
    let writer = thread("write", None, move || panics::vital("write", || loops::write_loop(&for_writer, &jobs)))?;
    Ok(Running { shared: shared.clone(), core, writer, evaluators: workers, others })
}

fn thread(name: &str, stack: Option<usize>, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    let builder = if let Some(bytes) = stack { builder.stack_size(bytes) } else { builder };
    builder.spawn(work).map_err(|reason| StartError::Thread { name: name.to_owned(), reason })
}

impl Running {
    /// Stops in order: no new requests, those under way are answered, states are written down, threads end. An evaluation that is
    /// still running after `patience` is left to its fate: it is made again after the next start.
    pub fn stop(self, patience: Duration) {
        let Self { shared, core, writer, evaluators, others } = self;
        let deadline = Instant::now() + patience;
        shared.requests.close();
        while shared.requests.open_count() > 0 && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        shared.stopping.store(true, Ordering::Relaxed);
        let why = Rejection::retry(Code::Unavailable, "the node is shutting down", 5);
        shared.backfill.wake();
        shared.evaluator.lanes.close().into_iter().for_each(|read: Read| read.refuse(why.clone()));
        shared.results.close(&why);
        shared.levels.close(&why);
        if join_until(evaluators, deadline) {
            shared.evaluator.save_all(deadline);
        }
        shared.tasks.close();
        shared.runs.close();
        shared.turns.close();
        others.iter().for_each(|thread| thread.thread().unpark());
        join(others);
        // What the core still had to write is behind everything that was sent before this.
        drop(shared.inputs.0.send(Note::Stop));
        join(vec![core]);
        drop(shared.writes.lock().take());
        join(vec![writer]);
    }

    /// Whether a vital thread has ended.
    pub fn is_finished(&self) -> bool {
        self.core.is_finished() || self.writer.is_finished()
    }
}

/// Whether all have ended by then.
fn join_until(threads: Vec<JoinHandle<()>>, deadline: Instant) -> bool {
    while threads.iter().any(|thread| !thread.is_finished()) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    join(threads);
    true
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A worker that panicked was logged when it did; the others are still to be joined.
        let _ = thread.join();
    }
}

#[cfg(test)]
pub(crate) mod tests;
