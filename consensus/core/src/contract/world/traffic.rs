//! What travels between nodes, and what a node's own store answers.

use std::collections::BTreeSet;

use ao_types::codec::Canonical;
use ao_types::{Chain, FrameId, Id, Slot};
use bytes::Bytes;

use super::{ANSWER_MAX, Broken, Event, World};
use crate::checks::{Contents, Facts, Refusal, contents::EntryRule};
use crate::contract::host::{Made, Write};
use crate::contract::peer;
use crate::{Fetch, Given, Input};

/// How long a body that came waits to be written, milliseconds.
const BODY_WAITS_MS: (u64, u64) = (0, 12);

impl World<'_> {
    /// Delays of the copies that arrive on the way from one node to another; none if it is lost.
    pub(super) fn link(&mut self, from: usize, to: usize) -> Vec<u64> {
        // Twins are two halves of one node: each is reached by, and reaches, its own part of the others, which changes every second.
        let (part, side) = ((self.now / 1_000) as usize, |host: usize| self.hosts.get(host).map(|host| (host.honest, host.side)));
        for (twin, other) in [(from, to), (to, from)] {
            let meet = match (side(twin), side(other)) {
                (Some((false, side)), Some((true, _))) => (other + part) % 2 == side,
                (Some((false, side)), Some((false, another))) => side == another,
                _ => true,
            };
            if !meet {
                return Vec::new();
            }
        }
        let apart = self.cut.as_ref().is_some_and(|cut| cut.contains(&from) != cut.contains(&to));
        let scenario = self.scenario;
        if apart || (self.storms() && self.random.chance(scenario.loss_percent)) {
            return Vec::new();
        }
        let mut delays = vec![self.random.within(scenario.latency_ms)];
        if self.storms() && self.random.chance(scenario.duplicate_percent) {
            delays.push(self.random.within(scenario.latency_ms));
        }
        delays
    }

    /// Tells everybody of a frame: small ones whole, of large ones the header first.
    pub(super) fn announce(&mut self, n: usize, frame: FrameId) {
        let withheld = self.frames.get(&frame).is_none_or(|made| made.withheld);
        let small = frame.0[0].is_multiple_of(2) && !withheld;
        for to in (0..self.hosts.len()).filter(|to| *to != n) {
            for delay in self.link(n, to) {
                if small {
                    self.after(delay, Event::Body { to, frame, from: n });
                } else {
                    self.after(delay, Event::Header { to, frame, from: n });
                    if !withheld {
                        let later = delay + self.random.within((1, 60));
                        self.after(later, Event::Body { to, frame, from: n });
                    }
                }
            }
        }
    }

    pub(super) fn on_header(&mut self, n: usize, frame: FrameId, from: usize) -> Result<(), Broken> {
        self.give(n, frame, Facts::default(), Some(from))
    }

    pub(super) fn on_body(&mut self, n: usize, frame: FrameId, from: usize) -> Result<(), Broken> {
        let Some(made) = self.frames.get(&frame) else { return Ok(()) };
        if made.unlawful {
            let (process, slot, rule) = (Id([1; 32]), Slot(0), EntryRule::Duplicate);
            let contents = Contents::Unlawful(Refusal::Entry { process, slot, rule });
            return self.give(n, frame, Facts { contents, durable: false }, Some(from));
        }
        let (chain, sequence) = (made.header.chain, made.header.sequence);
        let stored = self.hosts.get(n).is_none_or(|host| host.holds(&chain, sequence, &frame));
        if stored {
            return self.give_stored(n, frame, Some(from));
        }
        // It is read and found right before it is on the disk, and its turn there may come after that of records.
        let contents = self.contents(n, frame);
        self.give(n, frame, Facts { contents, durable: false }, Some(from))?;
        let Some(life) = self.hosts.get(n).map(|host| host.life) else { return Ok(()) };
        let wait = self.random.within(BODY_WAITS_MS);
        self.after(wait, Event::Keep { node: n, life, frame });
        Ok(())
    }

    pub(super) fn on_keep(&mut self, n: usize, life: u64, frame: FrameId) {
        if self.hosts.get(n).is_some_and(|host| host.life == life) {
            self.write(n, Write::Body(frame));
        }
    }

    /// A body is durable: it is whole if every frame before it is, and so may be those that follow.
    pub(super) fn on_stored(&mut self, n: usize, frame: FrameId) -> Result<(), Broken> {
        let mut next = vec![frame];
        while let Some(id) = next.pop() {
            self.give_stored(n, id, None)?;
            let (Some(made), Some(host)) = (self.frames.get(&id), self.hosts.get(n)) else { continue };
            let (chain, above) = (made.header.chain, made.header.sequence + 1);
            let stored = host.disk.frames.get(&chain).into_iter().flatten().filter(|(sequence, _)| *sequence == above);
            let follows = |id: &FrameId| self.frames.get(id).is_some_and(|child| child.header.parent == made.header.id());
            next.extend(stored.map(|(_, child)| *child).filter(|child| follows(child) && !host.given.contains(child)));
        }
        Ok(())
    }

    /// Gives a frame that is stored here, with what is known of it.
    pub(super) fn give_stored(&mut self, n: usize, frame: FrameId, from: Option<usize>) -> Result<(), Broken> {
        let contents = self.contents(n, frame);
        self.give(n, frame, Facts { contents, durable: true }, from)
    }

    /// What a node that has a body can tell of it: nothing before it has every frame below.
    fn contents(&self, n: usize, frame: FrameId) -> Contents {
        let (Some(made), Some(host)) = (self.frames.get(&frame), self.hosts.get(n)) else { return Contents::Unknown };
        let (chain, sequence, parent) = (made.header.chain, made.header.sequence, made.header.parent);
        let below = host.disk.confirmed.get(&chain).is_some_and(|tip| sequence <= tip.next_sequence);
        let lawful = sequence == 0 || below || host.given.contains(&parent);
        if lawful { Contents::Lawful } else { Contents::Unknown }
    }

    fn give(&mut self, n: usize, frame: FrameId, facts: Facts, from: Option<usize>) -> Result<(), Broken> {
        let from = from.and_then(|from| self.hosts.get(from)).map(|host| host.peer.clone());
        let (Some(made), Some(host)) = (self.frames.get(&frame), self.hosts.get_mut(n)) else { return Ok(()) };
        if host.engine.is_none() {
            return Ok(());
        }
        host.heard.insert(frame);
        if facts == Facts::WHOLE {
            host.given.insert(frame);
        }
        let from = from.filter(|from| *from != host.peer);
        let given = Given { header: made.header.clone(), facts, from };
        self.input(n, Input::Frame(Box::new(given)))
    }

    /// From the node's own store first; the rest is asked of one of the holders, or of anybody.
    pub(super) fn on_fetch(&mut self, n: usize, fetch: Fetch) {
        let Some(host) = self.hosts.get(n) else { return };
        let mut missing = Some(fetch.clone());
        let found = Self::walk(&self.frames, &fetch, |chain, sequence, id| host.holds(chain, sequence, id));
        if let Some(lowest) = found.last().and_then(|id| self.frames.get(id)) {
            let below = lowest.header.sequence.checked_sub(1).filter(|sequence| *sequence >= fetch.from);
            missing = below.map(|sequence| Fetch { to: (sequence, lowest.header.parent), ..fetch.clone() });
        }
        for frame in found.into_iter().rev() {
            self.after(0, Event::Body { to: n, frame, from: n });
        }
        let Some(missing) = missing else { return };
        let of_peer = |peer: &ao_types::PeerId| (0..self.hosts.len()).filter(|other| self.hosts[*other].peer == *peer).collect::<Vec<_>>();
        let holders: Vec<usize> = fetch.holders.iter().flat_map(of_peer).filter(|other| *other != n).collect();
        let anybody = self.random.chance(20) || holders.is_empty();
        let of = match holders.first().filter(|_| !anybody && self.random.chance(50)) {
            Some(first) => *first,
            None if anybody => self.random.below(self.hosts.len()),
            None => holders[self.random.below(holders.len())],
        };
        for delay in self.link(n, of) {
            self.after(delay, Event::Asked { by: n, of, fetch: missing.clone() });
        }
    }

    /// A node answers with what it has stored of a branch.
    pub(super) fn on_asked(&mut self, by: usize, of: usize, fetch: &Fetch) {
        let Some(host) = self.hosts.get(of).filter(|host| host.engine.is_some() && by != of) else { return };
        let found = Self::walk(&self.frames, fetch, |chain, sequence, id| host.holds(chain, sequence, id));
        for frame in found {
            for delay in self.link(of, by) {
                self.after(delay, Event::Body { to: by, frame, from: of });
            }
        }
    }

    /// Frames of the branch that ends with `fetch.to`, from there down, as long as they are held and wanted.
    fn walk(
        frames: &std::collections::BTreeMap<FrameId, Made>,
        fetch: &Fetch,
        holds: impl Fn(&Chain, u64, &FrameId) -> bool,
    ) -> Vec<FrameId> {
        let (mut found, mut at) = (Vec::new(), fetch.to.1);
        while let Some(made) = frames.get(&at).filter(|made| made.header.sequence >= fetch.from && !made.withheld) {
            if !holds(&fetch.chain, made.header.sequence, &at) || found.len() >= ANSWER_MAX {
                break;
            }
            found.push(at);
            at = made.header.parent;
        }
        found
    }

    /// Somebody who is no member sends random bytes, changed ones, or those of others.
    pub(super) fn on_noise(&mut self) -> Result<(), Broken> {
        let to = self.random.below(self.hosts.len());
        let bytes = match self.random.below(3) {
            0 => (0..self.random.within((0, 300))).map(|_| self.random.draw() as u8).collect(),
            kind => {
                let mut bytes = self.random.pick(&self.overheard).map(|bytes| bytes.to_vec()).unwrap_or_default();
                let at = self.random.below(bytes.len());
                if let (2, Some(byte)) = (kind, bytes.get_mut(at)) {
                    *byte ^= 1 << (self.random.draw() % 8);
                }
                bytes
            }
        };
        // A stranger, or a member who is Byzantine anyway.
        let liars: BTreeSet<u64> = (0..self.scenario.nodes as u64).filter(|n| !self.hosts[*n as usize].honest).collect();
        let liars: Vec<u64> = liars.into_iter().chain([1_000, 1_001]).collect();
        let from = peer(self.random.pick(&liars).copied().unwrap_or(1_000));
        self.input(to, Input::Peer(from, Bytes::from(bytes)))
    }

    /// Signatures in a header, before anybody sees it.
    pub(super) fn check_header(&mut self, n: usize, frame: &FrameId) -> Result<(), Broken> {
        let bytes = self.frames.get(frame).map(|made| made.header.header().encode()).unwrap_or_default();
        self.check_signatures(n, &bytes)
    }
}
