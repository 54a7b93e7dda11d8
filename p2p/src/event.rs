//! The words exchanged with the network's task: commands in, events out. Bytes are opaque here.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::error::Failure;
use crate::identity::{KnownPeer, NetAddress, PeerId};
use crate::peers::{Ban, BanReason, Offence};
use crate::topic::Topic;
use crate::wire::Kind;

/// A gossiped message that waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GossipId(pub(crate) u64);

/// A request of ours, named by whoever makes it. The network only carries it along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request of somebody else that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InboundId(pub(crate) u64);

/// What to do with a gossiped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is right and new: forward it.
    Accept,
    /// Neither right nor wrong for this node: old, too early, too much. Not forwarded, nobody's fault.
    Ignore,
    /// Wrong, and whoever forwarded it could have known: [`Offence::Invalid`].
    Reject,
}

/// What to say to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Here it is; at most [`Kind::answer_bytes_max`], else `Refused` is sent and logged as a bug.
    Found(Bytes),
    /// This node does not have it.
    NotFound,
    /// Not now.
    Busy,
    /// It makes no sense, or is not allowed.
    Refused,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The peer.
    In,
    /// This node.
    Out,
}

/// A connected peer, as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// Who.
    pub peer: PeerId,
    /// Who opened the oldest connection.
    pub direction: Direction,
    /// Where it is seen.
    pub address: NetAddress,
    /// Connections, one or two.
    pub connections: u32,
    /// Points, nought or less; at [`BAN_AT`](crate::limits::BAN_AT) it is banned.
    pub score: i32,
    /// gossipsub's score: ours, and what only it sees. A little above nought for those who deliver.
    pub gossip_score: f64,
    /// Time of the last ping there and back.
    pub round_trip: Option<Duration>,
    /// What it says it runs, cut to 64 characters. A claim.
    pub agent: String,
    /// How long it has been connected.
    pub since: Duration,
    /// Whether it is dialled again whenever it is lost.
    pub wanted: bool,
    /// Topics of which it is handed every message at once: gossipsub's mesh. In the others it is told of messages and asks.
    pub meshes: u32,
}

/// What the network's task can be asked to do. Nothing here waits.
#[derive(Debug)]
pub enum Command {
    /// Gossip this to the network. While nobody is subscribed or all queues are full it is kept for a few seconds; gossip is best effort,
    /// whatever must arrive can be asked for. Payload at most [`GOSSIP_BYTES_MAX`](crate::limits::GOSSIP_BYTES_MAX).
    Publish {
        /// What it is about.
        topic: Topic,
        /// The payload.
        data: Bytes,
    },
    /// The verdict on a gossiped message.
    Verdict {
        /// From [`Event::Gossip`].
        id: GossipId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Ask one peer. Exactly one [`Event::Answered`] follows. A peer that is not connected is dialled.
    Request {
        /// Comes back with the answer.
        id: RequestId,
        /// Whom.
        peer: PeerId,
        /// What about.
        kind: Kind,
        /// The request, at most [`Kind::request_bytes_max`].
        data: Bytes,
    },
    /// The answer to a request of somebody else.
    Respond {
        /// From [`Event::Request`].
        id: InboundId,
        /// The answer.
        answer: Answer,
    },
    /// Listen to this topic from now on.
    Subscribe(Topic),
    /// Listen to it no longer.
    Unsubscribe(Topic),
    /// Keep in touch with this peer: dial it now, and again whenever it is lost. Trusted where only such may connect.
    Want(KnownPeer),
    /// Treat it like any other again; where only trusted peers may connect, it is disconnected.
    Unwant(PeerId),
    /// A place where somebody may be found; a hint.
    Hint(KnownPeer),
    /// Close all connections to this peer. It may come back.
    Disconnect(PeerId),
    /// Ban for so long.
    Ban {
        /// Whom.
        peer: PeerId,
        /// For how long.
        length: Duration,
    },
    /// End a ban.
    Unban(PeerId),
    /// Book an offence that the layer above found.
    Penalise {
        /// Whose.
        peer: PeerId,
        /// Which.
        offence: Offence,
    },
    /// Who is connected.
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    /// Who is banned.
    Bans(oneshot::Sender<Vec<Ban>>),
}

/// What the network's task tells.
///
/// [`Event::Gossip`], [`Event::Direct`] and [`Event::Request`] are shed when the layer above is slow: gossip is then ignored, the others are
/// answered "busy". All others always arrive; while there is no room for them the task stops reading from the network.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// This node listens here.
    Listening(NetAddress),
    /// Others reach this node here: configured, or found out by others dialling back.
    Reachable(NetAddress),
    /// A peer is connected and was found to be of this network.
    Connected {
        /// Who.
        peer: PeerId,
        /// Who opened the connection.
        direction: Direction,
        /// Where it is seen.
        address: NetAddress,
    },
    /// The last connection to a peer that was [`Event::Connected`] is gone.
    Disconnected(PeerId),
    /// A message was gossiped. It goes no further until [`Command::Verdict`] says so.
    Gossip {
        /// For the verdict.
        id: GossipId,
        /// Who handed it on. Its author is known to the layer above only.
        from: PeerId,
        /// What it is about.
        topic: Topic,
        /// The payload.
        data: Bytes,
    },
    /// A message from another node's engine. It was acknowledged.
    Direct {
        /// From whom.
        from: PeerId,
        /// The message.
        data: Bytes,
    },
    /// Somebody asks. [`Command::Respond`] must follow within the request's timeout, else "busy" is answered.
    Request {
        /// For the answer.
        id: InboundId,
        /// Who asks.
        from: PeerId,
        /// What about; never [`Kind::Direct`].
        kind: Kind,
        /// The request.
        data: Bytes,
    },
    /// What became of a request of ours.
    Answered {
        /// As it was named.
        id: RequestId,
        /// Who was asked.
        peer: PeerId,
        /// The answer. For [`Kind::Direct`] it is empty and means that the peer has the message.
        result: Result<Bytes, Failure>,
    },
    /// A peer was banned. Keep this, and give it to [`Config::bans`](crate::Config) after a restart.
    Banned(Ban),
    /// A ban is over or was lifted: keep it no longer.
    Unbanned(PeerId),
    /// The peers to dial first after a restart. Keep them, and give them to [`Config::anchors`](crate::Config).
    Anchors(Vec<KnownPeer>),
    /// This node stopped listening here.
    ListenFailed {
        /// Where, if it is known.
        address: Option<NetAddress>,
        /// What the system says.
        reason: String,
    },
}

impl BanReason {
    /// What [`Command::Ban`] is booked as.
    pub(crate) const COMMAND: Self = Self::Operator;
}
