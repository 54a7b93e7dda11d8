//! What a node writes to Arweave besides what clients signed: records about ranges of slots, frames and evidence (`arweave.md`, section 8).
//!
//! A record is a data item with `Data-Protocol: ao`, a `Type` that begins with `Anchor-`, and `Anchor-Version`. Readers of other software
//! see an unknown type and go on; readers of ours see an unknown version or type as [`Record::Unknown`], keep the item and go on. A record
//! is its signer's word and nothing more: what it says is checked against the items it names, their hash chain and the certificates inside.
//!
//! Certificates, frames and evidence are bytes here: what they prove is the consensus layer's to say.

use ao_types::codec::{CodecError, Reader, write_list, write_prefixed};
use ao_types::hash::sha256;
use ao_types::id::Address;
use ao_types::message::VARIANT_TN1;
use ao_types::tag::Tags;
use ao_types::{Canonical, DataItem, Id, ItemBuilder, NetworkId, ResultHash, Slot, StateHash, Tag};
use bytes::Bytes;

use crate::limits::{CERTIFICATE_BYTES_MAX, ECHO_CHARS_MAX, FRAMES_MAX, RANGE_CERTIFICATES_MAX, RANGE_RESULTS_MAX, RANGE_SLOTS_MAX};

/// Version of every record that this build writes.
pub const VERSION: &str = "1";
/// Names the network, on records and on the transactions that carry them: a scan of blocks needs one tag.
pub const NETWORK_TAG: &str = "AO-Network";

/// Why an item is not the record that its type says. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A tag that must be there is not, or has another form.
    #[error("tag {tag} is `{found}`, not {expected}")]
    Tag {
        /// Its name.
        tag: &'static str,
        /// Its value, cut.
        found: String,
        /// The form.
        expected: &'static str,
    },
    /// The data is not of the record's form.
    #[error("the data: {0}")]
    Data(#[from] CodecError),
    /// The root in the tags is not that of the ids in the data.
    #[error("the root over the ids is {found}, the tag says {declared}")]
    Root {
        /// As said.
        declared: Id,
        /// As computed.
        found: Id,
    },
    /// First and last slot do not belong together.
    #[error("slots {from} to {to} are not {count}")]
    Slots {
        /// First.
        from: Slot,
        /// Last.
        to: Slot,
        /// As many ids as there are.
        count: usize,
    },
}

/// A range of slots of one process: what was anchored, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRecord {
    /// The process.
    pub process: Id,
    /// Tag `Epoch` of its assignments.
    pub schedule_epoch: u64,
    /// First slot; the others follow without a gap.
    pub from: Slot,
    /// Hash chain after the last one.
    pub hash_chain: [u8; 32],
    /// The record of the range before, whose last slot is the one before `from`.
    pub previous: Option<Id>,
    /// Ids of item and assignment of each slot.
    pub slots: Vec<(Id, Id)>,
    /// Hashes of results from this slot on. They come when they are computed: of slots of this range or earlier ones.
    pub results: (Slot, Vec<ResultHash>),
    /// What proves the last slot, and with its hash chain all before it. Empty on a network of one.
    pub certificates: Vec<Bytes>,
}

/// Hashes of results of one process that came after the ranges of their slots had gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultsRecord {
    /// The process.
    pub process: Id,
    /// Hashes from this slot on.
    pub results: (Slot, Vec<ResultHash>),
}

/// A frame as its scheduler's node keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRecord {
    /// Canonical bytes: header and entries.
    pub frame: Bytes,
    /// The scheduler's signature.
    pub signature: Bytes,
    /// What confirmed it.
    pub proof: Bytes,
    /// Items that its body names without bringing them along.
    pub held: Vec<Id>,
}

/// Frames of one scheduler's chain, in order: what a network needs to go on where it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramesRecord {
    /// Whose.
    pub scheduler: Address,
    /// In which tenure.
    pub tenure: u64,
    /// Sequence of the first; the others follow without a gap.
    pub from: u64,
    /// The record of the frames before.
    pub previous: Option<Id>,
    /// The frames.
    pub frames: Vec<FrameRecord>,
}

/// A state of a process that is on Arweave: which item has it, what it is, and who vouches for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// The process.
    pub process: Id,
    /// The state is that after the message at this slot.
    pub slot: Slot,
    /// Tag `Epoch` of that slot's assignment.
    pub schedule_epoch: u64,
    /// Hash of that message's result.
    pub result: ResultHash,
    /// Version of the machine that computed it.
    pub host_abi: u32,
    /// Root over the state.
    pub state: StateHash,
    /// The item of type `Checkpoint` whose data is the memory.
    pub item: Id,
    /// A quorum's signature on all that but the item. Empty on a network of one.
    pub certificate: Bytes,
}

