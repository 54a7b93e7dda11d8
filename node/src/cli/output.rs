//! What a command prints: a table for people, JSON for programs, nothing else on standard output.
//!
//! Every JSON document carries `"schema": "name/v1"`; fields are only ever added.

use std::io::{self, BufRead, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value, json};

use super::args::{Color, Globals, Output};
use super::exit::{Exit, Failure};

/// Where a command reads and writes. Borrowed, so that tests can look at it.
pub struct Io<'a> {
    /// Results.
    pub out: &'a mut (dyn Write + Send),
    /// Progress and errors.
    pub err: &'a mut (dyn Write + Send),
    /// Lines from the user; `None` stands for the real standard input, which may be a terminal.
    pub input: Option<&'a mut (dyn BufRead + Send)>,
    /// Results go to a terminal.
    pub terminal: bool,
}

/// Prints results in the form that was asked for.
pub struct Printer<'a> {
    /// Where to.
    pub io: Io<'a>,
    /// The form.
    pub form: Output,
    /// Colours may be used.
    pub colour: bool,
}

impl<'a> Printer<'a> {
    /// As `globals` and the environment say.
    pub fn new(io: Io<'a>, globals: &Globals) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = match globals.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io.terminal && !no_color,
        };
        Self { io, form: globals.output, colour }
    }

    /// Whether programs read this.
    pub fn machine(&self) -> bool {
        self.form != Output::Table
    }

    /// One result: `fields` with its schema for programs, `human` for people.
    pub fn record(&mut self, schema: &str, fields: Value, human: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.form {
            Output::Table => self.line(human().trim_end()),
            Output::Json => {
                let text = serde_json::to_string_pretty(&with_schema(schema, fields)).unwrap_or_default();
                self.line(&text)
            }
            Output::Ndjson => self.line(&with_schema(schema, fields).to_string()),
        }
    }

    /// Something that happened, on one line for programs whatever the form: they read it while the command runs.
    pub fn event(&mut self, schema: &str, fields: Value, human: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.machine() { self.line(&with_schema(schema, fields).to_string()) } else { self.line(human().trim_end()) }
    }

    /// Many results of one kind. `columns` are the heading and the field shown under it.
    pub fn list(&mut self, schema: &str, rows: Vec<Value>, columns: &[(&str, &str)], next: Option<&str>) -> Result<(), Failure> {
        match self.form {
            Output::Table => {
                let cells = rows.iter().map(|row| columns.iter().map(|(_, field)| cell(row.get(*field))).collect());
                let text = table(columns.iter().map(|(heading, _)| *heading), cells, self.io.terminal);
                self.line(&text)?;
                match next {
                    Some(cursor) => self.note(&format!("more: --cursor {cursor}")),
                    None => Ok(()),
                }
            }
            Output::Json => {
                let whole = json!({ "items": rows, "next_cursor": next });
                let text = serde_json::to_string_pretty(&with_schema(schema, whole)).unwrap_or_default();
                self.line(&text)
            }
            Output::Ndjson => rows.into_iter().try_for_each(|row| self.line(&with_schema(schema, row).to_string())),
        }
    }

    /// A line of result.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.io.out, "{text}").and_then(|()| self.io.out.flush()).map_err(gone)
    }

    /// The beginning of a line that somebody else goes on with.
    pub fn part(&mut self, text: &str) -> Result<(), Failure> {
        write!(self.io.out, "{text}").and_then(|()| self.io.out.flush()).map_err(gone)
    }

    /// A line for people, beside the result.
    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.io.err, "{text}").map_err(gone)
    }

    /// A line on standard error that takes the place of the one before; for a terminal.
    pub fn over(&mut self, text: &str) -> Result<(), Failure> {
        write!(self.io.err, "\r{text}\u{1b}[K").and_then(|()| self.io.err.flush()).map_err(gone)
    }

    /// `text` in an SGR colour, where colours may be used.
    pub fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Whoever read our output is gone (`| head`): nothing is wrong, and nobody is left to tell.
