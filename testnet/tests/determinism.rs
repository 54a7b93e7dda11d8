//! Determinism over real processes: one worker or two, stopped, killed, evicted or left alone, a node's results and memory are those of
//! an undisturbed run of the same log on a machine of the test's own.

#[path = "common/fold.rs"]
mod fold;

use anyhow::Result;
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::modules::{AOS_32, AOS_64};
use ao_testnet::node::Setup;
use ao_testnet::{count, say};
use ao_types::Id;

/// Lua that touches what could differ between two evaluations: tables walked in their order, addresses, chance, time, collection.
const RESTLESS: &str = r#"Log, Names = {}, {}
Handlers.add("Do", "Do", function (msg)
  Names["key" .. #Log .. msg.Id] = { msg.Timestamp, math.random(1, 1000000), tostring({}), 1 / 3 * #Log }
  local walk = {}
  for name, value in pairs(Names) do walk[#walk + 1] = name:sub(1, 6) .. tostring(value[2]) end
  Log[#Log + 1] = table.concat(walk, ","):sub(-200)
  if #Log % 7 == 0 then Names = {} collectgarbage() end
  if #Log % 5 == 0 then error("every fifth fails " .. tostring(#Log)) end
  print(os.time(), #Log, Log[#Log], string.format("%.17g", math.sqrt(#Log)))
  Send({ Target = msg.From, Action = "Done", N = tostring(#Log) })
end)"#;

/// Sends `messages` to a process of the module in three lives of a node, then compares.
async fn compare(workers: usize, module: Option<(&'static str, Vec<u8>)>, messages: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    // little hot memory, so that processes are put aside and restored while they are used
    let setup = Setup::new(folder.path().join("data"))
        .config("compute.workers", workers)
        .config("compute.hot_memory", "24MiB")
        .config("compute.hash_every_slot", true);
    let mut node = setup.start().await?;
    let mut client = Client::new(node.base())?;
    let owner = Person::named("owner");
    let module = match module {
        Some((format, code)) => Some(client.upload(&owner.module(format, "1-gb", code)).await?),
        None => None,
    };
    let mut processes: Vec<Id> = Vec::new();
    for _ in 0..3 {
        let process = client.spawn(&owner, module, &[], " ").await?;
        client.eval(&owner, process, RESTLESS).await?;
        processes.push(process);
    }
    for n in 0..messages {
        for process in &processes {
            let item = owner.message(*process, &[("Action", "Do"), ("N", &n.to_string())], format!("data {n}"));
            client.send(&item).await?;
            if n % 4 == 0 {
                client.peek(&owner, *process, "#Log").await?;
            }
        }
        if n == messages / 3 {
            node = node.stop().await?.0.start().await?;
            client = Client::new(node.base())?;
        }
        if n == 2 * messages / 3 {
            node = node.kill().await?.start().await?;
            client = Client::new(node.base())?;
        }
    }
    for process in &processes {
        let slots = fold::same_as_undisturbed(&client, *process).await?;
        anyhow::ensure!(slots >= messages + 2, "{slots} slots");
    }
    let _ = node.stop().await?;
    Ok(())
}

async fn one_and_two_workers(name: &str, module: Option<(&'static str, Vec<u8>)>, messages: usize) {
    for workers in [1, 2] {
        compare(workers, module.clone(), messages).await.unwrap_or_else(|error| panic!("{name}, {workers} workers: {error:#}"));
    }
    say(format_args!("{name}: 3 processes of {messages} messages with 1 and 2 workers are as undisturbed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lua_is_the_same_however_it_is_run() {
    one_and_two_workers("lua", None, count(21, 300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aos_64_is_the_same_however_it_is_run() {
    one_and_two_workers("aos 64-bit", Some((AOS_64.format, AOS_64.read().unwrap())), count(9, 150)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aos_32_is_the_same_however_it_is_run() {
    one_and_two_workers("aos 32-bit", Some((AOS_32.format, AOS_32.read().unwrap())), count(9, 150)).await;
}
