//! The frames of one chain that are not settled yet, and how they hang together.
//!
//! Owns headers, what follows from what, and which frames are certified. Refuses to judge and to verify: it is told.
//!
//! ```text
//!                         base: after the last confirmed frame
//!                           ▼
//!    … ── behind (evidence) ┃── linked: tip known ── linked ── … ── linked (newest)
//!                           ┃              └── linked (another branch)       · · ·  loose: parent missing
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::checks::{Contents, Facts, Refusal};
use ao_consensus::frame::SignedHeader;
use ao_consensus::input::Given;
use ao_consensus::tip::{ChainTip, certifying_epochs};
use ao_types::{Certificate, Epoch, FrameId, NetworkId, PeerId};

use crate::limits::{AHEAD_MAX, BEHIND_MAX, BRANCHES_MAX};
use crate::mutation::{Mutation, Mutations};

/// A frame by its place in the chain and its id.
pub(crate) type Place = (u64, FrameId);

/// How far a frame came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not judged, or held.
    Open,
    /// Every rule holds for it and for all before it, but those on this key's own past.
    Passed,
    /// A rule is broken, by it or by this ancestor.
    Refused(FrameId),
}

/// A frame that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Header and facts, the newest ones.
    pub given: Given,
    /// Where the chain stands after it; known once everything before it is.
    pub tip: Option<ChainTip>,
    /// How far it came.
    pub standing: Standing,
    /// Whether the certificates that it carries hold; asked once it is linked. Trivially if it carries none.
    pub carried: Option<bool>,
}

impl Kept {
    /// Held until the node has its body, has found it lawful and stored it.
    fn lacks_body(&self) -> bool {
        let Facts { contents, durable } = &self.given.facts;
        !matches!(self.standing, Standing::Refused(_)) && (*contents == Contents::Unknown || !durable)
    }
}

/// What became of a frame that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    /// It is new.
    New,
    /// It was there; its facts may be new.
    Again,
    /// It lies at or below what is confirmed. Kept if a header of its sequence may still be asked for.
    Settled,
    /// It lies too far above what is confirmed.
    Above,
    /// Enough headers of its sequence are kept.
    Full,
}

/// See the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct Branches {
    /// After the last confirmed frame.
    base: ChainTip,
    kept: BTreeMap<Place, Kept>,
    /// Verified certificates, by frame and committee; also of frames that are not here yet.
    certificates: BTreeMap<Place, BTreeMap<Epoch, Certificate>>,
    /// The highest frame that is certified by every committee that must certify it.
    certified: Option<Place>,
}

impl Branches {
    /// After the last confirmed frame of an earlier life, or a chain's opening.
    pub fn after(base: ChainTip) -> Self {
        Self { base, kept: BTreeMap::new(), certificates: BTreeMap::new(), certified: None }
    }

    /// Where the chain stands after the last confirmed frame.
    pub fn base(&self) -> &ChainTip {
        &self.base
    }

    /// The last confirmed frame.
    pub fn confirmed(&self) -> Option<Place> {
        self.base.next_sequence.checked_sub(1).map(|sequence| (sequence, self.base.parent))
    }

    pub fn get(&self, place: &Place) -> Option<&Kept> {
        self.kept.get(place)
    }

    pub fn get_mut(&mut self, place: &Place) -> Option<&mut Kept> {
        self.kept.get_mut(place)
    }

