//! Drives the pipeline against the world: the only part of this crate that waits.
//!
//! ```text
//!   Driver::ship ─▶ ┌──────────┐ rows, synced ─▶ Keeper (the node's store)
//!        tip, time ─▶│ pipeline │ tasks ────────▶ Client, signer ─▶ answers ─┐
//!                    └──────────┘◀────────────────────────────────────────────┘
//! ```
//!
//! One task owns the pipeline. What it says to remember is written before any task of the same call begins; if that fails, nothing of the
//! call counts and the pipeline begins again from what is remembered, as after a crash. Tasks are bounded by the pipeline. Bundles are kept
//! in memory while they are worked on, and composed again from their items when they are not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ao_types::{DataItem, Id, NetworkId, Signer, Verified};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::client::{Client, Surroundings};
use crate::compose::{ComposeError, Composed, compose};
use crate::limits::{BUNDLES_KEPT, PARCELS_WAITING};
use crate::pipeline::{Alarm, Answer, Bundle, Covered, Effect, Input, Pipeline, Settings, Shipment, Spent, Summary, Task};

mod perform;

/// What is to be anchored together, in order.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The items of the bundle.
    pub items: Vec<Verified<DataItem>>,
    /// Which of them the sender made for this parcel. Items of others may say that they are records, or be older records of the sender's
    /// own: nothing may follow from them.
    pub records: Vec<Id>,
    /// Slots that they anchor.
    pub covered: Vec<Covered>,
    /// Since when the oldest has waited.
    pub since_ms: u64,
}

/// What one call of the pipeline says to remember. One atomic, synced write.
#[derive(Debug, Default)]
pub struct Rows<'a> {
    /// Shipments as they are now; of two with one number the later counts.
    pub shipments: Vec<Shipment>,
    /// What was spent.
    pub spent: Option<Spent>,
    /// A new shipment's number and what it is made of: its items are no longer owed by the queue, and are found again by the number.
    pub parcel: Option<(u64, &'a Parcel)>,
    /// Shipments whose slots are anchored now.
    pub settled: Vec<u64>,
    /// Shipments whose slots are anchored no more.
    pub unsettled: Vec<u64>,
}

/// Everything that was remembered.
#[derive(Debug, Default)]
pub struct Remembered {
    /// All shipments that are not done, and the one with the highest number.
    pub shipments: Vec<Shipment>,
    /// What was spent.
    pub spent: Spent,
    /// Above every number ever given.
    pub next: u64,
}

/// The store could not do it. (retry)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeepError(pub String);

/// Who remembers. Calls may block: they are made where that is allowed.
pub trait Keeper: Send + Sync + 'static {
    /// Everything that was remembered.
    ///
    /// # Errors
    /// The store's.
    fn load(&self) -> Result<Remembered, KeepError>;

    /// Writes all of it or nothing, durable when it returns.
    ///
    /// # Errors
    /// The store's: then nothing was written.
    fn remember(&self, rows: Rows<'_>) -> Result<(), KeepError>;

    /// The items of a shipment, in their order.
    ///
    /// # Errors
    /// The store's.
    fn items(&self, shipment: u64) -> Result<Vec<Verified<DataItem>>, KeepError>;

    /// Something an operator must know.
    fn alarm(&self, shipment: u64, alarm: Alarm, why: &str);
}

/// What the driver is made of.
pub struct Parts {
    /// See [`Settings`].
    pub settings: Settings,
    /// In tags of transactions.
    pub network: NetworkId,
    /// Pays for transactions, or signs items for a bundling service.
    pub signer: Arc<dyn Signer>,
    /// Who remembers.
    pub keeper: Arc<dyn Keeper>,
    /// Whom to ask.
    pub client: Client,
    /// Clock and chance.
    pub surroundings: Arc<dyn Surroundings>,
    /// Between two looks at the chain's height.
    pub tip_every: Duration,
}

/// Why a parcel does not become a shipment.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// It makes no bundle.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// It is not remembered.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// As much is under way as may be: later.
    #[error("as many shipments are under way as may be")]
    Full,
    /// The driver has ended.
    #[error("anchoring has stopped")]
    Stopped,
}

/// Where anchoring stands, for whoever looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of the pipeline; `None` before it was restored.
    pub summary: Option<Summary>,
    /// Since when the oldest shipment waits that is not settled.
    pub oldest_ms: Option<u64>,
    /// Tasks under way.
    pub busy: usize,
    /// As many shipments are under way as may be: another would be refused.
    pub full: bool,
    /// Why nothing is remembered, if so.
    pub unkept: Option<String>,
}

struct Order {
    parcel: Parcel,
    bundle: Bundle,
    composed: Arc<Composed>,
    reply: oneshot::Sender<Result<u64, ShipError>>,
}

