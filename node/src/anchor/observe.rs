//! What other nodes wrote: their processes count as anchored here too, once Arweave shows it.
//!
//! No index is believed, and no gateway. An index names transactions; one counts when enough gateways show it in a block, its data has the
//! root of its header, and what a record in it names is there and is, byte by byte, what stands here. Records are those of the network's
//! schedulers: what others write costs one look. Deep enough, it raises levels; before, it says only that somebody is at it ([`Observer::claimed`]).
//!
//! Owns the level of processes that others order, and up to where their logs need nobody else to anchor them. Those of own ones follow from
//! the pipeline ([`super::keeper`]). Refuses to write anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_arweave::client::{Client, Header, signed_data};
use ao_arweave::pipeline::Known;
use ao_arweave::recover::seek::{self, Sought};
use ao_storage::schema::{self, AnchorChainRow, AnchorHead};
use ao_storage::{Durability, Error, Store, WriteBatch};
use ao_types::{Address, Id, NetworkId, Slot};

use super::compare::{Here, Part, Reading, compare};
use super::keeper::{Signed, Told};
use crate::limits::{OBSERVE_BLOCKS, OBSERVE_FIRST_BLOCKS, OBSERVE_HITS_MAX, OBSERVE_TRIES_MAX, OBSERVED_MAX};
use crate::shell::digests::Digests;

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
    digests: Arc<Digests>,
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
        (store, digests): (Arc<dyn Store>, Arc<Digests>),
        network: NetworkId,
        (own, schedulers, signed): (Address, Arc<BTreeSet<Address>>, Signed),
        confirmations: u64,
        told: Told,
    ) -> Self {
        let (span, observed) = (OBSERVE_BLOCKS, BTreeMap::new());
        digests.keep();
        Self {
            client,
            store,
            digests,
            network,
            own,
            schedulers,
            signed,
            confirmations,
            told,
            next: None,
            span,
            observed,
            early: Vec::new(),
        }
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
        let (store, digests, own, schedulers) = (self.store.clone(), self.digests.clone(), self.own, self.schedulers.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let here = Here { store: &*store, digests: &digests, own: &own };
            compare(here, &schedulers, bytes)
        });
        let reading = reading.await;
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
