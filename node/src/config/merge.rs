//! Values from a file, variables and flags on their way into one configuration: read as TOML, checked one by one, each with its origin.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::{Config, Error, KEYS, Key, Loaded, Origin, SECTIONS};

/// A configuration file larger than this is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Values on their way in, with what was wrong with others.
#[derive(Default)]
pub(super) struct Merged {
    values: BTreeMap<String, (Value, Origin)>,
    errors: Vec<Error>,
}

impl Merged {
    pub(super) fn file(&mut self, path: &Path) -> Result<(), Error> {
        let unreadable = |reason: String| Error::Unreadable { path: path.to_owned(), reason };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!("{size} bytes; a configuration has at most {FILE_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let table: BTreeMap<toml::Spanned<String>, toml::Spanned<Value>> =
            toml::from_str(&text).map_err(|error| Error::Syntax { path: path.to_owned(), reason: error.to_string().trim().to_owned() })?;
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        for (section, value) in table {
            let at = line(section.span().start);
            match value.into_inner() {
                Value::Table(keys) => {
                    for (name, value) in keys {
                        let at = line_of(&text, at, &name);
                        self.set(&format!("{}.{name}", section.get_ref()), value, Origin::File(path.to_owned(), at));
                    }
                }
                value => self.set(section.get_ref(), value, Origin::File(path.to_owned(), at)),
            }
        }
        Ok(())
    }

    /// A value that came as text: read as TOML where that fits the key, else as the text it is.
    pub(super) fn text(&mut self, key: &str, text: &str, origin: Origin) {
        let as_toml = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
        let value = match as_toml {
            Some(value) if fits(key, &value).is_ok() => value,
            _ => Value::String(text.to_owned()),
        };
        self.set(key, value, origin);
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        if !KEYS.iter().any(|known| known.path() == key) {
            self.errors.push(Error::UnknownKey { key: key.to_owned(), meant: nearest(key), origin });
        } else if let Err(reason) = fits(key, &value) {
            self.errors.push(Error::BadValue { key: key.to_owned(), found: value.to_string(), reason, origin });
        } else {
            self.values.insert(key.to_owned(), (value, origin));
        }
    }

    pub(super) fn finish(self) -> Result<Loaded, Error> {
        one_or_many(self.errors)?;
        let mut table = Table::new();
        let mut origins = BTreeMap::new();
        for (key, (value, origin)) in self.values {
            insert(&mut table, &key, value);
            origins.insert(key, origin);
        }
        let config = Value::Table(table).try_into().map_err(|error: toml::de::Error| Error::BadValue {
            key: "configuration".into(),
            found: "read".into(),
            reason: error.message().to_owned(),
            origin: Origin::Default,
        })?;
        Ok(Loaded { config, origins, sources: None })
    }
}

pub(super) fn one_or_many(mut errors: Vec<Error>) -> Result<(), Error> {
    match (errors.len(), errors.pop()) {
        (_, None) => Ok(()),
        (1, Some(error)) => Err(error),
        (_, Some(last)) => {
            errors.push(last);
            Err(Error::Many(errors))
        }
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    if let Some((section, name)) = key.split_once('.') {
        let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.insert(name.to_owned(), value);
        }
    }
}

/// Whether the whole configuration can be read with this one value in it.
fn fits(key: &str, value: &Value) -> Result<(), String> {
    let mut table = Table::new();
    insert(&mut table, key, value.clone());
    Value::Table(table).try_into::<Config>().map(drop).map_err(|error| error.message().to_owned())
}

/// First line at or after `from` that sets `name`.
fn line_of(text: &str, from: usize, name: &str) -> usize {
    let sets = |line: &str| {
        line.trim_start()
            .trim_start_matches(['"', '\''])
            .strip_prefix(name)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with('='))
    };
    text.lines().enumerate().skip(from - 1).find(|(_, line)| sets(line)).map_or(from, |(at, _)| at + 1)
}

/// The key that was probably meant: the nearest by spelling, or the same name in another section.
fn nearest(key: &str) -> Option<String> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let by_spelling = KEYS.iter().map(|known| (distance(&known.path(), key), known.path())).min()?;
    if by_spelling.0 <= key.len().div_ceil(4) {
        return Some(by_spelling.1);
    }
    let same_name = KEYS.iter().find(|known| known.name == name).map(Key::path);
    same_name.or_else(|| SECTIONS.iter().find(|(section, _)| distance(section, key) <= 2).map(|(section, _)| format!("[{section}]")))
}

/// Levenshtein's: how many letters to add, drop or change.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
