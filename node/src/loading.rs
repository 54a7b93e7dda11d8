//! Logs of the older network's processes (`ao.TN.1`), read from their schedulers and from gateways into this node's store.
//!
//! ```text
//!   schedulers (pages) ─┐
//!   gateways (indexes) ─┴▶ source: items put together, every signature and id checked
//!                              │ window of slots
//!                              ▼
//!                         log: the scheduler's assignments only, no gap, along the hash chain
//!                              │
//!                              ▼
//!                         rows of confirmed slots ─▶ an ordinary start evaluates and serves them
//!                              │ it has cron groups
//!                              ▼
//!                         blocks: Arweave's, linked, from well before the log to well behind it
//! ```
//!
//! Owns which slots are believed and what is said about them. Trusts the process id that the operator names, and with it the scheduler that
//! the process's own item names; nothing that a scheduler's node or a gateway says besides. Refuses to evaluate, to skip a slot, and to
//! order: the log stays its scheduler's, and whoever sends a message here is told where to (`shell::verify`).
//!
//! What is in the store is at any moment a log from its first slot on without a gap: stopped and called again, it goes on behind it.

use std::collections::BTreeMap;

use ao_arweave::client::Client;
use ao_arweave::limits::INDEX_IDS;
use ao_arweave::recover::{RecoverError, fetch};
use ao_storage::Store;
use ao_storage::schema::{self, LoadedRow};
use ao_types::message::OnBoot;
use ao_types::scheduler_location::SchedulerLocation;
use ao_types::{Address, Assignment, DataItem, Id, Process, Slot, Verified};
use futures::StreamExt as _;

mod blocks;
mod log;
mod rows;
mod source;
pub mod states;

use log::{One, Untrue};
use rows::Rows;
use source::Source;

use crate::core::cron::Point;
use crate::limits::{CHAINED_FROM_HEIGHT, LOAD_BLOCKS_MAX, LOAD_FETCH_AT_ONCE, LOAD_SLOTS};
use crate::shell::facts;

/// What is loaded, from where, into what.
pub struct Setup<'a> {
    /// Whom to ask.
    pub client: Client,
    /// What gets the rows.
    pub store: &'a dyn Store,
    /// The process.
    pub process: Id,
    /// Up to this slot; `None`: as far as it goes.
    pub to: Option<Slot>,
    /// Where its scheduler is reached, as the operator says.
    pub url: Option<String>,
    /// This node's scheduler: its processes are not read from others.
    pub own: Address,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Slots.
    Slots,
    /// Blocks that cron messages depend on.
    Blocks,
}

/// So many were read, of so many; `None`: nobody has said how many there are.
pub type Told<'a> = &'a mut dyn FnMut(Part, u64, Option<u64>);

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whose word the log's order is.
    pub scheduler: Address,
    /// Its code.
    pub module: Id,
    /// Where its scheduler is reached, if anybody said.
    pub url: Option<String>,
    /// The first slot that was not in the store.
    pub from: Slot,
    /// The last slot that was asked for, and is in the store now: without a bound, the last that is.
    pub last: Slot,
    /// Slots that were added.
    pub added: u64,
    /// Arweave's blocks that were added, for its cron messages.
    pub blocks: u64,
    /// Items whose signature was checked and holds.
    pub signatures: u64,
    /// Added slots whose hash chain follows from the slot before.
    pub linked: u64,
    /// Slots whose chain does not, of a process older than the rule; all of them, not only those added.
    pub unlinked: u64,
    /// Slots whose time or height is below that of the slot before; all of them.
    pub backwards: u64,
    /// Pairs of assignments with which the scheduler contradicted itself, which the hash chain decided.
    pub contradictions: Vec<(Id, Id)>,
}

