//! The engine: one match on what comes in. What it means for one chain is in `chain.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ao_consensus::checks::Tip;
use ao_consensus::effect::{Effect, Offence};
use ao_consensus::input::{Given, Input, Setup};
use ao_consensus::origin::{Origin, OriginChange, OriginUpdate};
use ao_consensus::protection::Guard;
use ao_consensus::roster::Rosters;
use ao_consensus::tip::ChainTip;
use ao_consensus::{Consensus, Timestamp};
use ao_types::{Canonical, Chain, Committee, Epoch, PeerId};

use crate::chain::ChainState;
use crate::common::{Common, penalise};
use crate::limits::{CHAINS_MAX, EPOCHS_MAX, INTERVAL_MS, PREMATURE_MAX};
use crate::mutation::Mutations;
use crate::record::{BadRecord, Recalled, recall};
use crate::timer::Again;
use crate::wire::Message;

/// Name of the engine, in genesis files and HTTP answers.
pub const NAME: &str = "attest";

/// See the crate's documentation.
pub struct Attest {
    common: Common,
    chains: BTreeMap<Chain, ChainState>,
    /// Frames of chains that the Origin may yet open, oldest first.
    premature: VecDeque<Given>,
}

impl Attest {
    /// From what an earlier life left, if there was one. Params: `interval_ms`, the frame interval that waits are counted in.
    pub fn new(setup: Setup) -> Result<Self, BadRecord> {
        Self::with(setup, Mutations::default())
    }

    /// With rules broken on purpose.
    #[cfg(feature = "mutations")]
    pub fn mutated(setup: Setup, mutations: Mutations) -> Result<Self, BadRecord> {
        Self::with(setup, mutations)
    }

    pub(crate) fn with(setup: Setup, mutations: Mutations) -> Result<Self, BadRecord> {
        let interval_ms = setup.number("interval_ms", INTERVAL_MS).max(1);
        let common = Common {
            network: setup.network,
            rosters: Rosters::new(setup.network, setup.scheme, setup.secret),
            key: setup.signer.as_ref().map(|signer| signer.public()),
            signer: setup.signer,
            peer: setup.peer,
            own: setup.own,
            origin: Origin::default(),
            tip: Tip::default(),
            certified_height: 0,
            interval_ms,
            mutations,
            group: BTreeSet::new(),
            group_due: None,
            unwritten: BTreeMap::new(),
            draws: Default::default(),
        };
        let mut chains: BTreeMap<Chain, ChainState> = setup.confirmed.into_iter().map(|tip| (tip.chain, ChainState::new(tip))).collect();
        let state = |chains: &mut BTreeMap<Chain, ChainState>, chain: Chain, change: &mut dyn FnMut(&mut ChainState)| {
            change(chains.entry(chain).or_insert_with(|| ChainState::new(ChainTip::opened(chain))));
        };
        for guard in setup.guards {
            if let Guard::Chain(row) = guard
                && common.key == Some(row.key)
            {
                let unsent = row.signature.is_some() && !row.sealed;
                state(&mut chains, row.chain, &mut |chain| {
                    chain.row = Some(row.clone());
                    // Nobody may have heard the last share.
                    chain.uncounted = unsent;
                    chain.share = unsent.then(|| Again::after(Timestamp(0), 1));
                });
            }
        }
        for record in &setup.records {
            match recall(record)? {
                Some(Recalled::Known(known)) => state(&mut chains, known.chain, &mut |chain| chain.known = Some(known.clone())),
                Some(Recalled::Bound(bound)) => state(&mut chains, bound.chain, &mut |chain| chain.bound = Some(bound)),
                None => {}
            }
        }
        Ok(Self { common, chains, premature: VecDeque::new() })
    }

    /// The state of a chain that the Origin knows; `None` if it does not, or there are too many.
    fn chain(&mut self, chain: &Chain) -> Option<(&mut ChainState, &mut Common)> {
        let record = self.common.origin.chain(chain)?;
        if !self.chains.contains_key(chain) {
            if self.chains.len() >= CHAINS_MAX {
                let ended = self.chains.iter().find(|(_, state)| state.ended).map(|(chain, _)| *chain)?;
                self.chains.remove(&ended);
            }
            let mut state = ChainState::new(ChainTip::opened(*chain));
            state.ended = record.frontier.is_some();
            self.chains.insert(*chain, state);
        }
        self.chains.get_mut(chain).map(|state| (state, &mut self.common))
    }

