//! The same log gives the same result, fuel and state hash at every slot, however an instance came to where it is.

mod common;

use ao_types::StateHash;
use ao_vm::{Checkpoint, Evaluated, Instance, Machine, ModuleSource, Settings, Vm, limits};

/// Messages of the log: enough for errors, long jumps, spawns and a growth of the state.
const SLOTS: usize = 24;

fn machine(batch: usize) -> Machine {
    common::machine_with(Settings { cache: Some(common::folder("compiled")), batch, ..Settings::default() })
}

fn start(machine: &Machine, module: &ModuleSource, chain: &[Checkpoint]) -> Box<dyn Instance> {
    machine.start(module, common::environment(), chain).unwrap()
}

/// Result and state hash at every slot of one hot instance that commits after each message.
fn baseline(module: &ModuleSource) -> Vec<(Evaluated, StateHash)> {
    let mut process = start(&machine(1), module, &[]);
    let step = |message| {
        let evaluated = process.evaluate(message).unwrap();
        (evaluated, process.state_hash().unwrap())
    };
    common::messages().iter().take(SLOTS).map(step).collect()
}

fn every_way_agrees(format: &str) {
    let module = common::aos(format);
    let expected = baseline(&module);
    let messages = common::messages();
    let messages = &messages[..SLOTS];
    assert!(expected.iter().any(|(evaluated, _)| evaluated.evaluation.error.is_some()), "the log has failures");

    // Batches of several sizes, looked at only now and then.
    for (batch, look) in [(3, 5), (limits::BATCH_MESSAGES_MAX, 23)] {
        let mut process = start(&machine(batch), &module, &[]);
        for (slot, (message, expected)) in messages.iter().zip(&expected).enumerate() {
            assert_eq!(process.evaluate(message).unwrap(), expected.0, "slot {slot}, batch {batch}");
            if slot % look == look - 1 {
                assert_eq!(process.state_hash().unwrap(), expected.1, "state at slot {slot}, batch {batch}");
            }
        }
        assert_eq!(process.state_hash().unwrap(), expected[SLOTS - 1].1);
    }

    // Dry runs between, idle now and then; a checkpoint every few slots: full first, then deltas.
    let machine = machine(limits::BATCH_MESSAGES_MAX);
    let mut process = start(&machine, &module, &[]);
    let mut chain = Vec::new();
    let mut at = Vec::new();
    for (slot, (message, expected)) in messages.iter().zip(&expected).enumerate() {
        if slot > 0 {
            let mut dry = (*messages[(slot * 7) % SLOTS]).clone();
            dry.read_only = true;
            process.dry_run(&dry.into()).unwrap();
        }
        assert_eq!(process.evaluate(message).unwrap(), expected.0, "slot {slot} after a dry run");
        if slot % 6 == 2 {
            process.idle().unwrap();
        }
        if slot % 5 == 0 {
            let made = process.checkpoint(true).unwrap();
            assert_eq!(made.root, expected.1, "checkpoint at slot {slot}");
            assert_eq!(made.parent, chain.last().map(|last: &Checkpoint| last.root));
            chain.push(made);
            at.push(slot);
        }
    }
    let memory = process.memory().unwrap();

    // Restored from each prefix of the chain, and from a full checkpoint made there.
    for (count, slot) in at.iter().enumerate() {
        let mut restored = start(&machine, &module, &chain[..=count]);
        assert_eq!(restored.state_hash().unwrap(), expected[*slot].1);
        let full = restored.checkpoint(false).unwrap();
        assert_eq!(full.root, chain[count].root);
        let mut again = start(&machine, &module, &[full]);
        for (message, expected) in messages.iter().zip(&expected).skip(slot + 1).take(3) {
            assert_eq!(restored.evaluate(message).unwrap(), expected.0);
            assert_eq!(again.evaluate(message).unwrap(), expected.0);
            assert_eq!(again.state_hash().unwrap(), expected.1);
        }
        if count + 1 == at.len() {
            for message in &messages[(slot + 4).min(SLOTS)..] {
                restored.evaluate(message).unwrap();
            }
            assert!(restored.memory().unwrap() == memory, "memory, byte for byte");
        }
    }
}

