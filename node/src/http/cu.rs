//! The compute unit's routes (`interop-legacynet.md`, section 4): `/cu`, and the same at the root.
//!
//! Clients here do not look at the status: whatever JSON comes is the result. So errors have the legacy form, and a result is the stored
//! bytes, as they are.

use std::borrow::Cow;

use ao_storage::schema::{self, EvaluationKey};
use ao_storage::typed::Key as _;
use ao_storage::{Direction, Store};
use ao_types::{Id, Invocation, Slot, Tag};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cursor::{ResultBound, ResultCursor, Sort};
use super::limits::{CRON_PAGE, ITEM_BYTES_MAX, PAGE_BYTES_MAX, RESULTS_PAGE};
use super::pages::{Range, Walk, slots_until};
use super::query::{self, Query, invalid, short};
use super::reply::{self, Legacy, store_failed};
use super::schedule::{known, unknown};
use super::{App, body, place, su};
use crate::error::{Code, Rejection};

/// Routes under `/cu`.
pub fn routes() -> Router<App> {
    Router::new().route("/", get(information)).merge(shared())
}

/// Routes that mean the same at the root.
pub fn shared() -> Router<App> {
    Router::new()
        .route("/result/{message}", get(result))
        .route("/results/{process}", get(results))
        .route("/cron/{process}", get(cron))
        .route("/state/{process}", get(state))
        .route("/dry-run", post(dry_run))
}

async fn information(State(app): State<App>) -> Response {
    reply::json(&json!({ "address": app.backend.identity().messenger.to_string(), "timestamp": su::now_ms() }))
}

/// `GET /result/{message}?process-id=P[&no-busy]`. Holds the request open while the message is being evaluated.
async fn result(State(app): State<App>, Path(message): Path<String>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let message = query::id("messageTxId", &message)?;
    let process = query.id_required("process-id")?;
    let (_, json) = wait_for(&app, process, message).await?;
    Ok(reply::bytes(reply::JSON, json))
}

/// A result and its slot: from the store if it is there, else when it is.
///
/// # Errors
/// The process or message is unknown, too many wait, or the node could not evaluate.
pub async fn wait_for(app: &App, process: Id, message: Id) -> Result<(Slot, Bytes), Rejection> {
    crate::shell::panics::here("http");
    if let Some(found) = stored(app.store(), process, message).map_err(|error| store_failed(&error))? {
        return Ok(found);
    }
    let _place = place(&app.waiters, "requests that wait for a result")?;
    let evaluation = tokio::select! {
        evaluation = app.backend.result(process, message) => evaluation?,
        () = app.stop.cancelled() => return Err(Rejection::retry(Code::Unavailable, "this node is about to stop", 5)),
    };
    Ok((evaluation.slot, evaluation.json))
}

fn stored(store: &dyn Store, process: Id, message: Id) -> Result<Option<(Slot, Bytes)>, ao_storage::Error> {
    let Some(slot) = schema::SLOT_OF.get(store, &(message, process))? else { return Ok(None) };
    let row = schema::EVALUATIONS.get(store, &EvaluationKey { process, slot, cron: 0 })?;
    Ok(row.map(|row| (slot, row.json)))
}

struct Asked {
    process: Id,
    from: Option<ResultBound>,
    to: Option<ResultBound>,
    sort: Sort,
    limit: usize,
    only_cron: bool,
}

/// `GET /results/P?from=&to=&sort=&limit=`: evaluations already made.
async fn results(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let bound = |name| query.text(name).map(|text| ResultBound::parse(name, text)).transpose();
    let (from, to) = (bound("from")?, bound("to")?);
    // The sort inside a cursor wins: a client that pages on need not repeat it.
    let inside = |bound: &Option<ResultBound>| match bound {
        Some(ResultBound::Cursor(cursor)) => cursor.sort,
        _ => None,
    };
    let asked = query.text("sort").map(Sort::parse).transpose()?;
    let sort = inside(&from).or_else(|| inside(&to)).or(asked).unwrap_or(Sort::Ascending);
    let limit = query.limit("limit", RESULTS_PAGE)?;
    let asked = Asked { process: query::id("processId", &process)?, from, to, sort, limit, only_cron: false };
    Ok(reply::json_text(app.read(move |store| page(store, &asked)).await?))
}

