//! The disk format at a glance: every table, its keys, its rows.
//!
//! Keys are concatenations of fixed-width big-endian parts, so a scan goes in slot, sequence or height order. Rows are postcard behind
//! a version byte, except where "as it is" says otherwise. `tests/format.rs` snapshots names and bytes: a change shows up in review.
//! A change that older binaries cannot read raises [`FORMAT`] and gets a function in `migrate.rs`; a new table does not
//! (it is created empty on open).
//!
//! Times are milliseconds since 1970. Heights are those of the chain the node follows.

use ao_types::{Address, Id, ResultHash, Slot, StateHash};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::typed::{Key, Single, TableOf, postcard_rows};

/// Version of everything on this page. `storage::open` refuses a higher one.
pub const FORMAT: u32 = 2;

macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// Column families.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table { $($(#[$doc])* $variant),* }

        impl Table {
            /// Every table, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name on disk, in logs and in metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

tables! {
    /// Format version, network, who created it.
    Meta = "meta",
    /// Everything that was ever accepted: raw ANS-104 bytes.
    Items = "items",
    /// What an item is, without parsing it.
    ItemIndex = "item_index",
    /// Items in the order of their arrival.
    Sequence = "sequence",
    /// Items by one of their tags, in the order of their arrival.
    TagIndex = "tag_index",
    /// Items by signer, in the order of their arrival.
    OwnerIndex = "owner_index",
    /// Items by target, in the order of their arrival.
    RecipientIndex = "recipient_index",
    /// Processes that this node orders.
    Processes = "processes",
    /// Last assignment of each process's log.
    Heads = "heads",
    /// The log itself.
    Schedule = "schedule",
    /// Slots by item and by assignment.
    SlotOf = "slot_of",
    /// Slots by the content of pushed items: what makes a push idempotent.
    Content = "content",
    /// Up to which slot the consensus engine has confirmed each log.
    Confirmed = "confirmed",
    /// Processes whose confirmed slots are not all evaluated: what a start must look at, however many processes there are.
    Owing = "owing",
    /// What each message gave.
    Evaluations = "evaluations",
    /// How far each process has been evaluated.
    EvaluationHeads = "evaluation_heads",
    /// Outbox entries still to be delivered.
    Outbox = "outbox",
    /// Outbox entries that were, and what became of them.
    Pushed = "pushed",
    /// Processes whose cron results are pushed.
    Monitors = "monitors",
    /// States that can be restored.
    Checkpoints = "checkpoints",
    /// Their bytes.
    CheckpointBodies = "checkpoint_bodies",
    /// Blocks of the chain that something refers to.
    Blocks = "blocks",
    /// Frames of assignments and the proof that confirmed each.
    Frames = "frames",
    /// In which frame each slot stands.
    FrameOf = "frame_of",
    /// What the consensus engine must not forget.
    EngineRecords = "engine_records",
    /// Up to which frame of each chain certificates are known.
    Certified = "certified",
    /// Faults that were shown.
    Evidence = "evidence",
    /// Balances of the embedded chain.
    Accounts = "accounts",
    /// Up to which slot each process has been put into shipments to Arweave.
    AnchorHeads = "anchor_heads",
    /// Up to which slot each process is on Arweave for good.
    Anchored = "anchored",
    /// Shipments, and how far each is.
    Shipments = "shipments",
    /// What each is made of.
    ShipmentItems = "shipment_items",
    /// Items that went along and are no assignments or messages.
    AnchorItems = "anchor_items",
}

/// Format version of this directory, four bytes as they are: every version of the node can read it.
pub const DISK_FORMAT: Single<u32> = Single::new("format");
/// Name of the network whose rows these are.
pub const NETWORK: Single<String> = Single::new("network");
/// Version of the binary that created the directory.
pub const CREATED_BY: Single<String> = Single::new("created_by");

/// First block and pace of the embedded chain: chosen once, since block crons depend on it.
pub const DEV_GENESIS: Single<DevGenesisRow> = Single::new("dev_genesis");

/// What was signed away for anchoring on the last day on which anything was.
pub const ANCHOR_SPENT: Single<AnchorSpentRow> = Single::new("anchor_spent");

/// Item id → raw ANS-104 bytes, as they are.
pub const ITEMS: TableOf<Id, Bytes> = TableOf::new(Table::Items);
/// Item id → [`ItemRow`].
pub const ITEM_INDEX: TableOf<Id, ItemRow> = TableOf::new(Table::ItemIndex);
/// Sequence number → item id. Sequence numbers are gap-free per store and begin at 0.
pub const SEQUENCE: TableOf<u64, Id> = TableOf::new(Table::Sequence);
/// ([`tag_hash`], sequence) → item id. A hash can collide: readers compare the tag itself.
pub const TAG_INDEX: TableOf<([u8; 16], u64), Id> = TableOf::new(Table::TagIndex);
/// (signer, sequence) → item id.
pub const OWNER_INDEX: TableOf<(Address, u64), Id> = TableOf::new(Table::OwnerIndex);
/// (target, sequence) → item id.
pub const RECIPIENT_INDEX: TableOf<(Id, u64), Id> = TableOf::new(Table::RecipientIndex);
/// Process id → [`ProcessRow`].
pub const PROCESSES: TableOf<Id, ProcessRow> = TableOf::new(Table::Processes);
/// Process id → [`Head`]; no row before the first assignment.
pub const HEADS: TableOf<Id, Head> = TableOf::new(Table::Heads);
/// (process, slot) → [`ScheduleRow`].
pub const SCHEDULE: TableOf<(Id, Slot), ScheduleRow> = TableOf::new(Table::Schedule);
/// (item or assignment, process) → slot, as it is. The item leads, so that its prefix lists every process it was assigned to.
pub const SLOT_OF: TableOf<(Id, Id), Slot> = TableOf::new(Table::SlotOf);
/// (process, content key of `protocol.md` §5.4) → slot, as it is.
pub const CONTENT: TableOf<(Id, [u8; 48]), Slot> = TableOf::new(Table::Content);
/// Process id → last confirmed slot, as it is.
pub const CONFIRMED: TableOf<Id, Slot> = TableOf::new(Table::Confirmed);
/// Process id → the confirmed slot with which it fell behind, as it is. Put with [`CONFIRMED`], deleted with the [`EVALUATION_HEADS`] that
/// catches up, in the very batches.
pub const OWING: TableOf<Id, Slot> = TableOf::new(Table::Owing);
/// Point in the fold → [`EvaluationRow`].
pub const EVALUATIONS: TableOf<EvaluationKey, EvaluationRow> = TableOf::new(Table::Evaluations);
/// Process id → [`EvaluationHead`]; no row before the boot was evaluated.
pub const EVALUATION_HEADS: TableOf<Id, EvaluationHead> = TableOf::new(Table::EvaluationHeads);
/// Outbox entry → [`OutboxRow`]. Deleted in the very batch that makes its delivery durable.
pub const OUTBOX: TableOf<OutboxKey, OutboxRow> = TableOf::new(Table::Outbox);
/// Outbox entry → [`PushedRow`].
pub const PUSHED: TableOf<OutboxKey, PushedRow> = TableOf::new(Table::Pushed);
/// Process id → [`MonitorRow`].
pub const MONITORS: TableOf<Id, MonitorRow> = TableOf::new(Table::Monitors);
/// Point in the fold → [`CheckpointRow`].
pub const CHECKPOINTS: TableOf<EvaluationKey, CheckpointRow> = TableOf::new(Table::Checkpoints);
/// Point in the fold → checkpoint bytes, as they are (already compressed).
pub const CHECKPOINT_BODIES: TableOf<EvaluationKey, Bytes> = TableOf::new(Table::CheckpointBodies);
/// Height → [`BlockRow`].
pub const BLOCKS: TableOf<u64, BlockRow> = TableOf::new(Table::Blocks);
/// Place in a scheduler's chain → [`FrameRow`].
pub const FRAMES: TableOf<FrameKey, FrameRow> = TableOf::new(Table::Frames);
/// (process, slot) → sequence of its frame in the chain of the process's scheduler, as it is.
pub const FRAME_OF: TableOf<(Id, Slot), u64> = TableOf::new(Table::FrameOf);
/// The engine's name for a record → the record, as it is: only the engine reads it.
pub const ENGINE_RECORDS: TableOf<String, Bytes> = TableOf::new(Table::EngineRecords);
/// (scheduler, tenure) → the highest sequence that a certificate covers, as it is. A level for readers, not a proof: it may lag behind after
/// a crash, and what it says can be lost when a chain is closed.
pub const CERTIFIED: TableOf<(Address, u64), u64> = TableOf::new(Table::Certified);
/// Id of a piece of evidence → its canonical bytes, as they are.
pub const EVIDENCE: TableOf<[u8; 32], Bytes> = TableOf::new(Table::Evidence);
/// Address as text → [`AccountRow`].
pub const ACCOUNTS: TableOf<String, AccountRow> = TableOf::new(Table::Accounts);
/// Process id → [`AnchorHead`]. What waits to be anchored is what lies between it and [`CONFIRMED`]: confirming a slot queues it.
pub const ANCHOR_HEADS: TableOf<Id, AnchorHead> = TableOf::new(Table::AnchorHeads);
/// Process id → last slot that, with all before it, is on Arweave for good, as it is.
pub const ANCHORED: TableOf<Id, Slot> = TableOf::new(Table::Anchored);
/// Number of a shipment → its canonical bytes, as they are: only the anchoring pipeline reads them.
pub const SHIPMENTS: TableOf<u64, Bytes> = TableOf::new(Table::Shipments);
/// Number of a shipment → [`ShipmentItemsRow`].
pub const SHIPMENT_ITEMS: TableOf<u64, ShipmentItemsRow> = TableOf::new(Table::ShipmentItems);
/// Item id → raw bytes of a record that this node signed, as they are; empty for a module, whose bytes are in [`ITEMS`].
pub const ANCHOR_ITEMS: TableOf<Id, Bytes> = TableOf::new(Table::AnchorItems);

/// Key of [`TAG_INDEX`]: the first 16 bytes of BLAKE3 over the name's length (u32, big-endian), the name and the value.
pub fn tag_hash(name: &[u8], value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // Names are at most 1024 bytes (`protocol.md` §2.2); a longer one would only share its hash with another.
    hasher.update(&(name.len() as u32).to_be_bytes()).update(name).update(value);
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

        impl Key for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Key::read(input)?),* })
            }
        }
    )*};
}

