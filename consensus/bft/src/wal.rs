//! The log of one height: everything the core was told that could change what this node signs.
//!
//! Owns the bytes of entries and records and how they are read back. Refuses to store: records leave as `Remember`, and come back when a
//! node starts.
//!
//! An entry that nothing visible rests on need not be durable: entries gather here and are written together, in front of the first vote
//! or proposal that leaves after them. What a crash takes is then only what nobody outside could know that this node knew. One record
//! holds the entries of one such moment; records of a height are numbered without a gap from 0, under the keys of the height before, so
//! that the log takes no more room than the longest height did. Reading stops at the first record of another height, out of number, or
//! damaged: it and what follows never finished being written, so nothing rests on it.

use ao_types::codec::{Canonical, CodecError, Reader, write_list};
use ao_types::hash::sha256;
use arc_malachitebft_core_consensus::{Input, ProposedValue};
use arc_malachitebft_core_types::{PolkaCertificate, SignedProposal, SignedVote, Timeout, TimeoutKind, Validity, ValueOrigin};

use crate::codec::{Wire, read_optional_round, read_round, write_optional_round, write_round};
use crate::context::{Bft, BlockId, Height, Voter};
use crate::limits::{WAL_RECORD_BYTES_MAX, WAL_UNWRITTEN_MAX};
use ao_consensus::block::Block;

/// Leads every record; other versions are refused.
pub const WAL_VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;

/// One thing that the core was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A vote, own ones too.
    Vote(SignedVote<Bft>),
    /// A proposal, own ones too.
    Proposal(SignedProposal<Bft>),
    /// A quorum's prevotes in one piece.
    Polka(PolkaCertificate<Bft>),
    /// A step took too long.
    Timeout(Timeout),
    /// A verdict on a block.
    Value(ProposedValue<Bft>),
    /// A block's body: a locked value must be proposed again after a crash.
    Body(Block),
}

impl Entry {
    /// What the core asks to be logged; `None` where it asks for what is never logged.
    pub(crate) fn of(input: &Input<Bft>) -> Option<Self> {
        Some(match input {
            Input::Vote(vote) => Self::Vote(vote.clone()),
            Input::Proposal(proposal) => Self::Proposal(proposal.clone()),
            Input::PolkaCertificate(certificate) => Self::Polka(certificate.clone()),
            Input::TimeoutElapsed(timeout) => Self::Timeout(*timeout),
            Input::ProposedValue(value, _) => Self::Value(value.clone()),
            Input::StartHeight(..) | Input::Propose(_) | Input::RoundCertificate(_) | Input::SyncValueResponse(_) => return None,
        })
    }

    /// What the core is told again; `None` for a body, which is the engine's.
    pub(crate) fn input(&self) -> Option<Input<Bft>> {
        Some(match self {
            Self::Vote(vote) => Input::Vote(vote.clone()),
            Self::Proposal(proposal) => Input::Proposal(proposal.clone()),
            Self::Polka(certificate) => Input::PolkaCertificate(certificate.clone()),
            Self::Timeout(timeout) => Input::TimeoutElapsed(*timeout),
            Self::Value(value) => Input::ProposedValue(value.clone(), ValueOrigin::Consensus),
            Self::Body(_) => return None,
        })
    }
}

impl Canonical for Entry {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Vote(vote) => {
                out.push(1);
                Wire(vote.clone()).write(out);
            }
            Self::Proposal(proposal) => {
                out.push(2);
                Wire(proposal.clone()).write(out);
            }
            Self::Polka(certificate) => {
                out.push(3);
                Wire(certificate.clone()).write(out);
            }
            Self::Timeout(timeout) => {
                out.push(match timeout.kind {
                    TimeoutKind::Propose => 4,
                    TimeoutKind::Prevote => 5,
                    // The core logs no other kind.
                    TimeoutKind::Precommit | TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => 6,
                });
                write_round(timeout.round, out);
            }
            Self::Value(value) => {
                out.push(7);
                value.height.write(out);
                write_round(value.round, out);
                write_optional_round(value.valid_round, out);
                value.proposer.write(out);
                value.value.write(out);
                out.push(u8::from(value.validity.is_valid()));
            }
            Self::Body(block) => {
                out.push(8);
                block.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let timeout = |kind, reader: &mut Reader<'_>| read_round(reader).map(|round| Self::Timeout(Timeout::new(round, kind)));
        Ok(match reader.u8()? {
            1 => Self::Vote(Wire::read(reader)?.0),
            2 => Self::Proposal(Wire::read(reader)?.0),
            3 => Self::Polka(Wire::read(reader)?.0),
            4 => timeout(TimeoutKind::Propose, reader)?,
            5 => timeout(TimeoutKind::Prevote, reader)?,
            6 => timeout(TimeoutKind::Precommit, reader)?,
            7 => Self::Value(ProposedValue {
                height: Height::read(reader)?,
                round: read_round(reader)?,
                valid_round: read_optional_round(reader)?,
                proposer: Voter::read(reader)?,
                value: BlockId::read(reader)?,
                validity: Validity::from_bool(reader.flag("validity")?),
            }),
            8 => Self::Body(Block::read(reader)?),
            found => return Err(CodecError::Kind { what: "log entry", found }),
        })
    }
}

