//! What keeps a network from starting, and what happens to requests.

use crate::identity::BadName;

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on. (retry, or another address)
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address of the configuration.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// A part of the network cannot be set up. (bug, or the system lacks something)
    #[error("{what}: {reason}")]
    Setup {
        /// Which part.
        what: &'static str,
        /// What it says.
        reason: String,
    },
    /// A value of the configuration is out of its range.
    #[error("p2p.{name} is {found}, it must be {must}")]
    Setting {
        /// The field of [`Config`](crate::Config).
        name: &'static str,
        /// The value.
        found: String,
        /// The range.
        must: String,
    },
    /// A name in the configuration is none.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// Why a request got no answer. Asking another peer may help in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The peer cannot be reached.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended.
    #[error("the connection ended")]
    Closed,
    /// The peer does not speak this protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// What came back is no answer, or one above its cap. It cost the peer points.
    #[error("the answer cannot be read")]
    Malformed,
    /// The peer does not have it.
    #[error("the peer does not have it")]
    NotFound,
    /// The peer has too much to do.
    #[error("the peer is busy")]
    Busy,
    /// The peer says that the request makes no sense or is not allowed.
    #[error("the peer refused")]
    Refused,
    /// The same is being asked for already: one outstanding request for each thing.
    #[error("the same is being asked for already")]
    Duplicate,
    /// Too many requests of ours are open, to this peer or at all, or the request is above its cap.
    #[error("too many requests are open")]
    TooMany,
    /// The request is longer than its kind may be.
    #[error("the request is above its cap")]
    Oversize,
}
