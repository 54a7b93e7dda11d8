//! Reading back: the log of a process from nothing but bytes of bundles (`arweave.md`, section 10).
//!
//! Owns what can be told from items alone: which are signed, which assignment follows on which, where a hole is, whether a scheduler
//! contradicted itself. Nobody who delivered the bytes is believed, no index is needed, and the order of delivery does not matter. Refuses
//! to evaluate, and to judge certificates: they are handed out as the bytes they are. [`scan`] brings the bundles.
//!
//! ```text
//!   bundle ─▶ items, each verified ─▶ processes, assignments, messages, records
//!                                          │
//!              process's scheduler ────────┴──▶ Log: slot by slot along the hash chain, up to the first hole
//! ```

use std::collections::{BTreeMap, HashMap};

use ao_types::bundle::{BundleError, Found, UnpackLimits, Unpacked, unpack};
use ao_types::message::Kind;
use ao_types::{Address, Assignment, DataItem, HashChain, Id, Process, Profile, Slot, Verified};
use bytes::Bytes;

use crate::limits::{RECOVER_BRANCHES_MAX, RECOVER_BYTES_MAX};
use crate::records::Record;

pub mod scan;
#[cfg(test)]
mod tests;

/// Why something is not taken into an archive. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The root is no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Memory has an end: what is whole already should be handed on first.
    #[error("{found} bytes of items are more than {RECOVER_BYTES_MAX}")]
    Full {
        /// With the next one.
        found: u64,
    },
    /// The process item is not here.
    #[error("the item of process {0} was not found")]
    NoProcess(Id),
    /// It is none, or says no scheduler.
    #[error("{id} is no process: {why}")]
    NotAProcess {
        /// The item.
        id: Id,
        /// Why.
        why: String,
    },
}

/// Items found so far, by what they are.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    items: HashMap<Id, Verified<DataItem>>,
    /// By process, then slot. Several of a slot: signed again, or a contradiction.
    assignments: HashMap<Id, BTreeMap<Slot, Vec<Assignment>>>,
    records: Vec<(Id, Record)>,
    bytes: u64,
    refused: u64,
}

/// One slot of a log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who said that it comes here.
    pub assignment: Assignment,
    /// What comes here.
    pub item: Verified<DataItem>,
}

/// Where a log ends, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is known of the slot: it is the end, or a hole behind which there may be more.
    NoAssignment {
        /// The slot.
        slot: Slot,
        /// Whether later slots are known: then it is a hole.
        hole: bool,
    },
    /// The assignment is here, the item that it names is not.
    NoItem {
        /// The slot.
        slot: Slot,
        /// What to look for.
        item: Id,
    },
    /// Assignments of the slot are here, none follows on the one before.
    Unlinked {
        /// The slot.
        slot: Slot,
    },
    /// The scheduler signed two different messages into the slot, and both go on equally far.
    Contradiction {
        /// The slot.
        slot: Slot,
        /// Two assignments that prove it.
        proof: (Id, Id),
    },
}

/// A process's log, as far as it can be vouched for.
#[derive(Clone, Debug)]
pub struct Log {
    /// The process item.
    pub process: Verified<DataItem>,
    /// Slots from 0, without a gap, each following on the one before by the hash chain.
    pub entries: Vec<Entry>,
    /// Why there are not more.
    pub end: End,
    /// Contradictions on the way that longer chains decided: evidence.
    pub contradictions: Vec<(Id, Id)>,
}

impl Archive {
    /// Takes every item of a root bundle that holds, also those of bundles within. Items on Arweave were valid for whoever wrote them
    /// there: what the strict profile refuses is read by the archive profile. Broken ones are counted and left out; they cannot spoil
    /// the others.
    ///
    /// # Errors
    /// The root is no bundle, or there is no more room; what was taken before stays.
    pub fn add_bundle(&mut self, root: Bytes) -> Result<Unpacked, RecoverError> {
        let mut full = None;
        let report = unpack(root, Profile::Archive, UnpackLimits::default(), |Found { item, .. }| {
            if full.is_none() {
                match item.verify() {
                    Ok(item) => full = self.add(item).err(),
                    Err(_) => self.refused += 1,
                }
            }
        })?;
        full.map_or(Ok(report), Err)
    }

    /// Takes an item; one that is here already changes nothing.
    ///
    /// # Errors
    /// There is no more room.
    pub fn add(&mut self, item: Verified<DataItem>) -> Result<(), RecoverError> {
        let id = item.id();
        if self.items.contains_key(&id) {
            return Ok(());
        }
        let found = self.bytes + item.as_bytes().len() as u64;
        if found > RECOVER_BYTES_MAX {
            return Err(RecoverError::Full { found });
        }
        self.bytes = found;
        if let Some(Ok(record)) = Record::read(&item) {
            self.records.push((id, record));
        }
        if Kind::of(&item) == Some(Kind::Assignment)
            && let Ok(assignment) = Assignment::read(item.clone())
        {
            let content = assignment.content();
            self.assignments.entry(content.process).or_default().entry(content.slot).or_default().push(assignment);
        }
        self.items.insert(id, item);
        Ok(())
    }

