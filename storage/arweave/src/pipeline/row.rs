//! What is remembered of a shipment, and its bytes.

use ao_types::codec::{CodecError, Reader, write_list, write_option, write_prefixed};
use ao_types::{Canonical, Id, Slot};
use bytes::Bytes;

use crate::limits::{CARRIERS_MAX, ENDPOINTS_MAX, HEADER_BYTES_MAX, PROMISE_BLOCKS, SHIPMENT_RANGES_MAX};

/// Slots of one process, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Covered {
    /// The process.
    pub process: Id,
    /// First slot.
    pub from: Slot,
    /// Last slot.
    pub to: Slot,
}

/// A bundle as the pipeline knows it. Its items are elsewhere, and are composed again when they are needed: the root says that they are the
/// same to the last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Root over its chunks.
    pub root: [u8; 32],
    /// Its size.
    pub bytes: u64,
    /// Chunks to upload.
    pub chunks: u32,
    /// Items inside.
    pub items: u32,
    /// Since when its oldest item has waited.
    pub since_ms: u64,
    /// Slots that it anchors.
    pub covered: Vec<Covered>,
}

/// A signed thing that brings the bundle to Arweave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Of the transaction, or of the item given to a bundling service.
    pub id: Id,
    /// Everything but the bundle's own bytes, as it is posted: a transaction's header in JSON, or what leads an item's data. Empty for
    /// carriers that are not posted again.
    pub head: Bytes,
    /// Height of the block that it is anchored to; after fifty more it can no longer be mined. 0: does not expire.
    pub anchor_height: u64,
    /// What it costs, winston.
    pub reward: u128,
    /// When it was signed.
    pub signed_ms: u64,
    /// An endpoint took it: it may be mined as long as its anchor allows, whatever anybody says later.
    pub taken: bool,
}

/// An endpoint that took the carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its base URL.
    pub endpoint: String,
    /// Chunks that it took, from the first on.
    pub chunks: u32,
    /// A bundling service's promise.
    pub promise: Option<Promise>,
}

/// What a bundling service promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Height when it was given.
    pub given: u64,
    /// Height by which the item is to be on Arweave.
    pub deadline: u64,
    /// The signed receipt, kept as evidence; empty where the service had the item already and gave none.
    pub receipt: Bytes,
}

impl Promise {
    /// Height at which it is broken if the item is not on Arweave: the service's own, but never later than services usually need.
    pub fn due(&self) -> u64 {
        self.deadline.min(self.given.saturating_add(PROMISE_BLOCKS))
    }
}

/// Where it is mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Height of the block.
    pub height: u64,
    /// Its hash.
    pub block: Bytes,
    /// Which carrier.
    pub carrier: Id,
    /// The transaction in the block: the carrier itself, or the one that a bundling service put it into.
    pub transaction: Id,
}

/// How far a shipment is (`arweave.md`, section 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Composed; nothing is signed, or what was signed can no longer be mined.
    Bundled,
    /// The newest carrier is signed and durable, and may be posted.
    Signed,
    /// Somebody took it.
    Posted,
    /// Its chunks are where they should be.
    Seeded,
    /// Somebody who was asked knows it.
    Seen,
    /// It is in a block.
    Mined(Place),
    /// So deep that it stays, and its bytes were read back. With the height at which that was found.
    Settled(Place, u64),
    /// Looked at once more long after. Nothing is done about it any more.
    Done(Place),
}

impl Stage {
    /// Its name in answers and metrics.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Bundled => "bundled",
            Self::Signed => "signed",
            Self::Posted => "posted",
            Self::Seeded => "seeded",
            Self::Seen => "seen",
            Self::Mined(_) => "mined",
            Self::Settled(..) | Self::Done(_) => "settled",
        }
    }

    /// Every name, in order.
    pub const NAMES: [&'static str; 7] = ["bundled", "signed", "posted", "seeded", "seen", "mined", "settled"];

    /// Its bytes are on Arweave for good.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(..) | Self::Done(_))
    }

    /// Where it is mined, if it is.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Mined(place) | Self::Settled(place, _) | Self::Done(place) => Some(place),
            _ => None,
        }
    }
}

