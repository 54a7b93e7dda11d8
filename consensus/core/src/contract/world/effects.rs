//! What engines say, carried out in order; and what became durable.

use ao_types::codec::Canonical;
use bytes::Bytes;

use super::{Broken, Event, World};
use crate::contract::host::Write;
use crate::contract::signatures::Seen;
use crate::scheme::SecretKey as _;
use crate::{Effect, Input, Offence, OriginUpdate, To};

impl World<'_> {
    /// Gives one input to a node's engine and carries out what it says.
    pub(super) fn input(&mut self, n: usize, input: Input) -> Result<(), Broken> {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(n) else { return Ok(()) };
        let clock = host.clock(now);
        let Some(engine) = host.engine.as_mut() else { return Ok(()) };
        let mut out = Vec::new();
        engine.handle(clock, input, &mut out);
        self.carry_out(n, out)?;
        self.plan_tick(n);
        Ok(())
    }

    /// The engine's next deadline.
    pub(super) fn plan_tick(&mut self, n: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(n) else { return };
        let Some(deadline) = host.engine.as_ref().and_then(|engine| engine.next_deadline()) else { return };
        let at = host.world_time(deadline).max(now);
        if host.tick_at.is_none_or(|planned| at < planned) {
            host.tick_at = Some(at);
            let life = host.life;
            self.after(at - now, Event::Tick { node: n, life });
        }
    }

    pub(super) fn on_tick(&mut self, n: usize, life: u64) -> Result<(), Broken> {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.life == life && host.tick_at == Some(now)) else { return Ok(()) };
        host.tick_at = None;
        let due = host.engine.as_ref().and_then(|engine| engine.next_deadline()).is_some_and(|at| host.world_time(at) <= now);
        if !due {
            self.plan_tick(n);
            return Ok(());
        }
        host.ticks = if host.ticks.0 == now { (now, host.ticks.1 + 1) } else { (now, 1) };
        if host.ticks.1 > super::TICKS_MAX {
            return Err(("contract 1", format!("node {n} asks again and again for the same deadline")));
        }
        self.input(n, Input::Tick)
    }

    /// In order (contract 4): records are queued, what follows one in the call waits for it, and what may not overtake waits for all that
    /// waits already.
    fn carry_out(&mut self, n: usize, effects: Vec<Effect>) -> Result<(), Broken> {
        let waits = |write: &Write| matches!(write, Write::Record(_) | Write::Then(_));
        let (mut behind, waiting) = (false, self.hosts.get(n).is_some_and(|host| host.writes.iter().chain(&host.ready).any(waits)));
        for effect in effects {
            self.trace(n, &effect);
            match effect {
                Effect::Remember(record) => {
                    self.write(n, Write::Record(record));
                    behind = true;
                }
                effect if behind || (waiting && !effect.may_overtake()) => self.write(n, Write::Then(Box::new(effect))),
                effect => self.one(n, effect)?,
            }
        }
        Ok(())
    }

    fn one(&mut self, n: usize, effect: Effect) -> Result<(), Broken> {
        let honest = self.hosts.get(n).is_some_and(|host| host.honest);
        match effect {
            Effect::Send(to, bytes) => self.on_send(n, &to, bytes),
            Effect::Fetch(fetch) => {
                self.on_fetch(n, fetch);
                Ok(())
            }
            Effect::Recall(recall) => {
                let Some(host) = self.hosts.get(n) else { return Ok(()) };
                let found = host.disk.records.range(recall.from.clone()..recall.to.clone());
                let records = recall.answer(found.map(|(key, value)| (key.clone(), value.clone())));
                let life = host.life;
                self.after(0, Event::Recalled { node: n, life, whom: recall.whom, records });
                Ok(())
            }
            Effect::Certified(certified) => {
                if honest {
                    self.ledger.on_certified(&certified)?;
                }
                self.on_own_certified(n, &certified);
                Ok(())
            }
            Effect::Confirmed(confirmed) => {
                if honest {
                    let Some(host) = self.hosts.get_mut(n) else { return Ok(()) };
                    self.ledger.on_confirmed(host, &confirmed, &self.frames)?;
                    self.check_voters(&confirmed)?;
                    self.report.confirmed += 1;
                }
                self.on_own_confirmed(n, &confirmed);
                self.write(n, Write::Confirmed(confirmed.frame));
                Ok(())
            }
            Effect::Decided(decided) => {
                let Some(host) = self.hosts.get_mut(n) else { return Ok(()) };
                if honest {
                    self.ledger.on_decided(host, &decided)?;
                }
                // The ledger of these runs: blocks change nothing, but they have a height and a time.
                let update = OriginUpdate { height: decided.height, time: decided.time, changes: Vec::new() };
                let life = host.life;
                self.write(n, Write::Decided(update.clone()));
                self.after(0, Event::Applied { node: n, life, update });
                Ok(())
            }
            Effect::Voided { chain, from } if honest => self.ledger.on_voided(&chain, from),
            Effect::Evidence(evidence) if honest => {
                self.report.evidence += 1;
                let convicted = self.ledger.on_evidence(&evidence, &|whom| self.is_honest(whom))?;
                self.hosts[n].convicted.extend(convicted);
                Ok(())
            }
            Effect::Penalise(peer, offence) if honest => {
                // Loss and crashes look like withholding and, sent again, like flooding; nothing else happens to honest nodes.
                let sure = !matches!(offence, Offence::Withheld | Offence::Flood);
                let blamed = self.hosts.iter().position(|host| host.peer == peer);
                match blamed.filter(|blamed| sure && self.keeps_rules(*blamed)) {
                    Some(_) => Err(("honest", format!("node {n} penalises {peer}, who is honest, for {offence:?}"))),
                    None => Ok(()),
                }
            }
            // Already carried out, said by twins, or for a control plane that these runs do not have.
            Effect::Remember(_) | Effect::Propose(_) | Effect::Voided { .. } | Effect::Evidence(_) | Effect::Penalise(..) => Ok(()),
            // Hosts of these runs keep the bodies of every branch.
            Effect::Forked { .. } => Ok(()),
        }
    }

    fn on_send(&mut self, n: usize, to: &To, bytes: Bytes) -> Result<(), Broken> {
        self.check_signatures(n, &bytes)?;
        if self.overheard.len() < 500 {
            self.overheard.push(bytes.clone());
        }
        let Some(from) = self.hosts.get(n).map(|host| host.peer.clone()) else { return Ok(()) };
        let receivers: Vec<usize> = match to {
            To::All => (0..self.hosts.len()).filter(|other| self.hosts[*other].peer != from).collect(),
            To::Peer(peer) => (0..self.hosts.len()).filter(|other| self.hosts[*other].peer == *peer && *other != n).collect(),
        };
        for to in receivers {
            self.report.messages += 1;
            self.report.bytes += bytes.len() as u64;
            for delay in self.link(n, to) {
                self.after(delay, Event::Deliver { to, from: from.clone(), bytes: bytes.clone() });
            }
        }
        Ok(())
    }

    /// S2, for everything of a node's own key in some bytes.
    pub(super) fn check_signatures(&mut self, n: usize, bytes: &[u8]) -> Result<(), Broken> {
        let (network, frames) = (self.network, &self.frames);
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.honest) else { return Ok(()) };
        for message in host.recorder.find(bytes) {
            let mut seen: Seen = std::mem::take(&mut host.seen);
            let key = host.recorder.public();
            let said = seen.leaves(&network, &key, &message, &host.disk.rows, &|frame, from| Self::descends(frames, frame, from));
            host.seen = seen;
            said.map_err(|what| ("S2", format!("node {n}: {what}")))?;
            host.vouches(&network, &message, frames).map_err(|what| ("promise", format!("node {n}: {what}")))?;
        }
        Ok(())
    }

    /// Queues a write.
    pub(super) fn write(&mut self, n: usize, write: Write) {
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.engine.is_some()) else { return };
        host.writes.push_back(write);
        self.begin_writing(n);
    }

    /// Group commit: everything that waits goes into the next batch.
    fn begin_writing(&mut self, n: usize) {
        let delay = self.random.within(self.scenario.write_ms);
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.writing == 0 && !host.writes.is_empty()) else { return };
        host.writing = host.writes.len();
        let life = host.life;
        self.after(delay, Event::Written { node: n, life });
    }

    pub(super) fn on_written(&mut self, n: usize, life: u64) -> Result<(), Broken> {
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.life == life) else { return Ok(()) };
        let batch: Vec<Write> = host.writes.drain(..host.writing).collect();
        host.writing = 0;
        for write in &batch {
            if let Err(conflict) = host.store(write, &self.frames) {
                return Err(("S2", format!("node {n} is about to contradict itself: {conflict}")));
            }
        }
        host.ready = batch.into();
        while let Some(write) = self.hosts.get_mut(n).and_then(|host| host.ready.pop_front()) {
            match write {
                Write::Record(record) => self.input(n, Input::Remembered(record.key))?,
                Write::Then(effect) => self.one(n, *effect)?,
                Write::Body(id) => self.on_stored(n, id)?,
                Write::Own(id) => self.on_own_stored(n, id)?,
                Write::Confirmed(_) | Write::Decided(_) => {}
            }
        }
        self.begin_writing(n);
        Ok(())
    }

    /// Folds an effect into the run's trace.
    fn trace(&mut self, n: usize, effect: &Effect) {
        let part = match effect {
            Effect::Send(to, bytes) => ao_types::hash::sha256(&[b"send", format!("{to:?}").as_bytes(), bytes]),
            Effect::Remember(record) => ao_types::hash::sha256(&[b"remember", record.key.as_bytes(), &record.value]),
            Effect::Confirmed(confirmed) => ao_types::hash::sha256(&[b"confirmed", &confirmed.frame.0, &confirmed.proof.encode()]),
            other => ao_types::hash::sha256(&[format!("{other:?}").as_bytes()]),
        };
        let all = ao_types::hash::sha256(&[&self.report.trace.to_be_bytes(), &(n as u64).to_be_bytes(), &self.now.to_be_bytes(), &part]);
        self.report.trace = all.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    }
}
