//! Spans of the chain: hashes, times and links of blocks, as enough gateways say.
//!
//! Indexes show a hundred blocks at once without what is in them, nodes of the chain one at a time. What indexes do not show, or not
//! alike, is asked for one by one. That blocks link to each other is for whoever keeps them to check.

use std::collections::BTreeMap;

use ao_types::transaction::Base64Url;
use futures::StreamExt as _;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::graphql::Page;
use super::said::{Agreed, Block, Said, agreed};
use super::{Client, Kind};
use crate::limits::{BLOCKS_AT_ONCE, INDEX_PAGE};

const QUERY: &str = "query($block:BlockFilter,$first:Int){blocks(height:$block,first:$first,sort:HEIGHT_ASC){\
    pageInfo{hasNextPage} edges{cursor node{id height timestamp previous}}}}";

/// A block as indexes show it.
#[derive(Deserialize)]
struct Node {
    id: Base64Url,
    height: u64,
    timestamp: u64,
    previous: Base64Url,
}

impl Client {
    /// Blocks of `count` heights from `from` on, [`INDEX_PAGE`] at most, by height; without their transactions. Those are missing of which
    /// too few sources say anything, or contradict each other, or say that there are none.
    pub async fn span(&self, from: u64, count: usize) -> BTreeMap<u64, Block> {
        let Some(last) = (count.min(INDEX_PAGE) as u64).checked_sub(1) else { return BTreeMap::new() };
        let heights = from..=from.saturating_add(last);
        let block = json!({ "min": from, "max": heights.end() });
        let question = json!({ "query": QUERY, "variables": { "block": block, "first": INDEX_PAGE } });
        let asked = self.available(Kind::Gateway).into_iter().map(|place| self.index_page::<Node>(place, &question));
        let pages: Vec<BTreeMap<u64, Block>> = join_all(asked).await.into_iter().filter_map(shown).collect();
        let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
        for height in heights {
            let said = pages.iter().map(|page| page.get(&height).cloned()).collect();
            match agreed(said, |one, other| one == other, self.configured()) {
                Agreed::Yes(block) => drop(found.insert(height, block)),
                Agreed::No | Agreed::Split => missing.push(height),
            }
        }
        let mut singly = futures::stream::iter(missing).map(|height| self.block(height)).buffered(BLOCKS_AT_ONCE);
        while let Some(block) = singly.next().await {
            // Where one is not to be had, those behind it are of no use.
            let Some(block) = block else { break };
            found.insert(block.height, Block { transactions: Vec::new(), ..block });
        }
        found
    }
}

fn shown(said: Said<Option<Page<Node>>>) -> Option<BTreeMap<u64, Block>> {
    let Said::Yes(Some(Page { nodes, .. })) = said else { return None };
    let blocks = nodes.into_iter().filter(|node| (1..=64).contains(&node.id.0.len())).map(|Node { id, height, timestamp, previous }| {
        (height, Block { hash: id.0.into(), previous: previous.0.into(), height, timestamp, transactions: Vec::new() })
    });
    Some(blocks.collect())
}
