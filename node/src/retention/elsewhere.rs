//! The store as readers see it who may wait: an item that was pruned is fetched back, verified, and is as good as here.
//!
//! The whole bundle is fetched: its root is known, so what comes back is right or refused, whoever sent it; and who reads one message of a log
//! reads its neighbours next. One bundle is fetched at a time. Nothing of it is written: what was pruned stays so.
//!
//! Refuses to wait on threads that serve others: those use the plain store, where what was pruned is known and not there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ao_arweave::client::Client;
use ao_arweave::pipeline::Shipment;
use ao_storage::schema::{self, PrunedRow};
use ao_storage::typed::Key;
use ao_storage::{Direction, Durability, Entry, Error, Store, Table, WriteBatch};
use ao_types::bundle::Bundle;
use ao_types::{Canonical as _, Id, Profile};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::limits::{ASK_AGAIN, FETCH_WAIT, FETCHED_BYTES_MAX, MISSED_MAX, WAITERS_MAX};

/// See the module.
pub struct Elsewhere {
    store: Arc<dyn Store>,
    asked: OnceLock<(Client, Handle)>,
    /// Bundles that were fetched, newest last.
    fetched: Mutex<VecDeque<(u64, Bytes)>>,
    /// Shipments that nobody had, and when that was.
    missed: Mutex<BTreeMap<u64, Instant>>,
    /// Held while a bundle is fetched.
    at_work: Mutex<()>,
    /// Readers who wait for a bundle, or for their turn to.
    waiting: AtomicUsize,
}

/// A reader's place among those who wait.
struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Elsewhere {
    /// This store; nobody is asked until [`Elsewhere::ask`] says whom.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            asked: OnceLock::new(),
            fetched: Mutex::default(),
            missed: Mutex::default(),
            at_work: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// What is really here.
    pub fn plain(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Asks these gateways, on that runtime. The first call counts.
    pub fn ask(&self, client: Client, runtime: Handle) {
        // A second call would be a bug of the start, and changes nothing.
        drop(self.asked.set((client, runtime)));
    }

    /// The bytes of a pruned item, verified.
    fn fetch(&self, id: Id, row: PrunedRow) -> Result<Bytes, Error> {
        let gone = |why: &str| Error::Elsewhere(format!("item {id} was pruned here, and {why}"));
        if let Some(bundle) = self.kept(row.shipment) {
            return taken(&bundle, id).ok_or_else(|| gone("is not in the bundle that it should be in; report this"));
        }
        let Some((client, runtime)) = self.asked.get() else {
            return Err(gone("this node asks no gateway: set arweave.gateways and start it again"));
        };
        let busy = || gone("others wait for gateways: ask again later");
        let _seat = self.seat().ok_or_else(busy)?;
        let _turn = self.at_work.try_lock_for(FETCH_WAIT).ok_or_else(busy)?;
        // Whoever was before may have fetched the same bundle, or not got it.
        if let Some(bundle) = self.kept(row.shipment) {
            return taken(&bundle, id).ok_or_else(|| gone("is not in the bundle that it should be in; report this"));
        }
        let shipment = schema::SHIPMENTS.get(&*self.store, &row.shipment)?.and_then(|bytes| Shipment::decode(&bytes).ok());
        let Some((shipment, place)) = shipment.and_then(|shipment| Some((shipment.bundle, shipment.stage.place()?.clone()))) else {
            return Err(gone("where it went to is not known any more: `aonode recover` finds it"));
        };
        let missing =
            || gone(&format!("no gateway has transaction {} now: ask again later, or add another to arweave.gateways", place.transaction));
        if self.missed.lock().get(&row.shipment).is_some_and(|when| when.elapsed() < ASK_AGAIN) {
            return Err(missing());
        }
        let (give, take) = sync_channel(1);
        let (client, carrier) = (client.clone(), place.carrier);
        runtime.spawn(async move {
            let data = tokio::time::timeout(FETCH_WAIT, client.data(&carrier, &shipment.root, shipment.bytes, &[])).await;
            // Who asked may have stopped waiting.
            drop(give.try_send(data.ok().flatten()));
        });
        let Some(bundle) = take.recv_timeout(FETCH_WAIT).ok().flatten() else {
            let mut missed = self.missed.lock();
            missed.retain(|_, when| when.elapsed() < ASK_AGAIN);
            if missed.len() < MISSED_MAX {
                missed.insert(row.shipment, Instant::now());
            }
            return Err(missing());
        };
        tracing::debug!(event = "fetched_back", shipment = row.shipment, bytes = bundle.len(), "what was pruned is read again");
        let item = taken(&bundle, id).ok_or_else(|| gone("is not in the bundle that it should be in; report this"));
        self.keep(row.shipment, bundle);
        item
    }

    /// A place to wait, if there is one: whoever waits holds a thread that others could read with.
    fn seat(&self) -> Option<Seat<'_>> {
        let seat = |waiting: usize| (waiting < WAITERS_MAX).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, seat).ok().map(|_| Seat(&self.waiting))
    }

    fn kept(&self, shipment: u64) -> Option<Bytes> {
        self.fetched.lock().iter().find(|(number, _)| *number == shipment).map(|(_, bundle)| bundle.clone())
    }

    fn keep(&self, shipment: u64, bundle: Bytes) {
        let mut fetched = self.fetched.lock();
        let mut sum = bundle.len();
        fetched.push_back((shipment, bundle));
        // The newest stays, whatever its size.
        let from = fetched.len() - 1;
        let fits = (0..from).rev().take_while(|at| {
            sum += fetched[*at].1.len();
            sum <= FETCHED_BYTES_MAX
        });
        let surplus = from - fits.count();
        fetched.drain(..surplus);
    }
}

