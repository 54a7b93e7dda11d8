//! Every bound of the network shell, and how bounds relate. `ao-p2p` has its own page below this one.

use std::time::Duration;

use ao_consensus::limits::{CHUNK_BYTES, FRAME_SIGNATURE_BYTES_MAX, HEADER_BYTES_MAX, PAYLOAD_BYTES_ALONE_MAX};
use ao_p2p::limits::{DIRECT_BYTES_MAX, GOSSIP_BYTES_MAX, RANGE_BYTES_MAX, REQUESTS_PER_PEER};

use super::message::HEAD_BYTES;

// --- messages ---------------------------------------------------------------------------------------------------------------------------

/// Chains whose tips one message names; also chains that a node follows.
pub const TIPS_MAX: usize = 1024;

/// Frames of one range.
pub const RANGE_FRAMES_MAX: usize = 64;

/// Bytes of the frames of one range, framing included.
pub const RANGE_PIECES_BYTES_MAX: usize = RANGE_BYTES_MAX - 5;

/// Parts of an item of the greatest size.
pub const PARTS_MAX: usize = ao_types::limits::MODULE_BYTES_MAX.div_ceil(CHUNK_BYTES) + 1;

/// Bytes of the reason in a refusal of a forwarded item.
pub const REASON_BYTES_MAX: usize = 1024;

const _: () = assert!(5 + TIPS_MAX * 81 + 8 + HEAD_BYTES <= DIRECT_BYTES_MAX, "the tips of all chains fit one message");
const _: () = assert!(HEADER_BYTES_MAX + FRAME_SIGNATURE_BYTES_MAX + 32 + HEAD_BYTES <= GOSSIP_BYTES_MAX, "any header can be gossiped");
const _: () = assert!(HEADER_BYTES_MAX + FRAME_SIGNATURE_BYTES_MAX + 5 <= RANGE_PIECES_BYTES_MAX, "a range makes progress");

// --- catching up ------------------------------------------------------------------------------------------------------------------------

/// Ranges of one chain that are asked for, or wait for their turn, at once.
pub const RANGES_PER_CHAIN: usize = 6;

/// Ranges asked of one peer at once.
pub const RANGES_PER_PEER: usize = 3;

/// Bytes of ranges that wait for their turn, over all chains. Beyond it only the first range of a chain is asked for.
pub const RANGE_BYTES_WAITING_MAX: usize = 48 << 20;

/// Frames handed to the core ahead of those it has applied: what it keeps out of order.
pub const AHEAD_MAX: u64 = 64;

/// Frames that may be missing before they are asked for at once; those of the last moments are on their way by gossip.
pub const NEAR: u64 = 8;

/// Milliseconds that gossip has for the newest frames before they are asked for.
pub const GRACE_MS: u64 = 1_000;

/// Milliseconds after which a range is asked of another peer as well.
pub const SLOW_MS: u64 = 2_000;

/// Milliseconds without progress after which what was handed over is taken for lost, at first;
pub const STUCK_MS_MIN: u64 = 5_000;
/// doubling up to this.
pub const STUCK_MS_MAX: u64 = 60_000;

/// Milliseconds that a peer is left alone after a range that it did not give, at first;
pub const REST_MS_MIN: u64 = 500;
/// doubling up to this.
pub const REST_MS_MAX: u64 = 30_000;

/// Ranges on other branches that engines asked for and that are still open.
pub const DETOURS_MAX: usize = 64;

/// Peers whose tips are remembered.
pub const SYNC_PEERS_MAX: usize = 256;

const _: () = assert!(RANGES_PER_PEER < REQUESTS_PER_PEER, "chunks find room beside ranges");

// --- bodies -----------------------------------------------------------------------------------------------------------------------------

/// Bodies pulled at once.
pub const PULLS_MAX: usize = 16;

/// Bytes of bodies pulled at once, by what their headers say.
pub const PULL_BYTES_MAX: usize = 96 << 20;

/// Headers whose bodies wait until others are here. The newest are dropped beyond that: catching up brings them.
pub const PULLS_WAITING_MAX: usize = 256;

/// Chunks of one body asked for at once.
pub const CHUNKS_AT_ONCE: usize = 4;

/// Peers remembered as holders of one body.
pub const HOLDERS_MAX: usize = 16;

/// Frames whose holders are remembered before the header is here.
pub const HOLDERS_AHEAD_MAX: usize = 1024;

