//! What other nodes wrote: their processes count as anchored here too, once Arweave shows it.
//!
//! No index is believed, and no gateway. An index names transactions; one counts when enough gateways show it in a block, its data has the
//! root of its header, and what a record in it names is there and is, byte by byte, what stands here. Records are those of the network's
//! schedulers: what others write costs one look. Deep enough, it raises levels; before, it says only that somebody is at it ([`Observer::claimed`]).
//!
//! Owns the level of processes that others order, and up to where their logs need nobody else to anchor them. Those of own ones follow from
//! the pipeline ([`super::keeper`]). Refuses to write anything else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ao_arweave::client::{Client, Header, signed_data};
use ao_arweave::pipeline::Known;
use ao_arweave::records::{FramesRecord, RangeRecord, Record};
use ao_arweave::recover::seek::{self, Sought};
use ao_storage::schema::{self, AnchorChainRow, AnchorHead, FrameKey};
use ao_storage::{Durability, Error, Store, WriteBatch};
use ao_types::bundle::{Bundle, BundleEntry};
use ao_types::{Address, DataItem, Id, NetworkId, Profile, Slot};
use bytes::Bytes;

use super::keeper::{Signed, Told};
use super::log::Log;
use super::results::hashes;
use crate::limits::{OBSERVE_BLOCKS, OBSERVE_FIRST_BLOCKS, OBSERVE_HITS_MAX, OBSERVE_TRIES_MAX, OBSERVED_MAX};

/// Items of the store that are compared together, and so are in memory together,
const ITEMS: usize = 16;
/// or fewer, if they have so many bytes.
const ITEMS_BYTES: usize = 1 << 20;

/// Something of a log that is on Arweave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Slots of a process, with their record.
    Slots {
        /// Whose.
        process: Id,
        /// The first.
        from: Slot,
        /// The last.
        to: Slot,
        /// The record's item.
        record: Id,
        /// Of so many slots from this one on the hashes of results are there, and are those of here.
        results: (Slot, u64),
    },
    /// Frames of a scheduler, with their record.
    Frames {
        /// Scheduler and tenure.
        chain: (Address, u64),
        /// Sequence of the first.
        from: u64,
        /// Sequence behind the last.
        next: u64,
        /// The record's item.
        record: Id,
    },
}

/// What a bundle came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What is there and is what stands here.
    pub parts: Vec<Part>,
    /// It names what is not here yet: worth another look.
    pub again: bool,
}

/// A transaction on its way to being deep enough.
#[derive(Debug, Default)]
struct Observed {
    /// What was read of it; nothing until it was.
    parts: Option<Vec<Part>>,
    /// Height from which on it is looked at: later after each look that came to nothing.
    height: u64,
    /// Looks that came to nothing.
    tries: u32,
}

/// See the module.
pub struct Observer {
    client: Client,
    store: Arc<dyn Store>,
    network: NetworkId,
    /// This node's scheduler.
    own: Address,
    /// Every scheduler of the network: who may bring something.
    schedulers: Arc<BTreeSet<Address>>,
    /// Transactions of this node's pipeline: they are not fetched again for what it knows itself.
    signed: Signed,
    confirmations: u64,
    told: Told,
    /// The first height whose transactions are not known; `None` before the first look.
    next: Option<u64>,
    /// Heights asked for at once.
    span: u64,
    observed: BTreeMap<Id, Observed>,
    /// Parts that are deep enough, and before which something is missing.
    early: Vec<Part>,
}

impl Observer {
    /// Goes on where the store says.
    pub fn new(
        client: Client,
        store: Arc<dyn Store>,
        network: NetworkId,
        (own, schedulers, signed): (Address, Arc<BTreeSet<Address>>, Signed),
        confirmations: u64,
        told: Told,
    ) -> Self {
        let (span, observed) = (OBSERVE_BLOCKS, BTreeMap::new());
        Self { client, store, network, own, schedulers, signed, confirmations, told, next: None, span, observed, early: Vec::new() }
    }

