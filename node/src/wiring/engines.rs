//! Every consensus engine of this build: what a genesis calls it, what it is, and how it is made.

use std::collections::BTreeMap;

use ao_attest::Attest;
use ao_bft::timeouts::Timeouts;
use ao_consensus::Solo;
use ao_types::{Attestation, Canonical as _, genesis};

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
    /// Its frames carry certificates: each frame of each chain costs every attestor BLS work, and they are the farther apart the more
    /// chains are active.
    pub certifies: bool,
    /// Its own numbers (`consensus.params`).
    pub params: &'static [Param],
    /// Makes it.
    pub make: MakeEngine,
    /// The signature of one key that a message of another node is about, if it is: this node listens for its own.
    pub heard: Hears,
}

/// See [`Engine::heard`].
pub type Hears = fn(&[u8]) -> Option<Attestation>;

fn share(bytes: &[u8]) -> Option<Attestation> {
    match ao_attest::wire::Message::decode(bytes) {
        Ok(ao_attest::wire::Message::Share(attestation)) => Some(attestation),
        _ => None,
    }
}

fn vote(bytes: &[u8]) -> Option<Attestation> {
    match ao_bft::message::Message::decode(bytes) {
        Ok(ao_bft::message::Message::Say(ao_bft::driver::Say::Vote(vote), _)) => Some(Attestation {
            statement: ao_bft::signing::vote_statement(&vote.message),
            key: vote.message.voter.0,
            signature: vote.signature.0,
        }),
        _ => None,
    }
}

/// A number of an engine that a genesis may set.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// As the genesis names it.
    pub name: &'static str,
    /// Where it names nothing.
    pub default: u64,
    /// Lowest and highest value.
    pub range: (u64, u64),
    /// What it is.
    pub about: &'static str,
}

impl Engine {
    /// Refuses numbers that this engine does not have, or not of this size: on a network every node must read them alike.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn check(&self, params: &BTreeMap<String, genesis::Param>) -> Result<(), String> {
        for (name, value) in params {
            let Some(param) = self.params.iter().find(|param| param.name == name) else {
                let known = self.params.iter().map(|param| param.name).collect::<Vec<_>>().join(", ");
                return Err(format!("consensus.params.{name} is no number of engine `{}`, which has: {known}", self.name));
            };
            let (low, high) = param.range;
            match value {
                genesis::Param::Number(number) if (low..=high).contains(number) => {}
                _ => return Err(format!("consensus.params.{name} must be a whole number from {low} to {high}")),
            }
        }
        Ok(())
    }
}

const fn ms(name: &'static str, default: u64, about: &'static str) -> Param {
    Param { name, default, range: (1, 600_000), about }
}

const BFT: &[Param] = &[
    ms("block_interval_ms", 10, "least time between two blocks"),
    ms("propose_ms", Timeouts::LOCAL.propose_ms, "wait for a proposal before voting nil"),
    ms("prevote_ms", Timeouts::LOCAL.prevote_ms, "wait for more prevotes after a quorum of mixed ones"),
    ms("precommit_ms", Timeouts::LOCAL.precommit_ms, "wait for more precommits after a quorum of mixed ones"),
    ms("delta_ms", Timeouts::LOCAL.delta_ms, "what each of these waits grows by with each round"),
    ms("longest_ms", Timeouts::LOCAL.longest_ms, "the longest that they grow to"),
    ms("rebroadcast_ms", Timeouts::LOCAL.rebroadcast_ms, "votes are said again after this without progress"),
    ms("sync_ms", 500, "without an answer, somebody else is asked for missed blocks after this"),
    ms("fetch_ms", 300, "a frame that was asked for is asked for again after this"),
    ms("announce_ms", 500, "a height that nothing followed is announced after this"),
    Param {
        name: "recent_blocks",
        default: 16_384,
        range: (2, 16_384),
        about: "blocks in memory for those who missed them; others are on disk",
    },
    ms("tick_ms", 1_000, "time between blocks while the control plane waits for time to pass"),
];

/// Every engine of this build.
pub const ENGINES: &[Engine] = &[
    Engine {
        name: "attest",
        about: "Staked attestors sign frames; a quorum on a frame that carries a certificate confirms.",
        alone: false,
        certifies: true,
        params: &[Param {
            name: "interval_ms",
            default: 20,
            range: (1, 10_000),
            about: "frame interval that waits for certificates are counted in; frames themselves are as far apart as this machine's costs say",
        }],
        make: |setup| Attest::new(setup).map(|engine| Box::new(engine) as _).map_err(|error| error.to_string()),
        heard: share,
    },
    Engine {
        name: "bft",
        about: "Tendermint rounds decide blocks of frames.",
        alone: false,
        certifies: false,
        params: BFT,
        make: |setup| Ok(Box::new(ao_bft::Engine::new(setup))),
        heard: vote,
    },
    Engine {
        name: "solo",
        about: "Confirms every frame at once, because there is nobody else to ask. Durable, and as trustworthy as the one node that runs it.",
        alone: true,
        certifies: false,
        params: &[],
        make: |setup| Ok(Box::new(Solo::new(&setup))),
        heard: |_| None,
    },
];

/// The engine of this name.
pub fn named(name: &str) -> Option<&'static Engine> {
    ENGINES.iter().find(|engine| engine.name == name)
}

#[cfg(test)]
mod tests {
    use ao_consensus::cheap::CheapSecret;
    use ao_consensus::{Rosters, SecretKey as _};
    use ao_types::NetworkId;

    use super::*;

    #[test]
    fn a_genesis_sets_what_an_engine_has_and_within_its_bounds() {
        let number = |name: &str, number: u64| BTreeMap::from([(name.to_owned(), genesis::Param::Number(number))]);
        let bft = named("bft").unwrap();
        assert_eq!(bft.check(&number("propose_ms", 900)), Ok(()));
        assert!(bft.check(&number("propose_ms", 0)).unwrap_err().contains("from 1 to 600000"));
        assert!(bft.check(&number("propose", 900)).unwrap_err().contains("propose_ms"));
        let text = BTreeMap::from([("propose_ms".to_owned(), genesis::Param::Text("soon".to_owned()))]);
        assert!(bft.check(&text).is_err());
        assert!(named("solo").unwrap().check(&number("propose_ms", 900)).is_err());
        for engine in ENGINES {
            for Param { default, range: (low, high), name, .. } in engine.params {
                assert!((low..=high).contains(&default), "{}: {name}", engine.name);
            }
        }
    }

    /// The seeds of the engines' fuzz targets: messages as they travel, signed by the first of the cheap keys.
    #[test]
    fn a_signature_is_found_in_a_share_and_in_a_vote_and_nowhere_else() {
        let rosters = Rosters::new(NetworkId([7; 32]), std::sync::Arc::new(ao_consensus::cheap::Cheap), [0; 32]);
        let holds = |found: Attestation, n: u64| {
            assert_eq!(found.key, CheapSecret::new(n).public());
            assert!(rosters.verify_key(&found.key, &found.statement, &found.signature), "{found:?}");
        };
        holds(share(include_bytes!("../../../consensus/attest/fuzz/seeds/message/00")).unwrap(), 2);
        assert_eq!(share(include_bytes!("../../../consensus/attest/fuzz/seeds/message/05")), None);
        holds(vote(include_bytes!("../../../consensus/bft/fuzz/seeds/message/09")).unwrap(), 1);
        assert_eq!(vote(include_bytes!("../../../consensus/bft/fuzz/seeds/message/00")), None);
        assert_eq!((share(b""), vote(b"")), (None, None));
    }
}
