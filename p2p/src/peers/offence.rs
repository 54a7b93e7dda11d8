//! What a peer can do wrong, and what it costs.

/// A broken rule. The cost is in points; at [`BAN_AT`](crate::limits::BAN_AT) the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Offence {
    /// Bytes that are no message of this protocol: 20 points.
    Malformed,
    /// More bytes than the kind of message may have: 25 points.
    Oversize,
    /// A message that the layer above rejects: 20 points. What is merely late or unknown is ignored and costs nothing.
    Invalid,
    /// The same message from the same peer again and again: 5 points for each beyond what a lossy network explains.
    Replay,
    /// More messages or requests than anybody needs: 2 points for each too many.
    Flood,
    /// It does not take what it asked for: 5 points each time its queue overflowed. A delay.
    Slow,
    /// It did not answer a request in time: 5 points. A delay.
    Timeout,
    /// Bytes on its gossip stream that no message can be found in (a length above the cap, no protobuf), or one more such stream: 40 points,
    /// and the connection ends at once.
    Broken,
    /// It subscribes to topics that do not exist, or to too many at once: 10 points.
    Subscription,
    /// What the layer above found out later, from a proof: 50 points.
    Fault,
}

impl Offence {
    /// Every offence.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Oversize,
        Self::Invalid,
        Self::Replay,
        Self::Flood,
        Self::Slow,
        Self::Timeout,
        Self::Broken,
        Self::Subscription,
        Self::Fault,
    ];

    /// Points.
    pub fn cost(self) -> i32 {
        match self {
            Self::Flood => 2,
            Self::Replay | Self::Slow | Self::Timeout => 5,
            Self::Subscription => 10,
            Self::Malformed | Self::Invalid => 20,
            Self::Oversize => 25,
            Self::Broken => 40,
            Self::Fault => 50,
        }
    }

    /// Whether the network between us may be to blame as well as the peer: it ends a connection and bans nobody.
    pub fn is_delay(self) -> bool {
        matches!(self, Self::Slow | Self::Timeout)
    }

    /// In one word, as metrics and operators see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::Invalid => "invalid",
            Self::Replay => "replay",
            Self::Flood => "flood",
            Self::Slow => "slow",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Subscription => "subscription",
            Self::Fault => "fault",
        }
    }
}

/// Why a peer is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BanReason {
    /// The offence that cost it most.
    Offence(Offence),
    /// The gossip protocol's own score: broken promises, mesh abuse, invalid messages.
    Gossip,
    /// It belongs to another network.
    OtherNetwork,
    /// Its key is not Ed25519.
    Key,
    /// An operator said so.
    Operator,
}

impl BanReason {
    /// Every reason that is not an offence.
    const OTHERS: [Self; 4] = [Self::Gossip, Self::OtherNetwork, Self::Key, Self::Operator];

    /// In one word, as metrics, operators and the persisted list see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offence(offence) => offence.as_str(),
            Self::Gossip => "gossip",
            Self::OtherNetwork => "other_network",
            Self::Key => "key",
            Self::Operator => "operator",
        }
    }

    /// The reason with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Offence::ALL.into_iter().map(Self::Offence).chain(Self::OTHERS).find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BAN_AT;

    #[test]
    fn every_reason_is_its_word_and_back() {
        for reason in Offence::ALL.into_iter().map(BanReason::Offence).chain(BanReason::OTHERS) {
            assert_eq!(BanReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(BanReason::parse("weather"), None);
    }

    #[test]
    fn nothing_bans_at_once_and_nothing_is_free() {
        for offence in Offence::ALL {
            assert!(offence.cost() > 0 && offence.cost() < -BAN_AT, "{offence:?}");
        }
    }
}
