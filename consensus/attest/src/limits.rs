//! Every bound of this crate, and how the bounds relate.
//!
//! What the seam bounds (frames, headers, `W`) is in [`ao_consensus::limits`]; here is what one engine keeps and for how long it waits.

use ao_consensus::limits::{CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, WINDOW};

/// Frame interval that waits are counted in, unless the genesis says otherwise, milliseconds.
pub const INTERVAL_MS: u64 = 20;

/// Frames of chains that the Origin does not know yet.
pub const PREMATURE_MAX: usize = 64;

/// What passed within this time shares one write, milliseconds (`consensus.md` §4, `sync_window`).
pub const SYNC_WINDOW_MS: u64 = 3;

/// Aggregators of a frame, and of a slice (`consensus.md` §5).
pub const AGGREGATORS: usize = 2;

/// A draw of aggregators holds for so many sequences.
pub const DRAW_SPAN: u64 = 64;

/// Draws that are remembered: one for each span of each busy chain.
pub const DRAWS_MAX: usize = 2 * CHAINS_MAX;

/// Committees of so many members are cut into slices.
pub const SLICES_FROM: usize = 128;

/// Members of one slice.
pub const SLICE_MEMBERS_MAX: usize = 64;

/// `certificate_wait`, in frame intervals.
pub const CERTIFICATE_WAIT_INTERVALS: u64 = 2;

/// Longest wait between two sendings of the same share, announcement or request, milliseconds.
pub const RETRY_MS_MAX: u64 = 2_000;

/// How often a scheduler sends its last certificate to members that it did not hear. With doubled waits of 40 ms first: ten seconds.
pub const LAST_CALLS_MAX: u32 = 9;

/// Chains that an engine follows: about 100 KiB each while they are busy.
pub const CHAINS_MAX: usize = 1_024;

/// Confirmed sequences of one chain whose headers are kept, for late shares and for evidence.
pub const BEHIND_MAX: u64 = WINDOW;

/// Sequences above the newest confirmed frame that are kept. An honest chain has at most `2W` unconfirmed frames; the rest is room for
/// frames that overtake one another while a node catches up.
pub const AHEAD_MAX: u64 = 4 * WINDOW;

/// Headers of one sequence that are kept: an equivocating scheduler is convicted by two; the others leave room for the one that a
/// certificate may yet name.
pub const BRANCHES_MAX: usize = 4;

/// How long a slice's aggregator waits for shares before it sends their sum, milliseconds; then again with growing waits if more came.
pub const SUM_WAIT_MS: u64 = 10;

/// Shares of frames that are not here yet, for each chain: two for each of the largest committee that is not cut, and each slice.
pub const EARLY_SHARES_MAX: usize = 256;

/// Frames of one chain that shares are collected for at once; the lowest are dropped.
pub const COLLECTED_MAX: usize = 2 * WINDOW as usize;

/// Frames of one chain that are asked for at once.
pub const FETCHES_MAX: usize = 8;

/// Of those, frames too far ahead to be kept.
pub const FAR_FETCHES_MAX: usize = 2;

/// A frame too far ahead that was asked for so often gives way to another.
pub const VAIN_TRIES: u32 = 3;

/// How long a node that signs nothing waits for the certificate of the newest frame before it asks, milliseconds; then with growing waits.
pub const ASK_WAIT_MS: u64 = 500;

/// How long a body may take before the frame is asked for again, milliseconds.
pub const BODY_WAIT_MS: u64 = 500;

/// Peers that a request names as holders.
pub const HOLDERS_MAX: usize = 8;

/// How often a frame is asked for that nobody certified and no frame stands on: it may not exist.
pub const HEARSAY_TRIES_MAX: u32 = 6;

/// Epochs whose committees are kept: the one in force, the one after, and those that chains may still have to cross from.
pub const EPOCHS_MAX: usize = 4;

/// Bytes of one message between engines.
pub const MESSAGE_BYTES_MAX: usize = 3 + CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX;

const _: () = assert!(BEHIND_MAX >= WINDOW && AHEAD_MAX > 2 * WINDOW, "what the chain itself allows is kept");
const _: () = assert!(SLICES_FROM > SLICE_MEMBERS_MAX && AGGREGATORS >= 1);
const _: () = assert!(COLLECTED_MAX as u64 >= WINDOW, "every frame that may lack a certificate is collected for");
const _: () = assert!(MESSAGE_BYTES_MAX >= 3 + 82 + 48 + 96, "a share fits");
const _: () = assert!(EARLY_SHARES_MAX >= 2 * SLICES_FROM);
const _: () = assert!(FAR_FETCHES_MAX < FETCHES_MAX, "what is near can always be asked for");
const _: () = assert!(BRANCHES_MAX >= 2, "two headers convict");
