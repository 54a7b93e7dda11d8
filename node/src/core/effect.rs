//! All that the core can ask of its shell. Effects of one call are carried out in order.

use ao_consensus::protection::Guard;
use ao_consensus::schedule::{Clock, Head, ToAssign};
use ao_consensus::{Chain, Timestamp};
use ao_storage::schema::OutboxKey;
use ao_storage::{Durability, WriteBatch};
use ao_types::{FrameId, Id, Slot};

use super::Unconfirmed;
use super::input::{Batch, Received, RequestId, Submission, Term};
use crate::error::Rejection;
use crate::handle::{Accepted, Event};
use crate::network::seam::{Judge, Order, Verdict};

/// One effect.
#[derive(Debug)]
pub enum Effect {
    /// Give a run of items their slots and sign the assignments. Answered by `Signed`.
    Sign {
        /// Of this core.
        term: Term,
        /// Whose log.
        process: Id,
        /// Its last assignment.
        head: Option<Head>,
        /// Lower bounds of time and height, and the tip.
        clock: Clock,
        /// What gets a slot, in order.
        items: Vec<ToAssign>,
    },
    /// Write a batch. Answered by `Written` or `WriteFailed`; at most one is on its way.
    Write {
        /// Of this core.
        term: Term,
        /// Which.
        batch: Batch,
        /// The rows.
        rows: WriteBatch,
        /// Own frames, to be signed by the scheduler's wallet and written with the rows.
        seals: Vec<Unconfirmed>,
        /// What the attestor's key is bound by from now on: durable in the slashing protection before anything of this batch is written.
        guards: Vec<Guard>,
        /// What the answer must mean.
        durability: Durability,
    },
    /// Look up the facts of a submission again: they are older than what this core remembers.
    LookUp(Box<Submission>),
    /// Items that a submission lacked are in the store: where it goes can be told.
    Place(Box<Submission>),
    /// Look up the facts of a frame again: they are too old, or items were missing.
    LookUpFrame(Box<Received>),
    /// Who signed a certificate that is new here. For metrics.
    Proven(Proven),
    /// A fault of a scheduler or attestor was shown. For the log and metrics.
    Fault {
        /// Kind of evidence.
        kind: &'static str,
        /// Its id.
        id: [u8; 32],
    },
    /// A frame from outside breaks a rule of the log.
    RefusedFrame {
        /// Which.
        frame: FrameId,
        /// Which rule.
        why: String,
    },
    /// Gossip of another node's engine was looked at.
    Verdict(Judge, Verdict),
    /// Something for the network.
    Order(Box<Order>),
    /// Look up the facts of a process again for a request that is not a submission.
    LookUpProcess(Again),
    /// Read records of the engine. Answered by `Recalled`, or not at all.
    Recall(ao_consensus::Recall),
    /// Answer a caller.
    Reply(RequestId, Result<Reply, Rejection>),
    /// Evaluate a process: its log up to `through`, and cron messages up to `until`. Answered by `Evaluated`.
    Evaluate(Job),
    /// Make outbox entries of a process ready. Answered by `Deliveries`.
    Push {
        /// Of this core.
        term: Term,
        /// Whose outbox.
        process: Id,
        /// Rows to try are due at this time.
        now: Timestamp,
    },
    /// Tell whoever listens.
    Tell(Event),
    /// A result of this process has so many outbox entries to deliver. For metrics.
    Owed {
        /// The process.
        process: Id,
        /// Slot of the result.
        slot: Slot,
        /// And cron ordinal.
        cron: u32,
        /// How many.
        entries: u32,
    },
    /// An attempt to deliver an outbox entry ended. For metrics.
    Attempt(Attempt),
    /// Results of a process up to this slot are in the store.
    Results {
        /// The process.
        process: Id,
        /// Up to here.
        slot: Slot,
    },
    /// Readers of a process's results wait in vain: answer them. `lasting`: later ones as well.
    NoResults {
        /// The process.
        process: Id,
        /// Why.
        why: Rejection,
        /// Until the node is started again.
        lasting: bool,
    },
    /// Evaluation of this process stopped for good; an operator must look.
    Alarm {
        /// The process.
        process: Id,
        /// What does not hold.
        what: String,
    },
    /// Read the store again and answer with `Recovered` of this term. The batch given counts as settled.
    Recover {
        /// The life that begins.
        term: Term,
        /// Did not get into the store.
        failed: Batch,
        /// First, take the frames of this chain from this sequence on out of the store: they can never be confirmed.
        rewind: Option<(Chain, u64)>,
    },
}

/// See [`Effect::Proven`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// Sequence of the frame that it covers, if that is one of this scheduler's.
    pub own: Option<u64>,
    /// Stake of those who signed
    pub signed: u128,
    /// and of their committee; 0 if it is not known.
    pub total: u128,
    /// Height and round of the block that was decided with it.
    pub block: Option<(u64, u32)>,
}

/// How an attempt to deliver an outbox entry ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It is where it was meant to be.
    Done(OutboxKey),
    /// It will be tried again.
    Later,
    /// Nobody will take it: the row is closed with the reason.
    GivenUp(OutboxKey),
}

/// See [`Effect::LookUpProcess`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// Who waits; nobody where a monitor looks.
    pub request: Option<RequestId>,
    /// Which process.
    pub process: Id,
    /// What was asked.
    pub ask: Ask,
}

/// Requests about a process that are not submissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Evaluate its crons up to now.
    RunCron,
    /// Push its cron results from now on, or no more; the item that asks.
    Monitor {
        /// The signed item.
        item: Id,
        /// Start, or stop.
        on: bool,
    },
}

/// What a caller is told when all went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A submission.
    Accepted(Accepted),
    /// Anything else.
    Done,
}

/// See [`Effect::Evaluate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Of this core.
    pub term: Term,
    /// The process.
    pub process: Id,
    /// What is evaluated already: slot and cron ordinal.
    pub from: Option<(Slot, u32)>,
    /// Last slot to evaluate.
    pub through: Slot,
    /// After it, evaluate cron messages up to this time.
    pub until: Option<super::cron::Point>,
    /// Cron results go to the outbox.
    pub monitored: bool,
}
