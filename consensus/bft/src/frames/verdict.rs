//! What §4 says of one frame, with what stands before it.

use ao_consensus::checks::{self, Carried, Hold, Parent, Refusal, Signed, Tip, Verdict, View};
use ao_consensus::{ChainTip, Given, Origin, Timestamp};
use ao_types::{Certificate, Chain, FrameId, NetworkId};

/// What §4 says of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This node vouches for it. The tip after it.
    Sign(Box<ChainTip>),
    /// It cannot tell before this time; `None`: before something comes.
    Hold(Option<Timestamp>),
    /// A rule is broken, the same at every honest node.
    Refuse(Refusal),
}

/// What the verdict depends on besides the frames.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// This node's clock.
    pub now: Timestamp,
    /// The Origin as far as it is applied here.
    pub origin: &'a Origin,
    /// This node's view of Arweave.
    pub arweave: Tip,
}

/// What stands before a frame.
pub(super) enum Before {
    Checked(Box<ChainTip>),
    Missing,
    Refused(FrameId),
}

pub(super) struct Looking<'a> {
    before: Before,
    scene: &'a Scene<'a>,
    certified_height: u64,
}

impl View for Looking<'_> {
    fn parent(&self, _given: &Given) -> Parent<'_> {
        match &self.before {
            Before::Checked(tip) => Parent::Checked(tip),
            Before::Missing => Parent::Missing,
            Before::Refused(frame) => Parent::Refused(*frame),
        }
    }
    /// Never asked: this engine attests blocks and not frames, so a key is bound by no frame.
    fn descends(&self, _given: &Given, _from: (u64, FrameId)) -> Option<bool> {
        Some(true)
    }
    /// Never asked: a frame that carries a certificate was refused before.
    fn certificate(&self, _certificate: &Certificate) -> Carried {
        Carried::Fails
    }
    fn signed(&self, _chain: &Chain) -> Option<Signed> {
        None
    }
    fn origin(&self) -> &Origin {
        self.scene.origin
    }
    fn tip(&self) -> Tip {
        self.scene.arweave
    }
    fn certified_height(&self) -> u64 {
        self.certified_height
    }
}

pub(super) fn verdict(network: NetworkId, scene: &Scene<'_>, certified_height: u64, before: Before, given: &Given) -> Standing {
    if !given.header.certificates.is_empty() {
        return Standing::Refuse(Refusal::Carried { sequence: given.header.sequence });
    }
    match checks::judge(network, scene.now, &Looking { before, scene, certified_height }, given) {
        Verdict::Sign(tip) => Standing::Sign(tip),
        // Both say only that decisions have not come so far here.
        Verdict::Refuse(Refusal::Window { .. } | Refusal::OverCrossing { .. }) => Standing::Hold(None),
        Verdict::Refuse(refusal) => Standing::Refuse(refusal),
        Verdict::Hold(Hold::Future { from, .. } | Hold::Rate { from, .. }) => Standing::Hold(Some(from)),
        Verdict::Hold(Hold::Height { stale_from, .. }) => Standing::Hold(Some(stale_from)),
        Verdict::Hold(_) => Standing::Hold(None),
    }
}
