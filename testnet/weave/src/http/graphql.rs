//! `POST /graphql`: the index in the shape of gateways, with the lies that are commanded.

use std::borrow::Cow;

use ao_graphql::limits::REQUEST_BYTES_MAX;
use ao_graphql::{BlockView, Node, Request as Query, Search, Shown, Wrong, plan, show};
use ao_types::Id;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{App, body, json_reply, text};
use crate::block::Block;
use crate::chain::Chain;
use crate::index::{Entry, Head, Key, View, WAITING};
use crate::odds::draw;
use crate::station::Station;

/// The route.
pub async fn answer(State(app): State<App>, request: Request<Body>) -> Result<Response, Response> {
    let (_, bytes) = body(request, REQUEST_BYTES_MAX).await?;
    let Ok(query) = serde_json::from_slice::<Query>(&bytes) else { return Err(text(StatusCode::BAD_REQUEST, "Invalid JSON.")) };
    let gateway = app.gateway;
    let value = app.blocking(move |station| run(station, gateway, &query)).await?;
    Ok(json_reply(&value))
}

/// The whole answer.
pub fn run(station: &Station, gateway: usize, query: &Query) -> Value {
    let wrong = |wrong: Wrong| json!({ "data": null, "errors": [{ "message": wrong }] });
    let roots = match plan(query) {
        Ok(roots) => roots,
        Err(message) => return wrong(message),
    };
    let mut data = Map::new();
    for root in roots {
        match resolve(station, gateway, &root) {
            Ok(value) => data.insert(root.alias, value),
            Err(message) => return wrong(message),
        };
    }
    json!({ "data": data })
}

/// What this gateway is like at this moment.
struct Mood {
    view: View,
    tip: u64,
    endless: bool,
    reorder: bool,
}

fn resolve(station: &Station, gateway: usize, root: &Shown) -> Result<Value, Wrong> {
    let mood = {
        let state = station.state();
        let faults = state.gateways.get(gateway).cloned().unwrap_or_default();
        let tip = faults.stale.unwrap_or(u64::MAX).min(state.chain.tip().height);
        Mood { view: faults.view(state.chain.tip().height), tip, endless: faults.endless, reorder: faults.reorder }
    };
    match root.name.as_str() {
        "transactions" => {
            let search = Search::parse(&root.arguments)?;
            let page = page(station, &mood, &search)?;
            show::connection(&page, &root.fields)
        }
        "transaction" => {
            let id = root.arguments.get("id").and_then(Value::as_str).ok_or("`transaction` needs an `id`")?;
            let found = Id::parse(id).ok().and_then(|id| {
                let found = station.index().get(&mood.view, &id).map(|(key, entry)| (key, entry.clone()))?;
                Some(Shows::of(station, found))
            });
            found.map_or(Ok(Value::Null), |node| show::transaction(&node, &root.fields))
        }
        "block" => {
            let height = root.arguments.get("height").and_then(Value::as_u64).ok_or("`block` needs a `height`")?;
            let view = Heights { station, tip: mood.tip };
            show::Blocks::block(&view, height).map_or(Ok(Value::Null), |view| show::block(&view, &root.fields))
        }
        "blocks" => show::blocks(&Heights { station, tip: mood.tip }, root),
        "__typename" => Ok(json!("Query")),
        other => Err(format!("there is no query `{other}` here")),
    }
}

fn page(station: &Station, mood: &Mood, search: &Search) -> Result<show::Page<Shows>, Wrong> {
    let after = match &search.after {
        Some(text) => Some(open(text).ok_or("`after` is not a cursor of this gateway")?),
        None => None,
    };
    let (mut entries, mut more, mut end) = collect(station, mood, search, after);
    if mood.endless {
        more = true;
        if entries.is_empty() {
            // Round and round.
            (entries, _, end) = collect(station, mood, search, None);
        }
    }
    if mood.reorder {
        entries.sort_by_key(|(_, entry)| draw(station.seed(), "reorder", &[&entry.id().0]));
    }
    let edges = entries.into_iter().map(|(key, entry)| (close(key), Shows::of(station, (key, entry)))).collect();
    Ok(show::Page { edges, more, end: end.map(close) })
}

