//! The embedded gateway: everything this node has accepted, found by tag, owner, recipient or id, and its bytes, so that clients, tools
//! and other units need no outside host (`interop-legacynet.md`, section 5; `arweave.md`, section 7).
//!
//! It answers from the store alone. It does not fetch from other gateways, and it takes data items, not layer-one transactions.
//!
//! ```text
//!  graphql.rs ── `ao-graphql` (text → bounded plan) ── find.rs (plan → rows, by the narrowest index)
//!  data.rs    ── bytes of an item, ranges          upload.rs ── POST /tx
//!  chain.rs   ── heights, prices, balances: what upload tools ask before they post
//! ```

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value};

use crate::error::Rejection;
use crate::http::App;

mod chain;
mod data;
mod find;
mod graphql;
mod upload;

/// Routes under `/gateway`.
pub fn routes() -> Router<App> {
    Router::new().route("/", get(chain::info)).route("/{id}", get(data::by_id)).merge(shared())
}

/// Routes that mean the same at the root.
pub fn shared() -> Router<App> {
    Router::new()
        .route("/graphql", post(graphql::answer))
        .route("/raw/{id}", get(data::by_id))
        .route("/tx", post(upload::post))
        .route("/tx/{id}/status", get(chain::status))
        .route("/tx_anchor", get(chain::anchor))
        .route("/price/{bytes}", get(chain::price))
        .route("/price/{bytes}/{target}", get(chain::price_to))
        .route("/wallet/{address}/balance", get(chain::balance))
        .route("/wallet/{address}/last_tx", get(chain::last_transaction))
        .route("/info", get(chain::info))
        .route("/height", get(chain::height))
        .route("/block/current", get(chain::current_block))
        .route("/block/height/{height}", get(chain::block))
}

/// Network information, as `GET /info` gives it.
///
/// # Errors
/// The store cannot answer.
pub fn info(app: &App) -> Result<Map<String, Value>, Rejection> {
    chain::information(app)
}

/// The data of an item, as `GET /{id}` gives it.
///
/// # Errors
/// `id` is not an id or the item is not here.
pub async fn data(app: &App, id: &str, headers: &HeaderMap) -> Result<Response, Rejection> {
    data::of(app, id, headers).await
}
