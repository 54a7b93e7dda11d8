//! Items for processes that another scheduler hosts: sent to its node, and answered with what that node says.
//!
//! The node that a client happens to talk to checks the item and hands it on; the client hears what the scheduler's node said, in its
//! words, once the frame with its message is in this node's store: whoever sent a message here can read of it here. A frame that does not
//! come in time changes nothing about the answer. An item that the other node has already, though nobody here knew, or that is on its way
//! there, was taken at an earlier asking of this very request, whose answer was lost with its connection: its frame answers. So it does where
//! no answer came at all. Deliveries of outboxes go the same way; their rows stay until the answer is there.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::Timestamp;
use ao_storage::schema::PushOutcome;
use ao_types::Id;

use super::Core;
use super::effect::{Effect, Reply};
use super::input::{Follow, Origin, Place, RequestId, Submission};
use super::recent::slot_of;
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, AssignRequest};
use crate::limits::{FORWARD_LOST_MS, FORWARD_SEEN_MS, FORWARDS_MAX};
use crate::network::seam::{ForwardId, Load, Order};

/// Items that another node was asked to take.
#[derive(Debug, Default)]
pub struct Forwards {
    next: u64,
    open: BTreeMap<ForwardId, Submission>,
    /// Requests whose item is on its way or whose frame is awaited, by item.
    asked: BTreeSet<(Id, ForwardId)>,
    /// Those whose frame came before the answer, with what it says of them.
    seen: BTreeMap<ForwardId, Accepted>,
    /// Answers that wait for their frame.
    answered: BTreeMap<ForwardId, Answered>,
    /// The same by the time when they have waited long enough.
    until: BTreeSet<(Timestamp, ForwardId)>,
}

/// What a client is told when the frame is here, or at the latest then.
#[derive(Debug)]
struct Answered {
    request: RequestId,
    item: Id,
    /// If its frame does not come.
    answer: Result<Accepted, Rejection>,
    until: Timestamp,
}

impl Forwards {
    /// Whether no client waits for another scheduler's node.
    pub fn is_quiet(&self) -> bool {
        self.open.is_empty() && self.seen.is_empty()
    }

    /// Who waits, when they will wait in vain. Numbers go on: an answer to one of these is nobody's. What was answered stays true.
    pub fn abandon(&mut self) -> impl Iterator<Item = Submission> {
        self.asked.retain(|(_, forward)| self.answered.contains_key(forward));
        self.seen.clear();
        std::mem::take(&mut self.open).into_values()
    }

    /// Whether a client of this node waits for this item's frame.
    pub fn is_wanted(&self, item: &Id) -> bool {
        self.of(item).next().is_some()
    }

    /// When somebody has waited for a frame long enough.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.until.first().map(|(until, _)| *until)
    }

    fn of(&self, item: &Id) -> impl Iterator<Item = ForwardId> + use<> {
        let found: Vec<_> = self.asked.range((*item, ForwardId(0))..=(*item, ForwardId(u64::MAX))).map(|(_, forward)| *forward).collect();
        found.into_iter()
    }

    fn close(&mut self, forward: ForwardId) -> Option<Answered> {
        let answered = self.answered.remove(&forward)?;
        self.until.remove(&(answered.until, forward));
        self.asked.remove(&(answered.item, forward));
        Some(answered)
    }
}

impl Core {
    /// Asks the node of the process's scheduler to take an item.
    pub(super) fn forward(&mut self, now: Timestamp, scheduler: ao_types::Address, submission: Submission, out: &mut Vec<Effect>) {
        let Some(to) = self.origin.peer_of(&scheduler).cloned() else {
            let text = format!("{scheduler} schedules this process, and is no scheduler of this network");
            return self.refuse(now, submission, Rejection::new(Code::NotOurs, text), out);
        };
        let load = match (&submission.item, &submission.place) {
            (Some(item), _) => Load::Item(item.as_bytes().clone()),
            (None, Place::Elsewhere { assign: Some(assign), .. }) => Load::Assign(assign.clone()),
            (None, Place::Log { process, exclude, .. }) => {
                let (item, exclude) = (submission.id, exclude.clone());
                Load::Assign(AssignRequest { process: *process, item, exclude, base_layer: false })
            }
            (None, _) => {
                let text = format!("{scheduler} schedules this process, and there is nothing to tell its node");
                return self.refuse(now, submission, Rejection::new(Code::NotOurs, text), out);
            }
        };
        if self.forwards.open.len() + self.forwards.answered.len() >= FORWARDS_MAX {
            let text = format!("{FORWARDS_MAX} items are on their way to other nodes; try again in a moment");
            return self.refuse(now, submission, Rejection::retry(Code::Busy, text, 1), out);
        }
        self.forwards.next += 1;
        let forward = ForwardId(self.forwards.next);
        if matches!(submission.origin, Origin::Request(_)) {
            self.forwards.asked.insert((submission.id, forward));
        }
        self.forwards.open.insert(forward, submission);
        out.push(Effect::Order(Box::new(Order::Forward { forward, to, load })));
    }

