//! From a lawful item to its slot.

use ao_consensus::limits::RUN_ITEMS_MAX;
use ao_consensus::schedule::{self, Assigned, Clock, ToAssign};
use ao_consensus::{Entry, Timestamp};
use ao_storage::WriteBatch;
use ao_storage::schema::{Head, PushOutcome};
use ao_types::Id;
use bytes::Bytes;

use super::effect::{Effect, Reply};
use super::frames::Own;
use super::input::{Follow, Origin, Place, Submission};
use super::process::Process;
use super::recent::slot_of;
use super::{Core, Room};
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, Event};
use crate::limits::PROCESS_QUEUE_MAX;

impl Core {
    pub(super) fn on_submit(&mut self, now: Timestamp, submission: Submission, out: &mut Vec<Effect>) {
        if matches!(submission.origin, Origin::Outbox { term, .. } if term != self.term) {
            // The turn it belonged to ended with the last life: its row is still there and gets another.
            return;
        }
        if let Some(refusal) = self.refusal() {
            return self.refuse(now, submission, refusal, out);
        }
        if !self.recent.covers(&submission.facts) {
            return out.push(Effect::LookUp(Box::new(submission)));
        }
        match &submission.place {
            Place::Store => self.store_item(now, submission, out),
            Place::Elsewhere { scheduler, .. } => {
                let scheduler = *scheduler;
                self.forward(now, scheduler, submission, out);
            }
            Place::Lacking { items, refusal } => {
                let (items, refusal) = (items.iter().copied().collect(), refusal.clone());
                if self.may_seek(&submission) {
                    self.seek(now, submission, items, refusal, out);
                } else {
                    self.refuse(now, submission, refusal, out);
                }
            }
            Place::Spawn(_) => self.queue(now, submission.id, submission, out),
            Place::Log { process, .. } => {
                let process = *process;
                if let Some(scheduler) = self.other_host(&process, &submission) {
                    return self.forward(now, scheduler, submission, out);
                }
                if submission.facts.process.is_some() || self.processes.contains_key(&process) {
                    self.queue(now, process, submission, out);
                } else if self.may_seek(&submission) {
                    self.seek(now, submission, [process].into(), unknown(&process), out);
                } else if self.fixed.member.is_none() && matches!(submission.origin, Origin::Outbox { .. }) && submission.item.is_some() {
                    // No process has this id: it is a wallet's (`protocol.md` §4 rule 4).
                    self.store_item(now, Submission { place: Place::Store, ..submission }, out);
                } else {
                    self.refuse(now, submission, unknown(&process), out);
                }
            }
        }
    }

    /// Another scheduler, if one hosts the process. A frame that brought the process may have come after the submission was looked up.
    fn other_host(&self, process: &Id, submission: &Submission) -> Option<ao_types::Address> {
        let known = self.processes.get(process).map(|known| known.host);
        let host = known.unwrap_or_else(|| submission.facts.process.as_ref()?.host);
        host.filter(|host| self.fixed.member.is_some() && *host != self.chain.chain.scheduler)
    }

    fn queue(&mut self, now: Timestamp, process: Id, submission: Submission, out: &mut Vec<Effect>) {
        if self.recent.is_repeat(&submission) {
            let slot = slot_of(&submission.facts).map_or(String::new(), |slot| format!(" in slot {slot}"));
            // A crash could still take what is on its way: whoever hears that it is there does not send it again.
            let refusal = if self.recent.is_settled(&submission) {
                Rejection::new(Code::Duplicate, format!("message {} is already in the schedule of {process}{slot}", submission.id))
            } else {
                let text = format!("message {} is on its way into the schedule of {process}; ask again in a moment", submission.id);
                Rejection::retry(Code::Underway, text, 1)
            };
            return self.refuse(now, submission, refusal, out);
        }
        let entry = self.processes.entry(process);
        let known = entry.or_insert_with(|| submission.facts.process.clone().map(Process::from_facts).unwrap_or_default());
        if known.queue.len() >= PROCESS_QUEUE_MAX {
            let text = format!("{PROCESS_QUEUE_MAX} messages wait for process {process}; try again in a moment");
            return self.refuse(now, submission, Rejection::retry(Code::Busy, text, 1), out);
        }
        self.recent.enter(&submission);
        known.queue.push_back(submission);
        self.advance(now, process, out);
    }

