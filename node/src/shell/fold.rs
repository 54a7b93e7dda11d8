//! One process in memory: its instance, where it stands in its log, and the step to the next message (`protocol.md` §7.2).
//!
//! A fold decides nothing about what is kept or seen. Given the log, the module and the blocks, what it returns is the same on every
//! node and in every order of requests.

use std::sync::Arc;

use ao_storage::Store;
use ao_storage::schema::{
    self, CertifiedStateRow, CheckpointParent, CheckpointRow, EvaluationKey, EvaluationRow, ExactData, OutboxKind, ProcessRow,
};
use ao_types::outbox::OutboxAssignment;
use ao_types::{Assignment, DataItem, Environment, Evaluation, Id, Invocation, Message, Slot, Verified};
use ao_vm::{Checkpoint, HOST_ABI, Instance, Vm};

use super::blocks::Span;
use super::checkpoints::{self, Chain};
use super::facts;
use super::modules::{Loaded, Modules, refused};
use crate::chain::Blocks;
use crate::core::cron::{self, Point, Tick, Walk};
use crate::core::input::{Checkpointed, Step};
use crate::error::{Code, Rejection};
use crate::limits::{LOAD_BLOCKS_MAX, REPLAY_SLOTS_MAX};

/// A point in a fold: slot and cron ordinal. `None`: before the first message.
pub type At = Option<(Slot, u32)>;

/// What folds need besides their process.
pub struct Ground {
    /// Logs, items, checkpoints.
    pub store: Arc<dyn Store>,
    /// The machine.
    pub vm: Arc<dyn Vm>,
    /// Modules.
    pub modules: Arc<Modules>,
    /// For block crons.
    pub blocks: Arc<dyn Blocks>,
}

/// Why a fold does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// This host cannot now.
    NotEvaluated(String),
    /// Nobody can: process or module are refused. Or this host will not, as long as it runs: its budget is too small.
    Refused(Rejection),
    /// A result made again differs from the stored one.
    Diverged(String),
}

impl From<ao_vm::Error> for Stop {
    fn from(error: ao_vm::Error) -> Self {
        match error {
            ao_vm::Error::Refused(refusal) => Self::Refused(refused(&refusal)),
            error @ ao_vm::Error::OverBudget(_) => Self::Refused(Rejection::new(Code::NotEvaluated, error.to_string())),
            error => Self::NotEvaluated(error.to_string()),
        }
    }
}

impl From<ao_storage::Error> for Stop {
    fn from(error: ao_storage::Error) -> Self {
        Self::NotEvaluated(error.to_string())
    }
}

/// See the module documentation.
pub struct Fold {
    id: Id,
    row: ProcessRow,
    item: Verified<DataItem>,
    instance: Box<dyn Instance>,
    crons: cron::Schedule,
    at: At,
    walk: Option<Walk>,
    last: Point,
    assignment: Option<(Id, [u8; 32])>,
    /// Schedule epoch of the last message that was evaluated here.
    schedule_epoch: u64,
    /// Ordered elsewhere.
    loaded: bool,
    /// What its cron messages depend on.
    blocks: Arc<dyn Blocks>,
    /// Messages evaluated since the last checkpoint.
    unsaved: u64,
    /// Where the checkpoints stand that a delta can be added to.
    chain: Option<Chain>,
}

/// What a process is before any message: its record, its item, its code, its cron groups.
pub(super) struct Subject {
    pub row: ProcessRow,
    pub item: Verified<DataItem>,
    pub module: Arc<Loaded>,
    pub crons: cron::Schedule,
}

impl Subject {
    /// Reads it.
    pub fn read(store: &dyn Store, modules: &Modules, id: Id) -> Result<Self, Stop> {
        let missing = |what: &str| Stop::NotEvaluated(format!("{what} of process {id} is not in the store"));
        let row = schema::PROCESSES.get(store, &id)?.ok_or_else(|| missing("the record"))?;
        let bytes = schema::ITEMS.get(store, &id)?.ok_or_else(|| missing("the item"))?;
        let item = Verified::<DataItem>::reload(bytes).map_err(|error| Stop::NotEvaluated(error.to_string()))?;
        let module = modules.load(store, row.module).map_err(Stop::Refused)?;
        let process = ao_types::Process::read(&item).map_err(|error| Stop::NotEvaluated(error.to_string()))?;
        let groups = process.cron.into_iter().map(|group| cron::Group {
            interval: match group.interval {
                ao_types::Interval::Blocks(n) => cron::Interval::Blocks(n),
                ao_types::Interval::Seconds(n) => cron::Interval::Seconds(n),
            },
            text: group.text,
            tags: group.tags,
        });
        let crons = cron::Schedule::new(groups);
        Ok(Self { row, item, module, crons })
    }

