//! Lists: a page of rows, a cursor to go on with.

use std::ops::ControlFlow;

use ao_storage::typed::{Key, Row, TableOf};
use ao_storage::{Direction, Error, Store};
use serde_json::{Value, json};

use crate::error::Rejection;
use crate::http::cursor::{opaque, open};
use crate::http::limits::{LIST_PAGE, PAGE_BYTES_MAX};
use crate::http::pages::Walk;
use crate::http::query::{Query, invalid, short};
use crate::http::reply::store_failed;

/// What a list was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    limit: usize,
    cursor: Option<String>,
    way: Direction,
}

impl Asked {
    /// Reads `limit`, `cursor` and `order`.
    ///
    /// # Errors
    /// One of them is not of its form.
    pub fn parse(query: &Query<'_>) -> Result<Self, Rejection> {
        let way = match query.text("order") {
            None | Some("asc") => Direction::Forward,
            Some("desc") => Direction::Backward,
            Some(other) => return Err(invalid(format!("'order': asc or desc is expected, found `{}`", short(other)))),
        };
        Ok(Self { limit: query.limit("limit", LIST_PAGE)?, cursor: query.text("cursor").map(str::to_owned), way })
    }

    /// Rows of `table` with `from <= key < to` on this page. `show` may leave a row out.
    ///
    /// # Errors
    /// The cursor is not one of this list, or the store cannot answer.
    pub fn page<K: Key, R: Row>(
        &self,
        store: &dyn Store,
        table: &'static TableOf<K, R>,
        from: Vec<u8>,
        to: Vec<u8>,
        mut show: impl FnMut(&K, R) -> Result<Option<Value>, Error>,
    ) -> Result<Value, Rejection> {
        let (mut from, mut to) = (from, to);
        if let Some(cursor) = &self.cursor {
            let mut key = open(cursor, from.len())?;
            match self.way {
                Direction::Forward => {
                    key.push(0);
                    from = from.max(key);
                }
                Direction::Backward => to = if to.is_empty() { key } else { to.min(key) },
            }
        }
        let (mut items, mut last, mut bytes, mut more) = (Vec::new(), None, 0, false);
        let walked = Walk::new(store, table, from, to, self.way).try_for_each(|row| match row {
            Err(error) => ControlFlow::Break(Some(error)),
            Ok(_) if items.len() == self.limit || bytes >= PAGE_BYTES_MAX => {
                more = true;
                ControlFlow::Break(None)
            }
            Ok((key, row)) => match show(&key, row) {
                Err(error) => ControlFlow::Break(Some(error)),
                Ok(shown) => {
                    last = Some(opaque(&key.to_bytes()));
                    if let Some(shown) = shown {
                        bytes += shown.get("result").map_or(256, |result| result.to_string().len());
                        items.push(shown);
                    }
                    ControlFlow::Continue(())
                }
            },
        });
        if let ControlFlow::Break(Some(error)) = walked {
            return Err(store_failed(&error));
        }
        let next = if more { last } else { None };
        Ok(json!({ "items": items, "next_cursor": next }))
    }
}
