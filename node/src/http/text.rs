//! Items as the older network's scheduler shows them (`interop-legacynet.md`, section 3), written straight into the answer's bytes.

use std::io::Write as _;

use ao_storage::schema::{self, ScheduleRow};
use ao_storage::{Error, Store};
use ao_types::data_item::{DataItem, Profile};
use ao_types::{Id, Slot};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

/// How an anchor is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchors {
    /// As text where it is UTF-8, else `null`.
    Text,
    /// `show-anchor`: the assignment's in base64url.
    Assignment,
}

/// An item as the store has it. Our own rows: not verified again.
///
/// # Errors
/// The store cannot answer, or the row is not an item.
pub fn item(store: &dyn Store, id: &Id) -> Result<Option<DataItem>, Error> {
    schema::ITEMS.get(store, id)?.map(|bytes| stored(bytes, &id.to_string())).transpose()
}

/// Stored bytes as an item.
///
/// # Errors
/// They are not one.
pub fn stored(bytes: Bytes, place: &str) -> Result<DataItem, Error> {
    DataItem::parse(bytes, Profile::Archive).map_err(|error| Error::Corrupt {
        what: "item".into(),
        place: place.into(),
        reason: error.to_string(),
    })
}

/// `{"message": … | null, "assignment": …}` of one slot.
///
/// # Errors
/// The store cannot answer, or a row is not what it should be.
pub fn node(out: &mut Vec<u8>, store: &dyn Store, process: &Id, slot: Slot, row: &ScheduleRow, anchors: Anchors) -> Result<(), Error> {
    out.extend_from_slice(b"{\"message\":");
    let item = item(store, &row.item)?;
    // Items that were sent elsewhere and only assigned here are not the scheduler's to show.
    match item.filter(|item| slot == Slot(0) || item.target() == Some(*process)) {
        Some(item) => message(out, &item, slot == Slot(0)),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"assignment\":");
    let signed = stored(row.assignment.clone(), &format!("schedule of {process}, slot {slot}"))?;
    head(out, "id", &signed);
    tags(out, &signed);
    signature(out, &signed);
    out.extend_from_slice(b",\"anchor\":");
    match (anchors, signed.anchor()) {
        (_, None) => out.extend_from_slice(b"null"),
        (Anchors::Assignment, Some(bytes)) => base64(out, bytes),
        (Anchors::Text, Some(bytes)) => anchor(out, Some(bytes)),
    }
    out.extend_from_slice(b",\"target\":\"\"}}");
    Ok(())
}

fn message(out: &mut Vec<u8>, item: &DataItem, is_process: bool) {
    head(out, "id", item);
    out.extend_from_slice(b",\"data\":");
    data(out, item.data(), is_process);
    tags(out, item);
    signature(out, item);
    out.extend_from_slice(b",\"anchor\":");
    anchor(out, item.anchor());
    out.extend_from_slice(b",\"target\":");
    target(out, item);
    out.push(b'}');
}

/// `GET /processes/P`.
pub fn process(out: &mut Vec<u8>, item: &DataItem, timestamp_ms: u64, block_height: u64) {
    let _ = write!(out, "{{\"process_id\":\"{}\",\"block\":\"{block_height:012}\",\"owner\":", item.id());
    owner(out, item);
    tags(out, item);
    let _ = write!(out, ",\"timestamp\":{timestamp_ms},\"data\":");
    data(out, item.data(), true);
    out.extend_from_slice(b",\"anchor\":");
    anchor(out, item.anchor());
    signature(out, item);
    out.extend_from_slice(b",\"target\":");
    target(out, item);
    out.push(b'}');
}

/// A JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail, and every str has a JSON form.
    let _ = serde_json::to_writer(out, text);
}

/// Bytes as base64url in a JSON string.
pub fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len() + 1;
    let length = bytes.len().div_ceil(3) * 4;
    out.push(b'"');
    out.resize(start + length, 0);
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

fn head(out: &mut Vec<u8>, name: &str, item: &DataItem) {
    let _ = write!(out, "{{\"{name}\":\"{}\",\"owner\":", item.id());
    owner(out, item);
}

fn owner(out: &mut Vec<u8>, item: &DataItem) {
    let _ = write!(out, "{{\"address\":\"{}\",\"key\":", item.address());
    base64(out, item.owner());
    out.push(b'}');
}

fn tags(out: &mut Vec<u8>, item: &DataItem) {
    out.extend_from_slice(b",\"tags\":[");
    for (at, tag) in item.tags().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"name\":" } else { b",{\"name\":" });
        string(out, &tag.name_text());
        out.extend_from_slice(b",\"value\":");
        string(out, &tag.value_text());
        out.push(b'}');
    }
    out.push(b']');
}

fn signature(out: &mut Vec<u8>, item: &DataItem) {
    out.extend_from_slice(b",\"signature\":");
    base64(out, item.signature());
}

fn data(out: &mut Vec<u8>, data: &[u8], is_process: bool) {
    match std::str::from_utf8(data) {
        Ok(text) => string(out, text),
        Err(_) if is_process => out.extend_from_slice(b"null"),
        Err(_) => string(out, &String::from_utf8_lossy(data)),
    }
}

fn anchor(out: &mut Vec<u8>, anchor: Option<&[u8; 32]>) {
    match anchor.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn target(out: &mut Vec<u8>, item: &DataItem) {
    match item.target() {
        Some(target) => {
            let _ = write!(out, "\"{target}\"");
        }
        None => out.extend_from_slice(b"null"),
    }
}
