//! How a command ends when keys, genesis or slashing protection say no. The other half of the table in [`super::exit`].

use ao_consensus::protection::interchange::InterchangeError;
use ao_types::GenesisError;

use super::exit::{Exit, Failure, io_exit};
use crate::keys::keystore;
use crate::{member, protection};

impl From<ao_storage::Error> for Failure {
    fn from(error: ao_storage::Error) -> Self {
        use ao_storage::Error as E;
        let failure = |exit| Self::new(exit, error.to_string());
        match &error {
            E::Corrupt { .. } => failure(Exit::Corruption),
            E::TooNew { .. } => failure(Exit::Precondition),
            E::Locked(_) => failure(Exit::Precondition).fix("stop the node that has it open first"),
            E::DiskFull(_) => failure(Exit::Exhausted),
            E::Elsewhere(_) => failure(Exit::Unreachable),
            E::Io(_) => failure(Exit::Bug),
        }
    }
}

impl From<protection::Error> for Failure {
    fn from(error: protection::Error) -> Self {
        use protection::Error as E;
        let failure = |exit| Self::new(exit, error.to_string());
        match error {
            E::Store(error) => error.into(),
            E::Conflict(_) => failure(Exit::SigningSafety),
            E::Damaged { .. } => failure(Exit::Corruption).fix("never restore an older copy; ask the other operators what this key signed"),
            E::Format { .. } => failure(Exit::Precondition).fix("use a newer aonode"),
            E::Network { .. } => failure(Exit::Precondition).fix("a data directory belongs to one network: use another --datadir"),
            E::Uninitialised { .. } => failure(Exit::SigningSafety).fix(
                "bring its history here with `aonode slashing import FILE`; if it never signed anywhere, say so with `aonode slashing init --i-understand`",
            ),
        }
    }
}

impl From<member::Error> for Failure {
    fn from(error: member::Error) -> Self {
        use member::Error as E;
        let failure = |exit| Self::new(exit, error.to_string());
        match error {
            E::Directory(error) => error.into(),
            E::Keys(error) => error.into(),
            E::Protection(error) => error.into(),
            E::TwoKeys { .. } => failure(Exit::Config).fix("move one of the key files to a data directory of its own"),
            E::Claimed { .. } => failure(Exit::SigningSafety).fix("stop that process: two signers with one key get its stake slashed"),
            E::Claim { ref source, .. } => failure(io_exit(source)),
        }
    }
}

impl From<keystore::Error> for Failure {
    fn from(error: keystore::Error) -> Self {
        let exit = if matches!(error, keystore::Error::Library(_)) { Exit::Bug } else { Exit::Config };
        Self::new(exit, error.to_string())
    }
}

impl From<GenesisError> for Failure {
    fn from(error: GenesisError) -> Self {
        let exit = if matches!(error, GenesisError::Possession { .. }) { Exit::Verification } else { Exit::Config };
        Self::new(exit, error.to_string())
    }
}

impl From<InterchangeError> for Failure {
    fn from(error: InterchangeError) -> Self {
        let exit = if matches!(error, InterchangeError::Network { .. }) { Exit::Precondition } else { Exit::Config };
        Self::new(exit, error.to_string())
    }
}