/// The log of the height being decided.
#[derive(Debug, Default)]
pub struct Wal {
    height: Height,
    /// Number of the next record.
    next: u32,
    unwritten: Vec<Entry>,
}

/// A record to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalRecord {
    /// Its number within the height, and its key.
    pub number: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Wal {
    /// Begins another height. What of the old one was not written never needs to be.
    pub fn start(&mut self, height: Height) {
        *self = Self { height, next: 0, unwritten: Vec::new() };
    }

    /// Continues behind the records that were read back.
    pub fn resume(&mut self, height: Height, next: u32) {
        *self = Self { height, next, unwritten: Vec::new() };
    }

    /// Notes an entry. True if so many wait that they should be written although nothing leaves.
    pub fn append(&mut self, entry: Entry) -> bool {
        self.unwritten.push(entry);
        self.unwritten.len() >= WAL_UNWRITTEN_MAX
    }

    /// The entries that wait, as one record; `None` if there are none.
    pub fn flush(&mut self) -> Option<WalRecord> {
        if self.unwritten.is_empty() {
            return None;
        }
        let mut bytes = vec![WAL_VERSION];
        self.height.write(&mut bytes);
        bytes.extend_from_slice(&self.next.to_be_bytes());
        write_list(&mut bytes, &std::mem::take(&mut self.unwritten));
        let check = sha256(&[&bytes]);
        bytes.extend_from_slice(&check[..CHECK_BYTES]);
        let record = WalRecord { number: self.next, bytes };
        self.next = self.next.saturating_add(1);
        Some(record)
    }

    /// Entries that are not yet in a record.
    pub fn unwritten(&self) -> usize {
        self.unwritten.len()
    }
}

/// Why bytes are not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// The bytes were cut or changed after they were written.
    #[error("the record is damaged")]
    Damaged,
    /// Larger than any record that is written.
    #[error("a record has at most {max} bytes, this one {found}")]
    TooLong {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// Whole, and yet not readable.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Reads one record: height, number, entries.
pub fn read_record(bytes: &[u8]) -> Result<(Height, u32, Vec<Entry>), WalError> {
    if bytes.len() > WAL_RECORD_BYTES_MAX {
        return Err(WalError::TooLong { max: WAL_RECORD_BYTES_MAX, found: bytes.len() });
    }
    let (content, check) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(WalError::Damaged)?;
    if sha256(&[content])[..CHECK_BYTES] != *check {
        return Err(WalError::Damaged);
    }
    let mut reader = Reader::new(content);
    reader.version("log record", WAL_VERSION)?;
    let (height, number) = (Height::read(&mut reader)?, reader.u32()?);
    let entries = reader.list("log entries", 2 * WAL_UNWRITTEN_MAX)?;
    reader.finish()?;
    Ok((height, number, entries))
}

/// What a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// In the order in which they were noted.
    pub entries: Vec<Entry>,
    /// Number of the next record.
    pub next: u32,
    /// A record of this height stands behind one that is missing or damaged. That is no interrupted write: something this node signed
    /// may be gone, so it must not sign in this height.
    pub hole: bool,
}

/// Reads a height's log out of all records that were found, in whatever order.
pub fn replayed<'a>(height: Height, records: impl IntoIterator<Item = (u32, &'a [u8])>) -> Replayed {
    let mut all: Vec<(u32, &[u8])> = records.into_iter().collect();
    all.sort_by_key(|(number, _)| *number);
    let mut out = Replayed { entries: Vec::new(), next: 0, hole: false };
    let mut ended = false;
    for (key, bytes) in all {
        let Some((_, number, more)) = read_record(bytes).ok().filter(|(found, number, _)| *found == height && *number == key) else {
            ended = true;
            continue;
        };
        if ended || number != out.next {
            out.hole = true;
            break;
        }
        out.entries.extend(more);
        out.next += 1;
    }
    out
}

#[cfg(test)]
pub(crate) mod tests;
