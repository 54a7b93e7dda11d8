//! All that can reach the core. Facts that need the disk come along: the core never looks anything up.

use ao_consensus::checks::contents::Read;
use ao_consensus::schedule::Assigned;
use ao_consensus::{ChainTip, Consensus, Entry, Evidence, SignedHeader};
use ao_storage::schema::{BackfillRow, EvaluationRow, Head, ItemKind, MonitorRow, OutboxKey};
use ao_types::{Address, DataItem, Id, PeerId, Slot, Verified};
use bytes::Bytes;

use super::begin::Begin;
use super::cron::Point;
use crate::chain::Block;
use crate::error::Rejection;
use crate::handle::Accepted;
use crate::handle::AssignRequest;
use crate::network::seam::{ForwardId, Judge};

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

/// What becomes of a verified item.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who wants it.
    pub origin: Origin,
    /// The item; `None` where an item that is in the store is assigned.
    pub item: Option<Verified<DataItem>>,
    /// Its id.
    pub id: Id,
    /// Where it goes.
    pub place: Place,
    /// What the indexes need.
    pub index: Option<Indexed>,
    /// Whether results that follow from it are pushed.
    pub push: bool,
    /// What the store knows around it.
    pub facts: Facts,
    /// Other nodes were asked for what it lacks: it does not wait a second time.
    pub sought: bool,
}

impl Submission {
    /// Bytes it holds in memory.
    pub fn bytes(&self) -> usize {
        self.item.as_ref().map_or(0, |item| item.as_bytes().len())
    }
}

/// Who wants an item in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A caller, who gets an answer.
    Request(RequestId),
    /// It stands in a frame of another scheduler.
    Frame,
    /// An outbox entry of this node.
    Outbox {
        /// The life of the core whose turn it is part of: the next one begins its own.
        term: Term,
        /// Which entry.
        key: OutboxKey,
        /// What comes after it.
        follow: Follow,
    },
}

/// Where an item goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A new process: its log's first slot.
    Spawn(Spawn),
    /// A slot of an existing process.
    Log {
        /// The process.
        process: Id,
        /// Names of fields that are not loaded.
        exclude: Vec<String>,
        /// Key of its content, for pushed items (`protocol.md` §5.4).
        content: Option<[u8; 48]>,
    },
    /// No log: stored and indexed only.
    Store,
    /// Another scheduler's: its node gets the item.
    Elsewhere {
        /// Who schedules the process.
        scheduler: Address,
        /// For an item that is stored: what its node is asked.
        assign: Option<AssignRequest>,
    },
    /// It cannot be told: these items are not here. Others may have them.
    Lacking {
        /// Which.
        items: Vec<Id>,
        /// The answer, if nobody has them.
        refusal: Rejection,
    },
}

/// A frame of another scheduler, as far as it can be checked without the frames before it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Who handed it on.
    pub from: PeerId,
    /// Header and scheduler's signature.
    pub header: SignedHeader,
    /// As the header's root says.
    pub entries: Vec<Entry>,
    /// Items that the body names without bringing them along.
    pub held: Vec<Id>,
    /// One for each entry: what its assignment says.
    pub assigned: Vec<Assigned>,
    /// The same as it is compared with the log.
    pub read: Vec<Read>,
    /// One for each entry: the item and what the store knows around it.
    pub submissions: Vec<Submission>,
    /// One for each entry: whether the item may be assigned at all.
    pub lawful: Vec<Result<(), String>>,
    /// Items without which it cannot be judged or evaluated, and which are not here: items only named, modules.
    pub missing: Vec<Id>,
    /// Every batch up to this one was settled when the look-up began.
    pub as_of: Batch,
}

impl Received {
    /// Bytes that it holds in memory.
    pub fn bytes(&self) -> usize {
        let items = self.submissions.iter().map(Submission::bytes).sum::<usize>();
        self.assigned.iter().map(|one| one.assignment.as_bytes().len()).sum::<usize>() + items
    }
}

/// What a new process's row needs. That its module is known and admitted was checked with the look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// Signer.
    pub owner: Address,
    /// Module item.
    pub module: Id,
    /// Tag `Scheduler`.
    pub scheduler: String,
    /// The process that spawned it.
    pub parent: Option<Id>,
    /// It has cron groups.
    pub has_cron: bool,
}

/// What the gateway's indexes need of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// By its tag `Type`.
    pub kind: ItemKind,
    /// Signer.
    pub owner: Address,
    /// Target field.
    pub recipient: Option<Id>,
    /// Hash of each tag, without repeats.
    pub tags: Vec<[u8; 16]>,
}

