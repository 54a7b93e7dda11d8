//! What a node answers: blocks, transactions, chunks, prices, wallets.

use ao_types::Id;
use ao_types::transaction::Transaction;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{App, body, bundler, json_reply, refused, text};
use crate::block::{Block, BlockHash};
use crate::chain::{Accepted, Chain, Standing};
use crate::chunks;
use crate::limits::{CHUNK_BODY_MAX, TRANSACTION_BODY_MAX};

/// The tip that this gateway knows: one that stands still knows an old one.
fn tip(app: &App) -> Block {
    let state = app.station().state();
    let stale = state.gateways.get(app.gateway).and_then(|faults| faults.stale);
    stale.and_then(|height| state.chain.block_at(height)).unwrap_or_else(|| state.chain.tip()).clone()
}

fn look<T>(app: &App, look: impl FnOnce(&Chain) -> T) -> T {
    app.station().chain(look)
}

fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "Not Found.")
}

fn bad(what: &str) -> Response {
    text(StatusCode::BAD_REQUEST, what)
}

/// `GET /info`.
pub async fn info(State(app): State<App>) -> Response {
    let tip = tip(&app);
    let (network, base, queue) = look(&app, |chain| (chain.genesis().network.clone(), chain.genesis().height, chain.pending().count()));
    json_reply(&json!({
        "network": network, "version": 5, "release": 80, "height": tip.height, "current": tip.hash, "blocks": tip.height - base + 1,
        "peers": 0, "queue_length": queue, "node_state_latency": 0,
    }))
}

/// `GET /height`.
pub async fn height(State(app): State<App>) -> String {
    tip(&app).height.to_string()
}

/// `GET /peers`: there are none.
pub async fn peers() -> Response {
    json_reply(&json!([]))
}

/// `GET /queue`: waiting transactions and what they pay.
pub async fn queue(State(app): State<App>) -> Response {
    let list: Vec<Value> = look(&app, |chain| {
        let entry = |waiting: &crate::chain::Waiting| json!({ "tx": waiting.transaction.id, "reward": waiting.transaction.reward, "size": waiting.transaction.data_size });
        chain.pending().map(entry).collect()
    });
    json_reply(&Value::Array(list))
}

/// `GET /tx/pending`.
pub async fn pending(State(app): State<App>) -> Response {
    json_reply(&json!(look(&app, |chain| chain.pending().map(|waiting| waiting.transaction.id).collect::<Vec<_>>())))
}

/// `GET /block/current`.
pub async fn current_block(State(app): State<App>) -> Response {
    show_block(&tip(&app))
}

/// `GET /block/height/{height}`.
pub async fn block_at(State(app): State<App>, Path(height): Path<String>) -> Response {
    let Ok(height) = height.parse::<u64>() else { return bad("size_must_be_an_integer") };
    if height > tip(&app).height {
        return not_found();
    }
    look(&app, |chain| chain.block_at(height).map(show_block)).unwrap_or_else(not_found)
}

/// `GET /block/hash/{hash}`: also blocks of dead branches, as a node keeps them.
pub async fn block_by_hash(State(app): State<App>, Path(hash): Path<String>) -> Response {
    let Some(hash) = BlockHash::parse(&hash) else { return bad("Invalid hash.") };
    look(&app, |chain| chain.block_by_hash(&hash).map(show_block)).unwrap_or_else(not_found)
}

fn show_block(block: &Block) -> Response {
    json_reply(&json!({
        "indep_hash": block.hash, "previous_block": block.previous, "height": block.height, "timestamp": block.timestamp,
        "last_retarget": block.timestamp, "diff": "0", "nonce": block.branch.to_string(), "hash": block.hash, "txs": block.transactions,
        "tx_root": block.tx_root.map(|root| root.to_string()).unwrap_or_default(), "tx_tree": [], "wallet_list": "",
        "reward_addr": "unclaimed", "tags": [], "reward_pool": "0", "weave_size": block.weave_size.to_string(),
        "block_size": block.block_size.to_string(), "cumulative_diff": "0", "hash_list_merkle": block.previous,
    }))
}

/// `GET /tx_anchor`.
pub async fn anchor(State(app): State<App>) -> String {
    look(&app, |chain| chain.anchor().to_string())
}

fn price_of(app: &App, bytes: &str, target: Option<&str>) -> Result<u128, &'static str> {
    let bytes: u64 = bytes.parse().map_err(|_| "size_must_be_an_integer")?;
    let target = target.map(Id::parse).transpose().map_err(|_| "Invalid address.")?;
    Ok(look(app, |chain| chain.price(bytes, target.as_ref())))
}

/// `GET /price/{bytes}`.
pub async fn price(State(app): State<App>, Path(bytes): Path<String>) -> Result<String, Response> {
    price_of(&app, &bytes, None).map(|winston| winston.to_string()).map_err(bad)
}

/// `GET /price/{bytes}/{target}`, and a bundling service's `GET /price/{token}/{bytes}`, which differs by its first part being no number.
pub async fn price_to(State(app): State<App>, Path((first, second)): Path<(String, String)>) -> Response {
    if first.bytes().all(|byte| byte.is_ascii_digit()) {
        return price_of(&app, &first, Some(&second)).map_or_else(bad, |winston| text(StatusCode::OK, winston.to_string()));
    }
    bundler::price(&second)
}

fn price_json(winston: u128) -> Response {
    json_reply(&json!({ "fee": winston.to_string(), "denomination": 1 }))
}

