//! Logs: one event, one line, on standard error (`operations.md`, section 8).
//!
//! Owns how a line looks (`pretty`, `json`, `logfmt`), which events are written, and what never is: fields that carry keys, tokens,
//! passwords or the data of messages are replaced before they reach any format ([`redact`]). Identical warnings are written once in
//! [`REPEAT_AFTER`] with the number of those left out, so that a stuck neighbour cannot fill a disk.
//!
//! Refuses to decide what is worth a line: WARN means that the operator should act soon and says how, ERROR that duty or data is at
//! risk; what strangers send wrongly is DEBUG and a metric.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

pub mod line;
pub mod redact;

use crate::config::Format;
use line::Line;

/// An identical warning is written again after this long.
pub const REPEAT_AFTER: Duration = Duration::from_secs(30);
/// How many different warnings are remembered; beyond it the oldest is forgotten.
const REPEATS_MAX: usize = 256;

/// Its crates' warnings ask nothing of an operator: that a certificate which two nodes made at once was sent already, or that nobody is
/// known yet, is the rule and no fault.
const LIBP2P: &str = "libp2p";

/// Tells of each vote and each step, which is for whoever looks into a round: a thousand lines a second. (Its crates' common beginning.)
const MALACHITE: &str = "arc_malachitebft";

/// Where lines go.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// Changes the levels while the node runs.
#[derive(Clone)]
pub struct Levels(reload::Handle<Targets, Registry>);

impl Levels {
    /// Replaces the levels by `spec`, in the form of `log.level`.
    ///
    /// # Errors
    /// `spec` is not of that form; the levels are as before.
    pub fn set(&self, spec: &str) -> Result<(), String> {
        let targets = targets(spec)?;
        self.0.reload(targets).map_err(|error| error.to_string())
    }
}

/// Whether `spec` is `LEVEL` or `TARGET=LEVEL`, comma separated.
///
/// # Errors
/// Says which part is not, and what a part looks like.
pub fn check_filter(spec: &str) -> Result<(), String> {
    targets(spec).map(drop)
}

fn targets(spec: &str) -> Result<Targets, String> {
    let quiet = [(LIBP2P, LevelFilter::ERROR), (MALACHITE, LevelFilter::WARN)];
    let mut targets = Targets::new().with_default(LevelFilter::INFO).with_targets(quiet);
    for part in spec.split(',').map(str::trim) {
        let (target, level) = part.split_once('=').map_or((None, part), |(target, level)| (Some(target), level));
        let level = match level.to_ascii_lowercase().as_str() {
            "off" => LevelFilter::OFF,
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            other => {
                return Err(format!("`{other}` is not a level; levels are off, error, warn, info, debug, trace, alone or as TARGET=LEVEL"));
            }
        };
        targets = match target {
            Some(target) => targets.with_target(target, level),
            None => targets.with_default(level),
        };
    }
    Ok(targets)
}

/// A subscriber that writes to `sink`, and the handle on its levels.
///
/// # Errors
/// `spec` is not of the form of `log.level`.
pub fn subscriber(spec: &str, format: Format, colour: bool, sink: Sink) -> Result<(impl Subscriber + Send + Sync, Levels), String> {
    let (filter, handle) = reload::Layer::new(targets(spec)?);
    let lines = Lines { format, colour, sink, repeats: Mutex::default() };
    Ok((Registry::default().with(lines.with_filter(filter)), Levels(handle)))
}

/// Sets the subscriber of this process, writing to standard error.
///
/// # Errors
/// `spec` is not of the form of `log.level`, or there is a subscriber already.
pub fn install(spec: &str, format: Format, colour: bool) -> Result<Levels, String> {
    // A reader that went away must not take the node with it.
    let sink: Sink = Arc::new(|line| drop(std::io::stderr().lock().write_all(line.as_bytes())));
    let (subscriber, levels) = subscriber(spec, format, colour, sink)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
    Ok(levels)
}

/// Fields of a span, kept for the events inside it.
struct SpanFields(Vec<(&'static str, String)>);

#[derive(Default)]
struct Collect {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Collect {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.keep(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field.name(), value.to_owned());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.keep(field.name(), value.to_string());
    }
}

impl Collect {
    fn keep(&mut self, name: &'static str, value: String) {
        let value = redact::field(name, value);
        if name == "message" { self.message = value } else { self.fields.push((name, value)) }
    }
}

struct Repeat {
    since: Instant,
    left_out: u64,
}

/// The layer that turns events into lines.
struct Lines {
    format: Format,
    colour: bool,
    sink: Sink,
    repeats: Mutex<HashMap<u64, Repeat>>,
}

impl Lines {
    /// `None`: an identical warning was written a moment ago. Else how many were left out since.
    fn admit(&self, level: Level, target: &str, collected: &Collect) -> Option<u64> {
        if level > Level::WARN {
            return Some(0);
        }
        let mut hasher = DefaultHasher::new();
        (target, &collected.message, &collected.fields).hash(&mut hasher);
        let key = hasher.finish();
        let now = Instant::now();
        let mut repeats = self.repeats.lock();
        if let Some(repeat) = repeats.get_mut(&key) {
            if now.duration_since(repeat.since) < REPEAT_AFTER {
                repeat.left_out += 1;
                return None;
            }
            let left_out = std::mem::take(&mut repeat.left_out);
            repeat.since = now;
            return Some(left_out);
        }
        if repeats.len() >= REPEATS_MAX
            && let Some(oldest) = repeats.iter().min_by_key(|(_, repeat)| repeat.since).map(|(key, _)| *key)
        {
            repeats.remove(&oldest);
        }
        repeats.insert(key, Repeat { since: now, left_out: 0 });
        Some(0)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut collected = Collect::default();
            attributes.record(&mut collected);
            span.extensions_mut().insert(SpanFields(collected.fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut collected = Collect::default();
            values.record(&mut collected);
            if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
                fields.extend(collected.fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut collected = Collect::default();
        event.record(&mut collected);
        let meta = event.metadata();
        let Some(left_out) = self.admit(*meta.level(), meta.target(), &collected) else { return };
        let mut fields = Vec::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(of_span)) = span.extensions().get() {
                fields.extend(of_span.iter().cloned());
            }
        }
        fields.append(&mut collected.fields);
        if left_out > 0 {
            fields.push(("left_out", left_out.to_string()));
        }
        let line =
            Line { at: SystemTime::now(), level: *meta.level(), target: meta.target(), message: &collected.message, fields: &fields };
        (self.sink)(&line.show(self.format, self.colour));
    }
}

#[cfg(test)]
mod tests;
