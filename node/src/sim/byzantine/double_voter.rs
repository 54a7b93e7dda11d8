//! An attestor that signs what each side wants to hear: two nodes with one BLS key, each with a slashing protection that knows nothing of the
//! other's. Where a scheduler gives each side another frame it attests both; in a round it votes and proposes twice. Only the first
//! schedules, so the member's own chain has one branch.

use super::{Keys, Leaving, Manner};
use crate::network::seam::Order;

pub(super) const KEYS: &[Keys] = &[Keys { scheduler: true, attestor: true }, Keys { scheduler: false, attestor: true }];

pub(super) struct DoubleVoter;

impl Manner for DoubleVoter {
    fn leaves(&mut self, order: Order) -> Vec<Leaving> {
        vec![Leaving::now(order)]
    }

    fn serves(&self) -> bool {
        true
    }
}
