//! An attestor that signs what it does not have. Its key is in an engine beside its node, which is told that every frame is stored here as
//! soon as its header is heard of, and that a record is durable as soon as it is said. Nobody ever gets a body from it.

use std::sync::Arc;

use ao_consensus::{Consensus, Effect, Facts, Given, Input, Timestamp};

use super::{Heard, Keys, Leaving, Manner};
use crate::network::seam::Order;

pub(super) const KEYS: &[Keys] = &[Keys { scheduler: true, attestor: false }];

pub(super) struct Liar {
    engine: Box<dyn Consensus>,
}

impl Liar {
    /// With an engine that knows its committee.
    pub fn with(engine: Box<dyn Consensus>) -> Self {
        Self { engine }
    }
}

impl Manner for Liar {
    fn leaves(&mut self, order: Order) -> Vec<Leaving> {
        vec![Leaving::now(order)]
    }

    fn serves(&self) -> bool {
        false
    }

    fn hears(&mut self, now: Timestamp, what: Heard) -> Vec<Leaving> {
        let mut inputs = vec![match what {
            Heard::Header(header, from) => {
                Input::Frame(Box::new(Given { header: Arc::clone(&header), facts: Facts::WHOLE, from: Some(from) }))
            }
            Heard::Engine(from, bytes) => Input::Peer(from, bytes),
            Heard::Time => Input::Tick,
        }];
        let mut leaving = Vec::new();
        while let Some(input) = inputs.pop() {
            let mut said = Vec::new();
            self.engine.handle(now, input, &mut said);
            for effect in said {
                match effect {
                    Effect::Remember(record) => inputs.push(Input::Remembered(record.key)),
                    Effect::Send(to, bytes) => leaving.push(Leaving::now(Order::Engine(to, bytes))),
                    _ => {}
                }
            }
        }
        leaving
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline()
    }
}
