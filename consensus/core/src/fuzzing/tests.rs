//! The targets over samples that are whole, and over the same damaged. The samples are the seeds of `fuzz/seeds`.

use ao_types::attestation::VoteStep;
use ao_types::{BlockValue, BlsSignature, FrameId, Id, ItemBuilder, ResultHash, Signer as _, Slot, StateHash};
use bytes::Bytes;
use serde_json::json;

use super::seeds::seeds;
use super::*;
use crate::block::FrameRef;
use crate::bls::BlsSecret;
use crate::cheap::CheapSecret;
use crate::evidence::{SignedVote, VoteSignature};
use crate::example::{NETWORK as NET, body, certify, chain, committee, entry, frames, next, statement, wallet};
use crate::frame::{EntryPath, SignedHeader};
use crate::protection::{ChainRow, Guard, Kind, Position, SignedRow, Watermark};
use crate::scheme::SecretKey;
use crate::{Entry, Proof};

fn run(target: fn(&[u8]), name: &str, rounds: usize, samples: &[Vec<u8>]) {
    seeds(env!("CARGO_MANIFEST_DIR"), name, samples);
    damaged(target, samples, rounds);
}

fn raw(built: &Built) -> RawHeader {
    SignedHeader::sign(built.frame.header.clone(), &wallet(1)).unwrap().to_raw().unwrap()
}

fn attest(n: u64, statement: Statement) -> Attestation {
    let secret = CheapSecret::new(n);
    Attestation { statement, key: secret.public(), signature: secret.sign(&statement.message(&NET)) }
}

fn blocked(frames: &[Built]) -> Block {
    let header = BlockHeader {
        network_id: NET,
        height: 9,
        parent: BlockValue([1; 32]),
        time: Timestamp(5),
        ops_root: [0; 32],
        ops_count: 0,
        frames_root: [0; 32],
        frames_count: 0,
        state_root: [2; 32],
        next_committee: Some([3; 32]),
    };
    let refs = frames.iter().map(|built| FrameRef { chain: chain(), sequence: built.frame.header.sequence, frame: built.id });
    Block::new(header, vec![ControlOp::Ledger(Bytes::from_static(b"op"))], refs.collect())
}

fn sealed() -> Seal {
    let frames = frames(3, |_| false);
    let highest = Some((2, frames[2].id));
    let mut seal = Seal {
        key: CheapSecret::new(1).public(),
        chain: chain(),
        highest,
        certificates: certify(statement(&frames[2]), 0, 3).into_iter().collect(),
        signature: BlsSignature([0; 96]),
    };
    seal.signature = CheapSecret::new(1).sign(&seal.statement().message(&NET));
    seal
}

#[test]
fn blocks() {
    let block_of = blocked(&frames(3, |_| false));
    run(block, "block", 4_000, &[block_of.encode(), block_of.header.encode()]);
}

#[test]
fn certificates() {
    let secret = BlsSecret::from_seed([5; 32]).unwrap();
    let signed = |statement: Statement| Attestation {
        statement,
        key: secret.public(),
        signature: secret.sign(&statement.message(&NetworkId([9; 32]))),
    };
    let frame = Statement::Frame { chain: chain(), sequence: 3, frame: FrameId([4; 32]) };
    let statements = [
        frame,
        Statement::Block { height: 5, round: 2, value: BlockValue([1; 32]) },
        Statement::Result {
            process: Id([1; 32]),
            schedule_epoch: 0,
            slot: Slot(7),
            result: ResultHash([2; 32]),
            host_abi: 1,
            state: StateHash([3; 32]),
        },
        Statement::Possession { key: secret.public() },
        Statement::Seal { chain: chain(), highest: Some((3, FrameId([4; 32]))) },
        Statement::Vote { height: 5, round: 2, step: VoteStep::Precommit, value: None },
    ];
    let mut samples: Vec<Vec<u8>> = statements.iter().map(Canonical::encode).collect();
    let mut cheap = certify(statement(&frames(1, |_| false)[0]), 0, 3).unwrap();
    cheap.signature = signed(frame).signature;
    samples.extend([frames(3, |_| true)[2].tip.encode(), committee(0).encode(), signed(frame).encode(), cheap.encode()]);
    run(certificate, "certificate", 150, &samples);
}

#[test]
fn operations() {
    let frames = frames(4, |n| n == 2);
    let confirmation = Confirmation { header: Arc::new(frames[0].frame.header.clone()), proof: Arc::new(Proof::Alone) };
    let certificates = certify(statement(&frames[3]), 0, 3).into_iter().collect();
    let ops = [
        ControlOp::Seal(Box::new(sealed())),
        ControlOp::Crossed { chain: chain(), epoch: Epoch(1), certificates },
        ControlOp::Closed(Box::new(confirmation)),
        ControlOp::Evidence(Box::new(Evidence::TwoHeaders(Box::new((raw(&frames[0]), raw(&frames[1])))))),
        ControlOp::Ledger(Bytes::from_static(b"an operation")),
    ];
    let mut samples: Vec<Vec<u8>> = ops.iter().map(Canonical::encode).collect();
    samples.push(sealed().encode());
    run(control, "control", 2_000, &samples);
}

