//! Walks over the store's tables in pieces, and the search for a time in a log.

use std::collections::VecDeque;

use ao_storage::schema::{self, EvaluationKey, EvaluationRow};
use ao_storage::typed::{Key, Row, TableOf};
use ao_storage::{Direction, Error, Store};
use ao_types::{Id, Slot};

use super::cursor::{ResultBound, Sort};
use super::query::invalid;
use super::reply::store_failed;
use crate::error::Rejection;
use crate::shell::begin;

/// Rows read at once, first and most. Rows can be large, so pieces begin small and grow.
const PIECE: (usize, usize) = (4, 64);

/// The rows of a range, read piece by piece.
pub struct Walk<'a, K: 'static, R: 'static> {
    store: &'a dyn Store,
    table: &'static TableOf<K, R>,
    from: Vec<u8>,
    to: Vec<u8>,
    way: Direction,
    piece: usize,
    rows: VecDeque<(K, R)>,
    ended: bool,
}

impl<'a, K: Key, R: Row> Walk<'a, K, R> {
    /// Rows with `from <= key < to`; `to` empty: no upper end.
    pub fn new(store: &'a dyn Store, table: &'static TableOf<K, R>, from: Vec<u8>, to: Vec<u8>, way: Direction) -> Self {
        let ended = !to.is_empty() && from >= to;
        Self { store, table, from, to, way, piece: PIECE.0, rows: VecDeque::new(), ended }
    }
}

