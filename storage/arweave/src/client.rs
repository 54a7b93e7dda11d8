//! Talks to nodes, gateways and bundling services of strangers, and believes none of them.
//!
//! Owns the list of whom to ask and what each has done lately. What comes back is checked before it is used: transactions by signature and
//! id, data by its root, blocks by agreement of two sources where there are two. Whoever says what is not so is left alone for a while and
//! the next is asked; so a slow or lying gateway delays, and changes nothing. Refuses to decide what to do next (`pipeline`).

use std::sync::Arc;

use ao_types::Id;
use ao_types::merkle::Tree;
use ao_types::transaction::Transaction;
use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;

use crate::gateways::{Endpoint, Gateways, Health};
use crate::limits::{BLOCK_BYTES_MAX, CHUNK_ANSWER_BYTES_MAX, HEADER_BYTES_MAX, READ_BACK_BYTES_MAX, SMALL_BYTES_MAX};
use crate::pipeline::{Held, Known, Place};

pub mod fetch;
pub mod guard;
mod post;
pub mod said;

use fetch::{Answer, FetchError, Fetcher};
use said::{Block, Said};

/// What the client needs of its surroundings.
pub trait Surroundings: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Any number, better an even one.
    fn chance(&self) -> u32;

    /// A request ended. For metrics.
    fn asked(&self, endpoint: &str, health: Health, took_ms: u64);
}

/// Whom a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gateway,
    Service,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    gateways: Mutex<Gateways>,
    services: Mutex<Gateways>,
    /// Bundling services' keys: SHA-256 of the modulus. A receipt of another key is none.
    service_keys: Vec<Id>,
    surroundings: Arc<dyn Surroundings>,
}

