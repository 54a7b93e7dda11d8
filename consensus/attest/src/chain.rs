//! One chain, as one node sees it: what it is made of, and the order in which news of it is digested.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ao_consensus::Timestamp;
use ao_consensus::effect::{Effect, Offence};
use ao_consensus::input::Given;
use ao_consensus::protection::ChainRow;
use ao_consensus::tip::ChainTip;
use ao_types::{BlsKey, Chain, PeerId};

use crate::branches::{Branches, Insert, Place};
use crate::collect::Collecting;
use crate::common::Common;
use crate::evidence::two_headers;
use crate::lack::Lacks;
use crate::record::{Bound, Known};
use crate::timer::Again;
use crate::wire::Message;

pub(crate) struct ChainState {
    pub chain: Chain,
    pub branches: Branches,
    /// Slashing protection.
    pub row: Option<ChainRow>,
    /// Where the last frame signed lies, once confirmation has passed it.
    pub bound: Option<Bound>,
    /// The highest certificate that is on disk with the row.
    pub known: Option<Known>,
    /// Its frontier is decided: nothing more happens in it.
    pub ended: bool,
    /// Two certificates exclude one another: a third of some committee lies. Nothing is signed or confirmed on top of that.
    pub halted: bool,
    /// The node was told that it stores another frame than the certified one in this place.
    pub forked: bool,
    /// The highest sequence of any signed header or verified certificate.
    pub highest: u64,
    pub collecting: BTreeMap<Place, Collecting>,
    /// Shares and sums of frames that are not linked yet, oldest first.
    pub early: VecDeque<(PeerId, Message)>,
    /// Keys that sent a share or sum that did not hold: theirs are checked one by one (G2).
    pub liars: BTreeSet<BlsKey>,
    /// Keys that evidence was made of.
    pub convicted: BTreeSet<BlsKey>,
    pub lacks: Lacks,
    /// The row is of before a crash, and its share has not been counted since.
    pub uncounted: bool,
    /// The last share, until a certificate covers it (A6).
    pub share: Option<Again>,
    pub signed_at: Option<Timestamp>,
    /// Of an own chain: its newest frame (C6).
    pub calls: Option<Calls>,
    /// The newest frame, if this node can only ask for its certificate (C7).
    pub watched: Option<(Place, Again)>,
    /// When a held frame may be judged anew.
    pub look_again: Option<Timestamp>,
    /// How long a certificate usually takes from signing on, milliseconds.
    pub usual_ms: u64,
    /// Signatures within a second, and when that began.
    pub rate: (Timestamp, u32),
}

/// What a scheduler does about its newest frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub place: Place,
    pub again: Again,
    /// It is certified; when to publish that by itself.
    pub publish: Option<Timestamp>,
    /// Members were sent the certificate so often.
    pub last_calls: Option<u32>,
}

impl ChainState {
    /// After the last confirmed frame of an earlier life, or at the chain's opening.
    pub fn new(base: ChainTip) -> Self {
        Self {
            chain: base.chain,
            branches: Branches::after(base),
            row: None,
            bound: None,
            known: None,
            ended: false,
            halted: false,
            forked: false,
            highest: 0,
            collecting: BTreeMap::new(),
            early: VecDeque::new(),
            liars: BTreeSet::new(),
            convicted: BTreeSet::new(),
            lacks: Lacks::default(),
            uncounted: false,
            share: None,
            signed_at: None,
            calls: None,
            watched: None,
            look_again: None,
            usual_ms: 0,
            rate: (Timestamp(0), 0),
        }
    }

    /// A frame came, for the first time or with more known of it.
    pub fn on_frame(&mut self, common: &mut Common, now: Timestamp, given: Given, out: &mut Vec<Effect>) {
        let (place, from, header) = ((given.header.sequence, given.header.id()), given.from.clone(), given.header.clone());
        self.highest = self.highest.max(place.0);
        let (inserted, other) = self.branches.insert(given);
        if let Some(other) = other {
            two_headers(&other, &header, out);
        }
        match inserted {
            Insert::Above => self.want(common, now, place, from, true, out),
            Insert::Full => common.blame_scheduler(&self.chain, from, Offence::Flood, out),
            Insert::Settled => {}
            Insert::New | Insert::Again => {
                if inserted == Insert::New || !self.branches.lacks(&place) {
                    self.lacks.got(&place);
                }
                if inserted == Insert::New
                    && common.own == Some(self.chain)
                    && self.calls.as_ref().is_none_or(|calls| calls.place.0 < place.0)
                {
                    let again = Again::after(now, common.wait_ms(self.usual_ms));
                    self.calls = Some(Calls { place, again, publish: None, last_calls: None });
                }
                self.digest(common, now, out);
            }
        }
    }

    /// Whatever has become possible: link, check what is carried, judge, confirm, count early shares, ask for what lacks, sign.
    pub fn digest(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>) {
        if self.ended {
            return;
        }
        self.link(common, out);
        self.judge(common, now, out);
        self.settle(common, now, out);
        self.count_own(common, now, out);
        self.count_early(common, now, out);
        self.want_missing(common, now, out);
        if !self.choose(common, now).is_empty() {
            common.group(now, self.chain);
        }
        self.watch_newest(now);
    }

    /// A deadline passed.
    pub fn on_tick(&mut self, common: &mut Common, now: Timestamp, out: &mut Vec<Effect>) {
        if self.ended {
            return;
        }
        if self.look_again.is_some_and(|at| at <= now) {
            self.digest(common, now, out);
        }
        self.collect_due(common, now, out);
        self.share_again(common, now, out);
        self.call(common, now, out);
        self.ask_again(common, now, out);
        self.watch_newest(now);
        self.ask_certificate(common, now, out);
    }

    /// When [`ChainState::on_tick`] has something to do.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.ended {
            return None;
        }
        let calls = self.calls.iter().flat_map(|calls| calls.publish.into_iter().chain(calls.called_again()));
        let collecting = self.collecting.values().filter_map(Collecting::deadline);
        let watched = self.watched.as_ref().map(|(_, again)| again.due);
        let others = [self.look_again, self.share.map(|again| again.due), self.lacks.deadline(), watched];
        others.into_iter().flatten().chain(calls).chain(collecting).min()
    }

    /// Whether a frame is known to be certified, by itself or by a descendant; whatever is confirmed was.
    pub fn covered(&self, place: &Place) -> bool {
        if place.0 < self.branches.base().next_sequence {
            return true;
        }
        self.branches.certified().is_some_and(|certified| self.branches.descends(&certified, place) == Some(true))
    }
}

impl Calls {
    fn called_again(&self) -> Option<Timestamp> {
        (self.last_calls != Some(crate::limits::LAST_CALLS_MAX)).then_some(self.again.due)
    }
}
