//! Where the other schedulers of the network are reached, and who signs what their processes push: what clients of this node are told.
//!
//! Each scheduler's node tells its peers its newest `Scheduler-Location` item (`protocol.md` §3.5), which only the scheduler's wallet can
//! sign. The newest one that a node heard counts; it is stored, so that clients find it on this node's gateway as well, and after a restart.
//! Refuses to know anybody whom the genesis does not name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ao_consensus::Offence;
use ao_storage::{Direction, Store, schema};
use ao_types::scheduler_location::SchedulerLocation;
use ao_types::{Address, DataItem, PeerId, Profile};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::frames::Taken;
use super::verify::Verifier;

/// Newest items of a scheduler's wallet among which its last word is looked for.
const LOOKED_AT: usize = 64;

/// Bytes of a location that travels between nodes: the largest signature and owner, and a few tags.
pub const LOCATION_BYTES_MAX: usize = 8 * 1024;

/// New words of one scheduler that are taken are so far apart. One that moved is heard when its node is met again.
pub const LOCATIONS_APART: Duration = Duration::from_secs(60);

/// A scheduler, as it speaks of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Orders the messages of its processes.
    pub scheduler: Address,
    /// Signs what they push; unknown until its node was heard.
    pub authority: Option<Address>,
    /// Base URL of its node; unknown until its node was heard.
    pub url: Option<String>,
}

/// Why a location is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// It is none, or somebody else's.
    #[error("this is no location of another scheduler of this network")]
    Foreign,
    /// One that is as new is known.
    #[error("a newer location of {0} is known")]
    Old(Address),
    /// It said something else a moment ago: each word is a row.
    #[error("{0} said something else a moment ago")]
    Hasty(Address),
}

/// See the module documentation. One entry for each scheduler of the genesis at most.
#[derive(Debug, Default)]
pub struct Hosts {
    others: BTreeSet<Address>,
    known: RwLock<BTreeMap<Address, (u64, SchedulerLocation)>>,
    /// When each was last heard to say something new in this life.
    heard: Mutex<BTreeMap<Address, Instant>>,
}

impl Hosts {
    /// With what the store has of these schedulers. A store that cannot answer knows nobody: they tell again.
    pub fn read(store: &dyn Store, others: &BTreeSet<Address>) -> Self {
        let known = others.iter().filter_map(|other| last(store, other).map(|found| (*other, found))).collect();
        Self { others: others.clone(), known: RwLock::new(known), heard: Mutex::default() }
    }

    /// Takes a scheduler's word on itself, whose signature was checked. `Ok(false)`: it says what the last one said.
    ///
    /// # Errors
    /// It is nobody's of this network, an old one, or one more within [`LOCATIONS_APART`].
    pub fn hear(&self, now: Instant, item: &DataItem) -> Result<bool, Unheard> {
        let location = SchedulerLocation::read(item).map_err(|_| Unheard::Foreign)?;
        let scheduler = location.scheduler;
        if item.as_bytes().len() > LOCATION_BYTES_MAX || !self.others.contains(&scheduler) {
            return Err(Unheard::Foreign);
        }
        let said_ms = said_ms(item);
        let mut known = self.known.write();
        match known.get(&scheduler) {
            Some((_, before)) if *before == location => return Ok(false),
            Some((before_ms, _)) if *before_ms >= said_ms => return Err(Unheard::Old(scheduler)),
            _ => {}
        }
        let mut heard = self.heard.lock();
        if heard.get(&scheduler).is_some_and(|before| now.saturating_duration_since(*before) < LOCATIONS_APART) {
            return Err(Unheard::Hasty(scheduler));
        }
        heard.insert(scheduler, now);
        known.insert(scheduler, (said_ms, location));
        Ok(true)
    }

    /// What is known of a scheduler.
    pub fn of(&self, scheduler: &Address) -> Host {
        let known = self.known.read();
        let location = known.get(scheduler).map(|(_, location)| location);
        let (authority, url) = (location.and_then(|it| it.authority), location.map(|it| it.url.clone()));
        Host { scheduler: *scheduler, authority, url }
    }

    /// Everybody, by address; first those that were heard and say who signs for them.
    pub fn all(&self) -> Vec<Host> {
        let mut hosts: Vec<Host> = self.others.iter().map(|scheduler| self.of(scheduler)).collect();
        hosts.sort_by_key(|host| host.authority.is_none());
        hosts
    }
}

/// The last location of a scheduler that the store has, and when it was said.
pub fn last(store: &dyn Store, scheduler: &Address) -> Option<(u64, SchedulerLocation)> {
    last_item(store, scheduler).and_then(|item| SchedulerLocation::read(&item).ok().map(|location| (said_ms(&item), location)))
}

/// The item of [`last`].
pub fn last_item(store: &dyn Store, scheduler: &Address) -> Option<DataItem> {
    let rows = schema::OWNER_INDEX.prefix(store, scheduler, Direction::Backward, LOOKED_AT).ok()?;
    rows.into_iter().find_map(|(_, id)| {
        let item = DataItem::parse(schema::ITEMS.get(store, &id).ok()??, Profile::Archive).ok()?;
        SchedulerLocation::read(&item).is_ok().then_some(item)
    })
}

