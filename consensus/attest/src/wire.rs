//! What engines say to one another: four messages, each with one form of bytes.
//!
//! Owns the form and its bounds. Refuses to believe: no signature is looked at here.
//!
//! | Kind | Message | To |
//! |---|---|---|
//! | 1 | [`Message::Share`] | scheduler and aggregators, directly |
//! | 2 | [`Message::Sum`] | from a slice's aggregator to the scheduler and the committee's aggregators |
//! | 3 | [`Message::Certified`] | everybody by gossip, or whoever asked |
//! | 4 | [`Message::Announce`] | members that were not heard |

use ao_consensus::block::FrameRef;
use ao_types::{Attestation, Canonical, Certificate, CodecError, Reader, Statement};

use crate::limits::MESSAGE_BYTES_MAX;

/// Leads every message.
pub const WIRE_VERSION: u8 = 1;

/// The frame that a statement is about, if it is about one.
pub fn frame_of(statement: &Statement) -> Option<FrameRef> {
    match *statement {
        Statement::Frame { chain, sequence, frame } => Some(FrameRef { chain, sequence, frame }),
        _ => None,
    }
}

/// See the module documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// One member's attestation of a frame.
    Share(Attestation),
    /// Shares of one slice, added up: the form of a certificate whose signers are no quorum.
    Sum(Certificate),
    /// A frame's certificate; two for a crossing, of the older epoch first.
    Certified(Vec<Certificate>),
    /// "I have this frame and lack your share."
    Announce(FrameRef),
}

impl Message {
    /// The frame that the message is about; `None` if it is about none, or about several.
    pub fn subject(&self) -> Option<FrameRef> {
        match self {
            Self::Share(attestation) => frame_of(&attestation.statement),
            Self::Sum(sum) => frame_of(&sum.statement),
            Self::Certified(certificates) => {
                let first = frame_of(&certificates.first()?.statement)?;
                certificates.iter().all(|one| one.statement == certificates[0].statement).then_some(first)
            }
            Self::Announce(frame) => Some(*frame),
        }
    }
}

impl Canonical for Message {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(WIRE_VERSION);
        match self {
            Self::Share(attestation) => {
                out.push(1);
                attestation.write(out);
            }
            Self::Sum(sum) => {
                out.push(2);
                sum.write(out);
            }
            Self::Certified(certificates) => {
                out.push(3);
                out.push(certificates.len() as u8);
                certificates.iter().for_each(|one| one.write(out));
            }
            Self::Announce(frame) => {
                out.push(4);
                frame.write(out);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        if reader.left() > MESSAGE_BYTES_MAX {
            return Err(CodecError::Bound { what: "bytes of an attestors' message", max: MESSAGE_BYTES_MAX, found: reader.left() });
        }
        reader.version("an attestors' message", WIRE_VERSION)?;
        let message = match reader.u8()? {
            1 => Self::Share(Attestation::read(reader)?),
            2 => Self::Sum(Certificate::read(reader)?),
            3 => match reader.u8()? {
                count @ 1..=2 => Self::Certified((0..count).map(|_| Certificate::read(reader)).collect::<Result<_, _>>()?),
                found => {
                    return Err(CodecError::Bound {
                        what: "certificates of a frame, of which there is one at least",
                        max: 2,
                        found: found.into(),
                    });
                }
            },
            4 => Self::Announce(FrameRef::read(reader)?),
            found => return Err(CodecError::Kind { what: "attestors' message", found }),
        };
        match message.subject() {
            Some(_) => Ok(message),
            None => Err(CodecError::NotCanonical { what: "attestors' message: it is about one frame" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use ao_types::hash::sha256;
    use ao_types::{Address, BlsKey, BlsSignature, Chain, Epoch, FrameId, Id, Signers};
    use proptest::prelude::*;

    use super::*;

    fn messages() -> [Message; 4] {
        let chain = Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 2 };
        let statement = Statement::Frame { chain, sequence: 3, frame: FrameId([4; 32]) };
        let mut signers = Signers::none(1_000);
        (0..667).for_each(|member| assert!(signers.insert(member)));
        let certificate = Certificate { statement, epoch: Epoch(5), signers, signature: BlsSignature([6; 96]) };
        [
            Message::Share(Attestation { statement, key: BlsKey([7; 48]), signature: BlsSignature([8; 96]) }),
            Message::Sum(certificate.clone()),
            Message::Certified(vec![certificate.clone(), Certificate { epoch: Epoch(6), ..certificate }]),
            Message::Announce(FrameRef { chain, sequence: 3, frame: FrameId([4; 32]) }),
        ]
    }

    /// A change of these is a change of the wire: nodes of before and after do not understand one another.
    #[test]
    fn bytes_are_what_they_were() {
        let found = messages().map(|message| {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Ok(message));
            (bytes.len(), hex::encode(&sha256(&[&bytes])[..8]))
        });
        let expected: [(usize, &str); 4] =
            [(228, "5fa7369cb9cddf06"), (315, "50f93b9d1e5c037f"), (629, "e5eb6ccde0ca0202"), (83, "aaeed07a864feda0")];
        assert_eq!(found, expected.map(|(length, hash)| (length, hash.to_owned())));
    }

    proptest! {
        /// Whatever is changed about a message: it is refused, or it is another message with one form of bytes.
        #[test]
        fn a_message_has_one_form(which in 0usize..4, at: prop::sample::Index, change: u8, cut: prop::sample::Index, how in 0u8..3) {
            let mut bytes = messages()[which].encode();
            match how {
                0 => { let at = at.index(bytes.len()); bytes[at] ^= change; }
                1 => bytes.truncate(cut.index(bytes.len())),
                _ => bytes.push(change),
            }
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
