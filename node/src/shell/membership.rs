//! What a node of a network knows that a network of one does without: the genesis, its own keys there, the others.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use ao_consensus::frame::FrameSignature;
use ao_consensus::pace::Costs;
use ao_consensus::protection::{Guard, Position, Protection, SignedRow};
use ao_consensus::scheme::SchemeError;
use ao_consensus::{Chain, Consensus, Evidence, OriginChange, OriginUpdate, Rosters, Scheme, SecretKey, Setup};
use ao_storage::{Durability, Store, WriteBatch, schema};
use ao_types::hash::sha256;
use ao_types::{Address, BlsKey, Canonical, CodecError, Committee, Genesis, Id, NetworkId, PeerId, Signer};
use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use super::hosts::Hosts;
use super::timed::Timed;
use crate::core::{Charge, Member, Unconfirmed};
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::labels::{SigningRefusal, StakeStatus};
use crate::network::seam::Orders;
use crate::protection::{Heard, Watch, decode, encode};
use crate::wiring::engines::Hears;

/// Makes an engine, or says which of its records it cannot read.
pub type MakeEngine = fn(Setup) -> Result<Box<dyn Consensus>, String>;

/// The same for one node; the simulator's listens to what its engine says.
pub type Maker = Arc<dyn Fn(Setup) -> Result<Box<dyn Consensus>, String> + Send + Sync>;

/// See the module documentation. Made by the wiring from a genesis and this node's keys.
pub struct Membership {
    /// The network.
    pub network: NetworkId,
    /// As it was pinned; every node serves it.
    pub genesis: Arc<Genesis>,
    /// Of epoch 0.
    pub committee: Arc<Committee>,
    /// The same, with parsed keys.
    pub rosters: Arc<Rosters>,
    /// Control block 0.
    pub origin: OriginUpdate,
    /// Makes the engine that the genesis names.
    pub engine: Maker,
    /// How attestations are signed.
    pub scheme: Arc<dyn Scheme>,
    /// This node.
    pub peer: PeerId,
    /// The attestor's key, if this node signs.
    pub attestor: Option<Arc<dyn SecretKey>>,
    /// What that key is bound by, durably.
    pub protection: Arc<dyn Keeper>,
    /// Listens for signatures of that key made elsewhere; nobody where there is no key to look after.
    pub watch: Option<Arc<Watch>>,
    /// Finds one key's signature in a message of the engine.
    pub heard: Hears,
    /// Where orders go.
    pub orders: Orders,
    /// What BLS work costs here.
    pub costs: Costs,
}

impl Membership {
    /// Every chain of the network.
    pub fn chains(&self) -> impl Iterator<Item = Chain> + '_ {
        self.origin.changes.iter().filter_map(|change| match change {
            OriginChange::Opened { chain } => Some(*chain),
            _ => None,
        })
    }

    /// What the core is told.
    pub fn for_core(&self, own: Chain) -> Member {
        Member {
            schedules: self.chains().any(|chain| chain == own),
            committee: self.committee.clone(),
            origin: self.origin.clone(),
            costs: self.costs,
        }
    }

    /// The key, while this node may sign with it.
    pub fn signer(&self) -> Option<Arc<dyn SecretKey>> {
        let silent = self.watch.as_ref().is_some_and(|watch| !watch.may_sign());
        self.attestor.clone().filter(|_| !silent)
    }

    /// Whether this key may sign what these rows guard. A conflict ends the node: whoever made it did not know what this key signed.
    fn may_bind(&self, guards: &[Guard]) -> Result<(), Unkept> {
        if self.watch.as_ref().is_some_and(|watch| !watch.may_sign()) {
            return Err(Unkept::Silent);
        }
        self.protection.check(guards).inspect_err(|unkept| self.judge(unkept))
    }

    /// Makes what signatures bind this node to durable.
    fn bind(&self, guards: &[Guard]) -> Result<(), Unkept> {
        self.protection.record(guards).inspect_err(|unkept| self.judge(unkept))
    }

    /// Two certificates that exclude one another: a third of some committee's stake lies, and what is confirmed may not be what others
    /// hold for confirmed. Signing on would only add to it; whoever operates the network has to decide which of the two stands.
    pub fn stop_if_safety_is_gone(&self, evidence: &Evidence) {
        if let (Evidence::TwoCertificates { .. }, Some(watch)) = (evidence, &self.watch) {
            watch.give_up(format!(
                "two certificates exclude one another: a third of the stake or more signed both; see `aonode evidence show {}`",
                hex::encode(evidence.id())
            ));
        }
    }

    fn judge(&self, unkept: &Unkept) {
        if let (Unkept::Conflict(why), Some(watch)) = (unkept, &self.watch) {
            watch.give_up(format!("a signature was refused because it contradicts an earlier one: {why}"));
        }
    }

    /// The same, with what it costs and weighs in the metrics.
    ///
    /// # Errors
    /// A key of the committee is none.
    pub fn metered(self, metrics: &Metrics) -> Result<Self, SchemeError> {
        let own = self.attestor.as_ref().map(|key| key.public());
        let own = own.and_then(|key| self.committee.index_of(&key)).and_then(|index| self.committee.member(index));
        metrics.stake_units.of(StakeStatus::Own).set(own.map_or(0.0, |member| member.stake.0 as f64));
        metrics.stake_units.of(StakeStatus::Committee).set(self.committee.total().0 as f64);
        let scheme: Arc<dyn Scheme> = Arc::new(Timed::new(self.scheme.clone(), metrics.clone()));
        let mut rosters = Rosters::new(self.network, scheme.clone(), self.secret());
        rosters.insert(self.committee.clone())?;
        Ok(Self { scheme, rosters: Arc::new(rosters), ..self })
    }

    /// Known to nobody else: for coefficients of batches. A signature that is no statement's, so that it is the same at every start.
    pub fn secret(&self) -> [u8; 32] {
        match &self.attestor {
            Some(key) => sha256(&[b"aonode batches", &key.sign(b"aonode/secret/v1").0]),
            None => sha256(&[b"aonode batches", &self.peer.0]),
        }
    }
}

