//! What keys signed, and what of it was seen by others (S2).
//!
//! Engines' messages are opaque, but a signature of the cheap scheme can be found in any bytes. Each node signs through a [`Recorder`]; when
//! bytes leave a node, every signature of its own key in them is looked up, and what it says must be durable and must not contradict what
//! left before, in this life or an earlier one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ao_types::attestation::{DOMAIN, VoteStep};
use ao_types::codec::Canonical;
use ao_types::hash::sha256;
use ao_types::{BlsKey, BlsSignature, Chain, FrameId, NetworkId, Statement};

use crate::cheap::{CheapSecret, MARK_SIGNATURE};
use crate::protection::memory::MemoryProtection;
use crate::protection::{Kind, Position, Protection};
use crate::scheme::SecretKey;

/// Signs, and keeps what it signed.
#[derive(Clone)]
pub struct Recorder {
    secret: CheapSecret,
    signed: Arc<Mutex<BTreeMap<[u8; 16], Vec<u8>>>>,
}

impl Recorder {
    /// Of member `n`.
    pub fn new(n: u64) -> Self {
        Self { secret: CheapSecret::new(n), signed: Arc::default() }
    }

    /// What this key signed, of all that stands in these bytes.
    pub fn find(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = bytes.windows(16).filter(|window| window.starts_with(MARK_SIGNATURE));
        marks.filter_map(|mark| signed.get(mark)).cloned().collect()
    }
}

impl SecretKey for Recorder {
    fn public(&self) -> BlsKey {
        self.secret.public()
    }
    fn sign(&self, message: &[u8]) -> BlsSignature {
        let signature = self.secret.sign(message);
        if let Some(mark) = signature.0.first_chunk::<16>() {
            self.signed.lock().unwrap_or_else(PoisonError::into_inner).insert(*mark, message.to_vec());
        }
        signature
    }
}

/// What a signed message says; `None`: it is an engine's own, under a domain of its own.
///
/// # Errors
/// It is a statement of another network, or none.
pub fn statement_of(network: &NetworkId, message: &[u8]) -> Result<Option<Statement>, String> {
    let body = message.strip_prefix(&DOMAIN[..]).and_then(|rest| rest.strip_prefix(&network.0[..]));
    match body.and_then(|body| Statement::decode(body).ok()) {
        None if message.starts_with(DOMAIN) => Err("a statement of another network was signed".into()),
        statement => Ok(statement),
    }
}

/// What one key said that others can have seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Frames attested, per chain.
    frames: BTreeMap<Chain, BTreeMap<u64, FrameId>>,
    /// Chains sealed, with what was shown.
    seals: BTreeMap<Chain, Option<(u64, FrameId)>>,
    /// Votes and shares, by place.
    votes: BTreeMap<(Kind, u64, u32), Vec<u8>>,
}

impl Seen {
    /// A message signed by `key` leaves its node. `descends(frame, from)`: whether the one frame is `from` or has it among its ancestors.
    pub fn leaves(
        &mut self,
        network: &NetworkId,
        key: &BlsKey,
        message: &[u8],
        rows: &MemoryProtection,
        descends: &dyn Fn(&FrameId, &FrameId) -> bool,
    ) -> Result<(), String> {
        let Some(statement) = statement_of(network, message)? else { return Ok(()) };
        match statement {
            Statement::Frame { chain, sequence, frame } => self.frame(key, chain, (sequence, frame), rows, descends),
            Statement::Seal { chain, highest } => {
                if !rows.chain_row(key, &chain).is_ok_and(|row| row.is_some_and(|row| row.sealed)) {
                    return Err(format!("a seal of {chain} left before it was durable"));
                }
                let first = *self.seals.entry(chain).or_insert(highest);
                if first == highest { Ok(()) } else { Err(format!("two seals of {chain}: {first:?} and {highest:?}")) }
            }
            Statement::Vote { height, round, step, .. } => {
                let kind = if step == VoteStep::Prevote { Kind::Prevote } else { Kind::Precommit };
                self.vote(key, (kind, height, round), message, rows)
            }
            Statement::Block { height, round, .. } => self.vote(key, (Kind::Precommit, height, round), message, rows),
            Statement::Possession { .. } => Ok(()),
            Statement::Result { .. } => Err("an engine signs no results".into()),
        }
    }

    fn frame(
        &mut self,
        key: &BlsKey,
        chain: Chain,
        (sequence, frame): (u64, FrameId),
        rows: &MemoryProtection,
        descends: &dyn Fn(&FrameId, &FrameId) -> bool,
    ) -> Result<(), String> {
        let row = rows.chain_row(key, &chain).ok().flatten().and_then(|row| row.last);
        let durable = row.is_some_and(|(last, id)| last > sequence || (last, id) == (sequence, frame));
        if !durable {
            return Err(format!("an attestation of frame {sequence} of {chain} left, and the row says {row:?}"));
        }
        let seen = self.frames.entry(chain).or_default();
        if seen.get(&sequence) == Some(&frame) {
            return Ok(());
        }
        // Messages may overtake one another, and an earlier one may be seen later; all must lie on one branch.
        let below = seen.range(..=sequence).next_back().is_none_or(|(_, id)| descends(&frame, id));
        let above = seen.range(sequence..).next().is_none_or(|(_, id)| descends(id, &frame));
        if !below || !above {
            return Err(format!("frame {sequence} {frame} of {chain} was attested, and so were {seen:?}"));
        }
        seen.insert(sequence, frame);
        Ok(())
    }

    /// `place`: kind, height, round. A share in a finality proof is the precommit of its round.
    fn vote(&mut self, key: &BlsKey, place: (Kind, u64, u32), message: &[u8], rows: &MemoryProtection) -> Result<(), String> {
        let (kind, height, round) = place;
        let root = sha256(&[message]);
        let position = |kind| Position { key: *key, kind, scope: String::new(), term: 0, height, round };
        let kinds = if kind == Kind::Precommit { &[Kind::Precommit, Kind::Block][..] } else { &[Kind::Prevote][..] };
        let durable = kinds.iter().any(|kind| {
            let row = rows.signed_row(&position(*kind)).ok().flatten();
            row.is_some_and(|row| row.root == Some(root))
        });
        if !durable {
            return Err(format!("a {kind:?} at {height}/{round} left before its row was durable"));
        }
        let first = self.votes.entry(place).or_insert_with(|| message.to_vec());
        if first == message { Ok(()) } else { Err(format!("two of {kind:?} at {height}/{round}")) }
    }
}