    /// All that is kept, in order of sequence.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Place, &Kept)> {
        self.kept.iter()
    }

    /// Places above the last confirmed frame, in order of sequence.
    pub fn open(&self) -> Vec<Place> {
        self.kept.range((self.base.next_sequence, FrameId([0; 32]))..).map(|(place, _)| *place).collect()
    }

    /// Keeps a frame. The second value is another header of the same sequence, if both are kept now.
    pub fn insert(&mut self, given: Given) -> (Insert, Option<Arc<SignedHeader>>) {
        let place = (given.header.sequence, given.header.id());
        if let Some(kept) = self.kept.get_mut(&place) {
            kept.given.facts = merged(&kept.given.facts, given.facts);
            kept.given.from = given.from.or(kept.given.from.take());
            return (Insert::Again, None);
        }
        let next = self.base.next_sequence;
        if place.0 >= next.saturating_add(AHEAD_MAX) {
            return (Insert::Above, None);
        }
        let settled = place.0 < next;
        if settled && (next - place.0 > BEHIND_MAX || self.base.recent(place.0).is_some_and(|recent| recent.frame == place.1)) {
            return (Insert::Settled, None);
        }
        let same = self.kept.range((place.0, FrameId([0; 32]))..=(place.0, FrameId([0xff; 32])));
        let (count, other) = (same.clone().count(), same.map(|(_, kept)| Arc::clone(&kept.given.header)).next());
        if count >= BRANCHES_MAX && !self.certificates.contains_key(&place) {
            return (Insert::Full, None);
        }
        self.kept.insert(place, Kept { given, tip: None, standing: Standing::Open, carried: None });
        (if settled { Insert::Settled } else { Insert::New }, other)
    }

    /// The frame before one, by its header.
    pub fn parent_of(header: &SignedHeader) -> Option<Place> {
        header.sequence.checked_sub(1).map(|sequence| (sequence, header.parent))
    }

    /// Where the chain stands before a frame, as far as it is known here.
    pub fn tip_before(&self, header: &SignedHeader) -> Option<&ChainTip> {
        if header.sequence == self.base.next_sequence && header.parent == self.base.parent {
            return Some(&self.base);
        }
        self.kept.get(&Self::parent_of(header)?)?.tip.as_ref()
    }

    /// Where the chain stands after a frame.
    pub fn tip_after(&self, place: &Place) -> Option<&ChainTip> {
        if self.confirmed() == Some(*place) {
            return Some(&self.base);
        }
        self.kept.get(place)?.tip.as_ref()
    }

    /// Whether the node stores another frame of this sequence and not this one.
    pub fn stored_beside(&self, place: &Place) -> bool {
        let of_sequence = self.kept.range((place.0, FrameId([0; 32]))..=(place.0, FrameId([0xff; 32])));
        let (mut other, mut this) = (false, false);
        for (at, _) in of_sequence.filter(|(_, kept)| kept.given.facts.durable) {
            if at == place { this = true } else { other = true }
        }
        other && !this
    }

    /// The first sequence that no linked frame has.
    pub fn linked(&self) -> u64 {
        let linked = self.kept.iter().rev().find(|(_, kept)| kept.tip.is_some()).map(|((sequence, _), _)| sequence.saturating_add(1));
        linked.unwrap_or(0).max(self.base.next_sequence)
    }

    /// The linked frame of the highest sequence above the last confirmed one; one of them, if there are several.
    pub fn newest(&self) -> Option<Place> {
        let open = self.kept.range((self.base.next_sequence, FrameId([0; 32]))..).rev();
        let mut linked = open.filter(|(_, kept)| kept.tip.is_some() && !matches!(kept.standing, Standing::Refused(_)));
        linked.next().map(|(place, _)| *place)
    }

    /// Whether a frame is needed that is not here, or not whole.
    pub fn lacks(&self, place: &Place) -> bool {
        place.0 >= self.base.next_sequence && self.kept.get(place).is_none_or(Kept::lacks_body)
    }

    /// The lowest linked frame that is not whole, and who brought its header.
    pub fn next_body(&self) -> Option<(Place, Option<PeerId>)> {
        let open = self.kept.range((self.base.next_sequence, FrameId([0; 32]))..);
        let mut lacking = open.filter(|(_, kept)| kept.tip.is_some() && kept.lacks_body());
        lacking.next().map(|(place, kept)| (*place, kept.given.from.clone()))
    }

    /// Links what has become linkable, in order of sequence. Frames that do not follow from their parent are refused; those and linked
    /// ones are returned.
    pub fn link(&mut self, network: NetworkId, mutations: Mutations) -> Vec<(Place, Result<(), Refusal>)> {
        let mut found = Vec::new();
        for place in self.open() {
            let Some(kept) = self.kept.get(&place).filter(|kept| kept.tip.is_none() && kept.standing == Standing::Open) else { continue };
            let refused = Self::parent_of(&kept.given.header).and_then(|parent| match &self.kept.get(&parent)?.standing {
                Standing::Refused(_) if mutations.has(Mutation::SkippedUnchecked) => None,
                Standing::Refused(ancestor) => Some(*ancestor),
                _ => None,
            });
            let outcome = match (refused, self.tip_before(&kept.given.header)) {
                (Some(ancestor), _) => Err(Refusal::Ancestor { ancestor }),
                (None, Some(before)) => before.follow(network, kept.given.header.header(), place.1),
                (None, None) => continue,
            };
            let Some(kept) = self.kept.get_mut(&place) else { continue };
            found.push((
                place,
                match outcome {
                    Ok(tip) => {
                        kept.tip = Some(tip);
                        Ok(())
                    }
                    Err(refusal) => {
                        kept.standing = Standing::Refused(place.1);
                        Err(refusal)
                    }
                },
            ));
        }
        found
    }

    /// The ancestor of a frame at a sequence, or the frame itself; `None` if what lies between is not here.
    pub fn ancestor(&self, place: &Place, sequence: u64) -> Option<FrameId> {
        let mut at = *place;
        loop {
            if at.0 == sequence {
                return Some(at.1);
            }
            let tip = self.tip_after(&at)?;
            if let Some(recent) = tip.recent(sequence) {
                return Some(recent.frame);
            }
            let oldest = tip.next_sequence.checked_sub(tip.recent.len() as u64)?;
            if sequence >= oldest || oldest >= at.0 {
                return None;
            }
            at = (oldest, tip.recent(oldest)?.frame);
        }
    }

    /// Whether a frame is another one or descends from it; `None` if what lies between is not here.
    pub fn descends(&self, place: &Place, from: &Place) -> Option<bool> {
        if place.0 < from.0 { Some(false) } else { self.ancestor(place, from.0).map(|id| id == from.1) }
    }

    /// Frames above the last confirmed one on the way to `place` and with it, in order; `None` if it is not linked to that.
    pub fn path(&self, place: &Place) -> Option<Vec<Place>> {
        let mut path = Vec::new();
        let mut at = *place;
        while at.0 >= self.base.next_sequence {
            path.push(at);
            match Self::parent_of(&self.kept.get(&at)?.given.header) {
                Some(parent) => at = parent,
                // Frame 0: its parent is the chain, which `follow` checked.
                None if self.kept.get(&at)?.tip.is_some() => {
                    path.reverse();
                    return Some(path);
                }
                None => return None,
            }
        }
        path.reverse();
        (self.confirmed() == Some(at)).then_some(path)
    }

    /// Committees that certify a frame; `None` while it is not linked.
    pub fn certifiers(&self, place: &Place) -> Option<Vec<Epoch>> {
        self.tip_after(place)?.recent.back().map(certifying_epochs)
    }

    /// Keeps a verified certificate of a frame. False if it is known, or out of bounds.
    pub fn certify(&mut self, place: Place, certificate: Certificate) -> bool {
        let next = self.base.next_sequence;
        if place.0 >= next.saturating_add(AHEAD_MAX) || next.saturating_sub(place.0) > BEHIND_MAX {
            return false;
        }
        let of_frame = self.certificates.entry(place).or_default();
        let new = !of_frame.contains_key(&certificate.epoch);
        if new {
            of_frame.insert(certificate.epoch, certificate);
        }
        new
    }

    /// The verified certificate of a frame by a committee.
    pub fn certificate(&self, place: &Place, epoch: Epoch) -> Option<&Certificate> {
        self.certificates.get(place)?.get(&epoch)
    }

    /// Any verified certificate of a frame.
    pub fn any_certificate(&self, place: &Place) -> Option<&Certificate> {
        self.certificates.get(place)?.values().next()
    }

    /// All certificates that a frame needs, the older committee's first; `None` if one lacks or the frame is not linked.
    pub fn certificates(&self, place: &Place) -> Option<Vec<Certificate>> {
        let of_frame = self.certificates.get(place)?;
        self.certifiers(place)?.iter().map(|epoch| of_frame.get(epoch).cloned()).collect()
    }

    /// Frames that certificates name, with whether they are here.
    pub fn named(&self) -> impl Iterator<Item = (&Place, bool)> {
        self.certificates.keys().map(|place| (place, self.kept.contains_key(place)))
    }

    /// The highest certified frame.
    pub fn certified(&self) -> Option<Place> {
        self.certified
    }

    /// Frames that have become certified and linked above the highest known so far, in order; the last one is the highest now.
    pub fn newly_certified(&mut self) -> Vec<Place> {
        let from = self.certified.map_or(0, |(sequence, _)| sequence.saturating_add(1));
        let places: Vec<Place> = self.certificates.range((from, FrameId([0; 32]))..).map(|(place, _)| *place).collect();
        let new: Vec<Place> = places.into_iter().filter(|place| self.certificates(place).is_some()).collect();
        self.certified = new.last().copied().or(self.certified);
        new
    }

    /// Moves the base to a frame that is now confirmed, and forgets what lies too far behind it.
    pub fn confirm(&mut self, place: &Place) {
        let Some(tip) = self.kept.get(place).and_then(|kept| kept.tip.clone()) else { return };
        self.base = tip;
        let from = (self.base.next_sequence.saturating_sub(BEHIND_MAX), FrameId([0; 32]));
        self.kept = self.kept.split_off(&from);
        self.certificates = self.certificates.split_off(&from);
        // Branches that end here need no tips any more: nothing is built on them.
        let next = self.base.next_sequence;
        self.kept.iter_mut().filter(|((sequence, _), _)| sequence.saturating_add(1) < next).for_each(|(_, kept)| kept.tip = None);
    }
}

/// Facts only grow: what is lawful stays lawful, what is stored stays stored.
fn merged(old: &Facts, new: Facts) -> Facts {
    let contents = if new.contents == Contents::Unknown { old.contents.clone() } else { new.contents };
    Facts { contents, durable: old.durable || new.durable }
}
