//! One node in one thread: the same core, verifier, evaluator and pusher as on a machine, on a disk that fails where somebody says.
//!
//! Whatever would be a thread is a job in a list; which job is done next is drawn from the seed. So a seed is an interleaving, and every
//! write of every interleaving can be the last.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ao_consensus::Timestamp;
use ao_consensus::schedule::assign_run;
use ao_storage::Store;
use ao_storage::faulty::FaultyStore;
use ao_types::{DataItem, Id, ItemBuilder, NetworkId, SignError, Signer as _, Tag, Verified, Wallet};

use super::check::Violation;
use super::dice::Dice;
use super::script::{FORMAT, Script};
use crate::chain::{Block, Chain as _, DevChain, DevGenesis};
use crate::core::effect::{Effect, Reply};
use crate::core::input::{Input, Origin, RequestId};
use crate::core::{Core, Fixed};
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, Event};
use crate::metrics::Build;
use crate::network::seam::{Arrival, Load, Order};
use crate::shell::evaluator::{Evaluator, Habits};
use crate::shell::facts::Settled;
use crate::shell::fold::Ground;
use crate::shell::lanes::Bounds;
use crate::shell::membership::{self, Membership, Neighbours, Unwritten};
use crate::shell::modules::Modules;
use crate::shell::pusher::Pusher;
use crate::shell::recover::{self, Life};
use crate::shell::verify::{Failed, Task, Verifier};
use crate::shell::{Inputs, Note, StateHashes, frames, hosts, rewind};
use crate::{Metrics, limits};

/// Bytes of instances that a node keeps: so few that they go and come back.
const INSTANCE_BYTES_MAX: u64 = 128;

/// Slots between checkpoints.
const CHECKPOINT_SLOTS: u64 = 3;

/// Jobs of a node that wait; more is a queue without a bound.
pub const JOBS_MAX: usize = 20_000;

/// A node.
pub struct World {
    /// Its disk.
    pub store: Arc<FaultyStore>,
    /// Answers to requests.
    pub replies: BTreeMap<u64, Result<Accepted, Rejection>>,
    /// Evaluations that stopped for good.
    pub alarms: Vec<String>,
    /// What it wants of the network.
    pub orders: Vec<Order>,
    /// What it tells listeners.
    pub told: Vec<Event>,
    /// Evidence and refused frames, in words.
    pub faults: Vec<String>,
    /// What cannot be, and was.
    pub broken: Vec<Violation>,
    /// Blocks that everybody sees.
    pub chain: DevChain,
    /// How long a write takes, milliseconds.
    pub disk_ms: (u64, u64),
    core: Core,
    verifier: Arc<Verifier>,
    settled: Arc<Settled>,
    evaluator: Evaluator,
    inbox: Receiver<Note>,
    pusher: Pusher,
    jobs: Vec<(Timestamp, Work)>,
    dice: Dice,
    now: Timestamp,
    next_request: u64,
    scheduler: Wallet,
    life: Life,
}

enum Work {
    Effect(Effect),
    Task(Task),
    Input(Input),
}

/// Who a node is and what it starts with.
pub struct Start {
    /// Its disk.
    pub store: FaultyStore,
    /// For its interleaving.
    pub seed: u64,
    /// Its wallet.
    pub scheduler: Wallet,
    /// Its network; `None`: alone.
    pub membership: Option<Arc<Membership>>,
    /// What time it is.
    pub now: Timestamp,
}

/// The chain of blocks of every run.
pub fn blocks() -> DevChain {
    DevChain::new(DevGenesis { timestamp_ms: 1_000, height: 100, interval_ms: 2_000 })
}

/// Tags of the scripted module.
pub fn module_tags() -> Vec<Tag> {
    let tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Module"), ("Module-Format", FORMAT)];
    tags.map(|(name, value)| Tag::new(name, value)).to_vec()
}

/// The scripted module: what every process of a run is made of.
pub fn module() -> Result<Verified<DataItem>, SignError> {
    ItemBuilder::new().tags(module_tags()).sign(&Wallet::ed25519_from_seed(&[1; 32]))
}

/// One registry for all: making one costs more than most runs, and nobody reads it.
fn metrics() -> Result<Metrics, Violation> {
    static METRICS: LazyLock<Result<Metrics, String>> =
        LazyLock::new(|| Metrics::new(&Build::new("solo", "simulation")).map_err(|error| error.to_string()));
    METRICS.clone().map_err(|error| Violation::new("simulator", error))
}

