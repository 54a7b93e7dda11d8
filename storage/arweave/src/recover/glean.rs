//! What is in one bundle: every item, its signature checked. A pure function of bytes, so that many bundles are read at once.

use ao_types::bundle::{BundleError, Found, UnpackLimits, Unpacked, unpack};
use ao_types::message::Kind;
use ao_types::{Address, Assignment, DataItem, Id, Process, Profile, Slot, Verified};
use bytes::Bytes;

use super::depot::Place;
use super::{Claim, RecordClaim};
use crate::records::Record;

/// What an item is to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It puts something into a slot.
    Assignment {
        /// Of which process.
        process: Id,
        /// Which slot.
        slot: Slot,
        /// What it says.
        claim: Claim,
    },
    /// A process, with the scheduler that it names.
    Process(Address),
    /// A record of a range of slots.
    Range {
        /// Of which process.
        process: Id,
        /// What it says.
        claim: RecordClaim,
    },
    /// A record of frames.
    Frames {
        /// Of whose chain.
        scheduler: Address,
        /// In which tenure.
        tenure: u64,
        /// What it says.
        claim: RecordClaim,
    },
    /// A record of a state.
    State {
        /// Of which process.
        process: Id,
        /// What it says: the slot is first and last.
        claim: RecordClaim,
    },
    /// Something that others may name: a message, a module, a record of a later build.
    Other,
}

/// What [`glean`] found.
#[derive(Clone, Debug, Default)]
pub struct Gleaned {
    /// Items whose signature holds, in the order of the bytes on each level.
    pub items: Vec<(Id, Place, What)>,
    /// Items whose signature does not hold: left out, they cannot spoil the others.
    pub refused: u64,
    /// What the unpacking came to.
    pub unpacked: Unpacked,
}

/// Reads the bundle that the depot keeps as number `root`. Items on Arweave were valid for whoever wrote them there: what the strict profile
/// refuses is read by the archive profile.
///
/// # Errors
/// The root is no bundle.
pub fn glean(root: u32, bytes: Bytes) -> Result<Gleaned, BundleError> {
    let mut gleaned = Gleaned::default();
    let report = unpack(bytes, Profile::Archive, UnpackLimits::default(), |Found { item, offset, .. }| {
        let place = Place { root, at: offset, bytes: u32::try_from(item.as_bytes().len()).unwrap_or(u32::MAX) };
        match item.verify() {
            Ok(item) => gleaned.items.push((item.id(), place, what(item))),
            Err(_) => gleaned.refused += 1,
        }
    })?;
    gleaned.unpacked = report;
    Ok(gleaned)
}

fn what(item: Verified<DataItem>) -> What {
    let (id, signer) = (item.id(), item.address());
    match Record::read(&item) {
        Some(Ok(Record::Range(range))) => {
            let claim = RecordClaim { id, signer, from: range.from.0, to: range.to().0, previous: range.previous };
            return What::Range { process: range.process, claim };
        }
        Some(Ok(Record::Frames(frames))) => {
            let claim = RecordClaim { id, signer, from: frames.from, to: frames.to(), previous: frames.previous };
            return What::Frames { scheduler: frames.scheduler, tenure: frames.tenure, claim };
        }
        Some(Ok(Record::State(state))) => {
            let claim = RecordClaim { id, signer, from: state.slot.0, to: state.slot.0, previous: None };
            return What::State { process: state.process, claim };
        }
        Some(_) => return What::Other,
        None => {}
    }
    match Kind::of(&item) {
        Some(Kind::Assignment) => assignment(item),
        Some(Kind::Process) => {
            let scheduler = Process::read(&item).ok().and_then(|process| process.scheduler.parse().ok());
            scheduler.map_or(What::Other, What::Process)
        }
        _ => What::Other,
    }
}

fn assignment(item: Verified<DataItem>) -> What {
    let Ok(assignment) = Assignment::read(item) else { return What::Other };
    let content = assignment.content();
    let claim = Claim {
        id: assignment.id(),
        signer: assignment.signer(),
        schedule_epoch: content.schedule_epoch,
        chain: content.hash_chain,
        message: assignment.message(),
        content: content.content_hash(),
    };
    What::Assignment { process: content.process, slot: content.slot, claim }
}
