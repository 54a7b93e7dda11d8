//! Ranges as they come from a peer: which of their frames are their scheduler's own.
//!
//! A range is authentic if its frames follow one another, the last one is signed by the chain's scheduler, and every body is the one that
//! its header speaks of. One signature is enough: each header contains the id of the one before, so the last one vouches for all. What is
//! lawful is not judged here; whoever sent an authentic range did nothing wrong.

use ao_consensus::frame::{FrameError, RawHeader, payload_root};
use ao_types::codec::{Canonical, CodecError, Reader};
use ao_types::{FrameId, NetworkId};
use bytes::Bytes;

use super::message::{Piece, Place, RangeQuestion, decode_range};

/// A frame whose scheduler signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentic {
    /// Where it belongs.
    pub place: Place,
    /// The frame before it.
    pub parent: FrameId,
    /// The frame, or its header.
    pub piece: Piece,
}

/// Why a range is not what was asked for. Always the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// Not the bytes of one.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A frame of another chain, network or place than was asked for.
    #[error("frame {found} stands where {expected} was asked for")]
    Place {
        /// The sequence asked for.
        expected: u64,
        /// As given.
        found: u64,
    },
    /// A frame that does not follow the one before.
    #[error("the parent of frame {sequence} is {found}, the frame before it is {expected}")]
    Parent {
        /// Of the frame.
        sequence: u64,
        /// By the frame before.
        expected: FrameId,
        /// By the frame.
        found: FrameId,
    },
    /// A signature that does not hold, or a body that is another one.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads and checks the answer to a question: a SHA-256 of all of it and one signature.
///
/// # Errors
/// Whatever makes it another answer than an honest node's.
pub fn authenticate(network: NetworkId, question: &RangeQuestion, bytes: &Bytes) -> Result<Vec<Authentic>, BadRange> {
    let pieces = decode_range(bytes, question.count)?;
    let (mut frames, mut last): (Vec<Authentic>, _) = (Vec::with_capacity(pieces.len()), None);
    for (sequence, piece) in (question.from..=u64::MAX).zip(pieces) {
        let raw = header_of(&piece)?;
        let header = &raw.header;
        if (header.network_id, header.chain, header.sequence) != (network, question.chain, sequence) {
            return Err(BadRange::Place { expected: sequence, found: header.sequence });
        }
        if let Some(before) = frames.last().filter(|before| before.place.frame != header.parent) {
            return Err(BadRange::Parent { sequence, expected: before.place.frame, found: header.parent });
        }
        let place = Place { chain: header.chain, sequence, frame: header.id() };
        frames.push(Authentic { place, parent: header.parent, piece });
        last = Some(raw);
    }
    if let Some(last) = last {
        last.verify()?;
    }
    Ok(frames)
}

/// The header of a piece; checks that the body beside it is the header's.
fn header_of(piece: &Piece) -> Result<RawHeader, BadRange> {
    match piece {
        Piece::Header(bytes) => Ok(RawHeader::decode(bytes)?),
        Piece::Whole(bytes) => {
            let mut reader = Reader::new(bytes);
            let raw = RawHeader::read(&mut reader)?;
            let (expected, found) = (raw.header.payload_bytes as usize, reader.left());
            if expected != found {
                return Err(CodecError::Length { expected, found }.into());
            }
            let root = payload_root(&bytes[reader.position()..]);
            if root != raw.header.payload_root {
                let expected = FrameId(raw.header.payload_root);
                return Err(FrameError::PayloadRoot { expected, found: FrameId(root) }.into());
            }
            Ok(raw)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::message::encode_range;
    use crate::network::tests::frames::{Author, NETWORK};

    fn question(author: &Author, from: u64) -> RangeQuestion {
        RangeQuestion { chain: author.chain(), from, count: 8 }
    }

    #[test]
    fn frames_with_and_without_their_bodies_are_read_in_order() {
        let mut author = Author::new(1);
        let made: Vec<_> = (0..5).map(|n| author.next(&vec![n; 100 * usize::from(n)])).collect();
        let pieces: Vec<_> = made[1..].iter().enumerate().map(|(n, made)| made.piece(n % 2 == 0)).collect();
        let found = authenticate(NETWORK, &question(&author, 1), &encode_range(&pieces)).unwrap();
        assert_eq!(found.iter().map(|found| found.place.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(found[0].parent, made[0].header.id());
        assert_eq!(found[3].place.frame, made[4].header.id());
    }

    #[test]
    fn what_an_honest_node_does_not_send_is_refused() {
        let mut author = Author::new(1);
        let made: Vec<_> = (0..4).map(|n| author.next(&[n; 10])).collect();
        let ask = |question: RangeQuestion, pieces: &[Piece]| authenticate(NETWORK, &question, &encode_range(pieces)).unwrap_err();
        let all: Vec<_> = made.iter().map(|made| made.piece(true)).collect();
        // From elsewhere, of another chain, of another network.
        assert!(matches!(ask(question(&author, 1), &all), BadRange::Place { expected: 1, found: 0 }));
        assert!(matches!(ask(question(&Author::new(2), 0), &all), BadRange::Place { .. }));
        let other = authenticate(NetworkId([9; 32]), &question(&author, 0), &encode_range(&all));
        assert!(matches!(other, Err(BadRange::Place { .. })));
        // A gap.
        assert!(matches!(ask(question(&author, 0), &[all[0].clone(), all[2].clone()]), BadRange::Place { expected: 1, found: 2 }));
        // Another branch.
        let mut twin = Author::new(1);
        twin.next(b"other");
        let branch = twin.next(b"branch");
        assert!(matches!(ask(question(&author, 0), &[all[0].clone(), branch.piece(true)]), BadRange::Parent { sequence: 1, .. }));
        // A body of other bytes, cut, or of another length.
        let Piece::Whole(bytes) = &all[0] else { panic!() };
        let mut flipped = bytes.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [flipped, bytes[..bytes.len() - 1].to_vec(), [&bytes[..], &[0]].concat()] {
            let error = ask(question(&author, 0), &[Piece::Whole(bad.into())]);
            assert!(matches!(error, BadRange::Frame(FrameError::PayloadRoot { .. }) | BadRange::Codec(_)), "{error}");
        }
        // A header that nobody signed.
        let mut raw = made[3].header.to_raw().unwrap();
        raw.header.timestamp.0 += 1;
        let forged = ask(question(&author, 2), &[all[2].clone(), Piece::Header(raw.encode().into())]);
        assert!(matches!(forged, BadRange::Frame(FrameError::Signature { .. })));
    }
}
