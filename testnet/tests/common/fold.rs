//! An undisturbed run: the whole log of a process, read over HTTP, evaluated once from the start on a machine of the test's own, in one
//! go, without crash, checkpoint, eviction or a second worker. What the node answers must be the same, slot by slot, and so must its
//! memory at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail, ensure};
use ao_testnet::client::Client;
use ao_testnet::schedule::{Schedule, value_of};
use ao_types::invocation::Subject;
use ao_types::{Environment, Id, Invocation, Tag};
use ao_vm::{ModuleSource, Vm};
use serde_json::{Value, json};

/// Evaluates the log of a process again and compares with what the node says.
///
/// # Errors
/// The first difference.
pub async fn same_as_undisturbed(client: &Client, process: Id) -> Result<usize> {
    let schedule = Schedule::read(client, process).await?;
    let first = &schedule.nodes[0]["message"];
    let module_id = Id::parse(value_of(&first["tags"], "Module").context("a process has a module")?)?;
    let (module, module_subject) = module(client, module_id).await?;
    let owner = first["owner"]["address"].as_str().context("a process has an owner")?.to_owned();
    let environment =
        Environment { process: Subject { id: process.to_string(), owner, tags: tags(&first["tags"])? }, module: module_subject };
    let nodes = schedule.nodes.clone();
    let slots = nodes.len();

    // evaluation blocks and wants a stack of its own
    let (results, memory) = {
        let (send, receive) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().stack_size(32 << 20).spawn(move || {
            let _ = send.send(evaluate(&module, environment, &nodes));
        })?;
        receive.await??
    };

    let stored = hashes(client, process).await?;
    for (slot, (result, result_hash, state_hash)) in results.iter().enumerate() {
        let message = &schedule.nodes[slot]["assignment"]["tags"];
        let message = value_of(message, "Message").map_or_else(|| Ok(process), Id::parse)?;
        let answer = client.get(&format!("/result/{message}?process-id={process}")).await?;
        ensure!(answer.status.is_success(), "slot {slot}: {} {}", answer.status, answer.text());
        ensure!(answer.json == *result, "slot {slot}: the node says {}, an undisturbed run says {result}", answer.json);
        let (found_result, found_state) = stored.get(&slot).with_context(|| format!("slot {slot} has no stored result"))?;
        ensure!(found_result == result_hash, "slot {slot}: result hash {found_result}, undisturbed {result_hash}");
        // a state is hashed where a process comes to rest; after every message with `compute.hash_every_slot`
        if let Some(found) = found_state {
            ensure!(found == state_hash, "slot {slot}: state hash {found}, undisturbed {state_hash}");
        }
    }
    let state = client.get(&format!("/state/{process}")).await?;
    ensure!(state.status.is_success(), "{} {}", state.status, state.text());
    ensure!(state.body.len() == memory.len(), "memory of {} bytes, an undisturbed run has {}", state.body.len(), memory.len());
    if let Some(at) = state.body.iter().zip(&memory).position(|(found, expected)| found != expected) {
        bail!("memory differs first at byte {at} of {}", memory.len());
    }
    Ok(slots)
}

/// Result, its hash and the hash of the state after it, slot by slot; the memory at the end.
type Folded = (Vec<(Value, String, String)>, Vec<u8>);

fn evaluate(module: &ModuleSource, environment: Environment, nodes: &[Value]) -> Result<Folded> {
    // compiled modules are kept for the other comparisons of this run
    static COMPILED: OnceLock<tempfile::TempDir> = OnceLock::new();
    let vm = machine(COMPILED.get_or_init(|| tempfile::tempdir().expect("a folder can be made")).path())?;
    vm.prepare(module)?;
    let mut instance = vm.start(module, Arc::new(environment), &[])?;
    let mut results = Vec::with_capacity(nodes.len());
    for node in nodes {
        let evaluated = instance.evaluate(&Arc::new(invocation(node)?))?;
        let result = serde_json::from_slice(&evaluated.evaluation.to_json())?;
        results.push((result, evaluated.evaluation.result_hash().to_string(), instance.state_hash()?.to_string()));
    }
    Ok((results, instance.memory()?))
}

