//! `POST /graphql`: `transaction(id)`, `transactions(...)`, `block`, `blocks` of the subset that clients ask for (`arweave.md`, section 7.1).
//!
//! Answers follow GraphQL: 200 with `data`, or with `errors`. An item is found as soon as it is accepted; its `block` is null until the
//! chain has it.

use ao_storage::Store;
use ao_types::Id;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::find::{self, Budget, Found, Page};
use super::plan::{self, Request, Search, Shown, Wrong};
use crate::error::Rejection;
use crate::http::limits::GRAPHQL_BYTES_MAX;
use crate::http::reply::{self, Legacy, store_failed};
use crate::http::{App, Backend, body, cursor};

/// The route.
pub async fn answer(State(app): State<App>, request: HttpRequest) -> Result<Response, Legacy> {
    let request: Request = body::json(&app, request, GRAPHQL_BYTES_MAX).await?;
    let backend = app.backend.clone();
    let answer = app.read(move |store| run(backend.as_ref(), store, &request, Budget::default())).await?;
    Ok(reply::json(&answer))
}

/// The whole answer to a request.
///
/// # Errors
/// The store cannot answer. A bad query is no error of this kind: it is an answer with `errors`.
pub fn run(backend: &dyn Backend, store: &dyn Store, request: &Request, budget: Budget) -> Result<Value, Rejection> {
    let wrong = |wrong: Wrong| json!({ "data": null, "errors": [{ "message": wrong }] });
    let roots = match plan::plan(request) {
        Ok(roots) => roots,
        Err(message) => return Ok(wrong(message)),
    };
    let mut data = Map::new();
    for root in roots {
        match resolve(backend, store, &root, budget)? {
            Ok(value) => data.insert(root.alias, value),
            Err(message) => return Ok(wrong(message)),
        };
    }
    Ok(json!({ "data": data }))
}

fn resolve(backend: &dyn Backend, store: &dyn Store, root: &Shown, budget: Budget) -> Result<Result<Value, Wrong>, Rejection> {
    let failed = |error| store_failed(&error);
    Ok(match root.name.as_str() {
        "transactions" => match Search::parse(&root.arguments) {
            Ok(search) => connection(backend, &find::search(store, &search, budget).map_err(failed)?, &root.fields),
            Err(wrong) => Err(wrong),
        },
        "transaction" => match root.arguments.get("id").and_then(Value::as_str) {
            Some(id) => match Id::parse(id).ok().map(|id| find::one(store, &id)).transpose().map_err(failed)?.flatten() {
                Some(found) => object(&root.fields, |field| node(backend, &found, field)),
                None => Ok(Value::Null),
            },
            None => Err("`transaction` needs an `id`".into()),
        },
        "block" => match root.arguments.get("height").and_then(Value::as_u64) {
            Some(height) => block_at(backend, height, &root.fields),
            None => Err("`block` needs a `height`".into()),
        },
        "blocks" => blocks(backend, root),
        "__typename" => Ok(json!("Query")),
        other => Err(format!("there is no query `{other}` here")),
    })
}

/// An object with what was asked of it, under the names it was asked by.
fn object(fields: &[Shown], mut value: impl FnMut(&Shown) -> Result<Value, Wrong>) -> Result<Value, Wrong> {
    if fields.is_empty() {
        return Err("a selection of fields is missing".into());
    }
    let mut out = Map::new();
    for field in fields {
        out.insert(field.alias.clone(), value(field)?);
    }
    Ok(Value::Object(out))
}

fn no_field(kind: &str, field: &Shown) -> Wrong {
    format!("{kind} has no field `{}`", field.name)
}