/// Everything about a shipment that a crash must not lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// Its number: they are given in order and never again.
    pub number: u64,
    /// What it carries.
    pub bundle: Bundle,
    /// How far it is.
    pub stage: Stage,
    /// Signed for it, the newest last.
    pub carriers: Vec<Carrier>,
    /// Who took the newest.
    pub copies: Vec<Holder>,
    /// Enough endpoints refused a carrier that nobody had taken, and another was signed at once. That happens once.
    pub signed_again: bool,
    /// Bundling services that did not keep what they promised, the newest last.
    pub broken: Vec<Holder>,
}

impl Shipment {
    /// One that begins.
    pub fn new(number: u64, bundle: Bundle) -> Self {
        let (stage, carriers, copies, broken) = (Stage::Bundled, Vec::new(), Vec::new(), Vec::new());
        Self { number, bundle, stage, carriers, copies, signed_again: false, broken }
    }

    /// Rewards of everything ever signed for it, winston.
    pub fn signed_for(&self) -> u128 {
        self.carriers.iter().map(|carrier| carrier.reward).fold(0, u128::saturating_add)
    }

    /// The carrier that counts.
    pub fn carrier(&self) -> Option<&Carrier> {
        self.carriers.last()
    }
}

const VERSION: u8 = 1;
const HASH_BYTES_MAX: usize = 64;
const URL_BYTES_MAX: usize = 2048;

impl Canonical for Covered {
    fn write(&self, out: &mut Vec<u8>) {
        self.process.write(out);
        self.from.0.write(out);
        self.to.0.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { process: Id::read(reader)?, from: Slot(reader.u64()?), to: Slot(reader.u64()?) })
    }
}

impl Canonical for Bundle {
    fn write(&self, out: &mut Vec<u8>) {
        self.root.write(out);
        self.bytes.write(out);
        out.extend_from_slice(&self.chunks.to_be_bytes());
        out.extend_from_slice(&self.items.to_be_bytes());
        self.since_ms.write(out);
        write_list(out, &self.covered);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            root: reader.array()?,
            bytes: reader.u64()?,
            chunks: reader.u32()?,
            items: reader.u32()?,
            since_ms: reader.u64()?,
            covered: reader.list("ranges of a shipment", SHIPMENT_RANGES_MAX)?,
        })
    }
}

impl Canonical for Carrier {
    fn write(&self, out: &mut Vec<u8>) {
        self.id.write(out);
        write_prefixed(out, &self.head);
        self.anchor_height.write(out);
        out.extend_from_slice(&self.reward.to_be_bytes());
        self.signed_ms.write(out);
        out.push(self.taken.into());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            id: Id::read(reader)?,
            head: Bytes::copy_from_slice(reader.prefixed("head of a carrier", HEADER_BYTES_MAX)?),
            anchor_height: reader.u64()?,
            reward: reader.u128()?,
            signed_ms: reader.u64()?,
            taken: reader.flag("taken")?,
        })
    }
}

impl Canonical for Promise {
    fn write(&self, out: &mut Vec<u8>) {
        self.given.write(out);
        self.deadline.write(out);
        write_prefixed(out, &self.receipt);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (given, deadline) = (reader.u64()?, reader.u64()?);
        Ok(Self { given, deadline, receipt: Bytes::copy_from_slice(reader.prefixed("receipt", HEADER_BYTES_MAX)?) })
    }
}

impl Canonical for Holder {
    fn write(&self, out: &mut Vec<u8>) {
        write_prefixed(out, self.endpoint.as_bytes());
        out.extend_from_slice(&self.chunks.to_be_bytes());
        write_option(out, self.promise.as_ref());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let endpoint = reader.prefixed("URL of an endpoint", URL_BYTES_MAX)?.to_vec();
        let endpoint = String::from_utf8(endpoint).map_err(|_| CodecError::NotCanonical { what: "URL of an endpoint" })?;
        Ok(Self { endpoint, chunks: reader.u32()?, promise: reader.option("promise")? })
    }
}

