//! What nodes say to each other, byte by byte.
//!
//! ```text
//! gossip    [version 1][kind 1][…]     a whole frame, a header, an engine's words, evidence
//! direct    [version 1][kind 1][…]     an engine's words, tips of chains, "I have that body", where a scheduler is reached
//! question  [version 1][…]             a range of frames, a chunk of a body, a part of an item, a state that somebody vouches for
//! forward   [version 1][kind 1][…]     a client's item on its way to its scheduler, or the name of one that is there
//! ```
//!
//! Below this, `ao-p2p` frames each of them and compares its length with a cap before a byte is allocated; here every count and length is
//! compared with a bound before it is believed, and no message has two encodings. What frames, chunks and evidence are is
//! `ao-consensus`'s; payloads stay bytes here. Refuses to judge what it reads.

use ao_consensus::Timestamp;
use ao_consensus::frame::RawHeader;
use ao_p2p::PeerId;
use ao_types::codec::{Canonical, CodecError, Reader, write_list, write_prefixed};
use ao_types::{Chain, FrameId, Id};
use bytes::Bytes;

use super::limits::{PARTS_MAX, RANGE_FRAMES_MAX, TIPS_MAX};

mod forward;
mod state;

pub use forward::{Forward, Receipt, decode_receipt, encode_receipt};
pub use state::{Declined, StateQuestion, Vouched, decode_offers, encode_offers};

/// Leads every message.
pub const VERSION: u8 = 1;

/// Bytes in front of what a gossiped or direct message carries.
pub const HEAD_BYTES: usize = 2;

/// A value at the end of `bytes`, without copying it.
fn rest(bytes: &Bytes, reader: &Reader<'_>) -> Bytes {
    bytes.slice(reader.position()..)
}

fn head(kind: u8, size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + size);
    out.extend([VERSION, kind]);
    out
}

fn framed(kind: u8, payload: &[u8]) -> Bytes {
    let mut out = head(kind, payload.len());
    out.extend_from_slice(payload);
    out.into()
}

fn write_peer(out: &mut Vec<u8>, peer: &PeerId) {
    out.extend_from_slice(&peer.key());
}

fn read_peer(reader: &mut Reader<'_>) -> Result<PeerId, CodecError> {
    PeerId::from_key(reader.array()?).map_err(|_| CodecError::NotCanonical { what: "key of a peer" })
}

/// What is gossiped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gossip {
    /// A frame that fits: canonical bytes of a [`ao_consensus::frame::WireFrame`].
    Frame(Bytes),
    /// Header of a frame that does not, and a node that says it has the body.
    Header {
        /// The header, unchecked.
        header: Box<RawHeader>,
        /// Who has the body: a claim.
        holder: PeerId,
    },
    /// For the engines of all nodes.
    Engine(Bytes),
    /// Canonical bytes of an [`ao_consensus::Evidence`].
    Evidence(Bytes),
}

impl Gossip {
    /// The bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Frame(bytes) => framed(1, bytes),
            Self::Header { header, holder } => {
                let mut out = head(2, 1024);
                write_peer(&mut out, holder);
                header.write(&mut out);
                out.into()
            }
            Self::Engine(bytes) => framed(3, bytes),
            Self::Evidence(bytes) => framed(4, bytes),
        }
    }

    /// Reads what [`Gossip::encode`] wrote. Shares `bytes`.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.version("gossip", VERSION)?;
        match reader.u8()? {
            1 => Ok(Self::Frame(rest(bytes, &reader))),
            2 => {
                let holder = read_peer(&mut reader)?;
                let header = Box::new(RawHeader::read(&mut reader)?);
                reader.finish()?;
                Ok(Self::Header { header, holder })
            }
            3 => Ok(Self::Engine(rest(bytes, &reader))),
            4 => Ok(Self::Evidence(rest(bytes, &reader))),
            found => Err(CodecError::Kind { what: "kind of gossip", found }),
        }
    }
}

