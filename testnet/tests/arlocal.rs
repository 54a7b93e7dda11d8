//! arlocal 1.1.66 from npm as a judge of what is anchored: the real pipeline posts there over HTTP, and the stock libraries `arweave` and
//! `arbundles` read everything back and verify it.
//!
//! Between the two is a shim for what arlocal does otherwise than Arweave (`arweave.md`, section 13.2), and for nothing else: a transaction
//! that waits has status 200 there and no list of transactions in any block. What the libraries read, they read from arlocal itself.
//!
//! `AONODE_FULL=1` runs it: arlocal builds its database from source the first time, and indexes some sixteen items in a second.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ao_arweave::client::{Client, Surroundings};
use ao_arweave::driver::{Driver, KeepError, Keeper, Parcel, Parts, Remembered, Rows, Standing};
use ao_arweave::gateways::Health;
use ao_arweave::pipeline::{Alarm, Budget, Covered, Settings, Shipment, Via};
use ao_arweave::records::{RangeRecord, Record};
use ao_testnet::{full, npm, say, suite};
use ao_types::{
    AssignmentContent, DataItem, HashChain, Id, ItemBuilder, NetworkId, ResultHash, Signer, Slot, Verified, Wallet, hash::sha256,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NETWORK: NetworkId = NetworkId([6; 32]);
const PATIENCE: Duration = Duration::from_secs(180);
const CONFIRMATIONS: u64 = 3;
/// Winston for every wallet: arlocal passes over items whose owner has none.
const RICH: u64 = 1_000_000_000_000_000;

/// arlocal as a process of its own, with its database in a folder that goes with it.
struct Arlocal {
    url: String,
    /// Killed when it is dropped.
    _process: tokio::process::Child,
    folder: tempfile::TempDir,
}

impl Arlocal {
    async fn start() -> Result<Self> {
        let (packages, folder) = (npm::arlocal()?, tempfile::tempdir()?);
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(folder.path().join("log"))?;
        let process = tokio::process::Command::new("node")
            .arg(packages.join("node_modules/arlocal/bin/index.js"))
            .args([&port.to_string(), "--dbpath=db", "--hidelogs"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run node")?;
        let started = Self { url: format!("http://127.0.0.1:{port}"), _process: process, folder };
        for _ in 0..600 {
            if started.get("/info").await.is_ok() {
                return Ok(started);
            }
            // It says nothing when it is ready: asking is the only way.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("arlocal does not answer:\n{}", started.log())
    }

    /// What it wrote: its errors are there and nowhere else.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Result<String> {
        Ok(reqwest::get(format!("{}{path}", self.url)).await?.error_for_status()?.text().await?)
    }

    /// Until it has indexed an item, which it does beside everything else; a block that comes meanwhile would index it once more and fail.
    async fn indexed(&self, id: &Id) -> Result<()> {
        for _ in 0..1200 {
            if self.get(&format!("/{id}")).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{id} is not indexed:\n{}", self.log())
    }

    async fn mine(&self, blocks: u64) -> Result<()> {
        self.get(&format!("/mine/{blocks}")).await.map(drop).with_context(|| self.log())
    }
}

/// What stands before arlocal.
struct Shim {
    url: String,
    /// Transactions that were posted through it.
    posted: Arc<Mutex<BTreeSet<String>>>,
}

impl Shim {
    async fn start(arlocal: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shim = Self { url: format!("http://{}", listener.local_addr()?), posted: Arc::default() };
        let (base, posted) = (arlocal.to_owned(), shim.posted.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (base, posted) = (base.clone(), posted.clone());
                tokio::spawn(async move { drop(serve(stream, &base, &posted).await) });
            }
        });
        Ok(shim)
    }
}

async fn serve(mut stream: TcpStream, base: &str, posted: &Mutex<BTreeSet<String>>) -> Result<()> {
    let mut received = Vec::new();
    let head = loop {
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    };
    let text = String::from_utf8_lossy(&received[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(Ok(0), |value| value.trim().parse())?;
    while received.len() < head + length {
        stream.read_buf(&mut received).await?;
    }
    let line = String::from_utf8_lossy(&received[..head]).lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = answer(base, posted, method, path, received[head..].to_vec()).await?;
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    Ok(())
}

async fn answer(base: &str, posted: &Mutex<BTreeSet<String>>, method: &str, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>)> {
    let http = reqwest::Client::new();
    let get = async |path: &str| {
        let answer = http.get(format!("{base}{path}")).send().await?;
        let status = answer.status().as_u16();
        Ok::<_, reqwest::Error>((status, answer.bytes().await?.to_vec()))
    };
    if method == "POST" {
        if path == "/tx" {
            let transaction: Value = serde_json::from_slice(&body)?;
            posted.lock().insert(transaction["id"].as_str().unwrap_or_default().to_owned());
        }
        let answer = http.post(format!("{base}{path}")).header("content-type", "application/json").body(body).send().await?;
        return Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()));
    }
    let (status, body) = get(path).await?;
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        // 200 for what waits, and the height that was expected when it came.
        ["tx", _, "status"] if body == b"Pending" => Ok((202, body)),
        ["tx", _, "status"] if status == 200 => {
            let mut said: Value = serde_json::from_slice(&body)?;
            let hash = said["block_indep_hash"].as_str().unwrap_or_default().to_owned();
            let block: Value = serde_json::from_slice(&get(&format!("/block/hash/{hash}")).await?.1)?;
            said["block_height"] = block["height"].clone();
            Ok((200, said.to_string().into()))
        }
        // Its lists of transactions are those of one JavaScript object shown as text.
        ["block", "height", _] if status == 200 => {
            let Ok(mut block) = serde_json::from_slice::<Value>(&body) else { return Ok((404, Vec::new())) };
            let hash = block["indep_hash"].clone();
            let all: Vec<String> = posted.lock().iter().cloned().collect();
            let mut inside = Vec::new();
            for id in all {
                let said = serde_json::from_slice::<Value>(&get(&format!("/tx/{id}/status")).await?.1).unwrap_or_default();
                if said["block_indep_hash"] == hash {
                    inside.push(id);
                }
            }
            block["txs"] = json!(inside);
            Ok((200, block.to_string().into()))
        }
        // There is no such route: the pipeline reads chunk by chunk then.
        ["raw", _] => Ok((404, Vec::new())),
        ["chunk", _] if status == 204 => Ok((404, Vec::new())),
        _ => Ok((status, body)),
    }
}

/// Remembers in memory: what arlocal thinks is the question here.
#[derive(Default)]
struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    shipments: BTreeMap<u64, Shipment>,
    parcels: BTreeMap<u64, Vec<Verified<DataItem>>>,
    settled: Vec<u64>,
    alarms: Vec<(Alarm, String)>,
}

