//! A network on paper and one engine in it.
//!
//! Effects are told as short texts (`row 3`, `share 3 → m2`, `confirmed 2`), so that a test reads like the rule that it is about. Whatever
//! the test is about, three things are checked of every effect: no share leaves before its row is written and the store of protection
//! takes every row; every proof of a confirmation stands offline; every piece of evidence convicts somebody.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_consensus::cheap::{Cheap, CheapSecret};
use ao_consensus::checks::{Contents, Facts, Refusal};
use ao_consensus::contract::{committee_of, peer};
use ao_consensus::effect::{Certified, Fetch, To};
use ao_consensus::frame::{Body, SignedHeader};
use ao_consensus::limits::WINDOW;
use ao_consensus::origin::{OriginChange, OriginUpdate};
use ao_consensus::proof::{self, Confirmation};
use ao_consensus::protection::memory::MemoryProtection;
use ao_consensus::protection::{Guard, Protection};
use ao_consensus::roster::Rosters;
use ao_consensus::scheme::{Scheme, SecretKey};
use ao_consensus::{ChainTip, Consensus, ControlOp, Draft, Effect, Given, Input, Record, Setup, Timestamp};
use ao_types::wallet::Ed25519Wallet;
use ao_types::{
    Attestation, BlsSignature, Canonical, Certificate, Chain, Committee, Epoch, FrameId, NetworkId, PeerId, Signer, Signers, Stake,
    Statement,
};
use bytes::Bytes;

use crate::mutation::Mutations;
use crate::state::Attest;
use crate::wire::Message;

/// When everything begins: late enough for frames of before.
pub const START: Timestamp = Timestamp(1_700_000_000_000);

/// A network on paper: who is in it, and everybody's keys.
#[derive(Clone)]
pub struct Net {
    pub network: NetworkId,
    pub committees: Vec<Arc<Committee>>,
    pub chain: Chain,
    /// Where the scheduler's node is reached: the peer of this member of the first committee.
    pub host: u16,
    pub secrets: BTreeMap<ao_types::BlsKey, u64>,
    pub wallet: Arc<Ed25519Wallet>,
}

impl Net {
    /// `members` of equal stake.
    pub fn of(members: usize) -> Self {
        Self::with_stakes(&vec![10; members])
    }

    pub fn with_stakes(stakes: &[u128]) -> Self {
        let wallet = Ed25519Wallet::from_seed(&[7; 32]);
        let chain = Chain { scheduler: wallet.address(), tenure: 0 };
        let secrets = (0..64 + stakes.len() as u64).map(|n| (CheapSecret::new(n).public(), n)).collect();
        let committees = vec![Arc::new(committee_of(Epoch(0), stakes))];
        Self { network: NetworkId([3; 32]), committees, chain, host: 0, secrets, wallet: Arc::new(wallet) }
    }

    /// Adds the next epoch's committee: of the last one without its first `gone` members, and `new` others.
    pub fn then(mut self, gone: usize, new: usize) -> Self {
        let last = self.committees.last().unwrap();
        let epoch = last.epoch().next();
        let mut members: Vec<_> = last.members().iter().skip(gone).cloned().collect();
        let mut free = self.secrets.iter().filter(|(key, _)| last.index_of(key).is_none()).map(|(key, n)| (*key, *n)).collect::<Vec<_>>();
        free.sort_by_key(|(_, n)| *n);
        for (key, n) in free.into_iter().take(new) {
            members.push(ao_types::Member { key, stake: Stake(10), address: self.chain.scheduler, peer: peer(n) });
        }
        self.committees.push(Arc::new(Committee::new(epoch, members).unwrap()));
        self
    }

    pub fn committee(&self, epoch: u64) -> &Committee {
        self.committees.iter().find(|one| one.epoch() == Epoch(epoch)).unwrap()
    }

    /// The place in a later committee of its first member that is not in the first.
    pub fn newcomer(&self, epoch: u64) -> u16 {
        let members = self.committee(epoch).members();
        members.iter().position(|one| self.committee(0).index_of(&one.key).is_none()).unwrap() as u16
    }

    /// The secret of a member of the first committee.
    pub fn secret(&self, member: u16) -> CheapSecret {
        self.secret_of(0, member)
    }

    pub fn secret_of(&self, epoch: u64, member: u16) -> CheapSecret {
        CheapSecret::new(self.secrets[&self.committee(epoch).member(member).unwrap().key])
    }

