//! The bundling service: items in, receipts out. Everything is free here.

use ao_types::Id;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::{App, body, json_reply, refused, text};
use crate::index::{View, WAITING};
use crate::limits::ITEM_BODY_MAX;
use crate::station::Taken;

/// `POST /v1/tx`.
pub async fn post(State(app): State<App>, request: Request<Body>) -> Result<Response, Response> {
    take(&app, request).await
}

/// `POST /tx/{token}`, `POST /v1/tx/{token}`: all tokens pay nothing.
pub async fn post_to(State(app): State<App>, Path(_token): Path<String>, request: Request<Body>) -> Result<Response, Response> {
    take(&app, request).await
}

/// Takes an item.
pub async fn take(app: &App, request: Request<Body>) -> Result<Response, Response> {
    let (_, bytes) = body(request, ITEM_BODY_MAX).await?;
    let now = app.shared.now_ms();
    match app.blocking(move |station| station.post_item(bytes, now)).await? {
        Ok(Taken::New(receipt)) => {
            app.shared.arrived();
            let owner = Id(ao_types::hash::sha256(&[&receipt.public.0]));
            let mut value = json!(receipt);
            if let Value::Object(members) = &mut value {
                members.insert("winc".into(), json!("0"));
                members.insert("owner".into(), json!(owner));
                members.insert("dataCaches".into(), json!(["localhost"]));
                members.insert("fastFinalityIndexes".into(), json!(["localhost"]));
            }
            Ok(json_reply(&value))
        }
        Ok(Taken::Again(id)) => {
            let mut response = json_reply(&json!({ "id": id, "message": "Data item already exists" }));
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
        Err(error) => Err(refused(&error)),
    }
}

/// `GET /v1/tx/{id}/status`.
pub async fn status(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let id = Id::parse(&id).map_err(|_| text(StatusCode::BAD_REQUEST, "Invalid hash."))?;
    Ok(status_of(&app, &id))
}

/// Where an item is, by what this gateway shows; a block's height and hash are there once it has one.
pub fn status_of(app: &App, id: &Id) -> Response {
    let (view, tip) = {
        let state = app.station().state();
        let tip = state.chain.tip().height;
        (state.gateways.get(app.gateway).map_or(View::ALL, |faults| faults.view(tip)), tip)
    };
    let found = app.station().index().get(&view, id).map(|(key, entry)| (key.height, entry.root));
    match found {
        None => text(StatusCode::NOT_FOUND, "Not Found."),
        Some((WAITING, _)) => json_reply(&json!({ "status": "CONFIRMED", "info": "pending" })),
        Some((height, root)) => {
            let hash = app.station().chain(|chain| chain.block_at(height).map(|block| block.hash));
            json_reply(&json!({
                "status": "FINALIZED", "info": "permanent", "bundleId": root, "block_height": height, "block_indep_hash": hash,
                "number_of_confirmations": tip.saturating_sub(height) + 1,
            }))
        }
    }
}

/// `GET /price/{token}/{bytes}`.
pub fn price(bytes: &str) -> Response {
    match bytes.parse::<u64>() {
        Ok(_) => text(StatusCode::OK, "0"),
        Err(_) => text(StatusCode::BAD_REQUEST, "size_must_be_an_integer"),
    }
}

/// `GET /account/balance/{token}`.
pub async fn balance() -> Response {
    json_reply(&json!({ "winc": "0", "balance": "0" }))
}

/// `GET /v1/info`: what clients pin.
pub async fn info(State(app): State<App>) -> Response {
    use base64::Engine as _;
    let key = app.station().bundler_key();
    let public = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key);
    let address = Id(ao_types::hash::sha256(&[key]));
    json_reply(&json!({ "version": "0.2.0", "gateway": "localhost", "addresses": { "arweave": address }, "public": public }))
}
