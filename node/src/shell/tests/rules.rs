//! Rules of `protocol.md` on logs as they may come: repeats, older processes, read-only and cast messages, chains of pushes, crons.

use ao_storage::schema::{self, OutboxKind, PushOutcome};
use ao_types::{DataItem, ItemBuilder, Tag, Verified, Wallet};

use super::rig::{Rig, message};
use super::*;
use crate::handle::Via;

/// The same item by another signer, perhaps with other values of some tags.
fn signed_again(item: &DataItem, other: &[(&str, &str)]) -> Verified<DataItem> {
    let tags = item.tags().to_vec().into_iter().map(|tag| match other.iter().find(|(name, _)| *name == tag.name) {
        Some((name, value)) => Tag::new(*name, *value),
        None => tag,
    });
    let mut builder = ItemBuilder::new().tags(tags.collect::<Vec<_>>()).data(item.data_bytes());
    if let Some(target) = item.target() {
        builder = builder.target(target);
    }
    if let Some(anchor) = item.anchor() {
        builder = builder.anchor(*anchor);
    }
    builder.sign(&Wallet::ed25519_from_seed(&[77; 32])).unwrap()
}

/// `pong` has a pushed message in slot 1 and two others after it; gives its id and the pushed item.
async fn with_a_pushed_message(rig: &Rig) -> (Id, Verified<DataItem>) {
    let (ping, pong) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let mut events = rig.node.events();
    rig.send(ping, &[("Action", "Send"), ("To", &pong.to_string()), ("Times", "1")], "").await.unwrap();
    rig.until(&mut events, |event| matches!(event, Event::Assigned { process, slot: Slot(1), .. } if *process == pong)).await;
    for _ in 0..2 {
        let sent = rig.send(pong, &[("Action", "Count")], "").await.unwrap();
        rig.result(pong, sent.id).await;
    }
    (pong, rig.item(rig.log(pong)[1].item))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_content_out_of_an_outbox_is_a_repeat_by_the_log_alone() {
    let rig = Rig::start();
    let (pong, pushed) = with_a_pushed_message(&rig).await;
    let again = signed_again(&pushed, &[]);
    assert_ne!(again.id(), pushed.id());
    // A log of another scheduler: slot 2 has the content of slot 1 under another id.
    rig.replace(pong, 2, &again);
    rig.forget_all_evaluations(pong);
    let rig = rig.restart();
    let fourth = rig.send(pong, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(pong, fourth.id).await["Output"], "3", "slots 1, 3 and 4 count, slot 2 does not");
    assert!(rig.results(pong).iter().all(|(key, _)| key.slot != Slot(2)), "a repeat has no result of its own");
    // Asked for before or after it is evaluated, it has the result of the one it repeats.
    let first = rig.node.result(pong, pushed.id()).await.unwrap();
    assert_eq!((first.slot, rig.node.result(pong, again.id()).await.unwrap()), (Slot(1), first));
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_is_a_repeat_for_the_schedule_and_none_for_the_fold() {
    let rig = Rig::start();
    let (pong, pushed) = with_a_pushed_message(&rig).await;
    let other = signed_again(&pushed, &[("Pushed-For", &Id([4; 32]).to_string())]);
    assert_eq!(rig.node.submit(other.as_bytes().clone(), Via::Client).await.unwrap_err().code, Code::Duplicate);
    rig.replace(pong, 2, &other);
    rig.forget_all_evaluations(pong);
    let rig = rig.restart();
    let fourth = rig.send(pong, &[("Action", "Count")], "").await.unwrap();
    assert_eq!(rig.result(pong, fourth.id).await["Output"], "4");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_row_that_the_log_does_not_bear_out_refuses_nothing() {
    let rig = Rig::start();
    let (pong, pushed) = with_a_pushed_message(&rig).await;
    let fresh = signed_again(&pushed, &[("Reference", "999")]);
    for slot in [2, 50] {
        // Of a batch that failed: slot 2 went to another item, slot 50 to none.
        rig.orphan_content(pong, &fresh, slot);
        let rig_facts = facts::content_slot(rig.node.store(), pong, &ao_types::ContentKey::of(&fresh).0).unwrap();
        assert_eq!(rig_facts, None, "slot {slot}");
    }
    let accepted = rig.node.submit(fresh.as_bytes().clone(), Via::Client).await.unwrap();
    assert_eq!(accepted.slot, Some(Slot(4)));
    let again = signed_again(&fresh, &[("Pushed-For", &Id([4; 32]).to_string())]);
    assert_eq!(rig.node.submit(again.as_bytes().clone(), Via::Client).await.unwrap_err().code, Code::Duplicate);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_message_is_answered_while_it_waits_and_afterwards() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let first = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    let second = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    rig.result(process, second.id).await;
    rig.repeat(process, 1, 2);
    rig.forget_all_evaluations(process);
    let rig = rig.restart();
    // The assignment of slot 2 names the slot itself: its item stands in slot 1.
    let assignment = rig.log(process)[2].assignment_id;
    for _ in 0..2 {
        let found = rig.node.result(process, assignment).await.unwrap();
        assert_eq!((found.slot, found), (Slot(1), rig.node.result(process, first.id).await.unwrap()));
    }
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_does_not_begin_with_its_process_has_it_evaluated_first() {
    let rig = Rig::start();
    let process = rig.spawn(&[("Action", "Count")]).await;
    let first = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    let second = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    rig.result(process, second.id).await;
    rig.make_older(process);
    let rig = rig.restart();
    let results = [rig.node.result(process, first.id).await.unwrap(), rig.node.result(process, second.id).await.unwrap()];
    assert_eq!(results.each_ref().map(|found| found.slot), [Slot(0), Slot(1)]);
    assert_eq!(rig.result(process, second.id).await["Output"], "3", "the process item counted as the first");
    assert_eq!(rig.results(process).len(), 2, "its result is not stored");
    assert_eq!(rig.node.result(process, process).await.unwrap_err().code, Code::MessageUnknown);
    // The same from a checkpoint: it is not evaluated twice.
    let rig = rig.restart();
    assert!(!rig.checkpoints(process).is_empty());
    let third = rig.send(process, &[("Action", "Count")], "").await.unwrap();
    assert_eq!((third.slot, rig.result(process, third.id).await["Output"].clone()), (Some(Slot(2)), "4".into()));
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_message_has_a_result_and_leaves_no_trace() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    rig.send(process, &[("Action", "Count")], "").await.unwrap();
    let peek = rig.send(process, &[("Action", "Count"), ("Read-Only", "True")], "").await.unwrap();
    assert_eq!(rig.result(process, peek.id).await["Output"], "2");
    let after = rig.send(process, &[("Action", "Count"), ("Read-Only", "False")], "").await.unwrap();
    assert_eq!(rig.result(process, after.id).await["Output"], "2");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cast_message_leads_to_is_not_pushed() {
    let rig = Rig::start();
    let (process, target) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let to = target.to_string();
    let cast = rig.send(process, &[("Action", "Send"), ("To", &to), ("Times", "1"), ("Cast", "True")], "").await.unwrap();
    assert_eq!(rig.result(process, cast.id).await["Messages"].as_array().unwrap().len(), 1, "the result says what would have been sent");
    let mut events = rig.node.events();
    rig.send(process, &[("Action", "Send"), ("To", &to), ("Times", "1")], "").await.unwrap();
    rig.until(&mut events, |event| matches!(event, Event::Pushed { .. })).await;
    assert_eq!(rig.pushed(process).iter().map(|(key, _)| key.slot).collect::<Vec<_>>(), [Slot(2)], "of the other message alone");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_a_chain_names_the_item_that_began_it() {
    let rig = Rig::start();
    let (left, right) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let mut events = rig.node.events();
    let began = rig.send(left, &[("Action", "Bounce"), ("To", &right.to_string()), ("Left", "5")], "").await.unwrap();
    rig.until(&mut events, |event| matches!(event, Event::Evaluated { process, slot: Slot(3), .. } if *process == right)).await;
    let chain: Vec<_> = rig.log(left).split_off(2).into_iter().chain(rig.log(right).split_off(1)).collect();
    assert_eq!(chain.len(), 5);
    for row in chain {
        assert_eq!(rig.item(row.item).tag("Pushed-For"), Some(began.id.to_string().as_str()));
    }
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_a_wallet_ends_its_chain_in_the_store() {
    let rig = Rig::start();
    let process = rig.spawn(&[]).await;
    let wallet = rig.user.address();
    let mut events = rig.node.events();
    rig.send(process, &[("Action", "Send"), ("To", &wallet.to_string()), ("Times", "2")], "").await.unwrap();
    for _ in 0..2 {
        rig.until(&mut events, |event| matches!(event, Event::Pushed { .. })).await;
    }
    let pushed = rig.pushed(process);
    assert_eq!(pushed.iter().map(|(_, row)| &row.outcome).collect::<Vec<_>>(), [&PushOutcome::Stored; 2]);
    let item = rig.item(pushed[0].1.child.unwrap());
    assert_eq!((item.target().map(|id| id.to_string()), item.tag("From-Process")), (Some(wallet.to_string()), Some(&*process.to_string())));
    let indexed = schema::RECIPIENT_INDEX.prefix(rig.node.store(), &item.target().unwrap(), ao_storage::Direction::Forward, 9).unwrap();
    assert_eq!(indexed.len(), 2, "gateways find them");
    assert_eq!(rig.log(process).len(), 2, "nothing comes back");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_boot_of_a_spawned_process_sends_is_pushed() {
    let rig = Rig::start();
    let (parent, target) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let (module, to) = (rig.module().to_string(), target.to_string());
    let mut events = rig.node.events();
    let began = rig.send(parent, &[("Action", "Spawn"), ("Module", &module), ("Boot", "Send"), ("To", &to), ("Times", "1")], "").await;
    // The notice of the spawn repeats its tags, so the parent does as its child does: which of the two comes first is open.
    rig.until(&mut events, |event| matches!(event, Event::Evaluated { process, slot: Slot(2), .. } if *process == target)).await;
    let sender = |item: &DataItem| Id::parse(item.tag("From-Process").unwrap()).unwrap();
    let item = rig.log(target)[1..].iter().map(|row| rig.item(row.item)).find(|item| sender(item) != parent).unwrap();
    assert_eq!(rig.item(sender(&item)).tag("From-Process"), Some(&*parent.to_string()));
    assert_eq!(item.tag("Pushed-For"), Some(&*began.unwrap().id.to_string()), "the chain goes through the spawn");
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_assignments_brings_the_pushed_message_to_others_as_well() {
    let rig = Rig::start();
    let [from, to, with] = [rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await, rig.spawn(&[("N", "3")]).await];
    let mut events = rig.node.events();
    rig.send(from, &[("Action", "Share"), ("To", &to.to_string()), ("With", &with.to_string())], "").await.unwrap();
    rig.until(&mut events, |event| matches!(event, Event::Evaluated { process, slot: Slot(1), .. } if *process == with)).await;
    let (first, second) = (rig.log(to)[1].item, rig.log(with)[1].item);
    assert_eq!(first, second, "one item in two logs");
    assert!(rig.item(first).tag("Assignments").is_none(), "a process cannot have others believe it was assigned");
    assert_eq!(rig.result(with, first).await["Output"], "1");
    let kinds: Vec<_> =
        rig.pushed(from).into_iter().map(|(key, row)| (key.kind, matches!(row.outcome, PushOutcome::Assigned { .. }))).collect();
    assert_eq!(kinds, [(OutboxKind::Message, true), (OutboxKind::MessageAssignment, true)]);
    assert!(rig.outbox().is_empty());
    // The same content by another hand is a repeat there, too.
    let again = signed_again(&rig.item(first), &[]);
    rig.node.store_item(again.as_bytes().clone()).await.unwrap_err();
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crons_between_messages_are_the_same_on_a_node_that_has_only_the_log() {
    let rig = Rig::start();
    let process = rig.spawn(&[("Cron-Interval", "1-second"), ("Cron-Tag-Action", "Tick"), ("Cron-Interval", "2-blocks")]).await;
    let mut last = None;
    for (n, pause) in [700, 2_300, 5_000, 100, 12_000].into_iter().enumerate() {
        rig.advance(pause);
        if n % 2 == 1 {
            // Somebody looks at the crons in between: they are the same, only earlier.
            rig.node.run_cron(process).await.unwrap();
            rig.advance(400);
        }
        last = Some(rig.send(process, &[("Action", "Count")], "").await.unwrap());
    }
    let last = last.unwrap();
    let result = rig.result(process, last.id).await;
    let follower = rig.follower();
    assert_eq!(follower.result(process, last.id).await, result);
    let upto = |rig: &Rig| {
        let rows = rig.results(process).into_iter().filter(|(key, _)| (key.slot, key.cron) <= (last.slot.unwrap(), 0));
        rows.map(|(key, row)| (key, row.cron, row.timestamp_ms, row.block_height, row.result_hash)).collect::<Vec<_>>()
    };
    let (here, there) = (upto(&rig), upto(&follower));
    assert!(here.iter().filter(|(key, ..)| key.cron > 0).count() >= 20, "there are crons to compare: {}", here.len());
    assert_eq!(here, there);
    follower.stop();
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_came_out_of_an_outbox_is_assigned_to_a_process_once() {
    let rig = Rig::start();
    let (pong, pushed) = with_a_pushed_message(&rig).await;
    let third = rig.spawn(&[("N", "3")]).await;
    let request = |item| crate::handle::AssignRequest { process: third, item, exclude: Vec::new(), base_layer: false };
    rig.node.assign(request(pushed.id())).await.unwrap();
    let again = signed_again(&pushed, &[]);
    rig.change(|rows| schema::ITEMS.put(rows, &again.id(), again.as_bytes()));
    assert_eq!(rig.node.assign(request(again.id())).await.unwrap_err().code, Code::Duplicate);
    // Items of people are free to be alike.
    let [one, two] = [message(&rig.user, pong, &[], "x"), message(&rig.user, pong, &[], "x")];
    for item in [one, two] {
        let sent = rig.node.submit(item, Via::Client).await.unwrap();
        rig.node.assign(request(sent.id)).await.unwrap();
    }
    assert_eq!(rig.log(third).len(), 4);
    rig.stop();
}
