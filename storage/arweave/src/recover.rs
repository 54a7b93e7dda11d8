//! Reading back: logs from nothing but bytes of bundles (`arweave.md`, section 10).
//!
//! Owns what can be told from items alone: which are signed, which assignment follows on which, where a hole is, whether a scheduler
//! contradicted itself, which records there are. Nobody who delivered the bytes is believed, no index is needed, and the order of delivery
//! does not matter. Refuses to evaluate, and to judge certificates and frames: records are handed out as the items they are.
//!
//! ```text
//!   scan (blocks) ──┐
//!   seek (an index) ┴▶ carriers ─▶ fetch ─▶ depot (bundles, checked, on disk)
//!                                              │ glean: items, each verified, on every core
//!                                              ▼
//!                               Archive: where each item lies, who assigned it where
//!                                              │
//!              process's scheduler ────────────┴──▶ Log: slot by slot along the hash chain, up to the first hole
//! ```
//!
//! In memory is the archive alone: about two hundred bytes for an item, whatever its size.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ao_types::{Address, HashChain, Id, Process, Slot};

use crate::limits::{RECOVER_ITEMS_MAX, RECOVER_MISSING_MAX};

pub mod depot;
pub mod fetch;
pub mod glean;
pub mod scan;
pub mod seek;
#[cfg(test)]
mod tests;
mod walk;

use depot::{Depot, DepotError, Place};
use glean::{Gleaned, What};
pub use walk::End;

/// Why a log cannot be told. (reject)
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Memory has an end.
    #[error("more than {RECOVER_ITEMS_MAX} items")]
    Full,
    /// Where bundles are kept.
    #[error(transparent)]
    Depot(#[from] DepotError),
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

/// An assignment, as far as a log needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Id of the assignment.
    pub id: Id,
    /// Who signed it.
    pub signer: Address,
    /// Its tag `Epoch`.
    pub schedule_epoch: u64,
    /// Its tag `Hash-Chain`.
    pub chain: HashChain,
    /// What it puts into the slot.
    pub message: Id,
    /// Hash of everything it says.
    pub content: [u8; 32],
}

/// A record's item, and the range that it says it is about. Its signer's word and nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordClaim {
    /// The item.
    pub id: Id,
    /// Who signed it.
    pub signer: Address,
    /// First slot, or sequence of the first frame.
    pub from: u64,
    /// Last slot, or sequence of the last frame.
    pub to: u64,
    /// The record that it says is before it.
    pub previous: Option<Id>,
}

/// Items found so far, by what they are.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    items: HashMap<Id, Place>,
    /// By process, then slot. Several of a slot: signed again, or a contradiction.
    claims: HashMap<Id, BTreeMap<Slot, Vec<Claim>>>,
    ranges: HashMap<Id, Vec<RecordClaim>>,
    states: HashMap<Id, Vec<RecordClaim>>,
    frames: HashMap<(Address, u64), Vec<RecordClaim>>,
    /// Process items, and the scheduler that each names.
    processes: BTreeMap<Id, Address>,
    refused: u64,
}

/// One slot of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The slot.
    pub slot: Slot,
    /// Who said that it comes here: id of the assignment.
    pub assignment: Id,
    /// What comes here.
    pub item: Id,
}

/// A process's log, as far as it can be vouched for.
#[derive(Clone, Debug)]
pub struct Log {
    /// Whose word its order is.
    pub scheduler: Address,
    /// Slots from 0, without a gap, each following on the one before by the hash chain.
    pub entries: Vec<Entry>,
    /// Why there are not more.
    pub end: End,
    /// Contradictions on the way that longer chains decided: ids of two assignments, evidence.
    pub contradictions: Vec<(Id, Id)>,
}

impl Archive {
    /// Takes what a bundle has; what is here already changes nothing.
    ///
    /// # Errors
    /// There is no more room.
    pub fn take(&mut self, gleaned: Gleaned) -> Result<(), RecoverError> {
        self.refused += gleaned.refused;
        for (id, place, what) in gleaned.items {
            if self.items.contains_key(&id) {
                continue;
            }
            if self.items.len() >= RECOVER_ITEMS_MAX {
                return Err(RecoverError::Full);
            }
            self.items.insert(id, place);
            match what {
                What::Assignment { process, slot, claim } => {
                    self.claims.entry(process).or_default().entry(slot).or_default().push(claim);
                }
                What::Process(scheduler) => drop(self.processes.insert(id, scheduler)),
                What::Range { process, claim } => self.ranges.entry(process).or_default().push(claim),
                What::State { process, claim } => self.states.entry(process).or_default().push(claim),
                What::Frames { scheduler, tenure, claim } => self.frames.entry((scheduler, tenure)).or_default().push(claim),
                What::Other => {}
            }
        }
        Ok(())
    }