    fn on_frame(&mut self, now: Timestamp, given: Given, out: &mut Vec<Effect>) {
        let chain = given.header.chain;
        if self.common.origin.chain(&chain).is_none() {
            // §4 rule 1: held until the Origin is applied up to the frame's control height; unlawful if it is and knows no such chain.
            if self.common.origin.applied().is_some_and(|applied| applied >= given.header.control_height) {
                penalise(out, given.from, Offence::Unlawful);
                return;
            }
            if self.premature.len() >= PREMATURE_MAX {
                self.premature.pop_front();
            }
            self.premature.push_back(given);
            return;
        }
        if let Some((state, common)) = self.chain(&chain) {
            state.on_frame(common, now, given, out);
        }
    }

    fn on_peer(&mut self, now: Timestamp, from: PeerId, bytes: &[u8], out: &mut Vec<Effect>) {
        let Some((message, frame)) = Message::decode(bytes).ok().and_then(|message| message.subject().map(|frame| (message, frame))) else {
            penalise(out, Some(from), Offence::Malformed);
            return;
        };
        // A chain that this node does not know yet is no fault of the sender's.
        let Some((state, common)) = self.chain(&frame.chain) else { return };
        if state.ended {
            return;
        }
        let place = (frame.sequence, frame.frame);
        match message {
            Message::Share(attestation) => state.on_share(common, now, from, attestation, out),
            Message::Sum(sum) => state.on_sum(common, now, from, sum, out),
            Message::Certified(certificates) => state.on_certificates(common, now, from, place, certificates, out),
            Message::Announce(_) => state.on_announce(common, now, from, place, out),
        }
    }

    /// G4: own shares whose row is durable are counted like anybody's.
    fn on_remembered(&mut self, now: Timestamp, key: &str, out: &mut Vec<Effect>) {
        let Some(shares) = self.common.unwritten.get_mut(key).and_then(VecDeque::pop_front) else { return };
        let peer = self.common.peer.clone();
        for share in shares {
            let chain = crate::wire::frame_of(&share.statement).map(|frame| frame.chain);
            if let Some((state, common)) = chain.and_then(|chain| self.chain(&chain)) {
                state.on_share(common, now, peer.clone(), share, out);
            }
        }
    }

    fn on_origin(&mut self, now: Timestamp, update: &OriginUpdate, out: &mut Vec<Effect>) {
        if !self.common.origin.apply(update) {
            return;
        }
        for change in &update.changes {
            match change {
                OriginChange::Closing { chain } => {
                    if let Some((state, common)) = self.chain(chain) {
                        state.seal(common, out);
                    }
                }
                OriginChange::Frontier { chain, last } => {
                    if let Some((state, _)) = self.chain(chain) {
                        state.end(*last, out);
                    }
                }
                OriginChange::Epoch { epoch, .. } => {
                    let oldest = epoch.0.saturating_sub(EPOCHS_MAX as u64 - 2);
                    self.common.rosters.forget_before(Epoch(oldest));
                }
                _ => {}
            }
        }
        for given in std::mem::take(&mut self.premature) {
            self.on_frame(now, given, out);
        }
        self.digest_all(now, out);
    }

    fn on_committee(&mut self, now: Timestamp, committee: std::sync::Arc<Committee>, out: &mut Vec<Effect>) {
        // A committee with a key that is none cannot come from the Origin, which checked proofs of possession. Without its committee this
        // node holds, which is what it does about everything it cannot tell.
        if self.common.rosters.insert(committee).is_ok() {
            self.common.forget_draws();
            self.digest_all(now, out);
        }
    }

    fn digest_all(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.chains.values_mut().for_each(|state| state.digest(&mut self.common, now, out));
    }

    fn on_tick(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for state in self.chains.values_mut() {
            if state.deadline().is_some_and(|at| at <= now) {
                state.on_tick(&mut self.common, now, out);
            }
        }
        self.write_group(now, out);
    }

    /// A4: all rows first, then all shares.
    fn write_group(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.common.group_due.is_none_or(|due| due > now) {
            return;
        }
        self.common.group_due = None;
        let mut shares = Vec::new();
        for chain in std::mem::take(&mut self.common.group) {
            if let Some(state) = self.chains.get_mut(&chain) {
                state.sign(&mut self.common, now, out, &mut shares);
            }
        }
        out.append(&mut shares);
    }
}

impl Consensus for Attest {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Frame(given) => self.on_frame(now, *given, out),
            Input::Peer(from, bytes) => self.on_peer(now, from, &bytes, out),
            // Nothing of this engine is archived.
            Input::Recalled(..) => {}
            Input::Remembered(key) => self.on_remembered(now, &key, out),
            Input::Committee(committee) => self.on_committee(now, committee, out),
            Input::Origin(update) => self.on_origin(now, &update, out),
            // The control plane is decided by another engine (§1).
            Input::Submit(_) => {}
            Input::Tip(tip) => {
                self.common.tip = tip;
                self.digest_all(now, out);
            }
            Input::Tick => self.on_tick(now, out),
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let chains = self.chains.values().filter_map(ChainState::deadline);
        chains.chain(self.common.group_due).min()
    }
}
