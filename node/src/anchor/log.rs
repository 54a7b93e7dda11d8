//! Rows of a log, one after another: found once a page, not once each.

use std::collections::VecDeque;

use ao_storage::schema::{self, ScheduleRow};
use ao_storage::{Direction, Error, Store};
use ao_types::{Id, Slot};

/// Rows read together, each with an assignment of about a kilobyte.
const PAGE: usize = 256;

/// Reads on from a slot.
pub(super) struct Log<'s> {
    store: &'s dyn Store,
    process: Id,
    /// What is read next.
    next: Slot,
    /// What nobody asks for: it is not read.
    end: Slot,
    rows: VecDeque<((Id, Slot), ScheduleRow)>,
}

impl<'s> Log<'s> {
    /// From this slot on, up to `last`.
    pub fn new(store: &'s dyn Store, process: Id, from: Slot, last: Slot) -> Self {
        Self { store, process, next: from, end: last.next(), rows: VecDeque::new() }
    }

    /// The next slot's row; `None`: it is not here, or is behind the last one.
    ///
    /// # Errors
    /// The store's.
    pub fn next(&mut self) -> Result<Option<ScheduleRow>, Error> {
        if self.rows.is_empty() {
            let (from, to) = ((self.process, self.next), (self.process, self.end));
            self.rows = schema::SCHEDULE.range(self.store, &from, &to, Direction::Forward, PAGE)?.into();
        }
        let Some(((_, slot), row)) = self.rows.pop_front() else { return Ok(None) };
        let expected = std::mem::replace(&mut self.next, slot.next());
        Ok((slot == expected).then_some(row))
    }
}
