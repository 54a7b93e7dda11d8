//! What waits in the store, and for how long: read from the log itself, so that a restart hides nothing.
//!
//! Only for metrics and the heartbeat; nothing is decided by it. Ages count from a message's assignment, the one time that every row has.

use ao_consensus::Timestamp;
use ao_storage::schema;
use ao_storage::typed::{Key, Row, TableOf};
use ao_storage::{Direction, Error, Store};
use ao_types::{Id, Slot};

use crate::limits::{BACKLOG_PROCESSES_MAX, EVIDENCE_PAGE, RECOVER_PAGE};
use crate::metrics::Metrics;
use crate::metrics::labels::{Label as _, Waiting};

/// What waits at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Slots with a place in a log and no result yet, over all processes.
    pub slots: u64,
    /// Assignment of the oldest message that waits, by [`Waiting::index`]; `None` where nothing waits.
    pub oldest: [Option<Timestamp>; Waiting::ALL.len()],
}

impl Backlog {
    /// Looks at the heads of at most [`BACKLOG_PROCESSES_MAX`] processes, and at the first outbox entry of as many. Processes whose
    /// evaluation stopped for good are left out: they have an alarm of their own and would hide everybody else.
    ///
    /// # Errors
    /// The store cannot answer.
    pub fn read(store: &dyn Store) -> Result<Self, Error> {
        let mut backlog = Self::default();
        for (process, head) in schema::HEADS.all(store, Direction::Forward, BACKLOG_PROCESSES_MAX)? {
            let evaluated = schema::EVALUATION_HEADS.get(store, &process)?;
            if evaluated.as_ref().is_some_and(|at| at.halted.is_some()) {
                continue;
            }
            let evaluated = evaluated.map_or(Slot(0), |at| at.slot.next());
            let confirmed = schema::CONFIRMED.get(store, &process)?.map_or(Slot(0), Slot::next);
            backlog.slots += head.slot.next().0.saturating_sub(evaluated.0);
            if confirmed <= head.slot {
                backlog.wait(store, Waiting::Confirm, process, confirmed)?;
            }
            if evaluated < confirmed {
                backlog.wait(store, Waiting::Compute, process, evaluated)?;
            }
        }
        let mut from = Vec::new();
        for _ in 0..BACKLOG_PROCESSES_MAX {
            let Some((key, _)) = schema::OUTBOX.scan(store, &from, &[], Direction::Forward, 1)?.into_iter().next() else { break };
            backlog.wait(store, Waiting::Push, key.process, key.slot)?;
            from = ao_storage::typed::after_prefix(&key.process.0);
            if from.is_empty() {
                break;
            }
        }
        Ok(backlog)
    }

