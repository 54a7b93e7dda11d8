//! One node does one thing, and what came of it is checked and carried.

use super::{Asked, Asker, Cluster, Event};
use crate::handle::Event as Told;
use crate::sim::byzantine::Heard;
use crate::sim::check::{Violation, blame};
use crate::sim::tap::Said;

/// Calls of one core within a millisecond of its clock: more is a deadline that does not move on.
const TICKS_MAX: u32 = 2_000;

impl Cluster {
    /// This life of this node, if it goes on now; when it goes on, if it is stopped.
    fn awake(&mut self, asker: Asker) -> Result<usize, Option<u64>> {
        let host = self.hosts.get(asker.host).filter(|host| host.up && host.life == asker.life).ok_or(None)?;
        if host.paused_until > self.now { Err(Some(host.paused_until)) } else { Ok(asker.host) }
    }

    pub(super) fn on_turn(&mut self, asker: Asker) -> Result<(), Violation> {
        let n = match self.awake(asker) {
            Ok(n) => n,
            Err(later) => {
                later.into_iter().for_each(|at| self.at(at, Event::Turn(asker)));
                return Ok(());
            }
        };
        let host = &mut self.hosts[n];
        host.turn_at = None;
        let clock = host.clock(self.now);
        host.world.at(clock);
        host.world.turn();
        self.trace.add(self.now, n, 20, self.hosts[n].world.jobs() as u64);
        self.stepped(n)
    }

    pub(super) fn on_tick(&mut self, asker: Asker) -> Result<(), Violation> {
        let n = match self.awake(asker) {
            Ok(n) => n,
            Err(later) => {
                later.into_iter().for_each(|at| self.at(at, Event::Tick(asker)));
                return Ok(());
            }
        };
        let host = &mut self.hosts[n];
        if host.tick_at != Some(self.now) && host.paused_until != self.now {
            return Ok(());
        }
        host.tick_at = None;
        let clock = host.clock(self.now);
        host.world.at(clock);
        let now = host.world.now();
        if host.world.deadline().is_some_and(|at| at <= now) {
            host.ticks = if host.ticks.0 == self.now { (self.now, host.ticks.1 + 1) } else { (self.now, 1) };
            Violation::unless(host.ticks.1 < TICKS_MAX, "contract 1", || format!("node {n} asks again and again for the same deadline"))?;
            host.world.tick();
            self.trace.add(self.now, n, 21, 0);
        }
        self.stepped(n)
    }

    pub(super) fn on_manner(&mut self, n: usize) -> Result<(), Violation> {
        if self.hosts[n].manner_at == Some(self.now) {
            self.hosts[n].manner_at = None;
            self.hears(n, Heard::Time)?;
        }
        Ok(())
    }

    /// What stands between a node and the net hears something.
    pub(super) fn hears(&mut self, n: usize, what: Heard) -> Result<(), Violation> {
        let now = self.hosts[n].clock(self.now);
        let Some(manner) = self.hosts[n].manner.as_mut() else { return Ok(()) };
        for one in manner.hears(now, what) {
            self.after(one.after_ms, Event::Leave(n, Box::new(one.order)));
        }
        self.plan_manner(n);
        Ok(())
    }

    /// When what stands between a node and the net wants to be asked.
    fn plan_manner(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        let Some(deadline) = host.manner.as_ref().and_then(|manner| manner.deadline()) else { return };
        let at = host.world_time(deadline).max(self.now + 1);
        if host.manner_at.is_none_or(|planned| at < planned || planned <= self.now) {
            host.manner_at = Some(at);
            self.at(at, Event::Manner(n));
        }
    }

    /// A node did something: everything that it says and wants, then when it goes on.
    pub(super) fn stepped(&mut self, n: usize) -> Result<(), Violation> {
        if let Some(broken) = self.hosts[n].world.broken.pop()
            && self.hosts[n].is_honest()
        {
            return Err(broken.at(n));
        }
        if let Err(broken) = self.hear(n) {
            self.excuse(broken.at(n))?;
        }
        for order in std::mem::take(&mut self.hosts[n].world.orders) {
            match self.hosts[n].manner.as_mut() {
                Some(manner) => {
                    for one in manner.leaves(order) {
                        self.after(one.after_ms, Event::Leave(n, Box::new(one.order)));
                    }
                }
                None => self.leave(n, order)?,
            }
        }
        for parcel in self.hosts[n].hand_on() {
            self.spread(n, &parcel);
        }
        self.answers(n)?;
        if self.hosts[n].world.store.crashed() {
            self.hosts[n].up = false;
        }
        self.plan_next(n);
        Ok(())
    }

