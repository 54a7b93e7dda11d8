//! `POST /graphql`: `transaction(id)`, `transactions(...)`, `block`, `blocks` of the subset that clients ask for (`arweave.md`, section 7.1).
//!
//! Answers follow GraphQL: 200 with `data`, or with `errors`. An item is found as soon as it is accepted; its `block` is null until the
//! chain has it.

use std::borrow::Cow;

use ao_graphql::limits::REQUEST_BYTES_MAX;
use ao_graphql::{BlockView, Node, Request, Search, Shown, Wrong, plan, show};
use ao_storage::Store;
use ao_types::Id;
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::find::{self, Budget, Found};
use crate::error::Rejection;
use crate::http::reply::{self, Legacy, store_failed};
use crate::http::{App, Backend, body, cursor};

/// The route.
pub async fn answer(State(app): State<App>, request: HttpRequest) -> Result<Response, Legacy> {
    let request: Request = body::json(&app, request, REQUEST_BYTES_MAX).await?;
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
    let roots = match plan(request) {
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
        "transactions" => match search_of(root) {
            Ok((search, after)) => {
                let page = find::search(store, &search, after, budget).map_err(failed)?;
                show::connection(&shown(backend, page), &root.fields)
            }
            Err(wrong) => Err(wrong),
        },
        "transaction" => match root.arguments.get("id").and_then(Value::as_str) {
            Some(id) => match Id::parse(id).ok().map(|id| find::one(store, &id)).transpose().map_err(failed)?.flatten() {
                Some(found) => show::transaction(&Accepted { found, backend }, &root.fields),
                None => Ok(Value::Null),
            },
            None => Err("`transaction` needs an `id`".into()),
        },
        "block" => match root.arguments.get("height").and_then(Value::as_u64) {
            Some(height) => block_at(backend, height).map_or(Ok(Value::Null), |block| show::block(&block, &root.fields)),
            None => Err("`block` needs a `height`".into()),
        },
        "blocks" => show::blocks(&OfBackend(backend), root),
        "__typename" => Ok(json!("Query")),
        other => Err(format!("there is no query `{other}` here")),
    })
}

/// The search, and where it goes on.
fn search_of(root: &Shown) -> Result<(Search, Option<u64>), Wrong> {
    let mut search = Search::parse(&root.arguments)?;
    if search.bundled_in.is_some() {
        // Nothing here is part of a bundle.
        search.ids = Some(Vec::new());
    }
    let after = match &search.after {
        Some(text) => Some(cursor::open_number(text).map_err(|_| "`after` is not a cursor of this gateway")?),
        None => None,
    };
    Ok((search, after))
}

fn shown<'a>(backend: &'a dyn Backend, page: find::Page) -> show::Page<Accepted<'a>> {
    let at = |sequence: u64| cursor::opaque(&sequence.to_be_bytes());
    let edges = page.found.into_iter().map(|found| (at(found.row.sequence), Accepted { found, backend })).collect();
    show::Page { edges, more: page.more, end: page.looked_until.map(at) }
}

/// An item that this node has accepted.
struct Accepted<'a> {
    found: Found,
    backend: &'a dyn Backend,
}

impl Node for Accepted<'_> {
    fn id(&self) -> Id {
        self.found.item.id()
    }
    fn anchor(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.found.item.anchor().map_or(&[], |anchor| anchor))
    }
    fn signature(&self) -> &[u8] {
        self.found.item.signature()
    }
    fn recipient(&self) -> Option<Id> {
        self.found.item.target()
    }
    fn owner_address(&self) -> String {
        self.found.row.owner.to_string()
    }
    fn owner_key(&self) -> &[u8] {
        self.found.item.owner()
    }
    // Items pay nothing themselves.
    fn fee(&self) -> u128 {
        0
    }
    fn quantity(&self) -> u128 {
        0
    }
    fn data_bytes(&self) -> u64 {
        self.found.data_bytes as u64
    }
    fn tags(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        self.found.item.tags().map(|tag| (tag.name_text(), tag.value_text())).collect()
    }
    fn block(&self) -> Option<BlockView> {
        self.found.row.block_height.and_then(|height| block_at(self.backend, height))
    }
    fn bundled_in(&self) -> Option<Id> {
        None
    }
    fn ingested_at(&self) -> Option<u64> {
        Some(self.found.row.received_ms / 1000)
    }
}

/// A block, if the chain has one at that height.
fn block_at(backend: &dyn Backend, height: u64) -> Option<BlockView> {
    let block = Some(height).filter(|height| *height <= backend.tip().0).and_then(|height| backend.block(height))?;
    let previous = height.checked_sub(1).and_then(|height| backend.block(height));
    Some(BlockView {
        id: URL_SAFE_NO_PAD.encode(block.id),
        height,
        timestamp: block.timestamp_ms / 1000,
        previous: previous.map(|block| URL_SAFE_NO_PAD.encode(block.id)).unwrap_or_default(),
    })
}

struct OfBackend<'a>(&'a dyn Backend);

impl show::Blocks for OfBackend<'_> {
    fn tip(&self) -> u64 {
        self.0.tip().0
    }
    fn block(&self, height: u64) -> Option<BlockView> {
        block_at(self.0, height)
    }
    fn cursor(&self, height: u64) -> String {
        cursor::opaque(&height.to_be_bytes())
    }
    fn height(&self, cursor: &str) -> Option<u64> {
        cursor::open_number(cursor).ok()
    }
}

#[cfg(test)]
mod tests;
