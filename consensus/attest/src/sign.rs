//! Rules A2, A4 to A6: which frames this key signs, the write before the shares, and shares sent again.

use std::collections::BTreeSet;

use ao_consensus::Timestamp;
use ao_consensus::effect::Effect;
use ao_consensus::limits::WINDOW;
use ao_consensus::protection::{ChainRow, Permit, may_attest};
use ao_types::{Attestation, BlsKey, BlsSignature, Epoch, PeerId};

use crate::branches::{Place, Standing};
use crate::chain::ChainState;
use crate::common::{Common, send, statement};
use crate::judge::earlier;
use crate::mutation::Mutation;
use crate::record::{self, Known};
use crate::timer::Again;
use crate::wire::Message;

/// Shares that may leave once everything remembered in the same call is durable.
pub(crate) type Shares = Vec<Effect>;

impl ChainState {
    /// What this key would sign now, in order; nothing for a node without a key.
    pub fn choose(&mut self, common: &Common, now: Timestamp) -> Vec<Place> {
        let sealed = self.row.as_ref().is_some_and(|row| row.sealed);
        let closing = common.origin.chain(&self.chain).is_none_or(|record| record.closing.is_some());
        if common.key.is_none() || self.halted || self.ended || sealed || closing {
            return Vec::new();
        }
        let last = self.row.as_ref().and_then(|row| row.last);
        let unguarded = common.mutations.has(Mutation::NoSlashingCheck);
        let bound = |place: &Place| match last {
            None => true,
            Some(last) if unguarded => *place > last,
            Some(last) => place.0 > last.0 && self.is_on_branch(place, &last),
        };
        let candidates = self.branches.open().into_iter().filter(|place| self.may_sign(common, place) && bound(place));
        // Of two branches the one that is certified, then the longer one; then any, but the same at every look.
        let certified = self.branches.certified();
        let on_certified =
            |place: &Place| certified.is_none_or(|one| self.branches.descends(place, &one) != Some(false) || self.covered(place));
        let Some(newest) = candidates.max_by_key(|place| (on_certified(place), place.0, std::cmp::Reverse(place.1))) else {
            return Vec::new();
        };
        let from = last.map_or(0, |last| last.0);
        let places = if self.highest.saturating_sub(from) > WINDOW { self.meeting_points(newest, last) } else { vec![newest] };
        self.within_rate(common, now, places)
    }

    /// Every rule holds for the frame, and this key is of a committee that certifies it.
    fn may_sign(&self, common: &Common, place: &Place) -> bool {
        let Some(kept) = self.branches.get(place).filter(|kept| kept.standing == Standing::Passed) else { return false };
        let certifiers = self.branches.certifiers(place).unwrap_or_default();
        common.may_attest(&certifiers, kept.given.header.control_height)
    }

    /// Whether a frame descends from the last one that this key signed.
    fn is_on_branch(&self, place: &Place, last: &Place) -> bool {
        match self.branches.descends(place, last) {
            Some(descends) => descends,
            // Farther back than anybody can see: what was written down when confirmation passed it.
            None => self.bound.is_some_and(|bound| bound.last == *last && bound.confirmed) && last.0 < self.branches.base().next_sequence,
        }
    }

    /// A5: on the way to `newest` the frames whose sequence is divisible by `W`, and itself if nothing newer is known.
    fn meeting_points(&self, newest: Place, last: Option<Place>) -> Vec<Place> {
        let path = self.branches.path(&newest).unwrap_or_default();
        let above = path.into_iter().filter(|place| last.is_none_or(|last| place.0 > last.0));
        above.filter(|place| place.0 % WINDOW == 0 || (*place == newest && newest.0 >= self.highest)).collect()
    }

    /// §13: no more than `frame_rate_max` signatures a second in one chain; what is over waits for the next second.
    fn within_rate(&mut self, common: &Common, now: Timestamp, mut places: Vec<Place>) -> Vec<Place> {
        if places.is_empty() {
            return places;
        }
        if now.since_ms(self.rate.0) >= 1_000 {
            self.rate = (now, 0);
        }
        let max = common.origin.frame_rate_at(common.origin.applied().unwrap_or(0));
        let left = max.saturating_sub(self.rate.1) as usize;
        if places.len() > left {
            self.look_again = earlier(self.look_again, Some(self.rate.0.plus_ms(1_000)));
            // The newest speaks for the others.
            places = places.split_off(places.len() - left);
        }
        places
    }

