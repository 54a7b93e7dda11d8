//! Arweave's blocks around a log with cron groups: heights, hashes and times, which its cron messages depend on (`protocol.md`, section 11;
//! `arweave.md`, section 10.2, step 6).
//!
//! ```text
//!   times of the log ─▶ the last block well before them ─▶ windows of blocks, each linked to the one before ─▶ until well behind them
//! ```
//!
//! Owns which blocks are needed and that they are one chain. What two gateways say alike is believed of a block, as anywhere; where one is
//! missing nothing behind it is taken, and what is there stays: whoever calls again goes on behind it. Only blocks so deep that no fork
//! reaches them count. Where the first one is, the chain alone decides: what the scheduler says of heights is not used.

use ao_arweave::client::Client;
use ao_arweave::client::said::Block;
use ao_arweave::limits::{ANCHOR_BLOCKS, INDEX_PAGE};
use ao_storage::schema::{self, BlockRow};
use ao_storage::{Direction, Durability, Store, WriteBatch};
use ao_types::{Id, Slot};

use super::{Error, Part, Told};
use crate::chain::Blocks as _;
use crate::limits::LOAD_SLOTS;
use crate::shell::blocks::{Span, before};

/// Reads what is missing of the blocks that slots up to `last` need, `max` with those that are there; how many were. `told`: blocks that are there, of about so many.
///
/// # Errors
/// Whatever keeps them from being there, all of them.
pub async fn fill(client: &Client, store: &dyn Store, process: Id, last: Slot, max: u64, told: Told<'_>) -> Result<u64, Error> {
    let Some((earliest_ms, latest_ms)) = times(store, process, last)? else { return Ok(0) };
    if Span::around(store, earliest_ms, max)?.covers(earliest_ms, latest_ms.saturating_add(1)) {
        return Ok(0);
    }
    let nobody = |what: &str| Error::Nobody { what: what.to_owned() };
    let tip = client.tip().await.ok_or_else(|| nobody("the height of the chain"))?;
    let settled = tip.saturating_sub(ANCHOR_BLOCKS);
    let first = first(client, settled, earliest_ms).await?;
    let of = settled_by(client, first, settled, latest_ms).await?;
    // What lies before it, of another log, is a part of the same chain, or nothing is.
    let last_known = first.checked_sub(1).map(|height| schema::BLOCKS.get(store, &height)).transpose()?.flatten();
    let fresh = last_known.is_some();
    let mut chain = Chain { store, wanted_ms: latest_ms.saturating_add(1), next: first, last: last_known, latest_ms: 0, fresh, read: 0 };
    while chain.goes_on()? {
        if chain.next > settled {
            let what = format!("block {}, which no fork can take back, and which lies well behind slot {last}", chain.next);
            return Err(Error::Missing { what });
        }
        let left = max.saturating_sub(chain.next - first);
        if left == 0 {
            return Err(Error::Blocks { process, max });
        }
        let count = (settled - chain.next + 1).min(INDEX_PAGE as u64).min(left);
        chain.window(client, count).await?;
        told(Part::Blocks, chain.next - first, Some(of - first + 1));
    }
    Ok(chain.read)
}

/// The earliest and the latest time of slots up to `last`: they may run backwards.
fn times(store: &dyn Store, process: Id, last: Slot) -> Result<Option<(u64, u64)>, Error> {
    let (mut next, mut times) = (Slot(0), None);
    while next <= last {
        let rows = schema::SCHEDULE.range(store, &(process, next), &(process, last.next()), Direction::Forward, LOAD_SLOTS)?;
        let Some(((_, end), _)) = rows.last() else { break };
        next = end.next();
        for (_, row) in &rows {
            let (low, high) = times.unwrap_or((row.timestamp_ms, row.timestamp_ms));
            times = Some((row.timestamp_ms.min(low), row.timestamp_ms.max(high)));
        }
    }
    Ok(times)
}

/// A block so long before a time that no earlier one is later than it, as late as bisection finds one.
async fn first(client: &Client, settled: u64, earliest_ms: u64) -> Result<u64, Error> {
    let (mut found, mut low, mut end) = (None, 0, settled.saturating_add(1));
    while low < end {
        let middle = low + (end - low) / 2;
        match looked_at(client, middle).await? {
            Some(block) if block.timestamp.saturating_mul(1000) <= before(earliest_ms) => (found, low) = (Some(middle), middle + 1),
            Some(_) => end = middle,
            // A chain may begin above height 0.
            None => low = middle + 1,
        }
    }
    found.ok_or_else(|| Error::Missing { what: "a block from before the first slot".to_owned() })
}

