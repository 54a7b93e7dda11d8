//! Finding and fetching: indexes first, where they help, then blocks.

use std::collections::BTreeSet;
use std::num::NonZero;

use ao_arweave::client::Client;
use ao_arweave::recover::Archive;
use ao_arweave::recover::depot::Depot;
use ao_arweave::recover::fetch::{FetchError, fetch, mined};
use ao_arweave::recover::glean::{Gleaned, glean};
use ao_arweave::recover::scan::{Scan, ScanError};
use ao_arweave::recover::seek::Sought;
use ao_types::{Id, NetworkId};
use futures::StreamExt as _;

use super::{Error, Look, Outcome, Progress, Stage, Told};
use crate::limits::{RECOVER_WAIT_FIRST, RECOVER_WAITS_MAX};

/// Waits for gateways that were asked too much, or failed: a little, then longer, then not any more.
struct Patience {
    waits_max: u32,
    waited: u32,
}

impl Patience {
    fn new(look: Look) -> Self {
        Self { waits_max: look.waits_max.min(RECOVER_WAITS_MAX), waited: 0 }
    }

    /// `None`: it is at an end. What came on in the meantime makes it new.
    async fn wait(&mut self, came_on: bool) -> Option<()> {
        self.waited = if came_on { 0 } else { self.waited + 1 };
        if self.waited > self.waits_max {
            return None;
        }
        tokio::time::sleep(RECOVER_WAIT_FIRST * 2_u32.pow(self.waited)).await;
        Some(())
    }
}

/// What was found so far.
pub struct Gather {
    /// Whom to ask.
    pub client: Client,
    /// Bundles.
    pub depot: Depot,
    /// What is in them.
    pub archive: Archive,
    /// Modules that need not be looked for.
    pub known_modules: Vec<Id>,
    /// Records of states are looked for, too.
    pub states: bool,
    /// Heights to look at.
    pub heights: (u64, u64),
    network: Option<NetworkId>,
    look: Look,
    scanned: bool,
    /// Transactions whose data nobody had.
    pub missing: BTreeSet<Id>,
    /// Transactions that carry nothing of ours.
    foreign: BTreeSet<Id>,
    bytes: u64,
}

impl Gather {
    /// Up to the chain's tip.
    pub async fn new(client: Client, depot: Depot, network: Option<NetworkId>, look: Look, known_modules: Vec<Id>) -> Result<Self, Error> {
        let mut patience = Patience::new(look);
        let tip = loop {
            match client.tip().await {
                Some(tip) => break tip,
                None => patience.wait(false).await.ok_or(Error::NoTip)?,
            }
        };
        Ok(Self {
            states: false,
            client,
            depot,
            archive: Archive::default(),
            known_modules,
            heights: (look.from, tip),
            network,
            look,
            scanned: false,
            missing: BTreeSet::new(),
            foreign: BTreeSet::new(),
            bytes: 0,
        })
    }

    /// What an interrupted recovery had fetched: every signature is checked again.
    pub async fn reread(&mut self, told: Told<'_>) -> Result<(), Error> {
        let numbers: Vec<u32> = self.depot.roots().map(|(number, _)| number).collect();
        self.read(numbers, told).await
    }

    /// Fetches transactions that an index named, and reads what they carry; whether there was anything new.
    pub async fn take(&mut self, sought: Sought, told: Told<'_>) -> Result<bool, Error> {
        self.fetch(sought.carriers, false, told).await
    }