/// Why the log is not here, or not all of it. What was written before stays and holds.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody shows what is needed, and somebody answered. (retry, with others)
    #[error("{what} is shown by nobody who was asked")]
    Missing {
        /// What.
        what: String,
    },
    /// Nobody answers. (retry)
    #[error("nobody who was asked for {what} answers")]
    Nobody {
        /// For what.
        what: String,
    },
    /// What is shown does not hold: a signature, or the order that the scheduler signed. (reject)
    #[error("{what} is shown, and does not hold: {why}")]
    Untrue {
        /// What.
        what: String,
        /// Why not.
        why: String,
    },
    /// The scheduler's signed word goes against itself, or against what is in the store. (reject)
    #[error(transparent)]
    Log(#[from] Untrue),
    /// It is no process, or one of another protocol. (reject)
    #[error("{id} is no process that can be loaded: {why}")]
    NotAProcess {
        /// The item.
        id: Id,
        /// Why.
        why: String,
    },
    /// Its cron messages depend on more blocks than are kept. (reject)
    #[error("process {process} has cron groups, and its log lies beside more than {max} of Arweave's blocks, which they depend on")]
    Blocks {
        /// The process.
        process: Id,
        /// Blocks that are kept of one.
        max: u64,
    },
    /// This node orders it. (reject)
    #[error("this node's own scheduler orders process {0}")]
    Own(Id),
    /// The store is not whole. (reject)
    #[error("{0} is being recovered into this data directory")]
    Recovering(String),
    /// The store's.
    #[error(transparent)]
    Store(#[from] ao_storage::Error),
    /// Bundles cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::FetchError),
    /// Bundles cannot be read.
    #[error(transparent)]
    Bundle(#[from] RecoverError),
    /// A worker thread ended.
    #[error("a thread that checks signatures ended")]
    Worker,
}

/// Loads a log, or what the store does not have of it.
///
/// # Errors
/// Whatever keeps it from going on.
pub async fn load(setup: Setup<'_>, told: Told<'_>) -> Result<Outcome, Error> {
    let Setup { client, store, process, to, url, own } = setup;
    if let Some(what) = schema::RECOVERING.get(store)? {
        return Err(Error::Recovering(what));
    }
    let source = Source::new(client.clone());
    let subject = Subject::find(&source, store, process).await?;
    if subject.scheduler == own {
        return Err(Error::Own(process));
    }
    let known = schema::LOADED.get(store, &process)?.unwrap_or(LoadedRow { url: None, unlinked: 0, backwards: 0 });
    // Nothing depends on it but what a sender is told.
    let url = match url {
        Some(url) => Some(url),
        None => located(&source, &subject.scheduler).await.or_else(|| known.url.clone()),
    };
    let mut rows = Rows::new(store, process, LoadedRow { url, ..known })?;
    let mut tail = rows.tail()?;
    let from = tail.next;
    let mut contradictions = Vec::new();
    let newest = source.newest(&process, &subject.scheduler).await;
    let end = to.map_or(newest, |to| newest.map(|newest| newest.min(to)));
    let (mut more, mut open) = (to.is_none_or(|to| tail.next <= to), false);
    while more {
        // One slot more than is taken: where the last one was signed more often than once, the slot behind it says which of them counts.
        let wanted = to.map_or(LOAD_SLOTS, |to| (to.0 - tail.next.0).saturating_add(2).min(LOAD_SLOTS as u64) as usize);
        let window = source.window(&process, &subject.scheduler, tail.next, wanted, newest).await;
        let first_height = rows.first_height()?.or_else(|| window.first_height(tail.next));
        let chained = first_height.is_none_or(|height| height >= CHAINED_FROM_HEIGHT);
        let mut chosen = log::choose(&tail, chained, window.known);
        open = chosen.open;
        if let Some(to) = to {
            chosen.cut(to);
        }
        if chosen.entries.is_empty() {
            if let Some(untrue) = chosen.end {
                return Err(untrue.into());
            }
            if !window.answered {
                return Err(Error::Nobody { what: format!("slot {} of the log", tail.next) });
            }
            // Of a slot that is left open the next one is missing, if there is one.
            let missing = if chosen.open { tail.next.next() } else { tail.next };
            if chosen.held || newest.is_some_and(|newest| newest >= missing) {
                return Err(Error::Missing { what: format!("the assignment of slot {missing}") });
            }
            break;
        }
        if tail.next == Slot(0) {
            begin(&source, &mut rows, &subject, chosen.entries.first().map(|one| &one.assignment)).await?;
        }
        fill(&source, store, &mut rows, &subject, (window.items, &chosen.entries)).await?;
        tail = chosen.tail;
        contradictions.extend(chosen.entries.iter().filter_map(|one| one.contradiction));
        told(Part::Slots, tail.next.0, end.map(|end| end.0 + 1));
        if let Some(untrue) = chosen.end {
            return Err(untrue.into());
        }
        more = (window.more || chosen.held || chosen.open || !window.answered) && to.is_none_or(|to| tail.next <= to);
    }
    let last = tail.next.0.checked_sub(1).map(Slot).ok_or_else(|| Error::Missing { what: format!("the log of process {process}") })?;
    // Asked for, and not there: the operator learns it.
    if let Some(to) = to.filter(|to| last < *to) {
        let next = tail.next;
        let what = if open {
            format!("what follows on slot {next}, signed more often than once")
        } else {
            format!("the assignment of slot {next}")
        };
        return Err(Error::Missing { what: format!("{what}, on the way to slot {to},") });
    }
    rows.flush()?;
    let LoadedRow { url, unlinked, backwards } = rows.row;
    let end = to.map_or(last, |to| last.min(to));
    let blocks = if subject.view.cron.is_empty() { 0 } else { blocks::fill(&client, store, process, end, LOAD_BLOCKS_MAX, told).await? };
    Ok(Outcome {
        scheduler: subject.scheduler,
        module: subject.view.module,
        url,
        from,
        last: end,
        blocks,
        added: tail.next.0 - from.0,
        signatures: source.signatures(),
        linked: rows.linked,
        unlinked,
        backwards,
        contradictions,
    })
}

/// Writes slots with their items. Those before an item that is not to be had are written all the same: whoever calls again goes on there.
async fn fill(
    source: &Source,
    store: &dyn Store,
    rows: &mut Rows<'_>,
    subject: &Subject,
    window: (BTreeMap<Id, Verified<DataItem>>, &[One]),
) -> Result<(), Error> {
    let filled = put_all(source, store, rows, subject, window).await;
    if rows.holds_slots() {
        rows.flush()?;
    }
    filled
}

/// Slots into the batch, in their order: with items that are in the store, that came along, or that gateways have.
async fn put_all(
    source: &Source,
    store: &dyn Store,
    rows: &mut Rows<'_>,
    subject: &Subject,
    (there, entries): (BTreeMap<Id, Verified<DataItem>>, &[One]),
) -> Result<(), Error> {
    for part in entries.chunks(INDEX_IDS) {
        let mut unknown = Vec::new();
        for one in part {
            let id = one.assignment.message();
            if id != subject.item.id() && !there.contains_key(&id) && !facts::known(store, &id)? {
                unknown.push(id);
            }
        }
        let shown = &source.shown(&unknown).await;
        let fetched = futures::stream::iter(part)
            .map(|one| {
                let there = &there;
                async move {
                    let (id, slot) = (one.assignment.message(), one.assignment.content().slot);
                    if id == subject.item.id() {
                        return Ok((one, subject.item.clone()));
                    }
                    match there.get(&id).cloned().map_or_else(|| facts::item(store, id), |item| Ok(Some(item)))? {
                        Some(item) => Ok((one, item)),
                        None => source.message(id, slot, shown).await.map(|item| (one, item)),
                    }
                }
            })
            .buffered(LOAD_FETCH_AT_ONCE);
        let mut fetched = std::pin::pin!(fetched);
        while let Some(got) = fetched.next().await {
            let (one, item): (&One, Verified<DataItem>) = got?;
            rows.put(one, &item)?;
        }
    }
    Ok(())
}

/// The process: its own item says everything else.
struct Subject {
    item: Verified<DataItem>,
    view: Process,
    scheduler: Address,
}

impl Subject {
    async fn find(source: &Source, store: &dyn Store, process: Id) -> Result<Self, Error> {
        let not = |why: String| Error::NotAProcess { id: process, why };
        let item = match facts::item(store, process)? {
            Some(item) => item,
            None => source.one(process, "the process").await?,
        };
        let view = Process::read(&item).map_err(|error| not(error.to_string()))?;
        if view.variant != ao_types::message::VARIANT_TN1 {
            return Err(not(format!("its variant is {}, and only {} is read", view.variant, ao_types::message::VARIANT_TN1)));
        }
        let scheduler = view.scheduler.parse().map_err(|_| not(format!("its scheduler is `{}`, which is no address", view.scheduler)))?;
        Ok(Self { item, view, scheduler })
    }
}

/// What comes before the first slot: the items without which nothing can be evaluated, and the process where its log does not begin with it.
async fn begin(source: &Source, rows: &mut Rows<'_>, subject: &Subject, first: Option<&Assignment>) -> Result<(), Error> {
    let Some(first) = first else { return Ok(()) };
    let (content, process) = (first.content(), subject.item.id());
    let at = Point { timestamp_ms: content.timestamp_ms, block_height: content.block_height };
    let boot = subject.view.on_boot.and_then(|boot| if let OnBoot::Item(boot) = boot { Some(boot) } else { None });
    for (id, what) in [(Some(subject.view.module), "the module"), (boot, "the item that it boots from")] {
        let Some(id) = id.filter(|id| *id != process) else { continue };
        if !rows.has(&id)? {
            rows.put_item(&source.one(id, what).await?, at)?;
        }
    }
    if first.message() != process {
        // §5.3: the process is evaluated first all the same, at the time and height of its own block.
        let born = source.block_of(&process).await?;
        rows.put_process(&subject.item, &subject.view, born)?;
    }
    Ok(())
}

/// Where a scheduler says that it is reached.
async fn located(source: &Source, scheduler: &Address) -> Option<String> {
    let found = source.locations(scheduler).await;
    found.iter().find_map(|item| SchedulerLocation::read(item).ok()).map(|location| location.url)
}

/// Assignments and items of a span of slots.
pub(crate) struct Window {
    /// Signed by the scheduler, for this process.
    pub known: BTreeMap<Slot, Vec<Assignment>>,
    /// What came along.
    pub items: BTreeMap<Id, Verified<DataItem>>,
    /// Whether there may be slots behind it.
    pub more: bool,
    /// Whether those answered who would know of more: where it is empty, only then the log ends here.
    pub answered: bool,
}

impl Window {
    fn first_height(&self, first: Slot) -> Option<u64> {
        self.known.get(&first)?.iter().map(|assignment| assignment.content().block_height).min()
    }
}

#[cfg(test)]
mod tests;
