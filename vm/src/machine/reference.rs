//! The memory of a real process is the reference's, byte for byte.
//!
//! `tests/data/reference-memory.mjs` wrote what is expected, and says which range counts as zero there; here nothing is left out. Two
//! things differ from a node's machine. NaNs stay as the CPU makes them, because the reference does that (`vm-abi.md`, section 8). And the
//! dead part of the C stack is not zeroed between messages: what an earlier call left there gets into the heap as padding of copied values.

#[path = "../../tests/common/mod.rs"]
mod common;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::formats::{Abi, Answer};
use crate::guest::Guest;

/// A calling convention that declares no part of memory dead.
struct Unwiped(Box<dyn Abi>);

impl Abi for Unwiped {
    fn attach(&mut self, guest: &mut Guest) -> wasmtime::Result<()> {
        self.0.attach(guest)
    }
    fn boot(&mut self, guest: &mut Guest) -> wasmtime::Result<()> {
        self.0.boot(guest)
    }
    fn call(&mut self, guest: &mut Guest, message: &ao_types::Invocation) -> wasmtime::Result<Answer> {
        self.0.call(guest, message)
    }
}

/// SHA-256 over index and bytes of every page that is not zero.
fn digest(memory: &[u8]) -> String {
    let mut hash = Sha256::new();
    for (index, page) in memory.chunks(PAGE).enumerate().filter(|(_, page)| *page != [0; PAGE]) {
        hash.update((index as u32).to_le_bytes());
        hash.update(page);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A process of a real module in the reference unit.
fn unit() -> Hosted {
    let mut config = crate::engine::config();
    config.cranelift_nan_canonicalization(false);
    let settings = Settings { cache: Some(common::folder("compiled-for-reference")), ..Settings::default() };
    let machine = Machine::on(Clocked::of(&config, settings.wall_clock).unwrap(), settings);
    let (module, environment) = (common::aos(common::WASM64), common::environment());
    let program = machine.programs.of(&module).unwrap();
    let bounds = Bounds { fuel: FUEL_MAX, gas: u64::MAX >> 1, memory: program.memory_bytes_max() };
    let abi = Unwiped(format(&module).unwrap().abi(&module, &environment).unwrap());
    Hosted::start(program, Box::new(abi), bounds, 1, &[]).unwrap()
}

#[test]
fn memory_is_that_of_the_reference() {
    let expected: Vec<Value> = serde_json::from_str(include_str!("../../tests/data/memory-wasm64.json")).unwrap();
    let mut process = unit();
    let mut expected = expected.iter().peekable();
    for (number, message) in common::messages().iter().enumerate() {
        process.evaluate(message).unwrap();
        let Some(sample) = expected.next_if(|sample| sample["message"] == number) else { continue };
        let memory = process.memory().unwrap();
        assert_eq!(
            (memory.len() as u64, digest(&memory)),
            (sample["length"].as_u64().unwrap(), sample["digest"].as_str().unwrap().into()),
            "message {number}"
        );
    }
    assert_eq!(expected.next(), None);
}

/// The state of a process is taken over from the reference unit after some messages: the rest gives what a replay from the beginning gives.
#[test]
fn a_memory_of_the_reference_goes_on_here_as_a_replay_does() {
    const TAKEN_AT: usize = 20;
    let (machine, module, environment) = (common::machine(), common::aos(common::WASM64), common::environment());
    let (mut unit, mut replay) = (unit(), machine.start(&module, environment.clone(), &[]).unwrap());
    let messages = common::messages();
    for message in &messages[..TAKEN_AT] {
        unit.evaluate(message).unwrap();
        replay.evaluate(message).unwrap();
    }
    let (raw, ours) = (unit.memory().unwrap(), replay.memory().unwrap());
    let (adopted, sha256) = machine.adopt(&module, environment.clone(), &checkpoint::export_gzip(&raw).unwrap()).unwrap();
    assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(&raw)));
    assert_eq!(adopted.root, replay.state_hash().unwrap(), "what is left when the dead part is zeroed is the state of this machine");
    // Of our own memory with anything in its dead part the state itself comes out: that part is not of it.
    let dead = machine.hosted(&module, &environment, &[]).unwrap().dead;
    assert!(dead.len() > PAGE && raw[dead.clone()].iter().any(|byte| *byte != 0) && ours[dead.clone()].iter().all(|byte| *byte == 0));
    let mut strewn = ours.clone();
    strewn[dead].fill(0xa5);
    let (same, _) = machine.adopt(&module, environment.clone(), &checkpoint::export_gzip(&strewn).unwrap()).unwrap();
    assert_eq!(same.root, replay.state_hash().unwrap());
    for taken in [adopted, same] {
        let mut replay = machine.start(&module, environment.clone(), &[replay.checkpoint(false).unwrap()]).unwrap();
        let mut goes_on = machine.start(&module, environment.clone(), &[taken]).unwrap();
        for (number, message) in messages.iter().enumerate().skip(TAKEN_AT) {
            let (one, other) = (goes_on.evaluate(message).unwrap(), replay.evaluate(message).unwrap());
            assert_eq!(one.evaluation, other.evaluation, "message {number}");
        }
    }
}

/// The reference unit's states are those of this machine, but where a message has the CPU make a NaN, or copies as padding what an earlier call
/// left on the stack: bytes that nothing reads. Such a state gives the same results and is another one all the same.
#[test]
fn states_of_the_reference_are_those_of_this_machine_but_for_nans_and_padding() {
    let (machine, module, environment) = (common::machine(), common::aos(common::WASM64), common::environment());
    let (mut unit, mut replay) = (unit(), machine.start(&module, environment.clone(), &[]).unwrap());
    let (mut same, mut other) = (Vec::new(), Vec::new());
    for (number, message) in common::messages().iter().enumerate() {
        unit.evaluate(message).unwrap();
        replay.evaluate(message).unwrap();
        if number % 12 == 0 {
            let gzip = checkpoint::export_gzip(&unit.memory().unwrap()).unwrap();
            let (adopted, _) = machine.adopt(&module, environment.clone(), &gzip).unwrap();
            if adopted.root == replay.state_hash().unwrap() { same.push(number) } else { other.push(number) }
        }
    }
    assert_eq!((same, other), (vec![0, 12, 24, 48], vec![36, 60]));
}
