//! Every consensus engine of this build: what a genesis calls it, what it is, and how it is made.

use ao_attest::Attest;
use ao_consensus::Solo;

use crate::shell::membership::MakeEngine;

/// An engine as it is listed.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// As a genesis names it (`consensus.plugin`).
    pub name: &'static str,
    /// How it confirms, in a sentence or two.
    pub about: &'static str,
    /// Only for a network of one node.
    pub alone: bool,
    /// Its own numbers (`consensus.params`): name, default, meaning.
    pub params: &'static [(&'static str, &'static str, &'static str)],
    /// Makes it.
    pub make: MakeEngine,
}

/// Every engine of this build.
pub const ENGINES: &[Engine] = &[
    Engine {
        name: "attest",
        about: "Staked attestors sign frames; a quorum on a frame that carries a certificate confirms.",
        alone: false,
        params: &[],
        make: |setup| Attest::new(setup).map(|engine| Box::new(engine) as _).map_err(|error| error.to_string()),
    },
    Engine {
        name: "bft",
        about: "Tendermint rounds decide blocks of frames.",
        alone: false,
        params: &[],
        make: |setup| Ok(Box::new(ao_bft::Engine::new(setup))),
    },
    Engine {
        name: "solo",
        about: "Confirms every frame at once, because there is nobody else to ask. Durable, and as trustworthy as the one node that runs it.",
        alone: true,
        params: &[],
        make: |setup| Ok(Box::new(Solo::new(&setup))),
    },
];

/// The engine of this name.
pub fn named(name: &str) -> Option<&'static Engine> {
    ENGINES.iter().find(|engine| engine.name == name)
}
