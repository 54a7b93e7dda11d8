//! The engine: inputs of the seam in, effects of the seam out.
//!
//! Owns the order in which the parts are asked: after every input, whatever it was, everything that may have become possible is done
//! (`advance`), so no part has to know what another one waits for.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::block::FrameRef;
use ao_consensus::checks::Tip;
use ao_consensus::protection::{Guard, SignedRow};
use ao_consensus::{
    Consensus, ControlOp, Decided, Effect, Fetch, Given, Input, Offence, Origin, OriginUpdate, Record, Rosters, Setup, Timestamp, To,
};
use ao_types::{Chain, Committee, Epoch, FrameId, PeerId};
use bytes::Bytes;

use crate::context::Height;
use crate::driver::{Driver, Identity};
use crate::frames::{Frames, Scene, Taken};
use crate::judge::Head;
use crate::limits::{HEIGHTS_PER_CALL_MAX, TOLD_MAX};
use crate::message::Message;
use crate::seats::Seats;
use crate::settings::{ANNOUNCE_DOUBLINGS, Settings};
use crate::sync::Sync;
use crate::wal::Wal;

mod blocks;
mod bodies;
mod build;
mod early;
mod ops;
mod outbox;
mod peers;
mod rounds;

use bodies::Deciding;
use early::Early;
use ops::Ops;
use outbox::Outbox;

/// Engine `bft`. See the crate's documentation.
pub struct Engine {
    identity: Identity,
    settings: Settings,
    rosters: Rosters,
    seats: BTreeMap<Epoch, Seats>,
    origin: Origin,
    arweave: Tip,
    frames: Frames,
    ops: Ops,
    head: Head,
    /// Decided in an earlier life, which may have ended before that was stored.
    untold: Vec<Decided>,
    /// When this node learned of the head.
    head_since: Timestamp,
    /// Decided blocks with their certificates, as they are stored and sent.
    recent: BTreeMap<u64, Bytes>,
    /// `None` until a committee is in force.
    driver: Option<Driver>,
    deciding: Deciding,
    wal: Wal,
    /// The log of the height after the head, as an earlier life left it: until that height begins.
    old_log: BTreeMap<u32, Bytes>,
    /// Rows for the slashing protection that go with the next record.
    guards: Vec<Guard>,
    /// What this key is bound by, whatever the log says.
    bound: Vec<SignedRow>,
    early: Early,
    outbox: Outbox,
    sync: Sync,
    /// When to say how far this node is, and how often it was said of this height.
    announce: Option<(Timestamp, u32)>,
    /// Until when a peer that is behind is not told again how far this node is.
    told: BTreeMap<PeerId, Timestamp>,
    /// For whom older blocks are being read, from which height on, and until when that is believed.
    recalling: BTreeMap<PeerId, (Height, Timestamp)>,
    fetched: BTreeMap<Chain, ((u64, FrameId), Timestamp)>,
    /// Turns by one with everything that is asked of one of several.
    turn: u64,
}

impl Engine {
    /// At start and after a crash.
    pub fn new(setup: Setup) -> Self {
        let settings = Settings::of(&setup);
        let Setup { network, scheme, signer, secret, records, guards, confirmed, decided, .. } = setup;
        let identity = Identity::new(network, Arc::clone(&scheme), signer, secret);
        let mut engine = Self {
            identity,
            settings,
            rosters: Rosters::new(network, scheme, secret),
            seats: BTreeMap::new(),
            origin: Origin::default(),
            arweave: Tip::default(),
            frames: Frames::new(network, confirmed),
            ops: Ops::default(),
            head: crate::judge::GENESIS,
            untold: Vec::new(),
            head_since: Timestamp(0),
            recent: BTreeMap::new(),
            driver: None,
            deciding: Deciding::default(),
            wal: Wal::default(),
            old_log: BTreeMap::new(),
            guards: Vec::new(),
            bound: guards.into_iter().filter_map(|guard| if let Guard::Signed(row) = guard { Some(row) } else { None }).collect(),
            early: Early::default(),
            outbox: Outbox::default(),
            sync: Sync::default(),
            // At once: who is ahead answers.
            announce: Some((Timestamp(0), 0)),
            told: BTreeMap::new(),
            recalling: BTreeMap::new(),
            fetched: BTreeMap::new(),
            turn: 0,
        };
        engine.restore(records, decided);
        engine.bound.retain(|row| row.position.height > engine.head.height.0);
        engine
    }