/// `GET /cron/P?from=&to=&limit=`: results of cron messages, evaluated up to now, oldest first.
async fn cron(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let bound = |name| query.text(name).map(|text| ResultBound::parse(name, text)).transpose();
    let (from, to) = (bound("from")?, bound("to")?);
    let process = query::id("processId", &process)?;
    let limit = query.limit("limit", CRON_PAGE)?;
    let row = schema::PROCESSES.get(app.store(), &process)?.ok_or_else(|| unknown(&process))?;
    if row.has_cron {
        let _place = place(&app.waiters, "requests that wait for a result")?;
        app.backend.run_cron(process).await?;
    }
    let asked = Asked { process, from, to, sort: Sort::Ascending, limit, only_cron: true };
    Ok(reply::json_text(app.read(move |store| page(store, &asked)).await?))
}

/// `{"pageInfo":{"hasNextPage"},"edges":[{"node","cursor"}]}`: results that did not end in an error, without their gas.
fn page(store: &dyn Store, asked: &Asked) -> Result<Vec<u8>, Rejection> {
    let range = Range::resolve(store, asked.process, asked.from.as_ref(), asked.to.as_ref(), asked.sort)?;
    let (mut edges, mut count, mut more) = (Vec::with_capacity(16 * 1024), 0, false);
    for row in range.rows(store) {
        let (key, row) = row.map_err(|error| store_failed(&error))?;
        if row.failed || asked.only_cron && key.cron == 0 {
            continue;
        }
        if count == asked.limit || edges.len() >= PAGE_BYTES_MAX {
            more = true;
            break;
        }
        let cursor = ResultCursor { timestamp: row.timestamp_ms, ordinate: key.slot.to_string(), cron: row.cron, sort: Some(range.sort) };
        edges.extend_from_slice(if count == 0 { b"{\"node\":" } else { b",{\"node\":" });
        edges.extend_from_slice(&without_gas(&row.json));
        edges.extend_from_slice(format!(",\"cursor\":\"{}\"}}", cursor.encode()).as_bytes());
        count += 1;
    }
    let mut out = format!("{{\"pageInfo\":{{\"hasNextPage\":{more}}},\"edges\":[").into_bytes();
    out.reserve(edges.len() + 2);
    out.append(&mut edges);
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// A stored result without its member `GasUsed`. A result without an error ends in it, so it is cut off, not parsed.
fn without_gas(json: &[u8]) -> Cow<'_, [u8]> {
    const NAME: &[u8] = b",\"GasUsed\":";
    if let Some(inner) = json.strip_suffix(b"}") {
        let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let rest = &inner[..inner.len() - digits];
        if let Some(head) = rest.strip_suffix(NAME).filter(|_| digits > 0) {
            let mut out = Vec::with_capacity(head.len() + 1);
            out.extend_from_slice(head);
            out.push(b'}');
            return Cow::Owned(out);
        }
    }
    let Ok(mut fields) = serde_json::from_slice::<serde_json::Map<String, Value>>(json) else { return Cow::Borrowed(json) };
    match fields.shift_remove("GasUsed") {
        Some(_) => Cow::Owned(Value::Object(fields).to_string().into_bytes()),
        None => Cow::Borrowed(json),
    }
}

/// `GET /state/P[?to=ms]`: raw memory.
async fn state(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let process = query::id("processId", &process)?;
    known(app.store(), &process)?;
    let at = match query.number("to")? {
        None => None,
        Some(time) => {
            let slots = slots_until(app.store(), &process, time)?;
            Some(Slot(slots.checked_sub(1).ok_or_else(|| invalid("'to': the process did not exist then"))?))
        }
    };
    let _place = place(&app.dry_runs, "reads of a state")?;
    let (memory, slot) = app.backend.state(process, at).await?;
    let row = schema::EVALUATIONS.get(app.store(), &EvaluationKey { process, slot, cron: 0 })?;
    let (timestamp, height) = row.map_or((0, 0), |row| (row.timestamp_ms, row.block_height));
    let mut response = reply::bytes(reply::OCTETS, memory);
    for (name, value) in [("last-timestamp", timestamp), ("last-ordinate", slot.0), ("last-block-height", height)] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    Ok(response)
}

/// The body of a dry run. Absent members have the values that aoconnect puts there when its caller gave none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DryRun {
    id: Option<String>,
    signature: Option<String>,
    owner: Option<String>,
    target: Option<String>,
    anchor: Option<String>,
    data: Option<Value>,
    #[serde(default)]
    tags: Vec<Tag>,
    timestamp: Option<Value>,
    #[serde(rename = "Block-Height")]
    block_height: Option<Value>,
}

