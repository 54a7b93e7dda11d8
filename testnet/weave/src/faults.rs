//! What goes wrong on command: of the chain, of the bundling service, and of each gateway. All chance comes from the chain's seed, and
//! what happened is kept, so that a run that fails can be run again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ao_types::Id;
use serde::{Deserialize, Serialize};

use crate::index::View;
use crate::limits::{FAULT_LOG_MAX, FAULT_RULES_MAX, HUGE_BYTES_MAX, LATENCY_MS_MAX};
use crate::odds::{ALWAYS, draw, happens};

/// What goes wrong with transactions and items, whichever gateway is asked.
#[derive(Clone, Debug, Default)]
pub struct ChainFaults {
    /// Transactions that are lost when a block could hold them, of a million.
    pub lose_per_million: u32,
    /// These are lost.
    pub lose: BTreeSet<Id>,
    /// These wait until this height.
    pub delay: BTreeMap<Id, u64>,
    /// Transactions that wait so many blocks longer, of a million.
    pub delay_per_million: (u32, u64),
    /// Transactions whose block is orphaned once, so that they are seen at two heights.
    pub twice: BTreeSet<Id>,
    /// Chunks of these transactions are not handed out.
    pub withhold: BTreeSet<Id>,
    /// Items that the bundling service gives a receipt for and loses, of a million.
    pub bundler_lose_per_million: u32,
}

/// What one gateway does wrong.
#[derive(Clone, Debug, Default)]
pub struct GatewayFaults {
    /// It is so many blocks behind.
    pub index_lag: u64,
    /// With items in bundles, so many blocks more.
    pub unbundle_lag: u64,
    /// It stands still at this height, with everything.
    pub stale: Option<u64>,
    /// It does not know these.
    pub hide: BTreeSet<Id>,
    /// It has other bytes for these.
    pub corrupt: BTreeSet<Id>,
    /// Pages of GraphQL never end.
    pub endless: bool,
    /// Entries of a page come in another order.
    pub reorder: bool,
    /// Requests answered in a minute; the others get 429.
    pub per_minute: Option<u32>,
    /// What happens to requests.
    pub rules: Vec<Rule>,
}

impl GatewayFaults {
    /// What it shows when the chain is at `tip`.
    pub fn view(&self, tip: u64) -> View {
        let bound = |lag: u64| (lag > 0).then(|| tip.saturating_sub(lag));
        let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        View {
            height_max: least(bound(self.index_lag), self.stale),
            item_height_max: bound(self.index_lag + self.unbundle_lag),
            hidden: self.hide.clone(),
        }
    }

    /// The first rule for a path that applies to this request, counted. Which requests it applies to depends on how many it saw.
    pub fn trouble(&mut self, seed: u64, path: &str) -> Option<Trouble> {
        for (number, rule) in self.rules.iter_mut().enumerate() {
            if !path.starts_with(&rule.path) || rule.times == Some(0) {
                continue;
            }
            rule.seen += 1;
            let whom = [&(number as u64).to_be_bytes()[..], &rule.seen.to_be_bytes(), rule.path.as_bytes()];
            if !happens(seed, "rule", &whom, rule.per_million) {
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
            let mut trouble = rule.trouble.clone();
            if let Trouble::Latency { p50, p99 } = &mut trouble {
                // Of a hundred answers, one takes the longer time.
                if draw(seed, "latency", &whom).is_multiple_of(100) {
                    *p50 = *p99;
                }
            }
            return Some(trouble);
        }
        None
    }
}

/// What happens to requests of some path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Paths that start so.
    pub path: String,
    /// What happens.
    pub trouble: Trouble,
    /// How often, of a million.
    #[serde(default = "always")]
    pub per_million: u32,
    /// How many times at most.
    #[serde(default)]
    pub times: Option<u32>,
    /// Requests looked at so far.
    #[serde(default, skip_deserializing)]
    pub seen: u64,
}

fn always() -> u32 {
    ALWAYS
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It gets this status and nothing is done.
    Status {
        /// The status.
        status: u16,
    },
    /// It is done, and the answer says this status.
    DoneBut {
        /// The status.
        status: u16,
    },
    /// It is answered, but late.
    Latency {
        /// Milliseconds, mostly.
        p50: u64,
        /// Milliseconds, of one in a hundred.
        p99: u64,
    },
    /// It gets a page for people, with status 200.
    Html,
    /// It is sent elsewhere.
    Redirect {
        /// Whereto.
        to: String,
    },
    /// The answer ends in the middle, though its length says otherwise.
    Truncate,
    /// The answer is this long.
    Huge {
        /// Bytes.
        bytes: u64,
    },
    /// There is no answer.
    Hang,
}

