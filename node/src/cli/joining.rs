//! How a node of a network is put together: its membership before it starts, its connections once it runs.

use std::sync::Arc;
use std::time::Duration;

use ao_consensus::SecretKey;
use ao_consensus::protection::memory::MemoryProtection;
use ao_types::{Genesis, NetworkId};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::exit::{Exit, Failure};
use crate::config::Config;
use crate::config::sections::{self as config, SyncMode};
use crate::datadir::Layout;
use crate::handle::Node;
use crate::http::App;
use crate::limits::{DOPPELGANGER_WAIT, DOPPELGANGER_WAIT_DEV, SIGNER_LOOK_MS};
use crate::member::{Attestor, Member};
use crate::metrics::Metrics;
use crate::network;
use crate::network::seam::{NoStates, Order, Orders, States};
use crate::protection::marker::{self, Marker};
use crate::protection::watch::{self, Phase};
use crate::protection::{Claim, Watch};
use crate::shell;
use crate::shell::membership::Membership;
use crate::snapshot::joiner::{Belief, Joiner};
use crate::snapshot::serve::Library;
use crate::snapshot::shelf::Shelf;
use crate::snapshot::{Root, maker};
use crate::states::keeper::Keeper;
use crate::wiring::membership::{MembershipError, membership};

/// A node on its way into its network.
pub struct Joining {
    genesis: Genesis,
    network: NetworkId,
    seed: Zeroizing<[u8; 32]>,
    orders: mpsc::Receiver<Order>,
    signer: Option<Signer>,
}

/// A node that is part of its network.
pub struct Joined {
    running: network::Running,
    /// Collects certificates, writes snapshots.
    beside: JoinSet<()>,
    stop: CancellationToken,
    signer: Option<Signer>,
}

/// What a node that attests holds as long as anything may be signed.
pub struct Signer {
    watch: Arc<Watch>,
    network: NetworkId,
    _claim: Claim,
}

impl Signer {
    /// Everything that could sign has ended: the next start need not listen first, if this one did and signed since.
    pub fn ended(self, layout: &Layout) {
        if self.watch.phase() == Phase::Signing
            && let Err(error) = Marker::leave(layout, marker::machine(), self.network, self.watch.key(), shell::wall_clock())
        {
            tracing::warn!(event = "no_stop_marker", %error, "the next start listens before it signs");
        }
    }
}

impl Joining {
    /// What the core is started with, and what is needed afterwards.
    ///
    /// # Errors
    /// A genesis that this build cannot be part of, a key that it does not name; a marker of the last stop that cannot be taken away.
    pub fn prepare(member: Member, section: &config::Signer, layout: &Layout) -> Result<(Self, Membership), Failure> {
        let Member { genesis, network, node_seed, peer, attestor } = member;
        let (orders, taken) = Orders::channel();
        let refused = |error: MembershipError| Failure::new(Exit::Precondition, error.to_string());
        let make = |key, rows| membership(genesis.clone(), peer, key, rows, orders).map_err(refused);
        let Some(Attestor { secret, protection, claim }) = attestor else {
            // A node that does not sign is bound by nothing.
            let membership = make(None, Arc::new(Mutex::new(MemoryProtection::new())))?;
            return Ok((Self { genesis, network, seed: node_seed, orders: taken, signer: None }, membership));
        };
        let (key, started) = (secret.public(), shell::wall_clock());
        let wait = section.doppelganger.0.unwrap_or(if genesis.dev { DOPPELGANGER_WAIT_DEV } else { DOPPELGANGER_WAIT });
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let last = Marker::take(layout)?;
        let excused = last.is_some_and(|last| last.excuses(marker::machine().as_deref(), &network, &key, started, wait_ms / 2));
        let mut membership = make(Some(secret as Arc<dyn SecretKey>), Arc::new(Mutex::new(protection)))?;
        let watch = Arc::new(Watch::new(watch::Setup {
            key,
            rosters: membership.rosters.clone(),
            rows: membership.protection.clone(),
            wait_ms,
            excused,
            started,
            folder: marker::evidence_folder(layout.root()),
        }));
        membership.watch = Some(watch.clone());
        let signer = Some(Signer { watch, network, _claim: claim });
        Ok((Self { genesis, network, seed: node_seed, orders: taken, signer }, membership))
    }

