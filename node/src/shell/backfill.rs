//! What lies before a checkpoint at which evaluation began: worked out from the log, beside everything else, and compared.
//!
//! ```text
//!   BACKFILLS ─▶ fold from the first slot ─▶ results, outbox rows ─▶ core (one chunk at a time) ─▶ store
//!                     │ at the checkpoint's slot: the same root?
//!                     ├─ yes ─▶ the row goes: nothing says any more that evaluation began elsewhere
//!                     └─ no ──▶ stand still ─▶ take back what came of the checkpoint ─▶ go on from what was worked out
//! ```
//!
//! Owns one thread, so that one process at a time is worked on whatever else there is to do, and gives way to the log's workers before every
//! message. Each process has a turn: where one takes long it writes down how far it is, and the next one comes. What a refuted checkpoint left
//! behind is taken back first. Deliveries that results of before ask for are made ready here as on a replay from the beginning: what the log shows to have
//! arrived is found there by its content, and what never did is delivered now. Refuses to believe the checkpoint in anything: it is
//! compared, and so is every result with what the log's scheduler anchored. May be stopped at any message: the row says how far it came.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use ao_storage::schema::{self, BackfillRow, BackfillStage, EvaluationKey, OutboxKey};
use ao_storage::typed::{Key, Row, TableOf, after_prefix};
use ao_storage::{Direction, Durability, Error, Store, WriteBatch};
use ao_types::{Id, Slot};
use parking_lot::{Condvar, Mutex};

use super::fold::{At, Fold, Ground, Stop};
use super::panics::contained;
use super::{Shared, checkpoints, facts};
use crate::core::input::{Backfilled, Checkpointed, Input, Step, Then};
use crate::limits::{BACKFILL_CHUNK_MS, BACKFILL_LOOK_MS, BACKFILL_WAIT_MS, EVALUATION_RUN_MAX, RECOVER_PAGE};

/// What the thread and others share.
#[derive(Debug)]
pub struct Backfill {
    woken: Mutex<bool>,
    wake: Condvar,
    alarm: Mutex<Option<String>>,
    /// How long one process is worked on while others wait.
    turn: Duration,
}

impl Backfill {
    /// Nothing to do yet.
    pub fn new(turn: Duration) -> Self {
        Self { woken: Mutex::default(), wake: Condvar::new(), alarm: Mutex::default(), turn }
    }

    /// There may be something to do.
    pub fn wake(&self) {
        *self.woken.lock() = true;
        self.wake.notify_all();
    }

    /// The last checkpoint that was refuted in this life of the node, in words.
    pub fn alarm(&self) -> Option<String> {
        self.alarm.lock().clone()
    }

    fn rest(&self) {
        let mut woken = self.woken.lock();
        if !*woken {
            self.wake.wait_for(&mut woken, Duration::from_millis(BACKFILL_LOOK_MS));
        }
        *woken = false;
    }
}

/// Until the node stops.
pub(super) fn backfill_loop(shared: &Shared) {
    while !shared.stopping.load(std::sync::atomic::Ordering::Relaxed) {
        match contained("backfill", || sweep(shared)) {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => shared.backfill.rest(),
            Some(Err(error)) => {
                tracing::warn!(event = "backfill_waits", %error, "what lies before checkpoints is worked out later");
                shared.backfill.rest();
            }
        }
    }
}

fn is_stopping(shared: &Shared) -> bool {
    shared.stopping.load(std::sync::atomic::Ordering::Relaxed)
}

/// Works on every process for one turn; whether looking again at once is of use. Whoever reads states that were refuted waits for no other
/// process: those are taken back first.
fn sweep(shared: &Shared) -> Result<bool, Error> {
    shared.metrics.backfill_slots.set(i64::try_from(left(&*shared.store)?).unwrap_or(i64::MAX));
    let undone = pass(shared, |stage| matches!(stage, BackfillStage::Undoing(_)))?;
    Ok(pass(shared, |stage| matches!(stage, BackfillStage::Running))? || undone)
}

