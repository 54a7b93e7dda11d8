//! The database of slashing protection: durable, one owner, nothing dropped in silence.

use std::path::Path;
use std::process::{Command, Stdio};

use ao_storage::Error;
use ao_storage::protection::ProtectionStore;

fn put(store: &ProtectionStore, key: &[u8], row: &[u8]) {
    store.write([(key.to_vec(), Some(row.to_vec()))]).unwrap();
}

#[test]
fn rows_are_written_together_found_by_prefix_and_still_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!ProtectionStore::exists(folder.path()));
    let store = ProtectionStore::open(folder.path()).unwrap();
    store.write([(vec![1, 1], Some(vec![10])), (vec![1, 2], Some(vec![20])), (vec![2], Some(vec![30]))]).unwrap();
    store.write([(vec![1, 2], Some(vec![21])), (vec![2], None)]).unwrap();
    let rows = |store: &ProtectionStore, prefix: &[u8]| -> Vec<(Vec<u8>, Vec<u8>)> {
        store.scan(prefix).unwrap().into_iter().map(|(key, row)| (key.to_vec(), row.to_vec())).collect()
    };
    let expected = vec![(vec![1, 1], vec![10]), (vec![1, 2], vec![21])];
    assert_eq!(rows(&store, &[1]), expected);
    drop(store);
    assert!(ProtectionStore::exists(folder.path()));
    let store = ProtectionStore::open(folder.path()).unwrap();
    assert_eq!(rows(&store, &[]), expected);
    assert_eq!((store.get(&[1, 1]).unwrap(), store.get(&[2]).unwrap()), (Some(vec![10]), None));
}

#[test]
fn what_was_acknowledged_is_on_disk_before_the_call_returns() {
    let (live, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = ProtectionStore::open(live.path()).unwrap();
    put(&store, b"row", b"signed");
    // What kill -9 leaves: the files as they are, with nobody to close them.
    for entry in std::fs::read_dir(live.path()).unwrap().flatten() {
        std::fs::copy(entry.path(), image.path().join(entry.file_name())).unwrap();
    }
    let after = ProtectionStore::open(image.path()).unwrap();
    assert_eq!(after.get(b"row").unwrap().as_deref(), Some(&b"signed"[..]));
}

#[test]
fn remains_without_a_database_are_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = ProtectionStore::open(folder.path()).unwrap();
    put(&store, b"row", b"signed");
    drop(store);
    std::fs::remove_file(folder.path().join("CURRENT")).unwrap();
    assert!(matches!(ProtectionStore::open(folder.path()), Err(Error::Corrupt { .. })));
}

const HOLD: &str = "AO_TEST_HOLD_PROTECTION";

/// Not a test by itself: what the other process of the next test does. Without the variable it does nothing.
#[test]
fn other_process() {
    use std::io::{BufRead, Write};
    let Some(directory) = std::env::var_os(HOLD) else { return };
    let opened = ProtectionStore::open(Path::new(&directory));
    // Behind the test runner's own words, which may share the line.
    let said = if opened.is_ok() { "\n@@ open\n" } else { "\n@@ refused\n" };
    std::io::stdout().write_all(said.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().lock().read_line(&mut String::new());
}

fn other(directory: &Path) -> (std::process::Child, String) {
    use std::io::{BufRead, BufReader};
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["other_process", "--exact", "--nocapture"]).env(HOLD, directory);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| line.unwrap().strip_prefix("@@ ").map(str::to_owned)).expect("it says how it went");
    std::thread::spawn(move || lines.for_each(drop));
    (child, said)
}

#[test]
fn two_processes_never_have_it_open_together() {
    let folder = tempfile::tempdir().unwrap();
    let (mut holder, said) = other(folder.path());
    assert_eq!(said, "open");
    assert!(matches!(ProtectionStore::open(folder.path()), Err(Error::Locked(_))));
    let (mut second, said) = other(folder.path());
    assert_eq!(said, "refused", "nor a third process");
    second.stdin.take();
    second.wait().unwrap();
    // A process that is killed gives it back.
    holder.kill().unwrap();
    holder.wait().unwrap();
    let here = ProtectionStore::open(folder.path()).unwrap();
    assert!(matches!(ProtectionStore::open(folder.path()), Err(Error::Locked(_))), "nor twice in one process");
    drop(here);
}
