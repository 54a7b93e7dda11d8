//! A scheduler that assigns slots, attests its own frames, and gives their bodies to nobody: its clients hear "assigned" and nothing is
//! ever confirmed, because nobody signs what it does not have.

use super::{Leaving, Manner};
use crate::network::seam::Order;

pub(super) struct Withholder;

impl Manner for Withholder {
    fn leaves(&mut self, order: Order) -> Vec<Leaving> {
        match order {
            Order::Publish(_) => Vec::new(),
            order => vec![Leaving::now(order)],
        }
    }

    fn serves(&self) -> bool {
        false
    }
}
