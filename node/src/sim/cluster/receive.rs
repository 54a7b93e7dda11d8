//! What reaches a node.

use std::sync::Arc;

use ao_consensus::RawHeader;
use ao_storage::schema;
use ao_types::codec::{Canonical as _, Reader};

use super::parcel::Parcel;
use super::{Asked, Cluster, Event, clients};
use crate::network::seam::Arrival;
use crate::sim::byzantine::Heard;
use crate::sim::check::Violation;

impl Cluster {
    pub(super) fn on_deliver(&mut self, n: usize, parcel: Parcel) -> Result<(), Violation> {
        let host = &mut self.hosts[n];
        if !host.up {
            return Ok(());
        }
        if host.paused_until > self.now {
            // It waits in the sockets of a process that is stopped.
            let at = host.paused_until;
            self.at(at, Event::Deliver(n, Box::new(parcel)));
            return Ok(());
        }
        let clock = host.clock(self.now);
        host.world.at(clock);
        let (kind, about) = parcel.mark();
        self.trace.add(self.now, n, 10 + kind, about);
        if matches!(parcel, Parcel::Frame { .. } | Parcel::Engine { .. } | Parcel::Evidence { .. }) {
            self.gossip(n, parcel)?;
        } else {
            self.ask(n, parcel);
        }
        self.stepped(n)
    }

    /// What others say to everybody, or of themselves.
    fn gossip(&mut self, n: usize, parcel: Parcel) -> Result<(), Violation> {
        let Some(judge) = self.hosts[n].judge(&parcel) else { return Ok(()) };
        if self.hosts[n].manner.is_some() {
            let heard = match &parcel {
                Parcel::Frame { from, bytes, .. } => {
                    let raw = RawHeader::read(&mut Reader::new(bytes)).ok();
                    raw.and_then(|raw| raw.verify().ok()).map(|header| Heard::Header(Arc::new(header), from.clone()))
                }
                Parcel::Engine { from, bytes, .. } => Some(Heard::Engine(from.clone(), bytes.clone())),
                _ => None,
            };
            if let Some(heard) = heard {
                self.hears(n, heard)?;
            }
        }
        let arrival = match parcel {
            Parcel::Frame { from, bytes, way, .. } => Arrival::Frame { from, bytes, way, judge },
            Parcel::Engine { from, bytes, .. } => Arrival::Engine { from, bytes, judge },
            Parcel::Evidence { from, bytes, .. } => Arrival::Evidence { from, bytes, judge },
            _ => return Ok(()),
        };
        self.hosts[n].world.arrive(arrival);
        Ok(())
    }

    /// Questions and answers.
    fn ask(&mut self, n: usize, parcel: Parcel) {
        match parcel {
            Parcel::Item { from, bytes } => self.hosts[n].world.arrive(Arrival::Item { from, bytes }),
            Parcel::Submission { asker, forward, load } if self.hosts[n].serves() => {
                let request = self.hosts[n].world.forwarded(load);
                let own = self.hosts[n].asker(n);
                self.asked.insert((own, request), Asked::Node(asker, forward));
            }
            Parcel::Forwarded { asker, forward, answer } => {
                let host = &mut self.hosts[n];
                // One answer, to the life that asked: others come too late.
                if asker == host.asker(n) && host.forwards.remove(&forward) {
                    host.world.arrive(Arrival::Forwarded { forward, answer });
                }
            }
            Parcel::Nobody { asker, item, denied } => {
                let host = &mut self.hosts[n];
                if asker == host.asker(n) {
                    host.world.arrive(Arrival::Nobody { item, denied });
                }
            }
            Parcel::AskFrames { asker, chain, from, to } if self.hosts[n].serves() => self.give_frames(n, asker.host, chain, (from, to)),
            Parcel::Tips { asker, next } if self.hosts[n].serves() => {
                next.into_iter().for_each(|(chain, next)| self.give_frames(n, asker.host, chain, (next, u64::MAX)));
            }
            Parcel::AskItems { asker, ids } if self.hosts[n].serves() => {
                for id in ids {
                    if let Ok(Some(bytes)) = schema::ITEMS.get(&*self.hosts[n].world.store, &id) {
                        let from = self.hosts[n].peer();
                        self.post(n, asker.host, Parcel::Item { from, bytes });
                    }
                }
            }
            _ => {}
        }
    }

    /// A client sends its item to some node; if that is in vain, to another one later.
    pub(super) fn on_send(&mut self, wish: usize, attempt: u64) -> Result<(), Violation> {
        let Some(known) = self.wishes.get(wish).filter(|known| !known.done && known.attempt == attempt) else { return Ok(()) };
        let (process, again) = (known.process, attempt + 1);
        let scheduler = self.plan.host_of(process);
        let reliable = self.plan.serves(process);
        // Who cannot rely on a scheduler talks to it directly: to its nodes in turn, and of its processes to all of them.
        let candidates: Vec<usize> = if reliable {
            (0..self.hosts.len()).filter(|n| self.hosts[*n].keys.scheduler).collect()
        } else {
            self.hosts_of(scheduler).filter(|n| self.hosts[*n].keys.scheduler).collect()
        };
        let one = candidates.get(self.dice.below(candidates.len())).copied();
        let birth = wish < self.plan.processes;
        let to: Vec<usize> = if birth && !reliable { candidates } else { one.into_iter().collect() };
        self.wishes[wish].attempt = again;
        self.after(clients::PATIENCE_MS, Event::Send(wish, again));
        for n in to {
            if !self.hosts[n].up || self.hosts[n].paused_until > self.now {
                continue;
            }
            let clock = self.hosts[n].clock(self.now);
            self.hosts[n].world.at(clock);
            let item = self.wishes[wish].item.clone();
            let request = self.hosts[n].world.submit(&item, false);
            let own = self.hosts[n].asker(n);
            self.asked.insert((own, request), Asked::Client(wish, again));
            self.stepped(n)?;
        }
        Ok(())
    }
}
