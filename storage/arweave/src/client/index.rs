//! What gateways' indexes say is where: hints, united over all gateways, and never more than hints.
//!
//! An index that hides something is made good by another; one that invents something costs a look at what it named. Pages are taken in
//! windows of heights; a window that is refused, or that has more pages than any honest one, is halved, and one height that still has too
//! many is given up with that gateway alone.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use ao_types::Id;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::graphql::{Page, question};
use super::{Client, Kind};
use crate::client::said::Said;
use crate::limits::{INDEX_HITS_MAX, INDEX_PAGES_MAX, INDEX_PATIENCE, INDEX_PATIENCE_PER_1000, INDEX_REQUESTS_MAX, INDEX_WINDOW};

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Any of these; empty: any.
    pub ids: Vec<Id>,
    /// Signed by any of these addresses; empty: by anybody.
    pub owners: Vec<String>,
    /// With all of these tags, each with any of its values.
    pub tags: Vec<(String, Vec<String>)>,
    /// Mined at these heights; `None`: at any.
    pub heights: Option<(u64, u64)>,
}

/// What an index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// A transaction or an item.
    pub id: Id,
    /// Whether any says that it is a transaction.
    pub transaction: bool,
    /// What it lies in, by those that say that it lies in something.
    pub bundled_in: BTreeSet<Id>,
    /// In the block of this height; `None`: in none yet.
    pub height: Option<u64>,
}

/// What all indexes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// By id. Where gateways differ, everything that any of them says is kept: one that lies hides nothing that another shows.
    pub hits: BTreeMap<Id, Hit>,
    /// What mined ones lie in, each once: gateways take turns, so that one that names many is not looked at before all others.
    pub bundles: Vec<Id>,
    /// Gateways that answered everything they were asked.
    pub answered: usize,
    /// Whether any had more to show than it may.
    pub cut: bool,
}

const QUERY: &str = "query($ids:[ID!],$owners:[String!],$tags:[TagFilter!],$block:BlockFilter,$first:Int,$after:String){\
    transactions(ids:$ids,owners:$owners,tags:$tags,block:$block,first:$first,after:$after,sort:HEIGHT_ASC){\
    pageInfo{hasNextPage} edges{cursor node{id block{height} bundledIn{id}}}}}";

/// What a page shows of each.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    id: Id,
    block: Option<Block>,
    bundled_in: Option<Bundle>,
}

#[derive(Debug, Deserialize)]
struct Block {
    height: u64,
}

#[derive(Debug, Deserialize)]
struct Bundle {
    id: Id,
}

impl From<Node> for Hit {
    fn from(Node { id, block, bundled_in }: Node) -> Self {
        let height = block.map(|block| block.height);
        Self { id, transaction: bundled_in.is_none(), bundled_in: bundled_in.into_iter().map(|bundle| bundle.id).collect(), height }
    }
}

impl Client {
    /// Asks every gateway that may be asked, each within what `budget` leaves it.
    pub async fn index(&self, wanted: &Wanted, budget: &mut Budget) -> Indexed {
        let places = self.available(Kind::Gateway);
        let asked = join_all(places.into_iter().map(|place| self.index_of(place, wanted, budget.left(place)))).await;
        let mut all = Indexed::default();
        let mut lie_in: Vec<Vec<(Id, Id)>> = Vec::new();
        for (place, hits, left, whole) in asked {
            all.answered += usize::from(whole);
            all.cut |= !whole && left.hits == 0;
            budget.gateways.insert(place, left);
            lie_in.push(hits.iter().flat_map(|hit| hit.bundled_in.iter().map(|bundle| (hit.id, *bundle))).collect());
            for hit in hits {
                match all.hits.entry(hit.id) {
                    Entry::Vacant(entry) => drop(entry.insert(hit)),
                    Entry::Occupied(mut entry) => {
                        let known = entry.get_mut();
                        known.transaction |= hit.transaction;
                        known.bundled_in.extend(hit.bundled_in);
                        known.height = known.height.min(hit.height).or(known.height).or(hit.height);
                    }
                }
            }
        }
        let mined = |id: &Id| all.hits.get(id).is_some_and(|hit| hit.height.is_some());
        let longest = lie_in.iter().map(Vec::len).max().unwrap_or_default();
        let turns = (0..longest).flat_map(|turn| lie_in.iter().filter_map(move |of_one| of_one.get(turn)));
        let mut seen = BTreeSet::new();
        all.bundles = turns.filter(|(id, bundle)| mined(id) && seen.insert(*bundle)).map(|(_, bundle)| *bundle).collect();
        all
    }

