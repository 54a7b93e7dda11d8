//! What the chains of one engine share: committees, key, the Origin, the write that is being grouped.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ao_consensus::Timestamp;
use ao_consensus::checks::Tip;
use ao_consensus::effect::{Effect, Offence, To};
use ao_consensus::origin::Origin;
use ao_consensus::roster::Rosters;
use ao_consensus::scheme::SecretKey;
use ao_types::{Attestation, BlsKey, Canonical, Chain, Epoch, NetworkId, PeerId};

use crate::branches::Place;
use crate::draw::{Drawn, Seed, slice_of};
use crate::limits::{CERTIFICATE_WAIT_INTERVALS, DRAW_SPAN, DRAWS_MAX, RETRY_MS_MAX, SYNC_WINDOW_MS};
use crate::mutation::Mutations;
use crate::record;
use crate::wire::Message;

pub(crate) struct Common {
    pub network: NetworkId,
    pub rosters: Rosters,
    pub signer: Option<Arc<dyn SecretKey>>,
    pub key: Option<BlsKey>,
    pub peer: PeerId,
    /// The chain that this node schedules.
    pub own: Option<Chain>,
    pub origin: Origin,
    pub tip: Tip,
    /// The highest block height in any certified frame.
    pub certified_height: u64,
    /// The frame interval.
    pub interval_ms: u64,
    pub mutations: Mutations,
    /// Chains with something to sign, and when their group is written (A4).
    pub group: BTreeSet<Chain>,
    pub group_due: Option<Timestamp>,
    /// By record: own shares that count when it is durable (G4). Records of one key become durable in the order of their writing.
    pub unwritten: BTreeMap<String, VecDeque<Vec<Attestation>>>,
    /// Memory of [`Common::duties`], by chain, epoch and span of sequences: a share must not cost a draw over the whole committee.
    pub draws: RefCell<BTreeMap<(Chain, Epoch, u64), Arc<Drawn>>>,
}

/// Who adds up around a sequence, as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Duties {
    /// 0: the committee is not cut.
    pub slices: usize,
    /// Aggregators of the whole committee.
    pub top: Vec<u16>,
    /// This node's place in the committee.
    pub index: Option<u16>,
    /// Aggregators of this node's slice.
    pub slice: Vec<u16>,
}

impl Common {
    /// Draws for the frames around `sequence`; `None` if the committee is not known. Drawn once for each span.
    fn drawn(&self, chain: &Chain, epoch: Epoch, sequence: u64) -> Option<Arc<Drawn>> {
        let committee = self.rosters.get(epoch)?.committee();
        let span = (*chain, epoch, sequence / DRAW_SPAN);
        let mut draws = self.draws.borrow_mut();
        if draws.len() >= DRAWS_MAX && !draws.contains_key(&span) {
            draws.clear();
        }
        let draw = || Arc::new(Seed::new(&self.network, epoch, chain, sequence).draw_all(committee));
        Some(Arc::clone(draws.entry(span).or_insert_with(draw)))
    }

    /// What this node has to do with the frames around `sequence`.
    pub fn duties(&self, chain: &Chain, epoch: Epoch, sequence: u64) -> Option<Duties> {
        let drawn = self.drawn(chain, epoch, sequence)?;
        let index = self.key.and_then(|key| self.rosters.get(epoch)?.committee().index_of(&key));
        let slices = drawn.slices.len();
        let slice = index.and_then(|index| drawn.slices.get(slice_of(index, slices))).cloned().unwrap_or_default();
        Some(Duties { slices, top: drawn.top.clone(), index, slice })
    }

    /// The aggregators of a slice.
    pub fn slice_aggregators(&self, chain: &Chain, epoch: Epoch, sequence: u64, slice: usize) -> Vec<u16> {
        self.drawn(chain, epoch, sequence).and_then(|drawn| drawn.slices.get(slice).cloned()).unwrap_or_default()
    }

