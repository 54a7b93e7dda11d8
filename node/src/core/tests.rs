//! What the core must never contain, and steps that need no store. The walks over whole nodes are in `shell/tests`.

use std::path::Path;

use ao_consensus::schedule::{Assigned, assign_run};
use ao_consensus::{Chain, Solo};
use ao_storage::schema::{self, Head, ItemKind};
use ao_types::{ItemBuilder, NetworkId, Signer, Slot, Wallet};

use super::effect::Reply;
use super::input::{End, Evaluated, Facts, Indexed, Origin, Place, ProcessFacts, RecoveredChain, RequestId, Submission};
use super::*;
use crate::core::cron::Point;

mod begin;
mod held;
mod levels;

/// The core takes time, facts and answers as arguments: none of these words can be in it.
#[test]
fn no_clock_no_disk_no_lock_no_chance() {
    let forbidden = [
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "tokio",
        ".await",
        "Mutex",
        "RwLock",
        "Atomic",
        "rand::",
        "getrandom",
        "dyn Store",
        "RocksStore",
        "f32",
        "f64",
        "println",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.join("core")], vec![root.join("core.rs")]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    let mut seen = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} contains `{word}`", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 27, "the scan found {seen} files only: has the core moved?");
}

const NOW: Timestamp = Timestamp(10_000);

fn wallet() -> Wallet {
    Wallet::ed25519_from_seed(&[1; 32])
}

fn core() -> Core {
    let fixed = Fixed { network_id: NetworkId([0; 32]), items_in_tip: true, member: None };
    Core::new(fixed, chain(), Block { height: 7, timestamp_ms: 9_000, id: [0; 48] })
}

fn chain() -> Chain {
    Chain { scheduler: wallet().address(), tenure: 0 }
}

fn empty(term: Term) -> Recovered {
    Recovered {
        term,
        next_sequence: 0,
        engine: Box::new(Solo::resume(chain(), 0)),
        chain: RecoveredChain { tip: ChainTip::opened(chain()), window: Vec::new(), unconfirmed: Vec::new(), certified: None },
        others: Vec::new(),
        owing: Vec::new(),
        outbox: Vec::new(),
        monitors: Vec::new(),
        charges: Vec::new(),
        low: false,
    }
}

fn running() -> Core {
    let mut core = core();
    assert!(step(&mut core, Input::Recovered(Box::new(empty(0)))).is_empty());
    core
}

fn step(core: &mut Core, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    core.handle(NOW, input, &mut out);
    out
}

fn head() -> Head {
    Head { schedule_epoch: 0, slot: Slot(0), assignment: Id([1; 32]), hash_chain: [2; 32], timestamp_ms: 5_000, block_height: 7 }
}

fn known(slot: Option<Slot>) -> ProcessFacts {
    let evaluated = slot.map(|slot| (slot, 0));
    ProcessFacts {
        host: Some(wallet().address()),
        head: head(),
        floor: Point::default(),
        confirmed: slot,
        evaluated,
        has_cron: false,
        halted: None,
    }
}

const PROCESS: Id = Id([4; 32]);

fn message(n: u8, request: u64) -> Submission {
    let item = ItemBuilder::new().target(PROCESS).anchor([n; 32]).sign(&wallet()).unwrap();
    let facts = Facts { as_of: 0, process: Some(known(Some(Slot(0)))), assigned: None, content: None, stored: false };
    Submission {
        origin: Origin::Request(RequestId(request)),
        id: item.id(),
        item: Some(item),
        place: Place::Log { process: PROCESS, exclude: Vec::new(), content: None },
        index: None,
        sought: false,
        push: true,
        facts,
    }
}

fn submit(core: &mut Core, submission: Submission) -> Vec<Effect> {
    step(core, Input::Submit(Box::new(submission)))
}

/// Does what a signer does.
fn sign(core: &mut Core, effects: &[Effect]) -> Vec<Effect> {
    let Some(Effect::Sign { term, process, head, clock, items }) = effects.iter().find(|effect| matches!(effect, Effect::Sign { .. }))
    else {
        panic!("nothing to sign in {effects:?}")
    };
    let run: Vec<Assigned> = assign_run(*process, *head, *clock, items.clone(), &wallet()).unwrap();
    step(core, Input::Signed { term: *term, process: *process, run: Ok(run) })
}

