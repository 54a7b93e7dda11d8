//! Rules G1 to G4 and C5: shares and sums come in, certificates go out.

use std::collections::{BTreeMap, VecDeque};

use ao_consensus::Timestamp;
use ao_consensus::effect::{Effect, Offence};
use ao_types::{Attestation, BlsKey, BlsSignature, Certificate, Epoch, PeerId};

use crate::aggregate::{Collection, Sender, Subject};
use crate::branches::Place;
use crate::chain::ChainState;
use crate::common::{Common, Duties, penalise, publish, send, statement};
use crate::draw::{slice_count, slice_of};
use crate::limits::{COLLECTED_MAX, EARLY_SHARES_MAX, SUM_WAIT_MS};
use crate::mutation::Mutation;
use crate::timer::Again;
use crate::wire::{Message, frame_of};

/// What is collected for one frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collecting {
    by_epoch: BTreeMap<Epoch, Collection>,
    /// G3: when an aggregator publishes what nobody else did. Passed and without a quorum: as soon as there is one.
    publish: Option<Timestamp>,
    overdue: bool,
    /// When a slice's aggregator sends its sum again, if it has grown.
    sum: Option<Again>,
    summed: BTreeMap<Epoch, usize>,
}

impl Collecting {
    pub fn deadline(&self) -> Option<Timestamp> {
        [self.publish, self.sum.map(|again| again.due)].into_iter().flatten().min()
    }

    /// The share of a key that sent it itself.
    pub fn share_of(&self, common: &Common, key: &BlsKey) -> Option<BlsSignature> {
        let in_committee = |(epoch, collection): (&Epoch, &Collection)| {
            let index = common.rosters.get(*epoch)?.committee().index_of(key)?;
            collection.share_of(index)
        };
        self.by_epoch.iter().find_map(in_committee)
    }

    /// Whether a member of any committee that certifies the frame was heard.
    pub fn heard(&self, epoch: Epoch, member: u16) -> bool {
        self.by_epoch.get(&epoch).is_some_and(|collection| collection.heard(member))
    }
}

/// What this node adds up for a frame in one committee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Role {
    scheduler: bool,
    /// Of the whole committee.
    aggregator: bool,
    /// Of its slice.
    slice: bool,
}

impl Role {
    fn none(self) -> bool {
        !(self.scheduler || self.aggregator || self.slice)
    }
}

impl ChainState {
    fn role(&self, common: &Common, epoch: Epoch, place: &Place) -> Role {
        let scheduler = common.own == Some(self.chain);
        let Some(Duties { top, index, slice, .. }) = common.duties(&self.chain, epoch, place.0) else {
            return Role { scheduler, ..Role::default() };
        };
        let among = |members: &[u16]| index.is_some_and(|index| members.contains(&index));
        Role { scheduler, aggregator: among(&top), slice: among(&slice) }
    }

    /// A member's share, from its node or, when its row is durable, from this one.
    pub fn on_share(&mut self, common: &mut Common, now: Timestamp, from: PeerId, attestation: Attestation, out: &mut Vec<Effect>) {
        let Some(place) = frame_of(&attestation.statement).map(|frame| (frame.sequence, frame.frame)) else { return };
        let Some(certifiers) = self.certifiers(&place) else {
            if place.0 < self.branches.base().next_sequence {
                self.answer(common, &from, &attestation.key, out);
            } else {
                self.keep_early(common, now, from, Message::Share(attestation), place, out);
            }
            return;
        };
        let places = self.places_of(common, &certifiers, &attestation.key, &from);
        if places.is_empty() {
            // A key of a committee that is not known here yet may be its member's.
            let known = certifiers.iter().all(|epoch| common.rosters.get(*epoch).is_some());
            penalise(out, Some(from).filter(|_| known), Offence::Foreign);
            return;
        }
        self.look_for_two_branches(common, &place, &attestation, &from, out);
        let covered = self.covered(&place);
        let mut repeated = false;
        for (epoch, member) in places {
            let role = self.role(common, epoch, &place);
            if role.none() {
                repeated |= covered;
                continue;
            }
            let liar = self.liars.contains(&attestation.key);
            if liar && common.rosters.verify_attestation(epoch, &attestation).is_err() {
                penalise(out, Some(from.clone()), Offence::BadSignature);
                return;
            }
            let wait_ms = common.wait_ms(self.usual_ms);
            let Some(collection) = self.collection(common, &place, epoch) else { continue };
            repeated |= collection.heard(member);
            collection.share(member, attestation.signature);
            let collecting = self.collecting.entry(place).or_default();
            if role.aggregator && !role.scheduler && !covered && !collecting.overdue {
                collecting.publish.get_or_insert(now.plus_ms(wait_ms));
            }
            if role.slice && collecting.sum.is_none() {
                collecting.sum = Some(Again::after(now, SUM_WAIT_MS));
            }
        }
        if covered {
            if repeated {
                self.answer(common, &from, &attestation.key, out);
            }
            return;
        }
        self.add_up(common, now, &place, out);
    }

