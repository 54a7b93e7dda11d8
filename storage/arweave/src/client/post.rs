//! What costs or leaves something elsewhere: prices and balances before, transactions, chunks and items.

use ao_types::hash::sha256;
use ao_types::receipt::Receipt;
use ao_types::{Id, limits};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::said::{self, Said};
use super::{Client, Kind, health, yes};
use crate::compose::Composed;
use crate::limits::{ANCHOR_BLOCKS, BLOCK_BYTES_MAX, GRAPHQL_BYTES_MAX, HEADER_BYTES_MAX, SMALL_BYTES_MAX};
use crate::pipeline::{Answer, Held, Known, Place, Posted, Promise, Seeded};

/// One source's price may be so many times another's; beyond, one of them is wrong.
const PRICES_APART_MAX: u128 = 4;

/// A bundle in a bundle in a bundle: how far the transaction below is looked for.
const NESTING_MAX: usize = 8;

impl Client {
    /// What posting `bytes` bytes costs now, what to anchor it to, and what the wallet holds.
    pub async fn quote(&self, wallet: &Id, bytes: u64, tip: u64) -> Option<Answer> {
        let price = async {
            let said = self.ask_all(&format!("/price/{bytes}"), SMALL_BYTES_MAX, said::number).await;
            let prices: Vec<u128> = said.into_iter().filter_map(yes).collect();
            let (least, most) = (prices.iter().min().copied()?, prices.iter().max().copied()?);
            (least > 0 && most / least < PRICES_APART_MAX).then_some(most)
        };
        let balance = async {
            let said = self.ask_all(&format!("/wallet/{wallet}/balance"), SMALL_BYTES_MAX, said::number).await;
            said.into_iter().filter_map(yes).min()
        };
        let (price, balance, anchor) = futures::join!(price, balance, self.anchor(tip));
        let ((anchor, anchor_height), price, balance) = (anchor?, price?, balance?);
        Some(Answer::Quoted { price, anchor, anchor_height, balance })
    }

    /// A recent block's hash, and its height.
    async fn anchor(&self, tip: u64) -> Option<([u8; 48], u64)> {
        let anchor = self.ask_until("/tx_anchor", SMALL_BYTES_MAX, &[], said::anchor).await?;
        let path = format!("/block/hash/{}", URL_SAFE_NO_PAD.encode(anchor));
        let block = self.ask_until(&path, BLOCK_BYTES_MAX, &[], |answer| said::block(answer, None)).await?;
        let recent = block.height <= tip && block.height.saturating_add(ANCHOR_BLOCKS) > tip && block.hash == anchor[..];
        recent.then_some((anchor, block.height))
    }

    /// Winston of a wallet, the least that is told.
    pub async fn balance(&self, wallet: &Id) -> Option<u128> {
        let said = self.ask_all(&format!("/wallet/{wallet}/balance"), SMALL_BYTES_MAX, said::number).await;
        said.into_iter().filter_map(yes).min()
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
            let Some(body) = bundle.chunk(index as usize).as_ref().and_then(said::chunk_body) else { break };
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
            // It has it already, and gave its receipt then: as good as taken, and as good as no promise.
            Ok(answer) if answer.status == 202 => Posted::Taken(None),
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

    /// Where an item is: in which transaction, in which block. An index is asked, and believed when two sources show the block.
    pub async fn known_item(&self, id: &Id) -> Option<Known> {
        let mut at = *id;
        for _ in 0..NESTING_MAX {
            let Node { bundled_in, block, .. } = match self.node(&at).await {
                Said::Yes(node) => node,
                Said::No => return Some(if at == *id { Known::Unknown } else { Known::Pending }),
                _ => return None,
            };
            let Some(height) = block.map(|block| block.height) else { return Some(Known::Pending) };
            match bundled_in {
                Some(parent) if parent.id != at => at = parent.id,
                _ => {
                    let block = self.block(height).await.filter(|block| block.transactions.contains(&at));
                    let Some(block) = block else { return Some(Known::Pending) };
                    let place = Place { height, block: block.hash, carrier: *id, transaction: at };
                    let holds = self.held(&place).await == Some(Held::Holds);
                    return Some(if holds { Known::Mined(place) } else { Known::Pending });
                }
            }
        }
        Some(Known::Pending)
    }

    /// What indexes say of one id: the first that has it.
    async fn node(&self, id: &Id) -> Said<Node> {
        let query = "query($ids:[ID!]){transactions(ids:$ids){edges{node{id bundledIn{id} block{id height}}}}}";
        let body = Bytes::from(json!({ "query": query, "variables": { "ids": [id] } }).to_string());
        let places = self.order(&[]);
        let asked = join_all(places.into_iter().map(|place| self.graphql(place, body.clone()))).await;
        let found = asked.iter().flatten().flatten().find(|node| node.id == *id).cloned();
        match found {
            Some(node) => Said::Yes(node),
            None if asked.iter().filter(|answer| answer.is_some()).count() >= said::quorum(self.configured()) => Said::No,
            None => Said::Nothing,
        }
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
