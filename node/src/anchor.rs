//! Anchoring: what this node confirmed goes to Arweave.
//!
//! ```text
//!   CONFIRMED − ANCHOR_HEADS ─▶ collect ─▶ ao_arweave::Driver ─▶ Arweave
//!        (the queue)               ▲             │ rows, synced
//!                                  └── keeper ◀──┘ SHIPMENTS, ANCHOR_HEADS, ANCHORED
//! ```
//!
//! The queue is a difference of two rows: confirming a slot queues it, in the very batch, and nothing can be forgotten by either side. Owns
//! how rows become parcels ([`collect`]) and where the pipeline remembers ([`keeper`]). What happens to a parcel is `ao-arweave`'s.
//!
//! A node anchors the processes that its own scheduler orders. It never drops anything: what cannot be sent or paid waits, and says so.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::client::{Client, Surroundings, fetch::FetchError};
use ao_arweave::driver::{Driver, KeepError, Parts, ShipError};
use ao_arweave::gateways::Health;
use ao_arweave::limits::COPIES;
use ao_arweave::pipeline::{Budget, Settings, Via};
use ao_storage::Store;
use ao_types::{Id, NetworkId, Signer};
use tokio_util::sync::CancellationToken;

use crate::shell::Now;

pub mod collect;
pub mod keeper;

use collect::Collector;
use keeper::StoreKeeper;

/// What anchoring is made of.
pub struct Setup {
    /// Base URLs of gateways.
    pub gateways: Vec<String>,
    /// Base URLs of bundling services, used where there is no wallet.
    pub services: Vec<String>,
    /// Their keys' addresses.
    pub service_keys: Vec<Id>,
    /// Pays for transactions; `None`: items are given to bundling services.
    pub wallet: Option<Arc<dyn Signer>>,
    /// Signs records, and items for bundling services: the scheduler.
    pub scheduler: Arc<dyn Signer>,
    /// In tags of everything that is written.
    pub network: NetworkId,
    /// Where it is remembered.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Now,
    /// What may be spent.
    pub budget: Budget,
    /// Confirmations from which on slots count as anchored.
    pub confirmations: u64,
    /// The oldest slot waits so long for others.
    pub patience: Duration,
    /// Between two looks at the chain.
    pub tip_every: Duration,
}

/// A running pipeline, and what it is fed from.
pub struct Anchoring {
    driver: Driver,
    collector: Arc<Collector>,
    clock: Now,
    look_every: Duration,
}

/// The clock of the node, and chance of the system.
struct Outside(Now);

impl Surroundings for Outside {
    fn now_ms(&self) -> u64 {
        (self.0)().0
    }

    fn chance(&self) -> u32 {
        let mut bytes = [0; 4];
        // Without entropy pauses are not spread, and nothing else is different.
        drop(crate::datadir::entropy(&mut bytes));
        u32::from_be_bytes(bytes)
    }

    fn asked(&self, endpoint: &str, health: Health, took_ms: u64) {
        if health != Health::Answered {
            tracing::debug!(event = "gateway_failed", endpoint, ?health, took_ms);
        }
    }
}

/// Looks are at least so far apart.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(200);

impl Anchoring {
    /// Begins with what the store remembers. Must be called within a runtime.
    ///
    /// # Errors
    /// The system gives no HTTP client.
    pub fn start(setup: Setup) -> Result<Self, FetchError> {
        let Setup { gateways, services, service_keys, wallet, scheduler, network, store, clock, budget, .. } = setup;
        let surroundings: Arc<dyn Surroundings> = Arc::new(Outside(clock.clone()));
        let client = Client::new(&gateways, &services, service_keys, surroundings.clone())?;
        let via = if wallet.is_some() { Via::Chain } else { Via::Service };
        let copies = COPIES.min(client.gateways().len().max(1));
        let settings = Settings { via, copies, confirmations: setup.confirmations.max(1), budget };
        let keeper = Arc::new(StoreKeeper::new(store.clone()));
        let collector = Collector::new(store, scheduler.clone(), network, setup.patience);
        let signer = wallet.unwrap_or(scheduler);
        let parts = Parts { settings, network, signer, keeper, client, surroundings, tip_every: setup.tip_every };
        let (driver, _task) = Driver::start(parts);
        let look_every = (setup.patience / 8).clamp(LOOK_EVERY_MIN, Duration::from_secs(5));
        Ok(Self { driver, collector: Arc::new(collector), clock, look_every })
    }

    /// The pipeline's handle.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Feeds the pipeline until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(self.look_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            // As much as is due: after a long pause that is more than one bundle takes.
            loop {
                match self.ship().await {
                    Ok(true) if !stop.is_cancelled() => continue,
                    Ok(_) => break,
                    // Said by the standing; what is owed stays owed.
                    Err(ShipError::Full | ShipError::Stopped) => break,
                    Err(error) => {
                        tracing::warn!(event = "not_shipped", %error, "what waits to be anchored waits on");
                        break;
                    }
                }
            }
        }
    }

    /// Makes a shipment of what is due; whether anything was.
    async fn ship(&self) -> Result<bool, ShipError> {
        let (collector, now) = (self.collector.clone(), (self.clock)().0);
        let collecting = tokio::task::spawn_blocking(move || collector.collect(now));
        let collected = collecting.await.map_err(|_| ShipError::Stopped)?;
        let Some(parcel) = collected.map_err(|error| KeepError(error.to_string()))? else { return Ok(false) };
        let (items, since_ms) = (parcel.items.len(), parcel.since_ms);
        let number = self.driver.ship(parcel).await?;
        tracing::info!(event = "shipment", number, items, waited_ms = now.saturating_sub(since_ms), "on its way to Arweave");
        Ok(true)
    }
}