    /// The first slot of a process that nobody is known to have brought to Arweave, deep or not.
    pub fn claimed(&self, process: &Id) -> Slot {
        let parts = self.observed.values().filter_map(|observed| observed.parts.as_ref()).flatten().chain(&self.early);
        let ends = parts.filter_map(|part| match part {
            Part::Slots { process: of, to, .. } if of == process => Some(to.next()),
            _ => None,
        });
        ends.max().unwrap_or(Slot(0))
    }

    /// Reads what is new, and looks again at what was not deep enough.
    ///
    /// # Errors
    /// The store's: what was read is read again.
    pub async fn look(&mut self, tip: u64) -> Result<(), Error> {
        let known = schema::ANCHOR_OBSERVED.get(&*self.store)?;
        let next = *self.next.get_or_insert(known.unwrap_or(tip.saturating_sub(OBSERVE_FIRST_BLOCKS)));
        let mut end = next;
        if next <= tip && self.observed.len() < OBSERVED_MAX {
            let to = tip.min(next.saturating_add(self.span - 1));
            let sought = seek::network(&self.client, &self.network, (next, to), OBSERVE_HITS_MAX).await;
            self.span = span_after(self.span, &sought);
            // Where nobody answers nothing is known of these heights.
            if sought.answered > 0 {
                let mut all = true;
                for id in sought.carriers.into_iter().filter(|id| !self.signed.has(id)) {
                    // Those without room are asked for again when there is some: nothing is passed over.
                    all &= self.observed.len() < OBSERVED_MAX || self.observed.contains_key(&id);
                    if all {
                        self.observed.entry(id).or_insert_with(|| Observed { height: next, ..Observed::default() });
                    }
                }
                end = if all { to + 1 } else { next };
            }
        }
        let ids: Vec<Id> = self.observed.keys().copied().collect();
        for id in ids {
            self.advance(id, tip).await?;
        }
        self.settle(end)
    }

