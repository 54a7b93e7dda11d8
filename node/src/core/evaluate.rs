//! Confirmed slots become results.

use ao_consensus::Timestamp;
use ao_storage::schema::{self, CertifiedStateRow, EvaluationHead, EvaluationKey, Head, OutboxKey, OutboxRow};
use ao_types::{Id, Slot};
use bytes::Bytes;

use super::batch::Visible;
use super::cron::Point;
use super::effect::{Effect, Job, Reply};
use super::input::{Checkpointed, End, Evaluated, Step};
use super::process::Retry;
use super::{Core, Room};
use crate::error::{Code, Rejection};
use crate::handle::Event;
use crate::limits::{RETRY_MS_MAX, RETRY_MS_MIN};

impl Core {
    /// Hands a process to an evaluator: confirmed slots first, then, if somebody wants them and the log is at rest, its crons.
    pub(super) fn start_evaluation(&mut self, now: Timestamp, id: Id, out: &mut Vec<Effect>) {
        if self.room > Room::Enough {
            return;
        }
        let monitored = self.monitors.has(&id);
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.evaluating || process.retry.is_some_and(|retry| retry.at > now) {
            return;
        }
        if let Some(reason) = process.halted.clone() {
            let refusal = Rejection::new(Code::NotEvaluated, reason);
            return self.answer_cron(id, &Err(refusal), out);
        }
        let (Some(through), term, from) = (process.confirmed, self.term, process.evaluated) else { return };
        let until = if process.behind() {
            None
        } else if process.cron.wanted && process.caught_up() {
            let at = |head: &Head| Point { timestamp_ms: head.timestamp_ms, block_height: head.block_height };
            let head = process.head.as_ref().map_or(Point::default(), at);
            let until = Point {
                timestamp_ms: now.0.max(head.timestamp_ms).max(process.floor.timestamp_ms),
                block_height: self.tip.height.max(head.block_height).max(process.floor.block_height),
            };
            process.floor = until;
            process.cron.until = Some(until);
            Some(until)
        } else {
            return;
        };
        process.evaluating = true;
        out.push(Effect::Evaluate(Job { term, process: id, from, through, until, monitored }));
        if until.is_some() {
            self.start_run(now, id, out);
        }
    }

    pub(super) fn on_evaluated(&mut self, now: Timestamp, evaluated: Evaluated, out: &mut Vec<Effect>) {
        let Evaluated { process: id, steps, checkpoint, end, .. } = evaluated;
        // What an evaluator still brings of a process that was stopped meanwhile counts for nothing.
        if self.processes.get(&id).is_none_or(|process| process.halted.is_none()) {
            for step in steps {
                self.step(id, step);
            }
            // A state beyond what is evaluated came of one that was taken back, or of batches that were lost: nothing goes on from there.
            let evaluated = self.processes.get(&id).map(|process| process.evaluated);
            if let Some(made) = checkpoint.filter(|made| evaluated.is_none_or(|evaluated| Some((made.slot, made.cron)) <= evaluated)) {
                self.keep(id, made);
            }
        }
        let Some(end) = end else { return };
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.evaluating = false;
        if !matches!(end, End::Failed(_)) {
            process.retry = None;
        }
        match end {
            End::Turn { ticked } => {
                let asked = process.cron.until;
                if let (Some(ticked), Some(asked)) = (ticked, asked)
                    && ticked.timestamp_ms >= asked.timestamp_ms
                {
                    self.crons_done(id, ticked);
                }
            }
            End::Failed(reason) => {
                let wait_ms = process.retry.map_or(RETRY_MS_MIN, |retry| (retry.wait_ms * 2).min(RETRY_MS_MAX));
                let at = now.plus_ms(wait_ms);
                process.retry = Some(Retry { at, wait_ms });
                self.retries.insert((at, id));
                let why = Rejection::retry(Code::NotEvaluated, reason, (wait_ms / 1000).max(1) as u32);
                out.push(Effect::NoResults { process: id, why: why.clone(), lasting: false });
                self.answer_cron(id, &Err(why), out);
            }
            End::Refused(why) => {
                process.halted = Some(why.message.clone());
                out.push(Effect::NoResults { process: id, why: why.clone(), lasting: true });
                self.answer_cron(id, &Err(why), out);
            }
            End::Diverged(what) => self.halt(id, what, out),
        }
        self.begin_if_idle(id, out);
        self.advance(now, id, out);
    }

