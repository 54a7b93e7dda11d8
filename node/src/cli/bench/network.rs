//! `bench --devnet`: what a network of real processes does with a load, from a post to the confirmation at every node.
//!
//! The load goes to the nodes that schedule; besides it one *probe* a scheduler gets a message every [`PROBE_EVERY`], and the events of its
//! process are followed on that scheduler's node: when a slot was assigned, certified, confirmed and computed. So latency is that of a
//! message under load, and following it costs the nodes next to nothing. The run is over when every node has confirmed every message, and
//! that moment counts for the rate. Afterwards all nodes must name one result for each process's last slot: else the command fails.
//!
//! Items are signed and requests put together before the clock starts (`line.rs`). What one check of a signature costs is measured in the
//! same run, because it bounds the rate: each node checks each message once (`consensus.md` §13). `stages.rs` says where the rest went.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ao_types::{DataItem, Id, Tag, Verified, Wallet};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::line::{self, Line, Said};
use super::machine::{cpu_seconds, processor, threads};
use super::probe::{Probe, Seen};
use super::stages::{Checks, Stages};
use super::times::Times;
use super::wallet_of;
use crate::cli::args::{Bench, BenchModule};
use crate::cli::client::Client;
use crate::cli::context::Context;
use crate::cli::devnet::processes::Registry;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::pairs;
use crate::cli::testnet::Manifest;
use crate::cli::{items, run, show};

/// How often a probe sends.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// How often nodes are asked how far they are.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often a node that is busy is asked again.
const BUSY_TRIES: usize = 200;
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

/// A message as it goes over the wire, and to which target.
struct Post {
    target: usize,
    request: Bytes,
}

/// What was measured.
struct Measured {
    /// Messages that were sent.
    messages: usize,
    checks: Checks,
    sending: Duration,
    took: Duration,
    posts: Times,
    probes: Seen,
    client_cpu: f64,
    /// Seconds of processor time of all nodes, by what their threads are called.
    stages: BTreeMap<String, f64>,
    /// What all nodes counted meanwhile.
    counted: Counted,
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
    let (posts, sample) = signed(network, arguments, &wallet, &targets)?;
    let checks = Checks::measure(&sample, &quick)?;
    let (cpu, nodes, before) = (cpu_seconds(), network.threads(), network.counted().await?);
    let over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    for target in &probes {
        let probe = Probe::start(network.clients[target.node].clone(), target.process, quick.clone()).await?;
        running.spawn(probe.run(PROBE_EVERY, over.clone()));
    }
    let began = Instant::now();
    let times = drive(network, arguments, &targets, Arc::new(posts), began).await?;
    let (sending, messages) = (began.elapsed(), times.len());
    network.confirmed(&targets, messages).await?;
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
    let counted = network.counted().await?.since(&before);
    let client_cpu = cpu_seconds() - cpu;
    network.agree(&targets).await?;
    Ok(Measured { messages, checks, sending, took, posts: Times::new(times), probes: seen, client_cpu, stages, counted })
}

/// All messages, spread over the processes in turn, and one of them. Signing is what takes longest of all, so every core helps.
fn signed(network: &Network, arguments: &Bench, wallet: &Wallet, targets: &[Target]) -> Result<(Vec<Post>, Verified<DataItem>), Failure> {
    let data = "x".repeat(arguments.payload).into_bytes();
    let message = |target: usize| items::message(wallet, targets[target].process, vec![Tag::new("Action", "Count")], data.clone());
    let sign = |at: usize| {
        let target = at % targets.len();
        Ok(Post { target, request: line::request(network.address(targets[target].node), &message(target)?) })
    };
    let messages = arguments.rate.zip(arguments.seconds).map_or(arguments.messages, |(rate, seconds)| rate as usize * seconds as usize);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let part = messages.div_ceil(workers).max(1);
    let ranges = (0..workers).map(|n| (n * part).min(messages)..((n + 1) * part).min(messages));
    let parts: Vec<Result<Vec<Post>, Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = ranges.map(|range| scope.spawn(|| range.map(sign).collect())).collect();
        let bug = |_| Err(Failure::new(Exit::Bug, "a thread that signs messages panicked"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(bug)).collect()
    });
    let posts = parts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    Ok((posts, message(0)?))
}

