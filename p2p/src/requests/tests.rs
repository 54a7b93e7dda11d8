use super::*;
use crate::identity::NodeKey;
use crate::limits::CHUNK_BYTES;

const RATE: u32 = 50;

fn peer(byte: u8) -> PeerId {
    NodeKey::from_seed(&mut [byte; 32]).unwrap().peer_id().unwrap()
}

fn inbound() -> Inbound<u8> {
    Inbound::new(Duration::from_secs(8), RATE)
}

#[test]
fn a_request_above_its_cap_is_not_sent() {
    let out = Outbound::<u64>::new();
    for kind in Kind::ALL {
        let data = vec![0; kind.request_bytes_max() + 1];
        assert_eq!(out.admit(RequestId(1), peer(1), kind, &data).unwrap_err(), Failure::Oversize);
        assert!(out.admit(RequestId(1), peer(1), kind, &data[1..]).is_ok());
    }
}

#[test]
fn each_thing_is_asked_of_one_peer_at_a_time() {
    let mut out = Outbound::new();
    let chunk = out.admit(RequestId(1), peer(1), Kind::Body, b"chunk 7").unwrap();
    out.opened(70, chunk);
    assert_eq!(out.admit(RequestId(2), peer(2), Kind::Body, b"chunk 7").unwrap_err(), Failure::Duplicate);
    assert!(out.admit(RequestId(2), peer(2), Kind::Body, b"chunk 8").is_ok());
    assert!(out.admit(RequestId(2), peer(2), Kind::Item, b"chunk 7").is_ok());
    assert_eq!(out.closed(&70).unwrap().id, RequestId(1));
    assert!(out.closed(&70).is_none());
    assert!(out.admit(RequestId(3), peer(2), Kind::Body, b"chunk 7").is_ok());
    // an engine says the same to everybody
    for to in 1..4 {
        let direct = out.admit(RequestId(4), peer(to), Kind::Direct, b"share").unwrap();
        out.opened(u64::from(to), direct);
    }
}

#[test]
fn so_many_per_peer_so_many_in_all_and_none_is_leaked() {
    let mut out = Outbound::new();
    let mut name = 0_u64;
    let mut fill = |out: &mut Outbound<u64>, to: u8, kind: Kind| {
        let mut open = Vec::new();
        loop {
            name += 1;
            match out.admit(RequestId(name), peer(to), kind, &name.to_be_bytes()) {
                Ok(asked) => out.opened(name, asked),
                Err(failure) => {
                    assert_eq!(failure, Failure::TooMany);
                    return open;
                }
            }
            open.push(name);
        }
    };
    let first = fill(&mut out, 1, Kind::Body);
    assert_eq!(first.len(), REQUESTS_PER_PEER);
    let mut all = fill(&mut out, 1, Kind::Direct);
    assert_eq!(all.len(), DIRECT_PER_PEER);
    all.extend(first);
    for to in 2..100 {
        all.extend(fill(&mut out, to, Kind::Range));
        all.extend(fill(&mut out, to, Kind::Direct));
    }
    assert_eq!(all.len(), REQUESTS_MAX);
    for request in all {
        assert!(out.closed(&request).is_some());
    }
    assert!(out.open.is_empty() && out.keys.is_empty() && out.counts.is_empty());
}

#[test]
fn every_request_is_answered_by_somebody() {
    let mut table = inbound();
    let second = Duration::from_secs(1);
    let a = table.opened(peer(1), Kind::Body, 1, second);
    let b = table.opened(peer(1), Kind::Body, 2, 2 * second);
    assert_eq!(table.answer(a, Answer::NotFound), Some((1, (Status::NotFound, Bytes::new()))));
    assert_eq!(table.answer(a, Answer::Busy), None);
    assert_eq!(table.overdue(9 * second), None);
    assert_eq!(table.overdue(10 * second), Some(b));
    assert_eq!(table.answer(b, Answer::Busy), Some((2, (Status::Busy, Bytes::new()))));
    assert_eq!(table.overdue(99 * second), None);
    assert!(table.per_peer.is_empty());
}

#[test]
fn one_peer_waits_for_so_many_and_all_for_so_many() {
    let mut table = inbound();
    for n in 0..INBOUND_PER_PEER {
        assert_eq!(table.admit(peer(1)), Ok(()), "{n}");
        table.opened(peer(1), Kind::Body, 0, Duration::ZERO);
    }
    assert_eq!(table.admit(peer(1)), Err(Turned::Full));
    let mut other = 2;
    while table.waiting.len() < INBOUND_MAX {
        for _ in 0..INBOUND_PER_PEER {
            table.opened(peer(other), Kind::Body, 0, Duration::ZERO);
        }
        other += 1;
    }
    assert_eq!(table.admit(peer(200)), Err(Turned::Full));
    table.answer(InboundId(0), Answer::Busy).unwrap();
    assert_eq!((table.admit(peer(200)), table.admit(peer(1))), (Ok(()), Ok(())));
}

#[test]
fn a_rate_is_kept_per_peer_and_forgotten_when_quiet() {
    let mut table = inbound();
    for _ in 0..2 * RATE {
        assert_eq!(table.count(peer(1), Duration::ZERO), Ok(()));
    }
    assert_eq!(table.count(peer(1), Duration::ZERO), Err(Turned::Flood));
    assert_eq!(table.count(peer(2), Duration::ZERO), Ok(()));
    table.tidy(Duration::from_millis(100));
    assert_eq!(table.rates.len(), 1);
    table.tidy(Duration::from_secs(60));
    assert!(table.rates.is_empty());
}

#[test]
fn an_answer_above_its_cap_is_refused_here_and_not_there() {
    let mut table = inbound();
    let id = table.opened(peer(1), Kind::Body, 0, Duration::ZERO);
    let fits = Answer::Found(vec![0; CHUNK_BYTES].into());
    assert_eq!(table.answer(id, fits).unwrap().1.0, Status::Ok);
    let id = table.opened(peer(1), Kind::Body, 0, Duration::ZERO);
    let long = Answer::Found(vec![0; Kind::Body.answer_bytes_max() + 1].into());
    assert_eq!(table.answer(id, long).unwrap().1, (Status::Refused, Bytes::new()));
}
