//! Every bound of this crate, and how the bounds relate.
//!
//! What an operator may set is in [`Config`](crate::Config); its defaults are here. The rest is fixed, because peers rely on it (sizes on
//! the wire) or because no deployment needs another value. Each bound that a stranger can reach has a test that shows it bites.

use std::time::Duration;

// --- gossip -----------------------------------------------------------------------------------------------------------------------------

/// Bytes of one gossiped payload: `gossip_max` of `consensus.md`, section 3. Larger frames are pulled.
pub const GOSSIP_BYTES_MAX: usize = 32 << 10;

/// Bytes of one gossiped message as libp2p frames it: payload, version byte, topic, tags and lengths.
pub const GOSSIP_MESSAGE_BYTES_MAX: usize = GOSSIP_BYTES_MAX + 1024;

/// Bytes libp2p may hold of one gossip stream while it looks for the end of a message. It reads 8 KiB at a time and counts what it read of
/// the next message too, so this stays well above [`GOSSIP_MESSAGE_BYTES_MAX`].
pub const GOSSIP_RPC_BYTES_MAX: usize = 64 << 10;

/// Shards that frames are spread over. Fixed for all nodes: a peer's subscription table has a bound, and processes have none.
pub const SHARDS: u8 = 16;

/// Topics of one network: the shards and one each for certificates, votes, evidence and tips.
pub const TOPICS: usize = SHARDS as usize + 4;

/// Messages waiting to be sent to one peer; beyond that the newest are dropped and the peer counts as slow.
pub const GOSSIP_QUEUE_PER_PEER: usize = 128;

/// Messages of one gossip call; nobody needs more than a handful.
pub const GOSSIP_MESSAGES_PER_RPC: usize = 64;

/// How long a content id is remembered, so that a replay within it costs one look-up.
pub const GOSSIP_SEEN_FOR: Duration = Duration::from_secs(120);

/// Messages handed up whose verdict has not come. Beyond that new ones are ignored at once.
pub const VERDICTS_PENDING_MAX: usize = 4096;

/// How long a verdict may take. libp2p forgets a message after five heartbeats; before that it is answered with "ignore".
pub const VERDICT_WITHIN: Duration = Duration::from_secs(4);

/// Own messages kept for another try while no peer is subscribed or all queues are full.
pub const PUBLISH_RETRIES_MAX: usize = 256;

/// How long such a message is worth another try. Later, whoever needs it asks for it.
pub const PUBLISH_RETRY_FOR: Duration = Duration::from_secs(5);

/// Messages per second one peer may send for long, duplicates included, unless configured otherwise; twice as many at once. A few schedulers
/// that close a hundred frames per second each stay well below.
pub const INTAKE_PER_SECOND: u32 = 2048;

/// Content ids remembered per peer, to see that it sends the same message again.
pub const INTAKE_SEEN: usize = 512;

/// Repetitions by one peer that cost it nothing: an answer to "I want" may cross the message itself.
pub const REPLAY_BURST: u32 = 32;

/// Repetitions per second that cost nothing for long.
pub const REPLAY_PER_SECOND: u32 = 1;

/// Topics that do not exist which a peer may ask for at once without cost: a newer version may have more of them.
pub const UNKNOWN_TOPICS_BURST: u32 = 32;

/// Such topics per second that cost nothing for long.
pub const UNKNOWN_TOPICS_PER_SECOND: u32 = 1;

/// Bytes of subscriptions and control messages in one call.
pub const GOSSIP_CONTROL_BYTES_MAX: usize = 16 << 10;

const _: () = assert!(GOSSIP_MESSAGE_BYTES_MAX + (8 << 10) < GOSSIP_RPC_BYTES_MAX, "an honest message fits what libp2p may hold");
const _: () = assert!(TOPICS <= 100, "libp2p's own cap on topics per peer");
const _: () = assert!(VERDICT_WITHIN.as_secs() < 5, "verdicts are reported before libp2p forgets the message");
const _: () = assert!(SHARDS.is_power_of_two());

// --- requests ---------------------------------------------------------------------------------------------------------------------------

