//! A module that compiles for ever, on a running node: its worker is killed, its memory comes back, others are answered meanwhile
//! (`faults.md` F29).

use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_types::{Id, ItemBuilder, Tag, Wallet};
use aonode::cli::client::Client;
use aonode::cli::items;
use aonode::cli::run::Home;
use aonode::cli::service::{Service, Setup};
use aonode::config::{ByteSize, Config, Span};
use aonode::demo::wallets;
use serde_json::Value;

/// A node whose compile workers get `cpu` each.
async fn start(root: &Path, cpu: Duration) -> Service {
    let (data, _) = Home::new(Some(root)).unwrap().open().unwrap();
    let mut config = Config::default();
    config.network.name = wallets::NETWORK.into();
    config.compute.compile_timeout = Span(cpu);
    // As `aonode dev`: whoever tests on a nearly full disk should be able to.
    config.storage.reserve = ByteSize(64 << 20);
    for listen in [&mut config.api.listen, &mut config.admin.listen, &mut config.metrics.listen] {
        listen.set_port(0);
    }
    let worker = Some(PathBuf::from(env!("CARGO_BIN_EXE_aonode")));
    Service::start(Setup { loaded: config.into(), data, member: None, levels: None, accounts: Vec::new(), modules: None, worker })
        .await
        .unwrap()
}

/// Children of this process.
fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// Admission lets it through, and each of its functions takes the compiler a second.
fn bomb() -> Vec<u8> {
    let body = "(i64.store (local.get 0) (i64.mul (i64.load (local.get 0)) (i64.load offset=8 (local.get 0))))".repeat(30_000);
    let functions = format!("(func (param i64) {body})").repeat(12);
    wat::parse_str(format!("(module (memory (export \"memory\") i64 1) {functions})")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_compiles_for_ever_is_killed_and_others_are_answered_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let service = start(&folder.path().join("data"), Duration::from_secs(2)).await;
    let client = Client::new(service.api(), Duration::from_secs(120)).unwrap();
    let metrics = Client::new(service.metrics().unwrap(), Duration::from_secs(30)).unwrap();
    let wallet = Wallet::ed25519_from_seed(&[7; 32]);
    let identity = client.get("v1/identity").await.unwrap();
    let (scheduler, lua) = (text(&identity["scheduler"]), text(&identity["module"]));

    let other = items::process(&wallet, lua, scheduler, Vec::new(), Vec::new()).unwrap();
    client.submit("", &other).await.unwrap();
    let eval = |code: &str| items::message(&wallet, other.id(), vec![Tag::new("Action", "Eval")], code.as_bytes().to_vec()).unwrap();
    let first = eval("1 + 1");
    client.submit("", &first).await.unwrap();
    assert_eq!(client.result(&other.id(), &first.id()).await.unwrap()["Output"]["data"], "2");

    let tags = [("Type", "Module"), ("Module-Format", "wasm64-ao-json-1"), ("Input-Encoding", "JSON-1"), ("Output-Encoding", "JSON-1")];
    let module = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")].iter().chain(&tags);
    let module = module.fold(ItemBuilder::new(), |item, (name, value)| item.tag(*name, *value)).data(bomb()).sign(&wallet).unwrap();
    client.submit("tx", &module).await.unwrap();
    let process = items::process(&wallet, &module.id().to_string(), scheduler, Vec::new(), Vec::new()).unwrap();
    client.submit("", &process).await.unwrap();
    let asked = {
        let (client, id): (Client, Id) = (client.clone(), process.id());
        tokio::spawn(async move { client.result(&id, &id).await })
    };

    let mut answered = 0;
    let mut seen = false;
    while !asked.is_finished() {
        let message = eval(&format!("{answered} * 2"));
        client.submit("", &message).await.unwrap();
        let result = client.result(&other.id(), &message.id()).await.unwrap();
        assert_eq!(result["Output"]["data"], format!("{}", answered * 2));
        seen |= !children().is_empty();
        answered += usize::from(!asked.is_finished());
    }
    let refused = asked.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("needs more than 2000 ms of CPU"), "{refused}");
    assert!(seen, "a process of its own compiled it");
    assert!(answered >= 3, "{answered} messages of another process while it did");
    assert_eq!(children(), [0; 0], "and is gone, with its memory");

    // Lasting while this node runs: whoever asks again is told at once, and nothing is compiled again.
    let refused = client.result(&process.id(), &process.id()).await.unwrap_err().to_string();
    assert!(refused.contains("needs more than 2000 ms of CPU"), "{refused}");
    let count = |shown: &str, outcome: &str| -> u64 {
        let name = format!("aonode_module_cache_requests_total{{outcome=\"{outcome}\"}} ");
        shown.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{name}: {shown}")).parse().unwrap()
    };
    // The machine's counts are copied now and then.
    let counted = async {
        loop {
            let shown = String::from_utf8(metrics.get_bytes("metrics").await.unwrap()).unwrap();
            if (count(&shown, "refused"), count(&shown, "compiled")) == (1, 1) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), counted).await.expect("the refusal is counted");
    service.stop().await;
}
