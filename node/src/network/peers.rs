//! What is kept of peers over restarts: bans, and whom to dial first.
//!
//! A file, not a table: an operator may read it, and may delete it. A file that cannot be read is a warning, never a reason not to start.

use std::path::{Path, PathBuf};

use ao_p2p::{Ban, BanReason, Config, KnownPeer, PeerId};
use serde::{Deserialize, Serialize};

use super::limits::PEERS_FILE_BYTES_MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rows {
    #[serde(default)]
    bans: Vec<BanRow>,
    #[serde(default)]
    anchors: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BanRow {
    peer: String,
    reason: String,
    /// Unix time, seconds.
    until: u64,
    earlier: u8,
}

/// `peers.json` of the data directory.
#[derive(Debug)]
pub struct PeersFile {
    path: Option<PathBuf>,
    bans: Vec<Ban>,
    anchors: Vec<KnownPeer>,
}

impl PeersFile {
    /// Reads it; empty if there is none.
    pub fn open(path: Option<PathBuf>) -> Self {
        let rows = path.as_deref().and_then(|path| {
            read(path).unwrap_or_else(|reason| {
                tracing::warn!(event = "peers_file", path = %path.display(), "{reason}; bans and anchors of the last run are forgotten");
                None
            })
        });
        let Rows { bans, anchors } = rows.unwrap_or_default();
        let bans = bans.into_iter().filter_map(|row| {
            let (peer, reason) = (row.peer.parse::<PeerId>().ok()?, BanReason::parse(&row.reason)?);
            Some(Ban { peer, reason, until: row.until, earlier: row.earlier })
        });
        let (bans, mut known) = (bans.collect(), Vec::<KnownPeer>::new());
        for one in anchors.iter().filter_map(|text| text.parse::<KnownPeer>().ok()) {
            match known.iter_mut().find(|other| other.peer == one.peer) {
                Some(other) => other.addresses.extend(one.addresses),
                None => known.push(one),
            }
        }
        Self { path, bans, anchors: known }
    }

    /// Gives what it knows to a network that starts.
    pub fn apply(&self, config: &mut Config) {
        config.bans.extend(self.bans.iter().cloned());
        config.anchors.extend(self.anchors.iter().cloned());
    }

    /// A peer is banned.
    pub fn banned(&mut self, ban: Ban) {
        self.bans.retain(|known| known.peer != ban.peer);
        self.bans.push(ban);
        self.save();
    }

    /// A ban is over.
    pub fn unbanned(&mut self, peer: PeerId) {
        self.bans.retain(|known| known.peer != peer);
        self.save();
    }

    /// Whom to dial first after a restart.
    pub fn anchors(&mut self, anchors: Vec<KnownPeer>) {
        if anchors != self.anchors {
            self.anchors = anchors;
            self.save();
        }
    }

    fn save(&self) {
        let Some(path) = &self.path else { return };
        let bans = self.bans.iter().map(|ban| BanRow {
            peer: ban.peer.to_string(),
            reason: ban.reason.as_str().to_owned(),
            until: ban.until,
            earlier: ban.earlier,
        });
        let anchors = self.anchors.iter().flat_map(|known| known.addresses.iter().map(|address| address.with_peer(known.peer).to_string()));
        let rows = Rows { bans: bans.collect(), anchors: anchors.collect() };
        if let Err(error) = crate::datadir::write_json(path, &rows) {
            tracing::warn!(event = "peers_file", path = %path.display(), "cannot be written: {error}; free room, or see who owns it");
        }
    }
}

fn read(path: &Path) -> Result<Option<Rows>, String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(found) if found.len() > PEERS_FILE_BYTES_MAX => {
            return Err(format!("{} bytes; it has at most {PEERS_FILE_BYTES_MAX}", found.len()));
        }
        Ok(_) => {}
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use ao_p2p::{NodeKey, Offence};

    use super::*;

    fn peer(seed: u8) -> PeerId {
        NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap()
    }

    #[test]
    fn bans_and_anchors_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.json");
        let mut file = PeersFile::open(Some(path.clone()));
        let ban = |seed, earlier| Ban { peer: peer(seed), reason: BanReason::Offence(Offence::Flood), until: 99, earlier };
        file.banned(ban(1, 0));
        file.banned(ban(2, 0));
        file.banned(ban(1, 1));
        file.unbanned(peer(2));
        let anchor = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        file.anchors(vec![KnownPeer { peer: peer(3), addresses: vec![anchor(1), anchor(2)] }]);
        let again = PeersFile::open(Some(path.clone()));
        assert_eq!(again.bans, [ban(1, 1)]);
        assert_eq!(again.anchors.len(), 1);
        assert_eq!(again.anchors[0].addresses.len(), 2);
        let mut config = Config::new([0; 32], NodeKey::generate());
        again.apply(&mut config);
        assert_eq!((config.bans.len(), config.anchors.len()), (1, 1));
        std::fs::write(&path, "not json").unwrap();
        assert!(PeersFile::open(Some(path)).bans.is_empty());
    }
}
