//! How far a long command is: a line that changes on a terminal, lines of JSON where programs listen, nothing in a pipe.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::context::Context;

/// It moves at most so often.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// See the module.
pub struct Bar<'a, 'b> {
    context: &'a mut Context<'b>,
    /// Schema of the lines of JSON.
    schema: &'static str,
    shown: Option<(&'static str, Instant)>,
}

impl<'a, 'b> Bar<'a, 'b> {
    /// Nothing is shown yet.
    pub fn new(context: &'a mut Context<'b>, schema: &'static str) -> Self {
        Self { context, schema, shown: None }
    }

    /// `done` of `of` in this stage; `of` is 0 where nobody knows.
    pub fn show(&mut self, stage: &'static str, done: u64, of: u64) {
        let soon = self.shown.is_some_and(|(last, at)| last == stage && at.elapsed() < SHOW_EVERY);
        if soon && done < of {
            return;
        }
        self.shown = Some((stage, Instant::now()));
        // Nobody is left to tell if this fails.
        if self.context.printer.machine() {
            let record = json!({ "schema": self.schema, "stage": stage, "done": done, "of": of });
            drop(self.context.printer.note(&record.to_string()));
        } else if std::io::stderr().is_terminal() {
            let filled = (done.min(of) * 30).checked_div(of).unwrap_or_default() as usize;
            let bar = format!("{stage:<8} [{}{}] {done}{}", "#".repeat(filled), " ".repeat(30 - filled), total(of));
            drop(self.context.printer.over(&bar));
        }
    }

    /// What comes next begins on a line of its own.
    pub fn end(self) {
        if self.shown.is_some() && !self.context.printer.machine() && std::io::stderr().is_terminal() {
            drop(self.context.printer.note(""));
        }
    }
}

fn total(of: u64) -> String {
    if of == 0 { String::new() } else { format!(" of {of}") }
}
