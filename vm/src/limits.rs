//! Every bound of the machine, by name, and how bounds relate.
//!
//! The bounds that a guest can notice (memory, call depth, fuel, result size) are part of the determinism contract: a node that changes
//! one answers differently, so changing one means a new [`crate::HOST_ABI`]. The others only protect this host.

/// Size of a page as checkpoints and state hashes count it (`vm-abi.md`, section 10).
pub const PAGE: usize = 4096;

/// Size of a page as wasm counts it.
pub const WASM_PAGE: usize = 65536;

/// Linear memory of one process, bytes. Growth beyond it fails on every host alike, exactly as growth beyond the module's own maximum.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;

/// Memory a module may declare at start, bytes: the largest published build preset declares 518 MiB.
pub const MEMORY_BYTES_INITIAL_MAX: usize = 640 << 20;

/// Address space set aside per instance. Compiled code of 32-bit modules relies on it to need no bounds checks, and that of 64-bit
/// modules to compare with a constant.
pub const MEMORY_RESERVATION: usize = 4 << 30;

/// Inaccessible bytes after the reservation.
pub const MEMORY_GUARD: usize = 32 << 20;

/// Fuel of one evaluation, in wasm instructions as the engine counts them. The reference has no such limit, hence far above what an
/// honest message uses (a typical aos `Eval` takes two million).
pub const FUEL_MAX: u64 = 20_000_000_000;

/// Fuel to start an instance before its first message.
pub const FUEL_BOOT_MAX: u64 = 2_000_000_000;

/// Guest call depth in estimated stack words (8 bytes): see `rewrite/depth.rs`. Trips before the native stack does.
pub const STACK_WORDS_MAX: u64 = 1 << 18;

/// Native stack that wasm may use, bytes: four times what [`STACK_WORDS_MAX`] estimates.
pub const WASM_STACK_BYTES: usize = 8 << 20;

/// Native stack that a thread needs to evaluate on the spot. On a smaller one the evaluation hops to a thread of its own.
pub const THREAD_STACK_BYTES: usize = 16 << 20;

/// Result text of one evaluation, bytes.
pub const RESULT_BYTES_MAX: usize = 64 << 20;

/// Entries of one outbox list (`Messages`, `Spawns`, `Assignments`, `Patches`).
pub const OUTBOX_ENTRIES_MAX: usize = 16_384;

/// Nesting of the result JSON.
pub const RESULT_DEPTH_MAX: usize = 128;

/// What a guest may write to its evaluation log, bytes; the rest is dropped and counted.
pub const LOG_BYTES_MAX: usize = 256 << 10;

/// Text read for a host function (path, format), bytes.
pub const HOST_TEXT_MAX: usize = 4096;

/// Bytes of one `random_get`; more is an error of the caller, as where the real one is asked for more than it gives at once.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// Module binary, bytes.
pub const MODULE_BYTES_MAX: usize = 16 << 20;
/// Functions of a module.
pub const FUNCTIONS_MAX: u32 = 30_000;
/// Body of one function, bytes. The interpreter loop of an aos module has about 30 KiB.
pub const FUNCTION_BYTES_MAX: usize = 512 << 10;
/// Locals of one function, parameters included.
pub const LOCALS_MAX: u32 = 5_000;
/// Targets of one `br_table`.
pub const BR_TABLE_MAX: u32 = 10_000;
/// Nested blocks.
pub const NESTING_MAX: usize = 1_000;
/// Types of a module.
pub const TYPES_MAX: u32 = 5_000;
/// Parameters plus results of one type.
pub const TYPE_VALUES_MAX: usize = 256;
/// Imports of a module.
pub const IMPORTS_MAX: u32 = 1_000;
/// Exports of a module.
pub const EXPORTS_MAX: u32 = 5_000;
/// Globals of a module.
pub const GLOBALS_MAX: u32 = 1_000;
/// Entries that tables may hold.
pub const TABLE_ENTRIES_MAX: u64 = 100_000;
/// Element and data segments of a module, each.
pub const SEGMENTS_MAX: u32 = 20_000;

