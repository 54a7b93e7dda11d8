//! What every store must do: one suite, run on RocksDB, on memory and on the simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ao_storage::Direction::{Backward, Forward};
use ao_storage::Durability::{Buffered, Synced};
use ao_storage::faulty::{Fault, FaultyStore};
use ao_storage::{Direction, MemoryStore, RocksStore, Store, Table, WriteBatch};
use bytes::Bytes;
use proptest::prelude::*;

const A: Table = Table::Items;
const B: Table = Table::Outbox;

type Write<'a> = (Table, &'a [u8], Option<&'a [u8]>);

fn batch(writes: &[Write]) -> WriteBatch {
    let writes = writes.iter().map(|(table, key, row)| (*table, key.to_vec(), row.map(Bytes::copy_from_slice)));
    WriteBatch { writes: writes.collect() }
}

fn keys(store: &dyn Store, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Vec<Vec<u8>> {
    store.scan(A, from, to, direction, limit).unwrap().into_iter().map(|(key, _)| key.to_vec()).collect()
}

fn rows_come_and_go(store: &dyn Store) {
    assert_eq!(store.get(A, b"k").unwrap(), None);
    assert!(!store.contains(A, b"k").unwrap());
    store.write(batch(&[(A, b"k", Some(b"row")), (B, b"k", Some(b""))]), Synced).unwrap();
    assert_eq!(store.get(A, b"k").unwrap().as_deref(), Some(&b"row"[..]));
    assert_eq!(store.get(B, b"k").unwrap().as_deref(), Some(&b""[..]), "an empty row is a row; tables are apart");
    assert!(store.contains(B, b"k").unwrap());
    store.write(batch(&[(A, b"k", None), (A, b"never there", None)]), Buffered).unwrap();
    assert_eq!(store.get(A, b"k").unwrap(), None);
    assert!(store.contains(B, b"k").unwrap());
}

fn writes_of_a_batch_are_in_order(store: &dyn Store) {
    store.write(batch(&[(A, b"x", Some(b"1")), (A, b"x", None), (A, b"y", None), (A, b"y", Some(b"2"))]), Synced).unwrap();
    assert_eq!(store.get(A, b"x").unwrap(), None);
    assert_eq!(store.get(A, b"y").unwrap().as_deref(), Some(&b"2"[..]));
    store.write(WriteBatch::default(), Synced).unwrap();
}

fn scans_are_half_open_both_ways(store: &dyn Store) {
    let all: [&[u8]; 6] = [b"", b"a", b"a\0", b"ab", b"b", b"\xff\xff"];
    store.write(batch(&all.map(|key| (A, key, Some(key)))), Synced).unwrap();
    assert_eq!(keys(store, b"", b"", Forward, 99), all);
    assert_eq!(keys(store, b"", b"", Backward, 2), [&b"\xff\xff"[..], b"b"]);
    assert_eq!(keys(store, b"a", b"b", Forward, 99), [&b"a"[..], b"a\0", b"ab"], "the upper end is not part");
    assert_eq!(keys(store, b"a", b"b", Backward, 99), [&b"ab"[..], b"a\0", b"a"]);
    assert_eq!(keys(store, b"a", b"b", Forward, 2), [&b"a"[..], b"a\0"]);
    assert_eq!(keys(store, b"a", b"b", Forward, 0), Vec::<Vec<u8>>::new());
    assert_eq!(keys(store, b"b", b"b", Forward, 99), Vec::<Vec<u8>>::new());
    assert_eq!(keys(store, b"b", b"a", Backward, 99), Vec::<Vec<u8>>::new(), "bounds the wrong way round are an empty range");
    assert_eq!(keys(store, b"b", b"", Backward, 99), [&b"\xff\xff"[..], b"b"], "no upper end");
    assert!(store.scan(B, b"", b"", Forward, 99).unwrap().is_empty());
}

/// More rows than any store shows in one piece, from the lowest key up, each once, and no further than is wanted.
fn each_row_is_shown_once(store: &dyn Store) {
    let all: Vec<Vec<u8>> = (0..=u8::MAX).map(|key| vec![key]).collect();
    store.write(batch(&all.iter().map(|key| (A, &key[..], Some(&key[..]))).collect::<Vec<_>>()), Synced).unwrap();
    let shown = |from: &[u8], limit: usize| {
        let mut shown = Vec::new();
        let visit = &mut |key: &[u8], row: &[u8]| {
            assert_eq!(key, row);
            shown.push(key.to_vec());
            shown.len() < limit
        };
        store.each(A, from, visit).unwrap();
        shown
    };
    assert_eq!(shown(b"", 999), all);
    assert_eq!(shown(&[77], 999), all[77..]);
    assert_eq!(shown(b"", 100), all[..100]);
    assert!(store.each(B, b"", &mut |_, _| panic!("another table")).is_ok());
    // In whatever order they are asked for, repeated or not there.
    let keys: Vec<Vec<u8>> = all.iter().rev().chain([&vec![9, 9], &vec![7], &vec![]]).cloned().collect();
    let found = store.get_many(A, &keys).unwrap();
    let expected = |key: &Vec<u8>| (key.len() == 1).then(|| Bytes::copy_from_slice(key));
    assert_eq!(found, keys.iter().map(expected).collect::<Vec<_>>());
    assert_eq!(store.get_many(B, &keys[..2]).unwrap(), [None, None]);
    let within = |from: &[u8], to: &[u8], limit: usize| {
        let mut shown = Vec::new();
        let visit = &mut |key: &[u8], row: &[u8]| {
            assert_eq!(key, row);
            shown.push(key.to_vec());
            shown.len() < limit
        };
        store.visit(A, from, to, visit).unwrap();
        shown
    };
    assert_eq!(within(b"", b"", 999), all);
    assert_eq!((within(&[7], &[200], 999), within(&[7], &[200], 50)), (all[7..200].to_vec(), all[7..57].to_vec()));
    assert_eq!((within(&[7], &[7], 9), within(&[8], &[7], 9), within(&[9, 0], &[10], 9)), (vec![], vec![], vec![]), "nothing lies there");
    assert!(store.visit(B, b"", b"", &mut |_, _| panic!("another table")).is_ok());
}

fn big_rows_come_back_whole(store: &dyn Store) {
    // Above and below the size from which RocksDB keeps rows apart.
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 3 << 20] {
        let row: Vec<u8> = (0..size).map(|index| (index * 31 % 251) as u8).collect();
        store.write(batch(&[(A, b"big", Some(&row))]), Synced).unwrap();
        assert_eq!(store.get(A, b"big").unwrap().as_deref(), Some(&row[..]), "{size} bytes");
        assert_eq!(store.scan(A, b"", b"", Forward, 1).unwrap()[0].1, row, "{size} bytes, scanned");
    }
    let sizes = store.sizes().unwrap();
    assert_eq!(sizes.iter().map(|(table, _)| *table).collect::<Vec<_>>(), Table::ALL, "one size per table, in order");
}

