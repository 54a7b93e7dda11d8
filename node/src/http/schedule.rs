//! Reads of a process's log in the older network's form (`interop-legacynet.md`, section 3.3).

use ao_storage::schema;
use ao_storage::typed::Key as _;
use ao_storage::{Direction, Store};
use ao_types::{Id, Slot};

use super::limits::{PAGE_BYTES_MAX, SCHEDULE_PAGE};
use super::pages::{Walk, slots_until};
use super::query::{Query, invalid, short};
use super::reply::store_failed;
use super::text::{self, Anchors};
use crate::error::{Code, Rejection};

/// What a schedule page was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    bounds: Bounds,
    limit: usize,
    anchors: Anchors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bounds {
    /// `from` exclusive, `to` inclusive, ms.
    Times(Option<u64>, Option<u64>),
    /// `from-nonce` exclusive, `to-nonce` inclusive; -1 is before the process itself.
    Slots(Option<i64>, Option<i64>),
}

impl PageRequest {
    /// Reads the parameters of `GET /P`.
    ///
    /// # Errors
    /// One of them is not of its form.
    pub fn parse(query: &Query<'_>) -> Result<Self, Rejection> {
        let signed = |name: &str| {
            query
                .text(name)
                .map(|text| {
                    text.parse::<i64>().map_err(|_| invalid(format!("'{name}': a whole number is expected, found `{}`", short(text))))
                })
                .transpose()
        };
        let slots = (signed("from-nonce")?, signed("to-nonce")?);
        let bounds = match slots {
            (None, None) => Bounds::Times(query.number("from")?, query.number("to")?),
            (from, to) => Bounds::Slots(from, to),
        };
        Ok(Self { bounds, limit: query.limit("limit", SCHEDULE_PAGE)?, anchors: anchors(query) })
    }

    /// Whether a request has any parameter of a page: then it is one, also without `process-id`.
    pub fn is_asked(query: &Query<'_>) -> bool {
        ["from", "to", "limit", "from-nonce", "to-nonce"].iter().any(|name| query.has(name))
    }
}

/// How a request wants anchors.
pub fn anchors(query: &Query<'_>) -> Anchors {
    if query.has("show-anchor") { Anchors::Assignment } else { Anchors::Text }
}

/// `{"page_info":{"has_next_page"},"edges":[{"cursor","node"}]}`.
///
/// # Errors
/// The process is unknown, or the store cannot answer.
pub fn page(store: &dyn Store, process: Id, request: &PageRequest) -> Result<Vec<u8>, Rejection> {
    known(store, &process)?;
    let failed = |error| store_failed(&error);
    let after = |time: Option<u64>, none: u64| time.map_or(Ok(none), |time| slots_until(store, &process, time));
    let slot_after = |slot: Option<i64>, none: u64| slot.map_or(none, |slot| u64::try_from(slot.saturating_add(1)).unwrap_or(0));
    let (from, to) = match request.bounds {
        Bounds::Times(from, to) => (after(from, 0).map_err(failed)?, after(to, u64::MAX).map_err(failed)?),
        Bounds::Slots(from, to) => (slot_after(from, 0), slot_after(to, u64::MAX)),
    };
    let rows = Walk::new(store, &schema::SCHEDULE, (process, Slot(from)).to_bytes(), (process, Slot(to)).to_bytes(), Direction::Forward);
    let (mut edges, mut count, mut more) = (Vec::with_capacity(64 * 1024), 0, false);
    for row in rows {
        let ((_, slot), row) = row.map_err(failed)?;
        if count == request.limit || edges.len() >= PAGE_BYTES_MAX {
            more = true;
            break;
        }
        let cursor = if matches!(request.bounds, Bounds::Slots(..)) { slot.0 } else { row.timestamp_ms };
        edges.extend_from_slice(format!("{}{{\"cursor\":\"{cursor}\",\"node\":", if count == 0 { "" } else { "," }).as_bytes());
        text::node(&mut edges, store, &process, slot, &row, request.anchors).map_err(failed)?;
        edges.push(b'}');
        count += 1;
    }
    let mut out = format!("{{\"page_info\":{{\"has_next_page\":{more}}},\"edges\":[").into_bytes();
    out.reserve(edges.len() + 2);
    out.append(&mut edges);
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// One node, by message or assignment.
///
/// # Errors
/// The process or the message is unknown, or the store cannot answer.
pub fn one(store: &dyn Store, process: Id, message: Id, anchors: Anchors) -> Result<Vec<u8>, Rejection> {
    known(store, &process)?;
    match schema::SLOT_OF.get(store, &(message, process)).map_err(|error| store_failed(&error))? {
        Some(slot) => at(store, process, slot, anchors),
        None => Err(Rejection::new(Code::MessageUnknown, format!("message {message} is not in the schedule of process {process}"))),
    }
}

/// The newest node.
///
/// # Errors
/// The process is unknown, or the store cannot answer.
pub fn latest(store: &dyn Store, process: Id, anchors: Anchors) -> Result<Vec<u8>, Rejection> {
    known(store, &process)?;
    match schema::HEADS.get(store, &process).map_err(|error| store_failed(&error))? {
        Some(head) => at(store, process, head.slot, anchors),
        None => Err(Rejection::new(Code::MessageUnknown, format!("process {process} has no assignment yet"))),
    }
}

/// `GET /processes/P`.
///
/// # Errors
/// The process is unknown, or the store cannot answer.
pub fn process(store: &dyn Store, process: Id) -> Result<Vec<u8>, Rejection> {
    let read = || {
        let Some(row) = schema::PROCESSES.get(store, &process)? else { return Ok(None) };
        Ok(text::item(store, &process)?.map(|item| (row, item)))
    };
    let (row, item) = read().map_err(|error: ao_storage::Error| store_failed(&error))?.ok_or_else(|| unknown(&process))?;
    let mut out = Vec::with_capacity(4096);
    text::process(&mut out, &item, row.timestamp_ms, row.block_height);
    Ok(out)
}

/// Refuses a process that this node does not order.
///
/// # Errors
/// `ProcessUnknown`, or the store cannot answer.
pub fn known(store: &dyn Store, process: &Id) -> Result<(), Rejection> {
    let known = schema::PROCESSES.contains(store, process).map_err(|error| store_failed(&error))?;
    if known { Ok(()) } else { Err(unknown(process)) }
}

/// The refusal for it, with the text clients of the older network look for.
pub fn unknown(process: &Id) -> Rejection {
    Rejection::new(Code::ProcessUnknown, format!("TransactionNotFound: Process {process} was not found on this node"))
}

fn at(store: &dyn Store, process: Id, slot: Slot, anchors: Anchors) -> Result<Vec<u8>, Rejection> {
    let read = || {
        let Some(row) = schema::SCHEDULE.get(store, &(process, slot))? else { return Ok(None) };
        let mut out = Vec::with_capacity(8 * 1024);
        text::node(&mut out, store, &process, slot, &row, anchors)?;
        Ok(Some(out))
    };
    read()
        .map_err(|error: ao_storage::Error| store_failed(&error))?
        .ok_or_else(|| Rejection::new(Code::MessageUnknown, format!("process {process} has no slot {slot}")))
}
