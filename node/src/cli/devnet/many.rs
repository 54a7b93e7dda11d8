//! `devnet up|down|status|logs|chaos|reset`: a network of real processes on loopback.
//!
//! The folder holds what `testnet generate` makes, the log of each node, and which processes were started. Commands come and go; the
//! processes stay until `down`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::processes::{Life, Process, Registry};
use crate::cli::args::{Chaos, DevnetVerb, Folder, Generate, Up, Victims};
use crate::cli::client::Client;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::testnet::{self, Manifest, NodeEntry};
use crate::datadir;
use crate::demo::wallets;

/// A node that is not ready by then does not start.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How often a node is asked while it is waited for.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long one answer may take where several nodes are asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// End of a log that is looked through for its newest lines, bytes.
const LOG_TAIL_BYTES: u64 = 1 << 20;

/// `devnet VERB`.
pub fn verb(context: &mut Context<'_>, verb: &DevnetVerb) -> Result<Exit, Failure> {
    match verb {
        DevnetVerb::Up(arguments) => up(context, arguments),
        DevnetVerb::Down(folder) => down(context, &root(folder)?),
        DevnetVerb::Status(folder) => status(context, &root(folder)?),
        DevnetVerb::Logs { node, lines, folder } => logs(context, &root(folder)?, node, *lines),
        DevnetVerb::Chaos(chaos) => harm(context, chaos),
        DevnetVerb::Reset(folder) => {
            let root = root(folder)?;
            stop_all(&root)?;
            let failed = |error: std::io::Error| Failure::new(Exit::Bug, format!("cannot delete {}: {error}", root.display()));
            std::fs::remove_dir_all(&root).map_err(failed)?;
            context.printer.record("devnet-reset/v1", json!({ "path": root }), || format!("{} is gone", root.display()))?;
            Ok(Exit::Ok)
        }
    }
}

fn root(folder: &Folder) -> Result<PathBuf, Failure> {
    match &folder.dir {
        Some(root) => Ok(Context::shown(root)),
        None => {
            datadir::default_root("devnet").ok_or_else(|| Failure::usage("neither XDG_DATA_HOME nor HOME is set").fix("give --dir DIR"))
        }
    }
}

fn log_of(root: &Path, node: &str) -> PathBuf {
    root.join(format!("{node}.log"))
}

fn up(context: &mut Context<'_>, arguments: &Up) -> Result<Exit, Failure> {
    let began = Instant::now();
    let root = root(&arguments.folder)?;
    let manifest = if Manifest::path(&root).exists() {
        Manifest::read(&root)?
    } else {
        testnet::make(&Generate {
            validators: arguments.nodes,
            out: root.clone(),
            plugin: arguments.plugin.clone(),
            name: wallets::NETWORK.to_owned(),
            port: arguments.port,
            stake: 100,
        })?
    };
    let registry = Registry::open(&root)?;
    let mut started = Vec::new();
    for node in &manifest.nodes {
        if registry.get(&node.name)?.is_none_or(|process| process.life() == Life::Gone) {
            registry.set(&node.name, Some(Process::start(&root.join(&node.name), &log_of(&root, &node.name))?))?;
            started.push(node);
        }
    }
    for node in &manifest.nodes {
        let process = registry.get(&node.name)?;
        if let Err(failure) = ready(&root, node, process) {
            // Half a network is no network; those that ran before stay.
            for node in started {
                if let Some(process) = registry.get(&node.name)? {
                    process.stop();
                    registry.set(&node.name, None)?;
                }
            }
            return Err(failure);
        }
    }
    drop(registry);
    let ms = began.elapsed().as_millis() as u64;
    let record = json!({ "path": root, "network": manifest.network, "genesis_hash": manifest.genesis_hash, "ready_ms": ms, "nodes": manifest.nodes });
    context.printer.record("devnet-up/v1", record, || {
        let nodes: Vec<String> = manifest.nodes.iter().map(|node| format!("{:<4} {}", node.name, node.api)).collect();
        format!("{} nodes are ready after {ms} ms\n\n{}\n\nStop them with `aonode devnet down`.", manifest.nodes.len(), nodes.join("\n"))
    })?;
    Ok(Exit::Ok)
}

/// Waits until a node says that it is ready.
fn ready(root: &Path, node: &NodeEntry, process: Option<Process>) -> Result<(), Failure> {
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
                let tail = tail(&log_of(root, &node.name), 10)?.join("\n");
                return Err(Failure::new(Exit::Precondition, format!("{} did not start; the end of its log:\n{tail}", node.name)));
            }
        }
        if let Ok((200, _)) = crate::cli::wait(client.get_any("readyz")) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(Failure::new(Exit::NotReady, format!("{} is not ready after {} s", node.name, READY_WITHIN.as_secs()))
                .fix(format!("aonode devnet logs {}", node.name)));
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn down(context: &mut Context<'_>, root: &Path) -> Result<Exit, Failure> {
    let stopped = stop_all(root)?;
    context.printer.record("devnet-down/v1", json!({ "stopped": stopped }), || match stopped.len() {
        0 => "nothing was running".to_owned(),
        count => format!("{count} nodes stopped"),
    })?;
    Ok(Exit::Ok)
}

