//! A process goes on with the runtime it began with, whatever a newer node brings.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ao_types::Tag;
use ao_vm::lua::{RUNTIME_TAG, runtime_id};
use ao_vm::{Checkpoint, Error, Instance, Machine, ModuleSource, Settings, Vm as _};

use crate::support::*;

const SOURCE: &str = "N = 0 Handlers.add('add', 'Add', function() N = N + 1 print(N) end)";

/// A node with a folder of runtimes, in which an older node has left its own: the same code under another id.
fn after_an_upgrade(folder: &Path) -> (Machine, ModuleSource) {
    let settings = || Settings { runtimes: Some(folder.to_owned()), ..Settings::default() };
    drop(Machine::new(settings()).unwrap());
    let mut older = fs::read(folder.join(format!("{}.wasm", runtime_id()))).unwrap();
    // A custom section of four bytes: its name `old`.
    older.extend_from_slice(&[0, 4, 3, b'o', b'l', b'd']);
    let id = blake3::hash(&older).to_hex();
    fs::write(folder.join(format!("{id}.wasm")), &older).unwrap();
    let mut module = module("lua-5.3-handle", SOURCE);
    module.tags.push(Tag::new(RUNTIME_TAG, id.as_str()));
    (Machine::new(settings()).unwrap(), module)
}

#[test]
fn older_processes_run_beside_newer_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (machine, older) = after_an_upgrade(folder.path());
    let newer = module("lua-5.3-handle", SOURCE);
    let start = |module: &ModuleSource, chain: &[Checkpoint]| machine.start(module, environment(module, &[]), chain).unwrap();
    let add = |instance: &mut Box<dyn Instance>| {
        let evaluated = instance.evaluate(&Arc::new(message("ALICE", &[("Action", "Add")], ""))).unwrap();
        text(&evaluated.evaluation)
    };
    for module in [&older, &newer, &older] {
        let mut process = start(module, &[]);
        assert_eq!(add(&mut process), "1");
        let saved = process.checkpoint(false).unwrap();
        assert_eq!(add(&mut start(module, &[saved])), "2");
    }
    // A state belongs to its runtime, whatever the module is called.
    let saved = start(&older, &[]).checkpoint(false).unwrap();
    let elsewhere = ModuleSource { id: older.id, ..newer };
    let environment = environment(&elsewhere, &[]);
    let fresh = Machine::new(Settings::default()).unwrap();
    assert!(matches!(fresh.start(&elsewhere, environment, &[saved]), Err(Error::BadCheckpoint(_))));
}

#[test]
fn a_runtime_that_is_nowhere_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_, older) = after_an_upgrade(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let machine = Machine::new(Settings { runtimes: Some(elsewhere.path().to_owned()), ..Settings::default() }).unwrap();
    let refusal = machine.prepare(&older).unwrap_err().to_string();
    assert!(refusal.contains("copy it there") && refusal.contains(runtime_id()), "{refusal}");
    let wanted = older.tags.last().unwrap().value.clone();
    let file = format!("{wanted}.wasm");
    fs::copy(folder.path().join(&file), elsewhere.path().join(&file)).unwrap();
    let machine = Machine::new(Settings { runtimes: Some(elsewhere.path().to_owned()), ..Settings::default() }).unwrap();
    machine.prepare(&older).unwrap();
}
