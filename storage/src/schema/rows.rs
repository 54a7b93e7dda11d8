//! Rows: what stands behind a key, postcard behind a version byte.

use ao_types::{Address, Id, ResultHash, Slot, StateHash};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{OutboxKey, OutboxKind};
use crate::typed::postcard_rows;

/// What a data item is, by its tag `Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ItemKind {
    /// Of no type that this node knows.
    Other,
    /// `Type: Process`.
    Process,
    /// `Type: Message`.
    Message,
    /// `Type: Module`.
    Module,
    /// `Type: Assignment`.
    Assignment,
    /// `Type: Checkpoint`.
    Checkpoint,
    /// `Type: Scheduler-Location`.
    SchedulerLocation,
}

/// What an item is, without parsing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRow {
    /// By its tag `Type`.
    pub kind: ItemKind,
    /// Its signer.
    pub owner: Address,
    /// Its target field.
    pub recipient: Option<Id>,
    /// When this node accepted it.
    pub received_ms: u64,
    /// Its place in [`SEQUENCE`](super::SEQUENCE) and in the indexes.
    pub sequence: u64,
    /// Height at which the chain has it; `None` while it is not anchored.
    pub block_height: Option<u64>,
}

/// A process that this node orders. What else its item says is in the item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Address of the item's signer.
    pub owner: Address,
    /// Its module item.
    pub module: Id,
    /// Value of its tag `Scheduler`.
    pub scheduler: String,
    /// The process that spawned it (`From-Process`).
    pub parent: Option<Id>,
    /// Timestamp of its own assignment: origin of its time crons.
    pub timestamp_ms: u64,
    /// Height of its own assignment: origin of its block crons.
    pub block_height: u64,
    /// Whether it has cron groups: those are looked at by the clock.
    pub has_cron: bool,
}

/// The last assignment of a log, and all that the next one needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Tag `Epoch` of the assignment.
    pub schedule_epoch: u64,
    /// Its slot.
    pub slot: Slot,
    /// Its id.
    pub assignment: Id,
    /// Its tag `Hash-Chain`.
    pub hash_chain: [u8; 32],
    /// Its timestamp; the next one's is higher.
    pub timestamp_ms: u64,
    /// Its height; the next one's is not lower.
    pub block_height: u64,
}

/// One assignment. Timestamps are strictly increasing within a log, so a page by timestamp is found by bisection over slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// The assigned item; the process itself in slot 0.
    pub item: Id,
    /// Id of the assignment.
    pub assignment_id: Id,
    /// The assignment, raw ANS-104 bytes.
    pub assignment: Bytes,
    /// Its timestamp.
    pub timestamp_ms: u64,
    /// Its height.
    pub block_height: u64,
    /// The outbox entry of this node that it delivers.
    pub pushed_by: Option<OutboxKey>,
    /// Whether this node pushes what its evaluation puts into the outbox; false where the caller asked to schedule only.
    pub push: bool,
}

/// What one message gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationRow {
    /// The result as clients get it, JSON text.
    pub json: Bytes,
    /// `Data` of outbox entries that is not UTF-8 and that `json` can only show with U+FFFD.
    pub exact_data: Vec<ExactData>,
    /// The message; `None` for a cron message.
    pub message: Option<Id>,
    /// Cron identity, `<i>-<interval text>`.
    pub cron: Option<String>,
    /// Timestamp of the message.
    pub timestamp_ms: u64,
    /// Height of the message.
    pub block_height: u64,
    /// It ended in `Error`: the state is that of before.
    pub failed: bool,
    /// Instructions consumed.
    pub fuel: u64,
    /// SHA-256 of the canonical result.
    pub result_hash: ResultHash,
    /// State after it, where it was computed.
    pub state_hash: Option<StateHash>,
}

/// An evaluation's row as it lies on disk, for who needs its hash alone: nothing in front of that is copied.
#[derive(Deserialize)]
struct EvaluationRead<'a> {
    _json: &'a [u8],
    #[serde(borrow)]
    _exact_data: Vec<(OutboxKind, u32, &'a [u8])>,
    _message: Option<Id>,
    #[serde(borrow)]
    _cron: Option<&'a str>,
    _timestamp_ms: u64,
    _block_height: u64,
    _failed: bool,
    _fuel: u64,
    result_hash: ResultHash,
}

