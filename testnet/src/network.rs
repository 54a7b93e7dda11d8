//! A network of real `aonode` processes on loopback, as `aonode testnet generate` makes it.
//!
//! Owns the folder and the processes: start, kill -9, pause, restart, and waiting until the nodes see each other. Ports are those of the
//! genesis, so they stay over restarts. Refuses to judge: what must hold afterwards is [`agree`], what is harmed and when is the test's
//! business. Everything ends with the [`Network`].

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::client::Client;
use crate::node::{Node, Setup};
use crate::{binary, wait};

pub mod agree;

/// Nodes that do not see each other within this never will.
const CONNECTED_WITHIN: Duration = Duration::from_secs(60);

/// How a network is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Validators, each with a scheduler of its own.
    pub nodes: usize,
    /// Who confirms: `attest`, `bft`.
    pub engine: String,
    /// Gateway of the Arweave that every node writes to, if any.
    pub arweave: Option<String>,
    /// Sets something of every node, by its place from 0.
    pub setup: fn(usize, Setup) -> Setup,
}

impl Plan {
    /// `nodes` of `engine`, as generated.
    pub fn new(engine: &str, nodes: usize) -> Self {
        Self { nodes, engine: engine.to_owned(), arweave: None, setup: |_, setup| setup }
    }

    /// With something set for every node.
    #[must_use]
    pub fn with(mut self, setup: fn(usize, Setup) -> Setup) -> Self {
        self.setup = setup;
        self
    }

    /// Writing to an Arweave.
    #[must_use]
    pub fn arweave(mut self, gateway: &str) -> Self {
        self.arweave = Some(gateway.to_owned());
        self
    }

    /// Makes the folder of every node; starts none.
    ///
    /// # Errors
    /// `aonode testnet generate` fails.
    pub async fn generate(&self) -> Result<Network> {
        let home = tempfile::tempdir()?;
        let folder = home.path().join("net");
        let nodes = self.nodes.to_string();
        let generate = ["testnet", "generate", "--validators", &nodes, "--plugin", &self.engine, "--port", "0", "--out"];
        let arweave = self.arweave.as_deref().unwrap_or("none");
        let made = aonode(&[&generate[..], &[folder.to_str().context("a path of text")?, "--arweave", arweave]].concat()).await?;
        let entries = made["nodes"].as_array().context("a network has nodes")?;
        let places = entries.iter().enumerate().map(|(at, entry)| {
            let text = |name: &str| entry[name].as_str().map(str::to_owned).with_context(|| format!("a node has {name}: {entry}"));
            let setup = Setup::new(folder.join(text("name")?)).service();
            let setup = ["API", "ADMIN", "METRICS"].iter().fold(setup, |setup, name| setup.without_env(&format!("AONODE_{name}__LISTEN")));
            Ok(Place { peer: text("peer")?, api: text("api")?, setup: (self.setup)(at, setup), node: None })
        });
        let places = places.collect::<Result<Vec<_>>>()?;
        let hash = made["genesis_hash"].as_str().context("a network has a hash")?.to_owned();
        Ok(Network { places, genesis_hash: hash, folder, _home: home })
    }

    /// Makes it, starts every node at once, and waits until each sees all others.
    ///
    /// # Errors
    /// One does not start, or they do not find each other.
    pub async fn start(&self) -> Result<Network> {
        let mut network = self.generate().await?;
        network.start_all().await?;
        network.connected().await?;
        Ok(network)
    }
}

/// Runs `aonode --output json …`; what it printed.
///
/// # Errors
/// It ended with an error: what it said.
pub async fn aonode(arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(binary::aonode()?);
    command.args(["--output", "json"]).args(arguments).stdin(Stdio::null()).env_remove("AONODE_DATADIR").kill_on_drop(true);
    let ended = command.output().await.context("cannot run aonode")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(ended.status.success(), "aonode {arguments:?}: {}: {}{}", ended.status, text(&ended.stdout), text(&ended.stderr));
    serde_json::from_slice(&ended.stdout).with_context(|| format!("aonode {arguments:?} prints JSON: {}", text(&ended.stdout)))
}

struct Place {
    peer: String,
    api: String,
    setup: Setup,
    /// While it runs.
    node: Option<Node>,
}

/// See the module documentation. Nodes are counted from 0; in their folders they are `n1` and so on.
pub struct Network {
    places: Vec<Place>,
    genesis_hash: String,
    folder: PathBuf,
    // Last: nodes end before their data go.
    _home: tempfile::TempDir,
}

impl Network {
    /// How many nodes it has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The hash that operators tell each other.
    pub fn genesis_hash(&self) -> &str {
        &self.genesis_hash
    }

    /// Its folder: `genesis.json`, `testnet.json` and a data directory for each node.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name by which other nodes know a node.
    pub fn peer(&self, at: usize) -> &str {
        &self.places[at].peer
    }

    /// Its public address, whether or not it runs.
    pub fn api(&self, at: usize) -> &str {
        &self.places[at].api
    }

    /// How it is started; may be changed before it is.
    pub fn setup_mut(&mut self, at: usize) -> &mut Setup {
        &mut self.places[at].setup
    }

