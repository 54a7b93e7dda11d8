//! A small Arweave for tests of the client and the driver: one chain, gateways on loopback that share it, each with faults of its own.
#![allow(dead_code, reason = "each test target uses a part of it")]

pub mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ao_arweave::client::Surroundings;
use ao_arweave::compose::ChunkPost;
use ao_arweave::gateways::Health;
use ao_types::hash::sha256;
use ao_types::merkle::{Tree, check_path};
use ao_types::transaction::{Base64Url, Transaction};
use ao_types::{Id, Wallet};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One of three RSA keys for tests: making one takes seconds on a busy machine.
pub fn wallet(place: usize) -> Wallet {
    let keys = include_str!("../../../../consensus/types/tests/vectors/keys.TEST-ONLY.json");
    let keys: Value = serde_json::from_str(keys).unwrap();
    Wallet::from_jwk(&keys["rsa"][place]["jwk"].to_string()).unwrap()
}

/// What a gateway does wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Closes every connection.
    pub down: bool,
    /// Answers everything with a page, and 200.
    pub html: bool,
    /// Answers everything with this status, and `Retry-After` in seconds.
    pub status: Option<(u16, Option<u64>)>,
    /// Sends every reader elsewhere.
    pub redirect: Option<String>,
    /// Answers without an end.
    pub endless: bool,
    /// Claims so many more blocks.
    pub ahead: u64,
    /// Serves other data than was stored.
    pub wrong_data: bool,
    /// Serves no data as a gateway does, only chunks.
    pub chunks_only: bool,
    /// Knows no transaction.
    pub blind: bool,
    /// Answers `POST /tx` with this.
    pub receipt: Option<Value>,
    /// Answers `POST /tx` with this status and text, whatever was posted.
    pub answer: Option<(u16, &'static str)>,
    /// Shows blocks of a branch of its own.
    pub branch: bool,
    /// Says of every transaction that it is in the block at this height.
    pub claims_mined: Option<u64>,
    /// Asks for so many times the price.
    pub dear: Option<u128>,
    /// Says that every wallet is empty.
    pub poor: bool,
    /// Shows every transaction as one of format 1.
    pub old: bool,
    /// What its index says of an item: in which other it lies, and in which block.
    pub index: BTreeMap<Id, (Option<Id>, Option<u64>)>,
}

/// The chain.
#[derive(Default)]
pub struct Chain {
    pub blocks: Vec<(Vec<u8>, Vec<Id>)>,
    pub pool: BTreeMap<Id, Transaction>,
    pub transactions: BTreeMap<Id, Transaction>,
    pub chunks: BTreeMap<Vec<u8>, BTreeMap<u64, Vec<u8>>>,
    pub balance: u128,
    pub paid: u128,
    /// Transactions of other kinds, as they are shown.
    pub foreign: BTreeMap<Id, String>,
}

const FIRST: u64 = 1_000_000;

impl Chain {
    pub fn new() -> Arc<Mutex<Self>> {
        let mut chain = Self { balance: 1_000_000_000, ..Self::default() };
        (0..10).for_each(|_| chain.mine());
        Arc::new(Mutex::new(chain))
    }

    pub fn tip(&self) -> u64 {
        FIRST + self.blocks.len() as u64 - 1
    }

    pub fn mine(&mut self) {
        let pool = std::mem::take(&mut self.pool);
        self.paid += pool.values().map(|transaction| transaction.reward.parse::<u128>().unwrap()).sum::<u128>();
        let seed = sha256(&[&(self.blocks.len() as u64).to_be_bytes(), b"block"]);
        let hash = [&seed[..], &seed[..16]].concat();
        self.blocks.push((hash, pool.into_keys().collect()));
    }

    /// The last `depth` blocks are replaced by empty ones; what was in them waits again.
    pub fn reorganise(&mut self, depth: usize) {
        let keep = self.blocks.len() - depth;
        for (_, ids) in self.blocks.split_off(keep) {
            for id in ids {
                let transaction = self.transactions[&id].clone();
                self.paid -= transaction.reward.parse::<u128>().unwrap();
                self.pool.insert(id, transaction);
            }
        }
        for n in 0..depth {
            let seed = sha256(&[&(n as u64).to_be_bytes(), b"other block"]);
            self.blocks.push(([&seed[..], &seed[..16]].concat(), Vec::new()));
        }
    }

    fn block(&self, at: usize, branch: bool) -> Option<String> {
        let (hash, ids) = self.blocks.get(at)?;
        let hash = &hash.iter().map(|byte| byte ^ u8::from(branch)).collect::<Vec<_>>();
        let previous = at.checked_sub(1).and_then(|at| self.blocks.get(at)).map_or(vec![0; 48], |(hash, _)| hash.clone());
        let json = json!({
            "indep_hash": Base64Url(hash.clone()), "previous_block": Base64Url(previous), "height": FIRST + at as u64,
            "timestamp": 1_700_000_000 + 120 * at as u64, "txs": ids,
        });
        Some(json.to_string())
    }