    /// An item.
    pub fn item(&self, id: &Id) -> Option<&Verified<DataItem>> {
        self.items.get(id)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Items whose signature did not hold.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Records of nodes, in the order in which they came: their signer's word and nothing more.
    pub fn records(&self) -> &[(Id, Record)] {
        &self.records
    }

    /// Processes of which an assignment is here, by id.
    pub fn processes(&self) -> Vec<Id> {
        let mut ids: Vec<Id> = self.assignments.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The log of a process: from its own item alone it is known who orders it, and everything else follows.
    ///
    /// # Errors
    /// The process item is not here, or is none.
    pub fn log(&self, process: &Id) -> Result<Log, RecoverError> {
        let item = self.items.get(process).ok_or(RecoverError::NoProcess(*process))?;
        let not = |why: String| RecoverError::NotAProcess { id: *process, why };
        let view = Process::read(item).map_err(|error| not(error.to_string()))?;
        let scheduler: Address = view.scheduler.parse().map_err(|_| not(format!("its scheduler is `{}`", view.scheduler)))?;
        let none = BTreeMap::new();
        let known = self.assignments.get(process).unwrap_or(&none);
        let walked = walk(process, &scheduler, known);
        let mut entries = Vec::with_capacity(walked.path.len());
        let mut end = walked.end;
        for assignment in walked.path {
            let wanted = assignment.message();
            let Some(item) = self.items.get(&wanted) else {
                end = End::NoItem { slot: assignment.content().slot, item: wanted };
                break;
            };
            entries.push(Entry { assignment: assignment.clone(), item: item.clone() });
        }
        Ok(Log { process: item.clone(), entries, end, contradictions: walked.contradictions })
    }
}

/// One assignment on a branch.
struct Node<'a> {
    assignment: &'a Assignment,
    /// The node before; `None` at slot 0.
    before: Option<usize>,
}

struct Walked<'a> {
    path: Vec<&'a Assignment>,
    end: End,
    contradictions: Vec<(Id, Id)>,
}

/// Follows the hash chain from the first slot, all branches side by side. A chain names the ids of all assignments before it: which of
/// several that were signed again is meant, the next slot says.
fn walk<'a>(process: &Id, scheduler: &Address, known: &'a BTreeMap<Slot, Vec<Assignment>>) -> Walked<'a> {
    let mut nodes: Vec<Node<'a>> = Vec::new();
    let mut live: Vec<(Option<usize>, HashChain)> = vec![(None, HashChain::first(process))];
    let mut contradictions = Vec::new();
    let mut slot = Slot(0);
    let end = loop {
        let mut here: Vec<&Assignment> = known.get(&slot).into_iter().flatten().filter(|found| found.signer() == *scheduler).collect();
        if here.is_empty() {
            let hole = known.range(slot..).any(|(_, found)| found.iter().any(|found| found.signer() == *scheduler));
            break End::NoAssignment { slot, hole };
        }
        // By id, so that what is kept does not depend on the order in which bundles came.
        here.sort_unstable_by_key(|found| found.id());
        let mut next = Vec::new();
        for (before, chain) in &live {
            for assignment in here.iter().filter(|found| found.content().hash_chain == *chain) {
                if next.len() < RECOVER_BRANCHES_MAX {
                    nodes.push(Node { assignment, before: *before });
                    next.push((Some(nodes.len() - 1), assignment.next_chain()));
                }
            }
        }
        if next.is_empty() {
            break End::Unlinked { slot };
        }
        let of = |place: &(Option<usize>, HashChain)| place.0.and_then(|at| nodes.get(at)).map(|node| node.assignment);
        let first = next.first().and_then(of);
        if let Some(first) = first
            && let Some(other) = next.iter().filter_map(of).find(|other| first.content().contradicts(other.content()))
        {
            contradictions.push((first.id(), other.id()));
        }
        live = next;
        slot = slot.next();
    };
    let path = |tip: Option<usize>| {
        let mut path = Vec::new();
        let mut at = tip.and_then(|at| nodes.get(at));
        while let Some(node) = at {
            path.push(node.assignment);
            at = node.before.and_then(|before| nodes.get(before));
        }
        path.reverse();
        path
    };
    // All live branches are equally long. Where they differ in more than signatures, nobody can say which one counts.
    let best = path(live.first().and_then(|(tip, _)| *tip));
    let split = live.iter().skip(1).filter_map(|(tip, _)| {
        let other = path(*tip);
        best.iter()
            .zip(&other)
            .position(|(one, two)| one.content().message != two.content().message)
            .map(|at| (at, best[at].id(), other[at].id()))
    });
    match split.min_by_key(|(at, ..)| *at) {
        Some((at, one, two)) => {
            let end = End::Contradiction { slot: Slot(at as u64), proof: (one, two) };
            Walked { path: best[..at].to_vec(), end, contradictions }
        }
        None => Walked { path: best, end, contradictions },
    }
}