impl Keeper for Memory {
    fn load(&self) -> Result<Remembered, KeepError> {
        Ok(Remembered { next: 1, ..Remembered::default() })
    }

    fn remember(&self, rows: Rows<'_>) -> Result<(), KeepError> {
        let mut kept = self.0.lock();
        kept.shipments.extend(rows.shipments.into_iter().map(|row| (row.number, row)));
        kept.parcels.extend(rows.parcel.map(|(number, parcel)| (number, parcel.items.clone())));
        kept.settled.extend(rows.settled);
        Ok(())
    }

    fn items(&self, shipment: u64) -> Result<Vec<Verified<DataItem>>, KeepError> {
        self.0.lock().parcels.get(&shipment).cloned().ok_or_else(|| KeepError("no such shipment".into()))
    }

    fn alarm(&self, _shipment: u64, alarm: Alarm, why: &str) {
        self.0.lock().alarms.push((alarm, why.to_owned()));
    }
}

struct Outside(std::time::Instant);

impl Surroundings for Outside {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.elapsed().as_millis() as u64
    }
    fn chance(&self) -> u32 {
        u32::MAX
    }
    fn asked(&self, endpoint: &str, health: Health, _took_ms: u64) {
        if health != Health::Answered {
            say(format_args!("{endpoint}: {health:?}"));
        }
    }
}

/// What a node anchors of one process: its item and messages, an assignment behind each, and the record of the range.
fn parcel(scheduler: &Wallet, client: &dyn Signer, messages: u64, bytes: usize) -> Parcel {
    let ao = |kind: &str| ItemBuilder::new().tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", kind);
    let process = ao("Process").tag("Module", Id([3; 32]).to_string()).tag("Scheduler", scheduler.address().to_string());
    let process = process.data(vec![messages as u8]).sign(client).unwrap();
    let (mut items, mut slots, mut chain) = (Vec::new(), Vec::new(), HashChain::first(&process.id()));
    let mut last = chain;
    for slot in 0..=messages {
        let item = match slot {
            0 => process.clone(),
            slot => ao("Message").target(process.id()).data(vec![slot as u8; bytes]).sign(client).unwrap(),
        };
        let content = AssignmentContent {
            process: process.id(),
            schedule_epoch: 0,
            slot: Slot(slot),
            hash_chain: chain,
            block_height: 1,
            timestamp_ms: slot,
            message: (slot > 0).then(|| item.id()),
            exclude: vec![],
        };
        let assignment = content.sign(scheduler).unwrap();
        (last, chain) = (chain, assignment.next_chain());
        slots.push((item.id(), assignment.id()));
        items.extend([item, assignment.item().clone()]);
    }
    let range = RangeRecord {
        process: process.id(),
        schedule_epoch: 0,
        from: Slot(0),
        hash_chain: *last.as_bytes(),
        previous: None,
        slots,
        results: (Slot(0), vec![ResultHash([7; 32]); messages as usize]),
        certificates: Vec::new(),
    };
    items.push(Record::Range(range).item(&NETWORK).unwrap().sign(scheduler).unwrap());
    Parcel { items, records: Vec::new(), covered: vec![Covered { process: process.id(), from: Slot(0), to: Slot(messages) }], since_ms: 0 }
}

