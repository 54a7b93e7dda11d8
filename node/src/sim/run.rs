//! One plan from its beginning to its end.

use super::check::Violation;
use super::cluster::Cluster;
use super::plan::Plan;
use super::timing::Timing;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// S1, where more than a third of the stake broke it: then evidence convicts a third, or that is the violation.
    pub split: Option<Violation>,
    /// Of the whole run.
    pub trace: [u8; 32],
    /// How long it took on its own clock, milliseconds.
    pub elapsed_ms: u64,
    /// Slots and frames that honest nodes confirmed, frames that they hold for certified.
    pub counts: (usize, usize, usize),
    /// How long frames took.
    pub timing: Timing,
    /// How long each piece of evidence took from the first honest node to the last, milliseconds; `None`: it did not get there.
    pub evidence_ms: Vec<Option<u64>>,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    finish(Cluster::new(plan.clone()))
}

/// Runs a plan with an engine that is not the one of nodes: one with a rule broken, to see whether the run notices.
#[cfg(all(test, feature = "mutations"))]
pub fn run_with(plan: &Plan, make: crate::shell::membership::Maker) -> Outcome {
    finish(Cluster::with(plan.clone(), make))
}

fn finish(cluster: Result<Cluster, Violation>) -> Outcome {
    match cluster {
        Ok(mut cluster) => {
            let violation = cluster.run().err();
            Outcome {
                violation,
                split: cluster.split().cloned(),
                trace: cluster.trace(),
                elapsed_ms: cluster.elapsed_ms(),
                counts: cluster.counts(),
                timing: cluster.timing().clone(),
                evidence_ms: cluster.evidence_ms(),
            }
        }
        Err(violation) => Outcome {
            violation: Some(violation),
            split: None,
            trace: [0; 32],
            elapsed_ms: 0,
            counts: (0, 0, 0),
            timing: Timing::default(),
            evidence_ms: Vec::new(),
        },
    }
}
