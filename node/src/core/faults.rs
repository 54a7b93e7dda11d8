//! Faults of schedulers and attestors that were shown: each is kept for good and told to everybody, once; of one offender only so many.
//!
//! One piece convicts. Whoever signs ten thousand second headers shows ten thousand faults, each of them true, and each would cost every
//! node a synced write and a message to all: what is beyond the bound is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_consensus::Evidence;
use ao_consensus::evidence::Offender;
use ao_storage::schema;
use ao_types::Canonical;
use bytes::Bytes;

use super::Core;
use super::effect::Effect;
use crate::limits::{EVIDENCE_OF_ONE_MAX, EVIDENCE_REMEMBERED_MAX};
use crate::network::seam::Order;

/// What somebody is accused of, and who: the same text for all pieces that convict the same.
pub type Charge = (&'static str, String);

/// What a piece of evidence charges whom with.
pub fn charge(evidence: &Evidence) -> Charge {
    let whom = match evidence.accused() {
        Some(Offender::Scheduler(scheduler, _)) => scheduler.to_string(),
        Some(Offender::Attestors(keys)) => keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        // Of two certificates: only their committees tell.
        None => String::new(),
    };
    (evidence.kind(), whom)
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Faults {
    /// Of late, by id: it may come from several sides before the first was written.
    pub(super) shown: BTreeSet<[u8; 32]>,
    kept: BTreeMap<Charge, usize>,
}

impl Faults {
    /// As the store has them.
    pub fn recovered(charges: impl IntoIterator<Item = Charge>) -> Self {
        let mut faults = Self::default();
        charges.into_iter().for_each(|charge| *faults.kept.entry(charge).or_default() += 1);
        faults
    }

    /// Whether this one is to be kept.
    fn insert(&mut self, evidence: &Evidence) -> bool {
        if !self.shown.insert(evidence.id()) {
            return false;
        }
        if self.shown.len() > EVIDENCE_REMEMBERED_MAX {
            self.shown.pop_first();
        }
        let kept = self.kept.entry(charge(evidence)).or_default();
        *kept += 1;
        *kept <= EVIDENCE_OF_ONE_MAX
    }
}

impl Core {
    pub(super) fn on_evidence(&mut self, evidence: Arc<Evidence>, out: &mut Vec<Effect>) {
        if self.refusal().is_some() || !self.faults.insert(&evidence) {
            return;
        }
        out.push(Effect::Fault { kind: evidence.kind(), id: evidence.id() });
        let batch = self.batches.synced();
        schema::EVIDENCE.put(&mut batch.rows, &evidence.id(), &Bytes::from(evidence.encode()));
        batch.then(Effect::Order(Box::new(Order::Evidence(evidence))));
    }
}
