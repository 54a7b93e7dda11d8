//! Results in the shape that was asked for.

use std::borrow::Cow;

use ao_types::Id;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::limits::PAGE;
use crate::plan::{Shown, Wrong};

/// A transaction or an item, as gateways show both.
pub trait Node {
    /// Its id.
    fn id(&self) -> Id;
    /// The anchor; empty where there is none.
    fn anchor(&self) -> Cow<'_, [u8]>;
    /// The signature.
    fn signature(&self) -> &[u8];
    /// The recipient.
    fn recipient(&self) -> Option<Id>;
    /// The owner as shown.
    fn owner_address(&self) -> String;
    /// The owner's key.
    fn owner_key(&self) -> &[u8];
    /// Winston paid.
    fn fee(&self) -> u128;
    /// Winston sent.
    fn quantity(&self) -> u128;
    /// Bytes of its data.
    fn data_bytes(&self) -> u64;
    /// Names and values in order.
    fn tags(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)>;
    /// The block that has it.
    fn block(&self) -> Option<BlockView>;
    /// The bundle it came in.
    fn bundled_in(&self) -> Option<Id>;
    /// When this gateway got it, seconds since 1970.
    fn ingested_at(&self) -> Option<u64>;
}

/// A block, as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockView {
    /// Independent hash, as text.
    pub id: String,
    /// Height.
    pub height: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Hash of the one before, as text.
    pub previous: String,
}

/// A page of results with their cursors.
#[derive(Clone, Debug)]
pub struct Page<N> {
    /// In order.
    pub edges: Vec<(String, N)>,
    /// There are more, or there may be.
    pub more: bool,
    /// Where looking ended, also without a result there.
    pub end: Option<String>,
}

/// An object with what was asked of it, under the names it was asked by.
///
/// # Errors
/// Nothing was asked of it, or `value` does not know a field.
pub fn object(fields: &[Shown], mut value: impl FnMut(&Shown) -> Result<Value, Wrong>) -> Result<Value, Wrong> {
    if fields.is_empty() {
        return Err("a selection of fields is missing".into());
    }
    let mut out = Map::new();
    for field in fields {
        out.insert(field.alias.clone(), value(field)?);
    }
    Ok(Value::Object(out))
}

/// What to say of a field that a type does not have.
pub fn no_field(kind: &str, field: &Shown) -> Wrong {
    format!("{kind} has no field `{}`", field.name)
}

/// `TransactionConnection`.
///
/// # Errors
/// A field is unknown.
pub fn connection<N: Node>(page: &Page<N>, fields: &[Shown]) -> Result<Value, Wrong> {
    object(fields, |field| match field.name.as_str() {
        "pageInfo" => object(&field.fields, |field| match field.name.as_str() {
            "hasNextPage" => Ok(json!(page.more)),
            // Where looking ended without a result on it: a client that pages by this does not look there again.
            "endCursor" => Ok(json!(page.end)),
            "__typename" => Ok(json!("PageInfo")),
            _ => Err(no_field("PageInfo", field)),
        }),
        "count" => Ok(json!(page.edges.len().to_string())),
        "edges" => list(&page.edges, |(cursor, node)| {
            object(&field.fields, |field| match field.name.as_str() {
                "cursor" => Ok(json!(cursor)),
                "node" => transaction(node, &field.fields),
                "__typename" => Ok(json!("TransactionEdge")),
                _ => Err(no_field("TransactionEdge", field)),
            })
        }),
        "__typename" => Ok(json!("TransactionConnection")),
        _ => Err(no_field("TransactionConnection", field)),
    })
}

/// `Transaction`.
///
/// # Errors
/// A field is unknown.
pub fn transaction<N: Node>(node: &N, fields: &[Shown]) -> Result<Value, Wrong> {
    object(fields, |field| match field.name.as_str() {
        "id" => Ok(json!(node.id())),
        "anchor" => Ok(json!(URL_SAFE_NO_PAD.encode(node.anchor()))),
        "signature" => Ok(json!(URL_SAFE_NO_PAD.encode(node.signature()))),
        "recipient" => Ok(json!(node.recipient().map(|id| id.to_string()).unwrap_or_default())),
        "ingested_at" => Ok(json!(node.ingested_at())),
        "owner" => object(&field.fields, |field| match field.name.as_str() {
            "address" => Ok(json!(node.owner_address())),
            "key" => Ok(json!(URL_SAFE_NO_PAD.encode(node.owner_key()))),
            "__typename" => Ok(json!("Owner")),
            _ => Err(no_field("Owner", field)),
        }),
        "fee" => amount(node.fee(), &field.fields),
        "quantity" => amount(node.quantity(), &field.fields),
        "data" => object(&field.fields, |field| match field.name.as_str() {
            "size" => Ok(json!(node.data_bytes().to_string())),
            "type" => Ok(json!(node.tags().iter().find(|(name, _)| name == "Content-Type").map(|(_, value)| value))),
            "__typename" => Ok(json!("MetaData")),
            _ => Err(no_field("MetaData", field)),
        }),
        "tags" => list(&node.tags(), |(name, value)| {
            object(&field.fields, |field| match field.name.as_str() {
                "name" => Ok(json!(name)),
                "value" => Ok(json!(value)),
                "__typename" => Ok(json!("Tag")),
                _ => Err(no_field("Tag", field)),
            })
        }),
        "block" => node.block().map_or(Ok(Value::Null), |view| block(&view, &field.fields)),
        "bundledIn" | "parent" => match node.bundled_in() {
            Some(id) => object(&field.fields, |field| match field.name.as_str() {
                "id" => Ok(json!(id)),
                "__typename" => Ok(json!("Bundle")),
                _ => Err(no_field("Bundle", field)),
            }),
            None => Ok(Value::Null),
        },
        "__typename" => Ok(json!("Transaction")),
        _ => Err(no_field("Transaction", field)),
    })
}

