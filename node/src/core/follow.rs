//! The chains of the other schedulers: each frame in its turn, one chain independent of the others.
//!
//! ```text
//!   Received ─▶ next in its chain? ─no─▶ kept (bounded), what lies between is fetched
//!                  │ yes                     ▲ looked at again when its predecessor is in, or its items are here
//!                  ▼                         │
//!               facts of now, items here? ─no┘
//!                  │ yes
//!               rules of the log ─broken─▶ the engine is told, the sender pays, nothing is stored
//!                  │ hold
//!               one synced batch: the rows of every entry, the frame ─▶ engine (whole), "stored" to the network
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::checks::contents::{self, Log};
use ao_consensus::schedule::Head;
use ao_consensus::{Chain, ChainTip, Contents, Evidence, Facts, Fetch, Frame, FrameId, Given, Offence, Refusal, SignedHeader, Timestamp};
use ao_storage::schema;
use ao_types::{Canonical, Id, PeerId};
use bytes::Bytes;

use super::batch::Visible;
use super::effect::Effect;
use super::input::{Place, ProcessFacts, Received, RecoveredChain};
use super::{Core, Mode, Room, Unconfirmed, ingest};
use crate::handle::Accepted;
use crate::limits::{FOLLOW_LOOK_MS, FRAMES_KEPT_BYTES_MAX, FRAMES_KEPT_MAX, FRAMES_UNCONFIRMED_MAX};
use crate::network::seam::{Held, Judge, Order, Verdict, Way};

/// A chain of another scheduler.
#[derive(Debug)]
pub struct Following {
    /// After the last frame that was applied, written or not.
    pub tip: ChainTip,
    /// The last frame that the engine confirmed: it opens the window where frames carry no certificates.
    pub confirmed: Option<u64>,
    /// When a frame with entries was applied last.
    pub busy: Option<Timestamp>,
    /// Frames that came before their predecessor, and the next one while items of it are missing.
    kept: BTreeMap<u64, Received>,
    bytes: usize,
    /// The next frame waits for items: looked up again then.
    look: Option<Timestamp>,
    /// A frame was seen that belongs behind another one than is stored here.
    pub parted: bool,
}

impl Following {
    /// As the store has it.
    pub fn recovered(chain: RecoveredChain) -> Self {
        let confirmed = chain.window.last().map(|last| last.frame.header.sequence);
        Self { tip: chain.tip, confirmed, busy: None, kept: BTreeMap::new(), bytes: 0, look: None, parted: false }
    }

    /// When to look again for items that are missing.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.look
    }

    /// Keeps a frame; when there is no room, the one furthest ahead goes: it comes again by fetching.
    fn keep(&mut self, received: Received) {
        self.bytes += received.bytes();
        if let Some(before) = self.kept.insert(received.header.sequence, received) {
            self.bytes -= before.bytes();
        }
        while self.kept.len() > FRAMES_KEPT_MAX || (self.bytes > FRAMES_KEPT_BYTES_MAX && self.kept.len() > 1) {
            let Some((_, furthest)) = self.kept.pop_last() else { break };
            self.bytes -= furthest.bytes();
        }
    }

    /// Takes out a child of this frame.
    fn kept_after(&mut self, (sequence, frame): (u64, FrameId)) -> Option<Received> {
        let next = sequence.checked_add(1)?;
        self.kept.get(&next).filter(|received| received.header.parent == frame)?;
        let received = self.kept.remove(&next)?;
        self.bytes -= received.bytes();
        Some(received)
    }

    /// The frame whose turn it is, if it is kept. Those that are past are dropped.
    fn next(&mut self) -> Option<Received> {
        while let Some(entry) = self.kept.first_entry() {
            if *entry.key() > self.tip.next_sequence {
                return None;
            }
            let received = entry.remove();
            self.bytes -= received.bytes();
            if received.header.sequence == self.tip.next_sequence {
                return Some(received);
            }
        }
        None
    }
}

impl Core {
    /// Follows these chains from where the store has them.
    pub(super) fn follow(&mut self, chains: Vec<RecoveredChain>) {
        self.others = chains.into_iter().map(|chain| (chain.tip.chain, Following::recovered(chain))).collect();
    }

