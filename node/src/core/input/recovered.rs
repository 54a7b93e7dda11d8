//! What the store holds when a life of the core begins.

use ao_consensus::{ChainTip, Consensus};
use ao_storage::schema::MonitorRow;
use ao_types::Id;

use super::{ProcessFacts, Term};
use crate::core::{Charge, Unconfirmed};

/// The store, as far as the core must know it to go on.
pub struct Recovered {
    /// The core's life that begins.
    pub term: Term,
    /// Place of the next item in the order of arrival.
    pub next_sequence: u64,
    /// Made from its own records, and from where the chains stand.
    pub engine: Box<dyn Consensus>,
    /// Where this scheduler's chain stands.
    pub chain: RecoveredChain,
    /// Where those of the other schedulers stand.
    pub others: Vec<RecoveredChain>,
    /// Processes that are confirmed further than evaluated, or have unconfirmed slots.
    pub owing: Vec<(Id, ProcessFacts)>,
    /// Processes with something in their outbox.
    pub outbox: Vec<Id>,
    /// Monitored processes.
    pub monitors: Vec<(Id, MonitorRow)>,
    /// One for each piece of evidence that is kept.
    pub charges: Vec<Charge>,
    /// Room on disk is below the reserve.
    pub low: bool,
}

/// One chain as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredChain {
    /// After its last frame.
    pub tip: ChainTip,
    /// The last confirmed frames, as many as certificates of later ones may speak of, in order.
    pub window: Vec<Unconfirmed>,
    /// Frames without a stored confirmation, in order.
    pub unconfirmed: Vec<Unconfirmed>,
    /// Up to which frame certificates were known.
    pub certified: Option<u64>,
}

impl std::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let owing: Vec<Id> = self.owing.iter().map(|(process, _)| *process).collect();
        f.debug_struct("Recovered")
            .field("term", &self.term)
            .field("engine", &self.engine.name())
            .field("owing", &owing)
            .finish_non_exhaustive()
    }
}