    /// A running node.
    ///
    /// # Errors
    /// It does not run.
    pub fn node(&self, at: usize) -> Result<&Node> {
        self.places[at].node.as_ref().ok_or_else(|| anyhow!("n{} does not run", at + 1))
    }

    /// A client of a node, good over its restarts.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn client(&self, at: usize) -> Result<Client> {
        Client::new(self.api(at))
    }

    /// Clients of every node.
    ///
    /// # Errors
    /// An HTTP client cannot be made.
    pub fn clients(&self) -> Result<Vec<Client>> {
        (0..self.len()).map(|at| self.client(at)).collect()
    }

    /// Those that run, from 0.
    pub fn running(&self) -> Vec<usize> {
        (0..self.len()).filter(|at| self.places[*at].node.is_some()).collect()
    }

    /// Starts a node that does not run, and waits until it is ready.
    ///
    /// # Errors
    /// It runs already, or does not start.
    pub async fn start(&mut self, at: usize) -> Result<()> {
        let place = &mut self.places[at];
        ensure!(place.node.is_none(), "n{} runs already", at + 1);
        place.node = Some(place.setup.start().await.with_context(|| format!("n{}", at + 1))?);
        Ok(())
    }

    /// Starts all that do not run, at once.
    ///
    /// # Errors
    /// One does not start.
    pub async fn start_all(&mut self) -> Result<()> {
        let idle: Vec<_> = self.places.iter_mut().filter(|place| place.node.is_none()).collect();
        futures::future::try_join_all(idle.into_iter().map(async |place| {
            place.node = Some(place.setup.start().await?);
            anyhow::Ok(())
        }))
        .await?;
        Ok(())
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// It did not run, or had ended by itself.
    pub async fn kill(&mut self, at: usize) -> Result<()> {
        let node = self.places[at].node.take().with_context(|| format!("n{} does not run", at + 1))?;
        node.kill().await.map(drop)
    }

    /// Waits until a node has ended by itself: how, and its log.
    ///
    /// # Errors
    /// It did not run, or goes on.
    pub async fn ended(&mut self, at: usize, within: Duration) -> Result<(ExitStatus, String)> {
        let node = self.places[at].node.take().with_context(|| format!("n{} does not run", at + 1))?;
        let (_, status, log) = node.ended(within).await?;
        Ok((status, log))
    }

    /// Stops a node gently; its log.
    ///
    /// # Errors
    /// It did not run, does not end in time, or ended badly.
    pub async fn stop(&mut self, at: usize) -> Result<String> {
        let node = self.places[at].node.take().with_context(|| format!("n{} does not run", at + 1))?;
        let (_, status, log) = node.stop().await?;
        ensure!(status.success() || status.code() == Some(143), "n{} ended with {status}:\n{log}", at + 1);
        Ok(log)
    }

    /// Stops all that run, at once, and fails if one of them ended badly or anything panicked.
    ///
    /// # Errors
    /// As said.
    pub async fn stop_all(&mut self) -> Result<()> {
        let nodes: Vec<_> = self.places.iter_mut().filter_map(|place| place.node.take()).collect();
        for (_, status, log) in futures::future::try_join_all(nodes.into_iter().map(Node::stop)).await? {
            ensure!(status.success() || status.code() == Some(143), "a node ended with {status}:\n{log}");
            ensure!(!log.contains("panicked"), "something panicked:\n{log}");
        }
        Ok(())
    }

    /// Waits until every running node sees every other running one.
    ///
    /// # Errors
    /// They do not: who sees whom.
    pub async fn connected(&self) -> Result<()> {
        let running = self.running();
        for at in &running {
            let others = running.iter().filter(|other| *other != at).map(|other| self.peer(*other)).collect::<Vec<_>>();
            let client = self.client(*at)?;
            let what = format!("n{} sees {} others", at + 1, others.len());
            let seen = wait::until(&what, CONNECTED_WITHIN, || async {
                let seen = peers(&client).await?;
                Ok(others.iter().all(|other| seen.iter().any(|seen| seen == other)).then_some(()))
            });
            seen.await.with_context(|| self.tails(5))?;
        }
        Ok(())
    }

    /// The end of every running node's log.
    pub fn tails(&self, lines: usize) -> String {
        let of = self.places.iter().enumerate();
        let tails = of.filter_map(|(at, place)| Some(format!("n{}:\n{}", at + 1, place.node.as_ref()?.log().tail(lines))));
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Fails if a node that was started has ended by itself.
    ///
    /// # Errors
    /// One has, with the end of its log.
    pub fn alive(&mut self) -> Result<()> {
        self.places.iter_mut().filter_map(|place| place.node.as_mut()).try_for_each(Node::alive)
    }
}

/// Ids of the peers that a node is connected to.
///
/// # Errors
/// It does not say.
pub async fn peers(client: &Client) -> Result<Vec<String>> {
    let answer = client.get("/v1/peers").await?;
    ensure!(answer.status.is_success(), "{} {}", answer.status, answer.text());
    let Some(rows) = answer.json.as_object().and_then(|page| page.values().find_map(Value::as_array)) else {
        bail!("a page has rows: {}", answer.text())
    };
    Ok(rows.iter().filter_map(|row| row["peer"].as_str().or_else(|| row["id"].as_str()).map(str::to_owned)).collect())
}
