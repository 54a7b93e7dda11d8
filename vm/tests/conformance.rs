//! Real aos modules give the answers of the reference loader: result, and length of memory, at every message.
//!
//! `tests/data/reference.mjs` wrote the expected answers.

mod common;

use ao_types::{Evaluation, Outgoing};
use ao_vm::Vm;
use serde_json::{Value, json};

/// An evaluation in the shape of the reference's answers.
fn shown(evaluation: &Evaluation) -> Value {
    let list = |entries: &[Outgoing]| entries.iter().map(|entry| Value::Object(entry.fields.clone())).collect::<Vec<_>>();
    let mut answer = json!({
        "Messages": list(&evaluation.messages),
        "Spawns": list(&evaluation.spawns),
        "Assignments": evaluation.assignments,
        "Output": evaluation.output,
    });
    if let Some(error) = &evaluation.error {
        answer["Error"] = error.clone();
    }
    answer
}

/// The reference's answer in the same shape: absent lists are empty, `{}` and `[]` are Lua's empty table.
fn expected(answer: &Value) -> Value {
    let list = |name: &str| match answer.get(name) {
        Some(Value::Array(list)) => Value::Array(list.clone()),
        _ => json!([]),
    };
    let mut shown = json!({
        "Messages": list("Messages"),
        "Spawns": list("Spawns"),
        "Assignments": list("Assignments"),
        "Output": answer.get("Output").cloned().unwrap_or(Value::Null),
    });
    if let Some(error) = answer.get("Error") {
        shown["Error"] = error.clone();
    }
    shown
}

fn conforms(format: &str, answers: &str) {
    let answers: Vec<Value> = serde_json::from_str(answers).unwrap();
    let messages = common::messages();
    assert_eq!(answers.len(), messages.len());
    let mut instance = common::machine().start(&common::aos(format), common::environment(), &[]).unwrap();
    let mut wrong = Vec::new();
    for (nonce, (message, answer)) in messages.iter().zip(&answers).enumerate() {
        let evaluated = instance.evaluate(message).unwrap();
        let (found, expected) = (shown(&evaluated.evaluation), expected(answer));
        if found != expected {
            wrong.push(format!("message {nonce}:\n  found    {found}\n  expected {expected}"));
        }
        if nonce % 16 == 0 {
            let length = instance.memory().unwrap().len();
            assert_eq!(length as u64, answer["length"], "length of memory after message {nonce}");
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), answers.len(), wrong.join("\n"));
}

#[test]
fn aos_64_bit_answers_as_the_reference() {
    conforms(common::WASM64, include_str!("data/answers-wasm64.json"));
}

#[test]
fn aos_32_bit_answers_as_the_reference() {
    conforms(common::WASM32, include_str!("data/answers-wasm32.json"));
}

/// The metering formats: same module, same answers, gas counted by the published schedule, and a limit that bites.
#[test]
fn aos_with_inserted_gas_answers_the_same_and_stops_at_its_limit() {
    for (format, plain) in
        [("wasm64-unknown-emscripten-draft_2024_10_16-metering", common::WASM64), ("wasm32-unknown-emscripten-metering", common::WASM32)]
    {
        let run = |format: &str, limit: &str| {
            let mut environment = (*common::environment()).clone();
            environment.process.tags.push(ao_types::Tag::new("Compute-Limit", limit));
            let mut process = common::machine().start(&common::aos(format), environment.into(), &[]).unwrap();
            common::messages().iter().take(4).map(|message| process.evaluate(message).unwrap().evaluation).collect::<Vec<_>>()
        };
        let (metered, unmetered) = (run(format, "9000000000000"), run(plain, "9000000000000"));
        for (slot, (metered, unmetered)) in metered.iter().zip(&unmetered).enumerate() {
            assert_eq!(shown(metered)["Output"], shown(unmetered)["Output"], "slot {slot}");
            assert!(metered.gas_used > 10_000_000 && unmetered.gas_used == 0, "slot {slot}: {} gas", metered.gas_used);
        }
        // The limit is part of what the process reads at start, so it cannot be met to the unit here: rewrite/tests.rs does that.
        let boot = metered[0].gas_used;
        assert_eq!(run(format, &format!("{:013}", boot + boot / 100))[0].error, None);
        let stopped = run(format, &format!("{:013}", boot - boot / 100));
        assert_eq!(stopped[0].error, Some(json!("out of gas!")));
        assert_eq!(stopped[0].gas_used, boot - boot / 100);
    }
}
