//! What evaluators bring: results, states to keep, states to begin at, results before those.

use ao_storage::schema::{BackfillRow, CertifiedStateRow, CheckpointRow, EvaluationRow, OutboxKind};
use ao_types::{Id, Slot};
use bytes::Bytes;

use super::{Facts, RequestId, Term};
use crate::core::begin::Begin;
use crate::core::cron::Point;
use crate::error::Rejection;

/// What an evaluator made of a job so far.
#[derive(Debug)]
pub struct Evaluated {
    /// Of the core that asked.
    pub term: Term,
    /// The process.
    pub process: Id,
    /// In order, following on the last ones.
    pub steps: Vec<Step>,
    /// A state to keep, after those steps.
    pub checkpoint: Option<Checkpointed>,
    /// The worker is done with the job; `None`: more comes.
    pub end: Option<End>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As far as was asked, or as far as one turn goes.
    Turn {
        /// Cron messages were generated up to here: no later assignment may be below.
        ticked: Option<Point>,
    },
    /// This host could not evaluate; another try may succeed.
    Failed(String),
    /// The process or its module is refused: the same on every try.
    Refused(Rejection),
    /// An evaluation made again differs from the stored one: nothing of this process can be trusted until a person looked.
    Diverged(String),
}

/// One evaluated message.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its slot, or that of the message before a cron message.
    pub slot: Slot,
    /// 0, or the cron message's ordinal.
    pub cron: u32,
    /// What is stored; `None` for a message that the fold skips.
    pub row: Option<EvaluationRow>,
    /// Entries of the result to push; empty where nothing is to be pushed.
    pub outbox: Vec<(OutboxKind, u32, u32)>,
    /// The item that started the chain.
    pub pushed_for: Option<Id>,
    /// The state after it, where one is certified; who vouches for it is not known yet.
    pub state: Option<CertifiedStateRow>,
}

/// A state to keep.
#[derive(Debug, Clone)]
pub struct Checkpointed {
    /// After this slot
    pub slot: Slot,
    /// and this cron ordinal.
    pub cron: u32,
    /// Its row.
    pub row: CheckpointRow,
    /// Its bytes.
    pub body: Bytes,
    /// Checkpoints that it makes superfluous.
    pub drop: Vec<(Slot, u32)>,
}

/// See [`Input::Begin`](super::Input::Begin).
#[derive(Debug)]
pub struct BeginAt {
    /// Who waits.
    pub request: RequestId,
    /// What the store knows of the process; by the same look, or a later one, nothing of it is being worked out.
    pub facts: Facts,
    /// The state, proven.
    pub begin: Box<Begin>,
}

/// See [`Input::Backfilled`](super::Input::Backfilled).
#[derive(Debug)]
pub struct Backfilled {
    /// Who waits: no more comes before it is answered.
    pub request: RequestId,
    /// The process.
    pub process: Id,
    /// In order, following on the last ones.
    pub steps: Vec<Step>,
    /// A state to go on from, after those steps.
    pub checkpoint: Option<Checkpointed>,
    /// States that are not needed any more.
    pub drop: Vec<(Slot, u32)>,
    /// How far it is; `None`: everything is worked out.
    pub row: Option<BackfillRow>,
    /// What becomes of the evaluation behind the state.
    pub then: Then,
}

/// See [`Backfilled::then`].
#[derive(Debug)]
pub enum Then {
    /// Nothing is known against it.
    GoOn,
    /// The state was refuted: the process stands still until everything that came of it is taken back.
    Stop {
        /// What does not agree.
        why: String,
        /// What the store knows of the process.
        facts: Facts,
    },
    /// It is taken back: evaluation goes on from here.
    Restart {
        /// Worked out from the log alone.
        from: Option<(Slot, u32)>,
        /// What the store knows of the process.
        facts: Facts,
    },
}
