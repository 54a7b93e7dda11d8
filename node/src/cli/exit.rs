//! Exit codes: what a script or a service manager learns from the way a command ended. Stable for ever (`operations.md`, section 1).
//!
//! This table is the only place that knows numbers; errors of every kind are mapped to it here.

use std::fmt;

use crate::error::Code;
use crate::{config, datadir, keys};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// A bug.
    Bug = 1,
    /// Wrong arguments.
    Usage = 2,
    /// Wrong configuration or permissions.
    Config = 3,
    /// What was asked for does not exist.
    NotFound = 4,
    /// The node, or a gateway, cannot be reached.
    Unreachable = 5,
    /// No answer in time; the outcome is unknown.
    TimedOut = 6,
    /// The node refused.
    Refused = 7,
    /// A signature, a proof or a demonstration does not hold.
    Verification = 8,
    /// The ground is not prepared: locked, initialised already, too new, another network.
    Precondition = 9,
    /// Data on disk are damaged.
    Corruption = 10,
    /// Signing would not be safe.
    SigningSafety = 11,
    /// Disk or another resource is exhausted; stopped safely.
    Exhausted = 12,
    /// The process answered with an error.
    ProcessError = 13,
    /// The node is up and not ready.
    NotReady = 14,
    /// Ended by SIGINT, cleanly.
    Interrupted = 130,
    /// Ended by SIGTERM, cleanly.
    Terminated = 143,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Bug,
        Self::Usage,
        Self::Config,
        Self::NotFound,
        Self::Unreachable,
        Self::TimedOut,
        Self::Refused,
        Self::Verification,
        Self::Precondition,
        Self::Corruption,
        Self::SigningSafety,
        Self::Exhausted,
        Self::ProcessError,
        Self::NotReady,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// What it means, and what to do.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "Done.",
            Self::Bug => "An unexpected error: a bug of aonode. Run again with `-v` and report what is printed.",
            Self::Usage => "The arguments are wrong. `--help` shows an example of every command.",
            Self::Config => "The configuration or a file permission is wrong. The message names the key or the file and the fix.",
            Self::NotFound => "What was asked for does not exist on this node.",
            Self::Unreachable => "The node cannot be reached. Is it running, and is `--endpoint` right?",
            Self::TimedOut => "No answer in time. The outcome is unknown: ask with the printed id, do not send again blindly.",
            Self::Refused => "The node refused the request. The message has an AON code; `aonode explain CODE` says more.",
            Self::Verification => "A signature, a hash chain or a demonstration does not hold. Do not trust the data.",
            Self::Precondition => "The directory is locked, initialised already, too new, or of another network.",
            Self::Corruption => "Data on disk are damaged. Restore the directory from a backup before starting again.",
            Self::SigningSafety => "Signing was refused because it could contradict an earlier signature.",
            Self::Exhausted => "Disk, memory or file descriptors are exhausted; the node stopped safely.",
            Self::ProcessError => "The AO process answered with an error. The message was evaluated; the process's state is as before.",
            Self::NotReady => "The node is up and not ready. `aonode status` names the failing check.",
            Self::Interrupted => "Ended by Ctrl-C, after a clean shutdown.",
            Self::Terminated => "Ended by SIGTERM, after a clean shutdown.",
        }
    }

    /// What a refusal by a node means for the command that got it.
    pub fn of(code: Code) -> Self {
        match code {
            Code::ProcessUnknown | Code::MessageUnknown | Code::ItemUnknown | Code::NetworkNone | Code::StateUncertified => Self::NotFound,
            Code::RouteUnknown | Code::MethodNotAllowed | Code::Internal => Self::Bug,
            Code::TimedOut => Self::TimedOut,
            Code::Unavailable => Self::NotReady,
            Code::ReadOnly => Self::Exhausted,
            _ => Self::Refused,
        }
    }
}

/// A command that did not do what it should: what happened and where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What happened, and where.
    pub what: String,
    /// What to do, if anybody can.
    pub fix: Option<String>,
    /// The node's code, if it was the node that refused.
    pub code: Option<Code>,
}

impl Failure {
    /// A failure nobody can say more about.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), fix: None, code: None }
    }

    /// The same, with what to do.
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Wrong arguments.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(fix) = &self.fix {
            write!(f, "\n  fix: {fix}")?;
        }
        match self.code {
            Some(code) => write!(f, "\n  more: aonode explain {}", code.as_str()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::new(Exit::Config, error.to_string())
            .fix("correct it; `aonode config show --origin` lists every key, its value and its origin")
    }
}

