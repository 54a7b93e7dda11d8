//! Verbs that ask a running node: `status`, `process`, `message`, `eval`, `dry-run`.

use ao_types::{Id, Signer as _, Tag, Wallet};
use serde_json::{Value, json};

use super::args::{Content, DryRun, Eval, Message, Process};
use super::client::Client;
use super::context::{self, Context};
use super::exit::{Exit, Failure};
use super::output::{pairs, printable, table};
use super::{items, sending, show};
use crate::levels::Goal;

/// `status`.
pub async fn status(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let client = context.client()?;
    let (ready, _) = client.get_any("readyz").await?;
    let status = client.get("v1/status").await?;
    let identity = client.get("v1/identity").await?;
    let exit = if ready < 300 { Exit::Ok } else { Exit::NotReady };
    let record = json!({ "endpoint": client.endpoint(), "ready": exit == Exit::Ok, "identity": identity, "status": status });
    context.printer.record("status/v1", record, || {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), printable);
        let mut out = pairs(&[
            ("Node", format!("{} (aonode {})", client.endpoint(), text(&status["version"]))),
            ("Ready", if exit == Exit::Ok { "yes".into() } else { "no".into() }),
            ("Network", text(&identity["network"])),
            ("Engine", text(&identity["engine"])),
            ("Scheduler", text(&identity["scheduler"])),
            ("Authority", text(&identity["authority"])),
            ("Module", text(&identity["module"])),
            ("Block height", text(&status["block_height"])),
            ("Items", text(&status["items"])),
        ]);
        if let Some(state) = status["signing"]["state"].as_str() {
            let left = status["signing"]["left_ms"].as_u64().unwrap_or_default().div_ceil(1_000);
            let waits = format!("attesting in {:02}:{:02} (doppelganger check)", left / 60, left % 60);
            let shown = match state {
                "listening" => waits,
                "held" => format!(
                    "nothing before this machine's clock is right (ahead by {:.1} s)",
                    status["signing"]["clock_ahead_ms"].as_f64().unwrap_or_default() / 1_000.0
                ),
                "attesting" => "attesting".to_owned(),
                _ => "not signing any more: see the log".to_owned(),
            };
            out.push_str(&pairs(&[("Signing", shown)]));
        }
        out.push_str(&network(&status));
        for check in status["checks"].as_array().into_iter().flatten() {
            let mark = if check["ok"] == true { "ok" } else { "FAILS" };
            out.push_str(&format!("Check {}: {mark}  {}\n", text(&check["name"]), text(&check["reason"])));
        }
        out
    })?;
    Ok(exit)
}

/// Who orders a new process's messages, and its tags with whom it trusts. Pushed messages are only trusted from an authority; without one
/// the process would hear nobody but its owner.
fn hosted(identity: &Value, scheduler: Option<String>, mut tags: Vec<Tag>) -> Result<(String, Vec<Tag>), Failure> {
    let hosts = identity["hosts"].as_array().map_or(&[][..], Vec::as_slice);
    let scheduler = scheduler.or_else(|| hosts.first()?["scheduler"].as_str().map(str::to_owned)).unwrap_or_default();
    if !tags.iter().any(|tag| tag.name == "Authority") {
        let host = hosts.iter().find(|host| host["scheduler"] == scheduler.as_str());
        let authority = host.and_then(|host| host["authority"].as_str()).ok_or_else(|| {
            let what = format!("the node does not know who signs what processes of scheduler {scheduler} push");
            Failure::new(Exit::NotReady, what).fix("try again in a moment, or say who: --tag Authority=ADDRESS")
        })?;
        tags.push(Tag::new("Authority", authority));
    }
    Ok((scheduler, tags))
}

/// What a status says of the network; nothing of a node by itself.
fn network(status: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    let consensus = &status["consensus"];
    if consensus.is_null() {
        return String::new();
    }
    let own = match &consensus["own"] {
        Value::Null => format!("none of {}", text(&consensus["stake"])),
        own => format!("{} of {}, key {}", text(&own["stake"]), text(&consensus["stake"]), text(&own["key"])),
    };
    let mut out = pairs(&[
        ("Genesis", text(&consensus["network"])),
        ("Validators", text(&consensus["validators"])),
        ("Stake", own),
        ("Peers", format!("{} connected, {} expected", text(&status["peers"]["connected"]), text(&status["peers"]["few"]))),
        ("Frames", format!("{} here, {} elsewhere", text(&status["frames"]["here"]), text(&status["frames"]["elsewhere"]))),
    ]);
    let rows = consensus["chains"].as_array().into_iter().flatten().map(|chain| {
        let own = if chain["own"] == true { " (own)" } else { "" };
        let fields = ["sequence", "certified", "confirmed", "behind"].map(|field| text(&chain[field]));
        std::iter::once(format!("{}{own}", text(&chain["scheduler"]))).chain(fields).collect()
    });
    out.push_str(&table(["chain", "frame", "certified", "confirmed", "behind"].into_iter(), rows, false));
    match consensus["more"].as_u64() {
        None | Some(0) => format!("{out}\n"),
        Some(more) => format!("{out}\n… and {more} more chains\n"),
    }
}

