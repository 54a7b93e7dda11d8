//! Frames and the engine: what is confirmed is evaluated.

use std::collections::BTreeMap;

use ao_consensus::{Confirmed, Timestamp};
use ao_storage::schema;
use ao_types::{Canonical, Id, Slot};

use super::batch::{Visible, frame_key};
use super::effect::Effect;
use super::{Core, Unconfirmed};
use crate::handle::Event;

impl Core {
    /// A frame of ours that is durable goes to the engine.
    pub(super) fn give_frame(&mut self, now: Timestamp, unconfirmed: Unconfirmed, out: &mut Vec<Effect>) {
        let given = unconfirmed.given();
        self.unconfirmed.insert(unconfirmed.frame.header.sequence, unconfirmed);
        self.engine_input(now, given, out);
    }

    /// Tells the engine, and does what it says.
    pub(super) fn engine_input(&mut self, now: Timestamp, input: ao_consensus::Input, out: &mut Vec<Effect>) {
        let mut effects = Vec::new();
        self.engine.handle(now, input, &mut effects);
        self.engine_effects(now, effects, out);
    }

    /// Rule 4 of the engine's contract: what it says after something to remember waits until that is durable, and so does what may not
    /// overtake what waits.
    fn engine_effects(&mut self, now: Timestamp, effects: Vec<ao_consensus::Effect>, out: &mut Vec<Effect>) {
        let (mut behind, waiting) = (false, self.batches.engine_waits());
        for effect in effects {
            match effect {
                ao_consensus::Effect::Remember(record) => {
                    let batch = self.batches.synced();
                    schema::ENGINE_RECORDS.put(&mut batch.rows, &record.key, &record.value);
                    self.batches.engine_then(Visible::Remembered(record.key));
                    behind = true;
                }
                effect if behind || (waiting && !effect.may_overtake()) => {
                    self.batches.engine_then(Visible::Engine(Box::new(effect)));
                }
                effect => self.engine_effect(now, effect, out),
            }
        }
    }

    /// Carries out one effect of the engine.
    pub(super) fn engine_effect(&mut self, now: Timestamp, effect: ao_consensus::Effect, out: &mut Vec<Effect>) {
        match effect {
            ao_consensus::Effect::Confirmed(confirmed) => self.on_confirmed(now, confirmed, out),
            // What engines say to other nodes and to a control plane: this node has neither, and its engine says none of it.
            ao_consensus::Effect::Remember(_)
            | ao_consensus::Effect::Send(..)
            | ao_consensus::Effect::Fetch(_)
            | ao_consensus::Effect::Certified(_)
            | ao_consensus::Effect::Voided { .. }
            | ao_consensus::Effect::Decided(_)
            | ao_consensus::Effect::Propose(_)
            | ao_consensus::Effect::Evidence(_)
            | ao_consensus::Effect::Penalise(..) => {}
        }
    }

    fn on_confirmed(&mut self, now: Timestamp, confirmed: Confirmed, out: &mut Vec<Effect>) {
        // Rules 2 and 3 of the contract: a confirmation without its frame is the engine's fault, and confirms nothing.
        let Some(unconfirmed) = self.unconfirmed.remove(&confirmed.sequence) else { return };
        let frame = &unconfirmed.frame;
        let mut slots: BTreeMap<Id, Slot> = BTreeMap::new();
        let batch = self.batches.buffered();
        for entry in &frame.entries {
            slots.insert(entry.process, entry.slot);
            batch.then(Effect::Tell(Event::Confirmed { process: entry.process, slot: entry.slot }));
        }
        let row = unconfirmed.row(Some(confirmed.proof.encode().into()));
        schema::FRAMES.put(&mut batch.rows, &frame_key(frame), &row);
        for (process, slot) in &slots {
            schema::CONFIRMED.put(&mut batch.rows, process, slot);
        }
        let number = self.batches.number();
        for (id, slot) in slots {
            if let Some(process) = self.processes.get_mut(&id) {
                process.confirmed = Some(slot);
                process.written = number;
                if process.behind() && !std::mem::replace(&mut process.owing, true) {
                    schema::OWING.put(&mut self.batches.buffered().rows, &id, &slot);
                }
            }
            self.advance(now, id, out);
        }
    }
}
