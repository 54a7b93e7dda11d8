//! Anchoring: what this node confirmed goes to Arweave.
//!
//! ```text
//!   CONFIRMED − ANCHOR_HEADS ─▶ collect ─▶ ao_arweave::Driver ─▶ Arweave
//!        (the queue)               ▲             │ rows, synced
//!                                  └── keeper ◀──┘ SHIPMENTS, ANCHOR_HEADS, ANCHORED
//! ```
//!
//! The queue is a difference of two rows: confirming a slot queues it, in the very batch, and nothing can be forgotten by either side. Owns
//! how rows become parcels ([`collect`], certified states [`states`]), where the pipeline remembers ([`keeper`]), what other nodes wrote
//! ([`observe`]) and whether it is what stands here ([`compare`]), whose turn it is ([`turns`]) and what others see of it ([`view`]). What
//! happens to a parcel is `ao-arweave`'s.
//!
//! A node anchors the processes that its own scheduler orders, and those of others when nobody is seen to. It never drops anything: what
//! cannot be sent or paid waits, and says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ao_arweave::client::{Client, Surroundings, fetch::FetchError};
use ao_arweave::driver::{Driver, KeepError, Parts, ShipError, Standing};
use ao_arweave::limits::COPIES;
use ao_arweave::pipeline::{Budget, Counts, Settings, Via};
use ao_storage::Store;
use ao_types::{Address, Id, NetworkId, Signer, Slot};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::handle::Node;
use crate::metrics::Metrics;
use crate::metrics::labels::AnchorOutcome;
use crate::shell::Now;
use crate::shell::digests::Digests;

pub mod collect;
pub mod compare;
mod extras;
mod frames;
pub mod keeper;
mod log;
pub mod observe;
mod outside;
mod results;
pub mod states;
pub mod turns;
pub mod view;

use collect::{Collected, Collector};
use keeper::{StoreKeeper, Told};
use observe::Observer;
use outside::Outside;
pub use outside::{loader, reader};
use states::{Policy, States};
use turns::Turns;
pub use view::View;

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
    /// Every scheduler of the network, in the order of its genesis; none for a node by itself.
    pub schedulers: Vec<Address>,
    /// In tags of everything that is written.
    pub network: NetworkId,
    /// Where it is remembered, and where what goes is read; what was pruned is fetched back.
    pub store: Arc<dyn Store>,
    /// The same without what was pruned: who compares what others wrote has it before him, and fetches nothing because they name it.
    pub here: Arc<dyn Store>,
    /// Digests of what was written to it lately.
    pub digests: Arc<Digests>,
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
    /// What is counted.
    pub metrics: Metrics,
    /// Is told how far processes are anchored.
    pub told: Told,
    /// Who has certified states, and when they go; `None`: none go.
    pub states: Option<(Node, Policy)>,
}

/// A running pipeline, and what it is fed from.
pub struct Anchoring {
    driver: Driver,
    collector: Arc<Collector>,
    view: View,
    clock: Now,
    look_every: Duration,
    metrics: Metrics,
    others: Option<Others>,
    states: Option<States>,
}

/// What concerns other nodes.
struct Others {
    observer: Observer,
    turns: Option<Turns>,
    look_every: Duration,
}

/// Looks are at least so far apart.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(500);
/// Between two looks for states at least.
const STATES_EVERY_MIN: Duration = Duration::from_millis(500);
/// Between two looks at the wallet where nothing is posted: the pipeline asks by itself before it spends.
const WALLET_EVERY: Duration = Duration::from_secs(60);

