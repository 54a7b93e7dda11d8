//! Unmodified `@permaweb/aoconnect` 0.0.98 from npm against running nodes: every case of `suites/aoconnect`, against a node by itself and
//! against nodes of a network, with either engine.
//!
//! `AO_NODE=http://…` runs the same cases against another node; `AO_ONLY=cron,push` runs some of the files. `AONODE_FULL=1` asks each of
//! the four nodes of a network everything; otherwise one of them is asked what the network could spoil.

use ao_testnet::network::Plan;
use ao_testnet::{full, node::Setup, say, suite};

/// The acceptance list asks for at least so many.
const CASES_MIN: usize = 30;
/// A node that is neither the first nor the last.
const ONE_OF_FOUR: usize = 2;

/// What other nodes have a part in: a frame goes round the network before these files have their answers.
const OF_NETWORKS: [&str; 4] = ["assign", "dryrun", "messages", "results"];

/// Runs the suite, or some files of it, against a node; every case must pass.
async fn passes(base: &str, what: &str, only: &[&str], log: impl Fn() -> String) {
    let started = std::time::Instant::now();
    let outcome = suite::run_only("aoconnect", base, only).await.unwrap();
    say(format_args!("aoconnect 0.0.98 against {what}: {outcome:?} in {:.1} s", started.elapsed().as_secs_f64()));
    assert_eq!(outcome.failed, 0, "{what}: {outcome:?}; the node's last lines:\n{}", log());
    assert_eq!(outcome.skipped, 0, "{what}: {outcome:?}");
    if std::env::var_os("AO_ONLY").is_none() && only.is_empty() {
        assert!(outcome.passed >= CASES_MIN, "{what}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_aoconnect_works() {
    if let Ok(base) = std::env::var("AO_NODE") {
        return passes(&base, &base, &[], String::new).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut node = Setup::new(folder.path().join("data")).start().await.unwrap();
    passes(node.base(), "a node by itself", &[], || node.log().tail(40)).await;
    node.alive().unwrap();
    let (_, status, log) = node.stop().await.unwrap();
    assert!(status.success() || status.code() == Some(143), "the node ended with {status}:\n{log}");
    assert!(!log.contains("panicked"), "something panicked:\n{log}");
}

async fn every_node_of(engine: &str) {
    let mut network = Plan::new(engine, 4).start().await.unwrap();
    let (asked, only) = if full() { (0..network.len(), &[][..]) } else { (ONE_OF_FOUR..ONE_OF_FOUR + 1, &OF_NETWORKS[..]) };
    for at in asked {
        passes(network.api(at), &format!("n{} of four, {engine}", at + 1), only, || network.tails(20)).await;
    }
    network.alive().unwrap();
    network.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_aoconnect_works_with_attestors() {
    every_node_of("attest").await;
}

/// Of all nodes only: that every engine serves the same clients is shown once a night.
#[tokio::test(flavor = "multi_thread")]
async fn unmodified_aoconnect_works_with_rounds() {
    if full() {
        every_node_of("bft").await;
    } else {
        say("skipped: the suite against a network of `bft`: AONODE_FULL=1 runs it");
    }
}
