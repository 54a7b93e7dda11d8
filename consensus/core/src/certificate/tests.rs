use super::*;
use crate::bls::{Bls, BlsSecret};
use crate::cheap::{Cheap, CheapSecret};
use crate::contract::committee_of;
use crate::example::{NETWORK, chain, rosters};
use crate::roster::VerifyError;
use crate::scheme::SecretKey;
use ao_types::{BlsKey, Epoch, FrameId};
use proptest::prelude::*;

const STATEMENT: Statement = Statement::Block { height: 1, round: 0, value: ao_types::BlockValue([1; 32]) };

fn collector(count: usize) -> (Collector, Roster) {
    let roster = Roster::new(&Cheap, Arc::new(committee_of(Epoch(0), &vec![1; count]))).unwrap();
    (Collector::new(&NETWORK, Arc::new(Cheap), roster.clone(), STATEMENT), roster)
}

fn share(roster: &Roster, n: u64) -> (u16, BlsSignature) {
    let secret = CheapSecret::new(n);
    (roster.committee().index_of(&secret.public()).unwrap(), secret.sign(&STATEMENT.message(&NETWORK)))
}

#[test]
fn a_quorum_of_good_shares_is_a_certificate_and_less_is_none() {
    let (mut collector, roster) = collector(4);
    for n in 0..4 {
        let (index, share) = share(&roster, n);
        assert!(collector.add(index, share) && !collector.add(index, share), "each counts once");
        assert_eq!(collector.certificate().certificate.is_some(), n >= 2, "{n}");
    }
    let certificate = collector.certificate().certificate.unwrap();
    assert_eq!((certificate.signers.count(), collector.stake()), (4, Stake(4)));
    assert_eq!(rosters().verify_certificate(&certificate), Ok(()));
}

#[test]
fn a_certificate_that_was_changed_does_not_hold() {
    let (mut collector, roster) = collector(4);
    (0..3).for_each(|n| {
        let (index, share) = share(&roster, n);
        collector.add(index, share);
    });
    let good = collector.certificate().certificate.unwrap();
    let outsider = (0..4).find(|index| !good.signers.contains(*index)).unwrap();
    let (mut more, mut less, mut other) = (good.clone(), good.clone(), good.clone());
    more.signers.insert(outsider);
    less.signers.remove(good.signers.iter().next().unwrap());
    other.statement = Statement::Frame { chain: chain(), sequence: 0, frame: FrameId([1; 32]) };
    let verify = |certificate: &Certificate| rosters().verify_certificate(certificate);
    assert_eq!(verify(&more), Err(VerifyError::Signature));
    assert_eq!(verify(&less), Err(VerifyError::Quorum { found: Stake(2), total: Stake(4) }));
    assert_eq!(verify(&other), Err(VerifyError::Signature));
    assert_eq!(verify(&Certificate { epoch: Epoch(9), ..good.clone() }), Err(VerifyError::UnknownEpoch { epoch: Epoch(9) }));
    let wide = ao_types::Signers::none(5);
    assert_eq!(verify(&Certificate { signers: wide, ..good }), Err(VerifyError::Bitmap { expected: 4, found: 5 }));
}

proptest! {
    /// Whoever sends rubbish is named, nobody else is, and the rest is certified if it is enough.
    #[test]
    fn bad_shares_are_found_and_only_those(bad in prop::collection::btree_set(0u64..13, 0..13), order in Just((0..13u64).collect::<Vec<_>>()).prop_shuffle()) {
        let (mut collector, roster) = collector(13);
        let mut expected: Vec<u16> = Vec::new();
        for n in order {
            let (index, good) = share(&roster, n);
            let rubbish = CheapSecret::new(n + 100).sign(b"rubbish");
            expected.extend(bad.contains(&n).then_some(index));
            collector.add(index, if bad.contains(&n) { rubbish } else { good });
        }
        expected.sort_unstable();
        let collected = collector.certificate();
        let mut found = collected.bad.clone();
        found.sort_unstable();
        // Once what is left is no quorum, nobody looks further; before that, every bad one was found in one go.
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(collected.certificate.is_some(), 13 - bad.len() >= 9);
        if let Some(certificate) = &collected.certificate {
            prop_assert!(certificate.signers.iter().all(|index| !expected.contains(&index)));
        }
        for index in expected {
            let key = roster.committee().member(index).map(|member| member.key);
            prop_assert!(key.is_some_and(|key: BlsKey| roster.committee().index_of(&key) == Some(index)));
            prop_assert!(!collector.add(index, BlsSignature([0; 96])), "nothing more is taken from it");
        }
    }
}

/// What a certificate of a large committee may weigh (`consensus.md` §13).
const LARGE_BYTES_MAX: usize = 400;

/// With real signatures: a thousand members with `AONODE_FULL=1`. How long a check takes is printed, of the best of a few: on a machine that
/// does other things too nothing follows from one.
#[test]
#[allow(clippy::print_stdout, reason = "the figures, for who asks for them")]
fn a_certificate_of_a_large_committee_is_small_and_one_check() {
    let count: u64 = if std::env::var_os("AONODE_FULL").is_some() { 1_000 } else { 128 };
    let secret = |n: u64| {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        BlsSecret::from_seed(seed).unwrap()
    };
    let secrets: Vec<BlsSecret> = (0..count).map(secret).collect();
    let member = |(n, secret): (usize, &BlsSecret)| ao_types::Member {
        key: secret.public(),
        stake: Stake(1),
        address: ao_types::Address::Arweave(ao_types::Id([n as u8; 32])),
        peer: crate::contract::peer(n as u64),
    };
    let committee = ao_types::Committee::new(Epoch(0), secrets.iter().enumerate().map(member).collect()).unwrap();
    let rosters = crate::Rosters::new(NETWORK, Arc::new(Bls), [7; 32]).with([committee]).unwrap();
    let roster = rosters.get(Epoch(0)).unwrap();
    let mut collector = Collector::new(&NETWORK, Arc::new(Bls), roster.clone(), STATEMENT);
    let message = STATEMENT.message(&NETWORK);
    // As far from all and from none as a quorum can be.
    for secret in secrets.iter().take(count as usize * 2 / 3 + 1) {
        collector.add(roster.committee().index_of(&secret.public()).unwrap(), secret.sign(&message));
    }
    let certificate = collector.certificate().certificate.unwrap();
    let bytes = ao_types::Canonical::encode(&certificate).len();
    assert!(bytes <= LARGE_BYTES_MAX, "{bytes} bytes");
    let check = || {
        let began = std::time::Instant::now();
        assert_eq!(rosters.verify_certificate(&certificate), Ok(()));
        began.elapsed()
    };
    let best = (0..5).map(|_| check()).min().unwrap();
    println!("{count} members: a certificate has {bytes} bytes and is verified in {:.2} ms", best.as_secs_f64() * 1e3);
}
