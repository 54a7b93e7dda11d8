//! Faults that this node can show (`consensus.md` §7): two headers, two branches, two certificates. Each piece is checked before it leaves,
//! or stands on what was checked; what becomes of it is the Origin's business.

use ao_consensus::effect::{Effect, Offence};
use ao_consensus::evidence::Evidence;
use ao_consensus::frame::{FrameHeader, SignedHeader};
use ao_types::{Attestation, PeerId};

use crate::branches::{Branches, Place};
use crate::chain::ChainState;
use crate::common::{Common, penalise, statement};

/// Two headers of one sequence: signatures of both were checked before they were given.
pub(crate) fn two_headers(one: &SignedHeader, two: &SignedHeader, out: &mut Vec<Effect>) {
    if let (Some(one), Some(two)) = (one.to_raw(), two.to_raw()) {
        out.push(Effect::Evidence(Box::new(Evidence::TwoHeaders(Box::new((one, two))))));
    }
}

impl ChainState {
    /// Evidence against a key whose shares are on two branches.
    pub fn look_for_two_branches(&mut self, common: &Common, place: &Place, share: &Attestation, from: &PeerId, out: &mut Vec<Effect>) {
        let key = share.key;
        if self.convicted.contains(&key) {
            return;
        }
        let shares = self
            .collecting
            .iter()
            .filter(|(other, _)| *other != place)
            .filter_map(|(other, collecting)| Some((*other, collecting.share_of(common, &key)?)));
        let found = shares.into_iter().find_map(|(other, signature)| {
            let (low, high) = if other.0 <= place.0 { (other, *place) } else { (*place, other) };
            if self.branches.descends(&high, &low) == Some(true) {
                return None;
            }
            let headers = self.headers_between(&low, &high)?;
            let theirs = Attestation { statement: statement(self.chain, other), key, signature };
            let (lower, higher) = if low == other { (theirs, *share) } else { (*share, theirs) };
            Some(Evidence::TwoBranches { lower, higher, headers })
        });
        // A share that does not hold convicts nobody: it is found when it is added up.
        if let Some(evidence) = found.filter(|evidence| evidence.verify(&common.rosters).is_ok()) {
            self.convicted.insert(key);
            out.push(Effect::Evidence(Box::new(evidence)));
            penalise(out, Some(from.clone()), Offence::Conflict);
        }
    }

    /// Evidence that the certificate of a frame excludes another one.
    pub fn excluded(&self, place: &Place) -> Option<Evidence> {
        let others: Vec<Place> = self.branches.named().map(|(other, _)| *other).filter(|other| other != place).collect();
        others.into_iter().find_map(|other| {
            let (low, high) = if other.0 <= place.0 { (other, *place) } else { (*place, other) };
            let headers = self.headers_between(&low, &high)?;
            let of = |place: &Place| self.branches.any_certificate(place).cloned();
            Some(Evidence::TwoCertificates { lower: of(&low)?, higher: of(&high)?, headers })
        })
    }

    /// If neither of two frames is an ancestor of the other: headers from the higher one down to the one above the lower sequence, whose
    /// parent shows it.
    pub fn headers_between(&self, low: &Place, high: &Place) -> Option<Vec<FrameHeader>> {
        let mut headers = Vec::new();
        let mut at = *high;
        while at.0 > low.0 {
            let header = &self.branches.get(&at)?.given.header;
            headers.push(header.header().clone());
            at = Branches::parent_of(header)?;
        }
        (at.0 == low.0 && at.1 != low.1).then_some(headers)
    }
}