    /// Where a member of the first committee is reached.
    pub fn peer(&self, member: u16) -> PeerId {
        self.committee(0).member(member).unwrap().peer.clone()
    }

    pub fn genesis(&self) -> OriginUpdate {
        let first = self.committees[0].clone();
        let epoch = OriginChange::Epoch { epoch: Epoch(0), committee: first.root(), frame_rate_max: 100 };
        let admitted = OriginChange::Admitted { scheduler: self.chain.scheduler, peer: self.peer(self.host) };
        OriginUpdate { height: 0, time: Timestamp(0), changes: vec![epoch, admitted, OriginChange::Opened { chain: self.chain }] }
    }

    pub fn rosters(&self) -> Rosters {
        let committees = self.committees.iter().map(|one| Committee::clone(one));
        Rosters::new(self.network, Arc::new(Cheap), [0; 32]).with(committees).unwrap()
    }

    pub fn statement(&self, frame: &Given) -> Statement {
        frame.header.statement(frame.header.id())
    }

    /// One member's share.
    pub fn share(&self, member: u16, frame: &Given) -> Attestation {
        self.share_of(0, member, frame)
    }

    pub fn share_of(&self, epoch: u64, member: u16, frame: &Given) -> Attestation {
        let (secret, statement) = (self.secret_of(epoch, member), self.statement(frame));
        Attestation { statement, key: secret.public(), signature: secret.sign(&statement.message(&self.network)) }
    }

    /// The first committee's certificate by these members, quorum or not.
    pub fn certificate(&self, frame: &Given, members: impl IntoIterator<Item = u16>) -> Certificate {
        self.certificate_of(0, frame, members)
    }

    pub fn certificate_of(&self, epoch: u64, frame: &Given, members: impl IntoIterator<Item = u16>) -> Certificate {
        let mut signers = Signers::none(self.committee(epoch).len());
        let mut shares: Vec<BlsSignature> = Vec::new();
        for member in members {
            assert!(signers.insert(member));
            shares.push(self.share_of(epoch, member, frame).signature);
        }
        Certificate { statement: self.statement(frame), epoch: Epoch(epoch), signers, signature: Cheap.aggregate(&shares).unwrap() }
    }

    /// A certificate of the fewest members that are a quorum.
    pub fn quorum(&self, frame: &Given) -> Certificate {
        self.quorum_of(0, frame)
    }

    pub fn quorum_of(&self, epoch: u64, frame: &Given) -> Certificate {
        let members = self.committee(epoch).len() as u16;
        self.certificate_of(epoch, frame, 0..members * 2 / 3 + 1)
    }

    /// A scheduler at work.
    pub fn line(&self) -> Line {
        Line { net: self.clone(), tip: ChainTip::opened(self.chain), epoch: 0, control_height: 0, now: START, block_height: 0 }
    }
}

/// A scheduler's chain being written. Clone it for a fork.
#[derive(Clone)]
pub struct Line {
    net: Net,
    pub tip: ChainTip,
    pub epoch: u64,
    pub control_height: u64,
    pub now: Timestamp,
    pub block_height: u64,
}

impl Line {
    /// The next frame, whole, carrying these certificates. Each is a millisecond after the one before.
    pub fn frame(&mut self, certificates: Vec<Certificate>) -> Given {
        self.now = self.now.plus_ms(1);
        let draft = Draft {
            network_id: self.net.network,
            epoch: Epoch(self.epoch),
            control_height: self.control_height,
            closed: Vec::new(),
            certificates,
            body: Body::default(),
            now: self.now,
            block: (self.block_height, [0; 48]),
        };
        let built = self.tip.build(draft).unwrap();
        self.tip = built.tip;
        let header = SignedHeader::sign(built.frame.header, self.net.wallet.as_ref()).unwrap();
        Given { header: Arc::new(header), facts: Facts::WHOLE, from: Some(self.net.peer(self.net.host)) }
    }

    /// Frames without certificates.
    pub fn frames(&mut self, count: usize) -> Vec<Given> {
        (0..count).map(|_| self.frame(Vec::new())).collect()
    }

    /// The next frame, of another content than the one that [`Line::frame`] would make.
    pub fn other(&mut self) -> Given {
        self.now = self.now.plus_ms(100);
        self.frame(Vec::new())
    }
}

