//! The whole station without a socket: bundles mined and opened, faults, restarts.

use ao_types::merkle::Tree;
use ao_types::transaction::{Base64Url, Transaction, TransactionTag};
use ao_types::{ItemBuilder, Verified};

use super::*;
use crate::chunks::{Posted, check};
use crate::index::View;

const NOW: u64 = 1_700_000_100;

fn open(journal: Option<&Path>) -> Station {
    let funded = keys::funded().unwrap().address().as_id().unwrap();
    Station::open(Genesis::default(), &[(funded, keys::FUNDED_WINSTON)], journal, 2, 1 << 30).unwrap()
}

fn item(n: u32, bytes: usize) -> Verified<DataItem> {
    let wallet = Wallet::ed25519_from_seed(&[1; 32]);
    ItemBuilder::new().tag("Number", n.to_string()).data(vec![n as u8; bytes]).sign(&wallet).unwrap()
}

fn tags() -> Vec<TransactionTag> {
    [("Bundle-Format", "binary"), ("Bundle-Version", "2.0.0")]
        .map(|(name, value)| TransactionTag { name: Base64Url(name.into()), value: Base64Url(value.into()) })
        .to_vec()
}

/// A bundle as clients post one: header first, then chunks.
fn bundle(station: &Station, items: &[Verified<DataItem>]) -> (Transaction, Bytes) {
    let data = ao_types::bundle::build(items);
    let (anchor, price) = station.chain(|chain| (chain.anchor(), chain.price(data.len() as u64, None)));
    let transaction = Transaction::for_data(&data, tags(), anchor.0.to_vec(), price.to_string());
    (transaction.sign(&keys::funded().unwrap()).unwrap(), data)
}

fn chunks_of(data: &Bytes) -> Vec<Checked> {
    let tree = Tree::of(data);
    let chunk = |(index, chunk): (usize, &ao_types::merkle::Chunk)| {
        check(Posted {
            data_root: Base64Url(tree.root().to_vec()),
            data_size: data.len().to_string(),
            data_path: Base64Url(tree.data_path(index).unwrap()),
            offset: (chunk.end - 1).to_string(),
            chunk: Base64Url(data[chunk.start as usize..chunk.end as usize].to_vec()),
        })
        .unwrap()
    };
    tree.chunks().iter().enumerate().filter(|(_, chunk)| chunk.start < chunk.end).map(chunk).collect()
}

fn height_of(station: &Station, id: Id) -> Option<u64> {
    station.index().get(&View::ALL, &id).map(|(key, _)| key.height)
}

fn whole(station: &Station, id: Id) -> Option<Bytes> {
    let found = station.data_of(0, &id)?;
    station.read_whole(&found.data, u64::MAX)
}

#[test]
fn a_bundle_is_opened_when_its_last_chunk_comes() {
    let station = open(None);
    let items = [item(1, 300_000), item(2, 100), item(3, 250_000)];
    let (transaction, data) = bundle(&station, &items);
    let chunks = chunks_of(&data);
    assert_eq!(chunks.len(), 3);
    assert!(matches!(station.post_chunk(chunks[0].clone()), Err(Error::Chunk(ChunkError::RootUnknown))));
    station.post_transaction(transaction.clone()).unwrap();
    assert_eq!(height_of(&station, transaction.id), Some(WAITING), "gateways show what waits");
    station.post_chunk(chunks[0].clone()).unwrap();
    station.mine(1, NOW).unwrap();
    assert!(height_of(&station, transaction.id).is_some_and(|height| height != WAITING));
    assert_eq!(whole(&station, transaction.id), None, "mined is not available");
    assert_eq!(height_of(&station, items[0].id()), None);
    for chunk in &chunks[1..] {
        station.post_chunk(chunk.clone()).unwrap();
    }
    assert_eq!(whole(&station, transaction.id).unwrap(), data);
    for item in &items {
        assert_eq!(whole(&station, item.id()).unwrap(), item.data());
    }
    // The proofs that come back show what they should.
    let placed_root: [u8; 32] = transaction.data_root.0.clone().try_into().unwrap();
    let answer = station.chunk_at(0, 262_145).unwrap();
    let proven = ao_types::merkle::check_path(&placed_root, data.len() as u64, 262_144, &answer.data_path.0).unwrap();
    assert_eq!(answer.chunk, data.slice(proven.start as usize..proven.end as usize));
    let root = station.chain(|chain| chain.tip().tx_root.unwrap());
    let size = station.chain(|chain| chain.tip().block_size);
    assert_eq!(ao_types::merkle::check_path(&root.0, size, 0, &answer.tx_path.0).unwrap().hash, placed_root);
}