/// `Amount`: winston, and AR with its twelve digits.
fn amount(winston: u128, fields: &[Shown]) -> Result<Value, Wrong> {
    const WINSTON_PER_AR: u128 = 1_000_000_000_000;
    object(fields, |field| match field.name.as_str() {
        "winston" => Ok(json!(winston.to_string())),
        "ar" => Ok(json!(format!("{}.{:012}", winston / WINSTON_PER_AR, winston % WINSTON_PER_AR))),
        "__typename" => Ok(json!("Amount")),
        _ => Err(no_field("Amount", field)),
    })
}

/// `Block`.
///
/// # Errors
/// A field is unknown.
pub fn block(view: &BlockView, fields: &[Shown]) -> Result<Value, Wrong> {
    object(fields, |field| match field.name.as_str() {
        "id" => Ok(json!(view.id)),
        "height" => Ok(json!(view.height)),
        "timestamp" => Ok(json!(view.timestamp)),
        "previous" => Ok(json!(view.previous)),
        "__typename" => Ok(json!("Block")),
        _ => Err(no_field("Block", field)),
    })
}

/// A chain, as far as `blocks` asks.
pub trait Blocks {
    /// Height of the newest block.
    fn tip(&self) -> u64;
    /// The block at a height, if the chain has it.
    fn block(&self, height: u64) -> Option<BlockView>;
    /// A height as a cursor of this gateway.
    fn cursor(&self, height: u64) -> String;
    /// A cursor of this gateway as a height.
    fn height(&self, cursor: &str) -> Option<u64>;
}

/// `blocks(height: {min, max}, first, after, sort)`: what compute units read for block crons.
///
/// # Errors
/// An argument is wrong or a field unknown.
pub fn blocks(chain: &dyn Blocks, root: &Shown) -> Result<Value, Wrong> {
    let number = |value: Option<&Value>| value.and_then(Value::as_u64);
    let bounds = root.arguments.get("height");
    let tip = chain.tip();
    let min = number(bounds.and_then(|bounds| bounds.get("min"))).unwrap_or(0);
    let max = number(bounds.and_then(|bounds| bounds.get("max"))).unwrap_or(tip).min(tip);
    let (default, most) = PAGE;
    let first = number(root.arguments.get("first")).map_or(default, |first| usize::try_from(first).unwrap_or(most).min(most));
    let ascending = root.arguments.get("sort").and_then(Value::as_str) == Some("HEIGHT_ASC");
    let after = match root.arguments.get("after").and_then(Value::as_str).filter(|cursor| !cursor.is_empty()) {
        Some(text) => Some(chain.height(text).ok_or("`after` is not a cursor of this gateway")?),
        None => None,
    };
    let (low, high) = match (after, ascending) {
        (Some(after), true) => (min.max(after.saturating_add(1)), max),
        (Some(0), false) => (1, 0),
        (Some(after), false) => (min, max.min(after - 1)),
        (None, _) => (min, max),
    };
    // A chain may begin above height 0.
    let low = first_block(chain, low, high);
    let heights: Vec<u64> = if ascending { (low..=high).take(first + 1).collect() } else { (low..=high).rev().take(first + 1).collect() };
    let more = heights.len() > first;
    object(&root.fields, |field| match field.name.as_str() {
        "pageInfo" => object(&field.fields, |field| match field.name.as_str() {
            "hasNextPage" => Ok(json!(more)),
            _ => Err(no_field("PageInfo", field)),
        }),
        "edges" => list(&heights[..heights.len().min(first)], |height| {
            object(&field.fields, |field| match field.name.as_str() {
                "cursor" => Ok(json!(chain.cursor(*height))),
                "node" => chain.block(*height).map_or(Ok(Value::Null), |view| block(&view, &field.fields)),
                _ => Err(no_field("BlockEdge", field)),
            })
        }),
        _ => Err(no_field("BlockConnection", field)),
    })
}

/// The lowest height of `low..=high` with a block, by bisection: a chain has all heights from its first block on.
fn first_block(chain: &dyn Blocks, low: u64, high: u64) -> u64 {
    let (mut low, mut end) = (low, high.saturating_add(1));
    while low < end {
        let middle = low + (end - low) / 2;
        if chain.block(middle).is_some() { end = middle } else { low = middle + 1 }
    }
    low
}

fn list<T>(values: &[T], show: impl FnMut(&T) -> Result<Value, Wrong>) -> Result<Value, Wrong> {
    values.iter().map(show).collect::<Result<Vec<_>, _>>().map(Value::Array)
}
