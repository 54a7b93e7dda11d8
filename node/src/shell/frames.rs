//! A frame from outside, as far as one worker can judge it alone: form, signatures, roots, what the store knows around its entries.
//!
//! What depends on the frames before it is the core's: the core has the heads of now. Each item's signature is checked once, on entry;
//! bytes that are in the store already were checked then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_consensus::checks::contents::Read;
use ao_consensus::evidence::Offender;
use ao_consensus::frame::{EntryPath, FrameSignature, WireFrame};
use ao_consensus::limits::{FRAME_SIGNATURE_BYTES_MAX, HEADER_BYTES_MAX, PAYLOAD_BYTES_ALONE_MAX};
use ao_consensus::schedule::Assigned;
use ao_consensus::{Body, Confirmation, Entry, Evidence, Frame, Offence, Proof, RawHeader, SignedHeader, SlotProof, Timestamp};
use ao_storage::schema::{self, FrameKey, FrameRow};
use ao_storage::{Error, Store};
use ao_types::codec::{Canonical, Reader};
use ao_types::lawful::Rules;
use ao_types::message::OnBoot;
use ao_types::{Address, ContentKey, DataItem, Id, Lawful, PeerId, Slot, Verified};
use bytes::Bytes;

use super::facts::{self, Looked};
use super::verify::{Verifier, indexed};
use crate::core::input::{Facts, Input, Origin, Place, Received, Spawn, Submission};
use crate::limits::EVIDENCE_OF_ONE_MAX;
use crate::network::seam::{Judge, Verdict, Way};

/// The most bytes that a whole frame can have.
pub const FRAME_WIRE_BYTES_MAX: usize = HEADER_BYTES_MAX + FRAME_SIGNATURE_BYTES_MAX + PAYLOAD_BYTES_ALONE_MAX;

/// What became of bytes from outside.
#[derive(Debug, Default)]
pub struct Taken {
    /// For the core.
    pub input: Option<Input>,
    /// Who did what honest nodes do not.
    pub penalty: Option<(PeerId, Offence)>,
}

/// Why bytes are worth nothing.
enum Worthless {
    /// Whoever sent them could have known.
    Wrong(Offence),
    /// Known already.
    Known,
    /// This node cannot tell now.
    Unknown,
}

impl From<Error> for Worthless {
    fn from(_: Error) -> Self {
        Self::Unknown
    }
}

/// A frame: decoded, checked, looked up. The verdict is said as soon as signatures and roots hold: whether it follows from the frames
/// before it is no reason to keep it from others.
pub fn take_frame(verifier: &Verifier, from: PeerId, bytes: &Bytes, way: Way, judge: Judge) -> Taken {
    match frame(verifier, &from, bytes, way) {
        Ok(input) => {
            judge.say(Verdict::Accept);
            Taken { input: Some(input), penalty: None }
        }
        Err(worthless) => worth_nothing(worthless, from, judge),
    }
}

/// Evidence: decoded, checked with the committees, not known yet.
pub fn take_evidence(verifier: &Verifier, from: PeerId, bytes: &Bytes, judge: Judge) -> Taken {
    match evidence(verifier, bytes) {
        Ok(evidence) => {
            judge.say(Verdict::Accept);
            Taken { input: Some(Input::Evidence(Arc::new(evidence))), penalty: None }
        }
        Err(worthless) => worth_nothing(worthless, from, judge),
    }
}

fn worth_nothing(worthless: Worthless, from: PeerId, judge: Judge) -> Taken {
    match worthless {
        Worthless::Wrong(offence) => {
            judge.say(Verdict::Reject);
            Taken { input: None, penalty: Some((from, offence)) }
        }
        Worthless::Known | Worthless::Unknown => {
            judge.say(Verdict::Ignore);
            Taken::default()
        }
    }
}