/// Result hash, and state hash where there is one, of every slot that the node has evaluated.
async fn hashes(client: &Client, process: Id) -> Result<BTreeMap<usize, (String, Option<String>)>> {
    let (mut found, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/processes/{process}/results?limit=100{cursor}")).await?;
        ensure!(page.status.is_success(), "{} {}", page.status, page.text());
        let rows = page.json.as_object().and_then(|page| page.values().find_map(Value::as_array)).context("a page has rows")?;
        for row in rows.iter().filter(|row| row["cron"].is_null()) {
            let slot = row["slot"].as_u64().context("a row has a slot")? as usize;
            let result = row["result_hash"].as_str().context("a row has a result hash")?.to_owned();
            found.insert(slot, (result, row["state_hash"].as_str().map(str::to_owned)));
        }
        match page.json["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

/// A message as the page of a schedule shows it, in the form in which a module gets it (protocol.md §7.1).
fn invocation(node: &Value) -> Result<Invocation> {
    let (message, assignment) = (&node["message"], &node["assignment"]["tags"]);
    ensure!(message.is_object(), "an item that is only assigned is not on the page: {node}");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let number =
        |name: &str| -> Result<u64> { Ok(value_of(assignment, name).with_context(|| format!("an assignment has {name}"))?.parse()?) };
    let owner = text(&message["owner"]["address"]).context("a message has an owner")?;
    let tags = tags(&message["tags"])?;
    let from_process = tags.iter().find(|tag| tag.name == "From-Process").map(|tag| tag.value.clone());
    let id = text(&message["id"]).context("a message has an id")?;
    let is_process = value_of(assignment, "Message").is_none();
    Ok(Invocation {
        signature: text(&message["signature"]),
        data: text(&message["data"]).map(Into::into),
        target: if is_process { id.clone() } else { text(&message["target"]).unwrap_or_default() },
        id: Some(id),
        anchor: text(&message["anchor"]),
        from: from_process.clone().filter(|from| !from.is_empty()).unwrap_or_else(|| owner.clone()),
        forwarded_by: from_process.map(|_| owner.clone()),
        owner,
        tags: tags.into_iter().filter(|tag| tag.name != "From" && tag.name != "Owner").collect(),
        epoch: Some(number("Epoch")?),
        nonce: Some(number("Nonce")?),
        timestamp: number("Timestamp")?,
        block_height: number("Block-Height")?,
        hash_chain: value_of(assignment, "Hash-Chain").map(str::to_owned),
        cron: false,
        read_only: false,
    })
}

fn tags(value: &Value) -> Result<Vec<Tag>> {
    let list = value.as_array().context("tags are a list")?;
    list.iter()
        .map(|tag| Ok(Tag::new(tag["name"].as_str().context("a tag has a name")?, tag["value"].as_str().context("a tag has a value")?)))
        .collect()
}

/// A module from the node's gateway.
async fn module(client: &Client, id: Id) -> Result<(ModuleSource, Subject)> {
    let query = json!({ "query": format!("{{ transaction(id: \"{id}\") {{ owner {{ address }} tags {{ name value }} }} }}") });
    let answer = client.ask(reqwest::Method::POST, "/graphql", "application/json", query.to_string()).await?;
    let found = &answer.json["data"]["transaction"];
    let owner =
        found["owner"]["address"].as_str().with_context(|| format!("the gateway knows the module {id}: {}", answer.text()))?.to_owned();
    let tags = tags(&found["tags"])?;
    let data = client.get(&format!("/raw/{id}")).await?;
    ensure!(data.status.is_success(), "{} {}", data.status, data.text());
    Ok((ModuleSource { id, tags: tags.clone(), code: data.body }, Subject { id: id.to_string(), owner, tags }))
}

/// A machine with limits far above what the suites reach: limits are part of a result only where they bite.
fn machine(cache: &std::path::Path) -> Result<impl Vm> {
    Ok(ao_vm::Machine::new(ao_vm::Settings { cache: Some(cache.to_owned()), ..ao_vm::Settings::default() })?)
}