fn written(core: &mut Core, effects: &[Effect]) -> Vec<Effect> {
    let Some(Effect::Write { term, batch, .. }) = effects.iter().find(|effect| matches!(effect, Effect::Write { .. })) else {
        panic!("nothing to write in {effects:?}")
    };
    step(core, Input::Written { term: *term, batch: *batch, signatures: Vec::new() })
}

fn names(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(|effect| format!("{effect:?}").chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
}

fn refusal(effects: &[Effect]) -> Code {
    match effects {
        [Effect::Reply(_, Err(refusal))] => refusal.code,
        other => panic!("one refusal is expected, not {other:?}"),
    }
}

#[test]
fn durable_before_visible() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    assert_eq!(names(&effects), ["Sign"]);
    let effects = sign(&mut core, &effects);
    assert_eq!(names(&effects), ["Write"], "no answer, no event, no frame before the write");
    let effects = written(&mut core, &effects);
    // The answer and the event; then the engine confirmed the frame: evaluate, and write the confirmation down.
    assert_eq!(names(&effects), ["Tell", "Reply", "Evaluate", "Write"]);
    let Effect::Reply(RequestId(1), Ok(Reply::Accepted(accepted))) = &effects[1] else { panic!("{effects:?}") };
    assert_eq!((accepted.slot, accepted.timestamp_ms), (Some(Slot(1)), NOW.0));
}

#[test]
fn what_comes_while_the_disk_is_busy_is_one_batch() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    let first = sign(&mut core, &effects);
    let mut waiting = Vec::new();
    for n in 2..6 {
        let effects = submit(&mut core, message(n, n.into()));
        waiting.extend(effects);
    }
    // One run per process at a time: the first of the four is being signed, three wait for it.
    assert_eq!(names(&waiting), ["Sign"]);
    let next = sign(&mut core, &waiting);
    assert_eq!(names(&next), ["Sign"], "three in one run, and no second write while one is on its way");
    assert!(sign(&mut core, &next).is_empty());
    let effects = written(&mut core, &first);
    let batch = effects.iter().filter(|effect| matches!(effect, Effect::Write { .. })).count();
    assert_eq!(batch, 1);
    let effects = written(&mut core, &effects);
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Reply(..))).count(), 4);
}

#[test]
fn repeats_are_refused_wherever_the_first_is() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    // A crash could still take the first: who heard that it is there would not send it again.
    assert_eq!(refusal(&submit(&mut core, message(1, 2))), Code::Underway, "while it is being signed");
    let effects = sign(&mut core, &effects);
    assert_eq!(refusal(&submit(&mut core, message(1, 3))), Code::Underway, "while it is being written");
    written(&mut core, &effects);
    assert_eq!(refusal(&submit(&mut core, message(1, 4))), Code::Duplicate, "by a look-up that is older than the write");
    let mut late = message(1, 5);
    late.facts.assigned = Some(Slot(1));
    assert_eq!(refusal(&submit(&mut core, late)), Code::Duplicate, "by the store");
}

#[test]
fn the_same_content_by_another_pusher_is_one_delivery() {
    let mut core = running();
    let pushed = |n, request| {
        let place = Place::Log { process: PROCESS, exclude: Vec::new(), content: Some([9; 48]) };
        Submission { place, ..message(n, request) }
    };
    let effects = submit(&mut core, pushed(1, 1));
    assert_eq!(refusal(&submit(&mut core, pushed(2, 2))), Code::Underway);
    let effects = sign(&mut core, &effects);
    written(&mut core, &effects);
    assert_eq!(refusal(&submit(&mut core, pushed(2, 3))), Code::Duplicate);
}

