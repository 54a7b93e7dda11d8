//! Whether a database is what it should be: every row reads, and rows that say the same thing say it alike.
//!
//! Owns the looking (`aonode db check`). Changes nothing, repairs nothing, and judges nobody: that a scheduler assigned lawfully, or that a
//! proof convinces, was found out before anything was written. One row at a time is in memory, so a database of any size is looked at.
//!
//! What is read as a row and means something wrong is a contradiction; what cannot be read at all is damage. A row above the end of its log
//! is neither: a write that failed on a full disk may leave parts, and they count for nothing.

use ao_arweave::pipeline::Shipment;
use ao_storage::schema::{self, EvaluationKey};
use ao_storage::typed::{Key, Row, TableOf};
use ao_storage::{Error, Store, Table, rows};
use ao_types::{Canonical as _, DataItem, Profile};
use bytes::Bytes;

mod frames;
mod logs;

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Bytes that are no row of their table, or that the disk does not give back as they were written.
    Unreadable,
    /// It reads, and other rows say otherwise.
    Contradiction,
    /// A part of a write that failed. Nothing depends on it.
    LeftOver,
}

impl Wrong {
    /// Its name in answers.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Contradiction => "contradiction",
            Self::LeftOver => "left-over",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub wrong: Wrong,
    /// In which table.
    pub table: Table,
    /// Where: a key, or file and offset.
    pub place: String,
    /// Which rule does not hold.
    pub reason: String,
}

/// How many rows were looked at, and what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows.
    pub rows: u64,
    /// [`Wrong::Unreadable`].
    pub unreadable: u64,
    /// [`Wrong::Contradiction`].
    pub contradictions: u64,
    /// [`Wrong::LeftOver`].
    pub left_over: u64,
}

/// Is told what happens meanwhile.
pub trait Watch {
    /// Something was found.
    fn found(&mut self, finding: &Finding);
    /// So many rows were looked at, the last ones for this.
    fn progress(&mut self, step: &'static str, rows: u64);
}

/// Rows between two words about progress.
const PROGRESS_ROWS: u64 = 100_000;

/// Looks at everything in `store`. With `signatures` those of items and assignments are checked again, which is most of the work then.
///
/// # Errors
/// The store's, but for damage: that is found.
pub fn check(store: &dyn Store, signatures: bool, watch: &mut dyn Watch) -> Result<Report, Error> {
    let mut checker = Checker { store, signatures, watch, report: Report::default(), step: "rows" };
    checker.rows()?;
    checker.items()?;
    checker.logs()?;
    checker.levels()?;
    checker.frames()?;
    checker.checkpoints()?;
    checker.pruned()?;
    checker.watch.progress("done", checker.report.rows);
    Ok(checker.report)
}

struct Checker<'a> {
    store: &'a dyn Store,
    signatures: bool,
    watch: &'a mut dyn Watch,
    report: Report,
    step: &'static str,
}

/// What is damaged was found when every row was read: here it is only not there.
fn there<T>(found: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match found {
        Err(Error::Corrupt { .. }) => Ok(None),
        found => found,
    }
}

