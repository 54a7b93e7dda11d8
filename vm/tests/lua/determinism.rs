//! One log, one history: hot, cold, restored, with dry runs between, in batches or not.

use std::sync::Arc;

use ao_types::{Invocation, StateHash};
use ao_vm::{Evaluated, Machine, Settings, Vm};

use crate::support::*;

const TOKEN: &str = include_str!("../../lua/examples/token.lua");

/// Transfers, evaluated sources, errors, a bomb, waits, random numbers, tables iterated, a lot of garbage.
fn log() -> Vec<Arc<Invocation>> {
    let mut log = vec![message(OWNER, &[("Action", "Mint"), ("Quantity", "1000000000000000000000")], "")];
    for i in 0..40u64 {
        let account = format!("ACCOUNT-{}", i % 7);
        log.push(message(OWNER, &[("Action", "Transfer"), ("Recipient", &account), ("Quantity", &(i * i).to_string())], ""));
        log.push(match i % 8 {
            0 => message(OWNER, &[("Action", "Eval")], "local s = '' for k, v in pairs(_G) do s = s .. tostring(k) .. type(v) end return s .. tostring({}) .. math.random(1 << 30)"),
            1 => message(OWNER, &[("Action", "Eval")], "Trash = {} for i = 1, 2000 do Trash[i] = { tostring(i), {} } end"),
            2 => message(OWNER, &[("Action", "Eval")], "error('no')"),
            3 => message("STRANGER", &[("Action", "Unknown")], "inbox"),
            4 => message(OWNER, &[("Action", "Eval")], "Receive('Wake') Woken = (Woken or 0) + 1"),
            5 => message("ANY", &[("Action", "Wake")], ""),
            6 => message(OWNER, &[("Action", "Balances")], ""),
            _ => message(OWNER, &[("Action", "Eval")], "while true do end"),
        });
    }
    for (nonce, message) in log.iter_mut().enumerate() {
        message.nonce = Some(nonce as u64);
        message.id = Some(format!("M{nonce}"));
        message.timestamp += nonce as u64;
    }
    log.into_iter().map(Arc::new).collect()
}

const LIMIT: &[(&str, &str)] = &[("Compute-Limit", "60000000")];

fn start(chain: &[ao_vm::Checkpoint]) -> Process {
    Process::start("lua-5.3-handle", TOKEN, LIMIT, chain)
}

/// Result, fuel and state hash at every slot.
fn history(process: &mut Process, log: &[Arc<Invocation>]) -> Vec<(Evaluated, StateHash)> {
    log.iter().map(|message| (process.instance.evaluate(message).unwrap(), process.instance.state_hash().unwrap())).collect()
}

#[test]
fn a_log_has_one_history() {
    let log = log();
    let hot = history(&mut start(&[]), &log);
    assert!(hot.iter().any(|(evaluated, _)| error(&evaluated.evaluation).contains("out of fuel")));
    assert!(hot.iter().any(|(evaluated, _)| evaluated.evaluation.messages.len() == 2));

    // Cold again, hashing only at the end: commits fall elsewhere.
    let mut cold = start(&[]);
    let results: Vec<_> = log.iter().map(|message| cold.instance.evaluate(message).unwrap()).collect();
    assert!(results.iter().zip(&hot).all(|(found, (expected, _))| found == expected));
    assert_eq!(cold.instance.state_hash().unwrap(), hot[hot.len() - 1].1);

    // Restored at a third, and at two thirds from a delta.
    let (third, two_thirds) = (log.len() / 3, log.len() * 2 / 3);
    let mut first = start(&[]);
    history(&mut first, &log[..third]);
    let full = first.instance.checkpoint(false).unwrap();
    assert_eq!(full.root, hot[third - 1].1);
    history(&mut first, &log[third..two_thirds]);
    let delta = first.instance.checkpoint(true).unwrap();
    assert_eq!(history(&mut start(std::slice::from_ref(&full)), &log[third..]), hot[third..]);
    assert_eq!(history(&mut start(&[full, delta]), &log[two_thirds..]), hot[two_thirds..]);

    // With a dry run before each message.
    let mut dry = start(&[]);
    for (message, (expected, hash)) in log.iter().zip(&hot) {
        let read_only = Arc::new(Invocation { read_only: true, ..Invocation::clone(message) });
        dry.instance.dry_run(&read_only).unwrap();
        assert_eq!((&dry.instance.evaluate(message).unwrap(), &dry.instance.state_hash().unwrap()), (expected, hash));
    }
}

#[test]
fn the_size_of_commit_batches_is_not_seen() {
    let log = log();
    let module = module("lua-5.3-handle", TOKEN);
    let run = |batch| {
        let cache = Some(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules"));
        let machine = Machine::new(Settings { cache, batch, ..Settings::default() }).unwrap();
        let mut instance = machine.start(&module, environment(&module, LIMIT), &[]).unwrap();
        let results: Vec<_> = log.iter().map(|message| instance.evaluate(message).unwrap()).collect();
        (results, instance.state_hash().unwrap())
    };
    assert_eq!(run(1), run(32));
}

#[test]
fn random_numbers_differ_by_message_and_repeat_by_log() {
    let roll = || {
        let mut process = Process::of("");
        [(); 3].map(|()| process.value("math.random(1 << 30)"))
    };
    let first = roll();
    assert_eq!(first, roll());
    assert!(first[0] != first[1] && first[1] != first[2]);
    let mut process = Process::of("");
    assert_eq!(
        process.value("math.randomseed(7) return math.random(1000) .. ' ' .. math.random(1000)"),
        process.value("math.randomseed(7) return math.random(1000) .. ' ' .. math.random(1000)")
    );
}

#[test]
fn a_checkpoint_of_another_module_is_refused() {
    let checkpoint = Process::of("X = 1").instance.checkpoint(false).unwrap();
    let other = module("lua-5.3-handle", "X = 2");
    assert!(machine().start(&other, environment(&other, &[]), &[checkpoint]).is_err());
}