#[test]
fn accusations() {
    let main = frames(5, |n| n == 2);
    let other = next(&main[2].tip, 1, vec![]);
    let vote = |value: u8| {
        let statement = Statement::Vote { height: 3, round: 0, step: VoteStep::Prevote, value: Some(BlockValue([value; 32])) };
        let signature = VoteSignature::Bls(CheapSecret::new(1).sign(&statement.message(&NET)));
        SignedVote { statement, key: CheapSecret::new(1).public(), epoch: Epoch(0), signature }
    };
    let result = |value: u8| Statement::Result {
        process: Id([1; 32]),
        schedule_epoch: 0,
        slot: Slot(7),
        result: ResultHash([value; 32]),
        host_abi: 1,
        state: StateHash([3; 32]),
    };
    let item = |n: u8| ItemBuilder::new().tag("N", n.to_string()).sign(&wallet(9)).unwrap().as_bytes().clone();
    let certificate = |built: &Built| certify(statement(built), 0, 3).unwrap();
    let all = [
        Evidence::TwoHeaders(Box::new((raw(&main[3]), raw(&other)))),
        Evidence::TwoAssignments(item(1), item(2)),
        Evidence::TwoBranches { lower: attest(1, statement(&main[3])), higher: attest(1, statement(&other)), headers: vec![] },
        Evidence::SealBroken {
            seal: Box::new(sealed()),
            attestation: attest(1, statement(&main[4])),
            headers: vec![main[4].frame.header.clone()],
        },
        Evidence::TwoCertificates { lower: certificate(&main[3]), higher: certificate(&other), headers: vec![] },
        Evidence::TwoVotes(Box::new((vote(1), vote(2)))),
        Evidence::TwoResults(Box::new((attest(1, result(1)), attest(1, result(2))))),
    ];
    run(evidence, "evidence", 400, &all.map(|one| one.encode()));
}

#[test]
fn genesis_files() {
    let validator = |n: u8| {
        let key = BlsSecret::from_seed([n; 32]).unwrap();
        json!({
            "pubkey": key.public(), "pop": key.sign(b"possessed"), "stake": "1000", "operator": wallet(n).address().to_string(),
            "peer_id": ao_types::PeerId(Bytes::from(vec![n; 38])).to_string(), "addr": format!("/ip4/10.0.0.{n}/tcp/4001"),
        })
    };
    let file = json!({
        "version": 1, "name": "test-1", "chain_id": "test-1.ao", "time": 1_700_000_000_000u64,
        "consensus": {"plugin": "attest", "params": {"interval_ms": 20, "sliced": false, "mode": "fast"}, "epoch_len": 1000},
        "staking": {}, "limits": {"fuel": 1_000_000_000u64, "memory": 1u64 << 30, "message_max": 262_144},
        "gas_schedule": 1, "validators": [validator(1), validator(2)],
        "accounts": {Id([9; 32]).to_string(): "5000000000000000000000"},
        "anchor": {"tag": "test-1", "interval_ms": 60_000, "confirmations": 20}, "bootnodes": ["/ip4/10.0.0.1/udp/4001/quic-v1"],
    });
    assert!(Genesis::parse(file.to_string().as_bytes()).is_ok());
    run(genesis, "genesis", 2_000, &[file.to_string().into_bytes()]);
}

#[test]
fn headers_and_frames() {
    let built = frames(2, |n| n == 1).remove(1);
    run(header, "header", 1_500, &[built.frame.header.encode(), raw(&built).encode(), built.frame.encode()]);
}

#[test]
fn interchange_files() {
    let (key, position) = (CheapSecret::new(1).public(), |height| Position {
        key: CheapSecret::new(1).public(),
        kind: Kind::Precommit,
        scope: String::new(),
        term: 0,
        height,
        round: 1,
    });
    let chain_row = ChainRow { key, chain: chain(), last: Some((4, FrameId([1; 32]))), sealed: true, signature: None };
    let signed = SignedRow { position: position(7), root: Some([2; 32]), signature: None };
    let rows = (vec![Guard::Chain(chain_row), Guard::Signed(signed)], vec![Watermark(position(3))]);
    run(interchange, "interchange", 3_000, &[export(NETWORK, &rows).unwrap().into_bytes()]);
}

#[test]
fn payloads() {
    let signed = |n: u8| ItemBuilder::new().tag("N", n.to_string()).sign(&wallet(9)).unwrap();
    let (assignment, item) = (signed(1), signed(2));
    let whole = Entry { assignment: assignment.id(), item: item.id(), ..entry(1) };
    let whole = Body::of([(whole, assignment.as_bytes().clone(), Some(item.as_bytes().clone()))]);
    let built = frames(1, |_| false).remove(0);
    let wire = WireFrame { header: raw(&built), body: body(2) };
    let chunk = Chunk::of(&Bytes::from(whole.encode()), 0).unwrap();
    run(payload, "payload", 700, &[whole.encode(), body(3).encode(), wire.encode(), chunk.encode()]);
}

#[test]
fn proofs() {
    let frames = frames(4, |n| n == 2);
    let headers: Vec<_> = frames.iter().map(|built| Arc::new(built.frame.header.clone())).collect();
    let certificates = certify(statement(&frames[3]), 0, 3).into_iter().collect();
    let chained = Proof::Chain { descendants: headers[2..].to_vec(), certificates };
    let chained = Confirmation { header: headers[1].clone(), proof: Arc::new(chained) };
    let block = blocked(&frames);
    let decided = Proof::Block {
        path: block.frame_path(1).unwrap(),
        certificate: certify(block.header.statement(2), 0, 3).unwrap(),
        block: Box::new(block.header),
        index: 1,
    };
    let decided = Confirmation { header: headers[1].clone(), proof: Arc::new(decided) };
    let entry = EntryPath::of(&frames[1].frame.entries, 0).unwrap();
    let slot = SlotProof { entry, ancestor: None, confirmation: chained.clone() };
    // Whole, they prove something.
    assert!(verify(&chained, &four()).is_ok() && verify(&decided, &four()).is_ok() && verify_slot(&slot, &four()).is_ok());
    run(proof, "proof", 700, &[chained.encode(), decided.encode(), slot.encode()]);
}
