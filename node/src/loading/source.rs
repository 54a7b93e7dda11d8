//! Where assignments and items of a foreign log come from: pages of its scheduler, indexes of gateways, bundles where nothing else helps.
//!
//! Every source is asked and none believed. What a scheduler hides or garbles is asked of gateways by its slot, what cannot be put together
//! from what they show is read where it lies. What comes out is signed; which of it is the log is [`super::log`]'s business.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use ao_arweave::client::Client;
use ao_arweave::client::index::Wanted;
use ao_arweave::client::nodes::{Node, Nodes};
use ao_arweave::limits::INDEX_IDS;
use ao_arweave::pipeline::Known;
use ao_arweave::recover::depot::{Depot, Place};
use ao_arweave::recover::fetch::fetch_now;
use ao_arweave::recover::glean::glean;
use ao_arweave::recover::seek;
use ao_types::limits::{ITEM_BYTES_MAX, MODULE_BYTES_MAX};
use ao_types::{Address, Assignment, DataItem, Id, Slot, Verified};
use tokio::sync::Mutex;

use super::{Error, Window};
use crate::core::cron::Point;
use crate::limits::{LOAD_BUNDLES_MAX, LOAD_STATE_BYTES_MAX, LOAD_STATE_PAGES};

/// See the module.
pub struct Source {
    client: Client,
    signatures: AtomicU64,
    /// The bundle that was read last, and how many were: items of one log lie beside each other.
    carrier: Mutex<(Carrier, usize)>,
}

/// One bundle in memory.
struct Carrier {
    depot: Depot,
    places: HashMap<Id, Place>,
}

impl Source {
    /// Asks whom this client asks.
    pub fn new(client: Client) -> Self {
        let carrier = Carrier { depot: Depot::in_memory(), places: HashMap::new() };
        Self { client, signatures: AtomicU64::new(0), carrier: Mutex::new((carrier, 0)) }
    }

    /// Items whose signature was checked and holds.
    pub fn signatures(&self) -> u64 {
        self.signatures.load(Ordering::Relaxed)
    }

    fn count(&self, item: Verified<DataItem>) -> Verified<DataItem> {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        item
    }

    /// The newest slot that the scheduler is shown to have signed. A hint: where nobody shows any, the log may go on all the same.
    pub async fn newest(&self, process: &Id, scheduler: &Address) -> Option<Slot> {
        let nodes = self.client.newest_nodes(&assignments(process, scheduler, None)).await;
        let shown = nodes.found.values().flatten();
        let read = shown.filter_map(|node| self.assignment(node.shown.assemble(&[])?, process, scheduler));
        read.map(|assignment| assignment.content().slot).max()
    }

    /// Where a scheduler says that it is reached, the newest first.
    pub async fn locations(&self, scheduler: &Address) -> Vec<Verified<DataItem>> {
        let tags = vec![("Type".to_owned(), vec!["Scheduler-Location".to_owned()])];
        let wanted = Wanted { owners: vec![scheduler.to_string()], tags, ..Wanted::default() };
        let mut found: Vec<Node> = self.client.newest_nodes(&wanted).await.found.into_values().flatten().collect();
        found.sort_by_key(|node| std::cmp::Reverse(node.height.unwrap_or(u64::MAX)));
        let (mut items, mut fetched) = (Vec::new(), 0);
        for node in &found {
            // Such items say everything in their tags. Data is looked for a few times, so that forged ones do not keep anybody busy.
            let item = match node.shown.assemble(&[]) {
                Some(item) => Some(item),
                None if fetched < LOCATIONS_FETCHED => {
                    fetched += 1;
                    self.client.whole(&node.shown.id, std::slice::from_ref(node), ITEM_BYTES_MAX).await.0
                }
                None => None,
            };
            items.extend(item.filter(|item| item.address() == *scheduler));
        }
        items
    }

    /// States of a process as these owners published them, the newest first by what gateways show; nothing of it is checked.
    pub async fn states(&self, process: &Id, owners: &[Address]) -> Nodes {
        let tag = |name: &str, value: String| (name.to_owned(), vec![value]);
        let tags = vec![tag("Type", "Checkpoint".to_owned()), tag("Process", process.to_string())];
        let wanted = Wanted { owners: owners.iter().map(Address::to_string).collect(), tags, ..Wanted::default() };
        self.client.newest_pages(&wanted, LOAD_STATE_PAGES).await
    }

    /// One of them.
    pub async fn state(&self, id: Id, nodes: &Nodes) -> Result<Verified<DataItem>, Error> {
        self.carrier.lock().await.1 = 0;
        self.item(id, nodes, &format!("checkpoint {id}"), LOAD_STATE_BYTES_MAX).await
    }

