//! Label values as closed enums: a label can never grow with what strangers send, and a child metric is found by index, not by text.

use prometheus::core::{Collector, Desc, Metric, MetricVec, MetricVecBuilder};
use prometheus::proto::MetricFamily;

/// A closed set of values of one label.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// Position in [`Label::ALL`].
    fn index(self) -> usize;
    /// As it is exported.
    fn text(self) -> &'static str;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident = $label:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn index(self) -> usize { self as usize }
            fn text(self) -> &'static str { match self { $(Self::$variant => $text),+ } }
        }
    };
}

label! {
    /// How far a message came: the levels of the network, plus the two that end it early.
    State = "state" {
        /// Its signature holds.
        Received = "received",
        /// It has a slot, durably.
        Assigned = "assigned",
        /// A certificate covers its frame; engines without certificates on frames go without.
        Certified = "certified",
        /// The engine confirmed its frame.
        Confirmed = "confirmed",
        /// It was evaluated.
        Computed = "computed",
        /// All its outbox entries are dealt with.
        Pushed = "pushed",
        /// Refused before it got a slot.
        Rejected = "rejected",
        /// This host could not evaluate it; it will be tried again.
        NotEvaluated = "not_evaluated",
    }
}

label! {
    /// What became of shipments on their way to Arweave.
    AnchorOutcome = "outcome" {
        /// Deep enough, and read back.
        Settled = "settled",
        /// Posted again, the same bytes.
        Reposted = "reposted",
        /// Signed and paid anew: what was signed before can no longer be mined.
        SignedAgain = "signed_again",
        /// Its block was replaced by another.
        Reorganised = "reorganised",
        /// It could not be read back.
        Unreadable = "unreadable",
    }
}

label! {
    /// What became of chunks of snapshots.
    Chunk = "outcome" {
        /// Came from a peer, and is the right one.
        Fetched = "fetched",
        /// Was here already from before a restart.
        Kept = "kept",
        /// Is not the one that its manifest names.
        Bad = "bad",
        /// Did not come.
        Failed = "failed",
        /// The last part of it was given to a peer.
        Served = "served",
    }
}

label! {
    /// How a request to a gateway or bundling service went.
    Asking = "outcome" {
        /// An answer, whatever it said.
        Answered = "answered",
        /// None, a late one, or a fault of its own.
        Failed = "failed",
        /// It asked to be left alone.
        Busy = "busy",
        /// What it said is not so.
        Lied = "lied",
    }
}

label! {
    /// A stage of the walk, timed from the end of the one before; `certify` is the first part of `confirm`.
    Stage = "stage" {
        /// From the arrival of the bytes to a durable slot.
        Assign = "assign",
        /// From the slot to the certificate.
        Certify = "certify",
        /// From the slot to the confirmation.
        Confirm = "confirm",
        /// From the confirmation to the durable evaluation, queueing included.
        Compute = "compute",
        /// From the evaluation to the durable slot of the pushed message.
        Push = "push",
    }
}

label! {
    /// What a message that has a slot waits for.
    Waiting = "stage" {
        /// The confirmation.
        Confirm = "confirm",
        /// The evaluation.
        Compute = "compute",
        /// The delivery of what it sent.
        Push = "push",
    }
}

label! {
    /// What contradicts itself; the kinds of evidence.
    Fault = "kind" {
        /// Two headers for one place.
        TwoHeaders = "two-headers",
        /// Two assignments for one slot.
        TwoAssignments = "two-assignments",
        /// Attestations on two branches.
        TwoBranches = "two-branches",
        /// A seal that hides a certificate.
        SealBroken = "seal-broken",
        /// Certificates that exclude one another.
        TwoCertificates = "two-certificates",
        /// Two votes in one round.
        TwoVotes = "two-votes",
        /// Two results for one slot.
        TwoResults = "two-results",
    }
}

label! {
    /// What an attestor's key signs.
    Vote = "kind" {
        /// A frame.
        Attestation = "attestation",
        /// A step of a round, or a result.
        Position = "position",
    }
}

label! {
    /// What became of a wish to sign.
    Signing = "result" {
        /// Its row is durable: it may be signed.
        Signed = "signed",
        /// It is not, so it is not signed.
        Refused = "refused",
    }
}

label! {
    /// Why a key did not sign.
    SigningRefusal = "reason" {
        /// It contradicts what the key signed.
        Conflict = "conflict",
        /// The slashing protection could not be written.
        Failed = "failed",
        /// The node only listens, for now or for good.
        Silent = "silent",
    }
}

label! {
    /// Evidence as the store has it.
    EvidenceStatus = "status" {
        /// Checked, and kept for good.
        Verified = "verified",
    }
}

label! {
    /// Whose stake.
    StakeStatus = "status" {
        /// Of this node's attestor.
        Own = "own",
        /// Of the whole committee.
        Committee = "committee",
    }
}

