//! Messages of other nodes: hostile until shown otherwise.

use ao_consensus::block::Block;
use ao_consensus::{Effect, Offence, Timestamp, To};
use ao_types::PeerId;
use ao_types::codec::Canonical;
use arc_malachitebft_core_types::Round;

use super::bodies::Place;
use super::early::Kept;
use super::{Engine, penalise, send};
use crate::context::{BlockId, Height, Voter};
use crate::driver::{Driver, Say, is_signed};
use crate::limits::{HEIGHTS_AHEAD_MAX, ROUNDS_AHEAD_MAX};
use crate::message::Message;
use crate::signing::number;
use crate::values::block_id;

fn height_of(say: &Say) -> Height {
    match say {
        Say::Vote(vote) => vote.message.height,
        Say::Proposal(proposal) => proposal.message.height,
        Say::Polka(certificate) => certificate.height,
        Say::Round(certificate) => certificate.height,
    }
}

fn voter_of(say: &Say) -> Option<Voter> {
    match say {
        Say::Vote(vote) => Some(vote.message.voter),
        Say::Proposal(proposal) => Some(proposal.message.proposer),
        Say::Polka(_) | Say::Round(_) => None,
    }
}

impl Engine {
    pub(super) fn on_peer(&mut self, now: Timestamp, from: PeerId, bytes: &[u8], out: &mut Vec<Effect>) {
        let Ok(message) = Message::decode(bytes) else {
            return penalise(&from, Offence::Malformed, out);
        };
        match message {
            Message::Say(say, body) => self.on_say(now, from, say, body, out),
            Message::Tip(height) => self.on_tip(now, from, height, out),
            Message::WantBody(height, id) => self.on_want_body(now, from, height, id, out),
            Message::Body(block) => self.on_body(now, &from, block, out),
            Message::WantBlocks(height) => self.on_want_blocks(now, from, height, out),
            Message::Blocks(blocks) => self.on_blocks(now, &from, blocks, out),
            Message::Op(op) => {
                self.on_op(*op, Some(from));
            }
        }
    }

    fn on_tip(&mut self, now: Timestamp, from: PeerId, height: Height, out: &mut Vec<Effect>) {
        if height < self.head.height {
            self.tell(now, from, out);
        } else {
            self.sync.note(from, height);
        }
    }

    fn on_say(&mut self, now: Timestamp, from: PeerId, say: Say, body: Option<Block>, out: &mut Vec<Effect>) {
        let (height, next) = (height_of(&say), self.next_height());
        if height < next {
            // Whoever still votes on what was decided has missed it.
            return self.tell(now, from, out);
        }
        let Some(seats) = self.seats().cloned() else { return };
        let voter = voter_of(&say);
        if voter.is_some_and(|voter| seats.place(&voter).is_none()) {
            // At a later height another committee may vote.
            return if height == next {
                penalise(&from, Offence::Foreign, out)
            };
        }
        if height > next {
            self.sync.note(from.clone(), Height(height.0.saturating_sub(1)));
        }
        // An echo, or another who has this node's key. What this node says it says itself: nobody tells its core what that was.
        let own = voter == Some(self.identity.voter());
        if own || height.0 > next.0.saturating_add(HEIGHTS_AHEAD_MAX) {
            return;
        }
        if height == next && self.is_deciding() {
            return self.hear(now, from, say, body, false, out);
        }
        // What comes before its height began is checked alone: it makes this node begin the height, or is kept until it does.
        let Some(voter) = voter else { return };
        if !is_signed(&self.identity, &seats, &voter, &say) {
            return penalise(&from, Offence::BadSignature, out);
        }
        self.early.keep(height, Kept { voter, from, say, body });
        if height == next {
            self.begin(now, out);
        }
    }

    /// What was kept for the height that has begun.
    pub(super) fn hear_early(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let next = self.next_height();
        for Kept { from, say, body, .. } in self.early.take(next) {
            if self.is_deciding() && self.next_height() == next {
                self.hear(now, from, say, body, true, out);
            }
        }
    }

    fn hear(&mut self, now: Timestamp, from: PeerId, say: Say, body: Option<Block>, checked: bool, out: &mut Vec<Effect>) {
        let proposal = if let Say::Proposal(proposal) = &say { Some(proposal.clone()) } else { None };
        let sender = Some(from.clone());
        let blamed = self.with_driver(now, out, |driver, acts| driver.hear(now, sender, say, checked, acts));
        let Some(proposal) = proposal.filter(|proposal| !blamed && proposal.message.height == self.next_height()) else { return };
        let message = &proposal.message;
        // The core took it only if this is whose turn it is, and the round is not far off.
        let taken = |driver: &Driver| {
            driver.proposer(message.round) == message.proposer
                && number(message.round) <= number(driver.round()).saturating_add(ROUNDS_AHEAD_MAX)
        };
        if !self.driver.as_ref().is_some_and(taken) {
            return;
        }
        let (id, place) = (message.value, (message.height, message.round, message.proposer));
        self.deciding.proposed(proposal);
        match body {
            Some(block) if block_id(&block) == id => {
                self.deciding.keep(place, block, Some(from));
            }
            Some(_) => penalise(&from, Offence::Malformed, out),
            None => self.want_body(id, from, out),
        }
        self.tell_again(now, place, id, out);
        self.judge_bodies(now, out);
    }

    /// Asks whoever said that there is such a block; others are asked later.
    fn want_body(&mut self, id: BlockId, from: PeerId, out: &mut Vec<Effect>) {
        if self.deciding.want(id) {
            send(To::Peer(from), &Message::WantBody(self.next_height(), id), out);
        }
    }

    fn on_want_body(&mut self, now: Timestamp, from: PeerId, height: Height, id: BlockId, out: &mut Vec<Effect>) {
        if height < self.next_height() {
            return self.tell(now, from, out);
        }
        if let Some(message) = self.deciding.answer(&id) {
            send(To::Peer(from), &message, out);
        }
    }

    fn on_body(&mut self, now: Timestamp, from: &PeerId, block: Block, out: &mut Vec<Effect>) {
        let (id, height) = (block_id(&block), Height(block.header.height));
        if height != self.next_height() || !self.is_deciding() || !self.deciding.wants(&id) {
            return;
        }
        // Whose turn it was does not matter for a body that a certificate or a quorum of votes names.
        let place = self.deciding.place_of(&id).unwrap_or_else(|| self.this_round(height));
        self.deciding.keep(place, block, Some(from.clone()));
        self.judge_bodies(now, out);
    }

    fn this_round(&self, height: Height) -> Place {
        let round = self.driver.as_ref().map_or(Round::new(0), |driver| driver.round());
        (height, round, self.driver.as_ref().map_or(self.identity.voter(), |driver| driver.proposer(round)))
    }
}
