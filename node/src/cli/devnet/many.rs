//! `devnet up|down|status|logs|reset`: a network of real processes on loopback that stays when the command ends.

use std::time::Instant;

use serde_json::{Value, json};

use super::chaos;
use super::local::{ANSWER_WITHIN, Local, root, tail};
use super::processes::{Life, Process, Registry, Ties};
use crate::cli::args::{DevnetVerb, Up};
use crate::cli::client::Client;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::testnet::{self, NodeEntry, PORT_STEP};

/// `devnet VERB`.
pub fn verb(context: &mut Context<'_>, verb: &DevnetVerb) -> Result<Exit, Failure> {
    match verb {
        DevnetVerb::Up(arguments) => up(context, arguments),
        DevnetVerb::Down(folder) => down(context, &Local::open(root(folder)?)?),
        DevnetVerb::Status(folder) => status(context, &Local::open(root(folder)?)?),
        DevnetVerb::Logs { node, lines, folder } => logs(context, &Local::open(root(folder)?)?, node, *lines),
        DevnetVerb::Chaos(chaos) => chaos::harm(context, chaos),
        DevnetVerb::Reset(folder) => {
            let local = Local::open(root(folder)?)?;
            local.stop()?;
            let failed = |error: std::io::Error| Failure::new(Exit::Bug, format!("cannot delete {}: {error}", local.root.display()));
            std::fs::remove_dir_all(&local.root).map_err(failed)?;
            context.printer.record("devnet-reset/v1", json!({ "path": local.root }), || format!("{} is gone", local.root.display()))?;
            Ok(Exit::Ok)
        }
    }
}

fn up(context: &mut Context<'_>, arguments: &Up) -> Result<Exit, Failure> {
    let began = Instant::now();
    let local = Local::open_or_make(root(&arguments.folder)?, arguments)?;
    crate::cli::wait(local.start(Ties::None))?;
    let ms = began.elapsed().as_millis() as u64;
    let Local { root, manifest } = &local;
    let record = json!({ "path": root, "network": manifest.network, "genesis_hash": manifest.genesis_hash, "ready_ms": ms, "nodes": manifest.nodes, "arweave": local.arweave() });
    context.printer.record("devnet-up/v1", record, || format!("{}\n\nStop them with `aonode devnet down`.", told(&local, ms)))?;
    if let Some(path) = &arguments.manifest
        && testnet::scenario(path)?.has_events()
    {
        let path = path.display();
        context.printer.note(&format!(
            "What {path} says of load, latency, harm and expectations is for `aonode sim run --manifest {path}`; do the harm to these processes \
             with `aonode devnet chaos`"
        ))?;
    }
    Ok(Exit::Ok)
}

/// What somebody needs to know of a devnet that is up: where it is, and how others join it.
pub fn told(local: &Local, ready_ms: u64) -> String {
    let Local { root, manifest } = local;
    let nodes: Vec<String> = manifest.nodes.iter().map(|node| format!("  {:<4} {}", node.name, node.api)).collect();
    format!(
        "{} nodes are ready after {ready_ms} ms, confirming with `{}`\n{}\n{}Data, logs and keys are in {}\nA node of your own joins them with\n  \
         aonode join {} --genesis-hash {} --port {}",
        manifest.nodes.len(),
        manifest.plugin,
        nodes.join("\n"),
        local.arweave().map(|url| format!("They write to an Arweave of their own: {url}\n")).unwrap_or_default(),
        root.display(),
        manifest.nodes[0].api,
        manifest.genesis_hash,
        next_port(&manifest.nodes)
    )
}

/// The first port after those of the nodes; 0 where they have any ports.
fn next_port(nodes: &[NodeEntry]) -> u16 {
    let port = |node: &NodeEntry| node.api.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(0);
    let ports: Vec<u16> = nodes.iter().map(port).collect();
    let beside = ports.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(PORT_STEP));
    let last = ports.last().copied().unwrap_or(0);
    if beside { last.checked_add(PORT_STEP).unwrap_or(0) } else { 0 }
}

fn down(context: &mut Context<'_>, local: &Local) -> Result<Exit, Failure> {
    let stopped = local.stop()?;
    context.printer.record("devnet-down/v1", json!({ "stopped": stopped }), || match stopped.len() {
        0 => "nothing was running".to_owned(),
        count => format!("{count} nodes stopped"),
    })?;
    Ok(Exit::Ok)
}

fn status(context: &mut Context<'_>, local: &Local) -> Result<Exit, Failure> {
    let registry = Registry::open(&local.root)?;
    let mut rows = Vec::new();
    for node in &local.manifest.nodes {
        rows.push(row(node, registry.get(&node.name)?)?);
    }
    let all_ready = rows.iter().all(|row| row["ready"] == true);
    let columns = [
        ("node", "name"),
        ("process", "process"),
        ("ready", "ready"),
        ("peers", "peers"),
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
        if let Ok((200, peers)) = crate::cli::wait(client.get_any("v1/peers")) {
            row["peers"] = peers["peers"].as_array().map(Vec::len).into();
        }
    }
    Ok(row)
}

fn logs(context: &mut Context<'_>, local: &Local, node: &str, lines: usize) -> Result<Exit, Failure> {
    let [node] = local.named(&[node.to_owned()])?[..] else {
        return Err(Failure::usage("one log at a time: name one node"));
    };
    let lines = tail(&local.log_of(&node.name), lines)?;
    lines.iter().try_for_each(|line| context.printer.line(&crate::cli::output::printable(line)))?;
    Ok(Exit::Ok)
}