    /// What the module is told of itself and its process.
    pub fn environment(&self) -> Arc<Environment> {
        Arc::new(Environment { process: ao_types::Subject::of(&self.item), module: self.module.subject.clone() })
    }
}

impl Fold {
    /// The process at a point: restored from the newest checkpoint that is not behind it, the rest evaluated again. What is evaluated
    /// again must give the stored results.
    pub fn open(ground: &Ground, id: Id, target: At) -> Result<Self, Stop> {
        let store = &*ground.store;
        let subject = Subject::read(store, &ground.modules, id)?;
        let environment = subject.environment();
        let Subject { row, item, module, crons } = subject;
        let start = |chain: &[Checkpoint]| ground.vm.start(&module.source, environment.clone(), chain);
        let rows = checkpoints::until(store, id, target)?;
        let mut restored = None;
        for (at, (key, row)) in rows.iter().enumerate() {
            // A checkpoint is a short cut, not a truth: without it the log is evaluated from an older one, or from its beginning.
            let reason = match checkpoints::chain(store, &rows, at)? {
                None => "it is a delta to one that is not there".to_owned(),
                Some((links, chain)) => match start(&links) {
                    Ok(instance) => {
                        restored = Some((instance, key, row, chain));
                        break;
                    }
                    Err(ao_vm::Error::BadCheckpoint(reason)) => reason,
                    Err(error) => return Err(error.into()),
                },
            };
            tracing::warn!(event = "checkpoint_refused", process = %id, slot = key.slot.0, %reason, "going on from an older state");
        }
        let (instance, restored) = match restored {
            Some((instance, key, row, chain)) => (instance, Some((key, row, chain))),
            None => (start(&[])?, None),
        };
        let origin = Point { timestamp_ms: row.timestamp_ms, block_height: row.block_height };
        // Of what others order the chain is Arweave's, and its messages end where the log does.
        let loaded = schema::LOADED.contains(store, &id)?;
        let blocks: Arc<dyn Blocks> = if loaded && !crons.is_empty() {
            let first = schema::SCHEDULE.get(store, &(id, Slot(0)))?.map_or(0, |first| first.timestamp_ms);
            Arc::new(Span::around(store, first, LOAD_BLOCKS_MAX)?)
        } else {
            ground.blocks.clone()
        };
        let mut fold = Self {
            id,
            loaded,
            blocks,
            row,
            item,
            instance,
            crons,
            at: None,
            walk: None,
            last: origin,
            assignment: None,
            schedule_epoch: 0,
            unsaved: 0,
            chain: None,
        };
        if let Some((key, row, chain)) = restored {
            fold.resume(ground, key, row, chain)?;
        }
        fold.replay(ground, target)?;
        Ok(fold)
    }

    /// Where it stands.
    pub fn at(&self) -> At {
        self.at
    }

    /// Time and height of the last message.
    pub fn last(&self) -> Point {
        self.last
    }

    /// It has cron groups.
    pub fn has_cron(&self) -> bool {
        !self.crons.is_empty()
    }

    /// The process.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its instance, for what leaves no trace.
    pub fn instance(&mut self) -> &mut dyn Instance {
        &mut *self.instance
    }

    /// Messages, cron messages among them, since the last checkpoint: what a start from there evaluates again.
    pub fn unsaved(&self) -> u64 {
        self.unsaved
    }