impl Checker<'_> {
    fn found(&mut self, wrong: Wrong, table: Table, place: impl ToString, reason: impl ToString) {
        let count = match wrong {
            Wrong::Unreadable => &mut self.report.unreadable,
            Wrong::Contradiction => &mut self.report.contradictions,
            Wrong::LeftOver => &mut self.report.left_over,
        };
        *count += 1;
        self.watch.found(&Finding { wrong, table, place: place.to_string(), reason: reason.to_string() });
    }

    fn contradicts(&mut self, table: Table, place: impl ToString, reason: impl ToString) {
        self.found(Wrong::Contradiction, table, place, reason);
    }

    fn begin(&mut self, step: &'static str) {
        self.step = step;
        self.watch.progress(step, self.report.rows);
    }

    fn count(&mut self) {
        self.report.rows += 1;
        if self.report.rows.is_multiple_of(PROGRESS_ROWS) {
            self.watch.progress(self.step, self.report.rows);
        }
    }

    /// Every row that reads, in order. Those that do not were found by [`Checker::rows`].
    fn walk<K: Key, R: Row>(
        &mut self,
        table: &TableOf<K, R>,
        mut visit: impl FnMut(&mut Self, K, R) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (store, mut outcome) = (self.store, Ok(()));
        let walked = table.each(store, |row| {
            self.count();
            if let Ok((key, row)) = row {
                outcome = visit(self, key, row);
            }
            outcome.is_ok()
        });
        match walked {
            Err(Error::Corrupt { .. }) => outcome,
            walked => walked.and(outcome),
        }
    }

    /// Every row of every table reads, and what has a form of its own has it.
    fn rows(&mut self) -> Result<(), Error> {
        for table in Table::ALL.iter().copied() {
            self.begin(table.name());
            let store = self.store;
            let read = store.each(table, &[], &mut |key, row| {
                self.count();
                let row = Bytes::copy_from_slice(row);
                if let Err(error) = rows::reads(table, key, &row) {
                    let (place, reason) = placed(table, error);
                    self.found(Wrong::Unreadable, table, place, reason);
                } else if let Some(reason) = self.formless(table, key, &row) {
                    self.found(Wrong::Unreadable, table, hex::encode(key), reason);
                }
                true
            });
            match read {
                Err(error @ Error::Corrupt { .. }) => {
                    let (place, reason) = placed(table, error);
                    self.found(Wrong::Unreadable, table, place, reason);
                }
                read => read?,
            }
        }
        Ok(())
    }

    /// Why bytes that have a format of their own do not have it.
    fn formless(&self, table: Table, key: &[u8], row: &Bytes) -> Option<String> {
        let item = match table {
            Table::Items => row.clone(),
            // Empty: its bytes are those of a module in the table of items.
            Table::AnchorItems if !row.is_empty() => row.clone(),
            Table::Shipments => return Shipment::decode(row).err().map(|error| error.to_string()),
            _ => return None,
        };
        let item = match DataItem::parse(item, Profile::Archive) {
            Ok(item) => item,
            Err(error) => return Some(error.to_string()),
        };
        if item.id().0 != key {
            return Some(format!("it is item {}", item.id()));
        }
        if !self.signatures {
            return None;
        }
        item.verify().err().map(|error| error.to_string())
    }

    /// Sequence numbers are gap-free, and lead to items that are there.
    fn items(&mut self) -> Result<(), Error> {
        self.begin("items");
        let mut next = 0;
        self.walk(&schema::SEQUENCE, |checker, sequence, id| {
            if sequence != next {
                checker.contradicts(Table::Sequence, sequence, format!("the number after the one before is {next}"));
            }
            next = sequence.saturating_add(1);
            match there(schema::ITEM_INDEX.get(checker.store, &id))? {
                None => checker.contradicts(Table::Sequence, sequence, format!("item {id} is not in the index")),
                Some(row) if row.sequence != sequence => {
                    checker.contradicts(Table::ItemIndex, id, format!("it has number {}, and stands at {sequence}", row.sequence));
                }
                Some(_) => {}
            }
            Ok(())
        })?;
        self.walk(&schema::ITEM_INDEX, |checker, id, row| {
            if !checker.has(&id)? {
                checker.contradicts(Table::ItemIndex, id, "its bytes are not there");
            }
            if there(schema::SEQUENCE.get(checker.store, &row.sequence))? != Some(id) {
                checker.contradicts(Table::ItemIndex, id, format!("another item, or none, has its number {}", row.sequence));
            }
            Ok(())
        })
    }

    /// Whether an item's bytes are here, or known to be elsewhere.
    fn has(&self, id: &ao_types::Id) -> Result<bool, Error> {
        crate::shell::facts::known(self.store, id)
    }

    /// What was pruned is in a shipment that has come to Arweave for good.
    fn pruned(&mut self) -> Result<(), Error> {
        self.begin("pruned");
        let mut sound = None;
        self.walk(&schema::PRUNED, |checker, id, row| {
            if sound == Some(row.shipment) {
                return Ok(());
            }
            let shipment = there(schema::SHIPMENTS.get(checker.store, &row.shipment))?.and_then(|bytes| Shipment::decode(&bytes).ok());
            match shipment.is_some_and(|shipment| shipment.stage.is_settled()) {
                true => sound = Some(row.shipment),
                false => checker.contradicts(Table::Pruned, id, format!("shipment {} is not settled, or not there", row.shipment)),
            }
            Ok(())
        })
    }

    /// A checkpoint has a body of its size, and no body is without one.
    fn checkpoints(&mut self) -> Result<(), Error> {
        self.begin("checkpoints");
        let place = |key: &EvaluationKey| format!("slot {} of {}", key.slot, key.process);
        self.walk(&schema::CHECKPOINTS, |checker, key, row| {
            match there(schema::CHECKPOINT_BODIES.get(checker.store, &key))? {
                None => checker.contradicts(Table::Checkpoints, place(&key), "its bytes are not there"),
                Some(body) if body.len() as u64 != row.bytes => {
                    checker.contradicts(
                        Table::Checkpoints,
                        place(&key),
                        format!("it has {} bytes, and {} are there", row.bytes, body.len()),
                    );
                }
                Some(_) => {}
            }
            Ok(())
        })?;
        self.walk(&schema::CHECKPOINT_BODIES, |checker, key, _| {
            if !schema::CHECKPOINTS.contains(checker.store, &key)? {
                checker.contradicts(Table::CheckpointBodies, place(&key), "no checkpoint has these bytes");
            }
            Ok(())
        })
    }
}

fn placed(table: Table, error: Error) -> (String, String) {
    match error {
        Error::Corrupt { place, reason, .. } => (place, reason),
        other => (table.name().to_owned(), other.to_string()),
    }
}
