//! What a real node writes to Arweave, on a chain whose blocks come on command: that it gets there once, whatever happens on the way, that
//! no level is shown that is not so, and that Arweave alone proves it (`faults.md` F34 to F37).

mod network;
mod retention;
mod world;

use world::{VERIFICATION, World};

/// Deep enough for nodes here.
const CONFIRMATIONS: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_on_arweave_and_arweave_alone_proves_it() {
    let mut world = World::new().await;
    let slot = world.say().await;
    assert_eq!(world.level(slot).await, "confirmed");
    world.until_state("seen").await;
    world.mine(CONFIRMATIONS - 1).await;
    world.until_state("mined").await;
    assert_eq!(world.level(slot).await, "confirmed", "not deep enough yet");
    world.mine(1).await;
    world.anchored(slot).await;
    let (exit, found) = world.verify().await;
    assert_eq!((exit, &found["ok"]), (0, &true.into()), "{found}");
    let whats: Vec<&str> = found["findings"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    for part in ["block at height", "signatures and ids", "hash chain to", "as record"] {
        assert!(whats.iter().any(|what| what.contains(part)), "{part}: {whats:?}");
    }
    // A gateway that has other bytes is not believed.
    world.harm("corrupt", serde_json::json!({ "id": world.transaction().await })).await;
    let (exit, found) = world.verify().await;
    assert_eq!((exit, &found["ok"]), (VERIFICATION, &false.into()), "{found}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_every_state_pays_once_and_loses_nothing() {
    let mut world = World::new().await;
    let fail = |path: &str| serde_json::json!({ "path": path, "status": 503 });
    // What holds a shipment back in a state: the request that would bring it on fails.
    let holds = [("bundled", Some("/price")), ("posted", Some("/chunk")), ("seen", None), ("mined", None)];
    let mut last = 0;
    for (state, held) in holds {
        if let Some(path) = held {
            world.harm("fail", fail(path)).await;
        }
        last = world.say().await;
        if state == "mined" {
            world.until_state("seen").await;
            world.mine(1).await;
        }
        world.until_state(state).await;
        world.kill_and_start().await;
        assert_eq!(world.state().await, state, "it goes on where it was");
        world.harm("heal", serde_json::json!({})).await;
        while world.level(last).await != "anchored" {
            world.mine(1).await;
            world.quiet().await;
        }
    }
    assert_eq!(world.level(0).await, "anchored");
    let paid = world.paid().await;
    assert!(paid.len() >= holds.len() && paid.iter().all(|one| *one == (1, 1)), "one transaction each, mined once: {paid:?}");
    assert!(last > 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_replaced_anchor_nothing() {
    // Deeper than any reorganisation that is tried.
    const DEEP: u64 = 12;
    let mut world = World::with(|setup| setup.config("arweave.confirmations", DEEP)).await;
    let slot = world.say().await;
    world.until_state("seen").await;
    world.mine(1).await;
    world.until_state("mined").await;
    for depth in [1, 10] {
        world.mine(depth - 1).await;
        let tip = world.tip();
        world.harm("reorg", serde_json::json!({ "depth": depth, "keep": "pending" })).await;
        assert!(world.tip() > tip, "the longer chain counts");
        world.until_state("seen").await;
        assert_eq!(world.level(slot).await, "confirmed");
        world.mine(1).await;
        world.until_state("mined").await;
    }
    world.mine(DEEP - 1).await;
    world.anchored(slot).await;
    let paid = world.paid().await;
    assert!(paid.iter().all(|one| *one == (1, 1)), "the same bytes were mined three times: {paid:?}");
    assert_eq!(world.verify().await.0, 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_wallet_is_said_and_nothing_is_lost() {
    let mut world = World::with(|setup| setup.config("arweave.balance_floor", "999.9999999")).await;
    let slot = world.say().await;
    world.until_trouble("balance_low").await;
    assert_eq!(world.level(slot).await, "confirmed");
    assert!(world.paid().await.iter().all(|one| *one == (0, 0)));
    let health = world.health().await;
    assert!(health["status"] == "degraded" && health.to_string().contains("send AR to the wallet"), "{health}");
    // Somebody sends some. It would be seen within ten minutes; who cannot wait starts the node again.
    world.mint().await;
    world.kill_and_start().await;
    world.until_state("seen").await;
    world.mine(CONFIRMATIONS).await;
    world.anchored(slot).await;
    world.end().await;
}