#[test]
fn the_bundling_service_keeps_its_promise_also_when_its_transaction_is_lost() {
    let station = open(None);
    let one = item(1, 1000);
    let Taken::New(receipt) = station.post_item(one.as_bytes().clone(), 5).unwrap() else { panic!("it is new") };
    assert_eq!(receipt.verify(), Ok(()));
    assert_eq!((receipt.public.0.as_slice(), receipt.deadline_height), (station.bundler_key(), 1_500_200));
    assert_eq!(station.post_item(one.as_bytes().clone(), 6).unwrap(), Taken::Again(one.id()));
    assert_eq!(whole(&station, one.id()).unwrap(), one.data(), "shown before any block has it");
    station.command(Command::Drop { ids: BTreeSet::new(), probability: Some(1.0) }, NOW).unwrap();
    station.mine(2, NOW).unwrap();
    assert_eq!(height_of(&station, one.id()), Some(WAITING));
    station.command(Command::Drop { ids: BTreeSet::new(), probability: Some(0.0) }, NOW).unwrap();
    let block = station.mine(1, NOW).unwrap().remove(0);
    assert_eq!(height_of(&station, one.id()), Some(block.height));
    assert_eq!(whole(&station, one.id()).unwrap(), one.data());

    let mut broken = item(2, 10).as_bytes().to_vec();
    *broken.last_mut().unwrap() ^= 1;
    assert!(matches!(station.post_item(broken.into(), 7), Err(Error::Item(ItemError::Invalid(_)))));
    station.command(Command::BundlerLose { probability: 1.0 }, NOW).unwrap();
    let lost = item(3, 10);
    assert!(matches!(station.post_item(lost.as_bytes().clone(), 8), Ok(Taken::New(_))));
    station.mine(3, NOW).unwrap();
    assert_eq!(height_of(&station, lost.id()), None, "accepted and lost");
    assert!(station.state().log.kept().any(|happened| happened.what.contains(&lost.id().to_string())));
}

#[test]
fn forks_move_items_and_a_journal_brings_back_the_very_same_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let station = open(Some(&path));
    station.mine(10, NOW).unwrap();
    let (kept, lost) = (item(1, 300_000), item(2, 100));
    let mut posted = Vec::new();
    for item in [&kept, &lost] {
        let (transaction, data) = bundle(&station, std::slice::from_ref(item));
        station.post_transaction(transaction.clone()).unwrap();
        chunks_of(&data).into_iter().for_each(|chunk| station.post_chunk(chunk).unwrap());
        posted.push(transaction.id);
        station.mine(1, NOW).unwrap();
    }
    station.command(Command::Twice { ids: BTreeSet::from([posted[0]]) }, NOW).unwrap();
    let before = height_of(&station, kept.id()).unwrap();
    station.reorganise(2, &Keep::Ids(BTreeSet::from([posted[0]])), NOW).unwrap();
    assert_eq!(height_of(&station, kept.id()), Some(before));
    assert_eq!(height_of(&station, lost.id()), None);
    station.reorganise(3, &Keep::Pending, NOW).unwrap();
    assert_eq!(height_of(&station, kept.id()), None);
    assert_eq!(height_of(&station, posted[0]), Some(WAITING));
    let block = station.mine(1, NOW).unwrap().remove(0);
    assert_eq!(block.branch, 3, "twice: its first block was orphaned at once");
    assert_eq!(height_of(&station, kept.id()), Some(block.height - 1));

    let tip = station.chain(|chain| chain.tip().clone());
    let keys: Vec<_> = [posted[0], kept.id()].map(|id| height_of(&station, id)).to_vec();
    drop(station);
    let again = open(Some(&path));
    assert_eq!(again.chain(|chain| chain.tip().clone()), tip);
    assert_eq!([posted[0], kept.id()].map(|id| height_of(&again, id)).to_vec(), keys);
    assert_eq!(whole(&again, kept.id()).unwrap(), kept.data());
    again.mine(1, NOW).unwrap();
    drop(again);
    let other = Genesis { network: "another".into(), ..Genesis::default() };
    assert!(matches!(Station::open(other, &[], Some(&path), 1, 1), Err(StartError::Other { .. })));
}

