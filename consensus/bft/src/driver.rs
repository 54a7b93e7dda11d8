//! One height at a time through malachite's core: inputs go in, what has to be done comes out as a list.
//!
//! Owns the core's state, its timers and the way its log is replayed. Refuses to know what a block holds, who asks for it or where bytes
//! go: the engine around it does. The core is a coroutine that yields effects; every effect is answered on the spot, and what it asks for
//! is noted as an [`Act`]. Nothing here waits.

use std::convert::Infallible;
use std::sync::Arc;

use ao_consensus::Timestamp;
use ao_consensus::protection::{Kind, SignedRow};
use ao_consensus::scheme::{Claim, Scheme, SecretKey};
use ao_types::codec::Canonical;
use ao_types::{BlsKey, NetworkId, PeerId};
use arc_malachitebft_core_consensus::{Input, LocallyProposedValue, MisbehaviorEvidence, Params, ProposedValue, State, process};
use arc_malachitebft_core_types::{
    PolkaCertificate, Round, RoundCertificate, SignedProposal, SignedVote, Validity, ValueOrigin, ValuePayload, VoteExtensionPolicy,
};

use crate::ballots::Checked;
use crate::context::{Bft, BlockId, Height, Signature, Voter};
use crate::limits::{AHEAD_PER_MEMBER_MAX, HEIGHTS_AHEAD_MAX};
use crate::seats::Seats;
use crate::signing::{proposal_message, vote_message};
use crate::timeouts::Timeouts;
use crate::wal::Entry;

mod hands;

use hands::{Hands, TimerKey, thresholds};

type CoreError = arc_malachitebft_core_consensus::Error<Bft>;

/// What a member says to all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// A vote, new or repeated.
    Vote(SignedVote<Bft>),
    /// A proposal; its body travels with it.
    Proposal(SignedProposal<Bft>),
    /// A quorum's prevotes for one block.
    Polka(PolkaCertificate<Bft>),
    /// Why a round was left.
    Round(RoundCertificate<Bft>),
}

/// What has to be done, in this order.
#[derive(Clone, Debug)]
pub enum Act {
    /// Durable before any later [`Act::Say`] of the list leaves.
    Log(Entry),
    /// The same: this key is bound by a signature.
    Signed {
        /// What was signed.
        kind: Kind,
        /// At which height.
        height: Height,
        /// In which round.
        round: Round,
        /// Hash of the message.
        root: [u8; 32],
        /// The signature.
        signature: Signature,
    },
    /// To everybody.
    Say(Say),
    /// Said before, and maybe lost: to those who may lack it.
    Again(Say),
    /// Build a block and [`Driver::propose`] it, before the propose timeout.
    Build {
        /// For this height.
        height: Height,
        /// And this round.
        round: Round,
    },
    /// Send the body of this block to everybody again.
    Restream(BlockId),
    /// A quorum precommitted a block that this node holds and found valid.
    Decided {
        /// In this round.
        round: Round,
        /// The block.
        value: BlockId,
        /// By whom, and their precommits' signatures; checked.
        precommits: Vec<(Voter, Signature)>,
    },
    /// This peer sent a signature that does not hold.
    Blame(PeerId),
}

/// What went wrong inside the core.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The log was replayed and the core came to say something else than it had said. This node is silent for the rest of the height:
    /// going on could contradict what it said.
    #[error("what the log makes this node say is not what it said: {0}")]
    Divergence(String),
    /// This key signed something else at this place, in a life that the log does not know. This node is silent for the rest of the height.
    #[error("the slashing protection knows another signature of this key for this round")]
    Bound,
    /// The core could not take one input. It goes on with the next.
    #[error("the core failed: {0}")]
    Core(String),
}

/// Who this node is to the core.
#[derive(Clone)]
pub struct Identity {
    /// The network.
    pub network: NetworkId,
    /// How votes are signed and checked.
    pub scheme: Arc<dyn Scheme>,
    /// The member's key; `None`: this node follows the rounds and says nothing.
    pub secret: Option<Arc<dyn SecretKey>>,
    /// Known to nobody else: for coefficients of batches.
    pub batches: [u8; 32],
    voter: Voter,
}

