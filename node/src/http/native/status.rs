//! `/v1/status` and `/v1/identity`.

use ao_storage::{Direction, schema};
use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::http::reply::{self, Native};
use crate::http::{App, health};

/// How the node is.
pub async fn status(State(app): State<App>) -> Result<Response, Native> {
    let items = schema::SEQUENCE.all(app.store(), Direction::Backward, 1)?.first().map_or(0, |(last, _)| last + 1);
    let (height, timestamp) = app.backend.tip();
    let identity = app.backend.identity();
    Ok(reply::json(&json!({
        "version": crate::VERSION, "commit": crate::COMMIT, "network": identity.network, "engine": identity.engine,
        "mode": health::mode(&app), "block_height": height, "block_timestamp": timestamp, "items": items,
        "connections": app.connections(),
        "checks": app.checks().iter().map(|check| json!({
            "name": crate::metrics::labels::Label::text(check.check), "ok": check.ok, "reason": check.reason,
        })).collect::<Vec<_>>(),
    })))
}

/// Who the node is.
pub async fn identity(State(app): State<App>) -> Response {
    let identity = app.backend.identity();
    reply::json(&json!({
        "scheduler": identity.scheduler.to_string(), "authority": identity.messenger.to_string(), "module": identity.default_module,
        "engine": identity.engine, "network": identity.network, "version": crate::VERSION,
    }))
}
