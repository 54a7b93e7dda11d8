//! Evaluation that begins at a state from elsewhere, and the results before it as they are worked out.
//!
//! A checkpoint that comes in is a [`Begin`]: full, restored once, of a slot of the log, with the root that it says. The core only decides when: a process that an evaluator has in its hands waits until the turn is over, and a process whose beginning
//! was refuted stands still until everything that came of it is taken back. What is true of a state was found out before
//! (`shell/begin.rs`, `shell/backfill.rs`).

use ao_consensus::Timestamp;
use ao_storage::WriteBatch;
use ao_storage::schema::{
    self, BackfillRow, BackfillStage, CertifiedStateRow, CheckpointRow, EvaluationHead, EvaluationKey, OutboxKey, OutboxRow,
};
use ao_types::{Id, Slot, StateHash};
use bytes::Bytes;

use super::Core;
use super::batch::Visible;
use super::effect::{Effect, Reply};
use super::input::{Backfilled, BeginAt, RequestId, Step, Then};
use super::monitor::Found;
use crate::error::{Code, Rejection};

/// A full checkpoint that is what it says it is, of a slot of the log in this store.
#[derive(Debug)]
pub struct Begin {
    process: Id,
    slot: Slot,
    row: CheckpointRow,
    body: Bytes,
    /// Rows that go into the same batch: what vouches for the root.
    pub also: WriteBatch,
}

impl Begin {
    /// What `shell::begin::prove` found to hold; nobody else says so.
    pub(crate) fn proven(process: Id, slot: Slot, row: CheckpointRow, body: Bytes) -> Self {
        Self { process, slot, row, body, also: WriteBatch::default() }
    }

    /// Of which process.
    pub fn process(&self) -> Id {
        self.process
    }

    /// After which slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Root over it.
    pub fn root(&self) -> &StateHash {
        &self.row.root
    }

    /// Everything that says that evaluation begins here; `ticked` is where cron messages were generated up to. Owing is the caller's: he
    /// knows how far the log is confirmed when the batch is written.
    pub(crate) fn rows(self, rows: &mut WriteBatch, done: Option<(Slot, u32)>, (ticked_ms, ticked_height): (u64, u64)) {
        let Self { process, slot, row, body, also } = self;
        let key = EvaluationKey { process, slot, cron: 0 };
        let head = EvaluationHead { slot, cron: 0, ticked_ms, ticked_height, halted: None };
        schema::EVALUATION_HEADS.put(rows, &process, &head);
        schema::BACKFILLS.put(rows, &process, &BackfillRow { slot, root: row.root, done, stage: BackfillStage::Running });
        schema::CHECKPOINTS.put(rows, &key, &row);
        schema::CHECKPOINT_BODIES.put(rows, &key, &body);
        rows.writes.extend(also.writes);
    }
}

impl Core {
    /// Somebody brings a state.
    pub(super) fn on_begin(&mut self, now: Timestamp, at: BeginAt, out: &mut Vec<Effect>) {
        let BeginAt { request, facts, begin } = at;
        let (id, as_of) = (begin.process(), facts.as_of);
        let refusal = match self.process_for(id, facts) {
            Found::Old => again("the process moved on while the state was looked at"),
            Found::Refused(refusal) => refusal,
            // Whoever looked before another one was written did not see that its past is still to be worked out.
            Found::Known(process) if process.begin.is_some() || as_of < process.begun => {
                again("another state of the process was just taken, or is about to be")
            }
            Found::Known(process) => {
                process.begin = Some((request, begin));
                self.begin_if_idle(id, out);
                return self.advance(now, id, out);
            }
        };
        out.push(Effect::Reply(request, Err(refusal)));
    }

