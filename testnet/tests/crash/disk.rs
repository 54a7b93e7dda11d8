//! A disk that lies (F2), tears (F3), rots (F4) and fills up (F5).

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::Setup;
use ao_testnet::random::Random;
use ao_testnet::schedule::Schedule;
use ao_testnet::{count, say, wait};

use super::workload::{Workload, accepted};

/// Exit code of operations.md §1: corruption, an operator is needed.
const CORRUPT: i32 = 10;

/// The database's write-ahead logs, oldest first.
fn logs(data: &Path) -> Vec<PathBuf> {
    files(data, "log")
        .into_iter()
        .filter(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().bytes().all(|b| b.is_ascii_digit())))
        .collect()
}

/// Every file of an extension anywhere below a folder, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: u64) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&[byte[0] ^ 0x40])?;
    Ok(())
}

/// F3: what was cut off the end of the log was never acknowledged by a drive that tells the truth; the rest stands and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_the_rest_stands() {
    let mut random = Random::announced("torn tail");
    for _ in 0..count(3, 20) {
        torn(random.below(400) + 1).await.unwrap();
    }
}

async fn torn(bytes: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Setup::new(folder.path().join("data")).start().await?;
    let client = Client::new(node.base())?;
    let workload = Workload::prepare(&client).await?;
    let items: Vec<_> = (0..10).map(|n| workload.message(n)).collect();
    for item in &items {
        client.send(item).await?;
    }
    workload.settled(&client, items.len()).await?;
    let whole = Schedule::read(&client, workload.sender).await?;
    let setup = node.kill().await?;

    let log = logs(folder.path()).pop().context("the database has a write-ahead log")?;
    let length = log.metadata()?.len();
    ensure!(length > bytes, "the log has {length} bytes");
    OpenOptions::new().write(true).open(&log)?.set_len(length - bytes)?;

    let node = setup.start().await.with_context(|| format!("after {bytes} bytes were cut off {}", log.display()))?;
    let client = Client::new(node.base())?;
    let rest = Schedule::read(&client, workload.sender).await?;
    ensure!(rest.nodes[..] == whole.nodes[..rest.len()], "what stands is not a prefix of what was");
    for item in &items {
        let answer = client.post("/", item).await?;
        ensure!(accepted(&answer)?, "{}", answer.text());
    }
    workload.check(&client, &items).await?;
    let (_, _, text) = node.stop().await?;
    say(format_args!("torn tail: {bytes} bytes cut, {} of {} slots stood", rest.len(), whole.len()));
    ensure!(
        text.to_lowercase().contains("wal") || rest.len() == whole.len(),
        "a cut that lost something is not mentioned in the log:\n{text}"
    );
    Ok(())
}

/// F2: an older copy of the log comes back, as from a drive that answered before it had written. What stands is a whole node of before:
/// a prefix with the same bytes, and what is sent again has the state of an undisturbed run.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_log_is_a_whole_node_of_before() {
    older_copy().await.unwrap();
}

async fn older_copy() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Setup::new(folder.path().join("data")).start().await?;
    let client = Client::new(node.base())?;
    let workload = Workload::prepare(&client).await?;
    let items: Vec<_> = (0..20).map(|n| workload.message(n)).collect();
    let (early, late) = items.split_at(10);
    for item in early {
        client.send(item).await?;
    }
    workload.settled(&client, early.len()).await?;
    let before = Schedule::read(&client, workload.sender).await?;
    let log = logs(folder.path()).pop().context("the database has a write-ahead log")?;
    let copy = fs::read(&log)?;
    for item in late {
        client.send(item).await?;
    }
    workload.settled(&client, items.len()).await?;
    let whole = Schedule::read(&client, workload.sender).await?;
    let setup = node.kill().await?;
    ensure!(logs(folder.path()).pop().as_ref() == Some(&log), "the log was changed for another meanwhile: the copy is not of it");
    ensure!(fs::metadata(&log)?.len() > copy.len() as u64, "the copy is not older than the log");
    fs::write(&log, &copy)?;

    let node = setup.start().await.context("with the older copy")?;
    let client = Client::new(node.base())?;
    let rest = Schedule::read(&client, workload.sender).await?;
    ensure!(
        rest.len() >= before.len() && rest.len() < whole.len(),
        "{} slots stand, {} of {} were expected",
        rest.len(),
        before.len(),
        whole.len()
    );
    ensure!(rest.nodes[..] == whole.nodes[..rest.len()], "what stands is not a prefix of what was");
    for item in &items {
        let answer = client.post("/", item).await?;
        ensure!(accepted(&answer)?, "{}", answer.text());
    }
    workload.check(&client, &items).await?;
    super::fold::same_as_undisturbed(&client, workload.sender).await?;
    super::fold::same_as_undisturbed(&client, workload.receiver).await?;
    say(format_args!("older copy of the log: {} of {} slots stood", rest.len(), whole.len()));
    let _ = node.stop().await?;
    Ok(())
}

/// F4: a wrong byte in the middle of the log is no torn tail; nothing may be skipped silently.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_in_the_middle_of_the_log_stops_the_start() {
    let mut random = Random::announced("rotten log");
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let workload = Workload::prepare(&client).await.unwrap();
    for n in 0..50 {
        client.send(&workload.message(n)).await.unwrap();
    }
    workload.settled(&client, 50).await.unwrap();
    let setup = node.kill().await.unwrap();
    let log = logs(folder.path()).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let length = log.metadata().unwrap().len();
    assert!(length > 20_000, "the log has {length} bytes: too few to have a middle");
    for _ in 0..count(3, 20) {
        let at = length / 10 + random.below(length / 2);
        flip(&log, at).unwrap();
        let (status, text) = setup.start_refused().await.unwrap_or_else(|error| panic!("byte {at} of {length}: {error:#}"));
        assert_eq!(status.code(), Some(CORRUPT), "byte {at} of {length}: {status}\n{text}");
        assert!(text.contains(".log") || text.to_lowercase().contains("corrupt"), "the log names no place:\n{text}");
        flip(&log, at).unwrap();
    }
    // with every byte as it was, nothing is lost
    let node = setup.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let items: Vec<_> = (0..50).map(|n| workload.message(n)).collect();
    workload.check(&client, &items).await.unwrap();
}

