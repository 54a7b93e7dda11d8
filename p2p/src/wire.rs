//! Framing and versions: what stands in front of every payload, and what is refused before a byte is allocated for it.
//!
//! ```text
//! gossip    [version 1][payload]
//! request   [version 1][kind  1][zero 2][length 4, big-endian][payload]
//! answer    [version 1][status 1][zero 2][length 4, big-endian][payload]
//! ```
//!
//! A stream carries one request and one answer. The length is compared with the kind's cap first; then the body is read in steps, and each
//! step takes room from one budget over all peers ([`Budget`]), so that a claim of a length costs nothing and only bytes that arrived do.
//! Payloads are opaque: what is in them is the layer's above.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::{
    CHUNK_BYTES, CHUNK_PROOF_BYTES_MAX, DIRECT_BYTES_MAX, FORWARD_BYTES_MAX, GOSSIP_BYTES_MAX, QUESTION_BYTES_MAX, RANGE_BYTES_MAX,
    READ_STEP_BYTES, RECEIPT_BYTES_MAX,
};

/// Version of everything on this page. Another one is another protocol name, so both can be spoken while a network changes over.
pub const VERSION: u8 = 1;

/// Bytes in front of a request or an answer.
pub const HEAD_BYTES: usize = 8;

/// What a request is about. Its caps are fixed for all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A run of frames by sequence: headers, entries, proofs.
    Range = 1,
    /// One chunk of a frame's body.
    Body = 2,
    /// One item, or a chunk of it.
    Item = 3,
    /// A message from engine to engine: shares, votes. Its answer is a receipt that this crate gives by itself.
    Direct = 4,
    /// An item of a client, on its way to the process's scheduler.
    Forward = 5,
    /// A state: whether the asked node vouches for it, which ones it serves, a part of one.
    State = 6,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Range, Self::Body, Self::Item, Self::Direct, Self::Forward, Self::State];

    /// Bytes of the request, at most.
    pub fn request_bytes_max(self) -> usize {
        match self {
            Self::Range | Self::Body | Self::Item | Self::State => QUESTION_BYTES_MAX,
            Self::Direct => DIRECT_BYTES_MAX,
            Self::Forward => FORWARD_BYTES_MAX,
        }
    }

    /// Bytes of the answer, at most.
    pub fn answer_bytes_max(self) -> usize {
        match self {
            Self::Range => RANGE_BYTES_MAX,
            Self::Body | Self::Item | Self::State => CHUNK_BYTES + CHUNK_PROOF_BYTES_MAX,
            Self::Direct => 0,
            Self::Forward => RECEIPT_BYTES_MAX,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What an answer says before its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Here it is.
    Ok = 0,
    /// This node does not have it.
    NotFound = 1,
    /// Not now: too much to do, or the one who asks has too much open. Ask somebody else.
    Busy = 2,
    /// The request makes no sense or is not allowed; asking again changes nothing.
    Refused = 3,
}

impl Status {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ok, Self::NotFound, Self::Busy, Self::Refused].into_iter().find(|status| *status as u8 == byte)
    }
}

/// Why bytes are not a frame of this protocol. Always the sender's fault; each costs it [`Offence::Malformed`](crate::Offence) or
/// [`Offence::Oversize`](crate::Offence).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Fewer bytes than a head, or than the head promised.
    #[error("{found} bytes where {expected} are expected")]
    Short {
        /// Bytes that the frame needs.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Spoken by another version, which has another protocol name.
    #[error("version {found} where {VERSION} is spoken")]
    Version {
        /// The first byte.
        found: u8,
    },
    /// No such kind or status.
    #[error("{found} is no kind of message")]
    Kind {
        /// The second byte.
        found: u8,
    },
    /// Bytes that must be zero are not.
    #[error("reserved bytes are not zero")]
    Reserved,
    /// More than this kind may have. Found before anything is allocated.
    #[error("{found} bytes where at most {max} are allowed")]
    Oversize {
        /// The cap.
        max: usize,
        /// What the head claims, or what is there.
        found: usize,
    },
    /// Bytes after the end.
    #[error("{found} bytes after the end of the frame")]
    Trailing {
        /// How many.
        found: usize,
    },
}

impl From<BadFrame> for io::Error {
    fn from(bad: BadFrame) -> Self {
        Self::new(io::ErrorKind::InvalidData, bad)
    }
}

/// The payload of a gossiped message.
///
/// # Errors
/// Another version, no payload at all, or more than [`GOSSIP_BYTES_MAX`].
pub fn open_gossip(bytes: &[u8]) -> Result<&[u8], BadFrame> {
    match bytes.split_first() {
        None => Err(BadFrame::Short { expected: 2, found: 0 }),
        Some((&VERSION, [])) => Err(BadFrame::Short { expected: 2, found: 1 }),
        Some((&VERSION, payload)) if payload.len() > GOSSIP_BYTES_MAX => {
            Err(BadFrame::Oversize { max: GOSSIP_BYTES_MAX, found: payload.len() })
        }
        Some((&VERSION, payload)) => Ok(payload),
        Some((&found, _)) => Err(BadFrame::Version { found }),
    }
}

