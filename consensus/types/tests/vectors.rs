//! Every vector of `tests/vectors`, made with third-party tools: items, bundles, tags, deep hashes, addresses.
//!
//! `AO_VECTORS` names another folder of the same shape (the generator makes fresh keys and contents each time).

mod common;

use ao_types::bundle::{Bundle, UnpackLimits, build, unpack};
use ao_types::deep_hash::{Node, deep_hash};
use ao_types::signature::rsa_pss::{self, PreparedKey};
use ao_types::tag::{self, TagReader};
use ao_types::{Address, DataItem, ItemError, Profile, SignatureType, Tag};
use common::{b64, bytes, cases, load, text};
use serde_json::Value;

fn check(bytes: bytes::Bytes, profile: Profile) -> Result<DataItem, ItemError> {
    DataItem::parse(bytes, profile)?.verify().map(|item| item.into_inner())
}

#[test]
fn vectors_valid_items_hold_in_both_profiles() {
    for case in cases("ans104-items-valid.json", "items", 40) {
        let name = text(&case, "name");
        for profile in [Profile::Strict, Profile::Archive] {
            let item = check(bytes(&case, "binary"), profile).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(u64::from(item.signature_type().code()), case["signature_type"].as_u64().unwrap(), "{name}");
            assert_eq!(item.id().to_string(), text(&case, "id"), "{name}");
            assert_eq!(b64(item.signature()), text(&case, "signature"), "{name}");
            assert_eq!(b64(item.owner()), text(&case, "owner"), "{name}");
            assert_eq!(item.target().map(|id| id.to_string()).unwrap_or_default(), text(&case, "target"), "{name}");
            assert_eq!(item.anchor().map(|anchor| b64(anchor)).unwrap_or_default(), text(&case, "anchor"), "{name}");
            assert_eq!(b64(item.raw_tags()), text(&case, "raw_tags"), "{name}");
            assert_eq!(item.tag_count() as u64, case["tag_count"].as_u64().unwrap(), "{name}");
            let tags: Vec<_> = item.tags().map(|tag| (b64(tag.name), b64(tag.value))).collect();
            let expected: Vec<_> = case["tags"].as_array().unwrap().iter().map(|tag| (text(tag, "name"), text(tag, "value"))).collect();
            assert_eq!(tags, expected, "{name}");
            assert_eq!(item.data_offset() as u64, case["data_offset"].as_u64().unwrap(), "{name}");
            assert_eq!(item.data().len() as u64, case["data_size"].as_u64().unwrap(), "{name}");
            assert_eq!(b64(&ao_types::hash::sha256(&[item.data()])), text(&case, "data_sha256"), "{name}");
            assert_eq!(b64(&item.signed_digest()), text(&case, "signature_data"), "{name}");
            let sha_address = Address::Arweave(ao_types::Id(ao_types::hash::sha256(&[item.owner()])));
            assert_eq!(sha_address.to_string(), text(&case, "owner_address"), "{name}");
        }
    }
}

#[test]
fn vectors_invalid_items_are_refused_for_the_right_reason() {
    for case in cases("ans104-items-invalid.json", "items", 80) {
        let name = text(&case, "name");
        let strict = check(bytes(&case, "binary"), Profile::Strict).map(|_| "accept").unwrap_or_else(|error| error.code());
        assert_eq!(strict, if case["strict"] == "accept" { "accept".to_owned() } else { text(&case, "code") }, "{name}, strict");
        let archive = if check(bytes(&case, "binary"), Profile::Archive).is_ok() { "accept" } else { "reject" };
        assert_eq!(archive, text(&case, "archive"), "{name}, archive");
    }
}