impl From<datadir::Error> for Failure {
    fn from(error: datadir::Error) -> Self {
        use datadir::Error as E;
        let what = error.to_string();
        let (exit, fix) = match &error {
            E::NotInitialised { .. } => (Exit::Precondition, Some("run `aonode init`, or name the right one with --datadir".to_owned())),
            E::AlreadyInitialised { .. } => {
                (Exit::Precondition, Some("start it with `aonode start`, or add what is missing with `aonode init --force`".to_owned()))
            }
            E::Locked { .. } => (Exit::Precondition, Some("stop that node first, or use another --datadir".to_owned())),
            E::TooNew { created_by, .. } => (Exit::Precondition, Some(format!("use aonode {created_by} or newer"))),
            E::WrongNetwork { found, .. } => (Exit::Precondition, Some(format!("use --network {found}, or another --datadir"))),
            E::WrongGenesis { .. } => {
                (Exit::Precondition, Some("compare the hash with the network's operators; use another --datadir".to_owned()))
            }
            E::UsedAlone { .. } => (Exit::Precondition, Some("use another --datadir for the network".to_owned())),
            E::TooOpen { path, wanted, .. } => (Exit::Config, Some(format!("chmod {wanted:o} {}", path.display()))),
            E::NotOurs { path, .. } => (Exit::Config, Some(format!("run as that user, or chown {}", path.display()))),
            E::Damaged { .. } => (Exit::Corruption, Some("restore the file from a backup".to_owned())),
            E::Io { source, .. } => (io_exit(source), None),
        };
        Self { exit, what, fix, code: None }
    }
}

impl From<keys::Error> for Failure {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::Directory(error) => error.into(),
            keys::Error::Unknown { .. } => {
                Self::new(Exit::NotFound, error.to_string()).fix("`aonode keys list` shows those that are there")
            }
            keys::Error::Malformed { .. } => Self::new(Exit::Config, error.to_string()),
            keys::Error::Keystore { reason: keys::keystore::Error::Library(_), .. } | keys::Error::Wallet(_) => {
                Self::new(Exit::Bug, error.to_string())
            }
            keys::Error::Keystore { .. } | keys::Error::PasswordNeeded { .. } => {
                Self::new(Exit::Config, error.to_string()).fix("give the file that holds its password with --password-file FILE")
            }
            keys::Error::Bls(_) => Self::new(Exit::Corruption, error.to_string()),
            keys::Error::NoRole { .. } => Self::new(Exit::Config, error.to_string()).fix("`aonode init --force` makes what is missing"),
        }
    }
}

/// What an error of the system means: permission, a full disk, or something nobody thought of.
pub fn io_exit(error: &std::io::Error) -> Exit {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::PermissionDenied | K::ReadOnlyFilesystem => Exit::Config,
        K::StorageFull | K::QuotaExceeded | K::OutOfMemory => Exit::Exhausted,
        K::NotFound => Exit::NotFound,
        K::AddrInUse => Exit::Precondition,
        K::AddrNotAvailable => Exit::Config,
        _ => Exit::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are a contract with scripts and service units.
    #[test]
    fn numbers_are_stable() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|exit| *exit as u8).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 130, 143]);
    }

    #[test]
    fn failures_say_what_where_and_what_to_do() {
        let error = datadir::Error::TooOpen { path: "/d/api-token".into(), found: 0o644, wanted: 0o600 };
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Config);
        let text = failure.to_string();
        assert!(text.contains("/d/api-token has mode 0644") && text.contains("chmod 600 /d/api-token"), "{text}");
    }

    #[test]
    fn refusals_of_a_node_have_their_exit_codes() {
        for (code, exit) in [
            (Code::ProcessUnknown, Exit::NotFound),
            (Code::SignatureInvalid, Exit::Refused),
            (Code::RateLimited, Exit::Refused),
            (Code::TimedOut, Exit::TimedOut),
            (Code::Unavailable, Exit::NotReady),
            (Code::ReadOnly, Exit::Exhausted),
            (Code::Internal, Exit::Bug),
        ] {
            assert_eq!(Exit::of(code), exit, "{code:?}");
        }
    }
}
