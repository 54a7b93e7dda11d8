use ao_consensus::fuzzing::damaged;
use ao_p2p::NodeKey;
use ao_types::{Address, BlsKey, BlsSignature, Certificate, Epoch, ResultHash, Signers, Slot, StateHash, Statement};
use proptest::prelude::*;

use super::*;
use crate::error::{Code, Rejection};
use crate::handle::{Accepted, AssignRequest};
use crate::limits::EXCLUDED_MAX;
use crate::network::fuzzing::messages;
use crate::network::fuzzing::seeds::seeds;
use crate::network::limits::REASON_BYTES_MAX;
use crate::network::tests::frames;

fn chain() -> Chain {
    Chain { scheduler: Address::Arweave(Id([7; 32])), tenure: 3 }
}

fn place() -> Place {
    Place { chain: chain(), sequence: 9, frame: FrameId([5; 32]) }
}

fn state() -> Statement {
    Statement::Result {
        process: Id([1; 32]),
        schedule_epoch: 0,
        slot: Slot(9_999),
        result: ResultHash([2; 32]),
        host_abi: 3,
        state: StateHash([4; 32]),
    }
}

/// Nothing but a statement about a state is asked about.
#[test]
fn a_question_about_a_state_names_one() {
    let frame = Statement::Frame { chain: chain(), sequence: 9, frame: FrameId([5; 32]) };
    assert!(StateQuestion::decode(&StateQuestion::Vouch { key: BlsKey([7; 48]), statement: frame }.encode()).is_err());
    for why in
        [Declined::Key, Declined::Silent, Declined::NotYet, Declined::NotKept, Declined::Differs, Declined::Conflict, Declined::Failed]
    {
        let answer = Vouched::Declined(why);
        assert_eq!(Vouched::decode(&answer.encode()), Ok(answer));
    }
}

fn peer() -> PeerId {
    NodeKey::from_seed(&mut [4; 32]).unwrap().peer_id().unwrap()
}

#[test]
fn every_message_comes_back() {
    let header = frames::Author::new(1).next(&[]).header.to_raw().unwrap();
    for gossip in [
        Gossip::Frame(Bytes::from_static(b"frame")),
        Gossip::Header { header: Box::new(header), holder: peer() },
        Gossip::Engine(Bytes::from_static(b"words")),
        Gossip::Evidence(Bytes::new()),
    ] {
        assert_eq!(Gossip::decode(&gossip.encode()), Ok(gossip));
    }
    let tip = Tip { chain: chain(), next: 7, last: FrameId([1; 32]) };
    let words = Bytes::from_static(b"share");
    for direct in [
        Direct::Engine(words.clone()),
        Direct::Tips(vec![tip; 3], Timestamp(7)),
        Direct::Tips(vec![], Timestamp(u64::MAX)),
        Direct::Have(place()),
        Direct::Evidence(words.clone()),
        Direct::Location(words),
    ] {
        assert_eq!(Direct::decode(&direct.encode()), Ok(direct));
    }
    let assign = |names: usize| {
        let exclude = (0..names).map(|n| format!("Field-{n}")).collect();
        Forward::Assign(AssignRequest { process: Id([1; 32]), item: Id([2; 32]), exclude, base_layer: names == 1 })
    };
    for names in [0, 1, EXCLUDED_MAX] {
        assert_eq!(Forward::decode(&assign(names).encode()), Ok(assign(names)));
    }
    assert!(Forward::decode(&assign(EXCLUDED_MAX + 1).encode()).is_err());
    let range = RangeQuestion { chain: chain(), from: 5, count: 64 };
    assert_eq!(RangeQuestion::decode(&range.encode()), Ok(range));
    let chunk = ChunkQuestion { place: place(), index: 3 };
    assert_eq!(ChunkQuestion::decode(&chunk.encode()), Ok(chunk));
    let item = ItemQuestion { item: Id([3; 32]), part: 2 };
    assert_eq!(ItemQuestion::decode(&item.encode()), Ok(item));
    let part = ItemPart { total: 300_000, bytes: Bytes::from_static(b"part") };
    assert_eq!(ItemPart::decode(&part.encode()), Ok(part));
    for forward in [Forward::Whole(Bytes::from_static(b"item")), Forward::Offer { item: Id([3; 32]), bytes: 9 }] {
        assert_eq!(Forward::decode(&forward.encode()), Ok(forward));
    }
    let pieces = vec![Piece::Whole(Bytes::from_static(b"frame")), Piece::Header(Bytes::from_static(b"header"))];
    assert_eq!(decode_range(&encode_range(&pieces), 2), Ok(pieces));
}

#[test]
fn receipts_say_what_the_scheduler_said() {
    let accepted = Accepted { id: Id([1; 32]), process: Some(Id([2; 32])), slot: Some(Slot(3)), assignment: None, timestamp_ms: u64::MAX };
    let refused = Rejection::retry(Code::Busy, "über", 5);
    for receipt in [Ok(accepted), Err(refused.clone()), Err(Rejection::new(Code::Duplicate, ""))] {
        assert_eq!(decode_receipt(&encode_receipt(&receipt)), Ok(receipt));
    }
    let long = Err(Rejection { message: "ü".repeat(REASON_BYTES_MAX), ..refused });
    let read = decode_receipt(&encode_receipt(&long)).unwrap().unwrap_err();
    assert_eq!(read.message.len(), REASON_BYTES_MAX);
    let mut newer = encode_receipt(&Err(Rejection::new(Code::Duplicate, ""))).to_vec();
    newer[6..14].copy_from_slice(b"AON-9999");
    assert_eq!(decode_receipt(&newer).unwrap().unwrap_err().code, Code::Internal);
}

