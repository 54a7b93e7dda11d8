//! Items and frames that come in, with what the store knows around them.

use ao_consensus::checks::contents::Read;
use ao_consensus::schedule::Assigned;
use ao_consensus::{Entry, SignedHeader};
use ao_storage::schema::{Head, ItemKind, OutboxKey};
use ao_types::{Address, DataItem, Id, PeerId, Slot, Verified};

use super::{Batch, Follow, RequestId, Term};
use crate::core::cron::Point;
use crate::error::Rejection;
use crate::handle::AssignRequest;
use crate::network::seam::Way;

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
    /// How it came.
    pub way: Way,
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
