//! Workers that fold logs, and those that read states beside them. Instances stay in memory between turns, within a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ao_storage::schema::CheckpointRow;
use ao_types::{Evaluation, Id, Invocation, Slot};
use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::fold::{self, At, Fold, Ground, Stop};
use super::lanes::{Bounds, Lanes};
use super::panics::{contained, here};
use super::spent::Spent;
use super::{Inputs, StateHashes};
use crate::core::effect::Job;
use crate::core::input::{End, Evaluated, Input, Step, Term};
use crate::error::{Code, Rejection};
use crate::limits::{CRON_RUN_MAX, EVALUATION_RUN_MAX, INSTANCES_MAX, TIDY_AFTER_MS};
use crate::metrics::Metrics;
use crate::metrics::labels::{ComputeFailure, Found, State};
use crate::states;

/// A reader's wish.
pub enum Read {
    /// Evaluate without a trace.
    DryRun {
        /// The message; time and height of 0 stand for those of the last evaluation.
        message: Box<Invocation>,
        /// On the state after this slot; the newest if not given.
        at: Option<Slot>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Evaluation, Rejection>>,
    },
    /// The raw memory.
    Memory {
        /// After this slot; the newest if not given.
        at: Option<Slot>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(Bytes, Slot), Rejection>>,
    },
    /// All of a state, as a checkpoint that needs none before it.
    Checkpoint {
        /// After the message at this slot, before its crons.
        at: Slot,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(CheckpointRow, Bytes), Rejection>>,
    },
}

impl Read {
    /// Answers with a refusal.
    pub fn refuse(self, why: Rejection) {
        // A reader that went away needs no answer.
        match self {
            Self::DryRun { reply, .. } => drop(reply.send(Err(why))),
            Self::Memory { reply, .. } => drop(reply.send(Err(why))),
            Self::Checkpoint { reply, .. } => drop(reply.send(Err(why))),
        }
    }
}

/// Instances between turns: the ones unused for longest go when there are too many or too large.
struct Pool {
    folds: LruCache<Id, Resting>,
    bytes: u64,
}

/// An instance between two turns.
struct Resting {
    fold: Fold,
    bytes: u64,
    since: Instant,
    /// It gave back what can be worked out again.
    tidy: bool,
}

/// What the workers share.
pub struct Evaluator {
    ground: Ground,
    pool: Mutex<Pool>,
    /// Who evaluates what.
    pub lanes: Lanes<Job, Read>,
    inputs: Inputs,
    term: AtomicU64,
    bytes_max: u64,
    idle_max: Duration,
    checkpoint_slots: u64,
    certify_slots: u64,
    hashes: StateHashes,
    chunk: Duration,
    spent: Spent,
    metrics: Metrics,
}

/// Bounds and habits of the evaluators.
pub struct Habits {
    /// Bytes of idle instances.
    pub bytes_max: u64,
    /// How long an instance stays that nobody uses.
    pub idle_max: Duration,
    /// Slots between checkpoints.
    pub checkpoint_slots: u64,
    /// At which slots states are certified: every so many; 0: at none.
    pub certify_slots: u64,
    /// When state hashes are worked out.
    pub hashes: StateHashes,
    /// Results wait so long for others before the core gets them.
    pub chunk: Duration,
    /// Width of the lanes.
    pub bounds: Bounds,
}

impl Evaluator {
    /// No instance yet.
    pub fn new(ground: Ground, inputs: Inputs, habits: Habits, metrics: Metrics) -> Self {
        Self {
            ground,
            pool: Mutex::new(Pool { folds: LruCache::unbounded(), bytes: 0 }),
            lanes: Lanes::new(habits.bounds),
            inputs,
            term: AtomicU64::new(0),
            bytes_max: habits.bytes_max,
            idle_max: habits.idle_max,
            checkpoint_slots: habits.checkpoint_slots.max(1),
            certify_slots: habits.certify_slots,
            hashes: habits.hashes,
            chunk: habits.chunk,
            spent: Spent::default(),
            metrics,
        }
    }