    /// The next scheduled message, at `slot`. The crons before it must have been taken.
    pub fn message(&mut self, ground: &Ground, slot: Slot) -> Result<Step, Stop> {
        let store = &*ground.store;
        let id = self.id;
        let missing = |what: &str| Stop::NotEvaluated(format!("{what} of slot {slot} of process {id} is not in the store"));
        let scheduled = schema::SCHEDULE.get(store, &(self.id, slot))?.ok_or_else(|| missing("the assignment"))?;
        if self.at.is_none() && scheduled.item != self.id {
            self.inject()?;
        }
        let bytes = schema::ITEMS.get(store, &scheduled.item)?.ok_or_else(|| missing("the item"))?;
        let unreadable = |error: &dyn std::fmt::Display| Stop::NotEvaluated(format!("slot {slot} of process {}: {error}", self.id));
        let item = Verified::<DataItem>::reload(bytes).map_err(|error| unreadable(&error))?;
        let assignment = Verified::<DataItem>::reload(scheduled.assignment).map_err(|error| unreadable(&error))?;
        let assignment = Assignment::read(assignment).map_err(|error| unreadable(&error))?;
        let point = Point { timestamp_ms: scheduled.timestamp_ms, block_height: scheduled.block_height };
        self.assignment = Some((assignment.id(), *assignment.content().hash_chain.as_bytes()));
        self.schedule_epoch = assignment.content().schedule_epoch;
        if facts::repeated(store, self.id, slot, &item)?.is_some() {
            self.arrive(slot, point);
            return Ok(Step { slot, cron: 0, row: None, outbox: Vec::new(), pushed_for: None, state: None });
        }
        let message = Message::read(&item).ok();
        let invocation = Arc::new(Invocation::of_assignment(&item, assignment.content()));
        let evaluated = if message.as_ref().is_some_and(|message| message.read_only) {
            self.instance.dry_run(&invocation)?
        } else {
            self.instance.evaluate(&invocation)?
        };
        // The chain goes on through a process that a process spawned: its boot is of the chain, too.
        let pushed_for = item.tag("Pushed-For").and_then(|origin| Id::parse(origin).ok()).unwrap_or(scheduled.item);
        let push = scheduled.push && !message.is_some_and(|message| message.cast);
        self.arrive(slot, point);
        let row = stored(&evaluated, Some(scheduled.item), None, point);
        let outbox = if push { entries(&evaluated.evaluation) } else { Vec::new() };
        Ok(Step { slot, cron: 0, row: Some(row), outbox, pushed_for: Some(pushed_for), state: None })
    }

    /// Time of the message at `slot`: crons before it are taken up to here.
    pub fn time_of(&self, ground: &Ground, slot: Slot) -> Result<u64, Stop> {
        let row = schema::SCHEDULE.get(&*ground.store, &(self.id, slot))?;
        row.map(|row| row.timestamp_ms).ok_or_else(|| Stop::NotEvaluated(format!("slot {slot} of process {} is not in the store", self.id)))
    }

    /// The next cron message before a scheduled one at `right_ms`, if there is one.
    pub fn cron_before(&mut self, right_ms: u64, push: bool) -> Result<Option<Step>, Stop> {
        let tick = self.tick_before(right_ms)?;
        tick.map(|tick| self.cron(tick, push)).transpose()
    }

    fn tick_before(&mut self, right_ms: u64) -> Result<Option<Tick>, Stop> {
        let Some(walk) = self.walk.as_mut().filter(|_| !self.crons.is_empty()) else { return Ok(None) };
        let left_ms = walk.left().timestamp_ms;
        if !self.blocks.covers(left_ms, right_ms) {
            let what = format!("Arweave's blocks between {left_ms} and {right_ms} ms are not all here: the process has cron groups");
            return Err(Stop::NotEvaluated(format!("{what}; `aonode process load {}` reads them", self.id)));
        }
        Ok(walk.before(&self.crons, &*self.blocks, right_ms))
    }

    /// The next cron message up to now, if there is one. What others order has none behind its last slot: when the next one comes is not
    /// known here.
    pub fn cron_until(&mut self, now_ms: u64, push: bool) -> Result<Option<Step>, Stop> {
        if self.loaded {
            return Ok(None);
        }
        let tick = self.walk.as_mut().and_then(|walk| walk.until(&self.crons, &*self.blocks, now_ms));
        tick.map(|tick| self.cron(tick, push)).transpose()
    }

    /// Up to when cron messages behind a slot are generated again.
    fn end_behind(&self, ground: &Ground, slot: Slot) -> Result<u64, Stop> {
        if self.loaded { self.time_of(ground, slot.next()) } else { Ok(u64::MAX) }
    }

    /// Root over the state where it stands.
    pub fn state_hash(&mut self) -> Result<ao_types::StateHash, Stop> {
        Ok(self.instance.state_hash()?)
    }

    /// The state after the message that `step` is of, as the network is to vouch for it. The fold stands there.
    pub fn certifiable(&mut self, step: &Step) -> Result<Option<CertifiedStateRow>, Stop> {
        let Some(row) = step.row.as_ref().filter(|_| step.cron == 0 && self.at == Some((step.slot, 0))) else { return Ok(None) };
        let (schedule_epoch, result) = (self.schedule_epoch, row.result_hash);
        let state = self.state_hash()?;
        Ok(Some(CertifiedStateRow { schedule_epoch, result, state, host_abi: HOST_ABI, computed: true, certificate: None }))
    }

