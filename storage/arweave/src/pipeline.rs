//! Brings each bundle to where nobody can take it away again (`arweave.md`, section 9): a state machine without clock, chance, disk or
//! socket.
//!
//! ```text
//!   bundled ─▶ signed ─▶ posted ─▶ seeded ─▶ seen ─▶ mined ─▶ settled
//!      ▲                   ▲                  │ ▲      │
//!      │                   └── 10 min unseen ─┤ └──────┘ its block is gone
//!      └── its anchor is too old to be mined ─┘
//! ```
//!
//! * Every step is remembered before anything is done that follows from it: the whole header is durable before its first byte leaves, so
//!   a crash at any point leads to the same bytes, the same id and no second payment. One thing is signed at a time.
//! * Another transaction is signed for a bundle only when the one before can no longer be mined: its anchor is older than fifty blocks, and
//!   as many sources as are asked for a fact say that it is in no block. Timeouts, refusals of one endpoint and lost memory pools lead to
//!   the same bytes again. While sources contradict each other about it, it waits and says so: a dispute is not paid for. The one exception
//!   is a transaction that nobody ever took and as many endpoints refuse as must have it: once in a shipment's life, which is remembered,
//!   another is signed at once, since prices and anchors may be the reason.
//! * Nobody is believed alone: a block must be told by two sources where there are two, and settled is what is deep enough *and* was read
//!   back, byte by byte, from a gateway that it was not posted to. Where none such is configured, or none has it thirty blocks after it
//!   was deep enough, from one that took it.
//! * A bundling service has [`PROMISE_BLOCKS`](crate::limits::PROMISE_BLOCKS) at most, whatever its receipt says, and after half of it
//!   another one gets the item too. A promise that was not kept stays in the row, as evidence.
//! * What cannot be paid waits. Nothing is dropped.
//!
//! Whoever drives this: writes everything that one call says to remember, in one synced write, before it begins any task of that call; does
//! each task once, and answers it with whatever came of it.

use std::collections::BTreeMap;

use ao_types::Id;
use bytes::Bytes;

use crate::limits::{SHIPMENTS_MAX, TASKS_MAX};

mod answers;
mod budget;
mod row;
mod step;
mod summary;

pub use budget::{Budget, Spent};
pub use row::{Bundle, Carrier, Covered, Holder, Place, Promise, Shipment, Stage};
pub use summary::{Counts, Summary};

/// How bundles travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// As transactions, paid by the anchoring wallet.
    Chain,
    /// As items given to a bundling service.
    Service,
}

/// What does not change while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How bundles travel.
    pub via: Via,
    /// Endpoints that must have a transaction and its chunks: two, or as many as there are.
    pub copies: usize,
    /// Confirmations from which on it may be called settled.
    pub confirmations: u64,
    /// What may be spent.
    pub budget: Budget,
}

/// What a transaction is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Hash of a recent block.
    pub anchor: [u8; 48],
    /// Its height.
    pub anchor_height: u64,
    /// Winston.
    pub reward: u128,
}

/// Something to be done for a shipment. At most one is out for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Ask for a price, an anchor with its height, and the wallet's balance.
    Quote {
        /// For so many bytes.
        bytes: u64,
    },
    /// Sign a transaction over the bundle, or, without terms, an item that holds it.
    Sign(Option<Terms>),
    /// Post the carrier to an endpoint that is none of these.
    Post {
        /// What.
        carrier: Carrier,
        /// Who has it, or refused it.
        except: Vec<String>,
    },
    /// Upload chunks to an endpoint.
    Seed {
        /// To whom.
        endpoint: String,
        /// First chunk.
        from: u32,
        /// How many.
        count: u32,
    },
    /// Ask what is known of these.
    Status {
        /// Carriers, the newest last.
        carriers: Vec<Id>,
    },
    /// Ask whether a block is still in the chain and lists the transaction.
    Block(Place),
    /// Read the bundle back, from somebody who is none of these if anybody else is configured.
    ReadBack {
        /// Where it is.
        place: Place,
        /// Who has it from us; nobody, when the others had their time.
        except: Vec<String>,
    },
}

/// What came of posting a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Taken, or known already.
    Taken(Option<Promise>),
    /// Refused, with the reason.
    Refused(String),
    /// No answer, or one that says nothing.
    Failed,
}