/// `process`.
pub async fn process(context: &mut Context<'_>, verb: Process) -> Result<Exit, Failure> {
    let client = context.client()?;
    match verb {
        // No node is asked: it is not to run on the directory.
        Process::Load(arguments) => super::load::load(context, &arguments).await,
        Process::Spawn { module, scheduler, content, wait } => {
            let (wallet, tags, data) = content_of(context, &content, None)?;
            let identity = client.get("v1/identity").await?;
            let module = module.or_else(|| identity["module"].as_str().map(str::to_owned)).unwrap_or_default();
            let (scheduler, tags) = hosted(&identity, scheduler, tags)?;
            let item = items::process(&wallet, &module, &scheduler, tags, data)?;
            let accepted = sending::send(&client, "v1/processes", &item, wait.then_some(Goal::Computed)).await?;
            let id = item.id();
            let boot = if wait { Some(client.result(&id, &id).await?) } else { None };
            let failed = boot.as_ref().and_then(show::error);
            let record = json!({ "id": id, "module": module, "scheduler": scheduler, "owner": wallet.address().to_string(),
                "slot": accepted["slot"], "timestamp": accepted["timestamp"], "result": boot });
            context.printer.record("spawn/v1", record, || match &failed {
                Some(error) => format!("{id}\nError: {}", printable(error)),
                None => id.to_string(),
            })?;
            Ok(if failed.is_some() { Exit::ProcessError } else { Exit::Ok })
        }
        Process::List { limit, cursor } => {
            let cursor = cursor.map(|cursor| format!("&cursor={}", encoded(&cursor))).unwrap_or_default();
            let page = client.get(&format!("v1/processes?limit={limit}{cursor}")).await?;
            let rows = page["items"].as_array().cloned().unwrap_or_default();
            let columns = [("process", "id"), ("slot", "slot"), ("owner", "owner"), ("module", "module")];
            context.printer.list("process/v1", rows, &columns, page["next_cursor"].as_str())?;
            Ok(Exit::Ok)
        }
        Process::Show { process } => {
            let id = context::id(&process)?;
            let shown = client.get(&format!("v1/processes/{id}")).await?;
            context.printer.record("process/v1", shown.clone(), || describe(&shown))?;
            Ok(Exit::Ok)
        }
    }
}

fn describe(process: &Value) -> String {
    let text = |value: &Value| match value {
        Value::Null => "-".into(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    let time = |value: &Value| match value.as_u64() {
        Some(ms) => crate::logging::line::rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms)),
        None => text(value),
    };
    let mut out = pairs(&[
        ("Process", text(&process["id"])),
        ("Owner", text(&process["owner"])),
        ("Module", text(&process["module"])),
        ("Scheduler", text(&process["scheduler"])),
        ("Parent", text(&process["parent"])),
        ("Spawned at", time(&process["timestamp"])),
        ("Head slot", text(&process["head"]["slot"])),
        ("Hash chain", text(&process["head"]["hash_chain"])),
        ("Confirmed slot", text(&process["confirmed_slot"])),
        ("Evaluated slot", text(&process["evaluated"]["slot"])),
        ("Halted", text(&process["evaluated"]["halted"])),
    ]);
    for tag in process["tags"].as_array().into_iter().flatten() {
        out.push_str(&format!("Tag {}: {}\n", text(&tag["name"]), text(&tag["value"])));
    }
    out
}

