//! What the core remembers of one process while something goes on in it.

use std::collections::VecDeque;

use ao_consensus::Timestamp;
use ao_storage::schema::Head;
use ao_types::{Address, Slot};

use super::begin::Begin;
use super::cron::Point;
use super::input::{Batch, ProcessFacts, RequestId, Submission};

/// One process. Everything in it can be read from the store again; nothing outlives a reset.
#[derive(Debug, Default)]
pub struct Process {
    /// Last assignment, perhaps not written yet. `None`: the process item itself waits for its slot.
    pub head: Option<Head>,
    /// Who schedules it; `None`: its own item waits for its slot, or names nobody.
    pub host: Option<Address>,
    /// No assignment is below this point.
    pub floor: Point,
    /// It has cron groups.
    pub has_cron: bool,
    /// Lawful items without a slot, in the order in which they came.
    pub queue: VecDeque<Submission>,
    /// The run that the signer has. Not empty: no other run may start.
    pub signing: Vec<Submission>,
    /// Confirmed up to.
    pub confirmed: Option<Slot>,
    /// Evaluated up to, perhaps not written yet.
    pub evaluated: Option<(Slot, u32)>,
    /// It stands in the store, or will with the batch that is being built, among those that owe an evaluation.
    pub owing: bool,
    /// An evaluator has it, or must not have it yet: the state that it begins at is not written.
    pub evaluating: bool,
    /// A state at which its evaluation is to begin once no evaluator has it, and who brought it.
    pub begin: Option<(RequestId, Box<Begin>)>,
    /// The last batch with such a state.
    pub begun: Batch,
    /// Whoever waits for its cron messages.
    pub cron: CronWish,
    /// Evaluation stopped for good, and why.
    pub halted: Option<String>,
    /// After an evaluation that this host could not make: when to try again, and how long after that.
    pub retry: Option<Retry>,
    /// The last batch with rows of this process.
    pub written: Batch,
}

/// See [`Process::retry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// When.
    pub at: Timestamp,
    /// The wait that led there, ms.
    pub wait_ms: u64,
}

/// Cron messages are evaluated up to now when the whole log is evaluated and nothing is being signed; until then no new run starts.
#[derive(Debug, Default)]
pub struct CronWish {
    /// Somebody wants it.
    pub wanted: bool,
    /// Those who wait for an answer; the monitor does not.
    pub requests: Vec<RequestId>,
    /// The evaluator is at it, up to this point.
    pub until: Option<Point>,
}

impl Process {
    /// A process as the store has it.
    pub fn from_facts(facts: ProcessFacts) -> Self {
        let known = Self {
            head: Some(facts.head),
            host: facts.host,
            floor: facts.floor,
            has_cron: facts.has_cron,
            confirmed: facts.confirmed,
            evaluated: facts.evaluated,
            halted: facts.halted,
            ..Self::default()
        };
        Self { owing: known.behind(), ..known }
    }

    /// Nothing goes on: it may be forgotten once its last batch is old enough.
    pub fn idle(&self) -> bool {
        let at_rest = self.queue.is_empty()
            && self.signing.is_empty()
            && !self.evaluating
            && !self.cron.wanted
            && self.retry.is_none()
            && self.begin.is_none();
        // What the engine has not confirmed yet comes back as a confirmation, which must find its process.
        at_rest && !self.behind() && self.confirmed == self.head.as_ref().map(|head| head.slot)
    }

    /// There are confirmed slots to evaluate.
    pub fn behind(&self) -> bool {
        self.halted.is_none() && self.confirmed.is_some() && self.evaluated.map(|(slot, _)| slot) < self.confirmed
    }

    /// Every slot that was ever given is confirmed and evaluated.
    pub fn caught_up(&self) -> bool {
        let head = self.head.as_ref().map(|head| head.slot);
        self.signing.is_empty() && head.is_some() && self.confirmed == head && self.evaluated.map(|(slot, _)| slot) == head
    }
}