/// A handle on the task that drives. It ends when the last handle is dropped.
#[derive(Clone)]
pub struct Driver {
    orders: mpsc::Sender<Order>,
    standing: watch::Receiver<Standing>,
}

impl Driver {
    /// Starts the task, from what is remembered.
    pub fn start(parts: Parts) -> (Self, tokio::task::JoinHandle<()>) {
        let (orders, inbox) = mpsc::channel(PARCELS_WAITING);
        let (shown, standing) = watch::channel(Standing::default());
        let context = Arc::new(Context { parts, bundles: Mutex::default() });
        let task = tokio::spawn(run(context, inbox, shown));
        (Self { orders, standing }, task)
    }

    /// Makes a shipment of a parcel. When this returns, it is remembered, with everything that the keeper writes along.
    ///
    /// # Errors
    /// It makes no bundle, or is not remembered, or has no room: then it is still owed.
    pub async fn ship(&self, parcel: Parcel) -> Result<u64, ShipError> {
        let composing = tokio::task::spawn_blocking(move || {
            let composed = compose(&parcel.items)?;
            Ok::<_, ComposeError>((parcel, composed))
        });
        let (parcel, composed) = composing.await.map_err(|_| ShipError::Stopped)??;
        let bundle = Bundle {
            root: composed.root(),
            bytes: composed.bytes.len() as u64,
            chunks: composed.chunk_count() as u32,
            items: composed.ids.len() as u32,
            since_ms: parcel.since_ms,
            covered: parcel.covered.clone(),
        };
        let (reply, answer) = oneshot::channel();
        let order = Order { parcel, bundle, composed: Arc::new(composed), reply };
        self.orders.send(order).await.map_err(|_| ShipError::Stopped)?;
        answer.await.map_err(|_| ShipError::Stopped)?
    }

    /// Where it stands; changes whenever anything happens.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }
}

/// What tasks share.
struct Context {
    parts: Parts,
    /// Bundles in memory by shipment, the one used last at the end.
    bundles: Mutex<VecDeque<(u64, Arc<Composed>)>>,
}

impl Context {
    fn keep(&self, number: u64, composed: Arc<Composed>) {
        let mut bundles = self.bundles.lock();
        bundles.retain(|(known, _)| *known != number);
        if bundles.len() >= BUNDLES_KEPT {
            bundles.pop_front();
        }
        bundles.push_back((number, composed));
    }

    /// The bundle of a shipment, byte by byte the one that it began with.
    async fn bundle(self: &Arc<Self>, number: u64, root: [u8; 32]) -> Option<Arc<Composed>> {
        let known = self.bundles.lock().iter().find(|(known, _)| *known == number).map(|(_, composed)| composed.clone());
        if known.is_some() {
            return known;
        }
        let context = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let items = context.parts.keeper.items(number).map_err(|error| error.to_string())?;
            compose(&items).map_err(|error| error.to_string())
        });
        let why = match made.await {
            Ok(Ok(composed)) if composed.root() == root => {
                let composed = Arc::new(composed);
                self.keep(number, composed.clone());
                return Some(composed);
            }
            Ok(Ok(_)) => "the items in the store make another bundle".to_owned(),
            Ok(Err(why)) => why,
            Err(_) => return None,
        };
        self.parts.keeper.alarm(number, Alarm::Fatal, &why);
        None
    }
}

/// The pipeline with what is out for it. A life ends when something is not remembered.
struct Life {
    context: Arc<Context>,
    pipeline: Pipeline,
    tasks: JoinSet<(u64, Answer)>,
    /// Something was remembered: the next failure is a first one.
    kept: bool,
}

impl Life {
    async fn begin(context: &Arc<Context>) -> Result<Self, KeepError> {
        let keeper = context.parts.keeper.clone();
        let loaded = tokio::task::spawn_blocking(move || keeper.load()).await;
        let Remembered { shipments, spent, next } = loaded.map_err(|error| KeepError(error.to_string()))??;
        let pipeline = Pipeline::restore(context.parts.settings, shipments, spent, next);
        Ok(Self { context: context.clone(), pipeline, tasks: JoinSet::new(), kept: false })
    }