fn wallet(place: usize) -> Wallet {
    let keys = include_str!("../../consensus/types/tests/vectors/keys.TEST-ONLY.json");
    let keys: Value = serde_json::from_str(keys).unwrap();
    Wallet::from_jwk(&keys["rsa"][place]["jwk"].to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn arlocal_accepts_what_is_anchored_and_the_stock_libraries_verify_it() {
    if !full() {
        return say("skipped: the pipeline against arlocal: AONODE_FULL=1 runs it");
    }
    let arlocal = Arlocal::start().await.unwrap();
    let shim = Shim::start(&arlocal.url).await.unwrap();
    let (payer, scheduler, ed25519) = (wallet(0), wallet(1), Wallet::ed25519_from_seed(&[9; 32]));
    for signer in [&payer as &dyn Signer, &scheduler, &ed25519] {
        arlocal.get(&format!("/mint/{}/{RICH}", Id(sha256(&[signer.owner()])))).await.unwrap();
    }
    arlocal.mine(10).await.unwrap();

    let (world, keeper): (Arc<dyn Surroundings>, _) = (Arc::new(Outside(std::time::Instant::now())), Arc::new(Memory::default()));
    let parts = Parts {
        settings: Settings { via: Via::Chain, copies: 1, confirmations: CONFIRMATIONS, budget: Budget { day_max: u128::MAX, floor: 0 } },
        network: NETWORK,
        signer: Arc::new(payer),
        keeper: keeper.clone(),
        client: Client::new(std::slice::from_ref(&shim.url), &[], Vec::new(), world.clone()).unwrap(),
        surroundings: world,
        tip_every: Duration::from_millis(200),
    };
    let (driver, task) = Driver::start(parts);
    // One chunk with items of two kinds of keys, and several chunks.
    let parcels =
        [parcel(&scheduler, &scheduler, 10, 1024), parcel(&scheduler, &ed25519, 4, 1024), parcel(&scheduler, &ed25519, 6, 100_000)];
    for parcel in &parcels {
        driver.ship(parcel.clone()).await.unwrap();
    }
    let mut standing = driver.standing();
    for _ in 0..40 {
        if keeper.0.lock().settled.len() == parcels.len() {
            break;
        }
        // Every chunk of everything is there before a block comes: arlocal never opens a bundle that was mined without its chunks.
        let idle = |standing: &Standing| standing.busy == 0 && standing.summary.as_ref().is_some_and(|summary| summary.tip > 0);
        tokio::time::timeout(PATIENCE, standing.wait_for(idle)).await.expect("it comes to rest").unwrap();
        for parcel in &parcels {
            arlocal.indexed(&parcel.items.last().unwrap().id()).await.unwrap();
        }
        arlocal.mine(1).await.unwrap();
        let tip: Value = serde_json::from_str(&arlocal.get("/info").await.unwrap()).unwrap();
        let tip = tip["height"].as_u64().unwrap();
        let seen = |standing: &Standing| standing.summary.as_ref().is_some_and(|summary| summary.tip >= tip);
        tokio::time::timeout(PATIENCE, standing.wait_for(seen)).await.expect("it hears of the block").unwrap();
    }
    let expected: Vec<Value> = {
        let kept = keeper.0.lock();
        assert_eq!((kept.settled.len(), kept.alarms.as_slice()), (parcels.len(), &[][..]), "{:?}", standing.borrow());
        let items = |number: &u64| {
            let item = |item: &Verified<DataItem>| json!({ "id": item.id(), "sha256": hex(&sha256(&[item.data()])) });
            kept.parcels[number].iter().map(item).collect::<Vec<_>>()
        };
        let shipments = kept.shipments.iter();
        let one = |(number, row): (&u64, &Shipment)| {
            assert_eq!(row.carriers.len(), 1, "paid for once");
            json!({ "transaction": row.stage.place().unwrap().transaction, "network": NETWORK, "items": items(number) })
        };
        shipments.map(one).collect()
    };
    task.abort();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Value::Array(expected).to_string()).unwrap();
    let outcome = suite::run_with("arlocal", &arlocal.url, &[("AO_EXPECTED", file.path())]).await.unwrap();
    say(format_args!("arweave 1.15.7 and arbundles 0.11.2 read back from arlocal 1.1.66: {outcome:?}"));
    assert_eq!((outcome.passed, outcome.failed, outcome.skipped), (3, 0, 0), "{outcome:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
