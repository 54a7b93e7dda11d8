//! What nodes ask one another about states: whether somebody's key vouches for one, which snapshots there are, and parts of them.

use ao_types::codec::{Canonical, CodecError, Reader, write_prefixed};
use ao_types::{BlsKey, BlsSignature, Certificate, Id, Statement};

use super::VERSION;
use crate::network::limits::OFFERS_MAX;
use crate::snapshot::Manifest;
use crate::snapshot::limits::{CHUNKS_MAX, MANIFEST_BYTES_MAX, PARTS_PER_CHUNK};

/// A question about a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateQuestion {
    /// Does this key, which the asked node is said to hold, vouch for a state? Names the key, for the same is asked of many at once. Answered
    /// with [`Vouched`].
    Vouch {
        /// Whose signature is wanted.
        key: BlsKey,
        /// A [`Statement::Result`] that the one who asks worked out.
        statement: Statement,
    },
    /// Which snapshots of this process do you have? Answered with [`encode_offers`].
    Snapshots(Id),
    /// Part `part` of chunk `chunk` of a snapshot. Answered with these bytes as they are.
    Part {
        /// [`Manifest::id`].
        snapshot: [u8; 32],
        /// Which chunk.
        chunk: u16,
        /// Which part of it.
        part: u8,
    },
}

impl Canonical for StateQuestion {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Vouch { key, statement } => {
                out.push(1);
                key.write(out);
                statement.write(out);
            }
            Self::Snapshots(process) => {
                out.push(2);
                process.write(out);
            }
            Self::Part { snapshot, chunk, part } => {
                out.push(3);
                snapshot.write(out);
                out.extend_from_slice(&chunk.to_be_bytes());
                out.push(*part);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a question about a state", VERSION)?;
        match reader.u8()? {
            1 => {
                let key = BlsKey::read(reader)?;
                match Statement::read(reader)? {
                    statement @ Statement::Result { .. } => Ok(Self::Vouch { key, statement }),
                    _ => Err(CodecError::NotCanonical { what: "statement about a state" }),
                }
            }
            2 => Ok(Self::Snapshots(Id::read(reader)?)),
            3 => {
                let (snapshot, chunk, part) = (reader.array()?, reader.u16()?, reader.u8()?);
                match (usize::from(chunk), usize::from(part)) {
                    (found, _) if found >= CHUNKS_MAX => Err(CodecError::Bound { what: "chunk of a snapshot", max: CHUNKS_MAX, found }),
                    (_, found) if found >= PARTS_PER_CHUNK => {
                        Err(CodecError::Bound { what: "part of a chunk", max: PARTS_PER_CHUNK, found })
                    }
                    _ => Ok(Self::Part { snapshot, chunk, part }),
                }
            }
            found => Err(CodecError::Kind { what: "kind of question about a state", found }),
        }
    }
}

/// The answer to [`StateQuestion::Snapshots`]: at most [`OFFERS_MAX`], the newest first.
pub fn encode_offers(manifests: &[Manifest]) -> Vec<u8> {
    let manifests = manifests.get(..OFFERS_MAX).unwrap_or(manifests);
    let mut out = vec![VERSION, manifests.len() as u8];
    manifests.iter().for_each(|manifest| write_prefixed(&mut out, &manifest.encode()));
    out
}

/// Reads what [`encode_offers`] wrote.
///
/// # Errors
/// Anything else.
pub fn decode_offers(bytes: &[u8]) -> Result<Vec<Manifest>, CodecError> {
    let mut reader = Reader::new(bytes);
    reader.version("offers of snapshots", VERSION)?;
    let found = usize::from(reader.u8()?);
    if found > OFFERS_MAX {
        return Err(CodecError::Bound { what: "offers of snapshots", max: OFFERS_MAX, found });
    }
    let offers =
        (0..found).map(|_| Manifest::decode(reader.prefixed("manifest of a snapshot", MANIFEST_BYTES_MAX)?)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(offers)
}

/// The answer to [`StateQuestion::Vouch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// The key's signature on the statement. Unchecked.
    Share(BlsSignature),
    /// A quorum vouched for the statement already. Unchecked.
    Certificate(Box<Certificate>),
    /// It does not.
    Declined(Declined),
}

/// Why a node does not vouch for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Declined {
    /// It attests with another key, or with none.
    #[error("it does not attest with that key")]
    Key,
    /// It only listens with its key for now.
    #[error("it does not sign with its key now")]
    Silent,
    /// It has not come that far, or the slot is not confirmed as far as it knows. Asking again later makes sense.
    #[error("it has not evaluated that slot yet")]
    NotYet,
    /// It worked out no state at that slot: it certifies others, or began its evaluation after it.
    #[error("it worked out no state at that slot")]
    NotKept,
    /// It worked out another state or result: one of two nodes does not keep to the rules, or is broken.
    #[error("it worked out another state or result for that slot")]
    Differs,
    /// It signed something else about that slot before.
    #[error("its key signed something else about that slot")]
    Conflict,
    /// Its disk failed.
    #[error("it cannot read or write its store")]
    Failed,
}

impl Declined {
    const ALL: [Self; 7] = [Self::Key, Self::Silent, Self::NotYet, Self::NotKept, Self::Differs, Self::Conflict, Self::Failed];

    /// Whether it may be otherwise in a moment.
    pub fn may_change(self) -> bool {
        matches!(self, Self::Silent | Self::NotYet | Self::Failed)
    }
}

impl Canonical for Vouched {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Share(share) => {
                out.push(1);
                share.write(out);
            }
            Self::Certificate(certificate) => {
                out.push(2);
                certificate.write(out);
            }
            Self::Declined(why) => out.extend([3, *why as u8]),
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("an answer about a state", VERSION)?;
        match reader.u8()? {
            1 => Ok(Self::Share(BlsSignature::read(reader)?)),
            2 => Ok(Self::Certificate(Box::new(Certificate::read(reader)?))),
            3 => {
                let found = reader.u8()?;
                let why = Declined::ALL.get(usize::from(found)).copied();
                why.map(Self::Declined).ok_or(CodecError::Kind { what: "reason not to vouch", found })
            }
            found => Err(CodecError::Kind { what: "kind of answer about a state", found }),
        }
    }
}