#[test]
fn facts_older_than_what_is_remembered_are_looked_up_again() {
    let mut core = running();
    let mut taken = 0;
    loop {
        let mut effects = submit(&mut core, message(taken, 0));
        if names(&effects) == ["LookUp"] {
            break;
        }
        effects = sign(&mut core, &effects);
        while effects.iter().any(|effect| matches!(effect, Effect::Write { .. })) {
            effects = written(&mut core, &effects);
        }
        taken += 1;
    }
    assert!(core.batches.number() > crate::limits::RECENT_BATCHES, "not before there is something to forget");
    let mut fresh = message(200, 1);
    fresh.facts.as_of = core.batches.number() - 1;
    assert_eq!(names(&submit(&mut core, fresh)), ["Sign"]);
}

#[test]
fn a_failed_write_answers_everybody_and_reads_the_store_again() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    let writing = sign(&mut core, &effects);
    submit(&mut core, message(2, 2));
    submit(&mut core, message(3, 3));
    let Some(Effect::Write { term, batch, .. }) = writing.first() else { panic!() };
    let failed = Input::WriteFailed { term: *term, batch: *batch, reason: "torn".into(), disk_full: false };
    let effects = step(&mut core, failed);
    assert_eq!(names(&effects), ["Reply", "Reply", "Reply", "Recover"]);
    assert!(submit(&mut core, message(4, 4)).is_empty(), "who comes now waits");
    // An answer to a question of the life before changes nothing.
    assert!(step(&mut core, Input::Written { term: *term, batch: *batch, signatures: Vec::new() }).is_empty());
    let effects = step(&mut core, Input::Recovered(Box::new(empty(1))));
    assert_eq!(names(&effects), ["LookUp"], "facts of before the failure count for nothing");
    assert_eq!(names(&submit(&mut core, message(1, 5))), ["LookUp"]);
}

#[test]
fn the_engine_is_made_anew_when_nobody_waits_or_when_that_takes_too_long() {
    let mut core = running();
    assert_eq!(names(&step(&mut core, Input::Renew)), ["Recover"]);
    assert!(step(&mut core, Input::Renew).is_empty(), "not before this recovery is done");
    assert_eq!(names(&step(&mut core, Input::Recovered(Box::new(empty(1))))), ["Recover"], "what it may sign with may be older than that");

    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    assert!(step(&mut core, Input::Renew).is_empty(), "a message is being signed");
    let writing = sign(&mut core, &effects);
    assert_eq!(names(&writing), ["Write"]);
    assert!(core.next_deadline(NOW).is_some_and(|at| at <= NOW.plus_ms(RENEW_MS_MAX)));
    let answered = names(&written(&mut core, &writing));
    assert_eq!(answered.iter().filter(|name| *name == "Reply").count(), 1, "whoever waited has an answer: {answered:?}");

    let mut core = running();
    submit(&mut core, message(1, 1));
    step(&mut core, Input::Renew);
    let mut out = Vec::new();
    core.handle(NOW.plus_ms(RENEW_MS_MAX), Input::Tick, &mut out);
    assert_eq!(names(&out), ["Reply", "Recover"], "the signer did not answer in time");
    assert_eq!(refusal(&out[..1]), Code::Unavailable);
}

#[test]
fn a_full_disk_means_reads_only_until_there_is_room() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    let writing = sign(&mut core, &effects);
    let Some(Effect::Write { term, batch, .. }) = writing.first() else { panic!() };
    let full = Input::WriteFailed { term: *term, batch: *batch, reason: "full".into(), disk_full: true };
    let effects = step(&mut core, full);
    let Effect::Reply(_, Err(refusal_of_first)) = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(refusal_of_first.code, Code::ReadOnly);
    step(&mut core, Input::Recovered(Box::new(Recovered { low: true, ..empty(1) })));
    assert_eq!(refusal(&submit(&mut core, message(2, 2))), Code::ReadOnly);
    step(&mut core, Input::Reserve { low: false });
    assert_eq!(names(&submit(&mut core, message(2, 3))), ["LookUp"]);
}