/// `message`.
pub async fn message(context: &mut Context<'_>, verb: Message) -> Result<Exit, Failure> {
    let client = context.client()?;
    match verb {
        Message::Send { process, action, content, wait } => {
            let process = context::id(&process)?;
            let (wallet, tags, data) = content_of(context, &content, action.as_deref())?;
            let item = items::message(&wallet, process, tags, data)?;
            let accepted = sending::send(&client, "v1/messages", &item, wait).await?;
            let id = item.id();
            if wait != Some(Goal::Computed) {
                let (slot, state) = (accepted["slot"].clone(), accepted["state"].clone());
                let record = json!({ "id": id, "process": process, "slot": slot, "state": state, "timestamp": accepted["timestamp"] });
                let said = wait.map(|_| format!(", {}", printable(state.as_str().unwrap_or_default()))).unwrap_or_default();
                context.printer.record("message/v1", record, || format!("{id}\nslot {slot}{said}"))?;
                return Ok(Exit::Ok);
            }
            let result = waited(client.result(&process, &id).await, &id)?;
            show::result(
                &mut context.printer,
                "result/v1",
                json!({ "id": id, "process": process, "slot": accepted["slot"], "result": result }),
                &result,
            )
        }
        Message::Trace { message } => {
            let id = context::id(&message)?;
            let trace = client.get(&format!("v1/messages/{id}/trace")).await?;
            context.printer.record("trace/v1", trace.clone(), || tree(&trace))?;
            Ok(Exit::Ok)
        }
        Message::Result { message, process } => {
            let id = context::id(&message)?;
            let process = match process {
                Some(process) => context::id(&process)?,
                None => home_of(&client, &id).await?,
            };
            let result = waited(client.result(&process, &id).await, &id)?;
            show::result(&mut context.printer, "result/v1", json!({ "id": id, "process": process, "result": result }), &result)
        }
    }
}

/// The process in whose log a message is; a process is in its own.
async fn home_of(client: &Client, message: &Id) -> Result<Id, Failure> {
    let found = client.get(&format!("v1/messages/{message}")).await?;
    let process = found["logs"][0]["process"].as_str().and_then(|text| Id::parse(text).ok());
    process.ok_or_else(|| Failure::new(Exit::NotFound, format!("{message} is in no process's log")))
}

fn waited(result: Result<Value, Failure>, id: &Id) -> Result<Value, Failure> {
    result.map_err(|failure| match failure.exit {
        Exit::TimedOut => Failure { what: format!("{}; message {id} is durable", failure.what), ..failure }
            .fix(format!("ask later with `aonode message result {id}`")),
        _ => failure,
    })
}

/// A trace: each message under the one that caused it.
fn tree(trace: &Value) -> String {
    let entries = trace["entries"].as_array().cloned().unwrap_or_default();
    if entries.is_empty() {
        return "in no process's log".into();
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), printable);
    let mut depth = std::collections::HashMap::new();
    let mut out = String::new();
    for entry in &entries {
        let above = entry["parent"].as_str().and_then(|parent| depth.get(parent)).map_or(0, |depth| depth + 1);
        depth.insert(text(&entry["message"]), above);
        let compute = &entry["compute"];
        let failed = if compute["failed"] == true { ", failed" } else { "" };
        out.push_str(&format!(
            "{}{}  slot {} of {}  {}, {}{failed}\n",
            "  ".repeat(above),
            text(&entry["message"]),
            entry["slot"],
            text(&entry["process"]),
            text(&entry["state"]),
            text(&compute["state"]),
        ));
        for pushed in entry["pushed"].as_array().into_iter().flatten() {
            let outcome = &pushed["outcome"];
            if outcome["state"] != "assigned" {
                let reason = outcome["reason"].as_str().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
                out.push_str(&format!(
                    "{}  {} {} {}{reason}\n",
                    "  ".repeat(above),
                    text(&pushed["kind"]),
                    pushed["index"],
                    text(&outcome["state"])
                ));
            }
        }
        for pending in entry["pending"].as_array().into_iter().flatten() {
            out.push_str(&format!(
                "{}  {} {} waiting, {} attempts\n",
                "  ".repeat(above),
                text(&pending["kind"]),
                pending["index"],
                pending["attempts"]
            ));
        }
    }
    if trace["more"] == true {
        out.push_str("… and more\n");
    }
    out
}

/// `eval`.
pub async fn eval(context: &mut Context<'_>, arguments: &Eval) -> Result<Exit, Failure> {
    let client = context.client()?;
    let process = context::id(&arguments.process)?;
    let wallet = context.wallet(arguments.wallet.as_deref())?;
    let code = context.data(Some(arguments.code.as_str()))?.unwrap_or_default();
    let Evaluated { id, slot, result } = evaluate(&client, &wallet, process, code).await?;
    show::result(&mut context.printer, "result/v1", json!({ "id": id, "process": process, "slot": slot, "result": result }), &result)
}

