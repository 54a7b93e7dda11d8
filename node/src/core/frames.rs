//! Own frames: when one is closed, what goes into it, what the store keeps of any frame.
//!
//! A slot exists from the moment its frame is written: assignments that are signed wait here, in order, until [`ao_consensus::pace`] says
//! that a frame is due, and go into one batch with it. On a network of one a frame is due whenever something waits; otherwise the interval
//! must have passed, and the window over the ancestor certified last must have room.

use std::collections::VecDeque;
use std::sync::Arc;

use ao_consensus::limits::{FRAME_ENTRIES_MAX, PAYLOAD_BYTES_ALONE_MAX, PAYLOAD_BYTES_MAX};
use ao_consensus::pace::{ACTIVE_MS, Due, Pace, Pending};
use ao_consensus::schedule::Assigned;
use ao_consensus::{Body, ChainTip, Draft, Facts, Frame, Given, RawHeader, SignedHeader, Timestamp};
use ao_storage::schema::{self, FrameKey, FrameRow};
use ao_types::{Canonical, Id, PeerId};
use bytes::Bytes;

use super::Core;
use super::input::{RecoveredChain, Submission};
use super::settling::Settling;
use crate::limits::{INTERVAL_MS_MAX, PACE_MS};

/// A frame that the engine has not confirmed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The frame.
    pub frame: Frame,
    /// The scheduler's signature on it, as it is stored.
    pub signature: Bytes,
    /// Items that its body names without bringing them along.
    pub held: Vec<Id>,
    /// Where the chain stood after it, as it is stored.
    pub tip: Bytes,
    /// Who handed it on.
    pub from: Option<PeerId>,
}

impl Unconfirmed {
    /// Where it is stored.
    pub fn key(&self) -> FrameKey {
        let header = &self.frame.header;
        FrameKey { scheduler: header.chain.scheduler, tenure: header.chain.tenure, sequence: header.sequence }
    }

    /// What the store keeps of it.
    pub fn row(&self, proof: Option<Bytes>) -> FrameRow {
        let Self { frame, signature, held, tip, .. } = self;
        FrameRow { frame: frame.encode().into(), signature: signature.clone(), held: held.clone(), tip: tip.clone(), proof }
    }

    /// Header and signature; without one on a network of one.
    pub fn signed(&self) -> SignedHeader {
        let header = self.frame.header.clone();
        match ao_consensus::frame::FrameSignature::decode(&self.signature) {
            Ok(signature) => SignedHeader::reloaded_from_own_store(RawHeader { header, signature }),
            Err(_) => SignedHeader::alone(header),
        }
    }

    /// What the engine is told.
    pub fn given(&self) -> ao_consensus::Input {
        ao_consensus::Input::Frame(Box::new(Given { header: Arc::new(self.signed()), facts: Facts::WHOLE, from: self.from.clone() }))
    }
}

/// What this scheduler's next frames will be.
#[derive(Debug)]
pub struct Own {
    /// When to close them.
    pub pace: Pace,
    interval_ms: u64,
    /// When it was last worked out, and the last frame with entries.
    paced: Option<Timestamp>,
    busy: Option<Timestamp>,
    /// How late the network is with them.
    pub settling: Settling,
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

/// A signed assignment that is in no frame yet.
#[derive(Debug)]
struct Waiting {
    process: Id,
    submission: Submission,
    assigned: Assigned,
    weight: usize,
}

/// Bytes of a body of nothing.
const BODY_BASE: usize = 8;

impl Own {
    /// Nothing waits.
    pub fn new(interval_ms: u64) -> Self {
        Self {
            pace: Pace::new(interval_ms),
            interval_ms,
            paced: None,
            busy: None,
            settling: Settling::default(),
            waiting: VecDeque::new(),
            bytes: BODY_BASE,
        }
    }

    /// Begins again with what the store holds of the chain.
    pub fn recovered(&self, chain: &RecoveredChain) -> Self {
        let mut own = Self::new(self.interval_ms);
        for one in chain.window.iter().chain(&chain.unconfirmed) {
            if let Ok(tip) = ChainTip::decode(&one.tip) {
                own.pace.on_built(Timestamp(0), &tip, one.frame.entries.len());
            }
        }
        if let Some(last) = chain.window.last() {
            own.pace.on_confirmed(last.frame.header.sequence);
        }
        own
    }

