//! Rows that more than one transition writes.

use ao_storage::WriteBatch;
use ao_storage::schema::{self, ItemRow};
use ao_types::{DataItem, Verified};

use super::input::Indexed;

/// An item's bytes, and its place in every index of the gateway.
pub fn put_item(
    rows: &mut WriteBatch,
    item: &Verified<DataItem>,
    index: &Indexed,
    sequence: u64,
    received_ms: u64,
    block_height: Option<u64>,
) {
    let Indexed { kind, owner, recipient, tags } = index;
    let id = item.id();
    schema::ITEMS.put(rows, &id, item.as_bytes());
    let row = ItemRow { kind: *kind, owner: *owner, recipient: *recipient, received_ms, sequence, block_height };
    schema::ITEM_INDEX.put(rows, &id, &row);
    schema::SEQUENCE.put(rows, &sequence, &id);
    schema::OWNER_INDEX.put(rows, &(*owner, sequence), &id);
    if let Some(recipient) = recipient {
        schema::RECIPIENT_INDEX.put(rows, &(*recipient, sequence), &id);
    }
    for tag in tags {
        schema::TAG_INDEX.put(rows, &(*tag, sequence), &id);
    }
}