fn gone(error: io::Error) -> Failure {
    Failure::new(if error.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { super::exit::io_exit(&error) }, error.to_string())
}

fn with_schema(schema: &str, value: Value) -> Value {
    let mut map = Map::new();
    map.insert("schema".into(), schema.into());
    match value {
        Value::Object(fields) => map.extend(fields),
        other => drop(map.insert("value".into(), other)),
    }
    Value::Object(map)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

/// Text from elsewhere, unable to drive a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Text from a process, which may colour its words and nothing more: SGR sequences stay, everything else that drives a terminal goes.
pub fn coloured(text: &str, colour: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&printable(&rest[..at]));
        rest = &rest[at..];
        let length = sgr(rest);
        if length > 0 && colour {
            out.push_str(&rest[..length]);
        }
        rest = &rest[length.max(1)..];
    }
    out.push_str(&printable(rest));
    out
}

/// Bytes of the SGR sequence (`ESC [ digits and ; m`) that `text` begins with, or 0.
fn sgr(text: &str) -> usize {
    let Some(body) = text.strip_prefix("\u{1b}[") else { return 0 };
    match body.find(|c: char| !c.is_ascii_digit() && c != ';') {
        Some(end) if end <= 16 && body[end..].starts_with('m') => 2 + end + 1,
        _ => 0,
    }
}

/// A table without lines, as wide as it needs or as the terminal is.
pub fn table<'h>(headings: impl Iterator<Item = &'h str>, rows: impl Iterator<Item = Vec<String>>, terminal: bool) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(if terminal {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table.set_header(headings.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Two columns: names and values.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(form: Output, print: impl FnOnce(&mut Printer<'_>)) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let io = Io { out: &mut out, err: &mut err, input: None, terminal: false };
        print(&mut Printer { io, form, colour: false });
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn lists_in_every_form() {
        let rows = || vec![json!({"id": "a", "n": 1, "roles": ["x", "y"]}), json!({"id": "b\u{1b}[2J", "n": null})];
        let columns = [("id", "id"), ("count", "n"), ("roles", "roles")];
        let (table, note) = printed(Output::Table, |p| p.list("t/v1", rows(), &columns, Some("c")).unwrap());
        assert_eq!(
            table,
            "ID       COUNT  ROLES\na        1      x, y\nb\u{fffd}[2J  -      -\n"
                .replace("ID       ", "ID     ")
                .replace("a        ", "a      ")
        );
        assert_eq!(note, "more: --cursor c\n");
        let (text, _) = printed(Output::Json, |p| p.list("t/v1", rows(), &columns, Some("c")).unwrap());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["schema"], &value["next_cursor"], &value["items"][0]["n"]), (&json!("t/v1"), &json!("c"), &json!(1)));
        let (text, _) = printed(Output::Ndjson, |p| p.list("t/v1", rows(), &columns, None).unwrap());
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.starts_with("{\"schema\":\"t/v1\",\"id\":")), "{text}");
    }

    #[test]
    fn processes_may_colour_and_nothing_more() {
        for (text, coloured_text, plain) in [
            ("\u{1b}[32mgreen\u{1b}[0m", "\u{1b}[32mgreen\u{1b}[0m", "green"),
            ("a\u{1b}[2Jb", "a[2Jb", "a[2Jb"),
            ("\u{1b}]0;title\u{7}x", "]0;title\u{fffd}x", "]0;title\u{fffd}x"),
            ("\u{1b}[1;31;4mé\u{1b}", "\u{1b}[1;31;4mé", "é"),
            ("\u{1b}[999999999999999999m", "[999999999999999999m", "[999999999999999999m"),
            ("two\nlines\r", "two\nlines\u{fffd}", "two\nlines\u{fffd}"),
        ] {
            assert_eq!(coloured(text, true), coloured_text);
            assert_eq!(coloured(text, false), plain);
        }
    }
}
