//! More than a third of the stake lies (F16): two certificates that exclude one another. Nobody can tell which of the two should stand, so
//! every node keeps the evidence, signs nothing more and ends with exit code 11, and again when it is started without an answer to it.

use std::time::Duration;

use ao_attest::wire::Message;
use ao_consensus::SecretKey as _;
use ao_consensus::bls::Bls;
use ao_consensus::scheme::Scheme as _;
use ao_testnet::client::Client;
use ao_types::{BlsSignature, Canonical as _, Certificate, Chain, Epoch, FrameId, Signers, Statement};
use aonode::datadir::Layout;
use aonode::keys::Keys;
use aonode::network::message::Direct;

use crate::attacker::{DIRECT, Target};
use crate::injector::statement;
use crate::world::World;

/// Only a failure takes so long.
const SOON: Duration = Duration::from_secs(120);
/// Exit code of operations.md §1: signing was refused because it could contradict an earlier signature.
const SIGNING_SAFETY: i32 = 11;
/// How far above what was heard the second frame is: far enough that nobody has confirmed its place, near enough that they soon will.
const AHEAD: u64 = 6;

impl World {
    /// What three of the four keys sign of a frame that nobody ever made.
    fn second_certificate(&self, target: &Target, chain: Chain, sequence: u64) -> Certificate {
        let statement = Statement::Frame { chain, sequence, frame: FrameId([7; 32]) };
        let message = statement.message(&target.genesis.network_id().unwrap());
        let committee = target.genesis.committee().unwrap();
        let mut signers = Signers::none(committee.len());
        let shares: Vec<BlsSignature> = (0..3)
            .map(|at| {
                let keys = Keys::new(Layout::new(self.network.node(at).unwrap().folder()));
                let secret = keys.load_bls(&keys.list_bls().unwrap()[0].pubkey, None).unwrap();
                assert!(signers.insert(committee.index_of(&secret.public()).unwrap()));
                secret.sign(&message)
            })
            .collect();
        Certificate { statement, epoch: Epoch(0), signers, signature: Bls.aggregate(&shares).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_certificates_that_exclude_one_another_end_all_signing() {
    let mut world = World::new("attest").await;
    let target = Target::of(&world.network, 0).unwrap();
    let mut listener = target.listener().await;
    world.step().await;
    let Statement::Frame { chain, sequence, .. } = statement(&listener.hear().await.1) else { panic!("a frame") };
    drop(listener);
    let forged = Message::Certified(vec![world.second_certificate(&target, chain, sequence + AHEAD)]).encode();
    let bytes = bytes::Bytes::from(forged);
    let mut strangers = Vec::new();
    for at in 0..4 {
        let target = Target::of(&world.network, at).unwrap();
        let mut stranger = target.stranger().await;
        target.ask(&mut stranger, DIRECT, &Direct::Engine(bytes.clone()).encode());
        assert!(stranger.turn().await, "a certificate that holds is no offence");
        strangers.push(stranger);
    }
    // The chain goes on until the place is certified once more, and for something else.
    let client: Client = world.clients[1].clone();
    let (owner, process) = (world.owner.clone(), world.process);
    let sending = tokio::spawn(async move {
        for number in 0_u32.. {
            let item = owner.message(process, &[("Action", "Eval"), ("N", &number.to_string())], "Count = Count + 1");
            if client.post("/v1/messages?wait=certified&timeout_ms=2000", &item).await.is_err() {
                return;
            }
        }
    });
    for at in 0..4 {
        let (status, log) = world.network.ended(at, SOON).await.unwrap();
        assert_eq!(status.code(), Some(SIGNING_SAFETY), "n{}: {log}", at + 1);
        assert!(log.contains("two certificates exclude one another") && log.contains("aonode evidence show"), "n{}: {log}", at + 1);
        assert!(!log.contains("panicked"), "n{}: {log}", at + 1);
    }
    sending.await.unwrap();
    // The evidence is kept, and a start changes nothing about it.
    let again = world.network.setup_mut(0).clone();
    let (status, log) = match again.start().await {
        Ok(node) => {
            let (_, status, log) = node.ended(SOON).await.unwrap();
            (status.code(), log)
        }
        Err(refused) => {
            let refused = format!("{refused:#}");
            (refused.contains("exit status: 11").then_some(SIGNING_SAFETY), refused)
        }
    };
    assert_eq!(status, Some(SIGNING_SAFETY), "{log}");
}
