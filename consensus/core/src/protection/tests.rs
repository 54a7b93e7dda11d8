use super::memory::MemoryProtection;
use super::*;
use crate::example::chain;
use proptest::prelude::*;

const KEY: BlsKey = BlsKey([1; 48]);

fn row(last: Option<(u64, u8)>, sealed: bool) -> ChainRow {
    let last = last.map(|(sequence, frame)| (sequence, FrameId([frame; 32])));
    ChainRow { key: KEY, chain: chain(), last, sealed, signature: last.map(|_| BlsSignature([9; 96])) }
}

fn position(kind: Kind, height: u64, round: u32) -> Position {
    Position { key: KEY, kind, scope: String::new(), term: 0, height, round }
}

fn signed(position: Position, root: u8) -> SignedRow {
    SignedRow { position, root: Some([root; 32]), signature: Some(vec![root]) }
}

#[test]
fn frames_are_signed_forwards_repeats_serve_the_stored_bytes_and_a_seal_ends_it() {
    let may = |row: Option<&ChainRow>, sequence, frame: u8| may_attest(&KEY, &chain(), row, (sequence, FrameId([frame; 32])));
    let last = row(Some((5, 1)), false);
    assert_eq!(may(None, 0, 1), Ok(Permit::Fresh));
    assert_eq!(may(Some(&last), 6, 2), Ok(Permit::Fresh));
    assert_eq!(may(Some(&last), 99, 2), Ok(Permit::Fresh), "skipping is allowed");
    assert_eq!(may(Some(&last), 5, 1), Ok(Permit::Repeat(BlsSignature([9; 96]))));
    assert!(matches!(may(Some(&last), 5, 2), Err(Conflict::Frame { sequence: 5, .. })));
    assert!(matches!(may(Some(&last), 4, 1), Err(Conflict::Frame { sequence: 4, .. })));
    let sealed = row(Some((5, 1)), true);
    assert_eq!(may(Some(&sealed), 5, 1), Ok(Permit::Repeat(BlsSignature([9; 96]))), "given before the seal, it counts");
    assert_eq!(may(Some(&sealed), 6, 2), Err(Conflict::Sealed { key: KEY, chain: chain() }));
    let imported = ChainRow { signature: None, ..last };
    assert_eq!(may(Some(&imported), 5, 1), Err(Conflict::BytesElsewhere));
}

#[test]
fn a_position_is_signed_once_and_nothing_at_or_below_the_watermark() {
    let (one, mark) = (position(Kind::Precommit, 7, 1), Watermark(position(Kind::Precommit, 6, 3)));
    assert_eq!(may_sign(&one, &[1; 32], None, Some(&mark)), Ok(Permit::Fresh));
    assert_eq!(may_sign(&one, &[1; 32], Some(&signed(one.clone(), 1)), None), Ok(Permit::Repeat(vec![1])));
    assert_eq!(may_sign(&one, &[2; 32], Some(&signed(one.clone(), 1)), None), Err(Conflict::Position(Box::new(one.clone()))));
    let rootless = SignedRow { root: None, ..signed(one.clone(), 1) };
    assert_eq!(may_sign(&one, &[1; 32], Some(&rootless), None), Err(Conflict::Position(Box::new(one))), "a missing root conflicts");
    for (height, round, free) in [(6, 3, false), (6, 2, false), (5, 9, false), (6, 4, true), (7, 0, true)] {
        let verdict = may_sign(&position(Kind::Precommit, height, round), &[1; 32], None, Some(&mark));
        assert_eq!(verdict.is_ok(), free, "{height}/{round}: {verdict:?}");
    }
    let below = position(Kind::Precommit, 6, 3);
    assert_eq!(may_sign(&below, &[1; 32], Some(&signed(below.clone(), 1)), Some(&mark)), Ok(Permit::Repeat(vec![1])), "the identical one");
    let later_term = Position { term: 1, ..position(Kind::Precommit, 0, 0) };
    assert_eq!(may_sign(&later_term, &[1; 32], None, Some(&mark)), Ok(Permit::Fresh), "terms come first");
}

#[test]
fn one_call_is_all_or_nothing_and_its_rows_bind_each_other() {
    let mut store = MemoryProtection::new();
    store.record(&[Guard::Chain(row(Some((1, 1)), false))]).unwrap();
    let before = store.clone();
    let vote = |root| Guard::Signed(signed(position(Kind::Prevote, 1, 0), root));
    assert!(store.record(&[vote(1), vote(2)]).is_err(), "two for one place in one call");
    assert!(store.record(&[Guard::Chain(row(Some((2, 2)), false)), Guard::Chain(row(Some((2, 3)), false))]).is_err());
    assert_eq!(store, before);
    store.record(&[vote(1), Guard::Chain(row(Some((2, 2)), true))]).unwrap();
    assert!(store.record(&[Guard::Chain(row(Some((3, 3)), false))]).is_err(), "sealed");
    assert!(store.record(&[Guard::Chain(row(Some((2, 2)), false))]).is_err(), "never unsealed");
    store.record(&[vote(1), Guard::Chain(row(Some((2, 2)), true))]).unwrap();
    assert_eq!(store.keys().unwrap(), [KEY]);
    assert_eq!(store.rows(&KEY).unwrap().0.len(), 2);
}

#[test]
fn watermarks_only_rise() {
    let mut store = MemoryProtection::new();
    store.raise(&Watermark(position(Kind::Prevote, 5, 1))).unwrap();
    store.raise(&Watermark(position(Kind::Prevote, 4, 9))).unwrap();
    assert_eq!(store.watermark(&position(Kind::Prevote, 0, 0)).unwrap(), Some(Watermark(position(Kind::Prevote, 5, 1))));
    assert!(store.record(&[Guard::Signed(signed(position(Kind::Prevote, 5, 1), 1))]).is_err());
    store.record(&[Guard::Signed(signed(position(Kind::Precommit, 5, 1), 1))]).unwrap();
}

proptest! {
    /// Whatever is asked for in whatever order: what was permitted never contradicts itself.
    #[test]
    fn no_order_of_requests_signs_two_things(requests in prop::collection::vec((0u64..6, 0u8..3, any::<bool>()), 0..60)) {
        let mut store = MemoryProtection::new();
        let mut given = BTreeMap::new();
        let mut sealed = false;
        for (sequence, frame, seal) in requests {
            let last = store.chain_row(&KEY, &chain()).unwrap();
            let permit = may_attest(&KEY, &chain(), last.as_ref(), (sequence, FrameId([frame; 32])));
            if permit == Ok(Permit::Fresh) {
                prop_assert!(!sealed);
                prop_assert!(given.last_key_value().is_none_or(|(last, _)| *last < sequence));
                store.record(&[Guard::Chain(row(Some((sequence, frame)), false))]).unwrap();
                given.insert(sequence, frame);
            } else if let Ok(Permit::Repeat(_)) = permit {
                prop_assert_eq!(given.get(&sequence), Some(&frame));
            }
            if seal && frame == 0 {
                let last = given.last_key_value().map(|(sequence, frame)| (*sequence, *frame));
                store.record(&[Guard::Chain(row(last, true))]).unwrap();
                sealed = true;
            }
        }
    }

    #[test]
    fn rows_are_read_back(last in prop::option::of((any::<u64>(), any::<u8>())), sealed: bool) {
        let row = row(last, sealed);
        prop_assert_eq!(ChainRow::decode(&row.encode()), Ok(row));
    }
}
