//! `bench --devnet`: what a network of real processes does with a load, from a post to the confirmation at every node.
//!
//! The load goes to the nodes that schedule; besides it one *probe* a scheduler gets a message every [`PROBE_EVERY`], and the events of its
//! process are followed on that scheduler's node: when a slot was assigned, certified, confirmed and computed. So latency is that of a
//! message under load, and following it costs the nodes next to nothing. The run is over when every node has confirmed every message, and
//! that moment counts for the rate. Afterwards all nodes must name one result for each process's last slot: else the command fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ao_types::{DataItem, Id, Tag, Verified, Wallet};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::machine::{cpu_seconds, processor, threads};
use super::probe::{Probe, Seen};
use super::times::Times;
use super::{Message, wallet_of};
use crate::cli::args::{Bench, BenchModule};
use crate::cli::client::Client;
use crate::cli::context::Context;
use crate::cli::devnet::processes::Registry;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::pairs;
use crate::cli::testnet::Manifest;
use crate::cli::{items, run, show};
use crate::error::Code;

/// How often a probe sends.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// How often nodes are asked how far they are.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// After the last post every node must have confirmed everything within this time.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(120);
/// What processes are evaluated with: as little as there is to do.
const LUA: &str = "Handlers.add('count', 'Count', function(msg) N = (N or 0) + 1 end)";

/// The network that is measured.
struct Network {
    manifest: Manifest,
    clients: Vec<Client>,
    pids: Vec<i32>,
}

/// A process under load.
struct Target {
    process: Id,
    /// Its scheduler's node.
    node: usize,
}

/// What was measured.
struct Measured {
    messages: usize,
    sending: Duration,
    took: Duration,
    posts: Times,
    probes: Seen,
    client_cpu: f64,
    /// Seconds of processor time of all nodes, by what their threads are called.
    stages: BTreeMap<String, f64>,
    /// Bytes that all nodes sent.
    sent_bytes: f64,
}

/// `bench --devnet`.
pub fn bench(context: &mut Context<'_>, arguments: &Bench, folder: &Path) -> Result<Exit, Failure> {
    if arguments.module != BenchModule::Lua {
        return Err(Failure::usage("--devnet measures with --module lua"));
    }
    let manifest = Manifest::read(folder)?;
    if arguments.schedulers == 0 || arguments.schedulers > manifest.nodes.len().min(arguments.processes) {
        let most = manifest.nodes.len().min(arguments.processes);
        return Err(Failure::usage(format!(
            "--schedulers {}: between 1 and {most}, the nodes and processes there are",
            arguments.schedulers
        )));
    }
    let (timeout, registry) = (context.globals.timeout.0.max(Duration::from_secs(60)), Registry::open(folder)?);
    let clients = manifest.nodes.iter().map(|node| Client::new(&node.api, timeout)).collect::<Result<Vec<_>, _>>()?;
    let pids = manifest.nodes.iter().map(|node| Ok(registry.get(&node.name)?.map_or(-1, |process| process.pid)));
    let pids = pids.collect::<Result<Vec<_>, Failure>>()?;
    drop(registry);
    let network = Network { manifest, clients, pids };
    run::runtime()?.block_on(async {
        let measured = measure(&network, arguments).await?;
        report(context, arguments, &network, &measured)
    })
}

async fn measure(network: &Network, arguments: &Bench) -> Result<Measured, Failure> {
    let wallet = wallet_of(arguments.signer)?;
    let quick = Wallet::generate_ed25519().map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
    let mut targets = Vec::new();
    for at in 0..arguments.processes {
        targets.push(network.spawn(&quick, at % arguments.schedulers, "bench").await?);
    }
    let mut probes = Vec::new();
    for node in 0..arguments.schedulers {
        probes.push(network.spawn(&quick, node, "probe").await?);
    }
    let messages = Arc::new(signed(arguments, &wallet, &targets)?);
    let (cpu, nodes, sent) = (cpu_seconds(), network.threads(), network.sent_bytes().await?);
    let over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for target in &probes {
        let probe = Probe::start(network.clients[target.node].clone(), target.process, quick.clone()).await?;
        running.spawn(probe.run(PROBE_EVERY, over.clone()));
    }
    let began = Instant::now();
    let posts = drive(network, arguments, &targets, messages.clone(), began).await?;
    let sending = began.elapsed();
    network.confirmed(&targets, arguments.messages).await?;
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    while let Some(probe) = running.join_next().await {
        seen.join(probe.map_err(|error| Failure::new(Exit::Bug, error.to_string()))??);
    }
    let mut stages = network.threads();
    for (stage, before) in nodes {
        stages.entry(stage).and_modify(|after| *after -= before);
    }
    let sent_bytes = network.sent_bytes().await? - sent;
    let client_cpu = cpu_seconds() - cpu;
    network.agree(&targets).await?;
    Ok(Measured { messages: messages.len(), sending, took, posts: Times::new(posts), probes: seen, client_cpu, stages, sent_bytes })
}