/// What came of uploading chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeded {
    /// So many were taken for good.
    Taken(u32),
    /// The transaction is not known there yet.
    NoHeader,
    /// Will not keep them: not for good, not attractive, no room.
    Refused(String),
    /// Says that they are wrong.
    Fatal(String),
    /// No answer, or one that says nothing.
    Failed,
}

/// What is known of a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nobody who answered knows it.
    Unknown,
    /// Known, in no block.
    Pending,
    /// Somebody says that it is in a block, and neither do enough others show that block nor enough another.
    Disputed,
    /// In a block.
    Mined(Place),
}

/// What several sources say of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is in the chain and lists the transaction.
    Holds,
    /// Another is in its place, or it does not list the transaction.
    Gone,
    /// They do not agree.
    Split,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of [`Task::Quote`].
    Quoted {
        /// Winston for a transaction of that size.
        price: u128,
        /// Hash of a recent block.
        anchor: [u8; 48],
        /// Its height.
        anchor_height: u64,
        /// Winston in the wallet.
        balance: u128,
    },
    /// Of [`Task::Sign`].
    Signed {
        /// Id of the carrier.
        id: Id,
        /// See [`Carrier::head`].
        head: Bytes,
    },
    /// Of [`Task::Post`].
    Posted {
        /// Who was asked; empty if nobody was.
        endpoint: String,
        /// What came of it.
        outcome: Posted,
    },
    /// Of [`Task::Seed`].
    Seeded(Seeded),
    /// Of [`Task::Status`]: for each carrier in order.
    Status(Vec<Known>),
    /// Of [`Task::Block`].
    Block(Held),
    /// Of [`Task::ReadBack`]: the bytes are those of the bundle.
    ReadBack(bool),
    /// Nobody answered.
    Failed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A bundle is composed; its items are remembered by whoever says so, in the write that this call leads to.
    Composed(Bundle),
    /// The chain's height, as two sources tell it.
    Tip(u64),
    /// A task of a shipment ended.
    Answer {
        /// Which shipment.
        shipment: u64,
        /// How.
        answer: Answer,
    },
    /// A deadline has come.
    Time,
}

/// Something an operator must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The day's spending would exceed its cap.
    Cap,
    /// The wallet would fall below its floor.
    Balance,
    /// Every endpoint refuses a transaction, twice.
    Refused,
    /// An endpoint calls our chunks wrong.
    Fatal,
    /// A bundling service did not keep its promise.
    Breach,
    /// What was settled is no longer in the chain.
    Unsettled,
    /// Sources contradict each other about whether something is in the chain: it waits.
    Disputed,
}

impl Alarm {
    /// Its name in logs, health and metrics.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cap => "spend_cap",
            Self::Balance => "balance_low",
            Self::Refused => "refused",
            Self::Fatal => "chunks_refused",
            Self::Breach => "promise_broken",
            Self::Unsettled => "unsettled",
            Self::Disputed => "disputed",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Remember a shipment, and what was spent since its day began.
    Remember(Box<Shipment>, Option<Spent>),
    /// Do something for a shipment.
    Task {
        /// Which.
        shipment: u64,
        /// What.
        task: Task,
    },
    /// The slots of a shipment are on Arweave for good. Part of what is remembered with it.
    Settled(u64),
    /// They were thought to be, and are not. Part of what is remembered with it.
    Unsettled(u64),
    /// Tell an operator.
    Alarm {
        /// About which shipment.
        shipment: u64,
        /// What.
        alarm: Alarm,
        /// In words, as far as an endpoint gave any.
        why: String,
    },
}

/// There are as many shipments under way as there may be; what waits stays in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SHIPMENTS_MAX} shipments are under way")]
pub struct Full;

/// What need not survive a crash.
#[derive(Debug, Default)]
struct Work {
    out: bool,
    not_before_ms: u64,
    on_tip: bool,
    /// Failures in a row.
    tries: u32,
    /// Who refused the newest carrier.
    refused: Vec<String>,
    /// Who will not keep its chunks.
    avoided: Vec<String>,
    /// Sources contradict each other, and that was said.
    disputed: bool,
    /// Status was answered when the chain was so high.
    asked_tip: Option<u64>,
    asking_tip: u64,
    unseen_since_ms: Option<u64>,
    headless: u32,
    /// The block was found in its place when the chain was so high.
    checked_tip: Option<u64>,
    /// It could not be read back.
    unreadable: bool,
    /// What is being signed.
    terms: Option<Terms>,
}