    /// One evaluated message: result, head and outbox in one batch.
    fn step(&mut self, id: Id, step: Step) {
        let number = self.batches.number();
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Step { slot, cron, row, outbox, pushed_for, state } = step;
        // A network of one has no committee to ask.
        let alone = self.fixed.member.is_none();
        process.evaluated = Some((slot, cron));
        process.written = number;
        let ticked = process.floor;
        let batch = self.batches.buffered();
        let head = EvaluationHead { slot, cron, ticked_ms: ticked.timestamp_ms, ticked_height: ticked.block_height, halted: None };
        schema::EVALUATION_HEADS.put(&mut batch.rows, &id, &head);
        if !process.behind() && std::mem::take(&mut process.owing) {
            schema::OWING.delete(&mut batch.rows, &id);
        }
        let Some(row) = row else { return batch.then(Effect::Results { process: id, slot }) };
        for (kind, index, part) in &outbox {
            let key = OutboxKey { process: id, slot, cron, kind: *kind, index: *index, part: *part };
            let entry = OutboxRow { pushed_for, subject: None, attempts: 0, not_before_ms: 0 };
            schema::OUTBOX.put(&mut batch.rows, &key, &entry);
        }
        let event = Event::Evaluated { process: id, slot, message: row.message, cron: cron > 0, failed: row.failed };
        schema::EVALUATIONS.put(&mut batch.rows, &EvaluationKey { process: id, slot, cron }, &row);
        if let Some(state) = state {
            let row = CertifiedStateRow { certificate: alone.then(Bytes::new), ..state };
            schema::CERTIFIED_STATES.put(&mut batch.rows, &(id, slot), &row);
        }
        batch.then(Effect::Tell(event));
        if cron == 0 {
            batch.then(Effect::Results { process: id, slot });
        }
        if !outbox.is_empty() {
            batch.then(Effect::Owed { process: id, slot, cron, entries: outbox.len() as u32 });
            batch.visible.push(Visible::Owes(id));
        }
    }

    /// A state to restore from. It is never written before the results that led to it: batches are written in order.
    pub(super) fn keep(&mut self, id: Id, checkpoint: Checkpointed) {
        let Checkpointed { slot, cron, row, body, drop } = checkpoint;
        let rows = &mut self.batches.buffered().rows;
        for (slot, cron) in drop {
            let key = EvaluationKey { process: id, slot, cron };
            schema::CHECKPOINTS.delete(rows, &key);
            schema::CHECKPOINT_BODIES.delete(rows, &key);
        }
        let key = EvaluationKey { process: id, slot, cron };
        schema::CHECKPOINTS.put(rows, &key, &row);
        schema::CHECKPOINT_BODIES.put(rows, &key, &body);
    }

    /// Cron messages are evaluated up to a point: no later assignment may lie below it, not even after a restart.
    fn crons_done(&mut self, id: Id, ticked: Point) {
        let number = self.batches.number();
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.written = number;
        process.cron.until = None;
        process.cron.wanted = false;
        let requests = std::mem::take(&mut process.cron.requests);
        let Some((slot, cron)) = process.evaluated else { return };
        let head = EvaluationHead { slot, cron, ticked_ms: ticked.timestamp_ms, ticked_height: ticked.block_height, halted: None };
        let batch = self.batches.buffered();
        schema::EVALUATION_HEADS.put(&mut batch.rows, &id, &head);
        for request in requests {
            batch.then(Effect::Reply(request, Ok(Reply::Done)));
        }
    }

    /// Evaluation of a process stops until a person has looked: two evaluations of one slot differ.
    fn halt(&mut self, id: Id, what: String, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.halted = Some(what.clone());
        let (slot, cron) = process.evaluated.unwrap_or((Slot(0), 0));
        let (ticked_ms, ticked_height) = (process.floor.timestamp_ms, process.floor.block_height);
        let head = EvaluationHead { slot, cron, ticked_ms, ticked_height, halted: Some(what.clone()) };
        let rows = &mut self.batches.synced().rows;
        schema::EVALUATION_HEADS.put(rows, &id, &head);
        schema::OWING.delete(rows, &id);
        process.owing = false;
        let why = Rejection::new(Code::NotEvaluated, format!("evaluation of {id} stopped: {what}"));
        out.push(Effect::NoResults { process: id, why: why.clone(), lasting: true });
        self.answer_cron(id, &Err(why), out);
        out.push(Effect::Alarm { process: id, what });
    }
}
