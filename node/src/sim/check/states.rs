//! S3, S4 and S6 over the stores of all honest nodes: what was confirmed is there, equal slots have equal results, and what a node serves
//! convinces an outsider.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::{Confirmation, Frame, Proof, Rosters, proof};
use ao_storage::schema::{self, EvaluationKey};
use ao_storage::{Direction, Store};
use ao_types::{Canonical as _, Id, ResultHash, StateHash};

use super::safety::Ledger;
use super::{Violation, node};
use crate::shell::frames;

/// What equal slots must agree on.
#[derive(Default)]
pub struct States {
    results: BTreeMap<EvaluationKey, (ResultHash, Option<StateHash>)>,
}

impl States {
    /// S4: a node's results are those of the nodes before it.
    pub fn agree(&mut self, store: &dyn Store) -> Result<(), Violation> {
        for (key, row) in schema::EVALUATIONS.all(store, Direction::Forward, usize::MAX)? {
            let (result, state) = self.results.entry(key).or_insert((row.result_hash, row.state_hash));
            let same = *result == row.result_hash && (state.is_none() || row.state_hash.is_none() || *state == row.state_hash);
            Violation::unless(same, "S4", || format!("slot {} of {} has two results", key.slot, key.process))?;
            *state = state.or(row.state_hash);
        }
        Ok(())
    }
}

/// S3: every slot that a node calls confirmed is the one that was confirmed.
pub fn nothing_is_lost(store: &dyn Store, ledger: &Ledger) -> Result<(), Violation> {
    let mut known: BTreeMap<Id, u64> = BTreeMap::new();
    for ((process, slot), assignment) in ledger.slots() {
        let length = match known.get(process) {
            Some(length) => *length,
            None => *known.entry(*process).or_insert(crate::sim::world::confirmed_length(store, process)?),
        };
        if slot.0 < length {
            let here = schema::SCHEDULE.get(store, &(*process, *slot))?.map(|row| row.assignment_id);
            Violation::unless(here == Some(*assignment), "S3", || {
                format!("slot {slot} of {process} was confirmed as {assignment} and is {here:?}")
            })?;
        }
    }
    Ok(())
}

/// S6: proofs of confirmed frames and slots stand offline, and frames are given as they were signed.
pub fn proofs_stand(store: &dyn Store, rosters: &Rosters) -> Result<usize, Violation> {
    let broken = |what: String| Violation::new("S6", what);
    let mut proven = 0;
    for (key, row) in schema::FRAMES.all(store, Direction::Forward, usize::MAX)? {
        let frame = Frame::decode(&row.frame).map_err(|error| broken(error.to_string()))?;
        let wire = frames::whole(store, &key)?.ok_or_else(|| broken(format!("frame {} has no signature", key.sequence)))?;
        let read = ao_consensus::frame::WireFrame::decode(&wire).map_err(|error| broken(error.to_string()))?;
        Violation::unless(read.header.header == frame.header, "S6", || format!("frame {} is given as another", key.sequence))?;
        let Some(bytes) = row.proof else { continue };
        let proof = Proof::decode(&bytes).map_err(|error| broken(error.to_string()))?;
        let confirmation = Confirmation { header: Arc::new(frame.header), proof: Arc::new(proof) };
        proof::verify(&confirmation, rosters).map_err(|error| broken(format!("frame {}: {error}", key.sequence)))?;
        for entry in &frame.entries {
            let slot = frames::slot_proof(store, entry.process, entry.slot)?;
            let slot = slot.ok_or_else(|| broken(format!("slot {} of {} has no proof", entry.slot, entry.process)))?;
            proof::verify_slot(&slot, rosters).map_err(|error| broken(format!("slot {}: {error}", entry.slot)))?;
        }
        proven += 1;
    }
    Ok(proven)
}

/// A node's logs hold by themselves, as far as they are confirmed and evaluated.
pub fn logs_hold(store: &dyn Store) -> Result<(), Violation> {
    node::processes(store)?.into_iter().try_for_each(|process| node::check_log(store, process))
}
