//! What every verb starts from: the flags, the configuration they lead to, the data directory, the node to talk to.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::Globals;
use super::client::Client;
use super::exit::Failure;
use super::output::{Io, Printer};
use crate::config::{self, Loaded, Sources};
use crate::datadir::{self, Layout};
use crate::keys::keystore::Password;
use crate::keys::{self, Keys, Role};
use ao_types::Wallet;

/// Longest standard input or file taken as data: a data item ends at 10 MiB.
const DATA_BYTES_MAX: u64 = 10 << 20;

/// Flags and printer of the running command.
pub struct Context<'a> {
    /// The flags every command takes.
    pub globals: Globals,
    /// Where results go.
    pub printer: Printer<'a>,
}

impl<'a> Context<'a> {
    /// For a command with these flags.
    pub fn new(globals: Globals, io: Io<'a>) -> Self {
        Self { printer: Printer::new(io, &globals), globals }
    }

    /// Tells the user what went wrong: as text, or as JSON where programs listen.
    pub fn report(&mut self, failure: &Failure) {
        // Nobody is left to tell if this fails.
        let _ = if self.printer.machine() {
            let error = json!({
                "exit": failure.exit as u8,
                "message": failure.what,
                "fix": failure.fix,
                "code": failure.code.map(crate::Code::as_str),
            });
            self.printer.note(&json!({ "schema": "error/v1", "error": error }).to_string())
        } else {
            let label = self.printer.paint("31;1", "error:");
            self.printer.note(&format!("{label} {failure}"))
        };
    }

    /// The network of the data directory: flag or variable, file, default.
    pub fn network(&self) -> String {
        self.globals.network.clone().unwrap_or_else(|| config::Config::default().network.name)
    }

    /// Says that this command is about the network `name`.
    ///
    /// # Errors
    /// The flags say another one.
    pub fn of_network(&mut self, name: &str) -> Result<(), Failure> {
        match &self.globals.network {
            Some(other) if other != name => {
                Err(Failure::usage(format!("the genesis is of network `{name}`, and --network says `{other}`")))
            }
            _ => {
                self.globals.network = Some(name.to_owned());
                Ok(())
            }
        }
    }

    /// The password in a file that nobody else can read.
    ///
    /// # Errors
    /// Not readable, too open, or no password.
    pub fn password(&self, file: Option<&Path>) -> Result<Option<Password>, Failure> {
        let Some(file) = file else { return Ok(None) };
        datadir::check_secret_file(file)?;
        let text = zeroize::Zeroizing::new(datadir::read_small(file)?);
        Ok(Some(Password::new(&text)?))
    }

    /// Where the data directory is.
    ///
    /// # Errors
    /// Nothing says where, or the network's name cannot name a folder.
    pub fn layout(&self) -> Result<Layout, Failure> {
        if let Some(root) = &self.globals.datadir {
            return Ok(Layout::new(root));
        }
        let network = self.network();
        if !config::valid_network(&network) {
            return Err(Failure::usage(format!(
                "--network {network}: a name has 1 to 32 of the characters a-z 0-9 - and starts with a letter"
            )));
        }
        let root = datadir::default_root(&network)
            .ok_or_else(|| Failure::usage("no data directory: neither XDG_DATA_HOME nor HOME is set").fix("give one with --datadir"))?;
        Ok(Layout::new(root))
    }

