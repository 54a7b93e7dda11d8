//! Rules that tests break on purpose, to see that something notices.
//!
//! Without the feature `mutations` (for simulators) and outside this crate's tests there is nothing to switch: `Mutations::has` is `false`
//! at compile time.

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Signs whatever passes: rows are neither asked nor written before a share leaves (§4 rules 2 and 7).
    NoSlashingCheck,
    /// Takes half of the members for a quorum (§2).
    StakeCountedWrongly,
    /// Signs frames whose bodies are not stored here (§4 rule 6).
    NoAvailabilityCheck,
    /// Counts shares of members of other epochs' committees (§8).
    ForeignEpoch,
    /// A certified successor confirms, whatever it carries (§5).
    ConfirmWithoutCarried,
    /// Frames between the last one signed and the next are not judged (§4 rule 2).
    SkippedUnchecked,
    /// Frames ahead of this node's clock are refused instead of held (§4 rule 5).
    RefuseInsteadOfHold,
}

/// Every mutation.
pub const ALL: [Mutation; 7] = [
    Mutation::NoSlashingCheck,
    Mutation::StakeCountedWrongly,
    Mutation::NoAvailabilityCheck,
    Mutation::ForeignEpoch,
    Mutation::ConfirmWithoutCarried,
    Mutation::SkippedUnchecked,
    Mutation::RefuseInsteadOfHold,
];

/// Which rules are broken: none, but in tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutations {
    #[cfg(any(test, feature = "mutations"))]
    one: Option<Mutation>,
}

impl Mutations {
    /// One broken rule.
    #[cfg(any(test, feature = "mutations"))]
    pub fn only(mutation: Mutation) -> Self {
        Self { one: Some(mutation) }
    }

    /// Whether this rule is broken.
    #[cfg(any(test, feature = "mutations"))]
    pub(crate) fn has(self, mutation: Mutation) -> bool {
        self.one == Some(mutation)
    }

    /// Whether this rule is broken: never.
    #[cfg(not(any(test, feature = "mutations")))]
    pub(crate) const fn has(self, _: Mutation) -> bool {
        false
    }
}
