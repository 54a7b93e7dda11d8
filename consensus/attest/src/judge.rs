//! Rules A1 and A3: frames are linked, the certificates they carry verified, and they are judged, parents first.

use ao_consensus::Timestamp;
use ao_consensus::checks::{self, Carried, Hold, Parent, Refusal, Signed, Tip, Verdict, View};
use ao_consensus::effect::{Effect, Offence};
use ao_consensus::frame::SignedHeader;
use ao_consensus::input::Given;
use ao_consensus::origin::Origin;
use ao_consensus::roster::VerifyError;
use ao_consensus::tip::ChainTip;
use ao_types::{Certificate, Chain, FrameId};

use crate::branches::{Branches, Place, Standing};
use crate::chain::ChainState;
use crate::common::Common;
use crate::mutation::Mutation;

impl ChainState {
    /// Links what can be, and verifies the certificates that linked frames carry, all in one batch.
    pub fn link(&mut self, common: &Common, out: &mut Vec<Effect>) {
        for (place, outcome) in self.branches.link(common.network, common.mutations) {
            if let Err(refusal) = outcome {
                self.refuse(common, &place, &refusal, out);
            }
        }
        let unasked = |(_, kept): &(&Place, &crate::branches::Kept)| kept.carried.is_none() && kept.tip.is_some();
        let frames: Vec<(Place, Vec<Certificate>)> =
            self.branches.iter().filter(unasked).map(|(place, kept)| (*place, kept.given.header.certificates.clone())).collect();
        let fresh: Vec<&Certificate> = frames.iter().flat_map(|(_, carried)| carried).filter(|one| !self.is_known(one)).collect();
        let verdicts = common.rosters.verify_certificates(&fresh);
        let verified: Vec<(Certificate, Result<(), VerifyError>)> = fresh.into_iter().cloned().zip(verdicts).collect();
        for (place, carried) in frames {
            let outcome = |one: &Certificate| verified.iter().find(|(other, _)| other == one).map_or(&Ok(()), |(_, outcome)| outcome);
            let unknown = carried.iter().any(|one| matches!(outcome(one), Err(VerifyError::UnknownEpoch { .. })));
            if unknown {
                continue;
            }
            let bad = carried.iter().find(|one| outcome(one).is_err()).map(|one| one.epoch);
            if let Some(kept) = self.branches.get_mut(&place) {
                kept.carried = Some(bad.is_none());
            }
            match bad {
                Some(epoch) => self.refuse(common, &place, &Refusal::Certificate { sequence: place.0, epoch }, out),
                None => carried.into_iter().for_each(|one| self.learn(one, out)),
            }
        }
    }

    /// Whether this very certificate was verified before.
    fn is_known(&self, certificate: &Certificate) -> bool {
        let known = certificate.frame().and_then(|(_, sequence, frame)| self.branches.certificate(&(sequence, frame), certificate.epoch));
        known == Some(certificate)
    }

    /// A frame that nobody honest signs: it and all behind it.
    fn refuse(&mut self, common: &Common, place: &Place, refusal: &Refusal, out: &mut Vec<Effect>) {
        let Some(kept) = self.branches.get_mut(place) else { return };
        kept.standing = Standing::Refused(match refusal {
            Refusal::Ancestor { ancestor } => *ancestor,
            _ => place.1,
        });
        if !matches!(refusal, Refusal::Ancestor { .. }) {
            common.blame_scheduler(&self.chain, kept.given.from.clone(), Offence::Unlawful, out);
        }
    }

    /// Judges every frame whose parent has been, in order.
    pub fn judge(&mut self, common: &Common, now: Timestamp, out: &mut Vec<Effect>) {
        self.look_again = None;
        for place in self.branches.open() {
            let Some(kept) = self.branches.get(&place).filter(|kept| kept.standing == Standing::Open && kept.tip.is_some()) else {
                continue;
            };
            let view = Judging { branches: &self.branches, common, carried: kept.carried };
            let verdict = if common.mutations.has(Mutation::NoAvailabilityCheck) {
                let mut given = kept.given.clone();
                given.facts.durable = true;
                checks::judge(common.network, now, &view, &given)
            } else {
                checks::judge(common.network, now, &view, &kept.given)
            };
            match verdict {
                Verdict::Sign(_) => {
                    if let Some(kept) = self.branches.get_mut(&place) {
                        kept.standing = Standing::Passed;
                    }
                }
                Verdict::Refuse(refusal) => self.refuse(common, &place, &refusal, out),
                Verdict::Hold(Hold::Future { .. }) if common.mutations.has(Mutation::RefuseInsteadOfHold) => {
                    self.refuse(common, &place, &Refusal::Carried { sequence: place.0 }, out);
                }
                Verdict::Hold(hold) => self.look_again = earlier(self.look_again, again_at(&hold).filter(|at| *at > now)),
            }
        }
    }
}

/// When a held frame may be judged anew without anything having come.
fn again_at(hold: &Hold) -> Option<Timestamp> {
    match hold {
        Hold::Future { from, .. } | Hold::Rate { from, .. } => Some(*from),
        Hold::Height { stale_from, .. } => Some(*stale_from),
        Hold::Control { .. } | Hold::Ancestor { .. } | Hold::Committee { .. } | Hold::Contents | Hold::Body | Hold::Bound { .. } => None,
    }
}

pub(crate) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

/// What [`checks::judge`] asks. This key's own past is left out: whether a frame passes does not depend on who asks (A2 comes after).
struct Judging<'a> {
    branches: &'a Branches,
    common: &'a Common,
    carried: Option<bool>,
}

impl Judging<'_> {
    fn standing(&self, header: &SignedHeader) -> Option<(&Standing, &ChainTip)> {
        let kept = self.branches.get(&Branches::parent_of(header)?)?;
        Some((&kept.standing, kept.tip.as_ref()?))
    }
}

impl View for Judging<'_> {
    fn parent(&self, given: &Given) -> Parent<'_> {
        let base = self.branches.base();
        if given.header.sequence == base.next_sequence && given.header.parent == base.parent {
            // What a quorum confirmed is checked: it is here, and no later rule looks at it again.
            return Parent::Checked(base);
        }
        match self.standing(&given.header) {
            Some((Standing::Passed, tip)) => Parent::Checked(tip),
            Some((Standing::Open, tip)) if self.common.mutations.has(Mutation::SkippedUnchecked) => Parent::Checked(tip),
            Some((Standing::Refused(_), tip)) if self.common.mutations.has(Mutation::SkippedUnchecked) => Parent::Checked(tip),
            Some((Standing::Refused(ancestor), _)) => Parent::Refused(*ancestor),
            _ => Parent::Missing,
        }
    }

    fn descends(&self, _: &Given, _: (u64, FrameId)) -> Option<bool> {
        None
    }

    fn certificate(&self, _: &Certificate) -> Carried {
        match self.carried {
            Some(true) => Carried::Holds,
            Some(false) => Carried::Fails,
            None => Carried::Unknown,
        }
    }

    fn signed(&self, _: &Chain) -> Option<Signed> {
        None
    }

    fn origin(&self) -> &Origin {
        &self.common.origin
    }

    fn tip(&self) -> Tip {
        self.common.tip
    }

    fn certified_height(&self) -> u64 {
        self.common.certified_height
    }
}
