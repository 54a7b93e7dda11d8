//! Reads from the store what the core must know to begin.

use std::sync::Arc;

use ao_consensus::limits::WINDOW;
use ao_consensus::{Chain, ChainTip, Consensus, Evidence, Frame, Proof, Record, Setup, Solo};
use ao_storage::schema::{self, FrameKey, FrameRow};
use ao_storage::{Direction, Error, Store};
use ao_types::{Canonical, Id};

use super::facts;
use super::membership::{Membership, bind_again};
use crate::core::input::{ProcessFacts, Recovered, RecoveredChain, Term};
use crate::core::{Charge, Unconfirmed};
use crate::limits::{EVIDENCE_PAGE, LOOK_BACK_FRAMES, RECOVER_PAGE};
use crate::protection::Watch;

/// Whose store it is.
#[derive(Clone)]
pub struct Life {
    /// The chain of this node's scheduler wallet.
    pub own: Chain,
    /// The network; `None`: a network of one.
    pub membership: Option<Arc<Membership>>,
}

/// Everything that is owed, where numbers go on, and the engine made from its records. Costs a few look-ups for each process that owes
/// something; those at rest cost nothing, however many there are.
pub fn read(store: &dyn Store, life: &Life, term: Term, low: bool) -> Result<Recovered, Error> {
    let last = schema::SEQUENCE.all(store, Direction::Backward, 1)?;
    let chain = frames(store, life.own)?;
    let foreign = life.membership.iter().flat_map(|membership| membership.chains()).filter(|chain| *chain != life.own);
    let others = foreign.map(|chain| frames(store, chain)).collect::<Result<Vec<_>, _>>()?;
    let monitors = schema::MONITORS.all(store, Direction::Forward, crate::limits::MONITORS_MAX)?;
    let all = || std::iter::once(&chain).chain(&others);
    Ok(Recovered {
        term,
        next_sequence: last.first().map_or(0, |(sequence, _)| sequence + 1),
        engine: engine(store, life, all())?,
        owing: owing(store, all().flat_map(|chain| &chain.unconfirmed))?,
        chain,
        others,
        outbox: outbox(store)?,
        monitors,
        charges: charges(store)?,
        low,
    })
}

/// Whom the kept evidence accuses of what. Few: the core keeps so many of one offender.
fn charges(store: &dyn Store) -> Result<Vec<Charge>, Error> {
    let mut found = Vec::new();
    evidence(store, |shown| found.push(crate::core::charge(shown)))?;
    Ok(found)
}

/// Every piece of evidence that is kept.
fn evidence(store: &dyn Store, mut each: impl FnMut(&Evidence)) -> Result<(), Error> {
    let mut from = Vec::new();
    loop {
        let page = schema::EVIDENCE.scan(store, &from, &[], Direction::Forward, EVIDENCE_PAGE)?;
        // One that cannot be read is of a later version: it accuses nobody here.
        page.iter().filter_map(|(_, bytes)| Evidence::decode(bytes).ok()).for_each(|shown| each(&shown));
        match page.last() {
            Some((last, _)) if page.len() == EVIDENCE_PAGE => from = [&last[..], &[0]].concat(),
            _ => return Ok(()),
        }
    }
}

/// Shows the watch over this node's key what is known of before. Certificates that exclude one another end it at once. And who signed the
/// newest frames here: if the rows of its slashing protection are an older copy than the store, they are raised before anything is
/// signed. Beside [`read`], and before it.
pub fn look_back(store: &dyn Store, life: &Life) -> Result<(), Error> {
    let Some(membership) = &life.membership else { return Ok(()) };
    let Some(watch) = &membership.watch else { return Ok(()) };
    evidence(store, |shown| membership.stop_if_safety_is_gone(shown))?;
    for chain in membership.chains() {
        let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
        let newest = schema::FRAMES.range(store, &key(0), &key(u64::MAX), Direction::Backward, LOOK_BACK_FRAMES)?;
        newest.iter().for_each(|(_, row)| show_signers(watch, row));
    }
    Ok(())
}

