use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::scheme::{Keys, SchemeError, SecretKey};
use ao_types::{Address, BlsKey, Chain, Committee, FrameId, Id, Member, NetworkId, PeerId};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// The cheap scheme, counting checks.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl Scheme for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn keys(&self, keys: &[BlsKey]) -> Result<Arc<dyn Keys>, SchemeError> {
        Cheap.keys(keys)
    }
    fn verify(&self, claim: &Claim<'_>) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        Cheap.verify(claim)
    }
    fn aggregate(&self, signatures: &[BlsSignature]) -> Result<BlsSignature, SchemeError> {
        Cheap.aggregate(signatures)
    }
    fn verify_batch(&self, claims: &[Claim<'_>], secret: &[u8; 32]) -> bool {
        Cheap.verify_batch(claims, secret)
    }
}

/// A committee of equal stakes, its secrets by place, and what is signed.
struct Fixture {
    rosters: Rosters,
    scheme: Arc<Counting>,
    secrets: Vec<CheapSecret>,
    message: Vec<u8>,
}

fn statement() -> Statement {
    Statement::Frame { chain: Chain { scheduler: Address::Arweave(Id([1; 32])), tenure: 0 }, sequence: 5, frame: FrameId([9; 32]) }
}

impl Fixture {
    fn new(members: usize) -> Self {
        let mut secrets: Vec<CheapSecret> = (0..members as u64).map(CheapSecret::new).collect();
        secrets.sort_by_key(|secret| secret.public());
        let member = |secret: &CheapSecret| Member {
            key: secret.public(),
            stake: Stake(10),
            address: Address::Arweave(Id([2; 32])),
            peer: PeerId(vec![1].into()),
        };
        let committee = Committee::new(Epoch(0), secrets.iter().map(member).collect()).unwrap();
        let scheme = Arc::new(Counting::default());
        let rosters = Rosters::new(NetworkId([3; 32]), Arc::clone(&scheme) as Arc<dyn Scheme>, [0; 32]).with([committee]).unwrap();
        Self { rosters, scheme, secrets, message: statement().message(&NetworkId([3; 32])) }
    }
    fn roster(&self) -> &Roster {
        self.rosters.get(Epoch(0)).unwrap()
    }
    fn subject(&self) -> Subject<'_> {
        Subject::new(&self.rosters, Epoch(0), statement(), &self.message, Mutations::default()).unwrap()
    }
    fn good(&self, member: u16) -> BlsSignature {
        self.secrets[usize::from(member)].sign(&self.message)
    }
    /// A share of another statement: a point, and not what is wanted.
    fn wrong(&self, member: u16) -> BlsSignature {
        self.secrets[usize::from(member)].sign(b"something else")
    }
    fn sum_of(&self, of: &[u16]) -> BlsSignature {
        Cheap.aggregate(&of.iter().map(|member| self.good(*member)).collect::<Vec<_>>()).unwrap()
    }
    fn checks(&self) -> usize {
        self.scheme.0.load(Ordering::Relaxed)
    }
}

fn signers(members: usize, of: impl IntoIterator<Item = u16>) -> Signers {
    let mut signers = Signers::none(members);
    of.into_iter().for_each(|member| assert!(signers.insert(member)));
    signers
}

#[test]
fn a_quorum_of_good_shares_costs_one_check() {
    let fixture = Fixture::new(4);
    let mut collection = Collection::new(fixture.roster());
    let mut bad = Vec::new();
    for member in 0..2 {
        collection.share(member, fixture.good(member));
    }
    assert_eq!(collection.certificate(&fixture.subject(), &mut bad), None);
    assert_eq!(fixture.checks(), 0, "nothing is checked without a quorum: two of four are none");
    collection.share(2, fixture.good(2));
    let certificate = collection.certificate(&fixture.subject(), &mut bad).expect("three of four");
    assert_eq!((certificate.signers.count(), fixture.checks(), bad.len()), (3, 1, 0));
}

#[test]
fn the_first_share_stays_until_it_proves_bad() {
    let fixture = Fixture::new(4);
    let mut collection = Collection::new(fixture.roster());
    let mut bad = Vec::new();
    collection.share(0, fixture.wrong(0));
    collection.share(0, fixture.good(0));
    (1..3).for_each(|member| collection.share(member, fixture.good(member)));
    assert_eq!(collection.certificate(&fixture.subject(), &mut bad), None, "two good shares of four are no quorum");
    assert_eq!(bad, [Sender::Member(0)]);
    collection.share(0, fixture.good(0));
    assert!(collection.certificate(&fixture.subject(), &mut bad).is_some());
}