    /// A partial sum of a slice.
    pub fn on_sum(&mut self, common: &mut Common, now: Timestamp, from: PeerId, sum: Certificate, out: &mut Vec<Effect>) {
        let Some(place) = frame_of(&sum.statement).map(|frame| (frame.sequence, frame.frame)) else { return };
        let Some(certifiers) = self.certifiers(&place) else {
            self.keep_early(common, now, from, Message::Sum(sum), place, out);
            return;
        };
        let epoch = sum.epoch;
        let role = self.role(common, epoch, &place);
        if self.covered(&place) || !(role.scheduler || role.aggregator) {
            return;
        }
        let Some(committee) = common.rosters.get(epoch).filter(|_| certifiers.contains(&epoch)).map(|roster| roster.committee().clone())
        else {
            penalise(out, Some(from), Offence::Foreign);
            return;
        };
        let slices = slice_count(committee.len());
        let slice = sum.signers.iter().next().map(|member| slice_of(member, slices));
        let drawn = slice.map(|slice| common.slice_aggregators(&self.chain, epoch, place.0, slice)).unwrap_or_default();
        let by = drawn.into_iter().find(|member| committee.member(*member).is_some_and(|one| one.peer == from));
        let (Some(slice), Some(by)) = (slice, by) else {
            penalise(out, Some(from), Offence::Foreign);
            return;
        };
        let liar = committee.member(by).is_some_and(|member| self.liars.contains(&member.key));
        if liar && !holds(common, &sum) {
            penalise(out, Some(from), Offence::BadSignature);
            return;
        }
        let wait_ms = common.wait_ms(self.usual_ms);
        let Some(collection) = self.collection(common, &place, epoch) else { return };
        if !collection.sum(slice, by, sum.signers, sum.signature) {
            penalise(out, Some(from), Offence::Foreign);
            return;
        }
        let collecting = self.collecting.entry(place).or_default();
        if !role.scheduler && !collecting.overdue {
            collecting.publish.get_or_insert(now.plus_ms(wait_ms));
        }
        self.add_up(common, now, &place, out);
    }

    /// The places of a key in committees that certify a frame, if the peer is where they say it is.
    fn places_of(&self, common: &Common, certifiers: &[Epoch], key: &BlsKey, from: &PeerId) -> Vec<(Epoch, u16)> {
        let place = |epoch: &Epoch| {
            let committee = common.rosters.get(*epoch)?.committee();
            let index = committee.index_of(key)?;
            committee.member(index).filter(|member| member.peer == *from).map(|_| (*epoch, index))
        };
        let places: Vec<(Epoch, u16)> = certifiers.iter().filter_map(place).collect();
        if places.is_empty() && common.mutations.has(Mutation::ForeignEpoch) {
            let elsewhere: Vec<Epoch> = common.rosters.epochs().collect();
            let index = elsewhere.iter().find_map(place).map(|(_, index)| index);
            return index.into_iter().flat_map(|index| certifiers.iter().map(move |epoch| (*epoch, index))).collect();
        }
        places
    }