/// Who signed what confirms a frame: this node's own key only if this node did.
pub fn show_signers(watch: &Watch, row: &FrameRow) {
    let proof = row.proof.as_ref().and_then(|proof| Proof::decode(proof).ok());
    if let (Ok(frame), Some(proof)) = (Frame::decode(&row.frame), proof) {
        watch.confirmed(&frame.header, &proof);
    }
}

/// The engine, from its records, the slashing protection, and where the chains stand.
fn engine<'a>(store: &dyn Store, life: &Life, chains: impl Iterator<Item = &'a RecoveredChain>) -> Result<Box<dyn Consensus>, Error> {
    let last = |chain: &RecoveredChain| chain.window.last().map(|one| ChainTip::decode(&one.tip)).transpose();
    let corrupt = |what: &str, reason: String| Error::Corrupt { what: what.to_owned(), place: "table engine_records".to_owned(), reason };
    let confirmed: Result<Vec<_>, _> = chains.filter_map(|chain| last(chain).transpose()).collect();
    let confirmed = confirmed.map_err(|error| corrupt("tip of a chain", error.to_string()))?;
    let Some(membership) = &life.membership else {
        let next = confirmed.iter().find(|tip| tip.chain == life.own).map_or(0, |tip| tip.next_sequence);
        return Ok(Box::new(Solo::resume(life.own, next)));
    };
    // What is archived stays where it is: it grows for ever.
    let archived = format!("{}/{}", membership.genesis.consensus.plugin, ao_consensus::effect::ARCHIVE).into_bytes();
    let mut rows = schema::ENGINE_RECORDS.scan(store, &[], &archived, Direction::Forward, usize::MAX)?;
    rows.extend(schema::ENGINE_RECORDS.scan(store, &ao_storage::typed::after_prefix(&archived), &[], Direction::Forward, usize::MAX)?);
    bind_again(&mut rows, &*membership.protection)?;
    let records = rows.into_iter().map(|(key, value)| Record { key, value, guards: Vec::new() }).collect();
    let guards = membership.attestor.as_ref().map(|key| membership.protection.rows(&key.public())).transpose();
    let setup = Setup {
        network: membership.network,
        scheme: membership.scheme.clone(),
        signer: membership.signer(),
        own: membership.chains().find(|chain| *chain == life.own),
        peer: membership.peer.clone(),
        secret: membership.secret(),
        params: membership.genesis.consensus.params.clone(),
        records,
        guards: guards.map_err(|error| corrupt("slashing protection", error.to_string()))?.unwrap_or_default(),
        confirmed,
        decided: 0,
    };
    (membership.engine)(setup).map_err(|reason| corrupt("record of the engine", reason))
}

/// A chain's tip, the frames above the last one whose confirmation is stored, and the window below.
fn frames(store: &dyn Store, chain: Chain) -> Result<RecoveredChain, Error> {
    let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
    let certified = schema::CERTIFIED.get(store, &(chain.scheduler, chain.tenure))?;
    let mut found = RecoveredChain { tip: ChainTip::opened(chain), window: Vec::new(), unconfirmed: Vec::new(), certified };
    let mut end = u64::MAX;
    'pages: loop {
        let page = schema::FRAMES.range(store, &key(0), &key(end), Direction::Backward, 64)?;
        let full = page.len() == 64;
        for (at, row) in page {
            let corrupt =
                |reason: String| Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {}", at.sequence), reason };
            let frame = Frame::decode(&row.frame).map_err(|error| corrupt(error.to_string()))?;
            if found.tip.next_sequence == 0 {
                found.tip = ChainTip::decode(&row.tip).map_err(|error| corrupt(error.to_string()))?;
                if found.tip.parent != frame.header.id() {
                    return Err(corrupt("the tip beside it is that of another frame".into()));
                }
            }
            end = at.sequence;
            let one = Unconfirmed { frame, signature: row.signature, held: row.held, tip: row.tip, from: None };
            if row.proof.is_none() && found.window.is_empty() {
                found.unconfirmed.push(one);
                continue;
            }
            found.window.push(one);
            if found.window.len() as u64 >= WINDOW {
                break 'pages;
            }
        }
        if !full {
            break;
        }
    }
    found.unconfirmed.reverse();
    found.window.reverse();
    Ok(found)
}

