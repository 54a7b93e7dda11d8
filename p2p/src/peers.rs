//! What is known of peers: where they are, what they did wrong, who is banned until when, whom to dial next.
//!
//! Decides, and does nothing by itself: time is an argument, dials and disconnections are answers. Scores are whole points that grow back
//! with time; an address that a stranger told is a hint, dialled only when a connection is wanted.
//!
//! ```text
//!            offence                     at BAN_AT
//!   0 ──────────────▶ −cost … −99 ──────────────────▶ banned for BAN_MIN × 6ⁿ ──▶ 0, n + 1
//!   ▲                    │
//!   └── POINTS_PER_MINUTE┘
//! ```
//!
//! What may as well be the world's fault ([`Offence::is_delay`]) is counted apart: at the same mark the connection is closed and nothing is
//! held against the peer. Were it a ban, two honest nodes would ban one another after every partition between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::admission::Subnet;
use crate::identity::{KnownPeer, NetAddress, PeerId};
use crate::limits::{
    ADDRESSES_PER_PEER, ANCHORS_MAX, BAN_AT, BAN_MAX, BAN_MIN, BANS_MAX, DELAYS_FORGIVEN, DIAL_PAUSE_MAX, DIAL_PAUSE_MIN, FRIEND_PAUSE_MAX,
    GOSSIP_BAN_MIN, LEDGERS_MAX, PEERS_KNOWN_MAX, POINTS_PER_MINUTE, VERSION_PAUSE, VERSION_TOLD_EVERY,
};

mod offence;

pub use offence::{BanReason, Offence};

/// The two clocks that a decision on peers needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// Since the network was started; never runs backwards.
    pub(crate) uptime: Duration,
    /// Unix time in seconds: bans outlive the process.
    pub(crate) unix: u64,
}

/// A ban, as it is persisted by the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub peer: PeerId,
    /// Why.
    pub reason: BanReason,
    /// Until when, Unix time in seconds.
    pub until: u64,
    /// How many bans of this peer came before; the next one is longer.
    pub earlier: u8,
}

/// What follows from an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// Nothing but its points.
    None,
    /// Its connections are closed. It may come back at once.
    Close,
    /// It is banned.
    Ban(Ban),
}

/// A peer's points as gossipsub sees them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Points {
    /// All that count.
    pub(crate) score: f64,
    /// Those of them that are for delays, which never ban.
    pub(crate) delays: f64,
}

/// What a peer did wrong lately.
#[derive(Clone, Copy, Debug, Default)]
struct Ledger {
    /// Thousandths of points, never above nought, for what is a peer's own fault.
    milli: i64,
    /// The same for what may be the world's.
    delays: i64,
    at: Duration,
    /// The offence that cost most of what is left.
    worst: Option<(Offence, u32)>,
    bans: u8,
    /// When it was last said that this peer speaks another version.
    version_told: Option<Duration>,
}

impl Ledger {
    fn settle(&mut self, now: Duration) {
        let passed = i64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(i64::MAX);
        let regained = passed.saturating_mul(i64::from(POINTS_PER_MINUTE)) / 60;
        self.milli = self.milli.saturating_add(regained).min(0);
        self.delays = self.delays.saturating_add(regained).min(0);
        self.at = now;
        if self.milli == 0 {
            self.worst = None;
        }
    }
}

/// What is known of a peer that one may dial.
#[derive(Clone, Debug, Default)]
struct Place {
    addresses: BTreeSet<NetAddress>,
    /// Not before this.
    next_dial: Duration,
    pause: Duration,
    /// It answered at least once.
    proven: bool,
    /// When it was last told of, for making room.
    told: Duration,
}

/// Peers known, judged and banned.
pub(crate) struct PeerBook {
    ledgers: LruCache<PeerId, Ledger>,
    bans: BTreeMap<PeerId, Ban>,
    places: BTreeMap<PeerId, Place>,
    wanted: BTreeSet<PeerId>,
}

