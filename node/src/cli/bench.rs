//! `bench`: the whole path over HTTP, from a signed item to its result.
//!
//! Every message is posted (answered when its slot is durable), then its result is asked for (answered when it is evaluated). Items are
//! signed before the clock starts, over persistent connections, by a client inside this process that shares the machine with the node:
//! figures are of both together. When all is done each process is asked how many messages it counted; a wrong count fails the command.
//! A whole network is measured by `bench/network.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ao_types::{DataItem, Id, Signer as _, Tag, Verified, Wallet};
use serde_json::json;

use super::args::{Arweave, Bench, BenchModule};
use super::client::Client;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::pairs;
use super::run::{self, Home};
use super::service::{Service, Setup};
use super::{items, online, show};
use crate::demo::{modules, wallets};
use crate::keys::Kind;

mod line;
mod machine;
mod network;
mod probe;
mod stages;
mod times;

use machine::{cpu_seconds, processor};
use times::Times;

/// More would only fill the client's memory: each message is kept signed.
const MESSAGES_MAX: usize = 1_000_000;
const PROCESSES_MAX: usize = 10_000;
const CONCURRENCY_MAX: usize = 1_024;
const PAYLOAD_MAX: usize = 1 << 20;

/// What a process is evaluated with: it counts the messages it got.
const LUA: &str = "N = N or 0; Handlers.add('count', 'Count', function(msg) N = N + 1; print(N) end)";

/// `bench`.
pub fn bench(context: &mut Context<'_>, arguments: &Bench) -> Result<Exit, Failure> {
    for (flag, value, most) in [
        ("--messages", arguments.messages, MESSAGES_MAX),
        ("--processes", arguments.processes, PROCESSES_MAX),
        ("--concurrency", arguments.concurrency, CONCURRENCY_MAX),
    ] {
        if value == 0 || value > most {
            return Err(Failure::usage(format!("{flag} {value}: between 1 and {most}")));
        }
    }
    let wanted = arguments.rate.zip(arguments.seconds).map_or(1, |(rate, seconds)| rate as usize * seconds as usize);
    if wanted == 0 || wanted > MESSAGES_MAX {
        return Err(Failure::usage(format!("--rate and --seconds ask for {wanted} messages: between 1 and {MESSAGES_MAX}")));
    }
    if arguments.payload > PAYLOAD_MAX {
        return Err(Failure::usage(format!("--payload {}: at most {PAYLOAD_MAX}", arguments.payload)));
    }
    if let Some(folder) = &arguments.devnet {
        return network::bench(context, arguments, folder);
    }
    run::runtime()?.block_on(async {
        if arguments.remote {
            let client = context.client()?;
            return measure(context, arguments, client, None).await;
        }
        let home = Home::new(None)?;
        let loaded = run::dev_config(context, &home, Some(0), (&Arweave::None, false), "warn")?;
        let levels = run::log(context, &loaded)?;
        let (data, _) = home.open()?;
        let service = Service::start(Setup {
            loaded,
            data,
            member: None,
            levels,
            accounts: Vec::new(),
            modules: home.modules(),
            worker: run::worker(),
        })
        .await?;
        let client = Client::new(service.api(), context.globals.timeout.0.max(Duration::from_secs(180)))?;
        let measured = measure(context, arguments, client, Some(&service)).await;
        service.stop().await;
        measured
    })
}

async fn measure(context: &mut Context<'_>, arguments: &Bench, client: Client, service: Option<&Service>) -> Result<Exit, Failure> {
    let wallet = wallet_of(arguments.signer)?;
    let identity = client.get("v1/identity").await?;
    let text = |field: &str| identity[field].as_str().unwrap_or_default().to_owned();
    let module = match arguments.module {
        BenchModule::Lua => text("module"),
        BenchModule::Aos => upload(&client).await?,
    };
    let mut processes = Vec::with_capacity(arguments.processes);
    for at in 0..arguments.processes {
        let tags = vec![Tag::new("Name", format!("bench {at}")), Tag::new("Authority", text("authority")), Tag::new("On-Boot", "Data")];
        let source = if arguments.module == BenchModule::Lua { LUA } else { "" };
        let item = items::process(&wallet, &module, &text("scheduler"), tags, source.as_bytes().to_vec())?;
        client.submit("v1/processes", &item).await?;
        let boot = client.result(&item.id(), &item.id()).await?;
        if let Some(error) = show::error(&boot) {
            return Err(Failure::new(Exit::ProcessError, format!("process {} did not boot: {error}", item.id())));
        }
        processes.push(item.id());
    }
    let messages = signed(arguments, &wallet, &processes)?;
    let cpu_before = cpu_seconds();
    let began = Instant::now();
    let (posts, results) = drive(client.clone(), messages, arguments.concurrency).await?;
    let took = began.elapsed();
    let cpu = cpu_seconds() - cpu_before;
    for (at, process) in processes.iter().enumerate() {
        let expected = arguments.messages / arguments.processes + usize::from(at < arguments.messages % arguments.processes);
        let found = count(&client, &wallet, *process).await?;
        if found != expected.to_string() {
            let what = format!("process {process} counted {found} of {expected} messages");
            return Err(Failure::new(Exit::Verification, what));
        }
    }
    report(context, arguments, service, took, cpu, &Times::new(posts), &Times::new(results))
}

fn wallet_of(kind: Kind) -> Result<Wallet, Failure> {
    let bug = |error: &dyn std::fmt::Display| Failure::new(Exit::Bug, error.to_string());
    match kind {
        Kind::Rsa => Ok(wallets::wallets(wallets::NETWORK).map_err(|error| bug(&error))?.swap_remove(0)),
        Kind::Ed25519 => Wallet::generate_ed25519().map_err(|error| bug(&error)),
        Kind::Ethereum => Wallet::generate_ethereum().map_err(|error| bug(&error)),
    }
}