/// A record, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// See [`RangeRecord`].
    Range(RangeRecord),
    /// See [`ResultsRecord`].
    Results(ResultsRecord),
    /// See [`FramesRecord`].
    Frames(FramesRecord),
    /// Evidence of a fault, canonical bytes.
    Evidence(Bytes),
    /// See [`StateRecord`].
    State(StateRecord),
    /// Of a later build, kept and skipped.
    Unknown {
        /// Tag `Type`.
        kind: String,
        /// Tag `Anchor-Version`.
        version: String,
    },
}

const RANGE: &str = "Anchor-Range";
const RESULTS: &str = "Anchor-Results";
const FRAMES: &str = "Anchor-Frames";
const EVIDENCE: &str = "Anchor-Evidence";
/// Type of records of states.
pub const STATE: &str = "Anchor-Checkpoint";

impl Record {
    /// Whether tags are those of a record, of this build or another: then the item is worth reading.
    pub fn is_said(tags: &Tags<'_>) -> bool {
        tags.first("Type").is_some_and(|kind| kind.starts_with(b"Anchor-"))
    }

    /// Reads an item; `None` if it is no record at all.
    ///
    /// # Errors
    /// It says that it is one of ours and is not.
    pub fn read(item: &DataItem) -> Option<Result<Self, RecordError>> {
        let kind = item.tag("Type")?;
        if !kind.starts_with("Anchor-") || item.tag("Data-Protocol") != Some("ao") {
            return None;
        }
        let version = item.tag("Anchor-Version").unwrap_or_default();
        Some(match (kind, version) {
            (RANGE, VERSION) => RangeRecord::read(item).map(Self::Range),
            (RESULTS, VERSION) => ResultsRecord::read(item).map(Self::Results),
            (FRAMES, VERSION) => FramesRecord::read(item).map(Self::Frames),
            (EVIDENCE, VERSION) => Ok(Self::Evidence(item.data_bytes())),
            (STATE, VERSION) => StateRecord::read(item).map(Self::State),
            _ => Ok(Self::Unknown { kind: cut(kind), version: cut(version) }),
        })
    }

    /// The item to be signed; nothing for what this build does not know.
    pub fn item(&self, network: &NetworkId) -> Option<ItemBuilder> {
        match self {
            Self::Range(range) => Some(range.item(network)),
            Self::Results(results) => Some(results.item(network)),
            Self::Frames(frames) => Some(frames.item(network)),
            Self::Evidence(bytes) => Some(ItemBuilder::new().tags(head(EVIDENCE, network)).data(bytes.clone())),
            Self::State(state) => Some(state.item(network)),
            Self::Unknown { .. } => None,
        }
    }
}

impl StateRecord {
    /// The item to be signed.
    pub fn item(&self, network: &NetworkId) -> ItemBuilder {
        let mut tags = head(STATE, network);
        tags.extend([
            Tag::new("Process", self.process.to_string()),
            Tag::new("Nonce", self.slot.to_string()),
            Tag::new("Epoch", self.schedule_epoch.to_string()),
            Tag::new("Host-Abi", self.host_abi.to_string()),
            Tag::new("State-Hash", Id(self.state.0).to_string()),
            Tag::new("Checkpoint", self.item.to_string()),
        ]);
        let mut data = Vec::with_capacity(self.certificate.len() + 36);
        data.extend_from_slice(&self.result.0);
        write_prefixed(&mut data, &self.certificate);
        ItemBuilder::new().tags(tags).data(data)
    }

    fn read(item: &DataItem) -> Result<Self, RecordError> {
        let data = item.data_bytes();
        let mut reader = Reader::new(&data);
        let result = ResultHash(reader.array()?);
        let certificate = sliced(&data, &mut reader, "certificate of a state", CERTIFICATE_BYTES_MAX)?;
        reader.finish()?;
        let host_abi = number(item, "Host-Abi")?;
        Ok(Self {
            process: id(item, "Process")?,
            slot: Slot(number(item, "Nonce")?),
            schedule_epoch: number(item, "Epoch")?,
            result,
            host_abi: u32::try_from(host_abi).map_err(|_| wrong("Host-Abi", &host_abi.to_string(), "a version"))?,
            state: StateHash(id(item, "State-Hash")?.0),
            item: id(item, "Checkpoint")?,
            certificate,
        })
    }
}