    /// The height of the last decided block.
    pub fn height(&self) -> u64 {
        self.head.height.0
    }

    fn next_height(&self) -> Height {
        Height(self.head.height.0.saturating_add(1))
    }

    /// Whose committee decides the next height: the one in force after what was applied.
    fn seats(&self) -> Option<&Seats> {
        let applied = self.origin.applied()?.min(self.head.height.0);
        let (epoch, _) = self.origin.epoch_at(applied)?;
        self.seats.get(&epoch)
    }

    fn on_committee(&mut self, committee: Arc<Committee>) {
        let seats = Seats::new(self.identity.scheme.as_ref(), Arc::clone(&committee));
        match (seats, self.rosters.insert(committee)) {
            (Ok(seats), Ok(())) => {
                self.seats.insert(seats.epoch(), seats);
            }
            (Err(error), _) => tracing::error!(%error, "a committee cannot run this engine"),
            (_, Err(error)) => tracing::error!(%error, "a committee's keys are none"),
        }
    }

    fn on_origin(&mut self, now: Timestamp, update: &OriginUpdate) {
        if self.origin.apply(update) {
            self.judge_frames(now);
        }
    }

    fn judge_frames(&mut self, now: Timestamp) {
        let scene = Scene { now, origin: &self.origin, arweave: self.arweave };
        self.frames.judge(&scene);
        self.deciding.stale = true;
    }

    fn on_frame(&mut self, now: Timestamp, given: Given, out: &mut Vec<Effect>) {
        let scene = Scene { now, origin: &self.origin, arweave: self.arweave };
        let taken = self.frames.take(&scene, given);
        self.deciding.stale = true;
        if let Taken::Conflict(evidence) = taken {
            out.push(Effect::Evidence(evidence));
        }
    }

    /// Takes an operation in. True if it is new, and as far as can be told it holds.
    fn on_op(&mut self, op: ControlOp, from: Option<PeerId>) -> bool {
        let holds = if let ControlOp::Evidence(evidence) = &op { evidence.verify(&self.rosters).is_ok() } else { true };
        holds && self.ops.add(op, from)
    }

    fn submit(&mut self, op: ControlOp, out: &mut Vec<Effect>) {
        // The proposer may be anybody, so everybody is told.
        if self.on_op(op.clone(), None) {
            self.broadcast(Message::Op(Box::new(op)), out);
        }
    }

    /// Does everything that may have become possible.
    fn advance(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        out.extend(std::mem::take(&mut self.untold).into_iter().map(Effect::Decided));
        if self.frames.next_deadline().is_some_and(|at| at <= now) {
            self.judge_frames(now);
        }
        // A network of one decides several heights in one call. What is left is done with the next input: the deadline is now.
        for _ in 0..HEIGHTS_PER_CALL_MAX {
            let before = self.head.height;
            self.tick_rounds(now, out);
            if self.head.height == before {
                break;
            }
        }
        self.confirm(now, out);
        self.catch_up(now, out);
        self.announce(now, out);
        self.fetch(now, out);
        self.frames.summarise();
    }

    fn confirm(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let scene = Scene { now, origin: &self.origin, arweave: self.arweave };
        out.extend(self.frames.confirm(&scene).into_iter().map(Effect::Confirmed));
        let forked = self.frames.forked().into_iter();
        out.extend(forked.map(|FrameRef { chain, sequence, frame }| Effect::Forked { chain, sequence, frame }));
    }

    /// Says how far this node is, when nothing else says it: somebody may have missed the last decision.
    fn announce(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some((_, step)) = self.announce.take_if(|(at, _)| *at <= now) else { return };
        let tip = Message::Tip(self.head.height);
        if step == 0 {
            send(To::All, &tip, out);
        } else {
            self.again(now, &tip, out);
        }
        self.announce = Some((now.plus_ms(self.settings.announce_ms << step), (step + 1).min(ANNOUNCE_DOUBLINGS)));
    }