impl World {
    /// A node that reads its store and begins.
    pub fn start(start: Start) -> Result<Self, Violation> {
        let Start { store, seed, scheduler, membership, now } = start;
        let store = Arc::new(store);
        let chain = blocks();
        let (settled, modules) = (Arc::new(Settled::default()), Arc::new(Modules::default()));
        let verifier = Arc::new(Verifier {
            store: store.clone(),
            vm: Arc::new(Script),
            modules: modules.clone(),
            settled: settled.clone(),
            scheduler: scheduler.address(),
            neighbours: Arc::new(match &membership {
                Some(membership) => Neighbours::of(membership, scheduler.address(), &*store),
                None => Neighbours::none(NetworkId([0; 32])),
            }),
        });
        let (inputs, inbox) = Inputs::channel();
        let ground = Ground { store: store.clone(), vm: Arc::new(Script), modules, blocks: Arc::new(chain.clone()) };
        let habits = Habits {
            bytes_max: INSTANCE_BYTES_MAX,
            idle_max: Duration::MAX,
            checkpoint_slots: CHECKPOINT_SLOTS,
            // Often enough that logs of a few dozen messages have some, which all nodes must agree on.
            certify_slots: 4,
            hashes: StateHashes::Rest,
            // The machine's clock decides nothing here.
            chunk: Duration::MAX,
            bounds: Bounds { logs: 1, reads: 1, reads_waiting: 4, slow: Duration::MAX },
        };
        let evaluator = Evaluator::new(ground, inputs, habits, metrics()?);
        let pusher = Pusher::new(verifier.clone(), Arc::new(Wallet::ed25519_from_seed(&[2; 32])));
        let own = ao_consensus::Chain { scheduler: scheduler.address(), tenure: 0 };
        let fixed = Fixed {
            network_id: membership.as_ref().map_or(NetworkId([0; 32]), |membership| membership.network),
            items_in_tip: true,
            member: membership.as_ref().map(|membership| membership.for_core(own)),
        };
        let life = Life { own, membership };
        let core = Core::new(fixed, own, chain.tip(now));
        let mut world = Self {
            store,
            replies: BTreeMap::new(),
            alarms: Vec::new(),
            orders: Vec::new(),
            told: Vec::new(),
            faults: Vec::new(),
            broken: Vec::new(),
            chain,
            disk_ms: (0, 0),
            core,
            verifier,
            settled,
            evaluator,
            inbox,
            pusher,
            jobs: Vec::new(),
            dice: Dice::new(seed),
            now,
            next_request: 0,
            scheduler,
            life,
        };
        // The power may fail at once: then there is nothing to begin with.
        if let Ok(recovered) = recover::read(&*world.store, &world.life, 0, false) {
            world.give(Input::Recovered(Box::new(recovered)));
        }
        Ok(world)
    }

    /// Puts an item in as a client does. `store`: it need not go into a log.
    pub fn submit(&mut self, item: &Verified<DataItem>, store: bool) -> u64 {
        let bytes = item.as_bytes().clone();
        self.ask(|request| Task::Item { request, bytes, push: true, store, forwarded: false })
    }

    /// Another node sent this item here; its answer will be under this request.
    pub fn forwarded(&mut self, load: Load) -> u64 {
        self.ask(|request| Task::forwarded(request, load))
    }

    fn ask(&mut self, task: impl FnOnce(RequestId) -> Task) -> u64 {
        self.next_request += 1;
        self.push(Work::Task(task(RequestId(self.next_request))));
        self.next_request
    }

    /// Something came from outside.
    pub fn arrive(&mut self, arrival: Arrival) {
        let work = match arrival {
            Arrival::Frame { from, bytes, way, judge } => Work::Task(Task::Frame { from, bytes, way, judge, place: None }),
            Arrival::Evidence { from, bytes, judge } => Work::Task(Task::Evidence { from, bytes, judge, place: None }),
            Arrival::Item { bytes, .. } => Work::Task(Task::Wanted { bytes, place: None }),
            Arrival::Location { from, bytes } => Work::Task(Task::Location { from, bytes, place: None }),
            Arrival::Engine { from, bytes, judge } => Work::Input(Input::Peer(from, bytes, judge)),
            Arrival::Forwarded { forward, answer } => Work::Input(Input::Forwarded { forward, answer }),
            Arrival::Nobody { item, denied } => Work::Input(Input::Nobody { item, denied }),
            Arrival::Submission { load, reply, .. } => {
                // The network of a simulation asks by `forwarded`, and hears by `replies`.
                drop((load, reply));
                return self.break_rule("simulator", "a submission came by another way");
            }
        };
        self.push(work);
    }

