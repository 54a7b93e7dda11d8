use super::*;
use crate::identity::NodeKey;

fn peer(byte: u8) -> PeerId {
    NodeKey::from_seed(&mut [byte; 32]).unwrap().peer_id().unwrap()
}

fn at(seconds: u64) -> Now {
    Now { uptime: Duration::from_secs(seconds), unix: 1_000_000 + seconds }
}

fn known(byte: u8, address: &str) -> KnownPeer {
    KnownPeer { peer: peer(byte), addresses: vec![address.parse().unwrap()] }
}

fn banned(sentence: Sentence) -> Ban {
    match sentence {
        Sentence::Ban(ban) => ban,
        other => panic!("{other:?}"),
    }
}

fn view(subnets: &HashMap<Subnet, u32>) -> View<'_> {
    View { connected: &|_| false, subnets, dice: &|_| 0, strangers: true }
}

#[test]
fn offences_add_up_to_a_ban_for_the_worst_of_them() {
    let mut book = PeerBook::new(&[], at(0));
    let thief = peer(1);
    assert_eq!(book.offend(thief, Offence::Replay, 1, at(0)), Sentence::None);
    assert_eq!(book.offend(thief, Offence::Malformed, 3, at(0)), Sentence::None);
    assert_eq!(book.score(thief, at(0)), -65);
    let ban = banned(book.offend(thief, Offence::Malformed, 2, at(0)));
    assert_eq!((ban.reason, ban.until, ban.earlier), (BanReason::Offence(Offence::Malformed), 1_000_600, 0));
    assert!(book.is_banned(thief) && !book.is_banned(peer(2)));
    assert_eq!(book.score(thief, at(0)), 0, "the ban pays");
}

#[test]
fn delays_close_a_connection_and_ban_nobody() {
    let mut book = PeerBook::new(&[], at(0));
    let peer = peer(1);
    assert_eq!(book.offend(peer, Offence::Timeout, 10, at(0)), Sentence::None);
    assert_eq!(book.score(peer, at(0)), -50);
    assert_eq!(book.gossip_score(peer, at(0)), Points { score: 0.0, delays: 0.0 }, "a few are forgiven");
    assert_eq!(book.offend(peer, Offence::Slow, 5, at(0)), Sentence::None);
    assert_eq!(book.gossip_score(peer, at(0)), Points { score: -25.0, delays: -25.0 });
    assert_eq!(book.offend(peer, Offence::Fault, 1, at(0)), Sentence::None);
    assert_eq!(book.gossip_score(peer, at(0)), Points { score: -75.0, delays: -25.0 });
    assert_eq!(book.offend(peer, Offence::Timeout, 5, at(0)), Sentence::Close);
    assert_eq!(book.score(peer, at(0)), -50, "what is its own fault stays");
    assert!(!book.is_banned(peer));
    assert_eq!(book.offend(peer, Offence::Timeout, u32::MAX, at(0)), Sentence::Close);
    assert!(matches!(book.offend(peer, Offence::Fault, 1, at(0)), Sentence::Ban(_)));
}

#[test]
fn points_grow_back() {
    let mut book = PeerBook::new(&[], at(0));
    book.offend(peer(1), Offence::Fault, 1, at(0));
    assert_eq!([0, 60, 150, 300, 3000].map(|second| book.score(peer(1), at(second))), [-50, -40, -25, 0, 0]);
}

#[test]
fn each_ban_is_longer_than_the_last_and_all_end() {
    let mut book = PeerBook::new(&[], at(0));
    let mut now = 0;
    for length in [600, 3600, 21_600, 86_400, 86_400] {
        let ban = banned(book.offend(peer(1), Offence::Fault, 9, at(now)));
        assert_eq!(ban.until - at(now).unix, length);
        assert_eq!(book.expired(at(now + length - 1)), []);
        now += length;
        assert_eq!(book.expired(at(now)), [peer(1)]);
        assert!(!book.is_banned(peer(1)));
    }
}

#[test]
fn a_gossip_score_bans_for_a_moment_at_first() {
    let mut book = PeerBook::new(&[], at(0));
    let mut now = 0;
    for length in [30, 180, 1080] {
        let ban = book.ban_by_score(peer(1), BanReason::Gossip, at(now)).unwrap();
        assert_eq!(ban.until - at(now).unix, length);
        now += length;
        assert_eq!(book.expired(at(now)), [peer(1)]);
    }
}

#[test]
fn bans_outlive_the_book() {
    let mut book = PeerBook::new(&[], at(0));
    let ban = book.ban(peer(1), BanReason::Operator, Duration::from_secs(100), at(0)).unwrap();
    assert!(PeerBook::new(&[ban], at(99)).is_banned(peer(1)));
    let mut later = PeerBook::new(&[ban], at(100));
    assert!(!later.is_banned(peer(1)));
    let next = banned(later.offend(peer(1), Offence::Fault, 2, at(100)));
    assert_eq!(next.until - at(100).unix, 3600, "it is remembered that this is the second");
    assert!(later.unban(peer(1)) && !later.unban(peer(1)));
}

#[test]
fn a_shorter_ban_changes_nothing() {
    let mut book = PeerBook::new(&[], at(0));
    book.ban(peer(1), BanReason::Operator, BAN_MAX * 2, at(0)).unwrap();
    assert_eq!(book.offend(peer(1), Offence::Fault, 9, at(0)), Sentence::None);
}

