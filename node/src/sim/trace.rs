//! A run as one number: two runs of one plan must have the same.

use ao_types::hash::sha256;

/// The hash over everything so far.
#[derive(Clone, Debug, Default)]
pub struct Trace([u8; 32]);

impl Trace {
    /// Something happened: when, to whom, what kind of thing, and a number about it.
    pub fn add(&mut self, now: u64, node: usize, kind: u8, about: u64) {
        self.0 = sha256(&[&self.0, &now.to_be_bytes(), &(node as u64).to_be_bytes(), &[kind], &about.to_be_bytes()]);
    }

    /// It.
    pub fn value(&self) -> [u8; 32] {
        self.0
    }
}
