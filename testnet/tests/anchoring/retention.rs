//! Messages that are on Arweave for good go from a node's disk by its policy, and whoever asks for one gets it as before: fetched back,
//! verified, or not at all.

use ao_arweave::limits::AUDIT_BLOCKS;
use serde_json::Value;

use super::CONFIRMATIONS;
use super::world::World;

/// The least that a policy may keep.
const KEEP: &str = "1h";
/// By so much the node's clock goes ahead, so that messages are older than that.
const AHEAD_MS: u64 = 2 * 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_is_fetched_back_and_verified_when_a_client_asks() {
    let mut world = World::new().await;
    let process = world.process();
    let mut messages = Vec::new();
    for _ in 0..4 {
        messages.push(world.say_and_tell().await);
    }
    let last = messages.len() as u64;
    world.until_state("seen").await;
    world.mine(CONFIRMATIONS).await;
    world.anchored(last).await;
    // Looked at once more long after: from then on nothing composes it again.
    world.mine(AUDIT_BLOCKS).await;
    world.quiet().await;

    // As a client of each unit asks, and one who wants an old state, which is evaluated from the first message on.
    let slot = world.get(&format!("/v1/processes/{process}/slots/2")).await;
    let mut questions =
        vec![format!("/{process}?limit=10"), format!("/{process}/latest"), format!("/state/{process}?to={}", slot.json["timestamp"])];
    for id in &messages {
        questions.extend([
            format!("/{id}?process-id={process}"),
            format!("/{id}"),
            format!("/v1/items/{id}"),
            format!("/v1/messages/{id}"),
        ]);
    }
    let mut before = Vec::new();
    for question in &questions {
        let answer = world.get(question).await;
        assert!(answer.status.is_success() && !answer.body.is_empty(), "{question}: {}", answer.text());
        before.push(answer.body);
    }
    let results = told(&world, &messages).await;

    world.stop_and_start(|setup| setup.config("storage.keep", KEEP).config("chain.clock_skew_ms", AHEAD_MS)).await;
    let pruned = world.logged(|line| line.contains("went from this disk")).await;
    assert!(pruned.contains(&format!("\"items\":\"{last}\"")), "every message, the process stays: {pruned}");
    // The disk, the log and the results are whole without them.
    assert_eq!(told(&world, &messages).await, results);
    for (question, before) in questions.iter().zip(&before) {
        let answer = world.get(question).await;
        assert!(answer.body == *before, "{question}: {} {}", answer.status, answer.text());
    }

    // Other bytes under the same names: nobody is told them.
    world.corrupt_everything().await;
    world.stop_and_start(|setup| setup).await;
    let id = messages[0];
    for question in [format!("/{id}?process-id={process}"), format!("/{id}"), format!("/v1/items/{id}")] {
        let answer = world.get(&question).await;
        assert!(answer.status.as_u16() == 503 && answer.text().contains("no gateway has transaction"), "{question}: {}", answer.text());
    }
    assert_eq!(told(&world, &messages).await, results, "what is here is told as ever");
    // And it goes on from its state.
    assert_eq!(world.say().await, last + 1);
    world.end().await;
}

async fn told(world: &World, messages: &[ao_types::Id]) -> Vec<Value> {
    let mut results = Vec::new();
    for id in messages {
        results.push(world.get(&format!("/result/{id}?process-id={}", world.process())).await.json);
    }
    results
}
