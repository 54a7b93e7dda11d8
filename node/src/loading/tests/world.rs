//! A log of four slots, and whoever shows it: on loopback, each with faults of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ao_arweave::client::Client;
use ao_arweave::compose::compose;
use ao_storage::MemoryStore;
use ao_types::scheduler_location::SchedulerLocation;
use ao_types::transaction::{Base64Url, Transaction};
use ao_types::{Assignment, AssignmentContent, DataItem, HashChain, Id, ItemBuilder, Signer as _, Slot, Tag, Verified, Wallet};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::anchor;
use crate::loading::{Error, Outcome, Setup, load};
use crate::sim::script::FORMAT;

/// A scheduler shows so many slots on a page.
const PAGE: usize = 2;

/// What somebody does wrong.
#[derive(Default)]
pub struct Faults {
    /// Closes every connection.
    pub down: bool,
    /// Has none of these.
    pub hidden: BTreeSet<Id>,
    /// Shows forged words of the scheduler on where it is, newer than its own.
    pub forged: bool,
    /// Says of every item that it is in the block of this height.
    pub height: Option<u64>,
    /// Says after each page of its index that there is another one: so many were asked for.
    pub endless: Option<usize>,
    /// Has none of these blocks.
    pub blocks_hidden: BTreeSet<u64>,
    /// Says of these that they follow on another one.
    pub blocks_astray: BTreeSet<u64>,
    /// Has no index of blocks.
    pub blocks_singly: bool,
    /// Spans of blocks that it showed.
    pub blocks_shown: usize,
    /// Pages of a scheduler's log before it asks to be left alone.
    pub pages: Option<usize>,
}

/// Height of the block with everything.
pub const HEIGHT: u64 = 1_500_000;
/// Its time, seconds.
pub const TIME: u64 = 1_700_000_000;

/// Where its scheduler says that it is.
pub const LOCATION: &str = "https://scheduler.example";

/// The log.
pub struct Log {
    carrier: Transaction,
    bundle: Bytes,
    pub process: Id,
    pub module: Id,
    pub messages: Vec<Id>,
    pub assignments: Vec<Id>,
    items: BTreeMap<Id, Verified<DataItem>>,
}

/// Somebody who shows it: a gateway and a scheduler.
pub struct Place {
    pub url: String,
    pub faults: Arc<Mutex<Faults>>,
}

/// One that has asked nobody yet.
pub fn client(gateways: &[&Place], schedulers: &[&Place]) -> Client {
    let urls = |places: &[&Place]| places.iter().map(|place| place.url.clone()).collect::<Vec<_>>();
    anchor::loader(&urls(gateways), &urls(schedulers), Arc::new(crate::shell::wall_clock)).unwrap()
}

pub fn wallet(seed: u8) -> Wallet {
    Wallet::ed25519_from_seed(&[seed; 32])
}

fn item(kind: &str, tags: &[(&str, &str)], target: Option<Id>, data: &str) -> Verified<DataItem> {
    let fixed = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", kind)];
    let tags = fixed.iter().chain(tags).map(|(name, value)| Tag::new(*name, *value));
    let builder = ItemBuilder::new().tags(tags).data(data.to_owned());
    let builder = if let Some(target) = target { builder.target(target) } else { builder };
    builder.sign(&wallet(3)).unwrap()
}

impl Log {
    pub fn new() -> Arc<Self> {
        Self::made(true, false, &[], 1)
    }

    /// One with a slot that was signed twice; the log goes on from the one with the higher id.
    pub fn signed_again() -> Arc<Self> {
        Self::made(true, true, &[], 1)
    }

    /// One that does not begin with the process.
    pub fn without_spawn() -> Arc<Self> {
        Self::made(false, false, &[], 1)
    }

    /// One of a process with cron groups, so many milliseconds from slot to slot.
    pub fn with_crons(groups: &[(&str, &str)], apart_ms: u64) -> Arc<Self> {
        Self::made(true, false, groups, apart_ms)
    }