impl PeerBook {
    /// A book with the bans and peers that were kept from before. Bans that are over are left out.
    pub(crate) fn new(bans: &[Ban], now: Now) -> Self {
        let ledgers = LruCache::new(NonZeroUsize::new(LEDGERS_MAX).unwrap_or(NonZeroUsize::MIN));
        let mut book = Self { ledgers, bans: BTreeMap::new(), places: BTreeMap::new(), wanted: BTreeSet::new() };
        for ban in bans.iter().take(BANS_MAX) {
            book.ledger(ban.peer, now).bans = ban.earlier.saturating_add(1);
            if ban.until > now.unix {
                book.bans.insert(ban.peer, *ban);
            }
        }
        book
    }

    fn ledger(&mut self, peer: PeerId, now: Now) -> &mut Ledger {
        let ledger = self.ledgers.get_or_insert_mut(peer, Ledger::default);
        ledger.settle(now.uptime);
        ledger
    }

    /// Points of a peer, nought or less.
    pub(crate) fn score(&mut self, peer: PeerId, now: Now) -> i32 {
        self.points(peer, now).0
    }

    /// Points of a peer as gossipsub should see them. A negative score ends a peer's place in the mesh, so a few delays stay out of it.
    pub(crate) fn gossip_score(&mut self, peer: PeerId, now: Now) -> Points {
        let (all, delays) = self.points(peer, now);
        let shown = (delays + DELAYS_FORGIVEN).min(0);
        Points { score: f64::from(all - delays + shown), delays: f64::from(shown) }
    }

    /// All points, and those of them that are for delays.
    fn points(&mut self, peer: PeerId, now: Now) -> (i32, i32) {
        let whole = |milli: i64| i32::try_from(milli / 1000).unwrap_or(i32::MIN / 2);
        match self.ledgers.get_mut(&peer) {
            Some(ledger) => {
                ledger.settle(now.uptime);
                (whole(ledger.milli + ledger.delays), whole(ledger.delays))
            }
            None => (0, 0),
        }
    }

    /// Books an offence, `times` over, and says what follows. What a banned peer still had under way is paid for by its ban.
    pub(crate) fn offend(&mut self, peer: PeerId, offence: Offence, times: u32, now: Now) -> Sentence {
        if self.is_banned(peer) {
            return Sentence::None;
        }
        let ledger = self.ledger(peer, now);
        let cost = u32::try_from(offence.cost()).unwrap_or(0).saturating_mul(times);
        let limit = i64::from(BAN_AT) * 1000;
        let points = if offence.is_delay() { &mut ledger.delays } else { &mut ledger.milli };
        *points = points.saturating_sub(i64::from(cost) * 1000).max(2 * limit);
        let over = *points <= limit;
        if offence.is_delay() {
            if over {
                // whoever comes back starts anew
                ledger.delays = 0;
                return Sentence::Close;
            }
            return Sentence::None;
        }
        if ledger.worst.is_none_or(|(worst, most)| worst == offence || most < cost) {
            let sum = ledger.worst.filter(|(worst, _)| *worst == offence).map_or(0, |(_, most)| most);
            ledger.worst = Some((offence, sum.saturating_add(cost)));
        }
        let reason = ledger.worst.map_or(BanReason::Gossip, |(worst, _)| BanReason::Offence(worst));
        let ban = over.then(|| self.ban_by_score(peer, reason, now)).flatten();
        ban.map_or(Sentence::None, Sentence::Ban)
    }

    /// Bans for as long as the peer's record asks for. `None` if it is banned already.
    pub(crate) fn ban_by_score(&mut self, peer: PeerId, reason: BanReason, now: Now) -> Option<Ban> {
        let earlier = self.ledger(peer, now).bans;
        let first = if reason == BanReason::Gossip { GOSSIP_BAN_MIN } else { BAN_MIN };
        let length = first.saturating_mul(6_u32.saturating_pow(u32::from(earlier))).min(BAN_MAX);
        self.ban(peer, reason, length, now)
    }