/// How far a node is with one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Which chain.
    pub chain: Chain,
    /// Sequence of the first frame that it lacks.
    pub next: u64,
    /// The frame before that one; the chain's id if there is none.
    pub last: FrameId,
}

impl Canonical for Tip {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain.write(out);
        self.next.write(out);
        self.last.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { chain: Chain::read(reader)?, next: reader.u64()?, last: FrameId::read(reader)? })
    }
}

/// A frame, by its place and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Whose.
    pub chain: Chain,
    /// Where in the chain.
    pub sequence: u64,
    /// Which frame.
    pub frame: FrameId,
}

impl Canonical for Place {
    fn write(&self, out: &mut Vec<u8>) {
        self.chain.write(out);
        self.sequence.write(out);
        self.frame.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { chain: Chain::read(reader)?, sequence: reader.u64()?, frame: FrameId::read(reader)? })
    }
}

/// What one node tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direct {
    /// For its engine.
    Engine(Bytes),
    /// How far the sender is with each chain, and what time it is for it.
    Tips(Vec<Tip>, Timestamp),
    /// The sender has this frame's body and serves it.
    Have(Place),
    /// Canonical bytes of an [`ao_consensus::Evidence`] that is too large for gossip.
    Evidence(Bytes),
    /// The newest Scheduler-Location item of the sender's scheduler.
    Location(Bytes),
}

impl Direct {
    /// The bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Engine(bytes) => framed(1, bytes),
            Self::Tips(tips, clock) => {
                let mut out = head(2, 12 + tips.len() * 81);
                write_list(&mut out, tips);
                out.extend_from_slice(&clock.0.to_be_bytes());
                out.into()
            }
            Self::Have(place) => framed(3, &place.encode()),
            Self::Evidence(bytes) => framed(4, bytes),
            Self::Location(bytes) => framed(5, bytes),
        }
    }

    /// Reads what [`Direct::encode`] wrote. Shares `bytes`.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.version("a direct message", VERSION)?;
        let read = match reader.u8()? {
            1 => return Ok(Self::Engine(rest(bytes, &reader))),
            2 => Self::Tips(reader.list("tips", TIPS_MAX)?, Timestamp(reader.u64()?)),
            3 => Self::Have(Place::read(&mut reader)?),
            4 => return Ok(Self::Evidence(rest(bytes, &reader))),
            5 => return Ok(Self::Location(rest(bytes, &reader))),
            found => return Err(CodecError::Kind { what: "kind of direct message", found }),
        };
        reader.finish()?;
        Ok(read)
    }
}

/// Asks for the frames of a chain from one sequence on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeQuestion {
    /// Whose.
    pub chain: Chain,
    /// The first.
    pub from: u64,
    /// How many, 1 to [`RANGE_FRAMES_MAX`]; the answer may have fewer.
    pub count: u16,
}

/// Asks for one chunk of a frame's body. The answer is an [`ao_consensus::frame::Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkQuestion {
    /// Which frame.
    pub place: Place,
    /// Which chunk.
    pub index: u32,
}

/// Asks for one part of an item: 256 KiB from `part` × 256 KiB on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemQuestion {
    /// Which.
    pub item: Id,
    /// Which part.
    pub part: u32,
}

macro_rules! versioned {
    ($name:ident, $what:literal, |$self:ident, $out:ident| $write:block, |$reader:ident| $read:block) => {
        impl Canonical for $name {
            fn write(&self, $out: &mut Vec<u8>) {
                let $self = self;
                $out.push(VERSION);
                $write
            }
            fn read($reader: &mut Reader<'_>) -> Result<Self, CodecError> {
                $reader.version($what, VERSION)?;
                $read
            }
        }
    };
}

