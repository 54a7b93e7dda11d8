//! Checks one by one, then properties of any sequence of posts, blocks and reorganisations.

use std::collections::BTreeSet;

use ao_types::Id;
use ao_types::signer::Signer as _;
use ao_types::transaction::{Base64Url, Transaction, TransactionTag};
use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::keys::{FUNDED_WINSTON, funded, stranger};
use crate::limits::{ANCHOR_BLOCKS, BLOCK_TRANSACTIONS_MAX, REFUSED_MAX, REORG_DEPTH_MAX};

fn address(wallet: &ao_types::Wallet) -> Id {
    wallet.address().as_id().unwrap()
}

fn chain() -> Chain {
    let mut chain = Chain::new(Genesis::default());
    chain.mint(address(&funded().unwrap()), FUNDED_WINSTON, &mut Vec::new());
    chain
}

/// Signed by the funded wallet, anchored at the tip, paying enough.
fn paying(chain: &Chain, data: &[u8], change: impl FnOnce(&mut Transaction)) -> Transaction {
    let reward = chain.price(data.len() as u64, None);
    let mut transaction = Transaction::for_data(data, Vec::new(), chain.tip().hash.0.to_vec(), reward.to_string());
    change(&mut transaction);
    transaction.sign(&funded().unwrap()).unwrap()
}

fn include(_: &Waiting) -> Fate {
    Fate::Include
}

fn mine(chain: &mut Chain) -> Block {
    let at = chain.tip().timestamp + 120;
    chain.mine(at, &mut include, &mut Vec::new()).unwrap()
}

fn post(chain: &mut Chain, transaction: &Transaction) -> Result<Accepted, Refusal> {
    chain.post(transaction.clone(), &mut Vec::new())
}

#[test]
fn a_transaction_waits_is_mined_and_paid_for() {
    let mut chain = chain();
    let (from, to) = (address(&funded().unwrap()), Id([7; 32]));
    let price = chain.price(100, Some(&to));
    assert_eq!(price - chain.price(100, None), 20_000_000 * 500, "a wallet that is new costs more");
    let transaction = paying(&chain, &[1; 100], |transaction| {
        transaction.target = Base64Url(to.0.to_vec());
        transaction.quantity = "1000".into();
        transaction.reward = price.to_string();
    });
    assert_eq!(post(&mut chain, &transaction), Ok(Accepted::New));
    assert_eq!(post(&mut chain, &transaction), Ok(Accepted::Again));
    assert!(matches!(chain.standing(&transaction.id), Some(Standing::Pending(_))));
    assert!(chain.knows_root(&Id(transaction.data_root.0.clone().try_into().unwrap()), 100));
    assert_eq!(chain.wallet(&from).balance, FUNDED_WINSTON, "nothing is paid before the block");

    let block = mine(&mut chain);
    assert_eq!(block.transactions, [transaction.id]);
    assert_eq!((block.block_size, block.weave_size), (262_144, 262_144));
    assert_eq!(chain.wallet(&from), Wallet { balance: FUNDED_WINSTON - price - 1000, last_transaction: Some(transaction.id) });
    assert_eq!(chain.wallet(&to).balance, 1000);
    assert_eq!(chain.price(100, Some(&to)), chain.price(100, None), "it is not new any more");
    assert_eq!(post(&mut chain, &transaction), Err(Refusal::OnWeave));
    assert_eq!(chain.transaction_at(1).map(|placed| placed.transaction.id), Some(transaction.id));
    assert_eq!(chain.transaction_at(100).map(|placed| placed.start), Some(0));
    assert!(chain.transaction_at(101).is_none() && chain.transaction_at(262_145).is_none());

    chain.reorganise(1, &Keep::None, block.timestamp, &mut Vec::new()).unwrap();
    assert_eq!(chain.wallet(&from), Wallet { balance: FUNDED_WINSTON, last_transaction: None });
    assert_eq!(chain.wallet(&to), Wallet::default());
    assert!(chain.standing(&transaction.id).is_none() && chain.transaction_at(1).is_none());
    assert!(!chain.knows_root(&Id(transaction.data_root.0.try_into().unwrap()), 100));
    assert!(chain.block_by_hash(&block.hash).is_some(), "dead branches are still shown");
}