/// Bytes of one chunk of a body: `consensus.md`, section 3.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Bytes that may stand beside a chunk: its Merkle path and framing of the layer above.
pub const CHUNK_PROOF_BYTES_MAX: usize = 16 << 10;

/// Bytes of a question: ids, offsets, counts.
pub const QUESTION_BYTES_MAX: usize = 4 << 10;

/// Bytes of a message from engine to engine.
pub const DIRECT_BYTES_MAX: usize = 128 << 10;

/// Bytes of an item forwarded whole; larger ones are offered and pulled in chunks.
pub const FORWARD_BYTES_MAX: usize = 512 << 10;

/// Bytes of the answer to a range: headers, entries, certificates.
pub const RANGE_BYTES_MAX: usize = 1 << 20;

/// Bytes of the answer to a forwarded item: a receipt or a refusal.
pub const RECEIPT_BYTES_MAX: usize = 16 << 10;

/// Bytes allocated ahead of what has arrived while a body is read.
pub const READ_STEP_BYTES: usize = 64 << 10;

/// Bytes of requests and answers in memory, over all peers, until the layer above lets go of them. Beyond that reading fails.
pub const EXCHANGE_BYTES_MAX: usize = 96 << 20;

/// Own requests that wait for an answer.
pub const REQUESTS_MAX: usize = 1024;

/// Own questions that wait for an answer of one peer.
pub const REQUESTS_PER_PEER: usize = 16;

/// Own direct messages that wait for one peer's receipt.
pub const DIRECT_PER_PEER: usize = 128;

/// Requests of others that wait for our answer.
pub const INBOUND_MAX: usize = 512;

/// Requests of one peer that wait for our answer.
pub const INBOUND_PER_PEER: usize = 32;

/// Requests per second one peer may make for long, direct messages among them, unless configured otherwise; twice as many at once.
pub const INBOUND_PER_SECOND: u32 = 1024;

/// Streams of requests open at once on one connection, both ways.
pub const STREAMS_PER_CONNECTION: usize = 256;

/// Part of the request's timeout within which we answer; what is left is for the way back.
pub const ANSWER_WITHIN_PERCENT: u32 = 80;

const _: () = assert!(CHUNK_BYTES + CHUNK_PROOF_BYTES_MAX <= RANGE_BYTES_MAX && RANGE_BYTES_MAX < EXCHANGE_BYTES_MAX);
const _: () = assert!(FORWARD_BYTES_MAX * INBOUND_PER_PEER < EXCHANGE_BYTES_MAX, "one peer's requests do not starve the others");
const _: () = assert!(REQUESTS_PER_PEER + DIRECT_PER_PEER + INBOUND_PER_PEER < STREAMS_PER_CONNECTION);
const _: () = assert!(READ_STEP_BYTES <= DIRECT_BYTES_MAX);

// --- connections ------------------------------------------------------------------------------------------------------------------------

/// Connections that are being set up by others.
pub const PENDING_IN_MAX: u32 = 64;

/// Connections that we are setting up.
pub const PENDING_OUT_MAX: u32 = 32;

/// Connections to one peer: one each way, when both dial at once, and as many of a life of it that ended without a word and is not known
/// to be over yet. The operations page says 2, and 2 are what stays of one life: whoever dialled more than once closes the others. With
/// no more than 2 let in, a peer that was killed and comes back would be refused until the connections of its old life time out, for only
/// a connection can say that a new life has begun.
pub const CONNECTIONS_PER_PEER: u32 = 4;

/// New connections a subnet may open at once.
pub const SUBNET_BURST: u32 = 32;

/// New connections per second a subnet may open for long.
pub const SUBNET_PER_SECOND: u32 = 4;

/// Subnets whose rate of connections is remembered.
pub const SUBNETS_REMEMBERED: usize = 4096;

/// Handshakes end within this or not at all (libp2p's builder has the same default; a slow one is dropped).
pub const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A connection on which nothing is open is closed after this.
pub const IDLE_FOR: Duration = Duration::from_secs(60);

/// Streams that one connection may be negotiating.
pub const NEGOTIATING_STREAMS_MAX: usize = 64;

