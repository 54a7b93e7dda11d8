//! One way to begin, at start and after a write that failed: from what the store holds.

use ao_consensus::Timestamp;

use super::batch::{Batches, Visible};
use super::effect::{Effect, Reply};
use super::input::{Batch, Origin, Recovered};
use super::monitor::Monitors;
use super::outbox::Outbox;
use super::process::Process;
use super::recent::Recent;
use super::{Core, Mode, Room};
use crate::error::{Code, Rejection};

impl Core {
    /// Begins with what the store holds, and goes on with what is owed: confirmations, evaluations, deliveries.
    pub(super) fn recover(&mut self, now: Timestamp, recovered: Recovered, out: &mut Vec<Effect>) {
        let Recovered { next_sequence, chain, unconfirmed, owing, outbox, monitors, low, .. } = recovered;
        let confirmed = unconfirmed.first().map_or(chain.next_sequence, |first| first.frame.header.sequence);
        self.engine = (self.fixed.engine)(chain.chain, confirmed);
        (self.chain, self.next_sequence, self.mode) = (chain, next_sequence, Mode::Running);
        self.room = if low { self.room.max(Room::Reserve) } else { self.room };
        self.outbox = Outbox::of(outbox);
        self.monitors = Monitors::from_rows(monitors, now);
        let owing: Vec<_> = owing.into_iter().map(|(id, facts)| (id, Process::from_facts(facts))).collect();
        let ids: Vec<_> = owing.iter().map(|(id, _)| *id).collect();
        self.processes.extend(owing);
        for frame in unconfirmed {
            self.give_frame(now, frame, out);
        }
        for id in ids {
            self.advance(now, id, out);
        }
        self.pump_outbox(now, out);
    }

    /// Ends this life of the core: whoever waits for something that is not in the store gets an error, and may ask again.
    pub(super) fn on_write_failed(&mut self, reason: &str, disk_full: bool, out: &mut Vec<Effect>) {
        let settled: Batch = self.batches.number();
        self.term += 1;
        self.mode = Mode::Recovering;
        self.room = if disk_full { Room::Full } else { self.room };
        let refusal = if disk_full {
            Rejection::retry(Code::ReadOnly, "the disk is full: this node only reads until there is room", 30)
        } else {
            Rejection::retry(Code::Unavailable, format!("the write failed ({reason}); nothing of it counts, try again"), 2)
        };
        let batches = std::mem::replace(&mut self.batches, Batches::after(settled));
        for seen in batches.abandon() {
            if let Visible::Effect(Effect::Reply(request, _)) = seen {
                out.push(Effect::Reply(request, Err(refusal.clone())));
            }
        }
        for process in std::mem::take(&mut self.processes).into_values() {
            let waiting = process.signing.into_iter().chain(process.queue).filter_map(|submission| match submission.origin {
                Origin::Request(request) => Some(request),
                Origin::Outbox { .. } => None,
            });
            for request in waiting.chain(process.cron.requests) {
                out.push(Effect::Reply(request, Err::<Reply, _>(refusal.clone())));
            }
        }
        self.recent = Recent::since(settled);
        self.resting.clear();
        self.unconfirmed.clear();
        self.retries.clear();
        self.outbox = Outbox::default();
        out.push(Effect::Recover { term: self.term, failed: settled });
    }
}
