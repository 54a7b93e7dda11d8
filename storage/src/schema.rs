//! The disk format at a glance. Skeleton: the storage owner completes it.

/// Column families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Format version, network id, counters.
    Meta,
}
