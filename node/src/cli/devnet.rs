//! `devnet` without a verb: a network of real processes, a table of what they do, the demonstration across them, and then they stay for
//! whoever wants to try them. They end with the command, also when it is killed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::{Devnet, Folder, Up};
use super::client::Client;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::run;
use super::signals::{Hangup, Signals};
use crate::demo::{Demo, Seat, Step, modules, wallets};
use local::Local;
use processes::{Registry, Ties};
use screen::Screen;
use table::{LOOK_EVERY, Table};

pub mod chaos;
pub mod local;
pub mod many;
pub mod processes;
pub mod screen;
pub mod table;

/// Compiling the AOS module for the first time takes longer than any message: the demonstration waits longer than a user would.
const STEP_WITHIN: Duration = Duration::from_secs(180);
/// One of so many may go away and the others still confirm.
const SURVIVES_FROM: usize = 4;

/// `devnet`.
pub fn devnet(context: &mut Context<'_>, arguments: &Devnet) -> Result<Exit, Failure> {
    if let Some(verb) = &arguments.verb {
        return many::verb(context, verb);
    }
    let began = Instant::now();
    // This thread starts the nodes and lives as long as the command: they are tied to it.
    run::runtime()?.block_on(async {
        let mut signals = Signals::new(Hangup::Stop)?;
        let module = tokio::task::spawn_blocking(modules::load);
        let network = Network::make(arguments)?;
        tokio::select! {
            started = network.local.start(Ties::Parent) => started?,
            exit = signals.next_stop() => return Ok(exit),
        }
        let ms = began.elapsed().as_millis() as u64;
        let local = &network.local;
        let manifest = &local.manifest;
        let record = json!({ "path": local.root, "network": manifest.network, "genesis_hash": manifest.genesis_hash, "ready_ms": ms,
            "plugin": manifest.plugin, "nodes": manifest.nodes, "arweave": local.arweave() });
        context.printer.event("devnet-up/v1", record, || format!("{}\n", many::told(local, ms)))?;

        let timeout = context.globals.timeout.0.max(STEP_WITHIN);
        let screen = Screen::new(&mut context.printer);
        let mut table = Table::new(local)?;
        let shown = async {
            let module = module.await.map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
            demonstrate(local, timeout, module, &screen).await
        };
        let wrong = tokio::select! {
            wrong = shown => wrong?,
            ended = watch(&mut table, &screen) => return ended,
            exit = signals.next_stop() => return Ok(exit),
        };
        if wrong > 0 {
            return Err(Failure::new(Exit::Verification, format!("{wrong} of the steps above did not give what they should")));
        }
        if arguments.once {
            return Ok(Exit::Ok);
        }
        screen.print(|printer| printer.note("The network stays up. Ctrl-C stops it."))?;
        tokio::select! {
            ended = watch(&mut table, &screen) => ended,
            exit = signals.next_stop() => Ok(exit),
        }
    })
}

/// A devnet that ends with the command.
struct Network {
    local: Local,
    /// Its folder goes too.
    temporary: bool,
}

impl Network {
    fn make(arguments: &Devnet) -> Result<Self, Failure> {
        let (root, temporary) = match &arguments.persist {
            Some(root) => (Context::shown(root), false),
            None => (temporary_folder()?, true),
        };
        let port = arguments.port.unwrap_or(if arguments.once { 0 } else { 7700 });
        let up = Up {
            nodes: arguments.nodes,
            plugin: arguments.plugin.clone(),
            port,
            arweave: arguments.arweave.clone(),
            manifest: None,
            folder: Folder { dir: Some(root.clone()) },
        };
        Ok(Self { local: Local::open_or_make(root, &up)?, temporary })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What cannot be stopped or deleted is told by nobody: the command is ending, and the kernel ends the processes with it.
        drop(self.local.stop());
        if self.temporary {
            drop(std::fs::remove_dir_all(&self.local.root));
        }
    }
}

fn temporary_folder() -> Result<PathBuf, Failure> {
    let mut tail = [0; 8];
    crate::datadir::entropy(&mut tail).map_err(|error| Failure::new(Exit::Bug, format!("no entropy: {error}")))?;
    Ok(std::env::temp_dir().join(format!("aonode-devnet-{}", hex::encode(tail))))
}

/// Looks at the nodes until somebody stops it.
async fn watch(table: &mut Table, screen: &Screen<'_, '_>) -> Result<Exit, Failure> {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = String::new();
    loop {
        tick.tick().await;
        table.look().await;
        if screen.live() {
            screen.table(table.text())?;
            continue;
        }
        let line = table.line();
        // In a log, a second in which nothing happened is not worth a line.
        let what = line.split_once(" s ").map_or(line.as_str(), |(_, what)| what).to_owned();
        if what != last {
            screen.print(|printer| if printer.machine() { Ok(()) } else { printer.line(&line) })?;
            last = what;
        }
    }
}

/// The demonstration: one node by itself, all of them together, one goes away and comes back. How many steps went wrong.
async fn demonstrate(
    local: &Local,
    timeout: Duration,
    module: Result<bytes::Bytes, modules::Error>,
    screen: &Screen<'_, '_>,
) -> Result<usize, Failure> {
    let nodes = &local.manifest.nodes;
    let mut seats = Vec::new();
    for node in nodes {
        seats.push(Seat::of(&node.name, Client::new(&node.api, timeout)?).await?);
    }
    let bug = |error: wallets::Error| Failure::new(Exit::Bug, error.to_string());
    let wallet = wallets::wallets(wallets::NETWORK).map_err(bug)?.swap_remove(0);
    let mut demo = Demo::new(seats, wallet, |step: &Step| tell(screen, step));
    demo.one_node(module).await?;
    let mut token = demo.token().await?;
    demo.between_schedulers().await?;
    if nodes.len() < SURVIVES_FROM {
        return Ok(demo.wrong());
    }
    let away = nodes.len() - 1;
    let began = Instant::now();
    kill(local, away)?;
    demo.done(format!("kill -9 {}", nodes[away].name), began, "gone")?;
    demo.without(&mut token, away).await?;
    let began = Instant::now();
    restart(local, away).await?;
    demo.done(format!("start {} again", nodes[away].name), began, "ready")?;
    demo.back(&mut token, away).await?;
    Ok(demo.wrong())
}

fn kill(local: &Local, at: usize) -> Result<(), Failure> {
    let node = &local.manifest.nodes[at];
    let registry = Registry::open(&local.root)?;
    if let Some(process) = registry.get(&node.name)? {
        process.kill();
    }
    registry.set(&node.name, None)
}

async fn restart(local: &Local, at: usize) -> Result<(), Failure> {
    let node = &local.manifest.nodes[at];
    let process = local.spawn(&Registry::open(&local.root)?, node, Ties::Parent)?;
    local.ready(node, Some(process)).await
}

fn tell(screen: &Screen<'_, '_>, step: &Step) -> Result<(), Failure> {
    screen.print(|printer| {
        let mark = if step.wrong.is_none() { printer.paint("32", "✓") } else { printer.paint("31;1", "✗") };
        printer.event("demo-step/v1", step.record(), || {
            let expected = step.wrong.as_ref().map(|expected| format!("   expected: {expected}")).unwrap_or_default();
            format!("{mark} {:<52} {:>8.1} ms   {}{expected}", step.what, step.took.as_secs_f64() * 1e3, step.shown)
        })
    })
}