    /// The collection for a frame, if there is room: the lowest frames give way.
    fn collection(&mut self, common: &Common, place: &Place, epoch: Epoch) -> Option<&mut Collection> {
        if !self.collecting.contains_key(place) && self.collecting.len() >= COLLECTED_MAX {
            let lowest = *self.collecting.keys().next()?;
            if lowest >= *place {
                return None;
            }
            self.collecting.remove(&lowest);
        }
        let roster = common.rosters.get(epoch)?;
        Some(self.collecting.entry(*place).or_default().by_epoch.entry(epoch).or_insert_with(|| Collection::new(roster)))
    }

    /// Certifies a frame if shares suffice: a scheduler at once, an aggregator when it waited long enough.
    fn add_up(&mut self, common: &mut Common, now: Timestamp, place: &Place, out: &mut Vec<Effect>) {
        let scheduler = common.own == Some(self.chain);
        let overdue = self.collecting.get(place).is_some_and(|collecting| collecting.overdue);
        if !(scheduler || overdue) {
            return;
        }
        let formed = self.form(common, place, out);
        if formed.is_empty() {
            return;
        }
        for certificate in formed {
            self.learn(certificate, out);
        }
        let certificates = self.branches.certificates(place);
        if let (Some(certificates), true) = (certificates, overdue && !scheduler) {
            publish(out, &Message::Certified(certificates));
        }
        self.digest(common, now, out);
    }

    /// Certificates that a frame lacks and that shares suffice for.
    fn form(&mut self, common: &Common, place: &Place, out: &mut Vec<Effect>) -> Vec<Certificate> {
        let statement = statement(self.chain, *place);
        let message = statement.message(&common.network);
        let certifiers = self.certifiers(place).unwrap_or_default();
        let (mut formed, mut bad) = (Vec::new(), Vec::new());
        for epoch in certifiers.into_iter().filter(|epoch| self.branches.certificate(place, *epoch).is_none()) {
            let collection = self.collecting.get_mut(place).and_then(|collecting| collecting.by_epoch.get_mut(&epoch));
            let subject = Subject::new(&common.rosters, epoch, statement, &message, common.mutations);
            if let (Some(collection), Some(subject)) = (collection, subject) {
                let mut senders = Vec::new();
                formed.extend(collection.certificate(&subject, &mut senders));
                bad.extend(senders.into_iter().map(|sender| (epoch, sender)));
            }
        }
        self.blame(common, bad, out);
        formed
    }

    fn blame(&mut self, common: &Common, bad: Vec<(Epoch, Sender)>, out: &mut Vec<Effect>) {
        for (epoch, Sender::Member(index) | Sender::Aggregator(index)) in bad {
            let member = common.rosters.get(epoch).and_then(|roster| roster.committee().member(index).cloned());
            if let Some(member) = member {
                self.liars.insert(member.key);
                penalise(out, Some(member.peer), Offence::BadSignature);
            }
        }
    }

    /// Waits that are over: an aggregator publishes, a slice's aggregator sends its sum.
    pub fn collect_due(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>) {
        let due: Vec<Place> =
            self.collecting.iter().filter(|(_, one)| one.deadline().is_some_and(|at| at <= now)).map(|(place, _)| *place).collect();
        for place in due {
            let covered = self.covered(&place);
            let Some(collecting) = self.collecting.get_mut(&place) else { continue };
            if covered {
                (collecting.publish, collecting.sum) = (None, None);
                continue;
            }
            if collecting.sum.as_mut().is_some_and(|again| again.fires(now)) {
                self.send_sums(common, &place, out);
            }
            let Some(collecting) = self.collecting.get_mut(&place) else { continue };
            if collecting.publish.is_some_and(|at| at <= now) {
                (collecting.publish, collecting.overdue) = (None, true);
                self.add_up(common, now, &place, out);
            }
        }
    }

