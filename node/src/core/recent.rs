//! What the last written batches contained: a look-up that began before one of them is corrected by what is remembered here.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use ao_types::{Id, Slot};

use super::input::{Batch, Facts, Place, Submission};
use crate::limits::RECENT_BATCHES;

/// Items and contents that are on their way to a slot, or got one lately.
#[derive(Debug, Default)]
pub struct Recent {
    assigned: Memory<(Id, Id)>,
    content: Memory<(Id, [u8; 48])>,
    stored: Memory<Id>,
    /// Look-ups that began before this batch was settled are too old.
    oldest: Batch,
    /// The newest batch that is durable.
    durable: Batch,
}

impl Recent {
    /// Remembers nothing; every batch up to `settled` was in the store when it was last read.
    pub fn since(settled: Batch) -> Self {
        Self { oldest: settled, durable: settled, ..Self::default() }
    }

    /// Whether together with what is remembered here these facts are those of now.
    pub fn covers(&self, facts: &Facts) -> bool {
        facts.as_of >= self.oldest
    }

    /// The batch from which on everything is remembered.
    pub fn oldest(&self) -> Batch {
        self.oldest
    }

    /// Whether the item is in that log, or on its way there; by facts of any age that [`covers`](Self::covers) allows.
    pub fn is_repeat(&self, submission: &Submission) -> bool {
        let facts = &submission.facts;
        match &submission.place {
            Place::Spawn(_) => facts.assigned.is_some() || facts.process.is_some() || self.assigned.has(&(submission.id, submission.id)),
            Place::Log { process, content, .. } => {
                facts.assigned.is_some()
                    || facts.content.is_some()
                    || self.assigned.has(&(*process, submission.id))
                    || content.is_some_and(|content| self.content.has(&(*process, content)))
            }
            Place::Store | Place::Elsewhere { .. } | Place::Lacking { .. } => facts.stored || self.stored.has(&submission.id),
        }
    }

    /// Whether no crash can take a repeat's first time any more.
    pub fn is_settled(&self, submission: &Submission) -> bool {
        let facts = &submission.facts;
        let known = matches!(submission.place, Place::Spawn(_)) && facts.process.is_some();
        let Some((process, content)) = keys(submission) else { return facts.stored };
        let durable = |batch: Option<Batch>| batch.is_some_and(|batch| batch <= self.durable);
        known
            || slot_of(facts).is_some()
            || durable(self.assigned.batch(&(process, submission.id)))
            || content.is_some_and(|content| durable(self.content.batch(&(process, content))))
    }

    /// Whether the item's bytes and indexes are in the store, or on their way.
    pub fn is_stored(&self, submission: &Submission) -> bool {
        submission.facts.stored || self.stored.has(&submission.id)
    }

    /// It was let in and waits for its slot.
    pub fn enter(&mut self, submission: &Submission) {
        if let Some((process, content)) = keys(submission) {
            self.assigned.enter((process, submission.id));
            if let Some(content) = content {
                self.content.enter((process, content));
            }
        }
    }

    /// It did not get one.
    pub fn leave(&mut self, submission: &Submission) {
        if let Some((process, content)) = keys(submission) {
            self.assigned.leave(&(process, submission.id));
            if let Some(content) = content {
                self.content.leave(&(process, content));
            }
        }
    }

    /// It is in `batch`.
    pub fn write(&mut self, submission: &Submission, batch: Batch) {
        if let Some((process, content)) = keys(submission) {
            self.assigned.write((process, submission.id), batch);
            if let Some(content) = content {
                self.content.write((process, content), batch);
            }
        }
        self.stored.write(submission.id, batch);
    }

    /// Every batch up to `batch` is durable: the oldest are forgotten.
    pub fn durable(&mut self, batch: Batch) {
        self.durable = self.durable.max(batch);
        self.oldest = self.oldest.max(batch.saturating_sub(RECENT_BATCHES));
        self.assigned.forget(self.oldest);
        self.content.forget(self.oldest);
        self.stored.forget(self.oldest);
    }
}

fn keys(submission: &Submission) -> Option<(Id, Option<[u8; 48]>)> {
    match &submission.place {
        Place::Spawn(_) => Some((submission.id, None)),
        Place::Log { process, content, .. } => Some((*process, *content)),
        Place::Store | Place::Elsewhere { .. } | Place::Lacking { .. } => None,
    }
}

/// Keys with the batch they are in; `None` while they wait for one. Never iterated: the order of the map reaches nothing.
#[derive(Debug)]
struct Memory<K> {
    keys: HashMap<K, Option<Batch>>,
    order: VecDeque<(Batch, K)>,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self { keys: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash> Memory<K> {
    fn has(&self, key: &K) -> bool {
        self.keys.contains_key(key)
    }

    fn batch(&self, key: &K) -> Option<Batch> {
        self.keys.get(key).copied().flatten()
    }

    fn enter(&mut self, key: K) {
        self.keys.insert(key, None);
    }

    fn leave(&mut self, key: &K) {
        self.keys.remove(key);
    }

    fn write(&mut self, key: K, batch: Batch) {
        self.keys.insert(key, Some(batch));
        self.order.push_back((batch, key));
    }

    fn forget(&mut self, through: Batch) {
        while let Some((_, key)) = self.order.pop_front_if(|(batch, _)| *batch <= through) {
            if self.keys.get(&key).is_some_and(|batch| batch.is_some_and(|batch| batch <= through)) {
                self.keys.remove(&key);
            }
        }
    }
}

/// The slot that facts name for a repeat, for the answer's text.
pub fn slot_of(facts: &Facts) -> Option<Slot> {
    facts.assigned.or(facts.content)
}
