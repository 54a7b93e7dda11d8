//! `/dev`: commands. For this machine only.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{Request, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};

use super::{App, body, json_reply, refused, text};
use crate::limits::BODY_MAX;
use crate::station::Command;

/// Refuses callers of other machines, and pages in a browser of this one, which would send where they come from.
pub async fn only_from_here(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request<Body>, next: Next) -> Response {
    if !peer.ip().to_canonical().is_loopback() || request.headers().contains_key(header::ORIGIN) {
        return text(StatusCode::FORBIDDEN, "commands are taken from this machine only, and from no browser");
    }
    next.run(request).await
}

/// `POST /dev/{verb}` with the command's members as JSON; no body is an empty object.
pub async fn command(State(app): State<App>, Path(verb): Path<String>, request: Request<Body>) -> Result<Response, Response> {
    let (_, bytes) = body(request, BODY_MAX).await?;
    let bad = |error: serde_json::Error| text(StatusCode::BAD_REQUEST, error.to_string());
    let members: Value = if bytes.is_empty() { json!({}) } else { serde_json::from_slice(&bytes).map_err(bad)? };
    let command: Command = serde_json::from_value(json!({ verb: members })).map_err(bad)?;
    match app.shared.clone().command(command).await {
        Ok(value) => Ok(json_reply(&value)),
        Err(error) => Err(refused(&error)),
    }
}

/// `GET /dev/faults`: those that happened, oldest first.
pub async fn faults(State(app): State<App>) -> Response {
    let state = app.station().state();
    json_reply(&json!(state.log.kept().collect::<Vec<_>>()))
}

/// `GET /dev/state`: where the chain is and how much of everything there is.
pub async fn state(State(app): State<App>) -> Response {
    let items = app.station().index().len();
    let state = app.station().state();
    json_reply(&json!({
        "seed": app.station().seed(), "height": state.chain.tip().height, "current": state.chain.tip().hash,
        "pending": state.chain.pending().count(), "chunk_bytes": state.chunks.bytes(), "items": items, "gateways": state.gateways.len(),
    }))
}
