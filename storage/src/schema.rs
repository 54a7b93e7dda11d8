//! The disk format at a glance: every table, with its keys (`schema/keys.rs`) and its rows (`schema/rows.rs`).
//!
//! Keys are concatenations of fixed-width big-endian parts, so a scan goes in slot, sequence or height order. Rows are postcard behind
//! a version byte, except where "as it is" says otherwise. `tests/format.rs` snapshots names and bytes: a change shows up in review.
//! A change that older binaries cannot read raises [`FORMAT`] and gets a function in `migrate.rs`; a new table does not
//! (it is created empty on open).
//!
//! Times are milliseconds since 1970. Heights are those of the chain the node follows.

use ao_types::{Address, Id, Slot};
use bytes::Bytes;

use crate::typed::{Single, TableOf};

mod keys;
mod rows;

pub use keys::*;
pub use rows::*;

/// Version of everything here. `storage::open` refuses a higher one.
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
    /// Processes whose evaluation began at a state from elsewhere, and how far what lies before it is worked out here.
    Backfills = "backfills",
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
    /// Up to which frame each own chain has been put into shipments.
    AnchorChains = "anchor_chains",
    /// What results should be, as the network anchored it.
    AnchoredResults = "anchored_results",
    /// Items whose bytes are on Arweave and no longer here.
    Pruned = "pruned",
    /// The newest state of each process that went to Arweave.
    AnchoredStates = "anchored_states",
    /// States that the network vouches for, or is to vouch for.
    CertifiedStates = "certified_states",
    /// Processes that another network's scheduler orders, whose logs were read from there.
    Loaded = "loaded",
}

/// Format version of this directory, four bytes as they are: every version of the node can read it.
pub const DISK_FORMAT: Single<u32> = Single::new("format");
/// Name of the network whose rows these are.
pub const NETWORK: Single<String> = Single::new("network");
/// Version of the binary that created the directory.
pub const CREATED_BY: Single<String> = Single::new("created_by");

/// First block and pace of the embedded chain: chosen once, since block crons depend on it.
pub const DEV_GENESIS: Single<DevGenesisRow> = Single::new("dev_genesis");

/// What is being recovered into this store, in words; deleted with the last row of it. A store that has it is not whole: nobody starts on it.
pub const RECOVERING: Single<String> = Single::new("recovering");

/// What was signed away for anchoring on the last day on which anything was.
pub const ANCHOR_SPENT: Single<AnchorSpentRow> = Single::new("anchor_spent");

/// The first height of Arweave from which on has to be read what others anchored.
pub const ANCHOR_OBSERVED: Single<u64> = Single::new("anchor_observed");

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
/// Process id → [`BackfillRow`]; no row where every result up to the evaluation's head was computed here.
pub const BACKFILLS: TableOf<Id, BackfillRow> = TableOf::new(Table::Backfills);
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
/// Item id → [`PrunedRow`]. Put in the very batch that deletes the bytes from [`ITEMS`]: the item stays known, with its indexes and its slots.
pub const PRUNED: TableOf<Id, PrunedRow> = TableOf::new(Table::Pruned);

/// Process id → [`AnchoredStateRow`].
pub const ANCHORED_STATES: TableOf<Id, AnchoredStateRow> = TableOf::new(Table::AnchoredStates);

/// (scheduler, tenure) → [`AnchorChainRow`].
pub const ANCHOR_CHAINS: TableOf<(Address, u64), AnchorChainRow> = TableOf::new(Table::AnchorChains);
/// (process, slot) → hash of the message's result by the records that the log was recovered from, as it is. Whoever evaluates compares.
pub const ANCHORED_RESULTS: TableOf<(Id, Slot), Id> = TableOf::new(Table::AnchoredResults);

/// (process, slot) → [`CertifiedStateRow`]: of the slots at which states are certified, those whose message has a result. Put in the very batch of
/// the [`EVALUATIONS`] row where this node evaluated it.
pub const CERTIFIED_STATES: TableOf<(Id, Slot), CertifiedStateRow> = TableOf::new(Table::CertifiedStates);
/// Process id → [`LoadedRow`]. It is evaluated and served here, and nothing is ordered.
pub const LOADED: TableOf<Id, LoadedRow> = TableOf::new(Table::Loaded);

/// Key of [`TAG_INDEX`]: the first 16 bytes of BLAKE3 over the name's length (u32, big-endian), the name and the value.
pub fn tag_hash(name: &[u8], value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // Names are at most 1024 bytes (`protocol.md` §2.2); a longer one would only share its hash with another.
    hasher.update(&(name.len() as u32).to_be_bytes()).update(name).update(value);
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}