    /// Bans for `length`. `None` if it is banned already, and for longer.
    pub(crate) fn ban(&mut self, peer: PeerId, reason: BanReason, length: Duration, now: Now) -> Option<Ban> {
        let until = now.unix.saturating_add(length.as_secs());
        if self.bans.get(&peer).is_some_and(|ban| ban.until >= until) {
            return None;
        }
        if self.bans.len() >= BANS_MAX
            && let Some(first) = self.bans.values().min_by_key(|ban| ban.until).map(|ban| ban.peer)
        {
            self.bans.remove(&first);
        }
        let ledger = self.ledger(peer, now);
        let ban = Ban { peer, reason, until, earlier: ledger.bans };
        // what led here is paid for when the ban is over
        *ledger = Ledger { at: now.uptime, bans: ledger.bans.saturating_add(1), ..Ledger::default() };
        self.bans.insert(peer, ban);
        Some(ban)
    }

    /// Ends a ban before its time. Whether there was one.
    pub(crate) fn unban(&mut self, peer: PeerId) -> bool {
        self.bans.remove(&peer).is_some()
    }

    /// Bans that are over now; they are forgotten.
    pub(crate) fn expired(&mut self, now: Now) -> Vec<PeerId> {
        let over: Vec<_> = self.bans.values().filter(|ban| ban.until <= now.unix).map(|ban| ban.peer).collect();
        for peer in &over {
            self.bans.remove(peer);
        }
        over
    }

