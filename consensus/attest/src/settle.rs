//! Rules C1 to C3: certificates are learnt, frames certified and confirmed.

use std::sync::Arc;

use ao_consensus::Timestamp;
use ao_consensus::checks::Facts;
use ao_consensus::control::ControlOp;
use ao_consensus::effect::{Certified, Confirmed, Effect, Offence};
use ao_consensus::frame::FrameHeader;
use ao_consensus::proof::Proof;
use ao_types::{Certificate, PeerId};

use crate::branches::Place;
use crate::chain::ChainState;
use crate::common::{Common, penalise};
use crate::mutation::Mutation;
use crate::record::{self, Bound};
use crate::timer::Again;

impl ChainState {
    /// A peer sent certificates of one frame. Those that cannot change anything cost nothing.
    pub fn on_certificates(
        &mut self,
        common: &mut Common,
        now: Timestamp,
        from: PeerId,
        place: Place,
        certificates: Vec<Certificate>,
        out: &mut Vec<Effect>,
    ) {
        if self.ended || self.covered(&place) {
            return;
        }
        let fresh: Vec<&Certificate> = certificates.iter().filter(|one| self.branches.certificate(&place, one.epoch).is_none()).collect();
        if fresh.is_empty() {
            return;
        }
        if common.rosters.verify_certificates(&fresh).iter().any(|verdict| !matches!(verdict, Ok(()))) {
            let unknown = fresh.iter().any(|one| common.rosters.get(one.epoch).is_none());
            penalise(out, (!unknown).then_some(from), Offence::BadSignature);
            return;
        }
        self.highest = self.highest.max(place.0);
        for certificate in certificates {
            self.learn(certificate, out);
        }
        self.want(common, now, place, Some(from), true, out);
        self.digest(common, now, out);
    }

    /// A certificate that holds.
    pub fn learn(&mut self, certificate: Certificate, out: &mut Vec<Effect>) {
        let Some((_, sequence, frame)) = certificate.frame() else { return };
        let place = (sequence, frame);
        self.highest = self.highest.max(sequence);
        if !self.branches.certify(place, certificate) {
            return;
        }
        if let Some(evidence) = self.excluded(&place) {
            // S8: at least a third of a committee signed both. Whatever comes next, this node adds nothing to it.
            self.halted = true;
            out.push(Effect::Evidence(Box::new(evidence)));
        }
    }

    /// Says what has become certified, then what has become confirmed.
    pub fn settle(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>) {
        if self.halted {
            return;
        }
        let new = self.branches.newly_certified();
        for place in &new {
            let Some(certificates) = self.branches.certificates(place) else { continue };
            if let Some(kept) = self.branches.get(place) {
                common.certified_height = common.certified_height.max(kept.given.header.block_height);
            }
            let crossed = certificates.len() == 2 && common.own == Some(self.chain);
            if let Some(epoch) = certificates.last().map(|one| one.epoch).filter(|_| crossed) {
                out.push(Effect::Propose(Box::new(ControlOp::Crossed { chain: self.chain, epoch, certificates: certificates.clone() })));
            }
            out.push(Effect::Certified(Certified { chain: self.chain, sequence: place.0, frame: place.1, certificates }));
        }
        if !new.is_empty() {
            self.on_covered(common, now);
        }
        self.fork(out);
        self.confirm(common, out);
    }

    /// What is certified and what the node stores have parted: by rule "one branch" the stored frames behind that place can never be
    /// certified.
    fn fork(&mut self, out: &mut Vec<Effect>) {
        if self.forked {
            return;
        }
        let Some(path) = self.branches.certified().and_then(|certified| self.branches.path(&certified)) else { return };
        let Some(place) = path.into_iter().find(|place| self.branches.stored_beside(place)) else { return };
        self.forked = true;
        out.push(Effect::Forked { chain: self.chain, sequence: place.0, frame: place.1 });
    }

