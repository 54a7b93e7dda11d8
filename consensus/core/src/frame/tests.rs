use super::*;
use crate::example::{body, certify, chain, entry, frames, next, statement, wallet};
use crate::limits::{CHUNK_BYTES, GOSSIP_BYTES_MAX, HEADER_BYTES_MAX};
use crate::tip::ChainTip;
use ao_types::{Epoch, ItemBuilder};
use bytes::Bytes;
use proptest::prelude::*;

/// Ids, signatures and proofs rest on these bytes.
#[test]
fn the_bytes_of_a_header_and_of_a_payload() {
    let built = frames(2, |n| n == 1).remove(1);
    let mut header = built.frame.header.clone();
    header.closed = vec![Closed { process: Id([1; 32]), schedule_epoch: 2 }, Closed { process: Id([3; 32]), schedule_epoch: 0 }];
    (header.epoch, header.control_height) = (Epoch(4), 5);
    let page =
        format!("{}\n{}\n{}\n{}", hex::encode(header.encode()), header.id(), hex::encode(&built.payload), hex::encode(header.payload_root));
    insta::assert_snapshot!(page);
    assert_eq!(FrameHeader::decode(&header.encode()), Ok(header));
    assert_eq!(Frame::decode(&built.frame.encode()), Ok(built.frame));
}

#[test]
fn every_field_of_a_header_is_in_the_id() {
    let header = frames(2, |n| n == 1).remove(1).frame.header;
    let changes: [&dyn Fn(&mut FrameHeader); 16] = [
        &|h| h.network_id.0[0] ^= 1,
        &|h| h.epoch.0 ^= 1,
        &|h| h.chain.tenure ^= 1,
        &|h| h.sequence ^= 1,
        &|h| h.parent.0[0] ^= 1,
        &|h| h.certificates.clear(),
        &|h| h.control_height ^= 1,
        &|h| h.closed.push(Closed { process: Id([1; 32]), schedule_epoch: 2 }),
        &|h| h.entries_root[0] ^= 1,
        &|h| h.entry_count ^= 1,
        &|h| h.payload_bytes ^= 1,
        &|h| h.payload_root[0] ^= 1,
        &|h| h.history_root[0] ^= 1,
        &|h| h.block_height ^= 1,
        &|h| h.block_id[0] ^= 1,
        &|h| h.timestamp.0 ^= 1,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut other = header.clone();
        change(&mut other);
        assert_ne!(other.id(), header.id(), "{at}");
    }
}

#[test]
fn headers_that_break_a_bound_are_no_headers() {
    let header = frames(1, |_| false).remove(0).frame.header;
    let decode = |header: &FrameHeader| FrameHeader::decode(&header.encode());
    let closed = |process: u8| Closed { process: Id([process; 32]), schedule_epoch: 0 };
    let unsorted = FrameHeader { closed: vec![closed(2), closed(1)], ..header.clone() };
    assert_eq!(decode(&unsorted), Err(CodecError::NotCanonical { what: "order of closed processes" }));
    let twice = FrameHeader { closed: vec![closed(1), closed(1)], ..header.clone() };
    assert_eq!(decode(&twice), Err(CodecError::NotCanonical { what: "order of closed processes" }));
    let crowded = FrameHeader { entry_count: FRAME_ENTRIES_MAX as u32 + 1, ..header.clone() };
    assert!(matches!(decode(&crowded), Err(CodecError::Bound { .. })));
    let heavy = FrameHeader { payload_bytes: PAYLOAD_BYTES_MAX as u32 + 1, ..header.clone() };
    assert!(matches!(decode(&heavy), Err(CodecError::Bound { .. })));
    assert!(decode(&FrameHeader { entry_count: 1, ..heavy }).is_ok(), "a single large item has room");
    let certificate = certify(statement(&frames(1, |_| false)[0]), 0, 3).unwrap();
    let many = FrameHeader { certificates: vec![certificate; 3], ..header };
    assert!(matches!(decode(&many), Err(CodecError::Bound { max: 2, found: 3, .. })));
    const { assert!(HEADER_BYTES_MAX < GOSSIP_BYTES_MAX) };
}

