//! Configuration: what can be set ([`sections`]), and which of several places decides.
//!
//! Owns the order flag > environment > file > default, the origin of every value, and the checks that one value alone cannot make.
//! Refuses unknown keys, with the key that was probably meant. Everything is checked once, when the node starts, and every problem is
//! reported at once.
//!
//! Environment variables are `AONODE_SECTION__KEY`; two underscores keep them apart from the variables of command-line flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use ao_arweave::limits::ENDPOINTS_MAX;
use toml::Table;

use crate::http::Origins;

mod merge;
pub mod sections;
pub mod units;

use merge::{Merged, one_or_many};
pub use sections::{Config, Format, KEYS, Key, SECTIONS};
pub use units::{Ar, ByteSize, Keep, Span};

/// Prefix of environment variables.
const ENV: &str = "AONODE_";

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
        for (key, addresses) in
            [("p2p.listen", &config.p2p.listen), ("p2p.external_addr", &config.p2p.external_addr), ("p2p.relays", &config.p2p.relays)]
        {
            if let Some(bad) = addresses.iter().find_map(|text| text.parse::<ao_p2p::NetAddress>().err()) {
                unsound(key, format!("{addresses:?}"), &bad.to_string());
            }
        }
        if let Some(bad) = config.p2p.static_peers.iter().find_map(|text| text.parse::<ao_p2p::KnownPeer>().err()) {
            unsound("p2p.static_peers", format!("{:?}", config.p2p.static_peers), &bad.to_string());
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
        self.check_arweave(&mut unsound);
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

impl Loaded {
    fn check_arweave(&self, unsound: &mut impl FnMut(&str, String, &str)) {
        let arweave = &self.config.arweave;
        for (key, urls) in [("arweave.gateways", &arweave.gateways), ("arweave.bundlers", &arweave.bundlers)] {
            if urls.len() > ENDPOINTS_MAX {
                unsound(key, format!("{} URLs", urls.len()), &format!("at most {ENDPOINTS_MAX} can be asked"));
            }
            if let Some(bad) = urls.iter().find(|url| !is_base_url(url)) {
                unsound(key, bad.clone(), "a base URL is expected, like https://arweave.example, without a query");
            }
        }
        if !arweave.bundlers.is_empty() && arweave.gateways.is_empty() {
            unsound(
                "arweave.bundlers",
                format!("{:?}", arweave.bundlers),
                "what they promise is checked with gateways: set arweave.gateways",
            );
        }
        if !arweave.bundlers.is_empty() && arweave.bundler_keys.is_empty() {
            unsound("arweave.bundler_keys", "none".into(), "without their keys no receipt of arweave.bundlers can be checked");
        }
        if arweave.confirmations == 0 {
            unsound("arweave.confirmations", "0".into(), "what is in no block is not anchored: at least 1");
        }
        if arweave.look_every.0.is_zero() {
            unsound("arweave.look_every", arweave.look_every.to_string(), "gateways would be asked without a pause");
        }
    }
}

fn is_base_url(text: &str) -> bool {
    reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none())
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
