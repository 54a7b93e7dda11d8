//! Whether an attestor may sign a frame: `consensus.md` §4 as a pure function.
//!
//! Three verdicts. **Refuse**: a rule on the log is broken; the same at every honest node, for good. **Hold**: this node cannot tell yet;
//! looked at again when more is known. **Sign**. Local clocks, tips, missing bytes and control lag only ever hold: if they refused,
//! honest nodes would split and the chain would stop for ever.
//!
//! | Rule of §4 | Where |
//! |---|---|
//! | 1 header, Origin as of `control_height` | [`judge`], [`crate::tip::ChainTip::follow`] |
//! | 2 chain: descendant of what this key signed, ancestors checked | [`judge`] by [`View::parent`] and [`View::signed`] |
//! | 3 certificates carried | [`judge`] by [`View::certificate`] |
//! | 4 entries | the node, with [`contents::check`]; the outcome comes in [`Facts`] |
//! | 5 clocks | [`judge`] |
//! | 6 stored here | [`Facts::durable`] |
//! | 7 slashing protection | [`crate::protection`], after a verdict of `Sign` |
//!
//! Whether this node is in a committee that certifies the frame is not part of the verdict: a node without a key follows the same rules.

use ao_types::{Certificate, Chain, FrameId, NetworkId};

use crate::frame::Closed;
use crate::input::Given;
use crate::limits::{DRIFT_MS_MAX, HEIGHT_AHEAD_MAX, TIP_STALE_MS};
use crate::origin::Origin;
use crate::time::Timestamp;
use crate::tip::ChainTip;

pub mod contents;
mod verdict;

pub use verdict::{Hold, Refusal, Verdict};

/// What this node found out about what a frame speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Rule 4.
    pub contents: Contents,
    /// Rule 6: items, assignments and carried certificates are on disk here.
    pub durable: bool,
}

impl Facts {
    /// Of an own frame, and of one that passed everything.
    pub const WHOLE: Self = Self { contents: Contents::Lawful, durable: true };
}

/// Whether the entries are lawful in the log that the frame's ancestors make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// Not known yet: bytes or ancestors are missing.
    #[default]
    Unknown,
    /// Every entry passes.
    Lawful,
    /// One does not.
    Unlawful(Refusal),
}

/// The node's view of Arweave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Since when it has stood still.
    pub since: Timestamp,
}

/// What became of a frame's parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent<'a> {
    /// Every rule holds up to it: the tip after it.
    Checked(&'a ChainTip),
    /// Not here, or not checked yet.
    Missing,
    /// Refused, or descends from a refused frame.
    Refused(FrameId),
}

/// Whether a carried certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// Its committee is not known here.
    Unknown,
}

/// What this key signed in a chain: its row of slashing protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The last frame signed; `None` if the chain was only sealed.
    pub last: Option<(u64, FrameId)>,
    /// Nothing more may be signed.
    pub sealed: bool,
}

/// What the caller knows.
pub trait View {
    /// What became of the frame before `given`, or of the chain's opening for frame 0: [`ChainTip::opened`].
    fn parent(&self, given: &Given) -> Parent<'_>;

    /// Whether the frame descends from this one; asked only for what [`View::signed`] says. `None`: what lies between is missing.
    fn descends(&self, given: &Given, from: (u64, FrameId)) -> Option<bool>;

    /// Whether a carried certificate holds. Called once for each; callers keep answers.
    fn certificate(&self, certificate: &Certificate) -> Carried;

    /// What this key signed in the frame's chain; `None` if nothing, or if there is no key.
    fn signed(&self, chain: &Chain) -> Option<Signed>;

    /// The Origin as far as it is applied here.
    fn origin(&self) -> &Origin;

    /// This node's view of Arweave.
    fn tip(&self) -> Tip;

    /// The highest block height in any certified frame: replaces a tip that does not move.
    fn certified_height(&self) -> u64;
}

/// The verdict on a frame. `network` is ours, `now` this node's clock.
pub fn judge(network: NetworkId, now: Timestamp, view: &dyn View, given: &Given) -> Verdict {
    match decide(network, now, view, given) {
        Ok(tip) => Verdict::Sign(Box::new(tip)),
        Err(Outcome::Hold(hold)) => Verdict::Hold(hold),
        Err(Outcome::Refuse(refusal)) => Verdict::Refuse(refusal),
    }
}

enum Outcome {
    Hold(Hold),
    Refuse(Refusal),
}