    /// What its folds stand on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Works out the hash of the state after a step where one is wanted. The fold stands there.
    pub fn hash(&self, fold: &mut Fold, step: &mut Step) -> Result<(), Stop> {
        if self.hashes == StateHashes::Every
            && let Some(row) = &mut step.row
        {
            row.state_hash = Some(fold.state_hash()?);
        }
        if step.cron == 0 && states::is_due(step.slot, self.certify_slots) {
            step.state = fold.certifiable(step)?;
            if let (Some(row), Some(state)) = (&mut step.row, &step.state) {
                row.state_hash = Some(state.state);
            }
        }
        Ok(())
    }

    /// Messages between checkpoints.
    pub fn checkpoint_slots(&self) -> u64 {
        self.checkpoint_slots
    }

    /// Drops a process's instance unsaved. Whoever calls has the process in its lane.
    pub fn forget(&self, process: Id) {
        drop(self.pool.lock().remove(&process));
    }

    /// A worker of the log: until the lanes are closed.
    pub fn work_log(&self) {
        while let Some((process, job)) = self.lanes.next_log() {
            self.term.fetch_max(job.term, Ordering::Relaxed);
            self.turn(&job);
            self.lanes.release(process);
        }
    }

    /// A worker of the readers.
    pub fn work_reads(&self) {
        while let Some((process, read)) = self.lanes.next_read() {
            let _ = contained("read", || self.read(process, read));
            self.lanes.release(process);
        }
    }

    /// Writes down every instance that moved since its last checkpoint, until `deadline`. Called when no worker runs any more.
    pub fn save_all(&self, deadline: Instant) {
        loop {
            let popped = self.pool.lock().folds.pop_lru();
            let Some((_, mut resting)) = popped else { return };
            if Instant::now() < deadline {
                self.save(&mut resting.fold);
            }
        }
    }

    /// How long processes were evaluated since states of theirs went to Arweave.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    /// One turn of a process: as far as was asked, or as far as one turn goes.
    pub fn turn(&self, job: &Job) {
        let mut sent = Chunks { evaluator: self, job, steps: Vec::new(), since: Instant::now() };
        let turned = contained("evaluate", || {
            let mut fold = self.take(job.process, job.from)?;
            let began = Instant::now();
            let end = self.run(job, &mut fold, &mut sent);
            self.spent.add(job.process, began.elapsed());
            let end = end?;
            let checkpoint = if fold.unsaved() >= self.checkpoint_slots { self.checkpoint_of(&mut fold) } else { None };
            Ok((end, checkpoint, fold))
        });
        // The instance is gone with the panic; what was evaluated before it stands.
        let bug = || Err(Stop::NotEvaluated("a bug of this node ended the evaluation".to_owned()));
        match turned.unwrap_or_else(bug) {
            Ok((end, checkpoint, fold)) => {
                sent.end(checkpoint, end);
                let _ = contained("put aside", || self.put(fold));
            }
            Err(stop) => {
                self.metrics
                    .compute_failures_total
                    .of(match &stop {
                        Stop::NotEvaluated(_) => ComputeFailure::Guard,
                        Stop::Refused(_) => ComputeFailure::Compile,
                        Stop::Diverged(_) => ComputeFailure::Process,
                    })
                    .inc();
                sent.end(
                    None,
                    match stop {
                        Stop::NotEvaluated(reason) => End::Failed(reason),
                        Stop::Refused(why) => End::Refused(why),
                        Stop::Diverged(what) => End::Diverged(what),
                    },
                );
            }
        }
    }

    fn run(&self, job: &Job, fold: &mut Fold, sent: &mut Chunks<'_>) -> Result<End, Stop> {
        let (mut messages, mut crons) = (0, 0);
        loop {
            let next = fold.at().map_or(Slot(0), |(slot, _)| slot.next());
            if next > job.through {
                break;
            }
            if fold.has_cron() {
                let right_ms = fold.time_of(&self.ground, next)?;
                while let Some(step) = self.timed(|| fold.cron_before(right_ms, job.monitored))? {
                    sent.push(fold, step)?;
                    crons += 1;
                    if crons >= CRON_RUN_MAX {
                        return self.rest(fold, sent, None);
                    }
                }
            }
            if messages >= EVALUATION_RUN_MAX {
                return self.rest(fold, sent, None);
            }
            here("evaluate");
            let step = self.timed(|| fold.message(&self.ground, next).map(Some))?;
            messages += 1;
            if let Some(step) = step {
                sent.push(fold, step)?;
            }
        }
        let Some(until) = job.until else { return self.rest(fold, sent, None) };
        while let Some(step) = self.timed(|| fold.cron_until(until.timestamp_ms, job.monitored))? {
            sent.push(fold, step)?;
            crons += 1;
            if crons >= CRON_RUN_MAX {
                return self.rest(fold, sent, None);
            }
        }
        self.rest(fold, sent, Some(until))
    }

