use std::sync::Arc;

use ao_consensus::certificate::Collector;
use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::contract::committee_of;
use ao_consensus::frame::EntryPath;
use ao_consensus::scheme::SecretKey;
use ao_consensus::{Body, Chain, ChainTip, Confirmation, Draft, Entry, Timestamp};
use ao_types::{Address, Epoch, Signer as _, Slot, Wallet};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const NETWORK: NetworkId = NetworkId([7; 32]);

/// Slot 7 of process `[2; 32]`, third of four entries of a frame whose certificate the next frame carries, itself certified by all of
/// `secrets`.
pub fn made(rosters: &Rosters, scheduler: Address, secrets: &[Arc<dyn SecretKey>]) -> SlotProof {
    let network = rosters.network();
    let roster = rosters.get(Epoch(0)).unwrap();
    let certified = |built: &ao_consensus::tip::Built| {
        let header = &built.frame.header;
        let statement = Statement::Frame { chain: header.chain, sequence: header.sequence, frame: built.id };
        let mut collector = Collector::new(&network, rosters.scheme().clone(), roster.clone(), statement);
        for secret in secrets {
            collector.add(roster.committee().index_of(&secret.public()).unwrap(), secret.sign(&statement.message(&network)));
        }
        collector.certificate().certificate
    };
    let entry = |n: u8| Entry {
        process: Id([n; 32]),
        schedule_epoch: 0,
        slot: Slot(u64::from(n) + 5),
        item: Id([n + 100; 32]),
        assignment: Id([n + 120; 32]),
        content_hash: [n + 140; 32],
        hash_chain: [n + 160; 32],
    };
    let body = |entries: u8| Body::of((0..entries).map(|n| (entry(n), Bytes::from(vec![n; 10]), None)));
    let draft = |body, certificates| Draft { certificates, ..Draft::alone(network, body, Timestamp(1_000), (5, [5; 48])) };
    let first = ChainTip::opened(Chain { scheduler, tenure: 0 }).build(draft(body(4), Vec::new())).unwrap();
    let second = first.tip.build(draft(body(1), certified(&first).into_iter().collect())).unwrap();
    let proof =
        Proof::Chain { descendants: vec![Arc::new(second.frame.header.clone())], certificates: certified(&second).into_iter().collect() };
    SlotProof {
        entry: EntryPath::of(&first.frame.entries, 2).unwrap(),
        ancestor: None,
        confirmation: Confirmation { header: Arc::new(first.frame.header), proof: Arc::new(proof) },
    }
}

fn rosters(network: NetworkId) -> Rosters {
    Rosters::new(network, Arc::new(Cheap), [3; 32]).with([committee_of(Epoch(0), &[1; 4])]).unwrap()
}

/// A proof by members 0..`signers` of four.
fn by(signers: u64) -> SlotProof {
    let secrets: Vec<Arc<dyn SecretKey>> = (0..signers).map(|n| Arc::new(CheapSecret::new(n)) as _).collect();
    made(&rosters(NETWORK), Wallet::ed25519_from_seed(&[1; 32]).address(), &secrets)
}

/// Of one validator, whose operator is the wallet of seed 1.
pub fn genesis() -> String {
    let key = |n: u8| format!("0x{}", hex::encode([n; 48]));
    let genesis = json!({
        "version": 1, "name": "proven", "chain_id": "proven-1", "time": 1_000, "consensus": { "plugin": "attest", "epoch_len": 10 },
        "staking": {}, "limits": { "fuel": 1, "memory": 1, "message_max": 1 }, "gas_schedule": 1,
        "validators": [{
            "pubkey": key(1), "pop": format!("0x{}", hex::encode([2; 96])), "stake": "3",
            "operator": Wallet::ed25519_from_seed(&[1; 32]).address(), "peer_id": ao_types::PeerId(Bytes::from_static(&[1; 8])),
        }],
        "anchor": { "tag": "t", "interval_ms": 1, "confirmations": 1 },
    });
    let genesis = Genesis::parse(genesis.to_string().as_bytes()).unwrap();
    String::from_utf8(genesis.canonical().unwrap()).unwrap()
}

/// Whether a file proves its slot in this network, with the genesis of this hash if it brings one.
fn proves(bytes: &[u8], network: NetworkId, genesis: Option<NetworkId>) -> Result<(), Error> {
    let file = ProofFile::read(bytes)?;
    if file.genesis.as_ref().map(|(_, hash)| *hash) != genesis {
        return Err(Error::Canonical);
    }
    file.verify(&rosters(network))
}

