//! Slashing protection: what a key is bound by, and the rules that keep it from contradicting itself (`consensus.md` §4 rule 7,
//! `operations.md` §5).
//!
//! Two kinds of rows. A [`ChainRow`] per chain says which frame was attested last and whether the chain is sealed; slots are unique
//! because frames are. A [`SignedRow`] per position says which vote, block share or result was signed there. Rules are pure functions
//! over rows; [`Protection`] is the store, which applies them once more and makes a row durable before the signature leaves. A repeat
//! serves the stored bytes, never a fresh signature.

use std::collections::BTreeMap;

use ao_types::codec::{Canonical, CodecError, Reader, write_option};
use ao_types::{BlsKey, BlsSignature, Chain, FrameId};

pub mod interchange;
pub mod memory;

/// What a key is bound by in one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// Whose.
    pub key: BlsKey,
    /// The chain.
    pub chain: Chain,
    /// The frame attested last.
    pub last: Option<(u64, FrameId)>,
    /// Nothing more may be attested in the chain.
    pub sealed: bool,
    /// The signature on `last`, which a repeat serves; `None` where it was imported.
    pub signature: Option<BlsSignature>,
}

/// What kind of statement is signed at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// First vote of a BFT round.
    Prevote,
    /// Second vote of a BFT round.
    Precommit,
    /// A BFT proposal.
    Proposal,
    /// Share of a BFT finality proof.
    Block,
    /// A result (`consensus.md` §9).
    Result,
}

/// Where a statement stands. Ordered by term, then height, then round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Whose.
    pub key: BlsKey,
    /// What kind; positions of different kinds never conflict.
    pub kind: Kind,
    /// What it is about: empty for the control plane, 43 characters of a process id for results.
    pub scope: String,
    /// Committee epoch of a vote; schedule epoch of a result.
    pub term: u64,
    /// Height, or slot.
    pub height: u64,
    /// Round; for results the `host_abi`, among equals of which alone results are compared.
    pub round: u32,
}

/// What was signed at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRow {
    /// Where.
    pub position: Position,
    /// Hash of the statement's message, without signature. `None`: it was imported without; it conflicts with everything.
    pub root: Option<[u8; 32]>,
    /// The signature, which a repeat serves; `None` where it was imported.
    pub signature: Option<Vec<u8>>,
}

/// Nothing at or below this position may be signed, unless a row says that the very same was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watermark(pub Position);

/// A row of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Of a chain.
    Chain(ChainRow),
    /// Of a position.
    Signed(SignedRow),
}

/// Whether a signature may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit<S> {
    /// Yes, after the row is durable.
    Fresh,
    /// It was made: these bytes, and no others, may be sent again.
    Repeat(S),
}

/// Why a signature must not be made. The operator's matter (exit code 11): the node is not what keeps this key from contradicting itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another frame, or one not above the last.
    #[error("{} attested {:?} in {} and must not attest frame {frame} at {sequence}", .row.key, .row.last, .row.chain)]
    Frame {
        /// What was attested.
        row: Box<ChainRow>,
        /// What was to be.
        sequence: u64,
        /// What was to be.
        frame: FrameId,
    },
    /// The chain is sealed.
    #[error("{key} sealed {chain} and signs nothing more in it")]
    Sealed {
        /// Whose.
        key: BlsKey,
        /// Where.
        chain: Chain,
    },
    /// Another statement was signed at this position.
    #[error("{:?} at {}/{}/{} was signed by {} already, over something else", .0.kind, .0.term, .0.height, .0.round, .0.key)]
    Position(Box<Position>),
    /// At or below what may still be signed.
    #[error("{:?} at {}/{}/{} is not above the watermark {}/{}/{}", .position.kind, .position.term, .position.height, .position.round, .watermark.term, .watermark.height, .watermark.round)]
    Watermark {
        /// What was to be signed.
        position: Box<Position>,
        /// The bound.
        watermark: Box<Position>,
    },
    /// It was signed, and only the fact was imported.
    #[error("it was signed elsewhere and its bytes are not here: sign the next one")]
    BytesElsewhere,
}

/// Whether a key may attest a frame. That the frame descends from the last one attested is checked before, by [`crate::checks::judge`]:
/// a row cannot know.
pub fn may_attest(
    key: &BlsKey,
    chain: &Chain,
    row: Option<&ChainRow>,
    (sequence, frame): (u64, FrameId),
) -> Result<Permit<BlsSignature>, Conflict> {
    let Some(row) = row else { return Ok(Permit::Fresh) };
    if row.last == Some((sequence, frame)) {
        return row.signature.map(Permit::Repeat).ok_or(Conflict::BytesElsewhere);
    }
    if row.sealed {
        return Err(Conflict::Sealed { key: *key, chain: *chain });
    }
    match row.last {
        Some((last, _)) if sequence <= last => Err(Conflict::Frame { row: Box::new(row.clone()), sequence, frame }),
        _ => Ok(Permit::Fresh),
    }
}

/// Whether a key may sign at a position. `row` is that of this very position, `watermark` that of its key, kind and scope.
pub fn may_sign(
    position: &Position,
    root: &[u8; 32],
    row: Option<&SignedRow>,
    watermark: Option<&Watermark>,
) -> Result<Permit<Vec<u8>>, Conflict> {
    if let Some(row) = row {
        if row.root.as_ref() != Some(root) {
            return Err(Conflict::Position(Box::new(position.clone())));
        }
        return row.signature.clone().map(Permit::Repeat).ok_or(Conflict::BytesElsewhere);
    }
    match watermark {
        Some(Watermark(bound)) if place(position) <= place(bound) => {
            Err(Conflict::Watermark { position: Box::new(position.clone()), watermark: Box::new(bound.clone()) })
        }
        _ => Ok(Permit::Fresh),
    }
}

