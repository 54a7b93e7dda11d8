//! Items that are named and not here: pulled part by part from one holder after the other.
//!
//! An item's id is the hash of its signature, so a wrong item is noticed when it is complete, and costs whoever gave the last part points.
//! One part of an item is asked for at a time; items are few.

use std::collections::{BTreeMap, VecDeque};

use ao_consensus::Timestamp;
use ao_consensus::limits::CHUNK_BYTES;
use ao_p2p::{Failure, InboundId, Offence, PeerId};
use ao_types::{DataItem, Id, Profile};
use bytes::Bytes;

use super::limits::{
    CHUNK_PAUSE_MS_MAX, CHUNK_PAUSE_MS_MIN, DENIALS_MAX, HOLDERS_MAX, ITEM_BYTES_WAITING_MAX, ITEM_PULL_BYTES_MAX, ITEMS_MAX, PARTS_MAX,
    PULL_MS_MAX,
};
use super::message::{ItemPart, ItemQuestion};

/// Why an item is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The node lacks it.
    Lacked,
    /// A peer forwards it and waits for the answer.
    Submission(InboundId),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Act {
    /// Ask a peer; [`Items::answered`] must follow.
    Ask {
        /// Names it in the answer.
        request: u64,
        /// Whom.
        peer: PeerId,
        /// What.
        question: ItemQuestion,
    },
    /// An item is here. Its form and id are right, nothing else is checked.
    Item {
        /// Who gave the last part.
        from: PeerId,
        /// Why it was wanted.
        purpose: Purpose,
        /// Raw ANS-104 bytes.
        bytes: Bytes,
    },
    /// Nobody gave it.
    Lost(Purpose),
    /// Everybody who is connected said that it is not there.
    Nobody {
        /// Which item.
        item: Id,
        /// Who said so.
        denied: Vec<PeerId>,
    },
    /// A peer did what honest ones do not.
    Blame(PeerId, Offence),
}

#[derive(Debug)]
struct Want {
    purpose: Purpose,
    holders: VecDeque<PeerId>,
    /// Who does not have it.
    denied: Vec<PeerId>,
    total: Option<u32>,
    bytes: Vec<u8>,
    asked: Option<(u64, PeerId)>,
    since: Timestamp,
    rests_until: Timestamp,
    pause_ms: u64,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Items {
    wants: BTreeMap<Id, Want>,
    asked: BTreeMap<u64, Id>,
    next_request: u64,
}

impl Items {
    /// Wants an item. Said again, it adds holders. `false`: too many are wanted.
    pub fn want(&mut self, now: Timestamp, item: Id, holders: &[PeerId], purpose: Purpose) -> bool {
        if !self.wants.contains_key(&item) && self.wants.len() >= ITEMS_MAX {
            return false;
        }
        let want = self.wants.entry(item).or_insert_with(|| Want {
            purpose,
            holders: VecDeque::new(),
            denied: Vec::new(),
            total: None,
            bytes: Vec::new(),
            asked: None,
            since: now,
            rests_until: now,
            pause_ms: CHUNK_PAUSE_MS_MIN,
        });
        want.since = now;
        holders.iter().for_each(|holder| want.add(*holder));
        true
    }

    /// What became of a request.
    pub fn answered(&mut self, now: Timestamp, request: u64, result: Result<Bytes, Failure>, acts: &mut Vec<Act>) {
        let Some(item) = self.asked.remove(&request) else { return };
        let Some(want) = self.wants.get_mut(&item) else { return };
        let Some((_, peer)) = want.asked.take() else { return };
        match result {
            Ok(bytes) => match ItemPart::decode(&bytes).ok().filter(|part| want.takes(part)) {
                Some(part) => {
                    want.total = Some(part.total);
                    want.bytes.extend_from_slice(&part.bytes);
                    want.pause_ms = CHUNK_PAUSE_MS_MIN;
                    if want.bytes.len() < part.total as usize {
                        return;
                    }
                    let bytes = Bytes::from(std::mem::take(&mut want.bytes));
                    want.total = None;
                    if DataItem::parse(bytes.clone(), Profile::Strict).is_ok_and(|found| found.id() == item) {
                        let purpose = want.purpose;
                        self.wants.remove(&item);
                        return acts.push(Act::Item { from: peer, purpose, bytes });
                    }
                    want.drop_holder(peer);
                    acts.push(Act::Blame(peer, Offence::Invalid));
                }
                None => {
                    want.drop_holder(peer);
                    acts.push(Act::Blame(peer, Offence::Invalid));
                }
            },
            Err(Failure::NotFound) => {
                want.drop_holder(peer);
                want.deny(peer);
            }
            Err(Failure::Refused | Failure::Unsupported | Failure::Malformed) => want.drop_holder(peer),
            Err(_) => want.rest(now),
        }
    }

