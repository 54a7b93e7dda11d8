//! Looks at the write-ahead log before RocksDB does, and tells a torn tail from damage.
//!
//! RocksDB in the mode we use (`TolerateCorruptedTailRecords`) refuses a log whose checksums fail, but takes any record that claims to
//! go beyond the end of the file for the one that was being written when the machine stopped, and a zeroed stretch for the unused end of
//! a block. One flipped bit in a length, or one zeroed sector, then drops acknowledged writes without a word. Here the record headers
//! are walked first: where they stop making sense, the question is whether something sound follows. If so the log is damaged and the
//! store must not be opened (faults.md F4); if not it is torn, and what is cut off is counted (F3).
//!
//! It also finds the place of a checksum failure, which RocksDB reports without one.
//!
//! Format (RocksDB's `log_format.h`): blocks of 32 KiB; in a block records of checksum (4), length (2), type (1), payload; a rest of
//! fewer than 7 bytes is padding. A write that does not fit is cut into first, middle and last fragments. The checksum is CRC-32C,
//! rotated and offset, over type and payload.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::Error;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// Fragment types that data is written in: full, first, middle, last.
const DATA_TYPES: std::ops::RangeInclusive<u8> = 1..=4;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// What RocksDB will cut off a log: the write that was under way when the machine stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The log.
    pub file: PathBuf,
    /// Where the sound part ends.
    pub offset: u64,
    /// What is cut off.
    pub bytes: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Sound,
    Torn { at: u64 },
    Damaged { at: u64, reason: &'static str },
}

/// Looks at every log in `directory`. Fails with [`Error::Corrupt`] naming file and offset; `checksums` also checks every payload.
pub(crate) fn inspect(directory: &Path, checksums: bool) -> Result<Vec<Truncation>, Error> {
    let io = |error: std::io::Error| Error::Io(format!("{}: {error}", directory.display()));
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_number = |stem: &std::ffi::OsStr| stem.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if path.extension().is_some_and(|extension| extension == "log") && path.file_stem().is_some_and(is_number) {
            logs.push(path);
        }
    }
    logs.sort();
    let mut truncations = Vec::new();
    for file in logs {
        // In a store that somebody else has open, which RocksDB refuses in a moment, logs grow and go while we look.
        let log = match File::open(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            log => log.map_err(io)?,
        };
        let length = log.metadata().map_err(io)?.len();
        match walk(log.take(length), checksums).map_err(io)? {
            Verdict::Sound => {}
            Verdict::Torn { at } => truncations.push(Truncation { file, offset: at, bytes: length - at }),
            Verdict::Damaged { at, reason } => {
                let place = format!("{} offset {at}", file.display());
                return Err(Error::Corrupt { what: "write-ahead log".into(), place, reason: reason.into() });
            }
        }
    }
    Ok(truncations)
}

fn walk(mut log: impl Read, checksums: bool) -> std::io::Result<Verdict> {
    let (mut block, mut next) = (read_block(&mut log)?, read_block(&mut log)?);
    let mut start = 0; // of the block in the file
    let mut write_begun = None; // where a write that is not complete yet has its first fragment
    while !block.is_empty() {
        let last_block = next.is_empty();
        let mut at = 0;
        while block.len() - at >= HEADER {
            let (length, kind) = header(&block[at..]);
            let place = start + at as u64;
            if kind == 0 && length == 0 || at + HEADER + length > block.len() {
                return broken_off(&block, at, start, write_begun, &next, &mut log);
            }
            let whole = &block[at..at + HEADER + length];
            // Types other than data (none is written with our options) would make RocksDB skip or stop silently.
            if (checksums || !DATA_TYPES.contains(&kind)) && !checksum_holds(whole) {
                return Ok(Verdict::Damaged { at: place, reason: "checksum mismatch" });
            }
            match kind {
                FIRST => write_begun = Some(place),
                LAST => write_begun = None,
                _ => {}
            }
            at += HEADER + length;
        }
        if last_block && at < block.len() {
            return broken_off(&block, at, start, write_begun, &next, &mut log);
        }
        start += block.len() as u64;
        block = next;
        next = read_block(&mut log)?;
    }
    Ok(write_begun.map_or(Verdict::Sound, |at| Verdict::Torn { at }))
}

/// The headers stop making sense at `at`: because the write was cut short, or because something sound follows?
fn broken_off(block: &[u8], at: usize, start: u64, write_begun: Option<u64>, next: &[u8], log: &mut impl Read) -> std::io::Result<Verdict> {
    let torn = Verdict::Torn { at: write_begun.unwrap_or(start + at as u64) };
    let damaged = |reason| Verdict::Damaged { at: start + at as u64, reason };
    let mut more = next.to_vec();
    let mut zeros = block[at..].iter().all(|byte| *byte == 0);
    let last_block = next.is_empty();
    while zeros && !more.is_empty() {
        zeros = more.iter().all(|byte| *byte == 0);
        more = read_block(log)?;
    }
    // Some file systems extend a file with zeros before its data arrive.
    if zeros {
        return Ok(torn);
    }
    if !last_block {
        return Ok(damaged("a record does not end in its block, and the log goes on"));
    }
    // The last record, whole but for the length it claims?
    let rest = &block[at..];
    if rest.len() >= HEADER && checksum(rest[HEADER - 1], &rest[HEADER..]) == stored_checksum(rest) {
        return Ok(damaged("a record's length is wrong"));
    }
    let sound_after = (at + 1..block.len()).any(|from| runs_to_the_end(&block[from..]));
    Ok(if sound_after { damaged("a record is unreadable, and sound ones follow it") } else { torn })
}