    /// `exist`: blocks name them, so that one whose header nobody has is missing and not invented.
    async fn fetch(&mut self, ids: BTreeSet<Id>, exist: bool, told: Told<'_>) -> Result<bool, Error> {
        let ids: BTreeSet<Id> = ids.difference(&self.foreign).copied().collect();
        let of = ids.len() as u64;
        let fetched = fetch(&self.client, self.network.as_ref(), ids.clone(), &mut self.depot, |so_far| {
            let done = (so_far.new.len() + so_far.foreign.len() + so_far.missing.len() + so_far.unknown.len()) as u64;
            told(Progress { stage: Stage::Fetch, done, of });
        })
        .await?;
        // What blocks name is there: none of it may be lost sight of, or a log would end before its end.
        if exist && fetched.forgotten > 0 {
            return Err(FetchError::Missing.into());
        }
        self.missing.retain(|id| !ids.contains(id));
        // What an index names need not be in any block, and then nothing is missing without it.
        let missing = if exist { fetched.missing } else { mined(&self.client, fetched.missing, self.heights.1).await };
        self.missing.extend(missing);
        self.missing.extend(fetched.unknown.into_iter().filter(|_| exist));
        self.foreign.extend(fetched.foreign);
        let any = !fetched.new.is_empty();
        self.read(fetched.new, told).await?;
        Ok(any)
    }

    /// Reads every block once; whether that is still to be done, or brought anything.
    pub async fn blocks(&mut self, told: Told<'_>) -> Result<bool, Error> {
        if std::mem::replace(&mut self.scanned, true) {
            // What nobody had a moment ago, somebody may have now.
            let missing = self.missing.clone();
            return if missing.is_empty() { Ok(false) } else { self.fetch(missing, true, told).await };
        }
        let (from, tip) = (self.first_block().await?, self.heights.1);
        let (mut scan, mut found) = (Scan::at(from), BTreeSet::new());
        let of = tip.saturating_sub(from) + 1;
        let mut patience = Patience::new(self.look);
        loop {
            let before = scan.next;
            let read = scan.run(&self.client, tip, &mut found, |scan| told(Progress { stage: Stage::Blocks, done: scan.next - from, of }));
            match read.await {
                Ok(()) => break,
                // Gateways that failed are left alone for a moment.
                Err(error @ ScanError::NoBlock(_)) => patience.wait(scan.next > before).await.ok_or(error)?,
                Err(error) => return Err(error.into()),
            }
        }
        self.fetch(found, true, told).await
    }

    /// Whether blocks are read whatever indexes say.
    pub fn every_block(&self) -> bool {
        self.look.every_block
    }

    /// The lowest block that there is, not below the height that was asked for: chains need not begin at 0.
    async fn first_block(&self) -> Result<u64, Error> {
        let (mut low, mut high) = self.heights;
        if self.has_block(low).await? {
            return Ok(low);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.has_block(middle).await? { high = middle } else { low = middle + 1 }
        }
        Ok(high)
    }

    /// Whether there is a block. That nobody says so just now does not mean that there is none.
    async fn has_block(&self, height: u64) -> Result<bool, Error> {
        let mut patience = Patience::new(self.look);
        loop {
            match self.client.has_block(height).await {
                Some(known) => return Ok(known),
                None => patience.wait(false).await.ok_or(ScanError::NoBlock(height))?,
            }
        }
    }

    /// Checks what bundles hold, on every core, in the order of their numbers.
    async fn read(&mut self, numbers: Vec<u32>, told: Told<'_>) -> Result<(), Error> {
        let of = numbers.len() as u64;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut done = 0;
        let Self { depot, archive, bytes, .. } = self;
        let depot = &*depot;
        let mut gleaned = futures::stream::iter(numbers)
            .map(|number| async move {
                let root = depot.root(number)?;
                let size = root.len() as u64;
                let read = tokio::task::spawn_blocking(move || glean(number, root)).await.map_err(|_| Error::Worker)?;
                // Whoever paid may tag what he likes: it is passed over, like any other transaction that is none of ours.
                Ok::<(u64, Gleaned), Error>((size, read.unwrap_or_default()))
            })
            .buffered(cores);
        while let Some(read) = gleaned.next().await {
            let (size, read) = read?;
            archive.take(read)?;
            *bytes += size;
            done += 1;
            told(Progress { stage: Stage::Check, done, of });
        }
        Ok(())
    }

    /// What was read, in numbers.
    pub fn count(&self, outcome: &mut Outcome) {
        outcome.items = self.archive.len() as u64;
        outcome.refused = self.archive.refused();
        outcome.bundles = self.depot.len() as u64;
        outcome.bytes = self.bytes;
    }
}