    /// All of its state where it stands, as bytes that need nothing before them, and the row that describes it.
    pub fn full(&mut self) -> Result<Option<(CheckpointRow, bytes::Bytes)>, Stop> {
        let Some((assignment, hash_chain)) = self.assignment else { return Ok(None) };
        let made = self.instance.checkpoint(false)?;
        // What changes from now on is told from here, and nobody has this one: the next that is stored is a full one.
        self.chain = None;
        Ok(Some((self.row_of(&made, None, assignment, hash_chain), made.bytes)))
    }

    /// What is remembered of a checkpoint that was made where it stands.
    fn row_of(&self, made: &Checkpoint, parent: Option<CheckpointParent>, assignment: Id, hash_chain: [u8; 32]) -> CheckpointRow {
        CheckpointRow {
            root: made.root,
            parent,
            assignment,
            hash_chain,
            timestamp_ms: self.last.timestamp_ms,
            block_height: self.last.block_height,
            host_abi: HOST_ABI,
            bytes: made.bytes.len() as u64,
        }
    }

    /// Its state, to be stored: what changed since the last checkpoint where that one can be built on, else all of it. Checkpoints that it
    /// makes superfluous are named for deletion.
    pub fn save(&mut self, ground: &Ground) -> Result<Option<Checkpointed>, Stop> {
        let (Some((slot, cron)), Some((assignment, hash_chain))) = (self.at, self.assignment) else { return Ok(None) };
        let store = &*ground.store;
        let before = match self.chain.filter(Chain::goes_on) {
            Some(chain) if chain.is_stored(store, self.id)? => Some(chain),
            _ => None,
        };
        let mut made = self.instance.checkpoint(before.is_some())?;
        let tip = CheckpointParent { slot, cron, root: made.root };
        let delta = before.filter(|before| made.parent == Some(before.tip.root));
        let (parent, chain) = match delta.and_then(|before| Some((before, before.with(tip, made.bytes.len() as u64)?))) {
            Some((before, chain)) => (Some(before.tip), chain),
            None => {
                if made.parent.is_some() {
                    made = self.instance.checkpoint(false)?;
                }
                (None, Chain::full(tip, made.bytes.len() as u64))
            }
        };
        let drop = checkpoints::superseded(store, self.id, (slot, cron), parent.is_none())?;
        (self.chain, self.unsaved) = (Some(chain), 0);
        let row = self.row_of(&made, parent, assignment, hash_chain);
        Ok(Some(Checkpointed { slot, cron, row, body: made.bytes, drop }))
    }

    fn cron(&mut self, tick: Tick, push: bool) -> Result<Step, Stop> {
        let Some((slot, cron)) = self.at else { return Err(Stop::NotEvaluated("a cron message before the first slot".into())) };
        let identity = tick.identity(&self.crons);
        let tags = self.crons.group(&tick).map_or(&[][..], |group| &group.tags);
        let invocation = Invocation::of_cron(self.id, &self.row.owner, tags, tick.at.timestamp_ms, tick.at.block_height);
        let evaluated = self.instance.evaluate(&Arc::new(invocation))?;
        self.at = Some((slot, cron + 1));
        self.last = tick.at;
        self.unsaved += 1;
        let row = stored(&evaluated, None, Some(identity), tick.at);
        let outbox = if push { entries(&evaluated.evaluation) } else { Vec::new() };
        Ok(Step { slot, cron: cron + 1, row: Some(row), outbox, pushed_for: None, state: None })
    }

    /// A log that does not begin with its process: the process is evaluated first all the same, and its result is not stored (§5.3).
    fn inject(&mut self) -> Result<(), Stop> {
        let invocation = Invocation::of_unassigned_process(&self.item, self.row.timestamp_ms, self.row.block_height);
        self.instance.evaluate(&Arc::new(invocation))?;
        Ok(())
    }

    fn arrive(&mut self, slot: Slot, point: Point) {
        let origin = Point { timestamp_ms: self.row.timestamp_ms, block_height: self.row.block_height };
        self.at = Some((slot, 0));
        self.last = point;
        self.unsaved += 1;
        self.walk = Some(Walk::new(origin, point));
    }

