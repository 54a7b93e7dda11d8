//! Sockets and the clock: listens, mines by time or on arrival, and stops.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_types::Id;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::event::Genesis;
use crate::http::{App, router};
use crate::limits::{CHUNK_BYTES_HELD_MAX, REQUESTS_MAX};
use crate::station::{Command, Error, StartError, Station};

/// When blocks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// On command.
    Manual,
    /// When something is posted, at once.
    Instant,
    /// Every so often.
    Every(Duration),
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain's beginning; of a journal that is there, only the network must be the same.
    pub genesis: Genesis,
    /// Wallets that have winston from the beginning.
    pub funded: Vec<(Id, u128)>,
    /// Where the chain is kept; nowhere if `None`.
    pub journal: Option<PathBuf>,
    /// When blocks come.
    pub blocks: Blocks,
    /// Where the first gateway listens; the others get ports of their own on the same address.
    pub listen: SocketAddr,
    /// How many gateways show the chain.
    pub gateways: usize,
    /// Bytes of chunks that are held.
    pub chunk_bytes_max: u64,
}

impl Default for Config {
    /// In memory, on a free port of this machine, with one gateway and blocks on command.
    fn default() -> Self {
        Self {
            genesis: Genesis::default(),
            funded: Vec::new(),
            journal: None,
            blocks: Blocks::Manual,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            gateways: 1,
            chunk_bytes_max: CHUNK_BYTES_HELD_MAX,
        }
    }
}

/// What handlers and the miner share.
pub(crate) struct Shared {
    pub station: Station,
    blocks: watch::Sender<Blocks>,
    arrivals: Notify,
}

impl Shared {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_millis() as u64)
    }

    /// Something was posted.
    pub fn arrived(&self) {
        self.arrivals.notify_one();
    }

    /// Does what is commanded.
    pub async fn command(self: Arc<Self>, command: Command) -> Result<Value, Error> {
        if let Command::Auto { interval } = command {
            let blocks = if interval == 0 { Blocks::Manual } else { Blocks::Every(Duration::from_millis(interval)) };
            self.blocks.send_replace(blocks);
            return Ok(json!({ "ok": true }));
        }
        let now = self.now_ms() / 1000;
        let done = tokio::task::spawn_blocking(move || self.station.command(command, now)).await;
        done.map_err(|error| Error::Command(error.to_string()))?
    }
}

/// A running chain. Dropping it stops it; [`Weave::stop`] also waits until it has.
pub struct Weave {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Weave {
    /// Starts a chain.
    ///
    /// # Errors
    /// Its journal or its listener.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { genesis, funded, journal, blocks, listen, gateways, chunk_bytes_max } = config;
        let opened = tokio::task::spawn_blocking(move || Station::open(genesis, &funded, journal.as_deref(), gateways, chunk_bytes_max));
        let failed = |error: std::io::Error| StartError::Listen { address: listen, error };
        let station = opened.await.map_err(|error| failed(std::io::Error::other(error)))??;
        let shared = Arc::new(Shared { station, blocks: watch::Sender::new(blocks), arrivals: Notify::new() });
        let (stop, stopped) = watch::channel(false);
        let running = Arc::new(Semaphore::new(REQUESTS_MAX));
        let mut weave = Self { shared, addresses: Vec::new(), stop, tasks: Vec::new() };
        for gateway in 0..gateways {
            let address = if gateway == 0 { listen } else { SocketAddr::new(listen.ip(), 0) };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            weave.addresses.push(listener.local_addr().map_err(failed)?);
            let window = Arc::new(crate::http::Window::new());
            let app = router(App { shared: weave.shared.clone(), gateway, running: running.clone(), window });
            weave.tasks.push(tokio::spawn(serve(listener, app, stopped.clone())));
        }
        weave.tasks.push(tokio::spawn(mine_by_time(weave.shared.clone(), stopped)));
        Ok(weave)
    }

    /// Base address of the first gateway, without a slash at its end.
    pub fn url(&self) -> String {
        self.gateway_url(0)
    }

    /// Base address of a gateway, from 0; empty if there are fewer.
    pub fn gateway_url(&self, number: usize) -> String {
        self.addresses.get(number).map(|address| format!("http://{address}")).unwrap_or_default()
    }

    /// The chain behind it.
    pub fn station(&self) -> &Station {
        &self.shared.station
    }

    /// Does what `/dev` can be asked for.
    ///
    /// # Errors
    /// It cannot be done.
    pub async fn command(&self, command: Command) -> Result<Value, Error> {
        self.shared.clone().command(command).await
    }

    /// Mines blocks, their time being now; when this returns, the bundles in them are indexed.
    ///
    /// # Errors
    /// The chain is full.
    pub async fn mine(&self, n: u64) -> Result<(), Error> {
        self.command(Command::Mine { n, timestamp: None }).await.map(drop)
    }

    /// Stops listening and mining, and waits for it.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
    }
}

impl Drop for Weave {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(listener: TcpListener, app: axum::Router, mut stopped: watch::Receiver<bool>) {
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let mut cut = stopped.clone();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        ended(&mut stopped).await;
    });
    // Open connections may be held for ever by their clients, or by a fault: they are cut.
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::error!("the listener failed: {error}");
            }
        }
        () = ended(&mut cut) => {}
    }
}

/// Waits until all is to end.
async fn ended(stopped: &mut watch::Receiver<bool>) {
    // An error says that the handle is gone: that is an end as well.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

async fn mine_by_time(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut changes = shared.blocks.subscribe();
    loop {
        let blocks = *changes.borrow_and_update();
        let due = async {
            match blocks {
                Blocks::Manual => std::future::pending().await,
                Blocks::Instant => shared.arrivals.notified().await,
                Blocks::Every(interval) => tokio::time::sleep(interval).await,
            }
        };
        tokio::select! {
            () = ended(&mut stopped) => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = due => {
                if let Err(error) = shared.clone().command(Command::Mine { n: 1, timestamp: None }).await {
                    tracing::error!("no block: {error}");
                    shared.blocks.send_replace(Blocks::Manual);
                }
            }
        }
    }
}