#[test]
fn only_the_schedulers_own_signature_makes_a_signed_header() {
    let header = frames(1, |_| false).remove(0).frame.header;
    let signed = SignedHeader::sign(header.clone(), &wallet(1)).unwrap();
    let raw = signed.to_raw().unwrap();
    assert_eq!(RawHeader::decode(&raw.encode()).unwrap().verify().unwrap(), signed);
    let stranger = SignedHeader::sign(header.clone(), &wallet(2)).unwrap().to_raw().unwrap();
    assert!(matches!(stranger.verify(), Err(FrameError::Signer { .. })));
    let mut other = raw.clone();
    other.header.timestamp.0 += 1;
    assert!(matches!(other.verify(), Err(FrameError::Signature { .. })));
    let mut bent = raw.clone();
    let mut bytes = bent.signature.signature.to_vec();
    bytes[0] ^= 1;
    bent.signature.signature = bytes.into();
    assert!(matches!(bent.verify(), Err(FrameError::Signature { .. })));
    assert_eq!(SignedHeader::alone(header).to_raw(), None);
}

#[test]
fn a_payload_is_that_of_its_header_or_none() {
    let built = next(&ChainTip::opened(chain()), 3, Vec::new());
    let (header, payload) = (&built.frame.header, built.payload.to_vec());
    assert_eq!(Body::read_payload(header, &payload), Ok(body(3)));
    let mut bent = payload.clone();
    bent[40] ^= 1;
    assert!(matches!(Body::read_payload(header, &bent), Err(FrameError::PayloadRoot { .. })));
    assert!(matches!(Body::read_payload(header, &payload[1..]), Err(FrameError::Codec(CodecError::Length { .. }))));
    // A header can lie about what its own payload holds.
    let count = FrameHeader { entry_count: 2, ..header.clone() };
    assert!(matches!(Body::read_payload(&count, &payload), Err(FrameError::Entries { expected: 2, found: 3 })));
    let root = FrameHeader { entries_root: [0; 32], ..header.clone() };
    assert!(matches!(Body::read_payload(&root, &payload), Err(FrameError::EntriesRoot { .. })));
}

#[test]
fn chunks_prove_themselves() {
    let payload: Bytes = (0..CHUNK_BYTES * 2 + 100).map(|n| (n ^ (n >> 16)) as u8).collect::<Vec<_>>().into();
    let mut header = frames(1, |_| false).remove(0).frame.header;
    (header.payload_bytes, header.payload_root) = (payload.len() as u32, payload_root(&payload));
    let chunks: Vec<Chunk> = (0..3).map(|index| Chunk::of(&payload, index).unwrap()).collect();
    assert_eq!(chunk_count(header.payload_bytes), 3);
    assert_eq!(Chunk::of(&payload, 3), None);
    assert_eq!(Chunk::of(&payload, u32::MAX), None);
    for chunk in &chunks {
        assert_eq!(Chunk::decode(&chunk.encode()).unwrap().check(&header), Ok(()));
        for index in [0, 1, 2, 3, u32::MAX].into_iter().filter(|index| *index != chunk.index) {
            assert_eq!(Chunk { index, ..chunk.clone() }.check(&header), Err(FrameError::Chunk { index }));
        }
        let cut = Chunk { bytes: chunk.bytes.slice(1..), ..chunk.clone() };
        assert!(cut.check(&header).is_err());
    }
    assert_eq!(chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect::<Vec<_>>(), payload);
}

