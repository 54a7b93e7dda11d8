//! A machine that does what tags say: for tests of everything around a machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use ao_types::hash::sha256;
use ao_types::{Environment, Evaluation, Id, Invocation, Outgoing, StateHash, Tag};
use ao_vm::{Checkpoint, Error, Evaluated, Exported, Instance, ModuleSource, Refusal, Vm};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// `Module-Format` of the scripted machine.
pub const FORMAT: &str = "scripted";

/// State: how many messages were counted.
pub struct Script;

/// The count, and the one of the last checkpoint.
struct Counter(u64, Option<u64>);

fn root(count: u64) -> StateHash {
    StateHash(sha256(&[&count.to_be_bytes()]))
}

impl Vm for Script {
    fn admit(&self, module: &ModuleSource, _: &Id, _: &[Tag]) -> Result<(), Refusal> {
        let format = module.tags.iter().find(|tag| tag.name == "Module-Format").map_or("", |tag| &tag.value);
        if format == FORMAT { Ok(()) } else { Err(Refusal::UnknownFormat { found: format.into(), known: FORMAT.into() }) }
    }

    fn prepare(&self, _: &ModuleSource) -> Result<(), Error> {
        Ok(())
    }

    /// Of a full one the bytes are the memory.
    fn export(&self, checkpoint: &Checkpoint) -> Result<Exported, Error> {
        let gzip = ao_vm::checkpoint::export_gzip(&checkpoint.bytes)?;
        Ok(Exported { gzip, sha256: sha256(&[&checkpoint.bytes]) })
    }

    fn import(&self, _: &ModuleSource, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error> {
        let memory = ao_vm::checkpoint::gunzip(gzip, 8)?;
        let count = u64::from_be_bytes(memory.as_slice().try_into().map_err(|_| Error::BadCheckpoint("length".into()))?);
        Ok((Checkpoint { root: root(count), bytes: memory.clone().into(), parent: None }, sha256(&[&memory])))
    }

    fn adopt(&self, module: &ModuleSource, _: Arc<Environment>, gzip: &[u8]) -> Result<(Checkpoint, [u8; 32]), Error> {
        self.import(module, gzip)
    }

    fn start(&self, _: &ModuleSource, _: Arc<Environment>, chain: &[Checkpoint]) -> Result<Box<dyn Instance>, Error> {
        let (mut count, mut last) = (0, None);
        for link in chain {
            let added: [u8; 8] = link.bytes.as_ref().try_into().map_err(|_| Error::BadCheckpoint("length".into()))?;
            count = if link.parent.is_some() { count } else { 0 } + u64::from_be_bytes(added);
            if link.parent != last.map(root) || link.root != root(count) {
                return Err(Error::BadCheckpoint("root".into()));
            }
            last = Some(count);
        }
        Ok(Box::new(Counter(count, last)))
    }
}

fn tag<'a>(message: &'a Invocation, name: &str) -> &'a str {
    message.tags.iter().find(|tag| tag.name == name).map_or("", |tag| &tag.value)
}

fn outgoing(target: Option<&str>, anchor: u64, tags: Value) -> Outgoing {
    let mut entry = json!({ "Anchor": format!("{anchor:032}"), "Tags": tags, "Data": "pushed" });
    if let Some(target) = target {
        entry["Target"] = target.into();
    }
    let Value::Object(fields) = entry else { unreachable!() };
    Outgoing { fields, data: None }
}

fn run(message: &Invocation, count: &mut u64) -> Evaluation {
    let mut evaluation = Evaluation::default();
    match tag(message, "Action") {
        "Count" | "Tick" | "Flaky" => {
            *count += 1;
            evaluation.output = count.to_string().into();
            if message.cron {
                let target = Id([6; 32]).to_string();
                evaluation.messages.push(outgoing(Some(&target), message.timestamp, json!([{"name": "Action", "value": "Ticked"}])));
            }
        }
        "Fail" => return Evaluation::failure("as asked"),
        "Data" => evaluation.output = message.data.as_ref().map_or("none".into(), |data| String::from_utf8_lossy(data).into()),
        "Send" => {
            let times: u64 = tag(message, "Times").parse().unwrap_or(1);
            *count += 1;
            for n in 0..times {
                let tags = json!([{"name": "Action", "value": "Count"}, {"name": "Reference", "value": n.to_string()}]);
                evaluation.messages.push(outgoing(Some(tag(message, "To")), *count * 1000 + n, tags));
            }
        }
        // One message that is to be assigned to another process as well.
        "Share" => {
            let tags = json!([{"name": "Action", "value": "Count"}, {"name": "Assignments", "value": [tag(message, "With")]}]);
            evaluation.messages.push(outgoing(Some(tag(message, "To")), *count, tags));
        }
        // Sends back and forth until a number is used up.
        "Bounce" => {
            *count += 1;
            let left: u64 = tag(message, "Left").parse().unwrap_or(0);
            if left > 0 {
                let (to, me) = (tag(message, "To"), &message.target);
                let tags = json!([{"name": "Action", "value": "Bounce"}, {"name": "Left", "value": (left - 1).to_string()}, {"name": "To", "value": me}]);
                evaluation.messages.push(outgoing(Some(to), *count, tags));
            }
        }
        "Spawn" => {
            // The child's boot does what tag `Boot` says.
            let mut tags = vec![json!({"name": "Module", "value": tag(message, "Module")})];
            for (name, from) in [("Action", "Boot"), ("To", "To"), ("Times", "Times")] {
                if !tag(message, from).is_empty() {
                    tags.push(json!({"name": name, "value": tag(message, from)}));
                }
            }
            evaluation.spawns.push(outgoing(None, *count, tags.into()));
        }
        _ => {}
    }
    evaluation
}

/// Messages that this host could not evaluate the first time.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Instance for Counter {
    fn evaluate(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
        let id = message.id.clone().unwrap_or_default();
        if tag(message, "Action") == "Flaky" && SEEN.lock().insert(id) {
            return Err(Error::NotEvaluated("no memory just now".into()));
        }
        Ok(Evaluated { evaluation: run(message, &mut self.0), fuel: 1 })
    }

    fn dry_run(&mut self, message: &Arc<Invocation>) -> Result<Evaluated, Error> {
        let mut copy = self.0;
        Ok(Evaluated { evaluation: run(message, &mut copy), fuel: 1 })
    }

    fn state_hash(&mut self) -> Result<StateHash, Error> {
        Ok(root(self.0))
    }

    /// A full one is the count, a delta what was added to it.
    fn checkpoint(&mut self, delta: bool) -> Result<Checkpoint, Error> {
        let before = self.1.filter(|_| delta);
        self.1 = Some(self.0);
        let bytes = Bytes::copy_from_slice(&(self.0 - before.unwrap_or(0)).to_be_bytes());
        Ok(Checkpoint { root: root(self.0), bytes, parent: before.map(root) })
    }

    fn memory(&mut self) -> Result<Vec<u8>, Error> {
        Ok(self.0.to_be_bytes().to_vec())
    }

    fn idle(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn resident_bytes(&self) -> u64 {
        64
    }
}
