//! What deciding costs: heights a second of four members in one thread, with BLS signatures and with those of simulations.
//!
//! `cargo bench -p ao-bft`. Nothing is written and nothing travels: what is left is the rounds, the codec and the signatures. A node's share
//! is a quarter.
#![allow(missing_docs, reason = "a program")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ao_bft::Engine;
use ao_consensus::bls::{Bls, BlsSecret};
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::{
    Body, ChainTip, Consensus, Draft, Effect, Facts, Given, Input, OriginChange, OriginUpdate, Scheme, SecretKey, Setup, SignedHeader,
    Timestamp, To,
};
use ao_types::wallet::Ed25519Wallet;
use ao_types::{Chain, Committee, Epoch, Member, NetworkId, PeerId, Signer, Stake};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NETWORK: NetworkId = NetworkId([7; 32]);

struct Members {
    now: u64,
    engines: Vec<Engine>,
    peers: Vec<PeerId>,
    queue: VecDeque<(usize, Input)>,
    confirmed: usize,
    wallet: Ed25519Wallet,
    tip: ChainTip,
}

fn peer(number: usize) -> PeerId {
    PeerId(Bytes::copy_from_slice(&number.to_be_bytes()))
}

impl Members {
    fn new(scheme: &Arc<dyn Scheme>, secrets: Vec<Arc<dyn SecretKey>>) -> Self {
        let wallet = Ed25519Wallet::from_seed(&[1; 32]);
        let chain = Chain { scheduler: wallet.address(), tenure: 0 };
        let member = |(number, secret): (usize, &Arc<dyn SecretKey>)| Member {
            key: secret.public(),
            stake: Stake(1),
            address: wallet.address(),
            peer: peer(number),
        };
        let members: Vec<Member> = secrets.iter().enumerate().map(member).collect();
        let committee = Arc::new(Committee::new(Epoch(0), members).expect("a committee"));
        let changes = vec![
            OriginChange::Epoch { epoch: Epoch(0), committee: committee.root(), frame_rate_max: 1_000_000 },
            OriginChange::Admitted { scheduler: chain.scheduler, peer: peer(0) },
            OriginChange::Opened { chain },
        ];
        let origin = OriginUpdate { height: 0, time: Timestamp(0), changes };
        let setup = |(number, secret): (usize, Arc<dyn SecretKey>)| Setup {
            network: NETWORK,
            scheme: Arc::clone(scheme),
            signer: Some(secret),
            own: None,
            peer: peer(number),
            secret: [number as u8; 32],
            params: BTreeMap::new(),
            records: Vec::new(),
            guards: Vec::new(),
            confirmed: Vec::new(),
            decided: 0,
        };
        let peers = (0..secrets.len()).map(peer).collect();
        let engines: Vec<Engine> = secrets.into_iter().enumerate().map(|one| Engine::new(setup(one))).collect();
        let mut members = Self { now: 1_000, engines, peers, queue: VecDeque::new(), confirmed: 0, wallet, tip: ChainTip::opened(chain) };
        for number in 0..members.engines.len() {
            members.queue.push_back((number, Input::Committee(Arc::clone(&committee))));
            members.queue.push_back((number, Input::Origin(Box::new(origin.clone()))));
        }
        members.drain();
        members
    }

    fn drain(&mut self) {
        while let Some((number, input)) = self.queue.pop_front() {
            let mut out = Vec::new();
            self.engines[number].handle(Timestamp(self.now), input, &mut out);
            for effect in out {
                match effect {
                    Effect::Remember(record) => self.queue.push_back((number, Input::Remembered(record.key))),
                    Effect::Confirmed(_) => self.confirmed += 1,
                    Effect::Send(To::All, bytes) => {
                        let others = (0..self.engines.len()).filter(|other| *other != number);
                        self.queue.extend(others.map(|other| (other, Input::Peer(self.peers[number].clone(), bytes.clone()))));
                    }
                    Effect::Send(To::Peer(to), bytes) => {
                        if let Some(other) = self.peers.iter().position(|peer| *peer == to) {
                            self.queue.push_back((other, Input::Peer(self.peers[number].clone(), bytes)));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// One frame, decided and confirmed by everybody.
    fn height(&mut self) {
        let built = self.tip.build(Draft::alone(NETWORK, Body::default(), Timestamp(self.now), (0, [0; 48]))).expect("a frame");
        self.tip = built.tip;
        // What the scheduler knows of its chain's window is the node's business.
        self.tip.carried = self.tip.next_sequence.checked_sub(1);
        let header = Arc::new(SignedHeader::sign(built.frame.header, &self.wallet).expect("a signature"));
        let target = self.confirmed + self.engines.len();
        for number in 0..self.engines.len() {
            let given = Given { header: Arc::clone(&header), facts: Facts::WHOLE, from: None };
            self.queue.push_back((number, Input::Frame(Box::new(given))));
        }
        self.drain();
        while self.confirmed < target {
            let deadline = self.engines.iter().filter_map(Engine::next_deadline).min().expect("something is under way");
            self.now = self.now.max(deadline.0);
            self.queue.extend((0..self.engines.len()).map(|number| (number, Input::Tick)));
            self.drain();
        }
    }
}

fn heights(c: &mut Criterion) {
    let mut group = c.benchmark_group("height of four members, one frame");
    group.throughput(Throughput::Elements(1));
    let bls: Vec<Arc<dyn SecretKey>> = (0..4u8).map(|seed| Arc::new(BlsSecret::from_seed([seed + 1; 32]).expect("a key")) as _).collect();
    let cheap: Vec<Arc<dyn SecretKey>> = (0..4).map(|seed| Arc::new(CheapSecret::new(seed)) as _).collect();
    let mut measure = |scheme: Arc<dyn Scheme>, secrets| {
        let mut members = Members::new(&scheme, secrets);
        group.bench_function(BenchmarkId::from_parameter(scheme.name()), |b| b.iter(|| members.height()));
    };
    measure(Arc::new(Bls), bls);
    measure(Arc::new(Cheap), cheap);
    group.finish();
}

criterion_group!(benches, heights);
criterion_main!(benches);
