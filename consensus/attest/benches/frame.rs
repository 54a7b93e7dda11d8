//! What one frame costs each who takes part in its life, at 4 and at 1 000 members, with real signatures.
//!
//! `cargo bench -p ao-attest`. Certificates are printed with their sizes (`consensus.md` §13: at most 400 bytes and 5 ms to verify).
#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ao_attest::Attest;
use ao_attest::aggregate::{Collection, Subject};
use ao_attest::draw::{Seed, members_of, slice_count};
use ao_attest::mutation::Mutations;
use ao_attest::wire::Message;
use ao_consensus::bls::{Bls, BlsSecret};
use ao_consensus::checks::Facts;
use ao_consensus::frame::{Body, SignedHeader};
use ao_consensus::origin::{OriginChange, OriginUpdate};
use ao_consensus::roster::Rosters;
use ao_consensus::scheme::{Scheme, SecretKey};
use ao_consensus::{ChainTip, Consensus, Draft, Effect, Given, Input, Setup, Timestamp};
use ao_types::wallet::Ed25519Wallet;
use ao_types::{
    Address, Attestation, BlsSignature, Canonical, Certificate, Chain, Committee, Epoch, Id, Member, NetworkId, PeerId, Signer, Signers,
    Stake, Statement,
};
use criterion::{Criterion, criterion_group, criterion_main};

const NETWORK: NetworkId = NetworkId([9; 32]);
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A committee with its secrets, in canonical order.
struct World {
    committee: Arc<Committee>,
    secrets: Vec<Arc<BlsSecret>>,
    wallet: Ed25519Wallet,
    rosters: Rosters,
}

impl World {
    fn of(members: usize) -> Self {
        let seed = |n: usize| {
            let mut seed = [1; 32];
            seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
            seed
        };
        let mut secrets: Vec<Arc<BlsSecret>> = (0..members).map(|n| Arc::new(BlsSecret::from_seed(seed(n)).unwrap())).collect();
        secrets.sort_by_key(|secret| secret.public());
        let member = |(n, secret): (usize, &Arc<BlsSecret>)| Member {
            key: secret.public(),
            stake: Stake(10),
            address: Address::Arweave(Id([2; 32])),
            peer: PeerId((n as u64).to_be_bytes().to_vec().into()),
        };
        let committee = Committee::new(Epoch(0), secrets.iter().enumerate().map(member).collect()).unwrap();
        let secrets = committee.members().iter().map(|one| secrets.iter().find(|secret| secret.public() == one.key).cloned().unwrap());
        let secrets = secrets.collect();
        let rosters = Rosters::new(NETWORK, Arc::new(Bls), [3; 32]).with([committee.clone()]).unwrap();
        Self { committee: Arc::new(committee), secrets, wallet: Ed25519Wallet::from_seed(&[7; 32]), rosters }
    }

    fn peer(&self, member: u16) -> PeerId {
        self.committee.member(member).unwrap().peer.clone()
    }

    fn chain(&self, tenure: u64) -> Chain {
        Chain { scheduler: self.wallet.address(), tenure }
    }

    /// An engine on a member's node; member 0's is the scheduler's of `own`.
    fn engine(&self, member: u16, own: Option<Chain>) -> Attest {
        let setup = Setup {
            network: NETWORK,
            scheme: Arc::new(Bls),
            signer: Some(Arc::clone(&self.secrets[usize::from(member)]) as Arc<dyn SecretKey>),
            own,
            peer: self.peer(member),
            secret: [5; 32],
            params: BTreeMap::new(),
            records: Vec::new(),
            guards: Vec::new(),
            confirmed: Vec::new(),
            decided: 0,
        };
        let mut engine = Attest::new(setup).unwrap();
        let epoch = OriginChange::Epoch { epoch: Epoch(0), committee: self.committee.root(), frame_rate_max: u32::MAX };
        let admitted = OriginChange::Admitted { scheduler: self.wallet.address(), peer: self.peer(0) };
        give(&mut engine, NOW, Input::Committee(Arc::clone(&self.committee)));
        give(&mut engine, NOW, Input::Origin(Box::new(OriginUpdate { height: 0, time: Timestamp(0), changes: vec![epoch, admitted] })));
        engine
    }

    /// The first frame of a chain.
    fn frame(&self, chain: Chain, control_height: u64) -> Given {
        let draft = Draft { control_height, ..Draft::alone(NETWORK, Body::default(), NOW, (0, [0; 48])) };
        let built = ChainTip::opened(chain).build(draft).unwrap();
        let header = SignedHeader::sign(built.frame.header, &self.wallet).unwrap();
        Given { header: Arc::new(header), facts: Facts::WHOLE, from: Some(self.peer(0)) }
    }

    fn share(&self, member: u16, frame: &Given) -> Attestation {
        let statement = frame.header.statement(frame.header.id());
        let secret = &self.secrets[usize::from(member)];
        Attestation { statement, key: secret.public(), signature: secret.sign(&statement.message(&NETWORK)) }
    }

    /// Sum of shares, given by member.
    fn sum(&self, statement: Statement, members: impl Iterator<Item = u16>, shares: &[BlsSignature]) -> Certificate {
        let mut signers = Signers::none(self.committee.len());
        let of: Vec<BlsSignature> =
            members.inspect(|member| assert!(signers.insert(*member))).map(|member| shares[usize::from(member)]).collect();
        Certificate { statement, epoch: Epoch(0), signers, signature: Bls.aggregate(&of).unwrap() }
    }
}

