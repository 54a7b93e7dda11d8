//! What can be commanded, by `POST /dev/{verb}` and by tests alike.

use std::collections::BTreeSet;

use ao_types::Id;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, Station};
use crate::chain::Keep;
use crate::faults::{GatewayFaults, Rule, Trouble, bounded};
use crate::odds::ALWAYS;

/// Which transactions survive a reorganisation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum KeepText {
    /// `none`, `all` or `pending`.
    Word(String),
    /// These.
    Ids(BTreeSet<Id>),
}

/// A command. Probabilities are of 1; where `gateway` is left out, it is the first.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Mine blocks.
    Mine {
        /// How many; 1 if left out.
        #[serde(default = "one")]
        n: u64,
        /// Their time, seconds since 1970; now if left out.
        timestamp: Option<u64>,
    },
    /// Mine a block every so many milliseconds; 0 stops that.
    Auto {
        /// Milliseconds.
        interval: u64,
    },
    /// Give a wallet winston.
    Mint {
        /// The wallet.
        address: Id,
        /// Decimal text, as it may be more than JSON numbers hold.
        winston: String,
    },
    /// Take blocks away and mine one more in their place.
    Reorg {
        /// How many.
        depth: u64,
        /// What survives; `all` if left out.
        keep: Option<KeepText>,
        /// As in `mine`.
        timestamp: Option<u64>,
    },
    /// Lose transactions before they are mined.
    Drop {
        /// These.
        #[serde(default)]
        ids: BTreeSet<Id>,
        /// Or some; stays until it is set again.
        probability: Option<f64>,
    },
    /// Let transactions wait for so many blocks.
    Delay {
        /// These.
        #[serde(default)]
        ids: BTreeSet<Id>,
        /// Or some.
        probability: Option<f64>,
        /// How many blocks.
        blocks: u64,
    },
    /// Let transactions be included twice: their block is orphaned, the next branch has them again.
    Twice {
        /// These.
        ids: BTreeSet<Id>,
    },
    /// Hand out no chunk of a transaction.
    WithholdChunks {
        /// Which.
        tx: Id,
        /// False: do again.
        #[serde(default = "yes")]
        on: bool,
    },
    /// Let the bundling service lose what it gives receipts for.
    BundlerLose {
        /// How often.
        probability: f64,
    },
    /// Let a gateway be behind.
    IndexLag {
        /// Blocks.
        blocks: u64,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Let a gateway be behind with unbundling.
    UnbundleLag {
        /// Blocks.
        blocks: u64,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Let a gateway stand still.
    Stale {
        /// At this height; not any more if left out.
        height: Option<u64>,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Let a gateway not know something.
    Hide {
        /// What; nothing: all is shown again.
        ids: BTreeSet<Id>,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Let a gateway have other bytes.
    Corrupt {
        /// Of what.
        id: Id,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Let pages of a gateway's GraphQL never end.
    Endless {
        /// Or end again.
        on: bool,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Let entries of its pages come in another order.
    Reorder {
        /// Or in the right one again.
        on: bool,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Answer so many requests a minute.
    RateLimit {
        /// How many; as many as come if left out.
        per_minute: Option<u32>,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Answer late.
    Latency {
        /// Paths that start so.
        path: String,
        /// Milliseconds, mostly.
        p50: u64,
        /// Milliseconds, of one in a hundred.
        p99: u64,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Answer with a status instead of doing anything.
    Fail {
        /// Paths that start so.
        path: String,
        /// The status.
        status: u16,
        /// How often; always if left out.
        probability: Option<f64>,
        /// How many times at most.
        times: Option<u32>,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Answer with a page for people.
    #[serde(rename = "html_200")]
    Html200 {
        /// Paths that start so.
        path: String,
        /// How often; always if left out.
        probability: Option<f64>,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Anything of that kind.
    Trouble {
        /// The rule.
        rule: Rule,
        /// Which gateway.
        #[serde(default)]
        gateway: usize,
    },
    /// Set the price of storing a byte.
    Price {
        /// Winston.
        winston_per_byte: u64,
    },
    /// End all faults.
    Heal {},
}

fn one() -> u64 {
    1
}

fn yes() -> bool {
    true
}

/// A probability as parts of a million: floats end here.
fn odds(probability: f64) -> Result<u32, Error> {
    if !(0.0..=1.0).contains(&probability) {
        return Err(Error::Command("a probability is between 0 and 1".into()));
    }
    Ok((probability * f64::from(ALWAYS)).round() as u32)
}

impl Station {
    /// Does what is commanded; `now` is seconds since 1970. [`Command::Auto`] needs a clock, which is not here.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn command(&self, command: Command, now: u64) -> Result<Value, Error> {
        match command {
            Command::Mine { n, timestamp } => {
                let blocks = self.mine(n, timestamp.unwrap_or(now))?;
                Ok(json!({ "blocks": blocks }))
            }
            Command::Reorg { depth, keep, timestamp } => {
                let keep = match keep {
                    None => Keep::All,
                    Some(KeepText::Word(word)) => match word.as_str() {
                        "all" => Keep::All,
                        "none" => Keep::None,
                        "pending" => Keep::Pending,
                        _ => return Err(Error::Command("`keep` is none, all, pending or a list of ids".into())),
                    },
                    Some(KeepText::Ids(ids)) => Keep::Ids(ids),
                };
                let done = self.reorganise(depth, &keep, timestamp.unwrap_or(now))?;
                Ok(json!({ "orphaned": done.orphaned, "lost": done.lost, "blocks": done.mined }))
            }
            Command::Auto { .. } => Err(Error::Command("there is no clock here".into())),
            other => self.set(other).map(|()| json!({ "ok": true })),
        }
    }

    fn set(&self, command: Command) -> Result<(), Error> {
        let mut guard = self.state();
        let state = &mut *guard;
        let too_many = Error::Command;
        let gateway =
            |gateways: &mut Vec<GatewayFaults>, number: usize, change: &mut dyn FnMut(&mut GatewayFaults) -> Result<(), Error>| {
                let count = gateways.len();
                let faults = gateways.get_mut(number).ok_or_else(|| Error::Command(format!("there are {count} gateways, from 0")))?;
                change(faults)
            };
        let add_rule = |gateways: &mut Vec<GatewayFaults>, number: usize, rule: Rule| {
            gateway(gateways, number, &mut |faults| {
                rule.check().and_then(|()| bounded(faults.rules.len(), 1)).map_err(Error::Command)?;
                faults.rules.push(rule.clone());
                Ok(())
            })
        };
        let rule = |path, trouble, probability: Option<f64>, times| {
            Ok::<_, Error>(Rule { path, trouble, per_million: probability.map_or(Ok(ALWAYS), odds)?, times, seen: 0 })
        };
        match command {
            Command::Mint { address, winston } => {
                state.writable()?;
                let winston = winston.parse().map_err(|_| Error::Command("`winston` is a decimal number".into()))?;
                let mut events = Vec::new();
                state.chain.mint(address, winston, &mut events);
                self.keep(state, &events);
                Ok(())
            }
            Command::Price { winston_per_byte } => {
                state.writable()?;
                let mut events = Vec::new();
                state.chain.set_price(winston_per_byte, &mut events);
                self.keep(state, &events);
                Ok(())
            }
            Command::Drop { ids, probability } => {
                bounded(state.faults.lose.len(), ids.len()).map_err(too_many)?;
                if let Some(probability) = probability {
                    state.faults.lose_per_million = odds(probability)?;
                }
                state.faults.lose.extend(ids);
                Ok(())
            }
            Command::Delay { ids, probability, blocks } => {
                bounded(state.faults.delay.len(), ids.len()).map_err(too_many)?;
                if let Some(probability) = probability {
                    state.faults.delay_per_million = (odds(probability)?, blocks);
                }
                let until = state.chain.tip().height.saturating_add(blocks).saturating_add(1);
                state.faults.delay.extend(ids.into_iter().map(|id| (id, until)));
                Ok(())
            }
            Command::Twice { ids } => {
                bounded(state.faults.twice.len(), ids.len()).map_err(too_many)?;
                state.faults.twice.extend(ids);
                Ok(())
            }
            Command::WithholdChunks { tx, on } => {
                bounded(state.faults.withhold.len(), 1).map_err(too_many)?;
                if on {
                    state.faults.withhold.insert(tx)
                } else {
                    state.faults.withhold.remove(&tx)
                };
                Ok(())
            }
            Command::BundlerLose { probability } => {
                state.faults.bundler_lose_per_million = odds(probability)?;
                Ok(())
            }
            Command::IndexLag { blocks, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                faults.index_lag = blocks;
                Ok(())
            }),
            Command::UnbundleLag { blocks, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                faults.unbundle_lag = blocks;
                Ok(())
            }),
            Command::Stale { height, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                faults.stale = height;
                Ok(())
            }),
            Command::Hide { ids, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                bounded(0, ids.len()).map_err(Error::Command)?;
                faults.hide.clone_from(&ids);
                Ok(())
            }),
            Command::Corrupt { id, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                bounded(faults.corrupt.len(), 1).map_err(Error::Command)?;
                faults.corrupt.insert(id);
                Ok(())
            }),
            Command::Endless { on, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                faults.endless = on;
                Ok(())
            }),
            Command::Reorder { on, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                faults.reorder = on;
                Ok(())
            }),
            Command::RateLimit { per_minute, gateway: number } => gateway(&mut state.gateways, number, &mut |faults| {
                faults.per_minute = per_minute;
                Ok(())
            }),
            Command::Latency { path, p50, p99, gateway: number } => {
                add_rule(&mut state.gateways, number, rule(path, Trouble::Latency { p50, p99 }, None, None)?)
            }
            Command::Fail { path, status, probability, times, gateway: number } => {
                add_rule(&mut state.gateways, number, rule(path, Trouble::Status { status }, probability, times)?)
            }
            Command::Html200 { path, probability, gateway: number } => {
                add_rule(&mut state.gateways, number, rule(path, Trouble::Html, probability, None)?)
            }
            Command::Trouble { rule, gateway: number } => add_rule(&mut state.gateways, number, rule),
            Command::Heal {} => {
                state.faults = crate::faults::ChainFaults::default();
                state.gateways.iter_mut().for_each(|faults| *faults = GatewayFaults::default());
                Ok(())
            }
            Command::Mine { .. } | Command::Reorg { .. } | Command::Auto { .. } => Err(Error::Command("this is done elsewhere".into())),
        }
    }
}