const ABSENT: &str = "1234";

/// `POST /dry-run?process-id=P[&to=M]`.
async fn dry_run(State(app): State<App>, request: Request) -> Result<Response, Legacy> {
    let uri = request.uri().clone();
    let query = Query::of(&uri)?;
    let process = query.id_required("process-id")?;
    let to = query.text("to").map(str::to_owned);
    Ok(reply::json_text(run(&app, process, to, request).await?))
}

/// Evaluates a request's body without a trace; `to` is a message, an assignment or a slot after which it is evaluated.
///
/// # Errors
/// The body is not of the form, the process or the point is unknown, or too many dry runs are under way.
pub async fn run(app: &App, process: Id, to: Option<String>, request: Request) -> Result<Vec<u8>, Rejection> {
    let body: DryRun = body::json(app, request, ITEM_BYTES_MAX).await?;
    known(app.store(), &process)?;
    let at = to.map(|to| point(app.store(), process, &to)).transpose()?;
    let message = invocation(app.store(), process, at, body)?;
    let _place = place(&app.dry_runs, "dry runs")?;
    Ok(app.backend.dry_run(process, message, at).await?.to_json())
}

fn point(store: &dyn Store, process: Id, text: &str) -> Result<Slot, Rejection> {
    if let Ok(slot) = text.parse() {
        return Ok(Slot(slot));
    }
    let message = query::id("to", text)?;
    let slot = schema::SLOT_OF.get(store, &(message, process)).map_err(|error| store_failed(&error))?;
    slot.ok_or_else(|| Rejection::new(Code::MessageUnknown, format!("message {message} is not in the schedule of process {process}")))
}

fn invocation(store: &dyn Store, process: Id, at: Option<Slot>, body: DryRun) -> Result<Invocation, Rejection> {
    // Time stands where the state does, unless the caller says otherwise.
    let last = || -> Result<(u64, u64), ao_storage::Error> {
        let to = at.map_or(Slot(u64::MAX), |at| Slot(at.0.saturating_add(1)));
        let key = |slot| EvaluationKey { process, slot, cron: 0 }.to_bytes();
        let mut rows = Walk::new(store, &schema::EVALUATIONS, key(Slot(0)), key(to), Direction::Backward);
        Ok(rows.next().transpose()?.map_or((0, 0), |(_, row)| (row.timestamp_ms, row.block_height)))
    };
    let (timestamp, block_height) = last().map_err(|error| store_failed(&error))?;
    let number = |name: &str, value: Option<Value>, default| match value {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Number(number)) => number.as_u64().ok_or_else(|| invalid(format!("'{name}': a whole number is expected"))),
        Some(Value::String(text)) => {
            text.parse().map_err(|_| invalid(format!("'{name}': a whole number is expected, found `{}`", short(&text))))
        }
        Some(_) => Err(invalid(format!("'{name}': a whole number is expected"))),
    };
    let data = match body.data {
        None | Some(Value::Null) => ABSENT.to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    Ok(Invocation::of_dry_run(ao_types::invocation::DryRun {
        id: Some(body.id.unwrap_or_else(|| ABSENT.into())),
        signature: body.signature,
        owner: body.owner.unwrap_or_else(|| ABSENT.into()),
        target: body.target.unwrap_or_else(|| process.to_string()),
        data: Some(data.into()),
        tags: body.tags,
        anchor: Some(body.anchor.unwrap_or_else(|| "0".into())),
        timestamp: number("Timestamp", body.timestamp, timestamp)?,
        block_height: number("Block-Height", body.block_height, block_height)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gas_is_cut_off_and_nothing_else() {
        for (given, expected) in [
            (r#"{"Messages":[],"Output":"x","GasUsed":0}"#, r#"{"Messages":[],"Output":"x"}"#),
            (r#"{"Output":",\"GasUsed\":7}","GasUsed":123}"#, r#"{"Output":",\"GasUsed\":7}"}"#),
            (r#"{"GasUsed":3,"Output":"x"}"#, r#"{"Output":"x"}"#),
            (r#"{"Output":"x","GasUsed":0,"Error":"e"}"#, r#"{"Output":"x","Error":"e"}"#),
            (r#"{"Output":",\"GasUsed\":7"}"#, r#"{"Output":",\"GasUsed\":7"}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(std::str::from_utf8(&without_gas(given.as_bytes())).unwrap(), expected);
        }
    }
}
