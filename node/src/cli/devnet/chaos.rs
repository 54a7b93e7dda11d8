//! `devnet chaos`: harm that is done to the processes of a devnet, by their own ids.

use serde_json::json;

use super::local::{Local, root};
use super::processes::{Life, Process, Registry, Ties};
use crate::cli::args::{Chaos, Victims};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// `devnet chaos`.
pub fn harm(context: &mut Context<'_>, chaos: &Chaos) -> Result<Exit, Failure> {
    let (what, victims) = match chaos {
        Chaos::Kill(victims) => ("killed", victims),
        Chaos::Restart(victims) => ("restarted", victims),
        Chaos::Pause { victims, .. } => ("paused", victims),
        Chaos::Resume(victims) => ("resumed", victims),
    };
    let Victims { nodes, folder } = victims;
    let local = Local::open(root(folder)?)?;
    let chosen = local.named(nodes)?;
    let registry = Registry::open(&local.root)?;
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
                let process = local.spawn(&registry, node, Ties::None)?;
                crate::cli::wait(local.ready(node, Some(process)))?;
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
