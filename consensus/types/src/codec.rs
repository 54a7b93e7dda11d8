//! Canonical bytes of everything that is hashed, signed, stored or sent between nodes.
//!
//! Numbers are big-endian, sequences have a count in front that is checked against a named bound before anything is allocated, and no
//! value has two encodings: [`Canonical::decode`] takes exactly what [`Canonical::encode`] writes, to the last byte. Refuses to know
//! what any value means.

/// Why bytes are not a value. (reject)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early.
    #[error("{expected} bytes are expected, {found} were given")]
    Length {
        /// Up to where a value was to be read.
        expected: usize,
        /// As given.
        found: usize,
    },
    /// Bytes are left over.
    #[error("{found} bytes follow the value")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// Written by another version.
    #[error("version {found} of {what} is not {expected}")]
    Version {
        /// Of what.
        what: &'static str,
        /// Ours.
        expected: u8,
        /// Theirs.
        found: u8,
    },
    /// A variant that does not exist.
    #[error("{what} {found} does not exist")]
    Kind {
        /// Of what.
        what: &'static str,
        /// As given.
        found: u8,
    },
    /// More than is allowed.
    #[error("{what}: {found} is more than {max}")]
    Bound {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
        /// As given.
        found: usize,
    },
    /// Another encoding of the same value exists, and that one is it.
    #[error("{what} is not in its canonical form")]
    NotCanonical {
        /// Which value.
        what: &'static str,
    },
}

/// Reads values from the front of some bytes. Never allocates from a count or length that the bytes do not bear out.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// At the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.saturating_add(count);
        let part = self.bytes.get(self.at..end).ok_or(CodecError::Length { expected: end, found: self.bytes.len() })?;
        self.at = end;
        Ok(part)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, CodecError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, CodecError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, CodecError> {
        self.array().map(u128::from_be_bytes)
    }

    /// 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::NotCanonical { what }),
        }
    }

    /// The version byte that leads a value.
    pub fn version(&mut self, what: &'static str, expected: u8) -> Result<(), CodecError> {
        let found = self.u8()?;
        if found == expected { Ok(()) } else { Err(CodecError::Version { what, expected, found }) }
    }

    /// A length of four bytes and that many bytes.
    pub fn prefixed(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], CodecError> {
        let found = self.u32()? as usize;
        if found > max {
            return Err(CodecError::Bound { what, max, found });
        }
        self.take(found)
    }

    /// A count of four bytes and that many values.
    pub fn list<T: Canonical>(&mut self, what: &'static str, max: usize) -> Result<Vec<T>, CodecError> {
        let found = self.u32()? as usize;
        if found > max {
            return Err(CodecError::Bound { what, max, found });
        }
        // Every value has at least one byte: a count that the bytes cannot bear out allocates no more than they are.
        let mut out = Vec::with_capacity(found.min(self.left()));
        for _ in 0..found {
            out.push(T::read(self)?);
        }
        Ok(out)
    }

    /// A flag, and a value if it is set.
    pub fn option<T: Canonical>(&mut self, what: &'static str) -> Result<Option<T>, CodecError> {
        if self.flag(what)? { T::read(self).map(Some) } else { Ok(None) }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), CodecError> {
        if self.left() == 0 { Ok(()) } else { Err(CodecError::Trailing { found: self.left() }) }
    }
}

/// A value with canonical bytes.
pub trait Canonical: Sized {
    /// Appends the bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads a value from the front.
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError>;

    /// The bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The value of exactly these bytes.
    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Appends a length of four bytes and the bytes. Bytes come from values whose bounds are far below 4 GiB.
pub fn write_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends a count of four bytes and the values.
pub fn write_list<T: Canonical>(out: &mut Vec<u8>, values: &[T]) {
    out.extend_from_slice(&(values.len() as u32).to_be_bytes());
    values.iter().for_each(|value| value.write(out));
}

/// Appends a flag, and the value if there is one.
pub fn write_option<T: Canonical>(out: &mut Vec<u8>, value: Option<&T>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        value.write(out);
    }
}

impl Canonical for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.u64()
    }
}

impl Canonical for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        reader.array()
    }
}

impl<T: Canonical> Canonical for std::sync::Arc<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_ref().write(out);
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        T::read(reader).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_the_bytes_do_not_bear_out_is_refused_before_it_costs() {
        let huge = [0xff; 8];
        assert_eq!(
            Reader::new(&huge).list::<u64>("numbers", 10),
            Err(CodecError::Bound { what: "numbers", max: 10, found: u32::MAX as usize })
        );
        assert_eq!(Reader::new(&[0, 0, 0, 2, 1]).list::<u64>("numbers", 10), Err(CodecError::Length { expected: 12, found: 5 }));
        assert!(Reader::new(&huge).prefixed("text", 4).is_err());
    }

    #[test]
    fn flags_have_one_form_and_nothing_may_follow() {
        assert_eq!(Reader::new(&[2]).option::<u64>("number"), Err(CodecError::NotCanonical { what: "number" }));
        assert_eq!(u64::decode(&[0; 9]), Err(CodecError::Trailing { found: 1 }));
        assert_eq!(u64::decode(&7u64.encode()), Ok(7));
        let mut out = Vec::new();
        write_option(&mut out, Some(&7u64));
        write_list(&mut out, &[1u64, 2]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.option::<u64>("number"), Ok(Some(7)));
        assert_eq!(reader.list::<u64>("numbers", 2), Ok(vec![1, 2]));
        assert_eq!(reader.finish(), Ok(()));
    }
}
