//! `aonode db check` on what a node wrote, as it is and with every kind of damage that it is there to find.

use ao_storage::schema::{self, FrameKey};
use ao_storage::{Direction, MemoryStore, Store, Table};
use bytes::Bytes;

use super::rig::Rig;
use super::*;
use crate::check::{Finding, Report, Watch, Wrong, check};

#[derive(Default)]
struct Heard(Vec<Finding>);

impl Watch for Heard {
    fn found(&mut self, finding: &Finding) {
        self.0.push(finding.clone());
    }
    fn progress(&mut self, _: &'static str, _: u64) {}
}

fn look(store: &dyn Store) -> (Report, Vec<Finding>) {
    let mut heard = Heard::default();
    let report = check(store, true, &mut heard).unwrap();
    assert_eq!(report.unreadable + report.contradictions + report.left_over, heard.0.len() as u64);
    (report, heard.0)
}

/// Two logs with a few slots each, a checkpoint, and what was pushed.
async fn network() -> (MemoryStore, Id) {
    let rig = Rig::saving_every(2);
    let (one, other) = (rig.spawn(&[]).await, rig.spawn(&[("Name", "other")]).await);
    for n in 0..4 {
        for process in [one, other] {
            let sent = rig.send(process, &[], &n.to_string()).await.unwrap();
            rig.result(process, sent.id).await;
        }
    }
    let copy = MemoryStore::new();
    let store = rig.store.clone();
    rig.stop();
    let mut all = WriteBatch::default();
    for table in Table::ALL {
        for (key, row) in store.scan(*table, &[], &[], Direction::Forward, usize::MAX).unwrap() {
            all.put(*table, key.to_vec(), row);
        }
    }
    copy.write(all, Durability::Synced).unwrap();
    (copy, one)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_wrote_is_sound_and_whatever_breaks_is_found() {
    let (sound, process) = network().await;
    let (report, findings) = look(&sound);
    assert_eq!(findings, []);
    assert!(report.rows > 100, "{report:?}");
    for (table, least) in [(Table::Frames, 1), (Table::FrameOf, 10), (Table::Schedule, 10), (Table::Checkpoints, 1), (Table::Items, 11)] {
        let rows = sound.scan(table, &[], &[], Direction::Forward, 999).unwrap().len();
        assert!(rows >= least, "the test shows nothing of table {}: {rows} rows", table.name());
    }
    let row = |slot: u64| schema::SCHEDULE.get(&sound, &(process, Slot(slot))).unwrap().unwrap();
    let head = schema::HEADS.get(&sound, &process).unwrap().unwrap();
    let frame = |of: u64| {
        let sequence = schema::FRAME_OF.get(&sound, &(process, Slot(of))).unwrap().unwrap();
        let all = schema::FRAMES.all(&sound, Direction::Forward, 999).unwrap();
        all.into_iter().find(|(key, _)| key.sequence == sequence).unwrap()
    };
    let checkpoint = schema::CHECKPOINTS.all(&sound, Direction::Forward, 1).unwrap().remove(0);
    let strange = FrameKey { sequence: 1 << 40, ..frame(1).0 };
    let item = row(2).item;
    let broken_item = {
        let mut bytes = schema::ITEMS.get(&sound, &item).unwrap().unwrap().to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Bytes::from(bytes)
    };
    type Change<'a> = Box<dyn Fn(&mut WriteBatch) + 'a>;
    let cases: Vec<(&str, Wrong, Table, Change<'_>)> = vec![
        (
            "a row cut short",
            Wrong::Unreadable,
            Table::Heads,
            Box::new(|rows| rows.put(Table::Heads, process.0.to_vec(), Bytes::from_static(&[1, 0]))),
        ),
        (
            "a key of another form",
            Wrong::Unreadable,
            Table::Confirmed,
            Box::new(|rows| rows.put(Table::Confirmed, vec![1], Bytes::from_static(&[0; 8]))),
        ),
        (
            "an item that is none",
            Wrong::Unreadable,
            Table::Items,
            Box::new(|rows| schema::ITEMS.put(rows, &item, &Bytes::from_static(b"none"))),
        ),
        (
            "another item's bytes",
            Wrong::Unreadable,
            Table::Items,
            Box::new(|rows| {
                schema::ITEMS.put(rows, &item, &schema::ITEMS.get(&sound, &row(1).item).unwrap().unwrap());
            }),
        ),
        ("an item with another byte", Wrong::Unreadable, Table::Items, Box::new(|rows| schema::ITEMS.put(rows, &item, &broken_item))),
        (
            "a shipment that is none",
            Wrong::Unreadable,
            Table::Shipments,
            Box::new(|rows| schema::SHIPMENTS.put(rows, &1, &Bytes::from_static(b"none"))),
        ),
        ("an item that is gone", Wrong::Contradiction, Table::Schedule, Box::new(|rows| schema::ITEMS.delete(rows, &item))),
        ("a slot that is gone", Wrong::Contradiction, Table::Schedule, Box::new(|rows| schema::SCHEDULE.delete(rows, &(process, Slot(2))))),
        (
            "two slots that changed places",
            Wrong::Contradiction,
            Table::Schedule,
            Box::new(|rows| {
                schema::SCHEDULE.put(rows, &(process, Slot(1)), &row(2));
                schema::SCHEDULE.put(rows, &(process, Slot(2)), &row(1));
            }),
        ),
        (
            "an index without the assignment",
            Wrong::Contradiction,
            Table::SlotOf,
            Box::new(|rows| schema::SLOT_OF.delete(rows, &(row(3).assignment_id, process))),
        ),
        (
            "a head below the log",
            Wrong::LeftOver,
            Table::Schedule,
            Box::new(|rows| {
                schema::HEADS.put(rows, &process, &schema::Head { slot: Slot(head.slot.0 - 1), ..head.clone() });
            }),
        ),
        (
            "a head that lies",
            Wrong::Contradiction,
            Table::Heads,
            Box::new(|rows| {
                schema::HEADS.put(rows, &process, &schema::Head { hash_chain: [9; 32], ..head.clone() });
            }),
        ),
        (
            "a head above the log",
            Wrong::Contradiction,
            Table::Heads,
            Box::new(|rows| {
                schema::HEADS.put(rows, &process, &schema::Head { slot: Slot(99), ..head.clone() });
            }),
        ),
        (
            "confirmed and not assigned",
            Wrong::Contradiction,
            Table::Confirmed,
            Box::new(|rows| schema::CONFIRMED.put(rows, &process, &Slot(99))),
        ),
        (
            "evaluated and not confirmed",
            Wrong::Contradiction,
            Table::EvaluationHeads,
            Box::new(|rows| schema::CONFIRMED.put(rows, &process, &Slot(1))),
        ),
        (
            "anchored and in no shipment",
            Wrong::Contradiction,
            Table::Anchored,
            Box::new(|rows| schema::ANCHORED.put(rows, &process, &Slot(1))),
        ),
        (
            "shipped and not confirmed",
            Wrong::Contradiction,
            Table::AnchorHeads,
            Box::new(|rows| {
                let head = schema::AnchorHead { next: Slot(99), range: None, ranges: 1, results: Slot(0) };
                schema::ANCHOR_HEADS.put(rows, &process, &head);
            }),
        ),
        (
            "a place in another frame",
            Wrong::Contradiction,
            Table::FrameOf,
            Box::new(|rows| schema::FRAME_OF.put(rows, &(process, Slot(1)), &77)),
        ),
        (
            "a place in a frame for no slot",
            Wrong::Contradiction,
            Table::FrameOf,
            Box::new(|rows| schema::FRAME_OF.put(rows, &(process, Slot(99)), &0)),
        ),
        ("a frame elsewhere", Wrong::Contradiction, Table::Frames, Box::new(|rows| schema::FRAMES.put(rows, &strange, &frame(1).1))),
        ("a frame that is gone", Wrong::Contradiction, Table::Frames, Box::new(|rows| schema::FRAMES.delete(rows, &frame(2).0))),
        (
            "a frame that is none",
            Wrong::Unreadable,
            Table::Frames,
            Box::new(|rows| {
                let (key, row) = frame(1);
                schema::FRAMES.put(rows, &key, &schema::FrameRow { frame: Bytes::from_static(b"none"), ..row });
            }),
        ),
        ("a number that is gone", Wrong::Contradiction, Table::Sequence, Box::new(|rows| schema::SEQUENCE.delete(rows, &1))),
        ("an item in no index", Wrong::Contradiction, Table::Sequence, Box::new(|rows| schema::ITEM_INDEX.delete(rows, &item))),
        (
            "a checkpoint without bytes",
            Wrong::Contradiction,
            Table::Checkpoints,
            Box::new(|rows| schema::CHECKPOINT_BODIES.delete(rows, &checkpoint.0)),
        ),
        (
            "bytes without a checkpoint",
            Wrong::Contradiction,
            Table::CheckpointBodies,
            Box::new(|rows| schema::CHECKPOINTS.delete(rows, &checkpoint.0)),
        ),
    ];
    for (what, wrong, table, change) in cases {
        let broken = MemoryStore::from_contents(sound.contents());
        let mut batch = WriteBatch::default();
        change(&mut batch);
        broken.write(batch, Durability::Synced).unwrap();
        let (_, findings) = look(&broken);
        assert!(findings.iter().any(|found| (found.wrong, found.table) == (wrong, table)), "{what}: {findings:#?}");
        assert!(findings.len() < 20, "one thing is wrong, and it is said once or little more: {what}: {findings:#?}");
    }
}
