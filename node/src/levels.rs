//! How far a message is on its way to a final order, as this node's store tells it: `received → assigned → certified → confirmed →
//! anchored`, and `computed` beside them.
//!
//! Owns the names and how a level is read. Refuses to wait (`handle/wait.rs`) and to decide (the core): a level is what rows say, so it is
//! the same in every answer and after every restart. `certified` may be read late after a crash, never too early.

use ao_consensus::FrameHeader;
use ao_storage::schema::{self, FrameKey};
use ao_storage::{Direction, Error, Store};
use ao_types::{Address, Canonical as _, Id, Reader, Slot};

use crate::shell::begin;

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
    /// On Arweave, as deep as the configuration asks, read back and compared.
    Anchored,
}

impl Level {
    /// Its name everywhere: HTTP, command line, metrics.
    pub fn text(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Assigned => "assigned",
            Self::Certified => "certified",
            Self::Confirmed => "confirmed",
            Self::Anchored => "anchored",
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
    pub const ALL: [Self; 5] = [
        Self::Level(Level::Assigned),
        Self::Level(Level::Certified),
        Self::Level(Level::Confirmed),
        Self::Computed,
        Self::Level(Level::Anchored),
    ];

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
        if self.computed && self.level < Level::Anchored { Goal::Computed.text() } else { self.level.text() }
    }
}

/// The level of a slot.
///
/// # Errors
/// The store's.
pub fn level(store: &dyn Store, process: Id, slot: Slot) -> Result<Level, Error> {
    if schema::ANCHORED.get(store, &process)?.is_some_and(|last| last >= slot) {
        return Ok(Level::Anchored);
    }
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

/// Where a chain of frames stands at this node: sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainStanding {
    /// The last frame that is here.
    pub last: Option<u64>,
    /// The last one that a certificate covers; those of an engine without certificates on frames are confirmed or nothing.
    pub certified: Option<u64>,
    /// The last confirmed one.
    pub confirmed: Option<u64>,
    /// Frames that are here and wait to be confirmed. Empty ones do not wait: the last of a chain that is silent only acknowledges.
    pub behind: u64,
}

/// Frames looked at for the last confirmed one: more than a scheduler sends without a certificate.
const CHAIN_LOOK: usize = 4 * ao_consensus::limits::WINDOW as usize;
/// Read at once: a frame may have hundreds of kilobytes.
const CHAIN_PAGE: usize = 4;

/// Where the chain of a scheduler in its tenure stands.
///
/// # Errors
/// The store's.
pub fn chain(store: &dyn Store, scheduler: Address, tenure: u64) -> Result<ChainStanding, Error> {
    let key = |sequence| FrameKey { scheduler, tenure, sequence };
    let mut found = ChainStanding { certified: schema::CERTIFIED.get(store, &(scheduler, tenure))?, ..ChainStanding::default() };
    let mut end = u64::MAX;
    for _ in 0..CHAIN_LOOK / CHAIN_PAGE {
        let page = schema::FRAMES.range(store, &key(0), &key(end), Direction::Backward, CHAIN_PAGE)?;
        for (at, row) in &page {
            found.last = found.last.or(Some(at.sequence));
            if row.proof.is_some() {
                found.confirmed = Some(at.sequence);
                found.certified = found.certified.max(found.confirmed);
                return Ok(found);
            }
            // One that cannot be read is not known to be empty.
            let header = FrameHeader::read(&mut Reader::new(&row.frame));
            found.behind += u64::from(header.map_or(true, |header| header.entry_count > 0));
            end = at.sequence;
        }
        if page.len() < CHAIN_PAGE {
            break;
        }
    }
    Ok(found)
}

/// Level and evaluation of a slot.
///
/// # Errors
/// The store's.
pub fn standing(store: &dyn Store, process: Id, slot: Slot) -> Result<Standing, Error> {
    let evaluated = schema::EVALUATION_HEADS.get(store, &process)?;
    let computed = evaluated.is_some_and(|head| head.slot >= slot) && begin::gap_at(store, process, slot)?.is_none();
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
        let mut rows = WriteBatch::default();
        schema::ANCHORED.put(&mut rows, &PROCESS, &Slot(0));
        store.write(rows, Durability::Synced).unwrap();
        assert_eq!(levels(), ["anchored", "confirmed", "certified", "certified", "received"]);
    }

    #[test]
    fn a_chain_stands_where_its_frames_say() {
        let store = MemoryStore::new();
        let scheduler = Address::Arweave(Id([9; 32]));
        let put = |sequences: std::ops::Range<u64>, proof: Option<&'static [u8]>| {
            let mut rows = WriteBatch::default();
            for sequence in sequences {
                let proof = proof.map(Bytes::from_static);
                let row = schema::FrameRow { frame: Bytes::new(), signature: Bytes::new(), held: Vec::new(), tip: Bytes::new(), proof };
                schema::FRAMES.put(&mut rows, &FrameKey { scheduler, tenure: 0, sequence }, &row);
            }
            store.write(rows, Durability::Buffered).unwrap();
            chain(&store, scheduler, 0).unwrap()
        };
        assert_eq!(put(0..0, None), ChainStanding::default());
        assert_eq!(put(0..7, Some(b"proof")), ChainStanding { last: Some(6), certified: Some(6), confirmed: Some(6), behind: 0 });
        let mut rows = WriteBatch::default();
        schema::CERTIFIED.put(&mut rows, &(scheduler, 0), &8);
        store.write(rows, Durability::Buffered).unwrap();
        let standing = put(7..20, None);
        assert_eq!(standing, ChainStanding { last: Some(19), certified: Some(8), confirmed: Some(6), behind: 13 });
        // A frame without entries only acknowledges.
        let tip = ao_consensus::ChainTip::opened(ao_consensus::Chain { scheduler, tenure: 0 });
        let draft = ao_consensus::Draft::alone(ao_types::NetworkId([0; 32]), Default::default(), ao_consensus::Timestamp(1), (0, [0; 48]));
        let frame = Bytes::from(tip.build(draft).unwrap().frame.encode());
        let row = schema::FrameRow { frame, signature: Bytes::new(), held: Vec::new(), tip: Bytes::new(), proof: None };
        let mut rows = WriteBatch::default();
        schema::FRAMES.put(&mut rows, &FrameKey { scheduler, tenure: 0, sequence: 20 }, &row);
        store.write(rows, Durability::Buffered).unwrap();
        let standing = chain(&store, scheduler, 0).unwrap();
        assert_eq!((standing.last, standing.behind), (Some(20), 13));
        // Of a chain that nothing confirms not everything is read.
        assert_eq!(put(20..20 + CHAIN_LOOK as u64, None).confirmed, None);
        assert_eq!(chain(&store, scheduler, 1).unwrap().last, None);
    }

    #[test]
    fn goals_are_met_in_their_order() {
        let confirmed = Standing { level: Level::Confirmed, computed: false };
        assert_eq!(Goal::ALL.map(|goal| confirmed.meets(goal)), [true, true, true, false, false]);
        let anchored = Standing { level: Level::Anchored, computed: false };
        assert_eq!(Goal::ALL.map(|goal| anchored.meets(goal)), [true, true, true, false, true]);
        assert_eq!(Goal::ALL.map(|goal| Goal::named(goal.text())), Goal::ALL.map(Some));
        assert_eq!(Goal::named("received"), None);
    }
}
