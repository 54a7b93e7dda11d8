//! Anchoring as others see it: health, metrics, HTTP. Reads what the pipeline, the collector and the gateways' health say; changes nothing.

use std::sync::Arc;

use ao_arweave::client::Client;
use ao_arweave::driver::Standing;
use ao_arweave::gateways::Endpoint;
use ao_arweave::pipeline::{Alarm, Budget, Spent};
use ao_types::Id;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::collect::Backlog;
use crate::shell::Now;

/// What is not anchored after so long is a reason to look (`arweave.md`, section 9).
pub const BEHIND_MS_MAX: u64 = 24 * 3_600_000;

/// A wallet that lasts less than so many days is a reason to look (`arweave.md`, section 9).
pub const LOW_DAYS: u128 = 30;

/// Cheap to clone.
#[derive(Clone)]
pub struct View(Arc<Inner>);

struct Inner {
    standing: watch::Receiver<Standing>,
    client: Client,
    wallet: Option<Id>,
    floor: u128,
    cap: u128,
    clock: Now,
    backlog: Mutex<Result<Backlog, String>>,
    balance: Mutex<Option<u128>>,
    burn: Mutex<Burn>,
}

/// What a day costs: the more of today so far and the last day that was seen to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Burn {
    today: Spent,
    before: u128,
}

impl Burn {
    /// With what is spent now, at `now_ms`.
    fn seen(self, spent: Spent, now_ms: u64) -> Self {
        let (last, today) = (self.today, spent.at(now_ms));
        match today.day.checked_sub(last.day) {
            Some(0) | None => Self { today, ..self },
            Some(1) => Self { today, before: last.winston },
            // Days on which nothing was seen say nothing.
            Some(_) => Self { today, before: 0 },
        }
    }

    fn a_day(self) -> u128 {
        self.today.winston.max(self.before)
    }

    /// Whole days that a balance lasts, above what must be left; `None` where nothing was spent.
    fn days(self, balance: u128, floor: u128) -> Option<u128> {
        balance.saturating_sub(floor).checked_div(self.a_day())
    }
}

impl View {
    /// Of a pipeline that `wallet` pays for; nobody where bundling services are used.
    pub(super) fn new(standing: watch::Receiver<Standing>, client: Client, wallet: Option<Id>, budget: Budget, clock: Now) -> Self {
        let (floor, cap) = (budget.floor, budget.day_max);
        let backlog = Mutex::new(Ok(Backlog::default()));
        Self(Arc::new(Inner { standing, client, wallet, floor, cap, clock, backlog, balance: Mutex::default(), burn: Mutex::default() }))
    }

    /// What the collector found, or why it found nothing.
    pub(super) fn collected(&self, backlog: Result<Backlog, String>) {
        *self.0.backlog.lock() = backlog;
    }

    /// Asks what is in the wallet. An answer that does not come leaves the one before.
    pub(super) async fn look_at_wallet(&self) {
        let Some(wallet) = &self.0.wallet else { return };
        let spent = self.0.standing.borrow().summary.as_ref().map(|summary| summary.spent);
        if let Some(spent) = spent {
            let now_ms = self.now_ms();
            let mut burn = self.0.burn.lock();
            *burn = burn.seen(spent, now_ms);
        }
        if let Some(winston) = self.0.client.balance(wallet).await {
            *self.0.balance.lock() = Some(winston);
        }
    }

    /// Where the pipeline stands.
    pub fn standing(&self) -> Standing {
        self.0.standing.borrow().clone()
    }

    /// Confirmed slots that are in no shipment, as far as was looked.
    pub fn backlog(&self) -> Backlog {
        self.0.backlog.lock().as_ref().copied().unwrap_or_default()
    }

    /// How long the oldest slot waits that is confirmed and not anchored, ms; 0 where none waits.
    pub fn lag_ms(&self) -> u64 {
        let oldest = [self.backlog().oldest_ms, self.0.standing.borrow().oldest_ms].into_iter().flatten().min();
        oldest.map_or(0, |oldest| self.now_ms().saturating_sub(oldest))
    }