#[test]
fn aos_64_bit_every_way() {
    every_way_agrees(common::WASM64);
}

#[test]
fn aos_32_bit_every_way() {
    every_way_agrees(common::WASM32);
}

/// Fuel is part of what nodes have to agree on: an engine or a rewrite that counts differently is a change of the protocol.
#[test]
fn golden_fuel() {
    let fuel = |module: &ModuleSource, count| {
        let mut process = start(common::machine(), module, &[]);
        common::messages().iter().take(count).map(|message| process.evaluate(message).unwrap().fuel).collect::<Vec<_>>()
    };
    assert_eq!(fuel(&common::aos(common::WASM64), 4), GOLDEN_64);
    assert_eq!(fuel(&common::aos(common::WASM32), 4), GOLDEN_32);
    let body = "(local $n i32) (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if $again (i32.lt_u (local.get $n) (i32.const 1000))))";
    assert_eq!(fuel(&common::handler("1", "", body), 1), GOLDEN_LOOP);
}

const GOLDEN_64: [u64; 4] = [116_470_559, 6_811_763, 6_820_795, 6_830_254];
const GOLDEN_32: [u64; 4] = [111_082_661, 6_224_445, 6_245_198, 6_256_870];
const GOLDEN_LOOP: [u64; 1] = [8014];

/// The bytes that stand in for entropy belong to process and message, whatever ran before them and wherever.
#[test]
fn what_stands_in_for_entropy_is_the_messages_own() {
    let import = "(import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))";
    let shows = |body: &str| common::handler("2", import, body);
    // Four digits of the second eight bytes: the first call must move on.
    let digits = "(drop (call $random (i32.const 600) (i32.const 8))) (drop (call $random (i32.const 600) (i32.const 8)))
        (call $show (i32.wrap_i64 (i64.rem_u (i64.load (i32.const 600)) (i64.const 10000))))";
    let module = shows(digits);
    let machine = common::machine();
    let shown = |process: &mut Box<dyn Instance>, nonce: u64| {
        let evaluated = process.evaluate(&common::plain(nonce, "x")).unwrap();
        (common::outcome(&evaluated).unwrap(), evaluated.fuel)
    };
    let mut hot = start(machine, &module, &[]);
    let all: Vec<_> = (1..=8).map(|nonce| shown(&mut hot, nonce)).collect();
    assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() >= 7, "{all:?}");
    let mut restored = start(machine, &module, &[hot.checkpoint(false).unwrap()]);
    let mut cold = start(machine, &module, &[]);
    for nonce in [5, 2] {
        restored.dry_run(&common::plain(nonce + 1, "x")).unwrap();
        for process in [&mut hot, &mut restored, &mut cold] {
            assert_eq!(shown(process, nonce), all[nonce as usize - 1], "nonce {nonce}");
        }
    }
    let mut environment = (*common::environment()).clone();
    environment.process.id = "another process".into();
    let mut other = machine.start(&module, environment.into(), &[]).unwrap();
    assert!((1..=3).any(|nonce| shown(&mut other, nonce) != all[nonce as usize - 1]));

    // A bound on each call, a fault outside of memory, and a price.
    let outcome = |body: &str| {
        let evaluated = start(machine, &shows(body), &[]).evaluate(&common::plain(1, "x")).unwrap();
        (common::outcome(&evaluated), evaluated.fuel)
    };
    let ask = |bytes: usize| format!("(call $show (call $random (i32.const 1000) (i32.const {bytes})))");
    let (most, fuel) = outcome(&ask(limits::RANDOM_BYTES_MAX as usize));
    assert_eq!(most, Ok("0000".into()));
    assert!(fuel >= limits::RANDOM_BYTES_MAX, "{fuel} fuel");
    assert_eq!(outcome(&ask(limits::RANDOM_BYTES_MAX as usize + 1)).0, Ok("0028".into()));
    let outside = "(drop (call $random (i32.const 131000) (i32.const 100)))";
    assert!(outcome(outside).0.unwrap_err().contains("out of bounds"));
}