/// Code that was evaluated.
pub struct Evaluated {
    /// The message.
    pub id: Id,
    /// Its slot.
    pub slot: Option<u64>,
    /// What came of it.
    pub result: Value,
}

/// Sends code and waits for what it gives.
///
/// # Errors
/// As [`Client::submit`] and [`Client::result`].
pub async fn evaluate(client: &Client, wallet: &Wallet, process: Id, code: Vec<u8>) -> Result<Evaluated, Failure> {
    let item = items::message(wallet, process, vec![Tag::new("Action", "Eval")], code)?;
    let accepted = client.submit("v1/messages", &item).await?;
    let id = item.id();
    let result = waited(client.result(&process, &id).await, &id)?;
    Ok(Evaluated { id, slot: accepted["slot"].as_u64(), result })
}

/// `dry-run`.
pub async fn dry_run(context: &mut Context<'_>, arguments: &DryRun) -> Result<Exit, Failure> {
    let client = context.client()?;
    let process = context::id(&arguments.process)?;
    let tags = with_action(context::tags(&arguments.tags)?, arguments.action.as_deref());
    let data = context.data(arguments.data.as_deref())?.unwrap_or_default();
    let data = String::from_utf8(data).map_err(|_| Failure::usage("--data: a dry run carries text, and this is not UTF-8"))?;
    let from = match &arguments.from {
        Some(from) => from.clone(),
        // Somebody has to ask; without a wallet it is nobody in particular, as clients do it.
        None => context.wallet(None).map_or_else(|_| "1234".to_owned(), |wallet| wallet.address().to_string()),
    };
    let message = dry_message(&process, &from, &tags, &data);
    let result = client.dry_run(&process, &message).await?;
    show::result(&mut context.printer, "result/v1", json!({ "process": process, "result": result }), &result)
}

/// A dry run's message in the reference unit's form.
pub fn dry_message(process: &Id, from: &str, tags: &[Tag], data: &str) -> Value {
    let mut all: Vec<Value> = tags.iter().map(|tag| json!({ "name": tag.name, "value": tag.value })).collect();
    for (name, value) in [("Data-Protocol", "ao"), ("Type", "Message"), ("Variant", "ao.TN.1")] {
        all.push(json!({ "name": name, "value": value }));
    }
    json!({ "Id": "1234", "Target": process, "Owner": from, "Anchor": "0", "Data": if data.is_empty() { "1234" } else { data }, "Tags": all })
}

fn with_action(mut tags: Vec<Tag>, action: Option<&str>) -> Vec<Tag> {
    if let Some(action) = action {
        tags.insert(0, Tag::new("Action", action));
    }
    tags
}

fn content_of(context: &mut Context<'_>, content: &Content, action: Option<&str>) -> Result<(Wallet, Vec<Tag>, Vec<u8>), Failure> {
    let tags = with_action(context::tags(&content.tags)?, action);
    let data = context.data(content.data.as_deref())?.unwrap_or_default();
    Ok((context.wallet(content.wallet.as_deref())?, tags, data))
}

/// `text` as a query value.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_trees() {
        let entry = |message: &str, parent: Value, state: &str| {
            json!({ "message": message, "parent": parent, "slot": 1, "process": "P", "state": "confirmed",
                "compute": { "state": state, "failed": message == "b" }, "pushed": [], "pending": [] })
        };
        let trace = json!({ "entries": [entry("a", Value::Null, "pushed"), entry("b", json!("a"), "computed")], "more": true });
        assert_eq!(tree(&trace), "a  slot 1 of P  confirmed, pushed\n  b  slot 1 of P  confirmed, computed, failed\n… and more\n");
        assert_eq!(tree(&json!({})), "in no process's log");
    }

    #[test]
    fn a_status_names_stake_peers_and_chains() {
        assert_eq!(network(&json!({ "consensus": null })), "");
        let chain = json!({ "scheduler": "S", "own": true, "sequence": 9, "certified": 8, "confirmed": null, "behind": 10 });
        let consensus = json!({ "network": "ab", "validators": 4, "stake": "400", "own": { "key": "0xk", "stake": "100" },
            "chains": [chain], "more": 2 });
        let peers = json!({ "connected": 3, "few": 3 });
        let said = network(&json!({ "consensus": consensus, "peers": peers, "frames": { "here": 10, "elsewhere": 12 } }));
        for words in ["100 of 400, key 0xk", "3 connected, 3 expected", "10 here, 12 elsewhere", "S (own)", "and 2 more chains"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encoded("a-b_c/+&é"), "a-b_c%2F%2B%26%C3%A9");
    }
}
