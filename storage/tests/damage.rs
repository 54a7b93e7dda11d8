//! What is damaged, cut, in use, newer or full, on the real engine (faults.md F3, F4, F5).

use std::fs;
use std::path::{Path, PathBuf};

use ao_storage::Durability::Synced;
use ao_storage::{Direction, Error, RocksStore, Store, Table, WriteBatch, schema};
use bytes::Bytes;
use tempfile::TempDir;

const TABLE: Table = Table::Schedule;

fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(directory: &Path) -> Result<RocksStore, Error> {
    RocksStore::open(directory, &Default::default())
}

fn put(store: &dyn Store, key: u8, row: &[u8]) {
    let mut batch = WriteBatch::default();
    batch.put(TABLE, vec![key], Bytes::copy_from_slice(row));
    store.write(batch, Synced).unwrap();
}

fn keys(store: &dyn Store) -> Result<Vec<u8>, Error> {
    Ok(store.scan(TABLE, b"", b"", Direction::Forward, 99)?.iter().map(|(key, _)| key[0]).collect())
}

/// The directory as a power failure would leave it: a copy made while the store is open.
fn crashed(from: &Path) -> TempDir {
    let to = scratch();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// The newest file with this extension.
fn newest(directory: &Path, extension: &str) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    files.pop().unwrap()
}

/// Three synced writes in a log of their own.
fn three_writes() -> (TempDir, PathBuf, Vec<u8>) {
    let directory = scratch();
    drop(open(directory.path()).unwrap());
    let store = open(directory.path()).unwrap();
    for key in 1..=3 {
        put(&store, key, b"row");
    }
    let copy = crashed(directory.path());
    let log = newest(copy.path(), "log");
    let bytes = fs::read(&log).unwrap();
    (copy, log, bytes)
}

#[test]
fn a_log_cut_anywhere_in_its_last_record_loses_that_record_only() {
    let (directory, log, bytes) = three_writes();
    let record = bytes.len() / 3;
    assert_eq!(bytes.len() % 3, 0, "three equal records");
    for cut in 2 * record + 1..bytes.len() {
        let copy = crashed(directory.path());
        let log = copy.path().join(log.file_name().unwrap());
        fs::write(&log, &bytes[..cut]).unwrap();
        let store = open(copy.path()).unwrap();
        assert_eq!(keys(&store).unwrap(), [1, 2], "cut at {cut}");
        let [truncation] = store.truncations() else { panic!("{:?}", store.truncations()) };
        assert_eq!((truncation.offset, truncation.bytes), (2 * record as u64, (cut - 2 * record) as u64));
        put(&store, 3, b"again");
        drop(store);
        let again = open(copy.path()).unwrap();
        assert_eq!(keys(&again).unwrap(), [1, 2, 3]);
        assert_eq!(again.truncations(), [], "a cut is reported once");
    }
    assert_eq!(keys(&open(directory.path()).unwrap()).unwrap(), [1, 2, 3], "uncut, nothing is lost");
}

#[test]
fn a_byte_flipped_anywhere_in_the_log_refuses_to_open_and_names_the_place() {
    let (directory, log, bytes) = three_writes();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            fs::write(&log, &bad).unwrap();
            match open(directory.path()) {
                Err(Error::Corrupt { place, .. }) => assert!(place.contains(".log offset "), "byte {at} ^ {flip:#x}: {place}"),
                Err(other) => panic!("byte {at} ^ {flip:#x}: {other}"),
                Ok(store) => panic!("byte {at} ^ {flip:#x} went unnoticed: {:?}", keys(&store)),
            }
        }
    }
    fs::write(&log, &bytes).unwrap();
    assert_eq!(keys(&open(directory.path()).unwrap()).unwrap(), [1, 2, 3], "a refusal changes nothing on disk");
}

#[test]
fn a_zeroed_sector_in_the_log_is_not_taken_for_its_end() {
    let directory = scratch();
    let store = open(directory.path()).unwrap();
    for key in 1..=60 {
        put(&store, key, &[key; 2000]);
    }
    let copy = crashed(directory.path());
    let log = newest(copy.path(), "log");
    let bytes = fs::read(&log).unwrap();
    for sector in (0..bytes.len() / 512 - 1).step_by(23) {
        let mut bad = bytes.clone();
        bad[sector * 512..][..512].fill(0);
        fs::write(&log, &bad).unwrap();
        assert!(matches!(open(copy.path()), Err(Error::Corrupt { .. })), "sector {sector}");
    }
}

