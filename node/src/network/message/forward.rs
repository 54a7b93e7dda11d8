//! What one node hands to a scheduler's node for a client or an outbox, and what that one says to it.

use ao_types::codec::{Canonical as _, CodecError, Reader, write_option, write_prefixed};
use ao_types::{Id, Slot};
use bytes::Bytes;

use super::{VERSION, framed, head, rest};
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, AssignRequest};
use crate::limits::{EXCLUDED_BYTES_MAX, EXCLUDED_MAX};
use crate::network::limits::REASON_BYTES_MAX;
/// A client's item on its way to its scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The item itself.
    Whole(Bytes),
    /// Too large for one message: the receiver pulls it from the sender with [`ItemQuestion`](super::ItemQuestion)s, then answers.
    Offer {
        /// Which item.
        item: Id,
        /// How large.
        bytes: u32,
    },
    /// An item that the receiver has, for a process that it schedules.
    Assign(AssignRequest),
}

impl Forward {
    /// The bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Whole(item) => framed(1, item),
            Self::Offer { item, bytes } => {
                let mut out = head(2, 36);
                item.write(&mut out);
                out.extend_from_slice(&bytes.to_be_bytes());
                out.into()
            }
            Self::Assign(AssignRequest { process, item, exclude, base_layer }) => {
                let mut out = head(3, 70 + exclude.iter().map(|name| name.len() + 4).sum::<usize>());
                process.write(&mut out);
                item.write(&mut out);
                out.push(u8::from(*base_layer));
                out.push(exclude.len() as u8);
                exclude.iter().for_each(|name| write_prefixed(&mut out, name.as_bytes()));
                out.into()
            }
        }
    }

    /// Reads what [`Forward::encode`] wrote. Shares `bytes`.
    ///
    /// # Errors
    /// Anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.version("a forwarded item", VERSION)?;
        match reader.u8()? {
            1 => Ok(Self::Whole(rest(bytes, &reader))),
            2 => {
                let offer = Self::Offer { item: Id::read(&mut reader)?, bytes: reader.u32()? };
                reader.finish()?;
                Ok(offer)
            }
            3 => {
                let (process, item) = (Id::read(&mut reader)?, Id::read(&mut reader)?);
                let (base_layer, found) = (reader.flag("of the base layer")?, usize::from(reader.u8()?));
                if found > EXCLUDED_MAX {
                    return Err(CodecError::Bound { what: "fields that are not loaded", max: EXCLUDED_MAX, found });
                }
                let mut exclude = Vec::with_capacity(found);
                for _ in 0..found {
                    let name = reader.prefixed("name of a field", EXCLUDED_BYTES_MAX)?;
                    let name = std::str::from_utf8(name).map_err(|_| CodecError::NotCanonical { what: "name of a field" })?;
                    exclude.push(name.to_owned());
                }
                reader.finish()?;
                Ok(Self::Assign(AssignRequest { process, item, exclude, base_layer }))
            }
            found => Err(CodecError::Kind { what: "kind of forwarded item", found }),
        }
    }
}

/// What a scheduler says to a forwarded item.
pub type Receipt = Result<Accepted, Rejection>;

/// The bytes of a [`Receipt`]. A reason longer than [`REASON_BYTES_MAX`] is cut.
pub fn encode_receipt(receipt: &Receipt) -> Bytes {
    let mut out = vec![VERSION];
    match receipt {
        Ok(accepted) => {
            out.push(0);
            accepted.id.write(&mut out);
            write_option(&mut out, accepted.process.as_ref());
            write_option(&mut out, accepted.slot.map(|slot| slot.0).as_ref());
            write_option(&mut out, accepted.assignment.as_ref());
            accepted.timestamp_ms.write(&mut out);
        }
        Err(rejection) => {
            out.push(1);
            write_prefixed(&mut out, rejection.code.as_str().as_bytes());
            let end = rejection.message.floor_char_boundary(REASON_BYTES_MAX);
            write_prefixed(&mut out, &rejection.message.as_bytes()[..end]);
            write_option(&mut out, rejection.retry_after_s.map(u64::from).as_ref());
        }
    }
    out.into()
}

/// Reads what [`encode_receipt`] wrote. A code of a newer version is [`Code::Internal`].
///
/// # Errors
/// Anything else.
pub fn decode_receipt(bytes: &[u8]) -> Result<Receipt, CodecError> {
    let mut reader = Reader::new(bytes);
    reader.version("a receipt", VERSION)?;
    let receipt = if reader.flag("receipt")? {
        let code = reader.prefixed("an error code", 16)?;
        let message = reader.prefixed("a reason", REASON_BYTES_MAX)?;
        let message = std::str::from_utf8(message).map_err(|_| CodecError::NotCanonical { what: "a reason" })?;
        let seconds: Option<u64> = reader.option("a pause")?;
        Err(Rejection {
            code: Code::ALL.into_iter().find(|known| known.as_str().as_bytes() == code).unwrap_or(Code::Internal),
            message: message.to_owned(),
            retry_after_s: seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        })
    } else {
        Ok(Accepted {
            id: Id::read(&mut reader)?,
            process: reader.option("a process")?,
            slot: reader.option("a slot")?.map(Slot),
            assignment: reader.option("an assignment")?,
            timestamp_ms: reader.u64()?,
        })
    };
    reader.finish()?;
    Ok(receipt)
}
