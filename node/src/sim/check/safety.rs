//! S1 over all honest nodes together: one content for a place, one for a slot; and the engine's contract where it is about more than one
//! node: in order, once in a life, with a proof that stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::{Certified, Confirmation, Confirmed, FrameHeader, Proof, Rosters, proof};
use ao_storage::{Store, schema};
use ao_types::{Certificate, Chain, FrameId, Id, Slot};

use super::Violation;

/// What honest nodes have said so far.
#[derive(Default)]
pub struct Ledger {
    /// Frames by place; the certificates with which a place was certified first.
    confirmed: BTreeMap<(Chain, u64), FrameId>,
    certified: BTreeMap<(Chain, u64), (FrameId, Vec<Certificate>)>,
    /// Assignments by slot.
    slots: BTreeMap<(Id, Slot), Id>,
    /// Every header that was seen on the net.
    headers: BTreeMap<FrameId, Arc<FrameHeader>>,
}

/// Where a node's engine is in each chain, in this life.
pub type Next = BTreeMap<Chain, u64>;

impl Ledger {
    /// A header travels.
    pub fn seen(&mut self, id: FrameId, header: &FrameHeader) {
        self.headers.entry(id).or_insert_with(|| Arc::new(header.clone()));
    }

    /// Whether a frame is another, or stands above it.
    pub fn descends(&self, frame: &FrameId, from: &FrameId) -> bool {
        let Some(floor) = self.headers.get(from).map(|header| header.sequence) else { return frame == from };
        let mut at = *frame;
        while at != *from {
            match self.headers.get(&at) {
                Some(header) if header.sequence > floor => at = header.parent,
                _ => return false,
            }
        }
        true
    }

    /// How many slots and places are confirmed, and how many places certified.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.slots.len(), self.confirmed.len(), self.certified.len())
    }

    /// Every confirmed slot.
    pub fn slots(&self) -> impl Iterator<Item = (&(Id, Slot), &Id)> {
        self.slots.iter()
    }

    /// An engine confirmed a frame.
    pub fn on_confirmed(&mut self, next: &mut Next, confirmed: &Confirmed, rosters: &Rosters) -> Result<(), Violation> {
        let Confirmed { chain, sequence, frame, proof } = confirmed;
        // A life begins somewhere: after what was stored.
        let due = *next.get(chain).unwrap_or(sequence);
        Violation::unless(*sequence == due, "contract 2", || format!("frame {sequence} of {chain} was confirmed where {due} was due"))?;
        next.insert(*chain, sequence + 1);
        let first = *self.confirmed.entry((*chain, *sequence)).or_insert(*frame);
        Violation::unless(first == *frame, "S1", || format!("frames {first} and {frame} were both confirmed as {sequence} of {chain}"))?;
        let unknown = || Violation::new("contract 3", format!("frame {frame} was confirmed, and nobody ever sent it"));
        let header = self.headers.get(frame).ok_or_else(unknown)?;
        let confirmation = Confirmation { header: header.clone(), proof: proof.clone() };
        match proof::verify(&confirmation, rosters) {
            Ok(()) => Ok(()),
            Err(_) if matches!(**proof, Proof::Alone) => Ok(()),
            Err(error) => Err(Violation::new("contract 3", format!("the proof of frame {sequence} of {chain} does not stand: {error}"))),
        }
    }

    /// An engine holds a frame for certified. With two for one place, the certificates of both.
    pub fn on_certified(&mut self, certified: &Certified, rosters: &Rosters) -> Result<(), Violation> {
        let Certified { chain, sequence, frame, certificates } = certified;
        let first = self.certified.entry((*chain, *sequence)).or_insert_with(|| (*frame, certificates.clone()));
        Violation::unless(first.0 == *frame, "S1", || {
            format!("frames {} and {frame} were both certified as {sequence} of {chain}", first.0)
        })?;
        let of_it = certificates.iter().all(|certificate| certificate.frame() == Some((*chain, *sequence, *frame)));
        let hold = certificates.iter().all(|certificate| rosters.verify_certificate(certificate).is_ok());
        Violation::unless(of_it && hold && !certificates.is_empty(), "contract 3", || {
            format!("frame {sequence} of {chain} is said to be certified by {certificates:?}")
        })
    }

    /// A node tells its readers that a slot is confirmed.
    pub fn on_told(&mut self, store: &dyn Store, process: Id, slot: Slot) -> Result<(), Violation> {
        let row = schema::SCHEDULE.get(store, &(process, slot))?;
        let gone = || Violation::new("S3", format!("slot {slot} of {process} is called confirmed and is not there"));
        let assignment = row.ok_or_else(gone)?.assignment_id;
        let first = *self.slots.entry((process, slot)).or_insert(assignment);
        Violation::unless(first == assignment, "S1", || {
            format!("assignments {first} and {assignment} were both confirmed as slot {slot} of {process}")
        })
    }
}
