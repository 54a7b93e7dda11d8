//! Lives of nodes, and what they schedule.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_types::{BlsSignature, Certificate, Epoch, FrameId, Id, Signers, Slot, Statement};
use bytes::Bytes;

use super::{Broken, Event, ROTTEN, World};
use crate::cheap::Cheap;
use crate::contract::host::{Made, Write};
use crate::limits::WINDOW;
use crate::pace::{Due, Pace, Pending};
use crate::protection::Protection;
use crate::scheme::SecretKey;
use crate::{Body, Certified, ChainTip, Confirmed, Draft, Entry, Facts, Input, Origin, Record, Setup, SignedHeader};

/// In scenarios with rotten frames the first few are good.
const ROTTEN_FROM: u64 = 3;

impl World<'_> {
    /// Somebody dies, to come back after a while. With one left standing at least every fourth crash hits who is down, which is nothing.
    pub(super) fn on_crash(&mut self) -> Result<(), Broken> {
        let n = self.random.below(self.hosts.len());
        let survives = self.random.below(8);
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.engine.is_some()) else { return Ok(()) };
        if let Err(conflict) = host.crash(survives, &self.frames) {
            return Err(("S2", format!("node {n} was about to contradict itself when it crashed: {conflict}")));
        }
        self.report.crashes += 1;
        let pause = self.random.within((1, 1_500));
        self.after(pause, Event::Start { node: n });
        Ok(())
    }

    /// A life begins with what is on the disk (contract 5).
    pub(super) fn on_start(&mut self, n: usize) -> Result<(), Broken> {
        let (network, committee, params) = (self.network, Arc::clone(&self.committee), self.suite.params.clone());
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.engine.is_none()) else { return Ok(()) };
        let signer = Arc::new(host.recorder.clone());
        let records = host.disk.records.iter().map(|(key, value)| Record { key: key.clone(), value: value.clone(), guards: Vec::new() });
        let records = records.filter(|record| !record.is_archived());
        let decided = host.disk.origin.last().map_or(0, |update| update.height);
        let setup = Setup {
            network,
            scheme: Arc::new(Cheap),
            own: host.chain(),
            peer: host.peer.clone(),
            secret: [n as u8; 32],
            params,
            records: records.collect(),
            guards: host.disk.rows.rows(&signer.public()).map(|(guards, _)| guards).unwrap_or_default(),
            confirmed: host.disk.confirmed.values().cloned().collect(),
            decided,
            signer: Some(signer),
        };
        host.given.clear();
        host.heard.clear();
        host.decided = decided;
        host.next = host.disk.confirmed.iter().map(|(chain, tip)| (*chain, tip.next_sequence)).collect();
        host.engine = Some((self.suite.make)(setup));
        let (origin, height) = (host.disk.origin.clone(), 1_000);
        self.input(n, Input::Committee(committee))?;
        for update in origin {
            self.input(n, Input::Origin(Box::new(update)))?;
        }
        let since = self.hosts.get(n).map(|host| host.clock(self.now)).unwrap_or_default();
        self.input(n, Input::Tip(crate::checks::Tip { height, since }))?;
        self.give_kept(n)?;
        self.resume_schedule(n)?;
        self.plan_tick(n);
        Ok(())
    }

    /// In order per chain: every frame above the last one whose confirmation is stored, and those of the window below it.
    fn give_kept(&mut self, n: usize) -> Result<(), Broken> {
        let Some(host) = self.hosts.get(n) else { return Ok(()) };
        let mut kept = Vec::new();
        for (chain, frames) in &host.disk.frames {
            let from = host.disk.confirmed.get(chain).map_or(0, |tip| tip.next_sequence.saturating_sub(WINDOW));
            kept.extend(frames.iter().filter(|(sequence, _)| *sequence >= from).map(|(_, id)| *id));
        }
        kept.into_iter().try_for_each(|id| self.give_stored(n, id, None))
    }

    /// The chain goes on after the last frame that is durable; the last few are told again, with the very same bytes.
    fn resume_schedule(&mut self, n: usize) -> Result<(), Broken> {
        let clock = self.hosts.get(n).map(|host| host.clock(self.now)).unwrap_or_default();
        let Some(host) = self.hosts.get_mut(n) else { return Ok(()) };
        let last = host.disk.own.len().saturating_sub(2 * WINDOW as usize);
        let recent: Vec<FrameId> = host.disk.own.get(last..).unwrap_or_default().to_vec();
        let confirmed = host.chain().and_then(|chain| host.disk.confirmed.get(&chain)).and_then(|tip| tip.next_sequence.checked_sub(1));
        let Some(own) = host.own.as_mut() else { return Ok(()) };
        (own.tip, own.pace, own.pending) = (ChainTip::opened(own.tip.chain), Pace::new(20), 0);
        for made in recent.iter().filter_map(|id| self.frames.get(id)) {
            own.tip = made.tip.clone();
            own.pace.on_built(clock, &made.tip, made.entries);
        }
        if let Some(confirmed) = confirmed {
            own.pace.on_confirmed(confirmed);
        }
        for id in recent {
            self.announce(n, id);
        }
        self.plan_frame(n);
        Ok(())
    }

    pub(super) fn on_load(&mut self, n: usize) -> Result<(), Broken> {
        let more = 1 + self.random.below(5);
        let Some(host) = self.hosts.get_mut(n) else { return Ok(()) };
        if host.engine.is_none() {
            // Clients try again.
            self.after(100, Event::Load { node: n });
            return Ok(());
        }
        host.batches_left = host.batches_left.saturating_sub(1);
        if let Some(own) = host.own.as_mut() {
            own.pending += more;
        }
        self.plan_frame(n);
        Ok(())
    }

    /// Asks the pace when the next frame closes.
    pub(super) fn plan_frame(&mut self, n: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get(n).filter(|host| host.engine.is_some()) else { return };
        let (clock, life) = (host.clock(now), host.life);
        let Some(own) = host.own.as_ref() else { return };
        let pending = Pending { entries: own.pending, payload_bytes: 0, news: false };
        let delay = match own.pace.due(clock, &own.tip, pending) {
            Due::Now => 0,
            Due::At(at) => at.since_ms(clock),
            Due::Certificate | Due::Nothing => return,
        };
        self.after(delay, Event::Due { node: n, life });
    }

    pub(super) fn on_due(&mut self, n: usize, life: u64) -> Result<(), Broken> {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(n).filter(|host| host.life == life && host.engine.is_some()) else { return Ok(()) };
        let clock = host.clock(now);
        let mut origin = Origin::default();
        host.disk.origin.iter().for_each(|update| {
            origin.apply(update);
        });
        let Some(own) = host.own.as_mut() else { return Ok(()) };
        let pending = Pending { entries: own.pending, payload_bytes: 0, news: false };
        if own.pace.due(clock, &own.tip, pending) != Due::Now {
            return Ok(());
        }
        let control_height = origin.applied().unwrap_or_default();
        let entries = std::mem::take(&mut own.pending);
        let sequence = own.tip.next_sequence;
        let rotten = self.scenario.rotten && sequence >= ROTTEN_FROM;
        let forges = rotten && n == ROTTEN[2];
        // Its first rotten frame carries what nobody signed, those above it nothing.
        let first = (sequence == ROTTEN_FROM).then(|| forged(&own.tip, self.committee.members().len()));
        let certificates = forges.then(|| first.into_iter().collect());
        // Which twin made it is in the entries, so twins sign two frames for one place.
        let seed = ao_types::hash::sha256(&[&(n as u64).to_be_bytes(), &life.to_be_bytes(), &sequence.to_be_bytes()]);
        let draft = Draft {
            network_id: self.network,
            epoch: origin.epoch_at(control_height).map(|(epoch, _)| epoch).unwrap_or_default(),
            control_height,
            closed: Vec::new(),
            certificates: certificates.unwrap_or_else(|| own.pace.certificates()),
            body: body(&seed, entries),
            now: clock.max(origin.time_at(control_height).unwrap_or_default()),
            block: (1_000, [0; 48]),
        };
        let Ok(built) = own.tip.build(draft) else {
            return Err(("frame", "a body of a few entries does not fit".into()));
        };
        let Ok(header) = SignedHeader::sign(built.frame.header, &own.wallet) else {
            return Err(("frame", "a wallet does not sign".into()));
        };
        own.tip = built.tip.clone();
        own.pace.on_built(clock, &built.tip, entries);
        let (unlawful, withheld) = (rotten && n == ROTTEN[0], rotten && n == ROTTEN[1]);
        let below = self.frames.get(&header.parent).is_some_and(|parent| parent.refusable);
        let refusable = unlawful || withheld || forges || below;
        let made = Made { header: Arc::new(header), tip: built.tip, entries, maker: n, unlawful, withheld, refusable };
        self.frames.insert(built.id, made);
        self.write(n, Write::Own(built.id));
        self.plan_frame(n);
        Ok(())
    }

    /// An own frame is durable: the engine hears of it, and everybody else.
    pub(super) fn on_own_stored(&mut self, n: usize, frame: FrameId) -> Result<(), Broken> {
        self.check_header(n, &frame)?;
        if let Some(host) = self.hosts.get_mut(n) {
            self.report.frames += u64::from(host.honest);
            host.given.insert(frame);
            host.heard.insert(frame);
        }
        let rotten = self.frames.get(&frame).is_some_and(|made| made.refusable);
        let Some(header) = self.frames.get(&frame).map(|made| made.header.clone()) else { return Ok(()) };
        // Who makes rotten frames does not sign them: this one only schedules.
        if !rotten {
            self.input(n, Input::Frame(Box::new(crate::Given { header, facts: Facts::WHOLE, from: None })))?;
        }
        self.announce(n, frame);
        Ok(())
    }

    pub(super) fn on_own_certified(&mut self, n: usize, certified: &Certified) {
        let Some(own) = self.hosts.get_mut(n).and_then(|host| host.own.as_mut()) else { return };
        if own.tip.chain == certified.chain {
            own.pace.on_certified(&own.tip, certified.sequence, certified.certificates.clone());
            self.plan_frame(n);
        }
    }

    pub(super) fn on_own_confirmed(&mut self, n: usize, confirmed: &Confirmed) {
        let Some(own) = self.hosts.get_mut(n).and_then(|host| host.own.as_mut()) else { return };
        if own.tip.chain == confirmed.chain {
            own.pace.on_confirmed(confirmed.sequence);
            self.plan_frame(n);
        }
    }
}

