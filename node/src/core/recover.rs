//! One way to begin, at start and after a write that failed: from what the store holds.

use ao_consensus::{Chain, Origin, Timestamp};

use super::batch::{Batches, Visible};
use super::effect::{Effect, Reply};
use super::faults::Faults;
use super::input::{Batch, Origin as By, Recovered, Submission};
use super::monitor::Monitors;
use super::outbox::Outbox;
use super::process::Process;
use super::recent::Recent;
use super::{Core, Mode, Room};
use crate::error::{Code, Rejection};
use crate::network::seam::Order;

impl Core {
    /// Begins with what the store holds, and goes on with what is owed: confirmations, evaluations, deliveries.
    pub(super) fn recover(&mut self, now: Timestamp, recovered: Recovered, out: &mut Vec<Effect>) {
        let Recovered { next_sequence, engine, chain, others, owing, outbox, monitors, charges, low, .. } = recovered;
        self.faults = Faults::recovered(charges);
        self.engine = engine;
        self.own = self.own.recovered(&chain);
        (self.chain, self.next_sequence, self.mode) = (chain.tip.clone(), next_sequence, Mode::Running);
        self.room = if low { self.room.max(Room::Reserve) } else { self.room };
        self.outbox = Outbox::of(outbox);
        self.monitors = Monitors::from_rows(monitors, now);
        let owing: Vec<_> = owing.into_iter().map(|(id, facts)| (id, Process::from_facts(facts))).collect();
        let ids: Vec<_> = owing.iter().map(|(id, _)| *id).collect();
        self.processes.extend(owing);
        self.certified = std::iter::once(&chain).chain(&others).filter_map(|one| Some((one.tip.chain, one.certified?))).collect();
        self.follow(others.clone());
        self.turned_back(out);
        for evidence in std::mem::take(&mut self.unwritten) {
            self.on_evidence(evidence, out);
        }
        self.begin_engine(now, out);
        for chain in std::iter::once(chain).chain(others) {
            for known in chain.window {
                self.engine_input(now, known.given(), out);
            }
            for frame in chain.unconfirmed {
                self.give_frame(now, frame, out);
            }
        }
        for id in ids {
            self.advance(now, id, out);
        }
        self.pump_outbox(now, out);
    }

    /// What the engine hears first (`ao_consensus`, rule 5): committees, the control plane, the tip.
    fn begin_engine(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.origin = Origin::default();
        let Some(member) = self.fixed.member.clone() else { return };
        self.origin.apply(&member.origin);
        self.engine_input(now, ao_consensus::Input::Committee(member.committee), out);
        self.engine_input(now, ao_consensus::Input::Origin(Box::new(member.origin)), out);
        let tip = ao_consensus::Tip { height: self.tip.height, since: now };
        self.engine_input(now, ao_consensus::Input::Tip(tip), out);
    }

    /// Makes the engine anew, when nobody waits for anything, or when that does not come about in time.
    pub(super) fn renew_if_quiet(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(by) = self.renewal.filter(|_| self.mode == Mode::Running) else { return };
        if self.is_quiet() || by <= now {
            self.renewal = None;
            let refusal = Rejection::retry(Code::Unavailable, "the engine begins anew; try again in a moment", 1);
            self.begin_anew(&refusal, None, out);
        }
    }

    /// No write is on its way and nobody's request is.
    fn is_quiet(&self) -> bool {
        let waits = |process: &Process| !(process.signing.is_empty() && process.queue.is_empty() && process.cron.requests.is_empty());
        self.batches.at_rest()
            && self.own.is_empty()
            && self.forwards.is_quiet()
            && self.seeks.is_empty()
            && !self.processes.values().any(waits)
    }

    /// Nothing of a write counts: this life of the core ends.
    pub(super) fn on_write_failed(&mut self, reason: &str, disk_full: bool, out: &mut Vec<Effect>) {
        self.room = if disk_full { Room::Full } else { self.room };
        let refusal = if disk_full {
            Rejection::retry(Code::ReadOnly, "the disk is full: this node only reads until there is room", 30)
        } else {
            Rejection::retry(Code::Unavailable, format!("{reason}; nothing of this counts, try again"), 2)
        };
        self.begin_anew(&refusal, None, out);
    }

    /// Ends this life of the core: whoever waits for something that is not in the store gets an error, and may ask again. `rewind`: frames
    /// that are taken out of the store before the next life reads it.
    pub(super) fn begin_anew(&mut self, refusal: &Rejection, rewind: Option<(Chain, u64)>, out: &mut Vec<Effect>) {
        let settled: Batch = self.batches.number();
        self.term += 1;
        self.mode = Mode::Recovering;
        let batches = std::mem::replace(&mut self.batches, Batches::after(settled));
        for seen in batches.abandon() {
            match seen {
                Visible::Effect(Effect::Reply(request, _)) => out.push(Effect::Reply(request, Err(refusal.clone()))),
                // A fault that was shown is not found a second time.
                Visible::Effect(Effect::Order(order)) => {
                    if let Order::Evidence(evidence) = *order {
                        self.unwritten.push(evidence);
                    }
                }
                _ => {}
            }
        }
        let asker = |submission: Submission| match submission.origin {
            By::Request(request) => Some(request),
            By::Outbox { .. } | By::Frame => None,
        };
        for request in self.own.abandon().chain(self.forwards.abandon()).chain(self.seeks.abandon()).filter_map(asker) {
            out.push(Effect::Reply(request, Err(refusal.clone())));
        }
        for process in std::mem::take(&mut self.processes).into_values() {
            Self::refuse_begin(process.begin, refusal, out);
            let waiting = process.signing.into_iter().chain(process.queue).filter_map(asker);
            for request in waiting.chain(process.cron.requests) {
                out.push(Effect::Reply(request, Err::<Reply, _>(refusal.clone())));
            }
        }
        self.recent = Recent::since(settled);
        self.resting.clear();
        self.unconfirmed.clear();
        self.certified.clear();
        self.faults = Faults::default();
        self.others.clear();
        self.retries.clear();
        self.outbox = Outbox::default();
        out.push(Effect::Recover { term: self.term, failed: settled, rewind });
    }
}
