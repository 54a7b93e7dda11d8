//! Tags: name and value pairs, and their Avro form (`arweave.md`, section 2.1).
//!
//! A signature covers the encoded section as one blob, so the bytes are kept and walked in place: nothing here decodes into a list and
//! encodes again. Names are case-sensitive, order and repetition are preserved.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One tag as a module and a client see it. On the wire tags are bytes; text that is not UTF-8 is shown with U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// Case-sensitive name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl Tag {
    /// A tag of two texts.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// This tag, borrowed.
    pub fn as_tag_ref(&self) -> TagRef<'_> {
        TagRef { name: self.name.as_bytes(), value: self.value.as_bytes() }
    }
}

/// A tag that lies in somebody else's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagRef<'a> {
    /// Name as signed; UTF-8 in the strict profile, anything in the archive profile.
    pub name: &'a [u8],
    /// Value as signed; the same holds.
    pub value: &'a [u8],
}

impl<'a> TagRef<'a> {
    /// The name as text; bytes that are not UTF-8 become U+FFFD.
    pub fn name_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name)
    }

    /// The value as text; bytes that are not UTF-8 become U+FFFD.
    pub fn value_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.value)
    }

    /// An owned copy as text.
    pub fn to_tag(&self) -> Tag {
        Tag { name: self.name_text().into_owned(), value: self.value_text().into_owned() }
    }
}

/// Why bytes are not a tag section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Not Avro: no decoder may accept it.
    #[error("tag section is not Avro at byte {at}: {rule}")]
    Avro {
        /// Offset into the section.
        at: usize,
        /// The broken rule.
        rule: &'static str,
    },
    /// Legal Avro, but not the one form that writers produce.
    #[error("tag section is not canonical at byte {at}: {rule}")]
    NonCanonical {
        /// Offset into the section.
        at: usize,
        /// The broken rule.
        rule: &'static str,
    },
}

/// Walks an encoded tag section, checking as it goes. Allocates nothing and never looks further than the section.
#[derive(Clone, Debug)]
pub struct TagReader<'a> {
    section: &'a [u8],
    at: usize,
    /// Tags that the current block still holds.
    left: u64,
    /// Where the current block said it ends.
    block_end: Option<u64>,
    blocks: usize,
    canonical: bool,
    done: bool,
}

impl<'a> TagReader<'a> {
    /// Reads `section`; with `canonical`, refuses legal forms that no writer of ours produces.
    pub fn new(section: &'a [u8], canonical: bool) -> Self {
        Self { section, at: 0, left: 0, block_end: None, blocks: 0, canonical, done: section.is_empty() }
    }

