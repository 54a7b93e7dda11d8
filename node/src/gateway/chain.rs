//! What upload tools and units ask of a gateway's chain: height, blocks, anchors, prices, balances.
//!
//! Storing costs nothing here, so prices are 0 and say so in the same way as a bundler's free tier does.

use ao_storage::schema;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::chain::Block;
use crate::error::{Code, Rejection};
use crate::http::App;
use crate::http::query::{self, invalid, short};
use crate::http::reply::{self, Legacy, store_failed};

/// `GET /info`.
pub async fn info(State(app): State<App>) -> Result<Response, Legacy> {
    Ok(reply::json(&information(&app)?))
}

/// The members of `/info`.
pub fn information(app: &App) -> Result<Map<String, Value>, Rejection> {
    let (height, _) = app.backend.tip();
    let current = app.backend.block(height).map(|block| hash(&block));
    let fields = json!({
        "network": app.backend.identity().network, "version": 5, "release": 1, "height": height, "current": current,
        "blocks": height + 1, "peers": 0, "queue_length": 0, "node_state_latency": 0,
    });
    match fields {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

/// `GET /height`.
pub async fn height(State(app): State<App>) -> Response {
    reply::typed(reply::TEXT, app.backend.tip().0.to_string())
}

/// `GET /block/current`.
pub async fn current_block(State(app): State<App>) -> Result<Response, Legacy> {
    Ok(show(&app, app.backend.tip().0)?)
}

/// `GET /block/height/{h}`.
pub async fn block(State(app): State<App>, Path(height): Path<String>) -> Result<Response, Legacy> {
    let height = height.parse().map_err(|_| invalid(format!("'height': a whole number is expected, found `{}`", short(&height))))?;
    Ok(show(&app, height)?)
}

fn show(app: &App, height: u64) -> Result<Response, Rejection> {
    let unknown = || Rejection::new(Code::ItemUnknown, format!("there is no block {height} yet"));
    let block =
        Some(height).filter(|height| *height <= app.backend.tip().0).and_then(|height| app.backend.block(height)).ok_or_else(unknown)?;
    let previous = height.checked_sub(1).and_then(|height| app.backend.block(height)).map(|block| hash(&block));
    // Blocks give their time in whole seconds, unlike everything else here.
    Ok(reply::json(&json!({
        "indep_hash": hash(&block), "previous_block": previous.unwrap_or_default(), "height": height,
        "timestamp": block.timestamp_ms / 1000, "txs": [], "tx_root": "", "block_size": "0", "weave_size": "0",
    })))
}

fn hash(block: &Block) -> String {
    URL_SAFE_NO_PAD.encode(block.id)
}

/// `GET /tx/{id}/status`.
pub async fn status(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Legacy> {
    let id = query::id("id", &id)?;
    let row = schema::ITEM_INDEX.get(app.store(), &id)?;
    let row = row.ok_or_else(|| Rejection::new(Code::ItemUnknown, format!("this node does not have item {id}")))?;
    let Some(height) = row.block_height else {
        return Ok(reply::with_status(StatusCode::ACCEPTED, reply::typed(reply::TEXT, "Pending")));
    };
    let confirmations = app.backend.tip().0.saturating_sub(height) + 1;
    Ok(reply::json(&json!({
        "block_height": height, "block_indep_hash": app.backend.block(height).map(|block| hash(&block)),
        "number_of_confirmations": confirmations,
    })))
}

/// `GET /tx_anchor`: a recent block.
pub async fn anchor(State(app): State<App>) -> Response {
    let anchor = app.backend.block(app.backend.tip().0).map(|block| hash(&block));
    reply::typed(reply::TEXT, anchor.unwrap_or_default())
}

/// `GET /price/{bytes}`.
pub async fn price(Path(bytes): Path<String>) -> Result<Response, Legacy> {
    Ok(free(&bytes)?)
}

/// `GET /price/{bytes}/{target}`.
pub async fn price_to(Path((bytes, _target)): Path<(String, String)>) -> Result<Response, Legacy> {
    Ok(free(&bytes)?)
}

fn free(bytes: &str) -> Result<Response, Rejection> {
    bytes.parse::<u64>().map_err(|_| invalid(format!("'bytes': a whole number is expected, found `{}`", short(bytes))))?;
    Ok(reply::typed(reply::TEXT, "0"))
}

/// `GET /wallet/{address}/balance`, winston.
pub async fn balance(State(app): State<App>, Path(address): Path<String>) -> Result<Response, Legacy> {
    let address = address_of(&address)?;
    let account = schema::ACCOUNTS.get(app.store(), &address).map_err(|error| store_failed(&error))?;
    Ok(reply::typed(reply::TEXT, account.map_or(0, |account| account.balance).to_string()))
}

/// `GET /wallet/{address}/last_tx`: nobody has sent a layer-one transaction here.
pub async fn last_transaction(Path(address): Path<String>) -> Result<Response, Legacy> {
    address_of(&address)?;
    Ok(reply::typed(reply::TEXT, ""))
}

fn address_of(text: &str) -> Result<String, Rejection> {
    let address: ao_types::Address = text.parse().map_err(|_| invalid(format!("`{}` is not an address", short(text))))?;
    Ok(address.to_string())
}
