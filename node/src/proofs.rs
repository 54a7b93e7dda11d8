//! A slot's proof as one file: what `GET /v1/processes/{process}/slots/{slot}/proof` answers and `aonode verify` reads (`consensus.md` §15).
//!
//! Owns the file's form: JSON whose `proof` is the canonical bytes of everything that is checked, whose other fields say the same for
//! people, and which brings the genesis along, so that 64 digits from elsewhere are enough to check it. Nothing in the file is believed:
//! fields that say something else than the proof make it worthless, and so does a genesis of another hash. Refuses to decide which network
//! the reader means: whoever verifies names its genesis or its hash.

use ao_consensus::proof::{ProofError, verify_slot};
use ao_consensus::{Proof, Rosters, SlotProof};
use ao_types::genesis::canonical_json;
use ao_types::{Canonical as _, Certificate, CodecError, Genesis, GenesisError, Id, NetworkId, Statement};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::limits::PROOF_FILE_BYTES_MAX;

/// What the field `format` says.
pub const FORMAT: &str = "aonode-slot-proof";
/// What the field `version` says.
pub const VERSION: u64 = 1;

/// A proof that was read, and nothing more: see [`ProofFile::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// From the slot to a quorum's signature.
    pub proof: SlotProof,
    /// The genesis that came along, and its hash.
    pub genesis: Option<(Genesis, NetworkId)>,
}

