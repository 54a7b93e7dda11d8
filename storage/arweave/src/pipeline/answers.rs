//! What an answer changes.

use super::step::retire;
use super::{Alarm, Answer, Carrier, Effect, Held, Holder, Known, Pipeline, Posted, Seeded, Shipment, Stage, Task, Terms, Via, Work};
use crate::backoff::pause_ms;
use crate::limits::{ANCHOR_BLOCKS, ASK_EVERY, DISPUTES_MAX, ENDPOINTS_MAX, HOLD, PRICE_MARGIN_PERCENT, UNSEEN};

/// How often an endpoint that took a header may say that it does not know it.
const HEADLESS_MAX: u32 = 5;

impl Pipeline {
    /// A task of a shipment ended.
    pub(super) fn on_answer(&mut self, now_ms: u64, chance: u32, number: u64, answer: Answer, out: &mut Vec<Effect>) {
        let Some((mut shipment, mut work)) = self.shipments.remove(&number) else { return };
        if !std::mem::take(&mut work.out) {
            self.shipments.insert(number, (shipment, work));
            return;
        }
        (work.not_before_ms, work.on_tip) = (0, false);
        if self.signing == Some(number) {
            self.signing = None;
            // Others wait for this.
            let others = self.shipments.values_mut().filter(|(shipment, work)| shipment.stage == Stage::Bundled && !work.out);
            others.for_each(|(_, work)| work.not_before_ms = 0);
        }
        let mut told = Told { now_ms, chance, out };
        match answer {
            Answer::Quoted { price, anchor, anchor_height, balance } => {
                let terms = Terms { anchor, anchor_height, reward: price.saturating_add(price.saturating_mul(PRICE_MARGIN_PERCENT) / 100) };
                self.on_quoted(&shipment, &mut work, terms, balance, &mut told);
            }
            Answer::Signed { id, head } => self.on_signed(&mut shipment, &mut work, (id, head), &mut told),
            Answer::Posted { endpoint, outcome } => self.on_posted(&mut shipment, &mut work, endpoint, outcome, &mut told),
            Answer::Seeded(outcome) => on_seeded(&mut shipment, &mut work, outcome, &mut told),
            Answer::Status(known) => self.on_status(&mut shipment, &mut work, known, &mut told),
            Answer::Block(held) => self.on_block(&mut shipment, &mut work, held, &mut told),
            Answer::ReadBack(good) => self.on_read_back(&mut shipment, &mut work, good, &mut told),
            Answer::Failed => told.later(&mut work),
        }
        if !matches!(shipment.stage, Stage::Done(_)) {
            self.shipments.insert(number, (shipment, work));
        }
    }

    fn on_quoted(&mut self, shipment: &Shipment, work: &mut Work, terms: Terms, balance: u128, told: &mut Told<'_>) {
        if shipment.stage != Stage::Bundled {
            return;
        }
        self.spent = self.spent.at(told.now_ms);
        let budget = self.settings.budget;
        let hold = |alarm, until: u64| Some((alarm, until.min(told.now_ms.saturating_add(HOLD.as_millis() as u64))));
        // What is signed and in no block is not in the balance yet.
        let open = self.shipments.values().map(|(shipment, _)| shipment).filter(|shipment| shipment.stage.place().is_none());
        let committed = open.filter_map(|shipment| shipment.carrier()).filter(|carrier| !self.is_dead(carrier));
        let committed = committed.map(|carrier| carrier.reward).fold(0, u128::saturating_add);
        let was = self.hold();
        self.hold = if self.spent.plus(terms.reward).winston > budget.day_max {
            hold(Alarm::Cap, self.spent.ends_ms())
        } else if committed.saturating_add(terms.reward).saturating_add(budget.floor) > balance {
            hold(Alarm::Balance, u64::MAX)
        } else {
            None
        };
        match self.hold {
            Some((alarm, until)) => {
                work.not_before_ms = until;
                if was != Some(alarm) {
                    let why = format!("{} winston are asked, {balance} are there, {} were spent today", terms.reward, self.spent.winston);
                    told.out.push(Effect::Alarm { shipment: shipment.number, alarm, why });
                }
            }
            None => {
                (work.out, self.signing) = (true, Some(shipment.number));
                work.terms = Some(terms);
                told.out.push(Effect::Task { shipment: shipment.number, task: Task::Sign(Some(terms)) });
            }
        }
    }

