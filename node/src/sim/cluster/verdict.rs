//! Whether everything is done, and whether all is as it must be at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_storage::{Direction, Store, schema};

use super::{AFTERMATH_MS, BEGIN_MS, Cluster, Event, LOOK_MS};
use crate::sim::check::states::{self, States};
use crate::sim::check::{Violation, live, node};
use crate::sim::world::log_length;

impl Cluster {
    pub(super) fn on_look(&mut self) -> Result<bool, Violation> {
        let over = BEGIN_MS + self.plan.storm_ms;
        if !self.calm {
            self.after(LOOK_MS, Event::Look);
            return Ok(false);
        }
        if !self.plan.is_live() || self.split.is_some() {
            self.after(LOOK_MS, Event::Look);
            return Ok(self.now >= over + AFTERMATH_MS);
        }
        let Some(lacks) = self.unfinished()? else { return Ok(true) };
        Violation::unless(self.now < over + self.plan.patience_ms, "S7", || format!("after {} ms: {lacks}", self.now - BEGIN_MS))?;
        self.after(LOOK_MS, Event::Look);
        Ok(false)
    }

    fn honest_stores(&self) -> impl Iterator<Item = (usize, Arc<dyn Store>)> + '_ {
        let honest = self.hosts.iter().enumerate().filter(|(_, host)| host.is_honest() && host.up);
        honest.map(|(n, host)| (n, host.world.store.clone() as Arc<dyn Store>))
    }

    /// What is still to be done; `None`: nothing.
    pub(super) fn unfinished(&self) -> Result<Option<String>, Violation> {
        let waits = self.wishes.iter().find(|wish| !wish.done && self.plan.serves(wish.process));
        if let Some(wish) = waits {
            return Ok(Some(format!("{} for {} is not acknowledged after {} attempts", wish.item.id(), wish.target, wish.attempt)));
        }
        for (n, store) in self.honest_stores() {
            for wish in self.wishes.iter().take(self.plan.processes).filter(|wish| self.plan.serves(wish.process)) {
                let host = self.plan.host_of(wish.process);
                let Some(scheduler) = self.hosts.iter().find(|one| one.member == host) else { continue };
                let length = log_length(&*scheduler.world.store, &wish.target)?;
                if let Some(lacks) = live::unfinished(&*store, &wish.target, length)? {
                    return Ok(Some(format!("node {n}: {lacks}")));
                }
            }
            if live::owes(&*store)? {
                return Ok(Some(format!("node {n} has something to push")));
            }
        }
        self.behind()
    }

    /// What one honest node confirmed and another has not, whoever scheduled it.
    fn behind(&self) -> Result<Option<String>, Violation> {
        let mut furthest = BTreeMap::new();
        for (n, store) in self.honest_stores() {
            for (process, slot) in schema::CONFIRMED.all(&*store, Direction::Forward, usize::MAX)? {
                let most = furthest.entry(process).or_insert((slot, n));
                *most = (*most).max((slot, n));
            }
        }
        for (n, store) in self.honest_stores() {
            for (process, (slot, by)) in &furthest {
                let here = schema::CONFIRMED.get(&*store, process)?;
                if here.is_none_or(|here| here < *slot) {
                    return Ok(Some(format!("node {n}: {process} is confirmed up to {here:?}, at node {by} up to {slot}")));
                }
            }
        }
        Ok(None)
    }

    /// Everything that must hold at the end.
    pub(super) fn conclude(&mut self) -> Result<(), Violation> {
        if self.split.is_some() {
            return self.blame.enough_are_convicted(&self.common.committee);
        }
        let mut seen = States::default();
        for (n, store) in self.honest_stores().collect::<Vec<_>>() {
            self.conclude_at(&store, &mut seen).map_err(|broken| broken.at(n))?;
            let alarms = &self.hosts[n].world.alarms;
            Violation::unless(alarms.is_empty(), "S4", || format!("node {n}: {alarms:?}"))?;
        }
        Ok(())
    }

    fn conclude_at(&self, store: &Arc<dyn Store>, seen: &mut States) -> Result<(), Violation> {
        states::nothing_is_lost(&**store, &self.ledger)?;
        states::logs_hold(&**store)?;
        seen.agree(&**store)?;
        if self.plan.nodes() > 1 {
            states::proofs_stand(&**store, &self.common.rosters)?;
        }
        for process in node::processes(&**store)? {
            if schema::EVALUATION_HEADS.get(&**store, &process)?.is_some() {
                node::check_results(store, process)?;
                node::check_checkpoints(&**store, process)?;
            }
        }
        if self.plan.is_live() {
            for wish in self.wishes.iter().filter(|wish| self.plan.serves(wish.process)) {
                let there = crate::shell::facts::assigned(&**store, wish.target, wish.item.id())?;
                let right = there.is_some() && wish.slot.is_none_or(|slot| there == Some(slot));
                Violation::unless(right, "S3", || {
                    format!("{} was acknowledged as slot {:?} of {} and is at {there:?}", wish.item.id(), wish.slot, wish.target)
                })?;
            }
        }
        Ok(())
    }
}
