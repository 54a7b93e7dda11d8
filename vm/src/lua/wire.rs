//! Values as bytes between host and guest; the guest's half and the description of the form are `lua/c/codec.{h,c}`.
//!
//! Strings are bytes on both sides, so data that JSON cannot carry survives in either direction. What comes from the guest is hostile:
//! lengths are checked against what is there, nesting and lists against `limits.rs`.

use ao_types::invocation::Subject;
use ao_types::{Environment, Evaluation, Invocation, Outgoing, Tag};
use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::limits::{OUTBOX_ENTRIES_MAX, RESULT_DEPTH_MAX};

const NIL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const FLOAT: u8 = 4;
const STRING: u8 = 5;
const ARRAY: u8 = 6;
const MAP: u8 = 7;

/// Writes values.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A writer whose output starts with `prefix`.
    pub(crate) fn after(prefix: &[u8]) -> Self {
        Self { bytes: prefix.to_vec() }
    }

    /// What was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn count(&mut self, kind: u8, count: usize) {
        self.bytes.push(kind);
        self.length(count);
    }

    fn length(&mut self, length: usize) {
        // Inputs are bounded far below 4 GiB (INPUT_BYTES_MAX, checked by the caller).
        self.bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn key(&mut self, key: &str) {
        self.length(key.len());
        self.bytes.extend_from_slice(key.as_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.count(STRING, text.len());
        self.bytes.extend_from_slice(text);
    }

    fn integer(&mut self, value: u64) {
        self.bytes.push(INTEGER);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn boolean(&mut self, value: bool) {
        self.bytes.push(if value { TRUE } else { FALSE });
    }

    fn tags(&mut self, tags: &[Tag]) {
        self.count(ARRAY, tags.len());
        for tag in tags {
            self.count(MAP, 2);
            self.key("name");
            self.text(tag.name.as_bytes());
            self.key("value");
            self.text(tag.value.as_bytes());
        }
    }

    fn subject(&mut self, subject: &Subject) {
        self.count(MAP, 3);
        self.key("Id");
        self.text(subject.id.as_bytes());
        self.key("Owner");
        self.text(subject.owner.as_bytes());
        self.key("Tags");
        self.tags(&subject.tags);
    }

    /// What the guest's `boot` takes.
    pub(crate) fn boot(&mut self, environment: &Environment, source: &[u8], name: &str, format: &str) {
        self.count(MAP, 4);
        self.key("Environment");
        self.count(MAP, 2);
        self.key("Process");
        self.subject(&environment.process);
        self.key("Module");
        self.subject(&environment.module);
        for (key, text) in [("Source", source), ("Name", name.as_bytes()), ("Format", format.as_bytes())] {
            self.key(key);
            self.text(text);
        }
    }

    /// A message: fields in the order of `vm-abi.md`, section 7.1; an absent one is left out.
    pub(crate) fn message(&mut self, message: &Invocation) {
        let texts = [
            ("Id", message.id.as_deref().map(str::as_bytes)),
            ("Signature", message.signature.as_deref().map(str::as_bytes)),
            ("Data", message.data.as_deref()),
            ("Owner", Some(message.owner.as_bytes())),
            ("Target", Some(message.target.as_bytes())),
            ("Anchor", message.anchor.as_deref().map(str::as_bytes)),
            ("From", Some(message.from.as_bytes())),
            ("Forwarded-By", message.forwarded_by.as_deref().map(str::as_bytes)),
        ];
        let numbers = [
            ("Epoch", message.epoch),
            ("Nonce", message.nonce),
            ("Timestamp", Some(message.timestamp)),
            ("Block-Height", Some(message.block_height)),
        ];
        let present = texts.iter().filter(|(_, text)| text.is_some()).count()
            + numbers.iter().filter(|(_, number)| number.is_some()).count()
            + usize::from(message.hash_chain.is_some());
        self.count(MAP, present + 3);
        for (key, text) in texts {
            if let Some(text) = text {
                self.key(key);
                self.text(text);
            }
        }
        self.key("Tags");
        self.tags(&message.tags);
        for (key, number) in numbers {
            if let Some(number) = number {
                self.key(key);
                self.integer(number);
            }
        }
        if let Some(chain) = &message.hash_chain {
            self.key("Hash-Chain");
            self.text(chain.as_bytes());
        }
        self.key("Cron");
        self.boolean(message.cron);
        self.key("Read-Only");
        self.boolean(message.read_only);
    }
}

/// Why a result of the guest cannot be taken. The evaluation ends with this text, on every host alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadResult {
    /// Bytes end inside a value, or a value has no known kind.
    #[error("the result is malformed at byte {at} of {length}")]
    Malformed {
        /// Where reading stopped.
        at: usize,
        /// Length of the result.
        length: usize,
    },
    /// Values nest too deep.
    #[error("the result nests deeper than {RESULT_DEPTH_MAX}")]
    Depth,
    /// An outbox list is too long.
    #[error("{list} has {found} entries; at most {OUTBOX_ENTRIES_MAX} are allowed in one evaluation")]
    Outbox {
        /// Which list.
        list: &'static str,
        /// Its length.
        found: usize,
    },
}

/// Reads what the guest wrote.
pub(crate) struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { whole: bytes, at: 0 }
    }

    fn malformed(&self) -> BadResult {
        BadResult::Malformed { at: self.at, length: self.whole.len() }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BadResult> {
        let rest = &self.whole[self.at..];
        let bytes = rest.get(..length).ok_or_else(|| self.malformed())?;
        self.at += length;
        Ok(bytes)
    }

    fn eight(&mut self) -> Result<[u8; 8], BadResult> {
        let bytes = self.take(8)?;
        bytes.try_into().map_err(|_| self.malformed())
    }

    fn kind(&mut self) -> Result<u8, BadResult> {
        Ok(self.take(1)?[0])
    }

    fn length(&mut self) -> Result<usize, BadResult> {
        let bytes = self.take(4)?;
        let bytes = bytes.try_into().map_err(|_| self.malformed())?;
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    /// A list's length. Each entry takes a byte at least, so a count beyond the rest is a lie; nothing is reserved before that check.
    fn count(&mut self) -> Result<usize, BadResult> {
        let count = self.length()?;
        if count > self.whole.len() - self.at { Err(self.malformed()) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<&'a [u8], BadResult> {
        let length = self.length()?;
        self.take(length)
    }

    /// One value as JSON; bytes that are not UTF-8 are shown with U+FFFD, numbers that JSON lacks as null.
    pub(crate) fn json(&mut self, depth: usize) -> Result<Value, BadResult> {
        if depth > RESULT_DEPTH_MAX {
            return Err(BadResult::Depth);
        }
        Ok(match self.kind()? {
            NIL => Value::Null,
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            INTEGER => Value::from(i64::from_le_bytes(self.eight()?)),
            FLOAT => Number::from_f64(f64::from_le_bytes(self.eight()?)).map_or(Value::Null, Value::Number),
            STRING => Value::String(String::from_utf8_lossy(self.text()?).into_owned()),
            ARRAY => {
                let count = self.count()?;
                let mut list = Vec::with_capacity(count.min(64));
                for _ in 0..count {
                    list.push(self.json(depth + 1)?);
                }
                Value::Array(list)
            }
            MAP => {
                let mut map = Map::new();
                for _ in 0..self.count()? {
                    let key = String::from_utf8_lossy(self.text()?).into_owned();
                    map.insert(key, self.json(depth + 1)?);
                }
                Value::Object(map)
            }
            _ => return Err(self.malformed()),
        })
    }

    /// An outbox list; anything but a list is an empty one, and an entry that is no table is dropped, as pushers do.
    fn outgoing(&mut self, list: &'static str) -> Result<Vec<Outgoing>, BadResult> {
        let start = self.at;
        if self.kind()? != ARRAY {
            self.at = start;
            self.json(1)?;
            return Ok(Vec::new());
        }
        let found = self.count()?;
        if found > OUTBOX_ENTRIES_MAX {
            return Err(BadResult::Outbox { list, found });
        }
        let mut entries = Vec::with_capacity(found);
        for _ in 0..found {
            let start = self.at;
            if self.kind()? != MAP {
                self.at = start;
                self.json(2)?;
                continue;
            }
            let mut entry = Outgoing::default();
            for _ in 0..self.count()? {
                let key = String::from_utf8_lossy(self.text()?).into_owned();
                let start = self.at;
                if key == "Data" && self.kind()? == STRING {
                    let data = self.text()?;
                    entry.data = std::str::from_utf8(data).is_err().then(|| Bytes::copy_from_slice(data));
                }
                self.at = start;
                entry.fields.insert(key, self.json(3)?);
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn list(&mut self, list: &'static str) -> Result<Vec<Value>, BadResult> {
        match self.json(1)? {
            Value::Array(entries) if entries.len() > OUTBOX_ENTRIES_MAX => Err(BadResult::Outbox { list, found: entries.len() }),
            Value::Array(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }

    /// The result of a message.
    pub(crate) fn evaluation(&mut self) -> Result<Evaluation, BadResult> {
        let mut evaluation = Evaluation::default();
        if self.kind()? != MAP {
            return Err(self.malformed());
        }
        for _ in 0..self.count()? {
            match self.text()? {
                b"Messages" => evaluation.messages = self.outgoing("Messages")?,
                b"Spawns" => evaluation.spawns = self.outgoing("Spawns")?,
                b"Assignments" => evaluation.assignments = self.list("Assignments")?,
                b"Patches" => evaluation.patches = self.list("Patches")?,
                b"Output" => evaluation.output = self.json(1)?,
                b"Error" => evaluation.error = Some(self.json(1)?).filter(|error| !matches!(error, Value::Null | Value::Bool(false))),
                _ => drop(self.json(1)?),
            }
        }
        if self.at == self.whole.len() { Ok(evaluation) } else { Err(self.malformed()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![MAP];
        bytes.extend((entries.len() as u32).to_le_bytes());
        for (key, value) in entries {
            bytes.extend((key.len() as u32).to_le_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(value);
        }
        bytes
    }

    fn string(text: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.text(text);
        writer.finish()
    }

    fn array(count: u32, each: &[u8]) -> Vec<u8> {
        let mut bytes = vec![ARRAY];
        bytes.extend(count.to_le_bytes());
        bytes.extend(each.repeat(count as usize));
        bytes
    }

    #[test]
    fn data_that_is_not_text_is_kept_beside_its_readable_form() {
        let bytes = map(&[("Messages", array(1, &map(&[("Data", string(b"\xff\x00"))])))]);
        let evaluation = Reader::new(&bytes).evaluation().unwrap();
        assert_eq!(evaluation.messages[0].data.as_deref(), Some(&b"\xff\x00"[..]));
        assert_eq!(evaluation.messages[0].fields["Data"], "\u{fffd}\u{0}");
        let bytes = map(&[("Messages", array(1, &map(&[("Data", string("é".as_bytes()))])))]);
        assert_eq!(Reader::new(&bytes).evaluation().unwrap().messages[0].data, None);
    }

    #[test]
    fn an_outbox_is_taken_up_to_its_bound() {
        let list = |count: usize| map(&[("Spawns", array(count as u32, &map(&[])))]);
        let limit = OUTBOX_ENTRIES_MAX;
        assert_eq!(Reader::new(&list(limit)).evaluation().unwrap().spawns.len(), limit);
        let refused = Reader::new(&list(limit + 1)).evaluation();
        assert_eq!(refused, Err(BadResult::Outbox { list: "Spawns", found: limit + 1 }));
    }

    #[test]
    fn nesting_is_bounded() {
        let nest = |depth: usize| {
            let mut value = vec![NIL];
            for _ in 0..depth {
                value = array(1, &value);
            }
            map(&[("Output", value)])
        };
        assert!(Reader::new(&nest(RESULT_DEPTH_MAX - 1)).evaluation().is_ok());
        assert_eq!(Reader::new(&nest(RESULT_DEPTH_MAX)).evaluation(), Err(BadResult::Depth));
    }

    #[test]
    fn lists_that_are_no_lists_are_empty_and_falsy_errors_are_none() {
        let bytes = map(&[("Messages", string(b"x")), ("Assignments", vec![TRUE]), ("Error", vec![FALSE]), ("Spawns", array(2, &[NIL]))]);
        assert_eq!(Reader::new(&bytes).evaluation().unwrap(), Evaluation::default());
    }

    #[test]
    fn a_result_may_not_end_early_or_late() {
        let bytes = map(&[("Output", string(b"abc"))]);
        for end in 0..bytes.len() {
            assert!(matches!(Reader::new(&bytes[..end]).evaluation(), Err(BadResult::Malformed { .. })), "{end}");
        }
        let longer = [bytes, vec![NIL]].concat();
        assert!(matches!(Reader::new(&longer).evaluation(), Err(BadResult::Malformed { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0u8..9, 0..200)) {
            let _ = Reader::new(&bytes).evaluation();
        }
    }
}
