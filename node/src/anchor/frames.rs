//! The scheduler's own frames in a parcel: what a network whose nodes are all gone goes on from.
//!
//! A proof that a frame is confirmed speaks of frames behind it, which attestors signed. Whoever reads the proof back and goes on must not
//! build others in their place, so a frame's proof goes to Arweave only together with everything that the frames it speaks of are made of.
//! Those behind the last confirmed one go without a proof, with their items, and come again with theirs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ao_arweave::limits::{FLUSH_BYTES, FRAMES_BYTES, FRAMES_MAX};
use ao_arweave::records::{FrameRecord, FramesRecord};
use ao_consensus::{Chain, Frame, Proof};
use ao_storage::schema::{self, AnchorChainRow, FrameKey, FrameRow};
use ao_storage::{Direction, Error, Store};
use ao_types::limits::{BUNDLE_BYTES_MAX, MODULE_BYTES_MAX};
use ao_types::{Canonical as _, Id, Slot};
use bytes::Bytes;

/// Frames read together.
const PAGE: usize = 32;
/// Slots that go along with frames behind the last one that is proven, in one parcel. Where more would have to, fewer frames are proven.
const TAIL_SLOTS_MAX: usize = 256;
/// Bytes of frames in one parcel, and of what goes along with them: 64 MiB. With a full flush and a module that is a bundle which gateways
/// take.
const BYTES_MAX: u64 = 64 << 20;

const _: () = assert!(BYTES_MAX + FLUSH_BYTES + MODULE_BYTES_MAX as u64 <= BUNDLE_BYTES_MAX as u64, "a parcel with frames fits a bundle");

/// Frames that go with a parcel.
#[derive(Debug, Default)]
pub struct Frames {
    /// Oldest first, and whether each goes with its proof.
    frames: Vec<(u64, FrameRow, bool)>,
    /// Slots that stand in them and are in no range yet.
    pub tail: Tail,
    /// Sequence of the last one that is proven.
    pub proven: Option<u64>,
}

/// Slots behind the last frame that is proven.
type Tail = Vec<(Id, Slot)>;

/// One frame that was looked at.
struct Looked {
    sequence: u64,
    row: FrameRow,
    /// Slots that are in no range, this parcel's included.
    open: Vec<(Id, Slot)>,
    /// The last frame that its proof speaks of; `None`: it has none.
    reach: Option<u64>,
}

/// Which frames of a chain go with a parcel after which `next` are the first slots of processes that are in no range.
///
/// # Errors
/// The store's, and rows that cannot be read.
pub fn frames(store: &dyn Store, chain: &Chain, next: &BTreeMap<Id, Slot>) -> Result<Frames, Error> {
    let from = schema::ANCHOR_CHAINS.get(store, &(chain.scheduler, chain.tenure))?.map_or(0, |row| row.next);
    let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
    let mut looked: Vec<Looked> = Vec::new();
    loop {
        let (at, left) = (looked.last().map_or(from, |last| last.sequence.saturating_add(1)), FRAMES_MAX - looked.len());
        let rows = schema::FRAMES.range(store, &key(at), &key(u64::MAX), Direction::Forward, PAGE.min(left))?;
        let all = rows.len() < PAGE;
        for (at, row) in rows {
            looked.push(look(store, at.sequence, row, next)?);
        }
        // Under load many more are there already than go now.
        if all || looked.len() >= FRAMES_MAX || is_enough(&looked) {
            break;
        }
    }
    // On a network of one nobody signs frames: there is nothing to prove.
    if looked.first().is_none_or(|first| first.sequence != from || first.row.signature.is_empty()) {
        return Ok(Frames::default());
    }
    let mut sizes = BTreeMap::new();
    let size = |process: Id, slot: Slot| match sizes.entry((process, slot)) {
        Entry::Occupied(known) => Ok(*known.get()),
        Entry::Vacant(place) => Ok(*place.insert(slot_bytes(store, process, slot)?)),
    };
    let Some((count, end, tail)) = cut(&looked, size)? else { return Ok(Frames::default()) };
    let proven = Some(looked[count - 1].sequence);
    let frames = looked.into_iter().take(end).enumerate().map(|(at, one)| (one.sequence, one.row, at < count)).collect();
    Ok(Frames { frames, tail, proven })
}

