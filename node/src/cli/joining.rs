//! How a node of a network is put together: its membership before it starts, its connections once it runs.

use std::path::Path;
use std::sync::Arc;

use ao_consensus::SecretKey;
use ao_consensus::protection::memory::MemoryProtection;
use ao_types::{Genesis, NetworkId};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::exit::{Exit, Failure};
use crate::config::sections::P2p;
use crate::handle::Node;
use crate::http::App;
use crate::member::{Attestor, Member};
use crate::network;
use crate::network::seam::{Order, Orders};
use crate::protection::Claim;
use crate::shell;
use crate::shell::membership::{Keeper, Membership};
use crate::wiring::membership::membership;

/// A node on its way into its network.
pub struct Joining {
    genesis: Genesis,
    network: NetworkId,
    seed: Zeroizing<[u8; 32]>,
    orders: mpsc::Receiver<Order>,
    claim: Option<Claim>,
}

/// A node that is part of its network.
pub struct Joined {
    running: network::Running,
    // Held as long as anything may be signed.
    _claim: Option<Claim>,
}

impl Joining {
    /// What the core is started with, and what is needed afterwards.
    ///
    /// # Errors
    /// A genesis that this build cannot be part of, a key that it does not name.
    pub fn prepare(member: Member) -> Result<(Self, Membership), Failure> {
        let Member { genesis, network, node_seed, peer, attestor } = member;
        let (mut key, mut claim) = (None, None);
        // A node that does not sign is bound by nothing.
        let mut protection: Arc<dyn Keeper> = Arc::new(Mutex::new(MemoryProtection::new()));
        if let Some(attestor) = attestor {
            let Attestor { secret, protection: durable, claim: held } = attestor;
            protection = Arc::new(Mutex::new(durable));
            (key, claim) = (Some(secret as Arc<dyn SecretKey>), Some(held));
        }
        let (orders, taken) = Orders::channel();
        let membership = membership(genesis.clone(), peer, key, protection, orders)
            .map_err(|error| Failure::new(Exit::Precondition, error.to_string()))?;
        Ok((Self { genesis, network, seed: node_seed, orders: taken, claim }, membership))
    }

    /// Opens the node to its network. Must be called within a runtime.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn connect(self, section: &P2p, root: &Path, node: &Node, app: &App) -> Result<Joined, Failure> {
        let refused = |error: String| Failure::new(Exit::Precondition, error).fix("see the section [p2p] of `aonode config show`");
        let clock: shell::Now = Arc::new(shell::wall_clock);
        let settings =
            network::settings_of(section, &self.genesis, self.network, &self.seed, root, clock).map_err(|bad| refused(bad.to_string()))?;
        let (handle, running) = network::start(settings, node.shared_store(), self.orders, Arc::new(node.clone()))
            .map_err(|error| refused(error.to_string()))?;
        app.set_network(handle);
        Ok(Joined { running, _claim: self.claim })
    }
}

impl Joined {
    /// Leaves the network: no more frames come or go.
    pub async fn leave(self) {
        self.running.stop().await;
    }
}