#[test]
fn a_byte_flipped_in_a_table_file_is_found_on_opening_or_reading() {
    let directory = scratch();
    let store = open(directory.path()).unwrap();
    for key in 1..=50 {
        put(&store, key, &[key; 100]);
    }
    store.flush().unwrap();
    drop(store);
    // Not knowing which file is whose, damage each: the file of TABLE must be found, and no other must give wrong rows.
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut noticed = 0;
    for file in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sst")) {
        let bytes = fs::read(file).unwrap();
        for at in (0..bytes.len()).step_by(bytes.len() / 40 + 1) {
            let copy = crashed(directory.path());
            let damaged = copy.path().join(file.file_name().unwrap());
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            fs::write(&damaged, bad).unwrap();
            let whole: Vec<u8> = (1..=50).collect();
            match open(copy.path()).and_then(|store| keys(&store)) {
                Ok(found) => assert_eq!(found, whole, "byte {at} of {}", file.display()),
                // Damaged properties of a file are the one case in which RocksDB names only the manifest that lists it.
                Err(Error::Corrupt { place, reason, .. }) => {
                    let exact = place.contains(&*file.file_name().unwrap().to_string_lossy());
                    assert!(exact || reason.contains("properties"), "byte {at}: {place}: {reason}");
                    noticed += 1;
                }
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
    }
    assert!(noticed >= 10, "{noticed} flips noticed");
}

#[test]
fn missing_files_are_damage_not_a_fresh_start() {
    for extension in ["sst", "CURRENT"] {
        let directory = scratch();
        let store = open(directory.path()).unwrap();
        put(&store, 1, b"row");
        store.flush().unwrap();
        drop(store);
        let path = if extension == "CURRENT" { directory.path().join("CURRENT") } else { newest(directory.path(), extension) };
        fs::remove_file(&path).unwrap();
        match open(directory.path()).and_then(|store| keys(&store)) {
            Err(Error::Corrupt { place, .. }) => assert!(place.contains(&*path.to_string_lossy()), "{place}"),
            other => panic!("without {}: {other:?}", path.display()),
        }
    }
}

#[test]
fn a_directory_in_use_is_locked_and_then_free() {
    let directory = scratch();
    let first = open(directory.path()).unwrap();
    match open(directory.path()).map(|_| ()) {
        Err(Error::Locked(place)) => assert_eq!(place, directory.path().display().to_string()),
        other => panic!("{other:?}"),
    }
    // Also while the log grows under the eyes of the second.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..200).for_each(|key| put(&first, key, &[key; 3000])));
        while !writer.is_finished() {
            assert!(matches!(open(directory.path()), Err(Error::Locked(_))));
        }
    });
    drop(first);
    assert_eq!(keys(&open(directory.path()).unwrap()).unwrap().len(), 99, "the scan's limit");
}

#[test]
fn what_a_newer_version_wrote_is_refused_with_both_versions() {
    let directory = scratch();
    let store = open(directory.path()).unwrap();
    let mut batch = WriteBatch::default();
    schema::DISK_FORMAT.put(&mut batch, &(schema::FORMAT + 1));
    store.write(batch, Synced).unwrap();
    drop(store);
    match open(directory.path()).map(|_| ()) {
        Err(Error::TooNew { found, supported }) => assert_eq!((found, supported), (schema::FORMAT + 1, schema::FORMAT)),
        other => panic!("{other:?}"),
    }
}

/// A child of this test binary, in a mount namespace of its own where it may mount 256 MiB of memory as a disk.
#[test]
fn a_full_disk_is_said_so_reads_go_on_and_room_brings_writes_back() {
    const CHILD: &str = "AO_STORAGE_FULL_DISK_CHILD";
    if let Some(mount) = std::env::var_os(CHILD) {
        return full_disk(Path::new(&mount));
    }
    let mount = scratch();
    let test = "a_full_disk_is_said_so_reads_go_on_and_room_brings_writes_back";
    let script =
        format!("mount -t tmpfs -o size=256m tmpfs '{}' || exit 77; exec \"$0\" --exact {test} --nocapture", mount.path().display());
    let unshare = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, mount.path())
        .output()
        .unwrap();
    if unshare.status.code() == Some(77) || String::from_utf8_lossy(&unshare.stderr).contains("unshare failed") {
        eprintln!("skipped: this machine lets nobody mount in a namespace of its own");
        return;
    }
    assert!(unshare.status.success(), "{}{}", String::from_utf8_lossy(&unshare.stdout), String::from_utf8_lossy(&unshare.stderr));
}

/// A megabyte that does not compress.
fn megabyte(key: u8) -> Bytes {
    let mut state = u64::from(key) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    Bytes::from_iter((0..1 << 20).map(|_| next()))
}

fn put_megabyte(store: &dyn Store, key: u8) -> Result<(), Error> {
    let mut batch = WriteBatch::default();
    batch.put(TABLE, vec![key], megabyte(key));
    store.write(batch, Synced)
}

/// Writes until there is no room; which of `keys` were written.
fn fill(store: &dyn Store, keys: std::ops::Range<u8>) -> Vec<u8> {
    let mut written = Vec::new();
    for key in keys {
        match put_megabyte(store, key) {
            Ok(()) => written.push(key),
            Err(Error::DiskFull(_)) => return written,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("{} MiB were written and the disk is still not full", written.len());
}

fn full_disk(mount: &Path) {
    let (data, ballast) = (mount.join("db"), mount.join("ballast"));
    // More than RocksDB wants free before it goes on: room for every table's write buffer.
    let take_room = || fs::write(&ballast, vec![1; 192 << 20]).unwrap();
    take_room();
    let store = open(&data).unwrap();
    let mut written = fill(&store, 0..100);
    assert_eq!(keys(&store).unwrap(), written, "reads go on, and what was refused is not there");

    fs::remove_file(&ballast).unwrap();
    assert!(ao_storage::free_bytes(mount).unwrap() > 190 << 20);
    let began = std::time::Instant::now();
    while let Err(error) = put_megabyte(&store, 100) {
        assert!(began.elapsed().as_secs() < 30, "still refused half a minute after there was room: {error}");
        // RocksDB looks for room every five seconds and tells nobody.
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    written.push(100);
    assert_eq!(keys(&store).unwrap(), written, "writes are back without a restart");
    drop(store);

    let store = open(&data).unwrap();
    assert_eq!(keys(&store).unwrap(), written, "after a restart too");
    assert_eq!(store.get(TABLE, &[100]).unwrap(), Some(megabyte(100)));
    take_room();
    written.extend(fill(&store, 101..200));
    drop(store);
    fs::remove_file(&ballast).unwrap();
    assert_eq!(keys(&open(&data).unwrap()).unwrap(), written, "closed while the disk was full, nothing acknowledged is lost");
}