/// All messages, spread over the processes in turn. Signing is what takes longest of all, so every core helps.
fn signed(arguments: &Bench, wallet: &Wallet, targets: &[Target]) -> Result<Vec<Message>, Failure> {
    let data = "x".repeat(arguments.payload).into_bytes();
    let sign = |at: usize| {
        let process = targets[at % targets.len()].process;
        Ok((process, items::message(wallet, process, vec![Tag::new("Action", "Count")], data.clone())?))
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let part = arguments.messages.div_ceil(workers).max(1);
    let ranges = (0..workers).map(|n| (n * part).min(arguments.messages)..((n + 1) * part).min(arguments.messages));
    let parts: Vec<Result<Vec<Message>, Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = ranges.map(|range| scope.spawn(|| range.map(sign).collect())).collect();
        let bug = |_| Err(Failure::new(Exit::Bug, "a thread that signs messages panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(bug)).collect()
    });
    parts.into_iter().collect::<Result<Vec<_>, _>>().map(|parts| parts.into_iter().flatten().collect())
}

/// Posts everything, each when it is due, with so many in flight at most. Gives the time of each post: from when it was due.
async fn drive(
    network: &Network,
    arguments: &Bench,
    targets: &[Target],
    messages: Arc<Vec<Message>>,
    began: Instant,
) -> Result<Vec<Duration>, Failure> {
    let nodes: BTreeMap<Id, Client> = targets.iter().map(|target| (target.process, network.clients[target.node].clone())).collect();
    let (nodes, next, pause) = (Arc::new(nodes), Arc::new(AtomicUsize::new(0)), arguments.rate.map(|rate| 1.0 / f64::from(rate.max(1))));
    let mut workers = JoinSet::new();
    for _ in 0..arguments.concurrency {
        let (nodes, next, messages) = (nodes.clone(), next.clone(), messages.clone());
        workers.spawn(async move {
            let mut times = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((process, item)) = messages.get(at) else { return Ok::<_, Failure>(times) };
                let due = pause.map_or_else(Instant::now, |pause| began + Duration::from_secs_f64(pause * at as f64));
                tokio::time::sleep_until(due.into()).await;
                submit(&nodes[process], item).await?;
                times.push(due.elapsed());
            }
        });
    }
    let mut times = Vec::with_capacity(messages.len());
    while let Some(worker) = workers.join_next().await {
        times.extend(worker.map_err(|error| Failure::new(Exit::Bug, error.to_string()))??);
    }
    Ok(times)
}

/// A node that says it is busy is asked again: that is part of the time.
async fn submit(client: &Client, item: &Verified<DataItem>) -> Result<(), Failure> {
    for _ in 0..50 {
        match client.submit("v1/messages", item).await {
            Err(busy) if busy.code == Some(Code::Busy) => tokio::time::sleep(LOOK_EVERY).await,
            answer => return answer.map(drop),
        }
    }
    client.submit("v1/messages", item).await.map(drop)
}

impl Network {
    /// A process of a node's scheduler that has booted at every node.
    async fn spawn(&self, wallet: &Wallet, node: usize, name: &str) -> Result<Target, Failure> {
        let client = &self.clients[node];
        let identity = client.get("v1/identity").await?;
        let text = |field: &str| identity[field].as_str().unwrap_or_default().to_owned();
        let tags = vec![Tag::new("Name", name), Tag::new("Authority", text("authority")), Tag::new("On-Boot", "Data")];
        let item = items::process(wallet, &text("module"), &text("scheduler"), tags, LUA.as_bytes().to_vec())?;
        client.submit("v1/processes", &item).await?;
        let boot = client.result(&item.id(), &item.id()).await?;
        if let Some(error) = show::error(&boot) {
            return Err(Failure::new(Exit::ProcessError, format!("process {} did not boot: {error}", item.id())));
        }
        let target = Target { process: item.id(), node };
        self.until(&target, "confirmed_slot", 0).await?;
        Ok(target)
    }

    /// Until every node has confirmed its share of the messages of every process.
    async fn confirmed(&self, targets: &[Target], messages: usize) -> Result<(), Failure> {
        for (at, target) in targets.iter().enumerate() {
            let last = messages / targets.len() + usize::from(at < messages % targets.len());
            self.until(target, "confirmed_slot", last as u64).await?;
        }
        Ok(())
    }

