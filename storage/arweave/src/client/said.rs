//! What nodes and gateways answer, read, and how several answers become one: pure functions over bytes of strangers.

use ao_types::signature::SignatureType;
use ao_types::transaction::{Base64Url, Transaction};
use ao_types::{Id, merkle};
use bytes::Bytes;
use serde::Deserialize;

use super::fetch::Answer;
use crate::limits::PRICES_APART;
use crate::pipeline::{Held, Place, Posted, Seeded};

/// What one endpoint said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// This.
    Yes(T),
    /// That it does not have it.
    No,
    /// Nothing that counts: its own fault, or not now.
    Nothing,
    /// Something that cannot be.
    Lie,
}

/// A block as far as anchoring needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its hash, 48 bytes on the real chain.
    pub hash: Bytes,
    /// Hash of the one before.
    pub previous: Bytes,
    /// Its height.
    pub height: u64,
    /// Seconds since 1970, by its miner's clock.
    pub timestamp: u64,
    /// Transactions in it.
    pub transactions: Vec<Id>,
}

#[derive(Deserialize)]
struct BlockJson {
    indep_hash: Base64Url,
    #[serde(default)]
    previous_block: Base64Url,
    height: u64,
    timestamp: u64,
    #[serde(default)]
    txs: Vec<Id>,
}

/// What anybody may answer instead of what was asked for.
pub fn sort<T>(answer: &Answer, read: impl FnOnce(&Answer) -> Option<T>) -> Said<T> {
    match answer.status {
        200 if answer.html => Said::Lie,
        200 => read(answer).map_or(Said::Lie, Said::Yes),
        404 | 410 => Said::No,
        _ => Said::Nothing,
    }
}

