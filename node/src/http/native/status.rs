//! `/v1/status`, `/v1/identity` and `/v1/genesis`.
//!
//! What the status says of the network is in the genesis and the store: chains with their tips, this node's stake, how far it is behind.

use std::sync::atomic::Ordering;

use ao_storage::{Direction, Store, schema};
use ao_types::{Address, Genesis};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::error::{Code, Rejection};
use crate::http::reply::{self, Native, store_failed};
use crate::http::{App, health};
use crate::levels;
use crate::protection::watch::Phase;

/// How the node is.
pub async fn status(State(app): State<App>) -> Result<Response, Native> {
    let items = schema::SEQUENCE.all(app.store(), Direction::Backward, 1)?.first().map_or(0, |(last, _)| last + 1);
    let (height, timestamp) = app.backend.tip();
    let identity = app.backend.identity();
    let own = identity.scheduler;
    let consensus = match app.genesis() {
        None => Value::Null,
        Some(genesis) => app.read(move |store| consensus(store, &genesis, own)).await?,
    };
    let network = app.network().map(|network| (network.connected(), network.counts()));
    let peers = network.as_ref().map(|((connected, few), _)| json!({ "connected": connected, "few": few }));
    let frames = network.map(|(_, counts)| {
        json!({ "here": counts.sync_frames.load(Ordering::Relaxed), "elsewhere": counts.sync_target_frames.load(Ordering::Relaxed) })
    });
    Ok(reply::json(&json!({
        "version": crate::VERSION, "commit": crate::COMMIT, "network": identity.network, "engine": identity.engine,
        "mode": health::mode(&app), "block_height": height, "block_timestamp": timestamp, "items": items,
        "connections": app.connections(), "consensus": consensus, "peers": peers, "frames": frames,
        "signing": signing(&app), "anchoring": super::anchors::status(&app),
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
        Phase::Held { .. } => ("held", 0),
        Phase::Signing => ("attesting", 0),
        Phase::Over(_) => ("over", 0),
    };
    let ahead_ms = app.network().and_then(crate::network::Handle::clock_ahead_ms);
    json!({ "key": watch.key(), "state": state, "left_ms": left_ms, "clock_ahead_ms": ahead_ms })
}

/// Most chains shown; the rest is counted.
const CHAINS_MAX: usize = 64;

/// Committee, own stake and chains, this scheduler's first.
fn consensus(store: &dyn Store, genesis: &[u8], own: Address) -> Result<Value, Rejection> {
    // One that this build cannot read is no network that it takes part in.
    let Ok(genesis) = Genesis::parse(genesis) else { return Ok(Value::Null) };
    let total: u128 = genesis.validators.iter().map(|one| one.stake.0).sum();
    let validator = genesis.validators.iter().find(|one| one.operator == own);
    let mut schedulers: Vec<Address> = genesis.all_schedulers().map(|(address, _)| address).collect();
    schedulers.sort_by_key(|address| *address != own);
    let mut chains = Vec::new();
    for scheduler in schedulers.iter().take(CHAINS_MAX) {
        let standing = levels::chain(store, *scheduler, 0).map_err(|error| store_failed(&error))?;
        chains.push(json!({
            "scheduler": scheduler.to_string(), "tenure": 0, "own": *scheduler == own, "sequence": standing.last,
            "certified": standing.certified, "confirmed": standing.confirmed, "behind": standing.behind,
        }));
    }
    Ok(json!({
        "network": genesis.network_id().ok(), "validators": genesis.validators.len(), "stake": total.to_string(),
        "own": validator.map(|one| json!({ "key": one.pubkey, "stake": one.stake })), "schedules": schedulers.contains(&own),
        "chains": chains, "more": schedulers.len().saturating_sub(CHAINS_MAX),
    }))
}

/// Who the node is. `scheduler` and `authority` are what a process that is spawned through it names: its own, or those of another node of
/// its network if it schedules nothing; `hosts` are all that it knows, `wallet` is its own in any case.
pub async fn identity(State(app): State<App>) -> Response {
    let identity = app.backend.identity();
    let hosts: Vec<Value> = app
        .backend
        .hosts()
        .into_iter()
        .map(|host| {
            let authority = host.authority.map(|authority| authority.to_string());
            json!({ "scheduler": host.scheduler.to_string(), "authority": authority, "url": host.url })
        })
        .collect();
    reply::json(&json!({
        "scheduler": hosts[0]["scheduler"], "authority": hosts[0]["authority"], "module": identity.default_module,
        "engine": identity.engine, "network": identity.network, "version": crate::VERSION,
        "wallet": identity.scheduler.to_string(), "hosts": hosts,
    }))
}

/// The network's genesis, byte by byte what is hashed.
pub async fn genesis(State(app): State<App>) -> Result<Response, Native> {
    let none = || Rejection::new(Code::NetworkNone, "this node is by itself: it is bound to no genesis");
    let canonical = app.genesis().ok_or_else(none)?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")], canonical)
        .into_response())
}