    fn made(spawned: bool, twice: bool, groups: &[(&str, &str)], apart_ms: u64) -> Arc<Self> {
        let module =
            item("Module", &[("Module-Format", FORMAT), ("Input-Encoding", "JSON-1"), ("Output-Encoding", "JSON-1")], None, "module");
        let (module_id, scheduler) = (module.id(), wallet(1).address().to_string());
        let named = [("Module", &*module_id.to_string()), ("Scheduler", &*scheduler)];
        let process = item("Process", &[&named[..], groups].concat(), None, "process");
        let id = process.id();
        let location = SchedulerLocation::tags(LOCATION, 1, &wallet(1).address());
        let location = ItemBuilder::new().tags(location).sign(&wallet(1)).unwrap();
        let mut all = vec![module, process.clone(), location];
        let (mut messages, mut assignments, mut chain) = (Vec::new(), Vec::new(), HashChain::first(&id));
        for slot in 0..4 {
            let message = if slot == 0 && spawned { process.clone() } else { item("Message", &[], Some(id), &format!("message {slot}")) };
            // The last one runs backwards, of a log without cron groups.
            let timestamp_ms = TIME * 1000 + if slot == 3 && groups.is_empty() { 1 } else { slot * apart_ms };
            let content = |timestamp_ms| AssignmentContent {
                process: id,
                schedule_epoch: 0,
                slot: Slot(slot),
                hash_chain: chain,
                block_height: HEIGHT + 7,
                timestamp_ms,
                message: Some(message.id()),
                exclude: vec![],
            };
            let assignment = content(timestamp_ms).sign(&wallet(1)).unwrap();
            if slot == 1 && twice {
                let others = (1..).map(|later| content(timestamp_ms + later).sign(&wallet(1)).unwrap());
                let other = others.into_iter().find(|other| other.id() < assignment.id()).unwrap();
                all.push(other.item().clone());
            }
            chain = assignment.next_chain();
            messages.push(message.id());
            assignments.push(assignment.id());
            all.extend([message, assignment.item().clone()]);
        }
        let keys: Value = serde_json::from_str(include_str!("../../../../consensus/types/tests/vectors/keys.TEST-ONLY.json")).unwrap();
        let composed = compose(&[process]).unwrap();
        let header = composed.header(&ao_types::NetworkId([6; 32]), [5; 48], 1);
        let carrier = header.sign(&Wallet::from_jwk(&keys["rsa"][0]["jwk"].to_string()).unwrap()).unwrap();
        Arc::new(Self {
            carrier,
            bundle: composed.bytes.clone(),
            process: id,
            module: module_id,
            messages,
            assignments,
            items: all.into_iter().map(|item| (item.id(), item)).collect(),
        })
    }

    /// With these as well; before anybody shows it.
    pub fn and(self: Arc<Self>, items: impl IntoIterator<Item = Verified<DataItem>>) -> Arc<Self> {
        let mut log = Arc::into_inner(self).unwrap();
        log.items.extend(items.into_iter().map(|item| (item.id(), item)));
        Arc::new(log)
    }

    /// The assignment of a slot.
    pub fn assignment(&self, slot: usize) -> Assignment {
        Assignment::read(self.items[&self.assignments[slot]].clone()).unwrap()
    }