    /// The scheduler's assignments of `count` slots from `from` on, as far as anybody shows them, and messages that came along. `end`: the
    /// newest slot that gateways show.
    pub async fn window(&self, process: &Id, scheduler: &Address, from: Slot, count: usize, end: Option<Slot>) -> Window {
        let past = from.0.saturating_add(count as u64);
        // Each window may read its own bundles.
        self.carrier.lock().await.1 = 0;
        let (known, items) = (BTreeMap::new(), BTreeMap::new());
        let mut window = Window { known, items, more: end.is_some_and(|end| end.0 >= past), answered: true };
        let pages = self.client.schedule(process, from.0.checked_sub(1).map(Slot), count).await;
        let mut unreadable = Vec::new();
        let mut answered = !pages.is_empty();
        for page in pages {
            window.more |= page.more && !page.edges.is_empty();
            for edge in page.edges {
                match edge.assignment.assemble(&[]) {
                    Some(item) => self.take(&mut window, item, process, scheduler, from.0..past),
                    None => unreadable.push(edge.assignment.id),
                }
                if let Some((shown, Some(text))) = edge.message
                    && let Some(item) = shown.assemble(text.as_bytes())
                {
                    window.items.insert(item.id(), self.count(item));
                }
            }
        }
        // Units that show no anchor show nothing that can be checked: gateways show the rest of it.
        unreadable.truncate(count);
        for ids in unreadable.chunks(INDEX_IDS) {
            let nodes = self.client.nodes(&Wanted { ids: ids.to_vec(), ..Wanted::default() }).await;
            answered &= nodes.answered > 0;
            self.take_all(&mut window, &nodes, process, scheduler, from.0..past);
        }
        let top = window.known.last_key_value().map_or(from.0, |(slot, _)| slot.0.saturating_add(1));
        let top = match end {
            Some(end) => top.max(end.0.saturating_add(1)).min(past),
            None if answered => top,
            None => past,
        };
        let missing: Vec<Slot> = (from.0..top).map(Slot).filter(|slot| !window.known.contains_key(slot)).collect();
        // Where a scheduler is named, it is whoever knows the end: a gateway has what is anchored, and that is later.
        if !self.client.schedulers().is_empty() {
            window.answered = answered;
        }
        for slots in missing.chunks(INDEX_IDS) {
            let nodes = self.client.nodes(&assignments(process, scheduler, Some(slots))).await;
            window.answered &= nodes.answered > 0 || answered;
            self.take_all(&mut window, &nodes, process, scheduler, from.0..past);
        }
        window.more |= past.checked_sub(1).is_some_and(|last| window.known.contains_key(&Slot(last)));
        window
    }

    fn take_all(&self, window: &mut Window, nodes: &Nodes, process: &Id, scheduler: &Address, slots: std::ops::Range<u64>) {
        for item in nodes.found.values().flatten().filter_map(|node| node.shown.assemble(&[])) {
            self.take(window, item, process, scheduler, slots.clone());
        }
    }

    fn take(&self, window: &mut Window, item: Verified<DataItem>, process: &Id, scheduler: &Address, slots: std::ops::Range<u64>) {
        let Some(assignment) = self.assignment(item, process, scheduler) else { return };
        let slot = assignment.content().slot;
        if slots.contains(&slot.0) {
            let here = window.known.entry(slot).or_default();
            if here.iter().all(|known| known.id() != assignment.id()) {
                here.push(assignment);
            }
        }
    }

    /// An assignment of this process by its scheduler; anybody else's word is none.
    fn assignment(&self, item: Verified<DataItem>, process: &Id, scheduler: &Address) -> Option<Assignment> {
        let assignment = Assignment::read(self.count(item)).ok()?;
        (assignment.content().process == *process && assignment.signer() == *scheduler).then_some(assignment)
    }

    /// What gateways show of items, a hundred at most.
    pub async fn shown(&self, ids: &[Id]) -> Nodes {
        if ids.is_empty() {
            return Nodes { answered: 1, ..Nodes::default() };
        }
        self.client.nodes(&Wanted { ids: ids.to_vec(), ..Wanted::default() }).await
    }

    /// One item of any size that an item may have.
    pub async fn one(&self, id: Id, what: &str) -> Result<Verified<DataItem>, Error> {
        let nodes = self.shown(&[id]).await;
        self.item(id, &nodes, &format!("{what} {id}"), MODULE_BYTES_MAX).await
    }

    /// A message, of which gateways show `nodes`.
    pub async fn message(&self, id: Id, slot: Slot, nodes: &Nodes) -> Result<Verified<DataItem>, Error> {
        self.item(id, nodes, &format!("item {id} of slot {slot}"), ITEM_BYTES_MAX).await
    }

