//! The smallest plan that still breaks the same rule.

use super::plan::{Latency, Plan};
use super::run::run;

/// Runs that one search makes at most.
const RUNS_MAX: usize = 400;

/// Takes away what is not needed: faults, liars, weather, messages, nodes. `None`: nothing is broken.
pub fn shrink(plan: &Plan, mut tell: impl FnMut(&Plan)) -> Option<Plan> {
    let rule = run(plan).violation?.rule;
    let mut best = plan.clone();
    let mut runs = 0;
    'again: loop {
        for smaller in smaller(&best) {
            runs += 1;
            if runs > RUNS_MAX {
                return Some(best);
            }
            if smaller.check().is_ok() && run(&smaller).violation.is_some_and(|violation| violation.rule == rule) {
                best = smaller;
                tell(&best);
                continue 'again;
            }
        }
        return Some(best);
    }
}

/// Plans with something less, the most promising first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        if smaller != *plan {
            all.push(smaller);
        }
    };
    with(&|plan| plan.faults.clear());
    with(&|plan| plan.messages /= 2);
    (0..plan.faults.len()).for_each(|at| with(&|plan| drop(plan.faults.remove(at))));
    (0..plan.byzantine.len()).for_each(|at| {
        with(&|plan| {
            plan.byzantine.remove(at);
        })
    });
    with(&|plan| (plan.loss, plan.duplicate) = (0, 0));
    with(&|plan| plan.skew_ms.clear());
    with(&|plan| plan.latency = Latency::Within(1, 20));
    with(&|plan| plan.stakes.iter_mut().for_each(|stake| *stake = 1));
    with(&|plan| plan.processes = plan.processes.saturating_sub(1).max(1));
    with(&|plan| plan.schedulers = plan.schedulers.saturating_sub(1).max(1));
    // The last node goes, with what is said of it.
    with(&|plan| {
        let last = plan.nodes().saturating_sub(1).max(1);
        plan.stakes.truncate(last);
        plan.skew_ms.truncate(last);
        plan.schedulers = plan.schedulers.min(last);
        plan.byzantine.retain(|bad| bad.node < last);
        plan.faults.retain(|fault| fault.nodes().iter().all(|node| *node < last));
    });
    with(&|plan| plan.messages = plan.messages.saturating_sub(1));
    with(&|plan| (plan.job_ms, plan.disk_ms) = ((0, 0), (0, 0)));
    all
}
