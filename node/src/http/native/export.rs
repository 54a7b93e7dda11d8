//! Signed bytes as they are: what somebody who trusts nobody checks offline (`aonode verify`).
//!
//! A log leaves as an ANS-104 bundle: for each slot its assignment, then the item that has the slot. The tables of JSON that the units
//! serve cannot do this, since they do not carry everything that was signed.

use ao_storage::Direction;
use ao_storage::schema;
use ao_storage::typed::{Key as _, after_prefix};
use ao_types::{DataItem, Slot, Verified, bundle};
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::Response;

use crate::error::{Code, Rejection};
use crate::http::App;
use crate::http::limits::PAGE_BYTES_MAX;
use crate::http::pages::Walk;
use crate::http::query::{self, Query};
use crate::http::reply::{self, Native, store_failed};
use crate::http::schedule::known;

/// Slots of one bundle: default and most.
const SLOTS: (usize, usize) = (100, 500);
/// The first slot of the next bundle; absent from the last.
const NEXT_SLOT: HeaderName = HeaderName::from_static("x-next-slot");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The signed bytes of one item.
pub async fn item(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Native> {
    let id = query::id("id", &id)?;
    let bytes = app.read(move |store| schema::ITEMS.get(store, &id).map_err(|error| store_failed(&error))).await?;
    let bytes = bytes.ok_or_else(|| Rejection::new(Code::ItemUnknown, format!("this node does not have item {id}")))?;
    Ok(reply::immutable(reply::bytes(OCTETS, bytes), &id.to_string()))
}

/// Assignments and items of a process from a slot on.
pub async fn log(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Result<Response, Native> {
    let process = query::id("process", &process)?;
    let asked = Query::of(&uri)?;
    let from = Slot(asked.number("from")?.unwrap_or(0));
    let limit = asked.limit("limit", SLOTS)?;
    let (bytes, next) = app
        .read(move |store| {
            known(store, &process)?;
            let failed = |error: ao_storage::Error| store_failed(&error);
            let rows = Walk::new(store, &schema::SCHEDULE, (process, from).to_bytes(), after_prefix(&process.0), Direction::Forward);
            let (mut items, mut bytes, mut slots) = (Vec::new(), 0, 0);
            for row in rows {
                let ((_, slot), row) = row.map_err(failed)?;
                if slots == limit || bytes >= PAGE_BYTES_MAX {
                    return Ok((bundle::build(&items), Some(slot)));
                }
                slots += 1;
                // An item of the base layer has a slot and no bytes here.
                for part in [Some(row.assignment), schema::ITEMS.get(store, &row.item).map_err(failed)?].into_iter().flatten() {
                    bytes += part.len();
                    items.push(Verified::<DataItem>::reload(part).map_err(|error| {
                        Rejection::new(Code::Internal, format!("slot {slot} of {process} does not hold an item: {error}"))
                    })?);
                }
            }
            Ok((bundle::build(&items), None))
        })
        .await?;
    let mut response = reply::bytes(OCTETS, bytes);
    if let Some(next) = next {
        response.headers_mut().insert(NEXT_SLOT, HeaderValue::from(next.0));
    }
    Ok(response)
}
