//! Who the nodes of a run are: their keys, their genesis, their membership. With the scheme that costs nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::scheme::SecretKey;
use ao_consensus::{OriginUpdate, Rosters, Setup};
use ao_types::{Address, BlsKey, Committee, Epoch, Genesis, Member, NetworkId, PeerId, Signer as _, Stake, Wallet};
use bytes::Bytes;

use crate::network::seam::Orders;
use crate::shell::membership::{Keeper, Maker, Membership};
use crate::sim::check::Violation;
use crate::sim::plan::Plan;
use crate::sim::tap::{Heard, Tap};

/// A node's name.
pub fn peer(n: usize) -> PeerId {
    PeerId(Bytes::from(vec![n as u8 + 1; 8]))
}

/// A scheduler's wallet.
pub fn wallet(n: usize) -> Wallet {
    Wallet::ed25519_from_seed(&[20 + n as u8; 32])
}

/// Whose name this is.
pub fn member_of(peer: &PeerId) -> Option<usize> {
    usize::from(*peer.0.first()?).checked_sub(1)
}

/// An attestor's key.
pub fn secret(n: usize) -> CheapSecret {
    CheapSecret::new(n as u64 + 1)
}

/// What all nodes of a run have in common.
pub struct Common {
    /// Its hash.
    pub network: NetworkId,
    /// To check what anybody says.
    pub rosters: Arc<Rosters>,
    /// Epoch 0.
    pub committee: Arc<Committee>,
    /// Keys of those who do not keep the rules.
    pub bad_keys: BTreeSet<BlsKey>,
    /// Wallets of those who do not.
    pub bad_schedulers: BTreeSet<Address>,
    genesis: Arc<Genesis>,
    origin: OriginUpdate,
    make: Maker,
}

impl Common {
    /// Of a plan, with engines that `make` makes.
    pub fn of(plan: &Plan, make: Maker) -> Result<Self, Violation> {
        let stake = |n: usize| Stake(plan.stakes.get(n).copied().unwrap_or(1).into());
        let member = |n: usize| Member { key: secret(n).public(), stake: stake(n), address: wallet(n).address(), peer: peer(n) };
        let committee = Committee::new(Epoch(0), (0..plan.nodes()).map(member).collect()).map_err(|error| wrong(error.to_string()))?;
        let genesis = serde_json::json!({
            "version": 1, "name": "simulation", "chain_id": "simulation", "time": 1_000, "dev": true,
            "consensus": { "plugin": plan.engine, "epoch_len": 1_000_000 },
            "staking": {}, "limits": { "fuel": 1, "memory": 1, "message_max": 1 }, "gas_schedule": 1,
            "validators": (0..plan.nodes()).map(|n| serde_json::json!({
                "pubkey": secret(n).public(), "pop": secret(n).sign(b""), "stake": stake(n),
                "operator": wallet(n).address(), "peer_id": peer(n),
            })).collect::<Vec<_>>(),
            "anchor": { "tag": "t", "interval_ms": 1, "confirmations": 1 },
        });
        let genesis: Genesis = serde_json::from_value(genesis).map_err(|error| wrong(error.to_string()))?;
        let network = genesis.network_id().map_err(|error| wrong(error.to_string()))?;
        let rosters = Rosters::new(network, Arc::new(Cheap), [7; 32]);
        let rosters = rosters.with([committee.clone()]).map_err(|error| wrong(error.to_string()))?;
        let bad = || plan.byzantine.iter().map(|bad| bad.node);
        Ok(Self {
            network,
            rosters: Arc::new(rosters),
            bad_keys: bad().map(|n| secret(n).public()).collect(),
            bad_schedulers: bad().map(|n| wallet(n).address()).collect(),
            origin: OriginUpdate::genesis(&genesis, committee.root()),
            genesis: Arc::new(genesis),
            committee: Arc::new(committee),
            make,
        })
    }

    /// A node's membership; `attestor` signs for it, `heard` hears its engine.
    pub fn membership(&self, n: usize, attestor: Option<Arc<dyn SecretKey>>, keeper: Arc<dyn Keeper>, heard: Heard) -> Arc<Membership> {
        let make = self.make.clone();
        let engine: Maker = Arc::new(move |setup: Setup| Ok(Tap::on(make(setup)?, heard.clone())));
        Arc::new(Membership {
            network: self.network,
            origin: self.origin.clone(),
            genesis: self.genesis.clone(),
            committee: self.committee.clone(),
            rosters: self.rosters.clone(),
            engine,
            scheme: Arc::new(Cheap),
            peer: peer(n),
            attestor,
            protection: keeper,
            watch: None,
            heard: |_| None,
            orders: Orders::channel().0,
            // The scheme costs nothing.
            costs: Default::default(),
        })
    }

    /// An engine with a member's key that is in no node, as it is at its first start.
    pub fn stray_engine(&self, n: usize, height: u64, now: ao_consensus::Timestamp) -> Result<Box<dyn ao_consensus::Consensus>, String> {
        let mut engine = (self.make)(Setup {
            network: self.network,
            scheme: Arc::new(Cheap),
            signer: Some(Arc::new(secret(n))),
            own: None,
            peer: peer(n),
            secret: [n as u8; 32],
            params: self.genesis.consensus.params.clone(),
            records: Vec::new(),
            guards: Vec::new(),
            confirmed: Vec::new(),
            decided: 0,
        })?;
        let tip = ao_consensus::Tip { height, since: now };
        let first = [
            ao_consensus::Input::Committee(self.committee.clone()),
            ao_consensus::Input::Origin(Box::new(self.origin.clone())),
            ao_consensus::Input::Tip(tip),
        ];
        first.into_iter().for_each(|input| engine.handle(now, input, &mut Vec::new()));
        Ok(engine)
    }
}

fn wrong(what: String) -> Violation {
    Violation::new("simulator", what)
}