    fn push(&mut self, work: Work) {
        let ready = match &work {
            Work::Effect(Effect::Write { .. }) => self.now.plus_ms(self.dice.within(self.disk_ms)),
            _ => self.now,
        };
        self.jobs.push((ready, work));
        if self.jobs.len() > JOBS_MAX {
            self.break_rule("S5", format!("{} jobs wait", self.jobs.len()));
        }
    }

    fn break_rule(&mut self, rule: &'static str, what: impl Into<String>) {
        self.broken.push(Violation::new(rule, what));
    }

    /// Does one thing, drawn by lot; false if there is nothing to do now.
    pub fn turn(&mut self) -> bool {
        if self.store.crashed() {
            return false;
        }
        let ready = self.jobs.iter().filter(|(at, _)| *at <= self.now).count();
        if ready == 0 {
            return false;
        }
        let nth = self.dice.below(ready);
        let at = self.jobs.iter().enumerate().filter(|(_, (at, _))| *at <= self.now).nth(nth).map(|(at, _)| at);
        let Some((_, work)) = at.map(|at| self.jobs.remove(at)) else { return false };
        match work {
            Work::Input(input) => self.give(input),
            Work::Task(task) => self.verify(task),
            Work::Effect(effect) => self.carry_out(effect),
        }
        true
    }

    /// When its next job can be done, on its own clock; `None`: there is none.
    pub fn next_job(&self) -> Option<Timestamp> {
        if self.store.crashed() { None } else { self.jobs.iter().map(|(at, _)| *at).min() }
    }

