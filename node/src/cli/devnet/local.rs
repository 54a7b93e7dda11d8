//! A devnet in its folder: what `testnet generate` makes, the log of each node, and which processes were started.
//!
//! Owns starting, waiting for and stopping all of them; what is done to single ones is [`super::chaos`]. Commands come and go, the
//! processes stay until they are stopped, unless they are tied to the command that started them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::processes::{Life, Process, Registry, Ties};
use crate::cli::args::{Folder, Generate, Up};
use crate::cli::client::Client;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::JOURNAL;
use crate::cli::testnet::{self, Manifest, NodeEntry};
use crate::datadir;
use crate::demo::wallets;
use crate::scenario::{STAKE, Scenario};

/// Name of the process of an Arweave of its own.
const ARWEAVE: &str = "arweave";
/// A node that is not ready by then does not start.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How often a node is asked while it is waited for.
const ASK_EVERY: Duration = Duration::from_millis(25);
/// How long one answer may take where several nodes are asked.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// End of a log that is looked through for its newest lines, bytes.
const LOG_TAIL_BYTES: u64 = 1 << 20;

/// See the module documentation.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its folder.
    pub root: PathBuf,
    /// What it consists of.
    pub manifest: Manifest,
}

/// The folder that was named, or the one of every devnet without a name.
pub fn root(folder: &Folder) -> Result<PathBuf, Failure> {
    match &folder.dir {
        Some(root) => Ok(Context::shown(root)),
        None => {
            datadir::default_root("devnet").ok_or_else(|| Failure::usage("neither XDG_DATA_HOME nor HOME is set").fix("give --dir DIR"))
        }
    }
}

impl Local {
    /// The one that is there.
    ///
    /// # Errors
    /// There is none.
    pub fn open(root: PathBuf) -> Result<Self, Failure> {
        Ok(Self { manifest: Manifest::read(&root)?, root })
    }

    /// The one that is there, or a new one.
    ///
    /// # Errors
    /// Something else is there, or the system refuses.
    pub fn open_or_make(root: PathBuf, arguments: &Up) -> Result<Self, Failure> {
        if Manifest::path(&root).exists() {
            let local = Self::open(root)?;
            if let Some(path) = &arguments.manifest {
                local.is_of(path)?;
            }
            return Ok(local);
        }
        let manifest = testnet::make(&Generate {
            validators: arguments.nodes,
            out: root.clone(),
            plugin: arguments.plugin.clone(),
            name: wallets::NETWORK.to_owned(),
            port: arguments.port,
            stake: u128::from(STAKE),
            manifest: arguments.manifest.clone(),
            arweave: arguments.arweave.clone(),
        })?;
        Ok(Self { root, manifest })
    }

    /// A network that is there stays as it was made: a file that asks for another one is not passed over in silence.
    fn is_of(&self, path: &Path) -> Result<(), Failure> {
        let Scenario { plugin, nodes, .. } = testnet::scenario(path)?;
        let Manifest { plugin: made, nodes: there, .. } = &self.manifest;
        if (&plugin, nodes.len()) == (made, there.len()) {
            return Ok(());
        }
        let what = format!(
            "the network in {} has {} nodes and confirms with `{made}`, {} asks for {} and `{plugin}`",
            self.root.display(),
            there.len(),
            path.display(),
            nodes.len()
        );
        Err(Failure::new(Exit::Precondition, what).fix("give another --dir, or end this one with `aonode devnet reset`"))
    }

    /// URL of the Arweave of its own, if it has one.
    pub fn arweave(&self) -> Option<String> {
        self.manifest.arweave_port.map(|port| format!("http://127.0.0.1:{port}"))
    }

