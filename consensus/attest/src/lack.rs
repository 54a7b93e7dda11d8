//! What a chain lacks, and asking for it (rules A3, C4).

use std::collections::BTreeMap;

use ao_consensus::Timestamp;
use ao_consensus::effect::{Effect, Fetch};
use ao_types::{Chain, FrameId, PeerId};

use crate::branches::{Branches, Place, Standing};
use crate::chain::ChainState;
use crate::common::Common;
use crate::limits::{AHEAD_MAX, BODY_WAIT_MS, FAR_FETCHES_MAX, FETCHES_MAX, HEARSAY_TRIES_MAX, HOLDERS_MAX, VAIN_TRIES};
use crate::timer::Again;

/// Frames that are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lacks {
    open: BTreeMap<Place, Lack>,
    /// The last frame that came of those asked for: what was asked for with it is on its way, in whatever order.
    promised: Option<Promise>,
}

#[derive(Clone, Debug)]
struct Lack {
    again: Again,
    holders: Vec<PeerId>,
    /// It exists: a signed header or a certificate names it. Otherwise somebody said so.
    firm: bool,
    /// The lowest sequence that was asked for with it.
    from: u64,
    /// Of a frame too far ahead to be kept: when the chain is linked up to here, the next part of the way is asked for at once.
    reach: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    /// From this sequence up to, without, that one.
    range: (u64, u64),
    /// When it would have been asked for again.
    again: Again,
}

impl Lacks {
    /// It came.
    pub fn got(&mut self, place: &Place) {
        if let Some(lack) = self.open.remove(place) {
            self.promised = Some(Promise { range: (lack.from, place.0), again: lack.again });
        }
    }

    /// When to ask again.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.open.values().map(|lack| lack.again.due).min()
    }

    /// Whether a frame too far ahead to be kept is asked for: one or two show the way, and those that led nowhere give way to others.
    fn has_room_far(&mut self, horizon: u64) -> bool {
        let far = self.open.range((horizon, FrameId([0; 32]))..).map(|(place, lack)| (*place, lack.again.tries));
        if far.clone().count() < FAR_FETCHES_MAX {
            return true;
        }
        let vain = far.max_by_key(|(_, tries)| *tries).filter(|(_, tries)| *tries >= VAIN_TRIES).map(|(place, _)| place);
        vain.is_some_and(|vain| self.open.remove(&vain).is_some())
    }

    /// Whether one more may be asked for, if need be instead of another.
    fn has_room_for(&mut self, place: &Place, firm: bool) -> bool {
        if self.open.len() < FETCHES_MAX {
            return true;
        }
        // What certainly exists comes before what somebody said; of what exists, what is confirmed first comes first.
        let rumour = self.open.iter().find(|(_, lack)| !lack.firm).map(|(place, _)| *place);
        let worse = rumour.or_else(|| self.open.keys().next_back().copied().filter(|last| last > place));
        worse.filter(|_| firm).is_some_and(|worse| self.open.remove(&worse).is_some())
    }
}

impl ChainState {
    /// Asks for a frame that is not here, once and then again with growing waits.
    pub fn want(&mut self, common: &Common, now: Timestamp, place: Place, from: Option<PeerId>, firm: bool, out: &mut Vec<Effect>) {
        let next = self.branches.base().next_sequence;
        if place.0 < next || self.branches.get(&place).is_some() {
            return;
        }
        if let Some(lack) = self.lacks.open.get_mut(&place) {
            lack.firm |= firm;
            if let Some(from) = from.filter(|from| !lack.holders.contains(from) && lack.holders.len() < HOLDERS_MAX) {
                lack.holders.push(from);
            }
            return;
        }
        let horizon = next.saturating_add(AHEAD_MAX);
        if (place.0 >= horizon && !self.lacks.has_room_far(horizon)) || !self.lacks.has_room_for(&place, firm) {
            return;
        }
        let coming = |promise: &Promise| (promise.range.0..promise.range.1).contains(&place.0) && promise.again.due > now;
        let holders = from.into_iter().collect();
        let lack = match self.lacks.promised.filter(coming) {
            Some(Promise { range: (from, _), again }) => Lack { again, holders, firm, from, reach: None },
            None => {
                let again = Again::after(now, common.wait_ms(self.usual_ms));
                let mut lack = Lack { again, holders, firm, from: place.0, reach: None };
                out.push(fetch(self.chain, &self.branches, common, place, &mut lack));
                lack
            }
        };
        self.lacks.open.insert(place, lack);
    }

    /// What signed headers and certificates name and is not here; and the next body, if it takes long.
    pub fn want_missing(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        let loose = self.branches.iter().filter(|(_, kept)| kept.tip.is_none() && kept.standing == Standing::Open);
        let parents = loose.filter_map(|(_, kept)| Branches::parent_of(&kept.given.header).map(|parent| (parent, kept.given.from.clone())));
        let named = self.branches.named().filter(|(_, here)| !here).map(|(place, _)| (*place, None));
        let missing: Vec<(Place, Option<PeerId>)> = parents.chain(named).collect();
        for (place, from) in missing {
            self.want(common, now, place, from, true, out);
        }
        // Whoever brought the header is fetching the body already.
        if let Some((place, from)) = self.branches.next_body()
            && !self.lacks.open.contains_key(&place)
            && self.lacks.has_room_for(&place, true)
        {
            let again = Again::after(now, BODY_WAIT_MS);
            let lack = Lack { again, holders: from.into_iter().collect(), firm: true, from: place.0, reach: None };
            self.lacks.open.insert(place, lack);
        }
        self.ask_on(common, now, out);
    }

    /// A part of the way to a frame far ahead has come: the next part.
    fn ask_on(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        let linked = self.branches.linked();
        for (place, lack) in &mut self.lacks.open {
            if lack.reach.is_some_and(|reach| linked >= reach) && self.branches.get(place).is_none() {
                lack.again = Again::after(now, common.wait_ms(self.usual_ms));
                out.push(fetch(self.chain, &self.branches, common, *place, lack));
            }
        }
    }

    /// Asks again for what is due.
    pub fn ask_again(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        let branches = &self.branches;
        self.lacks.open.retain(|place, lack| branches.lacks(place) && (lack.firm || lack.again.tries < HEARSAY_TRIES_MAX));
        for (place, lack) in &mut self.lacks.open {
            if lack.again.fires(now) {
                out.push(fetch(self.chain, branches, common, *place, lack));
            }
        }
    }
}

/// The first time from behind the highest linked frame on; later from the last confirmed one on, as what lies between may be another
/// branch. Of a rumour and of a body only the frame itself.
fn fetch(chain: Chain, branches: &Branches, common: &Common, place: Place, lack: &mut Lack) -> Effect {
    let (next, linked) = (branches.base().next_sequence, branches.linked());
    let from = match (lack.firm && branches.get(&place).is_none(), lack.again.tries) {
        (false, _) => place.0,
        (true, 0) => linked.clamp(next, place.0),
        (true, _) => next,
    };
    let part_end = linked.max(from).saturating_add(AHEAD_MAX / 2);
    lack.reach = (place.0 > part_end).then_some(part_end);
    lack.from = from;
    let mut holders = lack.holders.clone();
    let epochs: Vec<_> = common.rosters.epochs().next_back().into_iter().collect();
    for peer in common.collectors(&chain, &epochs, place.0) {
        if !holders.contains(&peer) && holders.len() < HOLDERS_MAX {
            holders.push(peer);
        }
    }
    holders.retain(|peer| *peer != common.peer);
    Effect::Fetch(Fetch { chain, from, to: place, holders })
}
