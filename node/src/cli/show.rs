//! How results look: the words of a process for people, the whole result for programs.

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output::{Printer, coloured};

/// What an `Output` says, in any of the forms modules use: an object with `data`, one with `data.output`, or a text.
pub fn words(output: &Value) -> Option<&str> {
    let data = &output["data"];
    data.as_str().or_else(|| data["output"].as_str()).or_else(|| output.as_str())
}

/// The prompt in an `Output`.
pub fn prompt(output: &Value) -> Option<&str> {
    output["prompt"].as_str().or_else(|| output["data"]["prompt"].as_str())
}

/// Whether the process wants `Output` shown to whoever watches it.
pub fn wants_print(output: &Value) -> bool {
    output["print"] == Value::Bool(true) || output["data"]["print"] == Value::Bool(true)
}

/// The error of a result, as text.
pub fn error(result: &Value) -> Option<String> {
    match result.get("Error") {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    }
}

/// A result for people.
pub fn human(result: &Value, colour: bool) -> String {
    let mut lines = Vec::new();
    if let Some(error) = error(result) {
        lines.push(format!("Error: {}", coloured(&error, colour)));
    }
    if let Some(words) = words(&result["Output"]).filter(|words| !words.is_empty()) {
        lines.push(coloured(words, colour));
    }
    for message in result["Messages"].as_array().into_iter().flatten() {
        let action = tag(&message["Tags"], "Action").map(|action| format!(" {action}")).unwrap_or_default();
        let data = message["Data"].as_str().unwrap_or_default();
        lines.push(coloured(&format!("→ {}{action}  {}", message["Target"].as_str().unwrap_or("?"), first_line(data)), colour));
    }
    for spawn in result["Spawns"].as_array().into_iter().flatten() {
        lines.push(coloured(&format!("+ process of module {}", tag(&spawn["Tags"], "Module").unwrap_or("?")), colour));
    }
    if lines.is_empty() { "(no output)".into() } else { lines.join("\n") }
}

/// The value of the first tag `name` in a JSON list of tags.
pub fn tag<'v>(tags: &'v Value, name: &str) -> Option<&'v str> {
    tags.as_array()?.iter().find(|tag| tag["name"] == name)?["value"].as_str()
}

/// The first line of `text`, at most 100 characters of it.
pub fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(100).collect();
    if cut.len() < text.trim_end().len() { format!("{cut}…") } else { cut }
}

/// Prints a result; one with an error ends the command with [`Exit::ProcessError`].
///
/// # Errors
/// Nobody reads our output.
pub fn result(printer: &mut Printer<'_>, schema: &str, fields: Value, result: &Value) -> Result<Exit, Failure> {
    let colour = printer.colour;
    printer.record(schema, fields, || human(result, colour))?;
    Ok(if error(result).is_some() { Exit::ProcessError } else { Exit::Ok })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_output_is_understood() {
        for (output, said, asks) in [
            (json!({"data": "42", "prompt": "p> ", "print": true}), Some("42"), Some("p> ")),
            (json!({"data": {"output": "42", "prompt": "p> "}}), Some("42"), Some("p> ")),
            (json!("42"), Some("42"), None),
            (json!(""), Some(""), None),
            (json!({}), None, None),
            (json!(null), None, None),
            (json!({"data": [1]}), None, None),
        ] {
            assert_eq!((words(&output), prompt(&output)), (said, asks), "{output}");
        }
    }

    #[test]
    fn errors_are_told_from_their_absence() {
        for (result, expected) in [
            (json!({"Error": "boom"}), Some("boom")),
            (json!({"Error": {"a": 1}}), Some("{\"a\":1}")),
            (json!({"Error": ""}), None),
            (json!({"Error": null}), None),
            (json!({"Error": false}), None),
            (json!({}), None),
        ] {
            assert_eq!(error(&result).as_deref(), expected, "{result}");
        }
    }

    #[test]
    fn results_for_people_name_what_was_sent() {
        let result = json!({"Output": {"data": "\u{1b}[32mok\u{1b}[2J"}, "Messages": [{"Target": "T", "Data": "one\ntwo", "Tags": [{"name": "Action", "value": "Pong"}]}]});
        assert_eq!(human(&result, false), "ok[2J\n→ T Pong  one…");
        assert_eq!(human(&json!({}), false), "(no output)");
    }
}
