//! Reads from the store what the core must know to begin.

use ao_consensus::{Chain, ChainTip, Frame};
use ao_storage::schema::{self, FrameKey};
use ao_storage::{Direction, Error, Store};
use ao_types::{Canonical, Id};

use super::facts;
use crate::core::Unconfirmed;
use crate::core::input::{ProcessFacts, Recovered, Term};
use crate::limits::RECOVER_PAGE;

/// Everything that is owed, and where numbers go on. Costs one look at each process's two heads.
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
            unconfirmed.push(Unconfirmed { frame, tip: row.tip });
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
        let page = schema::CONFIRMED.scan(store, &from, &[], Direction::Forward, RECOVER_PAGE)?;
        for (process, confirmed) in &page {
            let head = schema::EVALUATION_HEADS.get(store, process)?;
            if head.is_none_or(|head| head.slot < *confirmed && head.halted.is_none()) {
                ids.push(*process);
            }
        }
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