    /// Every ban in force, by peer.
    pub(crate) fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values()
    }

    pub(crate) fn is_banned(&self, peer: PeerId) -> bool {
        self.bans.contains_key(&peer)
    }

    /// Notes where a peer is said to be. `wanted` peers are dialled again and again and never forgotten.
    pub(crate) fn told(&mut self, known: &KnownPeer, wanted: bool, now: Now) {
        if wanted {
            self.wanted.insert(known.peer);
        }
        if !self.places.contains_key(&known.peer) && self.places.len() >= PEERS_KNOWN_MAX && !self.make_room() {
            return;
        }
        let place = self.places.entry(known.peer).or_default();
        place.told = now.uptime;
        for address in &known.addresses {
            if place.addresses.len() < ADDRESSES_PER_PEER {
                place.addresses.insert(address.clone());
            }
        }
    }

    /// Forgets the peer told of longest ago that never answered, else the one told of longest ago. Never a wanted one.
    fn make_room(&mut self) -> bool {
        let wanted = &self.wanted;
        let oldest = self.places.iter().filter(|(peer, _)| !wanted.contains(*peer)).min_by_key(|(_, place)| (place.proven, place.told));
        match oldest.map(|(peer, _)| *peer) {
            Some(peer) => self.places.remove(&peer).is_some(),
            None => false,
        }
    }

    /// A peer that was always to be kept in touch with is one like the others from now on.
    pub(crate) fn unwant(&mut self, peer: PeerId) {
        self.wanted.remove(&peer);
    }

    pub(crate) fn is_wanted(&self, peer: PeerId) -> bool {
        self.wanted.contains(&peer)
    }

    /// A connection stands: the next dial may come at once.
    pub(crate) fn connected(&mut self, peer: PeerId) {
        if let Some(place) = self.places.get_mut(&peer) {
            place.proven = true;
            place.pause = Duration::ZERO;
            place.next_dial = Duration::ZERO;
        }
    }

    /// A dial failed: the next one waits longer, and a stranger who never answered is forgotten after a few.
    pub(crate) fn dial_failed(&mut self, peer: PeerId, now: Now) {
        let Some(place) = self.places.get_mut(&peer) else { return };
        let friend = place.proven || self.wanted.contains(&peer);
        place.pause = (place.pause * 2).clamp(DIAL_PAUSE_MIN, if friend { FRIEND_PAUSE_MAX } else { DIAL_PAUSE_MAX });
        place.next_dial = now.uptime + place.pause;
        if place.pause >= DIAL_PAUSE_MAX && !friend {
            self.places.remove(&peer);
        }
    }

    /// It speaks another version: the next dial waits. Whether its operator and ours should be told, which is not at every attempt.
    pub(crate) fn other_version(&mut self, peer: PeerId, now: Now) -> bool {
        if let Some(place) = self.places.get_mut(&peer) {
            place.next_dial = now.uptime + VERSION_PAUSE;
        }
        let told = &mut self.ledger(peer, now).version_told;
        let due = told.is_none_or(|told| now.uptime >= told + VERSION_TOLD_EVERY);
        if due {
            *told = Some(now.uptime);
        }
        due
    }

    /// Where a peer may be reached.
    pub(crate) fn addresses(&self, peer: PeerId) -> Vec<NetAddress> {
        self.places.get(&peer).map(|place| place.addresses.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whom to dial now: wanted peers that are not connected, then as many others as `missing`, first of subnets that no connection is in.
    /// `dice` makes the choice among equals another one on every node and round.
    pub(crate) fn choose(&mut self, view: &View<'_>, missing: usize, most: usize, now: Now) -> Vec<KnownPeer> {
        let ready = |(peer, place): &(&PeerId, &Place)| {
            !(view.connected)(**peer) && !self.bans.contains_key(*peer) && place.next_dial <= now.uptime && !place.addresses.is_empty()
        };
        let mut chosen: Vec<PeerId> =
            self.places.iter().filter(ready).filter(|(peer, _)| self.wanted.contains(*peer)).map(|(peer, _)| *peer).take(most).collect();
        let mut others: Vec<_> = if view.strangers {
            self.places.iter().filter(ready).filter(|(peer, _)| !self.wanted.contains(*peer)).collect()
        } else {
            Vec::new()
        };
        others.sort_by_cached_key(|(peer, place)| {
            let crowd = place.addresses.iter().filter_map(NetAddress::ip).map(|ip| view.crowd(Subnet::of(ip))).min().unwrap_or(0);
            (crowd, !place.proven, (view.dice)(**peer))
        });
        chosen.extend(others.iter().map(|(peer, _)| **peer).take(missing.min(most.saturating_sub(chosen.len()))));
        for peer in &chosen {
            if let Some(place) = self.places.get_mut(peer) {
                // a dial that is under way is not started again; its failure sets the pause
                place.next_dial = now.uptime + DIAL_PAUSE_MIN.max(place.pause);
            }
        }
        chosen.into_iter().map(|peer| KnownPeer { peer, addresses: self.addresses(peer) }).collect()
    }

    /// The peers to dial first after a restart: `candidates` are those connected by us, the longest first; at most one of a subnet.
    pub(crate) fn anchors(&self, candidates: &[(PeerId, Option<Subnet>)]) -> Vec<KnownPeer> {
        let mut subnets = BTreeSet::new();
        let mut anchors = Vec::new();
        for (peer, subnet) in candidates {
            let addresses = self.addresses(*peer);
            if !addresses.is_empty() && subnet.is_none_or(|subnet| subnets.insert(subnet)) {
                anchors.push(KnownPeer { peer: *peer, addresses });
            }
            if anchors.len() == ANCHORS_MAX {
                break;
            }
        }
        anchors
    }
}

/// What the book must know of the connections that stand.
pub(crate) struct View<'a> {
    pub(crate) connected: &'a dyn Fn(PeerId) -> bool,
    pub(crate) subnets: &'a HashMap<Subnet, u32>,
    pub(crate) dice: &'a dyn Fn(PeerId) -> u64,
    /// Whether peers that nobody asked for may be dialled.
    pub(crate) strangers: bool,
}

impl View<'_> {
    fn crowd(&self, subnet: Subnet) -> u32 {
        self.subnets.get(&subnet).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