    /// Bytes for the engine, which alone can tell whether they are worth anything.
    pub(super) fn on_peer(&mut self, now: Timestamp, from: PeerId, bytes: Bytes, judge: Judge, out: &mut Vec<Effect>) {
        if self.mode != Mode::Running {
            return;
        }
        let mut effects = Vec::new();
        self.engine.handle(now, ao_consensus::Input::Peer(from.clone(), bytes), &mut effects);
        let wrong = effects.iter().any(|effect| matches!(effect, ao_consensus::Effect::Penalise(peer, _) if *peer == from));
        out.push(Effect::Verdict(judge, if wrong { Verdict::Reject } else { Verdict::Accept }));
        self.engine_effects(now, effects, out);
    }

    pub(super) fn on_tip(&mut self, now: Timestamp, tip: crate::chain::Block, out: &mut Vec<Effect>) {
        let moved = tip.height != self.tip.height;
        self.tip = tip;
        if moved && self.mode == Mode::Running && self.fixed.member.is_some() {
            let tip = ao_consensus::Tip { height: self.tip.height, since: now };
            self.engine_input(now, ao_consensus::Input::Tip(tip), out);
        }
    }

    /// A frame of another scheduler.
    pub(super) fn on_received(&mut self, now: Timestamp, received: Received, out: &mut Vec<Effect>) {
        // A node that cannot write keeps nothing: what it lacks it asks for when it can.
        if self.mode != Mode::Running || self.room > Room::Enough {
            return;
        }
        let chain = received.header.chain;
        if chain == self.chain.chain {
            return;
        }
        let Some(following) = self.others.get_mut(&chain) else {
            return penalise(received.from, Offence::Foreign, out);
        };
        let (sequence, next) = (received.header.sequence, following.tip.next_sequence);
        if sequence < next {
            return self.compare(now, received, out);
        }
        if sequence > next {
            // The lowest one that is kept says how far the gap goes.
            if following.kept.first_key_value().is_none_or(|(lowest, _)| sequence < *lowest) {
                let to = (sequence - 1, received.header.parent);
                let fetch = Fetch { chain, from: next, to, holders: vec![received.from.clone()] };
                out.push(Effect::Order(Box::new(Order::Fetch(fetch))));
            }
            return following.keep(received);
        }
        self.take_next(now, received, out);
        self.take_kept(now, chain, out);
    }

    /// Frames whose turn has come.
    fn take_kept(&mut self, now: Timestamp, chain: Chain, out: &mut Vec<Effect>) {
        while let Some(following) = self.others.get_mut(&chain) {
            if following.look.is_some() {
                return;
            }
            let Some(next) = following.next() else { return };
            self.take_next(now, next, out);
        }
    }

