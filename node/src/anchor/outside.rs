//! What a client of Arweave needs of this machine: the clock, chance for its pauses, and somebody who counts.

use std::sync::Arc;

use ao_arweave::client::fetch::FetchError;
use ao_arweave::client::{Client, Surroundings};
use ao_arweave::gateways::Health;

use crate::metrics::Metrics;
use crate::metrics::labels::Asking;
use crate::shell::Now;

/// The clock of a node or command, and chance of the system.
pub(super) struct Outside {
    /// What time it is.
    pub clock: Now,
    /// Counts requests; a command that ends has none.
    pub metrics: Option<Metrics>,
}

impl Surroundings for Outside {
    fn now_ms(&self) -> u64 {
        (self.clock)().0
    }

    fn chance(&self) -> u32 {
        let mut bytes = [0; 4];
        // Without entropy pauses are not spread, and nothing else is different.
        drop(crate::datadir::entropy(&mut bytes));
        u32::from_be_bytes(bytes)
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
    Client::reader(gateways, schedulers, Arc::new(Outside { clock, metrics: None }))
}
