//! Processes that misbehave (F26–F28, F33): each ends in a typed error, its state is as before, others are answered meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::modules::{AOS_32, AOS_64, Aos};
use ao_testnet::node::{Node, Setup};
use ao_testnet::{full, say};
use ao_types::Id;
use serde_json::Value;

use super::bystander::Bystander;

/// The shipped promise is 100 ms on a release build; unoptimised builds on a busy machine get this much.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

async fn node(folder: &std::path::Path) -> Result<Node> {
    Setup::new(folder.join("data")).config("compute.workers", 2).start().await
}

/// Bombs in Lua, for the Lua machine and for AOS alike.
const BOMBS: [(&str, &str); 9] = [
    ("endless loop", "Kept = 'lost' while true do end"),
    ("endless loop that catches errors", "Kept = 'lost' while true do pcall(function () while true do end end) end"),
    ("memory by doubling", "Kept = 'lost' local s = 'x' while true do s = s .. s end"),
    ("memory by tables", "Kept = 'lost' local t = {} while true do t[#t + 1] = { string.rep('x', 1000) } end"),
    ("one huge string", "Kept = 'lost' return #string.rep('x', 1 << 36)"),
    ("deep recursion", "Kept = 'lost' local function f(n) return 1 + f(n + 1) end return f(0)"),
    (
        "recursion through metatables",
        "Kept = 'lost' local t = setmetatable({}, {}) getmetatable(t).__index = function (_, k) return t[k .. 'x'] end return t.a",
    ),
    (
        "evil pattern",
        "Kept = 'lost' return string.find(string.rep('a', 300), string.rep('a?', 300) .. string.rep('a', 300) .. 'b') or error('no match, but in time')",
    ),
    ("a hundred thousand messages", "Kept = 'lost' for i = 1, 100000 do Send({ Target = 'x', Data = 'y' }) end"),
];

/// Those that AOS ends soon: its fuel lasts for half a minute of looping, so the others are for full runs.
const QUICK_IN_AOS: [&str; 4] = ["memory by doubling", "one huge string", "deep recursion", "recursion through metatables"];

async fn bombard(client: &Client, base: &str, owner: &Person, process: Id, bomb: (&str, &str)) -> Result<String> {
    client.eval(owner, process, "Kept = 'safe'").await?;
    let bystander = Bystander::start(base).await?;
    let started = Instant::now();
    let message = owner.eval(process, bomb.1);
    let result: Value = client.call(process, &message).await?;
    let took = started.elapsed();
    let answers = bystander.stop().await?;
    let error = result["Error"].as_str().map(str::to_owned).with_context(|| format!("a bomb ends in an error: {result}"))?;
    ensure!(!error.is_empty() && error.len() < 64 << 10, "an error is a text of some length: {} bytes", error.len());
    ensure!(result["Messages"].as_array().is_some_and(Vec::is_empty), "nothing is sent: {result}");
    let kept = client.eval(owner, process, "Kept").await?;
    // some builds of AOS warn about the slot that failed before they answer
    ensure!(kept.ends_with("safe"), "the state is as before, not {kept}");
    ensure!(answers.worst() < ANSWERED_WITHIN, "others waited {:?} ({answers})", answers.worst());
    // asked again it is the same result, not another attempt
    ensure!(client.result(process, message.id).await? == result, "the result changed");
    let short: String = error.chars().filter(|c| !c.is_control()).take(70).collect();
    Ok(format!("{:.0} ms, \"{short}\", others: {answers}", took.as_secs_f64() * 1e3))
}

#[tokio::test(flavor = "multi_thread")]
async fn lua_bombs_end_in_errors_while_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node(folder.path()).await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("bomber");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    for bomb in BOMBS {
        match bombard(&client, node.base(), &owner, process, bomb).await {
            Ok(line) => say(format_args!("lua, {}: {line}", bomb.0)),
            Err(error) => panic!("{}: {error:#}\n{}", bomb.0, node.log().tail(20)),
        }
        node.alive().unwrap();
    }
    say(format_args!("resident after the bombs: {} MiB", node.resident().unwrap() >> 20));
    let _ = node.stop().await.unwrap();
}

async fn aos(module: Aos) {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node(folder.path()).await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("bomber");
    let id = client.upload(&owner.module(module.format, "512-mb", module.read().unwrap())).await.unwrap();
    let process = client.spawn(&owner, Some(id), &[], " ").await.unwrap();
    for bomb in BOMBS.into_iter().filter(|bomb| full() || QUICK_IN_AOS.contains(&bomb.0)) {
        match bombard(&client, node.base(), &owner, process, bomb).await {
            Ok(line) => say(format_args!("{}, {}: {line}", module.file, bomb.0)),
            Err(error) => panic!("{}, {}: {error:#}\n{}", module.file, bomb.0, node.log().tail(20)),
        }
        node.alive().unwrap();
    }
    let _ = node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn aos_64_bombs_end_in_errors_while_others_are_answered() {
    aos(AOS_64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aos_32_bombs_end_in_errors_while_others_are_answered() {
    aos(AOS_32).await;
}

/// F33: a message that fails every time takes its slot and no more; those behind it go on, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_takes_one_slot() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    client.eval(&owner, process, "N = 0 Handlers.add('Poison', 'Poison', function () while true do end end) Handlers.add('Add', 'Add', function () N = N + 1 end)").await.unwrap();
    let poison = owner.message(process, &[("Action", "Poison")], " ");
    client.send(&poison).await.unwrap();
    let mut last = None;
    for n in 0..10 {
        last = Some(client.send(&owner.message(process, &[("Action", "Add")], format!("{n}"))).await.unwrap());
    }
    // killed in the middle of the endless loop: the next life takes up the same slot and goes on behind it
    let node = node.kill().await.unwrap().start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    assert!(client.result(process, last.unwrap()).await.unwrap().get("Error").is_none());
    assert!(client.result(process, poison.id).await.unwrap()["Error"].is_string());
    assert_eq!(client.peek(&owner, process, "N").await.unwrap(), "10");
    let _ = node.stop().await.unwrap();
}

/// A dry run is no way round the limits, and its bombs do not hold up the log.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_in_dry_runs_end_too() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    client.eval(&owner, process, "Kept = 1").await.unwrap();
    let bystander = Bystander::start(node.base()).await.unwrap();
    let bombs: Vec<_> = (0..4).map(|_| client.peek(&owner, process, "(function () while true do end end)()")).collect();
    for bomb in futures::future::join_all(bombs).await {
        assert!(bomb.is_err(), "an endless dry run answered {bomb:?}");
    }
    let answers = bystander.stop().await.unwrap();
    say(format_args!("four endless dry runs; others: {answers}"));
    assert!(answers.worst() < ANSWERED_WITHIN, "others waited {:?}", answers.worst());
    assert_eq!(client.peek(&owner, process, "Kept").await.unwrap(), "1");
    let _ = node.stop().await.unwrap();
}