/// One turn for every process at a stage; whether one of them came further and is not done, or came to its end.
fn pass(shared: &Shared, at: impl Fn(&BackfillStage) -> bool) -> Result<bool, Error> {
    let (mut from, mut ended) = (Vec::new(), false);
    loop {
        let page = schema::BACKFILLS.scan(&*shared.store, &from, &[], Direction::Forward, RECOVER_PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(ended) };
        from = [&last.0[..], &[0]].concat();
        for (process, row) in page.into_iter().filter(|(_, row)| at(&row.stage)) {
            if is_stopping(shared) {
                return Ok(false);
            }
            match work(shared, process, row) {
                Ok(end) => ended |= end,
                Err(Stop::NotEvaluated(why)) => tracing::info!(event = "backfill_waits", %process, why),
                Err(Stop::Refused(why)) => tracing::warn!(event = "backfill_waits", %process, why = %why.message),
                Err(Stop::Diverged(why)) => {
                    shared.metrics.state_divergence_total.inc();
                    tracing::error!(event = "state_divergence", %process, why, "keep the data directory and report this");
                }
            }
        }
    }
}

/// Slots still to be worked out, over all processes.
fn left(store: &dyn Store) -> Result<u64, Error> {
    let mut left = 0_u64;
    schema::BACKFILLS.each(store, |row| {
        if let Ok((_, row)) = row
            && row.stage == BackfillStage::Running
        {
            left += (row.slot.0 + 1).saturating_sub(row.done.map_or(0, |(slot, _)| slot.0 + 1));
        }
        true
    })?;
    Ok(left)
}

/// One turn of a process; whether it is over, or another one is of use at once.
fn work(shared: &Shared, process: Id, row: BackfillRow) -> Result<bool, Stop> {
    match row.stage.clone() {
        BackfillStage::Refused(_) => Ok(false),
        BackfillStage::Undoing(why) => Undo { shared, process, why }.run(row),
        BackfillStage::Running => {
            let fold = Fold::open(shared.evaluator.ground(), process, row.done)?;
            let began = (Instant::now(), row.done);
            let mut run = Run { shared, process, fold, row, steps: Vec::new(), since: Instant::now() };
            let ended = run.run(began)?;
            let Ended::Refuted(why) = ended else { return Ok(!matches!(ended, Ended::Interrupted)) };
            let row = run.refute(why.clone())?;
            drop(run);
            Undo { shared, process, why }.run(row)
        }
    }
}

/// One process on its way to the slot at which its evaluation began.
struct Run<'a> {
    shared: &'a Shared,
    process: Id,
    fold: Fold,
    row: BackfillRow,
    /// Not handed over yet.
    steps: Vec<Step>,
    since: Instant,
}

enum Ended {
    /// The node stops.
    Interrupted,
    /// Others come first; it goes on from what is written down.
    Turn,
    Done,
    Refuted(String),
}

