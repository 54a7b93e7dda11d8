//! `/v1/processes`.

use ao_storage::schema::{self, EvaluationKey, EvaluationRow, OutboxKey, OutboxKind};
use ao_storage::typed::{Key as _, after_prefix};
use ao_storage::{Error, Store};
use ao_types::{Id, Slot};
use axum::extract::{Path, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::list::Asked;
use super::waits::Wait;
use crate::error::{Code, Rejection};
use crate::http::query::{self, Query, invalid, short};
use crate::http::reply::{self, Native, store_failed};
use crate::http::schedule::known;
use crate::http::{App, cu, text, trace};
use crate::levels::{Level, level};
use crate::shell::begin;

type Answer = Result<Response, Native>;

/// The list of processes.
pub async fn list(State(app): State<App>, uri: Uri) -> Answer {
    let asked = Asked::parse(&Query::of(&uri)?)?;
    let page = app.read(move |store| {
        // Cursors are as long as keys, and a list over a whole table has no bounds to tell that by.
        asked.page(store, &schema::PROCESSES, vec![0; 32], Vec::new(), |id, row| {
            let head = schema::HEADS.get(store, id)?;
            Ok(Some(json!({ "id": id, "owner": row.owner.to_string(), "module": row.module, "slot": head.map(|head| head.slot) })))
        })
    });
    Ok(reply::json(&page.await?))
}

/// One process.
pub async fn one(State(app): State<App>, Path(process): Path<String>) -> Answer {
    let id = query::id("process", &process)?;
    let shown = app.read(move |store| {
        known(store, &id)?;
        describe(store, id).map_err(|error| store_failed(&error))
    });
    let shown = shown.await?;
    let slot = shown.pointer("/head/slot").and_then(Value::as_u64);
    Ok(reply::mark(reply::json(&shown), slot, shown.get("state").and_then(Value::as_str)))
}

fn describe(store: &dyn Store, id: Id) -> Result<Value, Error> {
    let Some(row) = schema::PROCESSES.get(store, &id)? else { return Ok(Value::Null) };
    let head = schema::HEADS.get(store, &id)?;
    let evaluated = schema::EVALUATION_HEADS.get(store, &id)?;
    let tags = text::item(store, &id)?
        .map(|item| item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect::<Vec<_>>());
    let state = head.as_ref().map(|head| level(store, id, head.slot).map(Level::text)).transpose()?;
    Ok(json!({
        "id": id, "owner": row.owner.to_string(), "module": row.module, "scheduler": row.scheduler, "parent": row.parent,
        "timestamp": row.timestamp_ms, "block_height": row.block_height, "has_cron": row.has_cron,
        "monitored": schema::MONITORS.contains(store, &id)?,
        "tags": tags,
        "state": state,
        "confirmed_slot": schema::CONFIRMED.get(store, &id)?,
        "head": head.map(|head| json!({
            "slot": head.slot, "schedule_epoch": head.schedule_epoch, "assignment": head.assignment, "hash_chain": Id(head.hash_chain),
            "timestamp": head.timestamp_ms, "block_height": head.block_height,
        })),
        "anchored_state": schema::ANCHORED_STATES.get(store, &id)?.map(|row| json!({
            "slot": row.slot, "state_hash": row.state.to_string(), "at": row.at_ms, "record": row.record,
        })),
        "backfill": begin::gap(store, id)?.map(|gap| backfill(&gap)),
        "evaluated": evaluated.map(|head| json!({ "slot": head.slot, "cron": head.cron, "halted": head.halted })),
    }))
}

/// The log.
pub async fn slots(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Answer {
    let id = query::id("process", &process)?;
    let asked = Asked::parse(&Query::of(&uri)?)?;
    let page = app.read(move |store| {
        known(store, &id)?;
        let from = (id, Slot(0)).to_bytes();
        asked.page(store, &schema::SCHEDULE, from, after_prefix(&id.0), |(_, slot), row| {
            Ok(Some(json!({
                "slot": slot, "message": row.item, "assignment": row.assignment_id, "timestamp": row.timestamp_ms,
                "block_height": row.block_height, "state": level(store, id, *slot)?.text(),
                "pushed_by": row.pushed_by.map(|key| json!({ "process": key.process, "slot": key.slot, "index": key.index })),
            })))
        })
    });
    Ok(reply::json(&page.await?))
}

pub(super) fn slot_of(text: &str) -> Result<Slot, Rejection> {
    text.parse().map(Slot).map_err(|_| invalid(format!("'slot': a whole number is expected, found `{}`", short(text))))
}

/// One slot of the log; with `wait`, when it is there and far enough.
pub async fn slot(State(app): State<App>, Path((process, slot)): Path<(String, String)>, uri: Uri) -> Answer {
    let (id, slot) = (query::id("process", &process)?, slot_of(&slot)?);
    let waited = match Wait::parse(&app, &Query::of(&uri)?)? {
        Some(wait) => Some(wait.seen(&app, id, slot).await?),
        None => None,
    };
    known(app.store(), &id)?;
    let mut entry = trace::entry(app.store(), id, slot)?.ok_or_else(|| no_slot(&id, slot))?;
    if let Some(waited) = &waited {
        entry.insert("wait".into(), waited.shown());
    }
    let state = entry.get("state").and_then(Value::as_str).map(str::to_owned);
    let answer = reply::mark(reply::json(&entry), Some(slot.0), state.as_deref());
    Ok(match waited {
        Some(waited) => waited.mark(answer),
        None => answer,
    })
}

pub(super) fn no_slot(process: &Id, slot: Slot) -> Rejection {
    Rejection::new(Code::MessageUnknown, format!("process {process} has no slot {slot} yet"))
}

/// The results.
pub async fn results(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Answer {
    let id = query::id("process", &process)?;
    let asked = Asked::parse(&Query::of(&uri)?)?;
    let page = app.read(move |store| {
        known(store, &id)?;
        let from = EvaluationKey { process: id, slot: Slot(0), cron: 0 }.to_bytes();
        let mut page = asked.page(store, &schema::EVALUATIONS, from, after_prefix(&id.0), |key, row| Ok(Some(result_fields(key, &row))))?;
        // Slots that are not on the page although later ones are: said, and not left to be noticed.
        if let Some(gap) = begin::gap(store, id).map_err(|error| store_failed(&error))? {
            page["backfill"] = backfill(&gap);
        }
        Ok(page)
    });
    Ok(reply::json(&page.await?))
}

fn result_fields(key: &EvaluationKey, row: &EvaluationRow) -> Value {
    json!({
        "slot": key.slot, "cron": if key.cron == 0 { Value::Null } else { json!({ "ordinal": key.cron, "identity": row.cron }) },
        "message": row.message, "timestamp": row.timestamp_ms, "block_height": row.block_height, "failed": row.failed, "fuel": row.fuel,
        "result_hash": row.result_hash.to_string(), "state_hash": row.state_hash.map(|hash| hash.to_string()),
        "result": serde_json::from_slice::<Value>(&row.json).unwrap_or(Value::Null),
    })
}

/// The result of one slot: the stored text inside, as it is. It never changes, so it has an ETag; while it is not there, 202 says where
/// the process is.
pub async fn result(State(app): State<App>, Path((process, slot)): Path<(String, String)>, headers: HeaderMap) -> Answer {
    let (id, slot) = (query::id("process", &process)?, slot_of(&slot)?);
    known(app.store(), &id)?;
    let key = EvaluationKey { process: id, slot, cron: 0 };
    let state = level(app.store(), id, slot)?.text();
    let Some(row) = schema::EVALUATIONS.get(app.store(), &key)? else {
        if !schema::SCHEDULE.contains(app.store(), &(id, slot))? {
            return Err(no_slot(&id, slot).into());
        }
        return Ok(reply::mark(waiting(&app, id, slot)?, None, Some(state)));
    };
    let tag = row.result_hash.to_string();
    if reply::has_already(&headers, &tag) {
        return Ok(reply::not_modified(&tag));
    }
    let text = std::str::from_utf8(&row.json).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok());
    let shown = json!({
        "process": id, "slot": slot, "message": row.message, "timestamp": row.timestamp_ms, "block_height": row.block_height,
        "failed": row.failed, "fuel": row.fuel, "result_hash": tag, "state_hash": row.state_hash.map(|hash| hash.to_string()),
    });
    #[derive(serde::Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        fields: &'a Value,
        result: Option<Box<RawValue>>,
    }
    let response = reply::json(&Shown { fields: &shown, result: text });
    Ok(reply::mark(reply::immutable(response, &tag), Some(slot.0), Some(state)))
}

/// Pending is not an empty result: 202, when to ask again, and how far the process is.
fn waiting(app: &App, process: Id, slot: Slot) -> Result<Response, Native> {
    let evaluated = schema::EVALUATION_HEADS.get(app.store(), &process)?;
    let done = evaluated.as_ref().map_or(0, |head| head.slot.0 + 1);
    let halted = evaluated.and_then(|head| head.halted);
    let gap = begin::gap_at(app.store(), process, slot)?;
    let body = json!({
        "process": process, "slot": slot, "position": slot, "behind": (slot.0 + 1).saturating_sub(done), "halted": halted,
        "backfill": gap.map(|gap| backfill(&gap)),
    });
    let mut response = reply::with_status(StatusCode::ACCEPTED, reply::json(&body));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    Ok(response)
}

/// What is being worked out before a checkpoint at which evaluation began.
fn backfill(gap: &begin::Gap) -> Value {
    json!({ "done": gap.done, "of": gap.of, "checkpoint": gap.last })
}

/// Entries still to be delivered.
pub async fn outbox(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Answer {
    let id = query::id("process", &process)?;
    let asked = Asked::parse(&Query::of(&uri)?)?;
    let page = app.read(move |store| {
        known(store, &id)?;
        let from = OutboxKey { process: id, slot: Slot(0), cron: 0, kind: OutboxKind::Message, index: 0, part: 0 }.to_bytes();
        asked.page(store, &schema::OUTBOX, from, after_prefix(&id.0), |key, row| {
            Ok(Some(json!({
                "slot": key.slot, "cron": key.cron, "kind": format!("{:?}", key.kind).to_lowercase(), "index": key.index, "part": key.part,
                "attempts": row.attempts, "not_before": row.not_before_ms, "pushed_for": row.pushed_for,
            })))
        })
    });
    Ok(reply::json(&page.await?))
}

/// A dry run.
pub async fn dry_run(State(app): State<App>, Path(process): Path<String>, request: Request) -> Answer {
    let id = query::id("process", &process)?;
    let uri = request.uri().clone();
    let to = Query::of(&uri)?.text("to").map(str::to_owned);
    Ok(reply::json_text(cu::run(&app, id, to, request).await?))
}
