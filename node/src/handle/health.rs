//! How the node is: what every probe asks for, cheap.

use std::sync::atomic::Ordering;

use ao_consensus::Timestamp;
use ao_storage::schema;

use super::Node;
use crate::limits::CORE_SILENT_S_MAX;
use crate::metrics::labels::Check;

/// One thing that must hold for the node to be well: a row of `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Which.
    pub check: Check,
    /// It holds.
    pub ok: bool,
    /// Without it the node is not ready; else it is only degraded.
    pub vital: bool,
    /// Seconds since it was looked at.
    pub age_s: u64,
    /// What was found, for people.
    pub reason: String,
    /// What an operator does about it; empty while it holds.
    pub fix: &'static str,
}

impl Node {
    /// How the node is, as of now. Cheap: asked by every probe.
    pub fn health(&self) -> Vec<HealthCheck> {
        let shared = &self.shared;
        let now = (shared.clock)();
        let age_s = now.since_ms(Timestamp(shared.beat.load(Ordering::Relaxed))) / 1000;
        let check = |check, ok, age_s, reason: String, fix: &'static str| HealthCheck {
            check,
            ok,
            vital: true,
            age_s,
            reason,
            fix: if ok { "" } else { fix },
        };
        let db = schema::DISK_FORMAT.get(self.store());
        let db_reason = db.as_ref().map_or_else(ToString::to_string, |_| "the store answers".to_owned());
        let low = shared.low_disk.load(Ordering::Relaxed);
        let disk = if low { "room is below the reserve" } else { "room is above the reserve" };
        let (tip, refuted) = (self.tip(), shared.backfill.alarm());
        vec![
            check(Check::Db, db.is_ok(), 0, db_reason, "look at the log; if the store is corrupt, restore the data directory"),
            check(Check::Disk, !low, 0, disk.to_owned(), "free room on the disk of the data directory; writes go on by themselves"),
            check(
                Check::Core,
                age_s < CORE_SILENT_S_MAX && !shared.stopping.load(Ordering::Relaxed),
                age_s,
                format!("the core's loop turned {age_s} s ago"),
                "restart the node and report this with its log",
            ),
            HealthCheck {
                vital: false,
                ..check(
                    Check::Checkpoint,
                    refuted.is_none(),
                    0,
                    refuted.unwrap_or_else(|| "no checkpoint that evaluation began at was refuted".to_owned()),
                    "nothing is lost, evaluation goes on from the log; compare the versions of the nodes and of the module, and report this",
                )
            },
            check(Check::Chain, true, now.since_ms(Timestamp(tip.1)) / 1000, format!("the tip is at height {}", tip.0), ""),
        ]
    }
}
