//! The whole node in one process, on a scripted machine: from bytes to results, pushes and restarts.

use std::time::Duration;

use ao_types::{Id, Slot};

use super::*;
use crate::handle::Via;

mod anchored_states;
mod anchoring;
mod beginning;
mod checking;
pub(crate) mod cluster;
mod collecting;
mod crashes;
mod forks;
mod network;
mod recovery;
mod retention;
pub(crate) mod rig;
mod rules;
mod saving;
mod world;

use rig::{Rig, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_gets_a_slot_and_a_result() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let boot = rig.node.result(process, process).await.unwrap();
    assert_eq!(boot.slot, Slot(0));
    let accepted = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!((accepted.slot, accepted.process), (Some(Slot(1)), Some(process)));
    let result = rig.result(process, accepted.id).await;
    assert_eq!(result["Output"], "1");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_their_codes() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let item = message(&rig.user, process, &[("Action", "Count")], "");
    let first = rig.node.submit(item.clone(), Via::Client).await.unwrap();
    let again = rig.node.submit(item, Via::Client).await.unwrap_err();
    assert_eq!(again.code, Code::Duplicate);
    let stranger = rig.send(Id([9; 32]), &[("Action", "Count")], "").await.unwrap_err();
    assert_eq!(stranger.code, Code::ProcessUnknown);
    assert_eq!(rig.node.result(process, Id([8; 32])).await.unwrap_err().code, Code::MessageUnknown);
    assert_eq!(rig.node.result(Id([9; 32]), first.id).await.unwrap_err().code, Code::ProcessUnknown);
    let garbage = rig.node.submit(bytes::Bytes::from_static(b"garbage"), Via::Client).await.unwrap_err();
    assert_eq!(garbage.code, Code::ItemMalformed);
    let mut forged = message(&rig.user, process, &[("Action", "Count")], "x").to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(rig.node.submit(forged.into(), Via::Client).await.unwrap_err().code, Code::SignatureInvalid);
    let unknown_module = rig.spawn_of(Id([7; 32]), &[]).await.unwrap_err();
    assert_eq!(unknown_module.code, Code::ModuleRefused);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_have_gap_free_slots_and_a_chain_that_verifies() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let sends = (0..50).map(async |_| rig.send(process, &[("Action", "Count")], "").await);
    let mut slots: Vec<_> = futures::future::join_all(sends).await.into_iter().map(|sent| sent.map(|sent| sent.slot.unwrap())).collect();
    let distinct: std::collections::BTreeSet<_> = slots.iter().flatten().copied().collect();
    slots.retain(Result::is_ok);
    assert_eq!((distinct.len(), slots.len()), (50, 50));
    assert_eq!((distinct.first().copied(), distinct.last().copied()), (Some(Slot(1)), Some(Slot(50))));
    rig.check_log(process);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_reaches_its_target_once() {
    let rig = Rig::start();
    let (ping, pong) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let mut events = rig.node.events();
    let sent = rig.send(ping, &[("Action", "Send"), ("To", &pong.to_string()), ("Times", "3")], "").await.unwrap();
    rig.result(ping, sent.id).await;
    rig.until(&mut events, |event| matches!(event, Event::Evaluated { process, slot: Slot(3), .. } if *process == pong)).await;
    let log = rig.log(pong);
    assert_eq!(log.len(), 4, "boot and three");
    for row in &log[1..] {
        let item = rig.item(row.item);
        assert_eq!(item.tag("From-Process"), Some(ping.to_string().as_str()));
        assert_eq!(item.tag("Pushed-For"), Some(sent.id.to_string().as_str()));
    }
    assert!(rig.outbox().is_empty());
    rig.check_log(pong);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawn_inside_a_process_is_told_to_its_parent() {
    let rig = Rig::start();
    let parent = rig.spawn(&[]).await;
    let mut events = rig.node.events();
    let sent = rig.send(parent, &[("Action", "Spawn"), ("Module", &rig.module().to_string())], "").await.unwrap();
    rig.result(parent, sent.id).await;
    rig.until(&mut events, |event| matches!(event, Event::Evaluated { process, slot: Slot(2), .. } if *process == parent)).await;
    let notice = rig.item(rig.log(parent)[2].item);
    assert_eq!(notice.tag("Action"), Some("Spawned"));
    let child = Id::parse(notice.tag("Process").unwrap()).unwrap();
    assert_eq!(rig.node.result(child, child).await.unwrap().slot, Slot(0));
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_target_is_stored_and_schedule_only_pushes_nothing() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let mut events = rig.node.events();
    let wallet = Id([5; 32]);
    let sent = rig.send(process, &[("Action", "Send"), ("To", &wallet.to_string()), ("Times", "1")], "").await.unwrap();
    rig.result(process, sent.id).await;
    let pushed = rig.until(&mut events, |event| matches!(event, Event::Pushed { .. })).await;
    let Event::Pushed { child, .. } = pushed else { unreachable!() };
    assert_eq!(rig.item(child).target(), Some(wallet));
    let quiet = message(&rig.user, process, &[("Action", "Send"), ("To", &process.to_string()), ("Times", "1")], "");
    let quiet = rig.node.submit(quiet, Via::ScheduleOnly).await.unwrap();
    rig.result(process, quiet.id).await;
    assert!(rig.outbox().is_empty(), "nothing is owed");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_keeps_the_state_and_a_dry_run_leaves_no_trace() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    rig.send(process, &[("Action", "Count")], "").await.unwrap();
    let failed = rig.send(process, &[("Action", "Fail")], "").await.unwrap();
    assert_eq!(rig.result(process, failed.id).await["Error"], "as asked");
    let dry = rig.dry_run(process, &[("Action", "Count")]).await.unwrap();
    assert_eq!(dry.output, "2");
    let after = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(process, after.id).await["Output"], "2");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_it_stopped() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    for _ in 0..3 {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
    let rig = rig.restart();
    let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(process, sent.id).await["Output"], "4");
    assert_eq!(sent.slot, Some(Slot(4)));
    rig.check_log(process);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_item_is_assigned_without_its_excluded_fields() {
    let rig = Rig::start();
    let (first, second) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let sent = rig.send(first, &[("Action", "Data")], "secret").await.unwrap();
    let request = crate::handle::AssignRequest { process: second, item: sent.id, exclude: vec!["Data".into()], base_layer: false };
    let assigned = rig.node.assign(request.clone()).await.unwrap();
    assert_eq!((assigned.id, assigned.slot), (sent.id, Some(Slot(1))));
    assert_eq!(rig.result(first, sent.id).await["Output"], "secret");
    assert_eq!(rig.result(second, sent.id).await["Output"], "none");
    assert_eq!(rig.node.assign(request).await.unwrap_err().code, Code::Duplicate);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crons_run_up_to_now_and_are_pushed_when_monitored() {
    let rig = Rig::start();
    let process = rig.spawn(&[("Cron-Interval", "1-second"), ("Cron-Tag-Action", "Tick")]).await;
    rig.node.result(process, process).await.unwrap();
    rig.advance(3_900);
    rig.node.run_cron(process).await.unwrap();
    let crons = rig.crons(process);
    assert_eq!(crons.len(), 3);
    assert_eq!(crons[0].cron.as_deref(), Some("0-1-second"));
    let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(process, sent.id).await["Output"], "4", "ticks count too, each once");
    assert!(rig.outbox().is_empty(), "cron results are pushed only where somebody asked");
    let wish = message(&rig.user, process, &[], " ");
    let mut events = rig.node.events();
    rig.node.monitor(process, wish.clone()).await.unwrap();
    assert_eq!(rig.node.monitor(process, wish.clone()).await.unwrap_err().code, Code::MonitorState);
    rig.advance(limits::MONITOR_INTERVAL_MS + 1_500);
    rig.until(&mut events, |event| matches!(event, Event::Pushed { .. })).await;
    rig.node.unmonitor(process, wish).await.unwrap();
    rig.stop();
}

#[test]
fn stopping_answers_everybody() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rig = Rig::start();
    let node = rig.node.clone();
    rig.running.stop(Duration::from_secs(5));
    let refused = runtime.block_on(node.submit(bytes::Bytes::from_static(b"x"), Via::Client)).unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_writes_states_down_and_the_next_start_goes_on_from_them() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    for _ in 0..5 {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
    let rig = rig.restart();
    let saved = rig.checkpoints(process);
    assert_eq!(saved.iter().map(|(key, _)| key.slot).collect::<Vec<_>>(), [Slot(5)]);
    // Without the log's first results, only a restored state can count on from five.
    for slot in 0..5 {
        rig.forget_evaluation(process, slot);
    }
    let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(process, sent.id).await["Output"], "6");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_differs_when_made_again_stops_its_process_and_no_other() {
    let rig = Rig::start();
    let (process, other) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    rig.result(process, sent.id).await;
    rig.node.result(other, other).await.unwrap();
    let rig = rig.restart();
    rig.forge_result(process, 1);
    rig.forget_checkpoints(process);
    let next = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.node.result(process, next.id).await.unwrap_err().code, Code::NotEvaluated);
    assert!(rig.dry_run(process, &[]).await.is_err());
    let fine = rig.send(other, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(other, fine.id).await["Output"], "1");
    // It stays so after a start, and a reader is told at once.
    let rig = rig.restart();
    assert_eq!(rig.node.result(process, next.id).await.unwrap_err().code, Code::NotEvaluated);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_log_repeats_is_skipped_by_the_log_alone() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let first = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    let second = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    rig.result(process, second.id).await;
    // A log of another scheduler: slot 2 holds the item of slot 1 again.
    let rig = rig.restart();
    rig.repeat(process, 1, 2);
    rig.forget_all_evaluations(process);
    let rig = rig.restart();
    let third = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(process, third.id).await["Output"], "2", "slots 1 and 3 count, slot 2 does not");
    assert_eq!(rig.result(process, first.id).await["Output"], "1");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_of_before_can_be_read() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    for _ in 0..3 {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
    let memory = |at| rig.node.state(process, at);
    assert_eq!(memory(None).await.unwrap(), (3u64.to_be_bytes().to_vec().into(), Slot(3)));
    assert_eq!(memory(Some(Slot(1))).await.unwrap(), (1u64.to_be_bytes().to_vec().into(), Slot(1)));
    assert_eq!(rig.node.state(Id([9; 32]), None).await.unwrap_err().code, Code::ProcessUnknown);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushing_an_entry_again_delivers_nothing_twice() {
    let rig = Rig::start();
    let (ping, pong) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let mut events = rig.node.events();
    let sent = rig.send(ping, &[("Action", "Send"), ("To", &pong.to_string()), ("Times", "1")], "").await.unwrap();
    let pushed = rig.until(&mut events, |event| matches!(event, Event::Pushed { .. })).await;
    let Event::Pushed { child, .. } = pushed else { unreachable!() };
    assert_eq!(rig.node.push(ping, sent.id, 0).await.unwrap(), child);
    assert_eq!(rig.log(pong).len(), 2);
    assert_eq!(rig.node.push(ping, sent.id, 1).await.unwrap_err().code, Code::MessageUnknown);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_loud_process_does_not_hold_up_a_quiet_one() {
    let rig = Rig::start();
    let (loud, quiet, target) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await, rig.spawn(&[("N", "3")]).await);
    let mut events = rig.node.events();
    let flood = limits::PUSH_RUN_MAX * 20;
    let to = target.to_string();
    let sent = rig.send(loud, &[("Action", "Send"), ("To", &to), ("Times", &flood.to_string())], "").await.unwrap();
    rig.result(loud, sent.id).await;
    rig.send(quiet, &[("Action", "Send"), ("To", &to), ("Times", "1")], "").await.unwrap();
    let (mut before, mut heard) = (0, false);
    while before < flood || !heard {
        match rig.until(&mut events, |event| matches!(event, Event::Pushed { .. })).await {
            Event::Pushed { process, .. } if process == quiet => {
                assert!(before < flood, "the quiet one waited for all of the flood");
                heard = true;
            }
            _ => before += 1,
        }
    }
    assert_eq!(rig.log(target).len(), flood + 2);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_host_could_not_evaluate_is_tried_again_and_its_reader_waits() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let sent = rig.send(process, &[("Action", "Flaky")], "").await.unwrap();
    let mut passing = tokio::time::interval(Duration::from_millis(20));
    let mut result = Box::pin(rig.result(process, sent.id));
    let found = loop {
        tokio::select! {
            found = &mut result => break found,
            // The clock of the node goes on while its reader waits.
            _ = passing.tick() => rig.advance(limits::RETRY_MS_MIN),
        }
    };
    assert_eq!(found["Output"], "1");
    drop(result);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_level_is_answered_when_it_is_there_or_time_is_over() {
    use crate::levels::{Goal, Level};
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let reach = async |slot, goal, ms| rig.node.reach(process, Slot(slot), goal, Duration::from_millis(ms)).await.unwrap();
    // Of a slot that nobody has yet: every goal that a node by itself reaches, in one go, each by somebody else.
    let goals: Vec<Goal> = Goal::ALL.into_iter().filter(|goal| *goal != Goal::Level(Level::Anchored)).collect();
    let waiting = async { futures::future::join_all(goals.iter().map(|goal| reach(1, *goal, 60_000))).await };
    let (reached, sent) = tokio::join!(waiting, rig.send(process, &[("Action", "Count")], ""));
    assert_eq!(sent.unwrap().slot, Some(Slot(1)));
    for (goal, reached) in goals.iter().zip(reached) {
        assert!(reached.standing.meets(*goal) && reached.why.is_none(), "{goal:?}: {reached:?}");
    }
    let late = reach(2, Goal::Level(Level::Assigned), 1).await;
    assert_eq!((late.standing.level, late.why), (Level::Received, None));
    rig.stop();
}