    /// Somebody who shows it.
    pub async fn shown(self: &Arc<Self>) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let faults = Arc::new(Mutex::new(Faults::default()));
        let (log, wrong) = (self.clone(), faults.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, wrong) = (log.clone(), wrong.clone());
                // Whoever hangs up is not waited for.
                tokio::spawn(async move { log.serve(stream, &wrong).await.ok() });
            }
        });
        Place { url, faults }
    }

    /// Loads it, by a client that has asked nobody yet.
    pub async fn load(&self, store: &MemoryStore, gateways: &[&Place], schedulers: &[&Place], to: Option<u64>) -> Result<Outcome, Error> {
        let client = client(gateways, schedulers);
        let setup = Setup { client, store, process: self.process, to: to.map(Slot), url: None, own: wallet(9).address() };
        load(setup, &mut |_, _, _| ()).await
    }

    async fn serve(&self, stream: TcpStream, faults: &Mutex<Faults>) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        stream.read_line(&mut line).await?;
        let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let said = self.answer(&path, &serde_json::from_slice(&body).unwrap_or_default(), &mut faults.lock());
        let Some((status, body)) = said else { return Ok(()) };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        stream.get_mut().write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        stream.get_mut().write_all(&body).await
    }

    fn answer(&self, path: &str, body: &Value, faults: &mut Faults) -> Option<(u16, Vec<u8>)> {
        if faults.down {
            return None;
        }
        if path == "/graphql" {
            let blocks = body["query"].as_str().is_some_and(|query| query.contains("blocks("));
            let said = if blocks { self.blocks(&body["variables"], faults) } else { self.index(&body["variables"], faults) };
            return Some((200, said.to_string().into()));
        }
        if let Some(said) = self.chain(path, faults) {
            return Some((200, said));
        }
        if let Some(id) = path.strip_prefix("/raw/") {
            let found = self.items.get(&id.parse().unwrap()).filter(|item| !faults.hidden.contains(&item.id()));
            return Some(found.map_or((404, Vec::new()), |item| (200, item.data().to_vec())));
        }
        let Some((_, after)) = path.split_once("from-nonce=") else { return Some((404, Vec::new())) };
        let left = faults.pages.get_or_insert(usize::MAX);
        let Some(fewer) = left.checked_sub(1) else { return Some((429, Vec::new())) };
        *left = fewer;
        let next = (after.split('&').next().unwrap().parse::<i64>().unwrap() + 1) as usize;
        let slots = next..self.messages.len().min(next + PAGE);
        let more = slots.end < self.messages.len();
        let edges: Vec<Value> =
            slots.map(|slot| json!({ "node": { "assignment": shown(&self.items[&self.assignments[slot]]) } })).collect();
        Some((200, json!({ "page_info": { "has_next_page": more }, "edges": edges }).to_string().into()))
    }

    /// What a node of the chain says.
    fn chain(&self, path: &str, faults: &Faults) -> Option<Vec<u8>> {
        let carrier = self.carrier.id;
        let said = match path {
            "/info" => json!({ "height": HEIGHT + 100, "network": "arweave.N.1" }),
            _ if path == format!("/raw/{carrier}") => return Some(self.bundle.to_vec()),
            _ if path == format!("/tx/{carrier}") => json!(self.carrier),
            _ if path == format!("/tx/{carrier}/status") => json!({ "block_height": HEIGHT, "block_indep_hash": hash(HEIGHT) }),
            _ => {
                let height: u64 = path.strip_prefix("/block/height/")?.parse().unwrap();
                let txs: Vec<Id> = if height == HEIGHT { vec![carrier] } else { Vec::new() };
                if faults.blocks_hidden.contains(&height) || height > HEIGHT + 100 {
                    return None;
                }
                let (indep, previous, timestamp) = (hash(height), previous(height, faults), time_of(height));
                json!({ "indep_hash": indep, "previous_block": previous, "height": height, "timestamp": timestamp, "txs": txs })
            }
        };
        Some(said.to_string().into())
    }

    fn blocks(&self, wanted: &Value, faults: &mut Faults) -> Value {
        if faults.blocks_singly {
            return json!({ "errors": [{ "message": "there is no field `blocks`" }] });
        }
        faults.blocks_shown += 1;
        let [min, max] = ["min", "max"].map(|name| wanted["block"][name].as_u64().unwrap());
        let heights = (min..=max.min(HEIGHT + 100)).filter(|height| !faults.blocks_hidden.contains(height));
        let block = |height: u64| json!({ "id": hash(height), "height": height, "timestamp": time_of(height), "previous": previous(height, faults) });
        let edges: Vec<Value> = heights.map(|height| json!({ "cursor": "c", "node": block(height) })).collect();
        json!({ "data": { "blocks": { "pageInfo": { "hasNextPage": false }, "edges": edges } } })
    }

    fn index(&self, wanted: &Value, faults: &mut Faults) -> Value {
        let texts = |value: &Value| value.as_array().map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>());
        let (ids, owners, tags) = (texts(&wanted["ids"]), texts(&wanted["owners"]), wanted["tags"].as_array());
        let fits = |item: &&Verified<DataItem>| {
            let tagged = |tag: &Value| {
                let values = texts(&tag["values"]).unwrap();
                item.tag(tag["name"].as_str().unwrap()).is_some_and(|value| values.iter().any(|one| one == value))
            };
            !faults.hidden.contains(&item.id())
                && ids.as_ref().is_none_or(|ids| ids.contains(&item.id().to_string()))
                && owners.as_ref().is_none_or(|owners| owners.contains(&item.address().to_string()))
                && tags.is_none_or(|tags| tags.iter().all(tagged))
        };
        let mut nodes: Vec<Value> = self.items.values().filter(fits).map(|item| self.node(item, faults)).collect();
        let location = |node: &Value| node["tags"].as_array().unwrap().iter().any(|tag| tag["value"] == "Scheduler-Location");
        if faults.forged && nodes.iter().any(location) {
            nodes.extend((0..5).map(|n| {
                let forged = SchedulerLocation::tags("https://forged.example", n, &wallet(1).address());
                let mut node = self.node(&ItemBuilder::new().tags(forged).sign(&wallet(3)).unwrap(), faults);
                node["block"] = json!({ "height": HEIGHT + 1 + n });
                node
            }));
        }
        let page = faults.endless.as_mut().map(|asked| {
            *asked += 1;
            *asked
        });
        let edges: Vec<Value> = nodes.into_iter().map(|node| json!({ "cursor": format!("{page:?}"), "node": node })).collect();
        json!({ "data": { "transactions": { "pageInfo": { "hasNextPage": page.is_some() }, "edges": edges } } })
    }

    fn node(&self, item: &DataItem, faults: &Faults) -> Value {
        let mut node = shown(item);
        node["block"] = json!({ "height": faults.height.unwrap_or(HEIGHT) });
        node["bundledIn"] = json!({ "id": self.carrier.id });
        node
    }
}

fn hash(height: u64) -> Base64Url {
    Base64Url(vec![height as u8; 48])
}

fn previous(height: u64, faults: &Faults) -> Base64Url {
    if faults.blocks_astray.contains(&height) { hash(height) } else { hash(height.wrapping_sub(1)) }
}

/// Every fourth block is ahead of its time: the one behind it lies before it.
pub fn time_of(height: u64) -> u64 {
    TIME + 120 * height - 120 * HEIGHT + if height % 4 == 2 { 150 } else { 0 }
}

/// As gateways and schedulers show an item.
fn shown(item: &DataItem) -> Value {
    let tags: Vec<Value> = item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect();
    json!({
        "id": item.id(), "anchor": item.anchor().map(|anchor| URL_SAFE_NO_PAD.encode(anchor)), "signature": URL_SAFE_NO_PAD.encode(item.signature()), "target": item.target(),
        "owner": { "key": URL_SAFE_NO_PAD.encode(item.owner()) }, "tags": tags,
    })
}
