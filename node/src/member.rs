//! What makes a node part of a network: the genesis it is bound to, its own key, and what it may sign with.
//!
//! A node whose `keys/bls` holds a key of the genesis committee attests with it, after its slashing protection is open and nobody else on
//! this machine signs for that key. Any other node follows. Owns that order; refuses to start where signing would not be safe.

use std::sync::Arc;

use ao_consensus::SecretKey as _;
use ao_consensus::bls::BlsSecret;
use ao_types::{BlsKey, Genesis, NetworkId, PeerId};
use zeroize::Zeroizing;

use crate::datadir::{self, Layout};
use crate::keys::keystore::Password;
use crate::keys::{self, Keys, node};
use crate::protection::{self, Claim, DurableProtection};

/// Why a node cannot be part of its network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] datadir::Error),
    /// A key.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The protection.
    #[error(transparent)]
    Protection(#[from] protection::Error),
    /// Two keys of the committee in one directory. Exit code 3.
    #[error("{one} and {other} are both of this network's committee: one node attests with one key")]
    TwoKeys {
        /// A key.
        one: BlsKey,
        /// Another.
        other: BlsKey,
    },
    /// Another process signs with the key. Exit code 11.
    #[error("another process on this machine signs with {key}")]
    Claimed {
        /// Which.
        key: BlsKey,
    },
    /// The system refused.
    #[error("cannot claim {key}: {source}")]
    Claim {
        /// Which.
        key: BlsKey,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A node's part in its network.
#[derive(Debug)]
pub struct Member {
    /// The genesis that the data directory is bound to.
    pub genesis: Genesis,
    /// Its hash.
    pub network: NetworkId,
    /// Seed of the node's own key.
    pub node_seed: Zeroizing<[u8; 32]>,
    /// The name that belongs to it.
    pub peer: PeerId,
    /// What it attests with; `None`: it follows.
    pub attestor: Option<Attestor>,
}

/// What a node signs with, and what keeps it from contradicting itself.
#[derive(Debug)]
pub struct Attestor {
    /// The key.
    pub secret: Arc<BlsSecret>,
    /// Rows of everything it signed.
    pub protection: DurableProtection,
    /// Held as long as this process may sign.
    pub claim: Claim,
}

impl Member {
    /// What the data directory says; `None` for a node by itself. `password` opens the attestor's key where `secrets/` does not.
    ///
    /// # Errors
    /// Whatever makes it unsafe or impossible to take part.
    pub fn open(layout: &Layout, password: Option<&Password>) -> Result<Option<Self>, Error> {
        let Some((genesis, network)) = layout.pinned_genesis()? else { return Ok(None) };
        let keys = Keys::new(layout.clone());
        let node_seed = keys.node_seed()?;
        let peer = node::peer_id(&node_seed);
        let listed = keys.list_bls()?;
        let mut of_committee =
            listed.iter().map(|entry| entry.pubkey).filter(|key| genesis.validators.iter().any(|one| one.pubkey == *key));
        let attestor = match (of_committee.next(), of_committee.next()) {
            (None, _) => None,
            (Some(one), Some(other)) => return Err(Error::TwoKeys { one, other }),
            (Some(key), None) => Some(Attestor::open(layout, &keys, &network, &key, password)?),
        };
        Ok(Some(Self { genesis, network, node_seed, peer, attestor }))
    }
}

impl Attestor {
    fn open(layout: &Layout, keys: &Keys, network: &NetworkId, key: &BlsKey, password: Option<&Password>) -> Result<Self, Error> {
        let claim = Claim::take(network, key).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::Claimed { key: *key },
            _ => Error::Claim { key: *key, source },
        })?;
        let protection = DurableProtection::open(&layout.slashing(), Some(*network))?;
        protection.require(key)?;
        let secret = keys.load_bls(key, password)?;
        debug_assert_eq!(secret.public(), *key);
        Ok(Self { secret: Arc::new(secret), protection, claim })
    }
}