/// A decimal number as text.
pub fn number(answer: &Answer) -> Option<u128> {
    let text = std::str::from_utf8(&answer.body).ok()?.trim();
    (text.len() <= 30 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `GET /price/{bytes}`: nothing is stored for nothing.
pub fn price_of(answer: &Answer) -> Option<u128> {
    number(answer).filter(|winston| *winston > 0)
}

/// `GET /info`: the height.
pub fn height(answer: &Answer) -> Option<u64> {
    #[derive(Deserialize)]
    struct Info {
        height: u64,
    }
    serde_json::from_slice::<Info>(&answer.body).ok().map(|info| info.height)
}

/// A block; `height` is what was asked for, if that was a height.
pub fn block(answer: &Answer, height: Option<u64>) -> Option<Block> {
    let json: BlockJson = serde_json::from_slice(&answer.body).ok()?;
    let fits = height.is_none_or(|height| height == json.height) && (1..=64).contains(&json.indep_hash.0.len());
    let block = Block {
        hash: json.indep_hash.0.into(),
        previous: json.previous_block.0.into(),
        height: json.height,
        timestamp: json.timestamp,
        transactions: json.txs,
    };
    fits.then_some(block)
}

/// What one source shows for a transaction's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// That very transaction, id and signature checked.
    Signed(Box<Transaction>),
    /// One that another kind of key signed: the id is a hash of the signature, and an RSA signature is longer.
    Foreign,
    /// Something of format 1 that this source does not show in full: its word and nothing more.
    SaidForeign,
}

/// `GET /tx/{id}`.
pub fn header(answer: &Answer, id: &Id) -> Option<Header> {
    #[derive(Deserialize)]
    struct Form {
        format: u8,
        id: Id,
        signature: Base64Url,
    }
    let form: Form = serde_json::from_slice(&answer.body).ok()?;
    if form.id != *id || ao_types::hash::sha256(&[&form.signature.0]) != id.0 {
        return None;
    }
    if form.signature.0.len() != SignatureType::Arweave.signature_len() {
        return Some(Header::Foreign);
    }
    let read = serde_json::from_slice::<Transaction>(&answer.body).ok();
    match read.filter(|transaction| transaction.id == *id && transaction.verify().is_ok()) {
        Some(transaction) => Some(Header::Signed(Box::new(transaction))),
        None => (form.format != 2).then_some(Header::SaidForeign),
    }
}

/// `GET /tx/{id}/status`: height and hash of its block.
pub fn status(answer: &Answer) -> Option<(u64, Bytes)> {
    #[derive(Deserialize)]
    struct Status {
        block_height: u64,
        block_indep_hash: Base64Url,
    }
    let status: Status = serde_json::from_slice(&answer.body).ok()?;
    Some((status.block_height, status.block_indep_hash.0.into()))
}

/// `GET /tx/{id}/offset`: the first byte in the weave, and how many there are.
pub fn offset(answer: &Answer) -> Option<(u128, u64)> {
    #[derive(Deserialize)]
    struct Offset {
        offset: String,
        size: String,
    }
    let Offset { offset, size } = serde_json::from_slice(&answer.body).ok()?;
    let (last, size) = (offset.parse::<u128>().ok()?, size.parse::<u64>().ok()?);
    Some((last.checked_add(1)?.checked_sub(u128::from(size))?, size))
}

/// `GET /chunk/{offset}`: the bytes of the chunk that holds byte `at` of data under `root`, with its place.
pub fn chunk(answer: &Answer, root: &[u8; 32], size: u64, at: u64) -> Option<(u64, Vec<u8>)> {
    #[derive(Deserialize)]
    struct Chunk {
        chunk: Base64Url,
        data_path: Base64Url,
    }
    let Chunk { chunk, data_path } = serde_json::from_slice(&answer.body).ok()?;
    let proven = merkle::check_path(root, size, at, &data_path.0)?;
    let whole = proven.end - proven.start == chunk.0.len() as u64 && ao_types::hash::sha256(&[&chunk.0]) == proven.hash;
    whole.then_some((proven.start, chunk.0))
}

/// What `POST /tx` of a node means.
pub fn posted(answer: &Answer) -> Posted {
    let text = answer.text();
    let known = ["already on the weave", "already in the mempool", "in the mempool", "already processed", "Transaction already"];
    match answer.status {
        _ if answer.html => Posted::Failed,
        200 | 208 => Posted::Taken(None),
        // "Invalid anchor (last_tx from mempool)." is about the anchor.
        400 if !text.contains("last_tx") && known.iter().any(|known| text.contains(known)) => Posted::Taken(None),
        400 | 410 => Posted::Refused(text),
        _ => Posted::Failed,
    }
}

/// What `POST /chunk` means, for one chunk.
pub fn seeded(answer: &Answer) -> Seeded {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let reason = serde_json::from_slice::<Refusal>(&answer.body).map_or_else(|_| answer.text(), |refusal| refusal.error);
    match (answer.status, reason.as_str()) {
        (200, _) if !answer.html => Seeded::Taken(1),
        // Stored, but only until it needs the room.
        (303, _) => Seeded::Refused("stored temporarily".to_owned()),
        (400, "data_root_not_found") => Seeded::NoHeader,
        (400, "exceeds_disk_pool_size_limit") => Seeded::Refused(reason),
        (400, _) => Seeded::Fatal(reason),
        _ => Seeded::Failed,
    }
}

/// Sources that must agree, of so many configured.
pub fn quorum(configured: usize) -> usize {
    configured.min(2)
}

/// The height that enough sources have reached: of two or more the second highest, so that one that runs ahead moves nothing.
pub fn agreed_height(mut heights: Vec<u64>, configured: usize) -> Option<u64> {
    heights.sort_unstable_by(|a, b| b.cmp(a));
    heights.get(quorum(configured).checked_sub(1)?).copied()
}

/// What enough sources say of a thing that there is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreed<T> {
    /// This.
    Yes(T),
    /// That it is not there.
    No,
    /// Too few answered, or they contradict each other.
    Split,
}

/// What enough sources say: each gave what it has, or said that it has none.
pub fn agreed<T>(mut said: Vec<Option<T>>, same: impl Fn(&T, &T) -> bool, configured: usize) -> Agreed<T> {
    let quorum = quorum(configured);
    let voices = |one: &Option<T>| match one {
        Some(one) => said.iter().flatten().filter(|other| same(one, other)).count(),
        None => said.iter().filter(|other| other.is_none()).count(),
    };
    let found = said.iter().position(|one| voices(one) >= quorum);
    match found.filter(|_| quorum > 0).map(|at| said.swap_remove(at)) {
        Some(Some(one)) => Agreed::Yes(one),
        Some(None) => Agreed::No,
        None => Agreed::Split,
    }
}