    async fn until(&self, target: &Target, field: &str, slot: u64) -> Result<(), Failure> {
        let until = Instant::now() + CONFIRMED_WITHIN;
        for (client, node) in self.clients.iter().zip(&self.manifest.nodes) {
            loop {
                let (_, found) = client.get_any(&format!("v1/processes/{}", target.process)).await?;
                if found[field].as_u64().is_some_and(|found| found >= slot) {
                    break;
                }
                if Instant::now() > until {
                    let what = format!("node {} has `{field}` {} of process {}, not {slot}", node.name, found[field], target.process);
                    return Err(Failure::new(Exit::Verification, what));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// All nodes must have one and the same result for the last slot of each process.
    async fn agree(&self, targets: &[Target]) -> Result<(), Failure> {
        for target in targets {
            let path = format!("v1/processes/{}", target.process);
            let slot = self.clients[target.node].get(&path).await?["head"]["slot"].as_u64().unwrap_or_default();
            let mut first: Option<Value> = None;
            for (client, node) in self.clients.iter().zip(&self.manifest.nodes) {
                let until = Instant::now() + CONFIRMED_WITHIN;
                while client.get(&path).await?["evaluated"]["slot"].as_u64().is_none_or(|done| done < slot) && Instant::now() < until {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                let found = client.get(&format!("{path}/results/{slot}")).await?["result_hash"].clone();
                if first.get_or_insert_with(|| found.clone()) != &found {
                    let what = format!("slot {slot} of {}: node {} has result {found}, another {first:?}", target.process, node.name);
                    return Err(Failure::new(Exit::Verification, what));
                }
            }
        }
        Ok(())
    }

    fn threads(&self) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for (stage, seconds) in self.pids.iter().flat_map(|pid| threads(*pid)) {
            *all.entry(stage).or_default() += seconds;
        }
        all
    }

    /// What all nodes have sent to one another.
    async fn sent_bytes(&self) -> Result<f64, Failure> {
        let mut sum = 0.0;
        for node in &self.manifest.nodes {
            let text = Client::new(&node.metrics, CONFIRMED_WITHIN)?.get_bytes("metrics").await?;
            let text = String::from_utf8_lossy(&text);
            let lines = text.lines().filter(|line| line.starts_with("aonode_p2p_bytes_total{") && line.contains("direction=\"out\""));
            sum += lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(sum)
    }
}

fn report(context: &mut Context<'_>, arguments: &Bench, network: &Network, measured: &Measured) -> Result<Exit, Failure> {
    let Measured { messages, sending, took, posts, probes, client_cpu, stages, sent_bytes } = measured;
    let count = *messages as f64;
    let nodes = network.manifest.nodes.len();
    let each = count * nodes as f64;
    let rate = count / took.as_secs_f64();
    let build = if cfg!(debug_assertions) { "debug (slow: not a measurement)" } else { "release" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let machine = format!("{cores} cores shared by all nodes and the client, {}", processor());
    let signer = format!("{:?}", arguments.signer).to_lowercase();
    let node_cpu: f64 = stages.values().sum();
    let us = |seconds: f64| seconds * 1e6 / each;
    let mut shares: Vec<(&String, f64)> =
        stages.iter().map(|(stage, seconds)| (stage, *seconds)).filter(|(_, seconds)| *seconds > 0.0).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let offered = arguments.rate.map_or_else(|| format!("{} in flight", arguments.concurrency), |rate| format!("{rate}/s offered"));
    let shown = |seconds: f64| format!("{:.1} us", us(seconds));
    let record = json!({
        "setting": {
            "nodes": nodes, "plugin": network.manifest.plugin, "machine": machine, "build": build, "schedulers": arguments.schedulers,
            "processes": arguments.processes, "messages": messages, "load": offered, "payload_bytes": arguments.payload, "signer": signer,
            "durability": "synced", "version": crate::VERSION,
        },
        "seconds": took.as_secs_f64(), "sending_seconds": sending.as_secs_f64(), "confirmed_per_s": rate,
        "cpu_us_per_message_and_node": us(node_cpu), "client_cpu_us_per_message": client_cpu * 1e6 / count,
        "cpu_us_by_threads": shares.iter().map(|(stage, seconds)| ((*stage).clone(), json!(us(*seconds)))).collect::<serde_json::Map<_, _>>(),
        "sent_bytes_per_message_and_node": sent_bytes / each,
        "post": posts.record(), "assigned_to_certified": probes.certified().record(), "assigned_to_confirmed": probes.confirmed().record(),
        "assigned_to_computed": probes.computed().record(), "probes": probes.len(),
    });
    context.printer.record("bench-network/v1", record, || {
        let threads: Vec<String> = shares.iter().map(|(stage, seconds)| format!("{stage} {}", shown(*seconds))).collect();
        pairs(&[
            ("Nodes", format!("{nodes} processes, `{}`, {} of them schedule", network.manifest.plugin, arguments.schedulers)),
            ("Machine", machine.clone()),
            ("Build", build.to_owned()),
            ("Load", format!("{messages} messages over {} processes, {offered}", arguments.processes)),
            ("Message", format!("{} bytes of data, {signer} signature", arguments.payload)),
            ("Durability", "synced to disk before a post is answered or anything is signed".to_owned()),
            (
                "Confirmed",
                format!("{rate:.0} messages/s by all nodes ({:.2} s, posts took {:.2} s)", took.as_secs_f64(), sending.as_secs_f64()),
            ),
            ("POST", posts.human()),
            ("To certified", probes.certified().human()),
            ("To confirmed", probes.confirmed().human()),
            ("To computed", probes.computed().human()),
            ("Probes", format!("{}, from `assigned` on, as the scheduler's node tells it", probes.len())),
            ("Sent", format!("{:.0} bytes per message and node", sent_bytes / each)),
            ("CPU", format!("{} per message and node; {:.1} us per message in the client", shown(node_cpu), client_cpu * 1e6 / count)),
            ("CPU by threads", threads.join(", ")),
        ])
    })?;
    Ok(Exit::Ok)
}
