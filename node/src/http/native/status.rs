//! `/v1/status`, `/v1/identity` and `/v1/genesis`.

use ao_storage::{Direction, schema};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::error::{Code, Rejection};
use crate::http::reply::{self, Native};
use crate::http::{App, health};
use crate::protection::watch::Phase;

/// How the node is.
pub async fn status(State(app): State<App>) -> Result<Response, Native> {
    let items = schema::SEQUENCE.all(app.store(), Direction::Backward, 1)?.first().map_or(0, |(last, _)| last + 1);
    let (height, timestamp) = app.backend.tip();
    let identity = app.backend.identity();
    Ok(reply::json(&json!({
        "version": crate::VERSION, "commit": crate::COMMIT, "network": identity.network, "engine": identity.engine,
        "mode": health::mode(&app), "block_height": height, "block_timestamp": timestamp, "items": items,
        "connections": app.connections(),
        "signing": signing(&app),
        "checks": app.checks().iter().map(|check| json!({
            "name": crate::metrics::labels::Label::text(check.check), "ok": check.ok, "reason": check.reason,
        })).collect::<Vec<_>>(),
    })))
}

/// What the node does with the key that it attests with; `null` if it has none.
fn signing(app: &App) -> Value {
    let Some(watch) = app.watch() else { return Value::Null };
    let (state, left_ms) = match watch.phase() {
        Phase::Silent { left_ms } => ("listening", left_ms),
        Phase::Signing => ("attesting", 0),
        Phase::Over(_) => ("over", 0),
    };
    json!({ "key": watch.key(), "state": state, "left_ms": left_ms })
}

/// Who the node is.
pub async fn identity(State(app): State<App>) -> Response {
    let identity = app.backend.identity();
    reply::json(&json!({
        "scheduler": identity.scheduler.to_string(), "authority": identity.messenger.to_string(), "module": identity.default_module,
        "engine": identity.engine, "network": identity.network, "version": crate::VERSION,
    }))
}

/// The network's genesis, byte by byte what is hashed.
pub async fn genesis(State(app): State<App>) -> Result<Response, Native> {
    let none = || Rejection::new(Code::NetworkNone, "this node is by itself: it is bound to no genesis");
    let canonical = app.genesis().ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], canonical)
        .into_response())
}