    /// Asks for frames that are lacking, and again after a while.
    fn fetch(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let mut lacking: BTreeMap<Chain, Fetch> = BTreeMap::new();
        for fetch in self.frames.lacking().into_iter().chain(self.deciding.lacking(&self.frames)) {
            match lacking.get_mut(&fetch.chain) {
                Some(other) if fetch.to <= other.to => other.holders.extend(fetch.holders),
                _ => {
                    lacking.insert(fetch.chain, fetch);
                }
            }
        }
        self.fetched.retain(|chain, _| lacking.contains_key(chain));
        for (chain, fetch) in lacking {
            let asked = self.fetched.get(&chain);
            if asked.is_none_or(|(to, at)| *to != fetch.to || at.plus_ms(self.settings.fetch_ms) <= now) {
                self.fetched.insert(chain, (fetch.to, now));
                self.turn = self.turn.wrapping_add(1);
                let holders = self.holders(fetch.holders);
                out.push(Effect::Fetch(Fetch { holders, ..fetch }));
            }
        }
    }

    /// Whom to ask, with some members behind those who are known to have it.
    fn holders(&self, mut holders: Vec<PeerId>) -> Vec<PeerId> {
        const ASKED: usize = 3;
        let members: Vec<PeerId> = self.seats().map(|seats| seats.peers(&self.identity.voter())).unwrap_or_default();
        let count = members.len().min(ASKED);
        holders.extend(members.into_iter().cycle().skip(self.turn as usize % 1024).take(count));
        let mut seen = std::collections::BTreeSet::new();
        holders.retain(|peer| seen.insert(peer.clone()));
        holders
    }

    /// Tells a peer that is behind how far this node is, now and then.
    fn tell(&mut self, now: Timestamp, peer: PeerId, out: &mut Vec<Effect>) {
        self.told.retain(|_, until| *until > now);
        if self.told.len() < TOLD_MAX && !self.told.contains_key(&peer) {
            self.told.insert(peer.clone(), now.plus_ms(self.settings.timeouts.rebroadcast_ms));
            send(To::Peer(peer), &Message::Tip(self.head.height), out);
        }
    }
}

fn send(to: To, message: &Message, out: &mut Vec<Effect>) {
    out.push(Effect::Send(to, message.to_bytes()));
}

fn penalise(peer: &PeerId, offence: Offence, out: &mut Vec<Effect>) {
    out.push(Effect::Penalise(peer.clone(), offence));
}

fn remember(key: String, value: Vec<u8>, guards: Vec<Guard>, out: &mut Vec<Effect>) {
    out.push(Effect::Remember(Record { key, value: value.into(), guards }));
}

impl Consensus for Engine {
    fn name(&self) -> &'static str {
        "bft"
    }

    fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        let mut effects = Vec::new();
        match input {
            Input::Frame(given) => self.on_frame(now, *given, &mut effects),
            Input::Peer(from, bytes) => self.on_peer(now, from, &bytes, &mut effects),
            Input::Remembered(key) => self.outbox.remembered(&key),
            Input::Recalled(whom, records) => self.on_recalled(whom, &records, &mut effects),
            Input::Committee(committee) => self.on_committee(committee),
            Input::Origin(update) => self.on_origin(now, &update),
            Input::Submit(op) => self.submit(*op, &mut effects),
            Input::Tip(tip) => {
                self.arweave = tip;
                self.judge_frames(now);
            }
            Input::Tick => {}
        }
        self.advance(now, &mut effects);
        self.outbox.pass(effects, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let fetch = self.fetched.values().map(|(_, at)| at.plus_ms(self.settings.fetch_ms)).min();
        let announce = self.announce.map(|(at, _)| at);
        let frames = self.frames.next_deadline();
        [self.rounds_deadline(), self.sync.next_deadline(), announce, fetch, frames].into_iter().flatten().min()
    }
}