    /// Items that were missing may be here.
    pub(super) fn look_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for following in self.others.values_mut() {
            if following.look.is_some_and(|at| at <= now) {
                following.look = None;
                out.extend(following.next().map(|received| Effect::LookUpFrame(Box::new(received))));
            }
        }
    }

    /// The frame whose turn it is.
    fn take_next(&mut self, now: Timestamp, received: Received, out: &mut Vec<Effect>) {
        let chain = received.header.chain;
        if received.as_of < self.recent.oldest() {
            return out.push(Effect::LookUpFrame(Box::new(received)));
        }
        if let Some(frame) = self.forks.excludes(&received.header) {
            let to = (received.header.sequence, frame);
            let fetch = Fetch { chain, from: to.0, to, holders: Vec::new() };
            return out.push(Effect::Order(Box::new(Order::Fetch(fetch))));
        }
        let Some(following) = self.others.get_mut(&chain) else { return };
        let (header, id) = (&received.header, received.header.id());
        let tip = match following.tip.follow_knowing(following.confirmed, self.fixed.network_id, header, id) {
            Ok(tip) => tip,
            // How far this node has followed decisions is its own matter.
            Err(Refusal::Window { .. }) => {
                following.look = Some(now.plus_ms(FOLLOW_LOOK_MS));
                return following.keep(received);
            }
            Err(refusal) => return self.refuse_frame(now, received, refusal, out),
        };
        // Whether carried certificates are true is the engine's to say, later: a scheduler that forges them must not fill this node with
        // frames that nobody will ever confirm.
        let confirmed = following.confirmed.map_or(0, |last| last.saturating_add(1));
        if received.header.sequence >= confirmed.saturating_add(FRAMES_UNCONFIRMED_MAX) {
            following.look = Some(now.plus_ms(FOLLOW_LOOK_MS));
            return following.keep(received);
        }
        if !received.missing.is_empty() {
            let order = Order::Items { ids: received.missing.clone(), holders: vec![received.from.clone()] };
            out.push(Effect::Order(Box::new(order)));
            following.look = Some(now.plus_ms(FOLLOW_LOOK_MS));
            return following.keep(received);
        }
        let log = Before::new(self, &received);
        if let Err(refusal) = contents::check(&received.header, &received.entries, &received.read, &log) {
            return self.refuse_frame(now, received, refusal, out);
        }
        self.apply(now, received, tip);
    }

    /// Everything about a frame goes into one batch.
    fn apply(&mut self, now: Timestamp, received: Received, tip: ChainTip) {
        let Received { from, header, entries, held, assigned, submissions, .. } = received;
        let number = self.batches.number();
        for (submission, assigned) in submissions.into_iter().zip(assigned) {
            let process = match &submission.place {
                Place::Log { process, .. } => *process,
                Place::Spawn(_) | Place::Store | Place::Elsewhere { .. } | Place::Lacking { .. } => submission.id,
            };
            let known = submission.facts.process.clone();
            let entry = self.processes.entry(process);
            let entry = entry.or_insert_with(|| known.map(super::process::Process::from_facts).unwrap_or_default());
            entry.host = Some(header.chain.scheduler);
            entry.head = Some(ingest::head_of(&assigned));
            entry.written = number;
            let seen = self.forwards.is_wanted(&submission.id).then_some(Accepted {
                id: submission.id,
                process: Some(process),
                slot: Some(assigned.slot),
                assignment: Some(assigned.id),
                timestamp_ms: assigned.timestamp.0,
            });
            self.assign(now, process, submission, assigned);
            if let Some(seen) = seen {
                self.batches.synced().visible.push(Visible::Seen(Box::new(seen)));
            }
        }
        let signature = header.to_raw().map(|raw| Bytes::from(raw.signature.encode())).unwrap_or_default();
        let frame = Frame { header: header.header().clone(), entries };
        let one = Unconfirmed { frame, signature, held, tip: tip.encode().into(), from: Some(from) };
        let stored = Held { chain: header.chain, sequence: header.sequence, frame: header.id() };
        if let Some(following) = self.others.get_mut(&header.chain) {
            following.tip = tip;
            if !one.frame.entries.is_empty() {
                following.busy = Some(now);
            }
        }
        let batch = self.batches.synced();
        batch.place(&one);
        schema::FRAMES.put(&mut batch.rows, &one.key(), &one.row(None));
        batch.then_frame(one);
        batch.then(Effect::Order(Box::new(Order::Stored(stored))));
    }

    /// A frame that breaks a rule: nothing of it is stored, and nobody honest signs it.
    fn refuse_frame(&mut self, now: Timestamp, received: Received, refusal: Refusal, out: &mut Vec<Effect>) {
        out.push(Effect::RefusedFrame { frame: received.header.id(), why: refusal.to_string() });
        // Another branch is its scheduler's fault, and shown by evidence: whoever hands it on need not know the first one.
        let fork = matches!(refusal, Refusal::Parent { .. });
        let contents = if fork { Contents::Unknown } else { Contents::Unlawful(refusal) };
        let given =
            Given { header: Arc::new(received.header), facts: Facts { contents, durable: false }, from: Some(received.from.clone()) };
        // What a scheduler signs it answers for, and what anybody keeps.
        let place = (given.header.sequence, given.header.id());
        let knew = received.way == Way::Asked || self.origin.peer_of(&given.header.chain.scheduler) == Some(&received.from);
        if !fork && knew {
            penalise(received.from, Offence::Unlawful, out);
        }
        let chain = given.header.chain;
        self.engine_input(now, ao_consensus::Input::Frame(Box::new(given)), out);
        if fork {
            self.show_branch(now, &chain, place, out);
        }
    }

    /// What was kept behind a frame of another branch is of that branch. None of it can follow here; but the engine, which alone can tell
    /// which of the two has a future, must know every header up to the one that is certified.
    fn show_branch(&mut self, now: Timestamp, chain: &Chain, mut last: (u64, FrameId), out: &mut Vec<Effect>) {
        while let Some(following) = self.others.get_mut(chain) {
            following.parted = true;
            let Some(received) = following.kept_after(last) else { return };
            last = (received.header.sequence, received.header.id());
            self.on_other(now, received.from, received.header, None, out);
        }
    }

    /// A frame of before: a repeat, or a second header for its place.
    fn compare(&mut self, now: Timestamp, received: Received, out: &mut Vec<Effect>) {
        let place = (received.header.chain, received.header.sequence);
        let Some(first) = self.unconfirmed.get(&place).map(Unconfirmed::signed) else { return };
        if let Some(evidence) = two_headers(&first, &received.header) {
            self.on_other(now, received.from, received.header, Some(Arc::new(evidence)), out);
        }
    }
}