label! {
    /// Why a round decided nothing.
    ViewChange = "reason" {
        /// Another one had to follow.
        Undecided = "undecided",
    }
}

label! {
    /// How signatures were checked.
    Checked = "kind" {
        /// One, or one sum.
        Single = "single",
        /// Several sums at once.
        Aggregate = "aggregate",
    }
}

label! {
    /// Where a compiled module was found.
    Found = "outcome" {
        /// In memory.
        Memory = "memory",
        /// On disk.
        Disk = "disk",
        /// Nowhere: compiled.
        Compiled = "compiled",
        /// Nowhere, and it is not to be compiled.
        Refused = "refused",
        /// Nowhere, and this host could not compile it just now.
        Failed = "failed",
    }
}

label! {
    /// Why an evaluation failed, or did not happen.
    ComputeFailure = "reason" {
        /// The process returned or raised an error of its own.
        Process = "process",
        /// Out of fuel.
        Fuel = "fuel",
        /// Over the memory limit.
        Memory = "memory",
        /// Calls too deep.
        Stack = "stack",
        /// Any other trap.
        Trap = "trap",
        /// The module does not compile or is over an admission limit.
        Compile = "compile",
        /// The local wall-clock guard fired, or the host ran short: not a result.
        Guard = "guard",
    }
}

label! {
    /// How an attempt ended.
    Outcome = "outcome" {
        /// Done.
        Ok = "ok",
        /// Will be tried again.
        Retry = "retry",
        /// Given up: nobody will take it.
        Failed = "failed",
    }
}

label! {
    /// What a health check looks at.
    Check = "check" {
        /// The store answers.
        Db = "db",
        /// Free space is above the reserve.
        Disk = "disk",
        /// The core's loop turns.
        Core = "core",
        /// The chain's tip moves.
        Chain = "chain",
        /// Enough peers are connected.
        Peers = "peers",
        /// What peers have is here.
        Sync = "sync",
        /// What is scheduled is confirmed.
        Quorum = "quorum",
        /// The attestor's key may sign.
        Signer = "signer",
        /// What is confirmed gets to Arweave.
        Anchor = "anchor",
        /// No checkpoint at which evaluation began was refuted.
        Checkpoint = "checkpoint",
    }
}

label! {
    /// Why a request was refused before any handler saw it.
    HttpRejection = "reason" {
        /// Headers did not arrive in time.
        HeaderTimeout = "header_timeout",
        /// The body came too slowly.
        BodyTimeout = "body_timeout",
        /// The body is larger than the limit.
        BodySize = "body_size",
        /// The request line is longer than the limit.
        UriSize = "uri_size",
        /// The headers are larger than the limit.
        HeaderSize = "header_size",
        /// JSON nested deeper than the limit, or not JSON.
        JsonDepth = "json_depth",
        /// All connections are taken.
        Connections = "connections",
        /// One address has all the connections it may have.
        ConnectionsPerIp = "connections_per_ip",
        /// One address asks too often.
        Rate = "rate",
        /// Too many dry runs or result waiters.
        Concurrency = "concurrency",
        /// The body is compressed.
        Encoding = "encoding",
        /// A `Host` or token the admin listener does not accept.
        Admin = "admin",
    }
}

/// One child per value of `L`, made once, found by index.
#[derive(Clone)]
pub struct By<L: Label, M> {
    children: Vec<M>,
    values: std::marker::PhantomData<L>,
}

impl<L: Label, M: Clone> By<L, M> {
    /// The metric of `value`.
    pub fn of(&self, value: L) -> &M {
        &self.children[value.index()]
    }

    pub(super) fn with(child: impl Fn(L) -> prometheus::Result<M>) -> prometheus::Result<Self> {
        let children = L::ALL.iter().map(|value| child(*value)).collect::<Result<_, _>>()?;
        Ok(Self { children, values: std::marker::PhantomData })
    }

    pub(super) fn new<B>(vec: &MetricVec<B>) -> prometheus::Result<Self>
    where
        B: MetricVecBuilder<M = M>,
        M: Metric,
    {
        Self::with(|value| vec.get_metric_with_label_values(&[value.text()]))
    }
}

/// A gauge whose value is asked for when somebody looks.
pub(super) struct Asked<F> {
    desc: Desc,
    name: String,
    help: String,
    ask: F,
}

impl<F: Fn() -> f64 + Send + Sync> Asked<F> {
    pub(super) fn new(name: &str, help: &str, ask: F) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), std::collections::HashMap::new())?;
        Ok(Self { desc, name: name.to_owned(), help: help.to_owned(), ask })
    }
}

impl<F: Fn() -> f64 + Send + Sync> Collector for Asked<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match prometheus::Gauge::new(self.name.clone(), self.help.clone()) {
            Ok(gauge) => {
                gauge.set((self.ask)());
                gauge.collect()
            }
            Err(_) => Vec::new(),
        }
    }
}
