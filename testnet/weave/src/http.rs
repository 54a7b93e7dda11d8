//! The HTTP of node, gateway and bundling service on one port (`arweave.md`, section 7), and `/dev`, from where faults are commanded.
//!
//! Several gateways may show the same chain, each on a port of its own and with faults of its own. Every body has a bound, so has the
//! number of requests at a time. `/dev` answers callers of the same machine only, and no browser.
//!
//! ```text
//!  request ─► faults of this gateway (trouble.rs) ─► chain.rs    node: blocks, transactions, chunks, prices, wallets
//!                                                    gateway.rs  data by id, GraphQL
//!                                                    bundler.rs  items, receipts
//!             (none of its faults for /dev) ──────►  dev.rs      commands
//! ```

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::server::Shared;
use crate::station::{Error, Station};

mod bundler;
mod chain;
mod dev;
mod gateway;
mod graphql;
mod trouble;

pub(crate) use trouble::Window;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct App {
    /// Everything that all gateways share.
    pub shared: Arc<Shared>,
    /// Which gateway this is, from 0.
    pub gateway: usize,
    /// Requests answered at this moment.
    pub running: Arc<Semaphore>,
    /// What was answered in this minute.
    pub window: Arc<Window>,
}

impl App {
    fn station(&self) -> &Station {
        &self.shared.station
    }

    /// Runs what takes long, or may wait for a disk, on a thread for such things.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Station) -> T + Send + 'static) -> Result<T, Response> {
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || work(&shared.station)).await.map_err(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "failed"))
    }
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let open = Router::new()
        .route("/info", get(chain::info))
        .route("/", get(chain::info))
        .route("/height", get(chain::height))
        .route("/peers", get(chain::peers))
        .route("/queue", get(chain::queue))
        .route("/block/current", get(chain::current_block))
        .route("/block/height/{height}", get(chain::block_at))
        .route("/block/hash/{hash}", get(chain::block_by_hash))
        .route("/tx_anchor", get(chain::anchor))
        .route("/price/{bytes}", get(chain::price))
        .route("/price/{bytes}/{target}", get(chain::price_to))
        .route("/price2/{bytes}", get(chain::price_object))
        .route("/price2/{bytes}/{target}", get(chain::price_object_to))
        .route("/wallet/{address}/balance", get(chain::balance))
        .route("/wallet/{address}/last_tx", get(chain::last_transaction))
        .route("/tx", post(chain::post_transaction))
        .route("/tx/pending", get(chain::pending))
        .route("/tx/{id}", get(chain::transaction).post(bundler::post_to))
        .route("/tx/{id}/status", get(chain::status))
        .route("/tx/{id}/offset", get(chain::offset))
        .route("/tx/{id}/data", get(gateway::data_text))
        .route("/chunk", post(chain::post_chunk))
        .route("/chunk/{byte}", get(chain::chunk))
        .route("/raw/{id}", get(gateway::data))
        .route("/{id}", get(gateway::data))
        .route("/graphql", post(graphql::answer))
        .route("/v1/tx", post(bundler::post))
        .route("/v1/tx/{id}", post(bundler::post_to))
        .route("/v1/tx/{id}/status", get(bundler::status))
        .route("/v1/info", get(bundler::info))
        .route("/account/balance/{token}", get(bundler::balance))
        .route("/v1/account/balance/{token}", get(bundler::balance))
        .layer(middleware::from_fn_with_state(app.clone(), trouble::layer));
    let commands = Router::new()
        .route("/dev/faults", get(dev::faults))
        .route("/dev/state", get(dev::state))
        .route("/dev/{verb}", post(dev::command))
        .layer(middleware::from_fn(dev::only_from_here));
    open.merge(commands)
        .fallback(async || text(StatusCode::NOT_FOUND, "Not Found."))
        // Bodies are collected under the bounds of their routes.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// A body within a bound.
async fn body(request: Request<Body>, bytes_max: usize) -> Result<(HeaderMap, Bytes), Response> {
    let (parts, body) = request.into_parts();
    match axum::body::to_bytes(body, bytes_max).await {
        Ok(bytes) => Ok((parts.headers, bytes)),
        Err(_) => Err(text(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large")),
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into()).into_response()
}

fn json_reply(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], value.to_string()).into_response()
}

/// What the station refuses, as a real node says it.
fn refused(error: &Error) -> Response {
    match error {
        Error::Refused(refusal) => text(StatusCode::BAD_REQUEST, refusal.to_string()),
        Error::Chunk(error) => {
            let mut response = json_reply(&json!({ "error": error.to_string() }));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
        Error::Item(crate::station::ItemError::Full(_)) | Error::Journal(_) => text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Error::Item(crate::station::ItemError::Large) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Error::Item(_) | Error::Command(_) | Error::Mine(_) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}
