//! `/v1/messages`, and spawning.

use ao_storage::{Store, schema};
use ao_types::data_item::{DataItem, Profile};
use ao_types::{Id, Slot};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

use super::waits::{Wait, Waited};
use crate::error::{Code, Rejection};
use crate::handle::Via;
use crate::http::limits::ITEM_BYTES_MAX;
use crate::http::query::{self, Query};
use crate::http::reply::{self, Native, store_failed};
use crate::http::{App, body, text, trace};
use crate::levels::{Level, level};

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
    let wait = Wait::parse(&app, &Query::of(request.uri())?)?;
    let held = body::collect(&app, request, ITEM_BYTES_MAX).await?;
    if let Some(kind) = kind {
        let item = parse(held.bytes.clone())?;
        let found = item.tag("Type").or_else(|| item.tag("type")).unwrap_or_default();
        if found != kind {
            return Err(Rejection::new(Code::TagInvalid, format!("`Type` is `{}`; `{kind}` is expected here", query::short(found))).into());
        }
    }
    let taken = match app.backend.submit(held.bytes.clone(), Via::Client).await {
        Ok(accepted) => Taken {
            level: if accepted.slot.is_some() { Level::Assigned } else { Level::Received },
            place: accepted.process.zip(accepted.slot),
            id: accepted.id,
            assignment: accepted.assignment,
            timestamp_ms: Some(accepted.timestamp_ms),
        },
        // The very same item again: the answer of the first time. Equal content under another id is still refused.
        Err(rejection) if rejection.code == Code::Duplicate => {
            let id = parse(held.bytes.clone())?.id();
            let (process, slot) = *trace::logs(app.store(), id)?.first().ok_or(rejection)?;
            let row = schema::SCHEDULE.get(app.store(), &(process, slot))?;
            Taken {
                level: level(app.store(), process, slot)?,
                place: Some((process, slot)),
                id,
                assignment: row.as_ref().map(|row| row.assignment_id),
                timestamp_ms: row.map(|row| row.timestamp_ms),
            }
        }
        Err(rejection) => return Err(rejection.into()),
    };
    drop(held);
    let waited = match (wait, taken.place) {
        (Some(wait), Some((process, slot))) => Some(wait.assigned(&app, process, slot).await?),
        (Some(wait), None) => Some(wait.in_no_log()),
        (None, _) => None,
    };
    Ok(taken.answer(waited.as_ref()))
}

/// An item that is durable.
struct Taken {
    id: Id,
    place: Option<(Id, Slot)>,
    assignment: Option<Id>,
    timestamp_ms: Option<u64>,
    level: Level,
}

impl Taken {
    fn answer(&self, waited: Option<&Waited>) -> Response {
        let state = waited.map_or(self.level, |waited| waited.level().max(self.level)).text();
        let mut fields = json!({
            "id": self.id, "process": self.place.map(|(process, _)| process), "slot": self.place.map(|(_, slot)| slot),
            "assignment": self.assignment, "timestamp": self.timestamp_ms, "state": state,
            "status_url": format!("/v1/messages/{}", self.id),
        });
        if let Some(waited) = waited {
            fields["wait"] = waited.shown();
        }
        let answer = reply::mark(reply::json(&fields), self.place.map(|(_, slot)| slot.0), Some(state));
        match waited {
            Some(waited) => waited.mark(answer),
            None => reply::with_status(StatusCode::ACCEPTED, answer),
        }
    }
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
            let places = trace::logs(store, id)?;
            // The best level of any log is the message's.
            let levels = places.iter().map(|(process, slot)| level(store, *process, *slot)).collect::<Result<Vec<_>, _>>()?;
            let state = levels.into_iter().max().unwrap_or(Level::Received);
            let logs = places.into_iter().map(|(process, slot)| trace::entry(store, process, slot));
            let logs = logs.collect::<Result<Vec<_>, _>>()?;
            let tags = text::item(store, &id)?
                .map(|item| item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect::<Vec<_>>());
            Ok(Some(json!({
                "id": id, "kind": format!("{:?}", row.kind).to_lowercase(), "owner": row.owner.to_string(), "target": row.recipient,
                "received": row.received_ms, "state": state.text(), "tags": tags, "logs": logs,
            })))
        };
        read().map_err(|error| store_failed(&error))
    });
    let shown = shown.await?.ok_or_else(|| unknown(id))?;
    let state = shown.get("state").and_then(serde_json::Value::as_str).map(str::to_owned);
    Ok(reply::mark(reply::json(&shown), None, state.as_deref()))
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