#[test]
fn a_share_that_is_no_point_is_found() {
    let fixture = Fixture::new(7);
    let mut collection = Collection::new(fixture.roster());
    (0..6).for_each(|member| collection.share(member, fixture.good(member)));
    collection.share(6, BlsSignature([0xff; 96]));
    let mut bad = Vec::new();
    let certificate = collection.certificate(&fixture.subject(), &mut bad).expect("six of seven");
    assert_eq!((certificate.signers.count(), bad), (6, vec![Sender::Member(6)]));
}

#[test]
fn nobody_outside_the_committee_is_counted() {
    let fixture = Fixture::new(4);
    let mut collection = Collection::new(fixture.roster());
    (4..40).for_each(|member| collection.share(member, fixture.good(0)));
    assert_eq!(collection.stake(fixture.roster()), Stake(0));
    assert!(!collection.sum(0, 1, signers(4, [0]), fixture.good(0)), "a small committee has no slices");
}

#[test]
fn sums_count_their_slice_only_and_shares_fill_the_gaps() {
    let fixture = Fixture::new(130);
    let mut collection = Collection::new(fixture.roster());
    let slices = draw::slice_count(130);
    assert_eq!(slices, 3);
    assert!(!collection.sum(0, 3, signers(130, [1]), fixture.good(1)), "member 1 is of slice 1");
    assert!(!collection.sum(0, 3, Signers::none(130), fixture.good(1)), "a sum of nothing");
    assert!(!collection.sum(0, 3, signers(131, [0]), fixture.good(0)), "of another committee");
    for slice in 0..3 {
        let of: Vec<u16> = draw::members_of(slice, slices, 130).skip(1).collect();
        assert!(collection.sum(slice, 3, signers(130, of.clone()), fixture.sum_of(&of)));
    }
    assert!(collection.heard(3) && !collection.heard(1));
    collection.share(1, fixture.good(1));
    let mut bad = Vec::new();
    let certificate = collection.certificate(&fixture.subject(), &mut bad).expect("128 of 130");
    assert_eq!((certificate.signers.count(), fixture.checks()), (128, 1));
    assert!(certificate.signers.contains(1) && !certificate.signers.contains(0));
}

#[test]
fn a_lying_aggregator_loses_its_sum_and_the_other_one_is_used() {
    let fixture = Fixture::new(130);
    let mut collection = Collection::new(fixture.roster());
    for slice in 0..3 {
        let of: Vec<u16> = draw::members_of(slice, 3, 130).collect();
        assert!(collection.sum(slice, 9, signers(130, of.clone()), fixture.wrong(0)));
        assert!(collection.sum(slice, 8, signers(130, of[1..].iter().copied()), fixture.sum_of(&of[1..])));
    }
    let mut bad = Vec::new();
    let certificate = collection.certificate(&fixture.subject(), &mut bad).expect("127 of 130");
    assert_eq!((certificate.signers.count(), bad), (127, vec![Sender::Aggregator(9)]));
}

#[test]
fn one_liar_among_sixty_four_is_found_in_a_few_checks() {
    let fixture = Fixture::new(64);
    let mut collection = Collection::new(fixture.roster());
    (0..64).for_each(|member| collection.share(member, if member == 41 { fixture.wrong(41) } else { fixture.good(member) }));
    let mut bad = Vec::new();
    assert!(collection.certificate(&fixture.subject(), &mut bad).is_some());
    assert_eq!(bad, [Sender::Member(41)]);
    assert!(fixture.checks() <= 2 + 2 * 6, "{} checks", fixture.checks());
}

proptest! {
    /// Whatever lies: all liars are named, nobody else, and the certificate has exactly the honest signers if these are a quorum.
    #[test]
    fn liars_are_named_and_nobody_else(lies in proptest::collection::btree_set(0u16..20, 0..20)) {
        let fixture = Fixture::new(20);
        let mut collection = Collection::new(fixture.roster());
        (0..20).for_each(|member| collection.share(member, if lies.contains(&member) { fixture.wrong(member) } else { fixture.good(member) }));
        let mut bad = Vec::new();
        let certificate = collection.certificate(&fixture.subject(), &mut bad);
        let expected: Vec<Sender> = lies.iter().map(|member| Sender::Member(*member)).collect();
        prop_assert_eq!(bad, expected);
        let honest = 20 - lies.len();
        prop_assert_eq!(certificate.map(|one| one.signers.count()), (honest * 3 > 40).then_some(honest));
    }
}
