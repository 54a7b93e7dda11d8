//! All that can reach the core. Facts that need the disk come along: the core never looks anything up.

use ao_consensus::schedule::Assigned;
use ao_consensus::{Evidence, SignedHeader};
use ao_types::{Id, PeerId};
use bytes::Bytes;

use crate::chain::Block;
use crate::error::Rejection;
use crate::handle::Accepted;
use crate::network::seam::{ForwardId, Judge};

mod delivery;
mod evaluated;
mod recovered;
mod submission;

pub use delivery::{Act, Delivery, Follow};
pub use evaluated::{Backfilled, BeginAt, Checkpointed, End, Evaluated, Step, Then};
pub use recovered::{Recovered, RecoveredChain};
pub use submission::{Facts, Indexed, Origin, Place, ProcessFacts, Received, Spawn, Submission};

/// Number of a life of the core: one more after every reset. Answers to questions of an earlier life are dropped.
pub type Term = u64;

/// Number of a write. A higher one was written later.
pub type Batch = u64;

/// Names a caller that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One input.
#[derive(Debug)]
pub enum Input {
    /// What the store holds, at start and after a failed write.
    Recovered(Box<Recovered>),
    /// An item that is well formed, signed and lawful, with what the store knows around it.
    Submit(Box<Submission>),
    /// Assignments of one signing run, in slot order.
    Signed {
        /// Of the core that asked.
        term: Term,
        /// Whose log.
        process: Id,
        /// One per item of the run, or why none could be made.
        run: Result<Vec<Assigned>, String>,
    },
    /// A batch is as durable as it was asked to be.
    Written {
        /// Of the core that asked.
        term: Term,
        /// Which.
        batch: Batch,
        /// Of the frames that it sealed, in order; nothing on a network of one.
        signatures: Vec<Bytes>,
    },
    /// A batch is not in the store.
    WriteFailed {
        /// Of the core that asked.
        term: Term,
        /// Which.
        batch: Batch,
        /// What the store said.
        reason: String,
        /// There is no room left.
        disk_full: bool,
    },
    /// What the engine may sign with has changed: it is made anew from the store, at the next quiet moment.
    Renew,
    /// Some steps of an evaluation job, in order.
    Evaluated(Box<Evaluated>),
    /// Outbox entries of one process, made ready.
    Deliveries {
        /// Of the core that asked.
        term: Term,
        /// Whose outbox.
        process: Id,
        /// In order; an error where they cannot be read now.
        entries: Result<Vec<Delivery>, String>,
        /// There are more behind these.
        more: bool,
    },
    /// The facts of an outbox entry could not be looked up again.
    Undelivered {
        /// Of the core that asked.
        term: Term,
        /// Whose entry.
        process: Id,
    },
    /// Evaluate cron messages up to now.
    RunCron {
        /// Who waits; nobody where a monitor looks.
        request: Option<RequestId>,
        /// Which process.
        process: Id,
        /// What the store knows of it.
        facts: Facts,
    },
    /// A state from elsewhere, at which a process's evaluation is to begin.
    Begin(BeginAt),
    /// Results before the state at which an evaluation began.
    Backfilled(Box<Backfilled>),
    /// Start or stop pushing a process's cron results.
    Monitor {
        /// Who waits.
        request: RequestId,
        /// Which process.
        process: Id,
        /// The signed item that asks for it.
        item: Id,
        /// Start, or stop.
        on: bool,
        /// What the store knows of the process.
        facts: Facts,
    },
    /// A frame of another scheduler: well formed, signed, with what the store knows around its entries.
    Received(Box<Received>),
    /// Bytes of the engine on another node, and where the verdict on them goes. Hostile.
    Peer(PeerId, Bytes, Judge),
    /// Records that the engine wanted back for a peer.
    Recalled(PeerId, Vec<ao_consensus::Record>),
    /// What another node made of an item that was forwarded to it.
    Forwarded {
        /// Which.
        forward: ForwardId,
        /// Its answer, or why there is none.
        answer: Result<Accepted, Rejection>,
    },
    /// A second header for a place of a chain that is taken here. Its scheduler's signature holds.
    Other {
        /// Who handed it on.
        from: PeerId,
        /// The header.
        header: Box<SignedHeader>,
        /// That there are two, unless that is known already.
        evidence: Option<std::sync::Arc<Evidence>>,
    },
    /// An item that was asked for is not here, and these peers do not have it either.
    Nobody {
        /// Which.
        item: Id,
        /// Who said so: everybody who is connected.
        denied: Vec<PeerId>,
    },
    /// A fault that was checked.
    Evidence(std::sync::Arc<Evidence>),
    /// The chain has a new block.
    Tip(Block),
    /// Room on disk fell below the reserve, or rose above it again.
    Reserve {
        /// Below.
        low: bool,
    },
    /// Time passed.
    Tick,
}