    fn on_signed(&mut self, shipment: &mut Shipment, work: &mut Work, signed: (ao_types::Id, bytes::Bytes), told: &mut Told<'_>) {
        let terms = work.terms.take();
        if shipment.stage != Stage::Bundled || terms.is_none() != (self.settings.via == Via::Service) {
            return;
        }
        let (id, head) = signed;
        let (anchor_height, reward) = terms.map_or((0, 0), |terms| (terms.anchor_height.max(1), terms.reward));
        shipment.carriers.push(Carrier { id, head, anchor_height, reward, signed_ms: told.now_ms, taken: false });
        shipment.copies.clear();
        shipment.stage = Stage::Signed;
        *work = Work::default();
        self.spent = self.spent.at(told.now_ms).plus(reward);
        told.out.push(Effect::Remember(Box::new(shipment.clone()), Some(self.spent)));
    }

    fn on_posted(&mut self, shipment: &mut Shipment, work: &mut Work, endpoint: String, outcome: Posted, told: &mut Told<'_>) {
        match outcome {
            Posted::Taken(promise) => {
                (work.tries, work.headless) = (0, 0);
                if shipment.copies.len() < ENDPOINTS_MAX && shipment.copies.iter().all(|copy| copy.endpoint != endpoint) {
                    shipment.copies.push(Holder { endpoint, chunks: 0, promise });
                }
                if let Some(carrier) = shipment.carriers.last_mut() {
                    carrier.taken = true;
                }
                if shipment.stage == Stage::Signed {
                    shipment.stage = Stage::Posted;
                }
                told.remember(shipment);
            }
            Posted::Failed => {
                if endpoint.is_empty() {
                    // Nobody else is left: who would not keep chunks may have room by now.
                    work.avoided.clear();
                }
                told.later(work);
            }
            Posted::Refused(why) => {
                if !endpoint.is_empty() && !work.refused.contains(&endpoint) {
                    work.refused.push(endpoint);
                }
                let taken = shipment.carrier().is_none_or(|carrier| carrier.taken);
                if taken || work.refused.len() < self.settings.copies {
                    return told.later(work);
                }
                // Nobody takes it, and nobody ever did. Perhaps its price or its anchor is too old: once, another is signed at once.
                work.refused.clear();
                if self.settings.via == Via::Chain && !std::mem::replace(&mut shipment.signed_again, true) {
                    retire(shipment);
                    self.counts.signed_again += 1;
                    told.remember(shipment);
                } else {
                    told.out.push(Effect::Alarm { shipment: shipment.number, alarm: Alarm::Refused, why });
                    work.not_before_ms = told.now_ms.saturating_add(HOLD.as_millis() as u64);
                }
            }
        }
    }

    fn on_status(&mut self, shipment: &mut Shipment, work: &mut Work, known: Vec<Known>, told: &mut Told<'_>) {
        if shipment.stage.place().is_some() || known.len() != shipment.carriers.len() {
            return;
        }
        work.tries = 0;
        work.not_before_ms = told.now_ms.saturating_add(ASK_EVERY.as_millis() as u64);
        work.on_tip = true;
        if let Some(Known::Mined(place)) = known.iter().find(|known| matches!(known, Known::Mined(_))) {
            shipment.stage = Stage::Mined(place.clone());
            (work.checked_tip, work.not_before_ms) = (None, 0);
            return told.remember(shipment);
        }
        if known.contains(&Known::Disputed) {
            // Whichever side is right, another transaction would be a second one. Nothing follows but that somebody is told.
            work.unseen_since_ms = None;
            if shipment.carrier().is_some_and(|carrier| self.is_dead(carrier)) {
                told.disputed(shipment, work, "gateways contradict each other about whether a transaction was mined in time");
            }
            return;
        }
        (work.asked_tip, work.disputed) = (Some(work.asking_tip), false);
        if known.last() == Some(&Known::Pending) {
            work.unseen_since_ms = None;
            if shipment.stage != Stage::Seen {
                shipment.stage = Stage::Seen;
                told.remember(shipment);
            }
            return;
        }
        let Some(carrier) = shipment.carrier() else { return };
        let dead = self.tip >= carrier.anchor_height.saturating_add(ANCHOR_BLOCKS) && carrier.anchor_height > 0;
        if dead {
            work.not_before_ms = 0;
            return;
        }
        let since = *work.unseen_since_ms.get_or_insert(told.now_ms);
        if told.now_ms.saturating_sub(since) >= UNSEEN.as_millis() as u64 && !shipment.copies.is_empty() && carrier.anchor_height > 0 {
            // The same bytes again, to everybody.
            shipment.copies.clear();
            shipment.stage = Stage::Signed;
            self.counts.reposted += 1;
            *work = Work { asked_tip: work.asked_tip, ..Work::default() };
            told.remember(shipment);
        }
    }

