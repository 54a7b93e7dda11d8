//! Checkpoints of a node: chains of deltas, bounded, restored exactly, given up where they cannot be read.

use ao_storage::schema::{self, CheckpointRow, EvaluationKey};

use super::rig::Rig;
use super::*;

async fn count(rig: &Rig, process: Id, times: usize) {
    for _ in 0..times {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
}

fn slots(rows: &[(EvaluationKey, CheckpointRow)]) -> Vec<(u64, Option<u64>)> {
    rows.iter().map(|(key, row)| (key.slot.0, row.parent.map(|parent| parent.slot.0))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_deltas_until_they_are_as_large_as_the_state() {
    let rig = Rig::saving_every(2);
    let process = rig.spawn(&[]).await;
    // A state and a change of it are eight bytes each here: a delta, then the next is full again.
    count(&rig, process, 11).await;
    assert_eq!(slots(&rig.checkpoints(process)), [(5, None), (7, Some(5)), (9, None), (11, Some(9))], "two chains are kept");
    let before = rig.node.state(process, Some(Slot(8))).await.unwrap();
    assert_eq!(before.0, 8u64.to_be_bytes().to_vec());
    let rig = rig.restart();
    count(&rig, process, 1).await;
    assert_eq!(rig.node.state(process, None).await.unwrap().0, 12u64.to_be_bytes().to_vec());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_cannot_be_read_is_given_up_for_an_older_one() {
    for damage in ["no parent", "no body", "other bytes"] {
        let rig = Rig::saving_every(2);
        let process = rig.spawn(&[]).await;
        count(&rig, process, 11).await;
        let full = rig.checkpoints(process)[2].0;
        assert_eq!(full.slot, Slot(9));
        rig.change(|rows| match damage {
            "no parent" => schema::CHECKPOINTS.delete(rows, &full),
            "no body" => schema::CHECKPOINT_BODIES.delete(rows, &full),
            _ => schema::CHECKPOINT_BODIES.put(rows, &full, &bytes::Bytes::from_static(&[0; 8])),
        });
        // What the chain of before stands on; without its results only a restored state can count on.
        for slot in 0..7 {
            rig.forget_evaluation(process, slot);
        }
        let rig = rig.restart();
        count(&rig, process, 1).await;
        assert_eq!(rig.node.state(process, None).await.unwrap().0, 12u64.to_be_bytes().to_vec(), "{damage}");
        rig.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_is_never_built_on_a_checkpoint_that_is_not_in_the_store() {
    let rig = Rig::saving_every(2);
    let process = rig.spawn(&[]).await;
    count(&rig, process, 9).await;
    // The write of the last one came to nothing, and the instance does not know.
    let last = rig.checkpoints(process).pop().unwrap().0;
    assert_eq!(last.slot, Slot(9));
    rig.change(|rows| schema::CHECKPOINTS.delete(rows, &last));
    count(&rig, process, 2).await;
    assert_eq!(slots(&rig.checkpoints(process)).pop(), Some((11, None)));
    rig.stop();
}

/// Cron messages count as well: a process that nobody writes to is not evaluated from its beginning at every start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crons_alone_are_saved_too() {
    let rig = Rig::saving_every(1_000);
    let process = rig.spawn(&[("Cron-Interval", "1-second"), ("Cron-Tag-Action", "Tick")]).await;
    rig.node.result(process, process).await.unwrap();
    let rig = rig.restart();
    assert_eq!(rig.checkpoints(process).len(), 1);
    rig.advance(5_000);
    rig.node.run_cron(process).await.unwrap();
    let rig = rig.restart();
    let newest = rig.checkpoints(process).pop().unwrap().0;
    assert_eq!((newest.slot, newest.cron), (Slot(0), rig.crons(process).len() as u32));
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_nobody_uses_is_written_down_and_dropped() {
    let rig = Rig::forgetful();
    let process = rig.spawn(&[]).await;
    count(&rig, process, 3).await;
    // A worker may still have it in its hands, where nobody counts it; it lets go of it by itself.
    rig.eventually("it is written down", |_| rig.tidy() == 0 && !rig.checkpoints(process).is_empty()).await;
    for slot in 0..3 {
        rig.forget_evaluation(process, slot);
    }
    let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(process, sent.id).await["Output"], "4", "it went on from what was written down");
    assert_eq!(slots(&rig.checkpoints(process))[0], (3, None));
    rig.stop();
}
