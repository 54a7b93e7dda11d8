//! A signature of this node's own key that came from outside: what it is about, whether this node's rows explain it, and how it binds.
//!
//! Pure over rows. Refuses to say what it means for the node: that is [`super::watch`].

use ao_consensus::protection::{ChainRow, Guard, Kind, Position, Protection, Watermark, place};
use ao_types::attestation::VoteStep;
use ao_types::hash::sha256;
use ao_types::{BlsKey, Epoch, NetworkId, Statement};

/// What the key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whose signature it is.
    pub key: BlsKey,
    /// On what.
    pub statement: Statement,
    /// Of the committee that counts it.
    pub epoch: Epoch,
}

impl Heard {
    /// Where the statement stands among votes; `None` for what rows of chains guard, or nothing does.
    fn position(&self) -> Option<Position> {
        let at = |kind, height, round| Position { key: self.key, kind, scope: String::new(), term: self.epoch.0, height, round };
        match self.statement {
            Statement::Block { height, round, .. } | Statement::Vote { height, round, step: VoteStep::Precommit, .. } => {
                Some(at(Kind::Precommit, height, round))
            }
            Statement::Vote { height, round, step: VoteStep::Prevote, .. } => Some(at(Kind::Prevote, height, round)),
            Statement::Frame { .. } | Statement::Result { .. } | Statement::Possession { .. } | Statement::Seal { .. } => None,
        }
    }

    /// Whether this node's own past explains the signature: it made it, or can no longer tell because it made later ones.
    ///
    /// # Errors
    /// The store failed.
    pub fn is_own<P: Protection>(&self, rows: &P, network: &NetworkId) -> Result<bool, P::Error> {
        if let Statement::Frame { chain, sequence, frame } = self.statement {
            let last = rows.chain_row(&self.key, &chain)?.and_then(|row| row.last);
            return Ok(last.is_some_and(|(last, signed)| last > sequence || (last == sequence && signed == frame)));
        }
        // Nothing else is signed for a chain or a round.
        let Some(position) = self.position() else { return Ok(true) };
        if let Some(row) = rows.signed_row(&position)? {
            let root = sha256(&[&self.statement.message(network)]);
            // Imported without its root: that it was signed is known, and that is all this asks.
            return Ok(row.root.is_none_or(|signed| signed == root));
        }
        Ok(rows.watermark(&position)?.is_some_and(|mark| place(&position) <= place(&mark.0)))
    }

    /// Binds this node by what was signed elsewhere: nothing at or below it is signed here any more.
    ///
    /// # Errors
    /// The store failed; or this node signed something else in the same place, which no row can mend.
    pub fn bind<P: Protection>(&self, rows: &mut P) -> Result<(), P::Error> {
        match (self.statement, self.position()) {
            (Statement::Frame { chain, sequence, frame }, _) => {
                let sealed = rows.chain_row(&self.key, &chain)?.is_some_and(|row| row.sealed);
                // A seal stays as it is: it forbids everything already.
                if sealed {
                    return Ok(());
                }
                let row = ChainRow { key: self.key, chain, last: Some((sequence, frame)), sealed, signature: None };
                rows.record(&[Guard::Chain(row)])
            }
            (_, Some(position)) => rows.raise(&Watermark(position)),
            (_, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ao_consensus::protection::memory::MemoryProtection;
    use ao_consensus::protection::{SignedRow, may_attest};
    use ao_types::{Address, BlockValue, Chain, FrameId, Id};

    use super::*;

    const NETWORK: NetworkId = NetworkId([1; 32]);
    const KEY: BlsKey = BlsKey([2; 48]);
    const CHAIN: Chain = Chain { scheduler: Address::Arweave(Id([3; 32])), tenure: 0 };

    fn frame(sequence: u64, frame: u8) -> Heard {
        Heard { key: KEY, statement: Statement::Frame { chain: CHAIN, sequence, frame: FrameId([frame; 32]) }, epoch: Epoch(0) }
    }

    fn vote(height: u64, round: u32, value: u8) -> Heard {
        let value = Some(BlockValue([value; 32]));
        Heard { key: KEY, statement: Statement::Vote { height, round, step: VoteStep::Prevote, value }, epoch: Epoch(0) }
    }

    #[test]
    fn own_earlier_frames_are_own_and_later_or_other_ones_are_not() {
        let mut rows = MemoryProtection::new();
        assert!(!frame(0, 1).is_own(&rows, &NETWORK).unwrap(), "a key without a row signed nothing");
        let row = ChainRow { key: KEY, chain: CHAIN, last: Some((5, FrameId([5; 32]))), sealed: false, signature: None };
        rows.record(&[Guard::Chain(row)]).unwrap();
        for (heard, own) in [(frame(4, 9), true), (frame(5, 5), true), (frame(5, 6), false), (frame(6, 6), false)] {
            assert_eq!(heard.is_own(&rows, &NETWORK).unwrap(), own, "{heard:?}");
        }
        frame(8, 8).bind(&mut rows).unwrap();
        assert!(frame(8, 8).is_own(&rows, &NETWORK).unwrap());
        let row = rows.chain_row(&KEY, &CHAIN).unwrap();
        for sequence in [6, 8] {
            assert!(may_attest(&KEY, &CHAIN, row.as_ref(), (sequence, FrameId([7; 32]))).is_err(), "{sequence}");
        }
        assert!(may_attest(&KEY, &CHAIN, row.as_ref(), (9, FrameId([7; 32]))).is_ok());
    }

    #[test]
    fn votes_are_own_by_their_rows_and_bind_by_a_watermark() {
        let mut rows = MemoryProtection::new();
        let own = vote(3, 0, 1);
        let root = sha256(&[&own.statement.message(&NETWORK)]);
        let position = own.position().unwrap();
        rows.record(&[Guard::Signed(SignedRow { position, root: Some(root), signature: None })]).unwrap();
        for (heard, is_own) in [(own, true), (vote(3, 0, 2), false), (vote(3, 1, 1), false), (vote(4, 0, 1), false)] {
            assert_eq!(heard.is_own(&rows, &NETWORK).unwrap(), is_own, "{heard:?}");
        }
        vote(7, 2, 1).bind(&mut rows).unwrap();
        for (heard, is_own) in [(vote(4, 0, 1), true), (vote(7, 2, 9), true), (vote(7, 3, 1), false)] {
            assert_eq!(heard.is_own(&rows, &NETWORK).unwrap(), is_own, "{heard:?}");
        }
        let below = SignedRow { position: vote(7, 1, 1).position().unwrap(), root: Some([0; 32]), signature: None };
        assert!(rows.record(&[Guard::Signed(below)]).is_err());
    }

    #[test]
    fn a_seal_is_not_loosened() {
        let mut rows = MemoryProtection::new();
        let row = ChainRow { key: KEY, chain: CHAIN, last: Some((5, FrameId([5; 32]))), sealed: true, signature: None };
        rows.record(&[Guard::Chain(row.clone())]).unwrap();
        frame(8, 8).bind(&mut rows).unwrap();
        assert_eq!(rows.chain_row(&KEY, &CHAIN).unwrap(), Some(row));
    }
}
