//! Rules broken on purpose. Only under the feature `mutations`, for tests that show that breaking each is noticed.

use std::cell::Cell;

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Precommits sign height and value without the round: those of different rounds add up.
    RoundLeftOut,
    /// What leaves is sent before what it rests on is remembered.
    LogNotAwaited,
    /// A third of stake passes for a quorum.
    StakeMiscounted,
}

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