#[test]
fn one_process_takes_its_share_of_the_queue_and_no_more() {
    let mut core = running();
    // The signer does not answer: everything but the first waits.
    let mut refused = 0;
    for n in 0..crate::limits::PROCESS_QUEUE_MAX + 2 {
        let mut submission = message(0, n as u64);
        submission.id = Id({
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            id
        });
        let effects = submit(&mut core, submission);
        refused += effects.iter().filter(|effect| matches!(effect, Effect::Reply(_, Err(refusal)) if refusal.code == Code::Busy)).count();
    }
    assert_eq!(refused, 1, "one is being signed, the bound waits, one is over");
}

#[test]
fn evaluation_is_tried_again_later_and_never_twice_at_once() {
    let mut core = running();
    let effects = submit(&mut core, message(1, 1));
    let effects = sign(&mut core, &effects);
    let effects = written(&mut core, &effects);
    let Some(Effect::Evaluate(job)) = effects.iter().find(|effect| matches!(effect, Effect::Evaluate(_))) else { panic!("{effects:?}") };
    assert_eq!((job.from, job.through), (Some((Slot(0), 0)), Slot(1)));
    let failed = Evaluated { term: 0, process: PROCESS, steps: Vec::new(), checkpoint: None, end: Some(End::Failed("no memory".into())) };
    let effects = step(&mut core, Input::Evaluated(Box::new(failed)));
    assert_eq!(names(&effects), ["NoResults"]);
    assert_eq!(core.next_deadline(NOW), Some(NOW.plus_ms(crate::limits::RETRY_MS_MIN)));
    assert!(step(&mut core, Input::Tick).is_empty(), "not before its time");
    let mut out = Vec::new();
    core.handle(NOW.plus_ms(crate::limits::RETRY_MS_MIN), Input::Tick, &mut out);
    assert_eq!(names(&out), ["Evaluate"]);
    core.handle(NOW.plus_ms(crate::limits::RETRY_MS_MIN), Input::Tick, &mut out);
    assert_eq!(names(&out), ["Evaluate"]);
}

#[test]
fn crons_wait_for_the_log_and_later_messages_lie_behind_them() {
    let mut core = running();
    let with_cron = |n, request| {
        let mut submission = message(n, request);
        submission.facts.process = Some(ProcessFacts { has_cron: true, ..known(Some(Slot(0))) });
        submission
    };
    let facts = with_cron(0, 0).facts;
    let effects = step(&mut core, Input::RunCron { request: Some(RequestId(9)), process: PROCESS, facts });
    let [Effect::Evaluate(job)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(job.until.map(|until| until.timestamp_ms), Some(NOW.0));
    // A clock that went back does not put a message below the crons that are being evaluated.
    let mut out = Vec::new();
    core.handle(Timestamp(6_000), Input::Submit(Box::new(with_cron(1, 1))), &mut out);
    let [Effect::Sign { clock, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!(clock.now, NOW);
    let end = Some(End::Turn { ticked: job.until });
    let effects =
        step(&mut core, Input::Evaluated(Box::new(Evaluated { term: 0, process: PROCESS, steps: Vec::new(), checkpoint: None, end })));
    assert_eq!(names(&effects), ["Write"]);
    let effects = written(&mut core, &effects);
    assert!(matches!(effects[..], [Effect::Reply(RequestId(9), Ok(Reply::Done))]), "{effects:?}");
}

#[test]
fn an_item_is_in_the_newest_block_only_where_the_chain_is_the_nodes_own() {
    for (items_in_tip, block) in [(true, Some(7)), (false, None)] {
        let fixed = Fixed { items_in_tip, ..core().fixed };
        let mut core = Core { fixed, ..core() };
        step(&mut core, Input::Recovered(Box::new(empty(0))));
        let index = Indexed { kind: ItemKind::Message, owner: wallet().address(), recipient: None, tags: Vec::new() };
        let mut submission = message(1, 1);
        (submission.place, submission.index) = (Place::Store, Some(index));
        let id = submission.id;
        let store = ao_storage::MemoryStore::new();
        for effect in submit(&mut core, submission) {
            if let Effect::Write { rows, durability, .. } = effect {
                ao_storage::Store::write(&store, rows, durability).unwrap();
            }
        }
        assert_eq!(schema::ITEM_INDEX.get(&store, &id).unwrap().unwrap().block_height, block);
    }
}
