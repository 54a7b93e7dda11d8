//! What other nodes say.

use ao_consensus::Timestamp;
use ao_consensus::frame::RawHeader;
use ao_p2p::{Answer, Command, GossipId, InboundId, Kind, Offence, PeerId, Topic};
use ao_types::codec::{Canonical, Reader};
use bytes::Bytes;

use super::order::topic;
use super::{Task, names};
use crate::error::{Code, Rejection};
use crate::network::items::Purpose;
use crate::network::message::{Direct, Forward, Gossip, Piece, Place, encode_receipt};
use crate::network::range::Authentic;
use crate::network::seam::{Arrival, Judge, Load, Replier, Verdict, Way};
use crate::network::servers::Question;

fn verdict(verdict: Verdict) -> ao_p2p::Verdict {
    match verdict {
        Verdict::Accept => ao_p2p::Verdict::Accept,
        Verdict::Ignore => ao_p2p::Verdict::Ignore,
        Verdict::Reject => ao_p2p::Verdict::Reject,
    }
}

impl Task {
    pub(super) fn on_gossip(&mut self, now: Timestamp, id: GossipId, from: PeerId, on: Topic, data: &Bytes) {
        let judge = self.judge(id);
        let gossip = Gossip::decode(data);
        match (on, gossip) {
            (Topic::Frames(_), Ok(Gossip::Frame(bytes))) => {
                let Ok(raw) = RawHeader::read(&mut Reader::new(&bytes)) else { return judge.say(Verdict::Reject) };
                match self.foreign(on, &raw) {
                    Some(said) => judge.say(said),
                    None => self.may_arrive(Arrival::Frame { from: names::to_types(&from), bytes, way: Way::Gossip, judge }),
                }
            }
            (Topic::Frames(_), Ok(Gossip::Header { header, holder })) => {
                if let Some(said) = self.foreign(on, &header) {
                    judge.say(said);
                } else if self.sync.has(&header.header.chain, header.header.sequence) {
                    // The same again, or a second one for its place: a look into the store tells.
                    let (from, bytes) = (names::to_types(&from), header.encode().into());
                    self.may_arrive(Arrival::Frame { from, bytes, way: Way::Header, judge });
                } else {
                    judge.say(self.on_header(now, *header, from, holder));
                }
            }
            (Topic::Votes | Topic::Certificates, Ok(Gossip::Engine(bytes))) => {
                self.may_arrive(Arrival::Engine { from: names::to_types(&from), bytes, judge });
            }
            (Topic::Evidence, Ok(Gossip::Evidence(bytes))) => {
                self.may_arrive(Arrival::Evidence { from: names::to_types(&from), bytes, judge });
            }
            _ => judge.say(Verdict::Reject),
        }
    }

    fn judge(&self, id: GossipId) -> Judge {
        let network = self.network.clone();
        // Without room for it the verdict becomes "ignore".
        Judge::new(move |said| drop(network.send(Command::Verdict { id, verdict: verdict(said) })))
    }

    /// The verdict on a frame that is none of this topic, network or node's chains.
    fn foreign(&self, on: Topic, raw: &RawHeader) -> Option<Verdict> {
        let header = &raw.header;
        if header.network_id != self.id || topic(&header.chain) != on {
            return Some(Verdict::Reject);
        }
        (!self.chains.contains(&header.chain)).then_some(Verdict::Ignore)
    }

    /// A header by itself: once its signature holds, its body is pulled.
    fn on_header(&mut self, now: Timestamp, raw: RawHeader, from: PeerId, holder: PeerId) -> Verdict {
        let (chain, sequence) = (raw.header.chain, raw.header.sequence);
        let Ok(signed) = raw.clone().verify() else { return Verdict::Reject };
        self.spread.header(now, Place { chain, sequence, frame: signed.id() }, raw, from, holder);
        self.due = true;
        Verdict::Accept
    }

    /// A frame of a range: its scheduler's own.
    pub(super) fn on_authentic(&mut self, now: Timestamp, peer: PeerId, frame: Authentic) {
        match frame.piece {
            Piece::Whole(bytes) => self.arrive_frame(peer, frame.place.chain, bytes),
            Piece::Header(bytes) => {
                if let Ok(raw) = RawHeader::decode(&bytes) {
                    self.spread.header(now, frame.place, raw, peer, peer);
                    self.due = true;
                }
            }
        }
    }

    /// Hands over what nobody asked for: without room it is dropped, and a judge that is dropped ignores.
    fn may_arrive(&self, arrival: Arrival) {
        if self.door.offer(arrival).is_err() {
            self.counts.arrivals_dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    pub(super) fn on_direct(&mut self, from: PeerId, data: &Bytes) {
        let name = names::to_types(&from);
        match Direct::decode(data) {
            Ok(Direct::Engine(bytes)) => self.may_arrive(Arrival::Engine { from: name, bytes, judge: Judge::nobody() }),
            Ok(Direct::Evidence(bytes)) => self.may_arrive(Arrival::Evidence { from: name, bytes, judge: Judge::nobody() }),
            Ok(Direct::Location(bytes)) => self.may_arrive(Arrival::Location { from: name, bytes }),
            Ok(Direct::Tips(tips, clock)) => {
                self.hear_clock(from, clock);
                self.sync.claimed(from, &tips);
                self.due = true;
            }
            Ok(Direct::Have(place)) => {
                if self.chains.contains(&place.chain) && !self.sync.has(&place.chain, place.sequence) {
                    self.spread.have(place.frame, from);
                    self.due = true;
                }
            }
            Err(_) => self.send(Command::Penalise { peer: from, offence: Offence::Malformed }),
        }
    }

    pub(super) fn on_request(&mut self, now: Timestamp, id: InboundId, from: PeerId, kind: Kind, data: &Bytes) {
        if !self.serves {
            return self.send(Command::Respond { id, answer: Answer::Refused });
        }
        let answer = if kind == Kind::Forward {
            match Forward::decode(data) {
                Ok(Forward::Whole(item)) => return self.submission(from, id, Load::Item(item)),
                Ok(Forward::Assign(assign)) => return self.submission(from, id, Load::Assign(assign)),
                Ok(Forward::Offer { item, .. }) if self.items.want(now, item, &[from], Purpose::Submission(id)) => {
                    self.due = true;
                    return;
                }
                Ok(Forward::Offer { .. }) => Some(Answer::Busy),
                Err(_) => None,
            }
        } else {
            match Question::read(kind, data) {
                Some(Question::Item(question)) if let Some(answer) = self.forwards.part(&question.item, question.part) => Some(answer),
                Some(question) => match self.servers.ask(id, from, question) {
                    Some(answer) => Some(answer),
                    None => return,
                },
                None => None,
            }
        };
        if answer.is_none() {
            self.send(Command::Penalise { peer: from, offence: Offence::Malformed });
        }
        self.send(Command::Respond { id, answer: answer.unwrap_or(Answer::Refused) });
    }

    /// A client of another node sent this, or an outbox there.
    pub(super) fn submission(&mut self, from: PeerId, id: InboundId, load: Load) {
        let network = self.network.clone();
        let reply = Replier::new(move |receipt| {
            drop(network.send(Command::Respond { id, answer: Answer::Found(encode_receipt(&receipt)) }));
        });
        let arrival = Arrival::Submission { from: names::to_types(&from), load, reply };
        if let Err(arrival) = self.door.offer(arrival)
            && let Arrival::Submission { reply, .. } = *arrival
        {
            reply.answer(Err(Rejection::retry(Code::Busy, "the scheduler's node has too much to do", 1)));
        }
    }
}