/// CPU time of one compilation, milliseconds, where the operator says nothing else.
pub const COMPILE_MS_MAX: u64 = 60_000;
/// Address space of a compile worker, bytes. An aos module takes a fifth of it.
pub const COMPILE_MEMORY_MAX: u64 = 1 << 30;
/// Time by the clock after which a compilation is ended whatever it used: a host that busy has no use for it.
pub const COMPILE_WALL_MS_MAX: u64 = 10 * COMPILE_MS_MAX;
/// Modules up to this size are compiled on a thread of the node: even a bomb of that size is over in about a second.
pub const COMPILE_HERE_BYTES_MAX: usize = 16 << 10;
/// Compilations on threads of the node at a time, those included that nobody waits for any more.
pub const COMPILATIONS_MAX: usize = 4;
/// Compile workers at a time.
pub const COMPILE_WORKERS_MAX: usize = 2;
/// How long a compilation waits for its place, milliseconds; then the message is tried again later.
pub const COMPILE_PATIENCE_MS: u64 = 5_000;
/// Priority of compilations, below that of evaluations.
pub const COMPILE_NICE: i32 = 5;
/// Native stack of the compiler, bytes.
pub const COMPILE_STACK_BYTES: usize = 16 << 20;
/// Rewritten module, bytes: what a compile worker is given. Gas and depth counting can make a module several times larger.
pub const COMPILE_INPUT_BYTES_MAX: usize = 16 * MODULE_BYTES_MAX;
/// Code of one module, bytes.
pub const COMPILED_BYTES_MAX: usize = 512 << 20;
/// Compiled modules and refusals on disk, bytes: the longest unused go first.
pub const CACHE_BYTES_MAX: u64 = 4 << 30;
/// Compiled modules kept in memory.
pub const PROGRAMS_MAX: usize = 64;
/// Refused modules remembered, so that a bomb is compiled once.
pub const REFUSALS_MAX: usize = 1024;

/// Messages evaluated between two commits at most; on a failure as many are evaluated again.
pub const BATCH_MESSAGES_MAX: usize = 32;
/// Fuel spent between two commits at most: bounds what a failure costs.
pub const BATCH_FUEL_MAX: u64 = 400_000_000;
/// Private pages kept across a commit, bytes; above it the committed image alone stays.
pub const PRIVATE_BYTES_KEPT: usize = 8 << 20;
/// Dead stack kept private between messages, bytes.
pub const STACK_BYTES_KEPT: usize = 256 << 10;

/// What an instance costs besides its pages: store, tables, compiled code's own data, page table. An estimate for eviction.
pub const INSTANCE_BYTES: u64 = 96 << 10;
/// What one costs besides its packed pages while it rests: the host's own few tables, and the calling convention's texts.
pub const INSTANCE_RESTING_BYTES: u64 = 16 << 10;

/// Raw bytes of one compressed frame of a checkpoint.
pub const CHECKPOINT_FRAME_MAX: usize = 1 << 20;
/// Deltas that may follow a full checkpoint in a chain.
pub const CHECKPOINT_CHAIN_MAX: usize = 256;

const _: () = assert!(MEMORY_BYTES_INITIAL_MAX <= MEMORY_BYTES_MAX);
const _: () = assert!(MEMORY_BYTES_MAX <= MEMORY_RESERVATION);
const _: () = assert!(MEMORY_BYTES_MAX.is_multiple_of(WASM_PAGE) && MEMORY_BYTES_INITIAL_MAX.is_multiple_of(WASM_PAGE));
const _: () = assert!(STACK_WORDS_MAX as usize * 8 * 4 <= WASM_STACK_BYTES);
const _: () = assert!(WASM_STACK_BYTES * 2 <= THREAD_STACK_BYTES);
const _: () = assert!(COMPILE_HERE_BYTES_MAX < MODULE_BYTES_MAX);
const _: () = assert!(
    (COMPILED_BYTES_MAX as u64) < CACHE_BYTES_MAX && COMPILED_BYTES_MAX as u64 + COMPILE_INPUT_BYTES_MAX as u64 <= COMPILE_MEMORY_MAX
);
const _: () = assert!(CHECKPOINT_FRAME_MAX.is_multiple_of(PAGE));
