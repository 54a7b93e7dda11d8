//! What a node looks at beside itself: Arweave, its peers, how far it is behind them, whether what it has goes on being confirmed, and the
//! key that it attests with. Refuses to mend anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ao_types::{Address, Genesis};
use parking_lot::Mutex;

use super::App;
use crate::handle::HealthCheck;
use crate::levels::{self, ChainStanding};
use crate::metrics::labels::Check;
use crate::protection::watch::Phase;

/// How long the frames of a chain may wait without one being confirmed: many times what a quorum that is connected takes.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Frames that peers have and this node lacks, beyond which its answers are stale.
const BEHIND_MAX: u64 = 256;
/// Chains are looked at so often at most: probes are many, and anybody may send them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Chains looked at.
const CHAINS_MAX: usize = 64;

/// A chain that has frames that wait.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    confirmed: Option<u64>,
    behind: u64,
    since: Instant,
}

/// Since when chains wait, as far as anybody looked.
#[derive(Debug, Default)]
pub struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    waiting: BTreeMap<Address, Waiting>,
}

impl State {
    /// Whether it is time for a look, which whoever asks then has.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY);
        if due {
            self.looked = Some(now);
        }
        due
    }

    fn saw(&mut self, now: Instant, chain: Address, standing: ChainStanding) {
        if standing.behind == 0 {
            self.waiting.remove(&chain);
            return;
        }
        let (confirmed, behind) = (standing.confirmed, standing.behind);
        let entry = self.waiting.entry(chain).or_insert(Waiting { confirmed, behind, since: now });
        entry.behind = behind;
        if entry.confirmed != confirmed {
            *entry = Waiting { confirmed, behind, since: now };
        }
    }

    /// The chain that has waited longest, if that is too long.
    fn stalled(&self, now: Instant) -> Option<(Address, u64, Duration)> {
        let longest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.since)?;
        let (chain, waiting) = longest;
        let waited = now.saturating_duration_since(waiting.since);
        (waited >= WAIT_MAX).then_some((*chain, waiting.behind, waited))
    }
}

/// All of them; of a node by itself only what concerns Arweave.
pub fn of(app: &App) -> Vec<HealthCheck> {
    let anchoring = app.anchors().map(|view| anchor(view.trouble()));
    let Some(network) = app.network() else { return anchoring.into_iter().collect() };
    let mut checks: Vec<_> = anchoring.into_iter().collect();
    checks.extend([peers(network.connected()), sync(network.sync_frames()), quorum(app)]);
    checks.extend(app.watch().map(|watch| signer(&watch.phase())));
    checks
}

