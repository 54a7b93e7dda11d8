//! What survives a crash: kill -9 under load (F1), an abort before any write (F1), a torn WAL tail (F3), a corrupt middle (F4), a full
//! disk (F5).

mod disk;
mod failpoint;
#[path = "../common/fold.rs"]
mod fold;
mod kill;
mod workload;
