//! The targets over samples that are whole, and over the same damaged. The samples are the seeds of `fuzz/seeds`.

use ao_types::bundle::build;
use ao_types::transaction::Base64Url;
use ao_types::{ItemBuilder, ResultHash, Slot, Verified};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::compose::compose;
use crate::records::ResultsRecord;
use crate::records::tests::{NETWORK, frames, range, sign, state};

fn message() -> Verified<DataItem> {
    sign(ItemBuilder::new().target(Id([2; 32])).anchor([b'7'; 32]).tag("Data-Protocol", "ao").tag("Type", "Message").data("hello"))
}

fn records() -> Vec<Verified<DataItem>> {
    let results = ResultsRecord { process: Id([1; 32]), results: (Slot(4), vec![ResultHash([5; 32])]) };
    let (evidence, results) = (Record::Evidence(Bytes::from_static(b"evidence")), Record::Results(results));
    let records = [Record::Range(range(2)), results, Record::Frames(frames()), evidence, Record::State(state())];
    records.iter().map(|record| sign(record.item(&NETWORK).unwrap())).collect()
}

/// A transaction that another implementation signed (`shared/vectors/tx.json`).
fn transaction() -> Value {
    let vectors: Value = serde_json::from_str(include_str!("../../../../consensus/types/tests/vectors/tx.json")).unwrap();
    vectors["valid"][0]["tx"].clone()
}

fn shown(item: &DataItem) -> Value {
    json!({
        "id": item.id(), "owner": { "address": item.address().to_string(), "key": URL_SAFE_NO_PAD.encode(item.owner()) },
        "tags": item.tags().map(|tag| json!({ "name": tag.name_text(), "value": tag.value_text() })).collect::<Vec<_>>(),
        "signature": URL_SAFE_NO_PAD.encode(item.signature()), "anchor": "7".repeat(32), "target": item.target(),
    })
}

fn page() -> Value {
    let mut node = shown(&message());
    node["recipient"] = node["target"].take();
    node.as_object_mut().unwrap().remove("target");
    node["block"] = json!({ "height": 9 });
    node["bundledIn"] = json!({ "id": Id([9; 32]) });
    json!({ "data": { "transactions": { "pageInfo": { "hasNextPage": true }, "edges": [{ "cursor": "c", "node": node }] } } })
}

fn schedule() -> Value {
    let mut message = shown(&message());
    message["data"] = json!("hello");
    let node = json!({ "assignment": shown(&records()[0]), "message": message });
    json!({ "page_info": { "has_next_page": false }, "edges": [{ "cursor": "1", "node": node }] })
}

type Target = fn(&[u8]);
/// A target with its name and what it is given.
type Sampled = (&'static str, Target, Vec<Vec<u8>>);

static SAMPLES: std::sync::OnceLock<[Sampled; 5]> = std::sync::OnceLock::new();

/// Whole inputs of each target; they are the seeds in `fuzz/seeds`.
fn samples() -> [Sampled; 5] {
    let text = |value: Value| value.to_string().into_bytes();
    let hash = Base64Url(vec![4; 48]);
    let block = json!({ "indep_hash": hash, "previous_block": hash, "height": 9, "timestamp": 1_700_000_000, "txs": [Id([1; 32])] });
    let status = json!({ "block_height": 9, "block_indep_hash": hash, "number_of_confirmations": 1 });
    let answered = [transaction(), block, status, json!({ "offset": "900", "size": "300" }), json!({ "error": "data_root_not_found" })];
    let answered = answered.map(text).into_iter().chain([b"123456".to_vec(), b"Transaction already processed.".to_vec()]).collect();
    let whole = compose(&[message()]).unwrap();
    let asked = [&whole.root()[..], &(whole.bytes.len() as u64).to_be_bytes(), &3_u64.to_be_bytes()].concat();
    let path = whole.tree.data_path(0).unwrap();
    let chunk_answer = text(json!({ "chunk": Base64Url(whole.bytes.to_vec()), "data_path": Base64Url(path.clone()) }));
    let chunks = vec![[&asked[..], &chunk_answer].concat(), [&asked[..], &path].concat()];
    let items = records();
    let nested = sign(ItemBuilder::new().tag("Bundle-Format", "binary").tag("Bundle-Version", "2.0.0").data(build(&items[..2])));
    let bundles = vec![build(&items).to_vec(), build(&[message(), nested]).to_vec()];
    let items = items.iter().map(|item| item.as_bytes().to_vec()).collect();
    [
        ("answers", answers, answered),
        ("chunk", chunk, chunks),
        ("pages", pages, vec![text(page()), text(schedule())]),
        ("record", record, items),
        ("bundle", bundle, bundles),
    ]
}

#[path = "../../../../consensus/core/src/fuzzing/tests/seeds.rs"]
mod seeds;

#[test]
fn seeds_are_what_is_written_today() {
    for (name, target, samples) in samples() {
        seeds::seeds(env!("CARGO_MANIFEST_DIR"), name, &samples);
        samples.iter().for_each(|sample| target(sample));
    }
}

#[test]
fn samples_reach_what_they_are_for() {
    let header = said::header(&answer(transaction().to_string().as_bytes()), &transaction()["id"].as_str().unwrap().parse().unwrap());
    assert!(matches!(header, Some(said::Header::Signed(_))));
    assert!(graphql::read::<nodes::NodeJson>(page().to_string().as_bytes()).unwrap().unwrap().nodes[0].shown.assemble(b"hello").is_some());
    assert!(schedule::read(&answer(schedule().to_string().as_bytes()), SCHEDULE_PAGE).is_some_and(|page| page.edges.len() == 1));
    for item in records() {
        assert!(matches!(Record::read(&item), Some(Ok(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn damaged_bytes_are_read_or_refused(
        which in 0..5_usize,
        sample: prop::sample::Index,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..5),
    ) {
        let all = SAMPLES.get_or_init(samples);
        let (_, target, samples) = &all[which];
        let mut bytes = sample.get(samples).clone();
        for (at, how, with) in damage {
            if bytes.is_empty() {
                bytes.push(with);
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, with),
                2 => bytes[at] = 0xff,
                _ => bytes[at] ^= with,
            }
        }
        target(&bytes);
    }
}