impl Identity {
    /// `batches`: known to nobody else, for coefficients of batches.
    pub fn new(network: NetworkId, scheme: Arc<dyn Scheme>, secret: Option<Arc<dyn SecretKey>>, batches: [u8; 32]) -> Self {
        let voter = secret.as_ref().map_or(Voter(BlsKey([0; 48])), |secret| Voter(secret.public()));
        Self { network, scheme, secret, batches, voter }
    }

    /// This node's name. That of a node without a key is nobody's.
    pub fn voter(&self) -> Voter {
        self.voter
    }
}

/// See the module documentation.
pub struct Driver {
    state: State<Bft>,
    hands: Hands,
    running: bool,
    muted: bool,
}

impl Driver {
    /// Before the first height. `height` is the last decided one.
    pub fn new(identity: Identity, timeouts: Timeouts, height: Height, seats: &Seats) -> Self {
        let params = Params {
            address: identity.voter(),
            threshold_params: thresholds(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: identity.secret.is_some(),
        };
        let (validators, ahead) = (seats.validators().clone(), AHEAD_PER_MEMBER_MAX * seats.count());
        let state = State::new(Bft, height, validators, params, HEIGHTS_AHEAD_MAX as usize, ahead);
        Self { state, hands: Hands::new(identity, timeouts, seats), running: false, muted: false }
    }

    /// The height being decided, or the last one if none is.
    pub fn height(&self) -> Height {
        self.state.height()
    }

    /// The round of that height.
    pub fn round(&self) -> Round {
        self.state.round()
    }

    /// Whether a height is being decided.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether this node says nothing more in this height.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// This node's name.
    pub fn me(&self) -> Voter {
        self.hands.identity.voter()
    }

    /// What this key is bound by in the height that begins next.
    pub fn bind(&mut self, rows: &[SignedRow]) {
        let own = rows.iter().filter(|row| row.position.key == self.me().0);
        self.hands.bound = own.map(|row| ((row.position.kind, row.position.round), row.root)).collect();
    }

    /// Begins a height; whatever was going on in another one is over.
    pub fn start(&mut self, now: Timestamp, height: Height, seats: &Seats, acts: &mut Vec<Act>) -> Result<(), Fault> {
        self.running = true;
        self.muted = false;
        self.hands.timers.clear();
        self.hands.repeats = (Round::Nil, 0);
        self.hands.evidence = None;
        self.hands.ballots.start(seats.clone());
        self.feed(now, Input::StartHeight(height, seats.validators().clone(), false, None, VoteExtensionPolicy::Disabled), acts)
    }

    /// Begins a height in which this node took part before it stopped: the same votes and proposals come out, with the same signatures.
    pub fn resume(&mut self, now: Timestamp, height: Height, seats: &Seats, entries: &[Entry], acts: &mut Vec<Act>) -> Result<(), Fault> {
        let inputs: Vec<Input<Bft>> = entries.iter().filter_map(Entry::input).collect();
        self.hands.replayed = Some(entries.iter().map(Canonical::encode).collect());
        let replay = |driver: &mut Self, acts: &mut Vec<Act>| {
            driver.start(now, height, seats, acts)?;
            // What is in the log was checked before it was written there.
            for entry in entries {
                if let Entry::Vote(vote) = entry {
                    driver.hands.ballots.trust(vote);
                }
            }
            driver.state.index_wal_entries(&inputs);
            inputs.iter().try_for_each(|input| driver.feed(now, input.clone(), acts))
        };
        let result = replay(self, acts);
        self.state.reset_entries_index();
        self.hands.replayed = None;
        result
    }

    /// Ends the height: it was decided.
    pub fn stop(&mut self) {
        self.running = false;
        self.hands.bound.clear();
        self.hands.timers.clear();
    }

    /// Says nothing more until the next height.
    pub fn mute(&mut self) {
        self.muted = true;
        self.hands.timers.clear();
    }

    /// What was seen of members who contradicted themselves in the height that is over.
    pub fn take_evidence(&mut self) -> MisbehaviorEvidence<Bft> {
        self.hands.evidence.take().unwrap_or_else(|| MisbehaviorEvidence {
            proposals: self.state.driver.take_proposal_evidence(),
            votes: self.state.driver.take_vote_evidence(),
        })
    }

    /// A message of this height that claims to be a member's. `checked`: its signature was ([`is_signed`]).
    pub fn hear(&mut self, now: Timestamp, from: Option<PeerId>, message: Say, checked: bool, acts: &mut Vec<Act>) -> Result<(), Fault> {
        if !self.running {
            return Ok(());
        }
        let input = match message {
            Say::Vote(vote) if !checked => {
                let checked = self.hands.ballots.take(now, from, vote);
                return self.count(now, checked, acts);
            }
            Say::Vote(vote) => {
                self.hands.ballots.trust(&vote);
                Input::Vote(vote)
            }
            Say::Proposal(proposal) => Input::Proposal(proposal),
            Say::Polka(certificate) => Input::PolkaCertificate(certificate),
            Say::Round(certificate) => Input::RoundCertificate(certificate),
        };
        self.hands.from = from;
        let result = self.feed(now, input, acts);
        self.hands.from = None;
        result
    }

    /// Votes that hold go on to the core.
    fn count(&mut self, now: Timestamp, checked: Checked, acts: &mut Vec<Act>) -> Result<(), Fault> {
        acts.extend(checked.blamed.into_iter().map(Act::Blame));
        checked.good.into_iter().try_for_each(|(_, vote)| self.feed(now, Input::Vote(vote), acts))
    }

    /// This node's block, answering [`Act::Build`].
    pub fn propose(&mut self, now: Timestamp, height: Height, round: Round, value: BlockId, acts: &mut Vec<Act>) -> Result<(), Fault> {
        self.feed(now, Input::Propose(LocallyProposedValue::new(height, round, value)), acts)
    }

    /// The verdict on another's block.
    pub fn judge(
        &mut self,
        now: Timestamp,
        (height, round, proposer): (Height, Round, Voter),
        value: BlockId,
        validity: Validity,
        acts: &mut Vec<Act>,
    ) -> Result<(), Fault> {
        let value = ProposedValue { height, round, valid_round: Round::Nil, proposer, value, validity };
        self.feed(now, Input::ProposedValue(value, ValueOrigin::Consensus), acts)
    }

    /// Lets every timer that is due fire, in order of its time.
    pub fn tick(&mut self, now: Timestamp, acts: &mut Vec<Act>) -> Result<(), Fault> {
        let checked = self.hands.ballots.due(now);
        self.count(now, checked, acts)?;
        // Timers that are set while others fire are for later: a round that takes no time would never end.
        let due: Vec<TimerKey> = self.hands.timers.range(..=(now, u8::MAX, u32::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            // An earlier one may have cancelled it.
            if let Some(timeout) = self.hands.timers.remove(&key) {
                self.feed(now, Input::TimeoutElapsed(timeout), acts)?;
            }
        }
        Ok(())
    }

    /// When [`Driver::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let timer = self.hands.timers.first_key_value().map(|((at, ..), _)| *at);
        let votes = self.hands.ballots.next_deadline().filter(|_| self.running);
        [timer, votes].into_iter().flatten().min()
    }

    /// Who proposes in this round of the height being decided.
    pub fn proposer(&self, round: Round) -> Voter {
        *self.state.get_proposer(self.state.height(), round)
    }

    fn feed(&mut self, now: Timestamp, input: Input<Bft>, acts: &mut Vec<Act>) -> Result<(), Fault> {
        if self.muted {
            return Ok(());
        }
        let (state, hands) = (&mut self.state, &mut self.hands);
        let result: Result<(), CoreError> = process!(
            input: input,
            state: state,
            metrics: &(),
            with: effect => Ok::<_, Infallible>(hands.on_effect(now, effect, acts))
        );
        if std::mem::take(&mut self.hands.conflict) {
            self.mute();
            return Err(Fault::Bound);
        }
        result.map_err(|error| match error {
            CoreError::ReplayDivergence(..) => {
                self.mute();
                Fault::Divergence(error.to_string())
            }
            other => Fault::Core(other.to_string()),
        })
    }
}

/// Whether a vote or proposal of any height is signed by the member it names: for those that come before their height began.
pub fn is_signed(identity: &Identity, seats: &Seats, voter: &Voter, message: &Say) -> bool {
    let (bytes, signature) = match message {
        Say::Vote(vote) => (vote_message(&identity.network, &vote.message), vote.signature),
        Say::Proposal(proposal) => (proposal_message(&identity.network, &proposal.message), proposal.signature),
        Say::Polka(_) | Say::Round(_) => return false,
    };
    seats.key(voter).is_some_and(|keys| identity.scheme.verify(&Claim { keys, message: &bytes, signature: &signature.0 }))
}

#[cfg(test)]
mod tests;
