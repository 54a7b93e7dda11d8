//! From a genesis and this node's keys to its membership in the network.

use std::sync::Arc;

use ao_consensus::bls::Bls;
use ao_consensus::scheme::check_genesis;
use ao_consensus::{OriginUpdate, Rosters, SecretKey};
use ao_types::{Genesis, GenesisError, PeerId};

use super::engines;
use crate::limits::FRAME_INTERVAL_MS;
use crate::network::seam::Orders;
use crate::shell::membership::{Keeper, Membership};

/// Why a genesis makes no network for this build.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The file.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// An engine that this build does not have.
    #[error("consensus.plugin is `{found}`; this build knows {known}")]
    Engine {
        /// As named.
        found: String,
        /// What there is.
        known: String,
    },
    /// A key of a validator that is none.
    #[error("a validator's key: {0}")]
    Key(#[from] ao_consensus::scheme::SchemeError),
    /// The key is no validator's of this network.
    #[error("the attestor's key {key} is no validator of this network: start without it, or with the genesis that names it")]
    NoValidator {
        /// Which.
        key: ao_types::BlsKey,
    },
}

/// Makes a node's membership. `attestor` is the key that it signs with, if it does.
///
/// # Errors
/// A genesis that does not hold, an engine that this build does not know, a key that the genesis does not name.
pub fn membership(
    genesis: Genesis,
    peer: PeerId,
    attestor: Option<Arc<dyn SecretKey>>,
    protection: Arc<dyn Keeper>,
    orders: Orders,
) -> Result<Membership, MembershipError> {
    let scheme = Arc::new(Bls);
    let network = check_genesis(&genesis, &*scheme)?;
    let committee = genesis.committee()?;
    let name = &genesis.consensus.plugin;
    let engine = engines::named(name).map(|engine| engine.make).ok_or_else(|| MembershipError::Engine {
        found: name.clone(),
        known: engines::ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", "),
    })?;
    if let Some(key) = attestor.as_ref().map(|key| key.public()).filter(|key| committee.index_of(key).is_none()) {
        return Err(MembershipError::NoValidator { key });
    }
    let origin = OriginUpdate::genesis(&genesis, committee.root());
    let (committee, genesis) = (Arc::new(committee), Arc::new(genesis));
    let mut membership = Membership {
        network,
        rosters: Arc::new(Rosters::new(network, scheme.clone(), [0; 32])),
        committee: committee.clone(),
        genesis,
        origin,
        engine,
        scheme: scheme.clone(),
        peer,
        attestor,
        protection,
        orders,
        frame_interval_ms: FRAME_INTERVAL_MS,
    };
    let mut rosters = Rosters::new(network, scheme, membership.secret());
    rosters.insert(committee)?;
    membership.rosters = Arc::new(rosters);
    Ok(membership)
}
