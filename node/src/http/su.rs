//! The scheduler's routes (`interop-legacynet.md`, section 3): `/su`, and the half of the root that tells them from others.

use ao_storage::schema;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::App;
use super::limits::ITEM_BYTES_MAX;
use super::query::{self, Query, invalid};
use super::reply::{self, Legacy, store_failed};
use super::schedule::{self, PageRequest, anchors};
use super::{body, health};
use crate::error::Rejection;
use crate::handle::{Accepted, AssignRequest, Via};

/// Routes under `/su`.
pub fn routes() -> Router<App> {
    Router::new().route("/", get(information).post(post)).route("/health", get(health::ready)).route("/{id}", get(read)).merge(shared())
}

/// Routes that mean the same at the root.
pub fn shared() -> Router<App> {
    Router::new().route("/timestamp", get(timestamp)).route("/processes/{process}", get(process)).route("/{process}/latest", get(latest))
}

async fn information(State(app): State<App>) -> Response {
    reply::json(&json!({ "timestamp": now_ms().to_string(), "address": app.backend.identity().scheduler.to_string() }))
}

async fn timestamp(State(app): State<App>) -> Response {
    reply::json(&json!({ "timestamp": now_ms().to_string(), "block_height": format!("{:012}", app.backend.tip().0) }))
}

/// The clock of this node's scheduler, ms. Shown, never part of a result.
pub fn now_ms() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Schedules, and does not push.
async fn post(State(app): State<App>, request: Request) -> Result<Response, Legacy> {
    let accepted = match assignment_of(&request)? {
        Some(assign) => return Ok(shown(&assign_item(&app, request, assign).await?, Shown::Assignment)),
        None => submit(&app, request, Via::ScheduleOnly).await?,
    };
    Ok(shown(&accepted, Shown::Item))
}

enum Shown {
    Item,
    Assignment,
}

fn shown(accepted: &Accepted, what: Shown) -> Response {
    let id = match what {
        Shown::Item => accepted.id,
        Shown::Assignment => accepted.assignment.unwrap_or(accepted.id),
    };
    reply::json(&json!({ "timestamp": accepted.timestamp_ms, "id": id }))
}

/// Takes an item from a request's body.
///
/// # Errors
/// As the body's reader and the node's.
pub async fn submit(app: &App, request: Request, via: Via) -> Result<Accepted, Rejection> {
    app.writable()?;
    let item = body::collect(app, request, ITEM_BYTES_MAX).await?;
    if item.bytes.is_empty() {
        return Err(Rejection::new(crate::Code::ItemMalformed, "the body is empty; a data item is expected"));
    }
    app.backend.submit(item.bytes.clone(), via).await
}

/// `?process-id=P&assign=M[&base-layer][&exclude=A,B]`, if it is there.
///
/// # Errors
/// Only one of the two ids is there, or one is not an id.
pub fn assignment_of(request: &Request) -> Result<Option<AssignRequest>, Rejection> {
    let query = Query::of(request.uri())?;
    match (query.id("process-id")?, query.id("assign")?) {
        (None, None) => Ok(None),
        (Some(process), Some(item)) => Ok(Some(AssignRequest {
            process,
            item,
            exclude: query.list("exclude").map(str::to_owned).collect(),
            base_layer: query.has("base-layer"),
        })),
        _ => Err(invalid("an assignment needs both `process-id` and `assign`")),
    }
}

/// Assigns. The body is empty and not signed; whatever is in it is not kept.
///
/// # Errors
/// As the node's.
pub async fn assign_item(app: &App, request: Request, assign: AssignRequest) -> Result<Accepted, Rejection> {
    app.writable()?;
    body::collect(app, request, 1024).await?;
    app.backend.assign(assign).await
}

/// `GET /su/{id}`: a schedule page if it is a process, else one node.
async fn read(State(app): State<App>, Path(id): Path<String>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let id = query::id("id", &id)?;
    let process = query.id("process-id")?;
    Ok(page_or_node(&app, id, process, &query).await?)
}

/// A page of `id`'s schedule where `id` is the process, or the one node `id`. Without `process-id` it must be a process: that is how
/// `getMessages` of aoconnect asks.
///
/// # Errors
/// The process or message is unknown.
pub async fn page_or_node(app: &App, id: ao_types::Id, process: Option<ao_types::Id>, query: &Query<'_>) -> Result<Response, Rejection> {
    let text = match process {
        Some(process) if process != id => {
            let anchors = anchors(query);
            // What was pruned is fetched first: a thread that others are served on must not wait for that.
            if schema::PRUNED.contains(app.store(), &id).map_err(|error| store_failed(&error))? {
                app.read(move |store| schedule::one(store, process, id, anchors)).await?
            } else {
                schedule::one(app.store(), process, id, anchors)?
            }
        }
        _ => {
            let request = PageRequest::parse(query)?;
            app.read(move |store| schedule::page(store, id, &request)).await?
        }
    };
    Ok(reply::json_text(text))
}

async fn process(State(app): State<App>, Path(process): Path<String>) -> Result<Response, Legacy> {
    let process = query::id("process", &process)?;
    Ok(reply::json_text(schedule::process(app.store(), process)?))
}

async fn latest(State(app): State<App>, Path(process): Path<String>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let process = query::id("process", &process)?;
    let anchors = anchors(&query);
    // Its item may have been pruned.
    Ok(reply::json_text(app.read(move |store| schedule::latest(store, process, anchors)).await?))
}