    /// Says what is to be done now. `others` are asked where no holder is known.
    pub fn poll(&mut self, now: Timestamp, others: &[PeerId], acts: &mut Vec<Act>) {
        let late: Vec<Id> = self.wants.iter().filter(|(_, want)| now.since_ms(want.since) >= PULL_MS_MAX).map(|(id, _)| *id).collect();
        for item in late {
            if let Some(want) = self.wants.remove(&item) {
                acts.push(Act::Lost(want.purpose));
            }
        }
        let nowhere: Vec<Id> = self.wants.iter().filter(|(_, want)| want.is_nowhere(others)).map(|(id, _)| *id).collect();
        for item in nowhere {
            if let Some(want) = self.wants.remove(&item) {
                acts.push(Act::Nobody { item, denied: want.denied });
            }
        }
        let (waiting, most) = self.wants.values().fold((0, 0), |(all, most), want| (all + want.bytes.len(), want.bytes.len().max(most)));
        for (item, want) in &mut self.wants {
            if waiting >= ITEM_BYTES_WAITING_MAX && want.bytes.len() < most {
                continue;
            }
            if want.asked.is_some() || want.rests_until > now {
                continue;
            }
            if want.holders.is_empty() && want.purpose == Purpose::Lacked {
                let new: Vec<PeerId> = others.iter().filter(|peer| !want.denied.contains(peer)).copied().collect();
                new.into_iter().for_each(|peer| want.add(peer));
            }
            let Some(peer) = want.holders.front().copied() else {
                want.rest(now);
                continue;
            };
            let request = self.next_request;
            self.next_request += 1;
            want.asked = Some((request, peer));
            self.asked.insert(request, *item);
            let part = (want.bytes.len() / CHUNK_BYTES) as u32;
            acts.push(Act::Ask { request, peer, question: ItemQuestion { item: *item, part } });
        }
    }
}

impl Want {
    fn add(&mut self, holder: PeerId) {
        if self.holders.len() < HOLDERS_MAX && !self.holders.contains(&holder) {
            self.holders.push_back(holder);
        }
    }

    fn deny(&mut self, peer: PeerId) {
        if self.denied.len() < DENIALS_MAX && !self.denied.contains(&peer) {
            self.denied.push(peer);
        }
    }

    /// There is nobody left to ask.
    fn is_nowhere(&self, others: &[PeerId]) -> bool {
        let asked = self.denied.len() >= DENIALS_MAX || others.iter().all(|peer| self.denied.contains(peer));
        self.purpose == Purpose::Lacked && self.asked.is_none() && self.holders.is_empty() && asked
    }

    /// Whether this is the next part of an item of a size that can be.
    fn takes(&self, part: &ItemPart) -> bool {
        let (have, total) = (self.bytes.len(), part.total as usize);
        let same = self.total.is_none_or(|known| known == part.total);
        same && total > 0 && total <= ITEM_PULL_BYTES_MAX && part.bytes.len() == CHUNK_BYTES.min(total.saturating_sub(have))
    }

    /// It does not have it; parts of it that came from there are not trusted either.
    fn drop_holder(&mut self, peer: PeerId) {
        self.holders.retain(|holder| *holder != peer);
        (self.total, self.bytes) = (None, Vec::new());
    }

    /// Nobody is asked for a while, then the next holder.
    fn rest(&mut self, now: Timestamp) {
        self.rests_until = Timestamp(now.0.saturating_add(self.pause_ms));
        self.pause_ms = (self.pause_ms * 2).min(CHUNK_PAUSE_MS_MAX);
        let turn = 1.min(self.holders.len());
        self.holders.rotate_left(turn);
    }
}

const _: () = assert!(ITEM_PULL_BYTES_MAX <= PARTS_MAX * CHUNK_BYTES);

#[cfg(test)]
mod tests;
