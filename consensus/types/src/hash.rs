//! The hash functions everything here is made of, over pieces, without an allocation.

use sha2::{Digest as _, Sha256, Sha384};
use sha3::Keccak256;

/// SHA-256 of the concatenation of `pieces`.
pub fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

/// SHA-384 of the concatenation of `pieces`.
pub fn sha384(pieces: &[&[u8]]) -> [u8; 48] {
    let mut hasher = Sha384::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

/// Keccak-256 (the pre-standard padding that Ethereum uses) of the concatenation of `pieces`.
pub fn keccak256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

/// `number` as ASCII decimal digits, in a buffer on the stack: deep hashes need a lot of these.
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    pub(crate) fn of(mut number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut start = digits.len() - 1;
        loop {
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return Self { digits, start };
            }
            start -= 1;
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