/// Why rows were not made durable. Nothing that they guard may be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// They contradict what this key signed. No new attempt can mend that.
    #[error("{0}")]
    Conflict(String),
    /// The store.
    #[error("{0}")]
    Failed(String),
    /// This node only listens for now, or for good.
    #[error("this node does not sign with its key now")]
    Silent,
}

impl Unkept {
    /// How it is counted.
    pub fn label(&self) -> SigningRefusal {
        match self {
            Self::Conflict(_) => SigningRefusal::Conflict,
            Self::Failed(_) => SigningRefusal::Failed,
            Self::Silent => SigningRefusal::Silent,
        }
    }
}

/// The slashing protection as the node uses it. One writer.
pub trait Keeper: Send + Sync {
    /// Checks rows against those that are there and makes them durable: all or nothing.
    ///
    /// # Errors
    /// A conflict, or a disk that fails: nothing that these rows guard may be signed.
    fn record(&self, guards: &[Guard]) -> Result<(), Unkept>;

    /// What [`Keeper::record`] would answer now.
    ///
    /// # Errors
    /// As [`Keeper::record`].
    fn check(&self, guards: &[Guard]) -> Result<(), Unkept>;

    /// The row of a position.
    ///
    /// # Errors
    /// A disk that fails.
    fn signed(&self, position: &Position) -> Result<Option<SignedRow>, Unkept>;

    /// Every row of a key.
    ///
    /// # Errors
    /// A disk that fails.
    fn rows(&self, key: &BlsKey) -> Result<Vec<Guard>, Unkept>;

    /// Whether the rows explain a signature of this node's key ([`Heard::is_own`]).
    ///
    /// # Errors
    /// A disk that fails.
    fn is_own(&self, heard: &Heard, network: &NetworkId) -> Result<bool, Unkept>;

    /// Binds the key by what it signed elsewhere ([`Heard::bind`]).
    ///
    /// # Errors
    /// As [`Keeper::record`].
    fn bind(&self, heard: &Heard) -> Result<(), Unkept>;
}

fn unkept<P: Protection>(error: P::Error) -> Unkept {
    match P::conflict(&error) {
        Some(conflict) => Unkept::Conflict(conflict.to_string()),
        None => Unkept::Failed(error.to_string()),
    }
}

impl<P: Protection> Keeper for Mutex<P> {
    fn record(&self, guards: &[Guard]) -> Result<(), Unkept> {
        self.lock().record(guards).map_err(unkept::<P>)
    }

    fn check(&self, guards: &[Guard]) -> Result<(), Unkept> {
        self.lock().check(guards).map(drop).map_err(unkept::<P>)
    }

    fn signed(&self, position: &Position) -> Result<Option<SignedRow>, Unkept> {
        self.lock().signed_row(position).map_err(unkept::<P>)
    }

    fn rows(&self, key: &BlsKey) -> Result<Vec<Guard>, Unkept> {
        self.lock().rows(key).map(|(guards, _)| guards).map_err(unkept::<P>)
    }

    fn is_own(&self, heard: &Heard, network: &NetworkId) -> Result<bool, Unkept> {
        heard.is_own(&*self.lock(), network).map_err(unkept::<P>)
    }

    fn bind(&self, heard: &Heard) -> Result<(), Unkept> {
        heard.bind(&mut *self.lock()).map_err(unkept::<P>)
    }
}

