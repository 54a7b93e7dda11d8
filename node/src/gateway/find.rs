//! Searches: a plan's filters against the store's indexes.
//!
//! The narrowest filter drives: ids, else recipients, owners, a tag, else everything in order of arrival. Rows of several index prefixes
//! are merged by sequence number, and every row is checked against all filters. Sequence numbers rise with heights, so they are the
//! order, and they are the cursor.

use std::collections::BinaryHeap;
use std::collections::HashSet;

use ao_graphql::{Search, Sort, TagFilter};
use ao_storage::schema::{self, ItemRow};
use ao_storage::typed::{Key, TableOf, after_prefix};
use ao_storage::{Direction, Error, Store};
use ao_types::{DataItem, Id};
use bytes::Bytes;

use crate::http::limits::{GRAPHQL_READ_BYTES_MAX, GRAPHQL_ROWS_MAX};
use crate::http::pages::Walk;
use crate::http::text;

/// One result.
pub struct Found {
    /// The item without its data: a page of a thousand must not hold a thousand uploads.
    pub item: DataItem,
    /// Length of the data.
    pub data_bytes: usize,
    /// Its index row.
    pub row: ItemRow,
}

/// How much one search may look at.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Rows of an index.
    pub rows: usize,
    /// Bytes of items.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { rows: GRAPHQL_ROWS_MAX, bytes: GRAPHQL_READ_BYTES_MAX }
    }
}

/// A page of results.
#[derive(Default)]
pub struct Page {
    /// In order.
    pub found: Vec<Found>,
    /// There are more, or there may be.
    pub more: bool,
    /// The last one looked at: where the next page begins, also if looking stopped before this one was full.
    pub looked_until: Option<u64>,
}

/// Item `id`, if it is here.
///
/// # Errors
/// The store cannot answer.
pub fn one(store: &dyn Store, id: &Id) -> Result<Option<Found>, Error> {
    match schema::ITEM_INDEX.get(store, id)? {
        Some(row) => load(store, id, row),
        None => Ok(None),
    }
}

fn load(store: &dyn Store, id: &Id, row: ItemRow) -> Result<Option<Found>, Error> {
    let Some(item) = text::item(store, id)? else { return Ok(None) };
    let data_bytes = item.data().len();
    let head = Bytes::copy_from_slice(&item.as_bytes()[..item.data_offset()]);
    Ok(Some(Found { item: text::stored(head, &id.to_string())?, data_bytes, row }))
}

/// A page of what a search finds behind the sequence number `after`.
///
/// # Errors
/// The store cannot answer.
pub fn search(store: &dyn Store, search: &Search, after: Option<u64>, budget: Budget) -> Result<Page, Error> {
    let mut page = Page::default();
    let mut seen = HashSet::new();
    let mut left = budget;
    for candidate in candidates(store, search, after)? {
        let (sequence, id) = candidate?;
        if left.rows == 0 || left.bytes == 0 {
            page.more = true;
            return Ok(page);
        }
        left.rows -= 1;
        let row = if seen.insert(id) { schema::ITEM_INDEX.get(store, &id)? } else { None };
        if let Some(row) = row.filter(|row| fits(row, search))
            && let Some(found) = load(store, &id, row)?
        {
            left.bytes = left.bytes.saturating_sub(found.item.as_bytes().len() + found.data_bytes);
            if search.tags.iter().all(|filter| has_tag(&found.item, filter)) {
                if page.found.len() == search.first {
                    page.more = true;
                    return Ok(page);
                }
                page.found.push(found);
            }
        }
        page.looked_until = Some(sequence);
    }
    Ok(page)
}

type Candidates<'a> = Box<dyn Iterator<Item = Result<(u64, Id), Error>> + 'a>;