/// How many of these may go with a proof: those before the first with slots that go in no range yet, or without one.
fn whole(looked: &[Looked]) -> usize {
    looked.iter().take_while(|one| one.open.is_empty() && one.reach.is_some()).count()
}

/// Whether no frame behind these goes, whatever it is.
fn is_enough(looked: &[Looked]) -> bool {
    let whole = whole(looked);
    let reach = looked[..whole].iter().filter_map(|one| one.reach).max().unwrap_or_default();
    whole < looked.len() && looked.last().is_some_and(|last| last.sequence >= reach)
}

/// How many frames go with a proof, how many go, and the slots that go for that: as many as one parcel takes. `None`: none can go now.
fn cut(looked: &[Looked], mut size: impl FnMut(Id, Slot) -> Result<u64, Error>) -> Result<Option<(usize, usize, Tail)>, Error> {
    for count in (1..=whole(looked)).rev() {
        let proven = looked[..count].iter().filter_map(|one| one.reach).max().unwrap_or_default();
        let end = looked.partition_point(|one| one.sequence <= proven);
        let all = looked[..end].last().is_some_and(|last| last.sequence >= proven);
        let slots = looked[count..end].iter().flat_map(|one| one.open.iter().copied());
        let tail: Tail = slots.take(TAIL_SLOTS_MAX + 1).collect();
        if !all || tail.len() > TAIL_SLOTS_MAX {
            continue;
        }
        let mut bytes: u64 = looked[..end].iter().map(Looked::bytes).fold(0, u64::saturating_add);
        for (process, slot) in &tail {
            bytes = bytes.saturating_add(size(*process, *slot)?);
        }
        if bytes <= BYTES_MAX {
            return Ok(Some((count, end, tail)));
        }
    }
    Ok(None)
}

/// What a slot brings into a bundle, at most. Whether it can be read is found when it is.
fn slot_bytes(store: &dyn Store, process: Id, slot: Slot) -> Result<u64, Error> {
    let item = |id: &Id| match schema::ITEMS.get(store, id) {
        Ok(item) => Ok(item.map_or(0, |item| item.len() as u64)),
        Err(Error::Elsewhere(_)) => Ok(0),
        Err(error) => Err(error),
    };
    let Some(row) = schema::SCHEDULE.get(store, &(process, slot))? else { return Ok(0) };
    let mut bytes = item(&row.item)?.saturating_add(row.assignment.len() as u64);
    if slot == Slot(0)
        && let Some(row) = schema::PROCESSES.get(store, &process)?
        && !schema::ANCHOR_ITEMS.contains(store, &row.module)?
    {
        bytes = bytes.saturating_add(item(&row.module)?);
    }
    Ok(bytes)
}

fn look(store: &dyn Store, sequence: u64, row: FrameRow, next: &BTreeMap<Id, Slot>) -> Result<Looked, Error> {
    let corrupt = |reason: String| Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {sequence}"), reason };
    let frame = Frame::decode(&row.frame).map_err(|error| corrupt(error.to_string()))?;
    let mut open = Vec::new();
    for entry in &frame.entries {
        let next = match next.get(&entry.process) {
            Some(next) => *next,
            None => schema::ANCHOR_HEADS.get(store, &entry.process)?.map_or(Slot(0), |head| head.next),
        };
        if entry.slot >= next {
            open.push((entry.process, entry.slot));
        }
    }
    let proof = row.proof.as_ref().map(|proof| Proof::decode(proof)).transpose().map_err(|error| corrupt(error.to_string()))?;
    let reach = proof.map(|proof| match proof {
        Proof::Chain { descendants, .. } => sequence.saturating_add(descendants.len() as u64),
        Proof::Alone | Proof::Block { .. } => sequence,
    });
    Ok(Looked { sequence, row, open, reach })
}

impl Looked {
    fn bytes(&self) -> u64 {
        let FrameRow { frame, signature, proof, held, .. } = &self.row;
        (frame.len() + signature.len() + proof.as_ref().map_or(0, Bytes::len) + 32 * held.len()) as u64
    }
}

