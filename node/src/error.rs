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
    /// The request target is longer than a limit.
    UriTooLong,
    /// The request's headers together are longer than a limit.
    HeadersTooLarge,
    /// The body came too slowly.
    RequestTooSlow,
    /// The body is compressed or of a type the route does not take.
    MediaUnsupported,
    /// Parameters that exclude each other.
    Contradiction,
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
    /// The node is bound to no network.
    NetworkNone,
    /// No state of the process is certified yet.
    StateUncertified,
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
    /// The very item is on its way into the log, and not there yet.
    Underway,
    /// A bug of this node.
    Internal,
}

impl Code {
    /// Every code, in the order of their numbers: what `/docs/errors` and `aonode explain` list.
    pub const ALL: [Self; 31] = [
        Self::ItemMalformed,
        Self::SignatureInvalid,
        Self::TagInvalid,
        Self::Duplicate,
        Self::TooLarge,
        Self::RequestInvalid,
        Self::RouteUnknown,
        Self::MethodNotAllowed,
        Self::RateLimited,
        Self::Forbidden,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::RequestTooSlow,
        Self::MediaUnsupported,
        Self::Contradiction,
        Self::ProcessUnknown,
        Self::MessageUnknown,
        Self::ItemUnknown,
        Self::NotOurs,
        Self::ModuleRefused,
        Self::LimitExceeded,
        Self::MonitorState,
        Self::NetworkNone,
        Self::StateUncertified,
        Self::Busy,
        Self::ReadOnly,
        Self::Unavailable,
        Self::NotEvaluated,
        Self::TimedOut,
        Self::Underway,
        Self::Internal,
    ];

    /// What the code means and what the one who gets it can do, in two sentences.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ItemMalformed => {
                "The body is not a well-formed ANS-104 data item. Sign it again with a data item library and send the raw bytes."
            }
            Self::SignatureInvalid => "The signature does not match the bytes. Do not change an item after signing it.",
            Self::TagInvalid => "A protocol tag is missing, repeated or has a wrong value. The message names it.",
            Self::Duplicate => {
                "This item, or the same pushed content, is already in the process's log. Nothing needs to be done; ask for its result."
            }
            Self::TooLarge => "The body is larger than a limit. The message gives both sizes.",
            Self::RequestInvalid => "A parameter is missing or not of its form. The message names it.",
            Self::RouteUnknown => "There is no such route. `/openapi.json` lists the native ones.",
            Self::MethodNotAllowed => "The route exists but not with this method. The `Allow` header lists those it has.",
            Self::RateLimited => "Too many requests from this address. Wait for the seconds in `Retry-After`.",
            Self::Forbidden => "This caller may not do this. Admin routes need the bearer token and a local `Host`.",
            Self::UriTooLong => "The request target is too long. Send long values in the body.",
            Self::HeadersTooLarge => "The headers together are too long. Send fewer or shorter ones.",
            Self::RequestTooSlow => "The body came more slowly than the least rate. Send it again over a better connection.",
            Self::MediaUnsupported => {
                "The body is compressed or of a type the route does not take. Send it plainly, with the content type the message names."
            }
            Self::Contradiction => "Two parameters exclude each other. Give only one of those that the message names.",
            Self::ProcessUnknown => "This node does not know the process. Check the id and that it was spawned on this network.",
            Self::MessageUnknown => "The message is not in this process's log. Check both ids.",
            Self::ItemUnknown => "This node does not have the item. Upload it first, for example with `POST /tx`.",
            Self::NotOurs => "Another scheduler orders this process: send the message to a node of that one.",
            Self::ModuleRefused => "The module's format, encoding or extension is not supported here. The message lists what is.",
            Self::LimitExceeded => "The process asks for more than this node's limit. Ask for less or use another node.",
            Self::MonitorState => "The monitor exists already, or there is none to remove.",
            Self::NetworkNone => "This node is by itself: it is bound to no genesis. Ask a node of the network you mean.",
            Self::StateUncertified => {
                "No state of the process is certified yet, so there is nothing to make a snapshot of. The message says how often states are certified."
            }
            Self::Busy => "A queue of this node is full. Try again after the seconds in `Retry-After`.",
            Self::ReadOnly => "The disk is nearly full, so writes are refused; reads go on. Free space or try another node.",
            Self::Unavailable => "The node is starting up, draining or shutting down. Try again soon.",
            Self::NotEvaluated => {
                "This host could not evaluate the message; this says nothing about the result. Try again or ask another node."
            }
            Self::TimedOut => "The answer did not come in time. Ask again; the work goes on.",
            Self::Underway => {
                "The item was sent before and is on its way into the log; a crash could still take it. Send it again in a moment: once it is there, that is said."
            }
            Self::Internal => "A bug of this node. The log has the details under the request's id; please report it.",
        }
    }

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
            Self::UriTooLong => "AON-2006",
            Self::HeadersTooLarge => "AON-2007",
            Self::RequestTooSlow => "AON-2008",
            Self::MediaUnsupported => "AON-2009",
            Self::Contradiction => "AON-2010",
            Self::ProcessUnknown => "AON-3001",
            Self::MessageUnknown => "AON-3002",
            Self::ItemUnknown => "AON-3003",
            Self::NotOurs => "AON-3004",
            Self::ModuleRefused => "AON-3005",
            Self::LimitExceeded => "AON-3006",
            Self::MonitorState => "AON-3007",
            Self::NetworkNone => "AON-3008",
            Self::StateUncertified => "AON-3009",
            Self::Busy => "AON-4001",
            Self::ReadOnly => "AON-4002",
            Self::Unavailable => "AON-4003",
            Self::NotEvaluated => "AON-4004",
            Self::TimedOut => "AON-4005",
            Self::Underway => "AON-4006",
            Self::Internal => "AON-5001",
        }
    }

    /// The HTTP status of this code: the only such map in the node.
    pub fn status(self) -> u16 {
        match self {
            Self::ItemMalformed | Self::SignatureInvalid | Self::TagInvalid | Self::Duplicate | Self::RequestInvalid => 400,
            Self::Forbidden => 403,
            Self::RouteUnknown
            | Self::ProcessUnknown
            | Self::MessageUnknown
            | Self::ItemUnknown
            | Self::NetworkNone
            | Self::StateUncertified => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTooSlow => 408,
            Self::MonitorState => 409,
            Self::TooLarge | Self::LimitExceeded => 413,
            Self::UriTooLong => 414,
            Self::MediaUnsupported => 415,
            Self::ModuleRefused | Self::Contradiction => 422,
            Self::NotOurs => 421,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::Busy | Self::ReadOnly | Self::Unavailable | Self::NotEvaluated | Self::Underway => 503,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_sorted_and_map_to_failures() {
        let mut last = "";
        for code in Code::ALL {
            assert!(code.as_str() > last, "{} after {last}", code.as_str());
            last = code.as_str();
            assert!((300..600).contains(&code.status()), "{last}");
            assert!(code.meaning().ends_with('.'), "{last}");
        }
    }
}