    /// Where an item lies.
    pub fn place(&self, id: &Id) -> Option<Place> {
        self.items.get(id).copied()
    }

    /// Whether an item is here.
    pub fn has(&self, id: &Id) -> bool {
        self.items.contains_key(id)
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

    /// Process items, by id, with the scheduler that each names.
    pub fn processes(&self) -> impl Iterator<Item = (&Id, &Address)> {
        self.processes.iter()
    }

    /// The scheduler that a process names, if its item is here.
    pub fn scheduler(&self, process: &Id) -> Option<&Address> {
        self.processes.get(process)
    }

    /// Processes of which an assignment is here.
    pub fn assigned(&self) -> impl Iterator<Item = &Id> {
        self.claims.keys()
    }

    /// Items of a process that its scheduler's assignments and records name and that are not here, as many as are asked about at once.
    pub fn unseen(&self, process: &Id, scheduler: &Address) -> Vec<Id> {
        let claims = self.claims.get(process).into_iter().flat_map(|slots| slots.values().flatten());
        let messages = claims.filter(|claim| claim.signer == *scheduler).map(|claim| claim.message);
        let records = self.ranges.get(process).into_iter().flatten().filter(|claim| claim.signer == *scheduler);
        let named = messages.chain(records.filter_map(|claim| claim.previous));
        named.filter(|id| !self.items.contains_key(id)).take(RECOVER_MISSING_MAX).collect()
    }

    /// Records of a process's ranges that any of these made, by first slot: whoever stands in for a scheduler signs with its own key.
    pub fn ranges(&self, process: &Id, signers: &BTreeSet<Address>) -> Vec<RecordClaim> {
        sorted(self.ranges.get(process), signers)
    }

    /// Records of a process's states that any of these made, the newest first: what they are worth is for certificates to say.
    pub fn states(&self, process: &Id, signers: &BTreeSet<Address>) -> Vec<RecordClaim> {
        let mut found = self.states.get(process).cloned().unwrap_or_default();
        found.retain(|claim| signers.contains(&claim.signer));
        found.sort_unstable_by_key(|claim| (std::cmp::Reverse(claim.from), claim.id));
        found
    }

    /// Records of a chain's frames that any of these made, by first sequence.
    pub fn frames(&self, scheduler: &Address, tenure: u64, signers: &BTreeSet<Address>) -> Vec<RecordClaim> {
        sorted(self.frames.get(&(*scheduler, tenure)), signers)
    }

    /// The log of a process: from its own item alone it is known who orders it, and everything else follows.
    ///
    /// # Errors
    /// The process item is not here, or is none.
    pub fn log(&self, process: &Id, depot: &Depot) -> Result<Log, RecoverError> {
        let place = self.items.get(process).ok_or(RecoverError::NoProcess(*process))?;
        let item = depot.item(place)?;
        let not = |why: String| RecoverError::NotAProcess { id: *process, why };
        let view = Process::read(&item).map_err(|error| not(error.to_string()))?;
        let scheduler: Address = view.scheduler.parse().map_err(|_| not(format!("its scheduler is `{}`", view.scheduler)))?;
        let none = BTreeMap::new();
        let walked = walk::walk(process, &scheduler, self.claims.get(process).unwrap_or(&none));
        let mut entries = Vec::with_capacity(walked.path.len());
        let mut end = walked.end;
        for (slot, claim) in walked.path {
            if !self.items.contains_key(&claim.message) {
                end = End::NoItem { slot, item: claim.message };
                break;
            }
            entries.push(Entry { slot, assignment: claim.id, item: claim.message });
        }
        Ok(Log { scheduler, entries, end, contradictions: walked.contradictions })
    }
}

/// In an order that does not depend on how they came.
fn sorted(claims: Option<&Vec<RecordClaim>>, signers: &BTreeSet<Address>) -> Vec<RecordClaim> {
    let mut found: Vec<RecordClaim> = claims.into_iter().flatten().filter(|claim| signers.contains(&claim.signer)).copied().collect();
    found.sort_unstable_by_key(|claim| (claim.from, claim.to, claim.id));
    found
}
