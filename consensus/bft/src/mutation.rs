//! Rules broken on purpose: in this crate's tests, and for simulators under the feature `mutations`. Tests show that breaking each is
//! noticed.

use std::cell::Cell;

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Signs whatever the core comes to: rows are neither asked nor written before a vote leaves (§4 rule 7).
    SlashingUnchecked,
    /// What leaves is sent before what it rests on is remembered.
    LogNotAwaited,
    /// A third of stake passes for a quorum (§2).
    StakeMiscounted,
    /// Vouches for blocks of frames that are not stored here (§4 rule 6).
    AvailabilityUnchecked,
    /// Takes blocks that the committee of another epoch certified (§8).
    ForeignEpoch,
    /// Of each chain's frames in a block only the first is looked at (§4 rule 2).
    SkippedUnchecked,
    /// What cannot be told yet is refused (§4).
    RefuseInsteadOfHold,
    /// Precommits sign height and value without the round: those of different rounds add up (§6).
    RoundLeftOut,
}

/// Every mutation.
pub const ALL: [Mutation; 8] = [
    Mutation::SlashingUnchecked,
    Mutation::LogNotAwaited,
    Mutation::StakeMiscounted,
    Mutation::AvailabilityUnchecked,
    Mutation::ForeignEpoch,
    Mutation::SkippedUnchecked,
    Mutation::RefuseInsteadOfHold,
    Mutation::RoundLeftOut,
];

thread_local! {
    static BROKEN: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// Runs `test` with a rule broken on this thread.
pub fn with<T>(mutation: Mutation, test: impl FnOnce() -> T) -> T {
    struct Mend;
    impl Drop for Mend {
        fn drop(&mut self) {
            BROKEN.with(|broken| broken.set(None));
        }
    }
    let _mend = Mend;
    BROKEN.with(|broken| broken.set(Some(mutation)));
    test()
}

/// Whether this rule is broken now.
pub fn is(mutation: Mutation) -> bool {
    BROKEN.with(|broken| broken.get() == Some(mutation))
}

#[cfg(test)]
mod tests;
