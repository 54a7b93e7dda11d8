//! `/v1/peers`: who this node is connected to.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use crate::error::{Code, Rejection};
use crate::http::App;
use crate::http::reply::{self, Native};
use crate::network::Handle;

/// Everybody who is connected. A node that is alone has no name and no peers.
pub async fn list(State(app): State<App>) -> Result<Response, Native> {
    let Some(network) = app.network() else { return Ok(reply::json(&json!({ "peer": null, "few": 0, "peers": [] }))) };
    let (_, few) = network.connected();
    Ok(reply::json(&json!({ "peer": network.peer_id().to_string(), "few": few, "peers": peers(network).await? })))
}

/// Each connected peer, ordered by id.
pub async fn peers(network: &Handle) -> Result<Vec<Value>, Rejection> {
    let peers = network.peers().await.map_err(behind)?;
    let shown = peers.into_iter().map(|peer| {
        json!({
            "peer": peer.peer.to_string(), "direction": direction(peer.direction), "address": peer.address.to_string(),
            "connections": peer.connections, "score": peer.score, "gossip_score": peer.gossip_score,
            "round_trip_ms": peer.round_trip.map(|time| time.as_secs_f64() * 1e3), "agent": peer.agent,
            "connected_s": peer.since.as_secs(), "wanted": peer.wanted,
        })
    });
    Ok(shown.collect())
}

/// The network's task has too much to do, or is gone.
pub fn behind(error: ao_p2p::NotSent) -> Rejection {
    Rejection::retry(Code::Busy, error.to_string(), 1)
}

fn direction(direction: ao_p2p::Direction) -> &'static str {
    match direction {
        ao_p2p::Direction::In => "in",
        ao_p2p::Direction::Out => "out",
    }
}
