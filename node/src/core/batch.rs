//! One batch is being built while one is being written; what others may see leaves with its batch.
//!
//! Group commit happens here: while the disk is busy with a batch, everything that comes goes into the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::{Body, Draft, Entry, Facts, Frame, Given, SignedHeader, Timestamp};
use ao_storage::schema::{self, FrameKey, FrameRow, Head};
use ao_storage::{Durability, WriteBatch};
use ao_types::{Canonical, Id};
use bytes::Bytes;

use super::effect::Effect;
use super::input::Batch;
use super::{Core, Room, Unconfirmed};

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
    /// Its assignments, for its frames: entry, assignment, and the item where it came along.
    assigned: Vec<(Entry, Bytes, Option<Bytes>)>,
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
    /// What an engine said after something that it must remember.
    Engine(Box<ao_consensus::Effect>),
    /// The engine hears that its record is durable.
    Remembered(String),
    /// An outbox entry of this process is dealt with.
    Settled(Id),
    /// A process has new outbox entries.
    Owes(Id),
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
    /// An assignment: its head, and its entry in a frame.
    pub fn assign(&mut self, head: Head, entry: Entry, assignment: Bytes, item: Option<Bytes>) {
        self.heads.insert(entry.process, head);
        self.assigned.push((entry, assignment, item));
    }

    /// What leaves when the batch is written.
    pub fn then(&mut self, effect: Effect) {
        self.visible.push(Visible::Effect(effect));
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.assigned.is_empty() && self.visible.is_empty()
    }
}

impl Core {
    /// Sends the batch that is being built on its way, if there is one and the disk is free.
    pub(super) fn flush(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.batches.writing.is_some() || self.batches.building.is_empty() || self.room == Room::Full {
            return;
        }
        let Building { mut rows, heads, assigned, mut visible, synced } = std::mem::take(&mut self.batches.building);
        for (process, head) in &heads {
            schema::HEADS.put(&mut rows, process, head);
        }
        for body in Body::split(assigned) {
            let held = body.held();
            let draft = Draft::alone(self.fixed.network_id, body, now, (self.tip.height, self.tip.id));
            // Bodies were cut to fit frames, the only reason to refuse one.
            let Ok(built) = self.chain.build(draft) else { continue };
            let unconfirmed = Unconfirmed { frame: built.frame, signature: Bytes::new(), held, tip: built.tip.encode().into() };
            self.chain = built.tip;
            schema::FRAMES.put(&mut rows, &frame_key(&unconfirmed.frame), &unconfirmed.row(None));
            visible.push(Visible::Frame(Box::new(unconfirmed)));
        }
        let batch = self.batches.number;
        self.batches.number += 1;
        self.batches.writing = Some(visible);
        let durability = if synced { Durability::Synced } else { Durability::Buffered };
        out.push(Effect::Write { term: self.term, batch, rows, durability });
    }

    pub(super) fn on_written(&mut self, now: Timestamp, batch: Batch, out: &mut Vec<Effect>) {
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
                Visible::Engine(effect) => self.engine_effect(now, *effect, out),
                Visible::Remembered(key) => self.engine_input(now, ao_consensus::Input::Remembered(key), out),
                Visible::Settled(process) => self.outbox.settle(now, process, false),
                Visible::Owes(process) => self.outbox.owe(process),
            }
        }
        self.pump_outbox(now, out);
    }
}

impl Unconfirmed {
    /// What the store keeps of it.
    pub(super) fn row(&self, proof: Option<Bytes>) -> FrameRow {
        let Self { frame, signature, held, tip } = self;
        FrameRow { frame: frame.encode().into(), signature: signature.clone(), held: held.clone(), tip: tip.clone(), proof }
    }

    /// What the engine is told.
    pub(super) fn given(&self) -> ao_consensus::Input {
        let header = Arc::new(SignedHeader::alone(self.frame.header.clone()));
        ao_consensus::Input::Frame(Box::new(Given { header, facts: Facts::WHOLE, from: None }))
    }
}

/// Where a frame is stored.
pub(super) fn frame_key(frame: &Frame) -> FrameKey {
    let chain = frame.header.chain;
    FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence: frame.header.sequence }
}
