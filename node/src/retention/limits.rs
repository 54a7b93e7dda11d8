//! Bounds of retention.

use std::time::Duration;

/// The least that messages are kept: peers that catch up ask for what is younger, and clients read it most.
pub const KEEP_MIN: Duration = Duration::from_secs(3600);

/// Shipments looked at in one turn; between two turns others get the disk.
pub const TURN_SHIPMENTS: usize = 8;

/// Between two turns of the pass that runs beside a node.
pub const TURN_EVERY: Duration = Duration::from_millis(500);

/// Between two passes.
pub const PASS_EVERY: Duration = Duration::from_secs(600);

/// Logs that an item may stand in and still go: one that stands in more is of interest to many.
pub const LOGS_MAX: usize = 16;

/// Items that the outbox still needs, held in memory while a pass runs. With more of them nothing goes.
pub const OUTBOX_ITEMS_MAX: usize = 100_000;

/// Bytes of bundles that were fetched and are kept for who reads on.
pub const FETCHED_BYTES_MAX: usize = 32 << 20;

/// A reader waits so long for a gateway.
pub const FETCH_WAIT: Duration = Duration::from_secs(25);

/// Readers who wait for a gateway at the same time; others are told to come again. A quarter of those who may read logs at once.
pub const WAITERS_MAX: usize = 4;

/// A shipment that nobody had is not asked for again so soon.
pub const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Shipments that nobody had, remembered.
pub const MISSED_MAX: usize = 1024;
