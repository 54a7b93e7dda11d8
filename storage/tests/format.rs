//! The disk format as bytes. A snapshot that changes is a change of format: raise the row's version or `schema::FORMAT`, or do not make it.

use ao_storage::schema::*;
use ao_storage::typed::{Key, Row, Single, TableOf};
use ao_storage::{Direction, Durability, MemoryStore, Store, Table, WriteBatch};
use ao_types::{Address, Id, ResultHash, Slot, StateHash};
use bytes::Bytes;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    // Runs of one byte are written short, so that the parts of a key can be told apart.
    let mut text = String::new();
    for run in bytes.chunk_by(|left, right| left == right) {
        match run.len() {
            1..8 => text.extend(run.iter().map(|byte| format!("{byte:02x}"))),
            count => text += &format!("[{:02x}*{count}]", run[0]),
        }
    }
    text
}

fn id(byte: u8) -> Id {
    Id([byte; 32])
}

/// One row of every table, written through its schema; every optional part is there at least once.
fn samples() -> MemoryStore {
    let store = MemoryStore::new();
    let mut out = WriteBatch::default();
    let ethereum = Address::Ethereum([0xee; 20]);
    let arweave = Address::Arweave(id(0xaa));
    let (process, item, assignment, slot) = (id(1), id(2), id(3), Slot(0x0102));
    let evaluation = EvaluationKey { process, slot, cron: 3 };
    let outbox = OutboxKey { process, slot, cron: 3, kind: OutboxKind::Spawned, index: 4, part: 5 };
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());

    DISK_FORMAT.put(&mut out, &FORMAT);
    NETWORK.put(&mut out, &"testnet".into());
    CREATED_BY.put(&mut out, &"0.1.0".into());
    RECOVERING.put(&mut out, &"process P".into());
    DEV_GENESIS.put(&mut out, &DevGenesisRow { timestamp_ms: 300, height: 9, interval_ms: 2000 });
    ITEMS.put(&mut out, &item, &bytes("ANS-104"));
    let row = ItemRow {
        kind: ItemKind::Message,
        owner: ethereum,
        recipient: Some(process),
        received_ms: 300,
        sequence: 7,
        block_height: Some(9),
    };
    ITEM_INDEX.put(&mut out, &item, &row);
    SEQUENCE.put(&mut out, &7, &item);
    TAG_INDEX.put(&mut out, &(tag_hash(b"Action", b"Ping"), 7), &item);
    OWNER_INDEX.put(&mut out, &(ethereum, 7), &item);
    OWNER_INDEX.put(&mut out, &(arweave, 8), &process);
    RECIPIENT_INDEX.put(&mut out, &(process, 7), &item);
    let row = ProcessRow {
        owner: arweave,
        module: id(4),
        scheduler: "s".into(),
        parent: Some(id(5)),
        timestamp_ms: 300,
        block_height: 9,
        has_cron: true,
    };
    PROCESSES.put(&mut out, &process, &row);
    let row = Head { schedule_epoch: 0, slot, assignment, hash_chain: [6; 32], timestamp_ms: 300, block_height: 9 };
    HEADS.put(&mut out, &process, &row);
    let row = ScheduleRow {
        item,
        assignment_id: assignment,
        assignment: bytes("ANS-104"),
        timestamp_ms: 300,
        block_height: 9,
        pushed_by: Some(outbox),
        push: true,
    };
    SCHEDULE.put(&mut out, &(process, slot), &row);
    SLOT_OF.put(&mut out, &(item, process), &slot);
    CONTENT.put(&mut out, &(process, [7; 48]), &slot);
    CONFIRMED.put(&mut out, &process, &slot);
    OWING.put(&mut out, &process, &slot);
    let row = EvaluationRow {
        json: bytes("{}"),
        exact_data: vec![ExactData { kind: OutboxKind::Message, index: 1, data: Bytes::from_static(&[0xff]) }],
        message: Some(item),
        cron: Some("0-1-second".into()),
        timestamp_ms: 300,
        block_height: 9,
        failed: true,
        fuel: 1000,
        result_hash: ResultHash([8; 32]),
        state_hash: Some(StateHash([9; 32])),
    };
    assert_eq!(EvaluationRow::result_hash_of(&row.encode()), Ok(row.result_hash), "read alone it is the same");
    assert!(EvaluationRow::result_hash_of(&row.encode()[..9]).is_err() && EvaluationRow::result_hash_of(&[2]).is_err());
    EVALUATIONS.put(&mut out, &evaluation, &row);
    EVALUATION_HEADS.put(
        &mut out,
        &process,
        &EvaluationHead { slot, cron: 3, ticked_ms: 301, ticked_height: 9, halted: Some("diverged".into()) },
    );
    OUTBOX.put(&mut out, &outbox, &OutboxRow { pushed_for: Some(item), subject: Some(id(10)), attempts: 2, not_before_ms: 302 });
    let outcomes = [
        PushOutcome::Assigned { process, slot },
        PushOutcome::Stored,
        PushOutcome::Skipped("no Target".into()),
        PushOutcome::Failed("gone".into()),
    ];
    for (part, outcome) in (0..).zip(outcomes) {
        PUSHED.put(&mut out, &OutboxKey { part, ..outbox }, &PushedRow { child: Some(id(11)), outcome });
    }
    MONITORS.put(&mut out, &process, &MonitorRow { item, slot, cron: 3 });
    let parent = CheckpointParent { slot: Slot(1), cron: 0, root: StateHash([12; 32]) };
    let row = CheckpointRow {
        root: StateHash([13; 32]),
        parent: Some(parent),
        assignment,
        hash_chain: [6; 32],
        timestamp_ms: 300,
        block_height: 9,
        host_abi: 1,
        bytes: 4096,
    };
    CHECKPOINTS.put(&mut out, &evaluation, &row);
    CHECKPOINT_BODIES.put(&mut out, &evaluation, &bytes("body"));
    let stage = BackfillStage::Undoing("why".into());
    BACKFILLS.put(&mut out, &process, &BackfillRow { slot, root: StateHash([11; 32]), done: Some((Slot(7), 3)), stage });
    BLOCKS.put(&mut out, &9, &BlockRow { timestamp_ms: 299, id: Bytes::from_static(&[14; 48]) });
    let key = FrameKey { scheduler: arweave, tenure: 1, sequence: 2 };
    let (frame, signature, held) = (bytes("frame"), bytes("signature"), vec![Id([16; 32])]);
    FRAMES.put(&mut out, &key, &FrameRow { frame, signature, held, tip: bytes("tip"), proof: Some(bytes("proof")) });
    FRAME_OF.put(&mut out, &(process, slot), &8);
    CERTIFIED.put(&mut out, &(arweave, 1), &2);
    EVIDENCE.put(&mut out, &[0xef; 32], &bytes("evidence"));
    ENGINE_RECORDS.put(&mut out, &"watermark".into(), &bytes("record"));
    ACCOUNTS.put(&mut out, &"address".into(), &AccountRow { balance: 1 << 100 });
    ANCHOR_HEADS.put(&mut out, &process, &AnchorHead { next: slot, range: Some(id(17)), ranges: 5, results: Slot(1) });
    ANCHORED.put(&mut out, &process, &slot);
    ANCHORED_STATES.put(&mut out, &process, &AnchoredStateRow { slot, state: StateHash([12; 32]), at_ms: 300, record: id(17) });
    SHIPMENTS.put(&mut out, &6, &bytes("shipment"));
    SHIPMENT_ITEMS.put(&mut out, &6, &ShipmentItemsRow { items: vec![item, assignment] });
    ANCHOR_ITEMS.put(&mut out, &id(17), &bytes("ANS-104"));
    ANCHOR_CHAINS.put(&mut out, &(arweave, 1), &AnchorChainRow { next: 9, record: Some(id(0x11)) });
    ANCHORED_RESULTS.put(&mut out, &(process, slot), &id(0x12));
    PRUNED.put(&mut out, &item, &PrunedRow { shipment: 7, bytes: 1100 });
    let (result, state) = (ResultHash([8; 32]), StateHash([9; 32]));
    let row = CertifiedStateRow { schedule_epoch: 1, result, state, host_abi: 1, computed: true, certificate: Some(bytes("certificate")) };
    CERTIFIED_STATES.put(&mut out, &(process, slot), &row);
    LOADED.put(&mut out, &process, &LoadedRow { url: Some("https://su.example".into()), unlinked: 2, backwards: 1 });
    ANCHOR_SPENT.put(&mut out, &AnchorSpentRow { day: 20_000, winston: 1 << 100 });
    ANCHOR_OBSERVED.put(&mut out, &1_600_000);
    store.write(out, Durability::Synced).unwrap();
    store
}

