//! `weave`: an Arweave of our own as a process: chain, gateways and bundling service, to develop and to test against.
//!
//! Everything it does is in `ao-weave`; this is arguments, a ready line, and the end. It listens on loopback only: its wallets are filled
//! on command and its faults are commands, which nobody else may give.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ao_types::{Id, Signer as _};
use ao_weave::keys::{self, FUNDED_WINSTON};
use ao_weave::station::StartError;
use ao_weave::store::StoreError;
use ao_weave::{Blocks, Config, Genesis, Weave};
use serde_json::json;

use super::args::WeaveArguments;
use super::context::Context;
use super::exit::{Exit, Failure, io_exit};
use super::run;
use super::signals::{Hangup, Signals};
use crate::demo::wallets;

/// `weave`.
pub fn weave(context: &mut Context<'_>, arguments: &WeaveArguments) -> Result<Exit, Failure> {
    drop(crate::logging::install("info", crate::config::Format::Pretty, false));
    let config = config(arguments)?;
    run::runtime()?.block_on(async {
        let mut signals = Signals::new(Hangup::Stop)?;
        let weave = Weave::start(config).await.map_err(failed)?;
        let gateways: Vec<String> = (0..arguments.gateways).map(|number| weave.gateway_url(number)).collect();
        let (genesis, height) = weave.station().chain(|chain| (chain.genesis().clone(), chain.tip().height));
        let record = json!({
            "url": weave.url(), "gateways": gateways, "network": genesis.network, "seed": genesis.seed, "height": height,
            "persist": arguments.persist, "pid": std::process::id(),
        });
        context.printer.event("weave/v1", record, || {
            let list = gateways.join("\n  ");
            format!(
                "an Arweave of our own is ready at height {height}, seed {}\n  {list}\nTry: curl {}/info   curl -X POST {}/dev/mine\nCtrl-C stops it.",
                genesis.seed,
                weave.url(),
                weave.url()
            )
        })?;
        let exit = signals.next_stop().await;
        weave.stop().await;
        Ok(exit)
    })
}

/// The embedded chain of a development node or network: its well-known wallets have AR there. Must be called within a runtime.
///
/// # Errors
/// The port is taken, or the file is in use or another chain's.
pub async fn embedded(port: u16, journal: Option<PathBuf>) -> Result<Weave, Failure> {
    let block_interval = crate::config::sections::Chain::default().block_interval;
    let arguments =
        WeaveArguments { port, gateways: 1, persist: journal, block_interval, instant: false, manual: false, seed: 0, fund: Vec::new() };
    Weave::start(config(&arguments)?).await.map_err(failed)
}

/// What the arguments say. A block's time and the genesis come from the clock once, at the beginning of a chain.
fn config(arguments: &WeaveArguments) -> Result<Config, Failure> {
    let blocks = match (arguments.manual, arguments.instant) {
        (true, _) => Blocks::Manual,
        (_, true) => Blocks::Instant,
        _ if arguments.block_interval.0.is_zero() => {
            return Err(Failure::usage("--block-interval: a block takes some time").fix("use --manual"));
        }
        _ => Blocks::Every(arguments.block_interval.0),
    };
    let bug = |error: String| Failure::new(Exit::Bug, error);
    let known = wallets::wallets(wallets::NETWORK).map_err(|error| bug(error.to_string()))?;
    let own = keys::funded().map_err(|error| bug(error.to_string()))?;
    let known = known.iter().map(|wallet| wallet.address()).chain([own.address()]).filter_map(|address| address.as_id());
    let funded = known.chain(arguments.fund.iter().copied()).map(|address: Id| (address, FUNDED_WINSTON)).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    Ok(Config {
        genesis: Genesis { seed: arguments.seed, timestamp: now, ..Genesis::default() },
        funded,
        journal: arguments.persist.clone(),
        blocks,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)),
        gateways: arguments.gateways,
        ..Config::default()
    })
}

fn failed(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Listen { error, .. } | StartError::Store(StoreError::Io { error, .. }) => io_exit(error),
        StartError::Store(StoreError::Locked(_)) | StartError::Other { .. } => Exit::Precondition,
        StartError::Store(StoreError::Broken { .. }) => Exit::Corruption,
        StartError::Gateways(_) => Exit::Usage,
        StartError::Key(_) => Exit::Bug,
    };
    Failure::new(exit, error.to_string())
}