fn give(engine: &mut Attest, now: Timestamp, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    engine.handle(now, input, &mut out);
    out
}

/// Control blocks that open and end chains, so that one engine meets the first frame of a chain again and again.
#[derive(Default)]
struct Origin(u64);

impl Origin {
    fn next(&mut self, engine: &mut Attest, change: OriginChange) {
        self.0 += 1;
        let update = OriginUpdate { height: self.0, time: Timestamp(0), changes: vec![change] };
        give(engine, NOW, Input::Origin(Box::new(update)));
    }

    /// Opens a chain; its first frame.
    fn open(&mut self, world: &World, engine: &mut Attest, chain: Chain) -> Given {
        self.next(engine, OriginChange::Opened { chain });
        world.frame(chain, self.0)
    }
}

/// Checks, one signature, the row, the shares. What the node does besides (hashing, the disk) is not in it.
fn attestor(c: &mut Criterion) {
    for members in [4, 1_000] {
        let world = World::of(members);
        let (mut engine, mut origin, mut now) = (world.engine(1, None), Origin::default(), NOW);
        let mut once = || {
            let chain = world.chain(origin.0);
            let frame = Box::new(origin.open(&world, &mut engine, chain));
            let mut out = Vec::new();
            let begin = Instant::now();
            engine.handle(now, Input::Frame(frame), &mut out);
            now = now.plus_ms(5);
            engine.handle(now, Input::Tick, &mut out);
            let took = begin.elapsed();
            assert!(out.iter().any(|effect| matches!(effect, Effect::Send(..))));
            origin.next(&mut engine, OriginChange::Frontier { chain, last: None });
            took
        };
        c.bench_function(&format!("attestor/check and sign a frame, {members} members"), |b| {
            b.iter_custom(|count| (0..count).map(|_| once()).sum())
        });
    }
}

/// Shares in, certificate out.
fn scheduler(c: &mut Criterion) {
    let world = World::of(4);
    let chain = world.chain(0);
    let once = || {
        let mut engine = world.engine(0, Some(chain));
        let frame = Origin::default().open(&world, &mut engine, chain);
        give(&mut engine, NOW, Input::Frame(Box::new(frame.clone())));
        let shares = (1..4).map(|member| Input::Peer(world.peer(member), Message::Share(world.share(member, &frame)).encode().into()));
        let shares: Vec<Input> = shares.collect();
        let mut out = Vec::new();
        let begin = Instant::now();
        shares.into_iter().for_each(|share| engine.handle(NOW, share, &mut out));
        let took = begin.elapsed();
        assert!(out.iter().any(|effect| matches!(effect, Effect::Certified(_))));
        took
    };
    c.bench_function("scheduler/three shares to a certificate, 4 members", |b| b.iter_custom(|count| (0..count).map(|_| once()).sum()));
}

/// What those of a large committee add up, and what everybody checks.
fn certificates(c: &mut Criterion) {
    for members in [4, 1_000] {
        let world = World::of(members);
        let frame = world.frame(world.chain(0), 0);
        let statement = frame.header.statement(frame.header.id());
        let message = statement.message(&NETWORK);
        let shares: Vec<BlsSignature> = (0..members as u16).map(|member| world.share(member, &frame).signature).collect();
        let roster = world.rosters.get(Epoch(0)).unwrap();
        let subject = || Subject::new(&world.rosters, Epoch(0), statement, &message, Mutations::default()).unwrap();
        let slices = slice_count(members);
        if slices > 0 {
            let seed = Seed::new(&NETWORK, Epoch(0), &world.chain(0), 0);
            c.bench_function(&format!("draw/all aggregators, {members} members"), |b| {
                b.iter(|| seed.draw_all(black_box(&world.committee)))
            });
            let mut slice = Collection::new(roster);
            members_of(0, slices, members).for_each(|member| slice.share(member, shares[usize::from(member)]));
            c.bench_function("slice/63 shares to a partial sum", |b| {
                b.iter(|| slice.clone().partial(&subject(), 0, &mut Vec::new()).unwrap())
            });
            let mut whole = Collection::new(roster);
            for slice in 0..slices {
                let part = world.sum(statement, members_of(slice, slices, members), &shares);
                let aggregator = seed.draw(slice as u64 + 1, &world.committee, members_of(slice, slices, members))[0];
                assert!(whole.sum(slice, aggregator, part.signers, part.signature));
            }
            c.bench_function(&format!("scheduler/{slices} partial sums to a certificate, {members} members"), |b| {
                b.iter(|| whole.clone().certificate(&subject(), &mut Vec::new()).unwrap())
            });
        }
        // As far from all and from none as a quorum can be: two thirds and one.
        let certificate = world.sum(statement, 0..members as u16 * 2 / 3 + 1, &shares);
        println!("certificate, {members} members: {} bytes", certificate.encode().len());
        c.bench_function(&format!("anybody/verify a certificate, {members} members"), |b| {
            b.iter(|| world.rosters.verify_certificate(black_box(&certificate)).unwrap())
        });
    }
}

criterion_group!(benches, attestor, scheduler, certificates);
criterion_main!(benches);