#[test]
fn names_keys_and_rows() {
    let store = samples();
    let mut page = String::new();
    for table in Table::ALL {
        page += &format!("{}\n", table.name());
        for (key, row) in store.scan(*table, b"", b"", Direction::Forward, 99).unwrap() {
            page += &format!("  {} = {}\n", hex(&key), hex(&row));
        }
    }
    insta::assert_snapshot!(page);
}

/// What was written comes back through the same schema, from a store and from a scan; cut or extended rows and keys do not.
fn comes_back<K: Key + PartialEq + std::fmt::Debug, R: Row + PartialEq + std::fmt::Debug>(table: &TableOf<K, R>, store: &MemoryStore) {
    let rows = table.all(store, Direction::Forward, 99).unwrap();
    assert!(!rows.is_empty(), "{} has no sample", table.table().name());
    for (key, row) in rows {
        assert_eq!(table.get(store, &key).unwrap().as_ref(), Some(&row));
        assert!(table.contains(store, &key).unwrap());
        assert_eq!(R::decode(&row.encode()).as_ref(), Ok(&row));
        let mut batch = WriteBatch::default();
        table.delete(&mut batch, &key);
        let without = MemoryStore::from_contents(store.contents());
        without.write(batch, Durability::Synced).unwrap();
        assert_eq!(table.get(&without, &key).unwrap(), None);
    }
}