    /// Sends the next run of a process to the signer, unless one is there or its crons come first.
    pub(super) fn start_run(&mut self, now: Timestamp, id: Id, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if self.room == Room::Full {
            return;
        }
        let crons_first = process.cron.wanted && process.cron.until.is_none();
        if process.queue.is_empty() || !process.signing.is_empty() || crons_first {
            return;
        }
        let run = process.queue.len().min(RUN_ITEMS_MAX);
        process.signing = process.queue.drain(..run).collect();
        let items = process.signing.iter().map(|submission| match &submission.place {
            Place::Log { exclude, .. } => ToAssign { item: Some(submission.id), exclude: exclude.clone() },
            Place::Spawn(_) | Place::Store | Place::Elsewhere { .. } | Place::Lacking { .. } => {
                ToAssign { item: None, exclude: Vec::new() }
            }
        });
        let clock =
            Clock { now: now.max(Timestamp(process.floor.timestamp_ms)), block_height: self.tip.height.max(process.floor.block_height) };
        let head = process.head.as_ref().map(before);
        out.push(Effect::Sign { term: self.term, process: id, head, clock, items: items.collect() });
    }

    pub(super) fn on_signed(&mut self, now: Timestamp, id: Id, run: Result<Vec<Assigned>, String>, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let submissions = std::mem::take(&mut process.signing);
        match run {
            Ok(run) if run.len() == submissions.len() => {
                process.head = run.last().map(head_of);
                process.host = Some(self.chain.chain.scheduler);
                for (submission, assigned) in submissions.into_iter().zip(run) {
                    self.wait_for_frame(id, submission, assigned);
                }
            }
            failed => {
                let reason =
                    failed.map_or_else(|reason| reason, |run| format!("{} assignments for {} items", run.len(), submissions.len()));
                let unborn = process.head.is_none();
                for submission in submissions {
                    self.recent.leave(&submission);
                    let refusal = Rejection::new(Code::Internal, format!("the assignment could not be signed: {reason}"));
                    self.refuse(now, submission, refusal, out);
                }
                if unborn {
                    self.abandon_process(now, id, out);
                }
            }
        }
        self.advance(now, id, out);
    }

    /// A process whose own item got no slot does not exist: what waits for it goes with it.
    fn abandon_process(&mut self, now: Timestamp, id: Id, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.remove(&id) else { return };
        for submission in process.queue {
            self.recent.leave(&submission);
            let refusal = Rejection::new(Code::ProcessUnknown, format!("process {id} could not be scheduled"));
            self.refuse(now, submission, refusal, out);
        }
    }

    /// One assignment, of this scheduler or of another: everything about it goes into the batch with its frame. What the frame says of it
    /// is given back.
    pub(super) fn assign(
        &mut self,
        now: Timestamp,
        process: Id,
        submission: Submission,
        assigned: Assigned,
    ) -> (Entry, Bytes, Option<Bytes>) {
        let (slot, timestamp_ms) = (assigned.slot, assigned.timestamp.0);
        let stored = self.recent.is_stored(&submission);
        let number = self.batches.number();
        self.recent.write(&submission, number);
        let block = self.block_of_new_item();
        let batch = self.batches.synced();
        if !stored {
            put_item(&mut batch.rows, &mut self.next_sequence, now, block, &submission);
        }
        let pushed_by = if let Origin::Outbox { key, .. } = submission.origin { Some(key) } else { None };
        let push = submission.push;
        let slotted = super::rows::Slotted { process, item: submission.id, place: &submission.place, assigned: &assigned, pushed_by, push };
        super::rows::put_slot(&mut batch.rows, &slotted);
        let entry = Entry {
            process,
            schedule_epoch: assigned.schedule_epoch,
            slot,
            item: submission.id,
            assignment: assigned.id,
            content_hash: assigned.content_hash,
            hash_chain: assigned.hash_chain,
        };
        let assignment = assigned.assignment.as_bytes().clone();
        let item = Own::item(&submission, assignment.len());
        batch.head(process, head_of(&assigned));
        batch.then(Effect::Tell(Event::Assigned { process, slot, message: submission.id }));
        match submission.origin {
            Origin::Request(request) => {
                let accepted =
                    Accepted { id: submission.id, process: Some(process), slot: Some(slot), assignment: Some(assigned.id), timestamp_ms };
                batch.then(Effect::Reply(request, Ok(Reply::Accepted(accepted))));
            }
            Origin::Outbox { key, follow, .. } => self.delivered(key, follow, submission.id, PushOutcome::Assigned { process, slot }),
            Origin::Frame => {}
        }
        self.found_with_batch(submission.id);
        if let Some(known) = self.processes.get_mut(&process) {
            known.written = number;
            if let Place::Spawn(spawn) = &submission.place {
                known.has_cron = spawn.has_cron;
            }
        }
        (entry, assignment, item)
    }