#[test]
fn each_refusal_has_its_text_and_its_code() {
    let mut chain = chain();
    let refused = |chain: &mut Chain, transaction: &Transaction, code: &str| {
        assert_eq!(post(chain, transaction), Err(Refusal::Verification), "{code}");
        match chain.standing(&transaction.id) {
            Some(Standing::Refused(codes)) => assert_eq!(codes, [code]),
            other => panic!("{code}: {other:?}"),
        }
    };
    let cheap = paying(&chain, b"x", |transaction| transaction.reward = "1".into());
    refused(&mut chain, &cheap, "tx_too_cheap");
    let rich = paying(&chain, b"x", |transaction| transaction.quantity = FUNDED_WINSTON.to_string());
    refused(&mut chain, &rich, "overspend");
    let mut forged = paying(&chain, b"x", |_| {});
    forged.quantity = "5".into();
    refused(&mut chain, &forged, "tx_signature_not_valid");
    let own = address(&funded().unwrap()).0.to_vec();
    let to_self = paying(&chain, b"x", |transaction| transaction.target = Base64Url(own));
    refused(&mut chain, &to_self, "same_owner_as_target");
    let wide = paying(&chain, b"x", |transaction| {
        transaction.tags = vec![TransactionTag { name: Base64Url(vec![65; 1000]), value: Base64Url(vec![65; 1049]) }];
    });
    refused(&mut chain, &wide, "tx_fields_too_large");
    let mut old = paying(&chain, b"x", |_| {});
    old.format = 1;
    refused(&mut chain, &old, "tx_format_not_supported");

    let mut other_id = paying(&chain, b"x", |_| {});
    other_id.id = Id([9; 32]);
    assert_eq!(post(&mut chain, &other_id), Err(Refusal::Verification));
    assert!(chain.standing(&Id([9; 32])).is_none(), "nothing is remembered under an id that may be another's");

    let poor = Transaction::for_data(b"x", Vec::new(), Vec::new(), chain.price(1, None).to_string()).sign(&stranger().unwrap()).unwrap();
    refused(&mut chain, &poor, "overspend");
}

#[test]
fn anchors_are_fifty_blocks_or_the_last_transaction() {
    let mut chain = chain();
    let at_first = paying(&chain, b"at the first block", |_| {});
    let nothing = paying(&chain, b"nothing sent yet", |transaction| transaction.last_tx = Base64Url(Vec::new()));
    (1..ANCHOR_BLOCKS).for_each(|_| drop(mine(&mut chain)));
    assert_eq!(post(&mut chain, &at_first), Ok(Accepted::New), "the oldest of fifty blocks");
    assert_eq!(post(&mut chain, &nothing), Ok(Accepted::New));
    let block = mine(&mut chain);
    assert_eq!(block.transactions.len(), 2);

    let late = paying(&chain, b"late", |transaction| transaction.last_tx = at_first.last_tx.clone());
    assert_eq!(post(&mut chain, &late), Err(Refusal::Anchor));
    let again = paying(&chain, b"again nothing", |transaction| transaction.last_tx = Base64Url(Vec::new()));
    assert_eq!(post(&mut chain, &again), Err(Refusal::Anchor));
    let last = chain.wallet(&address(&funded().unwrap())).last_transaction.unwrap();
    let by_wallet = paying(&chain, b"by wallet", |transaction| transaction.last_tx = Base64Url(last.0.to_vec()));
    assert_eq!(post(&mut chain, &by_wallet), Ok(Accepted::New));
    let chained = paying(&chain, b"chained", |transaction| transaction.last_tx = Base64Url(by_wallet.id.0.to_vec()));
    assert_eq!(post(&mut chain, &chained), Err(Refusal::AnchorInMempool));
    mine(&mut chain);
    assert_eq!(chain.anchor(), chain.block_at(chain.tip().height - 6).unwrap().hash);
}

