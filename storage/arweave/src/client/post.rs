//! What costs or leaves something elsewhere: prices and balances before, transactions, chunks and items.

use ao_types::hash::sha256;
use ao_types::receipt::Receipt;
use ao_types::{Id, limits};
use bytes::Bytes;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::said::{self, Said};
use super::{Client, Kind, health, yes};
use crate::compose::Composed;
use crate::limits::{ANCHOR_DEPTH, GRAPHQL_BYTES_MAX, HEADER_BYTES_MAX, PROMISE_BLOCKS, SMALL_BYTES_MAX};
use crate::pipeline::{Answer, Known, Place, Posted, Promise, Seeded};

/// A bundle in a bundle in a bundle: how far the transaction below is looked for.
const NESTING_MAX: usize = 8;

impl Client {
    /// What posting `bytes` bytes costs now, what to anchor it to, and what the wallet holds. Each is what enough gateways say
    /// ([`said::price`], [`said::balance`]): none alone stops anchoring, makes it dear, or chooses what it is anchored to.
    pub async fn quote(&self, wallet: &Id, bytes: u64, tip: u64) -> Option<Answer> {
        let price = async {
            let said = self.ask_all(&format!("/price/{bytes}"), SMALL_BYTES_MAX, said::price_of).await;
            said::price(said.into_iter().filter_map(yes).collect(), self.configured())
        };
        let (price, balance, anchor) = futures::join!(price, self.balance(wallet), self.anchor(tip));
        let ((anchor, anchor_height), price, balance) = (anchor?, price?, balance?);
        Some(Answer::Quoted { price, anchor, anchor_height, balance })
    }

    /// A recent block's hash, and its height: that of our own view of the chain. What one gateway offers at `/tx_anchor` may be of a branch
    /// of its own, or older than it says, and a transaction anchored to that is never mined or mined late beside its successor.
    async fn anchor(&self, tip: u64) -> Option<([u8; 48], u64)> {
        let height = tip.saturating_sub(ANCHOR_DEPTH);
        let block = match self.agreed_block(height).await {
            said::Agreed::Yes(block) => block,
            // The chain is younger than that.
            said::Agreed::No => self.block(tip).await?,
            said::Agreed::Split => return None,
        };
        Some((block.hash[..].try_into().ok()?, block.height))
    }

    /// Winston of a wallet, as enough gateways tell it.
    pub async fn balance(&self, wallet: &Id) -> Option<u128> {
        let said = self.ask_all(&format!("/wallet/{wallet}/balance"), SMALL_BYTES_MAX, said::number).await;
        said::balance(said.into_iter().filter_map(yes).collect(), self.configured())
    }

    /// Posts a transaction's header to a gateway that is none of these.
    pub async fn post_transaction(&self, header: Bytes, except: &[String]) -> Answer {
        let Some((place, url)) = self.other(Kind::Gateway, except) else { return nobody() };
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.post(&format!("{url}/tx"), "application/json", header, SMALL_BYTES_MAX).await;
        self.heard(Kind::Gateway, place, &url, health(&answer, false), began);
        let outcome = answer.map_or(Posted::Failed, |answer| said::posted(&answer));
        Answer::Posted { endpoint: url, outcome }
    }

    /// Uploads chunks to an endpoint, one after another, as long as it takes them.
    pub async fn post_chunks(&self, endpoint: &str, bundle: &Composed, from: u32, count: u32) -> Seeded {
        let place = self.0.gateways.lock().all().iter().position(|known| known.url == endpoint);
        // Somebody who is no longer configured is not asked, however much is still owed to it.
        let Some(place) = place else { return Seeded::Refused("no longer configured".to_owned()) };
        if !self.0.gateways.lock().is_available(place, self.0.surroundings.now_ms()) {
            return Seeded::Failed;
        }
        let mut taken = 0;
        for index in from..from.saturating_add(count) {
            let Some(body) = bundle.chunk_body(index as usize) else { break };
            let began = self.0.surroundings.now_ms();
            let answer = self.0.fetcher.post(&format!("{endpoint}/chunk"), "application/json", body, SMALL_BYTES_MAX).await;
            self.heard(Kind::Gateway, place, endpoint, health(&answer, false), began);
            match answer.map_or(Seeded::Failed, |answer| said::seeded(&answer)) {
                Seeded::Taken(_) => taken += 1,
                other if taken == 0 => return other,
                _ => break,
            }
        }
        Seeded::Taken(taken)
    }

    /// Gives an item to a bundling service that is none of these. Its receipt counts if a pinned key signed it, for this very item.
    pub async fn post_item(&self, id: &Id, item: Bytes, except: &[String], tip: u64) -> Answer {
        let Some((place, url)) = self.other(Kind::Service, except) else { return nobody() };
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.post(&format!("{url}/tx"), "application/octet-stream", item, HEADER_BYTES_MAX).await;
        let outcome = match &answer {
            Ok(answer) if answer.html => Posted::Failed,
            Ok(answer) if answer.status == 200 => match self.promise(answer, id, tip) {
                Some(promise) => Posted::Taken(Some(promise)),
                None => Posted::Refused("its receipt is not of the key that is configured, or not for this item".to_owned()),
            },
            // It has it already. A receipt that it may have given before is not here: it is held to the usual term all the same.
            Ok(answer) if answer.status == 202 => {
                let deadline = tip.saturating_add(PROMISE_BLOCKS);
                Posted::Taken(Some(Promise { given: tip, deadline, receipt: Bytes::new() }))
            }
            Ok(answer) if matches!(answer.status, 400 | 402 | 403) => Posted::Refused(format!("{}: {}", answer.status, answer.text())),
            _ => Posted::Failed,
        };
        let lied = matches!((&answer, &outcome), (Ok(answer), Posted::Refused(_)) if answer.status == 200);
        self.heard(Kind::Service, place, &url, health(&answer, lied), began);
        Answer::Posted { endpoint: url, outcome }
    }

