//! One batch is being built while one is being written; what others may see leaves with its batch.
//!
//! Group commit happens here: while the disk is busy with a batch, everything that comes goes into the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::Timestamp;
use ao_consensus::protection::Guard;
use ao_storage::schema::{self, Head};
use ao_storage::{Durability, WriteBatch};
use ao_types::Id;
use bytes::Bytes;

use super::effect::Effect;
use super::input::Batch;
use super::{Core, Room, Unconfirmed};
use crate::handle::Accepted;
use crate::network::seam::{Order, Published};

/// The batch that is being built and the one that is being written.
#[derive(Debug)]
pub struct Batches {
    number: Batch,
    building: Building,
    writing: Option<Vec<Visible>>,
    /// Of what the engine said or is to hear, how much waits for a batch or for its turn within one.
    engine: usize,
}

/// What a batch will be.
#[derive(Debug, Default)]
pub struct Building {
    /// Its rows.
    pub rows: WriteBatch,
    /// Last assignment of each log it lengthens: one row each, however many slots.
    heads: BTreeMap<Id, Head>,
    /// Own frames that are signed with it.
    seals: Vec<Unconfirmed>,
    /// What the attestor's key is bound by from then on.
    guards: Vec<Guard>,
    /// What leaves when it is written, in order.
    pub visible: Vec<Visible>,
    /// Something in it cannot be computed again.
    synced: bool,
}

/// What may be seen, or done, once a batch is written.
#[derive(Debug)]
pub enum Visible {
    /// Leaves as it is.
    Effect(Effect),
    /// Goes to the engine.
    Frame(Box<Unconfirmed>),
    /// An own frame with its body's bytes: gets its signature, goes to the network and to the engine.
    Sealed(Box<Unconfirmed>, Bytes),
    /// What an engine said after something that it must remember.
    Engine(Box<ao_consensus::Effect>),
    /// The engine hears that its record is durable.
    Remembered(String),
    /// An outbox entry of this process is dealt with.
    Settled(Id),
    /// A process has new outbox entries.
    Owes(Id),
    /// A client that sent this item to another scheduler's node can read of it here.
    Seen(Box<Accepted>),
    /// An item is here that submissions wait for.
    Found(Id),
    /// The state at which evaluation of a process begins is in the store.
    Begun(Id),
}

impl Batches {
    /// Numbers go on after `settled`.
    pub fn after(settled: Batch) -> Self {
        Self { number: settled + 1, building: Building::default(), writing: None, engine: 0 }
    }

    /// Number of the batch that is being built.
    pub fn number(&self) -> Batch {
        self.number
    }

    /// The batch that is being built, for rows that can be computed again.
    pub fn buffered(&mut self) -> &mut Building {
        &mut self.building
    }

    /// The batch that is being built, for rows that cannot.
    pub fn synced(&mut self) -> &mut Building {
        self.building.synced = true;
        &mut self.building
    }

    /// What concerns the engine waits for the batch that is being built.
    pub fn engine_then(&mut self, seen: Visible) {
        self.engine += 1;
        self.building.visible.push(seen);
    }

    /// Whether something of the engine's waits.
    pub fn engine_waits(&self) -> bool {
        self.engine > 0
    }

    /// A batch is on its way to the disk.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Nothing is being built or written.
    pub fn at_rest(&self) -> bool {
        self.writing.is_none() && self.building.is_empty()
    }

    /// Everything that will not be seen, because a batch failed.
    pub fn abandon(self) -> impl Iterator<Item = Visible> {
        self.writing.into_iter().flatten().chain(self.building.visible)
    }
}

impl Building {
    /// The last assignment of a log.
    pub fn head(&mut self, process: Id, head: Head) {
        self.heads.insert(process, head);
    }

    /// In which frame slots stand.
    pub fn place(&mut self, frame: &Unconfirmed) {
        for entry in &frame.frame.entries {
            schema::FRAME_OF.put(&mut self.rows, &(entry.process, entry.slot), &frame.frame.header.sequence);
        }
    }

    /// An own frame, to be signed and written with the batch, and published then.
    pub fn seal(&mut self, frame: Unconfirmed, payload: Bytes) {
        self.seals.push(frame.clone());
        self.visible.push(Visible::Sealed(Box::new(frame), payload));
    }

    /// The engine gets a frame when the batch is written.
    pub fn then_frame(&mut self, frame: Unconfirmed) {
        self.visible.push(Visible::Frame(Box::new(frame)));
    }

    /// Signatures that leave after this batch are bound by these rows.
    pub fn guard(&mut self, guards: Vec<Guard>) {
        self.guards.extend(guards);
    }

    /// What leaves when the batch is written.
    pub fn then(&mut self, effect: Effect) {
        self.visible.push(Visible::Effect(effect));
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.heads.is_empty() && self.guards.is_empty() && self.visible.is_empty()
    }
}

impl Core {
    /// Sends the batch that is being built on its way, if there is one and the disk is free.
    pub(super) fn flush(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.batches.writing.is_some() || self.room == Room::Full || self.mode != super::Mode::Running {
            return;
        }
        if self.turn_back(now, out) {
            return;
        }
        self.close_frames(now);
        if self.batches.building.is_empty() {
            return;
        }
        let Building { mut rows, heads, seals, guards, visible, synced } = std::mem::take(&mut self.batches.building);
        for (process, head) in &heads {
            schema::HEADS.put(&mut rows, process, head);
        }
        let batch = self.batches.number;
        self.batches.number += 1;
        self.batches.writing = Some(visible);
        let durability = if synced { Durability::Synced } else { Durability::Buffered };
        out.push(Effect::Write { term: self.term, batch, rows, seals, guards, durability });
    }

    pub(super) fn on_written(&mut self, now: Timestamp, batch: Batch, signatures: Vec<Bytes>, out: &mut Vec<Effect>) {
        let mut signatures = signatures.into_iter();
        let visible = self.batches.writing.take().unwrap_or_default();
        self.recent.durable(batch);
        self.forget_resting();
        for seen in visible {
            if matches!(seen, Visible::Engine(_) | Visible::Remembered(_)) {
                self.batches.engine = self.batches.engine.saturating_sub(1);
            }
            match seen {
                Visible::Effect(effect) => out.push(effect),
                Visible::Frame(unconfirmed) => self.give_frame(now, *unconfirmed, out),
                Visible::Sealed(unconfirmed, payload) => {
                    let sealed = Unconfirmed { signature: signatures.next().unwrap_or_default(), ..*unconfirmed };
                    let published = Published { header: sealed.signed(), payload };
                    out.push(Effect::Order(Box::new(Order::Publish(Arc::new(published)))));
                    self.give_frame(now, sealed, out);
                }
                Visible::Engine(effect) => self.engine_effect(now, *effect, out),
                Visible::Remembered(key) => self.engine_input(now, ao_consensus::Input::Remembered(key), out),
                Visible::Settled(process) => self.outbox.settle(now, process, false),
                Visible::Owes(process) => self.outbox.owe(process),
                Visible::Seen(item) => self.on_seen(&item, out),
                Visible::Found(item) => self.on_found(item, out),
                Visible::Begun(process) => self.begun(now, process, out),
            }
        }
        self.pump_outbox(now, out);
    }
}