#[test]
fn bodies_are_cut_at_both_bounds_and_a_giant_travels_alone() {
    let part = |n: usize, item: usize| (entry(n as u8), Bytes::from_static(b"assignment"), Some(Bytes::from(vec![0; item])));
    let many = Body::split((0..FRAME_ENTRIES_MAX + 1).map(|n| part(n, 0)));
    assert_eq!(many.iter().map(|body| body.entries.len()).collect::<Vec<_>>(), [FRAME_ENTRIES_MAX, 1]);
    let mut seen = std::collections::BTreeSet::new();
    let mut one = move |n: u8, item: usize| {
        assert!(seen.insert(n));
        part(n.into(), item)
    };
    let bodies = Body::split([one(1, 3 << 20), one(2, 2 << 20), one(3, 6 << 20), one(4, 100), one(5, 12 << 20), one(6, 100)]);
    let shape: Vec<(usize, usize)> = bodies.iter().map(|body| (body.entries.len(), body.encode().len() >> 20)).collect();
    assert_eq!(shape, [(1, 3), (1, 2), (1, 6), (3, 0)], "what fits no frame is only named");
    assert!(matches!(bodies[3].items[1], BodyItem::Held(_)));
    for body in bodies {
        assert!(check_counts(body.entries.len(), body.encode().len()).is_ok());
    }
}

#[test]
fn contents_are_those_of_the_entries_in_their_order() {
    let signed = |n: u8| ItemBuilder::new().tag("N", n.to_string()).sign(&wallet(9)).unwrap();
    let (assignments, items) = ([signed(1), signed(2), signed(3)], [signed(4), signed(5)]);
    let of = |n: usize, item: usize| Entry { assignment: assignments[n].id(), item: items[item].id(), ..entry(n as u8) };
    let bytes = |item: &ao_types::Verified<ao_types::DataItem>| item.as_bytes().clone();
    // The second entry assigns the first one's item to another process: the item comes once.
    let body = Body::of([
        (of(0, 0), bytes(&assignments[0]), Some(bytes(&items[0]))),
        (of(1, 0), bytes(&assignments[1]), Some(bytes(&items[0]))),
        (of(2, 1), bytes(&assignments[2]), None),
    ]);
    let nobody = |_: &Id| false;
    let contents = body.contents(&nobody).unwrap();
    assert_eq!((contents.assignments.len(), contents.items.len(), contents.held.clone()), (3, 1, vec![items[1].id()]));
    let mut swapped = body.clone();
    swapped.assignments.swap(0, 1);
    assert!(matches!(swapped.contents(&nobody), Err(FrameError::Assignment { .. })));
    let mut swapped = body.clone();
    swapped.items.swap(0, 1);
    assert!(matches!(swapped.contents(&nobody), Err(FrameError::Item { .. })));
    let mut more = body.clone();
    more.items.push(BodyItem::Held(Id([1; 32])));
    assert!(matches!(more.contents(&nobody), Err(FrameError::Entries { .. })));
    let mut less = body.clone();
    less.items.pop();
    assert!(matches!(less.contents(&nobody), Err(FrameError::Item { .. })));
    // An assignment whose signature does not hold, under its own id.
    let mut forged = bytes(&assignments[0]).to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut lie = body;
    lie.assignments[0] = forged.into();
    assert!(matches!(lie.contents(&nobody), Err(FrameError::Content { .. })));
}

proptest! {
    #[test]
    fn hostile_bytes_are_read_as_what_they_would_be_written_from(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        macro_rules! check { ($($type:ty),*) => {$(
            if let Ok(value) = <$type>::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes.clone());
            }
        )*} }
        check!(FrameHeader, RawHeader, Body, Chunk, WireFrame, EntryPath);
        let _ = Frame::decode(&bytes);
    }

    #[test]
    fn a_body_is_read_back(count in 0u8..20) {
        let body = body(count);
        prop_assert_eq!(Body::decode(&body.encode()), Ok(body));
        let wire = WireFrame { header: SignedHeader::sign(next(&ChainTip::opened(chain()), count, vec![]).frame.header, &wallet(1)).unwrap().to_raw().unwrap(), body: crate::example::body(count) };
        prop_assert_eq!(WireFrame::decode(&wire.encode()), Ok(wire));
    }
}