/// Scheduling goes on whatever becomes of anchoring: nothing is lost, it comes later.
fn anchor(trouble: Option<(String, &'static str)>) -> HealthCheck {
    let ok = trouble.is_none();
    let (reason, fix) = trouble.unwrap_or_else(|| ("what is confirmed is on its way to Arweave".to_owned(), ""));
    HealthCheck { check: Check::Anchor, ok, vital: false, age_s: 0, reason, fix }
}

/// A node without any peer cannot confirm anything; one with few is worth a look.
fn peers((connected, few): (usize, usize)) -> HealthCheck {
    let ok = connected >= few;
    HealthCheck {
        check: Check::Peers,
        ok,
        vital: connected == 0,
        age_s: 0,
        reason: format!("{connected} peers are connected, {few} are expected"),
        fix: if ok { "" } else { "look at `aonode peers list`, p2p.static_peers, and whether port 7710 is reachable" },
    }
}

/// A node that catches up answers what was true a while ago. How far others are is what they say: nobody is kept from a node by it.
fn sync((elsewhere, here): (u64, u64)) -> HealthCheck {
    let behind = elsewhere.saturating_sub(here);
    let ok = behind < BEHIND_MAX;
    HealthCheck {
        check: Check::Sync,
        ok,
        vital: false,
        age_s: 0,
        reason: format!("{here} of {elsewhere} frames are here"),
        fix: if ok { "" } else { "wait: the node catches up; `aonode status` shows how far it is" },
    }
}

/// A chain whose frames stay unconfirmed lacks a quorum, or this node does not see one.
fn quorum(app: &App) -> HealthCheck {
    let now = Instant::now();
    if app.progress.0.lock().is_due(now) {
        let genesis = app.genesis().and_then(|canonical| Genesis::parse(&canonical).ok());
        let chains = genesis.iter().flat_map(Genesis::all_schedulers).take(CHAINS_MAX);
        // Other probes are answered meanwhile. A store that cannot answer is what another check says.
        let read: Vec<_> = chains.filter_map(|(chain, _)| Some((chain, levels::chain(app.store(), chain, 0).ok()?))).collect();
        let mut state = app.progress.0.lock();
        read.into_iter().for_each(|(chain, standing)| state.saw(now, chain, standing));
    }
    let stalled = app.progress.0.lock().stalled(now);
    HealthCheck {
        check: Check::Quorum,
        ok: stalled.is_none(),
        vital: true,
        age_s: stalled.map_or(0, |(_, _, waited)| waited.as_secs()),
        reason: match stalled {
            None => "what is scheduled is confirmed".to_owned(),
            Some((chain, behind, waited)) => {
                format!("no quorum: {behind} frames of {chain} wait, none was confirmed for {} s", waited.as_secs())
            }
        },
        fix: if stalled.is_none() { "" } else { "see whether attestors with two thirds of the stake run and are connected" },
    }
}

/// A key that does not sign any more misses its duties; the node itself goes on.
fn signer(phase: &Phase) -> HealthCheck {
    let (over, held) = (matches!(phase, Phase::Over(_)), matches!(phase, Phase::Held { .. }));
    HealthCheck {
        check: Check::Signer,
        ok: !over && !held,
        vital: false,
        age_s: 0,
        reason: match phase {
            Phase::Held { ahead_ms } => format!("the node signs nothing while its clock is wrong: ahead by {ahead_ms} ms"),
            Phase::Signing => "the node attests".to_owned(),
            Phase::Silent { left_ms } => format!("the node listens for its own key for {} s more", left_ms.div_ceil(1_000)),
            Phase::Over(why) => format!("the node does not sign any more: {why}"),
        },
        fix: match (over, held) {
            (true, _) => "find out who else signs with this key before the node is started again",
            (_, true) => "set the clock of this machine",
            _ => "",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u8) -> Address {
        Address::Arweave(ao_types::Id([n; 32]))
    }

    fn standing(confirmed: u64, behind: u64) -> ChainStanding {
        ChainStanding { confirmed: Some(confirmed), behind, ..ChainStanding::default() }
    }

    #[test]
    fn a_chain_that_waits_too_long_is_named_until_something_is_confirmed() {
        let (start, mut state) = (Instant::now(), State::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        state.saw(at(0), chain(1), standing(5, 0));
        state.saw(at(0), chain(2), standing(5, 1));
        assert_eq!(state.stalled(at(9)), None);
        state.saw(at(9), chain(2), standing(5, 3));
        assert_eq!(state.stalled(at(10)), Some((chain(2), 3, WAIT_MAX)), "more frames are no progress");
        state.saw(at(11), chain(2), standing(6, 2));
        assert_eq!(state.stalled(at(20)), None, "one confirmed frame is");
        state.saw(at(21), chain(2), standing(8, 0));
        assert_eq!(state.stalled(at(99)), None, "a silent chain waits for nothing");
    }

    #[test]
    fn checks_say_what_is_wrong_and_whether_it_matters() {
        let shown = |check: HealthCheck| (check.ok, check.vital, check.fix.is_empty());
        assert_eq!(shown(peers((3, 3))), (true, false, true));
        assert_eq!(shown(peers((1, 3))), (false, false, false));
        assert_eq!(shown(peers((0, 3))), (false, true, false));
        assert_eq!(shown(sync((1_000, 1_000 - BEHIND_MAX + 1))), (true, false, true));
        assert_eq!(shown(sync((u64::MAX, 1_000 - BEHIND_MAX))), (false, false, false));
        assert_eq!(shown(signer(&Phase::Silent { left_ms: 1 })), (true, false, true));
        assert_eq!(shown(signer(&Phase::Over("twice".to_owned()))), (false, false, false));
    }
}