/// Why a batch is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The store.
    #[error(transparent)]
    Store(#[from] ao_storage::Error),
    /// The scheduler's wallet.
    #[error("the frame could not be signed: {0}")]
    Seal(#[from] ao_types::SignError),
    /// The slashing protection refuses, or cannot be written.
    #[error("slashing protection: {0}")]
    Protection(#[from] Unkept),
}

/// Names the record that says what the newest batch with guards binds this node's key to. It is no engine's: theirs have a `/`.
const BOUND: &str = "bound";

/// Writes a batch: own frames get their signatures and rows, and what the batch's records bind this node's key to is durable when this
/// returns, in the store and in the slashing protection.
///
/// The store comes first, with the guards beside the records, and [`bind_again`] makes good what a crash or a full disk left out. The other
/// way round, a write that fails in between would leave a key bound by a signature that nobody has, and an engine that does not know of
/// it: silent, if others need it for ever.
///
/// # Errors
/// Nothing of the batch may be seen; it counts only if the store has it at the next start.
pub fn write(
    store: &dyn Store,
    (mut rows, durability): (WriteBatch, Durability),
    seals: Vec<Unconfirmed>,
    guards: &[Guard],
    scheduler: &dyn Signer,
    membership: Option<&Membership>,
) -> Result<Vec<Bytes>, Unwritten> {
    let mut signatures = Vec::with_capacity(seals.len());
    for frame in seals {
        let signature = Bytes::from(FrameSignature::sign(&frame.frame.header.id(), scheduler)?.encode());
        schema::FRAMES.put(&mut rows, &frame.key(), &Unconfirmed { signature: signature.clone(), ..frame }.row(None));
        signatures.push(signature);
    }
    let membership = membership.filter(|_| !guards.is_empty());
    if let Some(membership) = membership {
        membership.may_bind(guards)?;
        schema::ENGINE_RECORDS.put(&mut rows, &BOUND.to_owned(), &Bytes::from(encode(guards)));
    }
    store.write(rows, durability)?;
    if let Some(membership) = membership {
        membership.bind(guards)?;
    }
    Ok(signatures)
}

/// Takes the record of [`write()`] out of the engine's, and binds the key by it where the protection does not know of it yet.
///
/// # Errors
/// The protection cannot be written, or the record cannot be read.
pub fn bind_again(records: &mut Vec<(String, Bytes)>, protection: &dyn Keeper) -> Result<(), ao_storage::Error> {
    let Some(at) = records.iter().position(|(key, _)| key == BOUND) else { return Ok(()) };
    let (_, bytes) = records.swap_remove(at);
    let corrupt = |error: CodecError| ao_storage::Error::Corrupt {
        what: "slashing protection".to_owned(),
        place: format!("table engine_records, key {BOUND}"),
        reason: error.to_string(),
    };
    for guard in decode(&bytes).map_err(corrupt)? {
        match protection.record(&[guard]) {
            // It knows of this, or of more.
            Ok(()) | Err(Unkept::Conflict(_)) => {}
            Err(unkept) => return Err(ao_storage::Error::Io(format!("the slashing protection cannot be written: {unkept}"))),
        }
    }
    Ok(())
}

/// Who else schedules, as verifiers ask.
pub struct Neighbours {
    /// In every frame.
    pub network: NetworkId,
    /// Whether this node schedules.
    pub schedules: bool,
    /// The other schedulers.
    pub schedulers: BTreeSet<Address>,
    /// To check evidence with; nobody's on a network of one.
    pub rosters: Option<Arc<Rosters>>,
    /// Where they are reached.
    pub hosts: Hosts,
    /// Pieces of evidence that held in this life, by what they charge whom with: beyond [`limits::EVIDENCE_OF_ONE_MAX`] nobody is told again.
    pub charges: Mutex<BTreeMap<Charge, usize>>,
    /// Processes that were forwarded to be born elsewhere, and may not have come back in a frame yet.
    born: Mutex<LruCache<Id, Address>>,
}

impl Neighbours {
    /// On a network of one.
    pub fn none(network: NetworkId) -> Self {
        Self {
            network,
            schedules: true,
            schedulers: BTreeSet::new(),
            rosters: None,
            hosts: Hosts::default(),
            charges: Mutex::default(),
            born: Self::cache(),
        }
    }

    /// Of a network, with what the store has of the others.
    pub fn of(membership: &Membership, own: Address, store: &dyn Store) -> Self {
        let mut schedulers: BTreeSet<Address> = membership.chains().map(|chain| chain.scheduler).collect();
        let schedules = schedulers.remove(&own);
        let hosts = Hosts::read(store, &schedulers);
        let rosters = Some(membership.rosters.clone());
        Self { network: membership.network, schedules, schedulers, rosters, hosts, charges: Mutex::default(), born: Self::cache() }
    }

    fn cache() -> Mutex<LruCache<Id, Address>> {
        Mutex::new(LruCache::new(NonZeroUsize::new(limits::BORN_ELSEWHERE_MAX).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Whether this is a scheduler of the network; `own` is this node's wallet.
    pub fn is_scheduler(&self, address: &Address, own: &Address) -> bool {
        self.schedulers.contains(address) || self.schedules && address == own
    }

    /// A process is born at another scheduler's node.
    pub fn remember(&self, process: Id, scheduler: Address) {
        self.born.lock().put(process, scheduler);
    }

    /// Whose it is, if it was born elsewhere through this node.
    pub fn born(&self, process: &Id) -> Option<Address> {
        self.born.lock().get(process).copied()
    }
}
