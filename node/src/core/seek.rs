//! What a submission names and this node does not have: asked of the other nodes, for a while.
//!
//! A module that was uploaded elsewhere, a process that was born on another chain and whose frame is not here yet: the submission waits
//! until the item is in the store, then its place is worked out anew. *Nobody has it* counts only if more than a third of the committee's
//! other members said so: whatever is confirmed is held by more than two thirds. Then, and only then, a message of an outbox is a wallet's
//! (`protocol.md` §4 rule 4). Whoever hears neither in time may try again; an outbox row is.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::Timestamp;
use ao_types::{Id, PeerId};

use super::Core;
use super::batch::Visible;
use super::effect::Effect;
use super::input::{Origin, Place, Submission};
use crate::error::{Code, Rejection};
use crate::limits::{SEEK_BYTES_MAX, SEEK_MS, SEEKS_MAX};
use crate::network::seam::Order;

/// Submissions that wait for items.
#[derive(Debug, Default)]
pub struct Seeks {
    next: u64,
    waiting: BTreeMap<u64, Seek>,
    bytes: usize,
    by_item: BTreeSet<(Id, u64)>,
    until: BTreeSet<(Timestamp, u64)>,
}

/// One of them.
#[derive(Debug)]
struct Seek {
    submission: Submission,
    items: BTreeSet<Id>,
    until: Timestamp,
    /// What it is told if nobody has them.
    refusal: Rejection,
}

impl Seeks {
    /// Who waits, when they will wait in vain.
    pub fn abandon(&mut self) -> impl Iterator<Item = Submission> {
        let next = self.next;
        std::mem::replace(self, Self { next, ..Self::default() }).waiting.into_values().map(|seek| seek.submission)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether anybody waits for this item.
    pub fn seeks(&self, item: &Id) -> bool {
        self.of(item).next().is_some()
    }

    /// When somebody has waited long enough.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.until.first().map(|(until, _)| *until)
    }

    fn of(&self, item: &Id) -> impl Iterator<Item = u64> + '_ {
        self.by_item.range((*item, 0)..=(*item, u64::MAX)).map(|(_, number)| *number)
    }

    fn close(&mut self, number: u64) -> Option<Seek> {
        let seek = self.waiting.remove(&number)?;
        self.bytes -= seek.submission.bytes();
        self.until.remove(&(seek.until, number));
        for item in &seek.items {
            self.by_item.remove(&(*item, number));
        }
        Some(seek)
    }
}

impl Core {
    /// Whether other nodes may have what is not here, and this submission did not ask for it before.
    pub(super) fn may_seek(&self, submission: &Submission) -> bool {
        !submission.sought && self.fixed.member.as_ref().is_some_and(|member| member.committee.len() > 1)
    }

    /// A submission waits for items. `refusal` is its answer if nobody has them.
    pub(super) fn seek(&mut self, now: Timestamp, submission: Submission, items: BTreeSet<Id>, refusal: Rejection, out: &mut Vec<Effect>) {
        let submission = Submission { sought: true, ..submission };
        if self.seeks.waiting.len() >= SEEKS_MAX || self.seeks.bytes + submission.bytes() > SEEK_BYTES_MAX {
            let text = format!("{SEEKS_MAX} submissions wait for items of other nodes; try again in a moment");
            return self.refuse(now, submission, Rejection::retry(Code::Busy, text, 1), out);
        }
        let seeks = &mut self.seeks;
        let ids: Vec<Id> = items.iter().copied().filter(|item| !seeks.seeks(item)).collect();
        seeks.next += 1;
        let (number, until) = (seeks.next, now.plus_ms(SEEK_MS));
        seeks.bytes += submission.bytes();
        seeks.by_item.extend(items.iter().map(|item| (*item, number)));
        seeks.until.insert((until, number));
        seeks.waiting.insert(number, Seek { submission, items, until, refusal });
        if !ids.is_empty() {
            out.push(Effect::Order(Box::new(Order::Items { ids, holders: Vec::new() })));
        }
    }

    /// Those who wait for this item go on when the batch that is being built is written: with it the item is here.
    pub(super) fn found_with_batch(&mut self, item: Id) {
        if self.seeks.seeks(&item) {
            self.batches.synced().visible.push(Visible::Found(item));
        }
    }

    pub(super) fn on_found(&mut self, item: Id, out: &mut Vec<Effect>) {
        let numbers: Vec<u64> = self.seeks.of(&item).collect();
        for number in numbers {
            self.seeks.by_item.remove(&(item, number));
            let done = self.seeks.waiting.get_mut(&number).is_some_and(|seek| seek.items.remove(&item) && seek.items.is_empty());
            if done && let Some(seek) = self.seeks.close(number) {
                out.push(Effect::Place(Box::new(seek.submission)));
            }
        }
    }

    /// These peers do not have an item, and nobody else is connected.
    pub(super) fn on_nobody(&mut self, now: Timestamp, item: Id, denied: &[PeerId], out: &mut Vec<Effect>) {
        let Some(member) = &self.fixed.member else { return };
        let members = member.committee.members();
        let said = members.iter().filter(|one| denied.contains(&one.peer)).count();
        // This node is one of them, or follows; what it does not have it need not be told.
        let enough = said > members.len().saturating_sub(1) / 3;
        let numbers: Vec<u64> = self.seeks.of(&item).collect();
        for seek in numbers.into_iter().filter_map(|number| self.seeks.close(number)).collect::<Vec<_>>() {
            if enough {
                self.not_found(now, seek.submission, seek.refusal, out);
            } else {
                self.not_told(now, seek, out);
            }
        }
        self.pump_outbox(now, out);
    }

    /// Those who have waited long enough.
    pub(super) fn end_seeks(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some((_, number)) = self.seeks.until.first().copied().filter(|(until, _)| *until <= now) {
            let Some(seek) = self.seeks.close(number) else { return };
            self.not_told(now, seek, out);
        }
    }

    fn not_told(&mut self, now: Timestamp, seek: Seek, out: &mut Vec<Effect>) {
        let text = format!("{}; other nodes have not said yet whether they know it, try again in a moment", seek.refusal.message);
        self.refuse(now, seek.submission, Rejection::retry(Code::Unavailable, text, 2), out);
    }

    fn not_found(&mut self, now: Timestamp, submission: Submission, refusal: Rejection, out: &mut Vec<Effect>) {
        let outbox = matches!(submission.origin, Origin::Outbox { .. }) && submission.item.is_some();
        if outbox && matches!(submission.place, Place::Log { .. }) {
            return self.store_item(now, Submission { place: Place::Store, ..submission }, out);
        }
        self.refuse(now, submission, refusal, out);
    }
}