    fn data(&self, root: &[u8], size: usize) -> Option<Vec<u8>> {
        let bytes: Vec<u8> = self.chunks.get(root)?.values().flatten().copied().collect();
        (bytes.len() == size).then_some(bytes)
    }

    fn post(&mut self, body: &[u8]) -> (u16, String) {
        let Ok(transaction) = serde_json::from_slice::<Transaction>(body) else { return (400, "Invalid JSON.".into()) };
        if self.pool.contains_key(&transaction.id) {
            return (400, "Transaction is already in the mempool.".into());
        }
        if self.transactions.contains_key(&transaction.id) {
            return (400, "Transaction is already on the weave.".into());
        }
        if transaction.verify().is_err() || transaction.reward.parse::<u128>().unwrap() > self.balance {
            return (400, "Transaction verification failed.".into());
        }
        if !self.blocks.iter().rev().take(50).any(|(hash, _)| *hash == transaction.last_tx.0) {
            return (400, "Invalid anchor (last_tx).".into());
        }
        self.pool.insert(transaction.id, transaction.clone());
        self.transactions.insert(transaction.id, transaction);
        (200, "OK".into())
    }

    fn post_chunk(&mut self, body: &[u8]) -> (u16, String) {
        let post: ChunkPost = serde_json::from_slice(body).unwrap();
        if !self.transactions.values().any(|transaction| transaction.data_root == post.data_root) {
            return (400, r#"{"error":"data_root_not_found"}"#.into());
        }
        let root: [u8; 32] = post.data_root.0.clone().try_into().unwrap();
        let proven = check_path(&root, post.data_size.parse().unwrap(), post.offset.parse().unwrap(), &post.data_path.0);
        match proven.filter(|proven| proven.hash == sha256(&[&post.chunk.0])) {
            Some(proven) => {
                self.chunks.entry(post.data_root.0).or_default().insert(proven.start, post.chunk.0);
                (200, "{}".into())
            }
            None => (400, r#"{"error":"invalid_proof"}"#.into()),
        }
    }

    fn get(&self, path: &str, faults: &Faults) -> (u16, Vec<u8>) {
        let text = |found: Option<String>| found.map_or((404, b"Not Found".to_vec()), |text| (200, text.into_bytes()));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let find = |id: &str| Id::parse(id).ok().and_then(|id| self.transactions.get(&id)).filter(|_| !faults.blind);
        match parts.as_slice() {
            ["info"] => text(Some(json!({ "height": self.tip() + faults.ahead }).to_string())),
            ["block", "height", height] => {
                text(height.parse::<u64>().unwrap().checked_sub(FIRST).and_then(|at| self.block(at as usize, faults.branch)))
            }
            ["price", bytes] => {
                let price = u128::from(bytes.parse::<u64>().unwrap().div_ceil(1 << 18)) * 1000 * faults.dear.unwrap_or(1);
                text(Some(price.to_string()))
            }
            ["wallet", _, "balance"] => text(Some(if faults.poor { 0 } else { self.balance }.to_string())),
            ["tx", _, "status"] if let Some(height) = faults.claims_mined => {
                let mut hash = self.blocks[(height - FIRST) as usize].0.clone();
                hash[0] ^= u8::from(faults.branch);
                let hash = Base64Url(hash);
                text(Some(json!({ "block_height": height, "block_indep_hash": hash, "number_of_confirmations": 1 }).to_string()))
            }
            ["tx", id, "status"] => match find(id).map(|found| found.id) {
                None => (404, b"Not Found".to_vec()),
                Some(id) => match self.blocks.iter().position(|(_, ids)| ids.contains(&id)) {
                    None if self.pool.contains_key(&id) => (202, b"Pending".to_vec()),
                    None => (404, b"Not Found".to_vec()),
                    Some(at) => {
                        let (height, hash) = (FIRST + at as u64, Base64Url(self.blocks[at].0.clone()));
                        let confirmations = self.tip() + 1 - height;
                        text(Some(
                            json!({ "block_height": height, "block_indep_hash": hash, "number_of_confirmations": confirmations })
                                .to_string(),
                        ))
                    }
                },
            },
            ["tx", id, "offset"] => text(find(id).map(|found| {
                let size: u64 = found.data_size.parse().unwrap();
                json!({ "offset": (begins(&found.data_root.0) + size - 1).to_string(), "size": found.data_size }).to_string()
            })),
            ["tx", id] => {
                let foreign = Id::parse(id).ok().and_then(|id| self.foreign.get(&id).cloned());
                let shown = |found: &Transaction| match faults.old {
                    true => serde_json::to_string(&Transaction { format: 1, ..found.clone() }).unwrap(),
                    false => serde_json::to_string(found).unwrap(),
                };
                text(foreign.or_else(|| find(id).map(shown)))
            }
            ["raw", id] if !faults.chunks_only => {
                let found = find(id).and_then(|found| self.data(&found.data_root.0, found.data_size.parse().unwrap()));
                match found {
                    Some(mut bytes) => {
                        bytes[0] ^= u8::from(faults.wrong_data);
                        (200, bytes)
                    }
                    None => (404, b"Not Found".to_vec()),
                }
            }
            ["chunk", at] => {
                let byte = at.parse::<u64>().unwrap();
                let found = self.chunks.iter().find_map(|(root, chunks)| {
                    let at = byte.checked_sub(begins(root))?;
                    let data = self.data(root, chunks.values().map(Vec::len).sum())?;
                    let tree = Tree::of(&data);
                    let index = tree.chunks().iter().position(|chunk| (chunk.start..chunk.end).contains(&at))?;
                    let mut chunk = data[tree.chunks()[index].start as usize..tree.chunks()[index].end as usize].to_vec();
                    chunk[0] ^= u8::from(faults.wrong_data);
                    Some(json!({ "chunk": Base64Url(chunk), "data_path": Base64Url(tree.data_path(index)?) }).to_string())
                });
                text(found)
            }
            _ => (404, b"Not Found".to_vec()),
        }
    }
}

/// Where data begins on the weave: far from all other data.
fn begins(root: &[u8]) -> u64 {
    1000 + (u64::from(u32::from_be_bytes([0, root[0], root[1], root[2]])) << 32)
}

/// What an index answers to a question about one id.
fn index(index: &BTreeMap<Id, (Option<Id>, Option<u64>)>, body: &[u8]) -> String {
    let asked: Value = serde_json::from_slice(body).unwrap();
    let ids: Vec<Id> = serde_json::from_value(asked["variables"]["ids"].clone()).unwrap();
    let edge = |id: Id| {
        let (parent, height) = index.get(&id)?;
        let (parent, block) = (parent.map(|id| json!({ "id": id })), height.map(|height| json!({ "id": "", "height": height })));
        Some(json!({ "node": { "id": id, "bundledIn": parent, "block": block } }))
    };
    let edges: Vec<Value> = ids.into_iter().filter_map(edge).collect();
    json!({ "data": { "transactions": { "edges": edges } } }).to_string()
}

/// One of the chain's gateways.
pub struct Gateway {
    pub url: String,
    pub faults: Mutex<Faults>,
    pub hits: AtomicU64,
    chain: Arc<Mutex<Chain>>,
}

impl Gateway {
    pub async fn start(chain: &Arc<Mutex<Chain>>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gateway = Arc::new(Self { url, faults: Mutex::default(), hits: AtomicU64::new(0), chain: chain.clone() });
        let served = gateway.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let gateway = served.clone();
                // A client that goes away is no failure of the server.
                tokio::spawn(async move { drop(gateway.serve(stream).await) });
            }
        });
        gateway
    }

    pub fn with(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock());
    }

    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
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
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |value| value.trim().parse().unwrap());
        while received.len() < head + length {
            stream.read_buf(&mut received).await?;
        }
        let first = String::from_utf8_lossy(&received[..head]).lines().next().unwrap_or_default().to_owned();
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        self.hits.fetch_add(1, Ordering::Relaxed);
        let faults = self.faults.lock().clone();
        if faults.down {
            return Ok(());
        }
        if faults.endless {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(b"1000\r\n").await?;
                stream.write_all(&[b'1'; 4096]).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
        let body = &received[head..];
        let mut more = String::new();
        let (status, answer) = if let Some(to) = faults.redirect.as_ref().filter(|_| method == "GET") {
            more = format!("location: {to}\r\n");
            (302, Vec::new())
        } else if let Some((status, after)) = faults.status {
            more = after.map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
            (status, Vec::new())
        } else if faults.html {
            more = "content-type: text/html; charset=utf-8\r\n".into();
            (200, b"<html>not found</html>".to_vec())
        } else if method == "POST" {
            let (status, text) = match (path.as_str(), &faults.receipt) {
                ("/graphql", _) => (200, index(&faults.index, body)),
                ("/tx", _) if let Some((status, text)) = faults.answer => (status, text.to_owned()),
                ("/tx", Some(receipt)) => (200, receipt.to_string()),
                ("/tx", None) => self.chain.lock().post(body),
                ("/chunk", _) => self.chain.lock().post_chunk(body),
                _ => (404, String::new()),
            };
            (status, text.into_bytes())
        } else {
            self.chain.lock().get(&path, &faults)
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n", answer.len());
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&answer).await?;
        stream.shutdown().await
    }
}

/// A clock that can be moved on, and no chance.
pub struct World {
    began: Instant,
    pub moved_ms: AtomicU64,
    pub heard: Mutex<Vec<(String, Health)>>,
}

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), moved_ms: AtomicU64::new(0), heard: Mutex::default() })
    }

    pub fn pass(&self, ms: u64) {
        self.moved_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub fn last(&self, url: &str) -> Option<Health> {
        self.heard.lock().iter().rev().find(|(known, _)| known == url).map(|(_, health)| *health)
    }
}

impl Surroundings for World {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.began.elapsed().as_millis() as u64 + self.moved_ms.load(Ordering::Relaxed)
    }

    fn chance(&self) -> u32 {
        u32::MAX
    }

    fn asked(&self, endpoint: &str, health: Health, _took_ms: u64) {
        self.heard.lock().push((endpoint.to_owned(), health));
    }
}