/// A certificate of the chain's last frame with every name under it, and nobody's signature.
fn forged(tip: &ChainTip, members: usize) -> Certificate {
    let statement = Statement::Frame { chain: tip.chain, sequence: tip.next_sequence.saturating_sub(1), frame: tip.parent };
    let mut signers = Signers::none(members);
    (0..signers.members() as u16).for_each(|member| {
        signers.insert(member);
    });
    Certificate { statement, epoch: Epoch(0), signers, signature: BlsSignature([1; 96]) }
}

/// Entries of nothing: what they say is no engine's business.
fn body(seed: &[u8; 32], entries: usize) -> Body {
    let mut heads: BTreeMap<u8, u64> = BTreeMap::new();
    let entry = |at: usize| {
        let id = |what: &[u8]| Id(ao_types::hash::sha256(&[seed, what, &at.to_be_bytes()]));
        let slot = heads.entry(at as u8).or_default();
        let entry = Entry {
            process: Id([at as u8; 32]),
            schedule_epoch: 0,
            slot: Slot(*slot),
            item: id(b"item"),
            assignment: id(b"assignment"),
            content_hash: id(b"content").0,
            hash_chain: id(b"chain").0,
        };
        (entry, Bytes::from_static(b"assignment"), Some(Bytes::from_static(b"item")))
    };
    Body::of((0..entries).map(entry))
}