/// An item out of a bundle, with its signature checked.
fn taken(bundle: &Bytes, id: Id) -> Option<Bytes> {
    let bundle = Bundle::parse(bundle.clone(), Profile::Strict).ok()?;
    let entry = bundle.entries().find(|entry| entry.id == id)?;
    let item = bundle.item(&entry, Profile::Strict).ok()?.verify().ok()?;
    (item.id() == id).then(|| item.as_bytes().clone())
}

impl Store for Elsewhere {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let found = self.store.get(table, key)?;
        if found.is_some() || table != Table::Items {
            return Ok(found);
        }
        let Some(id) = <Id as Key>::read(&mut &key[..]) else { return Ok(None) };
        match schema::PRUNED.get(&*self.store, &id)? {
            Some(row) => self.fetch(id, row).map(Some),
            None => Ok(None),
        }
    }

    fn contains(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        Ok(self.store.contains(table, key)? || table == Table::Items && self.store.contains(Table::Pruned, key)?)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error> {
        self.store.scan(table, from, to, direction, limit)
    }

    fn each(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.store.each(table, from, visit)
    }

    fn visit(&self, table: Table, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.store.visit(table, from, to, visit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), Error> {
        self.store.write(batch, durability)
    }

    fn sizes(&self) -> Result<Vec<(Table, u64)>, Error> {
        self.store.sizes()
    }
}

#[cfg(test)]
mod tests {
    use ao_storage::MemoryStore;

    use super::*;

    #[test]
    fn few_wait_at_a_time() {
        let archive = Elsewhere::new(Arc::new(MemoryStore::new()));
        let mut seats: Vec<_> = (0..WAITERS_MAX).map(|_| archive.seat().expect("there is room")).collect();
        assert!(archive.seat().is_none());
        seats.pop();
        assert!(archive.seat().is_some(), "somebody left");
    }

    #[test]
    fn bundles_that_were_fetched_are_kept_while_there_is_room_the_newest_at_any_rate() {
        let archive = Elsewhere::new(Arc::new(MemoryStore::new()));
        let third = Bytes::from(vec![0; FETCHED_BYTES_MAX / 3]);
        (1..=5).for_each(|number| archive.keep(number, third.clone()));
        let kept = || (1..=9).filter(|number| archive.kept(*number).is_some()).collect::<Vec<_>>();
        assert_eq!(kept(), [3, 4, 5]);
        archive.keep(6, Bytes::from(vec![0; FETCHED_BYTES_MAX + 1]));
        assert_eq!(kept(), [6]);
    }
}
