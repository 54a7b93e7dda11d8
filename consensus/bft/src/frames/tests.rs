use ao_consensus::checks::{Contents, Tip};
use ao_consensus::{Body, Draft, Origin, OriginChange, OriginUpdate, SignedHeader};
use ao_types::wallet::Ed25519Wallet;
use ao_types::{Epoch, Signer};

use super::*;
use crate::limits::VARIANTS_MAX;

const NETWORK: NetworkId = NetworkId([7; 32]);

fn wallet(number: u16) -> Ed25519Wallet {
    let mut seed = [1; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    Ed25519Wallet::from_seed(&seed)
}

fn chain(number: u16) -> Chain {
    Chain { scheduler: wallet(number).address(), tenure: 0 }
}

fn origin(chains: u16) -> Origin {
    let mut origin = Origin::default();
    let mut changes = vec![OriginChange::Epoch { epoch: Epoch(0), committee: [0; 32], frame_rate_max: 1_000 }];
    for number in 0..chains {
        changes.push(OriginChange::Admitted { scheduler: chain(number).scheduler, peer: ao_consensus::contract::peer(0) });
        changes.push(OriginChange::Opened { chain: chain(number) });
    }
    assert!(origin.apply(&OriginUpdate { height: 0, time: Timestamp(0), changes }));
    origin
}

fn scene(origin: &Origin) -> Scene<'_> {
    Scene { now: Timestamp(100_000), origin, arweave: Tip::default() }
}

fn given(header: &SignedHeader) -> Given {
    Given { header: Arc::new(header.clone()), facts: Facts::WHOLE, from: None }
}

fn frames(number: u16, count: usize, time: u64) -> Vec<SignedHeader> {
    let mut tip = ChainTip::opened(chain(number));
    let mut next = || {
        let built = tip.build(Draft::alone(NETWORK, Body::default(), Timestamp(time), (0, [0; 48]))).expect("a frame");
        tip = built.tip;
        SignedHeader::sign(built.frame.header, &wallet(number)).expect("a signature")
    };
    (0..count).map(|_| next()).collect()
}

fn reference(header: &SignedHeader) -> FrameRef {
    FrameRef { chain: header.chain, sequence: header.sequence, frame: header.id() }
}

#[test]
fn candidates_follow_one_another_and_chains_take_turns() {
    let origin = origin(2);
    let mut pool = Frames::new(NETWORK, []);
    let (one, two) = (frames(0, 3, 1), frames(1, 3, 1));
    for header in one.iter().chain(&two).rev() {
        assert_eq!(pool.take(&scene(&origin), given(header)), Taken::Kept);
    }
    let all = pool.candidates(10, 0);
    assert_eq!(all.len(), 6);
    assert!(all.chunks(2).all(|pair| pair[0].chain != pair[1].chain && pair[0].sequence == pair[1].sequence));
    assert_ne!(pool.candidates(1, 0)[0].chain, pool.candidates(1, 1)[0].chain, "not always the same one is first");
}

#[test]
fn what_is_decided_is_confirmed_when_it_is_here_and_asked_for_until_then() {
    let origin = origin(1);
    let mut pool = Frames::new(NETWORK, []);
    let all = frames(0, 3, 1);
    for (height, header) in (5..).zip(&all) {
        assert!(pool.decide(&reference(header), height, Arc::new(Proof::Alone)));
        assert!(!pool.decide(&reference(header), height, Arc::new(Proof::Alone)), "once");
    }
    assert_eq!((pool.owed(), pool.oldest_owed()), (3, Some(5)));
    let [fetch] = &pool.lacking()[..] else { panic!("one chain lacks frames") };
    assert_eq!((fetch.from, fetch.to), (0, (2, all[2].id())));
    pool.take(&scene(&origin), given(&all[1]));
    assert_eq!(pool.confirm(&scene(&origin)), [], "not before the first");
    pool.take(&scene(&origin), Given { facts: Facts { contents: Contents::Lawful, durable: false }, ..given(&all[0]) });
    assert_eq!(pool.confirm(&scene(&origin)), [], "not before it is stored");
    pool.take(&scene(&origin), given(&all[0]));
    assert_eq!(pool.confirm(&scene(&origin)).iter().map(|confirmed| confirmed.sequence).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((pool.owed(), pool.oldest_owed(), pool.len()), (1, Some(7), 0));
}

#[test]
fn a_second_header_is_shown_once_before_and_after_its_place_is_confirmed() {
    let origin = origin(1);
    let (one, two) = (frames(0, 1, 1), frames(0, 1, 2));
    for late in [false, true] {
        let mut pool = Frames::new(NETWORK, []);
        assert_eq!(pool.take(&scene(&origin), given(&one[0])), Taken::Kept);
        if late {
            pool.decide(&reference(&one[0]), 1, Arc::new(Proof::Alone));
            assert_eq!(pool.confirm(&scene(&origin)).len(), 1);
        }
        assert!(matches!(pool.take(&scene(&origin), given(&two[0])), Taken::Conflict(_)));
        assert!(!matches!(pool.take(&scene(&origin), given(&two[0])), Taken::Conflict(_)));
        assert!(!matches!(pool.take(&scene(&origin), given(&one[0])), Taken::Conflict(_)));
    }
}

#[test]
fn bounds_bite_and_what_is_decided_has_its_place() {
    let known = origin(1);
    let mut pool = Frames::new(NETWORK, []);
    let variants: Vec<SignedHeader> = (0..10).map(|time| frames(0, 1, time).remove(0)).collect();
    variants.iter().for_each(|header| drop(pool.take(&scene(&known), given(header))));
    assert_eq!(pool.len(), VARIANTS_MAX);
    pool.decide(&reference(&variants[9]), 1, Arc::new(Proof::Alone));
    pool.take(&scene(&known), given(&variants[9]));
    assert_eq!(pool.confirm(&scene(&known)).len(), 1);
    let ahead = frames(0, CHAIN_WAITING_MAX + 5, 20);
    assert_eq!(pool.take(&scene(&known), given(&ahead[CHAIN_WAITING_MAX + 4])), Taken::Dropped);
    // Headers of wallets that nobody registered do not crowd out a chain that the Origin knows.
    let mut pool = Frames::new(NETWORK, []);
    let kept = |taken| matches!(taken, Taken::Kept);
    let strangers =
        (1..=UNKNOWN_CHAINS_MAX as u16 + 5).filter(|number| kept(pool.take(&scene(&known), given(&frames(*number, 1, 1)[0])))).count();
    assert_eq!(strangers, UNKNOWN_CHAINS_MAX);
    assert!(kept(pool.take(&scene(&known), given(&frames(0, 1, 1)[0]))));
}
