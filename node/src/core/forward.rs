//! Items for processes that another scheduler hosts: sent to its node, and answered with what that node says.
//!
//! The node that a client happens to talk to checks the item and hands it on; the client hears what the scheduler's node said, in its
//! words. Deliveries of outboxes go the same way; their rows stay until the answer is there.

use std::collections::BTreeMap;

use ao_consensus::Timestamp;
use ao_storage::schema::PushOutcome;

use super::Core;
use super::effect::{Effect, Reply};
use super::input::{Origin, Submission};
use crate::error::{Code, Rejection};
use crate::handle::Accepted;
use crate::limits::FORWARDS_MAX;
use crate::network::seam::{ForwardId, Order};

/// Items that another node was asked to take.
#[derive(Debug, Default)]
pub struct Forwards {
    next: u64,
    open: BTreeMap<ForwardId, Submission>,
}

impl Forwards {
    /// Who waits, when they will wait in vain. Numbers go on: an answer to one of these is nobody's.
    pub fn abandon(&mut self) -> impl Iterator<Item = Submission> {
        std::mem::take(&mut self.open).into_values()
    }
}

impl Core {
    /// Asks the node of the process's scheduler to take an item.
    pub(super) fn forward(&mut self, now: Timestamp, scheduler: ao_types::Address, submission: Submission, out: &mut Vec<Effect>) {
        let Some(to) = self.origin.peer_of(&scheduler).cloned() else {
            let text = format!("{scheduler} schedules this process, and is no scheduler of this network");
            return self.refuse(now, submission, Rejection::new(Code::NotOurs, text), out);
        };
        let Some(item) = submission.item.as_ref().map(|item| item.as_bytes().clone()) else {
            let text = format!("{scheduler} schedules this process: only its node assigns an item that is stored");
            return self.refuse(now, submission, Rejection::new(Code::NotOurs, text), out);
        };
        if self.forwards.open.len() >= FORWARDS_MAX {
            let text = format!("{FORWARDS_MAX} items are on their way to other nodes; try again in a moment");
            return self.refuse(now, submission, Rejection::retry(Code::Busy, text, 1), out);
        }
        self.forwards.next += 1;
        let forward = ForwardId(self.forwards.next);
        self.forwards.open.insert(forward, submission);
        out.push(Effect::Order(Box::new(Order::Forward { forward, to, item })));
    }

    pub(super) fn on_forwarded(&mut self, now: Timestamp, forward: ForwardId, answer: Result<Accepted, Rejection>, out: &mut Vec<Effect>) {
        let Some(submission) = self.forwards.open.remove(&forward) else { return };
        match (submission.origin, answer) {
            (Origin::Request(request), answer) => out.push(Effect::Reply(request, answer.map(Reply::Accepted))),
            (Origin::Outbox { key, follow, .. }, Ok(Accepted { process, slot, .. })) => {
                let outcome = match (process, slot) {
                    (Some(process), Some(slot)) => PushOutcome::Assigned { process, slot },
                    _ => PushOutcome::Stored,
                };
                self.delivered(key, follow, submission.id, outcome);
            }
            // Taken before, at an earlier try whose answer was lost.
            (Origin::Outbox { key, follow, .. }, Err(refusal)) if refusal.code == Code::Duplicate => {
                self.delivered(key, follow, submission.id, PushOutcome::Skipped(refusal.message));
            }
            (Origin::Outbox { .. }, Err(refusal)) => self.refuse(now, submission, refusal, out),
            (Origin::Frame, _) => {}
        }
        self.pump_outbox(now, out);
    }
}
