//! Rules C5 to C7: what a scheduler does about its newest frame, and how others come by a certificate that nothing carries.

use ao_consensus::Timestamp;
use ao_consensus::block::FrameRef;
use ao_consensus::effect::Effect;
use ao_types::PeerId;

use crate::branches::Place;
use crate::chain::ChainState;
use crate::common::{Common, publish, send};
use crate::limits::{ASK_WAIT_MS, LAST_CALLS_MAX};
use crate::timer::Again;
use crate::wire::Message;

impl ChainState {
    /// Publishes a certificate that no frame carried within an interval; calls members that were not heard.
    pub fn call(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(calls) = self.calls.as_mut() else { return };
        let place = calls.place;
        if calls.publish.is_some_and(|at| at <= now) {
            calls.publish = None;
            if let Some(certificates) = self.branches.certificates(&place) {
                publish(out, &Message::Certified(certificates));
            }
        }
        let Some(calls) = self.calls.as_mut().filter(|calls| calls.last_calls != Some(LAST_CALLS_MAX)) else { return };
        if !calls.again.fires(now) {
            return;
        }
        calls.last_calls = calls.last_calls.map(|calls| calls + 1);
        let message = match self.branches.certificates(&place) {
            Some(certificates) => Message::Certified(certificates),
            None => Message::Announce(FrameRef { chain: self.chain, sequence: place.0, frame: place.1 }),
        };
        self.unheard(common, &place).into_iter().for_each(|peer| send(out, peer, &message));
    }

    /// Members that have not said that they have a frame.
    fn unheard(&self, common: &Common, place: &Place) -> Vec<PeerId> {
        let mut peers = Vec::new();
        for epoch in self.certifiers(place).unwrap_or_default() {
            let Some(roster) = common.rosters.get(epoch) else { continue };
            let collecting = self.collecting.get(place);
            for (index, member) in roster.committee().members().iter().enumerate() {
                let heard = collecting.is_some_and(|collecting| collecting.heard(epoch, index as u16));
                if !heard && member.peer != common.peer && !peers.contains(&member.peer) {
                    peers.push(member.peer.clone());
                }
            }
        }
        peers
    }

    /// Somebody has a frame and lacks its certificate, or this node's share.
    pub fn on_announce(&mut self, common: &Common, now: Timestamp, from: PeerId, place: Place, out: &mut Vec<Effect>) {
        if self.covered(&place) {
            self.tell_certified(&from, out);
            return;
        }
        if !common.is_party(&self.chain, &from) {
            return;
        }
        self.want(common, now, place, Some(from.clone()), false, out);
        if let Some((signed, attestation)) = self.last_share()
            && self.branches.descends(&signed, &place) == Some(true)
            && common.is_written(&self.chain)
        {
            send(out, from, &Message::Share(attestation));
        }
    }

    /// C7: the newest frame here has no certificate, and no share of this node's will make anybody tell.
    pub fn watch_newest(&mut self, now: Timestamp) {
        let newest = self.branches.newest().filter(|newest| !self.covered(newest));
        let signed = self.row.as_ref().and_then(|row| row.last);
        let newest = newest.filter(|newest| signed != Some(*newest) && self.calls.is_none());
        if self.watched.as_ref().map(|(place, _)| *place) != newest {
            self.watched = newest.map(|newest| (newest, Again::after(now, ASK_WAIT_MS)));
        }
    }

    /// Asks those who add up for the certificate of the newest frame.
    pub fn ask_certificate(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        let Some((place, again)) = self.watched.as_mut() else { return };
        if !again.fires(now) {
            return;
        }
        let (place, chain) = (*place, self.chain);
        let question = Message::Announce(FrameRef { chain, sequence: place.0, frame: place.1 });
        for peer in common.collectors(&chain, &self.certifiers(&place).unwrap_or_default(), place.0) {
            send(out, peer, &question);
        }
    }
}