#[test]
fn bounds_hold_before_anything_is_read() {
    let tips = |count: u32| Bytes::from([&[VERSION, 2][..], &count.to_be_bytes()].concat());
    assert_eq!(Direct::decode(&tips(TIPS_MAX as u32 + 1)), Err(CodecError::Bound { what: "tips", max: TIPS_MAX, found: TIPS_MAX + 1 }));
    for count in [0, 65, u16::MAX] {
        let question = RangeQuestion { chain: chain(), from: 0, count };
        let found = usize::from(count);
        assert_eq!(RangeQuestion::decode(&question.encode()), Err(CodecError::Bound { what: "frames of a range", max: 64, found }));
    }
    let two = encode_range(&[Piece::Whole(Bytes::new()), Piece::Whole(Bytes::new())]);
    assert_eq!(decode_range(&two, 1), Err(CodecError::Bound { what: "frames of a range", max: 1, found: 2 }));
    assert!(decode_range(&encode_range(&[]), 1).is_err());
    let far = ItemQuestion { item: Id([0; 32]), part: PARTS_MAX as u32 };
    assert!(ItemQuestion::decode(&far.encode()).is_err());
    for (bytes, version) in [(vec![2, 1], 2), (vec![0, 1], 0)] {
        let wrong = CodecError::Version { what: "gossip", expected: VERSION, found: version };
        assert_eq!(Gossip::decode(&bytes.into()), Err(wrong));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_with_one_encoding_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 1u16..64) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        if let Some(kind) = bytes.get_mut(1) {
            *kind %= 6;
        }
        let bytes = Bytes::from(bytes);
        check(&bytes, count);
    }
}

fn check(bytes: &Bytes, count: u16) {
    for which in 0..12 {
        messages(&[&[which, count as u8][..], bytes].concat());
    }
}

/// Every kind of message, whole and damaged. Whole, they are the seeds in `fuzz/seeds`.
#[test]
fn damaged_messages_are_read_or_refused() {
    let header = frames::Author::new(1).next(&[]).header.to_raw().unwrap();
    let wire = Bytes::from_static(b"bytes of a frame, an engine or an item");
    let tip = Tip { chain: chain(), next: 7, last: FrameId([1; 32]) };
    let accepted = Accepted { id: Id([1; 32]), process: Some(Id([2; 32])), slot: Some(Slot(3)), assignment: None, timestamp_ms: 5 };
    let mut signers = Signers::none(4);
    (0..3).for_each(|n| assert!(signers.insert(n)));
    let certificate = Certificate { statement: state(), epoch: Epoch(0), signers, signature: BlsSignature([8; 96]) };
    let samples: [(u8, Vec<u8>); 22] = [
        (0, Gossip::Frame(wire.clone()).encode().to_vec()),
        (0, Gossip::Header { header: Box::new(header), holder: peer() }.encode().to_vec()),
        (0, Gossip::Evidence(wire.clone()).encode().to_vec()),
        (1, Direct::Engine(wire.clone()).encode().to_vec()),
        (1, Direct::Tips(vec![tip; 3], Timestamp(7)).encode().to_vec()),
        (1, Direct::Have(place()).encode().to_vec()),
        (2, Forward::Whole(wire.clone()).encode().to_vec()),
        (2, Forward::Offer { item: Id([3; 32]), bytes: 9 }.encode().to_vec()),
        (3, ItemPart { total: 300_000, bytes: wire.clone() }.encode().to_vec()),
        (4, RangeQuestion { chain: chain(), from: 5, count: 64 }.encode()),
        (5, ChunkQuestion { place: place(), index: 3 }.encode()),
        (6, ItemQuestion { item: Id([3; 32]), part: 2 }.encode()),
        (7, encode_range(&[Piece::Whole(wire.clone()), Piece::Header(wire)]).to_vec()),
        (11, encode_receipt(&Ok(accepted)).to_vec()),
        (8, StateQuestion::Vouch { key: BlsKey([7; 48]), statement: state() }.encode()),
        (9, Vouched::Share(BlsSignature([8; 96])).encode()),
        (9, Vouched::Certificate(Box::new(certificate)).encode()),
        (9, Vouched::Declined(Declined::NotYet).encode()),
        (9, Vouched::Declined(Declined::Failed).encode()),
        (8, StateQuestion::Snapshots(Id([3; 32])).encode()),
        (8, StateQuestion::Part { snapshot: [4; 32], chunk: 7, part: 31 }.encode()),
        (10, encode_offers(&[crate::snapshot::tests::manifest()])),
    ];
    let samples = samples.map(|(which, bytes)| [&[which, 2][..], &bytes].concat());
    seeds(env!("CARGO_MANIFEST_DIR"), "messages", &samples);
    damaged(messages, &samples, 1_000);
}