/// Ends every process, all at once; the names of those that ran.
fn stop_all(root: &Path) -> Result<Vec<String>, Failure> {
    let manifest = Manifest::read(root)?;
    let registry = Registry::open(root)?;
    let mut running = Vec::new();
    for node in &manifest.nodes {
        if let Some(process) = registry.get(&node.name)?.filter(|process| process.life() != Life::Gone) {
            process.ask_to_end();
            running.push((node.name.clone(), process));
        }
    }
    for (name, process) in &running {
        process.await_end();
        registry.set(name, None)?;
    }
    Ok(running.into_iter().map(|(name, _)| name).collect())
}

fn status(context: &mut Context<'_>, root: &Path) -> Result<Exit, Failure> {
    let manifest = Manifest::read(root)?;
    let registry = Registry::open(root)?;
    let mut rows = Vec::new();
    for node in &manifest.nodes {
        rows.push(row(node, registry.get(&node.name)?)?);
    }
    let all_ready = rows.iter().all(|row| row["ready"] == true);
    let columns = [
        ("node", "name"),
        ("process", "process"),
        ("ready", "ready"),
        ("items", "items"),
        ("height", "block_height"),
        ("http", "api"),
        ("pid", "pid"),
    ];
    context.printer.list("devnet/v1", rows, &columns, None)?;
    Ok(if all_ready { Exit::Ok } else { Exit::NotReady })
}

/// What one node is doing.
fn row(node: &NodeEntry, process: Option<Process>) -> Result<Value, Failure> {
    let life = process.map_or(Life::Gone, |process| process.life());
    let mut row = json!({
        "name": node.name, "api": node.api, "peer": node.peer, "scheduler": node.scheduler,
        "process": match life { Life::Runs => "running", Life::Paused => "paused", Life::Gone => "stopped" },
        "pid": process.filter(|_| life != Life::Gone).map(|process| process.pid), "ready": false,
    });
    if life == Life::Runs {
        let client = Client::new(&node.api, ANSWER_WITHIN)?;
        row["ready"] = matches!(crate::cli::wait(client.get_any("readyz")), Ok((200, _))).into();
        if let Ok((200, status)) = crate::cli::wait(client.get_any("v1/status")) {
            for field in ["items", "block_height", "engine", "mode", "connections"] {
                row[field] = status[field].clone();
            }
        }
    }
    Ok(row)
}

fn logs(context: &mut Context<'_>, root: &Path, node: &str, lines: usize) -> Result<Exit, Failure> {
    let manifest = Manifest::read(root)?;
    let [node] = named(&manifest, &[node.to_owned()])?[..] else {
        return Err(Failure::usage("one log at a time: name one node"));
    };
    let lines = tail(&log_of(root, &node.name), lines)?;
    lines.iter().try_for_each(|line| context.printer.line(&crate::cli::output::printable(line)))?;
    Ok(Exit::Ok)
}

/// The newest lines of a file, of its last mebibyte.
fn tail(path: &Path, lines: usize) -> Result<Vec<String>, Failure> {
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

/// The nodes that are named, in their order.
fn named<'m>(manifest: &'m Manifest, names: &[String]) -> Result<Vec<&'m NodeEntry>, Failure> {
    if names.iter().any(|name| name == "all") {
        return Ok(manifest.nodes.iter().collect());
    }
    let unknown = |name: &String| {
        let known: Vec<_> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
        Failure::new(Exit::NotFound, format!("there is no node {name}; there are {}", known.join(", ")))
    };
    names.iter().map(|name| manifest.nodes.iter().find(|node| node.name == *name).ok_or_else(|| unknown(name))).collect()
}

fn harm(context: &mut Context<'_>, chaos: &Chaos) -> Result<Exit, Failure> {
    let (what, victims) = match chaos {
        Chaos::Kill(victims) => ("killed", victims),
        Chaos::Restart(victims) => ("restarted", victims),
        Chaos::Pause { victims, .. } => ("paused", victims),
        Chaos::Resume(victims) => ("resumed", victims),
    };
    let Victims { nodes, folder } = victims;
    let root = root(folder)?;
    let manifest = Manifest::read(&root)?;
    let chosen = named(&manifest, nodes)?;
    let registry = Registry::open(&root)?;
    for node in &chosen {
        let process = registry.get(&node.name)?.filter(|process| process.life() != Life::Gone);
        let not_running =
            || Failure::new(Exit::Precondition, format!("{} does not run", node.name)).fix("start it with `aonode devnet up`");
        match chaos {
            Chaos::Kill(_) => {
                process.ok_or_else(not_running)?.kill();
                registry.set(&node.name, None)?;
            }
            Chaos::Restart(_) => {
                process.iter().for_each(Process::stop);
                let process = Process::start(&root.join(&node.name), &log_of(&root, &node.name))?;
                registry.set(&node.name, Some(process))?;
                ready(&root, node, Some(process))?;
            }
            Chaos::Pause { .. } => drop(process.ok_or_else(not_running)?.signal(libc::SIGSTOP)),
            Chaos::Resume(_) => drop(process.ok_or_else(not_running)?.signal(libc::SIGCONT)),
        }
    }
    if let Chaos::Pause { span: Some(span), .. } = chaos {
        std::thread::sleep(span.0);
        for node in &chosen {
            if let Some(process) = registry.get(&node.name)? {
                process.signal(libc::SIGCONT);
            }
        }
    }
    let names: Vec<_> = chosen.iter().map(|node| node.name.as_str()).collect();
    context.printer.record("devnet-chaos/v1", json!({ "what": what, "nodes": names }), || format!("{what}: {}", names.join(", ")))?;
    Ok(Exit::Ok)
}