/// Posts everything, each when it is due, with so many in flight at most, until all is sent or the time is over. Gives the time of each
/// post: from when it was due.
async fn drive(
    network: &Network,
    arguments: &Bench,
    targets: &[Target],
    posts: Arc<Vec<Post>>,
    began: Instant,
) -> Result<Vec<Duration>, Failure> {
    let addresses: Vec<String> = targets.iter().map(|target| network.address(target.node).to_owned()).collect();
    let (addresses, next) = (Arc::new(addresses), Arc::new(AtomicUsize::new(0)));
    let pause = arguments.rate.map(|rate| 1.0 / f64::from(rate.max(1)));
    let until = arguments.seconds.map(|seconds| began + Duration::from_secs(seconds.into()));
    let mut workers = JoinSet::new();
    for _ in 0..arguments.concurrency {
        let (addresses, next, posts) = (addresses.clone(), next.clone(), posts.clone());
        workers.spawn(async move {
            let (mut times, mut lines) = (Vec::new(), BTreeMap::new());
            // Whoever takes a number sends it: what was sent is everything up to the last one.
            while until.is_none_or(|until| pause.is_some() || Instant::now() < until) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(post) = posts.get(at) else { break };
                let due = pause.map_or_else(Instant::now, |pause| began + Duration::from_secs_f64(pause * at as f64));
                tokio::time::sleep_until(due.into()).await;
                let address = &addresses[post.target];
                let line = match lines.remove(address) {
                    Some(line) => line,
                    None => Line::open(address).await?,
                };
                let line = lines.entry(address.clone()).or_insert(line);
                submit(line, &post.request).await?;
                times.push(due.elapsed());
            }
            Ok::<_, Failure>(times)
        });
    }
    let mut times = Vec::with_capacity(posts.len());
    while let Some(worker) = workers.join_next().await {
        times.extend(worker.map_err(|error| Failure::new(Exit::Bug, error.to_string()))??);
    }
    Ok(times)
}

/// A node that says it is busy is asked again: that is part of the time.
async fn submit(line: &mut Line, request: &[u8]) -> Result<(), Failure> {
    for _ in 0..BUSY_TRIES {
        if line.post(request).await? == Said::Taken {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(Failure::new(Exit::NotReady, format!("a node was busy {BUSY_TRIES} times in a row")))
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

    /// Host and port of a node.
    fn address(&self, node: usize) -> &str {
        self.manifest.nodes[node].api.trim_start_matches("http://").trim_end_matches('/')
    }

    fn threads(&self) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for (stage, seconds) in self.pids.iter().flat_map(|pid| threads(*pid)) {
            *all.entry(stage).or_default() += seconds;
        }
        all
    }

    /// What all nodes have counted so far.
    async fn counted(&self) -> Result<Counted, Failure> {
        let mut sum = Counted::default();
        for node in &self.manifest.nodes {
            let text = Client::new(&node.metrics, CONFIRMED_WITHIN)?.get_bytes("metrics").await?;
            let text = String::from_utf8_lossy(&text);
            let of = |name: &str, label: &str| -> f64 {
                let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
                lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
            };
            sum.sent_bytes += of("aonode_p2p_bytes_total{", "direction=\"out\"");
            sum.bls_seconds += of("aonode_bls_verify_seconds_sum", "");
            sum.synced += of("aonode_wal_fsync_seconds_count", "");
            sum.sync_seconds += of("aonode_wal_fsync_seconds_sum", "");
            sum.frames += of("aonode_certificate_seconds_count", "");
            sum.certificate_seconds += of("aonode_certificate_seconds_sum", "");
        }
        Ok(sum)
    }
}

/// Counters of all nodes together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counted {
    /// Bytes that they sent to one another.
    sent_bytes: f64,
    /// Checks of BLS signatures and sums.
    bls_seconds: f64,
    /// Writes that were synced, and how long they took.
    synced: f64,
    sync_seconds: f64,
    /// Frames that were certified, told by their schedulers, and how long that took from their publication.
    frames: f64,
    certificate_seconds: f64,
}

impl Counted {
    fn since(self, before: &Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes - before.sent_bytes,
            bls_seconds: self.bls_seconds - before.bls_seconds,
            synced: self.synced - before.synced,
            sync_seconds: self.sync_seconds - before.sync_seconds,
            frames: self.frames - before.frames,
            certificate_seconds: self.certificate_seconds - before.certificate_seconds,
        }
    }
}

