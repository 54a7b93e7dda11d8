//! What was gossiped lately, by its hash: what is said again takes another way.

use std::collections::{BTreeSet, VecDeque};

use ao_types::hash::sha256;

use super::limits::SAID_MAX;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Said {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Said {
    /// Notes bytes; false if they were noted before.
    pub fn insert(&mut self, bytes: &[u8]) -> bool {
        let hash = sha256(&[bytes]);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > SAID_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_new_once_and_again_when_they_are_forgotten() {
        let mut said = Said::default();
        assert!(said.insert(b"vote") && !said.insert(b"vote"));
        (0..SAID_MAX).for_each(|n| assert!(said.insert(&n.to_be_bytes())));
        assert_eq!((said.known.len(), said.order.len()), (SAID_MAX, SAID_MAX));
        assert!(said.insert(b"vote"), "the bound bites");
    }
}