#[test]
fn tables_stay_within_their_bounds_and_wanted_peers_stay() {
    let mut book = PeerBook::new(&[], at(0));
    book.told(&known(0, "/ip4/192.0.2.1/tcp/1"), true, at(0));
    let mut seed = [1; 32];
    let mut last = peer(1);
    for n in 0..(PEERS_KNOWN_MAX as u64 + 10) {
        seed[..8].copy_from_slice(&n.to_be_bytes());
        seed[31] = 9;
        last = NodeKey::from_seed(&mut seed.clone()).unwrap().peer_id().unwrap();
        let addresses = (1..40).map(|port| format!("/ip4/192.0.2.2/tcp/{port}").parse().unwrap()).collect();
        book.told(&KnownPeer { peer: last, addresses }, false, at(n + 1));
    }
    assert_eq!(book.places.len(), PEERS_KNOWN_MAX);
    assert!(book.places.contains_key(&peer(0)) && book.places.contains_key(&last));
    assert_eq!(book.addresses(last).len(), ADDRESSES_PER_PEER);
    for n in 0..(BANS_MAX as u64 + 10) {
        seed[..8].copy_from_slice(&n.to_be_bytes());
        let peer = NodeKey::from_seed(&mut seed.clone()).unwrap().peer_id().unwrap();
        book.ban(peer, BanReason::Operator, Duration::from_secs(n + 1), at(0));
    }
    assert_eq!(book.bans.len(), BANS_MAX);
    assert!(book.ledgers.len() <= LEDGERS_MAX);
}

#[test]
fn wanted_peers_are_dialled_first_then_subnets_nobody_is_in() {
    let mut book = PeerBook::new(&[], at(0));
    book.told(&known(1, "/ip4/192.0.2.1/tcp/1"), true, at(0));
    book.told(&known(2, "/ip4/198.51.100.1/tcp/1"), false, at(0));
    book.told(&known(3, "/ip4/203.0.113.1/tcp/1"), false, at(0));
    book.told(&known(4, "/ip4/203.0.113.2/tcp/1"), false, at(0));
    book.ban(peer(4), BanReason::Operator, Duration::from_secs(1000), at(0));
    let crowded = HashMap::from([(Subnet::of("198.51.100.9".parse().unwrap()), 1)]);
    let order = |book: &mut PeerBook, missing, now| -> Vec<PeerId> {
        book.choose(&view(&crowded), missing, 8, at(now)).into_iter().map(|known| known.peer).collect()
    };
    assert_eq!(order(&mut book, 0, 0), [peer(1)], "wanted ones are dialled even when enough are connected");
    assert_eq!(order(&mut book, 5, 0), [peer(3), peer(2)]);
    assert_eq!(order(&mut book, 5, 0), [], "dials under way are not started twice");
    let trusted = View { strangers: false, ..view(&crowded) };
    assert_eq!(book.choose(&trusted, 5, 8, at(5)).len(), 1);
}

#[test]
fn a_dead_address_is_tried_less_and_less_and_a_stranger_forgotten() {
    let mut book = PeerBook::new(&[], at(0));
    book.told(&known(1, "/ip4/192.0.2.1/tcp/1"), true, at(0));
    book.told(&known(2, "/ip4/192.0.2.2/tcp/1"), false, at(0));
    for _ in 0..9 {
        book.dial_failed(peer(1), at(0));
        book.dial_failed(peer(2), at(0));
    }
    assert!(book.addresses(peer(2)).is_empty());
    let none = HashMap::new();
    assert!(book.choose(&view(&none), 0, 8, at(FRIEND_PAUSE_MAX.as_secs() - 1)).is_empty());
    assert_eq!(book.choose(&view(&none), 0, 8, at(FRIEND_PAUSE_MAX.as_secs())).len(), 1);
    book.connected(peer(1));
    assert_eq!(book.choose(&view(&none), 0, 8, at(0)).len(), 1, "after a connection the next dial may come at once");
}

#[test]
fn who_speaks_another_version_is_tried_again_later_and_told_of_once_in_a_while() {
    let mut book = PeerBook::new(&[], at(0));
    let subnets = HashMap::new();
    book.told(&known(1, "/ip4/192.0.2.1/tcp/1"), true, at(0));
    book.connected(peer(1));
    assert!(book.other_version(peer(1), at(0)) && !book.other_version(peer(1), at(1)));
    assert_eq!(book.choose(&view(&subnets), 5, 5, at(2)), [], "not at once");
    assert_eq!(book.choose(&view(&subnets), 5, 5, at(1 + VERSION_PAUSE.as_secs())).len(), 1, "but again");
    assert_eq!((book.score(peer(1), at(2)), book.is_banned(peer(1))), (0, false), "it did nothing wrong");
    assert!(book.other_version(peer(1), at(VERSION_TOLD_EVERY.as_secs())));
}

#[test]
fn anchors_are_few_and_of_different_subnets() {
    let mut book = PeerBook::new(&[], at(0));
    let candidates: Vec<_> = (0..20)
        .map(|n| {
            let address = format!("/ip4/10.0.{}.{n}/tcp/1", n / 2);
            book.told(&known(n, &address), false, at(0));
            (peer(n), Some(Subnet::of(format!("10.0.{}.{n}", n / 2).parse().unwrap())))
        })
        .collect();
    let anchors = book.anchors(&candidates);
    assert_eq!(anchors.len(), ANCHORS_MAX);
    assert!(anchors.iter().enumerate().all(|(n, anchor)| anchor.peer == peer(2 * n as u8)));
}