fn refuses_changed_lengths<K: Key + std::fmt::Debug, R: Row + std::fmt::Debug>(table: &TableOf<K, R>, store: &MemoryStore) {
    for (key, row) in store.scan(table.table(), b"", b"", Direction::Forward, 99).unwrap() {
        for bad in [row.slice(..row.len() - 1), [&row[..], &[0]].concat().into()] {
            let damaged = MemoryStore::new();
            let mut batch = WriteBatch::default();
            batch.put(table.table(), key.to_vec(), bad);
            damaged.write(batch, Durability::Synced).unwrap();
            let error = table.all(&damaged, Direction::Forward, 9).unwrap_err().to_string();
            assert!(error.contains(table.table().name()), "{error}");
        }
    }
}

macro_rules! every_table {
    ($check:ident, $store:expr, $($table:ident),* $(,)?) => { $($check(&$table, $store);)* };
}

#[test]
fn every_row_comes_back_and_damaged_ones_are_refused_with_their_place() {
    let store = &samples();
    every_table!(
        comes_back,
        store,
        ITEMS,
        ITEM_INDEX,
        SEQUENCE,
        TAG_INDEX,
        OWNER_INDEX,
        RECIPIENT_INDEX,
        PROCESSES,
        HEADS,
        SCHEDULE,
        SLOT_OF
    );
    every_table!(comes_back, store, CONTENT, CONFIRMED, EVALUATIONS, EVALUATION_HEADS, OUTBOX, PUSHED, MONITORS, CHECKPOINTS);
    every_table!(comes_back, store, CHECKPOINT_BODIES, BACKFILLS, BLOCKS, FRAMES, ENGINE_RECORDS, ACCOUNTS);
    every_table!(comes_back, store, ANCHOR_HEADS, ANCHORED, SHIPMENTS, SHIPMENT_ITEMS, ANCHOR_ITEMS, PRUNED, CERTIFIED_STATES, LOADED);
    every_table!(comes_back, store, ANCHORED_STATES);
    // Raw tables take any bytes; all others know their length.
    every_table!(refuses_changed_lengths, store, ITEM_INDEX, SEQUENCE, TAG_INDEX, OWNER_INDEX, RECIPIENT_INDEX, PROCESSES, HEADS, SCHEDULE);
    every_table!(refuses_changed_lengths, store, SLOT_OF, CONTENT, CONFIRMED, EVALUATIONS, EVALUATION_HEADS, OUTBOX, PUSHED, MONITORS);
    every_table!(refuses_changed_lengths, store, CHECKPOINTS, BACKFILLS, BLOCKS, FRAMES, ACCOUNTS, ANCHOR_HEADS, ANCHORED);
    every_table!(refuses_changed_lengths, store, PRUNED, CERTIFIED_STATES, LOADED, ANCHORED_STATES);
    fn text(single: &Single<String>, store: &MemoryStore) -> Option<String> {
        single.get(store).unwrap()
    }
    assert_eq!(DISK_FORMAT.get(store).unwrap(), Some(FORMAT));
    assert_eq!(ANCHOR_SPENT.get(store).unwrap(), Some(AnchorSpentRow { day: 20_000, winston: 1 << 100 }));
    assert_eq!(ANCHOR_OBSERVED.get(store).unwrap(), Some(1_600_000));
    assert_eq!(DEV_GENESIS.get(store).unwrap(), Some(DevGenesisRow { timestamp_ms: 300, height: 9, interval_ms: 2000 }));
    assert_eq!(text(&NETWORK, store).as_deref(), Some("testnet"));
    assert_eq!(text(&CREATED_BY, store).as_deref(), Some("0.1.0"));
}

