//! What a key vouches for is on its node's disk, and so is all that it stands on (`consensus.md` §4 rules 2 and 6, §6).

use std::collections::BTreeMap;

use ao_types::{FrameId, NetworkId, Statement};

use super::{Broken, World};
use crate::Confirmed;
use crate::contract::host::{Host, Made};
use crate::contract::signatures::statement_of;
use crate::proof::Proof;

impl Host {
    /// A signed message leaves. A frame that it attests is looked at now; for what block a vote was is known when that is decided.
    pub(super) fn vouches(&mut self, network: &NetworkId, message: &[u8], frames: &BTreeMap<FrameId, Made>) -> Result<(), String> {
        match statement_of(network, message)? {
            Some(Statement::Frame { chain, sequence, frame }) => {
                if frames.get(&frame).is_some_and(|made| made.refusable) {
                    return Err(format!("frame {sequence} of {chain} was attested, and it or one below it breaks a rule"));
                }
                if !self.holds(&chain, sequence, &frame) {
                    return Err(format!("frame {sequence} of {chain} was attested, and its body is not stored"));
                }
            }
            Some(Statement::Block { value, .. } | Statement::Vote { value: Some(value), .. }) => {
                let bodies = self.disk.order.len();
                self.vouched.entry(value).or_insert(bodies);
            }
            _ => {}
        }
        Ok(())
    }
}

impl World<'_> {
    /// A block decided a frame: whoever keeps the rules and voted for it had the body.
    pub(super) fn check_voters(&self, confirmed: &Confirmed) -> Result<(), Broken> {
        let Proof::Block { certificate, .. } = &*confirmed.proof else { return Ok(()) };
        let Statement::Block { value, .. } = certificate.statement else { return Ok(()) };
        for (n, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.honest) {
            let Some(bodies) = host.vouched.get(&value) else { continue };
            if host.disk.order.get(&confirmed.frame).is_none_or(|before| before >= bodies) {
                let what =
                    format!("node {n} voted for a block with frame {} of {}, which it did not have", confirmed.sequence, confirmed.chain);
                return Err(("promise", what));
            }
        }
        Ok(())
    }
}
