//! Configuration: what can be set ([`sections`]), and which of several places decides.
//!
//! Owns the order flag > environment > file > default, the origin of every value, and the checks that one value alone cannot make.
//! Refuses unknown keys, with the key that was probably meant. Everything is checked once, when the node starts, and every problem is
//! reported at once.
//!
//! Environment variables are `AONODE_SECTION__KEY`; two underscores keep them apart from the variables of command-line flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::http::Origins;

pub mod sections;
pub mod units;

pub use sections::{Config, Format, KEYS, Key, SECTIONS};
pub use units::{ByteSize, Span};

/// Prefix of environment variables.
const ENV: &str = "AONODE_";
/// A configuration file larger than this is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(String),
    /// A variable.
    Env(String),
    /// A line of the file.
    File(PathBuf, usize),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(path, line) => write!(f, "file {}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What is wrong with a configuration. Always exit code 3.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The file is not there, or not readable.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and column, and what was expected.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{}", .meant.as_ref().map(|m| format!("; did you mean `{m}`?")).unwrap_or_default())]
    UnknownKey {
        /// As written.
        key: String,
        /// The nearest that exists.
        meant: Option<String>,
        /// Who said it.
        origin: Origin,
    },
    /// A value of another type.
    #[error("{origin}: `{key}` cannot be {found}: {reason}")]
    BadValue {
        /// The key.
        key: String,
        /// The value, as written.
        found: String,
        /// What it should be.
        reason: String,
        /// Who said it.
        origin: Origin,
    },
    /// A value that does not go with the rest.
    #[error("{origin}: `{key}` = {found}: {reason}")]
    Unsound {
        /// The key.
        key: String,
        /// The value.
        found: String,
        /// Why not, and what to do.
        reason: String,
        /// Who said it.
        origin: Origin,
    },
    /// Several of these.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Many(Vec<Error>),
}

/// A configuration and where each value of it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
    sources: Option<Sources>,
}

impl From<Config> for Loaded {
    /// Made by hand: it says the same when it is read again.
    fn from(config: Config) -> Self {
        Self { config, origins: BTreeMap::new(), sources: None }
    }
}

/// Everything that may say something about the configuration, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Defaults of the running command where they differ from the general ones: key and value.
    pub defaults: Vec<(String, String)>,
    /// The file; `None` where there is none.
    pub file: Option<PathBuf>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Flags: the flag as typed, the key, the value.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// The environment of this process and `file`, no flags.
    pub fn new(file: Option<PathBuf>) -> Self {
        let env = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file, env: env.filter(|(name, _)| name.starts_with(ENV)).collect(), flags: Vec::new(), defaults: Vec::new() }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// Every unknown key, every value of a wrong type and every unsound value, together.
    pub fn load(&self) -> Result<Loaded, Error> {
        let mut merged = Merged::default();
        for (key, value) in &self.defaults {
            merged.text(key, value, Origin::Default);
        }
        if let Some(path) = &self.file {
            merged.file(path)?;
        }
        for (name, value) in &self.env {
            if let Some((section, key)) = name.strip_prefix(ENV).and_then(|rest| rest.split_once("__")) {
                let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
                merged.text(&key, value, Origin::Env(name.clone()));
            }
        }
        for (flag, key, value) in &self.flags {
            merged.text(key, value, Origin::Flag(flag.clone()));
        }
        let loaded = Loaded { sources: Some(self.clone()), ..merged.finish()? };
        loaded.check()?;
        Ok(loaded)
    }
}

/// Values on their way in, with what was wrong with others.
#[derive(Default)]
struct Merged {
    values: BTreeMap<String, (Value, Origin)>,
    errors: Vec<Error>,
}

