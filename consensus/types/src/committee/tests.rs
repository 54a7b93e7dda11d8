use super::*;
use crate::id::Id;
use proptest::prelude::*;

fn member(n: u8, stake: u128) -> Member {
    Member { key: BlsKey([n; 48]), stake: Stake(stake), address: Address::Arweave(Id([n; 32])), peer: PeerId(Bytes::from(vec![n; 38])) }
}

#[test]
fn order_and_root_do_not_depend_on_who_came_first() {
    let members = [member(3, 5), member(1, 9), member(2, 5)];
    let one = Committee::new(Epoch(4), members.to_vec()).unwrap();
    let two = Committee::new(Epoch(4), members.iter().rev().cloned().collect()).unwrap();
    assert_eq!(one, two);
    assert_eq!(one.members().iter().map(|member| member.key.0[0]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((one.index_of(&BlsKey([3; 48])), one.index_of(&BlsKey([4; 48])), one.total()), (Some(2), None, Stake(19)));
    insta::assert_snapshot!(format!("{}\n{}", hex::encode(one.encode()), hex::encode(one.root())));
    assert_eq!(Committee::decode(&one.encode()), Ok(one));
}

#[test]
fn every_field_of_a_member_is_in_the_root() {
    let root = |member: Member| Committee::new(Epoch(0), vec![member]).unwrap().root();
    let plain = member(1, 5);
    for other in [
        member(2, 5),
        member(1, 6),
        Member { address: Address::Arweave(Id([9; 32])), ..plain.clone() },
        Member { peer: PeerId(Bytes::from_static(b"x")), ..plain.clone() },
    ] {
        assert_ne!(root(plain.clone()), root(other));
    }
}

#[test]
fn members_that_are_no_committee_are_refused_by_name() {
    let new = |members| Committee::new(Epoch(0), members).unwrap_err();
    assert_eq!(new(vec![]), CommitteeError::Members { max: COMMITTEE_MEMBERS_MAX, found: 0 });
    assert_eq!(new(vec![member(1, 1), member(2, 0)]), CommitteeError::NoStake { key: BlsKey([2; 48]) });
    assert_eq!(new(vec![member(1, 1), member(1, 2)]), CommitteeError::DuplicateKey { key: BlsKey([1; 48]) });
    assert_eq!(new(vec![member(1, STAKE_TOTAL_MAX), member(2, 1)]), CommitteeError::TotalStake { max: STAKE_TOTAL_MAX });
    let many = |n: usize| Member { key: BlsKey(std::array::from_fn(|at| if at < 2 { (n >> (8 * at)) as u8 } else { 0 })), ..member(1, 1) };
    assert!(matches!(new((0..=COMMITTEE_MEMBERS_MAX).map(many).collect()), CommitteeError::Members { .. }));
}

#[test]
fn another_order_is_another_encoding_and_refused() {
    let committee = Committee::new(Epoch(0), vec![member(1, 2), member(2, 1)]).unwrap();
    let mut bytes = committee.encode();
    let (front, back) = bytes[12..].split_at_mut((committee.encode().len() - 12) / 2);
    front.swap_with_slice(back);
    assert_eq!(Committee::decode(&bytes), Err(CodecError::NotCanonical { what: "order of a committee" }));
}

#[test]
fn texts_of_keys_stakes_and_peers() {
    let stake = |text: &str| serde_json::from_str::<Stake>(text).map_err(|_| ());
    assert_eq!(stake("\"340282366920938463463374607431768211455\""), Ok(Stake(u128::MAX)));
    for bad in ["5", "\"05\"", "\"+5\"", "\"-1\"", "\"\"", "\"340282366920938463463374607431768211456\""] {
        assert_eq!(stake(bad), Err(()), "{bad}");
    }
    assert_eq!(serde_json::to_string(&Stake(7)).unwrap(), "\"7\"");
    let key = BlsKey([0xab; 48]);
    assert_eq!(key.to_string().parse(), Ok(key));
    assert!("0xab".parse::<BlsKey>().is_err());
    let peer: PeerId = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN".parse().unwrap();
    assert_eq!((peer.0.len(), peer.to_string()), (38, "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN".to_owned()));
    assert!("".parse::<PeerId>().is_err() && "0".parse::<PeerId>().is_err());
}

proptest! {
    /// Against arithmetic that cannot overflow.
    #[test]
    fn a_quorum_is_more_than_two_thirds_and_a_third_at_least_one(total in 1u128..STAKE_TOTAL_MAX, part: u128) {
        let committee = Committee::new(Epoch(0), vec![member(1, total)]).unwrap();
        let part = part % (total + 1);
        // part > 2·total/3, in whole numbers: part - total/3·2 against the remainder.
        let (third, rest) = (total / 3, total % 3);
        prop_assert_eq!(committee.is_quorum(Stake(part)), part > third * 2 + rest * 2 / 3);
        prop_assert_eq!(committee.is_third(Stake(part)), part >= third + u128::from(rest > 0));
    }
}