#[test]
fn a_transaction_whose_anchor_expires_is_lost() {
    let mut chain = chain();
    let transaction = paying(&chain, b"x", |_| {});
    post(&mut chain, &transaction).unwrap();
    for _ in 0..ANCHOR_BLOCKS {
        assert!(chain.standing(&transaction.id).is_some());
        let at = chain.tip().timestamp + 120;
        chain.mine(at, &mut |_| Fate::Delay, &mut Vec::new()).unwrap();
    }
    assert!(matches!(post(&mut chain, &transaction), Err(Refusal::InMempool)));
    mine(&mut chain);
    assert!(chain.standing(&transaction.id).is_none());
    assert_eq!(post(&mut chain, &transaction), Err(Refusal::Anchor));
}

#[test]
fn attached_data_is_cut_plainly() {
    let mut chain = chain();
    let data = vec![3; 262_145];
    let mut transaction = paying(&chain, &data, |_| {});
    transaction.data = Base64Url(data.clone());
    assert_eq!(post(&mut chain, &transaction), Err(Refusal::Split), "what a stock client signs");
    let mut plain = paying(&chain, &data, |transaction| transaction.data_root = Base64Url(crate::chunks::plain_root(&data).to_vec()));
    plain.data = Base64Url(data);
    assert_eq!(post(&mut chain, &plain), Ok(Accepted::New));
    transaction.data = Base64Url::default();
    assert_eq!(post(&mut chain, &transaction), Ok(Accepted::New), "in chunks it may come");
}

#[test]
fn what_waits_cannot_be_spent_twice() {
    let mut chain = chain();
    let half = (FUNDED_WINSTON / 2).to_string();
    let target = Base64Url(vec![7; 32]);
    let pay = |chain: &Chain, note: &[u8]| {
        paying(chain, note, |transaction| {
            transaction.target = target.clone();
            transaction.quantity = half.clone();
            transaction.reward = chain.price(100, Some(&Id([7; 32]))).to_string();
        })
    };
    let (first, second) = (pay(&chain, b"1"), pay(&chain, b"2"));
    assert_eq!(post(&mut chain, &first), Ok(Accepted::New));
    assert_eq!(post(&mut chain, &second), Err(Refusal::Verification));
}

#[test]
fn a_fork_keeps_what_it_is_told_and_its_anchors_go() {
    let run = |keep: &dyn Fn(Id, Id) -> Keep| {
        let mut chain = chain();
        (0..3).for_each(|_| drop(mine(&mut chain)));
        let first = paying(&chain, b"first", |_| {});
        post(&mut chain, &first).unwrap();
        mine(&mut chain);
        // anchored at a block of the branch that dies
        let second = paying(&chain, b"second", |_| {});
        post(&mut chain, &second).unwrap();
        mine(&mut chain);
        let before = chain.tip().clone();
        let keep = keep(first.id, second.id);
        let done = chain.reorganise(2, &keep, before.timestamp + 1, &mut Vec::new()).unwrap();
        assert_eq!((done.orphaned.len(), done.mined.len()), (2, 3));
        assert_eq!(chain.tip().height, before.height + 1);
        let at = |id| match chain.standing(&id) {
            Some(Standing::Mined(placed)) => Some(placed.height),
            Some(Standing::Pending(_)) => Some(0),
            _ => None,
        };
        (at(first.id), at(second.id), done.lost.len())
    };
    let height = Genesis::default().height + 4;
    assert_eq!(run(&|_, _| Keep::None), (None, None, 2));
    assert_eq!(run(&|_, _| Keep::All), (Some(height), None, 1), "the second one's anchor is on the dead branch");
    assert_eq!(run(&|_, _| Keep::Pending), (Some(0), None, 1));
    assert_eq!(run(&|first, _| Keep::Ids(BTreeSet::from([first]))), (Some(height), None, 1));
    assert_eq!(run(&|_, second| Keep::Ids(BTreeSet::from([second]))), (None, None, 2));
}

#[test]
fn forks_have_a_depth() {
    let mut chain = chain();
    let mut depth = |depth| chain.reorganise(depth, &Keep::All, 0, &mut Vec::new()).map(|done| done.mined.len());
    assert_eq!(depth(1), Err(MineError::Depth { asked: 1, most: 0 }), "the first block stays");
    let mut chain = self::chain();
    (0..REORG_DEPTH_MAX + 20).for_each(|_| drop(mine(&mut chain)));
    let mut depth = |depth| chain.reorganise(depth, &Keep::All, 0, &mut Vec::new()).map(|done| done.mined.len() as u64);
    assert_eq!(depth(REORG_DEPTH_MAX + 1), Err(MineError::Depth { asked: REORG_DEPTH_MAX + 1, most: REORG_DEPTH_MAX }));
    assert_eq!(depth(REORG_DEPTH_MAX), Ok(REORG_DEPTH_MAX + 1));
    assert_eq!(depth(REORG_DEPTH_MAX), Ok(REORG_DEPTH_MAX + 1), "and again");
}

