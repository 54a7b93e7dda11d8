//! The messenger's routes (`interop-legacynet.md`, section 2): `/mu`, and the half of the root that tells them from others.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::query::{self, Query, invalid};
use super::reply::{self, Legacy};
use super::su::{assign_item, assignment_of, submit};
use super::{App, body, trace};
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, Via};

/// Monitor requests are a signed item without tags and one byte of data.
const MONITOR_BYTES_MAX: usize = 64 * 1024;

/// Routes under `/mu`.
pub fn routes() -> Router<App> {
    Router::new().route("/", get(information).post(|app, request| post_item(app, request, Form::Messenger))).merge(shared())
}

/// Routes that mean the same at the root.
pub fn shared() -> Router<App> {
    Router::new().route("/monitor/{process}", post(monitor).delete(unmonitor)).route("/push/{message}/{index}", post(push))
}

/// Who the answer of a `POST /` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The messenger's clients.
    Messenger,
    /// Clients of the messenger or the scheduler: the union of both answers.
    Union,
}

async fn information(State(app): State<App>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    if query.has("debug") {
        return Ok(reply::json(&trace::page(&app, &query).await?));
    }
    Ok(reply::typed(reply::TEXT, "ao messenger unit"))
}

/// `POST /`: takes an item, or assigns one, and pushes what comes of it. Answers when it is durable in its log and before it is evaluated.
pub async fn post_item(State(app): State<App>, request: Request, form: Form) -> Result<Response, Legacy> {
    let (accepted, id, message) = match assignment_of(&request)? {
        Some(assign) => {
            let accepted = assign_item(&app, request, assign).await?;
            let id = accepted.assignment.unwrap_or(accepted.id);
            (accepted, id, "Processing Assignment")
        }
        None => {
            let accepted = submit(&app, request, Via::Client).await.map_err(as_clients_know)?;
            let id = accepted.id;
            (accepted, id, "Processing DataItem")
        }
    };
    Ok(reply::with_status(StatusCode::ACCEPTED, answer(&accepted, id, message, form)))
}

fn answer(accepted: &Accepted, id: ao_types::Id, message: &str, form: Form) -> Response {
    match form {
        Form::Messenger => reply::json(&json!({ "message": message, "id": id })),
        Form::Union => reply::json(&json!({ "message": message, "id": id, "timestamp": accepted.timestamp_ms })),
    }
}

/// A body that is no good item is refused with the words clients have always got, followed by the reason.
fn as_clients_know(rejection: Rejection) -> Rejection {
    match rejection.code {
        Code::ItemMalformed | Code::SignatureInvalid => Rejection {
            message: format!("'body': A valid and signed data item must be provided as the body. ({})", rejection.message),
            ..rejection
        },
        _ => rejection,
    }
}

async fn monitor(State(app): State<App>, Path(process): Path<String>, request: Request) -> Result<Response, Legacy> {
    let process = query::id("process", &process)?;
    app.writable()?;
    let item = body::collect(&app, request, MONITOR_BYTES_MAX).await?;
    app.backend.monitor(process, item.bytes.clone()).await.map_err(as_clients_know)?;
    Ok(reply::typed(reply::TEXT, "Monitoring process"))
}

async fn unmonitor(State(app): State<App>, Path(process): Path<String>, request: Request) -> Result<Response, Legacy> {
    let process = query::id("process", &process)?;
    app.writable()?;
    let item = body::collect(&app, request, MONITOR_BYTES_MAX).await?;
    app.backend.unmonitor(process, item.bytes.clone()).await.map_err(as_clients_know)?;
    Ok(reply::typed(reply::TEXT, "Process deleted"))
}

/// `POST /push/{message}/{n}?process-id=P`: pushes entry `n` of a result again. `custom-cu` is ignored: this node's own results are the
/// ones it signs for.
async fn push(State(app): State<App>, Path((message, index)): Path<(String, String)>, uri: Uri) -> Result<Response, Legacy> {
    let query = Query::of(&uri)?;
    let process = query.id_required("process-id")?;
    let message = query::id("message", &message)?;
    let index = index.parse().map_err(|_| invalid(format!("'number': a whole number is expected, found `{}`", query::short(&index))))?;
    app.writable()?;
    let id = app.backend.push(process, message, index).await?;
    Ok(reply::with_status(StatusCode::ACCEPTED, reply::json(&json!({ "message": "Processing Message Result", "id": id }))))
}
