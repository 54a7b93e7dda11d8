//! From the id of a transaction to a bundle in the depot: several at once, within a bound of bytes.
//!
//! A header is believed for its signature, data for the root in it; who delivers something else is asked again later and somebody else now
//! ([`crate::client`]). That there is none is believed of as many as any other fact: silence is no answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use ao_types::transaction::Transaction;
use ao_types::{Id, NetworkId};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Semaphore;

use super::depot::{Depot, DepotError};
use crate::client::{Client, Header, Nothing, signed_data};
use crate::limits::{
    READ_BACK_BYTES_MAX, RECOVER_FETCH_AT_ONCE, RECOVER_FETCH_BYTES, RECOVER_MISSING_MAX, RECOVER_REST, RECOVER_RESTS_MAX,
};
use crate::pipeline::Known;
use crate::records::NETWORK_TAG;

/// Why fetching does not go on. What was fetched is kept.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Where bundles are kept.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// More is missing than is worth remembering: no gateway has the data.
    #[error("{RECOVER_MISSING_MAX} transactions are missing")]
    Missing,
}

/// What was fetched, and what nobody had.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Transactions that are nowhere, as enough gateways say: whoever named them may have invented them.
    pub unknown: BTreeSet<Id>,
    /// How many more of those there were than are held. Whoever knows that they exist has lost sight of them.
    pub forgotten: u64,
    /// Transactions that carry a bundle whose data nobody had, or had right, and those of which too few gateways said anything.
    pub missing: BTreeSet<Id>,
    /// Transactions that carry no bundle of this network.
    pub foreign: BTreeSet<Id>,
    /// Bundles in the depot that were not there before, by number.
    pub new: Vec<u32>,
    /// Their bytes.
    pub bytes: u64,
}

enum Got {
    Bundle(Box<Transaction>, Bytes),
    Foreign,
    Unknown,
    Unanswered,
    Missing,
}

/// Fetches every transaction that carries a bundle, of this network where one is named, and that the depot does not have. `progress` hears
/// of each that is done. Gateways that want to be left alone are waited for a while: one of which too few say anything counts as missing.
///
/// # Errors
/// It cannot go on.
pub async fn fetch(
    client: &Client,
    network: Option<&NetworkId>,
    ids: impl IntoIterator<Item = Id>,
    depot: &mut Depot,
    progress: impl FnMut(&Fetched),
) -> Result<Fetched, FetchError> {
    fetch_resting(client, network, ids, depot, (RECOVER_RESTS_MAX, progress)).await
}

/// The same without waiting.
///
/// # Errors
/// It cannot go on.
pub async fn fetch_now(
    client: &Client,
    network: Option<&NetworkId>,
    ids: impl IntoIterator<Item = Id>,
    depot: &mut Depot,
) -> Result<Fetched, FetchError> {
    fetch_resting(client, network, ids, depot, (0, |_| ())).await
}

