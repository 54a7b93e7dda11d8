//! Carriers out of indexes: which transactions carry what is looked for, as gateways tell it (`arweave.md`, section 10.2).
//!
//! What an index names is a hint: the transaction is fetched and read, and holds what it holds. What it does not name proves nothing, so
//! whoever needs more asks for it by id, and walks the blocks if nobody knows ([`super::scan`]).

use std::collections::{BTreeMap, BTreeSet};

use ao_types::{Address, Id, NetworkId};

use crate::client::Client;
use crate::client::index::{Budget, Hit, Indexed, Wanted};
use crate::limits::{INDEX_DEPTH_MAX, INDEX_HITS_MAX, INDEX_IDS, ITEMS_HITS_MAX};
use crate::records::{NETWORK_TAG, STATE};

/// Transactions that an index names, and how many gateways answered whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// Transactions that are bundles, or in which bundles lie that were named.
    pub carriers: BTreeSet<Id>,
    /// Gateways that answered everything; of several questions the least.
    pub answered: usize,
    /// Whether any gateway had more to show than was taken of it.
    pub cut: bool,
}

impl Sought {
    /// Both of them.
    pub fn and(mut self, other: Self) -> Self {
        self.carriers.extend(other.carriers);
        self.answered = self.answered.min(other.answered);
        self.cut |= other.cut;
        self
    }
}

/// Everything that carries the network's name: its transactions, and its records in bundles of others. At most `hits_max` entries are taken
/// of each gateway.
pub async fn network(client: &Client, network: &NetworkId, heights: (u64, u64), hits_max: usize) -> Sought {
    let tags = vec![(NETWORK_TAG.to_owned(), vec![network.to_string()])];
    sought(client, Wanted { tags, heights: Some(heights), ..Wanted::default() }, hits_max).await
}

/// Records of a process's ranges, whoever made them.
pub async fn ranges(client: &Client, process: &Id, heights: (u64, u64)) -> Sought {
    let tags = vec![("Type".to_owned(), vec!["Anchor-Range".to_owned()]), ("Process".to_owned(), vec![process.to_string()])];
    sought(client, Wanted { tags, heights: Some(heights), ..Wanted::default() }, INDEX_HITS_MAX).await
}

/// Records of a process's states, whoever made them.
pub async fn states(client: &Client, process: &Id, heights: (u64, u64)) -> Sought {
    let tags = vec![("Type".to_owned(), vec![STATE.to_owned()]), ("Process".to_owned(), vec![process.to_string()])];
    sought(client, Wanted { tags, heights: Some(heights), ..Wanted::default() }, INDEX_HITS_MAX).await
}

/// Assignments of a process by its scheduler.
pub async fn assignments(client: &Client, process: &Id, scheduler: &Address, heights: (u64, u64)) -> Sought {
    let tags = vec![("Type".to_owned(), vec!["Assignment".to_owned()]), ("Process".to_owned(), vec![process.to_string()])];
    let wanted = Wanted { owners: vec![scheduler.to_string()], tags, heights: Some(heights), ..Wanted::default() };
    sought(client, wanted, INDEX_HITS_MAX).await
}

/// Whatever these items lie in.
pub async fn items(client: &Client, ids: &[Id]) -> Sought {
    let mut all = Sought { answered: usize::MAX, ..Sought::default() };
    for part in ids.chunks(INDEX_IDS) {
        all = all.and(sought(client, Wanted { ids: part.to_vec(), ..Wanted::default() }, ITEMS_HITS_MAX).await);
    }
    all
}

/// A search, with one budget for each gateway: what one invents is asked of all, level by level, and costs no more than that.
async fn sought(client: &Client, wanted: Wanted, hits_max: usize) -> Sought {
    let mut budget = Budget::new(wanted.heights, hits_max);
    let Indexed { hits, mut bundles, answered, cut } = client.index(&wanted, &mut budget).await;
    let (mut carriers, mut seen): (BTreeSet<Id>, BTreeSet<Id>) = (transactions(hits).collect(), BTreeSet::new());
    // A bundle may lie in another: up to the transaction. An index that leads round in circles ends where it was before.
    for _ in 0..INDEX_DEPTH_MAX {
        bundles.retain(|bundle| seen.insert(*bundle));
        if bundles.is_empty() {
            break;
        }
        let mut above = Vec::new();
        for part in bundles.chunks(INDEX_IDS) {
            let found = client.index(&Wanted { ids: part.to_vec(), ..Wanted::default() }, &mut budget).await;
            carriers.extend(transactions(found.hits));
            above.extend(found.bundles);
        }
        // Whatever indexes say of one, it may be a transaction: that is found out by asking for it.
        carriers.extend(std::mem::replace(&mut bundles, above));
    }
    Sought { carriers, answered, cut }
}

/// What is not mined is not there, whatever an index shows.
fn transactions(hits: BTreeMap<Id, Hit>) -> impl Iterator<Item = Id> {
    hits.into_values().filter(|hit| hit.height.is_some() && hit.transaction).map(|hit| hit.id)
}