impl EvaluationRow {
    /// [`EvaluationRow::result_hash`] of a row as it lies on disk.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn result_hash_of(row: &[u8]) -> Result<ResultHash, String> {
        let read: EvaluationRead<'_> = crate::typed::postcard_head(EVALUATION_VERSION, row)?;
        Ok(read.result_hash)
    }
}

/// Version of [`EvaluationRow`] on disk.
const EVALUATION_VERSION: u8 = 1;

/// The bytes of one outbox entry's `Data`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactData {
    /// [`OutboxKind::Message`] or [`OutboxKind::Spawn`].
    pub kind: OutboxKind,
    /// Place in that list.
    pub index: u32,
    /// The bytes.
    pub data: Bytes,
}

/// How far a process has been evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationHead {
    /// Slot of the last scheduled message evaluated.
    pub slot: Slot,
    /// Ordinal of the last cron message after it; 0: none.
    pub cron: u32,
    /// Up to when cron messages were generated; later assignments are not below.
    pub ticked_ms: u64,
    /// The chain's height then.
    pub ticked_height: u64,
    /// Why evaluation stopped for good (results that differ on replay); `None` while all is well.
    pub halted: Option<String>,
}

/// An outbox entry still to be delivered. Its content is in the result it is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// The item that started the chain; `None` for cron messages.
    pub pushed_for: Option<Id>,
    /// The new process ([`OutboxKind::Spawned`]) or the item to assign ([`OutboxKind::MessageAssignment`]).
    pub subject: Option<Id>,
    /// Deliveries tried.
    pub attempts: u32,
    /// When to try next.
    pub not_before_ms: u64,
}

/// What became of an outbox entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedRow {
    /// The item it became.
    pub child: Option<Id>,
    /// What happened.
    pub outcome: PushOutcome,
}

/// See [`PushedRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushOutcome {
    /// It has a slot in a log.
    Assigned {
        /// Whose log.
        process: Id,
        /// Which slot.
        slot: Slot,
    },
    /// The target is a wallet: the item is stored.
    Stored,
    /// Not an entry that can be sent; why.
    Skipped(String),
    /// Given up after the last attempt; why.
    Failed(String),
}

/// A process whose cron results are pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorRow {
    /// The signed item that asked for it.
    pub item: Id,
    /// Cron results up to this slot,
    pub slot: Slot,
    /// and this ordinal, are in the outbox already.
    pub cron: u32,
}

/// A state that can be restored, and what is needed to go on from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRow {
    /// Root over the state.
    pub root: StateHash,
    /// What it is a delta to; `None`: it is full.
    pub parent: Option<CheckpointParent>,
    /// The last assignment folded in.
    pub assignment: Id,
    /// Its hash chain.
    pub hash_chain: [u8; 32],
    /// Timestamp of the last message folded in.
    pub timestamp_ms: u64,
    /// Height of the last message folded in.
    pub block_height: u64,
    /// Version of the machine that wrote it (`ao_vm::HOST_ABI`): no other restores it.
    pub host_abi: u32,
    /// Size of its body.
    pub bytes: u64,
}

/// See [`CheckpointRow::parent`]; of the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointParent {
    /// Its slot.
    pub slot: Slot,
    /// Its cron ordinal.
    pub cron: u32,
    /// Its root.
    pub root: StateHash,
}

/// An evaluation that began at a state from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRow {
    /// The state is that after the message of this slot. Results behind it are computed as ever; its own and those before it only once
    /// `done` reaches them.
    pub slot: Slot,
    /// Root over the state, as whoever brought it said.
    pub root: StateHash,
    /// Slot and cron ordinal up to which every result was computed here, from the log alone.
    pub done: Option<(Slot, u32)>,
    /// What is being done about it.
    pub stage: BackfillStage,
}

/// See [`BackfillRow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackfillStage {
    /// What lies before is being worked out.
    Running,
    /// What was worked out contradicts the state, and why: everything that was computed from it is being taken back.
    Undoing(String),
    /// It was taken back; evaluation went on from what was worked out here. The row stays so that this state is never taken again.
    Refused(String),
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRow {
    /// When it was made.
    pub timestamp_ms: u64,
    /// Its 48-byte hash.
    pub id: Bytes,
}