/// Whether these bytes are whole, sound records and nothing else.
fn runs_to_the_end(mut records: &[u8]) -> bool {
    while records.len() >= HEADER {
        let (length, kind) = header(records);
        if !DATA_TYPES.contains(&kind) || records.len() < HEADER + length || !checksum_holds(&records[..HEADER + length]) {
            return false;
        }
        records = &records[HEADER + length..];
        if records.is_empty() {
            return true;
        }
    }
    false
}

/// The next block: full, or shorter at the end of the file, or empty after it.
fn read_block(log: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut block = vec![0; BLOCK];
    let mut filled = 0;
    while filled < BLOCK {
        match log.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok(block)
}

/// Length of the payload and type; `record` has at least a header.
fn header(record: &[u8]) -> (usize, u8) {
    (usize::from(u16::from_le_bytes([record[4], record[5]])), record[6])
}

fn stored_checksum(record: &[u8]) -> u32 {
    u32::from_le_bytes([record[0], record[1], record[2], record[3]])
}

fn checksum_holds(record: &[u8]) -> bool {
    checksum(record[HEADER - 1], &record[HEADER..]) == stored_checksum(record)
}

/// CRC-32C over type and payload, masked as RocksDB does so that a log may contain logs.
fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    let crc = !payload.iter().fold(step(!0, &kind), step);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = checksum(kind, payload).to_le_bytes().to_vec();
        out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
        out.push(kind);
        out.extend_from_slice(payload);
        out
    }

    fn judge(log: &[u8]) -> Verdict {
        walk(log, true).unwrap()
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // CRC-32C of "123456789" is e3069283; type and payload are hashed as one text.
        let unmasked = checksum(b'1', b"23456789").wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, 0xe306_9283);
    }

    #[test]
    fn a_write_cut_short_anywhere_is_torn_where_it_began() {
        let first = record(1, b"the first write");
        for (name, last) in
            [("one fragment", record(1, b"the last write")), ("two fragments", [record(2, b"the last"), record(4, b" write")].concat())]
        {
            let log = [first.clone(), last].concat();
            assert_eq!(judge(&log), Verdict::Sound, "{name}");
            for cut in first.len() + 1..log.len() {
                assert_eq!(judge(&log[..cut]), Verdict::Torn { at: first.len() as u64 }, "{name}, cut at {cut}");
            }
        }
        assert_eq!(judge(&[first.clone(), vec![0; 3 * BLOCK]].concat()), Verdict::Torn { at: first.len() as u64 });
    }

    #[test]
    fn any_flipped_bit_is_damage() {
        let log = [record(1, b"the first write"), record(1, b"the last write")].concat();
        for byte in 0..log.len() {
            for bit in 0..8 {
                let mut bad = log.clone();
                bad[byte] ^= 1 << bit;
                assert!(matches!(judge(&bad), Verdict::Damaged { .. }), "bit {bit} of byte {byte}: {:?}", judge(&bad));
            }
        }
    }

    proptest::proptest! {
        /// Whatever is in the file, it is judged, and a place is in the file.
        #[test]
        fn any_bytes_are_judged(tail in proptest::collection::vec(0_u8..6, 0..300), sound in proptest::bool::ANY, far in 0_usize..3) {
            let mut log = if sound { record(1, &vec![9; far * (BLOCK - HEADER - 100) / 2]) } else { vec![0; far * BLOCK] };
            log.extend_from_slice(&tail);
            for checksums in [false, true] {
                match walk(&log[..], checksums).unwrap() {
                    Verdict::Sound => {}
                    Verdict::Torn { at } | Verdict::Damaged { at, .. } => proptest::prop_assert!(at < log.len() as u64),
                }
            }
        }
    }

    #[test]
    fn a_zeroed_stretch_is_damage_if_anything_follows() {
        let one = record(1, &[7; 1000]);
        let filler = record(1, &vec![8; BLOCK - 2 * one.len() - HEADER]);
        let log = [one.clone(), one.clone(), filler, one.clone()].concat();
        assert_eq!(judge(&log), Verdict::Sound);
        let mut bad = log.clone();
        bad[one.len()..one.len() + 512].fill(0);
        assert!(matches!(judge(&bad), Verdict::Damaged { at, .. } if at == one.len() as u64));
        let mut bad = log.clone();
        let end = bad.len();
        bad[BLOCK..end].fill(0);
        assert_eq!(judge(&bad), Verdict::Torn { at: BLOCK as u64 });
    }
}
