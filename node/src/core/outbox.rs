//! Outbox entries on their way: whose turn it is, what becomes of each.
//!
//! Rows are on disk; here is only which processes have some. Processes take turns of [`PUSH_RUN_MAX`] entries, so that one message of a
//! quiet process does not wait behind the flood of a loud one. Entries of one process are put in in their order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ao_consensus::Timestamp;
use ao_storage::schema::{self, OutboxKey, OutboxKind, OutboxRow, PushOutcome, PushedRow};
use ao_types::Id;

use super::Core;
use super::batch::Visible;
use super::effect::{Attempt, Effect};
use super::input::{Act, Delivery, Follow};
use crate::handle::Event;
use crate::limits::{PUSH_PROCESSES_MAX, PUSH_RETRY_MS};

#[cfg(doc)]
use crate::limits::PUSH_RUN_MAX;

/// Processes with outbox entries.
#[derive(Debug, Default)]
pub struct Outbox {
    of: BTreeMap<Id, Sending>,
    ready: VecDeque<Id>,
    waiting: BTreeSet<(Timestamp, Id)>,
    working: usize,
}

/// One process's entries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sending {
    stage: Stage,
    /// Entries were added, or are left, since its turn began.
    again: bool,
    /// Something could not be put in now.
    later: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// In the queue of those whose turn comes.
    #[default]
    Ready,
    /// Rows are being read and made into items.
    Asked,
    /// So many entries of its turn are not dealt with yet.
    Working(usize),
    /// Until a time.
    Waiting,
}

impl Outbox {
    /// These processes have entries.
    pub fn of(processes: Vec<Id>) -> Self {
        let mut outbox = Self::default();
        processes.into_iter().for_each(|process| outbox.owe(process));
        outbox
    }

    /// A process has new entries.
    pub fn owe(&mut self, process: Id) {
        match self.of.get_mut(&process) {
            Some(sending) => sending.again = true,
            None => {
                self.of.insert(process, Sending::default());
                self.ready.push_back(process);
            }
        }
    }

    /// When the next process that waits may try again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Those whose wait is over are ready.
    pub fn wake_due(&mut self, now: Timestamp) {
        while let Some((at, process)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, process));
            self.of.insert(process, Sending::default());
            self.ready.push_back(process);
        }
    }

    fn next(&mut self) -> Option<Id> {
        if self.working >= PUSH_PROCESSES_MAX {
            return None;
        }
        let process = self.ready.pop_front()?;
        self.working += 1;
        self.of.insert(process, Sending { stage: Stage::Asked, again: false, later: false });
        Some(process)
    }

    /// A turn's rows were read: so many entries, and the turn itself, which may be without any.
    fn begin(&mut self, process: Id, entries: usize) {
        if let Some(sending) = self.of.get_mut(&process) {
            sending.stage = Stage::Working(entries + 1);
        }
    }

    fn end(&mut self, now: Timestamp, process: Id, more: bool) {
        if let Some(sending) = self.of.get_mut(&process) {
            sending.again |= more;
        }
        self.settle(now, process, false);
    }

    /// An entry is dealt with, or (`later`) must be tried again.
    pub fn settle(&mut self, now: Timestamp, process: Id, later: bool) {
        let Some(sending) = self.of.get_mut(&process) else { return };
        let Stage::Working(left) = &mut sending.stage else { return };
        *left = left.saturating_sub(1);
        sending.later |= later;
        if *left > 0 {
            return;
        }
        self.working = self.working.saturating_sub(1);
        if sending.later {
            sending.stage = Stage::Waiting;
            self.waiting.insert((now.plus_ms(PUSH_RETRY_MS), process));
        } else if sending.again {
            *sending = Sending::default();
            self.ready.push_back(process);
        } else {
            self.of.remove(&process);
        }
    }
}

impl Core {
    /// Gives turns while there are free places.
    pub(super) fn pump_outbox(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.refusal().is_some() {
            return;
        }
        while let Some(process) = self.outbox.next() {
            out.push(Effect::Push { term: self.term, process, now });
        }
    }

    pub(super) fn on_deliveries(
        &mut self,
        now: Timestamp,
        process: Id,
        entries: Result<Vec<Delivery>, String>,
        more: bool,
        out: &mut Vec<Effect>,
    ) {
        let Ok(entries) = entries else {
            self.outbox.begin(process, 0);
            self.deliver_later(now, process, out);
            return self.pump_outbox(now, out);
        };
        self.outbox.begin(process, entries.len());
        for Delivery { key, act } in entries {
            match act {
                Act::Submit(submission) => self.on_submit(now, *submission, out),
                Act::Skip(reason) => self.close(key, None, PushOutcome::Skipped(reason)),
                Act::Later(_) => self.deliver_later(now, process, out),
            }
        }
        self.outbox.end(now, process, more);
        self.pump_outbox(now, out);
    }

    /// An entry, or a whole turn of them, must be tried again.
    pub(super) fn deliver_later(&mut self, now: Timestamp, process: Id, out: &mut Vec<Effect>) {
        out.push(Effect::Attempt(Attempt::Later));
        self.outbox.settle(now, process, true);
    }

    /// An entry is in: its row goes away in the batch that says so, and what follows from it comes in with the same batch.
    pub(super) fn delivered(&mut self, key: OutboxKey, follow: Follow, child: Id, outcome: PushOutcome) {
        let rows = &mut self.batches.synced().rows;
        let mut owe = |kind, part| {
            let row = OutboxRow { pushed_for: None, subject: Some(child), attempts: 0, not_before_ms: 0 };
            schema::OUTBOX.put(rows, &OutboxKey { kind, part, ..key }, &row);
        };
        if follow.spawned {
            owe(OutboxKind::Spawned, 0);
        }
        (0..follow.assignments).for_each(|part| owe(OutboxKind::MessageAssignment, part));
        if follow != Follow::default() {
            let OutboxKey { process, slot, cron, .. } = key;
            let entries = follow.assignments + u32::from(follow.spawned);
            self.batches.synced().then(Effect::Owed { process, slot, cron, entries });
            self.batches.synced().visible.push(Visible::Owes(process));
        }
        self.close(key, Some(child), outcome);
    }

    /// An entry is dealt with for good.
    pub(super) fn close(&mut self, key: OutboxKey, child: Option<Id>, outcome: PushOutcome) {
        let batch = self.batches.synced();
        schema::OUTBOX.delete(&mut batch.rows, &key);
        // Without an item at its target it went nowhere, whether that was found out here or there.
        batch.then(Effect::Attempt(if child.is_some() { Attempt::Done(key) } else { Attempt::GivenUp(key) }));
        if let (Some(child), PushOutcome::Assigned { .. } | PushOutcome::Stored) = (child, &outcome) {
            batch.then(Effect::Tell(Event::Pushed { process: key.process, slot: key.slot, child }));
        }
        schema::PUSHED.put(&mut batch.rows, &key, &PushedRow { child, outcome });
        batch.visible.push(Visible::Settled(key.process));
    }
}
