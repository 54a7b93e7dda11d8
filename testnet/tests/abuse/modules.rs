//! Modules that must not be run (F27, F29), and formats nobody knows.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::Setup;
use ao_testnet::say;
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection, MemoryType, Module, TableSection, TableType,
    TypeSection, ValType,
};

use super::bystander::Bystander;

/// A small module format's tag; the modules below are refused for what they declare.
const FORMAT: &str = "wasm32-unknown-emscripten4";

/// A refusal of a module comes at once; a compile that is given up takes as long as its budget.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);

/// A module with `functions` bodies, `memory` pages and a table, exporting what a module has to.
fn module(functions: u32, body: impl Fn(u32) -> Function, memory: u64, table: u64) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for n in 0..functions {
        declared.function(0);
        code.function(&body(n));
    }
    let mut tables = TableSection::new();
    tables.table(TableType { element_type: wasm_encoder::RefType::FUNCREF, table64: false, minimum: table, maximum: None, shared: false });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: memory, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0).export("handle", ExportKind::Func, 0).export("malloc", ExportKind::Func, 0);
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&tables).section(&memories).section(&exports).section(&code);
    module.finish()
}

fn nothing(_: u32) -> Function {
    let mut body = Function::new([]);
    body.instructions().i32_const(0).end();
    body
}

fn nested(depth: u32) -> Function {
    let mut body = Function::new([]);
    for _ in 0..depth {
        body.instructions().block(wasm_encoder::BlockType::Empty);
    }
    for _ in 0..depth {
        body.instructions().end();
    }
    body.instructions().i32_const(0).end();
    body
}

fn wide(targets: u32) -> Function {
    let mut body = Function::new([]);
    body.instructions().block(wasm_encoder::BlockType::Empty).i32_const(0).br_table(vec![0; targets as usize], 0).end().i32_const(0).end();
    body
}

/// Straight code without end: a long chain through many locals, which register allocators dislike.
fn long(operations: u32) -> Function {
    let mut body = Function::new([(2000, ValType::I32)]);
    for n in 0..operations {
        body.instructions()
            .local_get(2 + n % 2000)
            .local_get(2 + n.wrapping_mul(7919) % 2000)
            .i32_add()
            .local_set(2 + n.wrapping_mul(104_729) % 2000);
    }
    body.instructions().local_get(2).end();
    body
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no wasm at all", b"\0asm\x01\0\0\0garbage".to_vec()),
        ("a memory of 4 GiB", module(1, nothing, 65_536, 1)),
        ("a table of 100 million", module(1, nothing, 2, 100_000_000)),
        ("500 000 functions", module(500_000, nothing, 2, 1)),
        (
            "60 000 locals",
            module(
                1,
                |_| {
                    let mut f = Function::new([(60_000, ValType::I64)]);
                    f.instructions().i32_const(0).end();
                    f
                },
                2,
                1,
            ),
        ),
        ("nested a million deep", module(1, |_| nested(1_000_000), 2, 1)),
        ("a jump table of a million", module(1, |_| wide(1_000_000), 2, 1)),
        ("one function of 6 MiB", module(1, |_| long(600_000), 2, 1)),
    ]
}

async fn refused(client: &Client, owner: &Person, code: Vec<u8>, format: &str, limit: &str) -> Result<String> {
    let size = code.len();
    let item = owner.module(format, limit, code);
    let upload = client.post("/tx", &item).await?;
    if !upload.status.is_success() {
        return Ok(format!("{size} bytes, refused as an upload: {}", upload.refusal()?));
    }
    let process = client.process_item(owner, Some(item.id), &[], " ").await?;
    let started = Instant::now();
    let answer = client.post("/", &process).await?;
    let said = if answer.status.is_success() {
        // admitted by its declarations and given up while compiling: then the boot has a refusal or an error, and no more
        let boot = client.get(&format!("/result/{0}?process-id={0}", process.id)).await?;
        match boot.json["Error"].as_str() {
            Some(error) => format!("error: {error}"),
            None => boot.refusal()?.to_owned(),
        }
    } else {
        ensure!([400, 413, 422].contains(&answer.status.as_u16()), "{} {}", answer.status, answer.text());
        answer.refusal()?.to_owned()
    };
    ensure!(started.elapsed() < REFUSED_WITHIN, "it took {:?}", started.elapsed());
    Ok(format!("{size} bytes, {:.0} ms: {}", started.elapsed().as_secs_f64() * 1e3, said.chars().take(90).collect::<String>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_declare_too_much_are_refused_while_others_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Setup::new(folder.path().join("data")).config("compute.workers", 2).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("bomber");
    let before = node.resident().unwrap();
    for (name, code) in bombs() {
        let bystander = Bystander::start(node.base()).await.unwrap();
        let line = refused(&client, &owner, code, FORMAT, "64-mb")
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}\n{}", node.log().tail(20)));
        let answers = bystander.stop().await.unwrap();
        say(format_args!("{name}: {line}; others: {answers}"));
        assert!(answers.worst() < Duration::from_secs(3), "{name}: others waited {:?}", answers.worst());
        node.alive().unwrap();
    }
    let grown = node.resident().unwrap().saturating_sub(before) >> 20;
    say(format_args!("resident memory grew by {grown} MiB"));
    assert!(grown < 1024, "resident memory grew by {grown} MiB");
    let _ = node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_and_limits_that_cannot_be_met_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data")).config("compute.memory_max", "512MiB").start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let unknown = refused(&client, &owner, module(1, nothing, 2, 1), "wasm128-unknown-future", "64-mb").await.unwrap();
    assert!(unknown.contains("wasm128-unknown-future") || unknown.contains("format"), "{unknown}");
    let large = refused(&client, &owner, module(1, nothing, 2, 1), FORMAT, "1-tb").await.unwrap();
    assert!(large.contains("Memory-Limit"), "{large}");
    // nothing of it reached the schedule, and the node still works
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    assert_eq!(client.eval(&owner, process, "1").await.unwrap(), "1");
    let _ = node.stop().await.unwrap();
}
