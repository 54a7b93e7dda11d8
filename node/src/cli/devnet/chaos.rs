//! `devnet chaos`: harm that is done to the nodes of a devnet: to processes by their own ids, to the network, clocks and disks through each
//! node's operator's listener. Nothing of it needs root.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::local::{ANSWER_WITHIN, Local, root};
use super::processes::{Life, Process, Registry, Ties};
use crate::cli::args::{Chaos, Victims};
use crate::cli::client::Client;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, io_exit};
use crate::cli::testnet::{NodeEntry, RESERVE};
use crate::cli::wait;
use crate::datadir::{self, Layout};

/// A cut that nobody heals ends by itself.
const CUT_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// More than any disk has.
const FULL: &str = "1000000GiB";

/// `devnet chaos`.
pub fn harm(context: &mut Context<'_>, chaos: &Chaos) -> Result<Exit, Failure> {
    let (what, nodes) = match chaos {
        Chaos::Kill(victims) | Chaos::Restart(victims) | Chaos::Resume(victims) => process(chaos, victims, None)?,
        Chaos::Pause { victims, span } => process(chaos, victims, span.map(|span| span.0))?,
        Chaos::Partition { victims, span } => partition(victims, span.map(|span| span.0))?,
        Chaos::Heal(folder) => {
            let local = Local::open(root(folder)?)?;
            for pair in pairs(&local.manifest.nodes, &local.manifest.nodes) {
                meet(&local, pair)?;
            }
            ("healed".to_owned(), names(&local.manifest.nodes))
        }
        Chaos::Skew { victims, ahead, behind } => {
            let ms = |span: &crate::config::Span| i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX);
            let skew = ahead.as_ref().map_or(0, ms) - behind.as_ref().map_or(0, ms);
            set(victims, "chain", "clock_skew_ms", &skew.to_string())?;
            (if skew == 0 { "told the time".to_owned() } else { format!("skewed by {skew} ms") }, victims.nodes.clone())
        }
        Chaos::Disk { victims, free } => {
            let reserve = if *free { RESERVE } else { FULL };
            set(victims, "storage", "reserve", &format!("\"{reserve}\""))?;
            (if *free { "given room" } else { "full" }.to_owned(), victims.nodes.clone())
        }
    };
    context.printer.record("devnet-chaos/v1", json!({ "what": what, "nodes": nodes }), || format!("{what}: {}", nodes.join(", ")))?;
    Ok(Exit::Ok)
}

fn names<'n>(nodes: impl IntoIterator<Item = &'n NodeEntry>) -> Vec<String> {
    nodes.into_iter().map(|node| node.name.clone()).collect()
}

/// What is done to processes.
fn process(chaos: &Chaos, victims: &Victims, span: Option<Duration>) -> Result<(String, Vec<String>), Failure> {
    let local = Local::open(root(&victims.folder)?)?;
    let chosen = local.named(&victims.nodes)?;
    let registry = Registry::open(&local.root)?;
    let mut what = "";
    for node in &chosen {
        let process = registry.get(&node.name)?.filter(|process| process.life() != Life::Gone);
        let not_running =
            || Failure::new(Exit::Precondition, format!("{} does not run", node.name)).fix("start it with `aonode devnet up`");
        what = match chaos {
            Chaos::Kill(_) => {
                process.ok_or_else(not_running)?.kill();
                registry.set(&node.name, None)?;
                "killed"
            }
            Chaos::Restart(_) => {
                process.iter().for_each(Process::stop);
                let process = local.spawn(&registry, node, Ties::None)?;
                wait(local.ready(node, Some(process)))?;
                "restarted"
            }
            Chaos::Resume(_) => {
                process.ok_or_else(not_running)?.signal(libc::SIGCONT);
                "resumed"
            }
            _ => {
                process.ok_or_else(not_running)?.signal(libc::SIGSTOP);
                "paused"
            }
        };
    }
    if let Some(span) = span {
        std::thread::sleep(span);
        for node in &chosen {
            if let Some(process) = registry.get(&node.name)? {
                process.signal(libc::SIGCONT);
            }
        }
    }
    Ok((what.to_owned(), names(chosen)))
}

/// The operator's listener of a node, with its token.
fn operator(local: &Local, node: &NodeEntry) -> Result<Client, Failure> {
    let token = datadir::read_small(&Layout::new(local.root.join(&node.name)).token())?;
    Ok(Client::new(&node.admin, ANSWER_WITHIN)?.with_token(token.trim()))
}

