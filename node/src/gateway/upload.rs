//! `POST /tx`: takes a signed data item, stores it and has it in every index when it answers.

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::json;

use crate::error::{Code, Rejection};
use crate::http::limits::UPLOAD_BYTES_MAX;
use crate::http::reply::{self, Legacy};
use crate::http::{App, body};

/// The route. Modules and anything else are stored; messages and processes also get their slot.
pub async fn post(State(app): State<App>, request: Request) -> Result<Response, Legacy> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        // Told from an item by its type, as arweave-js sends them.
        return Err(Rejection::new(
            Code::MediaUnsupported,
            "this gateway takes signed ANS-104 data items as application/octet-stream; layer-one transactions need a node of Arweave",
        )
        .into());
    }
    app.writable()?;
    let held = body::collect(&app, request, UPLOAD_BYTES_MAX).await?;
    let accepted = app.backend.store_item(held.bytes.clone()).await?;
    Ok(reply::json(&json!({ "id": accepted.id, "timestamp": accepted.timestamp_ms })))
}
