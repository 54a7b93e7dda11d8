//! Messages to JSON, results from JSON (`vm-abi.md`, sections 7.1 and 7.3).
//!
//! What comes back is written by the guest: nothing in it is trusted, every list is bounded, and text that is not JSON is an evaluation
//! error like any other.

use ao_types::{Evaluation, Invocation, Outgoing};
use serde_json::{Map, Value};

use crate::formats::Answer;
use crate::limits::OUTBOX_ENTRIES_MAX;

/// Appends a message as the modules expect it: fields in this order, absent ones left out.
pub(crate) fn write_message(message: &Invocation, process_id: &str, out: &mut Vec<u8>) {
    let mut fields = Fields { out, first: true };
    fields.text("Id", message.id.as_deref());
    fields.text("Signature", message.signature.as_deref());
    if let Some(data) = &message.data {
        match std::str::from_utf8(data) {
            Ok(text) => fields.text("Data", Some(text)),
            // The process item itself is loaded as text; other data that is not text reaches no module of this kind.
            Err(_) if message.id.as_deref() == Some(process_id) => fields.text("Data", Some(&String::from_utf8_lossy(data))),
            Err(_) => fields.raw("Data", b"null"),
        }
    }
    fields.text("Owner", Some(&message.owner));
    fields.text("Target", Some(&message.target));
    fields.text("Anchor", message.anchor.as_deref());
    fields.text("From", Some(&message.from));
    fields.text("Forwarded-By", message.forwarded_by.as_deref());
    // A list of two strings each always serialises.
    fields.raw("Tags", &serde_json::to_vec(&message.tags).unwrap_or_default());
    fields.number("Epoch", message.epoch);
    fields.number("Nonce", message.nonce);
    fields.number("Timestamp", Some(message.timestamp));
    fields.number("Block-Height", Some(message.block_height));
    fields.text("Hash-Chain", message.hash_chain.as_deref());
    fields.raw("Cron", if message.cron { b"true" } else { b"false" });
    if message.read_only {
        fields.raw("Read-Only", b"true");
    }
    out.push(b'}');
}

struct Fields<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Fields<'_> {
    fn raw(&mut self, name: &str, value: &[u8]) {
        self.out.push(if self.first { b'{' } else { b',' });
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.raw(name, &serde_json::to_vec(value).unwrap_or_default());
        }
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.raw(name, value.to_string().as_bytes());
        }
    }
}

/// Reads what `handle` returned.
pub(crate) fn read_result(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    // Nesting is bounded by serde_json itself, at `RESULT_DEPTH_MAX`.
    let mut whole = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(whole)) => whole,
        Ok(_) => return Answer::failed("the result is not an object"),
        Err(error) => return Answer::failed(format!("the result is not JSON: {error}")),
    };
    let ok = whole.get("ok").is_some_and(truthy);
    match (ok, whole.remove("response")) {
        (true, Some(Value::Object(response))) => read_response(response),
        (true, _) => Answer::failed("the result has no response"),
        (false, Some(Value::String(text))) => Answer::failed(text),
        (false, Some(other)) if truthy(&other) => {
            let mut answer = Answer::failed("");
            answer.evaluation.error = Some(other);
            answer
        }
        (false, _) => Answer::failed("the evaluation failed and says no more"),
    }
}

fn read_response(mut response: Map<String, Value>) -> Answer {
    response.values_mut().for_each(as_javascript);
    let error = response.remove("Error").filter(truthy);
    let output = match response.remove("Output") {
        Some(Value::Number(number)) => Value::String(number.to_string()),
        Some(other) => other,
        None => Value::Null,
    };
    let mut lists = ["Messages", "Spawns", "Assignments", "Patches"].map(|name| (name, list(response.remove(name))));
    if let Some((name, found)) = lists.iter().find(|(_, list)| list.len() > OUTBOX_ENTRIES_MAX).map(|(name, list)| (name, list.len())) {
        return Answer::failed(format!("{name} has {found} entries, more than the limit of {OUTBOX_ENTRIES_MAX}"));
    }
    let [messages, spawns, assignments, patches] = &mut lists;
    let keep = error.is_none() && !out_of_buffer(&output);
    let evaluation = Evaluation {
        messages: outgoing(std::mem::take(&mut messages.1)),
        spawns: outgoing(std::mem::take(&mut spawns.1)),
        assignments: std::mem::take(&mut assignments.1),
        patches: std::mem::take(&mut patches.1),
        output,
        error,
        gas_used: 0,
    };
    Answer { evaluation, keep }
}

/// A list, or nothing: Lua cannot tell an empty list from an empty object.
fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn outgoing(list: Vec<Value>) -> Vec<Outgoing> {
    list.into_iter()
        .filter_map(|entry| match entry {
            Value::Object(fields) => Some(Outgoing { fields, data: None }),
            _ => None,
        })
        .collect()
}

/// Numbers become those that the reference would show: doubles, written as integers where they are.
fn as_javascript(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let double = number.as_f64().unwrap_or(0.0);
            // Both bounds are exact doubles; within them the cast is, too.
            if double.fract() == 0.0 && (-9.2e18..1.8e19).contains(&double) {
                *number = if double < 0.0 { (double as i64).into() } else { (double as u64).into() };
            }
        }
        Value::Array(list) => list.iter_mut().for_each(as_javascript),
        Value::Object(fields) => fields.values_mut().for_each(as_javascript),
        _ => {}
    }
}

/// As JavaScript sees it, which is what the reference asks.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        _ => true,
    }
}

/// Old modules report a failed allocation in their output and nowhere else: memory is rolled back, the rest of the result is kept.
fn out_of_buffer(output: &Value) -> bool {
    let text = match output {
        Value::String(text) => Some(text.as_str()),
        Value::Object(fields) => fields.get("data").and_then(|data| data.get("output")).and_then(Value::as_str),
        _ => None,
    };
    text.is_some_and(|text| text.ends_with("not enough memory for buffer allocation"))
}

#[cfg(test)]
mod tests;
