//! What the tests share: real modules, messages as the network makes them.
#![allow(dead_code, missing_docs)]

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ao_types::{Environment, Id, Invocation, Tag};
use ao_vm::{Machine, ModuleSource, Settings};
use bytes::Bytes;
use serde_json::Value;

/// Compiled modules outlive a test run: the sources are content-addressed, so a stale one is never used.
pub fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| machine_with(Settings { cache: Some(folder("compiled")), ..Settings::default() }))
}

pub fn machine_with(settings: Settings) -> Machine {
    Machine::new(settings).unwrap()
}

pub fn folder(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"));
    cache.join("aonode").join(name)
}

pub const WASM64: &str = "wasm64-unknown-emscripten-draft_2024_02_15";
pub const WASM32: &str = "wasm32-unknown-emscripten4";

fn fetched(file: &str) -> Bytes {
    let path = folder("modules").join(file);
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{}: {error}\nrun .ci/modules, which fetches the modules that these tests need from npm", path.display()),
    }
}

/// A real aos module in the given format.
pub fn aos(format: &str) -> ModuleSource {
    let file = if format.starts_with("wasm64") { "aos2_0_6.wasm" } else { "aos2_0_4_32.wasm" };
    module(format, fetched(file))
}

pub fn module(format: &str, code: impl Into<Bytes>) -> ModuleSource {
    let code = code.into();
    let mut id = [0u8; 32];
    for (at, byte) in format.bytes().chain(code.iter().step_by(code.len() / 200 + 1).copied()).enumerate() {
        id[at % 32] = id[at % 32].rotate_left(3) ^ byte ^ code.len() as u8;
    }
    let tags = [("Module-Format", format), ("Input-Encoding", "JSON-1"), ("Output-Encoding", "JSON-1")];
    ModuleSource { id: Id(id), tags: tags.map(|(name, value)| Tag::new(name, value)).into(), code }
}

/// A module in the text format, run as `wasm32-ao-json-1`.
pub fn small(wat: &str) -> ModuleSource {
    module("wasm32-ao-json-1", wat::parse_str(wat).unwrap())
}

fn data() -> &'static Value {
    static DATA: OnceLock<Value> = OnceLock::new();
    DATA.get_or_init(|| serde_json::from_str(include_str!("../data/messages.json")).unwrap())
}

pub fn environment() -> Arc<Environment> {
    Arc::new(serde_json::from_value(data()["environment"].clone()).unwrap())
}

/// The messages of the conformance test.
pub fn messages() -> Vec<Arc<Invocation>> {
    data()["messages"].as_array().unwrap().iter().map(|message| Arc::new(invocation(message))).collect()
}

fn invocation(message: &Value) -> Invocation {
    let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| message.get(name).and_then(Value::as_u64);
    Invocation {
        id: text("Id"),
        signature: text("Signature"),
        data: text("Data").map(Bytes::from),
        owner: text("Owner").unwrap(),
        target: text("Target").unwrap(),
        anchor: text("Anchor"),
        from: text("From").unwrap(),
        forwarded_by: text("Forwarded-By"),
        tags: serde_json::from_value(message["Tags"].clone()).unwrap(),
        epoch: number("Epoch"),
        nonce: number("Nonce"),
        timestamp: number("Timestamp").unwrap(),
        block_height: number("Block-Height").unwrap(),
        hash_chain: text("Hash-Chain"),
        cron: message["Cron"].as_bool().unwrap(),
        read_only: false,
    }
}

/// An `Eval` by the owner of the process of [`environment`].
pub fn eval(nonce: u64, code: &str) -> Arc<Invocation> {
    let mut message = (*messages()[1]).clone();
    message.id = Some(format!("E{nonce:042}"));
    message.nonce = Some(nonce);
    message.timestamp += nonce;
    message.data = Some(code.to_owned().into());
    Arc::new(message)
}

/// Any message.
pub fn plain(nonce: u64, data: &str) -> Arc<Invocation> {
    let mut message = (*eval(nonce, data)).clone();
    message.tags.clear();
    Arc::new(message)
}

/// A module of our own: `body` is that of `handle`, which then returns the answer at 16; what else is needed goes into `extra`.
pub fn handler(memory: &str, extra: &str, body: &str) -> ModuleSource {
    small(&format!(
        r#"(module
  {extra}
  (memory (export "memory") {memory})
  (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"....\"}}}}\00")
  (global $top (mut i32) (i32.const 4096))
  (func (export "malloc") (param i32) (result i32)
    (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
  ;; Shows a number as four digits in the answer.
  (func $show (param i32)
    (i32.store8 (i32.const 49) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get 0) (i32.const 1000)) (i32.const 10))))
    (i32.store8 (i32.const 50) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get 0) (i32.const 100)) (i32.const 10))))
    (i32.store8 (i32.const 51) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get 0) (i32.const 10)) (i32.const 10))))
    (i32.store8 (i32.const 52) (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10)))))
  (func (export "handle") (param $message i32) (param $environment i32) (result i32)
    {body}
    (i32.const 16)))"#
    ))
}

/// Error text of an evaluation, or its output.
pub fn outcome(evaluated: &ao_vm::Evaluated) -> Result<String, String> {
    match &evaluated.evaluation.error {
        Some(error) => Err(error.as_str().map_or_else(|| error.to_string(), str::to_owned)),
        None => Ok(evaluated.evaluation.output.as_str().unwrap_or_default().to_owned()),
    }
}