/// The price to pay, of what sources ask for. Of three or more the one in the middle, which no single source moves out of what the others
/// say. Of two the dearer one, which suffices wherever it is asked, but at most so many times the cheaper: who inflates it costs that
/// much, and who says less than a part of the truth makes a transaction too cheap, which is refused and waits.
pub fn price(mut said: Vec<u128>, configured: usize) -> Option<u128> {
    said.sort_unstable();
    match said.as_slice() {
        _ if said.len() < quorum(configured).max(1) => None,
        [cheap, dear] => Some(*dear.min(&cheap.saturating_mul(PRICES_APART))),
        _ => said.get(said.len() / 2).copied(),
    }
}

/// What a wallet holds, of what sources say: the middle one; of two the higher. A source alone does not make a wallet look empty. Where it
/// makes an empty one look full, transactions are refused and wait, and what may be spent in a day is bounded anyway.
pub fn balance(mut said: Vec<u128>, configured: usize) -> Option<u128> {
    said.sort_unstable();
    let enough = said.len() >= quorum(configured).max(1);
    said.get(said.len() / 2).copied().filter(|_| enough)
}

/// What sources say of a place: each gave the block at its height, or said that there is none.
pub fn held(place: &Place, blocks: &[Option<Block>], configured: usize) -> Option<Held> {
    let holds = |block: &Option<Block>| {
        block.as_ref().is_some_and(|block| block.hash == place.block && block.transactions.contains(&place.transaction))
    };
    let (yes, quorum) = (blocks.iter().filter(|block| holds(block)).count(), quorum(configured));
    match (yes, blocks.len() - yes) {
        (0, 0) => None,
        (yes, no) if yes >= quorum && yes > no => Some(Held::Holds),
        (yes, no) if no >= quorum && no > yes => Some(Held::Gone),
        _ => Some(Held::Split),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        let html = body.starts_with('<');
        Answer { status, body: Bytes::copy_from_slice(body.as_bytes()), retry_after_ms: None, html }
    }

    #[test]
    fn one_source_moves_no_height_where_there_are_two() {
        assert_eq!(agreed_height(vec![10, 1_000_000, 9], 3), Some(10));
        assert_eq!(agreed_height(vec![1_000_000], 2), None, "the other one does not answer: no news");
        assert_eq!(agreed_height(vec![7], 1), Some(7));
        assert_eq!((agreed_height(vec![], 1), agreed_height(vec![], 0), agreed_height(vec![1], 0)), (None, None, None));
    }

    #[test]
    fn one_source_makes_nothing_dear_and_no_wallet_empty() {
        assert_eq!((price(vec![5], 1), price(vec![5], 2), price(vec![], 0), price(vec![], 3)), (Some(5), None, None, None));
        assert_eq!((price(vec![6, 5], 2), price(vec![1_000_000, 5], 2), price(vec![5, 1], 2)), (Some(6), Some(10), Some(2)));
        assert_eq!((price(vec![5, u128::MAX, 6], 3), price(vec![1, 5, 6], 3), price(vec![1, 5, 6, 9], 4)), (Some(6), Some(5), Some(6)));
        assert_eq!(price(vec![u128::MAX, u128::MAX], 2), Some(u128::MAX));
        assert_eq!((balance(vec![5], 1), balance(vec![5], 3), balance(vec![0, 9], 2)), (Some(5), None, Some(9)));
        assert_eq!((balance(vec![0, 9, 8], 3), balance(vec![9, 9_000, 8], 3)), (Some(8), Some(9)));
    }

    #[test]
    fn what_two_say_is_agreed_whatever_a_third_says() {
        let of = |said: &[Option<u8>], configured| agreed(said.to_vec(), |one, two| one == two, configured);
        assert_eq!((of(&[Some(1), Some(2), Some(2)], 3), of(&[None, Some(2), None], 3)), (Agreed::Yes(2), Agreed::No));
        assert_eq!((of(&[Some(1), Some(2)], 2), of(&[Some(1)], 2), of(&[Some(1), None], 2)), (Agreed::Split, Agreed::Split, Agreed::Split));
        assert_eq!(
            (of(&[Some(1)], 1), of(&[None], 1), of(&[], 1), of(&[Some(1)], 0)),
            (Agreed::Yes(1), Agreed::No, Agreed::Split, Agreed::Split)
        );
    }

    #[test]
    fn a_block_is_held_or_gone_when_two_say_so() {
        let place = Place { height: 5, block: Bytes::from_static(&[1; 48]), carrier: Id([2; 32]), transaction: Id([3; 32]) };
        let block = |hash: u8, transaction: u8| {
            let (hash, previous) = (Bytes::from(vec![hash; 48]), Bytes::new());
            Some(Block { hash, previous, height: 5, timestamp: 0, transactions: vec![Id([transaction; 32])] })
        };
        let (yes, other, without) = (block(1, 3), block(2, 3), block(1, 4));
        let of = |blocks: &[&Option<Block>], configured| {
            held(&place, &blocks.iter().map(|block| (*block).clone()).collect::<Vec<_>>(), configured)
        };
        assert_eq!(of(&[&yes, &yes], 2), Some(Held::Holds));
        assert_eq!(of(&[&yes, &yes, &other], 3), Some(Held::Holds));
        assert_eq!(of(&[&yes], 1), Some(Held::Holds));
        assert_eq!(of(&[&yes], 2), Some(Held::Split), "one voice is not two");
        assert_eq!(of(&[&yes, &other], 2), Some(Held::Split));
        assert_eq!(of(&[&other, &without], 2), Some(Held::Gone));
        assert_eq!(of(&[&None, &None], 2), Some(Held::Gone));
        assert_eq!(of(&[&other], 2), Some(Held::Split));
        assert_eq!(of(&[&yes, &other, &None], 3), Some(Held::Gone), "one that invents a block does not hold up two");
        assert_eq!(of(&[&yes, &yes, &other, &without], 4), Some(Held::Split), "two against two is a dispute");
        assert_eq!(of(&[], 2), None);
    }

    #[test]
    fn answers_of_nodes_mean_what_the_specification_says() {
        for text in ["Transaction is already on the weave.", "Transaction is already in the mempool.", "Transaction is in the mempool."] {
            assert_eq!(posted(&answer(400, text)), Posted::Taken(None), "{text}");
        }
        for text in ["Invalid anchor (last_tx).", "Invalid anchor (last_tx from mempool).", "Transaction verification failed."] {
            assert_eq!(posted(&answer(400, text)), Posted::Refused(text.into()));
        }
        assert_eq!(posted(&answer(208, "")), Posted::Taken(None));
        assert_eq!((posted(&answer(200, "<html>")), posted(&answer(503, ""))), (Posted::Failed, Posted::Failed));
        assert_eq!(seeded(&answer(400, r#"{"error":"data_root_not_found"}"#)), Seeded::NoHeader);
        assert_eq!(seeded(&answer(400, r#"{"error":"invalid_proof"}"#)), Seeded::Fatal("invalid_proof".into()));
        assert!(matches!(seeded(&answer(303, "")), Seeded::Refused(_)));
        assert!(matches!(seeded(&answer(400, r#"{"error":"exceeds_disk_pool_size_limit"}"#)), Seeded::Refused(_)));
        assert_eq!((seeded(&answer(200, "")), seeded(&answer(200, "<html>"))), (Seeded::Taken(1), Seeded::Failed));
    }

    #[test]
    fn what_is_not_what_was_asked_for_is_a_lie_and_what_is_missing_is_missing() {
        assert_eq!(sort(&answer(200, "<html>404</html>"), number), Said::Lie);
        assert_eq!(sort(&answer(200, "12 AR"), number), Said::Lie);
        assert_eq!(sort(&answer(200, "12\n"), number), Said::Yes(12));
        assert_eq!(sort(&answer(200, &"9".repeat(31)), number), Said::Lie);
        assert_eq!((sort(&answer(404, ""), number), sort(&answer(500, "1"), number)), (Said::No, Said::Nothing));
        assert_eq!(sort(&answer(200, r#"{"height":-1}"#), height), Said::Lie);
        let json = r#"{"indep_hash":"AAAA","height":7,"timestamp":1,"txs":[]}"#;
        assert!(matches!(sort(&answer(200, json), |answer| block(answer, Some(7))), Said::Yes(_)));
        assert_eq!(sort(&answer(200, json), |answer| block(answer, Some(8))), Said::Lie);
        assert_eq!((sort(&answer(200, "0"), price_of), sort(&answer(200, "1"), price_of)), (Said::Lie, Said::Yes(1)));
        assert_eq!(sort(&answer(200, r#"{"offset":"1","size":"9"}"#), offset), Said::Lie);
        assert_eq!(sort(&answer(200, r#"{"offset":"9","size":"9"}"#), offset), Said::Yes((1, 9)));
    }
}