impl Canonical for Place {
    fn write(&self, out: &mut Vec<u8>) {
        self.height.write(out);
        write_prefixed(out, &self.block);
        self.carrier.write(out);
        self.transaction.write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let height = reader.u64()?;
        let block = Bytes::copy_from_slice(reader.prefixed("hash of a block", HASH_BYTES_MAX)?);
        Ok(Self { height, block, carrier: Id::read(reader)?, transaction: Id::read(reader)? })
    }
}

impl Canonical for Stage {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bundled => out.push(0),
            Self::Signed => out.push(1),
            Self::Posted => out.push(2),
            Self::Seeded => out.push(3),
            Self::Seen => out.push(4),
            Self::Mined(place) => {
                out.push(5);
                place.write(out);
            }
            Self::Settled(place, height) => {
                out.push(6);
                place.write(out);
                height.write(out);
            }
            Self::Done(place) => {
                out.push(7);
                place.write(out);
            }
        }
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match reader.u8()? {
            0 => Self::Bundled,
            1 => Self::Signed,
            2 => Self::Posted,
            3 => Self::Seeded,
            4 => Self::Seen,
            5 => Self::Mined(Place::read(reader)?),
            6 => Self::Settled(Place::read(reader)?, reader.u64()?),
            7 => Self::Done(Place::read(reader)?),
            found => return Err(CodecError::Kind { what: "stage", found }),
        })
    }
}

impl Canonical for Shipment {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.number.write(out);
        self.bundle.write(out);
        self.stage.write(out);
        write_list(out, &self.carriers);
        write_list(out, &self.copies);
        out.push(self.signed_again.into());
        write_list(out, &self.broken);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.version("a shipment", VERSION)?;
        Ok(Self {
            number: reader.u64()?,
            bundle: Bundle::read(reader)?,
            stage: Stage::read(reader)?,
            carriers: reader.list("carriers of a shipment", CARRIERS_MAX)?,
            copies: reader.list("copies of a shipment", ENDPOINTS_MAX)?,
            signed_again: reader.flag("signed again")?,
            broken: reader.list("broken promises of a shipment", ENDPOINTS_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_comes_back_from_its_bytes() {
        let place = Place { height: 7, block: Bytes::from_static(&[1; 48]), carrier: Id([2; 32]), transaction: Id([3; 32]) };
        let stages = [
            Stage::Bundled,
            Stage::Signed,
            Stage::Posted,
            Stage::Seeded,
            Stage::Seen,
            Stage::Mined(place.clone()),
            Stage::Settled(place.clone(), 30),
            Stage::Done(place),
        ];
        for (number, stage) in stages.into_iter().enumerate() {
            assert!(Stage::NAMES.contains(&stage.text()));
            let promise = Promise { given: 1, deadline: 201, receipt: Bytes::from_static(b"{}") };
            let shipment = Shipment {
                number: number as u64,
                bundle: Bundle {
                    root: [4; 32],
                    bytes: 5,
                    chunks: 6,
                    items: 7,
                    since_ms: 8,
                    covered: vec![Covered { process: Id([9; 32]), from: Slot(1), to: Slot(2) }],
                },
                stage,
                carriers: vec![Carrier {
                    id: Id([1; 32]),
                    head: Bytes::from_static(b"head"),
                    anchor_height: 3,
                    reward: 1 << 90,
                    signed_ms: 4,
                    taken: number % 3 == 0,
                }],
                copies: vec![Holder { endpoint: "http://a".into(), chunks: 2, promise: (number % 2 == 0).then_some(promise.clone()) }],
                signed_again: number % 2 == 1,
                broken: vec![Holder { endpoint: "http://b".into(), chunks: 0, promise: Some(promise) }],
            };
            assert_eq!(Shipment::decode(&shipment.encode()), Ok(shipment));
        }
        assert!(Stage::decode(&[8]).is_err());
    }
}
