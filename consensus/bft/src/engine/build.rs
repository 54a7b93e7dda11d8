//! Blocks: judged, asked for, made.

use ao_consensus::block::{Block, BlockHeader};
use ao_consensus::{Effect, Offence, Timestamp, To};
use arc_malachitebft_core_types::{Round, Validity};

use super::bodies::Place;
use super::{Engine, penalise, send};
use crate::context::{BlockId, Height};
use crate::driver::{Driver, Say};
use crate::judge::{NO_STATE, Verdict, judge};
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_FRAMES_MAX};
use crate::message::Message;
use crate::values::block_id;
use crate::wal::Entry;

impl Engine {
    /// Timers, held bodies, a block to be built, a height to begin.
    pub(super) fn tick_rounds(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.is_deciding() && self.has_reason(now) {
            self.begin(now, out);
        }
        if self.driver.as_ref().and_then(Driver::next_deadline).is_some_and(|at| at <= now) {
            self.with_driver(now, out, |driver, acts| driver.tick(now, acts));
        }
        if self.is_deciding() {
            self.judge_bodies(now, out);
            self.build(now, out);
            self.repeat(now, out);
        }
    }

    /// Whether the next height is to begin: there is something to decide, somebody else began it, or this node did before it stopped.
    fn has_reason(&self, now: Timestamp) -> bool {
        let begun = self.early.has(self.next_height()) || !self.old_log.is_empty();
        begun || self.has_something(now)
    }

    /// Whether a block of this node would hold anything, or is due all the same.
    fn has_something(&self, now: Timestamp) -> bool {
        self.frames.has_candidates() || !self.ops.is_empty() || self.tick_due().is_some_and(|due| due <= now)
    }

    /// When the Origin's time is to move on by a block, however empty: while a chain is being closed, its steps are counted by that time.
    pub(super) fn tick_due(&self) -> Option<Timestamp> {
        let open = self.origin.chains().any(|(_, chain)| chain.closing.is_some() && chain.frontier.is_none());
        open.then(|| self.head_since.plus_ms(self.settings.tick_ms))
    }

    /// Judges every body that is held, if anything changed that its verdict may depend on.
    pub(super) fn judge_bodies(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let ids = self.deciding.to_judge(now);
        self.deciding.stale = false;
        for id in ids {
            let Some(body) = self.deciding.bodies.get_mut(&id) else { continue };
            let validity = match judge(now, &self.head, &self.frames, &self.rosters, &body.block) {
                Verdict::Hold(again) => {
                    body.again = again;
                    continue;
                }
                Verdict::Valid => Validity::Valid,
                Verdict::Invalid(broken) => {
                    tracing::warn!(block = %id, %broken, "a proposed block is invalid");
                    if let Some(from) = &body.from {
                        penalise(from, Offence::Unlawful, out);
                    }
                    Validity::Invalid
                }
            };
            body.verdict = Some(validity);
            let (place, block) = (body.place, body.block.clone());
            if validity.is_valid() {
                // A value this node may lock on must be here after a crash.
                self.log(Entry::Body(block), out);
            }
            self.tell_verdict(now, place, id, validity, out);
        }
    }

    /// Tells the core a verdict.
    fn tell_verdict(&mut self, now: Timestamp, place: Place, id: BlockId, validity: Validity, out: &mut Vec<Effect>) {
        self.with_driver(now, out, |driver, acts| driver.judge(now, place, id, validity, acts));
    }

    /// A body that was judged is proposed again in another round: the core keeps only so many of one round, and may have dropped it then.
    pub(super) fn tell_again(&mut self, now: Timestamp, place: Place, id: BlockId, out: &mut Vec<Effect>) {
        let Some(body) = self.deciding.bodies.get_mut(&id).filter(|body| body.place.1 < place.1) else { return };
        body.place = place;
        if let Some(validity) = body.verdict {
            self.tell_verdict(now, place, id, validity, out);
        }
    }

    /// Says and asks again what may have been lost: the core repeats votes, and nothing else.
    fn repeat(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.deciding.repeat.is_none_or(|at| at > now) {
            return;
        }
        self.deciding.repeat = Some(now.plus_ms(self.settings.timeouts.rebroadcast_ms));
        let round = self.driver.as_ref().map_or(Round::Nil, Driver::round);
        let muted = self.driver.as_ref().is_none_or(Driver::is_muted);
        if let Some((said, id)) = self.deciding.said
            && said == round
            && !muted
            && let Some(proposal) = self.deciding.proposal(&id)
        {
            // Who lacks the body asks for it.
            self.say_again(now, Say::Proposal(proposal), out);
        }
        let height = self.next_height();
        for id in self.deciding.wanted().to_vec() {
            self.turn = self.turn.wrapping_add(1);
            if let Some(peer) = self.holders(Vec::new()).into_iter().next() {
                send(To::Peer(peer), &Message::WantBody(height, id), out);
            }
        }
    }

    /// From when on this node, being the proposer, proposes: what it has, or nothing at all.
    pub(super) fn build_due(&self) -> Option<(Height, Round, Timestamp)> {
        let (height, round, since) = self.deciding.build?;
        let first = self.head_since.plus_ms(self.settings.interval_ms).max(since);
        let last = since.plus_ms(self.settings.timeouts.propose_ms / 2);
        let due = if self.has_something(first) { first } else { last };
        Some((height, round, due))
    }

    fn build(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some((height, round, due)) = self.build_due() else { return };
        let current = self.driver.as_ref().is_some_and(|driver| driver.height() == height && driver.round() == round);
        // After a crash it may have been proposed already.
        let said = self.deciding.said.is_some_and(|(said, _)| said == round);
        if !current || said || height != self.next_height() {
            self.deciding.build = None;
            return;
        }
        if now < due {
            return;
        }
        self.deciding.build = None;
        let block = self.block(now, height);
        let id = block_id(&block);
        self.deciding.keep((height, round, self.identity.voter()), block.clone(), None);
        self.deciding.settle(&id, Validity::Valid);
        self.log(Entry::Body(block), out);
        self.with_driver(now, out, |driver, acts| driver.propose(now, height, round, id, acts));
    }

    fn block(&mut self, now: Timestamp, height: Height) -> Block {
        self.turn = self.turn.wrapping_add(1);
        let (ops, frames) = (self.ops.candidates(BLOCK_BYTES_MAX / 2), self.frames.candidates(BLOCK_FRAMES_MAX, self.turn));
        let header = BlockHeader {
            network_id: self.identity.network,
            height: height.0,
            parent: self.head.id.into(),
            time: now.max(self.head.time),
            ops_root: [0; 32],
            ops_count: 0,
            frames_root: [0; 32],
            frames_count: 0,
            state_root: NO_STATE,
            next_committee: None,
        };
        Block::new(header, ops, frames)
    }
}