    /// Starts the Arweave of its own, if it has one that does not run.
    async fn start_arweave(&self, registry: &Registry, ties: Ties) -> Result<Option<Process>, Failure> {
        let (Some(port), Some(url)) = (self.manifest.arweave_port, self.arweave()) else { return Ok(None) };
        if registry.get(ARWEAVE)?.is_some_and(|process| process.life() != Life::Gone) {
            return Ok(None);
        }
        let (journal, port) = (self.root.join(JOURNAL).display().to_string(), port.to_string());
        let arguments = ["weave", "--output", "json", "--port", &port, "--persist", &journal];
        let process = Process::start(&arguments, &self.log_of(ARWEAVE), ties)?;
        registry.set(ARWEAVE, Some(process))?;
        let (client, until) = (Client::new(&url, ANSWER_WITHIN)?, Instant::now() + READY_WITHIN);
        while !matches!(client.get_any("info").await, Ok((200, _))) {
            if process.life() != Life::Runs || Instant::now() > until {
                process.stop();
                registry.set(ARWEAVE, None)?;
                let tail = tail(&self.log_of(ARWEAVE), 10)?.join("\n");
                return Err(Failure::new(Exit::Precondition, format!("the Arweave of {} did not start:\n{tail}", self.root.display())));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(Some(process))
    }

    /// The log of a node.
    pub fn log_of(&self, node: &str) -> PathBuf {
        self.root.join(format!("{node}.log"))
    }

    /// Starts a node; a process that it had must be gone.
    ///
    /// # Errors
    /// The system refuses.
    pub fn spawn(&self, registry: &Registry, node: &NodeEntry, ties: Ties) -> Result<Process, Failure> {
        let root = self.root.join(&node.name).display().to_string();
        let process = Process::start(&["start", "--output", "json", "--datadir", &root], &self.log_of(&node.name), ties)?;
        registry.set(&node.name, Some(process))?;
        Ok(process)
    }

    /// Starts every node that does not run and waits until all are ready.
    ///
    /// # Errors
    /// One does not start. Half a network is no network: those that were started are stopped again, those that ran before stay.
    pub async fn start(&self, ties: Ties) -> Result<(), Failure> {
        let registry = Registry::open(&self.root)?;
        let arweave = self.start_arweave(&registry, ties).await?;
        let mut started = Vec::new();
        for node in &self.manifest.nodes {
            if registry.get(&node.name)?.is_none_or(|process| process.life() == Life::Gone) {
                started.push((node, self.spawn(&registry, node, ties)?));
            }
        }
        for node in &self.manifest.nodes {
            if let Err(failure) = self.ready(node, registry.get(&node.name)?).await {
                for (node, process) in started {
                    process.stop();
                    registry.set(&node.name, None)?;
                }
                if let Some(process) = arweave {
                    process.stop();
                    registry.set(ARWEAVE, None)?;
                }
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Waits until a node says that it is ready.
    ///
    /// # Errors
    /// It ended, is paused, or takes too long.
    pub async fn ready(&self, node: &NodeEntry, process: Option<Process>) -> Result<(), Failure> {
        let until = Instant::now() + READY_WITHIN;
        let client = Client::new(&node.api, ANSWER_WITHIN)?;
        loop {
            match process.map(|process| process.life()) {
                Some(Life::Runs) => {}
                Some(Life::Paused) => {
                    return Err(Failure::new(Exit::Precondition, format!("{} is paused", node.name))
                        .fix(format!("aonode devnet chaos resume {}", node.name)));
                }
                _ => {
                    let tail = tail(&self.log_of(&node.name), 10)?.join("\n");
                    return Err(Failure::new(Exit::Precondition, format!("{} did not start; the end of its log:\n{tail}", node.name)));
                }
            }
            if let Ok((200, _)) = client.get_any("readyz").await {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Failure::new(Exit::NotReady, format!("{} is not ready after {} s", node.name, READY_WITHIN.as_secs()))
                    .fix(format!("aonode devnet logs {}", node.name)));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Ends every process, all at once; the names of those that ran.
    ///
    /// # Errors
    /// The registry cannot be read or written.
    pub fn stop(&self) -> Result<Vec<String>, Failure> {
        let registry = Registry::open(&self.root)?;
        let mut running = Vec::new();
        for node in &self.manifest.nodes {
            if let Some(process) = registry.get(&node.name)?.filter(|process| process.life() != Life::Gone) {
                process.ask_to_end();
                running.push((node.name.clone(), process));
            }
        }
        for (name, process) in &running {
            process.await_end();
            registry.set(name, None)?;
        }
        // Last: nodes finish what they are at.
        if let Some(process) = registry.get(ARWEAVE)? {
            process.stop();
            registry.set(ARWEAVE, None)?;
        }
        Ok(running.into_iter().map(|(name, _)| name).collect())
    }

    /// The nodes that are named, in their order.
    ///
    /// # Errors
    /// There is no such node.
    pub fn named(&self, names: &[String]) -> Result<Vec<&NodeEntry>, Failure> {
        let nodes = &self.manifest.nodes;
        if names.iter().any(|name| name == "all") {
            return Ok(nodes.iter().collect());
        }
        let unknown = |name: &String| {
            let known: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::new(Exit::NotFound, format!("there is no node {name}; there are {}", known.join(", ")))
        };
        names.iter().map(|name| nodes.iter().find(|node| node.name == *name).ok_or_else(|| unknown(name))).collect()
    }
}

/// The newest lines of a file, of its last mebibyte.
///
/// # Errors
/// It cannot be read.
pub fn tail(path: &Path, lines: usize) -> Result<Vec<String>, Failure> {
    use std::io::{Read, Seek, SeekFrom};
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)
    });
    read.map_err(|error| Failure::new(crate::cli::exit::io_exit(&error), format!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect())
}