    fn wait(&mut self, store: &dyn Store, stage: Waiting, process: Id, slot: Slot) -> Result<(), Error> {
        if let Some(row) = schema::SCHEDULE.get(store, &(process, slot))? {
            let since = Timestamp(row.timestamp_ms);
            let oldest = &mut self.oldest[stage.index()];
            *oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
        }
        Ok(())
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Into the gauges, as of `now`.
    pub fn show(&self, now: Timestamp, metrics: &Metrics) {
        metrics.replay_behind_slots.set(i64::try_from(self.slots).unwrap_or(i64::MAX));
        for stage in Waiting::ALL {
            let seconds = self.oldest[stage.index()].map_or(0.0, |since| now.since_ms(since) as f64 / 1e3);
            metrics.oldest_pending_seconds.of(*stage).set(seconds);
        }
    }
}

/// Outbox entries in the store: what the gauge starts from.
///
/// # Errors
/// The store cannot answer.
pub fn outbox_entries(store: &dyn Store) -> Result<u64, Error> {
    count(store, &schema::OUTBOX, RECOVER_PAGE)
}

/// Pieces of evidence in the store. Each may be large, so few are in memory at once.
///
/// # Errors
/// The store cannot answer.
pub fn evidence(store: &dyn Store) -> Result<u64, Error> {
    count(store, &schema::EVIDENCE, EVIDENCE_PAGE)
}

/// Rows of a table.
fn count<K: Key, R: Row>(store: &dyn Store, table: &TableOf<K, R>, rows: usize) -> Result<u64, Error> {
    let (mut found, mut from) = (0, Vec::new());
    loop {
        let page = table.scan(store, &from, &[], Direction::Forward, rows)?;
        found += page.len() as u64;
        match page.last() {
            Some((last, _)) if page.len() == rows => from = [&last.to_bytes()[..], &[0]].concat(),
            _ => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use ao_storage::schema::{EvaluationHead, Head, OutboxKey, OutboxKind, OutboxRow, ScheduleRow};
    use ao_storage::{Durability, MemoryStore, WriteBatch};
    use bytes::Bytes;

    use super::*;
    use crate::metrics::Build;

    #[test]
    fn evidence_is_counted_page_by_page() {
        let store = MemoryStore::new();
        for n in 0..=EVIDENCE_PAGE as u8 * 2 {
            assert_eq!(evidence(&store).unwrap(), u64::from(n));
            let mut rows = WriteBatch::default();
            schema::EVIDENCE.put(&mut rows, &[n; 32], &Bytes::from_static(b"evidence"));
            store.write(rows, Durability::Buffered).unwrap();
        }
    }

    /// A log of three slots, assigned at 1000, 2000 and 3000 times `n`, confirmed and evaluated up to (not with) the given ones.
    fn log(batch: &mut WriteBatch, n: u8, confirmed: u64, evaluated: u64, halted: Option<&str>) {
        let process = Id([n; 32]);
        for slot in 0..3 {
            let row = ScheduleRow {
                item: process,
                assignment_id: process,
                assignment: Bytes::new(),
                timestamp_ms: (slot + 1) * 1_000 * u64::from(n),
                block_height: 1,
                pushed_by: None,
                push: true,
            };
            schema::SCHEDULE.put(batch, &(process, Slot(slot)), &row);
        }
        let head =
            Head { schedule_epoch: 0, slot: Slot(2), assignment: process, hash_chain: [0; 32], timestamp_ms: 3_000, block_height: 1 };
        schema::HEADS.put(batch, &process, &head);
        if let Some(last) = confirmed.checked_sub(1) {
            schema::CONFIRMED.put(batch, &process, &Slot(last));
        }
        if let Some(last) = evaluated.checked_sub(1) {
            let halted = halted.map(str::to_owned);
            let at = EvaluationHead { slot: Slot(last), cron: 0, ticked_ms: 0, ticked_height: 0, halted };
            schema::EVALUATION_HEADS.put(batch, &process, &at);
        }
    }

    fn owe(batch: &mut WriteBatch, n: u8, slot: u64, index: u32) {
        let key = OutboxKey { process: Id([n; 32]), slot: Slot(slot), cron: 0, kind: OutboxKind::Message, index, part: 0 };
        schema::OUTBOX.put(batch, &key, &OutboxRow { pushed_for: None, subject: None, attempts: 0, not_before_ms: 0 });
    }

    #[test]
    fn the_oldest_of_each_stage_is_found() {
        let store = MemoryStore::new();
        assert!(Backlog::read(&store).unwrap().is_empty());
        let mut batch = WriteBatch::default();
        log(&mut batch, 1, 3, 3, None);
        log(&mut batch, 2, 3, 1, None);
        log(&mut batch, 3, 1, 1, None);
        log(&mut batch, 4, 3, 1, Some("it differs"));
        log(&mut batch, 255, 0, 0, None);
        (0..1_500).for_each(|index| owe(&mut batch, 1, 1, index));
        owe(&mut batch, 255, 2, 0);
        store.write(batch, Durability::Synced).unwrap();
        let backlog = Backlog::read(&store).unwrap();
        assert_eq!(backlog.slots, 2 + 2 + 3);
        assert_eq!(backlog.oldest, [Some(Timestamp(6_000)), Some(Timestamp(4_000)), Some(Timestamp(2_000))]);
        assert_eq!(outbox_entries(&store).unwrap(), 1_501);

        let metrics = Metrics::new(&Build::new("solo", "test")).unwrap();
        backlog.show(Timestamp(9_500), &metrics);
        let shown = Waiting::ALL.iter().map(|stage| metrics.oldest_pending_seconds.of(*stage).get());
        assert_eq!(shown.collect::<Vec<_>>(), [3.5, 5.5, 7.5]);
        assert_eq!(metrics.replay_behind_slots.get(), 7);
        Backlog::default().show(Timestamp(9_500), &metrics);
        assert_eq!(metrics.oldest_pending_seconds.of(Waiting::Push).get(), 0.0);
    }
}