    /// The turn is over: the state where it stands gets its hash.
    fn rest(&self, fold: &mut Fold, sent: &mut Chunks<'_>, ticked: Option<crate::core::cron::Point>) -> Result<End, Stop> {
        if let Some(row) = sent.steps.last_mut().and_then(|step| step.row.as_mut())
            && row.state_hash.is_none()
        {
            row.state_hash = Some(fold.state_hash()?);
        }
        Ok(End::Turn { ticked })
    }

    fn timed(&self, evaluate: impl FnOnce() -> Result<Option<Step>, Stop>) -> Result<Option<Step>, Stop> {
        let began = Instant::now();
        let step = evaluate()?;
        if let Some(row) = step.as_ref().and_then(|step| step.row.as_ref()) {
            self.metrics.compute_seconds.observe(began.elapsed().as_secs_f64());
            self.metrics.compute_fuel_total.inc_by(row.fuel);
            self.metrics.messages_total.of(State::Computed).inc();
            if row.failed {
                self.metrics.compute_failures_total.of(ComputeFailure::Process).inc();
            }
        }
        Ok(step)
    }

    fn read(&self, process: Id, read: Read) {
        match read {
            Read::DryRun { mut message, at, reply } => {
                let answer = self.with(process, at, |fold| {
                    if message.timestamp == 0 {
                        message.timestamp = fold.last().timestamp_ms;
                    }
                    if message.block_height == 0 {
                        message.block_height = fold.last().block_height;
                    }
                    Ok(fold.instance().dry_run(&Arc::new(*message))?.evaluation)
                });
                drop(reply.send(answer));
            }
            Read::Memory { at, reply } => {
                let answer = self.with(process, at, |fold| {
                    let memory = fold.instance().memory()?;
                    Ok((Bytes::from(memory), fold.at().map_or(Slot(0), |(slot, _)| slot)))
                });
                drop(reply.send(answer));
            }
            Read::Checkpoint { at, reply } => {
                let made = contained("checkpoint", || self.full(process, at));
                let bug = || Err(Rejection::new(Code::Internal, "a bug of this node ended the evaluation"));
                drop(reply.send(made.unwrap_or_else(bug)));
            }
        }
    }

    /// A full checkpoint on an instance of its own: those in the pool go on with their chains of deltas.
    fn full(&self, process: Id, slot: Slot) -> Result<(CheckpointRow, Bytes), Rejection> {
        if let Some(slots) = fold::too_far(&*self.ground.store, process, slot).map_err(stopped)? {
            let text = format!("the state after slot {slot} would need {slots} slots to be evaluated again; take a newer one");
            return Err(Rejection::new(Code::LimitExceeded, text));
        }
        let mut fold = Fold::open(&self.ground, process, Some((slot, 0))).map_err(stopped)?;
        let made = fold.full().map_err(stopped)?;
        made.ok_or_else(|| Rejection::new(Code::NotEvaluated, format!("slot {slot} of {process} is not evaluated")))
    }

    /// Runs something on a state. A panic costs the instance and this answer.
    fn with<T>(&self, process: Id, at: Option<Slot>, read: impl FnOnce(&mut Fold) -> Result<T, Stop>) -> Result<T, Rejection> {
        let done = contained("read", || self.on_state(process, at, read));
        done.unwrap_or_else(|| Err(Rejection::new(Code::Internal, "a bug of this node ended the evaluation")))
    }

