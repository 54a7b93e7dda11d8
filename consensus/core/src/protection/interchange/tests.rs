use super::super::{Permit, may_attest, may_sign};
use super::*;
use crate::example::{NETWORK, chain};
use proptest::prelude::*;

const KEY: BlsKey = BlsKey([1; 48]);

fn history() -> Rows {
    let chain_row = |tenure, last, sealed| ChainRow { key: KEY, chain: Chain { tenure, ..chain() }, last, sealed, signature: None };
    let frame = |n: u8| Some((u64::from(n), FrameId([n; 32])));
    let position = |kind, scope: &str, height, round| Position { key: KEY, kind, scope: scope.into(), term: 2, height, round };
    let signed = |position, root: u8| Guard::Signed(SignedRow { position, root: Some([root; 32]), signature: None });
    let guards = vec![
        Guard::Chain(chain_row(0, frame(9), false)),
        Guard::Chain(chain_row(1, frame(4), true)),
        Guard::Chain(chain_row(2, None, true)),
        signed(position(Kind::Prevote, "", 10, 1), 1),
        signed(position(Kind::Block, "", 10, 1), 2),
        signed(position(Kind::Result, "process", 3, 1), 3),
    ];
    (guards, vec![Watermark(position(Kind::Precommit, "", u64::MAX, u32::MAX))])
}

#[test]
fn what_is_exported_is_imported_and_the_file_has_this_shape() {
    let file = export(NETWORK, &history()).unwrap();
    insta::assert_snapshot!(file);
    assert_eq!(import(NETWORK, file.as_bytes()), Ok(history()));
    assert_eq!(export(NETWORK, &import(NETWORK, file.as_bytes()).unwrap()).unwrap(), file);
}