    /// Something happened: remember, then act.
    async fn hear(&mut self, input: Input, parcel: Option<(u64, Parcel)>) -> Result<(), ShipError> {
        let surroundings = &self.context.parts.surroundings;
        let mut effects = Vec::new();
        let heard = self.pipeline.handle(surroundings.now_ms(), surroundings.chance(), input, &mut effects);
        heard.map_err(|_| ShipError::Full)?;
        let (mut shipments, mut tasks) = (Vec::new(), Vec::new());
        let (mut spent, mut settled, mut unsettled) = (None, Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Remember(shipment, now_spent) => {
                    shipments.push(*shipment);
                    spent = now_spent.or(spent);
                }
                Effect::Settled(number) => settled.push(number),
                Effect::Unsettled(number) => unsettled.push(number),
                Effect::Alarm { shipment, alarm, why } => self.context.parts.keeper.alarm(shipment, alarm, &why),
                Effect::Task { shipment, task } => tasks.push((shipment, task)),
            }
        }
        if !shipments.is_empty() {
            let keeper = self.context.parts.keeper.clone();
            let write = tokio::task::spawn_blocking(move || {
                let parcel = parcel.as_ref().map(|(number, parcel)| (*number, parcel));
                keeper.remember(Rows { shipments, spent, parcel, settled, unsettled })
            });
            write.await.map_err(|error| KeepError(error.to_string()))??;
            self.kept = true;
        }
        for (number, task) in tasks {
            self.begin_task(number, task);
        }
        Ok(())
    }

    fn begin_task(&mut self, number: u64, task: Task) {
        let shipment = self.pipeline.shipments().find(|shipment| shipment.number == number);
        let Some(bundle) = shipment.map(|shipment| shipment.bundle.clone()) else { return };
        let (context, tip) = (self.context.clone(), self.pipeline.summary().tip);
        self.tasks.spawn(async move { (number, perform::perform(&context, number, &bundle, tip, task).await) });
    }

    async fn take(&mut self, order: Order) -> Result<(), KeepError> {
        let Order { parcel, bundle, composed, reply } = order;
        let number = self.pipeline.next_number();
        self.context.keep(number, composed);
        let heard = self.hear(Input::Composed(bundle), Some((number, parcel))).await;
        let broken = if let Err(ShipError::Keep(error)) = &heard { Some(error.clone()) } else { None };
        // Who asked may have gone: the shipment is under way all the same.
        drop(reply.send(heard.map(|()| number)));
        broken.map_or(Ok(()), Err)
    }

    /// Until something is not remembered; `Ok` when nobody holds a handle any more.
    async fn live(&mut self, inbox: &mut mpsc::Receiver<Order>, shown: &watch::Sender<Standing>) -> Result<(), KeepError> {
        let mut looks = tokio::time::interval(self.context.parts.tip_every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (tips_in, mut tips) = mpsc::channel(1);
        let mut looking = JoinSet::new();
        loop {
            shown.send_replace(Standing {
                summary: Some(self.pipeline.summary()),
                oldest_ms: self.pipeline.oldest_ms(),
                busy: self.tasks.len(),
                full: !self.pipeline.has_room(),
                unkept: None,
            });
            let now = self.context.parts.surroundings.now_ms();
            // A day at most: a deadline that never comes is looked at again.
            let pause = self.pipeline.next_deadline().map_or(u64::MAX, |at| at.saturating_sub(now)).min(86_400_000);
            let heard = tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => {
                        self.take(order).await?;
                        continue;
                    }
                    None => return Ok(()),
                },
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => match ended {
                    Ok((shipment, answer)) => self.hear(Input::Answer { shipment, answer }, None).await,
                    // A bug ended a task, and which one is not known: begin again from what is remembered.
                    Err(error) => return Err(KeepError(format!("a task of anchoring ended early: {error}"))),
                },
                Some(tip) = tips.recv() => self.hear(Input::Tip(tip), None).await,
                _ = looks.tick(), if looking.is_empty() => {
                    let (client, tips) = (self.context.parts.client.clone(), tips_in.clone());
                    looking.spawn(async move {
                        if let Some(tip) = client.tip().await {
                            let _gone_with_this_life = tips.send(tip).await;
                        }
                    });
                    continue;
                }
                Some(_) = looking.join_next(), if !looking.is_empty() => continue,
                () = tokio::time::sleep(Duration::from_millis(pause)) => self.hear(Input::Time, None).await,
            };
            match heard {
                Err(ShipError::Keep(error)) => return Err(error),
                _ => continue,
            }
        }
    }
}

async fn run(context: Arc<Context>, mut inbox: mpsc::Receiver<Order>, shown: watch::Sender<Standing>) {
    let mut failures = 0;
    loop {
        let ended = match Life::begin(&context).await {
            Ok(mut life) => {
                let ended = life.live(&mut inbox, &shown).await;
                failures = if life.kept { 0 } else { failures };
                ended
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        failures += 1;
        shown.send_modify(|standing| standing.unkept = Some(error.to_string()));
        let pause = crate::backoff::pause_ms(failures, context.parts.surroundings.chance());
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// A bundle as it was posted, from what leads it and its own bytes.
fn joined(head: &Bytes, composed: &Composed) -> Bytes {
    [&head[..], &composed.bytes[..]].concat().into()
}
