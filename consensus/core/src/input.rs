//! All that can go into an engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_types::genesis::Param;
use ao_types::{Chain, Committee, NetworkId, PeerId};
use bytes::Bytes;

use crate::checks::{Facts, Tip};
use crate::control::ControlOp;
use crate::effect::Record;
use crate::frame::SignedHeader;
use crate::origin::OriginUpdate;
use crate::protection::Guard;
use crate::scheme::{Scheme, SecretKey};
use crate::tip::ChainTip;

/// What an engine can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A frame, own or received, whose form and scheduler's signature were checked. It may come again when more is known of it, and in
    /// any order.
    Frame(Box<Given>),
    /// Bytes of this engine on another node, or of somebody who pretends to be one. Hostile.
    Peer(PeerId, Bytes),
    /// The record of this key, of an earlier [`crate::Effect::Remember`], is durable.
    Remembered(String),
    /// What an [`crate::Effect::Recall`] found, in order of keys, and for whom.
    Recalled(PeerId, Vec<Record>),
    /// A committee that is in force, or will be: it comes before the [`Input::Origin`] that puts it in force.
    Committee(Arc<Committee>),
    /// A control block was applied. Heights come in order; the first is that of the genesis.
    Origin(Box<OriginUpdate>),
    /// An operation for the control plane, from a client or from another engine's [`crate::Effect::Propose`]. Checked for form.
    Submit(Box<ControlOp>),
    /// The node's view of Arweave moved.
    Tip(Tip),
    /// Time passed; see [`crate::Consensus::next_deadline`].
    Tick,
}

/// A frame as an engine sees it: what certificates speak of, and what this node found out about the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Header, id, scheduler's signature. Entries and bodies are no engine's business.
    pub header: Arc<SignedHeader>,
    /// What the node knows of the body.
    pub facts: Facts,
    /// Who announced it, so that what is missing can be asked for; none for an own frame.
    pub from: Option<PeerId>,
}

/// What an engine is made from, at start and after a crash.
#[derive(Clone)]
pub struct Setup {
    /// The network.
    pub network: NetworkId,
    /// How attestations are signed and checked.
    pub scheme: Arc<dyn Scheme>,
    /// The attestor's key; `None`: this node follows and does not sign.
    pub signer: Option<Arc<dyn SecretKey>>,
    /// The chain that this node schedules, if it does: shares on its frames are collected here.
    pub own: Option<Chain>,
    /// This node.
    pub peer: PeerId,
    /// Known to nobody else: for coefficients of batches, and nothing that others could check.
    pub secret: [u8; 32],
    /// The engine's own numbers, from the genesis.
    pub params: BTreeMap<String, Param>,
    /// Everything it asked to remember but what is archived, in order of keys; empty at the very first start.
    pub records: Vec<Record>,
    /// Every row of slashing protection of [`Setup::signer`]'s key: what it is bound by, whatever the records say.
    pub guards: Vec<Guard>,
    /// Of each chain that has confirmed frames: where it stood after the last of them.
    pub confirmed: Vec<ChainTip>,
    /// Height of the last [`crate::Effect::Decided`] whose operations were stored; 0: none. Those above are said again.
    pub decided: u64,
}

impl Setup {
    /// A number of [`Setup::params`], or the default.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        match self.params.get(name) {
            Some(Param::Number(number)) => *number,
            _ => default,
        }
    }
}