impl Client {
    /// Asks these gateways and bundling services; `service_keys` are the addresses of the latter.
    ///
    /// # Errors
    /// The system gives no HTTP client.
    pub fn new(
        gateways: &[String],
        services: &[String],
        service_keys: Vec<Id>,
        surroundings: Arc<dyn Surroundings>,
    ) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(gateways.iter().chain(services).map(String::as_str))?;
        let list = |urls: &[String]| Mutex::new(Gateways::new(urls.iter().map(String::as_str)));
        Ok(Self(Arc::new(Inner { fetcher, gateways: list(gateways), services: list(services), service_keys, surroundings })))
    }

    /// Gateways as they stand.
    pub fn gateways(&self) -> Vec<Endpoint> {
        self.0.gateways.lock().all().to_vec()
    }

    /// Bundling services as they stand.
    pub fn services(&self) -> Vec<Endpoint> {
        self.0.services.lock().all().to_vec()
    }

    /// The chain's height, as two sources tell it.
    pub async fn tip(&self) -> Option<u64> {
        let said = self.ask_all("/info", SMALL_BYTES_MAX, said::height).await;
        said::agreed_height(said.into_iter().filter_map(yes).collect(), self.configured())
    }

    /// The block at a height, if enough sources say the same.
    pub async fn block(&self, height: u64) -> Option<Block> {
        let said = self.ask_all(&format!("/block/height/{height}"), BLOCK_BYTES_MAX, |answer| said::block(answer, Some(height))).await;
        let blocks: Vec<Block> = said.into_iter().filter_map(yes).collect();
        let agree = |one: &&Block| blocks.iter().filter(|other| other.hash == one.hash).count() >= said::quorum(self.configured());
        blocks.iter().find(agree).cloned()
    }

    /// Whether a block is still in the chain and lists the transaction; `None` if nobody answers.
    pub async fn held(&self, place: &Place) -> Option<Held> {
        let path = format!("/block/height/{}", place.height);
        let said = self.ask_all(&path, BLOCK_BYTES_MAX, |answer| said::block(answer, Some(place.height))).await;
        let blocks: Vec<Option<Block>> = said.into_iter().filter_map(answered).collect();
        said::held(place, &blocks, self.configured())
    }

    /// What is known of a transaction. That it is in a block is believed when two sources show the block, and that it is unknown when two
    /// say so that have the chain up to `tip`.
    pub async fn known(&self, id: &Id, tip: u64) -> Option<Known> {
        let path = format!("/tx/{id}/status");
        let places = self.available(Kind::Gateway);
        let asked = places.iter().map(|place| async {
            // Who is behind does not know what it does not have yet.
            let (status, height) =
                futures::join!(self.ask_status(*place, &path), self.ask_one(*place, "/info", SMALL_BYTES_MAX, said::height));
            (status, yes(height))
        });
        let (mut pending, mut unknown) = (false, 0);
        for (status, height) in join_all(asked).await {
            match status {
                Said::Yes(Some((height, block))) => {
                    let place = Place { height, block, carrier: *id, transaction: *id };
                    if self.held(&place).await == Some(Held::Holds) {
                        return Some(Known::Mined(place));
                    }
                    // Ahead of the others, behind them, or inventing: it is known at any rate.
                    pending = true;
                }
                Said::Yes(None) => pending = true,
                Said::No => unknown += usize::from(height.is_some_and(|height| height >= tip)),
                Said::Nothing | Said::Lie => {}
            }
        }
        match pending {
            true => Some(Known::Pending),
            false => (unknown >= said::quorum(self.configured())).then_some(Known::Unknown),
        }
    }

    /// A transaction's header, checked.
    pub async fn transaction(&self, id: &Id) -> Option<Transaction> {
        self.ask_until(&format!("/tx/{id}"), HEADER_BYTES_MAX, &[], |answer| said::transaction(answer, id)).await
    }

    /// Data of `size` bytes under `root`, of the transaction or item `id`: as a gateway serves it, or chunk by chunk. Asks those of `except`
    /// last. Whatever is returned has that root.
    pub async fn data(&self, id: &Id, root: &[u8; 32], size: u64, except: &[String]) -> Option<Bytes> {
        let max = usize::try_from(size).ok().filter(|size| *size <= READ_BACK_BYTES_MAX)?;
        let whole = |answer: &Answer| {
            let fits = answer.body.len() == max && Tree::of(&answer.body).root() == *root;
            fits.then(|| answer.body.clone())
        };
        if let Some(found) = self.ask_until(&format!("/raw/{id}"), max, except, whole).await {
            return Some(found);
        }
        self.chunks(id, root, size, except).await
    }

    async fn chunks(&self, id: &Id, root: &[u8; 32], size: u64, except: &[String]) -> Option<Bytes> {
        let fits = |answer: &Answer| said::offset(answer).filter(|(_, found)| *found == size);
        let (first, _) = self.ask_until(&format!("/tx/{id}/offset"), SMALL_BYTES_MAX, except, fits).await?;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let at = bytes.len() as u64;
            let path = format!("/chunk/{}", first + u128::from(at));
            let (start, chunk) =
                self.ask_until(&path, CHUNK_ANSWER_BYTES_MAX, except, |answer| said::chunk(answer, root, size, at)).await?;
            // A chunk that begins before the place that was asked for would have been returned for the place before.
            if start != at || chunk.is_empty() {
                return None;
            }
            bytes.extend_from_slice(&chunk);
        }
        Some(bytes.into())
    }

    fn configured(&self) -> usize {
        self.0.gateways.lock().len()
    }

    fn list(&self, kind: Kind) -> &Mutex<Gateways> {
        match kind {
            Kind::Gateway => &self.0.gateways,
            Kind::Service => &self.0.services,
        }
    }

    fn available(&self, kind: Kind) -> Vec<usize> {
        self.list(kind).lock().available(self.0.surroundings.now_ms())
    }

    fn url(&self, kind: Kind, place: usize) -> Option<String> {
        self.list(kind).lock().all().get(place).map(|endpoint| endpoint.url.clone())
    }

    /// The first endpoint that may be asked and is none of these.
    fn other(&self, kind: Kind, except: &[String]) -> Option<(usize, String)> {
        let places = self.available(kind).into_iter();
        places.filter_map(|place| Some((place, self.url(kind, place)?))).find(|(_, url)| !except.contains(url))
    }

    /// Gateways that may be asked, those of `except` last.
    fn order(&self, except: &[String]) -> Vec<usize> {
        let mut places = self.available(Kind::Gateway);
        places.sort_by_key(|place| self.url(Kind::Gateway, *place).is_some_and(|url| except.contains(&url)));
        places
    }

    /// One after another, until one has it.
    async fn ask_until<T>(&self, path: &str, max: usize, except: &[String], read: impl Fn(&Answer) -> Option<T>) -> Option<T> {
        for place in self.order(except) {
            if let Said::Yes(found) = self.ask_one(place, path, max, &read).await {
                return Some(found);
            }
        }
        None
    }

    /// All at once.
    async fn ask_all<T>(&self, path: &str, max: usize, read: impl Fn(&Answer) -> Option<T>) -> Vec<Said<T>> {
        let (read, places) = (&read, self.available(Kind::Gateway));
        join_all(places.into_iter().map(|place| self.ask_one(place, path, max, read))).await
    }

    async fn ask_one<T>(&self, place: usize, path: &str, max: usize, read: impl FnOnce(&Answer) -> Option<T>) -> Said<T> {
        let Some(url) = self.url(Kind::Gateway, place) else { return Said::Nothing };
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.get(&format!("{url}{path}"), max).await;
        let said = answer.as_ref().map_or(Said::Nothing, |answer| said::sort(answer, read));
        self.heard(Kind::Gateway, place, &url, health(&answer, matches!(said, Said::Lie)), began);
        said
    }

    /// `Some` where it is in a block, `None` where it waits for one.
    async fn ask_status(&self, place: usize, path: &str) -> Said<Option<(u64, Bytes)>> {
        let Some(url) = self.url(Kind::Gateway, place) else { return Said::Nothing };
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.get(&format!("{url}{path}"), SMALL_BYTES_MAX).await;
        let said = match &answer {
            Ok(answer) if answer.status == 202 => Said::Yes(None),
            Ok(answer) => said::sort(answer, |answer| said::status(answer).map(Some)),
            Err(_) => Said::Nothing,
        };
        self.heard(Kind::Gateway, place, &url, health(&answer, matches!(said, Said::Lie)), began);
        said
    }

    fn heard(&self, kind: Kind, place: usize, url: &str, health: Health, began_ms: u64) {
        let (now, chance) = (self.0.surroundings.now_ms(), self.0.surroundings.chance());
        self.list(kind).lock().heard(place, health, now, chance);
        self.0.surroundings.asked(url, health, now.saturating_sub(began_ms));
    }
}

fn health(answer: &Result<Answer, FetchError>, lied: bool) -> Health {
    match answer {
        Ok(answer) if answer.status == 429 || answer.status == 503 => Health::Busy(answer.retry_after_ms),
        Ok(answer) if answer.status >= 500 => Health::Failed,
        Ok(_) if lied => Health::Lied,
        Ok(_) => Health::Answered,
        // A page without an end, or a way to this machine: no honest endpoint does that.
        Err(FetchError::TooLarge { .. } | FetchError::Refused(_) | FetchError::Redirects) => Health::Lied,
        Err(_) => Health::Failed,
    }
}

fn yes<T>(said: Said<T>) -> Option<T> {
    if let Said::Yes(found) = said { Some(found) } else { None }
}

/// What counts as an answer: this, or that it is not there.
fn answered<T>(said: Said<T>) -> Option<Option<T>> {
    match said {
        Said::Yes(found) => Some(Some(found)),
        Said::No => Some(None),
        Said::Nothing | Said::Lie => None,
    }
}