    /// One transaction: read if it was not, taken when it is deep enough, given up when it comes to nothing.
    async fn advance(&mut self, id: Id, tip: u64) -> Result<(), Error> {
        if self.observed.get(&id).is_some_and(|observed| observed.parts.is_none() && observed.height <= tip) {
            let reading = self.read(id).await?;
            let Some(observed) = self.observed.get_mut(&id) else { return Ok(()) };
            match reading {
                Some(Reading { parts, again: false }) if parts.is_empty() => drop(self.observed.remove(&id)),
                Some(Reading { parts, again: false }) => observed.parts = Some(parts),
                _ if observed.tries >= OBSERVE_TRIES_MAX => drop(self.observed.remove(&id)),
                _ => {
                    observed.tries += 1;
                    observed.height = tip.saturating_add(1 << observed.tries);
                }
            }
        }
        let Some(observed) = self.observed.get(&id).filter(|observed| observed.parts.is_some()) else { return Ok(()) };
        let deep = |height: u64| tip.saturating_add(1).saturating_sub(height) >= self.confirmations;
        if !deep(observed.height) {
            return Ok(());
        }
        match self.client.known(&id, tip).await {
            Some(Known::Mined(place)) if deep(place.height) => {
                let observed = self.observed.remove(&id).unwrap_or_default();
                self.early.extend(observed.parts.unwrap_or_default());
            }
            // It came into a later block than it was seen for.
            Some(Known::Mined(place)) => self.observed.entry(id).or_default().height = place.height,
            Some(_) => {
                if let Some(observed) = self.observed.get_mut(&id) {
                    (observed.height, observed.tries) = (tip, observed.tries + 1);
                    if observed.tries > OBSERVE_TRIES_MAX {
                        self.observed.remove(&id);
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    /// What a transaction carries; `None`: nobody could say.
    async fn read(&self, id: Id) -> Result<Option<Reading>, Error> {
        let header = match self.client.header(&id).await {
            Some(Header::Signed(header)) => header,
            Some(Header::Foreign) => return Ok(Some(Reading::default())),
            None => return Ok(None),
        };
        let Some((root, size)) = signed_data(&header) else { return Ok(Some(Reading::default())) };
        let Some(bytes) = self.client.data(&id, &root, size, &[]).await else { return Ok(None) };
        let (store, own, schedulers) = (self.store.clone(), self.own, self.schedulers.clone());
        let reading = tokio::task::spawn_blocking(move || compare(&*store, &own, &schedulers, bytes)).await;
        reading.ok().transpose()
    }

    /// Raises levels as far as parts follow on each other, and remembers how far was read.
    fn settle(&mut self, end: u64) -> Result<(), Error> {
        let (mut rows, mut levels) = (Rows::new(&*self.store), Vec::new());
        let mut early = self.early.clone();
        loop {
            let before = early.len();
            let mut later = Vec::new();
            for part in early {
                if !rows.take(&part)? {
                    later.push(part);
                }
            }
            early = later;
            if early.len() == before || early.is_empty() {
                break;
            }
        }
        // What a crash forgets is read again.
        let lowest = self.observed.values().map(|observed| observed.height).min().unwrap_or(end).min(end);
        if early.is_empty() && schema::ANCHOR_OBSERVED.get(&*self.store)? != Some(lowest) {
            schema::ANCHOR_OBSERVED.put(&mut rows.batch, &lowest);
        }
        levels.extend(rows.levels);
        if !rows.batch.writes.is_empty() {
            self.store.write(rows.batch, Durability::Buffered)?;
        }
        early.truncate(OBSERVED_MAX);
        (self.early, self.next) = (early, Some(end));
        levels.into_iter().for_each(|(process, slot)| (self.told)(process, slot));
        Ok(())
    }
}

/// Rows as they become part by part.
struct Rows<'s> {
    store: &'s dyn Store,
    batch: WriteBatch,
    heads: BTreeMap<Id, AnchorHead>,
    chains: BTreeMap<(Address, u64), u64>,
    levels: BTreeMap<Id, Slot>,
}

/// Heights asked for at once after such an answer: fewer where nobody shows everything within what is taken of one, and then more again.
fn span_after(span: u64, sought: &Sought) -> u64 {
    match (sought.answered, sought.cut) {
        (0, true) => (span / 2).max(1),
        (0, false) => span,
        _ => span.saturating_mul(2).min(OBSERVE_BLOCKS),
    }
}

impl<'s> Rows<'s> {
    fn new(store: &'s dyn Store) -> Self {
        Self { store, batch: WriteBatch::default(), heads: BTreeMap::new(), chains: BTreeMap::new(), levels: BTreeMap::new() }
    }

    /// Whether a part follows on what is anchored, and is now.
    fn take(&mut self, part: &Part) -> Result<bool, Error> {
        match part {
            Part::Slots { process, from, to, record, results } => {
                let level = match self.levels.get(process) {
                    Some(last) => last.next(),
                    None => schema::ANCHORED.get(self.store, process)?.map_or(Slot(0), Slot::next),
                };
                if *from > level {
                    return Ok(false);
                }
                if *to >= level {
                    schema::ANCHORED.put(&mut self.batch, process, to);
                    self.levels.insert(*process, *to);
                }
                let none = AnchorHead { next: Slot(0), range: None, ranges: 0, results: Slot(0) };
                let head = match self.heads.get(process) {
                    Some(head) => *head,
                    None => schema::ANCHOR_HEADS.get(self.store, process)?.unwrap_or(none),
                };
                if *to >= head.next {
                    // Hashes of results with a hole before them are left to whoever writes next.
                    let results = if results.0 <= head.results { Slot(head.results.0.max(results.0.0 + results.1)) } else { head.results };
                    let head = AnchorHead { next: to.next(), range: Some(*record), ranges: head.ranges.saturating_add(1), results };
                    schema::ANCHOR_HEADS.put(&mut self.batch, process, &head);
                    self.heads.insert(*process, head);
                }
                Ok(true)
            }
            Part::Frames { chain, from, next, record } => {
                let known = match self.chains.get(chain) {
                    Some(known) => *known,
                    None => schema::ANCHOR_CHAINS.get(self.store, chain)?.map_or(0, |row| row.next),
                };
                if *from > known {
                    return Ok(false);
                }
                if *next > known {
                    schema::ANCHOR_CHAINS.put(&mut self.batch, chain, &AnchorChainRow { next: *next, record: Some(*record) });
                    self.chains.insert(*chain, *next);
                }
                Ok(true)
            }
        }
    }
}

/// Records in a bundle that name what stands here, of processes that others than `own` order; records are those of `schedulers`.
///
/// # Errors
/// The store's.
pub fn compare(store: &dyn Store, own: &Address, schedulers: &BTreeSet<Address>, bytes: Bytes) -> Result<Reading, Error> {
    let mut reading = Reading::default();
    // Whoever pays may tag what he likes.
    let Ok(bundle) = Bundle::parse(bytes, Profile::Archive) else { return Ok(reading) };
    let there = There { places: bundle.entries().map(|entry| (entry.id, entry)).collect(), bundle: &bundle };
    for entry in bundle.entries() {
        let Some((id, record)) = there.record(&entry, schedulers) else { continue };
        let stands = match record {
            Record::Range(range) => of_range(store, own, &there, id, &range)?,
            Record::Frames(frames) if frames.scheduler != *own => of_frames(store, id, &frames)?,
            _ => continue,
        };
        match stands {
            Stands::Here(part) => reading.parts.push(part),
            Stands::NotYet => reading.again = true,
            Stands::No => {}
        }
    }
    Ok(reading)
}

/// What is in a bundle. Nothing of it is parsed that is not asked for: what equals a row of the store is what that row is.
struct There<'b> {
    bundle: &'b Bundle,
    places: HashMap<Id, BundleEntry>,
}

impl There<'_> {
    /// The bytes that the table calls so.
    fn bytes(&self, id: &Id) -> Option<Bytes> {
        self.bundle.bytes_of(self.places.get(id)?)
    }

    /// Whether what the table calls so are these bytes.
    fn is(&self, id: &Id, bytes: &Bytes) -> bool {
        self.bytes(id).is_some_and(|found| found == bytes)
    }

    /// An item with that id, whose signature holds.
    fn holds(&self, id: &Id) -> bool {
        let item = self.places.get(id).and_then(|entry| self.bundle.item(entry, Profile::Archive).ok());
        item.is_some_and(|item| item.verify().is_ok())
    }

    /// A record by somebody of the network. Recovery goes by its name later on: it must be one whose signature holds.
    fn record(&self, entry: &BundleEntry, schedulers: &BTreeSet<Address>) -> Option<(Id, Record)> {
        // One that the table names twice is looked at once.
        if self.places.get(&entry.id).is_none_or(|last| last.index != entry.index) {
            return None;
        }
        // Few are, and hashes cost more than a look at the tags.
        let bytes = self.bundle.bytes_of(entry)?;
        if !Record::is_said(&DataItem::tags_in(&bytes, Profile::Archive).ok()?) {
            return None;
        }
        let item = self.bundle.item(entry, Profile::Archive).ok()?;
        let record = Record::read(&item)?.ok()?;
        (schedulers.contains(&item.address()) && item.verify().is_ok()).then_some((entry.id, record))
    }
}

/// Whether what a record names is what stands here.
enum Stands {
    Here(Part),
    /// Some of it is not here yet.
    NotYet,
    No,
}

fn of_range(store: &dyn Store, own: &Address, there: &There<'_>, record: Id, range: &RangeRecord) -> Result<Stands, Error> {
    match schema::PROCESSES.get(store, &range.process)? {
        None => return Ok(Stands::NotYet),
        Some(row) if row.scheduler == own.to_string() => return Ok(Stands::No),
        Some(_) => {}
    }
    if schema::CONFIRMED.get(store, &range.process)?.is_none_or(|confirmed| confirmed < range.to()) {
        return Ok(Stands::NotYet);
    }
    let mut log = Log::new(store, range.process, range.from, range.to());
    let (mut ids, mut bytes) = (Vec::with_capacity(ITEMS), 0_usize);
    for (item, assignment) in &range.slots {
        let Some(row) = log.next()? else { return Ok(Stands::NotYet) };
        if row.item != *item || row.assignment_id != *assignment || !there.is(assignment, &row.assignment) {
            return Ok(Stands::No);
        }
        ids.push(*item);
        bytes = bytes.saturating_add(there.places.get(item).map_or(ITEMS_BYTES, |entry| entry.size));
        if ids.len() >= ITEMS || bytes >= ITEMS_BYTES {
            if !are_there(store, there, &ids)? {
                return Ok(Stands::No);
            }
            ids.clear();
            bytes = 0;
        }
    }
    if !are_there(store, there, &ids)? {
        return Ok(Stands::No);
    }
    // As far as they are what was computed here: others are left to whoever writes next.
    let here = hashes(store, &range.process, range.results.0, range.results.1.len())?;
    let same = here.iter().zip(&range.results.1).take_while(|(here, there)| here == there).count() as u64;
    let results = (range.results.0, same);
    Ok(Stands::Here(Part::Slots { process: range.process, from: range.from, to: range.to(), record, results }))
}

/// Whether these items are in the bundle, as they are here.
fn are_there(store: &dyn Store, there: &There<'_>, ids: &[Id]) -> Result<bool, Error> {
    for (id, kept) in ids.iter().zip(schema::ITEMS.get_many(store, ids)?) {
        let whole = match kept {
            Some(bytes) if there.places.contains_key(id) => there.is(id, &bytes),
            // Of a form that only Arweave itself has: it is there already, and goes into no bundle.
            Some(bytes) => DataItem::parse(bytes, Profile::Strict).is_err(),
            // Not kept any more: its signature says that it is the one.
            None => there.holds(id),
        };
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Frames count as far as they are here and came with their proofs; those behind come again with theirs.
fn of_frames(store: &dyn Store, record: Id, frames: &FramesRecord) -> Result<Stands, Error> {
    let mut next = frames.from;
    for frame in frames.frames.iter().take_while(|frame| !frame.proof.is_empty()) {
        let key = FrameKey { scheduler: frames.scheduler, tenure: frames.tenure, sequence: next };
        match schema::FRAMES.get(store, &key)? {
            None => return Ok(Stands::NotYet),
            Some(row) if row.frame != frame.frame || row.signature != frame.signature || row.held != frame.held => return Ok(Stands::No),
            // What proves it need not be what proves it here; that it is confirmed is known here.
            Some(row) if row.proof.is_none() => return Ok(Stands::NotYet),
            Some(_) => next += 1,
        }
    }
    if next == frames.from {
        return Ok(Stands::No);
    }
    Ok(Stands::Here(Part::Frames { chain: (frames.scheduler, frames.tenure), from: frames.from, next, record }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_more_to_show_than_is_taken_is_asked_for_fewer_heights() {
        let sought = |answered, cut| Sought { answered, cut, ..Sought::default() };
        assert_eq!(span_after(OBSERVE_BLOCKS, &sought(0, true)), OBSERVE_BLOCKS / 2);
        assert_eq!(span_after(1, &sought(0, true)), 1);
        assert_eq!(span_after(8, &sought(0, false)), 8, "silence is none of it");
        assert_eq!(span_after(8, &sought(1, true)), 16, "one that floods slows nobody down");
        assert_eq!(span_after(OBSERVE_BLOCKS, &sought(1, false)), OBSERVE_BLOCKS);
    }
}
