//! What is gossiped, and under which names.
//!
//! The number of topics is fixed: never one per process, for each peer keeps a table of every other peer's topics. A name contains the
//! network's id, so that two networks never mix, even where they share peers.

use libp2p::gossipsub::{IdentTopic, TopicHash};
use sha2::{Digest, Sha256};

use crate::limits::{SHARDS, TOPICS};

/// One of [`SHARDS`] parts of all frames. A scheduler's frames are all in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

impl Shard {
    /// The shard of something with this key (a chain's scheduler): the same on every node.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key)[0] & (SHARDS - 1))
    }

    /// Every shard.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

/// What a gossiped message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Frames up to `gossip_max`, headers of larger ones, and who holds their bodies.
    Frames(Shard),
    /// Certificates that no frame carries.
    Certificates,
    /// Proposals and votes of an engine that agrees in rounds, and control operations.
    Votes,
    /// Proofs of faults.
    Evidence,
    /// How far nodes are: the newest frame of each chain.
    Tips,
}

impl Topic {
    /// Every topic of a network.
    pub fn all() -> impl Iterator<Item = Self> {
        Shard::all().map(Self::Frames).chain([Self::Certificates, Self::Votes, Self::Evidence, Self::Tips])
    }

    /// In one word, without the shard: a label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frames(_) => "frames",
            Self::Certificates => "certificates",
            Self::Votes => "votes",
            Self::Evidence => "evidence",
            Self::Tips => "tips",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Frames(shard) => usize::from(shard.0),
            Self::Certificates => TOPICS - 4,
            Self::Votes => TOPICS - 3,
            Self::Evidence => TOPICS - 2,
            Self::Tips => TOPICS - 1,
        }
    }
}

/// The names that one network's protocols and topics go by.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    base: String,
    topics: Vec<(Topic, IdentTopic, TopicHash)>,
}

impl Names {
    pub(crate) fn new(network: &[u8; 32]) -> Self {
        let mut base = String::from("/aonode/");
        for byte in &network[..8] {
            base.push_str(&format!("{byte:02x}"));
        }
        let name = |topic: Topic| match topic {
            Topic::Frames(shard) => format!("{base}/frames/{}/1", shard.0),
            other => format!("{base}/{}/1", other.as_str()),
        };
        let topics = Topic::all().map(|topic| {
            let ident = IdentTopic::new(name(topic));
            let hash = ident.hash();
            (topic, ident, hash)
        });
        Self { topics: topics.collect(), base }
    }

    /// A protocol's name, such as `/aonode/0123456789abcdef/kad/1`.
    pub(crate) fn protocol(&self, what: &str) -> String {
        format!("{}/{what}/1", self.base)
    }

    pub(crate) fn ident(&self, topic: Topic) -> &IdentTopic {
        &self.topics[topic.index()].1
    }

    pub(crate) fn hash(&self, topic: Topic) -> &TopicHash {
        &self.topics[topic.index()].2
    }

    pub(crate) fn hashes(&self) -> impl Iterator<Item = &TopicHash> {
        self.topics.iter().map(|(_, _, hash)| hash)
    }

    pub(crate) fn topic(&self, hash: &TopicHash) -> Option<Topic> {
        self.topics.iter().find(|(_, _, known)| known == hash).map(|(topic, _, _)| *topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_one_name_and_networks_share_none() {
        let (ours, theirs) = (Names::new(&[1; 32]), Names::new(&[2; 32]));
        let all: Vec<_> = Topic::all().collect();
        assert_eq!(all.len(), TOPICS);
        for (index, topic) in all.into_iter().enumerate() {
            assert_eq!(topic.index(), index);
            assert_eq!(ours.topic(ours.hash(topic)), Some(topic));
            assert_eq!(theirs.topic(ours.hash(topic)), None);
        }
        assert_eq!(ours.hash(Topic::Frames(Shard(3))).as_str(), "/aonode/0101010101010101/frames/3/1");
        assert_eq!(ours.protocol("kad"), "/aonode/0101010101010101/kad/1");
    }

    #[test]
    fn keys_spread_over_all_shards() {
        let used: std::collections::BTreeSet<_> = (0..200_u8).map(|key| Shard::of(&[key])).collect();
        assert_eq!(used.len(), usize::from(SHARDS));
    }
}
