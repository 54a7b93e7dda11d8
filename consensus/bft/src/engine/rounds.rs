//! The height being decided: how it begins, what the driver's acts become, and how it ends.

use ao_consensus::protection::{Guard, Kind, Position, SignedRow};
use ao_consensus::{Effect, Offence, Timestamp, To};
use arc_malachitebft_core_types::{NilOrVal, Round};

use super::bodies::Deciding;
use super::{Engine, penalise, remember, send};
use crate::context::{BlockId, Height, Signature, Voter};
use crate::driver::{Act, Driver, Fault, Say};
use crate::limits::{AGAIN_MEMBERS_MAX, GOSSIP_BYTES_MAX};
use crate::message::Message;
use crate::seats::Seats;
use crate::signing::{block_statement, number};
use crate::wal::{Entry, Replayed, replayed};

/// Before the number of a record of the log.
pub(super) const WAL_KEY: &str = "bft/wal/";

impl Engine {
    /// Whether the next height has begun here.
    pub(super) fn is_deciding(&self) -> bool {
        self.driver.as_ref().is_some_and(Driver::is_running)
    }

    /// Begins the next height, if its committee is known.
    pub(super) fn begin(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.is_deciding() || self.is_full() {
            return;
        }
        let (height, head) = (self.next_height(), self.head.height);
        let Some(seats) = self.seats().cloned() else { return };
        if self.driver.is_none() {
            self.driver = Some(Driver::new(self.identity.clone(), self.settings.timeouts, head, &seats));
        }
        self.deciding = Deciding::begun(now.plus_ms(self.settings.timeouts.rebroadcast_ms));
        let bound = self.bound_at(height, &seats);
        tracing::debug!(%height, bound = bound.len(), log = self.old_log.len(), "a height begins");
        let log = replayed(height, self.old_log.iter().map(|(number, bytes)| (*number, &bytes[..])));
        if log.entries.is_empty() && !log.hole {
            self.wal.start(height);
            self.with_driver(now, out, |driver, acts| {
                driver.bind(&bound);
                driver.start(now, height, &seats, acts)
            });
        } else {
            self.resume(now, height, &seats, &bound, &log, out);
        }
        self.hear_early(now, out);
    }

    /// What this key is bound by in a height, whatever the log says.
    fn bound_at(&self, height: Height, seats: &Seats) -> Vec<SignedRow> {
        let at = |row: &&SignedRow| row.position.height == height.0 && row.position.term == seats.epoch().0;
        self.bound.iter().filter(at).cloned().collect()
    }

    /// Begins a height in which this node took part before it stopped.
    fn resume(&mut self, now: Timestamp, height: Height, seats: &Seats, bound: &[SignedRow], log: &Replayed, out: &mut Vec<Effect>) {
        self.wal.resume(height, log.next);
        let me = self.identity.voter();
        for entry in &log.entries {
            match entry {
                Entry::Body(block) => {
                    self.deciding.keep((height, Round::new(0), me), block.clone(), None);
                }
                Entry::Proposal(proposal) => {
                    self.deciding.proposed(proposal.clone());
                    if proposal.message.proposer == me {
                        self.deciding.said = Some((proposal.message.round, proposal.message.value));
                    }
                }
                Entry::Value(value) => self.deciding.settle(&value.value, value.validity),
                Entry::Vote(_) | Entry::Polka(_) | Entry::Timeout(_) => {}
            }
        }
        if log.hole {
            tracing::error!(%height, "the log of this height has a hole: this node says nothing in it");
        }
        self.with_driver(now, out, |driver, acts| {
            driver.bind(bound);
            let result = driver.resume(now, height, seats, &log.entries, acts);
            if log.hole {
                // What it came to say is not said: it may contradict what is in the hole.
                acts.retain(|act| !matches!(act, Act::Say(_) | Act::Again(_)));
                driver.mute();
            }
            result
        });
    }