    fn on_block(&mut self, shipment: &mut Shipment, work: &mut Work, held: Held, told: &mut Told<'_>) {
        let settled = shipment.stage.is_settled();
        let Some(place) = shipment.stage.place().cloned() else { return };
        match held {
            Held::Holds if settled => {
                shipment.stage = Stage::Done(place);
                told.remember(shipment);
            }
            Held::Holds => (work.checked_tip, work.tries, work.disputed) = (Some(work.asking_tip), 0, false),
            Held::Split => {
                told.later(work);
                if work.tries >= DISPUTES_MAX {
                    told.disputed(shipment, work, "gateways contradict each other about the block that has a transaction");
                }
            }
            Held::Gone => {
                self.counts.reorgs += 1;
                shipment.stage = Stage::Seen;
                *work = Work::default();
                told.remember(shipment);
                if settled {
                    told.out.push(Effect::Unsettled(shipment.number));
                    let why = format!("block {} no longer has transaction {}", place.height, place.transaction);
                    told.out.push(Effect::Alarm { shipment: shipment.number, alarm: Alarm::Unsettled, why });
                }
            }
        }
    }

    fn on_read_back(&mut self, shipment: &mut Shipment, work: &mut Work, good: bool, told: &mut Told<'_>) {
        let Stage::Mined(place) = &shipment.stage else { return };
        // The chain went on, or back, while it was read.
        if good && work.checked_tip == Some(self.tip) {
            shipment.stage = Stage::Settled(place.clone(), self.tip);
            *work = Work::default();
            self.counts.settled += 1;
            told.remember(shipment);
            told.out.push(Effect::Settled(shipment.number));
        } else if !good {
            // A header can be mined while nobody holds the chunks. Whoever has them may post them again at any time.
            self.counts.unreadable += 1;
            shipment.copies.iter_mut().for_each(|copy| copy.chunks = 0);
            told.remember(shipment);
            told.later(work);
            work.unreadable = true;
        }
    }
}

fn on_seeded(shipment: &mut Shipment, work: &mut Work, outcome: Seeded, told: &mut Told<'_>) {
    let all = shipment.bundle.chunks;
    let Some(place) = shipment.copies.iter().position(|copy| copy.chunks < all) else { return };
    match outcome {
        Seeded::Taken(count) if count > 0 => {
            let copy = &mut shipment.copies[place];
            copy.chunks = copy.chunks.saturating_add(count).min(all);
            (work.tries, work.headless) = (0, 0);
            if copy.chunks == all {
                work.unreadable = false;
            }
            told.remember(shipment);
        }
        Seeded::Taken(_) | Seeded::Failed => told.later(work),
        Seeded::NoHeader => {
            told.later(work);
            work.headless += 1;
            if work.headless >= HEADLESS_MAX {
                // It forgot: it gets the header again.
                work.headless = 0;
                shipment.copies.remove(place);
                told.remember(shipment);
            }
        }
        Seeded::Refused(_) => {
            work.avoided.push(shipment.copies.remove(place).endpoint);
            told.remember(shipment);
            told.later(work);
        }
        Seeded::Fatal(why) => {
            told.out.push(Effect::Alarm { shipment: shipment.number, alarm: Alarm::Fatal, why });
            work.avoided.push(shipment.copies.remove(place).endpoint);
            told.remember(shipment);
            work.not_before_ms = told.now_ms.saturating_add(HOLD.as_millis() as u64);
        }
    }
}

/// When an answer came, and what follows from it.
struct Told<'a> {
    now_ms: u64,
    chance: u32,
    out: &'a mut Vec<Effect>,
}

impl Told<'_> {
    fn remember(&mut self, shipment: &Shipment) {
        self.out.push(Effect::Remember(Box::new(shipment.clone()), None));
    }

    /// An operator hears of it once.
    fn disputed(&mut self, shipment: &Shipment, work: &mut Work, why: &str) {
        if !std::mem::replace(&mut work.disputed, true) {
            self.out.push(Effect::Alarm { shipment: shipment.number, alarm: Alarm::Disputed, why: why.to_owned() });
        }
    }

    /// Once more, after a pause that doubles.
    fn later(&self, work: &mut Work) {
        work.tries = work.tries.saturating_add(1);
        work.not_before_ms = self.now_ms.saturating_add(pause_ms(work.tries, self.chance));
    }
}