/// `GET /price2/{bytes}`.
pub async fn price_object(State(app): State<App>, Path(bytes): Path<String>) -> Response {
    price_of(&app, &bytes, None).map_or_else(bad, price_json)
}

/// `GET /price2/{bytes}/{target}`.
pub async fn price_object_to(State(app): State<App>, Path((bytes, target)): Path<(String, String)>) -> Response {
    price_of(&app, &bytes, Some(&target)).map_or_else(bad, price_json)
}

/// `GET /wallet/{address}/balance`.
pub async fn balance(State(app): State<App>, Path(address): Path<String>) -> Result<String, Response> {
    let address = Id::parse(&address).map_err(|_| bad("Invalid address."))?;
    Ok(look(&app, |chain| chain.wallet(&address).balance.to_string()))
}

/// `GET /wallet/{address}/last_tx`.
pub async fn last_transaction(State(app): State<App>, Path(address): Path<String>) -> Result<String, Response> {
    let address = Id::parse(&address).map_err(|_| bad("Invalid address."))?;
    Ok(look(&app, |chain| chain.wallet(&address).last_transaction.map(|id| id.to_string()).unwrap_or_default()))
}

/// `POST /tx`: a transaction as JSON; anything sent as octets is an item for the bundling service.
pub async fn post_transaction(State(app): State<App>, headers: HeaderMap, request: Request<Body>) -> Result<Response, Response> {
    let octets = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/octet-stream");
    if headers.get(header::CONTENT_TYPE).is_some_and(octets) {
        return bundler::take(&app, request).await;
    }
    let (_, bytes) = body(request, TRANSACTION_BODY_MAX).await?;
    let Ok(transaction) = serde_json::from_slice::<Transaction>(&bytes) else { return Err(bad("Invalid JSON.")) };
    match app.blocking(move |station| station.post_transaction(transaction)).await? {
        Ok(Accepted::New) => {
            app.shared.arrived();
            Ok(text(StatusCode::OK, "OK"))
        }
        Ok(Accepted::Again) => Ok(text(StatusCode::ALREADY_REPORTED, "Transaction already processed.")),
        Err(error) => Err(refused(&error)),
    }
}

/// `GET /tx/{id}`: the header.
pub async fn transaction(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let id = Id::parse(&id).map_err(|_| bad("Invalid hash."))?;
    let tip = tip(&app).height;
    Ok(look(&app, |chain| match chain.standing(&id) {
        Some(Standing::Mined(placed)) if placed.height <= tip => json_reply(&json!(*placed.transaction)),
        Some(Standing::Mined(_)) | None => not_found(),
        Some(Standing::Pending(_)) => text(StatusCode::ACCEPTED, "Pending"),
        Some(Standing::Refused(codes)) => text(StatusCode::GONE, codes.join(" ")),
    }))
}

/// `GET /tx/{id}/status`.
pub async fn status(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let id = Id::parse(&id).map_err(|_| bad("Invalid hash."))?;
    let tip = tip(&app).height;
    let answer = look(&app, |chain| match chain.standing(&id) {
        Some(Standing::Mined(placed)) if placed.height <= tip => {
            let hash = chain.block_at(placed.height).map(|block| block.hash);
            Some(json_reply(&json!({
                "block_height": placed.height, "block_indep_hash": hash, "number_of_confirmations": tip - placed.height + 1,
            })))
        }
        Some(Standing::Pending(_)) => Some(text(StatusCode::ACCEPTED, "Pending")),
        _ => None,
    });
    Ok(answer.unwrap_or_else(|| bundler::status_of(&app, &id)))
}

/// `GET /tx/{id}/offset`: where its data ends on the weave.
pub async fn offset(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let id = Id::parse(&id).map_err(|_| bad("Invalid hash."))?;
    Ok(look(&app, |chain| match chain.standing(&id) {
        Some(Standing::Mined(placed)) if placed.size > 0 => {
            json_reply(&json!({ "offset": (placed.start + placed.size).to_string(), "size": placed.size.to_string() }))
        }
        _ => not_found(),
    }))
}

/// `POST /chunk`.
pub async fn post_chunk(State(app): State<App>, request: Request<Body>) -> Result<Response, Response> {
    let (_, bytes) = body(request, CHUNK_BODY_MAX).await?;
    let Ok(posted) = serde_json::from_slice::<chunks::Posted>(&bytes) else {
        let mut response = json_reply(&json!({ "error": "invalid_json" }));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Err(response);
    };
    let outcome = app.blocking(move |station| station.post_chunk(chunks::check(posted)?)).await?;
    outcome.map(|()| text(StatusCode::OK, "OK")).map_err(|error| refused(&error))
}

/// `GET /chunk/{byte}`.
pub async fn chunk(State(app): State<App>, Path(byte): Path<String>) -> Result<Response, Response> {
    let byte: u64 = byte.parse().map_err(|_| json_error("invalid_offset"))?;
    let gateway = app.gateway;
    let found = app.blocking(move |station| station.chunk_at(gateway, byte)).await?;
    let Some(found) = found else { return Err(not_found()) };
    Ok(json_reply(&json!({
        "chunk": URL_SAFE_NO_PAD.encode(&found.chunk), "data_path": found.data_path, "tx_path": found.tx_path, "packing": "unpacked",
    })))
}

fn json_error(error: &str) -> Response {
    let mut response = json_reply(&json!({ "error": error }));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