    /// Runs something on a state: the newest, whose instance goes back to the pool, or an old one made for this reader alone.
    fn on_state<T>(&self, process: Id, at: Option<Slot>, read: impl FnOnce(&mut Fold) -> Result<T, Stop>) -> Result<T, Rejection> {
        let newest = ao_storage::schema::EVALUATION_HEADS.get(&*self.ground.store, &process);
        let newest = newest.map_err(|error| super::modules::store_failed(&error))?.map(|head| (head.slot, head.cron));
        if let Some(slot) = at.filter(|slot| newest.is_some_and(|(newest, _)| *slot < newest)) {
            if let Some(slots) = fold::too_far(&*self.ground.store, process, slot).map_err(stopped)? {
                let text = format!("the state after slot {slot} would need {slots} slots to be evaluated again; ask for a newer one");
                return Err(Rejection::new(Code::LimitExceeded, text));
            }
            let mut fold = Fold::open(&self.ground, process, Some((slot, 0))).map_err(stopped)?;
            return read(&mut fold).map_err(stopped);
        }
        // The instance in the pool may be ahead of the store by what is being written; it is never behind.
        let pooled = self.pool.lock().remove(&process).filter(|fold| fold.at() >= newest);
        let mut fold = pooled.map_or_else(|| Fold::open(&self.ground, process, newest), Ok).map_err(stopped)?;
        here("read");
        let answer = read(&mut fold).map_err(stopped)?;
        self.put(fold);
        Ok(answer)
    }

    fn take(&self, process: Id, at: At) -> Result<Fold, Stop> {
        let pooled = self.pool.lock().remove(&process).filter(|fold| fold.at() == at);
        pooled.map_or_else(|| Fold::open(&self.ground, process, at), Ok)
    }

    fn put(&self, mut fold: Fold) {
        let bytes = fold.instance().resident_bytes();
        let mut evicted = Vec::new();
        {
            let mut pool = self.pool.lock();
            pool.bytes += bytes;
            pool.folds.put(fold.id(), Resting { fold, bytes, since: Instant::now(), tidy: false });
            while pool.folds.len() > 1 && (pool.bytes > self.bytes_max || pool.folds.len() > INSTANCES_MAX) {
                let Some((_, resting)) = pool.folds.pop_lru() else { break };
                pool.bytes -= resting.bytes;
                // Whoever has the process may be taking its state back: then nothing of it is written down, and elsewhere little is lost.
                if self.lanes.try_take(resting.fold.id()) {
                    evicted.push(resting.fold);
                }
            }
            self.metrics.wasm_instances.set(pool.folds.len() as i64);
        }
        for mut fold in evicted {
            let _ = contained("save", || self.save(&mut fold));
            self.lanes.release(fold.id());
        }
    }

    /// Puts into the metrics what the machine counted.
    pub fn count_modules(&self) {
        let lookups = self.ground.vm.module_lookups();
        let counted = [
            (Found::Memory, lookups.memory),
            (Found::Disk, lookups.disk),
            (Found::Compiled, lookups.compiled),
            (Found::Refused, lookups.refused),
            (Found::Failed, lookups.failed),
        ];
        for (found, number) in counted {
            let counter = self.metrics.module_cache_requests_total.of(found);
            counter.inc_by(number.saturating_sub(counter.get()));
        }
    }

    /// Instances that nobody wanted for a while give back what can be worked out again; those that nobody wanted for long are written down
    /// and go.
    pub fn tidy(&self) {
        let rested = |resting: &Resting| resting.since.elapsed();
        let found: Vec<Id> = {
            let pool = self.pool.lock();
            let due = |kept: &Resting| rested(kept) >= self.idle_max || !kept.tidy && rested(kept).as_millis() as u64 >= TIDY_AFTER_MS;
            pool.folds.iter().filter(|(_, kept)| due(kept)).map(|(id, _)| *id).collect()
        };
        for process in found {
            if !self.lanes.try_take(process) {
                continue;
            }
            let kept = self.pool.lock().take(&process);
            if let Some(Resting { mut fold, since, .. }) = kept {
                if since.elapsed() >= self.idle_max {
                    self.save(&mut fold);
                } else if fold.instance().idle().is_ok() {
                    let bytes = fold.instance().resident_bytes();
                    self.pool.lock().put_back(process, Resting { fold, bytes, since, tidy: true });
                }
            }
            self.lanes.release(process);
        }
        self.metrics.wasm_instances.set(self.instances() as i64);
    }

