//! What all honest nodes together have said, and whether it may be so.

use std::collections::BTreeMap;

use ao_types::codec::Canonical;
use ao_types::{Address, BlsKey, Chain, FrameId};

use super::host::{Host, Made};
use crate::evidence::Offender;
use crate::proof::{self, Confirmation, Proof};
use crate::{Certified, Confirmed, Decided, Evidence, Rosters};

/// A broken rule and what happened.
pub type Broken = (&'static str, String);

/// See the module documentation.
pub struct Ledger {
    /// Checks proofs as an outsider does.
    pub rosters: Rosters,
    /// Proofs that convince nobody are as good as it gets.
    pub alone: bool,
    confirmed: BTreeMap<(Chain, u64), FrameId>,
    certified: BTreeMap<(Chain, u64), FrameId>,
    decided: BTreeMap<u64, (u64, Vec<Vec<u8>>)>,
}

impl Ledger {
    /// Nothing said yet.
    pub fn new(rosters: Rosters, alone: bool) -> Self {
        Self { rosters, alone, confirmed: BTreeMap::new(), certified: BTreeMap::new(), decided: BTreeMap::new() }
    }

    /// Whether this very frame was confirmed by anybody.
    pub fn is_confirmed(&self, chain: Chain, sequence: u64) -> Option<FrameId> {
        self.confirmed.get(&(chain, sequence)).copied()
    }

    /// A node says that a frame is confirmed.
    pub fn on_confirmed(&mut self, host: &mut Host, confirmed: &Confirmed, frames: &BTreeMap<FrameId, Made>) -> Result<(), Broken> {
        let Confirmed { chain, sequence, frame, proof } = confirmed;
        let next = host.next.entry(*chain).or_default();
        if sequence != next {
            return Err(("contract 2", format!("frame {sequence} of {chain} was confirmed where {next} was due")));
        }
        *next += 1;
        if !host.given.contains(frame) {
            return Err(("contract 3", format!("frame {sequence} {frame} was confirmed without having been given whole")));
        }
        let Some(made) = frames.get(frame).filter(|made| (made.header.chain, made.header.sequence) == (*chain, *sequence)) else {
            return Err(("contract 3", format!("frame {frame} is not frame {sequence} of {chain}")));
        };
        if made.refusable {
            return Err(("contract 3", format!("frame {frame}, that or one below it unlawful or known to nobody, was confirmed")));
        }
        let first = *self.confirmed.entry((*chain, *sequence)).or_insert(*frame);
        if first != *frame {
            return Err(("S1", format!("frames {first} and {frame} were both confirmed as {sequence} of {chain}")));
        }
        self.check_proof(made, proof)
    }

    fn check_proof(&self, made: &Made, proof: &std::sync::Arc<Proof>) -> Result<(), Broken> {
        let confirmation = Confirmation { header: made.header.shared(), proof: proof.clone() };
        if self.alone && **proof == Proof::Alone {
            return Ok(());
        }
        if let Err(error) = proof::verify(&confirmation, &self.rosters) {
            return Err(("contract 3", format!("the proof of frame {} does not stand: {error}", made.header.id())));
        }
        match Confirmation::decode(&confirmation.encode()) {
            Ok(read) if read == confirmation => Ok(()),
            other => Err(("contract 3", format!("a proof is not what its bytes say: {other:?}"))),
        }
    }

    /// A node says that a frame is certified.
    pub fn on_certified(&mut self, certified: &Certified) -> Result<(), Broken> {
        let Certified { chain, sequence, frame, certificates } = certified;
        let first = *self.certified.entry((*chain, *sequence)).or_insert(*frame);
        if first != *frame {
            return Err(("S1", format!("frames {first} and {frame} were both certified as {sequence} of {chain}")));
        }
        let of_it = certificates.iter().all(|certificate| certificate.frame() == Some((*chain, *sequence, *frame)));
        let hold = certificates.iter().all(|certificate| self.rosters.verify_certificate(certificate).is_ok());
        if of_it && hold && !certificates.is_empty() {
            return Ok(());
        }
        Err(("contract 3", format!("frame {sequence} {frame} is said to be certified by {certificates:?}")))
    }

    /// A node says that everything of a chain from `from` on is void. No chain is closed in these runs.
    pub fn on_voided(&self, chain: &Chain, from: u64) -> Result<(), Broken> {
        Err(("S3", format!("{chain} was voided from {from} on, and nobody closed it")))
    }

    /// A node says what a control block decided.
    pub fn on_decided(&mut self, host: &mut Host, decided: &Decided) -> Result<(), Broken> {
        let height = decided.height;
        if height != host.decided + 1 {
            return Err(("contract 2", format!("block {height} was decided after {}", host.decided)));
        }
        host.decided = height;
        let content = (decided.time.0, decided.ops.iter().map(Canonical::encode).collect::<Vec<_>>());
        let first = self.decided.entry(height).or_insert_with(|| content.clone());
        if *first == content { Ok(()) } else { Err(("S1", format!("block {height} is {first:?} and {content:?}"))) }
    }

    /// A node shows a fault. `honest` says who keeps every rule.
    /// The chain that is convicted, if it shows one.
    pub fn on_evidence(&self, evidence: &Evidence, honest: &dyn Fn(&Whom) -> bool) -> Result<Option<Chain>, Broken> {
        let kind = evidence.kind();
        match Evidence::decode(&evidence.encode()) {
            Ok(read) if read == *evidence => {}
            other => return Err(("evidence", format!("a piece of {kind} is not what its bytes say: {other:?}"))),
        }
        let (accused, chain): (Vec<Whom>, _) = match evidence.verify(&self.rosters) {
            Ok(Offender::Scheduler(address, chain)) => (vec![Whom::Scheduler(address)], chain),
            Ok(Offender::Attestors(keys)) => (keys.into_iter().map(Whom::Attestor).collect(), None),
            Err(error) => return Err(("evidence", format!("{kind} convicts nobody: {error}"))),
        };
        match accused.iter().find(|whom| honest(whom)) {
            Some(whom) => Err(("evidence", format!("{kind} convicts {whom:?}, who is honest"))),
            None => Ok(chain),
        }
    }
}

/// Somebody who is accused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// By wallet.
    Scheduler(Address),
    /// By key.
    Attestor(BlsKey),
}
