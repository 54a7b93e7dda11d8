//! A development node whose processes are read by others: from its own older-network routes, and from the Arweave that it writes to.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::{Node, Setup};
use ao_testnet::{binary, wait};
use ao_types::{Id, Signer as _};
use ao_weave::keys::{FUNDED_WINSTON, funded};
use ao_weave::{Blocks, Config, Weave};
use serde_json::Value;
use tokio::process::Command;

/// What happens by itself has happened by then, on a busy machine too.
const WITHIN: Duration = Duration::from_secs(300);

pub struct World {
    pub node: Node,
    pub client: Client,
    pub person: Person,
    pub weave: Weave,
    folder: tempfile::TempDir,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub exit: i32,
    pub said: Value,
    pub error: String,
}

impl World {
    pub async fn new() -> Self {
        let payer = funded().unwrap().address().as_id().unwrap();
        let blocks = Blocks::Every(Duration::from_millis(200));
        let weave = Weave::start(Config { funded: vec![(payer, FUNDED_WINSTON)], gateways: 2, blocks, ..Config::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup::new(folder.path().join("source"))
            .config("arweave.gateways", format!("[\"{}\"]", weave.url()))
            .config("arweave.interval", "100ms")
            .config("arweave.look_every", "100ms")
            .config("arweave.confirmations", 2)
            .config("compute.hash_every_slot", true)
            .config("compute.module_cache", folder.path().join("modules").display());
        let node = setup.start().await.unwrap();
        let client = Client::new(node.base()).unwrap();
        Self { node, client, person: Person::named("loading"), weave, folder }
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `aonode process load` into the directory `name`.
    pub async fn load(&self, name: &str, process: Id, arguments: &[&str]) -> Ended {
        let mut command = Command::new(binary::aonode().unwrap());
        command.args(["--output", "json", "--set", "compute.hash_every_slot=true", "--set"]);
        command.arg(format!("compute.module_cache={}", self.folder("modules").display())).arg("--datadir").arg(self.folder(name));
        command.args(["process", "load", &process.to_string()]).args(arguments);
        command.stdin(Stdio::null()).env_remove("AONODE_DATADIR").kill_on_drop(true);
        let ended = command.output().await.unwrap();
        let error = String::from_utf8_lossy(&ended.stderr).into_owned();
        Ended { exit: ended.status.code().unwrap(), said: serde_json::from_slice(&ended.stdout).unwrap_or_default(), error }
    }

    /// A node on what was loaded into the directory `name`.
    pub async fn serve(&self, name: &str) -> (Node, Client) {
        let modules = self.folder("modules");
        let setup = Setup::new(self.folder(name)).service().config("compute.module_cache", modules.display());
        let setup = setup.config("compute.hash_every_slot", true);
        let node = setup.start().await.unwrap();
        let client = Client::new(node.base()).unwrap();
        (node, client)
    }

    /// Everything of a process up to `slot` is on Arweave.
    pub async fn anchored(&self, process: Id, slot: u64) {
        let path = format!("/v1/processes/{process}/slots/{slot}");
        let there = || async { Ok((self.client.get(&path).await?.json["state"] == "anchored").then_some(())) };
        wait::until("the last slot is anchored", WITHIN, there).await.unwrap();
    }
}

/// Result and state hash of every slot, as a node shows them.
pub async fn hashes(client: &Client, process: Id) -> Vec<(u64, String, String)> {
    hashes_so_far(client, process).await.expect("a page has rows")
}

/// The same; `None`: some of them are not worked out yet.
pub async fn hashes_so_far(client: &Client, process: Id) -> Option<Vec<(u64, String, String)>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/processes/{process}/results?limit=100{cursor}")).await.unwrap().json;
        let rows = page.as_object().and_then(|page| page.values().find_map(Value::as_array))?.clone();
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        found.extend(rows.iter().map(|row| (row["slot"].as_u64().unwrap(), text(row, "result_hash"), text(row, "state_hash"))));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(found),
        }
    }
}
