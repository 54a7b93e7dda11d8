//! The file that carries a key's past from machine to machine (`operations.md` §5.4, in the style of EIP-3076): integers as text, no
//! signatures. Reading, writing and merging are pure; the store is stopped while they happen.
//!
//! A chain's row is an entry of domain `frame` (scope the chain, height the sequence, root the frame id, kind `attestation` or `seal`).
//! Merging never loosens: the higher of two rows stands, and where two rows contradict each other, or one lacks its root, the chain is
//! sealed for this key.

use std::collections::BTreeMap;

use ao_types::{Address, BlsKey, Chain, FrameId, NetworkId};
use serde::{Deserialize, Serialize};

use super::{ChainRow, Guard, Kind, Position, SignedRow, Watermark, place};
use crate::limits::INTERCHANGE_BYTES_MAX;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interchange {
    /// What it is.
    pub metadata: Metadata,
    /// One element for each key.
    pub data: Vec<KeyHistory>,
}

/// What the file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// `aonode-slashing`.
    pub format: String,
    /// `1`.
    pub version: String,
    /// The network: histories of two do not mix.
    pub genesis_hash: String,
}

/// Everything known of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyHistory {
    /// The key.
    pub pubkey: BlsKey,
    /// What it signed.
    pub signed: Vec<Entry>,
    /// At or below which it signs nothing more.
    pub watermarks: Vec<Entry>,
}

/// A position, and what was signed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// `frame`, `bft` or `result`.
    pub domain: String,
    /// Scheduler and tenure, nothing, or the process.
    pub scope: String,
    /// Decimal.
    pub term: String,
    /// Decimal.
    pub height: String,
    /// Decimal.
    pub round: String,
    /// `attestation`, `seal`, `prevote`, `precommit`, `proposal`, `block`, `result`.
    pub kind: String,
    /// 0x and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

/// Why a file is not imported. (the operator's)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterchangeError {
    /// Larger than any history.
    #[error("a slashing interchange file has at most {max} bytes, not {found}")]
    Size {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// Not JSON of this shape.
    #[error("not a slashing interchange file: {reason}")]
    Form {
        /// By the parser.
        reason: String,
    },
    /// Another format or version.
    #[error("format `{format}` version `{version}` is not `aonode-slashing` version `1`")]
    Format {
        /// As given.
        format: String,
        /// As given.
        version: String,
    },
    /// Of another network.
    #[error("the file is of network {found}, this node's is {expected}")]
    Network {
        /// Ours.
        expected: NetworkId,
        /// Theirs.
        found: String,
    },
    /// An entry that cannot be understood: dropping it would loosen protection.
    #[error("entry {index} of {key}: {field} is `{found}`")]
    Entry {
        /// Whose.
        key: BlsKey,
        /// Which.
        index: usize,
        /// Where.
        field: &'static str,
        /// As given.
        found: String,
    },
}

const FORMAT: &str = "aonode-slashing";
const VERSION: &str = "1";

/// Rows and watermarks of some keys, without signatures.
pub type Rows = (Vec<Guard>, Vec<Watermark>);

/// The file for these rows, pretty-printed.
pub fn export(network: NetworkId, (guards, watermarks): &Rows) -> Result<String, InterchangeError> {
    let mut data: BTreeMap<BlsKey, KeyHistory> = BTreeMap::new();
    let mut of = |key: BlsKey, watermark: bool, entry: Entry| {
        let history = data.entry(key).or_insert_with(|| KeyHistory { pubkey: key, signed: Vec::new(), watermarks: Vec::new() });
        if watermark { history.watermarks.push(entry) } else { history.signed.push(entry) }
    };
    for guard in guards {
        match guard {
            Guard::Chain(row) => {
                let entry = |kind: &str, (sequence, frame): (u64, FrameId)| Entry {
                    domain: "frame".into(),
                    scope: row.chain.to_string(),
                    term: row.chain.tenure.to_string(),
                    height: sequence.to_string(),
                    round: "0".into(),
                    kind: kind.into(),
                    root: Some(format!("0x{frame}")),
                };
                if let Some(last) = row.last {
                    of(row.key, false, entry("attestation", last));
                }
                if row.sealed {
                    of(row.key, false, Entry { root: None, ..entry("seal", row.last.unwrap_or_default()) });
                }
            }
            Guard::Signed(row) => of(row.position.key, false, position_entry(&row.position, row.root)),
        }
    }
    for Watermark(position) in watermarks {
        of(position.key, true, position_entry(position, None));
    }
    let metadata = Metadata { format: FORMAT.into(), version: VERSION.into(), genesis_hash: format!("0x{network}") };
    let file = Interchange { metadata, data: data.into_values().collect() };
    serde_json::to_string_pretty(&file).map_err(|error| InterchangeError::Form { reason: error.to_string() })
}

fn position_entry(position: &Position, root: Option<[u8; 32]>) -> Entry {
    Entry {
        domain: if position.kind == Kind::Result { "result".into() } else { "bft".into() },
        scope: position.scope.clone(),
        term: position.term.to_string(),
        height: position.height.to_string(),
        round: position.round.to_string(),
        kind: kind_name(position.kind).into(),
        root: root.map(|root| format!("0x{}", FrameId(root))),
    }
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Prevote, "prevote"),
    (Kind::Precommit, "precommit"),
    (Kind::Proposal, "proposal"),
    (Kind::Block, "block"),
    (Kind::Result, "result"),
];

fn kind_name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(one, _)| *one == kind).map_or("", |(_, name)| name)
}

