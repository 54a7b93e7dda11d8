//! Between a node and its engine: what the engine says is overheard, and said on unchanged.

use std::sync::Arc;

use ao_consensus::{Certified, Confirmed, Consensus, Effect, Evidence, Input, Offence, Timestamp};
use ao_types::{Chain, PeerId};
use parking_lot::Mutex;

/// What concerns the rules that hold for all nodes together.
#[derive(Debug)]
pub enum Said {
    /// It begins: what it said before it may say again.
    Began,
    /// A quorum attested a frame.
    Certified(Box<Certified>),
    /// A frame is confirmed.
    Confirmed(Box<Confirmed>),
    /// A chain was voided.
    Voided(Chain, u64),
    /// A fault is shown.
    Evidence(Box<Evidence>),
    /// Somebody is blamed.
    Blamed(PeerId, Offence),
}

/// What an engine said, in order, until somebody takes it.
pub type Heard = Arc<Mutex<Vec<Said>>>;

/// See the module documentation.
pub struct Tap {
    engine: Box<dyn Consensus>,
    heard: Heard,
}

impl Tap {
    /// On this engine.
    pub fn on(engine: Box<dyn Consensus>, heard: Heard) -> Box<dyn Consensus> {
        heard.lock().push(Said::Began);
        Box::new(Self { engine, heard })
    }
}

impl Consensus for Tap {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        let before = out.len();
        self.engine.handle(now, input, out);
        let said = out.iter().skip(before).filter_map(|effect| match effect {
            Effect::Certified(certified) => Some(Said::Certified(Box::new(certified.clone()))),
            Effect::Confirmed(confirmed) => Some(Said::Confirmed(Box::new(confirmed.clone()))),
            Effect::Voided { chain, from } => Some(Said::Voided(*chain, *from)),
            Effect::Evidence(evidence) => Some(Said::Evidence(evidence.clone())),
            Effect::Penalise(peer, offence) => Some(Said::Blamed(peer.clone(), *offence)),
            _ => None,
        });
        self.heard.lock().extend(said);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.engine.next_deadline()
    }
}
