//! `/v1/processes/{process}/slots/{slot}/proof`: what convinces somebody who believes no node.

use ao_storage::schema;
use ao_types::hash::sha256;
use ao_types::{Canonical as _, Id, Slot};
use axum::extract::{Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::processes::{no_slot, slot_of};
use super::waits::Wait;
use crate::error::{Code, Rejection};
use crate::http::App;
use crate::http::query::{self, Query};
use crate::http::reply::{self, Native, store_failed};
use crate::http::schedule::known;
use crate::levels::level;
use crate::proofs;
use crate::shell::frames::slot_proof;

/// The proof of one slot; while it is not confirmed, 202 says how far it is.
pub async fn proof(
    State(app): State<App>,
    Path((process, slot)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Native> {
    let (id, slot) = (query::id("process", &process)?, slot_of(&slot)?);
    let asked = Query::of(&uri)?;
    if let Some(wait) = Wait::parse(&app, &asked)? {
        wait.seen(&app, id, slot).await?;
    }
    known(app.store(), &id)?;
    let alone = || {
        let text = "this node is a network of one: nobody else confirmed the slot, so nothing proves it to others";
        Rejection::new(Code::NetworkNone, text)
    };
    let genesis = app.genesis().ok_or_else(alone)?;
    let genesis = (asked.text("genesis") != Some("false")).then_some(genesis);
    let found = app.read(move |store| {
        let proof = slot_proof(store, id, slot).map_err(|error| store_failed(&error))?;
        let failed = |reason: String| Rejection::new(Code::Internal, reason);
        proof
            .map(|proof| {
                let genesis = genesis.as_deref().map(std::str::from_utf8).transpose().map_err(|error| failed(error.to_string()))?;
                let text = proofs::render(&proof, genesis).map_err(|error| failed(error.to_string()))?;
                Ok::<_, Rejection>((hex::encode(sha256(&[&proof.encode(), text.as_bytes()])), text))
            })
            .transpose()
    });
    let Some((tag, text)) = found.await? else { return waiting(&app, id, slot) };
    if reply::has_already(&headers, &tag) {
        return Ok(reply::not_modified(&tag));
    }
    Ok(reply::mark(reply::immutable(reply::json_text(text), &tag), Some(slot.0), Some("confirmed")))
}

fn waiting(app: &App, process: Id, slot: Slot) -> Result<Response, Native> {
    let level = level(app.store(), process, slot)?;
    if !schema::SCHEDULE.contains(app.store(), &(process, slot))? {
        return Err(no_slot(&process, slot).into());
    }
    let confirmed = schema::CONFIRMED.get(app.store(), &process)?.map_or(0, |last| last.0 + 1);
    let behind = (slot.0 + 1).saturating_sub(confirmed);
    let body = json!({ "process": process, "slot": slot, "position": slot, "behind": behind, "halted": null, "state": level.text() });
    let mut response = reply::with_status(StatusCode::ACCEPTED, reply::json(&body));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(reply::mark(response, None, Some(level.text())))
}