    pub(super) fn on_forwarded(&mut self, now: Timestamp, forward: ForwardId, answer: Result<Accepted, Rejection>, out: &mut Vec<Effect>) {
        let Some(submission) = self.forwards.open.remove(&forward) else { return };
        let seen = self.forwards.seen.remove(&forward);
        let was_known = slot_of(&submission.facts).is_some();
        let item = submission.id;
        match (submission.origin, answer) {
            (Origin::Request(request), answer) => {
                let (awaited, until) = match &answer {
                    Ok(accepted) => (accepted.slot.is_some() && accepted.id == item, now.plus_ms(FORWARD_SEEN_MS)),
                    Err(refusal) => (!was_known && may_be_taken(refusal.code), now.plus_ms(FORWARD_LOST_MS)),
                };
                if awaited && seen.is_none() {
                    self.forwards.until.insert((until, forward));
                    self.forwards.answered.insert(forward, Answered { request, item, answer, until });
                } else {
                    self.forwards.asked.remove(&(item, forward));
                    let answer = match (answer, seen) {
                        (Err(_), Some(accepted)) if !was_known => Ok(accepted),
                        (answer, _) => answer,
                    };
                    out.push(Effect::Reply(request, answer.map(Reply::Accepted)));
                }
            }
            (Origin::Outbox { key, follow, .. }, Ok(Accepted { process, slot, .. })) => {
                let outcome = match (process, slot) {
                    (Some(process), Some(slot)) => PushOutcome::Assigned { process, slot },
                    _ => PushOutcome::Stored,
                };
                self.delivered(key, follow, submission.id, outcome);
            }
            // Taken before, at an earlier try whose answer was lost.
            (Origin::Outbox { key, follow, .. }, Err(refusal)) if refusal.code == Code::Duplicate => {
                // Whether it stands there under this id or another is not known: nothing is assigned by a name that may be nobody's.
                let follow = Follow { assignments: 0, ..follow };
                self.delivered(key, follow, submission.id, PushOutcome::Skipped(refusal.message));
            }
            (Origin::Outbox { .. }, Err(refusal)) => self.refuse(now, submission, refusal, out),
            (Origin::Frame, _) => {}
        }
        self.pump_outbox(now, out);
    }

    /// The frame with an item that a client of this node sent is in the store; what it says of it.
    pub(super) fn on_seen(&mut self, seen: &Accepted, out: &mut Vec<Effect>) {
        for forward in self.forwards.of(&seen.id) {
            match self.forwards.close(forward) {
                Some(Answered { request, answer, .. }) => {
                    let accepted = answer.unwrap_or_else(|_| seen.clone());
                    out.push(Effect::Reply(request, Ok(Reply::Accepted(accepted))));
                }
                None => drop(self.forwards.seen.insert(forward, seen.clone())),
            }
        }
    }

    /// Answers whose frame takes its time.
    pub(super) fn answer_unseen(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some((_, forward)) = self.forwards.until.first().copied().filter(|(until, _)| *until <= now) {
            let Some(answered) = self.forwards.close(forward) else { return };
            out.push(Effect::Reply(answered.request, answered.answer.map(Reply::Accepted)));
        }
    }
}

/// Whether a refusal leaves it open that the item was taken at this asking or, unanswered, at the one before: it was not there when it was sent.
fn may_be_taken(code: Code) -> bool {
    matches!(code, Code::Duplicate | Code::Underway | Code::TimedOut)
}