#[test]
fn vectors_of_rsa_hold_on_every_path() {
    let valid = cases("ans104-items-valid.json", "items", 40).into_iter();
    for case in valid.chain(cases("ans104-items-invalid.json", "items", 80)) {
        let Ok(item) = DataItem::parse(bytes(&case, "binary"), Profile::Archive) else { continue };
        if item.signature_type() != SignatureType::Arweave {
            continue;
        }
        let digest = item.signed_digest();
        let plain = rsa_pss::verify(item.owner(), &digest, item.signature());
        let vectors = PreparedKey::new(item.owner()).and_then(|key| key.accelerated().verify(&digest, item.signature()));
        assert_eq!(vectors, plain, "{}", text(&case, "name"));
        assert_eq!(item.verify().map(|_| ()), plain, "{}", text(&case, "name"));
    }
}

#[test]
fn vectors_bundles() {
    for case in cases("ans104-bundles.json", "bundles", 20) {
        let name = text(&case, "name");
        let bundle = Bundle::parse(bytes(&case, "binary"), Profile::Strict);
        let items = bundle.clone().and_then(|bundle| bundle.verify(Profile::Strict));
        assert_eq!(if items.is_ok() { "accept" } else { "reject" }, text(&case, "expect"), "{name}: {items:?}");
        let (Ok(bundle), Ok(items), Some(expected)) = (bundle, items, case["items"].as_array()) else { continue };
        for ((entry, item), expected) in bundle.entries().zip(&items).zip(expected) {
            assert_eq!(item.id().to_string(), text(expected, "id"), "{name}");
            assert_eq!(entry.size as u64, expected["size"].as_u64().unwrap(), "{name}");
            if let Some(offset) = expected["offset"].as_u64() {
                assert_eq!(entry.offset as u64, offset, "{name}");
            }
        }
        assert_eq!(build(&items), bytes(&case, "binary"), "{name}: build is the inverse of parse");

        // Inner items are listed behind, or inside, the outer ones.
        let mut listed = Vec::new();
        flatten(expected, &mut listed);
        let (root, mut found) = (bytes(&case, "binary"), Vec::new());
        let report = unpack(root.clone(), Profile::Strict, UnpackLimits::default(), |one| {
            let size = one.item.as_bytes().len();
            let at = one.offset as usize;
            assert_eq!(root[at..at + size], one.item.as_bytes()[..], "{name}: the offset finds the item again");
            found.push((one.item.id().to_string(), size as u64));
        })
        .unwrap();
        assert_eq!((report.items, report.broken_items), (found.len() as u64, 0), "{name}");
        for one in &listed {
            let at = found.iter().position(|other| other == one).unwrap_or_else(|| panic!("{name}: {one:?} is not found"));
            found.swap_remove(at);
        }
        // The chain of eight is listed without the item at its end.
        assert!(found.len() <= 1, "{name}: {found:?} is not listed");
    }
}

fn flatten(items: &[Value], out: &mut Vec<(String, u64)>) {
    for item in items {
        out.push((text(item, "id"), item["size"].as_u64().unwrap()));
        flatten(item["nested"].as_array().map_or(&[], Vec::as_slice), out);
    }
}

#[test]
fn vectors_tags_are_encoded_as_others_do() {
    for case in cases("avro-tags.json", "cases", 8) {
        let name = text(&case, "name");
        let of = |tag: &Value| Tag::new(text(tag, "name_utf8"), text(tag, "value_utf8"));
        let tags: Vec<Tag> = case["tags"].as_array().unwrap().iter().map(of).collect();
        let encoded = tag::encode_all(&tags);
        assert_eq!(b64(&encoded), text(&case, "encoded"), "{name}");
        let read: Vec<Tag> = TagReader::new(&encoded, true).map(|tag| tag.unwrap().to_tag()).collect();
        assert_eq!(read, tags, "{name}");
    }
}

#[test]
fn vectors_zigzag_numbers_are_read() {
    for case in cases("avro-tags.json", "zigzag_varint", 10) {
        let number = case["n"].as_i64().unwrap();
        assert_eq!(tag::read_long(&bytes(&case, "encoded")), Some(number));
        if number >= 0 {
            assert_eq!(tag::encode_long(number as u64), bytes(&case, "encoded"), "{number}");
        }
    }
}