    /// One gateway's, what is left to it, and whether it answered everything.
    async fn index_of(&self, place: usize, wanted: &Wanted, mut left: Left) -> (usize, Vec<Hit>, Left, bool) {
        let (mut hits, mut whole) = (Vec::new(), true);
        let mut windows: Vec<Option<(u64, u64)>> = match wanted.heights {
            None => vec![None],
            // The lowest is asked first.
            Some((from, to)) => windows(from, to).into_iter().rev().map(Some).collect(),
        };
        while let Some(window) = windows.pop() {
            let (found, ended) = self.pages(place, wanted, window, &mut left).await;
            match ended {
                Ok(()) => hits.extend(found),
                // They are hints: what it did show is looked at.
                Err(Gone) => {
                    hits.extend(found);
                    return (place, hits, left, false);
                }
                Err(TooMany) => match window {
                    Some((from, to)) if from < to => {
                        left.hits = left.hits.saturating_add(found.len());
                        let middle = from + (to - from) / 2;
                        windows.extend([Some((middle + 1, to)), Some((from, middle))]);
                    }
                    _ => {
                        hits.extend(found);
                        whole = false;
                    }
                },
            }
        }
        (place, hits, left, whole)
    }

    async fn pages(&self, place: usize, wanted: &Wanted, window: Option<(u64, u64)>, left: &mut Left) -> (Vec<Hit>, Result<(), Trouble>) {
        let mut found: BTreeMap<Id, Hit> = BTreeMap::new();
        let ended = self.pages_into(&mut found, place, wanted, window, left).await;
        (found.into_values().collect(), ended)
    }

    async fn pages_into(
        &self,
        found: &mut BTreeMap<Id, Hit>,
        place: usize,
        wanted: &Wanted,
        window: Option<(u64, u64)>,
        left: &mut Left,
    ) -> Result<(), Trouble> {
        let mut after = None;
        for _ in 0..INDEX_PAGES_MAX {
            let page = self.page(place, wanted, window, after.as_deref(), left).await?;
            let before = found.len();
            // Some gateways show what they were not asked for: outside of the window it would be read twice.
            let inside = |hit: &Hit| {
                let at = window.is_none_or(|(from, to)| hit.height.is_none_or(|height| (from..=to).contains(&height)));
                at && (wanted.ids.is_empty() || wanted.ids.contains(&hit.id))
            };
            for hit in page.nodes.into_iter().map(Hit::from).filter(inside) {
                if !found.contains_key(&hit.id) {
                    left.hits = left.hits.checked_sub(1).ok_or(Gone)?;
                }
                found.insert(hit.id, hit);
            }
            match page.next {
                None => return Ok(()),
                // Round and round: nothing more will come.
                Some(_) if found.len() == before => return Ok(()),
                next => after = next,
            }
        }
        Err(TooMany)
    }

    async fn page(
        &self,
        place: usize,
        wanted: &Wanted,
        window: Option<(u64, u64)>,
        after: Option<&str>,
        left: &mut Left,
    ) -> Result<Page<Node>, Trouble> {
        if left.ms == 0 || left.hits == 0 {
            return Err(Gone);
        }
        left.requests = left.requests.checked_sub(1).ok_or(Gone)?;
        let heights = json!(window.map(|(min, max)| json!({ "min": min, "max": max })));
        let began = self.0.surroundings.now_ms();
        let said = self.index_page(place, &question(QUERY, wanted, after, ("block", heights))).await;
        left.ms = left.ms.saturating_sub(self.0.surroundings.now_ms().saturating_sub(began));
        match said {
            Said::Yes(Some(page)) => Ok(page),
            Said::Yes(None) => Err(TooMany),
            Said::No | Said::Nothing | Said::Lie => Err(Gone),
        }
    }
}