impl RangeRecord {
    /// The last slot.
    pub fn to(&self) -> Slot {
        Slot(self.from.0.saturating_add(self.slots.len() as u64).saturating_sub(1))
    }

    /// Root over the ids, two leaves for each slot.
    pub fn root(&self) -> [u8; 32] {
        let leaves = self.slots.iter().flat_map(|(item, assignment)| [item, assignment]);
        root(leaves.map(|id| sha256(&[&[0], &id.0])).collect())
    }

    /// The item to be signed.
    pub fn item(&self, network: &NetworkId) -> ItemBuilder {
        let mut tags = head(RANGE, network);
        tags.extend([
            Tag::new("Process", self.process.to_string()),
            Tag::new("Epoch", self.schedule_epoch.to_string()),
            Tag::new("From-Nonce", self.from.to_string()),
            Tag::new("To-Nonce", self.to().to_string()),
            Tag::new("Hash-Chain", Id(self.hash_chain).to_string()),
            Tag::new("Count", self.slots.len().to_string()),
            Tag::new("Root", Id(self.root()).to_string()),
        ]);
        tags.extend(self.previous.map(|previous| Tag::new("Prev-Range", previous.to_string())));
        let mut data = Vec::with_capacity(self.slots.len() * 96 + 64);
        for (item, assignment) in &self.slots {
            data.extend_from_slice(&item.0);
            data.extend_from_slice(&assignment.0);
        }
        write_results(&mut data, &self.results);
        data.extend_from_slice(&(self.certificates.len() as u32).to_be_bytes());
        self.certificates.iter().for_each(|certificate| write_prefixed(&mut data, certificate));
        ItemBuilder::new().tags(tags).data(data)
    }

    fn read(item: &DataItem) -> Result<Self, RecordError> {
        let (from, to) = (Slot(number(item, "From-Nonce")?), Slot(number(item, "To-Nonce")?));
        let count = number(item, "Count")?.try_into().unwrap_or(usize::MAX);
        if count > RANGE_SLOTS_MAX {
            return Err(CodecError::Bound { what: "slots of a range", max: RANGE_SLOTS_MAX, found: count }.into());
        }
        if count == 0 || from.0.checked_add(count as u64 - 1) != Some(to.0) {
            return Err(RecordError::Slots { from, to, count });
        }
        let data = item.data_bytes();
        let mut reader = Reader::new(&data);
        let slots: Result<Vec<_>, _> = (0..count).map(|_| Ok((Id(reader.array()?), Id(reader.array()?)))).collect();
        let slots = slots.map_err(RecordError::Data)?;
        let results = read_results(&mut reader)?;
        let proofs = bounded(&mut reader, "certificates of a range", RANGE_CERTIFICATES_MAX)?;
        let certificates = (0..proofs).map(|_| sliced(&data, &mut reader, "certificate of a range", CERTIFICATE_BYTES_MAX));
        let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        let read = Self {
            process: id(item, "Process")?,
            schedule_epoch: number(item, "Epoch")?,
            from,
            hash_chain: id(item, "Hash-Chain")?.0,
            previous: item.tag("Prev-Range").map(|_| id(item, "Prev-Range")).transpose()?,
            slots,
            results,
            certificates,
        };
        let (declared, found) = (id(item, "Root")?, Id(read.root()));
        if declared == found { Ok(read) } else { Err(RecordError::Root { declared, found }) }
    }
}

impl ResultsRecord {
    /// The item to be signed.
    pub fn item(&self, network: &NetworkId) -> ItemBuilder {
        let mut tags = head(RESULTS, network);
        tags.push(Tag::new("Process", self.process.to_string()));
        let mut data = Vec::with_capacity(self.results.1.len() * 32 + 16);
        write_results(&mut data, &self.results);
        ItemBuilder::new().tags(tags).data(data)
    }

    fn read(item: &DataItem) -> Result<Self, RecordError> {
        let data = item.data_bytes();
        let mut reader = Reader::new(&data);
        let results = read_results(&mut reader)?;
        reader.finish()?;
        Ok(Self { process: id(item, "Process")?, results })
    }
}

impl FramesRecord {
    /// Sequence of the last frame.
    pub fn to(&self) -> u64 {
        self.from.saturating_add(self.frames.len() as u64).saturating_sub(1)
    }