/// Who looks at everything reads each table as `schema` does.
#[test]
fn every_row_is_one_of_its_table_and_of_no_other_key() {
    let store = &samples();
    for table in Table::ALL {
        let rows = store.scan(*table, b"", b"", Direction::Forward, 99).unwrap();
        assert!(!rows.is_empty(), "table {} has no sample", table.name());
        for (key, row) in rows {
            ao_storage::rows::reads(*table, &key, &row).unwrap();
            // Names, and records of the engine, may be longer.
            if !matches!(table, Table::Meta | Table::EngineRecords | Table::Accounts) {
                let error = ao_storage::rows::reads(*table, &[&key[..], b"x"].concat(), &row).unwrap_err().to_string();
                assert!(error.contains(table.name()), "{error}");
            }
        }
    }
    let format = Bytes::from_static(&[0; 3]);
    assert!(ao_storage::rows::reads(Table::Meta, b"format", &format).is_err());
    assert!(ao_storage::rows::reads(Table::Meta, b"of a newer binary", &format).is_ok());
}

#[test]
fn a_prefix_scan_is_one_process_and_newest_first() {
    let store = MemoryStore::new();
    let mut batch = WriteBatch::default();
    for process in [id(1), id(0xff)] {
        for slot in [0, 1, 255, 256, u64::MAX] {
            let row = MonitorRow { item: process, slot: Slot(slot), cron: 0 };
            batch.put(Table::Schedule, (process, Slot(slot)).to_bytes(), row.encode());
            TAG_INDEX.put(&mut batch, &(tag_hash(b"a", b"b"), slot), &process);
        }
    }
    store.write(batch, Durability::Synced).unwrap();
    let newest = TAG_INDEX.prefix(&store, &tag_hash(b"a", b"b"), Direction::Backward, 2).unwrap();
    assert_eq!(newest.iter().map(|((_, sequence), _)| *sequence).collect::<Vec<_>>(), [u64::MAX, 256]);
    assert!(
        TAG_INDEX.prefix(&store, &tag_hash(b"ab", b""), Direction::Forward, 9).unwrap().is_empty(),
        "name and value do not run together"
    );
    let raw = TableOf::prefix(&SLOT_OF, &store, &id(1), Direction::Forward, 9).unwrap();
    assert!(raw.is_empty());
    let range = TAG_INDEX.range(&store, &(tag_hash(b"a", b"b"), 1), &(tag_hash(b"a", b"b"), 256), Direction::Forward, 9).unwrap();
    assert_eq!(range.iter().map(|((_, sequence), _)| *sequence).collect::<Vec<_>>(), [1, 255]);
}

proptest! {
    /// Byte order is the order of the values, part by part.
    #[test]
    fn keys_sort_as_their_parts(a in any::<(u8, u64, u32, u32)>(), b in any::<(u8, u64, u32, u32)>()) {
        let key = |(process, slot, cron, index): (u8, u64, u32, u32)| OutboxKey {
            process: id(process), slot: Slot(slot), cron, kind: OutboxKind::Spawn, index, part: cron ^ index,
        };
        prop_assert_eq!(key(a).to_bytes().cmp(&key(b).to_bytes()), key(a).cmp(&key(b)));
        prop_assert_eq!(OutboxKey::read(&mut &key(a).to_bytes()[..]), Some(key(a)));
    }

    /// No bytes make a row or key panic, and what is accepted is written back the same.
    #[test]
    fn any_bytes_are_a_row_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut versioned = vec![1];
        versioned.extend_from_slice(&bytes);
        let row = Bytes::from(versioned);
        if let Ok(found) = EvaluationRow::decode(&row) {
            prop_assert_eq!(EvaluationRow::result_hash_of(&row), Ok(found.result_hash));
            prop_assert_eq!(EvaluationRow::decode(&found.encode()), Ok(found));
        }
        if let Ok(found) = ScheduleRow::decode(&row) { prop_assert_eq!(ScheduleRow::decode(&found.encode()), Ok(found)); }
        if let Ok(found) = PushedRow::decode(&row) { prop_assert_eq!(PushedRow::decode(&found.encode()), Ok(found)); }
        if let Some(found) = OutboxKey::read(&mut &bytes[..]) { prop_assert!(bytes.starts_with(&found.to_bytes())); }
        if let Some(found) = FrameKey::read(&mut &bytes[..]) { prop_assert!(bytes.starts_with(&found.to_bytes())); }
    }
}