async fn fetch_resting(
    client: &Client,
    network: Option<&NetworkId>,
    ids: impl IntoIterator<Item = Id>,
    depot: &mut Depot,
    (rests_max, mut progress): (u32, impl FnMut(&Fetched)),
) -> Result<Fetched, FetchError> {
    let known: BTreeSet<Id> = depot.roots().map(|(_, id)| id).collect();
    let mut wanted: BTreeSet<Id> = ids.into_iter().filter(|id| !known.contains(id)).collect();
    let room = Arc::new(Semaphore::new(kib(RECOVER_FETCH_BYTES) as usize));
    let one = |id: Id| {
        let room = room.clone();
        async move { (id, one(client, network, id, &room).await) }
    };
    let (mut fetched, mut rests) = (Fetched::default(), 0);
    loop {
        let (asked, mut unanswered) = (wanted.len(), BTreeSet::new());
        let mut arriving = futures::stream::iter(wanted).map(one).buffer_unordered(RECOVER_FETCH_AT_ONCE);
        while let Some((id, got)) = arriving.next().await {
            match got {
                Got::Unanswered => {
                    unanswered.insert(id);
                    continue;
                }
                Got::Bundle(header, bytes) => {
                    fetched.bytes += bytes.len() as u64;
                    let number = depot.put(&header, bytes)?;
                    fetched.new.push(number);
                }
                Got::Foreign => drop(fetched.foreign.insert(id)),
                // Invented ones cost a question each, and nothing more: whoever names many keeps nobody from the others.
                Got::Unknown if fetched.unknown.len() >= RECOVER_MISSING_MAX => fetched.forgotten += 1,
                Got::Unknown => drop(fetched.unknown.insert(id)),
                Got::Missing => fetched.miss(id)?,
            }
            progress(&fetched);
        }
        if unanswered.is_empty() {
            break;
        }
        // As long as some are answered it goes on.
        rests = if unanswered.len() < asked { 0 } else { rests + 1 };
        if rests_max == 0 || rests > rests_max || !client.rest(RECOVER_REST).await {
            unanswered.into_iter().try_for_each(|id| fetched.miss(id))?;
            progress(&fetched);
            break;
        }
        wanted = unanswered;
    }
    // By id, whoever answered first.
    fetched.new.sort_unstable();
    Ok(fetched)
}

impl Fetched {
    fn miss(&mut self, id: Id) -> Result<(), FetchError> {
        if self.missing.len() >= RECOVER_MISSING_MAX {
            return Err(FetchError::Missing);
        }
        self.missing.insert(id);
        Ok(())
    }
}

/// Which of these count as missing: those in a block, and those of which nobody can say. Anybody may post a header and upload nothing; before
/// somebody has paid for it in a block it is a claim, and nothing waits for it.
pub async fn mined(client: &Client, missing: BTreeSet<Id>, tip: u64) -> BTreeSet<Id> {
    let looks = futures::stream::iter(missing).map(|id| async move { (id, client.known(&id, tip).await) });
    let known: Vec<(Id, Option<Known>)> = looks.buffer_unordered(RECOVER_FETCH_AT_ONCE).collect().await;
    let held = |known: &Option<Known>| !matches!(known, Some(Known::Pending | Known::Unknown));
    known.into_iter().filter(|(_, known)| held(known)).map(|(id, _)| id).collect()
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

async fn one(client: &Client, network: Option<&NetworkId>, id: Id, room: &Semaphore) -> Got {
    let header = match client.looked_up(&id).await {
        Ok(Header::Signed(header)) => header,
        Ok(Header::Foreign) => return Got::Foreign,
        Err(Nothing::Nowhere) => return Got::Unknown,
        Err(Nothing::Unanswered) => return Got::Unanswered,
    };
    let Some((root, size)) = bundle_of(&header, network) else { return Got::Foreign };
    // Larger than any bundle that is read: nobody can make it fit.
    if size > READ_BACK_BYTES_MAX as u64 {
        return Got::Missing;
    }
    let weight = kib(size).min(kib(RECOVER_FETCH_BYTES));
    let Ok(_held) = room.acquire_many(weight).await else { return Got::Missing };
    client.data(&id, &root, size, &[]).await.map_or(Got::Missing, |bytes| Got::Bundle(header, bytes))
}

/// Root and size of a bundle; nothing for other transactions.
fn bundle_of(header: &Transaction, network: Option<&NetworkId>) -> Option<([u8; 32], u64)> {
    let has = |name: &str, value: &[u8]| header.tags.iter().any(|tag| tag.name.0 == name.as_bytes() && tag.value.0 == value);
    let ours = network.is_none_or(|network| has(NETWORK_TAG, network.to_string().as_bytes()));
    let bundle = has("Bundle-Format", b"binary") && has("Bundle-Version", b"2.0.0");
    signed_data(header).filter(|_| ours && bundle)
}