    /// The configuration of the data directory at `layout`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn config(&self, layout: &Layout) -> Result<Loaded, Failure> {
        self.config_with(layout, &[], &[])
    }

    /// The same, with defaults of the running command (key, value) below everything and its flags (as typed, key, value) on top.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn config_with(&self, layout: &Layout, defaults: &[(&str, String)], flags: &[(&str, &str, String)]) -> Result<Loaded, Failure> {
        let asked_for = self.globals.config.clone();
        let file = asked_for.or_else(|| Some(layout.config()).filter(|path| path.exists()));
        let mut sources = Sources::new(file);
        sources.defaults = defaults.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
        if let Some(name) = &self.globals.network {
            sources.flags.push(("--network".into(), "network.name".into(), name.clone()));
        } else if let Ok(name) = layout.network_name() {
            // The data know whose they are; a file may say the same or nothing.
            sources.flags.push(("network.json".into(), "network.name".into(), name));
        }
        let level = match (self.globals.quiet, self.globals.verbose) {
            (true, _) => Some(("--quiet", "error")),
            (_, 1) => Some(("-v", "debug")),
            (_, 2..) => Some(("-vv", "trace")),
            _ => None,
        };
        if let Some((flag, level)) = level {
            sources.flags.push((flag.into(), "log.level".into(), level.into()));
        }
        if let Some(level) = &self.globals.log_level {
            sources.flags.push(("--log-level".into(), "log.level".into(), level.clone()));
        }
        if let Some(format) = self.globals.log_format {
            let name = format!("{format:?}").to_lowercase();
            sources.flags.push(("--log-format".into(), "log.format".into(), name));
        }
        sources.flags.extend(flags.iter().map(|(flag, key, value)| ((*flag).into(), (*key).into(), value.clone())));
        for pair in &self.globals.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set {pair}: no value")).fix("write it as --set section.key=value"))?;
            sources.flags.push((format!("--set {key}"), key.trim().into(), value.trim().into()));
        }
        Ok(sources.load()?)
    }

    /// The node to talk to.
    ///
    /// # Errors
    /// `--endpoint` is not an HTTP URL.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.globals.endpoint, self.globals.timeout.0)
    }

    /// The wallet that signs what a verb sends: a file, an address in the data directory, or the client's.
    ///
    /// # Errors
    /// There is none, or it is not to be used.
    pub fn wallet(&self, named: Option<&str>) -> Result<Wallet, Failure> {
        let none = |failure: Failure| failure.fix("name a wallet with --wallet FILE|ADDRESS, or make one with `aonode init`");
        match named {
            Some(name) if Path::new(name).is_file() => Ok(keys::read(Path::new(name))?),
            Some(name) => Keys::new(self.layout()?).load(name).map_err(|error| none(error.into())),
            None => Keys::new(self.layout()?).with_role(Role::Client).map_err(|error| none(error.into())),
        }
    }

    /// Data as the user gave them: the text, `@FILE`, or `-` for standard input.
    ///
    /// # Errors
    /// The file cannot be read, or is longer than a data item may be.
    pub fn data(&mut self, given: Option<&str>) -> Result<Option<Vec<u8>>, Failure> {
        use std::io::Read;
        let too_long = |name: &str| Failure::usage(format!("{name} is longer than {DATA_BYTES_MAX} bytes, the most a data item carries"));
        let mut bytes = Vec::new();
        let read = match given {
            None => return Ok(None),
            Some("-") => match self.printer.io.input.as_mut() {
                Some(input) => input.take(DATA_BYTES_MAX + 1).read_to_end(&mut bytes),
                None => std::io::stdin().lock().take(DATA_BYTES_MAX + 1).read_to_end(&mut bytes),
            },
            Some(text) => match text.strip_prefix('@') {
                Some(file) => std::fs::File::open(file).and_then(|file| file.take(DATA_BYTES_MAX + 1).read_to_end(&mut bytes)),
                None => return Ok(Some(text.as_bytes().to_vec())),
            },
        };
        let name = given.unwrap_or("-");
        read.map_err(|error| Failure::new(super::exit::io_exit(&error), format!("cannot read {name}: {error}")))?;
        if bytes.len() as u64 > DATA_BYTES_MAX { Err(too_long(name)) } else { Ok(Some(bytes)) }
    }

    /// The path shown to the user, absolute where possible.
    pub fn shown(path: &Path) -> PathBuf {
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
    }
}

/// Tags as `NAME=VALUE`.
///
/// # Errors
/// One of them has no `=` or no name.
pub fn tags(given: &[String]) -> Result<Vec<ao_types::Tag>, Failure> {
    given
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(ao_types::Tag::new(name, value)),
            _ => Err(Failure::usage(format!("--tag {pair}: not NAME=VALUE"))),
        })
        .collect()
}

/// An id from the command line.
///
/// # Errors
/// Not 43 characters of base64url.
pub fn id(text: &str) -> Result<ao_types::Id, Failure> {
    ao_types::Id::parse(text).map_err(|error| Failure::usage(error.to_string()).fix("an id has 43 characters of base64url"))
}