impl Rule {
    /// Within bounds?
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self) -> Result<(), String> {
        match &self.trouble {
            Trouble::Latency { p50, p99 } if *p50 > LATENCY_MS_MAX || *p99 > LATENCY_MS_MAX => {
                Err(format!("an answer is held back for {LATENCY_MS_MAX} ms at most"))
            }
            Trouble::Huge { bytes } if *bytes > HUGE_BYTES_MAX => Err(format!("an answer has {HUGE_BYTES_MAX} bytes at most")),
            Trouble::Status { status } | Trouble::DoneBut { status } if !(200..600).contains(status) => {
                Err(format!("{status} is no status"))
            }
            _ if self.per_million > ALWAYS => Err("a probability is at most 1".into()),
            _ => Ok(()),
        }
    }
}

/// Adds what fits under the bound on rules and ids.
///
/// # Errors
/// There are too many.
pub fn bounded(now: usize, more: usize) -> Result<(), String> {
    if now.saturating_add(more) > FAULT_RULES_MAX { Err(format!("at most {FAULT_RULES_MAX} of them")) } else { Ok(()) }
}

/// A fault that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Counts all, also those forgotten.
    pub number: u64,
    /// Height of the tip then.
    pub height: u64,
    /// What.
    pub what: String,
}

/// The newest faults that happened.
#[derive(Clone, Debug, Default)]
pub struct FaultLog {
    kept: VecDeque<Happened>,
    next: u64,
}

impl FaultLog {
    /// Keeps one, and says so in the log.
    pub fn push(&mut self, height: u64, what: String) {
        tracing::info!(height, number = self.next, "fault: {what}");
        if self.kept.len() >= FAULT_LOG_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Happened { number: self.next, height, what });
        self.next += 1;
    }

    /// Those that are kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Happened> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, per_million: u32, times: Option<u32>) -> Rule {
        Rule { path: path.into(), trouble: Trouble::Html, per_million, times, seen: 0 }
    }

    #[test]
    fn rules_apply_by_path_by_odds_and_so_many_times() {
        let mut faults = GatewayFaults { rules: vec![rule("/tx", ALWAYS, Some(2)), rule("/", 500_000, None)], ..Default::default() };
        assert!(faults.trouble(1, "/tx").is_some() && faults.trouble(1, "/tx/abc").is_some());
        let run = |faults: &GatewayFaults| {
            let mut faults = faults.clone();
            (0..1000).filter(|_| faults.trouble(1, "/tx").is_some()).count()
        };
        let hits = run(&faults);
        assert!((400..600).contains(&hits), "{hits}");
        assert_eq!(run(&faults), hits, "a run replays");
    }

    #[test]
    fn what_a_gateway_shows() {
        let of = |index_lag, unbundle_lag, stale| {
            let view = GatewayFaults { index_lag, unbundle_lag, stale, ..Default::default() }.view(100);
            (view.height_max, view.item_height_max)
        };
        assert_eq!(of(0, 0, None), (None, None));
        assert_eq!(of(30, 0, None), (Some(70), Some(70)));
        assert_eq!(of(0, 10, None), (None, Some(90)));
        assert_eq!(of(30, 10, Some(50)), (Some(50), Some(60)));
        assert_eq!(of(200, 0, None), (Some(0), Some(0)));
    }

    #[test]
    fn bounds_bite() {
        let rule = |trouble| Rule { trouble, ..rule("/", ALWAYS, None) }.check().is_ok();
        assert!(rule(Trouble::Huge { bytes: HUGE_BYTES_MAX }) && !rule(Trouble::Huge { bytes: HUGE_BYTES_MAX + 1 }));
        assert!(!rule(Trouble::Latency { p50: 1, p99: LATENCY_MS_MAX + 1 }) && !rule(Trouble::Status { status: 99 }));
        assert!(bounded(FAULT_RULES_MAX - 1, 1).is_ok() && bounded(FAULT_RULES_MAX, 1).is_err() && bounded(1, usize::MAX).is_err());
        let mut log = FaultLog::default();
        (0..FAULT_LOG_MAX as u64 + 5).for_each(|height| log.push(height, String::new()));
        assert_eq!((log.kept().count(), log.kept().next().map(|first| first.number)), (FAULT_LOG_MAX, Some(5)));
    }
}
