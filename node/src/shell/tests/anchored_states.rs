//! States on Arweave: which go when, and that a recovery begins at the newest that holds and at no other.

use ao_arweave::records::{Record, StateRecord};
use ao_storage::faulty::{Fault, FaultyStore};
use ao_storage::memory::Contents;
use ao_storage::schema::{self, BackfillStage};
use ao_storage::{Direction, Durability, MemoryStore, Table, WriteBatch};
use ao_types::checkpoint::CheckpointRecord;
use ao_types::{DataItem, HashChain, ItemBuilder, NetworkId, ResultHash, StateHash, Verified, Wallet};
use bytes::Bytes;

use super::recovery::{anchor, chain, post, scheduler, setup, urls};
use super::rig::{BEGIN_MS, Rig};
use super::*;
use crate::anchor::keeper::StoreKeeper;
use crate::anchor::states::{Due, Policy, StateError, States, carried_state};
use crate::limits::RECOVER_STATES_MAX;
use crate::recovery::{self, Outcome, Subject};
use crate::sim::script::Script;

const NETWORK: NetworkId = NetworkId([5; 32]);
const LATER: u64 = BEGIN_MS + 1_000_000;

fn states(rig: &Rig, every: Duration, slots: u64) -> States {
    States::new(rig.node.clone(), rig.store.clone(), scheduler(), NETWORK, Policy { every, slots, evaluation: Duration::MAX })
}

/// Every row of a table.
fn whole(store: &dyn Store, table: Table) -> Vec<(Table, Bytes, Bytes)> {
    let rows = store.scan(table, &[], &[], Direction::Forward, usize::MAX).unwrap();
    rows.into_iter().map(|(key, row)| (table, key, row)).collect()
}

async fn count(rig: &Rig, process: Id, times: usize) {
    for _ in 0..times {
        let sent = rig.send(process, &[("Action", "Count")], "").await.unwrap();
        rig.result(process, sent.id).await;
    }
}

/// A process with states certified at slots 4 and 9 of twelve, whose log is on the chain.
async fn anchored() -> (Rig, ao_weave::Weave, Id) {
    let rig = Rig::certifying_every(5);
    let process = rig.spawn(&[]).await;
    count(&rig, process, 11).await;
    let weave = chain(2).await;
    anchor(&weave, &rig.store, scheduler(), NETWORK, LATER).await;
    (rig, weave, process)
}