#[test]
fn a_true_proof_holds_and_says_what_it_proves() {
    let proof = by(3);
    let text = render(&proof, Some(&genesis())).unwrap();
    let file = ProofFile::read(text.as_bytes()).unwrap();
    assert_eq!(file.proof, proof);
    file.verify(&rosters(NETWORK)).unwrap();
    let claims = file.claims(&rosters(NETWORK)).join("\n");
    for said in ["slot 7 of process", "frame 0 is certified by 3 of 4 stake; frame 1 carries", "frame 1 is certified by 3 of 4 stake"] {
        assert!(claims.contains(said), "{said}: {claims}");
    }
    // A file that people have laid out anew says the same.
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&text).unwrap()).unwrap();
    assert_eq!(ProofFile::read(pretty.as_bytes()).unwrap(), file);
    assert_eq!(ProofFile::read(render(&proof, None).unwrap().as_bytes()).unwrap(), ProofFile { genesis: None, ..file });
}

#[test]
fn any_flipped_bit_proves_nothing() {
    let text = render(&by(3), Some(&genesis())).unwrap().into_bytes();
    let genesis = ProofFile::read(&text).unwrap().genesis.map(|(_, hash)| hash);
    assert_eq!(proves(&text, NETWORK, genesis), Ok(()));
    for at in 0..text.len() {
        // Every byte, and of each byte another bit.
        let mut flipped = text.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(proves(&flipped, NETWORK, genesis).is_err(), "bit {} of byte {at}, {:?}", at % 8, flipped[at] as char);
    }
}

#[test]
fn another_network_and_too_little_stake_prove_nothing() {
    let text = render(&by(3), None).unwrap();
    let other = proves(text.as_bytes(), NetworkId([8; 32]), None);
    assert_eq!(other, Err(Error::Proof(ProofError::Network)));
    // Two of four are no quorum: no honest scheduler gets such a certificate, a liar may write one down.
    let Proof::Chain { descendants, mut certificates } = Proof::clone(&by(3).confirmation.proof) else { panic!("a chain") };
    let one = certificates[0].signers.iter().next().unwrap();
    certificates[0].signers.remove(one);
    let mut proof = by(3);
    proof.confirmation.proof = Arc::new(Proof::Chain { descendants, certificates });
    let lacking = proves(render(&proof, None).unwrap().as_bytes(), NETWORK, None);
    assert!(matches!(lacking, Err(Error::Proof(ProofError::Verify(_)))), "{lacking:?}");
    // The word of a node that is alone.
    proof.confirmation.proof = Arc::new(Proof::Alone);
    assert_eq!(proves(render(&proof, None).unwrap().as_bytes(), NETWORK, None), Err(Error::Proof(ProofError::Alone)));
}

#[test]
fn what_a_file_says_beside_its_proof_must_be_true() {
    let text = render(&by(3), Some(&genesis())).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    for name in value.as_object().unwrap().keys().filter(|name| *name != "genesis") {
        let without = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut changed = value.as_object().unwrap().clone();
            change(&mut changed);
            ProofFile::read(Value::Object(changed).to_string().as_bytes()).unwrap_err()
        };
        without(&|fields| drop(fields.remove(name)));
        without(&|fields| drop(fields.insert(name.clone(), json!(1_000_000))));
        without(&|fields| drop(fields.insert(format!("{name}x"), json!("more"))));
    }
    let change = |pointer: &str, to: Value| {
        let mut changed = value.clone();
        *changed.pointer_mut(pointer).unwrap() = to;
        ProofFile::read(changed.to_string().as_bytes())
    };
    assert_eq!(change("/slot", json!(8)), Err(Error::Field { field: "slot".into() }));
    assert_eq!(change("/frame/sequence", json!(1)), Err(Error::Field { field: "frame".into() }));
    assert_eq!(change("/version", json!(2)), Err(Error::Version { found: 2 }));
    assert!(matches!(change("/genesis/time", json!("soon")), Err(Error::Genesis(_))));
    assert_eq!(change("/genesis/time", json!(1.5)), Err(Error::Canonical));
    let mut left_out = value;
    left_out["genesis"].as_object_mut().unwrap().remove("dev");
    assert_eq!(ProofFile::read(left_out.to_string().as_bytes()), Err(Error::Canonical), "a default that is not written");
}

#[test]
fn a_file_has_a_bound() {
    let padded = format!("{}{}", render(&by(3), None).unwrap(), " ".repeat(PROOF_FILE_BYTES_MAX));
    assert!(matches!(ProofFile::read(padded.as_bytes()), Err(Error::Size { .. })));
}

proptest! {
    /// Whatever the bytes, reading ends with a verdict.
    #[test]
    fn hostile_files_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
        prop_assert!(ProofFile::read(&bytes).is_err());
        let text = render(&by(3), None).unwrap().into_bytes();
        prop_assert!(ProofFile::read(&text[..cut.index(text.len())]).is_err());
        let mut proof: Value = serde_json::from_slice(&text).unwrap();
        proof["proof"] = json!(BASE64.encode(&bytes));
        prop_assert!(ProofFile::read(proof.to_string().as_bytes()).is_err());
    }
}
