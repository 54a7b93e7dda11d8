use ao_p2p::NodeKey;
use ao_types::{ItemBuilder, Wallet};

use super::*;
use crate::network::serve::part_of;

fn peer(seed: u8) -> PeerId {
    NodeKey::from_seed(&mut [seed; 32]).unwrap().peer_id().unwrap()
}

fn item(bytes: usize) -> (Id, Bytes) {
    let item = ItemBuilder::new().data(vec![3; bytes]).sign(&Wallet::ed25519_from_seed(&[2; 32])).unwrap();
    (item.id(), item.as_bytes().clone())
}

fn asked(items: &mut Items, now: u64, others: &[PeerId]) -> Vec<(u64, PeerId, u32)> {
    let mut acts = Vec::new();
    items.poll(Timestamp(now), others, &mut acts);
    let ask = |act| match act {
        Act::Ask { request, peer, question } => (request, peer, question.part),
        other => panic!("{other:?}"),
    };
    acts.into_iter().map(ask).collect()
}

fn answer(items: &mut Items, now: u64, request: u64, result: Result<Bytes, Failure>) -> Vec<Act> {
    let mut acts = Vec::new();
    items.answered(Timestamp(now), request, result, &mut acts);
    acts
}

#[test]
fn an_item_comes_in_parts_from_whoever_has_it() {
    let (id, bytes) = item(2 * CHUNK_BYTES);
    let mut items = Items::default();
    assert!(items.want(Timestamp(0), id, &[peer(1), peer(2)], Purpose::Lacked));
    let (request, whom, part) = asked(&mut items, 0, &[])[0];
    assert_eq!((whom, part), (peer(1), 0));
    assert!(asked(&mut items, 0, &[]).is_empty(), "one part at a time");
    assert!(answer(&mut items, 0, request, Err(Failure::NotFound)).is_empty());
    for n in 0..3 {
        let (request, whom, part) = asked(&mut items, 0, &[])[0];
        assert_eq!((whom, part), (peer(2), n));
        let acts = answer(&mut items, 0, request, Ok(part_of(&bytes, n).unwrap()));
        if n == 2 {
            assert_eq!(acts, [Act::Item { from: peer(2), purpose: Purpose::Lacked, bytes: bytes.clone() }]);
        } else {
            assert!(acts.is_empty());
        }
    }
    assert!(items.wants.is_empty() && items.asked.is_empty());
}

#[test]
fn another_item_or_a_part_of_another_size_costs_points() {
    let (id, bytes) = item(100);
    let (_, other) = item(200);
    let short = ItemPart { total: bytes.len() as u32, bytes: bytes.slice(1..) }.encode();
    let huge = ItemPart { total: u32::MAX, bytes: Bytes::from(vec![0; CHUNK_BYTES]) }.encode();
    for lie in [part_of(&other, 0).unwrap(), short, huge, Bytes::from_static(b"garbage")] {
        let mut items = Items::default();
        items.want(Timestamp(0), id, &[peer(1)], Purpose::Lacked);
        let (request, ..) = asked(&mut items, 0, &[])[0];
        assert_eq!(answer(&mut items, 0, request, Ok(lie)), [Act::Blame(peer(1), Offence::Invalid)]);
        let (request, whom, part) = asked(&mut items, 0, &[peer(5)])[0];
        assert_eq!((whom, part), (peer(5), 0));
        assert_eq!(answer(&mut items, 0, request, Ok(part_of(&bytes, 0).unwrap())).len(), 1);
    }
}

#[test]
fn what_nobody_gives_is_given_up_and_an_offer_is_pulled_from_its_sender_only() {
    let (id, _) = item(100);
    let mut items = Items::default();
    items.want(Timestamp(0), id, &[peer(1)], Purpose::Lacked);
    let mut now = 0;
    let mut tries = 0;
    while now < PULL_MS_MAX {
        for (request, ..) in asked(&mut items, now, &[]) {
            tries += 1;
            answer(&mut items, now, request, Err(Failure::Timeout));
        }
        now += 25;
    }
    assert!((20..40).contains(&tries), "{tries} tries, farther and farther apart");
    let mut acts = Vec::new();
    items.poll(Timestamp(now), &[], &mut acts);
    assert_eq!(acts, [Act::Lost(Purpose::Lacked)]);
    for n in 0..ITEMS_MAX {
        assert!(items.want(Timestamp(now), Id(ao_types::hash::sha256(&[&n.to_be_bytes()])), &[], Purpose::Lacked));
    }
    assert!(!items.want(Timestamp(now), id, &[], Purpose::Lacked), "the bound bites");
}

#[test]
fn what_everybody_denies_is_nowhere_and_is_asked_for_no_more() {
    let (id, _) = item(100);
    let mut items = Items::default();
    items.want(Timestamp(0), id, &[], Purpose::Lacked);
    let others = [peer(1), peer(2)];
    for _ in 0..2 {
        let (request, ..) = asked(&mut items, 0, &others)[0];
        assert!(answer(&mut items, 0, request, Err(Failure::NotFound)).is_empty());
    }
    let mut acts = Vec::new();
    items.poll(Timestamp(0), &others, &mut acts);
    assert_eq!(acts, [Act::Nobody { item: id, denied: others.to_vec() }]);
    assert!(items.wants.is_empty());
    // Somebody who does not answer has not said no.
    items.want(Timestamp(0), id, &[], Purpose::Lacked);
    let (request, whom, _) = asked(&mut items, 0, &others)[0];
    answer(&mut items, 0, request, Err(Failure::Timeout));
    let (request, next, _) = asked(&mut items, 60, &others)[0];
    assert_ne!(whom, next);
    answer(&mut items, 60, request, Err(Failure::NotFound));
    assert_eq!(asked(&mut items, 60, &others).len(), 1, "it is asked again");
    // With nobody there, nobody has it.
    let mut alone = Items::default();
    alone.want(Timestamp(0), id, &[], Purpose::Lacked);
    let mut acts = Vec::new();
    alone.poll(Timestamp(0), &[], &mut acts);
    assert_eq!(acts, [Act::Nobody { item: id, denied: Vec::new() }]);
}
