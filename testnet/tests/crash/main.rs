//! What survives a crash: kill -9 under load (F1), an abort before any write (F1), an older copy of the log (F2), a torn WAL tail (F3), a corrupt middle (F4), a full
//! disk (F5), a panic in any of its threads (F52). And what this host cannot or must not do: the clock's guard (F32), compiled code of
//! another engine (F31).

mod disk;
mod failpoint;
#[path = "../common/fold.rs"]
mod fold;
mod host;
mod kill;
mod panics;
mod workload;
