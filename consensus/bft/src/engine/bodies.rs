//! What is known of the height being decided besides the core's own state: proposals, and the bodies of blocks.

use std::collections::{BTreeMap, VecDeque};

use ao_consensus::block::Block;
use ao_consensus::{Fetch, Timestamp};
use ao_types::PeerId;
use arc_malachitebft_core_types::{Round, SignedProposal, Validity};

use crate::context::{Bft, BlockId, Height, Voter};
use crate::driver::Say;
use crate::frames::Frames;
use crate::limits::{BODIES_MAX, WANTED_MAX};
use crate::message::Message;
use crate::values::block_id;

/// Where a block was proposed, and by whom.
pub(super) type Place = (Height, Round, Voter);

#[derive(Debug)]
pub(super) struct Body {
    pub(super) block: Block,
    pub(super) place: Place,
    pub(super) from: Option<PeerId>,
    /// `None` while it is held.
    pub(super) verdict: Option<Validity>,
    /// When a held one is to be looked at again, if time alone may change it.
    pub(super) again: Option<Timestamp>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Deciding {
    pub(super) bodies: BTreeMap<BlockId, Body>,
    /// In order of arrival.
    order: VecDeque<BlockId>,
    proposals: BTreeMap<BlockId, SignedProposal<Bft>>,
    /// Blocks that somebody voted for or proposed and whose body is not here.
    wanted: Vec<BlockId>,
    /// The core waits for a block of this node.
    pub(super) build: Option<(Height, Round, Timestamp)>,
    /// What this node proposed last.
    pub(super) said: Option<(Round, BlockId)>,
    /// When what gets lost is said and asked again.
    pub(super) repeat: Option<Timestamp>,
    /// Something changed that a held body may depend on.
    pub(super) stale: bool,
}

impl Deciding {
    /// A height begins; what gets lost is said again from `repeat` on.
    pub(super) fn begun(repeat: Timestamp) -> Self {
        Self { repeat: Some(repeat), ..Self::default() }
    }

    pub(super) fn proposed(&mut self, proposal: SignedProposal<Bft>) {
        if self.proposals.len() < BODIES_MAX {
            self.proposals.insert(proposal.message.value, proposal);
        }
    }

    /// Keeps a body. False if it is known. Of too many the oldest that is not valid goes first: a valid one may be locked.
    pub(super) fn keep(&mut self, place: Place, block: Block, from: Option<PeerId>) -> bool {
        let id = block_id(&block);
        self.wanted.retain(|wanted| *wanted != id);
        if self.bodies.contains_key(&id) {
            return false;
        }
        while self.bodies.len() >= BODIES_MAX {
            let valid = |id: &BlockId| self.bodies.get(id).is_some_and(|body| body.verdict.is_some_and(|verdict| verdict.is_valid()));
            let at = self.order.iter().position(|id| !valid(id)).unwrap_or(0);
            let Some(gone) = self.order.remove(at) else { break };
            self.bodies.remove(&gone);
        }
        self.order.push_back(id);
        self.bodies.insert(id, Body { block, place, from, verdict: None, again: None });
        self.stale = true;
        true
    }

    /// A body of this node's own making, or of its log: no verdict is asked for.
    pub(super) fn settle(&mut self, id: &BlockId, verdict: Validity) {
        if let Some(body) = self.bodies.get_mut(id) {
            body.verdict = Some(verdict);
        }
    }

    /// Notes that a body is lacking. False if it is not, or that is known, or too many are.
    pub(super) fn want(&mut self, id: BlockId) -> bool {
        let want = !self.bodies.contains_key(&id) && !self.wants(&id) && self.wanted.len() < WANTED_MAX;
        if want {
            self.wanted.push(id);
        }
        want
    }

    pub(super) fn wants(&self, id: &BlockId) -> bool {
        self.wanted.contains(id)
    }

    pub(super) fn wanted(&self) -> &[BlockId] {
        &self.wanted
    }

    pub(super) fn place_of(&self, id: &BlockId) -> Option<Place> {
        self.proposals.get(id).map(|proposal| (proposal.message.height, proposal.message.round, proposal.message.proposer))
    }

    /// The proposal of a block whose body is here.
    pub(super) fn proposal(&self, id: &BlockId) -> Option<SignedProposal<Bft>> {
        self.proposals.get(id).filter(|_| self.bodies.contains_key(id)).cloned()
    }

    /// What to send to somebody who lacks a body: with the proposal, if it is here, for that may be lacking too.
    pub(super) fn answer(&self, id: &BlockId) -> Option<Message> {
        let body = self.bodies.get(id)?;
        Some(match self.proposals.get(id) {
            Some(proposal) => Message::Say(Say::Proposal(proposal.clone()), Some(body.block.clone())),
            None => Message::Body(body.block.clone()),
        })
    }

    pub(super) fn block(&self, id: &BlockId) -> Option<&Block> {
        self.bodies.get(id).map(|body| &body.block)
    }

    fn held(&self) -> impl Iterator<Item = (&BlockId, &Body)> {
        self.bodies.iter().filter(|(_, body)| body.verdict.is_none())
    }

    /// Held bodies that may be judged otherwise now.
    pub(super) fn to_judge(&self, now: Timestamp) -> Vec<BlockId> {
        let due = |body: &Body| self.stale || body.again.is_some_and(|at| at <= now);
        self.held().filter(|(_, body)| due(body)).map(|(id, _)| *id).collect()
    }

    /// When one of them is to be judged again by time alone.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let again = self.held().filter_map(|(_, body)| body.again).min();
        [again, self.repeat].into_iter().flatten().min()
    }

    /// Frames that held bodies lack.
    pub(super) fn lacking(&self, frames: &Frames) -> Vec<Fetch> {
        self.held().flat_map(|(_, body)| frames.missing(&body.block.frames, body.from.as_ref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use ao_types::BlsKey;

    use super::*;
    use crate::values::tests::block;

    #[test]
    fn a_valid_body_outlives_others() {
        let mut deciding = Deciding::default();
        let place = (Height(1), Round::new(0), Voter(BlsKey([0; 48])));
        let body = |number: u64| {
            let mut block = block(1, vec![], vec![]);
            block.header.time = Timestamp(number);
            block
        };
        assert!(deciding.keep(place, body(0), None) && !deciding.keep(place, body(0), None));
        deciding.settle(&block_id(&body(0)), Validity::Valid);
        for number in 1..2 * BODIES_MAX as u64 {
            deciding.keep(place, body(number), None);
        }
        assert_eq!((deciding.bodies.len(), deciding.order.len()), (BODIES_MAX, BODIES_MAX));
        assert!(deciding.block(&block_id(&body(0))).is_some() && deciding.block(&block_id(&body(1))).is_none());
    }

    #[test]
    fn what_is_wanted_is_bounded_and_wanted_until_it_comes() {
        let mut deciding = Deciding::default();
        let wanted = block(1, vec![], vec![]);
        assert!(deciding.want(block_id(&wanted)) && !deciding.want(block_id(&wanted)));
        for number in 0..100 {
            deciding.want(BlockId([number; 32]));
        }
        assert_eq!(deciding.wanted().len(), WANTED_MAX);
        deciding.keep((Height(1), Round::new(0), Voter(BlsKey([0; 48]))), wanted.clone(), None);
        assert!(!deciding.wants(&block_id(&wanted)) && !deciding.want(block_id(&wanted)));
    }
}
