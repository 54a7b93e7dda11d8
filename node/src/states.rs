//! States that the network vouches for (`consensus.md` §9, `arweave.md` §8): what checkpoints and snapshots are made of.
//!
//! ```text
//!   evaluator ─▶ row without certificate ─▶ keeper.rs ── "does your key vouch?" ─▶ vouch.rs of other nodes
//!   (every `compute.certify_slots`)             ▲                                        │
//!                                               └── collect.rs: shares up to a quorum ◀──┘
//! ```
//!
//! Which slots are certified follows from their numbers, so that everybody has worked the same states out when somebody asks. A certified
//! state is a row of [`CERTIFIED_STATES`]: with process and slot it is a [`Statement::Result`], and its certificate is a quorum's signature on
//! that. On a network of one there is no committee, and the certificate is empty: whoever takes such a state over trusts its scheduler.
//!
//! Owns what such a row says and whether it holds. Refuses to say that a state is *right*: that two thirds of the stake worked it out
//! alike is all that is claimed.

use ao_consensus::{Rosters, VerifyError};
use ao_storage::schema::{self, CERTIFIED_STATES, CertifiedStateRow};
use ao_storage::{Direction, Error, Store};
use ao_types::codec::CodecError;
use ao_types::{Canonical as _, Certificate, Id, Slot, Statement};

use crate::limits::STATES_LOOKED_AT_MAX;
use crate::shell::begin;

pub mod collect;
pub mod keeper;
pub mod vouch;

/// Whether the state after the message at this slot is certified, where one is every `every` slots; with 0 none is.
pub fn is_due(slot: Slot, every: u64) -> bool {
    every > 0 && slot.0.checked_add(1).is_some_and(|next| next % every == 0)
}

/// What a committee signs about a state.
pub fn statement(process: Id, slot: Slot, row: &CertifiedStateRow) -> Statement {
    let CertifiedStateRow { schedule_epoch, result, state, host_abi, .. } = *row;
    Statement::Result { process, schedule_epoch, slot, result, host_abi, state }
}

/// The newest state of a process that is certified, at or before a slot. One older than the newest
/// [`STATES_LOOKED_AT_MAX`] that are not is not looked for.
///
/// # Errors
/// The store's.
pub fn newest(store: &dyn Store, process: Id, through: Slot) -> Result<Option<(Slot, CertifiedStateRow)>, Error> {
    let (from, to) = ((process, Slot(0)), (process, through.next()));
    let rows = CERTIFIED_STATES.range(store, &from, &to, Direction::Backward, STATES_LOOKED_AT_MAX)?;
    Ok(rows.into_iter().find(|(_, row)| row.certificate.is_some()).map(|((_, slot), row)| (slot, row)))
}

/// Why a certified state is none. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrue {
    /// Nobody vouched for it.
    #[error("nobody vouches for the state after slot {slot} of {process}")]
    Uncertified {
        /// Whose.
        process: Id,
        /// After which slot.
        slot: Slot,
    },
    /// A network of one has no committee, and still there is a certificate.
    #[error("a certificate where there is no committee that could have made it")]
    NoCommittee,
    /// The certificate is none.
    #[error("the certificate cannot be read: {0}")]
    Malformed(CodecError),
    /// It is about something else.
    #[error("the certificate is about {found:?}, not about {expected:?}")]
    Statement {
        /// What the row says.
        expected: Box<Statement>,
        /// What was signed.
        found: Box<Statement>,
    },
    /// Not signed by a quorum of the committee that it names.
    #[error("the certificate does not hold: {0}")]
    Certificate(VerifyError),
}

/// Whether a row's certificate holds: about 1.4 ms. `rosters` are the committees of the network; `None` on a network of one.
///
/// # Errors
/// What is wrong with it.
pub fn verify(rosters: Option<&Rosters>, process: Id, slot: Slot, row: &CertifiedStateRow) -> Result<(), Untrue> {
    let bytes = row.certificate.as_ref().ok_or(Untrue::Uncertified { process, slot })?;
    let Some(rosters) = rosters else {
        return if bytes.is_empty() { Ok(()) } else { Err(Untrue::NoCommittee) };
    };
    if bytes.is_empty() {
        return Err(Untrue::Uncertified { process, slot });
    }
    let certificate = Certificate::decode(bytes).map_err(Untrue::Malformed)?;
    certified(rosters, &statement(process, slot, row), &certificate)
}

/// Whether a quorum vouches for a statement.
fn certified(rosters: &Rosters, expected: &Statement, certificate: &Certificate) -> Result<(), Untrue> {
    if certificate.statement != *expected {
        return Err(Untrue::Statement { expected: Box::new(*expected), found: Box::new(certificate.statement) });
    }
    rosters.verify_certificate(certificate).map_err(Untrue::Certificate)
}

/// What this node worked out for the state after a slot; `None`: nothing that it could vouch for.
fn computed(store: &dyn Store, process: Id, slot: Slot) -> Result<Option<CertifiedStateRow>, Error> {
    let row = CERTIFIED_STATES.get(store, &(process, slot))?.filter(|row| row.computed);
    let confirmed = schema::CONFIRMED.get(store, &process)?.is_some_and(|confirmed| confirmed >= slot);
    let halted = schema::EVALUATION_HEADS.get(store, &process)?.is_some_and(|head| head.halted.is_some());
    // What follows from a state that others vouch for says nothing of its own before that state was worked out here, too.
    let borrowed = begin::gap(store, process)?.is_some_and(|gap| slot >= gap.first.0);
    Ok(row.filter(|_| confirmed && !halted && !borrowed))
}

#[cfg(test)]
mod tests;
