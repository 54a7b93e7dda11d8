//! Control operations that wait to be decided.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ao_consensus::ControlOp;
use ao_types::PeerId;
use ao_types::codec::Canonical;
use ao_types::hash::sha256;

use crate::limits::{BLOCK_OPS_MAX, OP_BYTES_MAX, OPS_DECIDED_MAX, OPS_PER_PEER_MAX, OPS_WAITING_MAX};

type OpId = [u8; 32];

#[derive(Debug)]
struct Waiting {
    id: OpId,
    op: ControlOp,
    bytes: usize,
    /// Who sent it; `None`: submitted here.
    from: Option<PeerId>,
}

/// In order of arrival; each once.
#[derive(Debug, Default)]
pub(super) struct Ops {
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    known: BTreeSet<OpId>,
    /// The last ones that were decided: they come once more from those who were slow to hear of it.
    decided: VecDeque<OpId>,
}

impl Ops {
    /// Takes one in. False if it is known, or there is no room for it.
    pub(super) fn add(&mut self, op: ControlOp, from: Option<PeerId>) -> bool {
        let encoded = op.encode();
        let (id, bytes) = (sha256(&[&encoded]), encoded.len());
        let of_peer = || self.waiting.values().filter(|other| other.from.is_some() && other.from == from).count();
        let full = self.waiting.len() >= OPS_WAITING_MAX || bytes > OP_BYTES_MAX || of_peer() >= OPS_PER_PEER_MAX;
        if full || self.decided.contains(&id) || !self.known.insert(id) {
            return false;
        }
        self.waiting.insert(self.next, Waiting { id, op, bytes, from });
        self.next += 1;
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The oldest that fit in one block, which has `room` bytes for them.
    pub(super) fn candidates(&self, mut room: usize) -> Vec<ControlOp> {
        let mut out = Vec::new();
        for Waiting { op, bytes, .. } in self.waiting.values() {
            if out.len() < BLOCK_OPS_MAX && *bytes <= room {
                room -= bytes;
                out.push(op.clone());
            }
        }
        out
    }

    /// These were decided.
    pub(super) fn decided(&mut self, ops: &[ControlOp]) {
        for op in ops {
            let id = sha256(&[&op.encode()]);
            if self.known.remove(&id) {
                self.waiting.retain(|_, other| other.id != id);
            }
            self.decided.push_back(id);
        }
        while self.decided.len() > OPS_DECIDED_MAX {
            self.decided.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn op(number: usize, bytes: usize) -> ControlOp {
        ControlOp::Ledger(Bytes::from([&number.to_be_bytes()[..], &vec![0; bytes]].concat()))
    }

    fn peer(number: u8) -> Option<PeerId> {
        Some(PeerId(Bytes::copy_from_slice(&[number])))
    }

    #[test]
    fn each_is_decided_once_in_order_of_arrival() {
        let mut ops = Ops::default();
        for number in 0..BLOCK_OPS_MAX + 2 {
            assert!(ops.add(op(number, 10), None));
        }
        assert!(!ops.add(op(1, 10), peer(1)), "known");
        let first = ops.candidates(1 << 20);
        assert_eq!(first, (0..BLOCK_OPS_MAX).map(|number| op(number, 10)).collect::<Vec<_>>());
        ops.decided(&first);
        assert_eq!(ops.candidates(1 << 20).len(), 2);
        assert!(!ops.add(op(1, 10), peer(1)), "decided");
        ops.decided(&[op(BLOCK_OPS_MAX, 10), op(BLOCK_OPS_MAX + 1, 10), op(999, 1)]);
        assert!(ops.is_empty() && ops.known.is_empty());
    }

    #[test]
    fn a_large_one_lets_smaller_ones_pass() {
        let mut ops = Ops::default();
        assert!(ops.add(op(0, 20_000), None) && ops.add(op(1, 10), None));
        assert_eq!(ops.candidates(10_000), vec![op(1, 10)]);
        assert!(!ops.add(op(2, OP_BYTES_MAX), None), "no block holds it");
    }

    #[test]
    fn bounds_bite() {
        let mut ops = Ops::default();
        for number in 0..OPS_PER_PEER_MAX {
            assert!(ops.add(op(number, 1), peer(1)));
        }
        assert!(!ops.add(op(9_999, 1), peer(1)) && ops.add(op(9_999, 1), peer(2)));
        for number in 10_000..10_000 + 2 * OPS_WAITING_MAX {
            ops.add(op(number, 1), None);
        }
        assert_eq!(ops.waiting.len(), OPS_WAITING_MAX);
        ops.decided(&(20_000..20_000 + 2 * OPS_DECIDED_MAX).map(|number| op(number, 1)).collect::<Vec<_>>());
        assert_eq!(ops.decided.len(), OPS_DECIDED_MAX);
    }
}