impl<K: Key, R: Row> Iterator for Walk<'_, K, R> {
    type Item = Result<(K, R), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rows.is_empty() && !self.ended {
            match self.table.scan(self.store, &self.from, &self.to, self.way, self.piece) {
                Ok(rows) => {
                    self.ended = rows.len() < self.piece;
                    if let Some((last, _)) = rows.last() {
                        let mut key = last.to_bytes();
                        match self.way {
                            Direction::Forward => {
                                key.push(0);
                                self.from = key;
                            }
                            Direction::Backward => self.to = key,
                        }
                    }
                    self.rows = rows.into();
                    self.piece = (self.piece * 2).min(PIECE.1);
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        self.rows.pop_front().map(Ok)
    }
}

/// How many slots of a log have a timestamp of at most `timestamp_ms`: the first slot after that time. Timestamps rise with slots.
///
/// # Errors
/// The store cannot answer.
pub fn slots_until(store: &dyn Store, process: &Id, timestamp_ms: u64) -> Result<u64, Error> {
    let Some(head) = schema::HEADS.get(store, process)? else { return Ok(0) };
    if head.timestamp_ms <= timestamp_ms {
        return Ok(head.slot.0 + 1);
    }
    let (mut low, mut high) = (0, head.slot.0);
    while low < high {
        let middle = low + (high - low) / 2;
        match schema::SCHEDULE.get(store, &(*process, Slot(middle)))? {
            Some(row) if row.timestamp_ms > timestamp_ms => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}

/// The part of a process's evaluations that a page may show.
pub struct Range {
    from: EvaluationKey,
    to: EvaluationKey,
    /// Which way it goes.
    pub sort: Sort,
}

impl Range {
    /// From the bounds of a request: `from` exclusive, `to` inclusive, both in the order of the log whatever the direction of the page.
    /// aos and monitors rely on it: they take a cursor from a descending page and ask for what came after it.
    ///
    /// # Errors
    /// The store cannot answer, or a bound is not one.
    pub fn resolve(
        store: &dyn Store,
        process: Id,
        from: Option<&ResultBound>,
        to: Option<&ResultBound>,
        sort: Sort,
    ) -> Result<Self, Rejection> {
        let at = |slot, cron| EvaluationKey { process, slot: Slot(slot), cron };
        // The first row behind a bound: where a range after it begins, and where one that includes it ends.
        let behind = |bound: &ResultBound| match bound {
            ResultBound::Timestamp(timestamp) => after_time(store, process, *timestamp),
            ResultBound::Cursor(cursor) => {
                let slot = cursor.ordinate.parse().map_err(|_| invalid("the cursor's ordinate is not a number"))?;
                let ordinal = match &cursor.cron {
                    None => 0,
                    Some(cron) => cron_ordinal(store, process, slot, cursor.timestamp, cron).map_err(|error| store_failed(&error))?,
                };
                Ok(after(at(slot, ordinal)))
            }
        };
        let first = from.map_or(Ok(at(0, 0)), behind)?;
        let end = to.map_or(Ok(at(u64::MAX, u32::MAX)), behind)?;
        let gap = begin::gap(store, process).map_err(|error| store_failed(&error))?;
        gap.map_or(Ok(Self { from: first, to: end, sort }), |gap| Self { from: first, to: end, sort }.beside(process, &gap))
    }

    /// The part that ends where results are being worked out: a client that pages on would never come back for what it was not shown.
    fn beside(self, process: Id, gap: &begin::Gap) -> Result<Self, Rejection> {
        let first = EvaluationKey { process, slot: gap.first.0, cron: gap.first.1 };
        let behind = after(EvaluationKey { process, slot: gap.last, cron: 0 });
        let apart = self.to <= first || self.from >= behind;
        match self.sort {
            _ if apart => Ok(self),
            Sort::Ascending if self.from < first => Ok(Self { to: first, ..self }),
            Sort::Descending if self.to > behind => Ok(Self { from: behind, ..self }),
            _ => Err(gap.refusal(process, self.from.slot.max(gap.first.0))),
        }
    }

    /// Its rows, in the direction of the page.
    pub fn rows<'a>(&self, store: &'a dyn Store) -> Walk<'a, EvaluationKey, EvaluationRow> {
        let way = if self.sort == Sort::Ascending { Direction::Forward } else { Direction::Backward };
        Walk::new(store, &schema::EVALUATIONS, self.from.to_bytes(), self.to.to_bytes(), way)
    }
}

fn after(key: EvaluationKey) -> EvaluationKey {
    match key.cron.checked_add(1) {
        Some(cron) => EvaluationKey { cron, ..key },
        None => EvaluationKey { slot: Slot(key.slot.0.saturating_add(1)), cron: 0, ..key },
    }
}

/// The first point of the fold after a time.
fn after_time(store: &dyn Store, process: Id, timestamp_ms: u64) -> Result<EvaluationKey, Rejection> {
    let find = || {
        let slots = slots_until(store, &process, timestamp_ms)?;
        let Some(slot) = slots.checked_sub(1) else { return Ok(EvaluationKey { process, slot: Slot(0), cron: 0 }) };
        // The time may fall among the cron messages that follow the slot.
        let crons = EvaluationKey { process, slot: Slot(slot), cron: 1 };
        let end = EvaluationKey { process, slot: Slot(slots), cron: 0 };
        for row in Walk::new(store, &schema::EVALUATIONS, crons.to_bytes(), end.to_bytes(), Direction::Forward) {
            let (key, row) = row?;
            if row.timestamp_ms > timestamp_ms {
                return Ok(key);
            }
        }
        Ok(end)
    };
    find().map_err(|error: Error| store_failed(&error))
}

/// Which of the cron messages after a slot a cursor means. If it is none of them, the last one that is not later.
fn cron_ordinal(store: &dyn Store, process: Id, slot: u64, timestamp_ms: u64, identity: &str) -> Result<u32, Error> {
    let crons = EvaluationKey { process, slot: Slot(slot), cron: 1 };
    let end = EvaluationKey { process, slot: Slot(slot), cron: u32::MAX };
    let mut last = 0;
    for row in Walk::new(store, &schema::EVALUATIONS, crons.to_bytes(), end.to_bytes(), Direction::Forward) {
        let (key, row) = row?;
        if row.timestamp_ms > timestamp_ms {
            break;
        }
        last = key.cron;
        if row.timestamp_ms == timestamp_ms && row.cron.as_deref() == Some(identity) {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use ao_storage::schema::{BackfillRow, BackfillStage};
    use ao_storage::{Durability, MemoryStore, WriteBatch};
    use ao_types::StateHash;

    use super::super::cursor::ResultCursor;
    use super::*;

    #[test]
    fn a_page_ends_where_results_are_being_worked_out() {
        const PROCESS: Id = Id([1; 32]);
        let (store, mut batch) = (MemoryStore::new(), WriteBatch::default());
        let row = BackfillRow { slot: Slot(9), root: StateHash([2; 32]), done: Some((Slot(3), 1)), stage: BackfillStage::Running };
        schema::BACKFILLS.put(&mut batch, &PROCESS, &row);
        store.write(batch, Durability::Buffered).unwrap();
        let cursor = |slot: u64| {
            let ordinate = slot.to_string();
            ResultBound::Cursor(ResultCursor { timestamp: 0, ordinate, cron: None, sort: None })
        };
        let range = |from: Option<u64>, to: Option<u64>, sort| {
            let found = Range::resolve(&store, PROCESS, from.map(cursor).as_ref(), to.map(cursor).as_ref(), sort);
            found.map(|range| ((range.from.slot.0, range.from.cron), (range.to.slot.0, range.to.cron))).map_err(|why| why.retry_after_s)
        };
        let (up, down) = (Sort::Ascending, Sort::Descending);
        let end = (u64::MAX, u32::MAX);
        for (from, to, sort, expected) in [
            (None, None, up, Ok(((0, 0), (3, 2)))),
            (None, None, down, Ok(((9, 1), end))),
            (None, Some(2), up, Ok(((0, 0), (2, 1)))),
            (None, Some(2), down, Ok(((0, 0), (2, 1)))),
            (Some(9), None, up, Ok(((9, 1), end))),
            (Some(12), None, down, Ok(((12, 1), end))),
            (Some(5), None, up, Err(Some(5))),
            (None, Some(7), down, Err(Some(5))),
        ] {
            let expected: Result<_, Option<u32>> = expected;
            let found = range(from, to, sort);
            assert_eq!(found.is_err(), expected.is_err(), "{from:?} {to:?} {found:?}");
            if let Ok(expected) = expected {
                assert_eq!(found, Ok(expected), "{from:?} {to:?}");
            } else {
                assert!(found.unwrap_err().is_some(), "one may ask again");
            }
        }
    }
}