/// What the store said, and when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Every batch up to this one was settled when the look-up began.
    pub as_of: Batch,
    /// The process whose log is meant; `None`: not known.
    pub process: Option<ProcessFacts>,
    /// The item has a slot in that log.
    pub assigned: Option<Slot>,
    /// An item of the same content has.
    pub content: Option<Slot>,
    /// The item is in the store.
    pub stored: bool,
}

/// A process as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Who schedules it; `None`: its tag names nobody.
    pub host: Option<Address>,
    /// Last assignment.
    pub head: Head,
    /// No later assignment is below: cron messages were generated up to here.
    pub floor: Point,
    /// Confirmed up to.
    pub confirmed: Option<Slot>,
    /// Evaluated up to: slot and cron ordinal.
    pub evaluated: Option<(Slot, u32)>,
    /// It has cron groups.
    pub has_cron: bool,
    /// Evaluation stopped for good.
    pub halted: Option<String>,
}

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
    pub outbox: Vec<(ao_storage::schema::OutboxKind, u32, u32)>,
    /// The item that started the chain.
    pub pushed_for: Option<Id>,
    /// The state after it, where one is certified; who vouches for it is not known yet.
    pub state: Option<ao_storage::schema::CertifiedStateRow>,
}

/// A state to keep.
#[derive(Debug, Clone)]
pub struct Checkpointed {
    /// After this slot
    pub slot: Slot,
    /// and this cron ordinal.
    pub cron: u32,
    /// Its row.
    pub row: ao_storage::schema::CheckpointRow,
    /// Its bytes.
    pub body: Bytes,
    /// Checkpoints that it makes superfluous.
    pub drop: Vec<(Slot, u32)>,
}

/// See [`Input::Begin`].
#[derive(Debug)]
pub struct BeginAt {
    /// Who waits.
    pub request: RequestId,
    /// What the store knows of the process; by the same look, or a later one, nothing of it is being worked out.
    pub facts: Facts,
    /// The state, proven.
    pub begin: Box<Begin>,
}

/// See [`Input::Backfilled`].
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

/// One outbox entry made ready.
#[derive(Debug)]
pub struct Delivery {
    /// Which.
    pub key: OutboxKey,
    /// What to do.
    pub act: Act,
}

/// See [`Delivery`].
#[derive(Debug)]
pub enum Act {
    /// Put it in.
    Submit(Box<Submission>),
    /// It cannot be sent.
    Skip(String),
    /// Something it needs cannot be had now.
    Later(String),
}

/// What comes after an entry is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Follow {
    /// Tell the parent that its spawn exists.
    pub spawned: bool,
    /// Assign the new message to so many processes, by tag `Assignments`.
    pub assignments: u32,
}

/// The store, as far as the core must know it to go on.
pub struct Recovered {
    /// The core's life that begins.
    pub term: Term,
    /// Place of the next item in the order of arrival.
    pub next_sequence: u64,
    /// Made from its own records, and from where the chains stand.
    pub engine: Box<dyn Consensus>,
    /// Where this scheduler's chain stands.
    pub chain: RecoveredChain,
    /// Where those of the other schedulers stand.
    pub others: Vec<RecoveredChain>,
    /// Processes that are confirmed further than evaluated, or have unconfirmed slots.
    pub owing: Vec<(Id, ProcessFacts)>,
    /// Processes with something in their outbox.
    pub outbox: Vec<Id>,
    /// Monitored processes.
    pub monitors: Vec<(Id, MonitorRow)>,
    /// One for each piece of evidence that is kept.
    pub charges: Vec<super::faults::Charge>,
    /// Room on disk is below the reserve.
    pub low: bool,
}

/// One chain as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredChain {
    /// After its last frame.
    pub tip: ChainTip,
    /// The last confirmed frames, as many as certificates of later ones may speak of, in order.
    pub window: Vec<super::Unconfirmed>,
    /// Frames without a stored confirmation, in order.
    pub unconfirmed: Vec<super::Unconfirmed>,
    /// Up to which frame certificates were known.
    pub certified: Option<u64>,
}

impl std::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owing: Vec<Id> = self.owing.iter().map(|(process, _)| *process).collect();
        f.debug_struct("Recovered")
            .field("term", &self.term)
            .field("engine", &self.engine.name())
            .field("owing", &owing)
            .finish_non_exhaustive()
    }
}
