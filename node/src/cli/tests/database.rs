//! `db` on the database of a stopped node.

use ao_storage::{Durability, RocksStore, Store as _, Table, WriteBatch};
use bytes::Bytes;

use super::*;

fn database(home: &Home) -> std::path::PathBuf {
    home.0.path().join("data/db")
}

fn with_rows(home: &Home) -> RocksStore {
    let store = RocksStore::open(&database(home), &Default::default()).unwrap();
    let mut batch = WriteBatch::default();
    (0..2000_u64).for_each(|key| batch.put(Table::EngineRecords, format!("record {key}").into_bytes(), Bytes::from(vec![key as u8; 100])));
    store.write(batch, Durability::Synced).unwrap();
    store.flush().unwrap();
    store
}

#[test]
fn the_database_of_a_stopped_node_is_counted_compacted_and_checked() {
    let home = Home::new();
    assert_eq!(home.run(&["db", "stats"]).0, Exit::Precondition, "there is no directory");
    home.json(&["init"]);
    let (exit, _, err) = home.run(&["db", "check"]);
    assert_eq!(exit, Exit::NotFound, "{err}");
    assert!(err.contains("the first `aonode start` makes it"), "{err}");
    let store = with_rows(&home);
    for verb in ["stats", "compact", "check"] {
        let (exit, _, err) = home.run(&["db", verb]);
        assert_eq!(exit, Exit::Precondition, "in use: {err}");
        assert!(err.contains("stop the node"), "{err}");
    }
    drop(store);
    let of = |tables: &Value, name: &str| tables["items"].as_array().unwrap().iter().find(|row| row["table"] == name).unwrap().clone();
    let counted = of(&home.json(&["db", "stats", "--exact"]), "engine_records");
    assert_eq!(counted["rows"], 2000);
    assert!(counted["disk"].as_u64().unwrap() > 0, "{counted}");
    let (exit, out, _) = home.run(&["db", "stats"]);
    assert!(exit == Exit::Ok && out.lines().last().unwrap().starts_with("all"), "{out}");
    let (exit, out, err) = home.run(&["--output", "ndjson", "db", "compact", "--table", "engine_records"]);
    assert_eq!(exit, Exit::Ok, "{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["schema"], &lines[0]["rows"]), (2, &"db-compact-table/v1".into(), &2000.into()));
    assert_eq!(home.run(&["db", "compact", "--table", "nothing"]).0, Exit::Usage);
    let checked = home.json(&["db", "check"]);
    assert_eq!((checked["unreadable"].as_u64(), checked["contradictions"].as_u64()), (Some(0), Some(0)), "{checked}");
}

#[test]
fn contradictions_end_with_8_damage_with_10_and_both_with_the_place() {
    let home = Home::new();
    home.json(&["init"]);
    let store = with_rows(&home);
    let mut batch = WriteBatch::default();
    batch.put(Table::Confirmed, vec![7; 32], Bytes::from(vec![0; 8]));
    store.write(batch, Durability::Synced).unwrap();
    drop(store);
    let (exit, out, err) = home.run(&["--output", "ndjson", "db", "check"]);
    assert_eq!(exit, Exit::Verification, "{err}");
    let found: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&found["schema"], &found["wrong"], &found["table"]),
        (&"db-finding/v1".into(), &"contradiction".into(), &"confirmed".into())
    );
    // A byte in the middle of a table's file.
    let files = std::fs::read_dir(database(&home)).unwrap().map(|entry| entry.unwrap().path());
    let largest =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).max_by_key(|path| path.metadata().unwrap().len());
    let (file, mut bytes) = largest.map(|path| (path.clone(), std::fs::read(path).unwrap())).unwrap();
    bytes[200] ^= 0x40;
    std::fs::write(&file, bytes).unwrap();
    let (exit, out, err) = home.run(&["db", "check"]);
    assert_eq!(exit, Exit::Corruption, "{out}{err}");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(out.contains("unreadable") && out.contains(name), "the file is named: {out}{err}");
}