    /// When to call [`World::tick`], if nothing comes before.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.store.crashed() { None } else { self.core.next_deadline(self.now) }
    }

    /// It is later: what is due is done.
    pub fn tick(&mut self) {
        self.give(Input::Tick);
    }

    /// There is room on the disk again.
    pub fn free_space(&mut self) {
        self.store.free_space();
        self.give(Input::Reserve { low: false });
    }

    /// What time it is there.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Its clock moves on; never back.
    pub fn at(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Its scheduler's wallet.
    pub fn wallet(&self) -> &Wallet {
        &self.scheduler
    }

    /// Jobs that wait.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    fn verify(&mut self, task: Task) {
        let task = match task {
            Task::Frame { from, bytes, way, judge, .. } => return self.taken(frames::take_frame(&self.verifier, from, &bytes, way, judge)),
            Task::Evidence { from, bytes, judge, .. } => return self.taken(frames::take_evidence(&self.verifier, from, &bytes, judge)),
            Task::Location { from, bytes, .. } => return self.taken(hosts::take(&self.verifier, from, bytes)),
            task => task,
        };
        match self.verifier.work(task) {
            Ok(input) => self.push(Work::Input(input)),
            Err(Failed { asker: Some(Origin::Request(request)), refusal }) => self.answer(request, Err(refusal)),
            Err(Failed { asker: Some(Origin::Outbox { term, key, .. }), .. }) => {
                self.push(Work::Input(Input::Undelivered { term, process: key.process }));
            }
            Err(Failed { asker: None | Some(Origin::Frame), .. }) => {}
        }
    }

    fn taken(&mut self, taken: frames::Taken) {
        if let Some((peer, offence)) = taken.penalty {
            self.orders.push(Order::Penalise(peer, offence));
        }
        if let Some(input) = taken.input {
            self.push(Work::Input(input));
        }
    }

    fn answer(&mut self, RequestId(request): RequestId, reply: Result<Reply, Rejection>) {
        let reply = match reply {
            Ok(Reply::Accepted(accepted)) => Ok(accepted),
            Ok(Reply::Done) => Err(Rejection::new(Code::Internal, "done, and nothing was accepted")),
            Err(refusal) => Err(refusal),
        };
        if self.replies.insert(request, reply).is_some() {
            self.break_rule("simulator", format!("request {request} is answered twice"));
        }
    }

    fn give(&mut self, input: Input) {
        let mut effects = Vec::new();
        let tip: Block = self.chain.tip(self.now);
        self.core.handle(self.now, Input::Tip(tip), &mut effects);
        self.core.handle(self.now, input, &mut effects);
        for effect in effects {
            match effect {
                Effect::Reply(request, reply) => self.answer(request, reply),
                Effect::LookUp(submission) => self.push(Work::Task(Task::LookUp(submission))),
                Effect::Place(submission) => self.push(Work::Task(Task::Place(submission))),
                Effect::LookUpProcess(again) => self.push(Work::Task(Task::Process(again))),
                Effect::Recall(recall) => self.push(Work::Task(Task::Recall(recall))),
                Effect::LookUpFrame(received) => self.push(Work::Task(Task::LookUpFrame(received))),
                Effect::Order(order) => self.orders.push(*order),
                Effect::Verdict(judge, verdict) => judge.say(verdict),
                Effect::Fault { kind, .. } => self.faults.push(kind.to_owned()),
                Effect::RefusedFrame { why, .. } => self.faults.push(why),
                Effect::Tell(event) => self.told.push(event),
                Effect::Alarm { what, .. } => self.alarms.push(what),
                Effect::Owed { .. } | Effect::Proven(_) | Effect::Attempt(_) | Effect::Results { .. } | Effect::NoResults { .. } => {}
                effect @ (Effect::Sign { .. }
                | Effect::Write { .. }
                | Effect::Recover { .. }
                | Effect::Evaluate(_)
                | Effect::Push { .. }) => self.push(Work::Effect(effect)),
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Sign { term, process, head, clock, items } => {
                let run = assign_run(process, head, clock, items, &self.scheduler).map_err(|error| error.to_string());
                self.push(Work::Input(Input::Signed { term, process, run }));
            }
            Effect::Write { term, batch, rows, seals, guards, durability } => {
                let membership = self.life.membership.as_deref();
                let written = membership::write(&*self.store, (rows, durability), seals, &guards, &self.scheduler, membership);
                let input = match written {
                    Ok(signatures) => {
                        self.settled.through(batch);
                        Input::Written { term, batch, signatures }
                    }
                    Err(error) => {
                        if let Unwritten::Protection(reason) = &error {
                            self.break_rule("S2", format!("the slashing protection refuses a row: {reason}"));
                        }
                        let disk_full = matches!(&error, Unwritten::Store(ao_storage::Error::DiskFull(_)));
                        Input::WriteFailed { term, batch, reason: error.to_string(), disk_full }
                    }
                };
                self.push(Work::Input(input));
            }
            Effect::Recover { term, failed, rewind } => {
                self.settled.through(failed);
                if let Some((chain, from)) = rewind
                    && let Err(error) = rewind::rewind(&*self.store, chain, from)
                    && !self.store.crashed()
                {
                    self.break_rule("S6", format!("the store cannot be turned back: {error}"));
                }
                match recover::read(&*self.store, &self.life, term, rewind.is_none()) {
                    Ok(recovered) => self.push(Work::Input(Input::Recovered(Box::new(recovered)))),
                    Err(error) if self.store.crashed() => drop(error),
                    Err(error) => self.break_rule("S3", format!("the store cannot be read: {error}")),
                }
            }
            Effect::Evaluate(job) => {
                self.evaluator.turn(&job);
                // Inputs of one evaluator come in order.
                let notes: Vec<Note> = self.inbox.try_iter().collect();
                for note in notes {
                    if let Note::Input(input, ..) = note {
                        self.give(input);
                    }
                }
            }
            Effect::Push { term, process, .. } => {
                let input = self.pusher.turn(term, process);
                self.push(Work::Input(input));
            }
            other => self.break_rule("simulator", format!("not a job: {other:?}")),
        }
    }
}

/// Slots of a process that a node has, in order.
pub fn log_length(store: &dyn Store, process: &Id) -> Result<u64, Violation> {
    let head = ao_storage::schema::HEADS.get(store, process)?;
    Ok(head.map_or(0, |head| head.slot.next().0))
}

/// The same, of what is confirmed.
pub fn confirmed_length(store: &dyn Store, process: &Id) -> Result<u64, Violation> {
    let confirmed = ao_storage::schema::CONFIRMED.get(store, process)?;
    Ok(confirmed.map_or(0, |slot| slot.next().0))
}

const _: () = assert!(limits::CHECKPOINT_SLOTS > CHECKPOINT_SLOTS, "checkpoints are more frequent than on a machine");