impl Run<'_> {
    fn ground(&self) -> &Ground {
        self.shared.evaluator.ground()
    }

    fn run(&mut self, began: (Instant, At)) -> Result<Ended, Stop> {
        let target = Some((self.row.slot, 0));
        while self.fold.at() < target {
            if is_stopping(self.shared) {
                return Ok(Ended::Interrupted);
            }
            // The log's own workers first; but a node that never rests works this out as well.
            self.shared.evaluator.lanes.wait_idle(Duration::from_millis(BACKFILL_WAIT_MS));
            let step = self.step()?;
            let differs = self.compare(&step)?;
            self.steps.push(step);
            if let Some(why) = differs {
                return Ok(Ended::Refuted(why));
            }
            if self.fold.at() < target {
                self.hand_over_if_due()?;
                if began.0.elapsed() >= self.shared.backfill.turn {
                    self.put_aside()?;
                    return Ok(Ended::Turn);
                }
            }
        }
        let found = self.fold.state_hash()?;
        if let Some(row) = self.steps.last_mut().and_then(|step| step.row.as_mut()) {
            row.state_hash = Some(found);
        }
        if found != self.row.root {
            let Self { row, .. } = self;
            return Ok(Ended::Refuted(format!("worked out from the log, the state after slot {} is {found}, not {}", row.slot, row.root)));
        }
        let below: Vec<_> = self.below()?;
        self.hand_over(None, below, None, Then::GoOn)?;
        let (since, from) = began;
        let slots = self.row.slot.0 + 1 - from.map_or(0, |(slot, _)| slot.0 + 1);
        let (process, slot, took_ms) = (self.process, self.row.slot.0, since.elapsed().as_millis() as u64);
        tracing::info!(event = "backfill_done", %process, slot, turn_slots = slots, turn_ms = took_ms, "the checkpoint that evaluation began at agrees with the log");
        Ok(Ended::Done)
    }

    /// The next message, or the next cron message before it.
    fn step(&mut self) -> Result<Step, Stop> {
        let ground = self.shared.evaluator.ground();
        let next = self.fold.at().map_or(Slot(0), |(slot, _)| slot.next());
        if self.fold.has_cron() {
            let right_ms = self.fold.time_of(ground, next)?;
            if let Some(step) = self.fold.cron_before(right_ms, false)? {
                return self.hashed(step);
            }
        }
        let step = self.fold.message(ground, next)?;
        self.shared.metrics.backfill_slots.dec();
        self.hashed(step)
    }

    fn hashed(&mut self, mut step: Step) -> Result<Step, Stop> {
        self.shared.evaluator.hash(&mut self.fold, &mut step)?;
        if let Some(state) = &mut step.state {
            // What others vouched for is vouched for, now that it was worked out here as well.
            let known = schema::CERTIFIED_STATES.get(&*self.shared.store, &(self.process, step.slot))?;
            let said = |row: &schema::CertifiedStateRow| (row.schedule_epoch, row.result, row.state, row.host_abi);
            let same = known.filter(|known| said(known) == said(state));
            state.certificate = same.and_then(|known| known.certificate);
        }
        Ok(step)
    }

    /// What the log's scheduler anchored of it, if that is something else.
    fn compare(&self, step: &Step) -> Result<Option<String>, Stop> {
        let Some(row) = step.row.as_ref().filter(|_| step.cron == 0) else { return Ok(None) };
        let anchored = schema::ANCHORED_RESULTS.get(&*self.ground().store, &(self.process, step.slot))?;
        Ok(anchored.filter(|anchored| anchored.0 != row.result_hash.0).map(|anchored| {
            let computed = Id(row.result_hash.0);
            format!(
                "the result of slot {} that the log's scheduler anchored is {anchored}, worked out from the log it is {computed}",
                step.slot
            )
        }))
    }

    /// Hands results over now and then, and a state to go on from after a restart.
    fn hand_over_if_due(&mut self) -> Result<(), Stop> {
        let save = self.fold.unsaved() >= self.shared.evaluator.checkpoint_slots();
        let full = self.steps.len() >= EVALUATION_RUN_MAX || self.since.elapsed() >= Duration::from_millis(BACKFILL_CHUNK_MS);
        if !save && !full {
            return Ok(());
        }
        self.hand_over_here(save)
    }

    /// Hands over everything that the next turn goes on from.
    fn put_aside(&mut self) -> Result<(), Stop> {
        let save = self.fold.unsaved() > 0;
        if save || !self.steps.is_empty() { self.hand_over_here(save) } else { Ok(()) }
    }

    fn hand_over_here(&mut self, save: bool) -> Result<(), Stop> {
        let checkpoint = if save { self.fold.save(self.shared.evaluator.ground())? } else { None };
        let row = BackfillRow { done: self.fold.at(), ..self.row.clone() };
        self.hand_over(checkpoint, Vec::new(), Some(row), Then::GoOn)
    }

    fn hand_over(
        &mut self,
        checkpoint: Option<Checkpointed>,
        drop: Vec<(Slot, u32)>,
        row: Option<BackfillRow>,
        then: Then,
    ) -> Result<(), Stop> {
        let steps = std::mem::take(&mut self.steps);
        tell(self.shared, self.process, steps, checkpoint, drop, row, then)?;
        self.since = Instant::now();
        Ok(())
    }

    /// Says that the checkpoint is refuted, and has the process stand still.
    fn refute(&mut self, why: String) -> Result<BackfillRow, Stop> {
        let (process, slot) = (self.process, self.row.slot.0);
        let checkpoint = self.fold.save(self.shared.evaluator.ground())?;
        let row = BackfillRow { done: self.fold.at(), stage: BackfillStage::Undoing(why.clone()), ..self.row.clone() };
        let facts = facts::around_process(&*self.shared.store, &self.shared.settled, self.process)?;
        self.hand_over(checkpoint, Vec::new(), Some(row.clone()), Then::Stop { why: why.clone(), facts })?;
        // Once it is written down: whoever could not write it finds it again.
        self.shared.metrics.checkpoints_refuted_total.inc();
        *self.shared.backfill.alarm.lock() = Some(format!("the checkpoint of slot {slot} of {process}: {why}"));
        tracing::error!(
            event = "checkpoint_refuted", %process, slot, why,
            "the checkpoint that evaluation began at is not what the log gives here; what came of it is taken back and evaluation goes on from \
             the log: compare the versions of the nodes and of the module, and report this"
        );
        Ok(row)
    }

    /// States on the way, which nobody needs any more.
    fn below(&self) -> Result<Vec<(Slot, u32)>, Stop> {
        let rows = checkpoints::before(&*self.shared.store, self.process, self.row.slot)?;
        Ok(rows.into_iter().map(|(key, _)| (key.slot, key.cron)).collect())
    }
}