/// A frame of assignments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRow {
    /// Canonical bytes: header and entries.
    pub frame: Bytes,
    /// The scheduler's signature on it, canonical bytes; empty on a network of one.
    pub signature: Bytes,
    /// Items that its body names without bringing them along. With these, entries, assignments and items give the body back, byte by byte.
    pub held: Vec<Id>,
    /// Where the chain stood after it: what the next frame is built on, and what proofs of earlier frames are made from.
    pub tip: Bytes,
    /// What confirmed it; `None` while it is not.
    pub proof: Option<Bytes>,
}

/// Where the embedded chain begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevGenesisRow {
    /// When its first block was made.
    pub timestamp_ms: u64,
    /// Height of that block.
    pub height: u64,
    /// Milliseconds from block to block.
    pub interval_ms: u64,
}

/// A balance of the embedded chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// In winston.
    pub balance: u128,
}

/// How much of a process has been put into shipments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorHead {
    /// First slot that is in none.
    pub next: Slot,
    /// The record of the last range.
    pub range: Option<Id>,
    /// Ranges so far.
    pub ranges: u64,
    /// First slot whose result's hash is in no record.
    pub results: Slot,
}

/// How much of a scheduler's chain of frames has been put into shipments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorChainRow {
    /// Sequence of the first frame that went in none with its proof.
    pub next: u64,
    /// The record of the last frames.
    pub record: Option<Id>,
}

/// What a shipment is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentItemsRow {
    /// Items in their order in the bundle.
    pub items: Vec<Id>,
}

/// A log that was read from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedRow {
    /// Where its scheduler is reached, if anybody said.
    pub url: Option<String>,
    /// Slots whose hash chain does not follow from the assignment before: of processes so old that nobody checked it (`protocol.md` §6.1).
    pub unlinked: u64,
    /// Slots whose time or height is below that of the slot before, which the older network's schedulers do not prevent.
    pub backwards: u64,
}

/// Where the bytes of a pruned item are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedRow {
    /// Number of the shipment in whose bundle they lie: its row says in which transaction that is.
    pub shipment: u64,
    /// How many they are.
    pub bytes: u32,
}

/// The state after a message (cron 0), and who says so. With process and slot it is the statement that a committee signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertifiedStateRow {
    /// Tag `Epoch` of the assignment.
    pub schedule_epoch: u64,
    /// SHA-256 of the canonical result.
    pub result: ResultHash,
    /// Root over the state.
    pub state: StateHash,
    /// Version of the machine that worked it out.
    pub host_abi: u32,
    /// Whether this node worked it out. It vouches for nothing else.
    pub computed: bool,
    /// Canonical bytes of a quorum's certificate; empty on a network of one, which has no committee. `None`: nobody has vouched for it yet.
    pub certificate: Option<Bytes>,
}

/// A state that went to Arweave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchoredStateRow {
    /// After which slot.
    pub slot: Slot,
    /// Root over it.
    pub state: StateHash,
    /// When it went.
    pub at_ms: u64,
    /// The record that says so.
    pub record: Id,
}

/// See [`ANCHOR_SPENT`](super::ANCHOR_SPENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorSpentRow {
    /// Days since 1970.
    pub day: u64,
    /// Winston.
    pub winston: u128,
}

postcard_rows! {
    EvaluationRow = EVALUATION_VERSION, AnchorHead = 1, AnchorChainRow = 1, ShipmentItemsRow = 1, AnchorSpentRow = 1, PrunedRow = 1, LoadedRow = 1,
    ItemRow = 1, ProcessRow = 1, Head = 1, ScheduleRow = 1, EvaluationHead = 1, OutboxRow = 1, PushedRow = 1,
    MonitorRow = 1, CheckpointRow = 1, BackfillRow = 1, BlockRow = 1, FrameRow = 2, AccountRow = 1, DevGenesisRow = 1,
    CertifiedStateRow = 1, AnchoredStateRow = 1,
}