/// About where blocks end that are needed, for whoever waits.
async fn settled_by(client: &Client, first: u64, settled: u64, latest_ms: u64) -> Result<u64, Error> {
    let (mut low, mut end) = (first, settled);
    while low < end {
        let middle = low + (end - low) / 2;
        let behind = looked_at(client, middle).await?.is_some_and(|block| before(block.timestamp.saturating_mul(1000)) >= latest_ms);
        if behind { end = middle } else { low = middle + 1 }
    }
    Ok(low)
}

/// The block of a height; `None`: there is none.
async fn looked_at(client: &Client, height: u64) -> Result<Option<Block>, Error> {
    match client.block(height).await {
        Some(block) => Ok(Some(block)),
        None if client.has_block(height).await == Some(false) => Ok(None),
        None => Err(Error::Missing { what: format!("block {height}") }),
    }
}

/// Blocks as far as they are in the store.
struct Chain<'a> {
    store: &'a dyn Store,
    /// All blocks are needed that may be before this time.
    wanted_ms: u64,
    /// The first height that was not looked at.
    next: u64,
    /// The block before it.
    last: Option<BlockRow>,
    /// The latest time up to there.
    latest_ms: u64,
    /// Whether the one before was written now: then what follows is compared with what is shown, also where it is here already.
    fresh: bool,
    read: u64,
}

impl Chain<'_> {
    /// Whether more blocks are needed: for the log, or to see that those of another log that follow are of the same chain.
    fn goes_on(&self) -> Result<bool, Error> {
        Ok(before(self.latest_ms) < self.wanted_ms || self.fresh && schema::BLOCKS.contains(self.store, &self.next)?)
    }

    /// The next blocks, of the store where they are there, and what is new into it; no further than is needed.
    async fn window(&mut self, client: &Client, count: u64) -> Result<(), Error> {
        let end = self.next + count;
        let rows = schema::BLOCKS.range(self.store, &self.next, &end, Direction::Forward, INDEX_PAGE)?;
        let mut batch = WriteBatch::default();
        let mut known = rows.into_iter().peekable();
        let mut shown = None;
        while self.next < end && self.goes_on()? {
            let height = self.next;
            let here = known.next_if(|(at, _)| *at == height).map(|(_, row)| row);
            if let Some(row) = here.clone().filter(|_| !self.fresh) {
                self.take(row)?;
                continue;
            }
            if shown.is_none() {
                shown = Some(client.span(height, usize::try_from(end - height).unwrap_or(INDEX_PAGE)).await);
            }
            let Some(block) = shown.as_mut().and_then(|shown| shown.remove(&height)) else {
                self.store.write(batch, Durability::Synced)?;
                return Err(Error::Missing { what: format!("block {height}") });
            };
            let row = match self.linked(&block, here.as_ref()) {
                Ok(row) => row,
                Err(error) => {
                    self.store.write(batch, Durability::Synced)?;
                    return Err(error);
                }
            };
            if here.is_none() {
                schema::BLOCKS.put(&mut batch, &height, &row);
                self.read += 1;
            }
            self.take(row)?;
            // What follows on one that was here before was linked to it then.
            self.fresh = here.is_none();
        }
        Ok(self.store.write(batch, Durability::Synced)?)
    }

    /// A block that follows on the one before, and is the one that is here, if any is.
    fn linked(&self, block: &Block, here: Option<&BlockRow>) -> Result<BlockRow, Error> {
        let untrue = |why: &str| Error::Untrue { what: format!("block {}", block.height), why: why.to_owned() };
        if self.last.as_ref().is_some_and(|last| last.id != block.previous) {
            return Err(untrue("it does not follow on the block before it"));
        }
        let row = BlockRow { timestamp_ms: block.timestamp.saturating_mul(1000), id: block.hash.clone() };
        if here.is_some_and(|here| *here != row) {
            return Err(untrue("another one was shown of this height before"));
        }
        if row.timestamp_ms < before(self.latest_ms) {
            return Err(untrue("its time lies further before that of a block before it than blocks' times do"));
        }
        Ok(row)
    }

    fn take(&mut self, row: BlockRow) -> Result<(), Error> {
        self.latest_ms = self.latest_ms.max(row.timestamp_ms);
        self.last = Some(row);
        self.next = self.next.checked_add(1).ok_or_else(|| Error::Missing { what: "a chain of this height".to_owned() })?;
        Ok(())
    }
}
