//! Keys and values of the protection's rows: one byte for the kind, then the key that signs, then what sorts within it.

use ao_consensus::protection::{ChainRow, Guard, Kind, Position, SignedRow, Watermark};
use ao_types::codec::{Canonical as _, CodecError, Reader, write_option, write_prefixed};
use ao_types::{BlsKey, Chain};

/// Layout of the rows.
pub(super) const FORMAT: u8 = 1;
pub(super) const FORMAT_KEY: &[u8] = &[0, 0];
pub(super) const NETWORK_KEY: &[u8] = &[0, 1];
/// What a key is bound by in a chain.
pub(super) const CHAIN: u8 = 1;
/// What a key signed at a position.
pub(super) const SIGNED: u8 = 2;
/// At or below which it signs nothing more.
pub(super) const WATERMARK: u8 = 3;
/// A key whose history is known.
pub(super) const KNOWN: u8 = 4;

/// Longest scope of a position: a process id has 43 characters.
const SCOPE_BYTES_MAX: usize = 64;
/// Longest stored signature: Ed25519 has 64 bytes, BLS 96.
const SIGNATURE_BYTES_MAX: usize = 1_024;

/// Longest place or row.
const ROW_BYTES_MAX: usize = 2 * SIGNATURE_BYTES_MAX;

const KINDS: [(Kind, u8); 5] = [(Kind::Prevote, 1), (Kind::Precommit, 2), (Kind::Proposal, 3), (Kind::Block, 4), (Kind::Result, 5)];

pub(super) fn prefix(kind: u8, key: &BlsKey) -> Vec<u8> {
    [&[kind], &key.0[..]].concat()
}

pub(super) fn known_key(key: &BlsKey) -> Vec<u8> {
    prefix(KNOWN, key)
}

pub(super) fn chain_key(key: &BlsKey, chain: &Chain) -> Vec<u8> {
    let mut at = prefix(CHAIN, key);
    chain.write(&mut at);
    at
}

fn scoped(kind: u8, position: &Position) -> Vec<u8> {
    let mut at = prefix(kind, &position.key);
    at.push(KINDS.iter().find(|(one, _)| *one == position.kind).map_or(0, |(_, number)| *number));
    write_prefixed(&mut at, position.scope.as_bytes());
    at
}

fn place(out: &mut Vec<u8>, position: &Position) {
    position.term.write(out);
    position.height.write(out);
    out.extend_from_slice(&position.round.to_be_bytes());
}

pub(super) fn signed_key(position: &Position) -> Vec<u8> {
    let mut at = scoped(SIGNED, position);
    place(&mut at, position);
    at
}

pub(super) fn watermark_key(position: &Position) -> Vec<u8> {
    scoped(WATERMARK, position)
}

pub(super) fn signed_value(row: &SignedRow) -> Vec<u8> {
    let mut out = Vec::new();
    write_option(&mut out, row.root.as_ref());
    out.push(u8::from(row.signature.is_some()));
    if let Some(signature) = &row.signature {
        write_prefixed(&mut out, signature);
    }
    out
}

pub(super) fn guard(guard: &Guard) -> (Vec<u8>, Vec<u8>) {
    match guard {
        Guard::Chain(row) => (chain_key(&row.key, &row.chain), row.encode()),
        Guard::Signed(row) => (signed_key(&row.position), signed_value(row)),
    }
}

/// Rows as one record of the node's own store.
pub fn encode(guards: &[Guard]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in guards {
        let (at, row) = guard(one);
        write_prefixed(&mut out, &at);
        write_prefixed(&mut out, &row);
    }
    out
}

/// Reads [`encode`].
///
/// # Errors
/// Bytes that are no rows.
pub fn decode(bytes: &[u8]) -> Result<Vec<Guard>, CodecError> {
    let mut reader = Reader::new(bytes);
    let mut guards = Vec::new();
    while reader.left() > 0 {
        let at = reader.prefixed("place of a row", ROW_BYTES_MAX)?;
        let row = reader.prefixed("row", ROW_BYTES_MAX)?;
        guards.push(match at.first() {
            Some(&CHAIN) => Guard::Chain(read_chain(at, row)?),
            _ => Guard::Signed(read_signed(at, row)?),
        });
    }
    Ok(guards)
}

pub(super) fn watermark(Watermark(position): &Watermark) -> (Vec<u8>, Vec<u8>) {
    let mut out = Vec::new();
    place(&mut out, position);
    (watermark_key(position), out)
}

pub(super) fn read_key(at: &[u8]) -> Result<BlsKey, CodecError> {
    let mut reader = Reader::new(at);
    reader.u8()?;
    BlsKey::read(&mut reader)
}

pub(super) fn read_chain(at: &[u8], row: &[u8]) -> Result<ChainRow, CodecError> {
    let row = ChainRow::decode(row)?;
    // A row that moved to another key's place would bind nobody.
    if chain_key(&row.key, &row.chain) == at { Ok(row) } else { Err(CodecError::NotCanonical { what: "place of a row" }) }
}

/// Key, kind and scope; the rest is the place.
fn read_scope(reader: &mut Reader<'_>) -> Result<(BlsKey, Kind, String), CodecError> {
    reader.u8()?;
    let key = BlsKey::read(reader)?;
    let number = reader.u8()?;
    let kind = KINDS.iter().find(|(_, one)| *one == number).map(|(kind, _)| *kind);
    let kind = kind.ok_or(CodecError::Kind { what: "kind of a position", found: number })?;
    let scope = String::from_utf8(reader.prefixed("scope of a position", SCOPE_BYTES_MAX)?.to_vec());
    Ok((key, kind, scope.map_err(|_| CodecError::NotCanonical { what: "scope of a position" })?))
}

fn read_place(reader: &mut Reader<'_>, (key, kind, scope): (BlsKey, Kind, String)) -> Result<Position, CodecError> {
    Ok(Position { key, kind, scope, term: reader.u64()?, height: reader.u64()?, round: reader.u32()? })
}

pub(super) fn read_signed(at: &[u8], row: &[u8]) -> Result<SignedRow, CodecError> {
    let mut reader = Reader::new(at);
    let scope = read_scope(&mut reader)?;
    let position = read_place(&mut reader, scope)?;
    reader.finish()?;
    let mut reader = Reader::new(row);
    let root = reader.option("root of a row")?;
    let signed = reader.flag("signature of a row")?;
    let signature = if signed { Some(reader.prefixed("signature of a row", SIGNATURE_BYTES_MAX)?.to_vec()) } else { None };
    reader.finish()?;
    Ok(SignedRow { position, root, signature })
}

pub(super) fn read_watermark(at: &[u8], row: &[u8]) -> Result<Watermark, CodecError> {
    let mut reader = Reader::new(at);
    let scope = read_scope(&mut reader)?;
    reader.finish()?;
    let mut reader = Reader::new(row);
    let position = read_place(&mut reader, scope)?;
    reader.finish()?;
    Ok(Watermark(position))
}