    fn promise(&self, answer: &super::Answer, id: &Id, tip: u64) -> Option<Promise> {
        let receipt: Receipt = serde_json::from_slice(&answer.body).ok()?;
        let pinned = self.0.service_keys.contains(&Id(sha256(&[&receipt.public.0])));
        let ours = receipt.id == id.to_string() && receipt.version.len() <= limits::ECHO_CHARS_MAX;
        if !pinned || !ours || receipt.deadline_height <= tip || receipt.verify().is_err() {
            return None;
        }
        let bytes = serde_json::to_vec(&receipt).ok()?;
        Some(Promise { given: tip, deadline: receipt.deadline_height, receipt: bytes.into() })
    }

    /// Where an item is: in which transaction, in which block. Indexes are asked, and each is only a hint: it counts if enough sources show the
    /// block with that transaction, and the item is found in what its owner signed.
    pub async fn known_item(&self, id: &Id) -> Option<Known> {
        let hints = self.hints(id).await?;
        let known = hints.iter().any(|hint| *hint != Hint::Nothing);
        for Placed { height, transaction, path } in hints.into_iter().filter_map(Hint::placed) {
            let Some(block) = self.block(height).await.filter(|block| block.transactions.contains(&transaction)) else { continue };
            if self.item_within(&transaction, &path, &[]).await.is_some() {
                return Some(Known::Mined(Place { height, block: block.hash, carrier: *id, transaction }));
            }
        }
        Some(if known { Known::Pending } else { Known::Unknown })
    }

    /// The data of an item in the transaction of `place`, read from that transaction's own bytes.
    pub async fn item_data(&self, place: &Place, except: &[String]) -> Option<Bytes> {
        for hint in self.hints(&place.carrier).await?.into_iter().filter_map(Hint::placed) {
            if hint.transaction != place.transaction {
                continue;
            }
            if let Some(within) = self.item_within(&place.transaction, &hint.path, except).await
                && let Some(data) = within.data(&place.carrier).await
            {
                return Some(data);
            }
        }
        None
    }

    /// What indexes say of an item, each different answer once. `None` if too few answered.
    async fn hints(&self, id: &Id) -> Option<Vec<Hint>> {
        let asked = join_all(self.order(&[]).into_iter().map(|place| self.hint(place, *id))).await;
        let answered = asked.iter().flatten().count();
        let mut hints: Vec<Hint> = Vec::new();
        for hint in asked.into_iter().flatten() {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        (answered >= said::quorum(self.configured()).max(1)).then_some(hints)
    }

    /// Follows one index from an item to the transaction below.
    async fn hint(&self, place: usize, id: Id) -> Option<Hint> {
        let (mut at, mut path) = (id, Vec::new());
        for _ in 0..=NESTING_MAX {
            let Some(node) = self.node(place, &at).await? else { break };
            match (node.bundled_in, node.block) {
                (Some(parent), _) if parent.id != at => {
                    path.insert(0, at);
                    at = parent.id;
                }
                (None, Some(block)) if !path.is_empty() => {
                    return Some(Hint::Placed(Placed { height: block.height, transaction: at, path }));
                }
                _ => return Some(Hint::Waits),
            }
        }
        Some(if path.is_empty() { Hint::Nothing } else { Hint::Waits })
    }

    /// What an index says of one id; the outer nothing is no answer.
    async fn node(&self, place: usize, id: &Id) -> Option<Option<Node>> {
        let query = "query($ids:[ID!]){transactions(ids:$ids){edges{node{id bundledIn{id} block{id height}}}}}";
        let body = Bytes::from(json!({ "query": query, "variables": { "ids": [id] } }).to_string());
        let nodes = self.graphql(place, body).await?;
        Some(nodes.into_iter().find(|node| node.id == *id))
    }

    /// One page of an index's answer; `None` if there is none.
    async fn graphql(&self, place: usize, body: Bytes) -> Option<Vec<Node>> {
        let url = self.url(Kind::Gateway, place)?;
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.post(&format!("{url}/graphql"), "application/json", body, GRAPHQL_BYTES_MAX).await;
        let said = answer.as_ref().map_or(Said::Nothing, |answer| {
            said::sort(answer, |answer| serde_json::from_slice::<Page>(&answer.body).ok().map(|page| page.data.transactions.edges))
        });
        self.heard(Kind::Gateway, place, &url, health(&answer, matches!(said, Said::Lie)), began);
        yes(said).map(|edges| edges.into_iter().map(|edge| edge.node).collect())
    }
}

/// What one index says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hint {
    /// It does not have it.
    Nothing,
    /// It has it, in no block that it could name.
    Waits,
    /// It is there.
    Placed(Placed),
}

impl Hint {
    fn placed(self) -> Option<Placed> {
        if let Self::Placed(placed) = self { Some(placed) } else { None }
    }
}

/// Where an index says that an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    height: u64,
    transaction: Id,
    /// The bundles in which it lies, the outermost first, and the item itself.
    path: Vec<Id>,
}

fn nobody() -> Answer {
    Answer::Posted { endpoint: String::new(), outcome: Posted::Failed }
}

#[derive(Deserialize)]
struct Page {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    transactions: Connection,
}

#[derive(Deserialize)]
struct Connection {
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    node: Node,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: Id,
    bundled_in: Option<Parent>,
    block: Option<AtBlock>,
}

#[derive(Clone, Deserialize)]
struct Parent {
    id: Id,
}

#[derive(Clone, Deserialize)]
struct AtBlock {
    height: u64,
}