fn report(context: &mut Context<'_>, arguments: &Bench, network: &Network, measured: &Measured) -> Result<Exit, Failure> {
    let Measured { messages, checks, sending, took, posts, probes, client_cpu, stages, counted } = measured;
    let count = *messages as f64;
    let nodes = network.manifest.nodes.len();
    let each = count * nodes as f64;
    let rate = count / took.as_secs_f64();
    let build = if cfg!(debug_assertions) { "debug (slow: not a measurement)" } else { "release" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let machine = format!("{cores} cores shared by all nodes and the client, {}", processor());
    let signer = format!("{:?}", arguments.signer).to_lowercase();
    let bound = checks.bound(cores, nodes);
    let stages = Stages::new(stages, *checks, each, counted.bls_seconds);
    let offered = arguments.rate.map_or_else(|| format!("{} in flight", arguments.concurrency), |rate| format!("{rate}/s offered"));
    let per_frame = |value: f64| if counted.frames > 0.0 { value / counted.frames } else { 0.0 };
    let sync_ms = if counted.synced > 0.0 { counted.sync_seconds * 1e3 / counted.synced } else { 0.0 };
    let frames = json!({
        "certified": counted.frames, "messages_each": per_frame(count), "published_to_certified_ms": per_frame(counted.certificate_seconds * 1e3),
        "synced_writes_each_and_node": per_frame(counted.synced) / nodes as f64, "synced_write_ms": sync_ms,
    });
    let record = json!({
        "setting": {
            "nodes": nodes, "plugin": network.manifest.plugin, "machine": machine, "build": build, "schedulers": arguments.schedulers,
            "processes": arguments.processes, "messages": messages, "load": offered, "payload_bytes": arguments.payload, "signer": signer,
            "durability": "synced", "version": crate::VERSION,
        },
        "seconds": took.as_secs_f64(), "sending_seconds": sending.as_secs_f64(), "confirmed_per_s": rate,
        "bound_per_s": bound, "of_bound": rate / bound, "client_cpu_us_per_message": client_cpu * 1e6 / count,
        "cpu": stages.record(), "frames": frames, "sent_bytes_per_message_and_node": counted.sent_bytes / each,
        "post": posts.record(), "assigned_to_certified": probes.certified().record(), "assigned_to_confirmed": probes.confirmed().record(),
        "assigned_to_computed": probes.computed().record(), "probes": probes.len(),
    });
    context.printer.record("bench-network/v2", record, || {
        pairs(&[
            ("Nodes", format!("{nodes} processes, `{}`, {} of them schedule", network.manifest.plugin, arguments.schedulers)),
            ("Machine", machine.clone()),
            ("Build", build.to_owned()),
            ("Load", format!("{messages} messages over {} processes, {offered}", arguments.processes)),
            ("Message", format!("{} bytes of data, {signer} signature, signed before the clock started", arguments.payload)),
            ("Durability", "synced to disk before a post is answered or anything is signed".to_owned()),
            (
                "Confirmed",
                format!("{rate:.0} messages/s by all nodes ({:.2} s, posts took {:.2} s)", took.as_secs_f64(), sending.as_secs_f64()),
            ),
            ("Bound", format!("{bound:.0}/s if nodes did nothing but check messages ({checks}); {:.2} of it reached", rate / bound)),
            ("POST", posts.human()),
            ("To certified", probes.certified().human()),
            ("To confirmed", probes.confirmed().human()),
            ("To computed", probes.computed().human()),
            ("Probes", format!("{}, from `assigned` on, as the scheduler's node tells it", probes.len())),
            (
                "Frames",
                format!(
                    "{:.0} with {:.1} messages each, certified {:.1} ms after they were published; {:.1} synced writes of {sync_ms:.1} ms each and node",
                    counted.frames,
                    per_frame(count),
                    per_frame(counted.certificate_seconds * 1e3),
                    per_frame(counted.synced) / nodes as f64
                ),
            ),
            ("Sent", format!("{:.0} bytes per message and node", counted.sent_bytes / each)),
            ("CPU", format!("{:.1} us per message and node; {:.1} us per message in the client", stages.total(), client_cpu * 1e6 / count)),
            ("CPU by stage", stages.human()),
            ("Beyond", format!("{:.1} us per message and node beyond signature checks and evaluation", stages.beyond())),
        ])
    })?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_does_not_count() {
        let before = Counted { sent_bytes: 1.0, bls_seconds: 2.0, synced: 3.0, sync_seconds: 4.0, frames: 5.0, certificate_seconds: 6.0 };
        let after =
            Counted { sent_bytes: 11.0, bls_seconds: 22.0, synced: 33.0, sync_seconds: 44.0, frames: 55.0, certificate_seconds: 66.0 };
        let since =
            Counted { sent_bytes: 10.0, bls_seconds: 20.0, synced: 30.0, sync_seconds: 40.0, frames: 50.0, certificate_seconds: 60.0 };
        assert_eq!(after.since(&before), since);
    }
}
