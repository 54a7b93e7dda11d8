//! Cron messages evaluated up to now: because somebody asks, or because a monitor pushes their results.

use std::collections::{BTreeMap, BTreeSet};

use ao_consensus::Timestamp;
use ao_storage::schema::{self, MonitorRow};
use ao_types::{Id, Slot};

use super::Core;
use super::effect::{Again, Ask, Effect, Reply};
use super::input::{Facts, RequestId};
use super::process::Process;
use crate::error::{Code, Rejection};
use crate::limits::{MONITOR_INTERVAL_MS, MONITORS_MAX};

/// Monitored processes and when to look at each next.
#[derive(Debug, Default)]
pub struct Monitors {
    next: BTreeMap<Id, Timestamp>,
    by_time: BTreeSet<(Timestamp, Id)>,
}

impl Monitors {
    /// These processes, each looked at first at `now`.
    pub fn from_rows(rows: Vec<(Id, MonitorRow)>, now: Timestamp) -> Self {
        let mut monitors = Self::default();
        rows.into_iter().for_each(|(process, _)| monitors.insert(process, now));
        monitors
    }

    /// Whether cron results of this process are pushed.
    pub fn has(&self, process: &Id) -> bool {
        self.next.contains_key(process)
    }

    /// When the next process is to be looked at.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Processes to look at now; each comes again an interval later.
    pub fn due(&mut self, now: Timestamp) -> Vec<Id> {
        let mut due = Vec::new();
        while let Some((at, process)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, process));
            due.push(process);
        }
        due.iter().for_each(|process| self.insert(*process, now.plus_ms(MONITOR_INTERVAL_MS)));
        due
    }

    fn insert(&mut self, process: Id, at: Timestamp) {
        self.remove(&process);
        self.next.insert(process, at);
        self.by_time.insert((at, process));
    }

    fn remove(&mut self, process: &Id) {
        if let Some(at) = self.next.remove(process) {
            self.by_time.remove(&(at, *process));
        }
    }
}

impl Core {
    pub(super) fn on_run_cron(&mut self, now: Timestamp, request: Option<RequestId>, id: Id, facts: Facts, out: &mut Vec<Effect>) {
        let own = self.chain.chain.scheduler;
        match self.process_for(id, facts) {
            Found::Old => out.push(Effect::LookUpProcess(Again { request, process: id, ask: Ask::RunCron })),
            Found::Refused(refusal) => out.extend(request.map(|request| Effect::Reply(request, Err(refusal)))),
            Found::Known(process) => {
                // Of another scheduler's process only the log says how far its time has come.
                if process.has_cron && process.host.is_none_or(|host| host == own) {
                    process.cron.wanted = true;
                    process.cron.requests.extend(request);
                } else {
                    out.extend(request.map(|request| Effect::Reply(request, Ok(Reply::Done))));
                }
                self.advance(now, id, out);
            }
        }
    }

    /// The monitor's look at a process. What the store knows of one that is not in memory is looked up first.
    pub(super) fn wish_cron(&mut self, now: Timestamp, id: Id, out: &mut Vec<Effect>) {
        match self.processes.get_mut(&id) {
            Some(process) if process.has_cron => {
                process.cron.wanted = true;
                self.advance(now, id, out);
            }
            Some(_) => {}
            None => out.push(Effect::LookUpProcess(Again { request: None, process: id, ask: Ask::RunCron })),
        }
    }

    /// Everybody who waits for a process's crons gets this answer.
    pub(super) fn answer_cron(&mut self, id: Id, reply: &Result<Reply, Rejection>, out: &mut Vec<Effect>) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let wish = std::mem::take(&mut process.cron);
        out.extend(wish.requests.into_iter().map(|request| Effect::Reply(request, reply.clone())));
    }

    pub(super) fn on_monitor(
        &mut self,
        now: Timestamp,
        request: RequestId,
        id: Id,
        (item, on): (Id, bool),
        facts: Facts,
        out: &mut Vec<Effect>,
    ) {
        let (has, full) = (self.monitors.has(&id), self.monitors.next.len() >= MONITORS_MAX);
        let own = self.chain.chain.scheduler;
        let refusal = match self.process_for(id, facts) {
            Found::Old => {
                return out.push(Effect::LookUpProcess(Again { request: Some(request), process: id, ask: Ask::Monitor { item, on } }));
            }
            Found::Refused(refusal) => Some(refusal),
            Found::Known(process) if process.host.is_some_and(|host| host != own) => {
                let text = "another node schedules this process: only that one runs and pushes its cron messages";
                Some(Rejection::new(Code::NotOurs, text))
            }
            Found::Known(_) if on && has => Some(Rejection::new(Code::MonitorState, "Process already being monitored")),
            Found::Known(_) if !on && !has => Some(Rejection::new(Code::MonitorState, "Process monitor not found")),
            Found::Known(_) if on && full => Some(Rejection::retry(Code::Busy, format!("{MONITORS_MAX} processes are monitored"), 60)),
            Found::Known(_) => None,
        };
        if let Some(refusal) = refusal {
            out.push(Effect::Reply(request, Err(refusal)));
            return self.advance(now, id, out);
        }
        let at = self.processes.get(&id).and_then(|process| process.evaluated).unwrap_or((Slot(0), 0));
        let batch = self.batches.synced();
        if on {
            schema::MONITORS.put(&mut batch.rows, &id, &MonitorRow { item, slot: at.0, cron: at.1 });
            self.monitors.insert(id, now.plus_ms(MONITOR_INTERVAL_MS));
        } else {
            schema::MONITORS.delete(&mut batch.rows, &id);
            self.monitors.remove(&id);
        }
        self.batches.synced().then(Effect::Reply(request, Ok(Reply::Done)));
        self.advance(now, id, out);
    }

    pub(super) fn process_for(&mut self, id: Id, facts: Facts) -> Found<'_> {
        if let Some(refusal) = self.refusal() {
            return Found::Refused(refusal);
        }
        if !self.recent.covers(&facts) {
            return Found::Old;
        }
        if let Some(found) = facts.process {
            let known = self.processes.entry(id).or_insert_with(|| Process::from_facts(found));
            return Found::Known(known);
        }
        match self.processes.get_mut(&id) {
            Some(known) => Found::Known(known),
            None => Found::Refused(Rejection::new(Code::ProcessUnknown, format!("process {id} is not known here"))),
        }
    }
}

/// A process that a request is about.
pub(super) enum Found<'a> {
    Known(&'a mut Process),
    Old,
    Refused(Rejection),
}
