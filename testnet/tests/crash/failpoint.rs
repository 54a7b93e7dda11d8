//! An abort right before and right after the k-th write, for every k that a small history has (F1).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ao_testnet::client::Client;
use ao_testnet::node::Setup;
use ao_testnet::{count, say};

use super::workload::{Workload, accepted};

const MESSAGES: usize = 5;

/// One history with the node dying at a write of its second life (`k`: before it, `k+`: after it); false when it never got that far.
async fn dies_at(point: &str) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::new(folder.path().join("data"));
    let node = setup.start().await?;
    let workload = Workload::prepare(&Client::new(node.base())?).await?;
    let _ = node.stop().await?;

    let dying = setup.clone().env("AONODE_FP", point);
    // the abort may come while the node starts, while it takes messages, or while it pushes
    let died = match dying.start().await {
        Err(_) => true,
        Ok(node) => {
            let lost = lost_answers(&Client::new(node.base())?, &workload).await?;
            if lost {
                let ended = node.ended(Duration::from_secs(30)).await;
                ended.context("answers were lost, but the node goes on")?;
            }
            lost
        }
    };

    let node = setup.without_env("AONODE_FP").start().await.context("the start after the abort")?;
    let client = Client::new(node.base())?;
    let items: Vec<_> = (0..MESSAGES).map(|n| workload.message(n)).collect();
    for item in &items {
        let answer = client.post("/", item).await?;
        ensure!(accepted(&answer)?, "{}", answer.text());
    }
    workload.check(&client, &items).await?;
    super::fold::same_as_undisturbed(&client, workload.sender).await?;
    super::fold::same_as_undisturbed(&client, workload.receiver).await?;
    Ok(died)
}

/// Sends the messages and waits until they have settled; true when the node stopped answering on the way.
async fn lost_answers(client: &Client, workload: &Workload) -> Result<bool> {
    for n in 0..MESSAGES {
        match client.post("/", &workload.message(n)).await {
            Ok(answer) => ensure!(accepted(&answer)?, "message {n} was put off: {}", answer.text()),
            Err(_) => return Ok(true),
        }
    }
    Ok(workload.settled(client, MESSAGES).await.is_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_at_any_write_leaves_a_state_to_go_on_from() {
    let most = count(7, 200);
    for after in ["", "+"] {
        let mut aborts = 0;
        for k in 1..=most {
            let point = format!("{k}{after}");
            if !dies_at(&point).await.unwrap_or_else(|error| panic!("AONODE_FP={point}: {error:#}")) {
                break;
            }
            aborts += 1;
        }
        say(format_args!("aborts {} writes 1 to {aborts}", if after.is_empty() { "before" } else { "after" }));
        assert!(aborts >= 7, "the fail point bit only {aborts} times");
    }
}