fn evidence(verifier: &Verifier, bytes: &Bytes) -> Result<Evidence, Worthless> {
    if bytes.len() > ao_consensus::limits::EVIDENCE_BYTES_MAX {
        return Err(Worthless::Wrong(Offence::Flood));
    }
    let Some(rosters) = &verifier.neighbours.rosters else { return Err(Worthless::Unknown) };
    let evidence = Evidence::decode(bytes).map_err(|_| Worthless::Wrong(Offence::Malformed))?;
    if schema::EVIDENCE.contains(&*verifier.store, &evidence.id())? {
        return Err(Worthless::Known);
    }
    let charge = crate::core::charge(&evidence);
    if verifier.neighbours.charges.lock().get(&charge).is_some_and(|shown| *shown >= EVIDENCE_OF_ONE_MAX) {
        return Err(Worthless::Known);
    }
    evidence.verify(rosters).map_err(|_| Worthless::Wrong(Offence::BadSignature))?;
    // Anybody can contradict himself with a key of his own: that costs nobody a stake, and would cost every node a row.
    if let Some(Offender::Scheduler(accused, _)) = evidence.accused()
        && !verifier.neighbours.is_scheduler(&accused, &verifier.scheduler)
    {
        return Err(Worthless::Wrong(Offence::Foreign));
    }
    *verifier.neighbours.charges.lock().entry(charge).or_default() += 1;
    Ok(evidence)
}

fn frame(verifier: &Verifier, from: &PeerId, bytes: &Bytes, way: Way) -> Result<Input, Worthless> {
    let malformed = |_| Worthless::Wrong(Offence::Malformed);
    if bytes.len() > FRAME_WIRE_BYTES_MAX {
        return Err(Worthless::Wrong(Offence::Flood));
    }
    let mut reader = Reader::new(bytes);
    let raw = RawHeader::read(&mut reader).map_err(|_| Worthless::Wrong(Offence::Malformed))?;
    let payload = bytes.slice(reader.position()..);
    if raw.header.network_id != verifier.neighbours.network {
        return Err(Worthless::Wrong(Offence::Foreign));
    }
    let chain = raw.header.chain;
    let own = verifier.neighbours.schedules && chain.scheduler == verifier.scheduler;
    if !(own || verifier.neighbours.schedulers.contains(&chain.scheduler)) || chain.tenure != 0 {
        return Err(Worthless::Wrong(Offence::Foreign));
    }
    let key = FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence: raw.header.sequence };
    if let Some(row) = schema::FRAMES.get(&*verifier.store, &key)? {
        // Of the own chain too: it may be the one node that somebody with a copy of its wallet talks to.
        return second(verifier, from, &row, raw);
    }
    // An own frame that comes back is nobody's fault.
    if own {
        return Err(Worthless::Known);
    }
    let header = raw.verify().map_err(|_| Worthless::Wrong(Offence::BadSignature))?;
    // The place became free meanwhile: its body comes when it is asked for.
    if way == Way::Header {
        return Err(Worthless::Known);
    }
    let body = Body::read_payload(&header, &payload).map_err(malformed)?;
    let contents = body.contents(&|_| false).map_err(|_| Worthless::Wrong(Offence::BadSignature))?;
    let read = contents.assignments.into_iter().map(Read::of).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| Worthless::Wrong(Offence::Malformed))?;
    let mut items = BTreeMap::new();
    for item in contents.items {
        let known = schema::ITEMS.get(&*verifier.store, &item.id())?.is_some_and(|known| known == *item.as_bytes());
        let item = if known { Ok(Verified::reloaded_from_own_store(item)) } else { item.verify() };
        let item = item.map_err(|_| Worthless::Wrong(Offence::BadSignature))?;
        items.insert(item.id(), item);
    }
    let parts = Parts { from: from.clone(), way, header, entries: body.entries, held: contents.held, read, items };
    Ok(Input::Received(Box::new(look_up(verifier, parts)?)))
}

/// A frame for a place that is taken: the same, or a fault.
fn second(verifier: &Verifier, from: &PeerId, row: &FrameRow, raw: RawHeader) -> Result<Input, Worthless> {
    let first = Frame::decode(&row.frame).map_err(|_| Worthless::Unknown)?.header;
    if first == raw.header {
        return Err(Worthless::Known);
    }
    let signature = FrameSignature::decode(&row.signature).map_err(|_| Worthless::Unknown)?;
    let second = raw.verify().map_err(|_| Worthless::Wrong(Offence::BadSignature))?;
    let first = SignedHeader::reloaded_from_own_store(RawHeader { header: first, signature });
    let evidence = crate::core::two_headers(&first, &second).ok_or(Worthless::Known)?;
    let known = schema::EVIDENCE.contains(&*verifier.store, &evidence.id())?;
    let evidence = (!known).then(|| Arc::new(evidence));
    Ok(Input::Other { from: from.clone(), header: Box::new(second), evidence })
}