type Collected = (Vec<(Key, Entry)>, bool, Option<Key>);

fn collect(station: &Station, mood: &Mood, search: &Search, after: Option<Key>) -> Collected {
    let index = station.index();
    let found = index.search(&mood.view, search, after);
    let entries = found.entries.into_iter().map(|(key, entry)| (key, entry.clone())).collect();
    (entries, found.more, found.end)
}

/// A cursor's text: the key's bytes.
fn close(key: Key) -> String {
    let bytes = [&key.height.to_be_bytes()[..], &key.position.to_be_bytes()].concat();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open(text: &str) -> Option<Key> {
    let mut bytes = [0; 12];
    let read = if text.len() == 16 { URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()? } else { 0 };
    let (height, position) = bytes.split_first_chunk::<8>()?;
    (read == 12).then_some(Key { height: u64::from_be_bytes(*height), position: u32::from_be_bytes(*position.first_chunk()?) })
}

/// An entry with its block.
struct Shows {
    entry: Entry,
    block: Option<BlockView>,
}

impl Shows {
    fn of(station: &Station, (key, entry): (Key, Entry)) -> Self {
        let block = if key.height == WAITING { None } else { station.chain(|chain| chain.block_at(key.height).map(view_of)) };
        Self { entry, block }
    }
}

impl Node for Shows {
    fn id(&self) -> Id {
        self.entry.id()
    }
    fn anchor(&self) -> Cow<'_, [u8]> {
        match &self.entry.head {
            Head::Transaction(transaction) => Cow::Borrowed(&transaction.last_tx.0),
            Head::Item(item) => Cow::Borrowed(item.anchor().map_or(&[], |anchor| anchor)),
        }
    }
    fn signature(&self) -> &[u8] {
        match &self.entry.head {
            Head::Transaction(transaction) => &transaction.signature.0,
            Head::Item(item) => item.signature(),
        }
    }
    fn recipient(&self) -> Option<Id> {
        self.entry.recipient()
    }
    fn owner_address(&self) -> String {
        self.entry.owner().to_string()
    }
    fn owner_key(&self) -> &[u8] {
        match &self.entry.head {
            Head::Transaction(transaction) => &transaction.owner.0,
            Head::Item(item) => item.owner(),
        }
    }
    fn fee(&self) -> u128 {
        match &self.entry.head {
            Head::Transaction(transaction) => transaction.reward.parse().unwrap_or_default(),
            Head::Item(_) => 0,
        }
    }
    fn quantity(&self) -> u128 {
        match &self.entry.head {
            Head::Transaction(transaction) => transaction.quantity.parse().unwrap_or_default(),
            Head::Item(_) => 0,
        }
    }
    fn data_bytes(&self) -> u64 {
        self.entry.data.len()
    }
    fn tags(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        self.entry.tags().into_iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value))).collect()
    }
    fn block(&self) -> Option<BlockView> {
        self.block.clone()
    }
    fn bundled_in(&self) -> Option<Id> {
        self.entry.parent
    }
    fn ingested_at(&self) -> Option<u64> {
        self.block.as_ref().map(|block| block.timestamp)
    }
}

fn view_of(block: &Block) -> BlockView {
    BlockView { id: block.hash.to_string(), height: block.height, timestamp: block.timestamp, previous: block.previous.to_string() }
}

/// The chain as far as this gateway knows it.
struct Heights<'a> {
    station: &'a Station,
    tip: u64,
}

impl show::Blocks for Heights<'_> {
    fn tip(&self) -> u64 {
        self.tip
    }
    fn block(&self, height: u64) -> Option<BlockView> {
        let at = |chain: &Chain| chain.block_at(height).map(view_of);
        if height <= self.tip { self.station.chain(at) } else { None }
    }
    fn cursor(&self, height: u64) -> String {
        close(Key { height, position: 0 })
    }
    fn height(&self, cursor: &str) -> Option<u64> {
        open(cursor).map(|key| key.height)
    }
}