    /// The next tag, `None` after the last one. After an error the reader has ended.
    fn advance(&mut self) -> Result<Option<TagRef<'a>>, TagError> {
        if self.done {
            return Ok(None);
        }
        if self.left == 0 && !self.open_block()? {
            return Ok(None);
        }
        let name = self.string()?;
        let value = self.string()?;
        self.left -= 1;
        if self.left == 0
            && let Some(end) = self.block_end.take()
            && end != self.at as u64
        {
            return Err(self.avro("a block does not end where it says"));
        }
        Ok(Some(TagRef { name, value }))
    }

    /// Reads a block's head; false at the terminator.
    fn open_block(&mut self) -> Result<bool, TagError> {
        let count = self.long()?;
        if count == 0 {
            self.done = true;
            if self.at != self.section.len() {
                return Err(self.avro("bytes after the terminator"));
            }
            if self.canonical && self.blocks == 0 {
                return Err(self.non_canonical("no tags are written as no bytes"));
            }
            return Ok(false);
        }
        self.blocks += 1;
        if count < 0 {
            if self.canonical {
                return Err(self.non_canonical("a block with a byte size"));
            }
            let size = u64::try_from(self.long()?).map_err(|_| self.avro("negative block size"))?;
            self.block_end = Some((self.at as u64).checked_add(size).ok_or_else(|| self.avro("block size past the end"))?);
        }
        if self.canonical && self.blocks > 1 {
            return Err(self.non_canonical("more than one block"));
        }
        self.left = count.unsigned_abs();
        // Each tag takes two bytes at least, so a larger count is a lie; found here rather than at the end of the section.
        if self.left > self.section.len() as u64 {
            return Err(self.avro("more tags than bytes"));
        }
        Ok(true)
    }

    fn string(&mut self) -> Result<&'a [u8], TagError> {
        let length = usize::try_from(self.long()?).map_err(|_| self.avro("negative length"))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.section.len());
        let end = end.ok_or_else(|| self.avro("a string past the end"))?;
        let found = &self.section[self.at..end];
        self.at = end;
        Ok(found)
    }

    fn long(&mut self) -> Result<i64, TagError> {
        let start = self.at;
        let mut value = 0_u64;
        let mut shift = 0_u32;
        loop {
            let Some(&byte) = self.section.get(self.at) else { return Err(self.avro("it ends inside a number")) };
            self.at += 1;
            if shift > 63 || (shift == 63 && byte > 1) {
                return Err(self.avro("a number over 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                if self.canonical && byte == 0 && self.at - start > 1 {
                    return Err(self.non_canonical("a padded number"));
                }
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
    }

    fn avro(&mut self, rule: &'static str) -> TagError {
        self.done = true;
        TagError::Avro { at: self.at, rule }
    }

    fn non_canonical(&mut self, rule: &'static str) -> TagError {
        self.done = true;
        TagError::NonCanonical { at: self.at, rule }
    }
}

impl<'a> Iterator for TagReader<'a> {
    type Item = Result<TagRef<'a>, TagError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// The tags of a section that was checked before, in order, with nothing allocated.
#[derive(Clone, Debug)]
pub struct Tags<'a>(TagReader<'a>);

impl<'a> Tags<'a> {
    /// `section` must have been walked to its end without an error; otherwise iteration ends at the error.
    pub(crate) fn of_checked(section: &'a [u8]) -> Self {
        Self(TagReader::new(section, false))
    }

    /// Value of the first tag of that name.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.clone().find(|tag| tag.name == name.as_bytes()).map(|tag| tag.value)
    }

    /// All as owned text.
    pub fn to_vec(&self) -> Vec<Tag> {
        self.clone().map(|tag| tag.to_tag()).collect()
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = TagRef<'a>;

    fn next(&mut self) -> Option<TagRef<'a>> {
        self.0.next()?.ok()
    }
}

/// The canonical Avro form: nothing for no tags, else one block and its terminator.
pub fn encode<'a, I>(tags: I) -> Vec<u8>
where
    I: IntoIterator<Item = TagRef<'a>>,
    I::IntoIter: ExactSizeIterator,
{
    let tags = tags.into_iter();
    if tags.len() == 0 {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(256);
    write_long(&mut out, tags.len() as u64);
    for tag in tags {
        for part in [tag.name, tag.value] {
            write_long(&mut out, part.len() as u64);
            out.extend_from_slice(part);
        }
    }
    out.push(0);
    out
}

/// The canonical Avro form of owned tags.
pub fn encode_all(tags: &[Tag]) -> Vec<u8> {
    encode(tags.iter().map(Tag::as_tag_ref))
}

/// One zig-zag varint that is all of `bytes`; `None` if it is not.
pub fn read_long(bytes: &[u8]) -> Option<i64> {
    let mut reader = TagReader::new(bytes, true);
    reader.long().ok().filter(|_| reader.at == bytes.len())
}

/// The zig-zag varint of a number that is not negative, below 2^63.
pub fn encode_long(number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    write_long(&mut out, number);
    out
}

/// Zig-zag varint of a number that is never negative here: counts and lengths.
fn write_long(out: &mut Vec<u8>, number: u64) {
    let mut rest = number << 1;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
#[path = "tag/tests.rs"]
mod tests;