keys! {
    /// A point in a process's fold, 44 bytes.
    EvaluationKey {
        /// The process.
        process: Id,
        /// Slot of the message, or of the one that the cron messages follow.
        slot: Slot,
        /// 0: the scheduled message; from 1: the cron messages after it, in order.
        cron: u32,
    }

    /// An entry of a result's outbox, 53 bytes.
    OutboxKey {
        /// The process that sends.
        process: Id,
        /// Slot of the message whose result it is.
        slot: Slot,
        /// 0, or ordinal of the cron message.
        cron: u32,
        /// Which list of the result.
        kind: OutboxKind,
        /// Place in that list.
        index: u32,
        /// For entries that lead to several items (an assignment to several processes): which of them. Else 0.
        part: u32,
    }

    /// A place in a scheduler's chain of frames (`consensus.md` §3), 49 bytes.
    FrameKey {
        /// The scheduler.
        scheduler: Address,
        /// Its tenure.
        tenure: u64,
        /// Sequence within the tenure.
        sequence: u64,
    }
}

/// Which list of a result an outbox entry is from. On disk one byte, in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OutboxKind {
    /// `Messages`.
    Message,
    /// `Spawns`.
    Spawn,
    /// The message that tells the parent of a spawn; `index` is that of the spawn.
    Spawned,
    /// `Assignments`; `part` is the place in `Processes`.
    Assignment,
    /// Tag `Assignments` on entry `index` of `Messages`; `part` is the place in its list.
    MessageAssignment,
}

impl OutboxKind {
    const ALL: [Self; 5] = [Self::Message, Self::Spawn, Self::Spawned, Self::Assignment, Self::MessageAssignment];
}

impl Key for OutboxKind {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        Self::ALL.get(usize::from(u8::read(input)?)).copied()
    }
}

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
    /// Its place in [`SEQUENCE`] and in the indexes.
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

/// What a shipment is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipmentItemsRow {
    /// Items in their order in the bundle.
    pub items: Vec<Id>,
}

/// See [`ANCHOR_SPENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorSpentRow {
    /// Days since 1970.
    pub day: u64,
    /// Winston.
    pub winston: u128,
}

postcard_rows! {
    AnchorHead = 1, ShipmentItemsRow = 1, AnchorSpentRow = 1,
    ItemRow = 1, ProcessRow = 1, Head = 1, ScheduleRow = 1, EvaluationRow = 1, EvaluationHead = 1, OutboxRow = 1, PushedRow = 1,
    MonitorRow = 1, CheckpointRow = 1, BlockRow = 1, FrameRow = 2, AccountRow = 1, DevGenesisRow = 1,
}