    /// Signs what [`ChainState::choose`] says: the row into `out`, the shares into `shares`.
    pub fn sign(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>, shares: &mut Shares) {
        let (Some(signer), Some(key)) = (common.signer.clone(), common.key) else { return };
        let mut signed: Vec<(Place, Attestation)> = Vec::new();
        for place in self.choose(common, now) {
            let permit = may_attest(&key, &self.chain, self.row.as_ref(), place);
            let unguarded = common.mutations.has(Mutation::NoSlashingCheck);
            if !unguarded && !matches!(permit, Ok(Permit::Fresh)) {
                continue;
            }
            let statement = statement(self.chain, place);
            let signature = signer.sign(&statement.message(&common.network));
            self.row = Some(ChainRow { key, chain: self.chain, last: Some(place), sealed: false, signature: Some(signature) });
            signed.push((place, Attestation { statement, key, signature }));
        }
        let (Some(row), false) = (self.row.clone(), signed.is_empty()) else { return };
        self.rate.1 = self.rate.1.saturating_add(signed.len() as u32);
        self.know();
        if !common.mutations.has(Mutation::NoSlashingCheck) {
            out.push(Effect::Remember(record::of_row(row, self.known.as_ref())));
        }
        let own = signed.iter().map(|(_, attestation)| *attestation).collect();
        common.unwritten.entry(record::row_key(&self.chain)).or_default().push_back(own);
        for (place, attestation) in &signed {
            for peer in self.recipients(common, place, false) {
                send(shares, peer, &Message::Share(*attestation));
            }
        }
        self.signed_at = Some(now);
        self.share = Some(Again::after(now, common.wait_ms(self.usual_ms)));
        if signed.last().is_some_and(|(place, _)| self.covered(place)) {
            self.share = None;
        }
    }

    /// The highest certified frame is what a seal must show from now on.
    pub fn know(&mut self) {
        let Some(place) = self.branches.certified().filter(|place| self.known.as_ref().is_none_or(|known| known.place.0 < place.0)) else {
            return;
        };
        if let Some(certificates) = self.branches.certificates(&place) {
            self.known = Some(Known { chain: self.chain, place, certificates });
        }
    }

    /// Who gets this node's share of a frame (G1). When it is sent again, in a committee that is cut, also those who need no slice.
    fn recipients(&self, common: &Common, place: &Place, again: bool) -> BTreeSet<PeerId> {
        let mut peers = BTreeSet::new();
        let mut whole = false;
        for epoch in self.branches.certifiers(place).unwrap_or_default() {
            let Some(duties) = common.duties(&self.chain, epoch, place.0).filter(|duties| duties.index.is_some()) else { continue };
            let direct = duties.slices == 0 || again;
            whole |= direct;
            let of = |members: &[u16]| members.iter().filter_map(|member| common.peer_of(epoch, *member)).collect::<Vec<_>>();
            peers.extend(of(&duties.slice));
            peers.extend(direct.then(|| of(&duties.top)).into_iter().flatten());
        }
        if whole {
            peers.extend(common.origin.peer_of(&self.chain.scheduler).cloned());
        }
        peers.remove(&common.peer);
        peers
    }

    /// A6: the last share, from the row, until a certificate covers it.
    pub fn share_again(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.share.as_mut().is_some_and(|again| again.fires(now)) {
            return;
        }
        let Some((place, attestation)) = self.last_share().filter(|(place, _)| !self.covered(place)) else {
            self.share = None;
            return;
        };
        if common.is_written(&self.chain) {
            for peer in self.recipients(common, &place, true) {
                send(out, peer, &Message::Share(attestation));
            }
        }
    }

    /// After a crash nobody remembers this key's last share but its row: it counts here as soon as its frame is here again (G4).
    pub fn count_own(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>) {
        if !self.uncounted {
            return;
        }
        let Some((place, attestation)) = self.last_share() else {
            self.uncounted = false;
            return;
        };
        if self.certifiers(&place).is_some() {
            self.uncounted = false;
            let peer = common.peer.clone();
            self.on_share(common, now, peer, attestation, out);
        }
    }

    /// The last share, as it is written in the row.
    pub fn last_share(&self) -> Option<(Place, Attestation)> {
        let row = self.row.as_ref()?;
        let (place, signature): (Place, BlsSignature) = (row.last?, row.signature?);
        let key: BlsKey = row.key;
        Some((place, Attestation { statement: statement(self.chain, place), key, signature }))
    }

    /// Epochs whose committees certify a frame, if it is linked.
    pub fn certifiers(&self, place: &Place) -> Option<Vec<Epoch>> {
        self.branches.certifiers(place)
    }
}