#[test]
fn a_block_may_be_a_little_older_than_its_parent() {
    let mut chain = chain();
    let parent = mine(&mut chain).timestamp;
    let at = |chain: &mut Chain, at| chain.mine(at, &mut include, &mut Vec::new()).unwrap().timestamp;
    assert_eq!(at(&mut chain, parent - 30), parent - 30);
    assert_eq!(at(&mut chain, 0), parent - 65);
}

/// Accepted as a journal's event: what it takes to sign is no part of these tests.
fn unsigned(number: u32, owner: u8, reward: u32, anchor: &BlockHash) -> Transaction {
    let id = Id(ao_types::hash::sha256(&[&number.to_be_bytes()]));
    Transaction {
        format: 2,
        id,
        owner: Base64Url(vec![owner; 512]),
        last_tx: Base64Url(anchor.0.to_vec()),
        quantity: "0".into(),
        reward: reward.to_string(),
        data_size: "1000".into(),
        data_root: Base64Url(id.0.to_vec()),
        ..Transaction::default()
    }
}

fn owner_address(owner: u8) -> Id {
    Id(ao_types::hash::sha256(&[&[owner; 512]]))
}

#[test]
fn blocks_are_full_and_the_refused_are_forgotten() {
    let mut chain = chain();
    chain.mint(owner_address(1), 1_000_000_000, &mut Vec::new());
    let anchor = chain.tip().hash;
    for number in 0..BLOCK_TRANSACTIONS_MAX as u32 + 3 {
        chain.apply(&Event::Posted(Box::new(unsigned(number, 1, number, &anchor)))).unwrap();
    }
    let block = mine(&mut chain);
    assert_eq!(block.transactions.len(), BLOCK_TRANSACTIONS_MAX);
    let left: Vec<u128> = chain.pending().map(|waiting| waiting.cost).collect();
    assert_eq!(left, [0, 1, 2], "those that pay least wait on");
    for number in 0..REFUSED_MAX as u32 + 1 {
        chain.remember_refused(unsigned(number, 1, 1, &anchor).id, vec!["overspend"]);
    }
    assert_eq!(chain.refused.len(), REFUSED_MAX);
}

#[test]
fn the_mempool_has_a_size_and_those_that_pay_least_go() {
    let mut chain = chain();
    let anchor = chain.tip().hash;
    let mut fill = |number: u32| {
        let mut transaction = unsigned(number, 1, 1_000 + number, &anchor);
        // as long as nobody would accept it: so that few fill the pool
        transaction.tags = vec![TransactionTag { name: Base64Url(Vec::new()), value: Base64Url(vec![0; 50 << 20]) }];
        chain.apply(&Event::Posted(Box::new(transaction))).unwrap();
    };
    (0..5).for_each(&mut fill);
    let transaction = paying(&chain, b"one more", |_| {});
    assert_eq!(post(&mut chain, &transaction), Ok(Accepted::New), "nobody is told");
    let waiting: Vec<Id> = chain.pending().map(|waiting| waiting.transaction.id).collect();
    assert_eq!(waiting.len(), 5);
    assert!(!waiting.contains(&unsigned(0, 1, 1_000, &anchor).id) && waiting.contains(&transaction.id));
}

#[derive(Clone, Debug)]
enum Step {
    Post { owner: u8, reward: u32, stale: bool },
    Mine { delay: u32, lose: u32 },
    Reorganise { depth: u64, keep: u8 },
    Remove { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..4, 1u32..1000, any::<bool>()).prop_map(|(owner, reward, stale)| Step::Post { owner, reward, stale }),
        3 => (0u32..400_000, 0u32..300_000).prop_map(|(delay, lose)| Step::Mine { delay, lose }),
        1 => (1u64..12, 0u8..4).prop_map(|(depth, keep)| Step::Reorganise { depth, keep }),
        1 => (0usize..5).prop_map(|which| Step::Remove { which }),
    ]
}