    /// Takes the place that a restored checkpoint describes.
    fn resume(&mut self, ground: &Ground, key: &EvaluationKey, row: &CheckpointRow, chain: Chain) -> Result<(), Stop> {
        let scheduled = schema::SCHEDULE.get(&*ground.store, &(self.id, key.slot))?;
        let scheduled = scheduled.ok_or_else(|| Stop::NotEvaluated(format!("slot {} of {} is not in the store", key.slot, self.id)))?;
        self.arrive(key.slot, Point { timestamp_ms: scheduled.timestamp_ms, block_height: scheduled.block_height });
        if key.cron > 0 {
            let end_ms = self.end_behind(ground, key.slot)?;
            for _ in 0..key.cron {
                self.tick_before(end_ms)?;
            }
        }
        self.at = Some((key.slot, key.cron));
        self.last = Point { timestamp_ms: row.timestamp_ms, block_height: row.block_height };
        self.assignment = Some((row.assignment, row.hash_chain));
        (self.chain, self.unsaved) = (Some(chain), 0);
        Ok(())
    }

    /// Evaluates again up to `target`, comparing with what is stored.
    fn replay(&mut self, ground: &Ground, target: At) -> Result<(), Stop> {
        while self.at < target {
            let Some((target_slot, _)) = target else { break };
            let next = self.at.map_or(Slot(0), |(slot, _)| slot.next());
            let end = if next <= target_slot { self.time_of(ground, next)? } else { self.end_behind(ground, target_slot)? };
            let step = match self.cron_before(end, false)? {
                Some(step) => step,
                None if next <= target_slot => self.message(ground, next)?,
                None => return Err(Stop::Diverged(format!("the cron messages after slot {target_slot} cannot be generated again"))),
            };
            self.compare(ground, &step)?;
        }
        Ok(())
    }

    fn compare(&self, ground: &Ground, step: &Step) -> Result<(), Stop> {
        let key = EvaluationKey { process: self.id, slot: step.slot, cron: step.cron };
        let stored = schema::EVALUATIONS.get(&*ground.store, &key)?;
        match (&stored, &step.row) {
            (Some(stored), Some(again)) if stored.result_hash != again.result_hash => Err(Stop::Diverged(format!(
                "slot {}, cron {}: the stored result is {}, evaluated again it is {}",
                step.slot, step.cron, stored.result_hash, again.result_hash
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether reading a state of long ago would evaluate too much again.
pub fn too_far(store: &dyn Store, id: Id, slot: Slot) -> Result<Option<u64>, Stop> {
    let from = checkpoints::until(store, id, Some((slot, 0)))?.first().map_or(0, |(key, _)| key.slot.0);
    let slots = slot.0.saturating_sub(from);
    Ok((slots > REPLAY_SLOTS_MAX).then_some(slots))
}

/// An evaluation as it is stored.
fn stored(evaluated: &ao_vm::Evaluated, message: Option<Id>, cron: Option<String>, at: Point) -> EvaluationRow {
    let evaluation = &evaluated.evaluation;
    let exact = |kind, entries: &[ao_types::Outgoing]| {
        let data = entries.iter().zip(0..).filter_map(|(entry, index)| entry.data.clone().map(|data| (index, data)));
        data.map(|(index, data)| ExactData { kind, index, data }).collect::<Vec<_>>()
    };
    let mut exact_data = exact(OutboxKind::Message, &evaluation.messages);
    exact_data.extend(exact(OutboxKind::Spawn, &evaluation.spawns));
    EvaluationRow {
        json: evaluation.to_json().into(),
        exact_data,
        message,
        cron,
        timestamp_ms: at.timestamp_ms,
        block_height: at.block_height,
        failed: evaluation.failed(),
        fuel: evaluated.fuel,
        result_hash: evaluation.result_hash(),
        state_hash: None,
    }
}

/// Which entries of a result are to be pushed, in the order in which they are. The machine bounds them: a result that asks for more
/// deliveries than `ao_types::limits::DELIVERIES_MAX` is an error and has none.
fn entries(evaluation: &Evaluation) -> Vec<(OutboxKind, u32, u32)> {
    let messages = (0..evaluation.messages.len() as u32).map(|index| (OutboxKind::Message, index, 0));
    let spawns = (0..evaluation.spawns.len() as u32).map(|index| (OutboxKind::Spawn, index, 0));
    let assignments = evaluation.assignments.iter().zip(0..).flat_map(|(entry, index)| {
        // An entry that cannot be read is one row: the pusher records why it is skipped.
        let parts = OutboxAssignment::read(entry).map_or(1, |entry| entry.processes.len() as u32);
        (0..parts).map(move |part| (OutboxKind::Assignment, index, part))
    });
    messages.chain(spawns).chain(assignments).collect()
}
