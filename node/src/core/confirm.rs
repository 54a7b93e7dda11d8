//! Frames and the engine: what is confirmed is evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::{Certified, Chain, Confirmed, Fetch, Proof, Timestamp};
use ao_storage::schema;
use ao_types::{Canonical, Certificate, Committee, Id, Slot, Statement};

use super::batch::Visible;
use super::effect::{Effect, Proven};
use super::{Core, Unconfirmed};
use crate::handle::Event;
use crate::network::seam::Order;

impl Core {
    /// A frame that is durable goes to the engine.
    pub(super) fn give_frame(&mut self, now: Timestamp, unconfirmed: Unconfirmed, out: &mut Vec<Effect>) {
        let given = unconfirmed.given();
        let header = &unconfirmed.frame.header;
        self.unconfirmed.insert((header.chain, header.sequence), unconfirmed);
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
    pub(super) fn engine_effects(&mut self, now: Timestamp, effects: Vec<ao_consensus::Effect>, out: &mut Vec<Effect>) {
        let (mut behind, waiting) = (false, self.batches.engine_waits());
        for effect in effects {
            match effect {
                ao_consensus::Effect::Remember(record) => {
                    let batch = self.batches.synced();
                    if record.value.is_empty() {
                        schema::ENGINE_RECORDS.delete(&mut batch.rows, &record.key);
                    } else {
                        schema::ENGINE_RECORDS.put(&mut batch.rows, &record.key, &record.value);
                    }
                    batch.guard(record.guards);
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
            ao_consensus::Effect::Certified(certified) => self.on_certified(now, certified, out),
            ao_consensus::Effect::Forked { chain, sequence, frame } => self.on_forked(now, chain, (sequence, frame), out),
            ao_consensus::Effect::Send(to, bytes) => out.push(Effect::Order(Box::new(Order::Engine(to, bytes)))),
            ao_consensus::Effect::Recall(recall) => out.push(Effect::Recall(recall)),
            ao_consensus::Effect::Fetch(fetch) => self.on_fetch(now, fetch, out),
            ao_consensus::Effect::Evidence(evidence) => self.on_evidence(Arc::from(evidence), out),
            ao_consensus::Effect::Penalise(peer, offence) => out.push(Effect::Order(Box::new(Order::Penalise(peer, offence)))),
            ao_consensus::Effect::Propose(op) => self.engine_input(now, ao_consensus::Input::Submit(op), out),
            // Carried out above, in its turn.
            ao_consensus::Effect::Remember(_)
            // Chains are closed, and operations applied, by the staking ledger, which no network has yet: there is one epoch and one tenure,
            // and no operation has anything to change. An engine that decides operations says those above `Setup::decided` again in its
            // next life; it is told 0, since none was ever applied, and what it says again is as little to this node as before.
            | ao_consensus::Effect::Voided { .. }
            | ao_consensus::Effect::Decided(_) => {}
        }
    }

    /// The scheduler's next frame carries the certificate; readers hear of the level when they can read it. The row costs no sync: a crash
    /// forgets a level that the engine says again.
    fn on_certified(&mut self, now: Timestamp, certified: Certified, out: &mut Vec<Effect>) {
        let Certified { chain, sequence, certificates, .. } = certified;
        let proven = certificates.last().map(|certificate| self.proven(chain, sequence, certificate));
        if chain == self.chain.chain {
            self.own.pace.on_certified(&self.chain, sequence, certificates);
            self.own.settling.settled(now, sequence);
        }
        let from = self.certified.get(&chain).map_or(0, |last| last.saturating_add(1));
        if from > sequence {
            return;
        }
        out.extend(proven.map(Effect::Proven));
        self.certified.insert(chain, sequence);
        let batch = self.batches.buffered();
        schema::CERTIFIED.put(&mut batch.rows, &(chain.scheduler, chain.tenure), &sequence);
        for (_, frame) in self.unconfirmed.range((chain, from)..=(chain, sequence)) {
            for entry in &frame.frame.entries {
                batch.then(Effect::Tell(Event::Certified { process: entry.process, slot: entry.slot }));
            }
        }
    }

    /// Who signed it.
    fn proven(&self, chain: Chain, sequence: u64, certificate: &Certificate) -> Proven {
        let committee = self.fixed.member.as_ref().map(|member| &member.committee).filter(|one| one.epoch() == certificate.epoch);
        let stake = |committee: &Arc<Committee>| {
            let members = certificate.signers.iter().filter_map(|index| committee.member(index));
            members.map(|member| member.stake.0).fold(0, u128::saturating_add)
        };
        let block = match certificate.statement {
            Statement::Block { height, round, .. } => Some((height, round)),
            _ => None,
        };
        Proven {
            own: (chain == self.chain.chain).then_some(sequence),
            signed: committee.map_or(0, stake),
            total: committee.map_or(0, |committee| committee.total().0),
            block,
        }
    }

    /// What the engine lacks and the node has is given again; for the rest the network is asked.
    fn on_fetch(&mut self, now: Timestamp, fetch: Fetch, out: &mut Vec<Effect>) {
        let Fetch { chain, from, to, holders } = fetch;
        // Another branch than the one that is stored: what is here does not help.
        if self.unconfirmed.get(&(chain, to.0)).is_some_and(|stored| stored.frame.header.id() != to.1) {
            return out.push(Effect::Order(Box::new(Order::Fetch(Fetch { chain, from, to, holders }))));
        }
        let here = self.unconfirmed.range((chain, from)..=(chain, to.0.max(from)));
        let here: Vec<_> = here.map(|((_, sequence), frame)| (*sequence, frame.given())).collect();
        let lacking = here.iter().zip(from..).take_while(|((found, _), expected)| found == expected).count() as u64 + from;
        for (_, given) in here {
            self.engine_input(now, given, out);
        }
        // Of a scheduler with two logs, what is here may be the other one.
        let parted = self.others.get(&chain).is_some_and(|following| following.parted);
        if lacking <= to.0 {
            let from = if parted { from } else { lacking };
            out.push(Effect::Order(Box::new(Order::Fetch(Fetch { chain, from, to, holders }))));
        }
    }

    fn on_confirmed(&mut self, now: Timestamp, confirmed: Confirmed, out: &mut Vec<Effect>) {
        // Rules 2 and 3 of the contract: a confirmation without its frame is the engine's fault, and confirms nothing.
        let place = (confirmed.chain, confirmed.sequence);
        let same = self.unconfirmed.get(&place).is_some_and(|known| known.frame.header.id() == confirmed.frame);
        let Some(unconfirmed) = self.unconfirmed.remove(&place).filter(|_| same) else { return };
        if confirmed.chain == self.chain.chain {
            self.own.pace.on_confirmed(confirmed.sequence);
            self.own.settling.settled(now, confirmed.sequence);
        } else if let Some(following) = self.others.get_mut(&confirmed.chain) {
            following.confirmed = Some(confirmed.sequence);
        }
        if let Proof::Block { certificate, .. } = confirmed.proof.as_ref() {
            out.push(Effect::Proven(self.proven(confirmed.chain, confirmed.sequence, certificate)));
        }
        let frame = &unconfirmed.frame;
        let mut slots: BTreeMap<Id, Slot> = BTreeMap::new();
        let batch = self.batches.buffered();
        for entry in &frame.entries {
            slots.insert(entry.process, entry.slot);
            batch.then(Effect::Tell(Event::Confirmed { process: entry.process, slot: entry.slot }));
        }
        let row = unconfirmed.row(Some(confirmed.proof.encode().into()));
        schema::FRAMES.put(&mut batch.rows, &unconfirmed.key(), &row);
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