    /// Takes the state that waits for a process, if no evaluator has it.
    pub(super) fn begin_if_idle(&mut self, id: Id, out: &mut Vec<Effect>) {
        let number = self.batches.number();
        let Some(process) = self.processes.get_mut(&id).filter(|process| !process.evaluating) else { return };
        let Some((request, begin)) = process.begin.take() else { return };
        let slot = begin.slot();
        if let Some(refusal) = refusal(id, slot, process.confirmed, process.evaluated, process.halted.as_deref()) {
            out.push(Effect::Reply(request, Err(refusal)));
            return;
        }
        let done = process.evaluated.replace((slot, 0));
        (process.written, process.begun) = (number, number);
        // An evaluator finds the state in the store: until it is written there is nothing to evaluate from.
        process.evaluating = true;
        // What could not be evaluated now lies before it, or is tried again from there.
        process.retry = None;
        let caught_up = !process.behind();
        let ticked = (process.floor.timestamp_ms, process.floor.block_height);
        let owed = if caught_up { std::mem::take(&mut process.owing) } else { false };
        let batch = self.batches.synced();
        begin.rows(&mut batch.rows, done, ticked);
        if owed {
            schema::OWING.delete(&mut batch.rows, &id);
        }
        batch.then(Effect::Results { process: id, slot });
        batch.then(Effect::Reply(request, Ok(Reply::Done)));
        batch.visible.push(Visible::Begun(id));
    }

    /// The state that a process begins at is in the store: evaluation goes on there. No other state waits: it would have been refused.
    pub(super) fn begun(&mut self, now: Timestamp, id: Id, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.evaluating = false;
        self.advance(now, id, out);
    }

    /// Some results before the slot at which evaluation began.
    pub(super) fn on_backfilled(&mut self, now: Timestamp, backfilled: Backfilled, out: &mut Vec<Effect>) {
        let Backfilled { request, process: id, steps, checkpoint, drop, row, then } = backfilled;
        if let Some(refusal) = self.refusal() {
            return out.push(Effect::Reply(request, Err(refusal)));
        }
        if let Then::Stop { facts, .. } | Then::Restart { facts, .. } = &then {
            match self.process_for(id, facts.clone()) {
                Found::Old => return out.push(Effect::Reply(request, Err(again("the process moved on")))),
                Found::Refused(refusal) => return out.push(Effect::Reply(request, Err(refusal))),
                Found::Known(process) if process.evaluating && matches!(then, Then::Restart { .. }) => {
                    return out.push(Effect::Reply(request, Err(again("an evaluator still has the process"))));
                }
                Found::Known(_) => {}
            }
        }
        for step in steps {
            self.backfill_step(id, step);
        }
        if let Some(checkpoint) = checkpoint {
            self.keep(id, checkpoint);
        }
        let durable = !matches!(then, Then::GoOn);
        let batch = if durable { self.batches.synced() } else { self.batches.buffered() };
        for (slot, cron) in drop {
            let key = EvaluationKey { process: id, slot, cron };
            schema::CHECKPOINTS.delete(&mut batch.rows, &key);
            schema::CHECKPOINT_BODIES.delete(&mut batch.rows, &key);
        }
        match &row {
            Some(row) => schema::BACKFILLS.put(&mut batch.rows, &id, row),
            None => schema::BACKFILLS.delete(&mut batch.rows, &id),
        }
        match then {
            Then::GoOn => {}
            Then::Stop { why, .. } => self.stand_still(id, why, out),
            Then::Restart { from, .. } => self.restart(id, from),
        }
        self.batches.buffered().then(Effect::Reply(request, Ok(Reply::Done)));
        self.advance(now, id, out);
    }

