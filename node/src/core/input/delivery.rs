//! What is pushed: entries of an outbox, made ready.

use ao_storage::schema::OutboxKey;

use super::Submission;

/// One outbox entry made ready.
#[derive(Debug)]
pub struct Delivery {
    /// Which.
    pub key: OutboxKey,
    /// What to do.
    pub act: Act,
}

/// See [`Delivery`].
#[derive(Debug)]
pub enum Act {
    /// Put it in.
    Submit(Box<Submission>),
    /// It cannot be sent.
    Skip(String),
    /// Something it needs cannot be had now.
    Later(String),
}

/// What comes after an entry is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Follow {
    /// Tell the parent that its spawn exists.
    pub spawned: bool,
    /// Assign the new message to so many processes, by tag `Assignments`.
    pub assignments: u32,
}
