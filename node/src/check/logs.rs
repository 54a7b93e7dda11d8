//! Logs: slots without a gap, hash chains without a break, heads at their ends, and levels in their order.

use ao_consensus::Timestamp;
use ao_consensus::schedule::{Head, ScheduleError, check_next};
use ao_storage::schema::{self, BackfillStage, LoadedRow, ScheduleRow};
use ao_storage::{Error, Table};
use ao_types::{Address, Assignment, DataItem, Id, Profile, Slot, Verified};

use super::{Checker, Wrong, there};

/// The log that is being read.
struct Log {
    process: Id,
    /// `None`: not known here, which was found.
    scheduler: Option<Address>,
    /// The last slot that counts.
    end: Option<Slot>,
    /// The last assignment read.
    last: Option<Head>,
    /// Of a log that was read from elsewhere: what was found out about it then, and what is found now.
    loaded: Option<(LoadedRow, LoadedRow)>,
}

impl Checker<'_> {
    /// Every log from its first slot to its head.
    pub(super) fn logs(&mut self) -> Result<(), Error> {
        self.begin("logs");
        let mut log: Option<Log> = None;
        self.walk(&schema::SCHEDULE, |checker, (process, slot), row| {
            if log.as_ref().is_none_or(|log| log.process != process) {
                if let Some(done) = log.take() {
                    checker.end(&done)?;
                }
                log = Some(checker.open(process)?);
            }
            log.as_mut().map_or(Ok(()), |log| checker.slot(log, slot, &row))
        })?;
        if let Some(done) = log {
            self.end(&done)?;
        }
        self.walk(&schema::HEADS, |checker, process, head| {
            if !schema::SCHEDULE.contains(checker.store, &(process, head.slot))? {
                checker.contradicts(Table::Heads, process, format!("slot {} is not in the log", head.slot));
            }
            Ok(())
        })
    }

    fn open(&mut self, process: Id) -> Result<Log, Error> {
        let row = there(schema::PROCESSES.get(self.store, &process))?;
        let scheduler = row.and_then(|row| Address::parse(&row.scheduler).ok());
        let end = there(schema::HEADS.get(self.store, &process))?.map(|head| head.slot);
        if end.is_some() && scheduler.is_none() {
            self.contradicts(Table::Schedule, process, "the process, or its scheduler, is not known");
        }
        let none = LoadedRow { url: None, unlinked: 0, backwards: 0 };
        let loaded = there(schema::LOADED.get(self.store, &process))?.map(|row| (row, none));
        Ok(Log { process, scheduler, end, last: None, loaded })
    }

    fn slot(&mut self, log: &mut Log, slot: Slot, row: &ScheduleRow) -> Result<(), Error> {
        let process = log.process;
        let place = format!("slot {slot} of {process}");
        if log.end.is_none_or(|end| slot > end) {
            self.found(Wrong::LeftOver, Table::Schedule, place, "it is above the end of its log");
            return Ok(());
        }
        let assignment = match self.assignment(row) {
            Ok(assignment) => assignment,
            Err(reason) => {
                self.contradicts(Table::Schedule, place, reason);
                log.last = None;
                return Ok(());
            }
        };
        let content = assignment.content();
        // The step is judged where the one before is known: after a slot that is wrong its own finding is enough.
        if log.last.is_some() || slot == Slot(0) {
            let scheduler = log.scheduler.unwrap_or(assignment.signer());
            let checked = check_next(process, scheduler, log.last.as_ref(), &assignment);
            match (checked, &mut log.loaded) {
                (Ok(_), _) => {}
                // What its scheduler may have done was counted when it was read: there are not to be more.
                (Err(error @ (ScheduleError::HashChain { .. } | ScheduleError::Backwards { .. })), Some((_, found))) => {
                    let below = |head: &Head| content.timestamp_ms < head.timestamp.0 || content.block_height < head.block_height;
                    found.unlinked += u64::from(matches!(error, ScheduleError::HashChain { .. }));
                    found.backwards += u64::from(log.last.as_ref().is_some_and(below));
                }
                (Err(error), _) => self.contradicts(Table::Schedule, &place, error),
            }
        }
        let said = (assignment.id(), assignment.message(), content.timestamp_ms, content.block_height);
        if said != (row.assignment_id, row.item, row.timestamp_ms, row.block_height) {
            self.contradicts(Table::Schedule, &place, "its assignment says something else than its row");
        }
        if there(schema::SLOT_OF.get(self.store, &(row.assignment_id, process)))? != Some(slot) {
            self.contradicts(Table::SlotOf, &place, format!("assignment {} is not found by its id", row.assignment_id));
        }
        // An item may stand in a log more than once: it is found where it stands first.
        if there(schema::SLOT_OF.get(self.store, &(row.item, process)))?.is_none_or(|first| first > slot) {
            self.contradicts(Table::SlotOf, &place, format!("item {} is not found by its id", row.item));
        }
        if !self.has(&row.item)? {
            self.contradicts(Table::Schedule, &place, format!("item {} is not there", row.item));
        }
        log.last = Some(Head {
            schedule_epoch: content.schedule_epoch,
            slot,
            assignment: assignment.id(),
            hash_chain: *content.hash_chain.as_bytes(),
            timestamp: Timestamp(content.timestamp_ms),
            block_height: content.block_height,
        });
        Ok(())
    }

    fn assignment(&self, row: &ScheduleRow) -> Result<Assignment, String> {
        let item = if self.signatures {
            DataItem::parse(row.assignment.clone(), Profile::Archive).and_then(DataItem::verify)
        } else {
            Verified::<DataItem>::reload(row.assignment.clone())
        };
        Assignment::read(item.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    fn end(&mut self, log: &Log) -> Result<(), Error> {
        if let Some((known, found)) = &log.loaded
            && (found.unlinked > known.unlinked || found.backwards > known.backwards)
        {
            let (now, then) = ((found.unlinked, found.backwards), (known.unlinked, known.backwards));
            let what = format!(
                "{} slots do not follow by the hash chain and {} run backwards; {} and {} did when it was read",
                now.0, now.1, then.0, then.1
            );
            self.contradicts(Table::Schedule, log.process, what);
        }
        let (Some(last), Some(head)) = (&log.last, there(schema::HEADS.get(self.store, &log.process))?) else { return Ok(()) };
        let same = (last.assignment, last.hash_chain, last.timestamp.0, last.block_height, last.schedule_epoch)
            == (head.assignment, head.hash_chain, head.timestamp_ms, head.block_height, head.schedule_epoch);
        if last.slot == head.slot && !same {
            self.contradicts(Table::Heads, log.process, format!("it says something else of slot {} than the log", head.slot));
        }
        Ok(())
    }

    /// Nothing is further than what it depends on.
    pub(super) fn levels(&mut self) -> Result<(), Error> {
        self.begin("levels");
        self.walk(&schema::CONFIRMED, |checker, process, slot| {
            let head = there(schema::HEADS.get(checker.store, &process))?.map(|head| head.slot);
            checker.order(Table::Confirmed, process, ("confirmed", slot), ("assigned", head));
            Ok(())
        })?;
        self.walk(&schema::EVALUATION_HEADS, |checker, process, head| {
            let confirmed = there(schema::CONFIRMED.get(checker.store, &process))?;
            checker.order(Table::EvaluationHeads, process, ("evaluated", head.slot), ("confirmed", confirmed));
            Ok(())
        })?;
        self.walk(&schema::BACKFILLS, |checker, process, row| {
            if matches!(row.stage, BackfillStage::Running) {
                let evaluated = there(schema::EVALUATION_HEADS.get(checker.store, &process))?.map(|head| head.slot);
                checker.order(Table::Backfills, process, ("where evaluation began", row.slot), ("evaluated", evaluated));
            }
            Ok(())
        })?;
        self.walk(&schema::ANCHOR_HEADS, |checker, process, head| {
            let Some(shipped) = head.next.0.checked_sub(1) else { return Ok(()) };
            let confirmed = there(schema::CONFIRMED.get(checker.store, &process))?;
            checker.order(Table::AnchorHeads, process, ("in a shipment", Slot(shipped)), ("confirmed", confirmed));
            Ok(())
        })?;
        self.walk(&schema::ANCHORED, |checker, process, slot| {
            let head = there(schema::ANCHOR_HEADS.get(checker.store, &process))?;
            let shipped = head.and_then(|head| head.next.0.checked_sub(1)).map(Slot);
            checker.order(Table::Anchored, process, ("anchored", slot), ("in a shipment", shipped));
            Ok(())
        })
    }

    fn order(&mut self, table: Table, process: Id, (what, slot): (&str, Slot), (base, under): (&str, Option<Slot>)) {
        match under {
            Some(under) if slot <= under => {}
            Some(under) => self.contradicts(table, process, format!("slot {slot} is {what}, and only {under} is {base}")),
            None => self.contradicts(table, process, format!("slot {slot} is {what}, and none is {base}")),
        }
    }
}
