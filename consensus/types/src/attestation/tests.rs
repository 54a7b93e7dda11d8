use super::*;
use crate::id::Address;
use proptest::prelude::*;

fn chain() -> Chain {
    Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 2 }
}

fn every_kind() -> Vec<(&'static str, Statement)> {
    let (frame, value) = (FrameId([3; 32]), BlockValue([4; 32]));
    let result = Statement::Result {
        process: Id([5; 32]),
        schedule_epoch: 6,
        slot: Slot(7),
        result: ResultHash([8; 32]),
        host_abi: 9,
        state: StateHash([10; 32]),
    };
    vec![
        ("frame", Statement::Frame { chain: chain(), sequence: 3, frame }),
        ("block", Statement::Block { height: 1, round: 2, value }),
        ("result", result),
        ("possession", Statement::Possession { key: BlsKey([11; 48]) }),
        ("seal", Statement::Seal { chain: chain(), highest: Some((12, frame)) }),
        ("seal of nothing", Statement::Seal { chain: chain(), highest: None }),
        ("prevote", Statement::Vote { height: 1, round: 2, step: VoteStep::Prevote, value: Some(value) }),
        ("precommit for nothing", Statement::Vote { height: 1, round: 2, step: VoteStep::Precommit, value: None }),
    ]
}

/// Signatures all over the world rest on these bytes.
#[test]
fn the_bytes_that_are_signed() {
    let lines =
        every_kind().into_iter().map(|(name, statement)| format!("{name}: {}", hex::encode(statement.message(&NetworkId([0xaa; 32])))));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_statement_passes_for_another_nor_on_another_network() {
    let messages = |network: u8| every_kind().into_iter().map(move |(_, statement)| statement.message(&NetworkId([network; 32])));
    let all: std::collections::BTreeSet<_> = messages(1).chain(messages(2)).collect();
    assert_eq!(all.len(), 2 * every_kind().len());
    for one in &all {
        assert!(one.starts_with(DOMAIN) && all.iter().all(|other| one == other || !other.starts_with(one)));
    }
    let rounds = [0, 1].map(|round| Statement::Block { height: 1, round, value: BlockValue([1; 32]) });
    assert_ne!(rounds[0].encode(), rounds[1].encode(), "shares of different rounds must not add up");
    assert_ne!(possession_scope("a"), possession_scope("b"));
}

#[test]
fn each_kind_is_read_back_and_the_reserved_one_is_not() {
    for (name, statement) in every_kind() {
        assert_eq!(Statement::decode(&statement.encode()), Ok(statement), "{name}");
        let cut = &statement.encode()[..statement.encode().len() - 1];
        assert!(matches!(Statement::decode(cut), Err(CodecError::Length { .. })), "{name}");
    }
    assert_eq!(Statement::decode(&[6; 100]), Err(CodecError::Kind { what: "statement kind", found: 6 }));
}

#[test]
fn a_certificate_of_a_thousand_has_at_most_400_bytes() {
    let mut signers = Signers::none(1000);
    (0..1000).filter(|n| n % 3 != 0).for_each(|n| assert!(signers.insert(n)));
    let statement = Statement::Frame { chain: chain(), sequence: u64::MAX, frame: FrameId([1; 32]) };
    let certificate = Certificate { statement, epoch: Epoch(u64::MAX), signers, signature: BlsSignature([9; 96]) };
    let bytes = certificate.encode();
    assert!(bytes.len() <= 400, "{}", bytes.len());
    assert_eq!(Certificate::decode(&bytes), Ok(certificate));
}

#[test]
fn a_bitmap_has_one_form() {
    let mut signers = Signers::none(9);
    assert!(signers.insert(8) && !signers.insert(8) && !signers.insert(9));
    assert_eq!(hex::encode(signers.encode()), "00090001");
    assert_eq!(Signers::decode(&[0, 9, 0, 2]), Err(CodecError::NotCanonical { what: "bitmap" }));
    assert!(matches!(Signers::decode(&[0xff; 600]), Err(CodecError::Bound { .. })));
    assert_eq!(Signers::decode(&[0, 8, 0xff]).map(|all| all.count()), Ok(8));
}

proptest! {
    #[test]
    fn a_bitmap_is_a_set(members in 0usize..200, actions in prop::collection::vec((any::<u16>(), any::<bool>()), 0..60)) {
        let (mut signers, mut model) = (Signers::none(members), std::collections::BTreeSet::new());
        for (index, add) in actions {
            let index = index % 210;
            if add {
                prop_assert_eq!(signers.insert(index), usize::from(index) < members && model.insert(index));
            } else {
                signers.remove(index);
                model.remove(&index);
            }
        }
        prop_assert_eq!(signers.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(signers.count() + signers.missing().count(), members);
        prop_assert_eq!(Signers::decode(&signers.encode()), Ok(signers));
    }

    #[test]
    fn what_is_read_is_what_would_be_written(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(certificate) = Certificate::decode(&bytes) {
            prop_assert_eq!(certificate.encode(), bytes.clone());
        }
        if let Ok(attestation) = Attestation::decode(&bytes) {
            prop_assert_eq!(attestation.encode(), bytes);
        }
    }
}