/// Streams open on one TCP connection. Each may hold 256 KiB that nobody reads.
pub const YAMUX_STREAMS_MAX: usize = 384;

/// Unanswered pings before a connection counts as dead.
pub const PING_FAILURES_MAX: u32 = 3;

const _: () = assert!(STREAMS_PER_CONNECTION < YAMUX_STREAMS_MAX);

// --- peers ------------------------------------------------------------------------------------------------------------------------------

/// Peers whose addresses are remembered.
pub const PEERS_KNOWN_MAX: usize = 1024;

/// Peers whose offences are remembered after they left.
pub const LEDGERS_MAX: usize = 4096;

/// Bans remembered; the one that ends first makes room.
pub const BANS_MAX: usize = 4096;

/// Characters of what a peer says it runs.
pub const AGENT_CHARS_MAX: usize = 64;

/// Addresses remembered of one peer.
pub const ADDRESSES_PER_PEER: usize = 8;

/// Bytes of one address.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Peers to dial first after a restart.
pub const ANCHORS_MAX: usize = 8;

/// Outbound dials started in one round of upkeep.
pub const DIALS_PER_ROUND: usize = 8;

/// First pause after a dial that failed; doubles up to [`DIAL_PAUSE_MAX`].
pub const DIAL_PAUSE_MIN: Duration = Duration::from_millis(500);

/// Longest pause between dials to a stranger; after it, a stranger is forgotten.
pub const DIAL_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Longest pause between dials to a peer that is always wanted, or that was connected before: what a partition's end may cost.
pub const FRIEND_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Pause before a peer that spoke another version of the protocol is dialled again.
pub const VERSION_PAUSE: Duration = Duration::from_secs(30);

/// How often the log says so of one peer.
pub const VERSION_TOLD_EVERY: Duration = Duration::from_secs(600);

/// How often the outbound peer with the lowest score makes room for another, so that no set of peers surrounds a node for ever.
pub const ROTATE_EVERY: Duration = Duration::from_secs(30 * 60);

/// First pause between two looks for peers by a random key, after the first connection; doubles up to [`EXPLORE_EVERY`]. Nodes that start
/// together are known to nobody when they ask first.
pub const EXPLORE_FIRST: Duration = Duration::from_secs(1);

/// How often the table of distant peers is refreshed by looking for a random key, while connections are missing.
pub const EXPLORE_EVERY: Duration = Duration::from_secs(30);

/// How often the anchors are chosen anew.
pub const ANCHORS_EVERY: Duration = Duration::from_secs(60);

/// Score at which a peer is banned.
pub const BAN_AT: i32 = -100;

/// Points for delays that gossip does not hold against a peer.
pub const DELAYS_FORGIVEN: i32 = 50;

/// Points a peer regains per minute, up to nought.
pub const POINTS_PER_MINUTE: i32 = 10;

/// First ban; each further one of the same peer is six times as long, up to [`BAN_MAX`].
pub const BAN_MIN: Duration = Duration::from_secs(10 * 60);

/// First ban for a gossip score: an honest node whose words are lost on the way breaks the promises of its gossip, and must be met again soon
/// after its wire is whole.
pub const GOSSIP_BAN_MIN: Duration = Duration::from_secs(30);

/// Longest ban by score.
pub const BAN_MAX: Duration = Duration::from_secs(24 * 3600);

/// Connections that may be configured, of each direction.
pub const CONNECTIONS_MAX: u32 = 4096;

/// Shortest interval that heartbeat, upkeep and a request's timeout may be configured to.
pub const INTERVAL_MIN: Duration = Duration::from_millis(10);

// --- channels ---------------------------------------------------------------------------------------------------------------------------

/// Commands that wait for the network's task; beyond that sending one fails.
pub const COMMANDS: usize = 1024;

/// Events that wait for the layer above.
pub const EVENTS: usize = 2048;

/// Room of the event channel that gossip and others' requests leave free for what must not be lost.
pub const EVENTS_RESERVED: usize = 512;

/// Commands carried out between two looks at the network.
pub const COMMANDS_PER_TURN: usize = 64;

const _: () = assert!(EVENTS_RESERVED < EVENTS);
