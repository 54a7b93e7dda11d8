//! What the fuzz targets of `storage/arweave/fuzz` run: every place where bytes of gateways, schedulers, services and strangers' items are
//! read here, and what must hold there. The same bodies run in the ordinary tests, over damaged samples (`fuzzing/tests.rs`); the samples
//! are the seeds of the fuzzer. Not part of any node.
#![allow(clippy::expect_used, clippy::panic, reason = "this is test code: what fails is a finding")]

use ao_types::hash::sha256;
use ao_types::merkle::check_path;
use ao_types::{DataItem, Id, NetworkId, Profile, Signer, Wallet};
use bytes::Bytes;

use crate::client::fetch::Answer;
use crate::client::{graphql, index, nodes, said, schedule, signed_data};
use crate::limits::{INDEX_PAGE, SCHEDULE_PAGE};
use crate::records::Record;
use crate::recover::glean::{What, glean};
use crate::shown::Shown;

/// An answer of status 200.
fn answer(body: &[u8]) -> Answer {
    Answer { status: 200, body: Bytes::copy_from_slice(body), retry_after_ms: None, html: false }
}

/// What nodes answer: any reader may be given any answer. What is believed without a second source is checked again here.
pub fn answers(input: &[u8]) {
    let answer = answer(input);
    let _ = (said::number(&answer), said::price_of(&answer), said::height(&answer), said::status(&answer), answer.text());
    for status in [200, 202, 303, 400, 410, 500] {
        let answer = Answer { status, ..answer.clone() };
        let _ = (said::posted(&answer), said::seeded(&answer));
    }
    if let Some((first, size)) = said::offset(&answer) {
        assert!(first.checked_add(u128::from(size)).is_some(), "the last byte has a place");
    }
    if let Some(block) = said::block(&answer, None) {
        assert_eq!(said::block(&answer, Some(block.height)).as_ref(), Some(&block));
        assert_eq!(said::block(&answer, Some(block.height ^ 1)), None, "another height than was asked for");
    }
    let Some(id) = claimed(input) else { return };
    match said::header(&answer, &id) {
        Some(said::Header::Signed(transaction)) => {
            assert_eq!((transaction.id, sha256(&[&transaction.signature.0])), (id, id.0));
            assert!(transaction.verify().is_ok(), "what is believed is signed");
            let _ = signed_data(&transaction);
        }
        Some(said::Header::Foreign | said::Header::SaidForeign) | None => {}
    }
    assert_eq!(said::header(&answer, &Id(sha256(&[&id.0]))), None, "another transaction than was asked for");
}

/// The id that an answer has in it.
fn claimed(body: &[u8]) -> Option<Id> {
    #[derive(serde::Deserialize)]
    struct Form {
        id: Id,
    }
    serde_json::from_slice::<Form>(body).ok().map(|form| form.id)
}

/// What a node answers for a chunk: the root, size and place that are asked for, and then the answer.
pub fn chunk(input: &[u8]) {
    let Some((root, rest)) = input.split_first_chunk::<32>() else { return };
    let Some((size, rest)) = rest.split_first_chunk::<8>() else { return };
    let Some((at, body)) = rest.split_first_chunk::<8>() else { return };
    let (size, at) = (u64::from_be_bytes(*size), u64::from_be_bytes(*at));
    if let Some((start, bytes)) = said::chunk(&answer(body), root, size, at) {
        let end = start + bytes.len() as u64;
        assert!(start <= at && at < end && end <= size, "{start} to {end} of {size} has no byte {at}");
    }
    // The rest as the proof itself, so that it need not be found through base64.
    if let Some(proven) = check_path(root, size, at, body) {
        assert!(proven.start <= at && at < proven.end && proven.end <= size);
    }
}

/// Pages of indexes and of schedulers, and what is put together of what they show.
pub fn pages(input: &[u8]) {
    let fits = |count: usize| assert!(count <= INDEX_PAGE, "{count} on a page");
    if let Some(Some(page)) = graphql::read::<index::Node>(input) {
        fits(page.nodes.len());
    }
    if let Some(Some(page)) = graphql::read::<nodes::NodeJson>(input) {
        fits(page.nodes.len());
        page.nodes.iter().for_each(|node| assembled(&node.shown, b""));
    }
    if let Some(page) = schedule::read(&answer(input), SCHEDULE_PAGE) {
        assert!(page.edges.len() <= SCHEDULE_PAGE);
        for edge in page.edges {
            assembled(&edge.assignment, b"");
            if let Some((shown, data)) = edge.message {
                assembled(&shown, data.unwrap_or_default().as_bytes());
            }
        }
    }
}

fn assembled(shown: &Shown, data: &[u8]) {
    if let Some(item) = shown.assemble(data) {
        assert_eq!((item.id(), item.data()), (shown.id, data), "it is what was shown");
    }
}

/// Any item as a record: what is read is written the same, and gone through as recovery does.
pub fn record(input: &[u8]) {
    let Ok(item) = DataItem::parse(Bytes::copy_from_slice(input), Profile::Archive) else { return };
    let Some(Ok(record)) = Record::read(&item) else { return };
    let network = NetworkId([7; 32]);
    let Some(again) = record.item(&network) else { return };
    if let Record::Range(range) = &record {
        assert_eq!(range.to().0, range.from.0 + range.slots.len() as u64 - 1);
    }
    let signed = again.sign(&signer()).expect("what was read can be written");
    assert_eq!(Record::read(&signed), Some(Ok(record)));
}

/// Any bytes as a bundle from Arweave: items that are believed are of their ids and lie where it is said.
pub fn bundle(input: &[u8]) {
    let Ok(gleaned) = glean(0, Bytes::copy_from_slice(input)) else { return };
    for (id, place, what) in gleaned.items {
        let (at, bytes) = (usize::try_from(place.at).expect("within the input"), place.bytes as usize);
        let item = DataItem::parse(Bytes::copy_from_slice(&input[at..at + bytes]), Profile::Archive).expect("it was read before");
        let item = item.verify().expect("it was verified before");
        assert_eq!(item.id(), id);
        if let What::Range { claim, .. } | What::Frames { claim, .. } | What::State { claim, .. } = what {
            assert!(claim.from <= claim.to && claim.signer == item.address(), "{claim:?}");
        }
    }
}

fn signer() -> impl Signer {
    Wallet::ed25519_from_seed(&[1; 32])
}

#[cfg(test)]
mod tests;
