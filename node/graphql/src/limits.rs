//! Bounds of one query. What looking costs is bounded by whoever looks.

/// Bytes of a request: the text and its variables. The longest query known from clients is 2 KiB.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Entries of a page: default and most.
pub const PAGE: (usize, usize) = (10, 1000);

/// Nesting of a query, brackets of all kinds.
pub const DEPTH_MAX: usize = 16;

/// Selections that one query may contain after fragments are laid in.
pub const FIELDS_MAX: usize = 500;

/// Top-level fields of one query: each is a query of its own.
pub const ROOTS_MAX: usize = 8;

/// Ids, owners, recipients, tag filters or values of one tag filter in a query.
pub const VALUES_MAX: usize = 1000;
