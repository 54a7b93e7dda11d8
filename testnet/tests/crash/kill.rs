//! kill -9 in the middle of a thousand messages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ao_testnet::client::Client;
use ao_testnet::items::Item;
use ao_testnet::node::{Node, Setup, since};
use ao_testnet::random::Random;
use ao_testnet::{count, say};
use futures::StreamExt as _;
use tokio::sync::watch;

use super::workload::{Workload, accepted};

/// Clients that send at the same time.
const CLIENTS: usize = 8;
const MESSAGES: usize = 1000;
const KILLS: usize = 20;

/// Sends one message until a node has it for good, over as many lives of the node as it takes.
async fn deliver(item: &Item, address: &mut watch::Receiver<String>, done: &AtomicUsize) -> Result<()> {
    loop {
        let base = address.borrow_and_update().clone();
        let client = Client::new(&base)?;
        match client.post("/", item).await {
            Ok(answer) if accepted(&answer)? => {
                done.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            // killed meanwhile: the next life has another address
            Err(_) => drop(tokio::time::timeout(Duration::from_secs(60), address.changed()).await),
        }
    }
}

/// Kills and restarts the node each time one of the points is reached; gives the last life.
async fn tormentor(mut node: Node, points: BTreeSet<usize>, done: Arc<AtomicUsize>, address: watch::Sender<String>) -> Result<Node> {
    for point in points {
        while done.load(Ordering::Relaxed) < point {
            node.alive()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        node = node.kill().await?.start().await.with_context(|| format!("after the kill at {point} messages"))?;
        address.send_replace(node.base().to_owned());
    }
    Ok(node)
}

async fn disturbed(messages: usize, kills: usize, random: &mut Random) -> Result<()> {
    let started = Instant::now();
    let folder = tempfile::tempdir()?;
    let node = Setup::new(folder.path().join("data")).start().await?;
    let workload = Workload::prepare(&Client::new(node.base())?).await?;
    let items: Vec<Item> = (0..messages).map(|n| workload.message(n)).collect();

    let mut points = BTreeSet::new();
    while points.len() < kills {
        points.insert(1 + random.below(messages as u64 - 1) as usize);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let (address, listening) = watch::channel(node.base().to_owned());
    let tormentor = tokio::spawn(tormentor(node, points, Arc::clone(&done), address));
    let sent = futures::stream::iter(&items)
        .map(|item| {
            let (mut listening, done) = (listening.clone(), Arc::clone(&done));
            async move { deliver(item, &mut listening, &done).await }
        })
        .buffer_unordered(CLIENTS)
        .collect::<Vec<Result<()>>>()
        .await;
    let node = tormentor.await??;
    sent.into_iter().collect::<Result<Vec<()>>>()?;
    let client = Client::new(node.base())?;
    workload.check(&client, &items).await.with_context(|| format!("the node's last lines:\n{}", node.log().tail(30)))?;
    super::fold::same_as_undisturbed(&client, workload.sender).await?;
    super::fold::same_as_undisturbed(&client, workload.receiver).await?;
    let _ = node.stop().await?;
    say(format_args!("{messages} messages, {kills} kills: {}", since(started)));
    Ok(())
}

/// Twenty kills within one run of a thousand messages.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_in_a_thousand_messages_lose_nothing() {
    let mut random = Random::announced("twenty kills");
    disturbed(MESSAGES, KILLS, &mut random).await.unwrap();
}

/// Twenty runs of a thousand messages with a kill in each; with fewer and shorter ones unless all is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_a_random_point_of_a_run_loses_nothing() {
    let mut random = Random::announced("one kill");
    for _ in 0..count(2, KILLS) {
        disturbed(count(150, MESSAGES), 1, &mut random).await.unwrap();
    }
}
