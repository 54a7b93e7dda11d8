//! A simulated disk: power that fails and room that ends at a chosen write, so that a test can try every one of them.
//!
//! It keeps what RocksDB promises and nothing more. Batches are atomic and go into one log in order; a synced write makes itself and
//! everything before it durable; what was not synced survives a crash as some prefix; a write under way may or may not survive. With
//! [`Disk::Lying`] syncs are ignored, as by a drive that answers before it has written.
//!
//! A test first runs without a fault and reads [`FaultyStore::writes`], then runs again with a fault at each of them, takes
//! [`FaultyStore::survivors`] and starts anew from every one.

use bytes::Bytes;
use parking_lot::Mutex;

use crate::memory::{Contents, apply};
use crate::{Direction, Durability, Entry, Error, MemoryStore, Store, Table, WriteBatch};

/// What goes wrong. Writes are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The power fails during this write: it and every later call fail.
    CrashAt(u64),
    /// There is no room from this write on, until [`FaultyStore::free_space`].
    FullFrom(u64),
}

/// What a sync is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// When it returns, the data are on the disk.
    Honest,
    /// Nothing: a crash may take any suffix of all writes (faults.md F2).
    Lying,
}

struct State {
    fault: Fault,
    writes: u64,
    crashed: bool,
    /// What reads see.
    live: MemoryStore,
    /// What is on the disk for certain.
    durable: Contents,
    /// In the log but maybe not on the disk, oldest first; the write under way at a crash is the last.
    pending: Vec<WriteBatch>,
}

/// A store on a simulated disk.
pub struct FaultyStore {
    disk: Disk,
    state: Mutex<State>,
}

impl FaultyStore {
    /// A store that holds `contents`, durably, on an honest disk.
    pub fn new(contents: Contents, fault: Fault) -> Self {
        Self::on(Disk::Honest, contents, fault)
    }

    /// A store that holds `contents`, durably.
    pub fn on(disk: Disk, contents: Contents, fault: Fault) -> Self {
        let live = MemoryStore::from_contents(contents.clone());
        let state = State { fault, writes: 0, crashed: false, live, durable: contents, pending: Vec::new() };
        Self { disk, state: Mutex::new(state) }
    }

    /// How many writes were tried.
    pub fn writes(&self) -> u64 {
        self.state.lock().writes
    }

    /// Whether the power has failed.
    pub fn crashed(&self) -> bool {
        self.state.lock().crashed
    }

    /// The power fails now, between two writes.
    pub fn crash(&self) {
        self.state.lock().crashed = true;
    }

    /// The power fails during the next write.
    pub fn crash_at_next_write(&self) {
        let mut state = self.state.lock();
        state.fault = Fault::CrashAt(state.writes + 1);
    }

    /// There is no room from now on.
    pub fn fill(&self) {
        self.state.lock().fault = Fault::FullFrom(0);
    }

    /// There is room again.
    pub fn free_space(&self) {
        let mut state = self.state.lock();
        if matches!(state.fault, Fault::FullFrom(_)) {
            state.fault = Fault::None;
        }
    }

    /// Nothing will go wrong any more; what has happened, has.
    pub fn mend(&self) {
        self.state.lock().fault = Fault::None;
    }

    /// Everything that a start after the crash may find, from the least that survives to the most. Without a crash: what one now would
    /// leave.
    pub fn survivors(&self) -> Vec<Contents> {
        let state = self.state.lock();
        let mut images = vec![state.durable.clone()];
        for batch in &state.pending {
            let mut image = images[images.len() - 1].clone();
            apply(&mut image, batch.clone());
            images.push(image);
        }
        images
    }

    fn read<T>(&self, read: impl FnOnce(&MemoryStore) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.state.lock();
        if state.crashed { Err(power_failed()) } else { read(&state.live) }
    }
}

fn power_failed() -> Error {
    Error::Io("simulated: the power has failed".into())
}

impl Store for FaultyStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        self.read(|live| live.get(table, key))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error> {
        self.read(|live| live.scan(table, from, to, direction, limit))
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.crashed {
            return Err(power_failed());
        }
        state.writes += 1;
        match state.fault {
            Fault::CrashAt(write) if state.writes >= write => {
                state.crashed = true;
                state.pending.push(batch);
                return Err(power_failed());
            }
            Fault::FullFrom(write) if state.writes >= write => return Err(Error::DiskFull("simulated: no space left on device".into())),
            _ => {}
        }
        state.live.write(batch.clone(), durability)?;
        state.pending.push(batch);
        if durability == Durability::Synced && self.disk == Disk::Honest {
            for batch in std::mem::take(&mut state.pending) {
                apply(&mut state.durable, batch);
            }
        }
        Ok(())
    }

    fn sizes(&self) -> Result<Vec<(Table, u64)>, Error> {
        self.read(MemoryStore::sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Durability::{Buffered, Synced};

    fn write(store: &FaultyStore, key: u8, durability: Durability) -> Result<(), Error> {
        let mut batch = WriteBatch::default();
        batch.put(Table::Items, vec![key], Bytes::from_static(b"row"));
        store.write(batch, durability)
    }

    fn keys(contents: &Contents) -> Vec<u8> {
        contents.get(&Table::Items).map_or(Vec::new(), |rows| rows.keys().map(|key| key[0]).collect())
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_prefix_of_the_rest() {
        let store = FaultyStore::new(Contents::new(), Fault::CrashAt(5));
        write(&store, 1, Buffered).unwrap();
        write(&store, 2, Synced).unwrap();
        write(&store, 3, Buffered).unwrap();
        write(&store, 4, Buffered).unwrap();
        assert!(write(&store, 5, Synced).is_err());
        assert!(store.crashed() && store.get(Table::Items, &[1]).is_err() && write(&store, 6, Synced).is_err());
        let images: Vec<_> = store.survivors().iter().map(keys).collect();
        assert_eq!(images, [vec![1, 2], vec![1, 2, 3], vec![1, 2, 3, 4], vec![1, 2, 3, 4, 5]]);
        assert_eq!(store.writes(), 5);
    }

    #[test]
    fn a_lying_disk_may_lose_synced_writes() {
        let store = FaultyStore::on(Disk::Lying, Contents::new(), Fault::None);
        write(&store, 1, Synced).unwrap();
        store.crash();
        assert_eq!(store.survivors().iter().map(keys).collect::<Vec<_>>(), [vec![], vec![1]]);
    }

    #[test]
    fn a_full_disk_refuses_writes_answers_reads_and_recovers() {
        let store = FaultyStore::new(Contents::new(), Fault::FullFrom(2));
        write(&store, 1, Synced).unwrap();
        assert!(matches!(write(&store, 2, Synced), Err(Error::DiskFull(_))));
        assert!(matches!(write(&store, 3, Buffered), Err(Error::DiskFull(_))));
        assert!(store.contains(Table::Items, &[1]).unwrap() && !store.contains(Table::Items, &[2]).unwrap());
        store.free_space();
        write(&store, 4, Synced).unwrap();
        assert_eq!(store.survivors().iter().map(keys).collect::<Vec<_>>(), [vec![1, 4]]);
    }
}
