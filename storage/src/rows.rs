//! Whether a row is one of its table: key and row read as `schema.rs` says.
//!
//! For whoever looks at everything there is. What the rows mean together is not known here.

use bytes::Bytes;

use crate::{Error, Table, schema};

/// Reads a key and its row as those of `table`.
///
/// # Errors
/// [`Error::Corrupt`] with the place: they are not.
pub fn reads(table: Table, key: &[u8], row: &Bytes) -> Result<(), Error> {
    match table {
        Table::Meta => meta(key, row),
        Table::Items => schema::ITEMS.reads(key, row),
        Table::ItemIndex => schema::ITEM_INDEX.reads(key, row),
        Table::Sequence => schema::SEQUENCE.reads(key, row),
        Table::TagIndex => schema::TAG_INDEX.reads(key, row),
        Table::OwnerIndex => schema::OWNER_INDEX.reads(key, row),
        Table::RecipientIndex => schema::RECIPIENT_INDEX.reads(key, row),
        Table::Processes => schema::PROCESSES.reads(key, row),
        Table::Heads => schema::HEADS.reads(key, row),
        Table::Schedule => schema::SCHEDULE.reads(key, row),
        Table::SlotOf => schema::SLOT_OF.reads(key, row),
        Table::Content => schema::CONTENT.reads(key, row),
        Table::Confirmed => schema::CONFIRMED.reads(key, row),
        Table::Owing => schema::OWING.reads(key, row),
        Table::Evaluations => schema::EVALUATIONS.reads(key, row),
        Table::EvaluationHeads => schema::EVALUATION_HEADS.reads(key, row),
        Table::Outbox => schema::OUTBOX.reads(key, row),
        Table::Pushed => schema::PUSHED.reads(key, row),
        Table::Monitors => schema::MONITORS.reads(key, row),
        Table::Checkpoints => schema::CHECKPOINTS.reads(key, row),
        Table::CheckpointBodies => schema::CHECKPOINT_BODIES.reads(key, row),
        Table::Backfills => schema::BACKFILLS.reads(key, row),
        Table::Blocks => schema::BLOCKS.reads(key, row),
        Table::Frames => schema::FRAMES.reads(key, row),
        Table::FrameOf => schema::FRAME_OF.reads(key, row),
        Table::EngineRecords => schema::ENGINE_RECORDS.reads(key, row),
        Table::Certified => schema::CERTIFIED.reads(key, row),
        Table::Evidence => schema::EVIDENCE.reads(key, row),
        Table::Accounts => schema::ACCOUNTS.reads(key, row),
        Table::AnchorHeads => schema::ANCHOR_HEADS.reads(key, row),
        Table::Anchored => schema::ANCHORED.reads(key, row),
        Table::Shipments => schema::SHIPMENTS.reads(key, row),
        Table::ShipmentItems => schema::SHIPMENT_ITEMS.reads(key, row),
        Table::AnchorItems => schema::ANCHOR_ITEMS.reads(key, row),
        Table::AnchorChains => schema::ANCHOR_CHAINS.reads(key, row),
        Table::AnchoredResults => schema::ANCHORED_RESULTS.reads(key, row),
        Table::AnchoredStates => schema::ANCHORED_STATES.reads(key, row),
        Table::Pruned => schema::PRUNED.reads(key, row),
        Table::CertifiedStates => schema::CERTIFIED_STATES.reads(key, row),
        Table::Loaded => schema::LOADED.reads(key, row),
    }
}

/// Rows under names that this binary does not know are of a newer one: any bytes.
fn meta(key: &[u8], row: &Bytes) -> Result<(), Error> {
    let known = [
        schema::DISK_FORMAT.reads(key, row),
        schema::NETWORK.reads(key, row),
        schema::CREATED_BY.reads(key, row),
        schema::DEV_GENESIS.reads(key, row),
        schema::ANCHOR_SPENT.reads(key, row),
        schema::RECOVERING.reads(key, row),
    ];
    known.into_iter().flatten().collect()
}