/// What each gateway may be asked, for how long, and how much it may show, over all questions of one search: one that answers each question
/// with the next has no more of it than others.
#[derive(Clone, Debug)]
pub struct Budget {
    each: Left,
    gateways: BTreeMap<usize, Left>,
}

/// What is left to one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    requests: usize,
    /// Of its own answers alone: who waits for others loses nothing.
    ms: u64,
    hits: usize,
}

impl Budget {
    /// For a search among these heights (`None`: among all) that takes `hits_max` entries of each gateway.
    pub fn new(heights: Option<(u64, u64)>, hits_max: usize) -> Self {
        let each = Left { requests: INDEX_REQUESTS_MAX, ms: patience_ms(heights), hits: hits_max.min(INDEX_HITS_MAX) };
        Self { each, gateways: BTreeMap::new() }
    }

    fn left(&self, place: usize) -> Left {
        self.gateways.get(&place).copied().unwrap_or(self.each)
    }
}

/// How long one gateway may take over one search: whoever answers each page just in time would hold up everybody for days.
fn patience_ms(heights: Option<(u64, u64)>) -> u64 {
    let span = heights.map_or(0, |(from, to)| to.saturating_sub(from));
    let thousands = u32::try_from(span.div_ceil(1000)).unwrap_or(u32::MAX);
    let patience = INDEX_PATIENCE.saturating_add(INDEX_PATIENCE_PER_1000.saturating_mul(thousands));
    u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)
}

/// Why there is no page.
enum Trouble {
    /// The gateway does not answer, or not in words that can be understood.
    Gone,
    /// It refuses the query, or does not come to an end with it.
    TooMany,
}
use Trouble::{Gone, TooMany};

/// A span of heights in windows, the lowest first.
fn windows(from: u64, to: u64) -> Vec<(u64, u64)> {
    let mut windows = Vec::new();
    let mut at = from;
    while at <= to {
        let end = at.saturating_add(INDEX_WINDOW - 1).min(to);
        windows.push((at, end));
        let Some(next) = end.checked_add(1) else { break };
        at = next;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_height_once() {
        assert_eq!(windows(7, 7), [(7, 7)]);
        assert_eq!(windows(8, 7), []);
        assert_eq!(
            windows(0, 2 * INDEX_WINDOW),
            [(0, INDEX_WINDOW - 1), (INDEX_WINDOW, 2 * INDEX_WINDOW - 1), (2 * INDEX_WINDOW, 2 * INDEX_WINDOW)]
        );
        assert_eq!(windows(u64::MAX, u64::MAX), [(u64::MAX, u64::MAX)]);
    }

    #[test]
    fn whoever_is_asked_for_more_heights_has_more_time() {
        let minute = INDEX_PATIENCE.as_millis() as u64;
        assert_eq!((patience_ms(None), patience_ms(Some((7, 7)))), (minute, minute));
        assert_eq!(patience_ms(Some((0, 2_000_000))), minute + 2_000 * INDEX_PATIENCE_PER_1000.as_millis() as u64);
        assert!(patience_ms(Some((0, u64::MAX))) < u64::MAX);
    }

    #[test]
    fn an_item_is_a_transaction_or_in_a_bundle() {
        let id = Id([1; 32]);
        let hit = |node: serde_json::Value| Hit::from(serde_json::from_value::<Node>(node).unwrap());
        let transaction = hit(json!({ "id": id, "block": null, "bundledIn": null }));
        assert_eq!(transaction, Hit { id, transaction: true, bundled_in: BTreeSet::new(), height: None });
        let bundled = hit(json!({ "id": id, "block": { "height": 9, "timestamp": 1 }, "bundledIn": { "id": id } }));
        assert_eq!(bundled, Hit { id, transaction: false, bundled_in: [id].into(), height: Some(9) });
    }
}
