//! What happens to nodes, and its end.

use ao_consensus::Frame;
use ao_storage::{Direction, schema};

use super::{Cluster, Fault};
use crate::sim::check::{Violation, states};

impl Cluster {
    pub(super) fn on_begin(&mut self, n: usize) -> Result<(), Violation> {
        let Some(fault) = self.plan.faults.get(n).cloned().filter(|_| !self.calm) else { return Ok(()) };
        self.trace.add(self.now, n, 30, 0);
        tracing::info!(at = self.elapsed_ms(), ?fault, "begins");
        match fault {
            Fault::Crash { node, torn: true, .. } => self.each(node, |host, _| host.world.store.crash_at_next_write()),
            Fault::Crash { node, .. } => self.each(node, |host, _| {
                host.world.store.crash();
                host.up = false;
            }),
            Fault::Cut { nodes, one_way, .. } => self.net.cut(n, nodes, one_way),
            Fault::Pause { node, for_ms, .. } => self.each(node, |host, now| host.paused_until = now + for_ms),
            Fault::Jump { node, by_ms, .. } => self.each(node, |host, _| host.jump_ms = by_ms),
            Fault::SlowDisk { node, by_ms, .. } => self.each(node, |host, _| host.slow(by_ms)),
            Fault::FullDisk { node, .. } => self.each(node, |host, _| host.world.store.fill()),
        }
        Ok(())
    }

    pub(super) fn on_end(&mut self, n: usize) -> Result<(), Violation> {
        let Some(fault) = self.plan.faults.get(n).cloned() else { return Ok(()) };
        self.trace.add(self.now, n, 31, 0);
        tracing::info!(at = self.elapsed_ms(), ?fault, "ends");
        match fault {
            Fault::Crash { node, .. } => self.start_again(node)?,
            Fault::Cut { .. } => self.net.mend(n),
            Fault::Pause { node, .. } => self.each(node, |host, now| host.paused_until = host.paused_until.min(now)),
            Fault::Jump { node, .. } => self.each(node, |host, _| host.jump_ms = 0),
            Fault::SlowDisk { node, .. } => self.each(node, |host, _| host.slow(0)),
            Fault::FullDisk { node, .. } => self.each(node, |host, _| host.world.free_space()),
        }
        // Deadlines moved with clocks.
        let moved: Vec<usize> = fault.nodes().iter().flat_map(|member| self.hosts_of(*member).collect::<Vec<_>>()).collect();
        for host in moved {
            self.hosts[host].tick_at = None;
            self.stepped(host)?;
        }
        Ok(())
    }

    /// Somebody copies the disk of a member's first node to its second: from there on the two sign what excludes one another.
    pub(super) fn on_copy(&mut self, member: usize) -> Result<(), Violation> {
        let twins: Vec<usize> = self.hosts_of(member).filter(|n| self.hosts[*n].up && !self.hosts[*n].world.store.crashed()).collect();
        let &[first, second] = &twins[..] else { return Ok(()) };
        self.trace.add(self.now, second, 32, 0);
        tracing::info!(at = self.elapsed_ms(), member, "the disk is copied");
        let images = self.hosts[first].world.store.survivors();
        let image = self.dice.below(images.len());
        let contents = images.into_iter().nth(image).unwrap_or_default();
        let (plan, common, now) = (&self.plan, &self.common, self.now);
        self.hosts[second].restart(plan, common, contents, now).map_err(|broken| broken.at(second))?;
        self.stepped(second)
    }

    /// The storm is over: everybody has power, room and a net.
    pub(super) fn on_calm(&mut self) -> Result<(), Violation> {
        self.calm = true;
        tracing::info!(at = self.elapsed_ms(), "the storm is over");
        self.net.calm();
        for member in 0..self.plan.nodes() {
            self.each(member, |host, now| {
                host.paused_until = host.paused_until.min(now);
                host.jump_ms = 0;
                host.slow(0);
                if host.up {
                    host.world.free_space();
                }
            });
            self.start_again(member)?;
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].tick_at = None;
            self.stepped(host)?;
        }
        Ok(())
    }

    /// Frames that survived: the others may hear of them by asking only, and its own must be those that it sent.
    fn look_into(&mut self, n: usize) -> Result<(), Violation> {
        let store = self.hosts[n].world.store.clone();
        for (_, row) in schema::FRAMES.all(&*store, Direction::Forward, usize::MAX)? {
            let frame = Frame::decode(&row.frame).map_err(|error| Violation::new("S6", error.to_string()))?;
            let (id, header) = (frame.header.id(), frame.header);
            self.ledger.seen(id, &header);
            if self.hosts[n].schedules(&header.chain) {
                self.hosts[n].watch.publishes(header.chain, header.sequence, id)?;
            }
        }
        Ok(())
    }

    fn each(&mut self, member: usize, mut change: impl FnMut(&mut super::Host, u64)) {
        let now = self.now;
        self.hosts.iter_mut().filter(|host| host.member == member).for_each(|host| change(host, now));
    }

    /// The power is back at a member's nodes that have none, or lost it in the middle of a write.
    pub(super) fn start_again(&mut self, member: usize) -> Result<(), Violation> {
        let hosts: Vec<usize> = self.hosts_of(member).collect();
        for n in hosts {
            if self.hosts[n].up && !self.hosts[n].world.store.crashed() {
                // The write during which it was to fail did not come.
                self.hosts[n].world.store.mend();
                continue;
            }
            let images = self.hosts[n].world.store.survivors();
            let image = self.dice.below(images.len());
            let contents = images.into_iter().nth(image).unwrap_or_default();
            let (plan, common, now) = (&self.plan, &self.common, self.now);
            self.hosts[n].restart(plan, common, contents, now).map_err(|broken| broken.at(n))?;
            if self.hosts[n].is_honest() {
                self.look_into(n).map_err(|broken| broken.at(n))?;
                states::nothing_is_lost(&*self.hosts[n].world.store, &self.ledger).map_err(|broken| broken.at(n))?;
            }
            self.stepped(n)?;
        }
        Ok(())
    }
}