/// Why a file is no proof. (reject)
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Larger than any proof.
    #[error("a proof has at most {max} bytes, not {found}")]
    Size {
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// Not JSON of this form.
    #[error("not a slot's proof: {reason}")]
    Form {
        /// What is wrong.
        reason: String,
    },
    /// Of a later format.
    #[error("version {found} of the format is not {VERSION}: use a build that knows it")]
    Version {
        /// Theirs.
        found: u64,
    },
    /// The canonical bytes are none.
    #[error("the field `proof` holds no proof: {0}")]
    Codec(#[from] CodecError),
    /// A field that the proof does not bear out.
    #[error("the field `{field}` is not what the proof says")]
    Field {
        /// Which.
        field: String,
    },
    /// The genesis that came along is none.
    #[error("the genesis inside: {0}")]
    Genesis(#[from] GenesisError),
    /// The genesis that came along is not in canonical form.
    #[error("the genesis inside is not in its canonical form")]
    Canonical,
    /// It proves nothing.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// Whether a file means to be a proof, however broken.
pub fn is_proof(value: &Value) -> bool {
    value.get("format").is_some_and(|format| format == FORMAT)
}

/// The file's text. `genesis` is the network's, canonical.
///
/// # Errors
/// `genesis` is not JSON.
pub fn render(proof: &SlotProof, genesis: Option<&str>) -> Result<String, serde_json::Error> {
    #[derive(serde::Serialize)]
    struct File<'a> {
        #[serde(flatten)]
        fields: Map<String, Value>,
        genesis: Option<&'a RawValue>,
    }
    let genesis = genesis.map(serde_json::from_str::<&RawValue>).transpose()?;
    serde_json::to_string(&File { fields: fields(proof), genesis })
}

/// Everything but the genesis.
fn fields(proof: &SlotProof) -> Map<String, Value> {
    let entry = &proof.entry.entry;
    let confirmed = &proof.confirmation.header;
    let frame = proof.ancestor.as_ref().map_or(confirmed.as_ref(), |(ancestor, _)| ancestor);
    let fields = json!({
        "format": FORMAT, "version": VERSION, "network": frame.network_id, "state": "confirmed",
        "process": entry.process, "schedule_epoch": entry.schedule_epoch, "slot": entry.slot, "item": entry.item,
        "assignment": entry.assignment, "hash_chain": Id(entry.hash_chain),
        "frame": { "scheduler": frame.chain.scheduler.to_string(), "tenure": frame.chain.tenure, "sequence": frame.sequence, "id": frame.id() },
        "proof": BASE64.encode(proof.encode()),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

impl ProofFile {
    /// Reads a file. What it says outside the proof must be what the proof says.
    ///
    /// # Errors
    /// It is none, or contradicts itself.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > PROOF_FILE_BYTES_MAX {
            return Err(Error::Size { max: PROOF_FILE_BYTES_MAX, found: bytes.len() });
        }
        let form = |reason: String| Error::Form { reason };
        let mut given: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| form(error.to_string()))?;
        match (given.get("format").and_then(Value::as_str), given.get("version").and_then(Value::as_u64)) {
            (Some(FORMAT), Some(VERSION)) => {}
            (Some(FORMAT), Some(found)) => return Err(Error::Version { found }),
            _ => return Err(form(format!("`format` is not `{FORMAT}`"))),
        }
        let text = given.get("proof").and_then(Value::as_str).ok_or_else(|| form("`proof` is missing".into()))?;
        let proof = BASE64.decode(text).map_err(|error| form(format!("`proof`: {error}")))?;
        let proof = SlotProof::decode(&proof)?;
        let genesis = match given.remove("genesis") {
            None | Some(Value::Null) => None,
            Some(value) => Some(genesis_of(&value)?),
        };
        let said = fields(&proof);
        let differs = |field: &&String| given.get(*field) != said.get(*field);
        match said.keys().chain(given.keys()).find(differs) {
            Some(field) => Err(Error::Field { field: field.chars().take(64).collect() }),
            None => Ok(Self { proof, genesis }),
        }
    }

    /// Whether the slot is confirmed in the network whose committees these are.
    ///
    /// # Errors
    /// It proves nothing.
    pub fn verify(&self, rosters: &Rosters) -> Result<(), Error> {
        Ok(verify_slot(&self.proof, rosters)?)
    }

    /// What a proof that holds says, in words: the slot, and why it is confirmed.
    pub fn claims(&self, rosters: &Rosters) -> Vec<String> {
        let entry = &self.proof.entry.entry;
        let confirmed = &self.proof.confirmation.header;
        let frame = self.proof.ancestor.as_ref().map_or(confirmed.as_ref(), |(ancestor, _)| ancestor);
        let signed = |certificate: &Certificate| {
            let Some(roster) = rosters.get(certificate.epoch) else { return "nobody".to_owned() };
            format!("{} of {} stake", roster.stake(&certificate.signers).0, roster.committee().total().0)
        };
        let mut claims = vec![
            format!("slot {} of process {} is item {}", entry.slot, entry.process, entry.item),
            format!("its assignment is {}, its hash chain {}", entry.assignment, Id(entry.hash_chain)),
            format!("it stands in frame {} of scheduler {}, tenure {}", frame.sequence, frame.chain.scheduler, frame.chain.tenure),
        ];
        match self.proof.confirmation.proof.as_ref() {
            Proof::Alone => {}
            Proof::Chain { descendants, certificates } => {
                let carried = descendants.iter().find_map(|header| {
                    let (_, of, _) = header.certificates.first()?.frame()?;
                    (of >= confirmed.sequence).then(|| (of, header.sequence, header.certificates.first()))
                });
                if let Some((of, by, Some(certificate))) = carried {
                    claims.push(format!("frame {of} is certified by {}; frame {by} carries the certificate", signed(certificate)));
                }
                if let (Some(last), Some(certificate)) = (descendants.last(), certificates.last()) {
                    claims.push(format!(
                        "frame {} is certified by {}, who therefore know it: confirmed",
                        last.sequence,
                        signed(certificate)
                    ));
                }
            }
            Proof::Block { certificate, .. } => {
                if let Statement::Block { height, round, .. } = &certificate.statement {
                    claims.push(format!(
                        "block {height} names the frame and was decided in round {round} by {}: confirmed",
                        signed(certificate)
                    ));
                }
            }
        }
        claims
    }
}

fn genesis_of(value: &Value) -> Result<(Genesis, NetworkId), Error> {
    let given = canonical_json(value).ok_or(Error::Canonical)?;
    let genesis = Genesis::parse(&given)?;
    // What is left out, or said in other words, would have the same hash and not be what is shown.
    if genesis.canonical()? != given {
        return Err(Error::Canonical);
    }
    let network = genesis.network_id()?;
    Ok((genesis, network))
}

#[cfg(test)]
pub(crate) mod tests;
