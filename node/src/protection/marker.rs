//! "This key stopped here, in order, a moment ago": what lets an attestor sign again without listening first (`operations.md` §5 rule 5).
//!
//! Written after the last thread that could sign has ended, taken away before the next start can sign. It names the machine, so that it
//! is worth nothing in a copy of the directory elsewhere; a second process on the same machine is kept off by [`super::Claim`].

use std::path::{Path, PathBuf};

use ao_consensus::Timestamp;
use ao_types::{BlsKey, NetworkId};
use serde::{Deserialize, Serialize};

use crate::datadir::{self, Layout};

/// A clean end of an attestor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    machine: String,
    network: NetworkId,
    key: BlsKey,
    stopped_ms: u64,
}

fn path(layout: &Layout) -> PathBuf {
    layout.root().join("stopped-cleanly.json")
}

/// What tells this machine from others; `None` where the system has no such name, and then nothing is ever skipped.
pub fn machine() -> Option<String> {
    let name = std::fs::read_to_string("/etc/machine-id").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

impl Marker {
    /// Leaves one.
    ///
    /// # Errors
    /// The system refused: the next start listens first.
    pub fn leave(layout: &Layout, machine: Option<String>, network: NetworkId, key: BlsKey, now: Timestamp) -> Result<(), datadir::Error> {
        let Some(machine) = machine else { return Ok(()) };
        datadir::write_json(&path(layout), &Self { machine, network, key, stopped_ms: now.0 })
    }

    /// Takes it away, durably, and gives it if there was one. What cannot be read counts as none.
    ///
    /// # Errors
    /// It is there and stays there: starting would leave a lie behind if this process crashes.
    pub fn take(layout: &Layout) -> Result<Option<Self>, datadir::Error> {
        let path = path(layout);
        if !path.exists() {
            return Ok(None);
        }
        let found = datadir::read_json(&path).ok();
        datadir::remove_durably(&path)?;
        Ok(found)
    }

    /// Whether the key stopped on this machine less than `half_wait_ms` ago. A clock that went back says no.
    pub fn excuses(&self, machine: Option<&str>, network: &NetworkId, key: &BlsKey, now: Timestamp, half_wait_ms: u64) -> bool {
        let same = machine == Some(self.machine.as_str()) && self.network == *network && self.key == *key;
        same && self.stopped_ms <= now.0 && now.0 - self.stopped_ms < half_wait_ms
    }
}

/// Where evidence of a second signer is kept, for its operator.
pub fn evidence_folder(root: &Path) -> PathBuf {
    root.join("doppelganger")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_counts_once_here_and_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let (network, key) = (NetworkId([1; 32]), BlsKey([2; 48]));
        assert_eq!(Marker::take(&layout).unwrap(), None);
        Marker::leave(&layout, None, network, key, Timestamp(1_000)).unwrap();
        assert_eq!(Marker::take(&layout).unwrap(), None, "a machine without a name leaves none");
        Marker::leave(&layout, Some("here".into()), network, key, Timestamp(1_000)).unwrap();
        let marker = Marker::take(&layout).unwrap().unwrap();
        assert_eq!(Marker::take(&layout).unwrap(), None, "once");
        let excuses = |machine, network, key, now| marker.excuses(machine, &network, &key, Timestamp(now), 500);
        assert!(excuses(Some("here"), network, key, 1_499));
        assert!(!excuses(Some("here"), network, key, 1_500), "too long ago");
        assert!(!excuses(Some("here"), network, key, 999), "in the future");
        assert!(!excuses(Some("there"), network, key, 1_100) && !excuses(None, network, key, 1_100), "another machine");
        assert!(!excuses(Some("here"), NetworkId([9; 32]), key, 1_100) && !excuses(Some("here"), network, BlsKey([9; 48]), 1_100));
    }
}
