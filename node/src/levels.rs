//! How far a message is on its way to a final order, as this node's store tells it: `received → assigned → certified → confirmed`, and
//! `computed` beside them.
//!
//! Owns the names and how a level is read. Refuses to wait (`handle/wait.rs`) and to decide (the core): a level is what rows say, so it is
//! the same in every answer and after every restart. `certified` may be read late after a crash, never too early.

use ao_storage::schema::{self};
use ao_storage::{Error, Store};
use ao_types::{Address, Id, Slot};

/// Levels of order, each above the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Its signature holds; it has no slot here.
    Received,
    /// Its scheduler signed a slot for it.
    Assigned,
    /// A certificate covers it: a quorum attested it. Can be lost when its chain is closed.
    Certified,
    /// No other content for its slot can ever be confirmed.
    Confirmed,
}

impl Level {
    /// Its name everywhere: HTTP, command line, metrics.
    pub fn text(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Assigned => "assigned",
            Self::Certified => "certified",
            Self::Confirmed => "confirmed",
        }
    }
}

/// What a caller can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Goal {
    /// A level of order.
    Level(Level),
    /// Its evaluation. Only confirmed messages are evaluated.
    Computed,
}

impl Goal {
    /// Every goal, in the order in which they are reached.
    pub const ALL: [Self; 4] = [Self::Level(Level::Assigned), Self::Level(Level::Certified), Self::Level(Level::Confirmed), Self::Computed];

    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Level(level) => level.text(),
            Self::Computed => "computed",
        }
    }

    /// The goal of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|goal| goal.text() == name)
    }
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of its order.
    pub level: Level,
    /// Whether its result is in the store.
    pub computed: bool,
}

impl Standing {
    /// Whether that is as far as `goal`.
    pub fn meets(&self, goal: Goal) -> bool {
        match goal {
            Goal::Level(level) => self.level >= level,
            Goal::Computed => self.computed,
        }
    }

    /// The last thing that happened to it.
    pub fn text(&self) -> &'static str {
        if self.computed { Goal::Computed.text() } else { self.level.text() }
    }
}

/// The level of a slot.
///
/// # Errors
/// The store's.
pub fn level(store: &dyn Store, process: Id, slot: Slot) -> Result<Level, Error> {
    if schema::CONFIRMED.get(store, &process)?.is_some_and(|last| last >= slot) {
        return Ok(Level::Confirmed);
    }
    if !schema::SCHEDULE.contains(store, &(process, slot))? {
        return Ok(Level::Received);
    }
    let certified = match chain_of(store, process)? {
        Some(chain) => schema::CERTIFIED.get(store, &chain)?,
        None => None,
    };
    let covered = match certified {
        Some(certified) => schema::FRAME_OF.get(store, &(process, slot))?.is_some_and(|sequence| sequence <= certified),
        None => false,
    };
    Ok(if covered { Level::Certified } else { Level::Assigned })
}

/// The scheduler of a process and its tenure; nobody's where the process names no address.
///
/// # Errors
/// The store's.
pub fn chain_of(store: &dyn Store, process: Id) -> Result<Option<(Address, u64)>, Error> {
    let row = schema::PROCESSES.get(store, &process)?;
    Ok(row.and_then(|row| Address::parse(&row.scheduler).ok()).map(|scheduler| (scheduler, 0)))
}

/// Level and evaluation of a slot.
///
/// # Errors
/// The store's.
pub fn standing(store: &dyn Store, process: Id, slot: Slot) -> Result<Standing, Error> {
    let evaluated = schema::EVALUATION_HEADS.get(store, &process)?;
    let computed = evaluated.is_some_and(|head| head.slot >= slot);
    Ok(Standing { level: level(store, process, slot)?, computed })
}

#[cfg(test)]
mod tests {
    use ao_storage::schema::{ProcessRow, ScheduleRow};
    use ao_storage::{Durability, MemoryStore, WriteBatch};
    use bytes::Bytes;

    use super::*;

    const PROCESS: Id = Id([1; 32]);

    #[test]
    fn each_row_raises_the_level_of_the_slots_that_it_covers() {
        let store = MemoryStore::new();
        let scheduler = Address::Arweave(Id([9; 32]));
        let mut rows = WriteBatch::default();
        let process = ProcessRow {
            owner: scheduler,
            module: Id([2; 32]),
            scheduler: scheduler.to_string(),
            parent: None,
            timestamp_ms: 1,
            block_height: 1,
            has_cron: false,
        };
        schema::PROCESSES.put(&mut rows, &PROCESS, &process);
        for slot in 0..4_u64 {
            let row = ScheduleRow {
                item: Id([3; 32]),
                assignment_id: Id([4; 32]),
                assignment: Bytes::new(),
                timestamp_ms: 1,
                block_height: 1,
                pushed_by: None,
                push: true,
            };
            schema::SCHEDULE.put(&mut rows, &(PROCESS, Slot(slot)), &row);
            // Two slots in each frame.
            schema::FRAME_OF.put(&mut rows, &(PROCESS, Slot(slot)), &(slot / 2));
        }
        store.write(rows, Durability::Synced).unwrap();
        let levels = || (0..5).map(|slot| level(&store, PROCESS, Slot(slot)).unwrap().text()).collect::<Vec<_>>();
        assert_eq!(levels(), ["assigned", "assigned", "assigned", "assigned", "received"]);
        let mut rows = WriteBatch::default();
        // Another chain's certificates say nothing.
        schema::CERTIFIED.put(&mut rows, &(scheduler, 1), &9);
        schema::CERTIFIED.put(&mut rows, &(scheduler, 0), &0);
        store.write(rows, Durability::Buffered).unwrap();
        assert_eq!(levels(), ["certified", "certified", "assigned", "assigned", "received"]);
        let mut rows = WriteBatch::default();
        schema::CONFIRMED.put(&mut rows, &PROCESS, &Slot(1));
        schema::CERTIFIED.put(&mut rows, &(scheduler, 0), &1);
        store.write(rows, Durability::Buffered).unwrap();
        assert_eq!(levels(), ["confirmed", "confirmed", "certified", "certified", "received"]);
    }

    #[test]
    fn goals_are_met_in_their_order() {
        let confirmed = Standing { level: Level::Confirmed, computed: false };
        assert_eq!(Goal::ALL.map(|goal| confirmed.meets(goal)), [true, true, true, false]);
        assert_eq!(Goal::ALL.map(|goal| Goal::named(goal.text())), Goal::ALL.map(Some));
        assert_eq!(Goal::named("anchored"), None);
    }
}