/// The machine.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    shipments: BTreeMap<u64, (Shipment, Work)>,
    next: u64,
    tip: u64,
    spent: Spent,
    /// Which shipment is being quoted or signed.
    signing: Option<u64>,
    hold: Option<(Alarm, u64)>,
    counts: Counts,
}

impl Pipeline {
    /// As after a crash: from every row that was remembered, `next` above the highest number ever given.
    pub fn restore(settings: Settings, rows: impl IntoIterator<Item = Shipment>, spent: Spent, next: u64) -> Self {
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.number, (row, Work::default()))).collect();
        let next = rows.last_key_value().map_or(next, |(last, _)| next.max(last + 1));
        let shipments = rows.into_iter().filter(|(_, (row, _))| !matches!(row.stage, Stage::Done(_))).collect();
        Self { settings, shipments, next, tip: 0, spent, signing: None, hold: None, counts: Counts::default() }
    }

    /// Number of the next shipment.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether another bundle may be handed in.
    pub fn has_room(&self) -> bool {
        self.shipments.values().filter(|(shipment, _)| !shipment.stage.is_settled()).count() < SHIPMENTS_MAX
    }

    /// Everything under way, in order.
    pub fn shipments(&self) -> impl Iterator<Item = &Shipment> {
        self.shipments.values().map(|(shipment, _)| shipment)
    }

    /// Why nothing is signed now, if so.
    pub fn hold(&self) -> Option<Alarm> {
        self.hold.map(|(alarm, _)| alarm)
    }

    /// Something happened. `chance` is any number; it spreads pauses.
    ///
    /// # Errors
    /// A bundle for which there is no room ([`Pipeline::has_room`]).
    pub fn handle(&mut self, now_ms: u64, chance: u32, input: Input, out: &mut Vec<Effect>) -> Result<(), Full> {
        match input {
            Input::Composed(bundle) => self.on_composed(bundle, out)?,
            Input::Tip(height) => self.on_tip(height),
            Input::Answer { shipment, answer } => self.on_answer(now_ms, chance, shipment, answer, out),
            Input::Time => {}
        }
        if self.hold.is_some_and(|(_, until)| until <= now_ms) {
            self.hold = None;
        }
        self.advance(now_ms, out);
        Ok(())
    }

    /// When to say [`Input::Time`], if nothing else happens before.
    pub fn next_deadline(&self) -> Option<u64> {
        // With as much out as may be, an answer comes first.
        if self.shipments.values().filter(|(_, work)| work.out).count() >= TASKS_MAX {
            return None;
        }
        let idle = self.shipments.values().filter(|(_, work)| !work.out && work.not_before_ms < u64::MAX);
        idle.map(|(_, work)| work.not_before_ms).min()
    }

    fn on_composed(&mut self, bundle: Bundle, out: &mut Vec<Effect>) -> Result<(), Full> {
        if !self.has_room() {
            return Err(Full);
        }
        let number = self.next;
        self.next += 1;
        let shipment = Shipment::new(number, bundle);
        out.push(Effect::Remember(Box::new(shipment.clone()), None));
        self.shipments.insert(number, (shipment, Work::default()));
        Ok(())
    }

    fn on_tip(&mut self, height: u64) {
        if height == self.tip {
            return;
        }
        self.tip = height;
        for (_, work) in self.shipments.values_mut().filter(|(_, work)| work.on_tip) {
            (work.not_before_ms, work.on_tip) = (0, false);
        }
    }

    /// Takes every shipment as far as it goes without an answer.
    fn advance(&mut self, now_ms: u64, out: &mut Vec<Effect>) {
        let mut tasks = self.shipments.values().filter(|(_, work)| work.out).count();
        let due = self.shipments.iter().filter(|(_, (_, work))| !work.out && work.not_before_ms <= now_ms);
        for number in due.map(|(number, _)| *number).collect::<Vec<_>>() {
            if tasks >= TASKS_MAX {
                break;
            }
            tasks += usize::from(self.step(now_ms, number, out));
        }
    }
}