    /// Instances in memory between turns.
    pub fn instances(&self) -> usize {
        self.pool.lock().folds.len()
    }

    /// Writes a state down before its instance goes away, if evaluating again from the last one would take long.
    fn save(&self, fold: &mut Fold) {
        if fold.unsaved() == 0 {
            return;
        }
        if let Some(checkpoint) = self.checkpoint_of(fold) {
            let term: Term = self.term.load(Ordering::Relaxed);
            let process = fold.id();
            self.inputs.send(Input::Evaluated(Box::new(Evaluated {
                term,
                process,
                steps: Vec::new(),
                checkpoint: Some(checkpoint),
                end: None,
            })));
        }
    }

    /// A state that cannot be written down is evaluated again after a restart: no reason to stop.
    fn checkpoint_of(&self, fold: &mut Fold) -> Option<crate::core::input::Checkpointed> {
        match fold.save(&self.ground) {
            Ok(checkpoint) => checkpoint,
            Err(stop) => {
                tracing::warn!(event = "checkpoint_failed", process = %fold.id(), reason = ?stop, "the log is evaluated again after a restart");
                None
            }
        }
    }
}

fn stopped(stop: Stop) -> Rejection {
    match stop {
        Stop::NotEvaluated(reason) => Rejection::retry(Code::NotEvaluated, reason, 1),
        Stop::Refused(why) => why,
        Stop::Diverged(what) => Rejection::new(Code::NotEvaluated, what),
    }
}

impl Pool {
    fn remove(&mut self, process: &Id) -> Option<Fold> {
        self.take(process).map(|resting| resting.fold)
    }

    fn take(&mut self, process: &Id) -> Option<Resting> {
        let resting = self.folds.pop(process)?;
        self.bytes -= resting.bytes;
        Some(resting)
    }

    /// As one of those that nobody used: it goes before those that somebody did.
    fn put_back(&mut self, process: Id, resting: Resting) {
        self.bytes += resting.bytes;
        self.folds.put(process, resting);
        self.folds.demote(&process);
    }
}

/// Steps on their way to the core. The last one waits for its state hash.
struct Chunks<'a> {
    evaluator: &'a Evaluator,
    job: &'a Job,
    steps: Vec<Step>,
    since: Instant,
}

impl Chunks<'_> {
    fn push(&mut self, fold: &mut Fold, mut step: Step) -> Result<(), Stop> {
        if self.since.elapsed() >= self.evaluator.chunk && !self.steps.is_empty() {
            self.send(None, None);
            self.since = Instant::now();
        }
        self.evaluator.hash(fold, &mut step)?;
        self.compare(fold.id(), &step)?;
        self.steps.push(step);
        Ok(())
    }

    /// Says loudly when a result is not the one that the log's scheduler anchored: one of the two machines does not keep to the rules.
    fn compare(&self, process: Id, step: &Step) -> Result<(), Stop> {
        let Some(row) = step.row.as_ref().filter(|_| step.cron == 0) else { return Ok(()) };
        let anchored = ao_storage::schema::ANCHORED_RESULTS.get(&*self.evaluator.ground.store, &(process, step.slot));
        let anchored = anchored.map_err(|error| Stop::NotEvaluated(error.to_string()))?;
        if let Some(anchored) = anchored.filter(|anchored| anchored.0 != row.result_hash.0) {
            tracing::error!(
                event = "result_differs", %process, slot = step.slot.0, anchored = %anchored, computed = %Id(row.result_hash.0),
                "the result that was computed here is not the one that the process's scheduler anchored; the log is the same: compare the \
                 versions of the nodes and of the module before you trust either"
            );
        }
        Ok(())
    }

    fn end(mut self, checkpoint: Option<crate::core::input::Checkpointed>, end: End) {
        self.send(checkpoint, Some(end));
    }

    fn send(&mut self, checkpoint: Option<crate::core::input::Checkpointed>, end: Option<End>) {
        let Job { term, process, .. } = *self.job;
        let steps = std::mem::take(&mut self.steps);
        self.evaluator.inputs.send(Input::Evaluated(Box::new(Evaluated { term, process, steps, checkpoint, end })));
    }
}
