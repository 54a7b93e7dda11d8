//! What a compile worker and its parent say to each other: one frame each way.
//!
//! ```text
//!   request   magic "aocomp1\n"   engine u64   cpu_ms u64   memory u64   length u64   module
//!   answer    magic "aocomp1\n"   status u8    length u64   code, or the reason of a refusal
//! ```
//! All numbers little-endian. Nothing follows a frame; a frame that is cut short is no frame.

use std::io::{self, Read, Write};

use crate::limits::{COMPILE_INPUT_BYTES_MAX, COMPILED_BYTES_MAX};

const MAGIC: &[u8; 8] = b"aocomp1\n";

/// What is to be compiled, and with how much.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Compatibility hash of the parent's engine: a worker of another build refuses.
    pub(super) engine: u64,
    pub(super) cpu_ms: u64,
    pub(super) memory: u64,
    pub(super) wasm: Vec<u8>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Code(Vec<u8>),
    Refused(String),
    /// The worker is of another build.
    Stranger,
    /// Its memory was not enough.
    NoMemory,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn body(from: &mut impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let length = u64::from_le_bytes(take(from)?);
    if length > limit as u64 {
        return Err(broken("a frame over its limit"));
    }
    // Grows as bytes come: a length alone allocates nothing.
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length || from.read(&mut [0])? != 0 {
        return Err(broken("a frame of another length than it says"));
    }
    Ok(bytes)
}

fn write_body(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)?;
    to.flush()
}

impl Request {
    pub(super) fn write(engine: u64, cpu_ms: u64, memory: u64, wasm: &[u8], to: &mut impl Write) -> io::Result<()> {
        to.write_all(MAGIC)?;
        for number in [engine, cpu_ms, memory] {
            to.write_all(&number.to_le_bytes())?;
        }
        write_body(to, wasm)
    }

    /// Reads a request; `limit` is called with CPU time and memory before the module is read.
    pub(super) fn read(from: &mut impl Read, limit: impl FnOnce(u64, u64) -> io::Result<()>) -> io::Result<Self> {
        if &take::<8>(from)? != MAGIC {
            return Err(broken("no request"));
        }
        let [engine, cpu_ms, memory] = [take(from)?, take(from)?, take(from)?].map(u64::from_le_bytes);
        limit(cpu_ms, memory)?;
        Ok(Self { engine, cpu_ms, memory, wasm: body(from, COMPILE_INPUT_BYTES_MAX)? })
    }
}

impl Answer {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(MAGIC)?;
        let (status, bytes): (u8, &[u8]) = match self {
            Self::Code(code) => (0, code),
            Self::Refused(reason) => (1, reason.as_bytes()),
            Self::Stranger => (2, &[]),
            Self::NoMemory => (3, &[]),
        };
        to.write_all(&[status])?;
        write_body(to, bytes)
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        if &take::<8>(from)? != MAGIC {
            return Err(broken("no answer"));
        }
        let [status] = take(from)?;
        let bytes = body(from, COMPILED_BYTES_MAX)?;
        match status {
            0 => Ok(Self::Code(bytes)),
            1 => Ok(Self::Refused(String::from_utf8_lossy(&bytes).chars().take(1024).collect())),
            2 => Ok(Self::Stranger),
            3 => Ok(Self::NoMemory),
            _ => Err(broken("an answer of no known status")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_no_part_of_one_does() {
        let mut request = Vec::new();
        Request::write(7, 8, 9, b"module", &mut request).unwrap();
        let read = |bytes: &[u8]| Request::read(&mut &*bytes, |cpu, memory| if (cpu, memory) == (8, 9) { Ok(()) } else { Err(broken("")) });
        assert_eq!(read(&request).unwrap(), Request { engine: 7, cpu_ms: 8, memory: 9, wasm: b"module".to_vec() });
        for answer in [Answer::Code(vec![1, 2, 3]), Answer::Refused("too long".into()), Answer::Stranger, Answer::NoMemory] {
            let mut bytes = Vec::new();
            answer.write(&mut bytes).unwrap();
            assert_eq!(Answer::read(&mut &*bytes).unwrap(), answer);
            for cut in 0..bytes.len() {
                assert!(Answer::read(&mut &bytes[..cut]).is_err(), "{answer:?} cut at {cut}");
            }
            bytes.push(0);
            assert!(Answer::read(&mut &*bytes).is_err(), "{answer:?} and a byte");
        }
        for cut in 0..request.len() {
            assert!(read(&request[..cut]).is_err(), "cut at {cut}");
        }
        request[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&request).unwrap_err().to_string().contains("limit"));
    }
}
