use futures::executor::block_on;
use futures::io::Cursor;
use proptest::prelude::*;

use super::*;

fn request(bytes: &[u8], budget: &Budget) -> io::Result<(Kind, Bytes)> {
    block_on(read_request(&mut Cursor::new(bytes), budget))
}

fn bad(error: &io::Error) -> BadFrame {
    *error.get_ref().and_then(|inner| inner.downcast_ref()).unwrap_or_else(|| panic!("{error} is no BadFrame"))
}

fn framed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    block_on(write_request(&mut bytes, kind, payload)).unwrap();
    bytes.into_inner()
}

#[test]
fn the_bytes_of_each_frame_are_fixed() {
    assert_eq!(framed(Kind::Body, b"abc"), [1, 2, 0, 0, 0, 0, 0, 3, b'a', b'b', b'c']);
    let mut bytes = Cursor::new(Vec::new());
    block_on(write_answer(&mut bytes, Status::NotFound, b"")).unwrap();
    assert_eq!(bytes.into_inner(), [1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(seal_gossip(b"x").unwrap(), [1, b'x']);
    let caps: Vec<_> = Kind::ALL.map(|kind| (kind as u8, kind.request_bytes_max(), kind.answer_bytes_max())).into();
    assert_eq!(
        caps,
        [(1, 4096, 1 << 20), (2, 4096, 278_528), (3, 4096, 278_528), (4, 131_072, 0), (5, 524_288, 16_384), (6, 4096, 278_528)]
    );
}

#[test]
fn a_length_is_refused_before_it_is_allocated() {
    let budget = Budget::new(usize::MAX);
    for kind in Kind::ALL {
        let max = kind.request_bytes_max();
        for (claimed, refused) in [(max - 1, false), (max, false), (max + 1, true), (u32::MAX as usize, true)] {
            let bytes = head_of(kind as u8, claimed);
            let error = request(&bytes, &budget).unwrap_err();
            if refused {
                assert_eq!(bad(&error), BadFrame::Oversize { max, found: claimed });
            } else {
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{kind:?} {claimed}");
            }
            assert_eq!(budget.used(), 0);
        }
        let head = head_of(Status::Ok as u8, kind.answer_bytes_max() + 1);
        assert!(matches!(answer_head(&head, kind), Err(BadFrame::Oversize { .. })));
    }
}

#[test]
fn a_claim_costs_only_what_arrived() {
    let budget = Budget::new(READ_STEP_BYTES);
    // half a megabyte claimed, nothing sent: one step is reserved, then given back
    let claim = head_of(Kind::Forward as u8, FORWARD_BYTES_MAX);
    assert_eq!(request(&claim, &budget).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(budget.used(), 0);
    let whole = framed(Kind::Forward, &vec![1; READ_STEP_BYTES + 1]);
    assert_eq!(request(&whole, &budget).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    assert_eq!(budget.used(), 0);
}

#[test]
fn room_is_held_until_the_last_reader_lets_go() {
    let budget = Budget::new(1000);
    let bytes = framed(Kind::Body, &[7; 600]);
    let (_, payload) = request(&bytes, &budget).unwrap();
    let part = payload.slice(1..2);
    drop(payload);
    assert_eq!(budget.used(), 600);
    assert_eq!(request(&bytes, &budget).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    drop(part);
    assert_eq!(budget.used(), 0);
    assert_eq!(request(&bytes, &budget).unwrap().1.len(), 600);
}

#[test]
fn each_broken_rule_has_its_name() {
    let budget = Budget::new(1 << 20);
    let good = framed(Kind::Range, b"q");
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bad(&request(&bytes, &budget).unwrap_err())
    };
    assert_eq!(with(0, 2), BadFrame::Version { found: 2 });
    assert_eq!(with(1, 0), BadFrame::Kind { found: 0 });
    assert_eq!(with(1, 7), BadFrame::Kind { found: 7 });
    assert_eq!(with(2, 1), BadFrame::Reserved);
    assert_eq!(with(3, 1), BadFrame::Reserved);
    let mut long = good.clone();
    long.push(0);
    assert_eq!(bad(&request(&long, &budget).unwrap_err()), BadFrame::Trailing { found: 1 });
    assert_eq!(answer_head(&head_of(9, 0), Kind::Body), Err(BadFrame::Kind { found: 9 }));
    assert_eq!(answer_head(&head_of(Status::Busy as u8, 1), Kind::Body), Err(BadFrame::Oversize { max: 0, found: 1 }));
}

#[test]
fn gossip_has_a_version_a_payload_and_a_cap() {
    assert_eq!(open_gossip(b""), Err(BadFrame::Short { expected: 2, found: 0 }));
    assert_eq!(open_gossip(&[1]), Err(BadFrame::Short { expected: 2, found: 1 }));
    assert_eq!(open_gossip(&[2, 3]), Err(BadFrame::Version { found: 2 }));
    let mut bytes = vec![1; GOSSIP_BYTES_MAX + 1];
    assert_eq!(open_gossip(&bytes).unwrap().len(), GOSSIP_BYTES_MAX);
    bytes.push(1);
    assert_eq!(open_gossip(&bytes), Err(BadFrame::Oversize { max: GOSSIP_BYTES_MAX, found: GOSSIP_BYTES_MAX + 1 }));
    assert!(seal_gossip(&bytes).is_err() && seal_gossip(&[]).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read(kind in 0..5_usize, payload in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let kind = Kind::ALL[kind];
        let budget = Budget::new(1 << 20);
        let (read, bytes) = request(&framed(kind, &payload), &budget).unwrap();
        prop_assert_eq!((read, &bytes[..]), (kind, &payload[..]));
        if !payload.is_empty() {
            let sealed = seal_gossip(&payload).unwrap();
            prop_assert_eq!(open_gossip(&sealed).unwrap(), &payload[..]);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_hold_no_room(bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0..5_usize) {
        let budget = Budget::new(1 << 20);
        if let Ok((kind, payload)) = request(&bytes, &budget) {
            prop_assert_eq!(framed(kind, &payload), bytes.clone());
        }
        let _ = block_on(read_answer(&mut Cursor::new(&bytes), Kind::ALL[kind], &budget));
        let _ = open_gossip(&bytes);
        prop_assert_eq!(budget.used(), 0);
    }
}