    /// What the engine said, and what the node tells its readers.
    fn hear(&mut self, n: usize) -> Result<(), Violation> {
        let said = std::mem::take(&mut *self.hosts[n].heard.lock());
        let told = std::mem::take(&mut self.hosts[n].world.told);
        if !self.hosts[n].is_honest() {
            return Ok(());
        }
        for one in said {
            match one {
                Said::Began => self.hosts[n].next.clear(),
                Said::Certified(certified) => {
                    self.ledger.on_certified(&certified, &self.common.rosters)?;
                    if self.hosts[n].schedules(&certified.chain) {
                        self.timing.on_certified(certified.chain, certified.sequence, self.now);
                    }
                }
                Said::Confirmed(confirmed) => {
                    self.ledger.on_confirmed(&mut self.hosts[n].next, &confirmed, &self.common.rosters)?;
                    if self.hosts[n].schedules(&confirmed.chain) {
                        self.timing.on_confirmed(confirmed.chain, confirmed.sequence, self.now);
                    }
                }
                Said::Voided(chain, from) => {
                    return Err(Violation::new("S3", format!("{chain} was voided from {from} on, and nobody closed it")));
                }
                Said::Evidence(evidence) => {
                    let honest = super::Honest { bad_keys: &self.common.bad_keys, bad_schedulers: &self.common.bad_schedulers };
                    self.blame.on_evidence(&evidence, self.now, &self.common.rosters, &honest)?;
                }
                Said::Blamed(peer, offence) => blame::on_blamed(&peer, self.is_honest_peer(&peer), offence, "by its engine")?,
            }
        }
        for event in told {
            if let Told::Confirmed { process, slot } = event {
                let store = self.hosts[n].world.store.clone();
                if !store.crashed() {
                    self.ledger.on_told(&*store, process, slot)?;
                }
            }
        }
        Ok(())
    }

    /// Answers that somebody waits for.
    fn answers(&mut self, n: usize) -> Result<(), Violation> {
        let asker = self.hosts[n].asker(n);
        for (request, reply) in std::mem::take(&mut self.hosts[n].world.replies) {
            match self.asked.remove(&(asker, request)) {
                Some(Asked::Client(wish, attempt)) => self.on_reply(n, wish, attempt, reply)?,
                Some(Asked::Node(other, forward)) => {
                    self.post(n, other.host, super::Parcel::Forwarded { asker: other, forward, answer: reply });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// When a node goes on.
    fn plan_next(&mut self, n: usize) {
        let pace = self.dice.within(self.plan.job_ms);
        let host = &mut self.hosts[n];
        if !host.up {
            return;
        }
        let asker = host.asker(n);
        if host.turn_at.is_none()
            && let Some(ready) = host.world.next_job()
        {
            let at = host.world_time(ready).max(self.now) + pace;
            host.turn_at = Some(at);
            self.at(at, Event::Turn(asker));
        }
        let host = &mut self.hosts[n];
        if let Some(deadline) = host.world.deadline() {
            let at = host.world_time(deadline).max(self.now);
            if host.tick_at.is_none_or(|planned| at < planned || planned < self.now) {
                host.tick_at = Some(at);
                self.at(at, Event::Tick(asker));
            }
        }
        self.plan_manner(n);
    }

    /// A client's wish was answered.
    fn on_reply(
        &mut self,
        n: usize,
        wish: usize,
        attempt: u64,
        reply: Result<crate::handle::Accepted, crate::Rejection>,
    ) -> Result<(), Violation> {
        let now = self.now;
        let Some(known) = self.wishes.get_mut(wish).filter(|known| known.attempt == attempt && !known.done) else { return Ok(()) };
        match reply {
            Ok(accepted) => {
                let right = accepted.id == known.item.id() && accepted.process == Some(known.target);
                if !right && !self.hosts[n].is_honest() {
                    // Whoever says old things again answers anything: the client asks elsewhere when its patience is over.
                    return Ok(());
                }
                Violation::unless(right, "S6", || format!("node {n} answers for {} with {accepted:?}", known.item.id()))?;
                (known.done, known.slot) = (true, accepted.slot);
            }
            // Of somebody else's item, if a liar says it.
            Err(refusal) if refusal.code == crate::Code::Duplicate && self.hosts[n].is_honest() => known.done = true,
            Err(_) => {
                known.attempt += 1;
                let attempt = known.attempt;
                self.after(super::clients::AGAIN_MS, Event::Send(wish, attempt));
            }
        }
        self.trace.add(now, n, 22, wish as u64);
        Ok(())
    }
}