#[test]
fn vectors_deep_hashes() {
    for case in cases("deephash.json", "cases", 10) {
        let mut kept = Vec::new();
        collect(&case["input"], &mut kept);
        let mut kept = kept.iter().map(Vec::as_slice);
        let tree = tree(&case["input"], &mut kept);
        assert_eq!(b64(&deep_hash(&tree)), text(&case, "sha384"), "{}", text(&case, "name"));
    }
}

fn collect(input: &Value, out: &mut Vec<Vec<u8>>) {
    match input {
        Value::Array(list) => list.iter().for_each(|one| collect(one, out)),
        blob => out.push(common::decode(blob.as_str().unwrap())),
    }
}

fn tree<'a>(input: &Value, blobs: &mut impl Iterator<Item = &'a [u8]>) -> Node<'a> {
    match input {
        Value::Array(list) => Node::List(list.iter().map(|one| tree(one, blobs)).collect()),
        _ => Node::Blob(blobs.next().unwrap()),
    }
}

#[test]
fn vectors_addresses() {
    for case in cases("addresses.json", "cases", 8) {
        let owner = bytes(&case, "owner");
        let kind = SignatureType::from_code(case["signature_type"].as_u64().unwrap() as u16).unwrap();
        let sha = Address::Arweave(ao_types::Id(ao_types::hash::sha256(&[&owner])));
        assert_eq!(sha.to_string(), text(&case, "address"));
        match case["ethereum_address_checksummed"].as_str() {
            Some(expected) => {
                assert_eq!(kind.address(&owner).to_string(), expected);
                assert_eq!(Address::parse(expected), Ok(kind.address(&owner)));
                assert_eq!(Address::parse(&expected.to_lowercase()), Ok(kind.address(&owner)));
            }
            None => assert_eq!(kind.address(&owner), sha),
        }
    }
}

#[test]
fn vectors_keys_sign_what_verifies() {
    use ao_types::{ItemBuilder, Signer, Wallet};
    let keys = load("keys.TEST-ONLY.json");
    let mut wallets: Vec<(Wallet, Vec<u8>)> = Vec::new();
    for key in keys["rsa"].as_array().unwrap() {
        let wallet = Wallet::from_jwk(&key["jwk"].to_string()).unwrap_or_else(|error| panic!("{}: {error}", key["name"]));
        wallets.push((wallet, common::decode(key["jwk"]["n"].as_str().unwrap())));
    }
    let seed = common::decode(keys["ed25519"]["seed"].as_str().unwrap());
    let public = common::decode(keys["ed25519"]["public"].as_str().unwrap());
    wallets.push((Wallet::ed25519_from_seed(&seed.try_into().unwrap()), public));
    let secret = &keys["secp256k1"];
    let jwk = format!(r#"{{"kty":"EC","crv":"secp256k1","d":"{}"}}"#, text(secret, "private"));
    wallets.push((Wallet::from_jwk(&jwk).unwrap(), common::decode(&text(secret, "public_uncompressed"))));

    for (wallet, owner) in wallets {
        assert_eq!(wallet.owner(), owner);
        let item = ItemBuilder::new().tag("Data-Protocol", "ao").data("hello").sign(&wallet).unwrap();
        let bytes = item.as_bytes().clone();
        assert_eq!(DataItem::parse(bytes, Profile::Strict).unwrap().verify().unwrap(), item);
        let again = Wallet::from_jwk(&wallet.to_jwk()).unwrap();
        assert_eq!(again.owner(), owner);
        if let Wallet::Ethereum(wallet) = &wallet {
            assert_eq!(wallet.address().to_string(), text(secret, "address"));
            let typed = ItemBuilder::new().target(ao_types::Id([7; 32])).sign(&wallet.typed()).unwrap();
            DataItem::parse(typed.as_bytes().clone(), Profile::Strict).unwrap().verify().unwrap();
        }
    }
}