/// What to gossip for a payload.
///
/// # Errors
/// An empty payload, or more than [`GOSSIP_BYTES_MAX`].
pub fn seal_gossip(payload: &[u8]) -> Result<Vec<u8>, BadFrame> {
    if payload.is_empty() {
        return Err(BadFrame::Short { expected: 1, found: 0 });
    }
    if payload.len() > GOSSIP_BYTES_MAX {
        return Err(BadFrame::Oversize { max: GOSSIP_BYTES_MAX, found: payload.len() });
    }
    let mut bytes = Vec::with_capacity(payload.len() + 1);
    bytes.push(VERSION);
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

fn head(bytes: &[u8; HEAD_BYTES]) -> Result<(u8, usize), BadFrame> {
    let [version, kind, zero_a, zero_b, a, b, c, d] = *bytes;
    if version != VERSION {
        return Err(BadFrame::Version { found: version });
    }
    if zero_a != 0 || zero_b != 0 {
        return Err(BadFrame::Reserved);
    }
    Ok((kind, usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX)))
}

fn within(found: usize, max: usize) -> Result<usize, BadFrame> {
    if found > max { Err(BadFrame::Oversize { max, found }) } else { Ok(found) }
}

/// Kind and length of the request behind this head.
///
/// # Errors
/// Anything but a head of this version with a length within the kind's cap.
pub fn request_head(bytes: &[u8; HEAD_BYTES]) -> Result<(Kind, usize), BadFrame> {
    let (kind, length) = head(bytes)?;
    let kind = Kind::from_byte(kind).ok_or(BadFrame::Kind { found: kind })?;
    Ok((kind, within(length, kind.request_bytes_max())?))
}

/// Status and length of the answer behind this head, to a request of `kind`.
///
/// # Errors
/// Anything but a head of this version with a length within the kind's cap; bytes behind a status that has none.
pub fn answer_head(bytes: &[u8; HEAD_BYTES], kind: Kind) -> Result<(Status, usize), BadFrame> {
    let (status, length) = head(bytes)?;
    let status = Status::from_byte(status).ok_or(BadFrame::Kind { found: status })?;
    let max = if status == Status::Ok { kind.answer_bytes_max() } else { 0 };
    Ok((status, within(length, max)?))
}

/// The head for a payload of this kind or status and length.
fn head_of(byte: u8, length: usize) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [VERSION, byte, 0, 0, a, b, c, d]
}

/// Room for bytes of requests and answers, shared by all streams of a node.
#[derive(Clone, Debug)]
pub struct Budget {
    max: usize,
    used: Arc<AtomicUsize>,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(max: usize) -> Self {
        Self { max, used: Arc::default() }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_add(bytes).filter(|sum| *sum <= self.max)).is_ok()
    }
}

/// Bytes that hold their room until they are dropped, wherever they went in between.
struct Held {
    bytes: Vec<u8>,
    taken: usize,
    budget: Budget,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

async fn body<R: AsyncRead + Unpin>(io: &mut R, length: usize, budget: &Budget) -> io::Result<Bytes> {
    let mut held = Held { bytes: Vec::new(), taken: 0, budget: budget.clone() };
    while held.bytes.len() < length {
        let had = held.bytes.len();
        let step = READ_STEP_BYTES.min(length - had);
        if !budget.take(step) {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "no room for another request or answer"));
        }
        held.taken += step;
        held.bytes.resize(had + step, 0);
        io.read_exact(&mut held.bytes[had..]).await?;
    }
    Ok(Bytes::from_owner(held))
}

/// Nothing may follow: one request and one answer per stream.
async fn end<R: AsyncRead + Unpin>(io: &mut R) -> io::Result<()> {
    let mut byte = [0];
    match io.read(&mut byte).await? {
        0 => Ok(()),
        found => Err(BadFrame::Trailing { found }.into()),
    }
}

/// Reads one request to its end.
///
/// # Errors
/// [`BadFrame`] in an [`io::Error`] of kind `InvalidData`; `OutOfMemory` when the budget is used up; whatever the stream says.
pub async fn read_request<R: AsyncRead + Unpin>(io: &mut R, budget: &Budget) -> io::Result<(Kind, Bytes)> {
    let mut bytes = [0; HEAD_BYTES];
    io.read_exact(&mut bytes).await?;
    let (kind, length) = request_head(&bytes)?;
    let payload = body(io, length, budget).await?;
    end(io).await?;
    Ok((kind, payload))
}

/// Reads one answer to a request of `kind`, to its end.
///
/// # Errors
/// As [`read_request`].
pub async fn read_answer<R: AsyncRead + Unpin>(io: &mut R, kind: Kind, budget: &Budget) -> io::Result<(Status, Bytes)> {
    let mut bytes = [0; HEAD_BYTES];
    io.read_exact(&mut bytes).await?;
    let (status, length) = answer_head(&bytes, kind)?;
    let payload = body(io, length, budget).await?;
    end(io).await?;
    Ok((status, payload))
}

/// Writes one request.
///
/// # Errors
/// A payload above the kind's cap, or whatever the stream says.
pub async fn write_request<W: AsyncWrite + Unpin>(io: &mut W, kind: Kind, payload: &[u8]) -> io::Result<()> {
    within(payload.len(), kind.request_bytes_max())?;
    io.write_all(&head_of(kind as u8, payload.len())).await?;
    io.write_all(payload).await
}

/// Writes one answer. The caller checked its length against the kind's cap.
///
/// # Errors
/// Whatever the stream says.
pub async fn write_answer<W: AsyncWrite + Unpin>(io: &mut W, status: Status, payload: &[u8]) -> io::Result<()> {
    io.write_all(&head_of(status as u8, payload.len())).await?;
    io.write_all(payload).await
}

#[cfg(any(test, fuzzing))]
#[path = "wire/fuzzing.rs"] // a target takes this file in by its path
pub mod fuzzing;
#[cfg(test)]
mod tests;
