use arc_malachitebft_core_types::{NilOrVal, PolkaSignature, Round, SignedMessage, VoteType};

use super::*;
use crate::context::{Proposal, Signature, Vote};
use crate::values::block_id;
use crate::values::tests::{block, frame};
use ao_types::{BlsKey, BlsSignature};

fn voter(number: u8) -> Voter {
    Voter(BlsKey([number; 48]))
}

fn signature(number: u8) -> Signature {
    Signature(BlsSignature([number; 96]))
}

fn vote(kind: VoteType, round: u32, value: NilOrVal<BlockId>) -> Entry {
    let vote = Vote { kind, height: Height(3), round: Round::new(round), value, voter: voter(1) };
    Entry::Vote(SignedMessage::new(vote, signature(2)))
}

fn entries() -> Vec<Entry> {
    let block = block(3, vec![frame(1, 0)], vec![]);
    let (id, height, round) = (block_id(&block), Height(3), Round::new(2));
    let proposal = Proposal { height, round, value: id, pol_round: Round::Nil, proposer: voter(3) };
    vec![
        Entry::Body(block),
        Entry::Value(ProposedValue { height, round, valid_round: Round::Nil, proposer: voter(3), value: id, validity: Validity::Valid }),
        Entry::Proposal(SignedMessage::new(Proposal { pol_round: Round::new(1), ..proposal.clone() }, signature(4))),
        Entry::Proposal(SignedMessage::new(proposal, signature(4))),
        vote(VoteType::Prevote, 2, NilOrVal::Val(id)),
        vote(VoteType::Prevote, 2, NilOrVal::Nil),
        vote(VoteType::Precommit, 2, NilOrVal::Val(id)),
        vote(VoteType::Precommit, 3, NilOrVal::Nil),
        Entry::Polka(PolkaCertificate { height, round, value_id: id, polka_signatures: vec![PolkaSignature::new(voter(5), signature(6))] }),
        Entry::Timeout(Timeout::propose(round)),
        Entry::Timeout(Timeout::prevote(round)),
        Entry::Timeout(Timeout::precommit(round)),
    ]
}

/// One record per entry.
fn records(height: Height) -> Vec<WalRecord> {
    let mut wal = Wal::default();
    wal.start(height);
    entries()
        .into_iter()
        .map(|entry| {
            wal.append(entry);
            wal.flush().expect("something waits")
        })
        .collect()
}

/// Records as bytes, for what damages them.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let records = records(Height(1));
    let two = [&records[0].bytes[..], &records[1].bytes[..]].concat();
    records.into_iter().map(|record| record.bytes.to_vec()).chain([two]).collect()
}

fn replay(height: u64, records: &[WalRecord]) -> Replayed {
    replayed(Height(height), records.iter().map(|record| (record.number, &record.bytes[..])))
}

#[test]
fn entries_come_back_in_order() {
    let records = records(Height(3));
    assert_eq!(replay(3, &records), Replayed { entries: entries(), next: 12, hole: false });
    let mut shuffled = records.clone();
    shuffled.reverse();
    assert_eq!(replay(3, &shuffled).entries, entries(), "the number orders them, not who reads them");
    let mut wal = Wal::default();
    wal.start(Height(3));
    entries().into_iter().for_each(|entry| assert!(!wal.append(entry)));
    let one = wal.flush().unwrap();
    assert_eq!(replay(3, &[one]), Replayed { entries: entries(), next: 1, hole: false });
    assert_eq!(wal.flush(), None);
}

#[test]
fn a_log_that_ends_early_is_its_longest_prefix() {
    let records = records(Height(3));
    for cut in 0..=records.len() {
        assert_eq!(replay(3, &records[..cut]), Replayed { entries: entries()[..cut].to_vec(), next: cut as u32, hole: false });
        let Some(last) = records.get(cut) else { continue };
        for kept in 0..last.bytes.len() {
            let mut torn = records[..=cut].to_vec();
            torn[cut].bytes.truncate(kept);
            assert_eq!(replay(3, &torn).entries.len(), cut, "{kept} bytes of record {cut}");
        }
    }
}

#[test]
fn what_an_earlier_height_left_under_the_same_keys_is_not_read() {
    let (old, new) = (records(Height(2)), records(Height(3)));
    for cut in 0..=new.len() {
        let mut store = old.clone();
        store[..cut].clone_from_slice(&new[..cut]);
        assert_eq!(replay(3, &store), Replayed { entries: entries()[..cut].to_vec(), next: cut as u32, hole: false });
    }
}

#[test]
fn a_hole_is_noticed() {
    let records = records(Height(3));
    for gone in 0..records.len() - 1 {
        let mut holed = records.clone();
        holed.remove(gone);
        assert!(replay(3, &holed).hole, "record {gone} is missing and later ones are there");
        let mut damaged = records.clone();
        damaged[gone].bytes[20] ^= 1;
        assert!(replay(3, &damaged).hole);
    }
}

#[test]
fn unwritten_entries_are_bounded() {
    let mut wal = Wal::default();
    wal.start(Height(3));
    let full = (1..=WAL_UNWRITTEN_MAX).find(|_| wal.append(vote(VoteType::Prevote, 0, NilOrVal::Nil)));
    assert_eq!(full, Some(WAL_UNWRITTEN_MAX));
    assert_eq!(replay(3, &[wal.flush().unwrap()]).entries.len(), WAL_UNWRITTEN_MAX);
}