impl Anchoring {
    /// Begins with what the store remembers. Must be called within a runtime.
    ///
    /// # Errors
    /// The system gives no HTTP client.
    pub fn start(setup: Setup) -> Result<Self, FetchError> {
        let Setup { gateways, services, service_keys, wallet, scheduler, network, store, here, clock, budget, metrics, told, .. } = setup;
        let surroundings: Arc<dyn Surroundings> = Arc::new(Outside::new(clock.clone(), Some(metrics.clone())));
        let client = Client::new(&gateways, &services, service_keys, surroundings.clone())?;
        let via = if wallet.is_some() { Via::Chain } else { Via::Service };
        let copies = COPIES.min(client.gateways().len().max(1));
        let confirmations = setup.confirmations.max(1);
        let settings = Settings { via, copies, confirmations, budget };
        let keeper = Arc::new(StoreKeeper::new(store.clone(), told.clone()));
        let own = scheduler.address();
        let collector = |of: Address| Collector::new(store.clone(), scheduler.clone(), of, network, setup.patience);
        let turns = Turns::new(&setup.schedulers, &own, collector);
        let all = Arc::new(setup.schedulers.iter().copied().collect());
        let others = setup.schedulers.iter().any(|scheduler| *scheduler != own).then(|| {
            let observer = Observer::new(client.clone(), (here, setup.digests), network, (own, all, keeper.signed()), confirmations, told);
            Others { observer, turns, look_every: setup.tip_every }
        });
        let collector = Arc::new(collector(own));
        let states = setup.states.map(|(node, policy)| States::new(node, store.clone(), scheduler.clone(), network, policy));
        let payer = wallet.as_ref().and_then(|wallet| wallet.address().as_id());
        let signer = wallet.unwrap_or(scheduler);
        let parts = Parts { settings, network, signer, keeper, client: client.clone(), surroundings, tip_every: setup.tip_every };
        let (driver, _task) = Driver::start(parts);
        let view = View::new(driver.standing(), client, payer, budget, clock.clone());
        let look_every = (setup.patience / 8).clamp(LOOK_EVERY_MIN, Duration::from_secs(5));
        Ok(Self { driver, collector, view, clock, look_every, metrics, others, states })
    }

    /// The pipeline's handle.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// What others see of it.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Feeds the pipeline until it is told to stop, and counts what it does.
    pub async fn run(mut self, stop: CancellationToken) {
        let others = self.others.take();
        let mut tally = Tally { standing: self.driver.standing(), metrics: self.metrics.clone(), before: Counts::default() };
        let looking = async {
            let mut looks = tokio::time::interval(WALLET_EVERY);
            looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                self.view.look_at_wallet().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.feed() => {}
            () = tally.follow() => {}
            () = looking => {}
            () = self.watch(others) => {}
            () = self.feed_states() => {}
        }
        // What was done while nobody looked.
        tally.count();
    }

    async fn feed(&self) {
        let mut looks = tokio::time::interval(self.look_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            // As much as is due: after a long pause that is more than one bundle takes.
            loop {
                match self.ship().await {
                    Ok(true) => continue,
                    Ok(false) => break,
                    // Said by the standing; what is owed stays owed.
                    Err(ShipError::Full) => break,
                    Err(ShipError::Stopped) => return,
                    Err(error) => {
                        tracing::warn!(event = "not_shipped", %error, "what waits to be anchored waits on");
                        break;
                    }
                }
            }
        }
    }

