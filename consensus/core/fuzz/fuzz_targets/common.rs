//! What the targets share: bytes have one meaning, and every meaning one form.

use std::fmt::Debug;

use ao_types::codec::Canonical;

/// Reads a value; whatever is read is written as the very same bytes.
#[allow(dead_code, reason = "not every target uses it")]
pub fn one_form<T: Canonical + Debug + PartialEq>(input: &[u8]) -> Option<T> {
    let value = T::decode(input).ok()?;
    assert_eq!(value.encode(), input);
    Some(value)
}
