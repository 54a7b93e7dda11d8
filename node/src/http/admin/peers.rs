//! Bans by hand.

use std::time::Duration;

use ao_p2p::PeerId;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ADMIN_BYTES_MAX;
use crate::error::{Code, Rejection};
use crate::http::native::peers::behind;
use crate::http::query::invalid;
use crate::http::reply::{self, Native};
use crate::http::{App, body};
use crate::network::Handle;

/// A ban lasts no longer than this.
const BAN_S_MAX: u64 = 366 * 24 * 3600;

#[derive(Deserialize)]
struct Ban {
    peer: String,
    /// How long; an hour if it is not said.
    for_s: Option<u64>,
}

#[derive(Deserialize)]
struct Unban {
    peer: String,
}

fn network(app: &App) -> Result<&Handle, Rejection> {
    app.network().ok_or_else(|| Rejection::new(Code::RouteUnknown, "this node is part of no network"))
}

fn peer(text: &str) -> Result<PeerId, Rejection> {
    text.parse().map_err(|error: ao_p2p::BadName| invalid(error.to_string()))
}

/// Who is banned.
pub(super) async fn bans(State(app): State<App>) -> Result<Response, Native> {
    let bans = network(&app)?.bans().await.map_err(behind)?;
    let shown: Vec<Value> = bans
        .into_iter()
        .map(|ban| json!({ "peer": ban.peer.to_string(), "reason": ban.reason.as_str(), "until": ban.until, "earlier": ban.earlier }))
        .collect();
    Ok(reply::json(&json!({ "bans": shown })))
}

/// Bans a peer and closes its connections.
pub(super) async fn ban(State(app): State<App>, request: Request) -> Result<Response, Native> {
    let Ban { peer: text, for_s } = body::json(&app, request, ADMIN_BYTES_MAX).await?;
    let seconds = for_s.unwrap_or(3600);
    if !(1..=BAN_S_MAX).contains(&seconds) {
        return Err(invalid(format!("a ban lasts 1 to {BAN_S_MAX} seconds, not {seconds}")).into());
    }
    network(&app)?.ban(peer(&text)?, Duration::from_secs(seconds)).map_err(behind)?;
    Ok(reply::json(&json!({ "peer": text, "for_s": seconds })))
}

/// Lets a peer come back.
pub(super) async fn unban(State(app): State<App>, request: Request) -> Result<Response, Native> {
    let Unban { peer: text } = body::json(&app, request, ADMIN_BYTES_MAX).await?;
    network(&app)?.unban(peer(&text)?).map_err(behind)?;
    Ok(reply::json(&json!({ "peer": text })))
}
