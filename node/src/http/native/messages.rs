//! `/v1/messages`, and spawning.

use ao_storage::{Store, schema};
use ao_types::Id;
use ao_types::data_item::{DataItem, Profile};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

use crate::error::{Code, Rejection};
use crate::handle::Via;
use crate::http::limits::ITEM_BYTES_MAX;
use crate::http::query;
use crate::http::reply::{self, Native, store_failed};
use crate::http::{App, body, text, trace};

/// Takes a message.
pub async fn post_message(State(app): State<App>, request: Request) -> Result<Response, Native> {
    take(app, request, None).await
}

/// Spawns a process.
pub async fn post_process(State(app): State<App>, request: Request) -> Result<Response, Native> {
    take(app, request, Some("Process")).await
}

async fn take(app: App, request: Request, kind: Option<&str>) -> Result<Response, Native> {
    app.writable()?;
    let held = body::collect(&app, request, ITEM_BYTES_MAX).await?;
    if let Some(kind) = kind {
        let item = parse(held.bytes.clone())?;
        let found = item.tag("Type").or_else(|| item.tag("type")).unwrap_or_default();
        if found != kind {
            return Err(Rejection::new(Code::TagInvalid, format!("`Type` is `{}`; `{kind}` is expected here", query::short(found))).into());
        }
    }
    let (id, status) = match app.backend.submit(held.bytes.clone(), Via::Client).await {
        Ok(accepted) => (
            accepted.id,
            json!({
                "id": accepted.id, "process": accepted.process, "slot": accepted.slot, "assignment": accepted.assignment,
                "timestamp": accepted.timestamp_ms, "state": if accepted.slot.is_some() { "assigned" } else { "received" },
            }),
        ),
        // The very same item again: the answer of the first time. Equal content under another id is still refused.
        Err(rejection) if rejection.code == Code::Duplicate => {
            let id = parse(held.bytes.clone())?.id();
            let (process, slot) = *trace::logs(app.store(), id)?.first().ok_or(rejection)?;
            let row = schema::SCHEDULE.get(app.store(), &(process, slot))?;
            (
                id,
                json!({
                    "id": id, "process": process, "slot": slot, "assignment": row.as_ref().map(|row| row.assignment_id),
                    "timestamp": row.map(|row| row.timestamp_ms), "state": trace::level(app.store(), process, slot)?,
                }),
            )
        }
        Err(rejection) => return Err(rejection.into()),
    };
    let mut status = status;
    if let Some(fields) = status.as_object_mut() {
        fields.insert("status_url".into(), json!(format!("/v1/messages/{id}")));
    }
    Ok(reply::with_status(StatusCode::ACCEPTED, reply::json(&status)))
}

fn parse(bytes: Bytes) -> Result<DataItem, Rejection> {
    DataItem::parse(bytes, Profile::Strict).map_err(|error| Rejection::new(Code::ItemMalformed, error.to_string()))
}

/// How far a message is.
pub async fn one(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Native> {
    let id = query::id("id", &id)?;
    let shown = app.read(move |store| {
        let read = || -> Result<_, ao_storage::Error> {
            let Some(row) = schema::ITEM_INDEX.get(store, &id)? else { return Ok(None) };
            let logs = trace::logs(store, id)?.into_iter().map(|(process, slot)| trace::entry(store, process, slot));
            let logs = logs.collect::<Result<Vec<_>, _>>()?;
            let tags = text::item(store, &id)?
                .map(|item| item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect::<Vec<_>>());
            Ok(Some(json!({
                "id": id, "kind": format!("{:?}", row.kind).to_lowercase(), "owner": row.owner.to_string(), "target": row.recipient,
                "received": row.received_ms, "state": if logs.is_empty() { "received" } else { "assigned" }, "tags": tags, "logs": logs,
            })))
        };
        read().map_err(|error| store_failed(&error))
    });
    let mut shown = shown.await?.ok_or_else(|| unknown(id))?;
    // The best level of any log is the message's.
    if shown.pointer("/logs").and_then(serde_json::Value::as_array).is_some_and(|logs| logs.iter().any(|log| log["state"] == "confirmed")) {
        shown["state"] = json!("confirmed");
    }
    Ok(reply::json(&shown))
}

/// A message and everything that came of it.
pub async fn trace(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Native> {
    let id = query::id("id", &id)?;
    let found = app.read(move |store| trace::tree(store, id).map_err(|error| store_failed(&error))).await?;
    match found {
        Some(tree) => Ok(reply::json(&tree)),
        None if stored(app.store(), &id)? => Ok(reply::json(&json!({ "id": id, "entries": [], "more": false }))),
        None => Err(unknown(id).into()),
    }
}

fn stored(store: &dyn Store, id: &Id) -> Result<bool, ao_storage::Error> {
    schema::ITEM_INDEX.contains(store, id)
}

fn unknown(id: Id) -> Rejection {
    Rejection::new(Code::ItemUnknown, format!("this node does not have item {id}"))
}
