//! Bounds of the Lua machine. Those a program can notice are part of the determinism contract, as in [`crate::limits`].

/// One result as the guest writes it, bytes. The guest checks the same bound (`codec.h`, `AO_RESULT_MAX`).
pub(crate) const RESULT_BYTES_MAX: usize = 16 << 20;

/// Nesting of values in a result; the guest stops at 32 tables (`codec.h`, `AO_DEPTH_MAX`).
pub(crate) const RESULT_DEPTH_MAX: usize = 40;

/// Entries of one outbox list. The runtime library refuses more with an error of the program (`ao.lua`, `OUTBOX_MAX`); a program that
/// fills the list behind its back meets this one.
pub(crate) const OUTBOX_ENTRIES_MAX: usize = 10_000;

/// Message data that is handed to a program, bytes: far above what a scheduler accepts in one item.
pub(crate) const INPUT_BYTES_MAX: usize = 64 << 20;

/// A guest, bytes; this node's has about 300 KiB.
pub(crate) const GUEST_BYTES_MAX: usize = 8 << 20;

/// Source of a module, bytes.
pub(crate) const SOURCE_BYTES_MAX: usize = 4 << 20;

/// Instructions of one message where neither process nor module has a `Compute-Limit`: some seconds on one core. A token transfer
/// takes forty thousand.
pub(crate) const FUEL_DEFAULT: u64 = 4_000_000_000;

/// Fuel of a digest: for the call, and for each byte hashed. About what the same hashing would cost inside the guest, divided by three.
pub(crate) const DIGEST_FUEL: u64 = 1_000;
/// See [`DIGEST_FUEL`].
pub(crate) const DIGEST_FUEL_BYTE: u64 = 8;

/// Least `Memory-Limit` of a process, bytes: the runtime library and a module of some size.
pub(crate) const MEMORY_BYTES_LEAST: u64 = 4 << 20;
