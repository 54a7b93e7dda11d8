//! What a pipeline looks like from outside: for metrics, health and answers.

use super::{Alarm, Pipeline, Spent, Stage};

/// What happened since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shipments settled.
    pub settled: u64,
    /// Carriers posted again, the same bytes.
    pub reposted: u64,
    /// Transactions signed because the one before could no longer be mined.
    pub signed_again: u64,
    /// Blocks with a shipment that were replaced by others.
    pub reorgs: u64,
    /// Failures to read a bundle back.
    pub unreadable: u64,
}

/// Where everything stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// For each stage in order: its name, shipments, items, bytes, and since when the oldest waits.
    pub stages: Vec<(&'static str, u64, u64, u64, Option<u64>)>,
    /// Of this life.
    pub counts: Counts,
    /// On the last day on which anything was.
    pub spent: Spent,
    /// Why nothing is signed now, if so.
    pub hold: Option<Alarm>,
    /// Height of the chain.
    pub tip: u64,
}

impl Pipeline {
    /// Where everything stands.
    pub fn summary(&self) -> Summary {
        let mut stages: Vec<_> = Stage::NAMES.into_iter().map(|name| (name, 0, 0, 0, None)).collect();
        for shipment in self.shipments() {
            let name = shipment.stage.text();
            if let Some((_, count, items, bytes, since)) = stages.iter_mut().find(|stage| stage.0 == name) {
                *count += 1;
                *items += u64::from(shipment.bundle.items);
                *bytes += shipment.bundle.bytes;
                *since = Some(since.unwrap_or(u64::MAX).min(shipment.bundle.since_ms));
            }
        }
        Summary { stages, counts: self.counts, spent: self.spent, hold: self.hold(), tip: self.tip }
    }

    /// Since when the oldest shipment waits that is not settled.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.shipments().filter(|shipment| !shipment.stage.is_settled()).map(|shipment| shipment.bundle.since_ms).min()
    }
}