/// What watermarks compare. Results of one slot by different hosts do not bar one another, so their round does not count.
pub fn place(position: &Position) -> (u64, u64, u32) {
    (position.term, position.height, if position.kind == Kind::Result { 0 } else { position.round })
}

/// Whether `next` may replace `row`: only forwards, never unsealed.
pub fn may_replace(row: Option<&ChainRow>, next: &ChainRow) -> Result<(), Conflict> {
    let Some(row) = row else { return Ok(()) };
    let conflict = || {
        let (sequence, frame) = next.last.unwrap_or_default();
        Conflict::Frame { row: Box::new(row.clone()), sequence, frame }
    };
    if row.sealed && (!next.sealed || next.last != row.last) {
        return Err(Conflict::Sealed { key: row.key, chain: row.chain });
    }
    match (row.last, next.last) {
        (Some(_), None) => Err(conflict()),
        (Some((last, frame)), Some((sequence, other))) if sequence < last || (sequence == last && other != frame) => Err(conflict()),
        _ => Ok(()),
    }
}

/// The durable store. One writer: opening it takes a lock that a second process does not get.
///
/// `record` is one synchronous write for all rows, and all or nothing: a row that contradicts what is there refuses the whole call. When
/// it returns, signatures over these rows may leave.
pub trait Protection: Send {
    /// What the store failed with, or the conflict.
    type Error: From<Conflict> + std::error::Error + Send + 'static;

    /// The row of a chain.
    fn chain_row(&self, key: &BlsKey, chain: &Chain) -> Result<Option<ChainRow>, Self::Error>;

    /// The row of a position.
    fn signed_row(&self, position: &Position) -> Result<Option<SignedRow>, Self::Error>;

    /// The watermark of a position's key, kind and scope.
    fn watermark(&self, position: &Position) -> Result<Option<Watermark>, Self::Error>;

    /// What [`Protection::record`] would answer; and the rows that it would write, for those that are there need no second write.
    fn check(&self, guards: &[Guard]) -> Result<Vec<Guard>, Self::Error> {
        // Later rows of one call are checked against earlier ones.
        let mut chains: BTreeMap<(BlsKey, Chain), &ChainRow> = BTreeMap::new();
        let mut signed: BTreeMap<&Position, &SignedRow> = BTreeMap::new();
        for guard in guards {
            match guard {
                Guard::Chain(next) => {
                    let at = (next.key, next.chain);
                    let stored = if chains.contains_key(&at) { None } else { self.chain_row(&next.key, &next.chain)? };
                    may_replace(chains.get(&at).copied().or(stored.as_ref()), next)?;
                    if stored.as_ref() != Some(next) {
                        chains.insert(at, next);
                    }
                }
                Guard::Signed(row) => {
                    let at = &row.position;
                    let stored = if signed.contains_key(at) { None } else { self.signed_row(at)? };
                    let root = row.root.ok_or_else(|| Conflict::Position(Box::new(at.clone())))?;
                    let mark = self.watermark(at)?;
                    if may_sign(at, &root, signed.get(at).copied().or(stored.as_ref()), mark.as_ref())? == Permit::Fresh {
                        signed.insert(at, row);
                    }
                }
            }
        }
        let chains = chains.into_values().cloned().map(Guard::Chain);
        Ok(chains.chain(signed.into_values().cloned().map(Guard::Signed)).collect())
    }

    /// Checks rows by [`may_replace`] and [`may_sign`] and makes them durable.
    fn record(&mut self, guards: &[Guard]) -> Result<(), Self::Error>;

    /// Raises a watermark, durably; never lowers one. For what a key was found to have signed elsewhere.
    fn raise(&mut self, watermark: &Watermark) -> Result<(), Self::Error>;

    /// The conflict that an error is about; `None`: the store failed.
    fn conflict(error: &Self::Error) -> Option<&Conflict>;

    /// Every row of a key, for an engine's start; and for export, with all watermarks.
    fn rows(&self, key: &BlsKey) -> Result<(Vec<Guard>, Vec<Watermark>), Self::Error>;

    /// Keys that have rows. A key that is loaded without one must be initialised by the operator: it may have signed elsewhere.
    fn keys(&self) -> Result<Vec<BlsKey>, Self::Error>;
}

impl Canonical for ChainRow {
    fn write(&self, out: &mut Vec<u8>) {
        self.key.write(out);
        self.chain.write(out);
        out.push(u8::from(self.last.is_some()));
        if let Some((sequence, frame)) = &self.last {
            sequence.write(out);
            frame.write(out);
        }
        out.push(u8::from(self.sealed));
        write_option(out, self.signature.as_ref());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (key, chain) = (BlsKey::read(reader)?, Chain::read(reader)?);
        let known = reader.flag("last frame of a row")?;
        let last = if known { Some((reader.u64()?, FrameId::read(reader)?)) } else { None };
        Ok(Self { key, chain, last, sealed: reader.flag("seal of a row")?, signature: reader.option("signature of a row")? })
    }
}

#[cfg(test)]
mod tests;
