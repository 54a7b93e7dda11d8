//! Every bound of the HTTP edge (`operations.md`, section 7). What an operator may set is in [`Limits`]; what nobody should is a constant.
//!
//! `node/tests/http_limits.rs` shows on real sockets that each of them bites.

use std::time::Duration;

/// Largest data item taken (`interop-legacynet.md`, section 2.1): 10 MiB.
pub const ITEM_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Largest module or other upload taken by `POST /tx`; below [`Limits::body_bytes_max`] by default.
pub const UPLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest body of the admin listener.
pub const ADMIN_BYTES_MAX: usize = 4 * 1024;
/// Longest request target, bytes.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// All header names and values of a request together, bytes.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// What the HTTP/1 parser buffers before it gives up by itself (431 without a body): above [`HEADER_BYTES_MAX`] plus [`URI_BYTES_MAX`],
/// so that requests just over those get an answer that says so.
pub const HEAD_BUFFER_BYTES: usize = 64 * 1024;
/// Most header lines.
pub const HEADERS_MAX: usize = 100;
/// Most query parameters.
pub const PARAMETERS_MAX: usize = 64;
/// Deepest nesting of a JSON body.
pub const JSON_DEPTH_MAX: usize = 32;
/// A refused body is read and thrown away up to this size, so that a client that writes before it reads sees the answer.
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Addresses whose rate is remembered. The longest unseen is forgotten first: it is the one whose bucket is full again.
pub const RATE_ADDRESSES_MAX: usize = 16_384;
/// Concurrent streams of one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 128;
/// Bytes of rows in one page, after which a page ends early and says that there is more.
pub const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries of a schedule page: default and most.
pub const SCHEDULE_PAGE: (usize, usize) = (100, 1000);
/// Entries of a page of results: default and most.
pub const RESULTS_PAGE: (usize, usize) = (25, 1000);
/// Entries of a page of cron results: default and most.
pub const CRON_PAGE: (usize, usize) = (500, 1000);
/// Entries of a native list: default and most.
pub const LIST_PAGE: (usize, usize) = (30, 100);
/// Milliseconds that a request waits for a level: default and most.
pub const WAIT_MS: (usize, usize) = (20_000, 60_000);
/// Index rows that one GraphQL query may look at; beyond, the page ends and says that there is more.
pub const GRAPHQL_ROWS_MAX: usize = 20_000;
/// Bytes of items that one GraphQL query may read to compare their tags; beyond, the same.
pub const GRAPHQL_READ_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Events kept for streams that come back.
pub const EVENTS_KEPT: usize = 4096;
/// How often a quiet event stream says that it is alive.
pub const EVENT_PING: Duration = Duration::from_secs(15);
/// How long a graceful stop waits for requests in flight before it drops them.
pub const STOP_GRACE: Duration = Duration::from_secs(4);
/// Waiting after the operating system refused a socket (no descriptors left): first and longest.
pub const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Requests per second and address; 0 stands for no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Reads.
    pub read_per_s: u32,
    /// Writes.
    pub write_per_s: u32,
    /// Dry runs.
    pub dry_run_per_s: u32,
    /// Seconds of the rate that may come at once.
    pub burst_s: u32,
    /// Whether the loopback address is free of rates and of the connection limit: tools on the same machine burst, and whoever is there
    /// can do worse. Turn it off behind a reverse proxy.
    pub loopback_free: bool,
}

impl Default for Rates {
    fn default() -> Self {
        Self { read_per_s: 50, write_per_s: 10, dry_run_per_s: 2, burst_s: 4, loopback_free: true }
    }
}

/// What an operator may set.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// From the first byte of a request, or the start of the connection, to the end of its headers.
    pub header_timeout: Duration,
    /// A connection without a request.
    pub idle_timeout: Duration,
    /// A client that does not take what is sent to it.
    pub write_timeout: Duration,
    /// A whole body.
    pub body_timeout: Duration,
    /// Least speed of a body after [`Self::body_grace`], bytes per second.
    pub body_rate_min: u64,
    /// Time before the speed counts.
    pub body_grace: Duration,
    /// Largest body of any kind.
    pub body_bytes_max: usize,
    /// Bodies in memory, all together. A request that does not fit is answered `Busy`.
    pub bodies_bytes_max: usize,
    /// Connections.
    pub connections_max: usize,
    /// Connections of one address (of one /64 in IPv6).
    pub connections_per_ip_max: usize,
    /// Requests per second.
    pub rates: Rates,
    /// Dry runs and other reads of states, under way or waiting for their turn.
    pub dry_runs_max: usize,
    /// Requests that wait for a result.
    pub waiters_max: usize,
    /// Pages, lists and queries being read from the store at one time.
    pub scans_max: usize,
    /// Event streams.
    pub streams_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            body_rate_min: 8 * 1024,
            body_grace: Duration::from_secs(2),
            body_bytes_max: UPLOAD_BYTES_MAX,
            bodies_bytes_max: 128 * 1024 * 1024,
            connections_max: 1024,
            connections_per_ip_max: 64,
            rates: Rates::default(),
            dry_runs_max: 64,
            waiters_max: 512,
            scans_max: 16,
            streams_max: 64,
        }
    }
}

const _: () = {
    assert!(ITEM_BYTES_MAX <= UPLOAD_BYTES_MAX);
    assert!(HEAD_BUFFER_BYTES > HEADER_BYTES_MAX + URI_BYTES_MAX);
    assert!(DRAIN_BYTES_MAX > UPLOAD_BYTES_MAX as u64);
    // A scan chunk must fit in a page, and a page in what all bodies may take.
    assert!(PAGE_BYTES_MAX >= ITEM_BYTES_MAX);
};