impl Merged {
    fn file(&mut self, path: &Path) -> Result<(), Error> {
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
    fn text(&mut self, key: &str, text: &str, origin: Origin) {
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

    fn finish(self) -> Result<Loaded, Error> {
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

fn one_or_many(mut errors: Vec<Error>) -> Result<(), Error> {
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

impl Loaded {
    /// The same sources as they are now: the file may have changed, flags and variables have not.
    ///
    /// # Errors
    /// As for [`Sources::load`].
    pub fn again(&self) -> Result<Self, Error> {
        self.sources.as_ref().map_or_else(|| Ok(self.clone()), Sources::load)
    }

    /// Where the value of `section.key` came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Every key with its value as TOML and its origin.
    pub fn rows(&self) -> Vec<(String, String, Origin)> {
        let table = Table::try_from(&self.config).unwrap_or_default();
        let value = |key: &Key| table.get(key.section).and_then(|section| section.get(key.name)).map(ToString::to_string);
        KEYS.iter().map(|key| (key.path(), value(key).unwrap_or_default(), self.origin(&key.path()))).collect()
    }

    /// The whole configuration as a TOML file that explains itself.
    pub fn annotated(&self) -> String {
        annotated(&self.config)
    }

    fn check(&self) -> Result<(), Error> {
        let config = &self.config;
        let mut errors = Vec::new();
        let mut unsound = |key: &str, found: String, reason: &str| {
            errors.push(Error::Unsound { key: key.into(), found, reason: reason.into(), origin: self.origin(key) });
        };
        let listeners = [
            ("api", true, config.api.listen, config.api.allow_remote),
            ("admin", config.admin.enabled, config.admin.listen, config.admin.allow_remote),
            ("metrics", config.metrics.enabled, config.metrics.listen, config.metrics.allow_remote),
        ];
        for (at, (section, enabled, listen, allow_remote)) in listeners.iter().enumerate() {
            if *enabled && !listen.ip().is_loopback() && !allow_remote {
                let reason = format!("not a loopback address: anybody could reach it. Set {section}.allow_remote = true if that is meant");
                unsound(&format!("{section}.listen"), listen.to_string(), &reason);
            }
            let taken = listeners[..at].iter().find(|(_, on, other, _)| *on && *enabled && other == listen && listen.port() != 0);
            if let Some((other, ..)) = taken {
                unsound(&format!("{section}.listen"), listen.to_string(), &format!("{other}.listen is the same; choose another port"));
            }
        }
        if !valid_network(&config.network.name) {
            unsound("network.name", config.network.name.clone(), "a name has 1 to 32 of the characters a-z 0-9 - and starts with a letter");
        }
        if config.compute.workers > 256 {
            unsound("compute.workers", config.compute.workers.to_string(), "more than 256 threads do not help; 0 chooses by itself");
        }
        if config.compute.gas_max == 0 {
            unsound("compute.gas_max", "0".into(), "no message could be evaluated");
        }
        if config.chain.block_interval.0.as_millis() < 10 {
            unsound("chain.block_interval", config.chain.block_interval.to_string(), "blocks come at most every 10ms");
        }
        if config.api.connections_max == 0 || config.api.connections_per_ip == 0 {
            unsound(
                "api.connections_max",
                config.api.connections_max.to_string(),
                "nobody could connect; connections_max and connections_per_ip are at least 1",
            );
        }
        if let Err(reason) = Origins::parse(&config.api.cors_origins) {
            unsound("api.cors_origins", config.api.cors_origins.clone(), &reason);
        }
        if let Err(reason) = crate::logging::check_filter(&config.log.level) {
            unsound("log.level", config.log.level.clone(), &reason);
        }
        one_or_many(errors)
    }
}

/// Whether `name` can name a network: it becomes a folder.
pub fn valid_network(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `config` as a TOML file that explains itself.
pub fn annotated(config: &Config) -> String {
    let table = Table::try_from(config).unwrap_or_default();
    let mut out = String::from(
        "# Configuration of aonode. Flags and variables (AONODE_SECTION__KEY) win over this file; `aonode config show --origin` says\n\
         # which won. An unknown key is an error.\n",
    );
    for (section, doc) in SECTIONS {
        out.push('\n');
        doc.iter().for_each(|line| out.push_str(&format!("#{line}\n")));
        out.push_str(&format!("[{section}]\n"));
        for key in KEYS.iter().filter(|key| key.section == *section) {
            key.doc.iter().for_each(|line| out.push_str(&format!("#{line}\n")));
            if let Some(value) = table.get(*section).and_then(|table| table.get(key.name)) {
                out.push_str(&format!("{} = {value}\n", key.name));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