    /// An item that goes into no log.
    pub(super) fn store_item(&mut self, now: Timestamp, submission: Submission, out: &mut Vec<Effect>) {
        let repeat = self.recent.is_repeat(&submission);
        let accepted = Accepted { id: submission.id, process: None, slot: None, assignment: None, timestamp_ms: now.0 };
        if repeat && matches!(submission.origin, Origin::Request(_)) && submission.facts.stored {
            return self.answer(submission.origin, Ok(Reply::Accepted(accepted)), out);
        }
        self.found_with_batch(submission.id);
        let block = self.block_of_new_item();
        let batch = self.batches.synced();
        if !repeat {
            put_item(&mut batch.rows, &mut self.next_sequence, now, block, &submission);
            self.recent.write(&submission, self.batches.number());
        }
        match submission.origin {
            Origin::Request(request) => self.batches.synced().then(Effect::Reply(request, Ok(Reply::Accepted(accepted)))),
            Origin::Outbox { key, follow, .. } => self.delivered(key, follow, submission.id, PushOutcome::Stored),
            Origin::Frame => {}
        }
    }

    /// A submission that gets no slot: its caller hears at once; an outbox entry is closed, or tried again where trying again helps.
    pub(super) fn refuse(&mut self, now: Timestamp, submission: Submission, refusal: Rejection, out: &mut Vec<Effect>) {
        match submission.origin {
            Origin::Request(_) => self.answer(submission.origin, Err(refusal), out),
            Origin::Outbox { key, .. } if refusal.retry_after_s.is_some() => self.deliver_later(now, key.process, out),
            Origin::Outbox { key, follow, .. } if refusal.code == Code::Duplicate => match slot_of(&submission.facts) {
                // Put in before, by hand or by another node: delivered all the same.
                Some(_) => {
                    // Equal content under another id: what would be assigned is in no log.
                    let follow = if submission.facts.stored { follow } else { Follow { assignments: 0, ..follow } };
                    self.delivered(key, follow, submission.id, PushOutcome::Skipped(refusal.message));
                }
                // On its way but not in the store yet: whether it gets there is known at the next try.
                None => self.deliver_later(now, key.process, out),
            },
            Origin::Outbox { key, .. } => self.close(key, None, PushOutcome::Failed(refusal.message)),
            Origin::Frame => {}
        }
    }

    fn answer(&mut self, origin: Origin, reply: Result<Reply, Rejection>, out: &mut Vec<Effect>) {
        if let Origin::Request(request) = origin {
            out.push(Effect::Reply(request, reply));
        }
    }
}

fn unknown(process: &Id) -> Rejection {
    let text = format!("process {process} is not known here: spawn it here first, or ask the node of its scheduler");
    Rejection::new(Code::ProcessUnknown, text)
}

/// What the schedule needs of the stored head.
pub(crate) fn before(head: &Head) -> schedule::Head {
    schedule::Head {
        schedule_epoch: head.schedule_epoch,
        slot: head.slot,
        assignment: head.assignment,
        hash_chain: head.hash_chain,
        timestamp: Timestamp(head.timestamp_ms),
        block_height: head.block_height,
    }
}

/// The head of a log after an assignment.
pub fn head_of(assigned: &Assigned) -> Head {
    Head {
        schedule_epoch: assigned.schedule_epoch,
        slot: assigned.slot,
        assignment: assigned.id,
        hash_chain: assigned.hash_chain,
        timestamp_ms: assigned.timestamp.0,
        block_height: assigned.block_height,
    }
}

/// The item of a submission, where it brings one, with the next place in the order of arrival.
fn put_item(rows: &mut WriteBatch, next_sequence: &mut u64, now: Timestamp, block: Option<u64>, submission: &Submission) {
    if let (Some(item), Some(index)) = (&submission.item, &submission.index) {
        super::rows::put_item(rows, item, index, *next_sequence, now.0, block);
        *next_sequence += 1;
    }
}
