//! From a genesis and this node's keys to its membership in the network.

use std::sync::Arc;
use std::time::Instant;

use ao_consensus::bls::Bls;
use ao_consensus::bls::BlsSecret;
use ao_consensus::pace::Costs;
use ao_consensus::scheme::{SchemeError, check_genesis, prove_possession, verify_possession};
use ao_consensus::{OriginUpdate, Rosters, Scheme, SecretKey};
use ao_types::{Genesis, GenesisError, PeerId};

use super::engines;
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
    /// A number that the engine does not have, or not of that size.
    #[error("{0}")]
    Params(String),
    /// A key of a validator that is none.
    #[error("a validator's key: {0}")]
    Key(#[from] SchemeError),
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
    let found = engines::named(name).ok_or_else(|| MembershipError::Engine {
        found: name.clone(),
        known: engines::ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", "),
    })?;
    found.check(&genesis.consensus.params).map_err(MembershipError::Params)?;
    let costly = found.certifies;
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
        engine: Arc::new(found.make),
        heard: found.heard,
        scheme: scheme.clone(),
        peer,
        attestor,
        protection,
        watch: None,
        orders,
        costs: if costly { measured(&*scheme)? } else { Costs::default() },
    };
    let mut rosters = Rosters::new(network, scheme, membership.secret());
    rosters.insert(committee)?;
    membership.rosters = Arc::new(rosters);
    Ok(membership)
}

/// What signing and checking cost on this machine, the best of a few tries, so that a busy moment at start does not slow a node for its life.
fn measured(scheme: &dyn Scheme) -> Result<Costs, SchemeError> {
    const TRIES: usize = 3;
    // Of a check alone, the part that it costs among several (`consensus.md` §13).
    const BATCHED_PERCENT: u64 = 62;
    let secret = BlsSecret::from_seed([1; 32])?;
    let (mut sign_us, mut check_us) = (u64::MAX, u64::MAX);
    for _ in 0..TRIES {
        let began = Instant::now();
        let signature = prove_possession(&secret, "what it costs");
        let signed = Instant::now();
        let holds = verify_possession(scheme, &secret.public(), &signature, "what it costs");
        debug_assert!(holds);
        sign_us = sign_us.min(signed.duration_since(began).as_micros() as u64);
        check_us = check_us.min(signed.elapsed().as_micros() as u64);
    }
    let costs = Costs { attest_us: sign_us + check_us * BATCHED_PERCENT / 100, own_us: check_us };
    tracing::info!(event = "bls_measured", sign_us, check_us, "what an attestation and a check cost here; frames are apart accordingly");
    Ok(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_something() {
        let Costs { attest_us, own_us } = measured(&Bls).unwrap();
        assert!(attest_us > 0 && own_us > 0);
    }
}
