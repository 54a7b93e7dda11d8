//! Reads from the store what the core must know to begin.

use ao_consensus::{Chain, ChainTip, Frame};
use ao_storage::schema::{self, FrameKey};
use ao_storage::{Direction, Error, Store};
use ao_types::{Canonical, Id};

use super::facts;
use crate::core::Unconfirmed;
use crate::core::input::{ProcessFacts, Recovered, Term};
use crate::limits::RECOVER_PAGE;

/// Everything that is owed, and where numbers go on. Costs a few look-ups for each process that owes something; those at rest cost
/// nothing, however many there are.
pub fn read(store: &dyn Store, chain: Chain, term: Term, low: bool) -> Result<Recovered, Error> {
    let last = schema::SEQUENCE.all(store, Direction::Backward, 1)?;
    let (tip, unconfirmed) = frames(store, chain)?;
    let monitors = schema::MONITORS.all(store, Direction::Forward, crate::limits::MONITORS_MAX)?;
    Ok(Recovered {
        term,
        next_sequence: last.first().map_or(0, |(sequence, _)| sequence + 1),
        chain: tip,
        owing: owing(store, &unconfirmed)?,
        unconfirmed,
        outbox: outbox(store)?,
        monitors,
        low,
    })
}

/// The chain's tip, and the frames above the last one whose confirmation is stored.
fn frames(store: &dyn Store, chain: Chain) -> Result<(ChainTip, Vec<Unconfirmed>), Error> {
    let key = |sequence| FrameKey { scheduler: chain.scheduler, tenure: chain.tenure, sequence };
    let (mut tip, mut unconfirmed, mut end) = (ChainTip::opened(chain), Vec::new(), u64::MAX);
    loop {
        let page = schema::FRAMES.range(store, &key(0), &key(end), Direction::Backward, 64)?;
        let full = page.len() == 64;
        for (at, row) in page {
            let corrupt =
                |reason: String| Error::Corrupt { what: "frame".into(), place: format!("table frames, sequence {}", at.sequence), reason };
            let frame = Frame::decode(&row.frame).map_err(|error| corrupt(error.to_string()))?;
            if tip.next_sequence == 0 {
                tip = ChainTip::decode(&row.tip).map_err(|error| corrupt(error.to_string()))?;
                if tip.parent != frame.header.id() {
                    return Err(corrupt("the tip beside it is that of another frame".into()));
                }
            }
            if row.proof.is_some() {
                unconfirmed.reverse();
                return Ok((tip, unconfirmed));
            }
            end = at.sequence;
            unconfirmed.push(Unconfirmed { frame, signature: row.signature, held: row.held, tip: row.tip });
        }
        if !full {
            unconfirmed.reverse();
            return Ok((tip, unconfirmed));
        }
    }
}

/// Processes whose confirmed slots are not all evaluated, or that stand in an unconfirmed frame.
fn owing(store: &dyn Store, unconfirmed: &[Unconfirmed]) -> Result<Vec<(Id, ProcessFacts)>, Error> {
    let mut ids: Vec<Id> = unconfirmed.iter().flat_map(|one| one.frame.entries.iter().map(|entry| entry.process)).collect();
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
        let recovered = read(&store, chain, 0, false).unwrap();
        assert_eq!(recovered.owing.iter().map(|(process, _)| *process).collect::<Vec<_>>(), [7, 507, 1007, 1507].map(id));
        let looks = store.1.load(Ordering::Relaxed);
        assert!(looks < 40, "{looks} look-ups for four of two thousand processes");
    }
}
