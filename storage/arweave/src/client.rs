//! Talks to nodes, gateways and bundling services of strangers, and believes none of them.
//!
//! Owns the list of whom to ask and what each has done lately. What comes back is checked before it is used: transactions by signature and
//! id, data by its root, blocks by agreement of two sources where there are two. Whoever says what is not so is left alone for a while and
//! the next is asked; so a slow or lying gateway delays, and changes nothing. Refuses to decide what to do next (`pipeline`).

use std::sync::Arc;
use std::time::Duration;

use ao_types::Id;
use ao_types::merkle::Tree;
use ao_types::transaction::Transaction;
use bytes::Bytes;
use futures::future::join_all;
use parking_lot::Mutex;

use crate::gateways::{Endpoint, Gateways, Health};
use crate::limits::{BACKOFF_FIRST, BLOCK_BYTES_MAX, HEADER_BYTES_MAX, READ_BACK_BYTES_MAX, SMALL_BYTES_MAX};
use crate::pipeline::{Held, Known, Place};

mod blocks;
mod chunks;
pub mod fetch;
pub(crate) mod graphql;
pub mod guard;
pub mod index;
pub mod nodes;
mod post;
pub mod said;
pub mod schedule;

use chunks::Chunks;
pub use chunks::signed_data;
use fetch::{Answer, FetchError, Fetcher};
use said::{Agreed, Block, Said};

/// What the client needs of its surroundings.
pub trait Surroundings: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Any number, better an even one.
    fn chance(&self) -> u32;

    /// A request ended. For metrics.
    fn asked(&self, endpoint: &str, health: Health, took_ms: u64);
}

/// What a transaction of a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// Signed by an RSA key, id and signature checked. Of format 1 its data's root is not covered ([`signed_data`]).
    Signed(Box<Transaction>),
    /// Of a kind that this network's nodes do not write: format 1, or signed by a key of another kind.
    Foreign,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// As many say that there is none as for any other fact.
    Nowhere,
    /// Too few say anything.
    Unanswered,
}