async fn upload(client: &Client) -> Result<String, Failure> {
    let code =
        modules::load().map_err(|error| Failure::new(Exit::NotFound, error.to_string()).fix("run .ci/modules, or use --module lua"))?;
    let bug = |error: &dyn std::fmt::Display| Failure::new(Exit::Bug, error.to_string());
    let [signer, _] = wallets::node(wallets::NETWORK).map_err(|error| bug(&error))?;
    let item = modules::item(code, &signer).map_err(|error| bug(&error))?;
    client.submit("gateway/tx", &item).await?;
    Ok(item.id().to_string())
}

type Message = (Id, Verified<DataItem>);

/// All messages, spread over the processes in turn.
fn signed(arguments: &Bench, wallet: &Wallet, processes: &[Id]) -> Result<Vec<Message>, Failure> {
    let (action, data) = match arguments.module {
        BenchModule::Lua => ("Count", "x".repeat(arguments.payload)),
        BenchModule::Aos => ("Eval", format!("N = (N or 0) + 1; return N --{}", "x".repeat(arguments.payload))),
    };
    let sign = |at: usize| {
        let process = processes[at % processes.len()];
        Ok((process, items::message(wallet, process, vec![Tag::new("Action", action)], data.clone().into_bytes())?))
    };
    (0..arguments.messages).map(sign).collect()
}

/// Sends everything with `concurrency` requests in flight. Gives the time of each post, and of each post with its result.
async fn drive(client: Client, messages: Vec<Message>, concurrency: usize) -> Result<(Vec<Duration>, Vec<Duration>), Failure> {
    let (messages, next) = (Arc::new(messages), Arc::new(AtomicUsize::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        let (client, messages, next) = (client.clone(), Arc::clone(&messages), Arc::clone(&next));
        workers.spawn(async move {
            let mut times = Vec::new();
            while let Some((process, item)) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                let began = Instant::now();
                client.submit("v1/messages", item).await?;
                let posted = began.elapsed();
                let result = client.result(process, &item.id()).await?;
                if let Some(error) = show::error(&result) {
                    return Err(Failure::new(Exit::ProcessError, format!("message {}: {error}", item.id())));
                }
                times.push((posted, began.elapsed()));
            }
            Ok::<_, Failure>(times)
        });
    }
    let (mut posts, mut wholes) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
    while let Some(worker) = workers.join_next().await {
        let times = worker.map_err(|error| Failure::new(Exit::Bug, error.to_string()))??;
        posts.extend(times.iter().map(|(post, _)| *post));
        wholes.extend(times.iter().map(|(_, whole)| *whole));
    }
    Ok((posts, wholes))
}

async fn count(client: &Client, wallet: &Wallet, process: Id) -> Result<String, Failure> {
    let message = online::dry_message(&process, &wallet.address().to_string(), &[Tag::new("Action", "Eval")], "return tostring(N)");
    let result = client.dry_run(&process, &message).await?;
    let words = show::words(&result["Output"]).unwrap_or_default();
    Ok(words.chars().filter(char::is_ascii_digit).collect())
}

fn report(
    context: &mut Context<'_>,
    arguments: &Bench,
    service: Option<&Service>,
    took: Duration,
    cpu: f64,
    posts: &Times,
    wholes: &Times,
) -> Result<Exit, Failure> {
    let rate = arguments.messages as f64 / took.as_secs_f64();
    let build = if cfg!(debug_assertions) { "debug (slow: not a measurement)" } else { "release" };
    let node = service.map_or_else(|| context.globals.endpoint.clone(), |service| format!("1, in this process, {}", service.api()));
    let machine = format!("{} cores, {}", std::thread::available_parallelism().map_or(0, usize::from), processor());
    let (signer, module) = (format!("{:?}", arguments.signer).to_lowercase(), format!("{:?}", arguments.module).to_lowercase());
    let durability = "synced to disk before a post is answered";
    let resident = super::limits::resident_bytes();
    let record = json!({
        "setting": {
            "nodes": node, "machine": machine, "build": build, "processes": arguments.processes, "messages": arguments.messages,
            "concurrency": arguments.concurrency, "payload_bytes": arguments.payload, "signer": signer, "module": module,
            "durability": durability, "client": "in the same process, persistent connections, items signed beforehand", "version": crate::VERSION,
        },
        "seconds": took.as_secs_f64(), "messages_per_s": rate, "cpu_ms_per_message": cpu * 1e3 / arguments.messages as f64,
        "resident_bytes": resident, "post": posts.record(), "post_and_result": wholes.record(),
    });
    context.printer.record("bench/v1", record, || {
        pairs(&[
            ("Nodes", node.clone()),
            ("Machine", machine.clone()),
            ("Build", build.to_owned()),
            (
                "Load",
                format!("{} messages over {} processes, {} in flight", arguments.messages, arguments.processes, arguments.concurrency),
            ),
            ("Message", format!("{} bytes of data, {signer} signature, {module} module", arguments.payload)),
            ("Durability", durability.to_owned()),
            ("Client", "in the same process, persistent connections, items signed beforehand".to_owned()),
            ("Rate", format!("{rate:.0} messages/s ({:.2} s)", took.as_secs_f64())),
            ("CPU", format!("{:.2} ms per message, client included", cpu * 1e3 / arguments.messages as f64)),
            ("Resident", format!("{} MiB at the end", resident >> 20)),
            ("POST", posts.human()),
            ("POST + result", wholes.human()),
        ])
    })?;
    Ok(Exit::Ok)
}
