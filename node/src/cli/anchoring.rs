//! How anchoring is put together from the configuration and the keys, and what of it is shown.

use std::sync::Arc;
use std::time::Duration;

use ao_arweave::pipeline::Budget;
use ao_types::{Genesis, SignatureType, Signer as _};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::exit::{Exit, Failure};
use crate::anchor::states::Policy;
use crate::anchor::{Anchoring, Setup};
use crate::config::Config;
use crate::handle::Node;
use crate::keys::{Error, Keys, Role};
use crate::metrics::Metrics;

/// Threads that nothing but anchoring runs on: it holds up nobody who asks over HTTP, and what it costs is seen by their name. They end,
/// with whatever still runs on them, when this is dropped.
pub struct Threads(Option<Runtime>);

/// Threads for what blocks: the store, and bundles that are put together and compared. More waits.
const BLOCKING: usize = 8;
/// A thread that has nothing to do ends after so long: later than the next look comes, so that its time is not lost to who adds it up.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

impl Threads {
    fn start() -> Result<Self, Failure> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(BLOCKING).thread_keep_alive(KEEP_ALIVE).thread_name("anchor");
        super::runtime(builder).map(|runtime| Self(Some(runtime)))
    }

    /// Runs it there.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        self.0.as_ref().map(|runtime| runtime.spawn(task))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not waited for: this may be dropped where nothing may wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Anchoring as configured, and the threads it is to run on; `None` where no gateway is.
///
/// # Errors
/// Nobody can pay, or the system gives no threads or no HTTP client.
pub fn start(
    config: &Config,
    keys: &Keys,
    node: &Node,
    genesis: Option<&Genesis>,
    metrics: &Metrics,
) -> Result<Option<(Anchoring, Threads)>, Failure> {
    let arweave = &config.arweave;
    if arweave.gateways.is_empty() {
        return Ok(None);
    }
    let wallet = if arweave.bundlers.is_empty() { Some(wallet(keys)?) } else { None };
    let (of, metrics) = (node.clone(), metrics.clone());
    let policy =
        Policy { every: arweave.checkpoint_interval.0, slots: arweave.checkpoint_slots, evaluation: arweave.checkpoint_evaluation.0 };
    let setup = Setup {
        gateways: arweave.gateways.clone(),
        services: arweave.bundlers.clone(),
        service_keys: arweave.bundler_keys.clone(),
        wallet,
        scheduler: Arc::new(keys.with_role(Role::Scheduler)?),
        schedulers: genesis.into_iter().flat_map(Genesis::all_schedulers).map(|(scheduler, _)| scheduler).collect(),
        network: node.network_id(),
        store: node.shared_store(),
        here: node.plain_store(),
        digests: node.digests(),
        clock: node.clock(),
        budget: Budget { day_max: arweave.spend_cap_per_day.0, floor: arweave.balance_floor.0 },
        confirmations: arweave.confirmations,
        patience: arweave.interval.0,
        tip_every: arweave.look_every.0,
        metrics: metrics.clone(),
        told: Arc::new(move |process, slot| of.anchored(process, slot)),
        states: Some((node.clone(), policy)),
    };
    let threads = Threads::start()?;
    // What it starts, it starts there.
    let within = threads.0.as_ref().map(|runtime| runtime.enter());
    let anchoring = Anchoring::start(setup).map_err(|error| Failure::new(Exit::Exhausted, error.to_string()))?;
    gauges(&anchoring, &metrics).map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    drop(within);
    Ok(Some((anchoring, threads)))
}

/// The wallet that pays. Arweave knows RSA wallets.
fn wallet(keys: &Keys) -> Result<Arc<dyn ao_types::Signer>, Failure> {
    let fix = "make one with `aonode keys new --kind rsa --role anchor` and send it AR; or set arweave.bundlers, or no arweave.gateways";
    let wallet = keys.with_role(Role::Anchor).map_err(|error| match error {
        error @ Error::NoRole { .. } => {
            Failure::new(Exit::Precondition, format!("arweave.gateways is set and nobody pays: {error}")).fix(fix)
        }
        error => error.into(),
    })?;
    if wallet.signature_type() != SignatureType::Arweave {
        let what = format!("the wallet with the role `anchor`, {}, is no RSA wallet: Arweave takes no payment from it", wallet.address());
        return Err(Failure::new(Exit::Precondition, what).fix(fix));
    }
    Ok(Arc::new(wallet))
}

/// What is read when somebody looks.
fn gauges(anchoring: &Anchoring, metrics: &Metrics) -> prometheus::Result<()> {
    let view = || anchoring.view();
    let of = view();
    metrics.ask("aonode_anchor_lag_seconds", "How long the oldest slot waits that is confirmed and not anchored.", move || {
        of.lag_ms() as f64 / 1e3
    })?;
    let of = view();
    metrics.ask("aonode_anchor_balance_winston", "What is in the wallet that pays; 0 before anybody looked.", move || {
        of.balance().unwrap_or(0) as f64
    })?;
    let of = view();
    metrics.ask("aonode_anchor_spent_winston", "What was signed away on the last day on which anything was.", move || {
        of.standing().summary.map_or(0.0, |summary| summary.spent.winston as f64)
    })?;
    let of = view();
    metrics.ask("aonode_anchor_unsettled_bytes", "Bytes in shipments that are on their way to Arweave.", move || {
        let settled = |name: &str| name == "settled";
        let stages = of.standing().summary.map(|summary| summary.stages).unwrap_or_default();
        stages.iter().filter(|stage| !settled(stage.0)).map(|stage| stage.3 as f64).sum()
    })?;
    let of = view();
    metrics.ask("aonode_anchor_backlog_slots", "Confirmed slots that are in no shipment, as far as was looked.", move || {
        of.backlog().slots as f64
    })
}