/// What an assignment says, as its scheduler had it.
pub fn assigned(read: &Read) -> Assigned {
    let (assignment, content_hash) = (read.assignment(), read.content_hash());
    let content = assignment.content();
    Assigned {
        schedule_epoch: content.schedule_epoch,
        slot: content.slot,
        hash_chain: *content.hash_chain.as_bytes(),
        timestamp: Timestamp(content.timestamp_ms),
        block_height: content.block_height,
        content_hash,
        id: assignment.id(),
        assignment: assignment.item().clone(),
    }
}

/// A checked frame before its look-up.
struct Parts {
    from: PeerId,
    way: Way,
    header: SignedHeader,
    entries: Vec<Entry>,
    held: Vec<Id>,
    read: Vec<Read>,
    items: BTreeMap<Id, Verified<DataItem>>,
}

/// Looks up everything around a frame again.
pub fn again(verifier: &Verifier, received: Received) -> Result<Received, Error> {
    let Received { from, way, header, entries, held, read, submissions, .. } = received;
    let items = submissions.into_iter().filter_map(|submission| submission.item).map(|item| (item.id(), item)).collect();
    look_up(verifier, Parts { from, way, header, entries, held, read, items })
}

fn look_up(verifier: &Verifier, parts: Parts) -> Result<Received, Error> {
    let Parts { from, way, header, entries, held, read, items } = parts;
    let mut looked = Looked::from_now(&verifier.settled);
    let (mut submissions, mut lawful) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    let (mut missing, mut brought) = (BTreeSet::new(), BTreeSet::new());
    for (entry, read) in entries.iter().zip(&read) {
        let own = items.get(&entry.item).cloned();
        let item = match &own {
            Some(item) => Some(item.clone()),
            None => facts::item(&*verifier.store, entry.item)?,
        };
        let Some(item) = item else {
            missing.insert(entry.item);
            lawful.push(Err("its bytes are not here".to_owned()));
            submissions.push(submission(entry, None, Place::Log { process: entry.process, exclude: Vec::new(), content: None }));
            continue;
        };
        let (place, law) = place(entry.process, &item, read.assignment().content().exclude.clone());
        if let Place::Spawn(spawn) = &place {
            needs(verifier, spawn, &item, &items, &mut missing)?;
        }
        // The second entry of one item finds it stored by the first.
        let own = own.filter(|_| brought.insert(entry.item));
        let mut submission = submission(entry, own, place);
        submission.facts = facts::of_submission(&*verifier.store, &mut looked, &submission)?;
        lawful.push(law);
        submissions.push(submission);
    }
    let (assigned, missing) = (read.iter().map(assigned).collect(), missing.into_iter().collect());
    Ok(Received { from, way, header, entries, held, assigned, read, submissions, lawful, missing, as_of: looked.as_of() })
}

fn submission(entry: &Entry, item: Option<Verified<DataItem>>, place: Place) -> Submission {
    let facts = Facts { as_of: 0, process: None, assigned: None, content: None, stored: false };
    let index = item.as_ref().map(|item| indexed(item));
    // Only the node that schedules a process pushes what its results ask for.
    Submission { origin: Origin::Frame, item, id: entry.item, place, index, push: false, facts, sought: false }
}

/// Where an assignment to `process` puts its item, and whether the item may be there (`protocol.md` §5).
pub fn place(process: Id, item: &Verified<DataItem>, exclude: Vec<String>) -> (Place, Result<(), String>) {
    let read = Rules::default().check(item);
    if item.id() == process {
        return match read {
            Ok(Lawful::Process(process)) => (Place::Spawn(born(process)), Ok(())),
            Ok(_) => (Place::Store, Err("it begins a log and is no process".to_owned())),
            Err(unlawful) => (Place::Store, Err(unlawful.to_string())),
        };
    }
    let content = item.tag("From-Process").is_some().then(|| ContentKey::of(item).0);
    let place = Place::Log { process, exclude, content };
    // An existing item may be assigned to any process (§5.5); one that is sent to this process must be a message.
    let law = match read {
        Err(unlawful) if item.target() == Some(process) => Err(unlawful.to_string()),
        Ok(_) | Err(_) => Ok(()),
    };
    (place, law)
}