    /// A result and what it owes. The head stays where it is.
    fn backfill_step(&mut self, id: Id, step: Step) {
        let Step { slot, cron, row, outbox, pushed_for, state } = step;
        // A network of one has no committee to ask.
        let alone = self.fixed.member.is_none();
        let batch = self.batches.buffered();
        if let Some(state) = state {
            let certificate = state.certificate.or_else(|| alone.then(Bytes::new));
            schema::CERTIFIED_STATES.put(&mut batch.rows, &(id, slot), &CertifiedStateRow { certificate, ..state });
        }
        let Some(row) = row else { return batch.then(Effect::Results { process: id, slot }) };
        for (kind, index, part) in &outbox {
            let key = OutboxKey { process: id, slot, cron, kind: *kind, index: *index, part: *part };
            schema::OUTBOX.put(&mut batch.rows, &key, &OutboxRow { pushed_for, subject: None, attempts: 0, not_before_ms: 0 });
        }
        schema::EVALUATIONS.put(&mut batch.rows, &EvaluationKey { process: id, slot, cron }, &row);
        if cron == 0 {
            batch.then(Effect::Results { process: id, slot });
        }
        if !outbox.is_empty() {
            batch.then(Effect::Owed { process: id, slot, cron, entries: outbox.len() as u32 });
            batch.visible.push(Visible::Owes(id));
        }
    }

    /// Nothing more is computed from a state that was refuted.
    fn stand_still(&mut self, id: Id, why: String, out: &mut Vec<Effect>) {
        let number = self.batches.number();
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.halted = Some(why.clone());
        process.written = number;
        process.owing = false;
        let (slot, cron) = process.evaluated.unwrap_or((Slot(0), 0));
        let (ticked_ms, ticked_height) = (process.floor.timestamp_ms, process.floor.block_height);
        let rows = &mut self.batches.synced().rows;
        schema::EVALUATION_HEADS.put(rows, &id, &EvaluationHead { slot, cron, ticked_ms, ticked_height, halted: Some(why.clone()) });
        schema::OWING.delete(rows, &id);
        let why = Rejection::retry(Code::NotEvaluated, format!("evaluation of {id} begins anew: {why}"), 5);
        out.push(Effect::NoResults { process: id, why: why.clone(), lasting: false });
        self.answer_cron(id, &Err(why), out);
    }

    /// What was refuted is taken back: evaluation goes on from what was worked out from the log.
    fn restart(&mut self, id: Id, from: Option<(Slot, u32)>) {
        let number = self.batches.number();
        let Some(process) = self.processes.get_mut(&id) else { return };
        (process.halted, process.retry) = (None, None);
        process.evaluated = from;
        process.written = number;
        let (ticked_ms, ticked_height) = (process.floor.timestamp_ms, process.floor.block_height);
        let (behind, confirmed) = (process.behind(), process.confirmed);
        process.owing = behind;
        let rows = &mut self.batches.synced().rows;
        match from {
            Some((slot, cron)) => {
                schema::EVALUATION_HEADS.put(rows, &id, &EvaluationHead { slot, cron, ticked_ms, ticked_height, halted: None });
            }
            None => schema::EVALUATION_HEADS.delete(rows, &id),
        }
        if let Some(confirmed) = confirmed.filter(|_| behind) {
            schema::OWING.put(rows, &id, &confirmed);
        }
    }

    /// Whoever brought a state that waits, when this life of the core ends.
    pub(super) fn refuse_begin(begin: Option<(RequestId, Box<Begin>)>, refusal: &Rejection, out: &mut Vec<Effect>) {
        out.extend(begin.map(|(request, _)| Effect::Reply(request, Err(refusal.clone()))));
    }
}

fn again(why: &str) -> Rejection {
    Rejection::retry(Code::Busy, why, 1)
}

/// Why a state is of no use by now: what was looked at may have moved on.
fn refusal(id: Id, slot: Slot, confirmed: Option<Slot>, evaluated: Option<(Slot, u32)>, halted: Option<&str>) -> Option<Rejection> {
    if let Some(halted) = halted {
        return Some(Rejection::new(Code::NotEvaluated, format!("evaluation of {id} stopped: {halted}")));
    }
    if confirmed.is_none_or(|confirmed| confirmed < slot) {
        return Some(Rejection::new(Code::RequestInvalid, format!("the log of {id} is not confirmed up to slot {slot}")));
    }
    let further = evaluated.filter(|(evaluated, _)| *evaluated >= slot);
    further.map(|(at, _)| Rejection::new(Code::RequestInvalid, format!("{id} is evaluated up to slot {at}, the state is of slot {slot}")))
}