#[test]
fn a_run_with_faults_replays_from_its_seed() {
    let run = |seed| {
        let station = Station::open(Genesis { seed, ..Genesis::default() }, &[], None, 1, 1 << 30).unwrap();
        station.command(Command::Drop { ids: BTreeSet::new(), probability: Some(0.5) }, NOW).unwrap();
        let owner = [5; 512];
        let address = Id(ao_types::hash::sha256(&[&owner]));
        let mut fates = Vec::new();
        for n in 0..40_u8 {
            let mut guard = station.state();
            guard.chain.mint(address, 100, &mut Vec::new());
            let transaction = Transaction {
                format: 2,
                id: Id([n; 32]),
                owner: Base64Url(owner.to_vec()),
                last_tx: Base64Url(guard.chain.tip().hash.0.to_vec()),
                quantity: "0".into(),
                reward: "1".into(),
                data_size: "0".into(),
                ..Transaction::default()
            };
            guard.chain.apply(&Event::Posted(Box::new(transaction))).unwrap();
            drop(guard);
            fates.push(!station.mine(1, NOW).unwrap()[0].transactions.is_empty());
        }
        (fates, station.chain(|chain| chain.tip().hash))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let mined = run(1).0.into_iter().filter(|mined| *mined).count();
    assert!((8..32).contains(&mined), "{mined}");
}

#[test]
fn gateways_differ_and_commands_have_bounds() {
    let station = open(None);
    let (transaction, data) = bundle(&station, &[item(1, 10)]);
    station.post_transaction(transaction.clone()).unwrap();
    chunks_of(&data).into_iter().for_each(|chunk| station.post_chunk(chunk).unwrap());
    station.mine(1, NOW).unwrap();
    let at = |gateway| station.data_of(gateway, &item(1, 10).id()).map(|found| found.corrupt);
    assert_eq!((at(0), at(1), at(2)), (Some(false), Some(false), None));
    let command = |command| station.command(command, NOW);
    command(Command::Corrupt { id: transaction.id, gateway: 1 }).unwrap();
    assert_eq!((at(0), at(1)), (Some(false), Some(true)));
    let chunk = |gateway| station.chunk_at(gateway, 1).unwrap().chunk;
    assert_ne!(chunk(0), chunk(1));
    command(Command::IndexLag { blocks: 3, gateway: 0 }).unwrap();
    assert_eq!(at(0), None);
    station.mine(3, NOW).unwrap();
    assert_eq!(at(0), Some(false));
    command(Command::UnbundleLag { blocks: 4, gateway: 0 }).unwrap();
    assert_eq!(at(0), None);
    assert!(station.data_of(0, &transaction.id).is_some());
    command(Command::WithholdChunks { tx: transaction.id, on: true }).unwrap();
    assert!(station.data_of(0, &transaction.id).is_none() && station.chunk_at(0, 1).is_none());
    command(Command::Heal {}).unwrap();
    assert_eq!((at(0), at(1)), (Some(false), Some(false)));

    for wrong in [
        Command::Mine { n: MINE_MAX + 1, timestamp: None },
        Command::Hide { ids: BTreeSet::new(), gateway: 2 },
        Command::BundlerLose { probability: 1.5 },
        Command::BundlerLose { probability: f64::NAN },
        Command::Reorg { depth: 1, keep: Some(KeepText::Word("some".into())), timestamp: None },
        Command::Fail { path: "/".into(), status: 42, probability: None, times: None, gateway: 0 },
        Command::Mint { address: Id([1; 32]), winston: "-1".into() },
    ] {
        assert!(matches!(command(wrong.clone()), Err(Error::Command(_))), "{wrong:?}");
    }
    assert!(matches!(Station::open(Genesis::default(), &[], None, GATEWAYS_MAX + 1, 1), Err(StartError::Gateways(_))));
    assert!(matches!(Station::open(Genesis::default(), &[], None, 0, 1), Err(StartError::Gateways(0))));
}
