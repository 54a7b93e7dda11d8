//! Every bound of this crate.

/// Entries of one frame (`consensus.md` §3, `entry_max`).
pub const FRAME_ENTRIES_MAX: usize = 4096;

/// Bytes of one encoded frame: entries of fixed size and a header.
pub const FRAME_BYTES_MAX: usize = FRAME_ENTRIES_MAX * crate::frame::ENTRY_BYTES + crate::frame::HEADER_BYTES_MAX;

/// Items of one signing run: what one worker signs for one process before others get their turn.
pub const RUN_ITEMS_MAX: usize = 64;

/// Frames that the `solo` engine keeps because their predecessor has not come yet.
pub const SOLO_WAITING_MAX: usize = 1024;

const _: () = assert!(RUN_ITEMS_MAX <= FRAME_ENTRIES_MAX, "a run fits one frame");
