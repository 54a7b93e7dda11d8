//! The simulator: whole nodes in one thread, from one seed.
//!
//! The cores, verifiers, evaluators and engines of a network run here without a thread, a socket, a disk or a clock of their own. Everything
//! that happens is drawn from a seed ([`plan`]): who crashes and what its disk keeps, what the net loses, whose clock is wrong, who lies.
//! After every step the invariants of `consensus.md` §12 are checked ([`check`]). Same plan, same run, to the last byte ([`trace`]).
//!
//! Reading order: [`plan`] (a run as data), [`world`] (a node), [`cluster`] (the net between them), [`check`], [`byzantine`], [`run`],
//! [`shrink`].
//!
//! What it refuses to do: decide anything for a node, and use what a network must not (the scheme of signatures is one that costs nothing
//! and proves nothing; no wiring of a real node names it).

pub mod byzantine;
pub mod check;
pub mod cluster;
pub mod dice;
pub mod plan;
pub mod run;
pub mod script;
pub mod shrink;
pub mod tap;
pub mod timing;
pub mod trace;
pub mod world;

#[cfg(test)]
mod tests;