impl From<Hold> for Outcome {
    fn from(hold: Hold) -> Self {
        Self::Hold(hold)
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

/// What costs nothing comes first; and a refusal before a hold wherever what is known suffices for one, since a frame that nobody may sign
/// is not kept. Pairings ([`View::certificate`]) are spent only on a scheduler that the Origin admits.
fn decide(network: NetworkId, now: Timestamp, view: &dyn View, given: &Given) -> Result<ChainTip, Outcome> {
    let header = given.header.header();
    let parent = match view.parent(given) {
        Parent::Checked(parent) => parent,
        Parent::Refused(ancestor) => return Err(Refusal::Ancestor { ancestor }.into()),
        Parent::Missing => return Err(Hold::Ancestor { parent: header.parent, sequence: header.sequence.saturating_sub(1) }.into()),
    };
    let tip = parent.follow(network, header, given.header.id())?;
    if let Contents::Unlawful(refusal) = &given.facts.contents {
        return Err(refusal.clone().into());
    }
    check_origin(view.origin(), parent, given)?;
    check_certificates(view, given)?;
    check_own_signatures(view, given)?;
    if given.facts.contents == Contents::Unknown {
        return Err(Hold::Contents.into());
    }
    check_clocks(now, view, given)?;
    if given.facts.durable { Ok(tip) } else { Err(Hold::Body.into()) }
}

/// Rule 1, as of the frame's control height.
fn check_origin(origin: &Origin, parent: &ChainTip, given: &Given) -> Result<(), Outcome> {
    let header = given.header.header();
    let (height, chain) = (header.control_height, header.chain);
    if origin.applied().is_none_or(|applied| applied < height) {
        return Err(Hold::Control { needed: height, applied: origin.applied() }.into());
    }
    if !origin.admitted_at(&chain.scheduler, height) {
        return Err(Refusal::Scheduler { scheduler: chain.scheduler, height }.into());
    }
    let record = origin.chain(&chain).filter(|record| record.opened <= height);
    let Some(record) = record.filter(|record| record.closing.is_none_or(|closing| closing > height)) else {
        return Err(Refusal::Tenure { chain, height }.into());
    };
    let in_force = origin.epoch_at(height).map(|(epoch, _)| epoch);
    if in_force != Some(header.epoch) {
        return Err(Refusal::Epoch { expected: in_force.unwrap_or_default(), found: header.epoch }.into());
    }
    if let Some(expected) = origin.time_at(height).filter(|time| header.timestamp < *time) {
        return Err(Refusal::BeforeControl { expected, found: header.timestamp }.into());
    }
    // §8: a crossing into E+2 is signed only if the one into E+1 is recorded. A chain that began in the epoch before needs no record.
    let crosses_from = parent.epoch.filter(|before| *before != header.epoch);
    if let Some(before) = crosses_from {
        let opened_in = origin.epoch_at(record.opened).map(|(epoch, _)| epoch);
        let recorded = record.crossings.iter().any(|(epoch, at, _)| *epoch == before && *at <= height);
        if opened_in != Some(before) && !recorded {
            return Err(Refusal::Crossing { epoch: header.epoch }.into());
        }
    }
    let expected = origin.unhosted(&chain, closed_above(parent, record.opened), height);
    if expected != header.closed {
        return Err(Refusal::Closed { expected: expected.len(), found: header.closed.len() }.into());
    }
    Ok(())
}

/// Processes unhosted above this height are named by the next frame: what lies at or below the frame before has been.
fn closed_above(parent: &ChainTip, opened: u64) -> u64 {
    if parent.next_sequence == 0 { opened.saturating_sub(1) } else { parent.control_height }
}

/// What a scheduler's next frame must name as closed, at `control_height`.
pub fn closed_for(origin: &Origin, parent: &ChainTip, control_height: u64) -> Vec<Closed> {
    let opened = origin.chain(&parent.chain).map_or(0, |record| record.opened);
    origin.unhosted(&parent.chain, closed_above(parent, opened), control_height)
}

/// Rule 3.
fn check_certificates(view: &dyn View, given: &Given) -> Result<(), Outcome> {
    let (sequence, mut unknown) = (given.header.sequence, None);
    for certificate in &given.header.certificates {
        match view.certificate(certificate) {
            Carried::Holds => {}
            Carried::Fails => return Err(Refusal::Certificate { sequence, epoch: certificate.epoch }.into()),
            Carried::Unknown => unknown = Some(certificate.epoch),
        }
    }
    unknown.map_or(Ok(()), |epoch| Err(Hold::Committee { epoch }.into()))
}

/// Rule 2: a descendant of what this key signed last, never another branch, nothing in a sealed chain. A frame that it signed already is
/// not for this function: the stored bytes are served.
fn check_own_signatures(view: &dyn View, given: &Given) -> Result<(), Outcome> {
    let Some(Signed { last, sealed }) = view.signed(&given.header.chain) else { return Ok(()) };
    if sealed {
        return Err(Hold::Bound { bound: last }.into());
    }
    let Some(bound) = last else { return Ok(()) };
    if given.header.sequence <= bound.0 {
        return Err(Hold::Bound { bound: last }.into());
    }
    match view.descends(given, bound) {
        Some(true) => Ok(()),
        Some(false) => Err(Hold::Bound { bound: last }.into()),
        None => Err(Hold::Ancestor { parent: given.header.parent, sequence: given.header.sequence.saturating_sub(1) }.into()),
    }
}

/// Rule 5. No lower bound: frames of before an outage stay signable.
fn check_clocks(now: Timestamp, view: &dyn View, given: &Given) -> Result<(), Outcome> {
    let found = given.header.timestamp;
    if found.0 > now.0.saturating_add(DRIFT_MS_MAX) {
        return Err(Hold::Future { from: Timestamp(found.0 - DRIFT_MS_MAX), found }.into());
    }
    let (tip, found) = (view.tip(), given.header.block_height);
    let stale = now.since_ms(tip.since) >= TIP_STALE_MS;
    let height = if stale { tip.height.max(view.certified_height()) } else { tip.height };
    let allowed = height.saturating_add(HEIGHT_AHEAD_MAX);
    if found > allowed {
        return Err(Hold::Height { allowed, found, stale_from: tip.since.plus_ms(TIP_STALE_MS) }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
