//! A member that hears everything and says nothing: as good as one that never started, but that it holds stake.

use super::{Leaving, Manner};
use crate::network::seam::Order;

pub(super) struct Mute;

impl Manner for Mute {
    fn leaves(&mut self, _: Order) -> Vec<Leaving> {
        Vec::new()
    }

    fn serves(&self) -> bool {
        false
    }
}