    /// Nodes that add up shares around a sequence, this one excepted: the scheduler's and the aggregators'.
    pub fn collectors(&self, chain: &Chain, epochs: &[Epoch], sequence: u64) -> BTreeSet<PeerId> {
        let drawn = epochs.iter().filter_map(|epoch| Some((*epoch, self.drawn(chain, *epoch, sequence)?)));
        let peers = drawn.flat_map(|(epoch, drawn)| drawn.top.iter().filter_map(|member| self.peer_of(epoch, *member)).collect::<Vec<_>>());
        let mut peers: BTreeSet<PeerId> = peers.chain(self.origin.peer_of(&chain.scheduler).cloned()).collect();
        peers.remove(&self.peer);
        peers
    }

    /// A committee became known: what was drawn from another of its epoch is void.
    pub fn forget_draws(&self) {
        self.draws.borrow_mut().clear();
    }

    /// Where a member is reached.
    pub fn peer_of(&self, epoch: Epoch, index: u16) -> Option<PeerId> {
        Some(self.rosters.get(epoch)?.committee().member(index)?.peer.clone())
    }

    /// Whether a peer is a scheduler's node or a member's, of any committee known here.
    pub fn is_party(&self, chain: &Chain, peer: &PeerId) -> bool {
        let member = |epoch| self.rosters.get(epoch).is_some_and(|roster| roster.committee().members().iter().any(|one| one.peer == *peer));
        self.origin.peer_of(&chain.scheduler) == Some(peer) || self.rosters.epochs().any(member)
    }

    /// Whether this node's key is of one of these committees, and may attest as of a height.
    pub fn may_attest(&self, epochs: &[Epoch], height: u64) -> bool {
        let Some(key) = self.key else { return false };
        let member = |epoch: &Epoch| self.rosters.get(*epoch).is_some_and(|roster| roster.committee().index_of(&key).is_some());
        epochs.iter().any(member) && !self.origin.jailed_at(&key, height)
    }

    /// Whether the last row of a chain is durable: until then its signature leaves only behind its own record.
    pub fn is_written(&self, chain: &Chain) -> bool {
        self.unwritten.get(&record::row_key(chain)).is_none_or(VecDeque::is_empty)
    }

    /// A frame breaks a rule that whoever passes a header on need not be able to see: only its scheduler's own node answers for it.
    pub fn blame_scheduler(&self, chain: &Chain, from: Option<PeerId>, offence: Offence, out: &mut Vec<Effect>) {
        penalise(out, from.filter(|from| self.origin.peer_of(&chain.scheduler) == Some(from)), offence);
    }

    /// Opens the group, if it is not open.
    pub fn group(&mut self, now: Timestamp, chain: Chain) {
        self.group.insert(chain);
        self.group_due.get_or_insert(now.plus_ms(SYNC_WINDOW_MS));
    }

    /// `certificate_wait`, or twice what a certificate usually takes where that is more: over long distances an aggregator that is in a
    /// hurry only does the scheduler's work again.
    pub fn wait_ms(&self, usual_ms: u64) -> u64 {
        let intervals = self.interval_ms.saturating_mul(CERTIFICATE_WAIT_INTERVALS);
        intervals.max(usual_ms.saturating_mul(2)).min(RETRY_MS_MAX)
    }
}

/// Sends a message to one node.
pub(crate) fn send(out: &mut Vec<Effect>, peer: PeerId, message: &Message) {
    out.push(Effect::Send(To::Peer(peer), message.encode().into()));
}

/// Sends a message to everybody.
pub(crate) fn publish(out: &mut Vec<Effect>, message: &Message) {
    out.push(Effect::Send(To::All, message.encode().into()));
}

pub(crate) fn penalise(out: &mut Vec<Effect>, peer: Option<PeerId>, offence: Offence) {
    out.extend(peer.map(|peer| Effect::Penalise(peer, offence)));
}

/// The statement about a frame.
pub(crate) fn statement(chain: Chain, place: Place) -> ao_types::Statement {
    ao_types::Statement::Frame { chain, sequence: place.0, frame: place.1 }
}