    /// Opens the node to its network. Must be called within a runtime.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn connect(self, config: &Config, layout: &Layout, node: &Node, app: &App) -> Result<Joined, Failure> {
        let refused = |error: String| Failure::new(Exit::Precondition, error).fix("see the section [p2p] of `aonode config show`");
        let settings = network::settings_of(&config.p2p, &self.genesis, self.network, &self.seed, layout.root(), node.clock())
            .map_err(|bad| refused(bad.to_string()))?;
        let stop = CancellationToken::new();
        let shelf = Shelf::new(layout.snapshots());
        let voucher = node.voucher();
        let roots = config.sync.trust_roots.iter().map(|text| text.parse::<Root>()).collect::<Result<Vec<_>, _>>();
        let roots = roots.map_err(|wrong| Failure::new(Exit::Config, format!("sync.trust_roots: {wrong}")))?;
        let belief = voucher.as_ref().map(|voucher| Belief {
            network: self.network,
            rosters: voucher.membership.rosters.clone(),
            trust_period_ms: self.genesis.staking.trust_period_ms,
            roots,
        });
        let library = voucher.clone().map(|voucher| Library::new(voucher, shelf.clone(), config.sync.serve, node.clock()));
        let (states, wanted): (Arc<dyn States>, _) = match library {
            Some((library, wanted)) => (Arc::new(library), Some(wanted)),
            None => (Arc::new(NoStates), None),
        };
        let (handle, running) = network::start(settings, node.shared_store(), self.orders, Arc::new(node.clone()), &states)
            .map_err(|error| refused(error.to_string()))?;
        let mut beside = JoinSet::new();
        if let Some(voucher) = voucher {
            beside.spawn(Keeper::new(node.clone(), handle.clone(), voucher, node.certify_slots()).run(stop.clone()));
        }
        if let Some(wanted) = wanted {
            beside.spawn(maker::run(node.clone(), shelf.clone(), wanted, stop.clone()));
        }
        if let (SyncMode::Snapshot, Some(belief)) = (config.sync.mode, belief) {
            let partial = layout.snapshots().join("partial");
            let joiner = Joiner::new(node.clone(), handle.clone(), shelf, partial, belief, app.metrics.clone());
            beside.spawn(joiner.run(stop.clone()));
        }
        if let Some(signer) = &self.signer {
            app.set_watch(signer.watch.clone());
            tokio::spawn(look_after(signer.watch.clone(), node.clone(), handle.clone(), app.metrics.clone()));
        }
        app.set_network(handle);
        Ok(Joined { running, beside, stop, signer: self.signer })
    }
}

impl Joined {
    /// What the node does with its key, and every change of it; `None` if it has none.
    pub fn signing(&self) -> Option<tokio::sync::watch::Receiver<Phase>> {
        self.signer.as_ref().map(|signer| signer.watch.changes())
    }

    /// Leaves the network: no more frames come or go. What may still sign goes on to be held.
    pub async fn leave(mut self) -> Option<Signer> {
        self.stop.cancel();
        while self.beside.join_next().await.is_some() {}
        self.running.stop().await;
        self.signer
    }
}

/// Tells the watch what time it is, shows the countdown, and has the engine made anew when what it may sign has changed. Ends with the
/// runtime.
async fn look_after(watch: Arc<Watch>, node: Node, network: network::Handle, metrics: Metrics) {
    let (mut changes, mut shown) = (watch.changes(), u64::MAX);
    let mut tick = tokio::time::interval(Duration::from_millis(SIGNER_LOOK_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        watch.tick(shell::wall_clock(), network.connected().0 > 0, network.clock_ahead_ms());
        if changes.has_changed().unwrap_or(false) {
            changes.mark_unchanged();
            node.renew_engine();
        }
        let left_ms = if let Phase::Silent { left_ms } = watch.phase() { left_ms } else { 0 };
        metrics.doppelganger_wait_seconds.set(left_ms as f64 / 1_000.0);
        // Every ten seconds, and at the beginning.
        let tens = left_ms.div_ceil(10_000);
        if left_ms > 0 && tens != shown {
            tracing::info!(event = "doppelganger_check", left_ms, key = %watch.key(), "listening for this key before it signs");
        }
        shown = tens;
    }
}
