//! What became of messages: the levels each reached, and what it sent on. One reading of the tables for `/v1/messages` and for the
//! messenger's trace page (`interop-legacynet.md`, section 2.4).

use ao_storage::schema::{self, EvaluationKey, OutboxKey, PushOutcome};
use ao_storage::typed::{Key as _, after_prefix};
use ao_storage::{Direction, Error, Store};
use ao_types::{Id, Slot};
use serde_json::{Map, Value, json};

use super::App;
use super::pages::Walk;
use super::query::Query;
use super::reply::store_failed;
use super::schedule::known;
use crate::error::{Code, Rejection};
use crate::levels::level;

/// Entries of a trace page: default and most.
const TRACE_PAGE: (usize, usize) = (10, 100);
/// Outbox entries of one message that a trace lists.
const ENTRIES_MAX: usize = 256;
/// Messages that one trace follows.
const TRACED_MAX: usize = 256;

/// A message in one process's log: order, computation, what it sent on.
pub fn entry(store: &dyn Store, process: Id, slot: Slot) -> Result<Option<Map<String, Value>>, Error> {
    let Some(row) = schema::SCHEDULE.get(store, &(process, slot))? else { return Ok(None) };
    let evaluation = schema::EVALUATIONS.get(store, &EvaluationKey { process, slot, cron: 0 })?;
    let (pending, pushed) = outbox(store, process, slot)?;
    let compute = match &evaluation {
        None => json!({ "state": "waiting" }),
        Some(row) => json!({
            "state": if pending.is_empty() { "pushed" } else { "computed" },
            "failed": row.failed, "fuel": row.fuel, "result_hash": row.result_hash.to_string(),
            "state_hash": row.state_hash.map(|hash| hash.to_string()),
        }),
    };
    let fields = json!({
        "process": process, "slot": slot, "message": row.item, "assignment": row.assignment_id,
        "timestamp": row.timestamp_ms, "block_height": row.block_height, "state": level(store, process, slot)?.text(),
        "compute": compute, "pending": pending, "pushed": pushed,
    });
    Ok(match fields {
        Value::Object(fields) => Some(fields),
        _ => None,
    })
}

/// Outbox entries of a slot: those still to be delivered, and those that were. Cron messages after the slot are not its own.
fn outbox(store: &dyn Store, process: Id, slot: Slot) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let prefix = EvaluationKey { process, slot, cron: 0 }.to_bytes();
    let end = after_prefix(&prefix);
    let shown = |key: &OutboxKey| {
        let mut fields = Map::new();
        fields.insert("kind".into(), json!(format!("{:?}", key.kind).to_lowercase()));
        fields.insert("index".into(), json!(key.index));
        fields
    };
    let mut pending = Vec::new();
    for row in Walk::new(store, &schema::OUTBOX, prefix.clone(), end.clone(), Direction::Forward).take(ENTRIES_MAX) {
        let (key, row) = row?;
        let mut fields = shown(&key);
        fields.insert("attempts".into(), json!(row.attempts));
        pending.push(Value::Object(fields));
    }
    let mut pushed = Vec::new();
    for row in Walk::new(store, &schema::PUSHED, prefix, end, Direction::Forward).take(ENTRIES_MAX) {
        let (key, row) = row?;
        let mut fields = shown(&key);
        fields.insert("id".into(), json!(row.child));
        fields.insert(
            "outcome".into(),
            match row.outcome {
                PushOutcome::Assigned { process, slot } => json!({ "state": "assigned", "process": process, "slot": slot }),
                PushOutcome::Stored => json!({ "state": "stored" }),
                PushOutcome::Skipped(reason) => json!({ "state": "skipped", "reason": reason }),
                PushOutcome::Failed(reason) => json!({ "state": "failed", "reason": reason }),
            },
        );
        pushed.push(Value::Object(fields));
    }
    Ok((pending, pushed))
}

/// A message and everything that came of it, breadth first, each once. `Ok(None)`: it is in no log here.
pub fn tree(store: &dyn Store, message: Id) -> Result<Option<Value>, Error> {
    let mut queue = std::collections::VecDeque::from([(message, None::<Id>)]);
    let mut seen = std::collections::HashSet::from([message]);
    let mut entries = Vec::new();
    let mut more = false;
    while let Some((id, parent)) = queue.pop_front() {
        for (process, slot) in logs(store, id)? {
            let Some(mut fields) = entry(store, process, slot)? else { continue };
            if entries.len() == TRACED_MAX {
                more = true;
                break;
            }
            for child in fields.get("pushed").and_then(Value::as_array).into_iter().flatten() {
                let child = child.get("id").and_then(Value::as_str).and_then(|text| Id::parse(text).ok());
                if let Some(child) = child.filter(|child| seen.insert(*child)) {
                    queue.push_back((child, Some(id)));
                }
            }
            fields.insert("parent".into(), json!(parent));
            entries.push(Value::Object(fields));
        }
    }
    Ok((!entries.is_empty()).then(|| json!({ "id": message, "entries": entries, "more": more })))
}

/// The logs an item is in, at most 64.
pub fn logs(store: &dyn Store, item: Id) -> Result<Vec<(Id, Slot)>, Error> {
    let rows = schema::SLOT_OF.prefix(store, &item, Direction::Forward, 64)?;
    Ok(rows.into_iter().map(|((_, process), slot)| (process, slot)).collect())
}

/// `GET /mu?debug=1&process=P[&message=|&spawn=|&assign=][&page=&page-size=]`: the log newest first, or the one entry selected.
pub async fn page(app: &App, query: &Query<'_>) -> Result<Value, Rejection> {
    let process = query.id_required("process")?;
    let selectors = ["message", "spawn", "assign"];
    let given: Vec<&str> = selectors.into_iter().filter(|name| query.has(name)).collect();
    if given.len() > 1 {
        return Err(Rejection::new(
            Code::Contradiction,
            format!("only one of message, spawn and assign may be given, found {}", given.join(", ")),
        ));
    }
    let selected = given.first().map(|name| query.id_required(name)).transpose()?;
    let size = query.limit("page-size", TRACE_PAGE)? as u64;
    let page = query.number("page")?.unwrap_or(1).max(1);
    let job = move |store: &dyn Store| -> Result<Value, Error> {
        let (mut edges, mut more) = (Vec::new(), false);
        let mut add = |slot: Slot| -> Result<(), Error> {
            if let Some(fields) = entry(store, process, slot)? {
                let cursor = fields.get("timestamp").map(ToString::to_string);
                edges.push(json!({ "node": fields, "cursor": cursor }));
            }
            Ok(())
        };
        if let Some(selected) = selected {
            if let Some(slot) = schema::SLOT_OF.get(store, &(selected, process))? {
                add(slot)?;
            }
        } else if let Some(head) = schema::HEADS.get(store, &process)? {
            let newest = (head.slot.0 + 1).saturating_sub((page - 1).saturating_mul(size));
            let oldest = newest.saturating_sub(size);
            (oldest..newest).rev().try_for_each(|slot| add(Slot(slot)))?;
            more = oldest > 0;
        }
        Ok(json!({ "pageInfo": { "hasNextPage": more }, "edges": edges }))
    };
    known(app.store(), &process)?;
    app.read(move |store| job(store).map_err(|error| store_failed(&error))).await
}
