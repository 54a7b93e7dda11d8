//! What a client of Arweave needs of this machine: the clock, chance for its pauses, and somebody who counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ao_arweave::client::fetch::FetchError;
use ao_arweave::client::{Client, Surroundings};
use ao_arweave::gateways::Health;

use crate::metrics::Metrics;
use crate::metrics::labels::Asking;
use crate::shell::Now;

/// The clock of a node or command, and chance that the system gave once.
pub(super) struct Outside {
    /// What time it is.
    clock: Now,
    /// Counts requests; a command that ends has none.
    metrics: Option<Metrics>,
    /// Every request takes a number of it, to spread pauses: nothing depends on nobody guessing it.
    chance: AtomicU64,
}

impl Outside {
    pub fn new(clock: Now, metrics: Option<Metrics>) -> Self {
        let mut bytes = [0; 8];
        // Without entropy pauses are not spread between nodes, and nothing else is different.
        drop(crate::datadir::entropy(&mut bytes));
        Self { clock, metrics, chance: AtomicU64::new(u64::from_be_bytes(bytes)) }
    }
}

impl Surroundings for Outside {
    fn now_ms(&self) -> u64 {
        (self.clock)().0
    }

    fn chance(&self) -> u32 {
        // SplitMix64: a counter, mixed.
        let mut mixed = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    fn asked(&self, endpoint: &str, health: Health, took_ms: u64) {
        if let Some(metrics) = &self.metrics {
            let outcome = match health {
                Health::Answered => Asking::Answered,
                Health::Failed => Asking::Failed,
                Health::Busy(_) => Asking::Busy,
                Health::Lied => Asking::Lied,
            };
            metrics.gateway(endpoint, outcome, took_ms as f64 / 1e3);
        }
        if health != Health::Answered {
            tracing::debug!(event = "gateway_failed", endpoint, ?health, took_ms);
        }
    }
}

/// A client that only reads, of these gateways.
///
/// # Errors
/// The system gives no HTTP client.
pub fn reader(gateways: &[String], clock: Now) -> Result<Client, FetchError> {
    loader(gateways, &[], clock)
}

/// The same, which also reads logs that these schedulers of the older network show.
///
/// # Errors
/// The system gives no HTTP client.
pub fn loader(gateways: &[String], schedulers: &[String], clock: Now) -> Result<Client, FetchError> {
    Client::reader(gateways, schedulers, Arc::new(Outside::new(clock, None)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ao_consensus::Timestamp;

    use super::*;

    #[test]
    fn pauses_are_spread() {
        let outside = Outside::new(Arc::new(|| Timestamp(7)), None);
        let numbers: BTreeSet<u32> = (0..64).map(|_| outside.chance()).collect();
        assert!(numbers.len() > 60 && numbers.iter().any(|n| *n < 1 << 31) && numbers.iter().any(|n| *n >= 1 << 31), "{numbers:?}");
    }
}