    async fn item(&self, id: Id, nodes: &Nodes, what: &str, max: usize) -> Result<Verified<DataItem>, Error> {
        let known = nodes.found.get(&id).map_or(&[][..], Vec::as_slice);
        let (item, served) = self.client.whole(&id, known, max).await;
        if let Some(item) = item {
            return Ok(self.count(item));
        }
        if let Some(item) = self.bundled(&id).await? {
            return Ok(self.count(item));
        }
        let what = what.to_owned();
        if nodes.answered == 0 && known.is_empty() {
            return Err(Error::Nobody { what });
        }
        if served {
            let why = "what is served of it is not what was signed, and it is in no bundle that is named; a transaction is no item";
            return Err(Error::Untrue { what, why: why.to_owned() });
        }
        Err(Error::Missing { what })
    }

    /// An item out of a bundle that indexes say it lies in: byte by byte, whatever its tags look like.
    async fn bundled(&self, id: &Id) -> Result<Option<Verified<DataItem>>, Error> {
        let (carrier, read) = &mut *self.carrier.lock().await;
        if let Some(item) = carrier.item(id)? {
            return Ok(Some(item));
        }
        for root in seek::items(&self.client, &[*id]).await.carriers {
            if *read >= LOAD_BUNDLES_MAX {
                return Ok(None);
            }
            *read += 1;
            let Some(next) = Carrier::fetch(&self.client, root).await? else { continue };
            *carrier = next;
            if let Some(item) = carrier.item(id)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Time and height of the block that an item came with: as enough gateways say, or of the first bundle on the chain that has it in it.
    pub async fn block_of(&self, id: &Id) -> Result<Point, Error> {
        let what = || format!("the block of process {id}");
        let height = match self.client.height_of(id).await {
            Some(height) => Some(height),
            None => self.mined_at(id).await?,
        };
        let height = height.ok_or_else(|| Error::Missing { what: what() })?;
        let block = self.client.block(height).await.ok_or_else(|| Error::Nobody { what: what() })?;
        Ok(Point { timestamp_ms: block.timestamp.saturating_mul(1000), block_height: height })
    }

    /// Where indexes contradict each other the chain decides: a bundle is where blocks say, and holds what it holds. Of several the first:
    /// anybody may bring an item again.
    async fn mined_at(&self, id: &Id) -> Result<Option<u64>, Error> {
        let Some(tip) = self.client.tip().await else { return Ok(None) };
        let mut mined = Vec::new();
        for root in seek::items(&self.client, &[*id]).await.carriers {
            if let Some(Known::Mined(place)) = self.client.known(&root, tip).await {
                mined.push((place.height, root));
            }
        }
        mined.sort_unstable();
        for (height, root) in mined.into_iter().take(LOAD_BUNDLES_MAX) {
            if let Some(carrier) = Carrier::fetch(&self.client, root).await?
                && carrier.item(id)?.is_some()
            {
                return Ok(Some(height));
            }
        }
        Ok(None)
    }
}

impl Carrier {
    /// The bundle of this transaction, if it is one and is to be had.
    async fn fetch(client: &Client, root: Id) -> Result<Option<Self>, Error> {
        let mut depot = Depot::in_memory();
        let Some(number) = fetch_now(client, None, [root], &mut depot).await?.new.first().copied() else { return Ok(None) };
        let bytes = depot.root(number).map_err(fetch_failed)?;
        let gleaned = tokio::task::spawn_blocking(move || glean(number, bytes)).await.map_err(|_| Error::Worker)?;
        let places = gleaned.map(|gleaned| gleaned.items.into_iter().map(|(id, place, _)| (id, place)).collect());
        Ok(Some(Self { depot, places: places.unwrap_or_default() }))
    }

    fn item(&self, id: &Id) -> Result<Option<Verified<DataItem>>, Error> {
        self.places.get(id).map(|place| self.depot.item(place).map_err(fetch_failed)).transpose()
    }
}

/// Locations whose data is looked for.
const LOCATIONS_FETCHED: usize = 4;

fn fetch_failed(error: ao_arweave::recover::depot::DepotError) -> Error {
    Error::Fetch(error.into())
}

/// A scheduler's assignments of a process: of these slots, or of any.
fn assignments(process: &Id, scheduler: &Address, slots: Option<&[Slot]>) -> Wanted {
    let tag = |name: &str, values: Vec<String>| (name.to_owned(), values);
    let mut tags = vec![tag("Type", vec!["Assignment".to_owned()]), tag("Process", vec![process.to_string()])];
    tags.extend(slots.map(|slots| tag("Nonce", slots.iter().map(Slot::to_string).collect())));
    Wanted { owners: vec![scheduler.to_string()], tags, ..Wanted::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ao_types::{Signer as _, Wallet};

    use super::*;

    #[tokio::test]
    async fn each_window_may_read_its_own_bundles() {
        let source = Source::new(crate::anchor::loader(&[], &[], Arc::new(crate::shell::wall_clock)).unwrap());
        source.carrier.lock().await.1 = LOAD_BUNDLES_MAX;
        let window = source.window(&Id([1; 32]), &Wallet::ed25519_from_seed(&[1; 32]).address(), Slot(0), 1, None).await;
        assert_eq!((source.carrier.lock().await.1, window.answered), (0, false));
    }
}
