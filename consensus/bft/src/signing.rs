//! What a vote or proposal signs.
//!
//! A precommit for a block signs the statement `block(height, round, value)`: a quorum's precommits, added up, are the certificate that
//! everybody checks, and nothing else has to be signed for it. All other votes sign a statement of their own kind, proposals bytes under
//! a domain tag of their own. All name the network, and votes do not name the voter: equal votes have equal bytes, so a quorum's
//! prevotes too are checked in one sum.

use ao_types::attestation::VoteStep;
use ao_types::codec::Canonical;
use ao_types::{NetworkId, Statement};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};

use crate::context::{BlockId, Height, Proposal, Vote};

const PROPOSAL_DOMAIN: &[u8] = b"aonode/bft/proposal/v1";

/// A round as statements have it. The core votes in no round below 0.
pub fn number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

/// What precommits for a block sign, and its certificate. The round is part of it: shares of different rounds must not add up
/// (`consensus.md` §6).
pub fn block_statement(height: Height, round: Round, value: BlockId) -> Statement {
    #[cfg(any(test, feature = "mutations"))]
    let round = if crate::mutation::is(crate::mutation::Mutation::RoundLeftOut) { Round::new(0) } else { round };
    Statement::Block { height: height.0, round: number(round), value: value.into() }
}

/// What a vote signs.
pub fn vote_statement(vote: &Vote) -> Statement {
    let step = match (vote.kind, vote.value) {
        (VoteType::Precommit, NilOrVal::Val(value)) => return block_statement(vote.height, vote.round, value),
        (VoteType::Precommit, NilOrVal::Nil) => VoteStep::Precommit,
        (VoteType::Prevote, _) => VoteStep::Prevote,
    };
    let value = match vote.value {
        NilOrVal::Val(value) => Some(value.into()),
        NilOrVal::Nil => None,
    };
    Statement::Vote { height: vote.height.0, round: number(vote.round), step, value }
}

/// The bytes that a vote signs.
pub fn vote_message(network: &NetworkId, vote: &Vote) -> Vec<u8> {
    vote_statement(vote).message(network)
}

/// The bytes that a proposal signs.
pub fn proposal_message(network: &NetworkId, proposal: &Proposal) -> Vec<u8> {
    let mut bytes = [PROPOSAL_DOMAIN, &network.0].concat();
    proposal.write(&mut bytes);
    bytes
}