/// What a new process's row needs.
pub fn born(process: ao_types::Process) -> Spawn {
    Spawn {
        owner: process.owner,
        module: process.module,
        scheduler: process.scheduler,
        parent: process.from_process.as_deref().and_then(|from| Id::parse(from).ok()),
        has_cron: !process.cron.is_empty(),
    }
}

/// Items without which a new process cannot be evaluated.
fn needs(
    verifier: &Verifier,
    spawn: &Spawn,
    item: &Verified<DataItem>,
    items: &BTreeMap<Id, Verified<DataItem>>,
    missing: &mut BTreeSet<Id>,
) -> Result<(), Error> {
    let boot = match Rules::default().check(item) {
        Ok(Lawful::Process(process)) => match process.on_boot {
            Some(OnBoot::Item(boot)) => Some(boot),
            _ => None,
        },
        _ => None,
    };
    for needed in std::iter::once(spawn.module).chain(boot) {
        if !items.contains_key(&needed) && !schema::ITEMS.contains(&*verifier.store, &needed)? {
            missing.insert(needed);
        }
    }
    Ok(())
}

/// A frame as it travels, from the rows of the store; `None` if the frame is not here, or has no signature (a network of one).
///
/// # Errors
/// The store's, and rows that contradict one another.
pub fn whole(store: &dyn Store, key: &FrameKey) -> Result<Option<Bytes>, Error> {
    let Some(row) = schema::FRAMES.get(store, key)? else { return Ok(None) };
    let corrupt =
        |reason: String| Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {}", key.sequence), reason };
    let frame = Frame::decode(&row.frame).map_err(|error| corrupt(error.to_string()))?;
    let Ok(signature) = FrameSignature::decode(&row.signature) else { return Ok(None) };
    let mut parts = Vec::with_capacity(frame.entries.len());
    for entry in frame.entries {
        let row_of = schema::SCHEDULE.get(store, &(entry.process, entry.slot))?;
        let assignment = row_of.ok_or_else(|| corrupt(format!("slot {} of {} is not here", entry.slot, entry.process)))?.assignment;
        let item = if row.held.contains(&entry.item) { None } else { schema::ITEMS.get(store, &entry.item)? };
        parts.push((entry, assignment, item));
    }
    let wire = WireFrame { header: RawHeader { header: frame.header, signature }, body: Body::of(parts) };
    Ok(Some(wire.encode().into()))
}

/// What convinces an outsider that a slot is confirmed (`consensus.md` §15); `None` if it is not yet, or not known here.
///
/// # Errors
/// The store's, and rows that cannot be read.
pub fn slot_proof(store: &dyn Store, process: Id, slot: Slot) -> Result<Option<SlotProof>, Error> {
    let (Some(row), Some(sequence)) = (schema::PROCESSES.get(store, &process)?, schema::FRAME_OF.get(store, &(process, slot))?) else {
        return Ok(None);
    };
    let Ok(scheduler) = Address::parse(&row.scheduler) else { return Ok(None) };
    let Some(row) = schema::FRAMES.get(store, &FrameKey { scheduler, tenure: 0, sequence })? else { return Ok(None) };
    let Some(proof) = row.proof else { return Ok(None) };
    let corrupt = |reason: String| Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {sequence}"), reason };
    let frame = Frame::decode(&row.frame).map_err(|error| corrupt(error.to_string()))?;
    let proof = Proof::decode(&proof).map_err(|error| corrupt(error.to_string()))?;
    let index = frame.entries.iter().position(|entry| entry.process == process && entry.slot == slot);
    let entry = index.and_then(|index| EntryPath::of(&frame.entries, index));
    let entry = entry.ok_or_else(|| corrupt(format!("slot {slot} of {process} does not stand in it")))?;
    let confirmation = Confirmation { header: Arc::new(frame.header), proof: Arc::new(proof) };
    Ok(Some(SlotProof { entry, ancestor: None, confirmation }))
}