#[test]
fn a_file_that_cannot_be_understood_in_full_is_refused() {
    let file = export(NETWORK, &history()).unwrap();
    let change = |from: &str, to: &str| {
        assert!(file.contains(from), "{from}");
        import(NETWORK, file.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert!(matches!(change("aonode-slashing", "eip-3076"), InterchangeError::Format { .. }));
    assert!(matches!(change("\"version\": \"1\"", "\"version\": \"2\""), InterchangeError::Format { .. }));
    assert!(matches!(change("\"prevote\"", "\"prevoke\""), InterchangeError::Entry { field: "kind", .. }));
    assert!(matches!(change("\"height\": \"10\"", "\"height\": \"-1\""), InterchangeError::Entry { field: "height", .. }));
    assert!(matches!(change("\"domain\": \"bft\"", "\"domain\": \"frame\""), InterchangeError::Entry { field: "scope", .. }));
    assert!(matches!(change("\"round\"", "\"rounds\""), InterchangeError::Form { .. }));
    assert!(matches!(import(NetworkId([8; 32]), file.as_bytes()), Err(InterchangeError::Network { .. })));
    assert!(matches!(import(NETWORK, &vec![b' '; INTERCHANGE_BYTES_MAX + 1]), Err(InterchangeError::Size { .. })));
}

#[test]
fn merging_never_loosens() {
    let row = |last: Option<(u64, u8)>, sealed| {
        let last = last.map(|(sequence, frame)| (sequence, FrameId([frame; 32])));
        (vec![Guard::Chain(ChainRow { key: KEY, chain: chain(), last, sealed, signature: None })], vec![])
    };
    for (a, b, expected) in [
        (row(Some((3, 1)), false), row(Some((5, 2)), false), row(Some((5, 2)), false)),
        (row(Some((3, 1)), true), row(Some((5, 2)), false), row(Some((5, 2)), true)),
        (row(None, true), row(Some((5, 2)), false), row(Some((5, 2)), true)),
    ] {
        assert_eq!(merge(a.clone(), b.clone()), expected);
        assert_eq!(merge(b, a), expected);
    }
    let (guards, _) = merge(row(Some((5, 1)), false), row(Some((5, 2)), false));
    assert!(matches!(&guards[..], [Guard::Chain(row)] if row.sealed), "two frames of one sequence: nothing may follow either");
    let position = Position { key: KEY, kind: Kind::Prevote, scope: String::new(), term: 0, height: 1, round: 0 };
    let vote = |root: u8| {
        (vec![Guard::Signed(SignedRow { position: position.clone(), root: Some([root; 32]), signature: Some(vec![root]) })], vec![])
    };
    let (guards, _) = merge(vote(1), vote(2));
    assert!(matches!(&guards[..], [Guard::Signed(SignedRow { root: None, signature: None, .. })]), "conflicts with everything");
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let chain_row = (0u64..2, prop::option::of((0u64..4, 0u8..2)), any::<bool>()).prop_map(|(tenure, last, sealed)| {
        let last = last.map(|(sequence, frame)| (sequence, FrameId([frame; 32])));
        Guard::Chain(ChainRow { key: KEY, chain: Chain { tenure, ..chain() }, last, sealed, signature: None })
    });
    let position = (0u64..3, 0u32..2).prop_map(|(height, round)| Position {
        key: KEY,
        kind: Kind::Prevote,
        scope: String::new(),
        term: 0,
        height,
        round,
    });
    let vote = (position.clone(), 0u8..2)
        .prop_map(|(position, root)| Guard::Signed(SignedRow { position, root: Some([root; 32]), signature: None }));
    (prop::collection::vec(prop_oneof![chain_row, vote], 0..6), prop::collection::vec(position.prop_map(Watermark), 0..3))
}

/// Everything that a key could be asked to sign here, and whether these rows allow it.
fn allowed(rows: &Rows) -> Vec<bool> {
    let row_of = |tenure: u64| {
        rows.0.iter().find_map(|guard| if let Guard::Chain(row) = guard { (row.chain.tenure == tenure).then_some(row) } else { None })
    };
    let frames = (0..2).flat_map(|tenure| (0..6).flat_map(move |sequence| (0..2).map(move |frame| (tenure, sequence, frame))));
    let frames = frames.map(|(tenure, sequence, frame)| {
        let chain = Chain { tenure, ..chain() };
        may_attest(&KEY, &chain, row_of(tenure), (sequence, FrameId([frame; 32]))) == Ok(Permit::Fresh)
    });
    let votes = (0..4).flat_map(|height| (0..2).flat_map(move |round| (0..2u8).map(move |root| (height, round, root))));
    let votes = votes.map(|(height, round, root)| {
        let position = Position { key: KEY, kind: Kind::Prevote, scope: String::new(), term: 0, height, round };
        let row =
            rows.0.iter().find_map(|guard| if let Guard::Signed(row) = guard { (row.position == position).then_some(row) } else { None });
        may_sign(&position, &[root; 32], row, rows.1.first()) == Ok(Permit::Fresh)
    });
    frames.chain(votes).collect()
}

proptest! {
    /// At least as strict as either; twice is once; the order does not matter.
    #[test]
    fn a_merge_is_at_least_as_strict_as_both(a in any_rows(), b in any_rows()) {
        let (a, b) = (merge(a, Rows::default()), merge(b, Rows::default()));
        let both = merge(a.clone(), b.clone());
        for ((ours, theirs), merged) in allowed(&a).into_iter().zip(allowed(&b)).zip(allowed(&both)) {
            prop_assert!(!merged || (ours && theirs));
        }
        prop_assert_eq!(merge(both.clone(), b.clone()), both.clone());
        prop_assert_eq!(allowed(&merge(b, a)), allowed(&both));
        let file = export(NETWORK, &both).unwrap();
        prop_assert_eq!(allowed(&import(NETWORK, file.as_bytes()).unwrap()), allowed(&both));
    }

    #[test]
    fn hostile_files_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(import(NETWORK, &bytes).is_err());
    }
}