versioned!(
    RangeQuestion,
    "a question for a range",
    |it, out| {
        it.chain.write(out);
        it.from.write(out);
        out.extend_from_slice(&it.count.to_be_bytes());
    },
    |reader| {
        let question = Self { chain: Chain::read(reader)?, from: reader.u64()?, count: reader.u16()? };
        let (found, max) = (usize::from(question.count), RANGE_FRAMES_MAX);
        if (1..=max).contains(&found) { Ok(question) } else { Err(CodecError::Bound { what: "frames of a range", max, found }) }
    }
);

versioned!(
    ChunkQuestion,
    "a question for a chunk",
    |it, out| {
        it.place.write(out);
        out.extend_from_slice(&it.index.to_be_bytes());
    },
    |reader| { Ok(Self { place: Place::read(reader)?, index: reader.u32()? }) }
);

versioned!(
    ItemQuestion,
    "a question for an item",
    |it, out| {
        it.item.write(out);
        out.extend_from_slice(&it.part.to_be_bytes());
    },
    |reader| {
        let question = Self { item: Id::read(reader)?, part: reader.u32()? };
        let (found, max) = (question.part as usize, PARTS_MAX);
        if found < max { Ok(question) } else { Err(CodecError::Bound { what: "part of an item", max, found }) }
    }
);

/// A frame in the answer to a [`RangeQuestion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Canonical bytes of a [`ao_consensus::frame::WireFrame`].
    Whole(Bytes),
    /// Canonical bytes of its [`RawHeader`]: the body does not fit and is pulled in chunks.
    Header(Bytes),
}

impl Piece {
    /// Bytes it takes in an answer.
    pub fn weight(&self) -> usize {
        let (Self::Whole(bytes) | Self::Header(bytes)) = self;
        bytes.len() + 5
    }
}

/// The answer to a [`RangeQuestion`]: frames in order, without a gap, the first one being the one asked for.
pub fn encode_range(pieces: &[Piece]) -> Bytes {
    let mut out = Vec::with_capacity(5 + pieces.iter().map(Piece::weight).sum::<usize>());
    out.push(VERSION);
    out.extend_from_slice(&(pieces.len() as u32).to_be_bytes());
    for piece in pieces {
        let (kind, bytes) = match piece {
            Piece::Whole(bytes) => (1, bytes),
            Piece::Header(bytes) => (2, bytes),
        };
        out.push(kind);
        write_prefixed(&mut out, bytes);
    }
    out.into()
}

/// Reads what [`encode_range`] wrote, for `count` frames at most. Shares `bytes`.
///
/// # Errors
/// Anything else; more frames than were asked for, or none.
pub fn decode_range(bytes: &Bytes, count: u16) -> Result<Vec<Piece>, CodecError> {
    let mut reader = Reader::new(bytes);
    reader.version("a range", VERSION)?;
    let (found, max) = (reader.u32()? as usize, usize::from(count));
    if found == 0 || found > max {
        return Err(CodecError::Bound { what: "frames of a range", max, found });
    }
    let mut pieces = Vec::with_capacity(found);
    for _ in 0..found {
        let kind = reader.u8()?;
        let piece = bytes.slice_ref(reader.prefixed("bytes of a frame", bytes.len())?);
        pieces.push(match kind {
            1 => Piece::Whole(piece),
            2 => Piece::Header(piece),
            found => return Err(CodecError::Kind { what: "form of a frame in a range", found }),
        });
    }
    reader.finish()?;
    Ok(pieces)
}

/// The answer to an [`ItemQuestion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemPart {
    /// Bytes of the whole item.
    pub total: u32,
    /// This part.
    pub bytes: Bytes,
}

impl ItemPart {
    /// The bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(5 + self.bytes.len());
        out.push(VERSION);
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(&self.bytes);
        out.into()
    }

    /// Reads what [`ItemPart::encode`] wrote. Shares `bytes`.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.version("a part of an item", VERSION)?;
        let total = reader.u32()?;
        Ok(Self { total, bytes: rest(bytes, &reader) })
    }
}

#[cfg(test)]
mod tests;