    /// Who waits, when they will wait in vain.
    pub fn abandon(&mut self) -> impl Iterator<Item = Submission> {
        self.bytes = BODY_BASE;
        std::mem::take(&mut self.waiting).into_iter().map(|one| one.submission)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn pending(&self) -> Pending {
        Pending { entries: self.waiting.len(), payload_bytes: self.bytes, news: false }
    }

    /// A submission's item as a body brings it; one that fits no frame is only named, and whoever lacks it asks for it.
    pub fn item(submission: &Submission, assignment: usize) -> Option<Bytes> {
        let item = submission.item.as_ref().map(|item| item.as_bytes().clone());
        item.filter(|item| BODY_BASE + Body::weight(assignment, Some(item.len())) <= PAYLOAD_BYTES_ALONE_MAX)
    }

    /// What fits one frame, in order.
    fn take(&mut self) -> Vec<Waiting> {
        let (mut taken, mut bytes) = (Vec::new(), BODY_BASE);
        while let Some(next) = self.waiting.front() {
            if !taken.is_empty() && (taken.len() >= FRAME_ENTRIES_MAX || bytes + next.weight > PAYLOAD_BYTES_MAX) {
                break;
            }
            bytes += next.weight;
            taken.extend(self.waiting.pop_front());
        }
        self.bytes -= bytes - BODY_BASE;
        taken
    }
}

impl Core {
    /// A signed assignment waits for its frame.
    pub(super) fn wait_for_frame(&mut self, process: Id, submission: Submission, assigned: Assigned) {
        let assignment = assigned.assignment.as_bytes().len();
        let weight = Body::weight(assignment, Own::item(&submission, assignment).map(|item| item.len()));
        self.own.bytes += weight;
        self.own.waiting.push_back(Waiting { process, submission, assigned, weight });
    }

    /// When the next frame is due, if something waits for it and nothing is being written.
    pub(super) fn frame_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        if self.mode != super::Mode::Running || self.batches.is_writing() || self.room == super::Room::Full {
            return None;
        }
        match self.own.pace.due(now, &self.chain, self.own.pending()) {
            Due::Now => Some(now),
            Due::At(at) => Some(at),
            Due::Certificate | Due::Nothing => None,
        }
    }

    /// The more chains are active, the farther apart their frames: what each costs is paid by every attestor. And farther still while the
    /// network is behind with them.
    fn keep_pace(&mut self, now: Timestamp) {
        let Some(member) = &self.fixed.member else { return };
        if self.own.paced.is_some_and(|at| now.since_ms(at) < PACE_MS) {
            return;
        }
        let active = |at: Option<Timestamp>| at.is_some_and(|at| now.since_ms(at) < ACTIVE_MS);
        let others = self.others.values().filter(|following| active(following.busy)).count();
        let own = usize::from(active(self.own.busy) || !self.own.is_empty());
        let interval_ms = member.interval_ms((others + own) as u64);
        self.own.paced = Some(now);
        self.own.interval_ms = interval_ms;
        self.own.pace.set_interval(self.own.settling.stretched(interval_ms).min(INTERVAL_MS_MAX.max(interval_ms)));
    }

    /// Closes the frames that are due and puts them into the batch that is being built.
    pub(super) fn close_frames(&mut self, now: Timestamp) {
        self.keep_pace(now);
        while self.own.pace.due(now, &self.chain, self.own.pending()) == Due::Now {
            let taken = self.own.take();
            let parts: Vec<_> = taken.into_iter().map(|one| self.assign(now, one.process, one.submission, one.assigned)).collect();
            let entries = parts.len();
            let body = Body::of(parts);
            let held = body.held();
            let height = self.origin.applied().unwrap_or(0);
            let draft = Draft {
                network_id: self.fixed.network_id,
                epoch: self.origin.epoch_at(height).map(|(epoch, _)| epoch).unwrap_or_default(),
                control_height: height,
                closed: ao_consensus::checks::closed_for(&self.origin, &self.chain, height),
                certificates: self.own.pace.certificates(),
                body,
                now,
                block: (self.tip.height, self.tip.id),
            };
            // What was taken fits a frame, the only reason to refuse one.
            let Ok(built) = self.chain.build(draft) else { return };
            let tip = built.tip.encode().into();
            self.own.pace.on_built(now, &built.tip, entries);
            self.own.settling.closed(now, built.frame.header.sequence);
            if entries > 0 {
                self.own.busy = Some(now);
            }
            self.chain = built.tip;
            let frame = Unconfirmed { frame: built.frame, signature: Bytes::new(), held, tip, from: None };
            let member = self.fixed.member.is_some();
            let batch = self.batches.synced();
            batch.place(&frame);
            if member {
                batch.seal(frame, built.payload);
            } else {
                schema::FRAMES.put(&mut batch.rows, &frame.key(), &frame.row(None));
                batch.then_frame(frame);
            }
        }
    }
}
