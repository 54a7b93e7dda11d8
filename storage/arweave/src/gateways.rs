//! Whom to ask: a list of endpoints, how each has answered lately, and who may be asked now.
//!
//! Owns health only. Refuses to connect (`client`), to read a clock and to draw chance: both are arguments. An endpoint that fails is left
//! alone for a while that doubles (`backoff`), one that asks for a pause gets it, and one that said what is not so is left alone for ten
//! minutes: a liar delays, nothing more, since what comes back is checked by whoever asked.

use crate::backoff::pause_ms;
use crate::limits::{BACKOFF_LIAR, BACKOFF_MAX, ENDPOINTS_MAX};

/// How a request went, as far as the endpoint is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered, whatever it said.
    Answered,
    /// No answer, a late one, or one of its own faults (5xx).
    Failed,
    /// It asks to be left alone: milliseconds, if it said how long.
    Busy(Option<u64>),
    /// What it said is not so: not the bytes that were asked for, HTML for JSON, a block that does not link.
    Lied,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Base URL without a slash at its end.
    pub url: String,
    failures: u32,
    not_before_ms: u64,
    answered: u64,
    failed: u64,
}

impl Endpoint {
    /// Failures since it last answered.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Requests that it answered, and those that it did not.
    pub fn counts(&self) -> (u64, u64) {
        (self.answered, self.failed)
    }
}

/// The endpoints of one kind, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    list: Vec<Endpoint>,
}

impl Gateways {
    /// All healthy. Repeated addresses count once, and those behind the last of [`ENDPOINTS_MAX`] not at all.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list: Vec<Endpoint> = Vec::new();
        for url in urls {
            let url = url.trim_end_matches('/');
            if list.len() < ENDPOINTS_MAX && !url.is_empty() && list.iter().all(|known| known.url != url) {
                list.push(Endpoint { url: url.to_owned(), failures: 0, not_before_ms: 0, answered: 0, failed: 0 });
            }
        }
        Self { list }
    }

    /// All of them.
    pub fn all(&self) -> &[Endpoint] {
        &self.list
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Places of those who may be asked now: fewest failures first, then in the order of the configuration.
    pub fn available(&self, now_ms: u64) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.list.len()).filter(|place| self.list[*place].not_before_ms <= now_ms).collect();
        places.sort_by_key(|place| self.list[*place].failures);
        places
    }

    /// Whether this one may be asked now.
    pub fn is_available(&self, place: usize, now_ms: u64) -> bool {
        self.list.get(place).is_some_and(|endpoint| endpoint.not_before_ms <= now_ms)
    }

    /// When the next one may be asked again, if none may now.
    pub fn next_ms(&self) -> Option<u64> {
        self.list.iter().map(|endpoint| endpoint.not_before_ms).min()
    }

    /// When the next of those that may not be asked now may be.
    pub fn next_after_ms(&self, now_ms: u64) -> Option<u64> {
        self.list.iter().map(|endpoint| endpoint.not_before_ms).filter(|at| *at > now_ms).min()
    }

    /// A request to the endpoint at `place` ended so.
    pub fn heard(&mut self, place: usize, health: Health, now_ms: u64, chance: u32) {
        let Some(endpoint) = self.list.get_mut(place) else { return };
        match health {
            Health::Answered => {
                endpoint.answered += 1;
                (endpoint.failures, endpoint.not_before_ms) = (0, 0);
                return;
            }
            Health::Failed | Health::Busy(_) | Health::Lied => {
                endpoint.failed += 1;
                endpoint.failures = endpoint.failures.saturating_add(1);
            }
        }
        let pause = pause_ms(endpoint.failures, chance);
        let pause = match health {
            Health::Busy(Some(asked)) => asked.min(BACKOFF_MAX.as_millis() as u64).max(pause),
            Health::Lied => BACKOFF_LIAR.as_millis() as u64,
            _ => pause,
        };
        // A late failure of an old request does not shorten a pause.
        endpoint.not_before_ms = endpoint.not_before_ms.max(now_ms.saturating_add(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANCE: u32 = u32::MAX;

    #[test]
    fn addresses_count_once_and_only_so_many() {
        let list: Vec<String> = (0..ENDPOINTS_MAX + 5).map(|n| format!("https://g{n}.example")).collect();
        assert_eq!(Gateways::new(list.iter().map(String::as_str)).len(), ENDPOINTS_MAX);
        let two = Gateways::new(["http://a/", "http://a", "", "http://b//"]);
        assert_eq!(two.all().iter().map(|endpoint| endpoint.url.as_str()).collect::<Vec<_>>(), ["http://a", "http://b"]);
    }

    #[test]
    fn who_fails_is_left_alone_for_longer_each_time_and_an_answer_forgives() {
        let mut list = Gateways::new(["a", "b"]);
        list.heard(0, Health::Failed, 1000, CHANCE);
        assert_eq!((list.available(1000), list.available(1500)), (vec![1], vec![1, 0]));
        list.heard(0, Health::Failed, 1500, CHANCE);
        assert!(!list.is_available(0, 2499) && list.is_available(0, 2500));
        list.heard(1, Health::Busy(Some(30_000)), 1500, CHANCE);
        assert_eq!(list.available(2000), Vec::<usize>::new());
        assert_eq!(list.next_ms(), Some(2500));
        assert_eq!((list.next_after_ms(2499), list.next_after_ms(2500), list.next_after_ms(31_500)), (Some(2500), Some(31_500), None));
        assert!(!list.is_available(1, 31_000) && list.is_available(1, 31_500));
        list.heard(0, Health::Answered, 2600, CHANCE);
        assert_eq!((list.all()[0].failures(), list.all()[0].counts()), (0, (1, 2)));
        assert!(list.is_available(0, 0));
        // Places that do not exist are nobody.
        list.heard(9, Health::Failed, 0, CHANCE);
    }

    #[test]
    fn a_request_for_a_pause_is_obeyed_up_to_a_minute_and_a_lie_costs_ten() {
        let mut list = Gateways::new(["a"]);
        list.heard(0, Health::Busy(Some(u64::MAX)), 0, CHANCE);
        assert!(list.is_available(0, 60_000));
        list.heard(0, Health::Lied, 60_000, CHANCE);
        assert!(!list.is_available(0, 659_999) && list.is_available(0, 660_000));
        list.heard(0, Health::Failed, 70_000, 0);
        assert!(!list.is_available(0, 659_999), "a later failure does not shorten the pause");
    }
}