/// Processes whose confirmed slots are not all evaluated, or that stand in an unconfirmed frame.
fn owing<'a>(store: &dyn Store, unconfirmed: impl Iterator<Item = &'a Unconfirmed>) -> Result<Vec<(Id, ProcessFacts)>, Error> {
    let mut ids: Vec<Id> = unconfirmed.flat_map(|one| one.frame.entries.iter().map(|entry| entry.process)).collect();
    let mut from = Vec::new();
    loop {
        let page = schema::OWING.scan(store, &from, &[], Direction::Forward, RECOVER_PAGE)?;
        ids.extend(page.iter().map(|(process, _)| *process));
        match page.last() {
            Some((last, _)) if page.len() == RECOVER_PAGE => from = [&last.0[..], &[0]].concat(),
            _ => break,
        }
    }
    ids.sort_unstable();
    ids.dedup();
    let known = ids.into_iter().map(|id| Ok(facts::of_process(store, id)?.map(|facts| (id, facts))));
    known.filter_map(Result::transpose).collect()
}

/// Processes with outbox rows: one seek each.
fn outbox(store: &dyn Store) -> Result<Vec<Id>, Error> {
    let (mut found, mut from) = (Vec::new(), Vec::new());
    while let Some((key, _)) = schema::OUTBOX.scan(store, &from, &[], Direction::Forward, 1)?.into_iter().next() {
        found.push(key.process);
        from = ao_storage::typed::after_prefix(&key.process.0);
        if from.is_empty() {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ao_storage::schema::{EvaluationHead, Head, ProcessRow};
    use ao_storage::{Durability, Entry, MemoryStore, Table, WriteBatch};
    use ao_types::{Address, Slot};
    use bytes::Bytes;

    use super::*;

    /// Counts look-ups and rows read.
    struct Counting(MemoryStore, AtomicUsize);

    impl Store for Counting {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, Error> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.get(table, key)
        }
        fn scan(&self, table: Table, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Entry>, Error> {
            let found = self.0.scan(table, from, to, direction, limit)?;
            self.1.fetch_add(1 + found.len(), Ordering::Relaxed);
            Ok(found)
        }
        fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), Error> {
            self.0.write(batch, durability)
        }
        fn sizes(&self) -> Result<Vec<(Table, u64)>, Error> {
            self.0.sizes()
        }
    }

    #[test]
    fn a_start_looks_at_those_that_owe_and_at_no_others() {
        let store = Counting(MemoryStore::new(), AtomicUsize::new(0));
        let mut rows = WriteBatch::default();
        let id = |n: u16| {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&n.to_be_bytes());
            Id(id)
        };
        for n in 0..2_000 {
            let (process, owes) = (id(n), n % 500 == 7);
            let row = ProcessRow {
                owner: Address::Arweave(id(1)),
                module: id(2),
                scheduler: String::new(),
                parent: None,
                timestamp_ms: 1,
                block_height: 1,
                has_cron: false,
            };
            schema::PROCESSES.put(&mut rows, &process, &row);
            let head = Head { schedule_epoch: 0, slot: Slot(3), assignment: id(3), hash_chain: [0; 32], timestamp_ms: 1, block_height: 1 };
            schema::HEADS.put(&mut rows, &process, &head);
            schema::CONFIRMED.put(&mut rows, &process, &Slot(3));
            let slot = Slot(if owes { 1 } else { 3 });
            let head = EvaluationHead { slot, cron: 0, ticked_ms: 1, ticked_height: 1, halted: None };
            schema::EVALUATION_HEADS.put(&mut rows, &process, &head);
            if owes {
                schema::OWING.put(&mut rows, &process, &Slot(2));
            }
        }
        store.write(rows, Durability::Synced).unwrap();
        let chain = Chain { scheduler: Address::Arweave(id(9)), tenure: 0 };
        let recovered = read(&store, &Life { own: chain, membership: None }, 0, false).unwrap();
        assert_eq!(recovered.owing.iter().map(|(process, _)| *process).collect::<Vec<_>>(), [7, 507, 1007, 1507].map(id));
        let looks = store.1.load(Ordering::Relaxed);
        assert!(looks < 40, "{looks} look-ups for four of two thousand processes");
    }
}