/// Nothing is known of the body.
pub fn bare(given: &Given) -> Given {
    Given { facts: Facts::default(), ..given.clone() }
}

/// Found lawful, and not on disk here.
pub fn not_stored(given: &Given) -> Given {
    Given { facts: Facts { contents: Contents::Lawful, durable: false }, ..given.clone() }
}

/// Found unlawful.
pub fn unlawful(given: &Given) -> Given {
    let refusal = Refusal::Payload { entries: 1, bytes: 1 };
    Given { facts: Facts { contents: Contents::Unlawful(refusal), durable: true }, ..given.clone() }
}

/// Where the engine under test stands.
#[derive(Clone)]
pub enum Role {
    /// A member of the first committee, or of a later one.
    Member(u64, u16),
    /// The member of the first committee on whose node the scheduler is.
    Scheduler,
    /// Nobody's key.
    Follower,
}

/// One engine, its disk and its clock.
pub struct Rig {
    pub net: Net,
    pub now: Timestamp,
    pub engine: Attest,
    rosters: Rosters,
    role: Role,
    mutations: Mutations,
    pub protection: MemoryProtection,
    pub records: BTreeMap<String, Record>,
    /// Where the chain stands after the last confirmed frame that the node stored.
    pub confirmed: Option<ChainTip>,
    /// Frames given whole: on this node's disk.
    whole: BTreeMap<FrameId, Given>,
    /// Writes stay under way: nothing is reported as remembered.
    pub slow_disk: bool,
    /// Keys of records under way.
    pub writing: Vec<String>,
    /// What was found wrong about effects.
    pub violations: Vec<String>,
    /// Everything sent, as it was.
    pub sent: Vec<(To, Message)>,
    /// Everything asked for and certified, as it was.
    pub asked: Vec<Fetch>,
    pub certified: Vec<Certified>,
    /// Frames confirmed, by sequence.
    pub log: Vec<FrameId>,
    pub evidence: Vec<&'static str>,
}

impl Rig {
    pub fn new(net: &Net, role: Role) -> Self {
        Self::broken(net, role, Mutations::default())
    }

    /// With a rule broken on purpose.
    pub fn broken(net: &Net, role: Role, mutations: Mutations) -> Self {
        let setup = setup(net, &role);
        let engine = Attest::with(setup, mutations).unwrap();
        let mut rig = Self {
            net: net.clone(),
            now: START,
            engine,
            rosters: net.rosters(),
            role,
            mutations,
            protection: MemoryProtection::new(),
            records: BTreeMap::new(),
            confirmed: None,
            whole: BTreeMap::new(),
            slow_disk: false,
            writing: Vec::new(),
            violations: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            certified: Vec::new(),
            log: Vec::new(),
            evidence: Vec::new(),
        };
        assert_eq!(rig.begin(), NOTHING, "committees and the genesis alone cause nothing");
        rig
    }

    pub fn member(net: &Net, member: u16) -> Self {
        Self::new(net, Role::Member(0, member))
    }

    pub fn scheduler(net: &Net) -> Self {
        Self::new(net, Role::Scheduler)
    }

    fn begin(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for committee in self.net.committees.clone() {
            seen.extend(self.give(Input::Committee(committee)));
        }
        seen.extend(self.give(Input::Origin(Box::new(self.net.genesis()))));
        seen
    }

    /// What the test knows and the engine does not yet.
    pub fn know(&mut self, net: &Net) {
        (self.net, self.rosters) = (net.clone(), net.rosters());
    }

    /// The process dies and comes back with what was durable. Writes under way are lost.
    pub fn crash(&mut self) -> Vec<String> {
        let mut setup = setup(&self.net, &self.role);
        setup.records = self.records.values().cloned().collect();
        if let Some(signer) = &setup.signer {
            setup.guards = self.protection.rows(&signer.public()).unwrap().0;
        }
        setup.confirmed = self.confirmed.iter().cloned().collect();
        self.engine = Attest::with(setup, self.mutations).unwrap();
        self.writing.clear();
        self.begin()
    }

    /// Frames on disk above the last confirmed one, and those of the window below it.
    pub fn held(&self) -> Vec<Given> {
        let from = self.confirmed.as_ref().map_or(0, |tip| tip.next_sequence.saturating_sub(WINDOW));
        self.whole.values().filter(|given| given.header.sequence >= from).cloned().collect()
    }