    /// What time it is for the pipeline, ms since 1970.
    pub fn now_ms(&self) -> u64 {
        (self.0.clock)().0
    }

    /// Whose AR is spent.
    pub fn wallet(&self) -> Option<Id> {
        self.0.wallet
    }

    /// What was in the wallet when anybody looked, winston.
    pub fn balance(&self) -> Option<u128> {
        *self.0.balance.lock()
    }

    /// Below this nothing is posted, and so much may be spent in a day, winston.
    pub fn bounds(&self) -> (u128, u128) {
        (self.0.floor, self.0.cap)
    }

    /// Gateways and bundling services, as they answered lately.
    pub fn endpoints(&self) -> (Vec<Endpoint>, Vec<Endpoint>) {
        (self.0.client.gateways(), self.0.client.services())
    }

    /// Why anchoring does not go on as it should: what an operator reads, and what to do.
    pub fn trouble(&self) -> Option<(String, &'static str)> {
        let standing = self.0.standing.borrow();
        if let Some(why) = &standing.unkept {
            return Some((format!("what is done cannot be remembered: {why}"), "look at the disk of the data directory"));
        }
        if let Err(why) = &*self.0.backlog.lock() {
            return Some((format!("what is confirmed cannot be collected: {why}"), "keep the data directory and report this"));
        }
        if let Some(hold) = standing.summary.as_ref().and_then(|summary| summary.hold) {
            return Some((format!("nothing is posted: {}", hold.text()), fix(hold)));
        }
        drop(standing);
        let lag = self.lag_ms();
        if lag > BEHIND_MS_MAX {
            let text = format!("the oldest slot has waited {} h to be anchored", lag / 3_600_000);
            return Some((text, "look at the gateways: `aonode anchor status`"));
        }
        let days = self.days_left().filter(|days| *days < LOW_DAYS)?;
        Some((format!("the wallet of the role `anchor` lasts {days} more days"), fix(Alarm::Balance)))
    }

    /// Whole days that the wallet lasts if they cost what the last one did.
    pub fn days_left(&self) -> Option<u128> {
        let burn = *self.0.burn.lock();
        burn.days(self.balance()?, self.0.floor)
    }
}

/// What an operator does about an alarm.
pub fn fix(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Cap => "raise arweave.spend_cap_per_day, or wait for tomorrow (UTC)",
        Alarm::Balance => "send AR to the wallet of the role `anchor`: `aonode anchor status` shows its address",
        Alarm::Breach => "keep the receipt, which is in the shipment, and choose another bundling service",
        Alarm::Disputed => "configure a third gateway, or replace the one that is wrong; until they agree nothing more is paid for it",
        Alarm::Refused | Alarm::Fatal | Alarm::Unsettled => "look at the gateways; nothing is lost, what is owed is kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_wallet_lasts_as_long_as_days_cost_what_they_did() {
        let spent = |day, winston| Spent { day, winston };
        let burn = Burn::default().seen(spent(5, 30), 5 * DAY_MS);
        assert_eq!((burn.days(1000, 100), burn.days(50, 100), Burn::default().days(1000, 100)), (Some(30), Some(0), None));
        let next = burn.seen(spent(5, 40), 5 * DAY_MS + 9).seen(spent(6, 10), 6 * DAY_MS);
        assert_eq!(next.days(1000, 0), Some(25), "today is young: yesterday counts");
        assert_eq!(next.seen(spent(6, 100), 6 * DAY_MS + 9).days(1000, 0), Some(10), "today is dearer already");
        assert_eq!(next.seen(spent(6, 10), 9 * DAY_MS).days(1000, 0), None, "nobody looked for days");
        assert_eq!(next.seen(spent(6, 10), 7 * DAY_MS).days(1000, 0), Some(100), "nothing was spent since");
    }
}
