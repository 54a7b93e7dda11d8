//! A panic in a thread of a real process (F52): where the node lives by the thread it ends at once and begins again from its store;
//! elsewhere it costs the job at hand, and the node goes on.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ao_testnet::client::Client;
use ao_testnet::node::Setup;
use ao_testnet::say;
use reqwest::StatusCode;

use super::workload::{Workload, accepted};

const MESSAGES: usize = 6;

async fn prepared(folder: &std::path::Path) -> Result<(Setup, Workload)> {
    let setup = Setup::new(folder.join("data"));
    let node = setup.start().await?;
    let workload = Workload::prepare(&Client::new(node.base())?).await?;
    let _ = node.stop().await?;
    Ok((setup, workload))
}

/// The process ends by SIGABRT, says which thread it was, and the next life has everything that was acknowledged.
async fn ends_the_process(place: &str, thread: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (setup, workload) = prepared(folder.path()).await?;
    let node = setup.clone().env("AONODE_PANIC", place).start().await?;
    let client = Client::new(node.base())?;
    let items: Vec<_> = (0..MESSAGES).map(|n| workload.message(n)).collect();
    let mut acknowledged = 0;
    for item in &items {
        match client.post("/", item).await {
            Ok(answer) if accepted(&answer)? => acknowledged += 1,
            Ok(_) | Err(_) => break,
        }
    }
    let (_, status, log) = node.ended(Duration::from_secs(30)).await?;
    ensure!(status.signal() == Some(libc::SIGABRT), "it ended with {status}");
    let line = log.lines().find(|line| line.contains("thread_panicked")).with_context(|| format!("the log says why: {log}"))?;
    ensure!(line.contains(&format!("\"{thread}\"")) && log.contains("AONODE_PANIC"), "{log}");

    let node = setup.start().await.context("the start after the panic")?;
    let client = Client::new(node.base())?;
    for item in &items[..acknowledged] {
        let again = client.post("/", item).await?;
        ensure!(
            again.json["code"] == "AON-1004" || again.text().contains("MessageExists") || again.status.is_success(),
            "{}",
            again.text()
        );
    }
    for item in &items {
        ensure!(accepted(&client.post("/", item).await?)?);
    }
    workload.check(&client, &items).await?;
    super::fold::same_as_undisturbed(&client, workload.sender).await?;
    let _ = node.stop().await?;
    say(format_args!("panic at {place}: {acknowledged} of {MESSAGES} acknowledged before the abort, all there after the start"));
    Ok(())
}

/// The node goes on, everybody is answered in the end, and the state is that of an undisturbed run.
async fn costs_one_job(place: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (setup, workload) = prepared(folder.path()).await?;
    let mut node = setup.env("AONODE_PANIC", place).start().await?;
    let client = Client::new(node.base())?;
    let items: Vec<_> = (0..MESSAGES).map(|n| workload.message(n)).collect();
    let mut refused = 0;
    for item in &items {
        // What a panic cost is asked for again, as a client does.
        for attempt in 0.. {
            let answer = client.post("/", item).await?;
            if answer.status != StatusCode::INTERNAL_SERVER_ERROR {
                ensure!(accepted(&answer)?, "{}", answer.text());
                break;
            }
            ensure!(attempt == 0 && answer.json["code"].is_string(), "{}", answer.text());
            refused += 1;
        }
    }
    workload.check(&client, &items).await?;
    super::fold::same_as_undisturbed(&client, workload.sender).await?;
    super::fold::same_as_undisturbed(&client, workload.receiver).await?;
    node.alive()?;
    let log = node.log().text();
    ensure!(log.contains("job_panicked") && !log.contains("thread_panicked"), "{log}");
    let _ = node.stop().await?;
    say(format_args!("panic at {place}: {refused} requests refused, the node went on"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_core_or_the_writer_ends_the_process_and_loses_nothing() {
    for (place, thread) in [("core:20", "core"), ("write:8", "write")] {
        ends_the_process(place, thread).await.unwrap_or_else(|error| panic!("{place}: {error:#}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_any_other_worker_costs_one_job() {
    for place in ["evaluate:3", "verify:2", "sign:2", "push:2"] {
        costs_one_job(place).await.unwrap_or_else(|error| panic!("{place}: {error:#}"));
    }
}

/// A reader's panic, and one in a request handler: that answer is an error, the next is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_request_costs_that_request() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, workload) = prepared(folder.path()).await.unwrap();
    let mut node = setup.env("AONODE_PANIC", "http:1").start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let path = format!("/result/{}?process-id={}", workload.sender, workload.sender);
    let first = client.get(&path).await.unwrap();
    assert_eq!(first.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", first.text());
    assert!(first.json["error"].is_string(), "{}", first.text());
    let second = client.get(&path).await.unwrap();
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    node.alive().unwrap();
    let (setup, _, log) = node.stop().await.unwrap();
    assert!(log.contains("AONODE_PANIC"), "{log}");

    let mut node = setup.env("AONODE_PANIC", "read:1").start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = ao_testnet::items::Person::named("owner");
    assert!(client.peek(&owner, workload.sender, "Sent").await.is_err());
    assert_eq!(client.peek(&owner, workload.sender, "Sent").await.unwrap(), "0");
    node.alive().unwrap();
    let _ = node.stop().await.unwrap();
}