fn a_batch_is_seen_whole_or_not_at_all(store: &dyn Store) {
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..200_u32 {
                let row = round.to_be_bytes();
                store.write(batch(&[(A, b"left", Some(&row)), (A, b"right", Some(&row))]), Buffered).unwrap();
            }
        });
        while !writer.is_finished() {
            // A scan is of one moment.
            let rows = store.scan(A, b"", b"", Forward, 9).unwrap();
            assert!(rows.len() != 1 && rows.windows(2).all(|pair| pair[0].1 == pair[1].1), "{rows:?}");
        }
    });
    assert_eq!(store.get(A, b"left").unwrap().as_deref(), Some(&199_u32.to_be_bytes()[..]));
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod rocks { $(#[test] fn $test() {
            let directory = super::directory();
            super::$test(&super::RocksStore::open(directory.path(), &Default::default()).unwrap());
        })* }
        mod memory { $(#[test] fn $test() { super::$test(&super::MemoryStore::new()); })* }
        mod faulty { $(#[test] fn $test() { super::$test(&super::FaultyStore::new(Default::default(), super::Fault::None)); })* }
    };
}
contract!(
    rows_come_and_go,
    writes_of_a_batch_are_in_order,
    scans_are_half_open_both_ways,
    each_row_is_shown_once,
    big_rows_come_back_whole,
    a_batch_is_seen_whole_or_not_at_all,
);

/// In memory where the machine allows it: tests of contents need no disk.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The directory as a killed process would leave it: a copy made while the store is open. RocksDB deletes files that nobody needs any
/// more in the background, so the copy is made again until none went away meanwhile.
fn crashed(from: &Path) -> tempfile::TempDir {
    let list = || -> BTreeSet<_> { fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect() };
    loop {
        let (to, files) = (directory(), list());
        let copied = files.iter().all(|path| fs::copy(path, to.path().join(path.file_name().unwrap())).is_ok());
        if copied && list() == files {
            return to;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(bool, Vec<u8>, Option<u8>)>),
    Flush,
    Crash,
    Reopen,
    Scan { from: Vec<u8>, to: Vec<u8>, backward: bool, limit: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::collection::vec(prop::sample::select(vec![0, 1, 255]), 0..3);
    prop_oneof![
        6 => prop::collection::vec((any::<bool>(), key(), any::<Option<u8>>()), 0..6).prop_map(Step::Write),
        1 => Just(Step::Flush),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
        6 => (key(), key(), any::<bool>(), 0_usize..5).prop_map(|(from, to, backward, limit)| Step::Scan { from, to, backward, limit }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// RocksDB, killed or closed and opened again in between, never differs from an ordered map.
    #[test]
    fn rocks_is_an_ordered_map(steps in prop::collection::vec(step(), 1..30)) {
        let mut directory = directory();
        let open = |directory: &tempfile::TempDir| RocksStore::open(directory.path(), &Default::default()).unwrap();
        let mut rocks = open(&directory);
        let memory = MemoryStore::new();
        for step in steps {
            match step {
                Step::Write(writes) => {
                    let table = |first| if first { A } else { B };
                    let writes = writes.into_iter().map(|(first, key, row)| (table(first), key, row.map(|byte| vec![byte; 40].into())));
                    let batch = WriteBatch { writes: writes.collect() };
                    memory.write(batch.clone(), Synced).unwrap();
                    rocks.write(batch, Buffered).unwrap();
                }
                Step::Flush => rocks.flush().unwrap(),
                Step::Crash => {
                    let copy = crashed(directory.path());
                    drop(rocks);
                    directory = copy;
                    rocks = open(&directory);
                }
                Step::Reopen => {
                    drop(rocks);
                    rocks = open(&directory);
                }
                Step::Scan { from, to, backward, limit } => {
                    let way = if backward { Backward } else { Forward };
                    prop_assert_eq!(rocks.scan(A, &from, &to, way, limit).unwrap(), memory.scan(A, &from, &to, way, limit).unwrap());
                }
            }
        }
        for table in [A, B] {
            let rows = |store: &dyn Store| -> BTreeMap<_, _> { store.scan(table, b"", b"", Forward, 999).unwrap().into_iter().collect() };
            prop_assert_eq!(rows(&rocks), rows(&memory));
        }
    }
}