/// The rows of a file of this network.
pub fn import(network: NetworkId, file: &[u8]) -> Result<Rows, InterchangeError> {
    if file.len() > INTERCHANGE_BYTES_MAX {
        return Err(InterchangeError::Size { max: INTERCHANGE_BYTES_MAX, found: file.len() });
    }
    let file: Interchange = serde_json::from_slice(file).map_err(|error| InterchangeError::Form { reason: error.to_string() })?;
    let Metadata { format, version, genesis_hash } = file.metadata;
    if format != FORMAT || version != VERSION {
        return Err(InterchangeError::Format { format, version });
    }
    if genesis_hash.parse() != Ok(network) {
        return Err(InterchangeError::Network { expected: network, found: genesis_hash });
    }
    let (mut guards, mut watermarks) = (Vec::new(), Vec::new());
    for history in file.data {
        for (index, entry) in history.signed.iter().enumerate() {
            guards.push(read_signed(history.pubkey, index, entry)?);
        }
        for (index, entry) in history.watermarks.iter().enumerate() {
            watermarks.push(Watermark(read_position(history.pubkey, index, entry)?));
        }
    }
    Ok(merge((Vec::new(), Vec::new()), (guards, watermarks)))
}

fn read_signed(key: BlsKey, index: usize, entry: &Entry) -> Result<Guard, InterchangeError> {
    let bad = |field: &'static str, found: &str| InterchangeError::Entry { key, index, field, found: found.into() };
    let root = match &entry.root {
        None => None,
        Some(text) => Some(text.parse::<FrameId>().map_err(|_| bad("root", text))?),
    };
    if entry.domain != "frame" {
        return Ok(Guard::Signed(SignedRow { position: read_position(key, index, entry)?, root: root.map(|id| id.0), signature: None }));
    }
    let chain = entry
        .scope
        .rsplit_once('/')
        .and_then(|(scheduler, tenure)| Some(Chain { scheduler: Address::parse(scheduler).ok()?, tenure: tenure.parse().ok()? }));
    let chain = chain.ok_or_else(|| bad("scope", &entry.scope))?;
    let sequence: u64 = entry.height.parse().map_err(|_| bad("height", &entry.height))?;
    let (last, sealed) = match (entry.kind.as_str(), root) {
        ("attestation", Some(frame)) => (Some((sequence, frame)), false),
        // Which frame is unknown, so none can be shown to descend from it.
        ("attestation", None) => (None, true),
        ("seal", _) => (None, true),
        _ => return Err(bad("kind", &entry.kind)),
    };
    Ok(Guard::Chain(ChainRow { key, chain, last, sealed, signature: None }))
}

fn read_position(key: BlsKey, index: usize, entry: &Entry) -> Result<Position, InterchangeError> {
    let bad = |field: &'static str, found: &str| InterchangeError::Entry { key, index, field, found: found.into() };
    let kind = KINDS.iter().find(|(_, name)| *name == entry.kind).map(|(kind, _)| *kind).ok_or_else(|| bad("kind", &entry.kind))?;
    let domain = if kind == Kind::Result { "result" } else { "bft" };
    if entry.domain != domain {
        return Err(bad("domain", &entry.domain));
    }
    Ok(Position {
        key,
        kind,
        scope: entry.scope.clone(),
        term: entry.term.parse().map_err(|_| bad("term", &entry.term))?,
        height: entry.height.parse().map_err(|_| bad("height", &entry.height))?,
        round: entry.round.parse().map_err(|_| bad("round", &entry.round))?,
    })
}

/// Both histories as one: at least as strict as either. Idempotent, and the order does not matter but for stored signatures, of which
/// the first stay.
pub fn merge(ours: Rows, theirs: Rows) -> Rows {
    let mut chains: BTreeMap<(BlsKey, Chain), ChainRow> = BTreeMap::new();
    let mut signed: BTreeMap<Position, SignedRow> = BTreeMap::new();
    for guard in ours.0.into_iter().chain(theirs.0) {
        match guard {
            Guard::Chain(row) => {
                let merged = match chains.remove(&(row.key, row.chain)) {
                    Some(before) => merge_chain(before, row),
                    None => row,
                };
                chains.insert((merged.key, merged.chain), merged);
            }
            Guard::Signed(row) => {
                let before = signed.entry(row.position.clone()).or_insert_with(|| row.clone());
                if before.root != row.root {
                    (before.root, before.signature) = (None, None);
                }
            }
        }
    }
    let mut marks: BTreeMap<(BlsKey, Kind, String), Position> = BTreeMap::new();
    for Watermark(position) in ours.1.into_iter().chain(theirs.1) {
        let mark = marks.entry((position.key, position.kind, position.scope.clone())).or_insert_with(|| position.clone());
        if place(mark) < place(&position) {
            *mark = position;
        }
    }
    let guards = chains.into_values().map(Guard::Chain).chain(signed.into_values().map(Guard::Signed)).collect();
    (guards, marks.into_values().map(Watermark).collect())
}

fn merge_chain(a: ChainRow, b: ChainRow) -> ChainRow {
    let sealed = a.sealed || b.sealed;
    match (a.last, b.last) {
        (Some((x, one)), Some((y, two))) if x == y && one != two => ChainRow { sealed: true, ..a },
        (Some((x, _)), Some((y, _))) if y > x => ChainRow { sealed, ..b },
        (None, Some(_)) => ChainRow { sealed, ..b },
        (Some(_), Some(_)) if a.signature.is_none() && a.last == b.last => ChainRow { sealed, ..b },
        _ => ChainRow { sealed, ..a },
    }
}

#[cfg(test)]
mod tests;
