//! Snapshots by the operator's wish.

use ao_types::{Id, Slot};
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;

use super::ADMIN_BYTES_MAX;
use crate::error::{Code, Rejection};
use crate::http::query::invalid;
use crate::http::reply::{self, Native};
use crate::http::{App, body};
use crate::snapshot;

#[derive(Deserialize)]
struct Create {
    process: String,
    /// The newest certified state at or before it; the newest of all if it is not said.
    slot: Option<u64>,
}

/// Writes the newest certified state of a process down, if it is not there.
pub(super) async fn create(State(app): State<App>, request: Request) -> Result<Response, Native> {
    let Create { process, slot } = body::json(&app, request, ADMIN_BYTES_MAX).await?;
    let process = Id::parse(&process).map_err(|error| invalid(error.to_string()))?;
    let (node, shelf) = app.snapshots().ok_or_else(|| Rejection::new(Code::RouteUnknown, "this node keeps no snapshots"))?;
    let (path, manifest) = snapshot::maker::make(node, shelf, process, slot.map(Slot)).await?;
    Ok(reply::json(&snapshot::shown(&path, &manifest)))
}