/// Items that may match, in order, from the cursor on.
fn candidates<'a>(store: &'a dyn Store, search: &'a Search, after: Option<u64>) -> Result<Candidates<'a>, Error> {
    if let Some(ids) = &search.ids {
        let mut rows = Vec::new();
        for id in ids {
            if let Some(row) = schema::ITEM_INDEX.get(store, id)? {
                rows.push((row.sequence, *id));
            }
        }
        rows.sort_unstable();
        if search.sort == Sort::Descending {
            rows.reverse();
        }
        let sort = search.sort;
        return Ok(Box::new(rows.into_iter().filter(move |(sequence, _)| is_after(*sequence, after, sort)).map(Ok)));
    }
    if let Some(recipients) = &search.recipients {
        return Ok(merged(store, search, after, &schema::RECIPIENT_INDEX, recipients.iter().copied()));
    }
    if let Some(owners) = &search.owners {
        return Ok(merged(store, search, after, &schema::OWNER_INDEX, owners.iter().copied()));
    }
    // Of several tags the one with the fewest values is the narrowest guess; protocol tags are on nearly everything.
    let narrowest = search.tags.iter().filter(|tag| !tag.not && !tag.values.is_empty()).min_by_key(|tag| {
        let common = matches!(tag.name.as_str(), "Data-Protocol" | "Type" | "Variant" | "SDK" | "Content-Type");
        (common, tag.values.len())
    });
    if let Some(tag) = narrowest {
        let hashes = tag.values.iter().map(|value| schema::tag_hash(tag.name.as_bytes(), value.as_bytes()));
        return Ok(merged(store, search, after, &schema::TAG_INDEX, hashes));
    }
    let (from, to) = bounds(&[], search, after);
    Ok(Box::new(Walk::new(store, &schema::SEQUENCE, from, to, way(search))))
}

/// The rows of several prefixes of one index as one ordered sequence.
fn merged<'a, P: Key + Copy + 'static>(
    store: &'a dyn Store,
    search: &Search,
    after: Option<u64>,
    table: &'static TableOf<(P, u64), Id>,
    prefixes: impl Iterator<Item = P>,
) -> Candidates<'a> {
    let descending = search.sort == Sort::Descending;
    let mut walks: Vec<_> = prefixes
        .map(|prefix| {
            let (from, to) = bounds(&prefix.to_bytes(), search, after);
            Walk::new(store, table, from, to, way(search)).map(|row| row.map(|((_, sequence), id)| (sequence, id)))
        })
        .collect();
    let rank = move |sequence: u64| if descending { sequence } else { u64::MAX - sequence };
    let mut heap = BinaryHeap::with_capacity(walks.len());
    let mut failed = None;
    for (at, walk) in walks.iter_mut().enumerate() {
        match walk.next() {
            Some(Ok((sequence, id))) => heap.push((rank(sequence), sequence, id, at)),
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
    }
    Box::new(std::iter::from_fn(move || {
        if let Some(error) = failed.take() {
            return Some(Err(error));
        }
        let (_, sequence, id, at) = heap.pop()?;
        match walks[at].next() {
            Some(Ok((sequence, id))) => heap.push((rank(sequence), sequence, id, at)),
            Some(Err(error)) => failed = Some(error),
            None => {}
        }
        Some(Ok((sequence, id)))
    }))
}

fn way(search: &Search) -> Direction {
    if search.sort == Sort::Descending { Direction::Backward } else { Direction::Forward }
}

/// The part of an index after the cursor: keys are the prefix and eight bytes of sequence.
fn bounds(prefix: &[u8], search: &Search, after: Option<u64>) -> (Vec<u8>, Vec<u8>) {
    let at = |sequence: u64| [prefix, &sequence.to_be_bytes()].concat();
    match (search.sort, after) {
        (Sort::Descending, Some(after)) => (prefix.to_vec(), at(after)),
        (Sort::Ascending, Some(after)) => (at(after.saturating_add(1)), after_prefix(prefix)),
        (_, None) => (prefix.to_vec(), after_prefix(prefix)),
    }
}

fn is_after(sequence: u64, after: Option<u64>, sort: Sort) -> bool {
    match (after, sort) {
        (None, _) => true,
        (Some(after), Sort::Descending) => sequence < after,
        (Some(after), Sort::Ascending) => sequence > after,
    }
}

/// Whether the filters that need no tags hold.
fn fits(row: &ItemRow, search: &Search) -> bool {
    search.owners.as_ref().is_none_or(|owners| owners.contains(&row.owner))
        && search.recipients.as_ref().is_none_or(|recipients| row.recipient.is_some_and(|id| recipients.contains(&id)))
        && search.min.is_none_or(|min| row.block_height.is_some_and(|height| height >= min))
        && search.max.is_none_or(|max| row.block_height.is_some_and(|height| height <= max))
}

fn has_tag(item: &DataItem, filter: &TagFilter) -> bool {
    let hit = item.tags().any(|tag| {
        tag.name == filter.name.as_bytes() && (filter.values.is_empty() || filter.values.iter().any(|value| tag.value == value.as_bytes()))
    });
    hit != filter.not
}
