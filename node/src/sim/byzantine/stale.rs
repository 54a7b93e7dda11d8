//! A member that says everything late, and old things again and again: votes of rounds that are over, shares of frames that are
//! confirmed, evidence that everybody has.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Leaving, Manner};
use crate::network::seam::Order;

/// How late it is.
const LATE_MS: u64 = 7_000;

/// Old messages that it keeps to say again.
const KEPT_MAX: usize = 64;

/// So often it says one of them again: with every so manyth message.
const REPEATS_EVERY: usize = 3;

#[derive(Default)]
pub(super) struct Stale {
    kept: VecDeque<Order>,
    said: usize,
}

impl Manner for Stale {
    fn leaves(&mut self, order: Order) -> Vec<Leaving> {
        let mut leaving = Vec::new();
        self.said += 1;
        if self.said.is_multiple_of(REPEATS_EVERY)
            && let Some(old) = self.kept.pop_front()
        {
            leaving.extend(again(&old).map(Leaving::now));
            self.kept.push_back(old);
        }
        if let Some(copy) = again(&order).filter(|_| self.kept.len() < KEPT_MAX) {
            self.kept.push_back(copy);
        }
        leaving.push(Leaving { order, after_ms: LATE_MS });
        leaving
    }

    fn serves(&self) -> bool {
        true
    }
}

/// What can be said twice.
fn again(order: &Order) -> Option<Order> {
    match order {
        Order::Publish(frame) => Some(Order::Publish(Arc::clone(frame))),
        Order::Engine(to, bytes) => Some(Order::Engine(to.clone(), bytes.clone())),
        Order::Evidence(evidence) => Some(Order::Evidence(Arc::clone(evidence))),
        _ => None,
    }
}