/// What must hold of any chain: blocks are linked, every transaction ever posted is in one place, and no winston appears.
fn check(chain: &Chain, posted: &BTreeSet<Id>, minted: u128) {
    for pair in chain.blocks().windows(2) {
        assert_eq!(pair[1].previous, pair[0].hash);
        assert_eq!(pair[1].height, pair[0].height + 1);
        assert_eq!(pair[1].hash, pair[1].computed_hash());
        assert_eq!(pair[1].weave_size, pair[0].weave_size + pair[1].block_size);
    }
    let mut seen = BTreeSet::new();
    let mut spent = 0;
    for block in chain.blocks() {
        for id in &block.transactions {
            assert!(seen.insert(*id), "in two blocks");
            let Some(Standing::Mined(placed)) = chain.standing(id) else { panic!("in a block, but not placed") };
            assert_eq!(placed.height, block.height);
            spent += placed.transaction.reward.parse::<u128>().unwrap();
            let at = chain.transaction_at(placed.start + placed.size).unwrap();
            assert_eq!(at.transaction.id, *id);
        }
    }
    for waiting in chain.pending() {
        assert!(seen.insert(waiting.transaction.id), "waits, and is in a block");
        assert!(chain.knows_root(&waiting.transaction.id, 1000));
    }
    assert!(seen.is_subset(posted));
    for id in posted.difference(&seen) {
        assert!(chain.standing(id).is_none() && !chain.knows_root(id, 1000), "lost, but known");
    }
    assert_eq!(chain.placed.len(), chain.by_end.len());
    assert_eq!(chain.wallets.values().map(|wallet| wallet.balance).sum::<u128>() + spent, minted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn links_hold_and_nothing_is_in_two_places(steps in prop::collection::vec(step(), 1..60), seed in any::<u64>()) {
        let mut chain = Chain::new(Genesis { seed, ..Genesis::default() });
        let mut journal = Vec::new();
        let mut posted = BTreeSet::new();
        for owner in 0..4 {
            chain.mint(owner_address(owner), 3_000, &mut journal);
        }
        for (number, step) in steps.into_iter().enumerate() {
            let at = chain.tip().timestamp + 100;
            match step {
                Step::Post { owner, reward, stale } => {
                    let anchor = if stale { chain.anchor() } else { chain.tip().hash };
                    let event = Event::Posted(Box::new(unsigned(number as u32, owner, reward, &anchor)));
                    chain.commit(event, &mut journal);
                    posted.insert(unsigned(number as u32, owner, reward, &anchor).id);
                }
                Step::Mine { delay, lose } => {
                    let mut fate = |waiting: &Waiting| {
                        let id = waiting.transaction.id;
                        if crate::odds::happens(seed, "lose", &[&id.0], lose) { Fate::Lose }
                        else if crate::odds::happens(seed, "delay", &[&id.0], delay) { Fate::Delay }
                        else { Fate::Include }
                    };
                    chain.mine(at, &mut fate, &mut journal).unwrap();
                }
                Step::Reorganise { depth, keep } => {
                    let keep = match keep {
                        0 => Keep::None,
                        1 => Keep::All,
                        2 => Keep::Pending,
                        _ => Keep::Ids(posted.iter().copied().take(3).collect()),
                    };
                    let _ = chain.reorganise(depth, &keep, at, &mut journal);
                }
                Step::Remove { which } => {
                    let id = chain.pending().nth(which).map(|waiting| waiting.transaction.id);
                    id.map(|id| chain.remove(id, &mut journal));
                }
            }
            check(&chain, &posted, 4 * 3_000);
        }
        // The journal alone makes the same chain, also after a way through text.
        let mut again = Chain::new(Genesis { seed, ..Genesis::default() });
        for event in &journal {
            let text = serde_json::to_string(event).unwrap();
            again.apply(&serde_json::from_str(&text).unwrap()).unwrap();
        }
        prop_assert_eq!(again.blocks(), chain.blocks());
        prop_assert_eq!(again.wallets, chain.wallets);
        prop_assert_eq!(again.orphans, chain.orphans);
    }
}