/// Every node of `these` with every other of `those`.
fn pairs<'n>(these: &'n [NodeEntry], those: &'n [NodeEntry]) -> impl Iterator<Item = (&'n NodeEntry, &'n NodeEntry)> {
    these.iter().flat_map(move |one| those.iter().filter(move |other| other.name != one.name).map(move |other| (one, other)))
}

fn partition(victims: &Victims, span: Option<Duration>) -> Result<(String, Vec<String>), Failure> {
    let local = Local::open(root(&victims.folder)?)?;
    let away: Vec<NodeEntry> = local.named(&victims.nodes)?.into_iter().cloned().collect();
    let rest: Vec<NodeEntry> = local.manifest.nodes.iter().filter(|node| !away.contains(node)).cloned().collect();
    let length = span.unwrap_or(CUT_AT_MOST).as_secs_f64().ceil() as u64;
    let cut: Vec<_> = pairs(&away, &rest).chain(pairs(&rest, &away)).collect();
    for (at, whom) in &cut {
        // Who does not run is cut off already.
        if let Some(client) = reachable(&local, at)? {
            wait(client.post("admin/peers/ban", &json!({ "peer": whom.peer.to_string(), "for_s": length })))?;
        }
    }
    if let Some(span) = span {
        std::thread::sleep(span);
        for pair in cut {
            meet(&local, pair)?;
        }
    }
    Ok((format!("cut off from {}", if rest.is_empty() { "nobody".to_owned() } else { names(&rest).join(", ") }), names(&away)))
}

fn reachable(local: &Local, node: &NodeEntry) -> Result<Option<Client>, Failure> {
    let client = operator(local, node)?;
    Ok(wait(client.get_any("livez")).is_ok().then_some(client))
}

fn meet(local: &Local, (at, whom): (&NodeEntry, &NodeEntry)) -> Result<(), Failure> {
    let Some(client) = reachable(local, at)? else { return Ok(()) };
    match wait(client.post("admin/peers/unban", &json!({ "peer": whom.peer.to_string() }))) {
        // Its time was over.
        Err(failure) if failure.exit == Exit::NotFound => Ok(()),
        met => met.map(drop),
    }
}

/// Writes a key of the configuration of running nodes, and has them read it.
fn set(victims: &Victims, section: &str, key: &str, value: &str) -> Result<(), Failure> {
    let local = Local::open(root(&victims.folder)?)?;
    for node in local.named(&victims.nodes)? {
        let path = Layout::new(local.root.join(&node.name)).config();
        write(&path, section, key, value)?;
        let answer: Value = wait(operator(&local, node)?.post("admin/reload", &json!({})))?;
        let name = format!("{section}.{key}");
        if answer["needs_restart"].as_array().is_some_and(|keys| keys.iter().any(|key| *key == name)) {
            return Err(Failure::new(Exit::Bug, format!("{} did not take {name} while it runs", node.name)));
        }
    }
    Ok(())
}

fn write(path: &Path, section: &str, key: &str, value: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(io_exit(&error), format!("cannot change {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(failed)?;
    std::fs::write(path, with_key(&text, section, key, value)).map_err(failed)
}

/// A configuration with one key set; everything else stays as it is written.
fn with_key(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let heading = format!("[{section}]");
    let Some(start) = lines.iter().position(|line| line.trim() == heading) else {
        return format!("{}\n\n{heading}\n{key} = {value}\n", text.trim_end());
    };
    let end = lines[start + 1..].iter().position(|line| line.trim_start().starts_with('[')).map_or(lines.len(), |at| start + 1 + at);
    let is_key = |line: &String| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    let set = format!("{key} = {value}");
    match lines[start + 1..end].iter().position(is_key) {
        Some(at) => lines[start + 1 + at] = set,
        None => lines.insert(start + 1, set),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_changes_and_the_rest_stays() {
        let text = "# mine\n[chain]\nblock_interval = \"1s\"\n\n[storage]\n# how much\nreserve = \"64MiB\"\n";
        assert_eq!(with_key(text, "storage", "reserve", "\"1GiB\""), text.replace("64MiB", "1GiB"));
        let skewed = with_key(text, "chain", "clock_skew_ms", "-5");
        assert_eq!(skewed, text.replace("[chain]\n", "[chain]\nclock_skew_ms = -5\n"));
        assert_eq!(with_key(&skewed, "chain", "clock_skew_ms", "0"), skewed.replace("-5", "0"));
        assert_eq!(with_key("[a]\nb = 1", "c", "b", "2"), "[a]\nb = 1\n\n[c]\nb = 2\n");
    }
}
