//! Evaluation that begins at a checkpoint: what is taken, what is refused, and that in the end nothing tells it from a replay.

use ao_storage::schema::{self, BackfillRow, BackfillStage, CheckpointRow, EvaluationKey};
use ao_storage::{Direction, Entry, MemoryStore, Table};
use ao_types::StateHash;
use bytes::Bytes;
use proptest::prelude::*;

use super::rig::Rig;
use super::*;
use crate::core::effect::Reply;
use crate::handle::Accepted;
use crate::levels;
use crate::shell::fold::Fold;
use crate::sim::script::Script;

/// The state of a process after a slot, as a node that evaluated it gives it away.
fn checkpoint(rig: &Rig, process: Id, slot: Slot) -> (CheckpointRow, Bytes) {
    let ground = rig.running.shared.evaluator.ground();
    let mut fold = Fold::open(ground, process, Some((slot, 0))).unwrap();
    let made = fold.instance().checkpoint(false).unwrap();
    of_log(rig, process, slot, made.root, made.bytes)
}

/// Any bytes as a checkpoint of the slot.
fn of_log(rig: &Rig, process: Id, slot: Slot, root: StateHash, body: Bytes) -> (CheckpointRow, Bytes) {
    let row = rig.log(process).remove(slot.0 as usize);
    let assignment = ao_types::Assignment::read(rig.assignment(&row)).unwrap();
    let row = CheckpointRow {
        root,
        parent: None,
        assignment: assignment.id(),
        hash_chain: *assignment.content().hash_chain.as_bytes(),
        timestamp_ms: row.timestamp_ms,
        block_height: row.block_height,
        host_abi: ao_vm::HOST_ABI,
        bytes: body.len() as u64,
    };
    (row, body)
}

/// A state that the machine takes and the log does not give.
fn forged(rig: &Rig, process: Id, slot: Slot, count: u64) -> (CheckpointRow, Bytes) {
    let body = Bytes::copy_from_slice(&count.to_be_bytes());
    let root = StateHash(ao_types::hash::sha256(&[&body]));
    of_log(rig, process, slot, root, body)
}

fn begin(store: &MemoryStore, process: Id, slot: Slot, (row, body): (CheckpointRow, Bytes)) -> Result<(), begin::BeginError> {
    let begin = begin::prove(store, &Script, &Modules::default(), process, slot, row, body)?;
    let mut batch = WriteBatch::default();
    begin::put(&mut batch, store, begin)?;
    Ok(store.write(batch, Durability::Synced)?)
}

async fn count(rig: &Rig, process: Id, times: usize) -> Vec<Accepted> {
    let mut sent = Vec::new();
    for _ in 0..times {
        sent.push(rig.send(process, &[("Action", "Count")], "").await.unwrap());
    }
    if let Some(last) = sent.last() {
        rig.result(process, last.id).await;
    }
    sent
}

/// Waits until nothing says any more that the evaluation of a process began elsewhere.
async fn filled(rig: &Rig, process: Id) {
    rig.running.shared.backfill.wake();
    rig.eventually("everything is worked out", |store| {
        !matches!(schema::BACKFILLS.get(store, &process).unwrap(), Some(BackfillRow { stage, .. }) if !matches!(stage, BackfillStage::Refused(_)))
    })
    .await;
}

/// One thing of a log.
#[derive(Clone, Copy, Debug)]
enum Said {
    Count,
    Fail,
    ReadOnly,
    Send,
    /// Time passes: cron messages are due before the next message.
    Later(u16),
    /// The slot repeats the one before it.
    Repeat,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        3 => Just(Said::Count),
        1 => Just(Said::Fail),
        1 => Just(Said::ReadOnly),
        1 => Just(Said::Send),
        2 => (1_u16..4_000).prop_map(Said::Later),
        1 => Just(Said::Repeat),
    ]
}

/// Every result of a node's process, with the hash of every state.
fn whole(rig: &Rig, process: Id) -> Vec<(EvaluationKey, schema::EvaluationRow)> {
    rig.results(process)
}

