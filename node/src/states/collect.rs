//! From one state to its certificate: which member of the committee is asked when, and what its answer is worth. Without clock or socket.
//!
//! Members are asked a few at a time, those first of whom one expects a whole certificate. Who cannot answer yet is asked again, later each
//! time; who says no for good is left alone for [`VOUCHERS_REFUSED_REST_MS`]. Shares are added up by [`Collector`], which finds bad ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::certificate::Collector;
use ao_consensus::{Rosters, Timestamp};
use ao_types::{BlsKey, Certificate, Statement};

use super::certified;
use crate::limits::{
    VOUCHERS_ASKED_MAX, VOUCHERS_REFUSED_REST_MS, VOUCHERS_REST_MS_MAX as REST_MS_MAX, VOUCHERS_REST_MS_MIN as REST_MS_MIN,
};
use crate::network::message::{Declined, Vouched};

/// What came of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not enough yet.
    Going,
    /// A quorum vouches.
    Certified(Box<Certificate>),
}

/// What members did that honest ones do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A share or certificate that does not hold: it costs the sender's node.
    Forged,
    /// Another state than ours. One of the two is wrong.
    Differs,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    out: bool,
    rests_until: Timestamp,
    pause_ms: u64,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Collect {
    statement: Statement,
    rosters: Arc<Rosters>,
    collector: Collector,
    /// In the order in which they are asked.
    order: Vec<u16>,
    asked: BTreeMap<u16, Asked>,
}

impl Collect {
    /// Nobody asked yet; `first` are asked before the others. `None` if the newest committee is not known.
    pub fn new(rosters: Arc<Rosters>, statement: Statement, first: &[BlsKey]) -> Option<Self> {
        let roster = rosters.get(rosters.epochs().next_back()?)?.clone();
        let committee = roster.committee().clone();
        let ahead: Vec<u16> = first.iter().filter_map(|key| committee.index_of(key)).collect();
        let others = (0..committee.len() as u16).filter(|index| !ahead.contains(index));
        let order = ahead.iter().copied().chain(others).collect();
        let collector = Collector::new(&rosters.network(), rosters.scheme().clone(), roster, statement);
        Some(Self { statement, rosters, collector, order, asked: BTreeMap::new() })
    }

    /// What is collected for.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Whom to ask now, of the members that `reachable` says can be; [`Collect::answered`] must follow for each.
    pub fn poll(&mut self, now: Timestamp, reachable: impl Fn(&BlsKey) -> bool) -> Vec<(u16, BlsKey)> {
        let committee = self.collector.tally().committee().clone();
        let mut open = self.asked.values().filter(|asked| asked.out).count();
        let mut wanted = Vec::new();
        for index in &self.order {
            if open >= VOUCHERS_ASKED_MAX {
                break;
            }
            let Some(member) = committee.member(*index) else { continue };
            let idle = self.asked.get(index).is_none_or(|asked| !asked.out && asked.rests_until <= now);
            if !idle || self.collector.tally().signers().contains(*index) || !reachable(&member.key) {
                continue;
            }
            let fresh = Asked { out: false, rests_until: now, pause_ms: REST_MS_MIN };
            self.asked.entry(*index).or_insert(fresh).out = true;
            wanted.push((*index, member.key));
            open += 1;
        }
        wanted
    }

    /// A member's answer; `None`: there is none, or none that can be read. Says what members did wrong, by their place.
    pub fn answered(&mut self, now: Timestamp, index: u16, answer: Option<Vouched>) -> (Outcome, Vec<(u16, Fault)>) {
        let Some(asked) = self.asked.get_mut(&index).filter(|asked| asked.out) else { return (Outcome::Going, Vec::new()) };
        asked.out = false;
        match answer {
            Some(Vouched::Share(share)) => {
                // A bad share is not taken again, so its sender would be asked for ever: it rests.
                asked.rest(now, VOUCHERS_REFUSED_REST_MS);
                self.collector.add(index, share);
                let collected = self.collector.certificate();
                let bad = collected.bad.into_iter().map(|index| (index, Fault::Forged)).collect();
                (collected.certificate.map_or(Outcome::Going, |found| Outcome::Certified(Box::new(found))), bad)
            }
            Some(Vouched::Certificate(certificate)) => match certified(&self.rosters, &self.statement, &certificate) {
                Ok(()) => (Outcome::Certified(certificate), Vec::new()),
                Err(_) => {
                    asked.rest(now, VOUCHERS_REFUSED_REST_MS);
                    (Outcome::Going, vec![(index, Fault::Forged)])
                }
            },
            Some(Vouched::Declined(why)) if why.may_change() => {
                asked.rest_longer(now);
                (Outcome::Going, Vec::new())
            }
            Some(Vouched::Declined(why)) => {
                asked.rest(now, VOUCHERS_REFUSED_REST_MS);
                (Outcome::Going, if why == Declined::Differs { vec![(index, Fault::Differs)] } else { Vec::new() })
            }
            None => {
                asked.rest_longer(now);
                (Outcome::Going, Vec::new())
            }
        }
    }
}

impl Asked {
    fn rest(&mut self, now: Timestamp, pause_ms: u64) {
        self.rests_until = now.plus_ms(pause_ms);
    }

    fn rest_longer(&mut self, now: Timestamp) {
        self.rest(now, self.pause_ms);
        self.pause_ms = (self.pause_ms * 2).min(REST_MS_MAX);
    }
}