    /// G1: the sum of this node's slice, to the scheduler and the aggregators of the whole committee, if it has grown.
    fn send_sums(&mut self, common: &Common, place: &Place, out: &mut Vec<Effect>) {
        let statement = statement(self.chain, *place);
        let message = statement.message(&common.network);
        for epoch in self.certifiers(place).unwrap_or_default() {
            let Some(Duties { slices, top, index: Some(index), slice }) = common.duties(&self.chain, epoch, place.0) else { continue };
            let Some(subject) = Subject::new(&common.rosters, epoch, statement, &message, common.mutations) else { continue };
            let Some(collecting) = self.collecting.get_mut(place).filter(|_| slices > 0 && slice.contains(&index)) else { continue };
            let Some(collection) = collecting.by_epoch.get_mut(&epoch) else { continue };
            let mut bad = Vec::new();
            let sum = collection.partial(&subject, slice_of(index, slices), &mut bad);
            let grown =
                sum.filter(|sum| collecting.summed.insert(epoch, sum.signers.count()).is_none_or(|before| sum.signers.count() > before));
            if let Some(sum) = grown {
                let aggregators = top.iter().filter_map(|member| common.peer_of(epoch, *member));
                let mut peers: Vec<PeerId> = aggregators.chain(common.origin.peer_of(&self.chain.scheduler).cloned()).collect();
                peers.sort();
                peers.dedup();
                peers.retain(|peer| *peer != common.peer);
                peers.into_iter().for_each(|peer| send(out, peer, &Message::Sum(sum.clone())));
            }
            self.blame(common, bad.into_iter().map(|sender| (epoch, sender)).collect(), out);
        }
    }

    /// C5: what certifies the frame that was asked about, or a later one.
    pub fn answer(&self, common: &Common, peer: &PeerId, key: &BlsKey, out: &mut Vec<Effect>) {
        let member =
            common.rosters.epochs().any(|epoch| common.rosters.get(epoch).is_some_and(|roster| roster.committee().index_of(key).is_some()));
        if member && *peer != common.peer {
            self.tell_certified(peer, out);
        }
    }

    /// The newest certificate, to one node.
    pub fn tell_certified(&self, peer: &PeerId, out: &mut Vec<Effect>) {
        let newest = self.branches.certified().and_then(|place| self.branches.certificates(&place));
        let newest = newest.or_else(|| self.known.as_ref().map(|known| known.certificates.clone()));
        if let Some(certificates) = newest {
            send(out, peer.clone(), &Message::Certified(certificates));
        }
    }

    /// A share or sum of a frame that is not linked: kept for a while, and the frame asked for.
    fn keep_early(&mut self, common: &Common, now: Timestamp, from: PeerId, message: Message, place: Place, out: &mut Vec<Effect>) {
        if !common.is_party(&self.chain, &from) {
            // Perhaps of a committee that is not known here yet.
            return;
        }
        self.want(common, now, place, Some(from.clone()), false, out);
        if self.early.iter().any(|(_, kept)| *kept == message) {
            return;
        }
        if self.early.len() >= EARLY_SHARES_MAX {
            self.early.pop_front();
        }
        self.early.push_back((from, message));
    }

    /// Shares that came before their frame.
    pub fn count_early(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>) {
        let next = self.branches.base().next_sequence;
        let place = |message: &Message| message.subject().map(|frame| (frame.sequence, frame.frame));
        let (ready, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|(_, message)| place(message).is_none_or(|place| place.0 < next || self.branches.tip_after(&place).is_some()));
        self.early = rest;
        for (from, message) in ready {
            match message {
                Message::Share(attestation) => self.on_share(common, now, from, attestation, out),
                Message::Sum(sum) => self.on_sum(common, now, from, sum, out),
                Message::Certified(_) | Message::Announce(_) => {}
            }
        }
    }
}

/// Whether a partial sum is what its signers signed.
fn holds(common: &Common, sum: &Certificate) -> bool {
    let message = sum.statement.message(&common.network);
    let keys = common.rosters.get(sum.epoch).and_then(|roster| roster.sum(&sum.signers));
    keys.is_some_and(|keys| {
        common.rosters.scheme().verify(&ao_consensus::scheme::Claim { keys, message: &message, signature: &sum.signature })
    })
}