impl Frames {
    /// The records, each naming the one before once it has an id, which `sign` gives it.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn records<E>(
        self,
        chain: &Chain,
        before: Option<AnchorChainRow>,
        mut sign: impl FnMut(FramesRecord) -> Result<Option<Id>, E>,
    ) -> Result<(), E> {
        let mut previous = before.and_then(|row| row.record);
        let mut open: Option<(FramesRecord, usize)> = None;
        for (sequence, row, proven) in self.frames {
            let FrameRow { frame, signature, held, proof, .. } = row;
            let proof = proof.filter(|_| proven).unwrap_or_else(Bytes::new);
            let bytes = frame.len() + signature.len() + proof.len() + held.len() * 32;
            if let Some((record, _)) = open.take_if(|(_, so_far)| *so_far + bytes > FRAMES_BYTES) {
                previous = sign(record)?;
            }
            let fresh = || {
                let (scheduler, tenure) = (chain.scheduler, chain.tenure);
                (FramesRecord { scheduler, tenure, from: sequence, previous, frames: Vec::new() }, 0)
            };
            let (record, so_far) = open.get_or_insert_with(fresh);
            record.frames.push(FrameRecord { frame, signature, proof, held });
            *so_far += bytes;
        }
        open.map_or(Ok(()), |(record, _)| sign(record).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: Id = Id([1; 32]);

    /// A frame of `bytes`, with `open` slots, whose proof speaks of the one behind it.
    fn looked(sequence: u64, bytes: usize, open: u64) -> Looked {
        let row = FrameRow {
            frame: Bytes::from(vec![0; bytes]),
            signature: Bytes::new(),
            held: Vec::new(),
            tip: Bytes::new(),
            proof: Some(Bytes::new()),
        };
        Looked { sequence, row, open: (0..open).map(|slot| (PROCESS, Slot(slot))).collect(), reach: Some(sequence + 1) }
    }

    fn taken(looked: &[Looked], slot_bytes: u64) -> Option<(usize, usize, usize)> {
        cut(looked, |_, _| Ok(slot_bytes)).unwrap().map(|(count, end, tail)| (count, end, tail.len()))
    }

    #[test]
    fn what_a_proof_speaks_of_goes_along() {
        let frames = [looked(0, 10, 0), looked(1, 10, 0), looked(2, 10, 5)];
        assert_eq!(taken(&frames, 1000), Some((2, 3, 5)));
        assert_eq!(taken(&frames[..2], 1000), Some((1, 2, 0)), "the last is not there yet");
        assert_eq!(taken(&frames[2..], 1000), None);
    }

    #[test]
    fn no_more_is_read_than_what_may_change_what_goes() {
        let frames = [looked(0, 10, 0), looked(1, 10, 0), looked(2, 10, 5), looked(3, 10, 5)];
        assert!(!is_enough(&frames[..1]) && !is_enough(&frames[..2]), "the next one may be whole as well");
        assert!(is_enough(&frames[..3]) && is_enough(&frames[2..3]));
        let far = Looked { reach: Some(3), ..looked(1, 10, 0) };
        let frames = [looked(0, 10, 0), far, looked(2, 10, 5), looked(3, 10, 5)];
        assert!(!is_enough(&frames[..3]) && is_enough(&frames), "a proof speaks of one that is not read yet");
        assert!(!is_enough(&[]));
    }

    #[test]
    fn slots_behind_are_bounded_by_number_and_by_bytes() {
        let frames = |open| [looked(0, 10, 0), looked(1, 10, 0), looked(2, 10, open)];
        let most = TAIL_SLOTS_MAX as u64;
        assert_eq!(taken(&frames(most), 1), Some((2, 3, TAIL_SLOTS_MAX)));
        assert_eq!(taken(&frames(most + 1), 1), Some((1, 2, 0)), "fewer frames are proven");
        assert_eq!(taken(&frames(8), BYTES_MAX / 8 - 10), Some((2, 3, 8)));
        assert_eq!(taken(&frames(8), BYTES_MAX / 8), Some((1, 2, 0)), "eight large ones");
    }

    #[test]
    fn frames_are_bounded_by_bytes() {
        let megabytes: Vec<_> = (0..200).map(|sequence| looked(sequence, 1 << 20, 0)).collect();
        assert_eq!(taken(&megabytes, 0), Some((63, 64, 0)));
    }
}