/// Takes back what came of a checkpoint that was refuted.
struct Undo<'a> {
    shared: &'a Shared,
    process: Id,
    why: String,
}

impl Undo<'_> {
    fn run(&self, row: BackfillRow) -> Result<bool, Stop> {
        let (shared, process) = (self.shared, self.process);
        // Nobody else has the process while rows go: no reader brings back a state that was refuted.
        while !shared.evaluator.lanes.try_take(process) {
            if is_stopping(shared) {
                return Ok(false);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let undone = self.rows(&row).and_then(|()| {
            let facts = facts::around_process(&*shared.store, &shared.settled, process)?;
            let stage = BackfillStage::Refused(self.why.clone());
            let from = row.done;
            tell(shared, process, Vec::new(), None, Vec::new(), Some(BackfillRow { stage, ..row }), Then::Restart { from, facts })
        });
        shared.evaluator.forget(process);
        shared.evaluator.lanes.release(process);
        undone.map(|()| true)
    }

    /// Everything behind what was worked out. The process stands still, so nothing is added meanwhile.
    fn rows(&self, row: &BackfillRow) -> Result<(), Stop> {
        let process = self.process;
        let (slot, cron) = row.done.map_or((Slot(0), 0), |(slot, cron)| (slot, cron + 1));
        let from = EvaluationKey { process, slot, cron }.to_bytes();
        self.delete(&schema::EVALUATIONS, &from)?;
        self.delete(&schema::CHECKPOINTS, &from)?;
        self.delete(&schema::CHECKPOINT_BODIES, &from)?;
        self.delete(&schema::CERTIFIED_STATES, &(process, row.done.map_or(Slot(0), |(slot, _)| slot.next())).to_bytes())?;
        // A state of before went to Arweave for nothing: the true one goes as well.
        if schema::ANCHORED_STATES.get(&*self.shared.store, &process)?.is_some_and(|row| row.slot >= slot) {
            let mut batch = WriteBatch::default();
            schema::ANCHORED_STATES.delete(&mut batch, &process);
            self.shared.store.write(batch, Durability::Buffered)?;
        }
        let deliveries: u64 = self.delete::<OutboxKey, _>(&schema::OUTBOX, &from)?;
        self.shared.metrics.outbox_pending.sub(i64::try_from(deliveries).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Deletes the process's rows of a table from a key on; how many there were.
    fn delete<K: Key, R: Row>(&self, table: &TableOf<K, R>, from: &[u8]) -> Result<u64, Error> {
        let (store, to, mut deleted) = (&*self.shared.store, after_prefix(&self.process.0), 0);
        loop {
            let page = table.scan(store, from, &to, Direction::Forward, EVALUATION_RUN_MAX)?;
            if page.is_empty() {
                return Ok(deleted);
            }
            deleted += page.len() as u64;
            let mut batch = WriteBatch::default();
            page.iter().for_each(|(key, _)| table.delete(&mut batch, key));
            store.write(batch, Durability::Buffered)?;
        }
    }
}

/// Hands something to the core and waits until it is in the store.
fn tell(
    shared: &Shared,
    process: Id,
    steps: Vec<Step>,
    checkpoint: Option<Checkpointed>,
    drop: Vec<(Slot, u32)>,
    row: Option<BackfillRow>,
    then: Then,
) -> Result<(), Stop> {
    let (sender, answer) = mpsc::channel();
    let refused = |why: crate::error::Rejection| Stop::NotEvaluated(why.message);
    // A core that ended answers nobody: then the node stops.
    // However many clients wait: what was evaluated is not thrown away for them.
    let request = shared.requests.open_own(move |reply| _ = sender.send(reply)).map_err(refused)?;
    shared.inputs.send(Input::Backfilled(Box::new(Backfilled { request, process, steps, checkpoint, drop, row, then })));
    match answer.recv() {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(why)) => Err(refused(why)),
        Err(_) => Err(Stop::NotEvaluated("the node stops".to_owned())),
    }
}
