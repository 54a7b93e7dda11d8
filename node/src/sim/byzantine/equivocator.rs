//! A scheduler that signs two frames for one place, whole branches of them: two nodes with one wallet, one on each side, each with its own
//! clients. The attestor's key is in one of them only: this member votes once. Neither shows anybody that there are two. Now and then the second gets
//! the disk of the first, as when a backup comes to life: their logs have a past in common then.

use super::{Keys, Leaving, Manner};
use crate::network::seam::Order;

pub(super) const KEYS: &[Keys] = &[Keys { scheduler: true, attestor: true }, Keys { scheduler: true, attestor: false }];

pub(super) struct Equivocator;

impl Manner for Equivocator {
    fn leaves(&mut self, order: Order) -> Vec<Leaving> {
        // Its software would: each of the two sees what the other one signed.
        if matches!(order, Order::Evidence(_)) { Vec::new() } else { vec![Leaving::now(order)] }
    }

    fn serves(&self) -> bool {
        true
    }
}