    /// Lets the driver do something and carries out what comes of it. Whether somebody was blamed.
    pub(super) fn with_driver(
        &mut self,
        now: Timestamp,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Driver, &mut Vec<Act>) -> Result<(), Fault>,
    ) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        let mut acts = Vec::new();
        match act(driver, &mut acts) {
            Ok(()) => {}
            Err(fault @ (Fault::Divergence(_) | Fault::Bound)) => tracing::error!(%fault, "this node says nothing more in this height"),
            Err(fault) => tracing::warn!(%fault, "an input was not taken"),
        }
        let mut blamed = false;
        for act in acts {
            match act {
                Act::Log(entry) => self.log(entry, out),
                Act::Signed { kind, height, round, root, signature } => self.guard(kind, height, round, root, signature),
                Act::Say(say) => self.say(say, out),
                Act::Again(say) => self.say_again(now, say, out),
                Act::Build { height, round } => self.deciding.build = Some((height, round, now)),
                Act::Restream(id) => {
                    if let Some(message) = self.deciding.answer(&id) {
                        self.broadcast(message, out);
                    }
                }
                Act::Decided { round, value, precommits } => self.on_decided(now, round, value, &precommits, out),
                Act::Blame(peer) => {
                    blamed = true;
                    penalise(&peer, Offence::BadSignature, out);
                }
            }
        }
        blamed
    }

    /// Notes what the core was told. A vote names a block that may not be here.
    pub(super) fn log(&mut self, entry: Entry, out: &mut Vec<Effect>) {
        match &entry {
            Entry::Vote(vote) => {
                if let NilOrVal::Val(id) = vote.message.value {
                    self.deciding.want(id);
                }
            }
            Entry::Polka(certificate) => {
                self.deciding.want(certificate.value_id);
            }
            Entry::Proposal(_) | Entry::Timeout(_) | Entry::Value(_) | Entry::Body(_) => {}
        }
        if self.wal.append(entry) {
            self.flush(out);
        }
    }

    fn guard(&mut self, kind: Kind, height: Height, round: Round, root: [u8; 32], signature: Signature) {
        #[cfg(any(test, feature = "mutations"))]
        if crate::mutation::is(crate::mutation::Mutation::SlashingUnchecked) {
            return;
        }
        let term = self.seats().map_or(0, |seats| seats.epoch().0);
        let position = Position { key: self.identity.voter().0, kind, scope: String::new(), term, height: height.0, round: number(round) };
        self.guards.push(Guard::Signed(SignedRow { position, root: Some(root), signature: Some(signature.0.0.to_vec()) }));
    }

    /// What waits in the log becomes a record, with what this key is bound by from now on.
    fn flush(&mut self, out: &mut Vec<Effect>) {
        if let Some(record) = self.wal.flush() {
            remember(format!("{WAL_KEY}{:08x}", record.number), record.bytes, std::mem::take(&mut self.guards), out);
        }
    }

    fn say(&mut self, say: Say, out: &mut Vec<Effect>) {
        // Anything this node says may rest on anything it has logged.
        self.flush(out);
        tracing::debug!(?say, "said");
        let mut body = None;
        if let Say::Proposal(proposal) = &say
            && proposal.message.height == self.next_height()
        {
            self.deciding.proposed(proposal.clone());
            self.deciding.said = Some((proposal.message.round, proposal.message.value));
            body = self.deciding.block(&proposal.message.value).cloned();
        }
        self.broadcast(Message::Say(say, body), out);
    }

    /// Says again what may have been lost.
    pub(super) fn say_again(&mut self, now: Timestamp, say: Say, out: &mut Vec<Effect>) {
        self.flush(out);
        self.again(now, &Message::Say(say, None), out);
    }

    /// What was sent before goes to members one by one, some at a time and in turn. Gossip knows bytes that it has seen and carries them
    /// nowhere again; and a member whose engine began anew has forgotten what its gossip has seen.
    pub(super) fn again(&self, now: Timestamp, message: &Message, out: &mut Vec<Effect>) {
        let members = self.seats().map(|seats| seats.peers(&self.identity.voter())).unwrap_or_default();
        let (all, bytes) = (members.len().max(1), message.to_bytes());
        let turn = (now.0 / self.settings.timeouts.rebroadcast_ms.max(1)) as usize % all;
        let (first, count) = (turn * AGAIN_MEMBERS_MAX % all, members.len().min(AGAIN_MEMBERS_MAX));
        out.extend(members.into_iter().cycle().skip(first).take(count).map(|peer| Effect::Send(To::Peer(peer), bytes.clone())));
    }

    /// To everybody by gossip, if it is small enough. A proposal leaves a large body behind, which is then asked for; whatever else is
    /// large goes to each member.
    pub(super) fn broadcast(&self, mut message: Message, out: &mut Vec<Effect>) {
        let mut bytes = message.to_bytes();
        if bytes.len() > GOSSIP_BYTES_MAX
            && let Message::Say(Say::Proposal(_), body @ Some(_)) = &mut message
        {
            *body = None;
            bytes = message.to_bytes();
        }
        if bytes.len() <= GOSSIP_BYTES_MAX {
            out.push(Effect::Send(To::All, bytes));
            return;
        }
        let members = self.seats().map(|seats| seats.peers(&self.identity.voter())).unwrap_or_default();
        out.extend(members.into_iter().map(|peer| Effect::Send(To::Peer(peer), bytes.clone())));
    }

    fn on_decided(&mut self, now: Timestamp, round: Round, value: BlockId, precommits: &[(Voter, Signature)], out: &mut Vec<Effect>) {
        let statement = block_statement(self.next_height(), round, value);
        let certificate = self.seats().and_then(|seats| seats.certify(self.identity.scheme.as_ref(), statement, precommits));
        let block = self.deciding.block(&value).cloned();
        let (Some(block), Some(certificate)) = (block, certificate) else {
            // The core decides only what it was given as valid, by a quorum of power, which is one of stake.
            tracing::error!(block = %value, "decided without a body or a certificate: this node waits for others");
            self.driver.iter_mut().for_each(Driver::mute);
            return;
        };
        let proposer = self.driver.as_ref().map(|driver| driver.proposer(round));
        // The precommit that made the quorum may be this node's, and leaves after this.
        self.flush(out);
        tracing::debug!(height = block.header.height, %round, block = %value, "decided");
        self.commit(now, block, certificate, out);
        if proposer == Some(self.identity.voter()) {
            // Those who follow without voting, and those who lost a vote, need not wait to be told.
            send(To::All, &Message::Tip(self.head.height), out);
        }
    }

    pub(super) fn rounds_deadline(&self) -> Option<Timestamp> {
        if !self.is_deciding() {
            return self.tick_due();
        }
        let driver = self.driver.as_ref().and_then(Driver::next_deadline);
        let build = self.build_due().map(|(_, _, due)| due);
        [driver, build, self.deciding.next_deadline()].into_iter().flatten().min()
    }
}