/// The anchor that says when: it orders the words of one scheduler, and makes each another item.
pub fn anchor(now_ms: u64) -> [u8; 32] {
    let mut anchor = [b'0'; 32];
    let digits = now_ms.to_string();
    anchor[32 - digits.len()..].copy_from_slice(digits.as_bytes());
    anchor
}

/// What [`anchor`] says; 0 for anchors of other makers.
pub(crate) fn said_ms(item: &DataItem) -> u64 {
    let text = item.anchor().and_then(|anchor| std::str::from_utf8(anchor).ok());
    text.filter(|text| text.bytes().all(|digit| digit.is_ascii_digit())).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Checks what a peer says of its scheduler, on a worker: what is new is stored.
pub fn take(verifier: &Verifier, from: PeerId, bytes: Bytes) -> Taken {
    let nothing = |fault: Option<Offence>| Taken { input: None, penalty: fault.map(|fault| (from, fault)) };
    if bytes.len() > LOCATION_BYTES_MAX {
        return nothing(Some(Offence::Malformed));
    }
    let Ok(item) = DataItem::parse(bytes, Profile::Strict) else { return nothing(Some(Offence::Malformed)) };
    let Ok(item) = item.verify() else { return nothing(Some(Offence::BadSignature)) };
    match verifier.neighbours.hosts.hear(Instant::now(), &item) {
        // One that cannot be stored now is known as long as this node runs, and heard again after that.
        Ok(true) => Taken { input: verifier.kept(item).ok(), penalty: None },
        Ok(false) | Err(Unheard::Old(_) | Unheard::Hasty(_)) => nothing(None),
        Err(Unheard::Foreign) => nothing(Some(Offence::Foreign)),
    }
}

#[cfg(test)]
mod tests {
    use ao_types::{ItemBuilder, Signer as _, Wallet};

    use super::*;

    fn word(wallet: &Wallet, url: &str, at: u64) -> DataItem {
        let authority = Wallet::ed25519_from_seed(&[9; 32]).address();
        let builder = ItemBuilder::new().anchor(anchor(at)).tags(SchedulerLocation::tags(url, 1, &authority));
        builder.sign(wallet).unwrap().into_inner()
    }

    fn hosts(of: &[&Wallet]) -> Hosts {
        Hosts { others: of.iter().map(|wallet| wallet.address()).collect(), known: RwLock::default(), heard: Mutex::default() }
    }

    #[test]
    fn the_newest_word_counts_and_a_stranger_is_not_heard() {
        let [one, two, stranger] = [1, 2, 3].map(|n| Wallet::ed25519_from_seed(&[n; 32]));
        let hosts = hosts(&[&one, &two]);
        let unknown = hosts.all();
        assert!(unknown.len() == 2 && unknown.iter().all(|host| host.authority.is_none() && host.url.is_none()), "nobody was heard");
        let (start, later) = (Instant::now(), Instant::now() + LOCATIONS_APART);
        assert_eq!(hosts.hear(start, &word(&stranger, "http://s", 5)), Err(Unheard::Foreign));
        assert_eq!(hosts.hear(start, &word(&two, "http://a", 5)), Ok(true));
        assert_eq!(hosts.hear(start, &word(&two, "http://a", 6)), Ok(false), "nothing new is stored again");
        assert_eq!(hosts.hear(later, &word(&two, "http://b", 5)), Err(Unheard::Old(two.address())), "two of one time do not take turns");
        assert_eq!(hosts.hear(start, &word(&two, "http://b", 7)), Err(Unheard::Hasty(two.address())), "each word is a row");
        assert_eq!(hosts.hear(later, &word(&two, "http://b", 7)), Ok(true));
        assert_eq!(hosts.hear(later, &word(&two, "http://a", 6)), Err(Unheard::Old(two.address())));
        let first = hosts.all().swap_remove(0);
        assert_eq!((first.scheduler, first.url.as_deref()), (two.address(), Some("http://b")), "one that was heard comes first");
        assert!(first.authority.is_some());
        assert_eq!(hosts.of(&one.address()).url, None);
    }

    #[test]
    fn a_location_beyond_the_bound_is_none() {
        let one = Wallet::ed25519_from_seed(&[1; 32]);
        let long = |bytes: usize| {
            let authority = one.address();
            let builder = ItemBuilder::new().tags(SchedulerLocation::tags("http://a", 1, &authority)).data(vec![0; bytes]);
            builder.sign(&one).unwrap().into_inner()
        };
        let room = LOCATION_BYTES_MAX - long(0).as_bytes().len();
        assert_eq!(hosts(&[&one]).hear(Instant::now(), &long(room)), Ok(true));
        assert_eq!(hosts(&[&one]).hear(Instant::now(), &long(room + 1)), Err(Unheard::Foreign));
    }
}
