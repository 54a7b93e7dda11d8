//! Every vector of `tests/vectors` about Arweave's own forms: Merkle trees, transactions, receipts. See `vectors.rs`.

mod common;

use ao_types::hash::sha256;
use ao_types::merkle::{Tree, check_path};
use ao_types::receipt::Receipt;
use ao_types::transaction::Transaction;
use common::{b64, cases, decode, text};
use serde_json::Value;

fn data(case: &Value) -> Vec<u8> {
    let (seed, size) = (decode(&text(case, "seed")), case["size"].as_u64().unwrap() as usize);
    let mut data: Vec<u8> = (0..size.div_ceil(32) as u64).flat_map(|i| sha256(&[&seed, &i.to_be_bytes()])).collect();
    data.truncate(size);
    assert_eq!(b64(&sha256(&[&data])), text(case, "data_sha256"));
    data
}

#[test]
fn vectors_merkle_trees() {
    for case in cases("merkle.json", "cases", 15) {
        let data = data(&case);
        let size = data.len() as u64;
        let tree = Tree::of(&data);
        assert_eq!(b64(&tree.root()), text(&case, "merkle_root_of_chunking"), "{size}");
        let expected = case["chunks"].as_array().unwrap();
        assert_eq!(tree.chunks().iter().filter(|chunk| chunk.end > chunk.start).count(), expected.len(), "{size}");
        for (index, chunk) in expected.iter().enumerate() {
            let path = tree.data_path(index).unwrap();
            assert_eq!(b64(&path), text(chunk, "data_path"), "{size}/{index}");
            let proven = check_path(&tree.root(), size, chunk["offset"].as_u64().unwrap(), &path).unwrap();
            assert_eq!((Some(proven.start), Some(proven.end)), (chunk["min"].as_u64(), chunk["max"].as_u64()), "{size}/{index}");
            assert_eq!(b64(&proven.hash), text(chunk, "data_hash"), "{size}/{index}");
        }
    }
}

#[test]
fn vectors_merkle_proofs() {
    for case in cases("merkle.json", "proofs", 10) {
        let root = decode(&text(&case, "data_root")).try_into().unwrap();
        let (size, offset) = (case["data_size"].as_u64().unwrap(), case["offset"].as_u64().unwrap());
        let proven = check_path(&root, size, offset, &decode(&text(&case, "data_path")));
        assert_eq!(if proven.is_some() { "accept" } else { "reject" }, text(&case, "expect"), "{}", text(&case, "name"));
    }
}

#[test]
fn vectors_transactions() {
    for case in cases("tx.json", "valid", 10) {
        let transaction: Transaction = serde_json::from_value(case["tx"].clone()).unwrap();
        assert_eq!(transaction.verify(), Ok(()), "{}", text(&case, "name"));
        assert_eq!(b64(&transaction.signed_bytes()), text(&case, "signature_data"), "{}", text(&case, "name"));
        let again: Transaction = serde_json::from_str(&serde_json::to_string(&transaction).unwrap()).unwrap();
        assert_eq!(again, transaction);
    }
    for case in cases("tx.json", "invalid", 10) {
        let transaction: Transaction = serde_json::from_value(case["tx"].clone()).unwrap();
        assert_eq!(text(&case, "expect"), "reject");
        assert!(transaction.verify().is_err(), "{}", text(&case, "name"));
    }
}

#[test]
fn vectors_receipts() {
    for case in cases("receipts.json", "cases", 3) {
        let receipt: Receipt = serde_json::from_value(case["receipt"].clone()).unwrap();
        assert_eq!(if receipt.verify().is_ok() { "accept" } else { "reject" }, text(&case, "expect"));
        if let Some(message) = case["message"].as_str() {
            assert_eq!(b64(&receipt.signed_digest()), message);
        }
    }
}