    /// The item to be signed.
    pub fn item(&self, network: &NetworkId) -> ItemBuilder {
        let mut tags = head(FRAMES, network);
        tags.extend([
            Tag::new("Scheduler", self.scheduler.to_string()),
            Tag::new("Tenure", self.tenure.to_string()),
            Tag::new("From-Sequence", self.from.to_string()),
            Tag::new("To-Sequence", self.to().to_string()),
        ]);
        tags.extend(self.previous.map(|previous| Tag::new("Prev-Frames", previous.to_string())));
        let mut data = Vec::new();
        data.extend_from_slice(&(self.frames.len() as u32).to_be_bytes());
        for frame in &self.frames {
            [&frame.frame, &frame.signature, &frame.proof].into_iter().for_each(|bytes| write_prefixed(&mut data, bytes));
            write_list(&mut data, &frame.held.iter().map(|id| id.0).collect::<Vec<_>>());
        }
        ItemBuilder::new().tags(tags).data(data)
    }

    fn read(item: &DataItem) -> Result<Self, RecordError> {
        let data = item.data_bytes();
        let mut reader = Reader::new(&data);
        let count = bounded(&mut reader, "frames of a record", FRAMES_MAX)?;
        let mut frames = Vec::with_capacity(count);
        for _ in 0..count {
            let mut part = || sliced(&data, &mut reader, "part of a frame", data.len());
            let (frame, signature, proof) = (part()?, part()?, part()?);
            let held = reader.list::<[u8; 32]>("held items of a frame", data.len() / 32)?;
            frames.push(FrameRecord { frame, signature, proof, held: held.into_iter().map(Id).collect() });
        }
        reader.finish()?;
        let (from, to) = (number(item, "From-Sequence")?, number(item, "To-Sequence")?);
        if count == 0 || from.checked_add(count as u64 - 1) != Some(to) {
            return Err(RecordError::Slots { from: Slot(from), to: Slot(to), count });
        }
        let scheduler = item.tag("Scheduler").unwrap_or_default();
        let scheduler = Address::parse(scheduler).map_err(|_| wrong("Scheduler", scheduler, "an address"))?;
        let previous = item.tag("Prev-Frames").map(|_| id(item, "Prev-Frames")).transpose()?;
        Ok(Self { scheduler, tenure: number(item, "Tenure")?, from, previous, frames })
    }
}

fn write_results(out: &mut Vec<u8>, (first, hashes): &(Slot, Vec<ResultHash>)) {
    first.0.write(out);
    write_list(out, &hashes.iter().map(|hash| hash.0).collect::<Vec<_>>());
}

fn read_results(reader: &mut Reader<'_>) -> Result<(Slot, Vec<ResultHash>), CodecError> {
    let first = Slot(reader.u64()?);
    let hashes = reader.list::<[u8; 32]>("results of a record", RANGE_RESULTS_MAX)?;
    Ok((first, hashes.into_iter().map(ResultHash).collect()))
}

fn head(kind: &str, network: &NetworkId) -> Vec<Tag> {
    vec![
        Tag::new("Data-Protocol", "ao"),
        Tag::new("Variant", VARIANT_TN1),
        Tag::new("Type", kind),
        Tag::new("Anchor-Version", VERSION),
        Tag::new(NETWORK_TAG, network.to_string()),
    ]
}

/// Nodes and leaves are hashed under different first bytes, and a node without a sibling moves up: the trees of frames.
fn root(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [left, right] = pair { sha256(&[&[1], left, right]) } else { pair[0] }).collect();
    }
    level.first().copied().unwrap_or_default()
}

fn bounded(reader: &mut Reader<'_>, what: &'static str, max: usize) -> Result<usize, CodecError> {
    let found = reader.u32()? as usize;
    if found > max { Err(CodecError::Bound { what, max, found }) } else { Ok(found) }
}

/// Bytes with their length in front, sharing the memory of `data`, which `reader` reads.
fn sliced(data: &Bytes, reader: &mut Reader<'_>, what: &'static str, max: usize) -> Result<Bytes, CodecError> {
    let length = reader.prefixed(what, max)?.len();
    Ok(data.slice(reader.position() - length..reader.position()))
}

fn number(item: &DataItem, tag: &'static str) -> Result<u64, RecordError> {
    let found = item.tag(tag).unwrap_or_default();
    found.parse().map_err(|_| wrong(tag, found, "a number"))
}

fn id(item: &DataItem, tag: &'static str) -> Result<Id, RecordError> {
    let found = item.tag(tag).unwrap_or_default();
    Id::parse(found).map_err(|_| wrong(tag, found, "an id"))
}

fn wrong(tag: &'static str, found: &str, expected: &'static str) -> RecordError {
    RecordError::Tag { tag, found: cut(found), expected }
}

fn cut(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

#[cfg(test)]
pub(crate) mod tests;
