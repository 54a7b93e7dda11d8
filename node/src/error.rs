//! What a caller is told when the answer is no. One code per broken rule, stable for ever; HTTP status is mapped in one place.

use std::fmt;

use serde::Serialize;

/// Stable error codes. `1xxx` the item, `2xxx` the request, `3xxx` the process, `4xxx` this node right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The body is not a well-formed data item.
    ItemMalformed,
    /// The signature does not hold.
    SignatureInvalid,
    /// A protocol tag is missing, repeated or wrong.
    TagInvalid,
    /// The very item, or the same pushed content, was assigned before.
    Duplicate,
    /// Larger than a limit.
    TooLarge,
    /// A parameter is missing or not of its form.
    RequestInvalid,
    /// No such route.
    RouteUnknown,
    /// The method is not one of the route's.
    MethodNotAllowed,
    /// Too many requests from one address.
    RateLimited,
    /// Not allowed for this caller.
    Forbidden,
    /// The process is not known here.
    ProcessUnknown,
    /// The message is not in the process's schedule.
    MessageUnknown,
    /// The item is not known here.
    ItemUnknown,
    /// The process is served by another scheduler.
    NotOurs,
    /// The module's format, encoding or extension is not supported.
    ModuleRefused,
    /// A limit the process asks for is above this node's.
    LimitExceeded,
    /// This monitor exists, or does not.
    MonitorState,
    /// A queue of this node is full; try again.
    Busy,
    /// The disk is nearly full: reads only.
    ReadOnly,
    /// Starting up or shutting down.
    Unavailable,
    /// This node could not evaluate; not a result.
    NotEvaluated,
    /// The answer did not come within the time allowed.
    TimedOut,
    /// A bug of this node.
    Internal,
}

impl Code {
    /// `AON-1001` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ItemMalformed => "AON-1001",
            Self::SignatureInvalid => "AON-1002",
            Self::TagInvalid => "AON-1003",
            Self::Duplicate => "AON-1004",
            Self::TooLarge => "AON-1005",
            Self::RequestInvalid => "AON-2001",
            Self::RouteUnknown => "AON-2002",
            Self::MethodNotAllowed => "AON-2003",
            Self::RateLimited => "AON-2004",
            Self::Forbidden => "AON-2005",
            Self::ProcessUnknown => "AON-3001",
            Self::MessageUnknown => "AON-3002",
            Self::ItemUnknown => "AON-3003",
            Self::NotOurs => "AON-3004",
            Self::ModuleRefused => "AON-3005",
            Self::LimitExceeded => "AON-3006",
            Self::MonitorState => "AON-3007",
            Self::Busy => "AON-4001",
            Self::ReadOnly => "AON-4002",
            Self::Unavailable => "AON-4003",
            Self::NotEvaluated => "AON-4004",
            Self::TimedOut => "AON-4005",
            Self::Internal => "AON-5001",
        }
    }

    /// The HTTP status of this code: the only such map in the node.
    pub fn status(self) -> u16 {
        match self {
            Self::ItemMalformed | Self::SignatureInvalid | Self::TagInvalid | Self::Duplicate | Self::RequestInvalid => 400,
            Self::Forbidden => 403,
            Self::RouteUnknown | Self::ProcessUnknown | Self::MessageUnknown | Self::ItemUnknown => 404,
            Self::MethodNotAllowed => 405,
            Self::MonitorState => 409,
            Self::TooLarge | Self::LimitExceeded => 413,
            Self::ModuleRefused => 422,
            Self::NotOurs => 307,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Busy | Self::ReadOnly | Self::Unavailable | Self::NotEvaluated => 503,
            Self::TimedOut => 504,
        }
    }
}

/// A refusal: what happened, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Which rule.
    #[serde(skip)]
    pub code: Code,
    /// One sentence for people.
    pub message: String,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Rejection {
    /// A refusal that trying again does not change.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_s: None }
    }

    /// A refusal that passes.
    pub fn retry(code: Code, message: impl Into<String>, seconds: u32) -> Self {
        Self { code, message: message.into(), retry_after_s: Some(seconds) }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Rejection {}