    /// A higher frame is certified than before: what was waited for may be over.
    fn on_covered(&mut self, common: &Common, now: Timestamp) {
        let last = self.row.as_ref().and_then(|row| row.last);
        if last.is_some_and(|last| self.covered(&last)) {
            self.share = None;
            if let Some(signed_at) = self.signed_at.take() {
                let sample = now.since_ms(signed_at);
                self.usual_ms = (self.usual_ms.saturating_mul(3).saturating_add(sample)) / 4;
            }
        }
        let newest = self.calls.as_ref().map(|calls| calls.place);
        let wait_ms = common.wait_ms(self.usual_ms);
        if newest.is_some_and(|newest| self.branches.certified() == Some(newest))
            && let Some(calls) = self.calls.as_mut().filter(|calls| calls.last_calls.is_none())
        {
            calls.publish = Some(now.plus_ms(common.interval_ms));
            calls.again = Again::after(now, wait_ms);
            calls.last_calls = Some(0);
        }
    }

    /// C2: a certificate on `m` confirms up to what `m` carries, frame by frame, as far as they are whole here.
    fn confirm(&mut self, common: &Common, out: &mut Vec<Effect>) {
        let Some(path) = self.branches.certified().and_then(|certified| self.branches.path(&certified)) else { return };
        // Certified frames on the way with what each carries: the lowest that suffices makes the shortest proof.
        let certified: Vec<(usize, u64)> = path
            .iter()
            .enumerate()
            .filter(|(_, place)| self.branches.certificates(place).is_some())
            .filter_map(|(at, place)| Some((at, self.carried_by(common, place)?)))
            .collect();
        let mut confirmed: Vec<Confirmed> = Vec::new();
        let header = |place: &Place| self.branches.get(place).map(|kept| kept.given.header.shared());
        for (at, place) in path.iter().enumerate() {
            let Some((by, _)) = certified.iter().find(|(by, carried)| *by > at && *carried >= place.0) else { break };
            let whole = self.branches.get(place).is_some_and(|kept| kept.given.facts == Facts::WHOLE);
            let descendants: Option<Vec<Arc<FrameHeader>>> = path[at + 1..=*by].iter().map(header).collect();
            let (true, Some(descendants), Some(certificates)) = (whole, descendants, self.branches.certificates(&path[*by])) else { break };
            let proof = Arc::new(Proof::Chain { descendants, certificates });
            confirmed.push(Confirmed { chain: self.chain, sequence: place.0, frame: place.1, proof });
        }
        let Some(last) = confirmed.last().map(|one| (one.sequence, one.frame)) else { return };
        self.remember_bound(&last, out);
        self.branches.confirm(&last);
        out.extend(confirmed.into_iter().map(Effect::Confirmed));
        let lowest = self.branches.base().next_sequence.saturating_sub(crate::limits::BEHIND_MAX);
        self.collecting.retain(|place, _| place.0 >= lowest);
    }

    fn carried_by(&self, common: &Common, place: &Place) -> Option<u64> {
        if common.mutations.has(Mutation::ConfirmWithoutCarried) {
            return place.0.checked_sub(1);
        }
        self.branches.tip_after(place)?.carried
    }

    /// Before confirmation passes the last frame signed, it is written down on which side of it that lies: later nobody can tell without
    /// walking back.
    fn remember_bound(&mut self, confirmed: &Place, out: &mut Vec<Effect>) {
        let Some(last) = self.row.as_ref().and_then(|row| row.last).filter(|last| last.0 <= confirmed.0) else { return };
        if self.bound.is_some_and(|bound| bound.last == last) {
            return;
        }
        let Some(id) = self.branches.ancestor(confirmed, last.0) else { return };
        let bound = Bound { chain: self.chain, last, confirmed: id == last.1 };
        self.bound = Some(bound);
        out.push(Effect::Remember(record::of_bound(&bound)));
    }
}
