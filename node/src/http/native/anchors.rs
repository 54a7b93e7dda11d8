//! `/v1/anchors`: what this node wrote to Arweave and how far each writing is. Whoever wants to know better asks Arweave: `aonode anchor
//! verify`.

use ao_arweave::gateways::Endpoint;
use ao_arweave::pipeline::{Carrier, Holder, Shipment};
use ao_arweave::records::StateRecord;
use ao_storage::schema;
use ao_types::Canonical as _;
use ao_types::transaction::Base64Url;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use serde_json::{Value, json};

use super::list::Asked;
use crate::anchor::states::carried_state;
use crate::error::{Code, Rejection};
use crate::http::App;
use crate::http::query::{Query, invalid, short};
use crate::http::reply::{self, Native, store_failed};

/// Ranges and ids shown of one shipment: as many as a bundle of ours has.
const ITEMS_SHOWN_MAX: usize = ao_arweave::limits::BUNDLE_ITEMS_MAX;

/// Every shipment, by number.
pub async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Native> {
    let asked = Asked::parse(&Query::of(&uri)?)?;
    let page = app.read(move |store| {
        asked.page(store, &schema::SHIPMENTS, vec![0; 8], Vec::new(), |number, bytes| {
            // Rows that this build cannot read are listed all the same.
            let Ok(shipment) = Shipment::decode(&bytes) else { return Ok(Some(json!({ "number": number, "state": null }))) };
            Ok(Some(head(&shipment, carried_state(store, &shipment)?.as_ref())))
        })
    });
    Ok(reply::json(&page.await?))
}

/// One shipment, with what it is made of.
pub async fn one(State(app): State<App>, Path(number): Path<String>) -> Result<Response, Native> {
    let number: u64 =
        number.parse().map_err(|_| invalid(format!("'number': the number of a shipment is expected, found `{}`", short(&number))))?;
    let found = app.read(move |store| {
        let row = schema::SHIPMENTS.get(store, &number).map_err(|error| store_failed(&error))?;
        let items = schema::SHIPMENT_ITEMS.get(store, &number).map_err(|error| store_failed(&error))?;
        let Some(shipment) = row.and_then(|row| Shipment::decode(&row).ok()) else { return Ok(None) };
        let state = carried_state(store, &shipment).map_err(|error| store_failed(&error))?;
        Ok(Some((shipment, items, state)))
    });
    let (shipment, items, state) =
        found.await?.ok_or_else(|| Rejection::new(Code::ItemUnknown, format!("this node made no shipment {number}")))?;
    let mut shown = head(&shipment, state.as_ref());
    shown["carriers"] = shipment.carriers.iter().map(carrier).collect();
    shown["copies"] = shipment.copies.iter().map(holder).collect();
    shown["broken"] = shipment.broken.iter().map(holder).collect();
    shown["items"] = json!(items.map(|row| row.items).unwrap_or_default().into_iter().take(ITEMS_SHOWN_MAX).collect::<Vec<_>>());
    Ok(reply::json(&shown))
}

fn head(shipment: &Shipment, state: Option<&StateRecord>) -> Value {
    let bundle = &shipment.bundle;
    let place = shipment.stage.place();
    json!({
        "number": shipment.number, "state": shipment.stage.text(), "items": bundle.items, "bytes": bundle.bytes, "since": bundle.since_ms,
        "data_root": Base64Url(bundle.root.to_vec()), "height": place.map(|place| place.height), "block": place.map(|place| Base64Url(place.block.to_vec())),
        "transaction": place.map_or_else(|| shipment.carrier().map(|carrier| carrier.id), |place| Some(place.transaction)),
        "signed_for": shipment.signed_for().to_string(),
        "ranges": bundle.covered.iter().map(|range| json!({
            "process": range.process, "from": range.from, "to": range.to,
        })).collect::<Vec<_>>(),
        "carried_state": state.map(|state| json!({
            "process": state.process, "slot": state.slot, "state_hash": state.state.to_string(), "item": state.item,
        })),
    })
}

fn carrier(carrier: &Carrier) -> Value {
    json!({
        "id": carrier.id, "reward": carrier.reward.to_string(), "anchor_height": carrier.anchor_height, "signed": carrier.signed_ms,
    })
}

/// Who took it, and what a bundling service promised: a receipt that was not kept is evidence.
fn holder(holder: &Holder) -> Value {
    let promise = holder.promise.as_ref().map(
        |promise| json!({ "given": promise.given, "deadline": promise.deadline, "receipt": String::from_utf8_lossy(&promise.receipt) }),
    );
    json!({ "endpoint": holder.endpoint, "chunks": holder.chunks, "promise": promise })
}

/// How anchoring is, for the status; `null` where nothing is anchored.
pub fn status(app: &App) -> Value {
    let Some(view) = app.anchors() else { return Value::Null };
    let (standing, backlog, (floor, cap)) = (view.standing(), view.backlog(), view.bounds());
    let (gateways, services) = view.endpoints();
    let summary = standing.summary;
    let stages = summary.iter().flat_map(|summary| &summary.stages).map(|(name, shipments, items, bytes, oldest)| {
        json!({ "state": name, "shipments": shipments, "items": items, "bytes": bytes, "oldest": oldest })
    });
    let trouble = view.trouble();
    json!({
        "lag_ms": view.lag_ms(), "height": summary.as_ref().map(|summary| summary.tip),
        "backlog": { "slots": backlog.slots, "bytes": backlog.bytes, "oldest": backlog.oldest_ms },
        "stages": stages.collect::<Vec<_>>(),
        "wallet": view.wallet(), "balance": view.balance().map(|winston| winston.to_string()),
        "spent_today": summary.as_ref().map(|summary| summary.spent.at(view.now_ms()).winston.to_string()),
        "days_left": view.days_left().map(|days| u64::try_from(days).unwrap_or(u64::MAX)), "cap": cap.to_string(), "floor": floor.to_string(),
        "gateways": gateways.iter().map(endpoint).collect::<Vec<_>>(), "bundlers": services.iter().map(endpoint).collect::<Vec<_>>(),
        "trouble": trouble.as_ref().map(|(reason, _)| reason), "fix": trouble.as_ref().map(|(_, fix)| fix),
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let (answered, failed) = endpoint.counts();
    json!({ "url": endpoint.url, "answered": answered, "failed": failed, "failures": endpoint.failures() })
}