/// F4: a wrong byte in a table of the database: refused at start, or when it is met, but never passed on as an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_in_a_table_is_never_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    let mut random = Random::new(7);
    // enough to be written out as tables; noise, so that compression leaves it as it is
    let mut items = Vec::new();
    for _ in 0..12 {
        let noise: Vec<u8> = (0..256 << 10).flat_map(|_| random.next_u64().to_le_bytes()).collect();
        let item = owner.message(process, &[("Action", "Noise")], noise);
        client.send(&item).await.unwrap();
        items.push(item);
    }
    client.result(process, items[11].id).await.unwrap();
    let (setup, _, _) = node.stop().await.unwrap();
    // items and states are in different files: each large one gets a wrong byte
    let tables: Vec<_> = files(folder.path(), "sst").into_iter().chain(files(folder.path(), "blob")).collect();
    let large: Vec<_> = tables.into_iter().filter(|path| path.metadata().unwrap().len() > 4 << 20).collect();
    assert!(!large.is_empty(), "24 MiB of items are written out as tables");
    for table in &large {
        flip(table, table.metadata().unwrap().len() / 2).unwrap();
    }

    match setup.start().await {
        Ok(node) => {
            let client = Client::new(node.base()).unwrap();
            let mut wrong = 0;
            for item in &items {
                let Ok(answer) = client.get(&format!("/raw/{}", item.id)).await else {
                    wrong += 1; // the node went down rather than answer
                    break;
                };
                let data = &item.bytes[item.bytes.len() - (2 << 20)..];
                if answer.status.is_success() {
                    assert!(answer.body == data, "{}: wrong bytes were served", item.id);
                } else {
                    assert!(answer.status.as_u16() >= 500, "{}: {} {}", item.id, answer.status, answer.text());
                    wrong += 1;
                }
            }
            assert!(wrong > 0, "the wrong bytes in {large:?} were met by nobody");
            // the state is right or refused, whatever became of its checkpoint
            if let Ok(known) = client.peek(&owner, process, "1 + 1").await {
                assert_eq!(known, "2");
            }
            let text = node.log().text();
            assert!(text.contains("corrupt") || text.contains("Corrupt"), "nobody was told:\n{}", node.log().tail(20));
        }
        Err(error) => assert!(format!("{error:#}").contains("exit status: 10"), "{error:#}"),
    }
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, mebibytes: u32) -> Option<Self> {
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "tmpfs"])
            .arg(folder)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            Ok(output) => {
                say(format_args!("no small disk, the test is skipped: {}", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                say(format_args!("no small disk, the test is skipped: {error}"));
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// F5: below the reserve writes are refused and reads go on; when there is space again it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reads_and_recovers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path(), 192) else { return };
    full_disk(&disk.0).await.unwrap();
}

async fn full_disk(disk: &Path) -> Result<()> {
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1u8; 64 << 20])?;
    let mut node = Setup::new(disk.join("data")).config("storage.reserve", "32MiB").start().await?;
    let client = Client::new(node.base())?;
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await?;
    client.eval(&owner, process, "Kept = 42").await?;

    let mut refused = None;
    let mut random = Random::new(11);
    for n in 0..200 {
        let noise: Vec<u8> = (0..128 << 10).flat_map(|_| random.next_u64().to_le_bytes()).collect();
        let answer = client.post("/", &owner.message(process, &[("N", &n.to_string())], noise)).await?;
        if !answer.status.is_success() {
            refused = Some((n, answer));
            break;
        }
    }
    let (taken, refusal) = refused.context("200 MiB fit on a disk of 192")?;
    ensure!(refusal.status.as_u16() == 503, "{} {}", refusal.status, refusal.text());
    ensure!(refusal.json["code"] == "AON-4002", "{}", refusal.text());
    node.alive()?;
    ensure!(client.get("/readyz").await?.status.as_u16() == 503, "a node that cannot write is not ready");
    ensure!(client.get("/livez").await?.status.is_success(), "it lives");
    ensure!(client.peek(&owner, process, "Kept").await? == "42", "reads go on");
    let before = Schedule::read(&client, process).await?;
    ensure!(before.len() == taken + 2, "{} slots for {taken} messages taken", before.len());

    fs::remove_file(&ballast)?;
    let again = owner.eval(process, "Kept = Kept + 1");
    wait::until("a write after there is space again", Duration::from_secs(60), || async {
        let answer = client.post("/", &again).await?;
        Ok(accepted(&answer)?.then_some(()))
    })
    .await?;
    client.result(process, again.id).await?;
    ensure!(client.peek(&owner, process, "Kept").await? == "43", "it goes on");
    wait::until("ready again", Duration::from_secs(30), || async { Ok(client.get("/readyz").await?.status.is_success().then_some(())) })
        .await?;
    Schedule::read(&client, process).await?;
    say(format_args!("full disk: {taken} items of 1 MiB, then refused; went on by itself"));
    let _ = node.stop().await?;
    Ok(())
}