async fn recovered(weave: &ao_weave::Weave, store: &MemoryStore, process: Id) -> Outcome {
    let setup =
        recovery::Setup { vm: Some(Arc::new(Script)), ..setup(&urls(weave, &[0, 1]), store, Subject::Process(process), &scheduler()) };
    recovery::recover(setup, &mut |_| ()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_goes_when_enough_slots_or_enough_time_passed_and_it_is_another() {
    let (rig, _weave, process) = anchored().await;
    let hour = Duration::from_secs(3_600);
    let due = |every, slots, now| states(&rig, every, slots).due(now).unwrap().into_iter().map(|due| due.slot.0).collect::<Vec<_>>();
    assert_eq!(due(hour, 10, BEGIN_MS), [9], "the newest, of ten slots");
    assert_eq!(due(hour, 11, BEGIN_MS), [0_u64; 0], "too few slots, too early");
    assert_eq!(due(hour, 11, BEGIN_MS + 3_600_000), [9], "late enough");
    let policy = Policy { every: hour, slots: 11, evaluation: rig.node.evaluated_for(&process) };
    assert!(policy.evaluation > Duration::ZERO, "eleven messages were evaluated");
    let worked = States::new(rig.node.clone(), rig.store.clone(), scheduler(), NETWORK, policy);
    assert_eq!(worked.due(BEGIN_MS).unwrap().len(), 1, "enough work");
    worked.went(&process);
    assert_eq!(worked.due(BEGIN_MS).unwrap(), [], "counted anew");
    let state = schema::CERTIFIED_STATES.get(&*rig.store, &(process, Slot(9))).unwrap().unwrap().state;
    let went = |slot, state| schema::AnchoredStateRow { slot: Slot(slot), state, at_ms: BEGIN_MS, record: Id([1; 32]) };
    rig.change(|rows| schema::ANCHORED_STATES.put(rows, &process, &went(4, state)));
    assert_eq!(due(hour, 1, LATER), [0_u64; 0], "it is the same");
    rig.change(|rows| schema::ANCHORED_STATES.put(rows, &process, &went(4, StateHash([1; 32]))));
    assert_eq!((due(hour, 5, LATER), due(hour, 6, LATER)), (vec![9], vec![]));
    rig.change(|rows| schema::ANCHORED_STATES.put(rows, &process, &went(9, StateHash([1; 32]))));
    assert_eq!(due(Duration::ZERO, 0, LATER), [0_u64; 0], "there is no newer one");
    // Without its log it is of use to nobody.
    rig.change(|rows| {
        schema::ANCHORED_STATES.delete(rows, &process);
        schema::ANCHOR_HEADS.delete(rows, &process);
    });
    assert_eq!(due(Duration::ZERO, 0, LATER), [0_u64; 0]);
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_certified_state_does_not_go() {
    let (rig, _weave, process) = anchored().await;
    let states = states(&rig, Duration::ZERO, 1);
    let due = states.due(LATER).unwrap().remove(0);
    let other = Due { row: schema::CertifiedStateRow { state: StateHash([1; 32]), ..due.row.clone() }, ..due.clone() };
    let refused = states.parcel(other, LATER).await.unwrap_err();
    assert!(matches!(refused, StateError::Another { .. }) && !refused.may_pass(), "it is not made again: {refused}");
    // What came of a checkpoint that is not borne out yet does not go either.
    for (stage, done) in [(BackfillStage::Running, None), (BackfillStage::Undoing("it differs".into()), Some((Slot(4), 0)))] {
        let rows: Vec<_> = Table::ALL.iter().flat_map(|table| whole(&*rig.store, *table)).collect();
        let (store, mut batch) = (Arc::new(MemoryStore::new()), WriteBatch::default());
        rows.into_iter().for_each(|(table, key, row)| batch.put(table, key.to_vec(), row));
        schema::BACKFILLS.put(&mut batch, &process, &schema::BackfillRow { slot: Slot(4), root: StateHash([1; 32]), done, stage });
        store.write(batch, Durability::Synced).unwrap();
        let policy = Policy { every: Duration::ZERO, slots: 1, evaluation: Duration::MAX };
        assert!(States::new(rig.node.clone(), store, scheduler(), NETWORK, policy).due(LATER).unwrap().is_empty());
    }
    let parcel = states.parcel(due, LATER).await.unwrap();
    assert_eq!((parcel.items.len(), parcel.covered.len()), (2, 0), "alone: it holds up no slots");
    let checkpoint = CheckpointRecord::read(&parcel.items[0]).unwrap();
    assert_eq!((checkpoint.process, checkpoint.slot, checkpoint.content_encoding.as_str()), (process, Slot(9), "gzip"));
    assert_eq!(ao_vm::checkpoint::gunzip(parcel.items[0].data(), 8).unwrap(), 9_u64.to_be_bytes());
    rig.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_begins_at_the_newest_state_and_ends_where_a_replay_does() {
    let (rig, weave, process) = anchored().await;
    let states = states(&rig, Duration::ZERO, 1);
    let parcel = states.parcel(states.due(LATER).unwrap().remove(0), LATER).await.unwrap();
    post(&weave, &rig.store, &parcel, NETWORK).await;
    // Who lists what was written tells it from slots.
    let shipments = StoreKeeper::page(&*rig.store, 0, 100).unwrap();
    let carried = shipments.iter().map(|shipment| {
        let state = carried_state(&*rig.store, shipment).unwrap();
        (shipment.bundle.covered.is_empty(), state.map(|state| (state.process, state.slot, state.item)))
    });
    assert_eq!(carried.collect::<Vec<_>>(), [(false, None), (true, Some((process, Slot(9), parcel.items[0].id())))]);
    assert_eq!(schema::ANCHORED_STATES.get(&*rig.store, &process).unwrap().unwrap().slot, Slot(9));
    assert!(states.due(LATER).unwrap().is_empty(), "it went");
    let store = MemoryStore::new();
    let outcome = recovered(&weave, &store, process).await;
    assert_eq!((outcome.begins[0].slot, &outcome.begins[0].passed), (Some(Slot(9)), &Vec::new()));
    assert_eq!(schema::EVALUATION_HEADS.get(&store, &process).unwrap().unwrap().slot, Slot(9));
    assert_eq!(schema::ANCHORED_STATES.get(&store, &process).unwrap().unwrap().slot, Slot(9), "it does not go again");
    let begun = rig.beside(store);
    begun.settled(process, 11).await;
    begun.eventually("everything is worked out", |store| schema::BACKFILLS.get(store, &process).unwrap().is_none()).await;
    let hashes = |rig: &Rig| rig.results(process).into_iter().map(|(key, row)| (key, row.result_hash, row.json)).collect::<Vec<_>>();
    assert_eq!(hashes(&begun), hashes(&rig));
    count(&begun, process, 1).await;
    [rig, begun].into_iter().for_each(Rig::stop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_was_interrupted_begins_at_a_state_all_the_same() {
    let (rig, weave, process) = anchored().await;
    let states = states(&rig, Duration::ZERO, 1);
    let parcel = states.parcel(states.due(LATER).unwrap().remove(0), LATER).await.unwrap();
    post(&weave, &rig.store, &parcel, NETWORK).await;
    let (from, module) = (urls(&weave, &[0, 1]), rig.item(rig.module()));
    let again = async |store: &dyn Store| {
        let setup = setup(&from, store, Subject::Process(process), &scheduler());
        recovery::recover(recovery::Setup { vm: Some(Arc::new(Script)), known_modules: vec![module.clone()], ..setup }, &mut |_| ()).await
    };
    let calm = FaultyStore::new(Contents::default(), Fault::None);
    assert_eq!(again(&calm).await.unwrap().begins[0].slot, Some(Slot(9)));
    let begun = schema::BACKFILLS.get(&calm, &process).unwrap();
    assert!(calm.writes() >= 4 && begun.is_some(), "{} writes", calm.writes());
    for at in 1..=calm.writes() {
        let store = FaultyStore::new(Contents::default(), Fault::CrashAt(at));
        again(&store).await.unwrap_err();
        for survivor in store.survivors() {
            let store = MemoryStore::from_contents(survivor);
            let done = schema::RECOVERING.get(&store).unwrap().is_none() && !store.contents().is_empty();
            if !done {
                let begins = again(&store).await.unwrap().begins;
                assert_eq!((begins[0].slot, &begins[0].passed), (Some(Slot(9)), &Vec::new()), "write {at}");
            }
            assert_eq!(schema::BACKFILLS.get(&store, &process).unwrap(), begun, "write {at}");
        }
    }
    rig.stop();
}

/// Whoever buries the true record under his own hides nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_bury_no_state() {
    let (rig, weave, process) = anchored().await;
    let states = states(&rig, Duration::ZERO, 1);
    let parcel = states.parcel(states.due(LATER).unwrap().remove(0), LATER).await.unwrap();
    post(&weave, &rig.store, &parcel, NETWORK).await;
    let Some(Ok(Record::State(record))) = Record::read(&parcel.items[1]) else { unreachable!() };
    let stranger = Wallet::ed25519_from_seed(&[66; 32]);
    let forged = (0..=RECOVER_STATES_MAX as u64).map(|n| {
        let record = StateRecord { slot: Slot(if n % 2 == 0 { 9 } else { u64::MAX - n }), item: Id([n as u8; 32]), ..record.clone() };
        Record::State(record).item(&NETWORK).unwrap().sign(&stranger).unwrap()
    });
    let items: Vec<_> = forged.collect();
    let records = items.iter().map(|item| item.id()).collect();
    let parcel = ao_arweave::driver::Parcel { items, records, covered: Vec::new(), since_ms: LATER };
    post(&weave, &(Arc::new(MemoryStore::new()) as Arc<dyn Store>), &parcel, NETWORK).await;
    let outcome = recovered(&weave, &MemoryStore::new(), process).await;
    assert_eq!((outcome.begins[0].slot, outcome.begins[0].passed.len()), (Some(Slot(9)), 0), "{:?}", outcome.begins);
    rig.stop();
}

/// What a hostile scheduler of another process, or anybody with AR, can put there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_does_not_hold_changes_nothing() {
    let (rig, weave, process) = anchored().await;
    let states = states(&rig, Duration::ZERO, 1);
    let parcel = states.parcel(states.due(LATER).unwrap().remove(0), LATER).await.unwrap();
    post(&weave, &rig.store, &parcel, NETWORK).await;
    let good = CheckpointRecord::read(&parcel.items[0]).unwrap();
    let Some(Ok(Record::State(record))) = Record::read(&parcel.items[1]) else { unreachable!() };
    let (own, stranger) = (scheduler(), Arc::new(Wallet::ed25519_from_seed(&[66; 32])));
    // Of slot 11, which is newer than the good one of slot 9; the log's own words about that slot are true.
    let last = rig.log(process).remove(11);
    let assignment = ao_types::Assignment::read(rig.assignment(&last)).unwrap();
    let newer = CheckpointRecord {
        slot: Slot(11),
        timestamp_ms: last.timestamp_ms,
        block_height: last.block_height,
        assignment: assignment.id(),
        hash_chain: assignment.content().hash_chain,
        ..good.clone()
    };
    let root = |count: u64| StateHash(ao_types::hash::sha256(&[&count.to_be_bytes()]));
    let gzip = |bytes: &[u8]| ao_vm::checkpoint::export_gzip(bytes).unwrap();
    let digest = |bytes: &[u8]| ao_types::hash::sha256(&[bytes]);
    let memory = 90_u64.to_be_bytes();
    let lie =
        |signer: &Wallet, checkpoint: CheckpointRecord, data: Vec<u8>, change: &dyn Fn(&mut StateRecord)| -> Vec<Verified<DataItem>> {
            let item = ItemBuilder::new().tags(checkpoint.tags()).data(data).sign(signer).unwrap();
            let mut record = StateRecord { slot: checkpoint.slot, state: root(90), item: item.id(), ..record.clone() };
            change(&mut record);
            vec![item, Record::State(record).item(&NETWORK).unwrap().sign(signer).unwrap()]
        };
    let of = |bytes: &[u8]| CheckpointRecord { sha256: digest(bytes), ..newer.clone() };
    let nothing = |_: &mut StateRecord| ();
    let zeros = vec![0; 1 << 20];
    let lies = [
        ("signed by a stranger", lie(&stranger, of(&memory), gzip(&memory), &nothing)),
        ("a certificate of nobody", lie(&own, of(&memory), gzip(&memory), &|record| record.certificate = Bytes::from_static(b"quorum"))),
        ("another root", lie(&own, of(&memory), gzip(&memory), &|record| record.state = root(91))),
        ("another machine", lie(&own, of(&memory), gzip(&memory), &|record| record.host_abi += 1)),
        ("another digest", lie(&own, newer.clone(), gzip(&memory), &nothing)),
        ("a bomb", lie(&own, of(&zeros), gzip(&zeros), &nothing)),
        ("no gzip", lie(&own, of(&memory), memory.to_vec(), &nothing)),
        ("another process", lie(&own, CheckpointRecord { process: Id([3; 32]), ..of(&memory) }, gzip(&memory), &nothing)),
        ("another module", lie(&own, CheckpointRecord { module: Id([3; 32]), ..of(&memory) }, gzip(&memory), &nothing)),
        ("another assignment", lie(&own, CheckpointRecord { assignment: Id([3; 32]), ..of(&memory) }, gzip(&memory), &nothing)),
        (
            "another hash chain",
            lie(&own, CheckpointRecord { hash_chain: HashChain::from_bytes([3; 32]), ..of(&memory) }, gzip(&memory), &nothing),
        ),
        ("behind the log", lie(&own, CheckpointRecord { slot: Slot(99), ..of(&memory) }, gzip(&memory), &nothing)),
        ("an item that is not there", lie(&own, of(&memory), gzip(&memory), &|record| record.item = Id([3; 32]))),
    ];
    // A stranger's is not looked at; each other one is passed over, and said.
    let count = lies.len() - 1;
    for (what, items) in lies {
        let records = items.iter().map(|item| item.id()).collect();
        let parcel = ao_arweave::driver::Parcel { items, records, covered: Vec::new(), since_ms: LATER };
        post(&weave, &(Arc::new(MemoryStore::new()) as Arc<dyn Store>), &parcel, NETWORK).await;
        let store = MemoryStore::new();
        let outcome = recovered(&weave, &store, process).await;
        assert_eq!(outcome.begins[0].slot, Some(Slot(9)), "{what}: {:?}", outcome.begins);
    }
    let store = MemoryStore::new();
    let outcome = recovered(&weave, &store, process).await;
    assert_eq!(outcome.begins[0].passed.len(), count, "each is said: {:?}", outcome.begins);
    // One that everything says is true and the log does not give: found out behind, by the log.
    let whole = lie(&own, of(&memory), gzip(&memory), &|record| record.result = ResultHash([1; 32]));
    let records = whole.iter().map(|item| item.id()).collect();
    let parcel = ao_arweave::driver::Parcel { items: whole, records, covered: Vec::new(), since_ms: LATER };
    post(&weave, &(Arc::new(MemoryStore::new()) as Arc<dyn Store>), &parcel, NETWORK).await;
    let store = MemoryStore::new();
    let outcome = recovered(&weave, &store, process).await;
    assert_eq!(outcome.begins[0].slot, Some(Slot(11)), "its scheduler is trusted on a network of one: {:?}", outcome.begins);
    let begun = rig.beside(store);
    let refused =
        |store: &dyn Store| matches!(schema::BACKFILLS.get(store, &process).unwrap().map(|row| row.stage), Some(BackfillStage::Refused(_)));
    begun.eventually("it is refuted", refused).await;
    begun.settled(process, 11).await;
    let hashes = |rig: &Rig| rig.results(process).into_iter().map(|(key, row)| (key, row.result_hash)).collect::<Vec<_>>();
    assert_eq!(hashes(&begun), hashes(&rig));
    [rig, begun].into_iter().for_each(Rig::stop);
}