    /// Brings certified states, each in a parcel of its own; one at a time, and only while there is room. Ends never.
    async fn feed_states(&self) {
        let Some(states) = &self.states else { return std::future::pending().await };
        // Which of each process cannot go at all. As many as processes have states on their way.
        let mut given_up: BTreeMap<Id, Slot> = BTreeMap::new();
        let mut looks = tokio::time::interval(self.look_every.max(STATES_EVERY_MIN));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now_ms = (self.clock)().0;
            let looking = states.clone();
            let due = match tokio::task::spawn_blocking(move || looking.due(now_ms)).await {
                Ok(Ok(due)) => due,
                Ok(Err(error)) => {
                    tracing::warn!(event = "states_wait", %error, "certified states go to Arweave later");
                    continue;
                }
                Err(_) => continue,
            };
            given_up.retain(|process, slot| due.iter().any(|due| (due.process, due.slot) == (*process, *slot)));
            for due in due {
                if self.driver.standing().borrow().full {
                    break;
                }
                let (process, slot) = (due.process, due.slot);
                if given_up.contains_key(&process) {
                    continue;
                }
                let parcel = match states.parcel(due, now_ms).await {
                    Ok(parcel) => parcel,
                    Err(error) if error.may_pass() => {
                        tracing::info!(event = "state_waits", %process, slot = slot.0, %error);
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(event = "state_stays", %process, slot = slot.0, %error, "the next one may go");
                        given_up.insert(process, slot);
                        continue;
                    }
                };
                let bytes = parcel.items.iter().map(|item| item.as_bytes().len()).sum::<usize>();
                match self.driver.ship(parcel).await {
                    Ok(number) => {
                        states.went(&process);
                        tracing::info!(event = "state_shipment", number, %process, slot = slot.0, bytes, "on its way to Arweave");
                    }
                    Err(ShipError::Stopped) => return std::future::pending().await,
                    Err(error) => tracing::info!(event = "not_shipped", %error),
                }
            }
        }
    }

    /// Looks at what other nodes write, and does what they do not. Ends never; a node by itself has nothing to look at.
    async fn watch(&self, others: Option<Others>) {
        let Some(Others { mut observer, mut turns, look_every }) = others else { return std::future::pending().await };
        let mut looks = tokio::time::interval(look_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(tip) = self.view.standing().summary.map(|summary| summary.tip).filter(|tip| *tip > 0) else { continue };
            if let Err(error) = observer.look(tip).await {
                tracing::warn!(event = "not_observed", %error, "what other nodes wrote to Arweave is looked at again");
                continue;
            }
            let Some(turns) = &mut turns else { continue };
            match turns.due(tip, (self.clock)().0, &observer) {
                Ok(due) => self.take_over(due).await,
                Err(error) => tracing::warn!(event = "not_taken_over", %error),
            }
        }
    }

    /// Ships what others owe. Without room it waits for the next look.
    async fn take_over(&self, due: Vec<Arc<Collector>>) {
        for collector in due {
            match self.collect(&collector).await {
                Ok(Collected { parcel: Some(parcel), .. }) => {
                    tracing::info!(event = "taken_over", items = parcel.items.len(), "nobody was seen to bring this to Arweave");
                    if let Err(error) = self.driver.ship(parcel).await {
                        tracing::info!(event = "not_shipped", %error);
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(event = "not_taken_over", %error),
            }
        }
    }

    async fn collect(&self, collector: &Arc<Collector>) -> Result<Collected, String> {
        let (collector, now) = (collector.clone(), (self.clock)().0);
        let collecting = tokio::task::spawn_blocking(move || collector.collect(now));
        collecting.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Makes a shipment of what is due; whether anything was.
    async fn ship(&self) -> Result<bool, ShipError> {
        // Nothing is read that would only be refused.
        if self.driver.standing().borrow().full {
            return Ok(false);
        }
        let now = (self.clock)().0;
        let collected = self.collect(&self.collector).await;
        self.view.collected(match &collected {
            Ok(collected) => collected.broken.first().map_or(Ok(collected.waiting), |why| Err(why.to_string())),
            Err(why) => Err(why.clone()),
        });
        let Some(parcel) = collected.map_err(KeepError)?.parcel else { return Ok(false) };
        let (items, since_ms) = (parcel.items.len(), parcel.since_ms);
        let number = self.driver.ship(parcel).await?;
        tracing::info!(event = "shipment", number, items, waited_ms = now.saturating_sub(since_ms), "on its way to Arweave");
        Ok(true)
    }
}

/// What the pipeline did. Its own counts begin anew with each of its lives; these do not.
struct Tally {
    standing: watch::Receiver<Standing>,
    metrics: Metrics,
    before: Counts,
}

impl Tally {
    /// Until the pipeline ends.
    async fn follow(&mut self) {
        loop {
            self.count();
            if self.standing.changed().await.is_err() {
                return;
            }
        }
    }

    fn count(&mut self) {
        let before = self.before;
        let now = self.standing.borrow_and_update().summary.as_ref().map_or(before, |summary| summary.counts);
        let pairs = [
            (AnchorOutcome::Settled, before.settled, now.settled),
            (AnchorOutcome::Reposted, before.reposted, now.reposted),
            (AnchorOutcome::SignedAgain, before.signed_again, now.signed_again),
            (AnchorOutcome::Reorganised, before.reorgs, now.reorgs),
            (AnchorOutcome::Unreadable, before.unreadable, now.unreadable),
        ];
        for (outcome, before, now) in pairs {
            self.metrics.anchor_posts_total.of(outcome).inc_by(if now < before { now } else { now - before });
        }
        self.before = now;
    }
}