/// Peers that are told when a body is complete here: what is told spreads from node to node.
pub const TELL_MAX: usize = 8;

/// Milliseconds after which a refused or failed chunk is asked for again, at first;
pub const CHUNK_PAUSE_MS_MIN: u64 = 50;
/// doubling up to this.
pub const CHUNK_PAUSE_MS_MAX: u64 = 2_000;

/// Milliseconds after which a body that nobody gives is given up; catching up asks for its frame again.
pub const PULL_MS_MAX: u64 = 60_000;

/// Items pulled, or asked about, at once: modules are few, the wallets that outboxes write to are many.
pub const ITEMS_MAX: usize = 256;

/// Peers that are remembered not to have an item; if so many say so, nobody else is asked.
pub const DENIALS_MAX: usize = 128;

/// Bytes of an item that is pulled.
pub const ITEM_PULL_BYTES_MAX: usize = ao_types::limits::MODULE_BYTES_MAX + ao_types::limits::ITEM_HEADER_BYTES_MAX;

/// Bytes of unfinished items. Beyond it only the one that is nearest to its end goes on.
pub const ITEM_BYTES_WAITING_MAX: usize = 64 << 20;

const _: () = assert!(PAYLOAD_BYTES_ALONE_MAX < PULL_BYTES_MAX, "the largest body can be pulled");
const _: () = assert!(CHUNKS_AT_ONCE + RANGES_PER_PEER < REQUESTS_PER_PEER);

// --- states -----------------------------------------------------------------------------------------------------------------------------

/// Questions about states that wait for the network's task.
pub const INQUIRIES_MAX: usize = 64;

/// Snapshots of one process that a node offers.
pub const OFFERS_MAX: usize = 2;

const _: () =
    assert!(2 + OFFERS_MAX * (4 + crate::snapshot::limits::MANIFEST_BYTES_MAX) <= ao_p2p::limits::CHUNK_BYTES, "offers fit one answer");

// --- serving ----------------------------------------------------------------------------------------------------------------------------

/// Questions answered from the store at once.
pub const SERVING_MAX: usize = 4;

/// Questions that wait for that; more are told "busy".
pub const SERVING_WAITING_MAX: usize = 128;

/// Milliseconds after which an upload whose peer asks for nothing more gives its place back.
pub const UPLOAD_IDLE_MS: u64 = 250;

// --- the shell --------------------------------------------------------------------------------------------------------------------------

/// What the network told the node and the node has not looked at yet.
pub const ARRIVALS_MAX: usize = 1024;

/// How often clocks of the state machines are looked at.
pub const TICK: Duration = Duration::from_millis(50);

/// How often peers are told how far this node is, if that changed;
pub const TIPS_EVERY: Duration = Duration::from_millis(1_000);
/// and if it did not.
pub const TIPS_EVERY_MAX: Duration = Duration::from_secs(15);

/// Offset of this node's clock from the others' above which its operator is told.
pub const CLOCK_AHEAD_TOLD_MS: u64 = 5_000;
/// How often.
pub const CLOCK_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Validators of a genesis that a node always keeps in touch with; of a larger committee it finds them.
pub const VALIDATORS_WANTED_MAX: usize = 32;

/// Bytes of the file with bans and anchors.
pub const PEERS_FILE_BYTES_MAX: u64 = 4 << 20;

/// Refusals of fetched frames that wait for the network's task.
pub const HEARD_MAX: usize = 1024;

/// Frames remembered because others are to be told of their bodies.
pub const LARGE_REMEMBERED: usize = 256;

/// Items on their way to their schedulers.
pub const FORWARDS_MAX: usize = 512;

/// Bytes of what was asked about them, kept for asking once more when a connection ends.
pub const FORWARDS_AGAIN_BYTES_MAX: usize = 16 << 20;

/// Bytes of those that are offered, not sent: kept until their receiver pulled them.
pub const FORWARD_BYTES_MAX: usize = 64 << 20;

/// Messages of engines remembered as gossiped. What is forgotten is gossiped again, which reaches whoever did not hear it the first time
/// only when gossip has forgotten it too.
pub const SAID_MAX: usize = 8192;

// --- threads ----------------------------------------------------------------------------------------------------------------------------

/// Threads of the network. What it does besides encrypting is done by one of them.
pub const THREADS_MAX: usize = 4;