fn connection(backend: &dyn Backend, page: &Page, fields: &[Shown]) -> Result<Value, Wrong> {
    object(fields, |field| match field.name.as_str() {
        "pageInfo" => object(&field.fields, |field| match field.name.as_str() {
            "hasNextPage" => Ok(json!(page.more)),
            // Where looking ended without a result on it: a client that pages by this does not look there again.
            "endCursor" => Ok(json!(page.looked_until.map(|sequence| cursor::opaque(&sequence.to_be_bytes())))),
            "__typename" => Ok(json!("PageInfo")),
            _ => Err(no_field("PageInfo", field)),
        }),
        "count" => Ok(json!(page.found.len().to_string())),
        "edges" => page
            .found
            .iter()
            .map(|found| {
                object(&field.fields, |field| match field.name.as_str() {
                    "cursor" => Ok(json!(cursor::opaque(&found.row.sequence.to_be_bytes()))),
                    "node" => object(&field.fields, |field| node(backend, found, field)),
                    "__typename" => Ok(json!("TransactionEdge")),
                    _ => Err(no_field("TransactionEdge", field)),
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        "__typename" => Ok(json!("TransactionConnection")),
        _ => Err(no_field("TransactionConnection", field)),
    })
}

fn node(backend: &dyn Backend, found: &Found, field: &Shown) -> Result<Value, Wrong> {
    let (item, row) = (&found.item, &found.row);
    let encoded = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
    match field.name.as_str() {
        "id" => Ok(json!(item.id())),
        "anchor" => Ok(item.anchor().map_or_else(|| json!(""), |anchor| encoded(anchor))),
        "signature" => Ok(encoded(item.signature())),
        "recipient" => Ok(json!(item.target().map(|target| target.to_string()).unwrap_or_default())),
        "ingested_at" => Ok(json!(row.received_ms / 1000)),
        "owner" => object(&field.fields, |field| match field.name.as_str() {
            "address" => Ok(json!(row.owner.to_string())),
            "key" => Ok(encoded(item.owner())),
            "__typename" => Ok(json!("Owner")),
            _ => Err(no_field("Owner", field)),
        }),
        // Items pay nothing themselves.
        "fee" | "quantity" => object(&field.fields, |field| match field.name.as_str() {
            "winston" => Ok(json!("0")),
            "ar" => Ok(json!("0.000000000000")),
            "__typename" => Ok(json!("Amount")),
            _ => Err(no_field("Amount", field)),
        }),
        "data" => object(&field.fields, |field| match field.name.as_str() {
            "size" => Ok(json!(found.data_bytes.to_string())),
            "type" => Ok(json!(item.tag("Content-Type"))),
            "__typename" => Ok(json!("MetaData")),
            _ => Err(no_field("MetaData", field)),
        }),
        "tags" => item
            .tags()
            .map(|tag| {
                object(&field.fields, |field| match field.name.as_str() {
                    "name" => Ok(json!(tag.name_text())),
                    "value" => Ok(json!(tag.value_text())),
                    "__typename" => Ok(json!("Tag")),
                    _ => Err(no_field("Tag", field)),
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        "block" => match row.block_height {
            Some(height) => block_at(backend, height, &field.fields),
            None => Ok(Value::Null),
        },
        "bundledIn" | "parent" => Ok(Value::Null),
        "__typename" => Ok(json!("Transaction")),
        _ => Err(no_field("Transaction", field)),
    }
}

/// A block, or null if the chain has none at that height.
fn block_at(backend: &dyn Backend, height: u64, fields: &[Shown]) -> Result<Value, Wrong> {
    let Some(block) = Some(height).filter(|height| *height <= backend.tip().0).and_then(|height| backend.block(height)) else {
        return Ok(Value::Null);
    };
    object(fields, |field| match field.name.as_str() {
        "id" => Ok(json!(URL_SAFE_NO_PAD.encode(block.id))),
        "height" => Ok(json!(height)),
        "timestamp" => Ok(json!(block.timestamp_ms / 1000)),
        "previous" => {
            let previous = height.checked_sub(1).and_then(|height| backend.block(height));
            Ok(json!(previous.map(|block| URL_SAFE_NO_PAD.encode(block.id)).unwrap_or_default()))
        }
        "__typename" => Ok(json!("Block")),
        _ => Err(no_field("Block", field)),
    })
}

/// `blocks(height: {min, max}, first, after, sort)`: what compute units read for block crons.
fn blocks(backend: &dyn Backend, root: &Shown) -> Result<Value, Wrong> {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64);
    let bounds = root.arguments.get("height");
    let tip = backend.tip().0;
    let min = number(bounds.and_then(|bounds| bounds.get("min"))).unwrap_or(0);
    let max = number(bounds.and_then(|bounds| bounds.get("max"))).unwrap_or(tip).min(tip);
    let (default, most) = crate::http::limits::GRAPHQL_PAGE;
    let first = number(root.arguments.get("first")).map_or(default, |first| usize::try_from(first).unwrap_or(most).min(most));
    let ascending = root.arguments.get("sort").and_then(Value::as_str) == Some("HEIGHT_ASC");
    let after = match root.arguments.get("after").and_then(Value::as_str).filter(|cursor| !cursor.is_empty()) {
        Some(text) => Some(cursor::open_number(text).map_err(|_| "`after` is not a cursor of this gateway")?),
        None => None,
    };
    let (low, high) = match (after, ascending) {
        (Some(after), true) => (min.max(after.saturating_add(1)), max),
        (Some(0), false) => (1, 0),
        (Some(after), false) => (min, max.min(after - 1)),
        (None, _) => (min, max),
    };
    // A chain may begin above height 0.
    let low = first_block(backend, low, high);
    let heights: Vec<u64> = if ascending { (low..=high).take(first + 1).collect() } else { (low..=high).rev().take(first + 1).collect() };
    let more = heights.len() > first;
    object(&root.fields, |field| match field.name.as_str() {
        "pageInfo" => object(&field.fields, |field| match field.name.as_str() {
            "hasNextPage" => Ok(json!(more)),
            _ => Err(no_field("PageInfo", field)),
        }),
        "edges" => heights
            .iter()
            .take(first)
            .map(|height| {
                object(&field.fields, |field| match field.name.as_str() {
                    "cursor" => Ok(json!(cursor::opaque(&height.to_be_bytes()))),
                    "node" => block_at(backend, *height, &field.fields),
                    _ => Err(no_field("BlockEdge", field)),
                })
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        _ => Err(no_field("BlockConnection", field)),
    })
}

/// The lowest height of `low..=high` with a block, by bisection: a chain has all heights from its first block on.
fn first_block(backend: &dyn Backend, low: u64, high: u64) -> u64 {
    let (mut low, mut end) = (low, high.saturating_add(1));
    while low < end {
        let middle = low + (end - low) / 2;
        if backend.block(middle).is_some() { end = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests;
