//! Items as gateways' indexes show them, with everything that a signature covers but the data, and data by id.
//!
//! For logs that others order, whose items lie in bundles of strangers: nobody fetches a bundle of 250 MiB for one message of it. What is
//! shown is put together and its signature checked ([`crate::shown`]) by whoever asks, so every gateway is asked and everything that any
//! of them shows is handed out: one that shows something else hides nothing.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use ao_types::{DataItem, Id, Verified};
use bytes::Bytes;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::fetch::Answer;
use super::graphql::{Page, question};
use super::index::Wanted;
use super::said::{Agreed, Said, agreed};
use super::{Client, Kind, health};
use crate::gateways::Health;
use crate::limits::NODES_PAGES_MAX;
use crate::shown::Shown;

/// What one gateway shows of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The item.
    pub shown: Shown,
    /// Height of its block, as is claimed; `None`: in none yet.
    pub height: Option<u64>,
}

/// What all of them show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    /// By id, in the order of gateways; what two show alike is there once, and of one gateway only what it showed first of an id: more than
    /// one thing with one signature there is not.
    pub found: BTreeMap<Id, Vec<Node>>,
    /// Gateways that answered everything they were asked.
    pub answered: usize,
}

const QUERY: &str = "query($ids:[ID!],$owners:[String!],$tags:[TagFilter!],$first:Int,$after:String,$sort:SortOrder){\
    transactions(ids:$ids,owners:$owners,tags:$tags,first:$first,after:$after,sort:$sort){\
    pageInfo{hasNextPage} edges{cursor node{id anchor signature recipient owner{key} tags{name value} block{height}}}}}";

#[derive(Deserialize)]
pub(crate) struct NodeJson {
    #[serde(flatten)]
    pub(crate) shown: Shown,
    block: Option<Block>,
}
#[derive(Deserialize)]
struct Block {
    height: u64,
}

impl Client {
    /// Asks every gateway that may be asked; heights are not looked at, so that what is in no block yet is found as well. At most
    /// [`NODES_PAGES_MAX`] pages of each: whoever has more to ask asks for less at once.
    pub async fn nodes(&self, wanted: &Wanted) -> Nodes {
        self.all_nodes(wanted, false, NODES_PAGES_MAX).await
    }

    /// The newest of what is wanted, as many as fit a page.
    pub async fn newest_nodes(&self, wanted: &Wanted) -> Nodes {
        self.newest_pages(wanted, 1).await
    }

    /// The newest of what is wanted, as many as fit so many pages.
    pub async fn newest_pages(&self, wanted: &Wanted, pages: usize) -> Nodes {
        self.all_nodes(wanted, true, pages).await
    }

    /// Height of an item's block, where as many gateways say so as for any other fact of the chain; `None`: too few do, or none says any.
    pub async fn height_of(&self, id: &Id) -> Option<u64> {
        let (wanted, places) = (Wanted { ids: vec![*id], ..Wanted::default() }, self.available(Kind::Gateway));
        let said = join_all(places.into_iter().map(|place| self.nodes_of(place, &wanted, false, 1))).await;
        let heights = said.into_iter().filter_map(|(nodes, _)| nodes.first()?.height).map(Some).collect();
        if let Agreed::Yes(height) = agreed(heights, |one, other| one == other, self.configured()) { Some(height) } else { None }
    }

    async fn all_nodes(&self, wanted: &Wanted, newest: bool, pages: usize) -> Nodes {
        let places = self.available(Kind::Gateway);
        let asked = join_all(places.into_iter().map(|place| self.nodes_of(place, wanted, newest, pages))).await;
        let mut all = Nodes::default();
        for (nodes, whole) in asked {
            all.answered += usize::from(whole);
            for node in nodes {
                let known = all.found.entry(node.shown.id).or_default();
                if !known.contains(&node) {
                    known.push(node);
                }
            }
        }
        all
    }

    /// One gateway's, and whether it answered.
    async fn nodes_of(&self, place: usize, wanted: &Wanted, newest: bool, pages: usize) -> (Vec<Node>, bool) {
        let (mut found, mut after): (Vec<Node>, Option<String>) = (Vec::new(), None);
        let mut seen = BTreeSet::new();
        for _ in 0..pages {
            let Some(Page { nodes, next }) = self.nodes_page(place, wanted, newest, after.as_deref()).await else {
                return (found, false);
            };
            let mut asked_for = nodes;
            asked_for.retain(|node| (wanted.ids.is_empty() || wanted.ids.contains(&node.shown.id)) && seen.insert(node.shown.id));
            found.extend(asked_for.into_iter().map(|NodeJson { shown, block }| Node { shown, height: block.map(|block| block.height) }));
            // A page that leads nowhere, or back to itself, is the last one.
            if next.is_none() || next == after {
                break;
            }
            after = next;
        }
        (found, true)
    }

    async fn nodes_page(&self, place: usize, wanted: &Wanted, newest: bool, after: Option<&str>) -> Option<Page<NodeJson>> {
        let sort = json!(if newest { "HEIGHT_DESC" } else { "HEIGHT_ASC" });
        let said = self.index_page(place, &question(QUERY, wanted, after, ("sort", sort))).await;
        if let Said::Yes(page) = said { page } else { None }
    }

    /// An item put together from what is shown of it (`nodes`) and data of `max` bytes at most, and whether anybody served data. Data is
    /// fetched once of each gateway, however many differ about the rest; of an item without data some serve nothing.
    pub async fn whole(&self, id: &Id, nodes: &[Node], max: usize) -> (Option<Verified<DataItem>>, bool) {
        if nodes.is_empty() {
            return (None, false);
        }
        let (served, assembled) = (Cell::new(false), |data: &[u8]| nodes.iter().find_map(|node| node.shown.assemble(data)));
        let keep = |data: Bytes| {
            served.set(true);
            assembled(&data)
        };
        let item = self.raw(id, max, keep).await.or_else(|| assembled(&[]));
        (item, served.get())
    }

    /// Data of an item as gateways serve it, `max` bytes at most: the first of which `keep` makes something. Who served what nothing can be
    /// made of is not to blame: what it is compared with may be somebody else's lie.
    pub async fn raw<T>(&self, id: &Id, max: usize, keep: impl Fn(Bytes) -> Option<T>) -> Option<T> {
        for place in self.available(Kind::Gateway) {
            let Some(url) = self.url(Kind::Gateway, place) else { continue };
            let began = self.0.surroundings.now_ms();
            let answer = self.0.fetcher.get(&format!("{url}/raw/{id}"), max).await;
            // Of any type its signer gave it, pages included.
            let whole = answer.as_ref().ok().filter(|answer| answer.status == 200).map(|answer| answer.body.clone());
            let busy = answer.as_ref().is_ok_and(|answer| answer.status >= 500 || answer.status == 429);
            self.heard(Kind::Gateway, place, &url, if busy { health(&answer, false) } else { answered(&answer) }, began);
            if let Some(found) = whole.and_then(&keep) {
                return Some(found);
            }
        }
        None
    }
}

/// Whoever answers is well, with whatever.
fn answered<E>(answer: &Result<Answer, E>) -> Health {
    if answer.is_ok() { Health::Answered } else { Health::Failed }
}