    pub fn key(&self) -> Option<ao_types::BlsKey> {
        setup(&self.net, &self.role).signer.map(|signer| signer.public())
    }

    /// One input and everything that comes of it at once.
    pub fn give(&mut self, input: Input) -> Vec<String> {
        let mut effects = Vec::new();
        self.engine.handle(self.now, input, &mut effects);
        let mut seen = Vec::new();
        let mut written = Vec::new();
        for effect in effects {
            if let Effect::Remember(record) = &effect {
                written.push(record.key.clone());
            }
            self.carry_out(&effect);
            seen.push(self.tell(&effect));
        }
        if self.slow_disk {
            self.writing.extend(written);
        } else {
            written.into_iter().for_each(|key| seen.extend(self.give(Input::Remembered(key))));
        }
        seen
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Remember(record) => {
                if let Err(conflict) = self.protection.record(&record.guards) {
                    self.violations.push(format!("protection: {conflict}"));
                }
                self.records.insert(record.key.clone(), record.clone());
            }
            Effect::Send(to, bytes) => {
                let message = Message::decode(bytes).expect("an engine says what engines understand");
                if let (Message::Share(share), Some(key)) = (&message, self.key())
                    && share.key == key
                {
                    self.check_durable(share);
                }
                self.sent.push((to.clone(), message));
            }
            Effect::Confirmed(confirmed) => {
                let Some(header) = self.whole.get(&confirmed.frame).map(|given| given.header.shared()) else {
                    self.violations.push(format!("confirmed {} that was not given whole", confirmed.sequence));
                    return;
                };
                let before = self.confirmed.clone().unwrap_or_else(|| ChainTip::opened(confirmed.chain));
                match before.follow(self.net.network, &header, confirmed.frame) {
                    Ok(tip) => {
                        self.confirmed = Some(tip);
                        self.log.push(confirmed.frame);
                    }
                    Err(refusal) => {
                        self.violations.push(format!("confirmed {} after {}: {refusal}", confirmed.sequence, before.next_sequence))
                    }
                }
                let confirmation = Confirmation { header, proof: confirmed.proof.clone() };
                if let Err(error) = proof::verify(&confirmation, &self.rosters) {
                    self.violations.push(format!("proof of {}: {error}", confirmed.sequence));
                }
            }
            Effect::Fetch(fetch) => self.asked.push(fetch.clone()),
            Effect::Certified(certified) => self.certified.push(certified.clone()),
            Effect::Evidence(evidence) => {
                self.evidence.push(evidence.kind());
                if let Err(error) = evidence.verify(&self.rosters) {
                    self.violations.push(format!("evidence: {error}"));
                }
            }
            _ => {}
        }
    }

    /// S2: a row at or above the share's frame, with its own signature if it is that frame's.
    fn check_durable(&mut self, share: &Attestation) {
        let Statement::Frame { chain, sequence, frame } = share.statement else { panic!("a share of something else") };
        let row = self.protection.chain_row(&share.key, &chain).unwrap();
        let covered = row.is_some_and(|row| match row.last {
            Some(last) if last == (sequence, frame) => row.signature == Some(share.signature),
            Some((last, _)) => last > sequence,
            None => false,
        });
        if !covered {
            self.violations.push(format!("share {sequence} left before its row was durable"));
        }
    }

    /// A frame, as the network layer hands it over.
    pub fn frame(&mut self, given: &Given) -> Vec<String> {
        if given.facts == Facts::WHOLE {
            self.whole.insert(given.header.id(), given.clone());
        }
        self.give(Input::Frame(Box::new(given.clone())))
    }

    pub fn frames<'a>(&mut self, frames: impl IntoIterator<Item = &'a Given>) -> Vec<String> {
        frames.into_iter().flat_map(|frame| self.frame(frame)).collect()
    }

    /// A message of another engine.
    pub fn hear(&mut self, from: PeerId, message: &Message) -> Vec<String> {
        self.give(Input::Peer(from, message.encode().into()))
    }

    /// A member's share, from its node.
    pub fn share(&mut self, member: u16, frame: &Given) -> Vec<String> {
        let (peer, share) = (self.net.peer(member), self.net.share(member, frame));
        self.hear(peer, &Message::Share(share))
    }

    /// Time passes, and every deadline in it is kept.
    pub fn pass(&mut self, ms: u64) -> Vec<String> {
        let (end, mut seen, mut ticks) = (self.now.plus_ms(ms), Vec::new(), 0);
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            seen.extend(self.give(Input::Tick));
            ticks += 1;
            assert!(ticks < 10_000, "a deadline that does not move: {at}");
        }
        self.now = end;
        seen
    }

    /// The group's write, and nothing that waits longer.
    pub fn write(&mut self) -> Vec<String> {
        self.pass(crate::limits::SYNC_WINDOW_MS)
    }

    /// A write that was under way is done.
    pub fn written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.writing).into_iter().flat_map(|key| self.give(Input::Remembered(key))).collect()
    }

    /// Nothing was wrong with anything that came out so far.
    pub fn assert_sound(&self) {
        assert_eq!(self.violations, NOTHING);
    }

    /// Who it is, as tests say it.
    pub fn name(&self, peer: &PeerId) -> String {
        for (epoch, committee) in self.net.committees.iter().enumerate() {
            if let Some(index) = committee.members().iter().position(|member| member.peer == *peer) {
                return if epoch == 0 { format!("m{index}") } else { format!("m{index}'") };
            }
        }
        String::from_utf8_lossy(&peer.0).into_owned()
    }

    fn to(&self, to: &To) -> String {
        match to {
            To::All => "all".into(),
            To::Peer(peer) => self.name(peer),
        }
    }

    fn tell(&self, effect: &Effect) -> String {
        match effect {
            Effect::Remember(record) => match record.guards.first() {
                Some(Guard::Chain(row)) => {
                    let last = row.last.map_or("-".into(), |(sequence, _)| sequence.to_string());
                    format!("row {last}{}", if row.sealed { " sealed" } else { "" })
                }
                _ => "bound".into(),
            },
            Effect::Send(to, bytes) => {
                let message = Message::decode(bytes).unwrap();
                let sequence = message.subject().unwrap().sequence;
                let what = match message {
                    Message::Share(_) => "share".into(),
                    Message::Sum(sum) => format!("sum of {}", sum.signers.count()),
                    Message::Certified(_) => "certificate".into(),
                    Message::Announce(_) => "announce".to_string(),
                };
                format!("{what} {sequence} → {}", self.to(to))
            }
            Effect::Fetch(fetch) => format!("fetch {}..={}", fetch.from, fetch.to.0),
            Effect::Certified(one) => format!("certified {}", one.sequence),
            Effect::Confirmed(one) => format!("confirmed {}", one.sequence),
            Effect::Forked { sequence, .. } => format!("forked at {sequence}"),
            Effect::Voided { from, .. } => format!("void from {from}"),
            Effect::Recall(_) => "recall".into(),
            Effect::Decided(_) => "decided".into(),
            Effect::Propose(op) => match op.as_ref() {
                ControlOp::Seal(seal) => format!("seal {}", seal.highest.map_or("-".into(), |(sequence, _)| sequence.to_string())),
                ControlOp::Crossed { epoch, .. } => format!("crossed into {epoch}"),
                _ => "operation".into(),
            },
            Effect::Evidence(evidence) => format!("evidence {}", evidence.kind()),
            Effect::Penalise(peer, offence) => format!("penalise {} {offence:?}", self.name(peer)),
        }
    }
}

/// No effect.
pub const NOTHING: [&str; 0] = [];

fn setup(net: &Net, role: &Role) -> Setup {
    let (secret, peer, own) = match role {
        Role::Member(epoch, member) => {
            let peer = net.committee(*epoch).member(*member).unwrap().peer.clone();
            (Some(net.secret_of(*epoch, *member)), peer, None)
        }
        Role::Scheduler => (Some(net.secret(net.host)), net.peer(net.host), Some(net.chain)),
        Role::Follower => (None, PeerId(Bytes::from_static(b"follower")), None),
    };
    Setup {
        network: net.network,
        scheme: Arc::new(Cheap),
        signer: secret.map(|secret| Arc::new(secret) as Arc<dyn SecretKey>),
        own,
        peer,
        secret: [5; 32],
        params: BTreeMap::new(),
        records: Vec::new(),
        guards: Vec::new(),
        confirmed: Vec::new(),
        decided: 0,
    }
}

/// Those of the texts that begin so.
pub fn only<'a>(seen: &'a [String], begin: &str) -> Vec<&'a str> {
    seen.iter().map(String::as_str).filter(|text| text.starts_with(begin)).collect()
}
