//! Every bound of the engine, and how bounds relate.

use ao_types::limits::COMMITTEE_MEMBERS_MAX;

/// Total voting power the core is given at most: it multiplies by 3.
pub const POWER_TOTAL_MAX: u128 = 1 << 60;
/// Voters of a height.
pub const MEMBERS_MAX: usize = COMMITTEE_MEMBERS_MAX;
/// Highest round that bytes may name. At the shortest timeouts a height reaches it after a week without a quorum.
pub const ROUND_MAX: u32 = 1 << 20;
/// Frames in one block.
pub const BLOCK_FRAMES_MAX: usize = 256;
/// Bytes of one control operation: half a block, so that operations never keep frames out.
pub const OP_BYTES_MAX: usize = BLOCK_BYTES_MAX / 2;
/// Control operations in one block.
pub const BLOCK_OPS_MAX: usize = 64;
/// Bytes of one encoded block.
pub const BLOCK_BYTES_MAX: usize = 256 << 10;
/// Messages up to this size are gossiped; larger ones go to each member, and large bodies are asked for.
pub const GOSSIP_BYTES_MAX: usize = ao_consensus::limits::GOSSIP_BYTES_MAX;
/// Members to whom a message is repeated at a time, in turn.
pub const AGAIN_MEMBERS_MAX: usize = 8;
/// How often the time between two repeats doubles within a round.
pub const REPEAT_DOUBLINGS_MAX: u32 = 3;
/// How far ahead of the height being decided a message may be to be kept.
pub const HEIGHTS_AHEAD_MAX: u64 = 2;
/// How many rounds ahead of this node's a proposal may be to be kept: the core drops those of more than ten.
pub const ROUNDS_AHEAD_MAX: u32 = 10;
/// Messages kept for each of those heights, per member: two votes and a proposal in each of a few rounds.
pub const AHEAD_PER_MEMBER_MAX: usize = 8;
/// Bodies kept for heights that have not begun here. Others are asked for when their height begins.
pub const EARLY_BODIES_MAX: usize = 4;
/// Bodies kept for the height being decided: two for each round (more is equivocation) over the rounds that votes may be ahead.
pub const BODIES_MAX: usize = 64;
/// Milliseconds that a vote waits for others to be checked with.
pub const VOTE_WAIT_MS: u64 = 5;
/// Votes that wait to be checked, per member.
pub const VOTES_WAITING_PER_MEMBER_MAX: usize = 16;
/// Unchecked votes in one member's name, with the same content and different signatures: at most one is real.
pub const VARIANTS_PER_VOTER_MAX: usize = 3;
/// Log entries that may wait for something to leave before they are written anyway.
pub const WAL_UNWRITTEN_MAX: usize = 1024;
/// Bytes of one log record.
pub const WAL_RECORD_BYTES_MAX: usize = 4 << 20;
/// Decided blocks kept in memory for those who missed them; older ones are on disk. A block of one frame has about 700 bytes with its
/// certificate.
pub const RECENT_BLOCKS_MAX: usize = 16_384;
/// Peers for whom older blocks are read from the disk at once. Others ask again.
pub const RECALLS_MAX: usize = 8;
/// Effects that wait for a record to be durable: with more, messages are dropped; with half of it nothing more is decided.
pub const OUTBOX_MAX: usize = 8192;
/// Decided frames whose bytes have not come: with more, no further blocks are asked for.
pub const OWED_MAX: usize = 4096;
/// Heights that one call decides at most, on a network of one.
pub const HEIGHTS_PER_CALL_MAX: usize = 16;
/// Blocks of one height that are voted for and whose bodies are asked for.
pub const WANTED_MAX: usize = 16;
/// Peers that were told lately how far this node is.
pub const TOLD_MAX: usize = 256;
/// Decided blocks in one answer, and their bytes.
pub const SYNC_BLOCKS_MAX: usize = 64;
/// Bytes of one answer to who missed blocks.
pub const SYNC_BYTES_MAX: usize = 512 << 10;
/// Bytes of any message between engines.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Frames waiting to be decided, over all chains.
pub const FRAMES_WAITING_MAX: usize = 16_384;
/// Frames of one chain waiting to be decided. A scheduler stops at the window of §3, so this much is catching up.
pub const CHAIN_WAITING_MAX: usize = 256;
/// Chains that have frames.
pub const CHAINS_MAX: usize = 4096;
/// Of those, how many the Origin does not know.
pub const UNKNOWN_CHAINS_MAX: usize = 256;
/// Headers of confirmed frames kept, per chain: a second one for their place is evidence.
pub const PAST_HEADERS_MAX: usize = 64;
/// Frames of one chain and sequence that are kept: more than one is a fault of its scheduler.
pub const VARIANTS_MAX: usize = 4;
/// Control operations waiting to be decided.
pub const OPS_WAITING_MAX: usize = 1024;
/// Of those, how many one peer sent.
pub const OPS_PER_PEER_MAX: usize = 64;
/// Decided operations remembered, so that they are not taken in once more.
pub const OPS_DECIDED_MAX: usize = 4096;
/// Peers whose tips are remembered.
pub const TIPS_MAX: usize = 256;
/// How often in a row a peer that claims to be ahead may leave a request unanswered: some get lost.
pub const SILENCES_MAX: u32 = 8;

const _: () = assert!(POWER_TOTAL_MAX < (u64::MAX / 3) as u128);
const _: () = assert!(BLOCK_FRAMES_MAX * 90 + 4096 < BLOCK_BYTES_MAX - OP_BYTES_MAX, "frames and operations share a block");
const _: () = assert!(BLOCK_BYTES_MAX < SYNC_BYTES_MAX && SYNC_BYTES_MAX < WAL_RECORD_BYTES_MAX);
const _: () = assert!(SYNC_BYTES_MAX + BLOCK_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(SYNC_BLOCKS_MAX < RECENT_BLOCKS_MAX);
