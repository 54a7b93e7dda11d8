//! The vectors of third-party tools against the chain: what they sign is taken, what was tampered with is not; what they cut and prove
//! is complete here.

use std::path::Path;

use ao_types::Id;
use ao_types::hash::sha256;
use ao_types::transaction::{Base64Url, Transaction};
use ao_weave::chain::{Accepted, Refusal, Standing};
use ao_weave::chunks::{Chunks, Posted, check};
use ao_weave::{Chain, Genesis};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

fn cases(file: &str, list: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../consensus/types/tests/vectors");
    let all: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
    all[list].as_array().unwrap().clone()
}

fn text(case: &Value, name: &str) -> String {
    case[name].as_str().unwrap_or_else(|| panic!("{name} of {case}")).to_owned()
}

/// A chain on which storing is free and whoever signs is rich.
fn chain_for(transaction: &Transaction) -> Chain {
    let mut chain = Chain::new(Genesis { winston_per_byte: 0, ..Genesis::default() });
    chain.mint(Id(sha256(&[&transaction.owner.0])), u128::MAX / 4, &mut Vec::new());
    chain
}

/// Anchors of vectors are blocks of no chain: a transaction that holds is refused for its anchor and for nothing else.
#[test]
fn transactions_that_hold_and_transactions_that_do_not() {
    let mut held = 0;
    for case in cases("tx.json", "valid") {
        let name = text(&case, "name");
        let transaction: Transaction = serde_json::from_value(case["tx"].clone()).unwrap();
        let (format, empty) = (transaction.format, transaction.last_tx.0.is_empty());
        let found = chain_for(&transaction).post(transaction, &mut Vec::new());
        match (format, empty) {
            (2, true) => assert_eq!(found, Ok(Accepted::New), "{name}"),
            (2, false) => assert_eq!(found, Err(Refusal::Anchor), "{name}"),
            _ => assert_eq!(found, Err(Refusal::Verification), "{name}: format 1 is not taken"),
        }
        held += usize::from(format == 2);
    }
    assert!(held >= 10);
    for case in cases("tx.json", "invalid") {
        let name = text(&case, "name");
        let transaction: Transaction = serde_json::from_value(case["tx"].clone()).unwrap();
        let mut chain = chain_for(&transaction);
        let (id, data) = (transaction.id, sha256(&[&transaction.data.0]));
        let found = chain.post(transaction, &mut Vec::new());
        // Attached data is looked at last: the signature holds without it.
        let expected = if name.starts_with("attached data") { Refusal::Anchor } else { Refusal::Verification };
        assert_eq!(found, Err(expected), "{name} {data:?}");
        assert!(!matches!(chain.standing(&id), Some(Standing::Pending(_) | Standing::Mined(_))), "{name}");
    }
}

#[test]
fn what_third_parties_cut_is_complete_when_all_of_it_came() {
    let mut largest = 0;
    for case in cases("merkle.json", "cases") {
        let size = case["size"].as_u64().unwrap();
        let seed = URL_SAFE_NO_PAD.decode(text(&case, "seed")).unwrap();
        let mut data: Vec<u8> = (0..size.div_ceil(32)).flat_map(|i| sha256(&[&seed, &i.to_be_bytes()])).collect();
        data.truncate(size as usize);
        let root = text(&case, "merkle_root_of_chunking");
        let mut chunks = Chunks::new(u64::MAX);
        for chunk in case["chunks"].as_array().unwrap() {
            let (from, to) = (chunk["min"].as_u64().unwrap() as usize, chunk["max"].as_u64().unwrap() as usize);
            let posted = Posted {
                data_root: Base64Url(URL_SAFE_NO_PAD.decode(&root).unwrap()),
                data_size: size.to_string(),
                data_path: Base64Url(URL_SAFE_NO_PAD.decode(text(chunk, "data_path")).unwrap()),
                offset: chunk["offset"].as_u64().unwrap().to_string(),
                chunk: Base64Url(data[from..to].to_vec()),
            };
            chunks.insert(&check(posted).unwrap_or_else(|error| panic!("{size} {from}: {error}")).place);
        }
        assert!(chunks.complete(&Id::parse(&root).unwrap(), size), "{size}");
        largest = largest.max(size);
    }
    assert!(largest > 1 << 20);
}
