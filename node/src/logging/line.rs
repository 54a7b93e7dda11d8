//! One line, in each of the three formats. Whatever a value contains, it stays one line and its own field.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::Level;

use crate::config::Format;

/// An event, ready to be shown.
pub struct Line<'a> {
    /// When.
    pub at: SystemTime,
    /// How bad.
    pub level: Level,
    /// Which part of the node.
    pub target: &'a str,
    /// What happened.
    pub message: &'a str,
    /// Fields of the spans around it, outermost first, then its own.
    pub fields: &'a [(&'static str, String)],
}

impl Line<'_> {
    /// The line, with its end.
    pub fn show(&self, format: Format, colour: bool) -> String {
        let mut out = String::with_capacity(160);
        match format {
            Format::Json => self.json(&mut out),
            Format::Logfmt => self.logfmt(&mut out),
            Format::Pretty => self.pretty(&mut out, colour),
        }
        out.push('\n');
        out
    }

    fn json(&self, out: &mut String) {
        let mut map = serde_json::Map::new();
        map.insert("ts".into(), rfc3339(self.at).into());
        map.insert("level".into(), self.level.as_str().into());
        map.insert("target".into(), self.target.into());
        map.insert("message".into(), self.message.into());
        for (name, value) in self.fields {
            // Of two fields of one name the inner one is meant.
            map.insert((*name).into(), value.as_str().into());
        }
        out.push_str(&serde_json::Value::Object(map).to_string());
    }

    fn logfmt(&self, out: &mut String) {
        let _ = write!(out, "ts={} level={} target={} msg=", rfc3339(self.at), self.level.as_str().to_ascii_lowercase(), self.target);
        quoted(out, self.message);
        for (name, value) in self.fields {
            let _ = write!(out, " {name}=");
            quoted(out, value);
        }
    }

    fn pretty(&self, out: &mut String, colour: bool) {
        let paint = |code: &str, text: &str| if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
        let level = match self.level {
            Level::ERROR => paint("31;1", "ERROR"),
            Level::WARN => paint("33;1", " WARN"),
            Level::INFO => paint("32", " INFO"),
            Level::DEBUG => paint("36", "DEBUG"),
            Level::TRACE => paint("90", "TRACE"),
        };
        let _ = write!(out, "{} {level} {} ", paint("90", &rfc3339(self.at)), paint("90", self.target));
        plain(out, &shortened(self.message));
        for (name, value) in self.fields {
            let _ = write!(out, " {}=", paint("90", name));
            quoted(out, &shortened(value));
        }
    }
}

/// Control characters would let a value forge a line or drive a terminal.
fn plain(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

fn quoted(out: &mut String, text: &str) {
    let bare = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\'));
    if bare {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Ids (43 characters of base64url) by their first six.
pub fn shortened(text: &str) -> String {
    let id_character = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|c| !id_character(c)).unwrap_or(rest.len());
        if run == 43 {
            out.push_str(&rest[..6]);
            out.push('…');
        } else {
            out.push_str(&rest[..run]);
        }
        rest = &rest[run..];
        if let Some(c) = rest.chars().next() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// `2026-11-22T13:36:54.123Z`.
pub fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 1 March of year 0, so that the leap day ends a year (Hinnant's civil_from_days).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z", second / 3600, second / 60 % 60, second % 60, since.subsec_millis())
}