/// Whom a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gateway,
    Service,
    Scheduler,
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    gateways: Mutex<Gateways>,
    services: Mutex<Gateways>,
    /// Whom logs of others are asked of.
    schedulers: Mutex<Gateways>,
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
        Self::of((gateways, services, &[]), service_keys, surroundings)
    }

    /// One that only reads: asks these gateways, and these schedulers of the older network for their logs.
    ///
    /// # Errors
    /// The system gives no HTTP client.
    pub fn reader(gateways: &[String], schedulers: &[String], surroundings: Arc<dyn Surroundings>) -> Result<Self, FetchError> {
        Self::of((gateways, &[], schedulers), Vec::new(), surroundings)
    }

    fn of(
        (gateways, services, schedulers): (&[String], &[String], &[String]),
        service_keys: Vec<Id>,
        surroundings: Arc<dyn Surroundings>,
    ) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(gateways.iter().chain(services).chain(schedulers).map(String::as_str))?;
        let list = |urls: &[String]| Mutex::new(Gateways::new(urls.iter().map(String::as_str)));
        let (gateways, services, schedulers) = (list(gateways), list(services), list(schedulers));
        Ok(Self(Arc::new(Inner { fetcher, gateways, services, schedulers, service_keys, surroundings })))
    }

    /// Gateways as they stand.
    pub fn gateways(&self) -> Vec<Endpoint> {
        self.0.gateways.lock().all().to_vec()
    }

    /// Bundling services as they stand.
    pub fn services(&self) -> Vec<Endpoint> {
        self.0.services.lock().all().to_vec()
    }

    /// Schedulers of the older network as they stand.
    pub fn schedulers(&self) -> Vec<Endpoint> {
        self.0.schedulers.lock().all().to_vec()
    }

    /// The chain's height, as two sources tell it.
    pub async fn tip(&self) -> Option<u64> {
        let said = self.ask_all("/info", SMALL_BYTES_MAX, said::height).await;
        said::agreed_height(said.into_iter().filter_map(yes).collect(), self.configured())
    }

    /// The block at a height, if enough sources say the same.
    pub async fn block(&self, height: u64) -> Option<Block> {
        match self.agreed_block(height).await {
            Agreed::Yes(block) => Some(block),
            Agreed::No | Agreed::Split => None,
        }
    }

    /// Whether there is a block at a height; `None`: too few answered, or they contradict each other.
    pub async fn has_block(&self, height: u64) -> Option<bool> {
        match self.agreed_block(height).await {
            Agreed::Yes(_) => Some(true),
            Agreed::No => Some(false),
            Agreed::Split => None,
        }
    }

    /// What enough sources say of a height: the same block, or that there is none.
    async fn agreed_block(&self, height: u64) -> Agreed<Block> {
        let said = self.ask_all(&format!("/block/height/{height}"), BLOCK_BYTES_MAX, |answer| said::block(answer, Some(height))).await;
        said::agreed(said.into_iter().filter_map(answered).collect(), |one, other| one == other, self.configured())
    }

    /// Whether a block is still in the chain and lists the transaction; `None` if nobody answers.
    pub async fn held(&self, place: &Place) -> Option<Held> {
        let path = format!("/block/height/{}", place.height);
        let said = self.ask_all(&path, BLOCK_BYTES_MAX, |answer| said::block(answer, Some(place.height))).await;
        let blocks: Vec<Option<Block>> = said.into_iter().filter_map(answered).collect();
        said::held(place, &blocks, self.configured())
    }

    /// What is known of a transaction. That it is in a block is believed when two sources show the block, and that it is in none when two say
    /// so that have the chain up to `tip` and nobody who says otherwise is left unrefuted. `None`: too few answered.
    pub async fn known(&self, id: &Id, tip: u64) -> Option<Known> {
        let path = format!("/tx/{id}/status");
        let places = self.available(Kind::Gateway);
        let asked = places.iter().map(|place| async {
            // Who is behind does not know what it does not have yet.
            let (status, height) =
                futures::join!(self.ask_status(*place, &path), self.ask_one(*place, "/info", SMALL_BYTES_MAX, said::height));
            (status, yes(height).is_some_and(|height| height >= tip))
        });
        let (mut pending, mut disputed, mut absent) = (false, false, 0);
        for (status, recent) in join_all(asked).await {
            match status {
                Said::Yes(Some((height, block))) => {
                    let place = Place { height, block, carrier: *id, transaction: *id };
                    match self.held(&place).await {
                        Some(Held::Holds) => return Some(Known::Mined(place)),
                        // Two show another block there: it is of a branch of its own, or invented.
                        Some(Held::Gone) => {}
                        Some(Held::Split) | None => disputed = true,
                    }
                }
                Said::Yes(None) => (pending, absent) = (true, absent + usize::from(recent)),
                Said::No => absent += usize::from(recent),
                Said::Nothing | Said::Lie => {}
            }
        }
        match (disputed, absent >= said::quorum(self.configured())) {
            (true, _) => Some(Known::Disputed),
            (false, true) => Some(if pending { Known::Pending } else { Known::Unknown }),
            (false, false) => None,
        }
    }

    /// A transaction's header, checked; `None` if nobody has it, or it is none that this crate could have written.
    pub async fn transaction(&self, id: &Id) -> Option<Transaction> {
        match self.header(id).await? {
            Header::Signed(transaction) => Some(*transaction),
            Header::Foreign => None,
        }
    }

    /// What a transaction is. Ours are of format 2 and signed by RSA keys; blocks are full of others. That one is something else is believed
    /// if it proves itself, or if as many sources say so as for any other fact: a gateway alone does not hide a bundle that way.
    pub async fn header(&self, id: &Id) -> Option<Header> {
        self.looked_up(id).await.ok()
    }

    /// The same; where nobody shows one, whether enough gateways say that there is none. Those that are left alone for a while, or fail, say
    /// nothing.
    pub(crate) async fn looked_up(&self, id: &Id) -> Result<Header, Nothing> {
        let (mut foreign, mut nowhere, quorum) = (0, 0, said::quorum(self.configured()));
        for place in self.order(&[]) {
            match self.ask_header(place, id).await {
                Said::Yes(said::Header::Signed(transaction)) => return Ok(Header::Signed(transaction)),
                Said::Yes(said::Header::Foreign) => return Ok(Header::Foreign),
                Said::Yes(said::Header::SaidForeign) => foreign += 1,
                Said::No => nowhere += 1,
                Said::Nothing | Said::Lie => {}
            }
            if foreign >= quorum {
                return Ok(Header::Foreign);
            }
        }
        Err(if nowhere >= quorum { Nothing::Nowhere } else { Nothing::Unanswered })
    }

    /// Waits until a gateway may be asked that may not be now, a little where there is none. Not where that takes longer than this: then it
    /// says so.
    pub(crate) async fn rest(&self, longest: Duration) -> bool {
        let now = self.0.surroundings.now_ms();
        let next = self.0.gateways.lock().next_after_ms(now);
        let pause = next.map_or(BACKOFF_FIRST, |at| Duration::from_millis(at - now));
        if pause <= longest {
            tokio::time::sleep(pause).await;
        }
        pause <= longest
    }

    async fn ask_header(&self, place: usize, id: &Id) -> Said<said::Header> {
        let Some(url) = self.url(Kind::Gateway, place) else { return Said::Nothing };
        let began = self.0.surroundings.now_ms();
        let answer = self.0.fetcher.get(&format!("{url}/tx/{id}"), HEADER_BYTES_MAX).await;
        let (said, health) = match &answer {
            // Of format 1, with its data inside.
            Err(FetchError::TooLarge { .. }) => (Said::Yes(said::Header::SaidForeign), Health::Answered),
            Ok(found) => {
                let said = said::sort(found, |answer| said::header(answer, id));
                let lied = matches!(said, Said::Lie);
                (said, health(&answer, lied))
            }
            Err(_) => (Said::Nothing, health(&answer, false)),
        };
        self.heard(Kind::Gateway, place, &url, health, began);
        said
    }

    /// Data of `size` bytes under `root`, of the transaction or item `id`: as a gateway serves it, or chunk by chunk. Those of `except` are
    /// asked only if nobody else is configured. Whatever is returned has that root.
    pub async fn data(&self, id: &Id, root: &[u8; 32], size: u64, except: &[String]) -> Option<Bytes> {
        let max = usize::try_from(size).ok().filter(|size| *size <= READ_BACK_BYTES_MAX)?;
        let whole = |answer: &Answer| {
            let fits = answer.body.len() == max && Tree::of(&answer.body).root() == *root;
            fits.then(|| answer.body.clone())
        };
        if let Some(found) = self.ask_until(&format!("/raw/{id}"), max, except, whole).await {
            return Some(found);
        }
        Chunks::new(self, id, root, size, except).all().await
    }

    fn configured(&self) -> usize {
        self.0.gateways.lock().len()
    }

    fn list(&self, kind: Kind) -> &Mutex<Gateways> {
        match kind {
            Kind::Gateway => &self.0.gateways,
            Kind::Service => &self.0.services,
            Kind::Scheduler => &self.0.schedulers,
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

    /// Gateways that may be asked and are none of `except`; where nobody else is configured, all that may be asked.
    fn order(&self, except: &[String]) -> Vec<usize> {
        let list = self.0.gateways.lock();
        let other = |place: &usize| list.all().get(*place).is_some_and(|endpoint| !except.contains(&endpoint.url));
        let alone = !(0..list.len()).any(|place| other(&place));
        list.available(self.0.surroundings.now_ms()).into_iter().filter(|place| alone || other(place)).collect()
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
