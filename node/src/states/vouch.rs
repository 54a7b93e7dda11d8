//! Signing what this node worked out itself (`consensus.md` §9): the answer to "does your key vouch for this state?".
//!
//! A node signs a state only if its own evaluation gave that very one, for a confirmed slot, and only after its slashing protection has the
//! row. A repeat serves the signature of the first time. Whoever asks costs this node a look into the store: what it signs for the first
//! time is bounded by what it evaluated, not by who asks.

use std::sync::Arc;

use ao_consensus::SecretKey;
use ao_consensus::protection::{Guard, Kind, Position, SignedRow};
use ao_p2p::{Answer, PeerId};
use ao_storage::{Error, Store, schema};
use ao_types::hash::sha256;
use ao_types::{BlsKey, BlsSignature, Canonical as _, Certificate, Id, Slot, Statement};

use super::{computed, statement};
use crate::metrics::Metrics;
use crate::metrics::labels::{Signing, Vote};
use crate::network::message::{Declined, StateQuestion, Vouched};
use crate::network::seam::States;
use crate::shell::begin;
use crate::shell::membership::{Membership, Unkept};

/// Answers questions about states.
pub struct Voucher {
    /// What this node worked out.
    pub store: Arc<dyn Store>,
    /// Its key, and what the key is bound by.
    pub membership: Arc<Membership>,
    /// Counted here.
    pub metrics: Metrics,
}

/// Where a key's signature on a state stands among all that it signs; `None`: the statement is about no state.
pub fn position(key: BlsKey, statement: &Statement) -> Option<Position> {
    let Statement::Result { process, schedule_epoch, slot, host_abi, .. } = *statement else { return None };
    Some(Position { key, kind: Kind::Result, scope: process.to_string(), term: schedule_epoch, height: slot.0, round: host_abi })
}

impl States for Voucher {
    fn answer(&self, _from: &PeerId, question: &StateQuestion) -> Answer {
        let StateQuestion::Vouch { key, statement } = question else { return Answer::NotFound };
        let answer = self.vouch(key, statement).unwrap_or_else(|error| {
            tracing::warn!(event = "vouch_failed", %error, "a peer's question about a state has no answer; look at the disk");
            Vouched::Declined(Declined::Failed)
        });
        Answer::Found(answer.encode().into())
    }
}

impl Voucher {
    fn vouch(&self, key: &BlsKey, asked: &Statement) -> Result<Vouched, Error> {
        let Statement::Result { process, slot, .. } = *asked else { return Ok(Vouched::Declined(Declined::NotKept)) };
        if let Some(certificate) = self.certificate(process, slot, asked)? {
            return Ok(Vouched::Certificate(Box::new(certificate)));
        }
        if self.membership.attestor.as_ref().is_none_or(|own| own.public() != *key) {
            return Ok(Vouched::Declined(Declined::Key));
        }
        let Some(secret) = self.membership.signer() else { return Ok(Vouched::Declined(Declined::Silent)) };
        // Before the row, which comes with the head: the other way round a state that is written just now would seem to be missing for good.
        let head = schema::EVALUATION_HEADS.get(&*self.store, &process)?;
        // What was taken over is vouched for once it was worked out here, too: in a while.
        let borrowed = begin::gap(&*self.store, process)?.is_some();
        let Some(row) = computed(&*self.store, process, slot)? else {
            let further = head.is_some_and(|head| head.slot >= slot);
            return Ok(Vouched::Declined(if further && !borrowed { Declined::NotKept } else { Declined::NotYet }));
        };
        let own = statement(process, slot, &row);
        if own != *asked {
            // Whoever asks may claim anything. That validators differ is said where they are asked.
            tracing::debug!(event = "state_differs", %process, slot = slot.0, computed = ?own, asked = ?asked);
            return Ok(Vouched::Declined(Declined::Differs));
        }
        match self.sign(&*secret, &own) {
            Ok(share) => {
                self.metrics.vote(Vote::Position, Signing::Signed).inc();
                Ok(Vouched::Share(share))
            }
            Err(unkept) => {
                self.metrics.vote(Vote::Position, Signing::Refused).inc();
                self.metrics.signing_refusals_total.of(unkept.label()).inc();
                tracing::error!(event = "state_not_signed", %process, slot = slot.0, %unkept, "this node does not vouch for what it worked out");
                Ok(Vouched::Declined(match unkept {
                    Unkept::Conflict(_) => Declined::Conflict,
                    Unkept::Failed(_) => Declined::Failed,
                    Unkept::Silent => Declined::Silent,
                }))
            }
        }
    }

    /// A quorum's word on that very statement, if this node has it.
    fn certificate(&self, process: Id, slot: Slot, asked: &Statement) -> Result<Option<Certificate>, Error> {
        let row = schema::CERTIFIED_STATES.get(&*self.store, &(process, slot))?;
        let row = row.filter(|row| statement(process, slot, row) == *asked);
        Ok(row.and_then(|row| row.certificate).and_then(|bytes| Certificate::decode(&bytes).ok()))
    }

    /// The signature, durable before it is seen. A conflict refuses this one signature and leaves the key alone: a result that comes out
    /// otherwise than before is no second log.
    fn sign(&self, secret: &dyn SecretKey, statement: &Statement) -> Result<BlsSignature, Unkept> {
        let message = statement.message(&self.membership.network);
        let Some(position) = position(secret.public(), statement) else { return Err(Unkept::Silent) };
        let root = sha256(&[&message]);
        if let Some(before) = self.membership.protection.signed(&position)?.filter(|row| row.root == Some(root))
            && let Some(signature) = before.signature.and_then(|bytes| BlsSignature::decode(&bytes).ok())
        {
            return Ok(signature);
        }
        let signature = secret.sign(&message);
        let row = SignedRow { position, root: Some(root), signature: Some(signature.encode()) };
        self.membership.protection.record(&[Guard::Signed(row)])?;
        Ok(signature)
    }
}