async fn same_as_a_replay(log: Vec<Said>, at: usize) {
    let rig = Rig::hashing();
    let process = rig.spawn(&[("Cron-Interval", "1-second"), ("Cron-Tag-Action", "Tick")]).await;
    let target = rig.spawn(&[("N", "2")]).await.to_string();
    let mut repeats = Vec::new();
    for said in log {
        let tags: &[(&str, &str)] = match said {
            Said::Count | Said::Repeat => &[("Action", "Count")],
            Said::Fail => &[("Action", "Fail")],
            Said::ReadOnly => &[("Action", "Count"), ("Read-Only", "true")],
            Said::Send => &[("Action", "Send"), ("To", &target), ("Times", "2")],
            Said::Later(ms) => {
                rig.advance(u64::from(ms));
                &[("Action", "Count")]
            }
        };
        let sent = rig.send(process, tags, "").await.unwrap();
        if let (Said::Repeat, Some(slot)) = (said, sent.slot.filter(|slot| slot.0 > 1)) {
            repeats.push(slot.0);
        }
        rig.result(process, sent.id).await;
    }
    // As if the scheduler had given an item two slots; everything is evaluated again from there.
    for slot in repeats {
        rig.repeat(process, slot - 1, slot);
    }
    let last = rig.log(process).len() - 1;
    let replayed = rig.beside(rig.unevaluated());
    replayed.settled(process, last as u64).await;
    let slot = Slot((at % (last + 1)) as u64);
    let store = rig.unevaluated();
    begin(&store, process, slot, checkpoint(&replayed, process, slot)).unwrap();
    let begun = rig.beside(store);
    begun.settled(process, last as u64).await;
    filled(&begun, process).await;
    assert_eq!(whole(&begun, process), whole(&replayed, process), "begun at {slot}");
    assert_eq!(schema::BACKFILLS.get(&*begun.store, &process).unwrap(), None);
    // Cron messages behind the last message are the same, too.
    begun.advance(2_500);
    for rig in [&begun, &replayed] {
        rig.node.run_cron(process).await.unwrap();
    }
    assert_eq!(whole(&begun, process), whole(&replayed, process), "crons behind the log, begun at {slot}");
    [rig, replayed, begun].into_iter().for_each(Rig::stop);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn beginning_at_a_checkpoint_is_a_replay_in_the_end(log in prop::collection::vec(said(), 1..14), at in any::<usize>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(same_as_a_replay(log, at));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_state_of_this_log_is_refused() {
    let rig = Rig::hashing();
    let (process, other) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    for process in [process, other] {
        count(&rig, process, 4).await;
    }
    let at = Slot(3);
    let good = || checkpoint(&rig, process, at);
    let changed = |change: fn(&mut CheckpointRow)| {
        let (mut row, body) = good();
        change(&mut row);
        (row, body)
    };
    let elsewhere = checkpoint(&rig, other, at);
    let of_before = checkpoint(&rig, process, Slot(2));
    let cases = [
        ("another assignment", changed(|row| row.assignment = Id([1; 32])), "assignment"),
        ("another hash chain", changed(|row| row.hash_chain = [1; 32]), "hash chain"),
        ("another time", changed(|row| row.timestamp_ms += 1), "timestamp"),
        ("another height", changed(|row| row.block_height += 1), "block height"),
        ("another machine", changed(|row| row.host_abi += 1), "machine version"),
        ("another root", changed(|row| row.root = StateHash([1; 32])), "root"),
        ("another body", (good().0, Bytes::from_static(&[1; 9])), "length"),
        ("another process", elsewhere, "assignment"),
        ("another slot", of_before, "assignment"),
        (
            "a delta",
            changed(|row| row.parent = Some(schema::CheckpointParent { slot: Slot(1), cron: 0, root: StateHash([1; 32]) })),
            "delta",
        ),
    ];
    for (what, checkpoint, why) in cases {
        let store = rig.unevaluated();
        let before = store.contents();
        let refused = begin(&store, process, at, checkpoint).unwrap_err().to_string();
        assert!(refused.contains(why), "{what}: {refused}");
        assert_eq!(store.contents(), before, "{what}: nothing changed");
    }
    let store = rig.unevaluated();
    assert!(matches!(begin(&store, process, Slot(9), good()), Err(begin::BeginError::BeyondLog { confirmed: Some(Slot(4)), .. })));
    begin(&store, process, at, good()).unwrap();
    let again = begin(&store, process, Slot(4), checkpoint(&rig, process, Slot(4)));
    assert!(matches!(again, Err(begin::BeginError::Further { evaluated, .. }) if evaluated == at), "one at a time: {again:?}");
    // On a running node the same, by its handle; this one is evaluated further.
    let (row, body) = good();
    let refused = Rejection::from(rig.node.begin_at(process, at, row, body, WriteBatch::default()).await.unwrap_err());
    assert_eq!(refused.code, Code::RequestInvalid, "{}", refused.message);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_node_goes_on_at_a_checkpoint_and_says_what_it_does_not_have_yet() {
    let rig = Rig::hashing();
    let process = rig.spawn(&[]).await;
    let sent = count(&rig, process, 6).await;
    let store = rig.unevaluated();
    // A node that cannot evaluate slot 2 now: its item is not here.
    let (hidden, bytes) = (sent[1].id, rig.item(sent[1].id).as_bytes().clone());
    let mut batch = WriteBatch::default();
    schema::ITEMS.delete(&mut batch, &hidden);
    store.write(batch, Durability::Synced).unwrap();
    let begun = rig.beside_certifying_every(5, store);
    begun.settled(process, 1).await;
    let (row, body) = checkpoint(&rig, process, Slot(4));
    let mut also = WriteBatch::default();
    let result = rig.results(process)[4].1.result_hash;
    let (state, host_abi, certificate) = (row.root, row.host_abi, Some(Bytes::from_static(b"others")));
    let vouched = schema::CertifiedStateRow { schedule_epoch: 0, result, state, host_abi, computed: false, certificate };
    schema::CERTIFIED_STATES.put(&mut also, &(process, Slot(4)), &vouched);
    begun.node.begin_at(process, Slot(4), row, body, also).await.unwrap();
    let certified = || schema::CERTIFIED_STATES.get(&*begun.store, &(process, Slot(4))).unwrap().unwrap();
    assert_eq!(certified(), vouched, "what came along is there");
    assert_eq!(begun.result(process, sent[5].id).await["Output"], "6", "the newest is there at once");
    assert_eq!(begun.result(process, sent[0].id).await["Output"], "1", "and so is what was computed before");
    let refused = begun.node.result(process, hidden).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after_s.is_some()), (Code::NotEvaluated, true));
    assert!(refused.message.contains("2 of 5"), "{}", refused.message);
    let computed = |slot| levels::standing(&*begun.store, process, Slot(slot)).unwrap().computed;
    assert_eq!((1..=6).map(computed).collect::<Vec<_>>(), [true, false, false, false, true, true]);
    // What it could not do comes to it by itself when it can.
    begun.change(|rows| schema::ITEMS.put(rows, &hidden, &bytes));
    filled(&begun, process).await;
    assert_eq!(whole(&begun, process), whole(&rig, process));
    assert_eq!(certified(), schema::CertifiedStateRow { computed: true, ..vouched }, "worked out here, too");
    assert!(begun.checkpoints(process).iter().all(|(key, _)| key.slot >= Slot(4)), "states on the way are gone");
    [rig, begun].into_iter().for_each(Rig::stop);
}

/// A certificate is about all that was signed: with another epoch of the schedule it is about another state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_something_else_does_not_come_over_a_backfill() {
    let rig = Rig::hashing();
    let process = rig.spawn(&[]).await;
    count(&rig, process, 6).await;
    for (schedule_epoch, stays) in [(0, true), (1, false)] {
        let store = rig.unevaluated();
        let (row, body) = checkpoint(&rig, process, Slot(4));
        let (result, certificate) = (rig.results(process)[4].1.result_hash, Some(Bytes::from_static(b"others")));
        let (state, host_abi) = (row.root, row.host_abi);
        let vouched = schema::CertifiedStateRow { schedule_epoch, result, state, host_abi, computed: false, certificate };
        let mut batch = WriteBatch::default();
        schema::CERTIFIED_STATES.put(&mut batch, &(process, Slot(4)), &vouched);
        store.write(batch, Durability::Synced).unwrap();
        begin(&store, process, Slot(4), (row, body)).unwrap();
        let begun = rig.beside_certifying_every(5, store);
        filled(&begun, process).await;
        let found = schema::CERTIFIED_STATES.get(&*begun.store, &(process, Slot(4))).unwrap().unwrap();
        assert_eq!((found.computed, found.schedule_epoch), (true, 0));
        assert_eq!(found.certificate == vouched.certificate, stays, "{found:?}");
        begun.stop();
    }
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_from_before_a_checkpoint_are_neither_lost_nor_made_twice() {
    let rig = Rig::hashing();
    let (ping, pong) = (rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await);
    let mut events = rig.node.events();
    let to = pong.to_string();
    rig.send(ping, &[("Action", "Send"), ("To", &to), ("Times", "2")], "").await.unwrap();
    rig.until(&mut events, |event| matches!(event, Event::Evaluated { process, slot: Slot(2), .. } if *process == pong)).await;
    // One that never got there: power failed when its result was durable.
    let wallet = Id([5; 32]);
    rig.send(ping, &[("Action", "Send"), ("To", &wallet.to_string()), ("Times", "1")], "").await.unwrap();
    let lost = rig.until(&mut events, |event| matches!(event, Event::Pushed { process, slot: Slot(2), .. } if *process == ping)).await;
    let Event::Pushed { child: lost, .. } = lost else { unreachable!() };
    count(&rig, ping, 2).await;
    let store = rig.unevaluated();
    let mut batch = WriteBatch::default();
    schema::ITEMS.delete(&mut batch, &lost);
    store.write(batch, Durability::Synced).unwrap();
    begin(&store, ping, Slot(3), checkpoint(&rig, ping, Slot(3))).unwrap();
    let begun = rig.beside(store);
    filled(&begun, ping).await;
    begun.eventually("everything is delivered", |store| schema::OUTBOX.all(store, Direction::Forward, 1).unwrap().is_empty()).await;
    assert_eq!(begun.log(pong).len(), 3, "boot and two, as before");
    assert_eq!(begun.item(lost).target(), Some(wallet), "the lost one is there");
    assert_eq!(begun.pushed(ping).len(), 3);
    [rig, begun].into_iter().for_each(Rig::stop);
}

/// Power failed when a state was refuted and nothing was taken back yet.
fn interrupt(store: &MemoryStore, process: Id) {
    let mut batch = WriteBatch::default();
    let row = schema::BACKFILLS.get(store, &process).unwrap().unwrap();
    let stage = BackfillStage::Undoing("it differs".into());
    schema::BACKFILLS.put(&mut batch, &process, &BackfillRow { stage, ..row });
    let head = schema::EVALUATION_HEADS.get(store, &process).unwrap().unwrap();
    let head = schema::EvaluationHead { halted: Some("it differs".into()), ..head };
    schema::EVALUATION_HEADS.put(&mut batch, &process, &head);
    store.write(batch, Durability::Synced).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_the_log_does_not_bear_out_is_taken_back_with_all_that_came_of_it() {
    let rig = Rig::hashing();
    let process = rig.spawn(&[]).await;
    let sent = count(&rig, process, 8).await;
    for interrupted in [false, true] {
        let store = rig.unevaluated();
        let lie = || forged(&rig, process, Slot(5), 90);
        begin(&store, process, Slot(5), lie()).unwrap();
        let mut batch = WriteBatch::default();
        let went = schema::AnchoredStateRow { slot: Slot(5), state: StateHash([9; 32]), at_ms: 1, record: Id([9; 32]) };
        schema::ANCHORED_STATES.put(&mut batch, &process, &went);
        store.write(batch, Durability::Synced).unwrap();
        if interrupted {
            interrupt(&store, process);
        }
        let begun = rig.beside(store);
        filled(&begun, process).await;
        begun.settled(process, 8).await;
        assert_eq!(whole(&begun, process), whole(&rig, process), "interrupted: {interrupted}");
        assert_eq!(begun.node.state(process, None).await.unwrap().0, 8_u64.to_be_bytes().to_vec());
        assert_eq!(begun.result(process, sent[6].id).await["Output"], "7");
        let row = schema::BACKFILLS.get(&*begun.store, &process).unwrap().unwrap();
        assert!(matches!(row.stage, BackfillStage::Refused(_)), "{row:?}");
        assert_eq!(schema::ANCHORED_STATES.get(&*begun.store, &process).unwrap(), None, "the true one is due on Arweave");
        let checks = begun.node.health();
        let check = checks.iter().find(|check| check.check == crate::metrics::labels::Check::Checkpoint).unwrap();
        assert_eq!((check.ok, check.vital), (interrupted, false), "it is said in the life in which it was found");
        // The same state is not taken again, whatever happens to the process.
        let again = rig.unevaluated();
        let mut batch = WriteBatch::default();
        schema::BACKFILLS.put(&mut batch, &process, &row);
        again.write(batch, Durability::Synced).unwrap();
        assert!(matches!(begin(&again, process, Slot(5), lie()), Err(begin::BeginError::KnownBad(_))));
        begin(&again, process, Slot(5), checkpoint(&rig, process, Slot(5))).unwrap();
        begun.stop();
    }
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_not_the_anchored_one_refutes_the_state_where_it_is_found() {
    let rig = Rig::hashing();
    let process = rig.spawn(&[]).await;
    count(&rig, process, 6).await;
    let store = rig.unevaluated();
    begin(&store, process, Slot(5), checkpoint(&rig, process, Slot(5))).unwrap();
    let mut batch = WriteBatch::default();
    schema::ANCHORED_RESULTS.put(&mut batch, &(process, Slot(2)), &Id([9; 32]));
    store.write(batch, Durability::Synced).unwrap();
    let begun = rig.beside(store);
    filled(&begun, process).await;
    begun.settled(process, 6).await;
    let row = schema::BACKFILLS.get(&*begun.store, &process).unwrap().unwrap();
    assert_eq!(row.done, Some((Slot(2), 0)));
    assert_eq!(whole(&begun, process), whole(&rig, process), "evaluation went on from slot 2, by the log");
    [rig, begun].into_iter().for_each(Rig::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_goes_on_after_a_restart_where_it_was() {
    let rig = Rig::hashing();
    let process = rig.spawn(&[]).await;
    let sent = count(&rig, process, 9).await;
    let store = rig.unevaluated();
    let (hidden, bytes) = (sent[5].id, rig.item(sent[5].id).as_bytes().clone());
    let mut batch = WriteBatch::default();
    schema::ITEMS.delete(&mut batch, &hidden);
    store.write(batch, Durability::Synced).unwrap();
    begin(&store, process, Slot(8), checkpoint(&rig, process, Slot(8))).unwrap();
    let begun = rig.beside_saving_every(2, store);
    let at = |store: &dyn Store| schema::BACKFILLS.get(store, &process).unwrap().unwrap().done;
    begun.eventually("it is where it cannot go on", |store| at(store) >= Some((Slot(3), 0))).await;
    assert!(begun.checkpoints(process).iter().any(|(key, _)| key.slot < Slot(5)), "it writes down where it is");
    // Without the first results only a restored state can go on from there.
    begun.forget_evaluation(process, 1);
    let begun = begun.restart();
    begun.change(|rows| schema::ITEMS.put(rows, &hidden, &bytes));
    filled(&begun, process).await;
    let results: Vec<_> = begun.results(process).into_iter().map(|(key, row)| (key, row.result_hash)).collect();
    let expected = rig.results(process).into_iter().filter(|(key, _)| key.slot != Slot(1)).map(|(key, row)| (key, row.result_hash));
    assert_eq!(results, expected.collect::<Vec<_>>());
    [rig, begun].into_iter().for_each(Rig::stop);
}

/// A store that remembers in which order evaluations that began elsewhere came to an end.
struct Ends {
    store: MemoryStore,
    order: Mutex<Vec<Id>>,
}

impl Ends {
    fn on(store: MemoryStore) -> Arc<Self> {
        Arc::new(Self { store, order: Mutex::default() })
    }

    /// What the last write left no work on.
    fn look(&self, before: &[Id]) {
        let ended = before.iter().filter(|id| !self.open().contains(*id));
        self.order.lock().extend(ended);
    }

    fn open(&self) -> Vec<Id> {
        let rows = schema::BACKFILLS.all(&self.store, Direction::Forward, 10).unwrap().into_iter();
        rows.filter(|(_, row)| !matches!(row.stage, BackfillStage::Refused(_))).map(|(id, _)| id).collect()
    }
}

impl Store for Ends {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, ao_storage::Error> {
        self.store.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], way: Direction, limit: usize) -> Result<Vec<Entry>, ao_storage::Error> {
        self.store.scan(table, from, to, way, limit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), ao_storage::Error> {
        let before = if batch.writes.iter().any(|(table, ..)| *table == Table::Backfills) { self.open() } else { Vec::new() };
        self.store.write(batch, durability)?;
        self.look(&before);
        Ok(())
    }

    fn sizes(&self) -> Result<Vec<(Table, u64)>, ao_storage::Error> {
        self.store.sizes()
    }
}

/// Two processes, in the order in which they are found.
async fn two(rig: &Rig) -> [Id; 2] {
    let mut both = [rig.spawn(&[]).await, rig.spawn(&[("N", "2")]).await];
    both.sort_unstable();
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_past_does_not_hold_up_a_short_one() {
    let rig = Rig::hashing();
    let [long, short] = two(&rig).await;
    for (process, messages) in [(long, 12), (short, 3)] {
        count(&rig, process, messages).await;
    }
    for (turn, order) in [(Duration::ZERO, [short, long]), (Duration::from_secs(600), [long, short])] {
        let store = rig.unevaluated();
        for (process, at) in [(long, Slot(12)), (short, Slot(3))] {
            begin(&store, process, at, checkpoint(&rig, process, at)).unwrap();
        }
        let ends = Ends::on(store);
        let begun = rig.beside_in_turns(turn, ends.clone());
        begun.eventually("both are worked out", |_| ends.order.lock().len() == 2).await;
        assert_eq!(*ends.order.lock(), order, "turns of {turn:?}");
        for process in [long, short] {
            assert_eq!(whole(&begun, process), whole(&rig, process), "turns of {turn:?}");
        }
        begun.stop();
    }
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refuted_is_taken_back_before_anything_is_worked_out() {
    let rig = Rig::hashing();
    let [running, refuted] = two(&rig).await;
    for process in [running, refuted] {
        count(&rig, process, 4).await;
    }
    let store = rig.unevaluated();
    begin(&store, running, Slot(3), checkpoint(&rig, running, Slot(3))).unwrap();
    begin(&store, refuted, Slot(3), forged(&rig, refuted, Slot(3), 90)).unwrap();
    interrupt(&store, refuted);
    let ends = Ends::on(store);
    let begun = rig.beside_in_turns(Duration::from_secs(600), ends.clone());
    begun.eventually("nothing is left to do", |_| ends.order.lock().len() == 2).await;
    assert_eq!(*ends.order.lock(), [refuted, running]);
    begun.settled(refuted, 4).await;
    assert_eq!(whole(&begun, refuted), whole(&rig, refuted));
    [rig, begun].into_iter().for_each(Rig::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_take_every_place_hold_no_work_up() {
    let rig = Rig::hashing();
    let process = rig.spawn(&[]).await;
    let sent = count(&rig, process, 4).await;
    let store = rig.unevaluated();
    let (hidden, bytes) = (sent[0].id, rig.item(sent[0].id).as_bytes().clone());
    let mut batch = WriteBatch::default();
    schema::ITEMS.delete(&mut batch, &hidden);
    store.write(batch, Durability::Synced).unwrap();
    begin(&store, process, Slot(3), forged(&rig, process, Slot(3), 90)).unwrap();
    let begun = rig.beside(store);
    let requests = &begun.running.shared.requests;
    let clients: Vec<_> = std::iter::from_fn(|| requests.open(0).ok()).collect();
    assert!(clients.len() <= limits::WRITES_IN_FLIGHT_MAX && requests.open(0).is_err(), "every place is taken");
    begun.change(|rows| schema::ITEMS.put(rows, &hidden, &bytes));
    filled(&begun, process).await;
    let row = schema::BACKFILLS.get(&*begun.store, &process).unwrap().unwrap();
    assert!(matches!(row.stage, BackfillStage::Refused(_)), "{row:?}");
    assert_eq!(begun.running.shared.metrics.checkpoints_refuted_total.get(), 1, "it was found once");
    clients.into_iter().for_each(|(id, _)| requests.answer(id, Ok(Reply::Done)));
    begun.settled(process, 4).await;
    assert_eq!(whole(&begun, process), whole(&rig, process));
    [rig, begun].into_iter().for_each(Rig::stop);
}