/// Two headers for one place, if they are two.
pub fn two_headers(first: &SignedHeader, second: &SignedHeader) -> Option<Evidence> {
    if first.id() == second.id() {
        return None;
    }
    Some(Evidence::TwoHeaders(Box::new((first.to_raw()?, second.to_raw()?))))
}

fn penalise(from: PeerId, offence: Offence, out: &mut Vec<Effect>) {
    out.push(Effect::Order(Box::new(Order::Penalise(from, offence))));
}

/// The log before a frame: what the store knew when it was asked, and what the core has decided since.
struct Before<'a> {
    core: &'a Core,
    received: &'a Received,
    /// The first entry of each item in each log.
    places: BTreeMap<(Id, Id), usize>,
    /// What the store knew of each process, if anything.
    facts: BTreeMap<Id, &'a ProcessFacts>,
}

impl<'a> Before<'a> {
    /// A frame has thousands of entries, and each is asked about more than once.
    fn new(core: &'a Core, received: &'a Received) -> Self {
        let (mut places, mut facts) = (BTreeMap::new(), BTreeMap::new());
        for (at, (entry, submission)) in received.entries.iter().zip(&received.submissions).enumerate() {
            places.entry((entry.process, entry.item)).or_insert(at);
            if let Some(known) = &submission.facts.process {
                facts.entry(entry.process).or_insert(known);
            }
        }
        Self { core, received, places, facts }
    }

    fn index(&self, process: &Id, item: &Id) -> Option<usize> {
        self.places.get(&(*process, *item)).copied()
    }
}

impl Log for Before<'_> {
    fn hosts(&self, chain: &Chain, process: &Id, schedule_epoch: u64, _control_height: u64) -> bool {
        let born_here = |at: usize| match &self.received.submissions.get(at)?.place {
            Place::Spawn(spawn) => ao_types::Address::parse(&spawn.scheduler).ok(),
            _ => None,
        };
        let known = self.core.processes.get(process).and_then(|known| known.host);
        let host = known.or_else(|| self.facts.get(process)?.host).or_else(|| self.index(process, process).and_then(born_here));
        schedule_epoch == 0 && host == Some(chain.scheduler)
    }

    fn head(&self, process: &Id) -> Option<Head> {
        let known = self.core.processes.get(process).and_then(|known| known.head.as_ref());
        known.or_else(|| Some(&self.facts.get(process)?.head)).map(ingest::before)
    }

    fn lawful(&self, process: &Id, item: &Id) -> Result<(), String> {
        let found = self.index(process, item).and_then(|at| self.received.lawful.get(at));
        found.cloned().unwrap_or_else(|| Err("nothing is known of it".to_owned()))
    }

    fn has(&self, process: &Id, item: &Id) -> bool {
        let found = self.index(process, item).and_then(|at| self.received.submissions.get(at));
        found.is_some_and(|submission| self.core.recent.is_repeat(submission))
    }
}
