//! A process of a test: real wasm, one message after another.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use ao_types::invocation::Subject;
use ao_types::{Environment, Evaluation, Id, Invocation, Outgoing, Tag};
use ao_vm::{Checkpoint, Evaluated, Instance, Machine, ModuleSource, Settings, Vm};

pub const OWNER: &str = "OWNER-WALLET";
pub const AUTHORITY: &str = "MU";
pub const PROCESS: &str = "PROCESS-ID";
pub const NOW: u64 = 1_709_210_096_000;

/// One machine for all tests of this binary; compiled code is kept in the target folder between runs.
pub fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        Machine::new(Settings { cache: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules")), ..Settings::default() }).unwrap()
    })
}

/// A module item of that source.
pub fn module(format: &str, source: &str) -> ModuleSource {
    let id = Id(*blake3::hash(format!("{format}\n{source}").as_bytes()).as_bytes());
    ModuleSource { id, tags: vec![Tag::new("Module-Format", format)], code: source.to_owned().into() }
}

/// An environment with an owner and an authority; `tags` go to the process.
pub fn environment(module: &ModuleSource, tags: &[(&str, &str)]) -> Arc<Environment> {
    let mut all = vec![Tag::new("Type", "Process"), Tag::new("Authority", AUTHORITY)];
    all.extend(tags.iter().map(|(name, value)| Tag::new(*name, *value)));
    let process = Subject { id: PROCESS.into(), owner: OWNER.into(), tags: all };
    let module = Subject { id: module.id.to_string(), owner: "MODULE-OWNER".into(), tags: module.tags.clone() };
    Arc::new(Environment { process, module })
}

/// A message from a wallet.
pub fn message(from: &str, tags: &[(&str, &str)], data: impl Into<Vec<u8>>) -> Invocation {
    Invocation {
        id: Some("MESSAGE".into()),
        data: Some(data.into().into()),
        owner: from.into(),
        from: from.into(),
        target: PROCESS.into(),
        tags: tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect(),
        timestamp: NOW,
        block_height: 1_600_000,
        ..Invocation::default()
    }
}

/// A running process.
pub struct Process {
    pub instance: Box<dyn Instance>,
    next: u64,
}

impl Process {
    pub fn of(source: &str) -> Self {
        Self::start("lua-5.3-handle", source, &[], &[])
    }

    pub fn start(format: &str, source: &str, tags: &[(&str, &str)], chain: &[Checkpoint]) -> Self {
        let module = module(format, source);
        let instance = machine().start(&module, environment(&module, tags), chain).unwrap();
        Self { instance, next: 1 }
    }

    /// With little fuel, so that bombs end soon.
    pub fn frugal(source: &str) -> Self {
        Self::start("lua-5.3-handle", source, &[("Compute-Limit", "40000000")], &[])
    }

    pub fn deliver(&mut self, mut message: Invocation) -> Evaluated {
        message.nonce = Some(self.next);
        message.id = message.id.map(|id| format!("{id}-{}", self.next));
        self.next += 1;
        self.instance.evaluate(&Arc::new(message)).unwrap()
    }

    pub fn send(&mut self, from: &str, tags: &[(&str, &str)], data: &str) -> Evaluation {
        self.deliver(message(from, tags, data)).evaluation
    }

    pub fn act(&mut self, action: &str) -> Evaluation {
        self.send(OWNER, &[("Action", action)], "")
    }

    pub fn eval(&mut self, source: &str) -> Evaluation {
        self.send(OWNER, &[("Action", "Eval")], source)
    }

    /// What an Eval of the owner prints; it must not fail.
    pub fn value(&mut self, source: &str) -> String {
        let evaluation = self.eval(source);
        assert_eq!(evaluation.error, None, "{source}");
        text(&evaluation)
    }
}

/// `Output.data`.
pub fn text(evaluation: &Evaluation) -> String {
    evaluation.output["data"].as_str().unwrap_or_default().to_owned()
}

/// The error's text, or "".
pub fn error(evaluation: &Evaluation) -> &str {
    evaluation.error.as_ref().and_then(|error| error.as_str()).unwrap_or_default()
}

/// First value of a tag of an outbox entry, or "".
pub fn tag<'a>(entry: &'a Outgoing, name: &str) -> &'a str {
    let tags = entry.fields["Tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    tags.iter().find(|tag| tag["name"] == name).and_then(|tag| tag["value"].as_str()).unwrap_or_default()
}
