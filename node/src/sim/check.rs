//! What must hold in every run (`consensus.md` §12), one file for each group.
//!
//! | Rule | Where | When |
//! |---|---|---|
//! | S1, contract 2 and 3 | [`safety`] | at everything that an engine says, and every slot that a node calls confirmed |
//! | S2 | [`signatures`] | at everything that leaves a node |
//! | S3, S4, S6 | [`states`] | at the end, over the stores of all honest nodes; S3 at every start too |
//! | a node by itself | [`node`] | at the end |
//! | S5 | `World::push`, `Cluster` | at every job and parcel |
//! | S8 | [`blame`] | at the end of runs in which more than a third of the stake may break S1, and did |
//! | S7 | [`live`] | when the faults are over |
//! | honest nodes are not blamed | [`blame`] | at every accusation |

pub mod blame;
pub mod live;
pub mod node;
pub mod safety;
pub mod signatures;
pub mod states;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {what}")]
pub struct Violation {
    /// Which.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

impl Violation {
    /// Of this rule.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }

    /// An error unless this holds.
    pub fn unless(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(rule, what())) }
    }

    /// The same at a certain node.
    pub fn at(self, node: usize) -> Self {
        Self { what: format!("node {node}: {}", self.what), ..self }
    }
}

impl From<ao_storage::Error> for Violation {
    fn from(error: ao_storage::Error) -> Self {
        Self::new("S6", format!("a store cannot be read: {error}"))
    }
}
