//! What tests of this crate share: a network with the cheap scheme, a scheduler, and frames with true certificates.

use std::sync::Arc;

use ao_types::{Certificate, Chain, Committee, Epoch, FrameId, Id, NetworkId, Signer as _, Slot, Statement, Wallet};
use bytes::Bytes;

use crate::certificate::Collector;
use crate::cheap::{Cheap, CheapSecret};
use crate::contract::{committee_of, peer};
use crate::scheme::SecretKey;
use crate::tip::Built;
use crate::{Body, ChainTip, Draft, Entry, OriginChange, OriginUpdate, Rosters, Timestamp};

pub(crate) const NETWORK: NetworkId = NetworkId([7; 32]);

pub(crate) fn wallet(n: u8) -> Wallet {
    Wallet::ed25519_from_seed(&[n; 32])
}

pub(crate) fn chain() -> Chain {
    Chain { scheduler: wallet(1).address(), tenure: 0 }
}

pub(crate) fn committee(epoch: u64) -> Arc<Committee> {
    Arc::new(committee_of(Epoch(epoch), &[1; 4]))
}

/// Rosters of epochs 0, 1 and 2, all of the same four.
pub(crate) fn rosters() -> Rosters {
    let mut rosters = Rosters::new(NETWORK, Arc::new(Cheap), [3; 32]);
    (0..3).for_each(|epoch| rosters.insert(committee(epoch)).unwrap());
    rosters
}

/// Members 0..`count` sign a statement.
pub(crate) fn certify(statement: Statement, epoch: u64, count: u64) -> Option<Certificate> {
    let rosters = rosters();
    let roster = rosters.get(Epoch(epoch)).unwrap().clone();
    let mut collector = Collector::new(&NETWORK, Arc::new(Cheap), roster.clone(), statement);
    for n in 0..count {
        let secret = CheapSecret::new(n);
        collector.add(roster.committee().index_of(&secret.public()).unwrap(), secret.sign(&statement.message(&NETWORK)));
    }
    collector.certificate().certificate
}

pub(crate) fn statement(built: &Built) -> Statement {
    Statement::Frame { chain: built.frame.header.chain, sequence: built.frame.header.sequence, frame: built.id }
}

pub(crate) fn entry(n: u8) -> Entry {
    let id = |what: u8| Id([n.wrapping_mul(16).wrapping_add(what); 32]);
    Entry {
        process: id(0),
        schedule_epoch: 0,
        slot: Slot(u64::from(n)),
        item: id(1),
        assignment: id(2),
        content_hash: id(3).0,
        hash_chain: id(4).0,
    }
}

pub(crate) fn body(entries: u8) -> Body {
    Body::of((0..entries).map(|n| (entry(n), Bytes::from(vec![n; 10]), Some(Bytes::from(vec![n; 20])))))
}

/// The next frame, carrying these certificates.
pub(crate) fn next(tip: &ChainTip, entries: u8, certificates: Vec<Certificate>) -> Built {
    let draft = Draft { certificates, ..Draft::alone(NETWORK, body(entries), Timestamp(1_000), (5, [5; 48])) };
    tip.build(draft).unwrap()
}

/// A chain of frames; frame `n` carries the certificate of the frame before it if `carries(n)`.
pub(crate) fn frames(count: u64, carries: impl Fn(u64) -> bool) -> Vec<Built> {
    let (mut tip, mut frames): (_, Vec<Built>) = (ChainTip::opened(chain()), Vec::new());
    for n in 0..count {
        let before = frames.last().filter(|_| carries(n));
        let built = next(&tip, 2, before.and_then(|before| certify(statement(before), 0, 3)).into_iter().collect());
        tip = built.tip.clone();
        frames.push(built);
    }
    frames
}

/// Height 0 with one scheduler and epoch 0.
pub(crate) fn genesis() -> OriginUpdate {
    let scheduler = chain().scheduler;
    let changes = vec![
        OriginChange::Epoch { epoch: Epoch(0), committee: committee(0).root(), frame_rate_max: 100 },
        OriginChange::Admitted { scheduler, peer: peer(0) },
        OriginChange::Opened { chain: chain() },
    ];
    OriginUpdate { height: 0, time: Timestamp(500), changes }
}

pub(crate) fn other_frame() -> FrameId {
    FrameId([0xee; 32])
}
