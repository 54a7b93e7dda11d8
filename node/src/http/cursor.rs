//! Cursors: the older network's, which clients take apart, and ours, which nobody should.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use base64::{alphabet, engine::DecodePaddingMode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::query::{invalid, short};
use crate::error::Rejection;

/// Padding or none: what comes back went through URLs and shells.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
/// The longest cursor read. Ours are below 200 characters.
const CURSOR_CHARACTERS_MAX: usize = 1024;

/// Which way a page goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// Oldest first.
    #[serde(rename = "ASC")]
    Ascending,
    /// Newest first.
    #[serde(rename = "DESC")]
    Descending,
}

impl Sort {
    /// Reads `ASC` or `DESC`, in any case.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, Rejection> {
        match text {
            _ if text.eq_ignore_ascii_case("ASC") => Ok(Self::Ascending),
            _ if text.eq_ignore_ascii_case("DESC") => Ok(Self::Descending),
            _ => Err(invalid(format!("'sort': ASC or DESC is expected, found `{}`", short(text)))),
        }
    }
}

/// A point in a process's results, as `interop-legacynet.md` section 4.2 spells it. aos decodes it for `ordinate`: the members, their
/// order and the standard base64 alphabet are part of the contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResultCursor {
    /// Of the message, ms.
    pub timestamp: u64,
    /// Slot of the message, or of the one before a cron message.
    pub ordinate: String,
    /// Identity of the cron message, `<i>-<interval>`.
    pub cron: Option<String>,
    /// The page's direction; wins over the next request's.
    pub sort: Option<Sort>,
}

impl ResultCursor {
    /// Its text.
    pub fn encode(&self) -> String {
        // Four members of plain types: always representable.
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A bound of a page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultBound {
    /// A bare time, ms.
    Timestamp(u64),
    /// A cursor.
    Cursor(ResultCursor),
}

impl ResultBound {
    /// Reads a `from` or `to`.
    ///
    /// # Errors
    /// It is neither a time nor a cursor.
    pub fn parse(name: &str, text: &str) -> Result<Self, Rejection> {
        let bad = || invalid(format!("'{name}': a cursor or a time in milliseconds is expected, found `{}`", short(text)));
        if text.len() > CURSOR_CHARACTERS_MAX {
            return Err(bad());
        }
        if let Ok(timestamp) = text.parse() {
            return Ok(Self::Timestamp(timestamp));
        }
        // An unescaped `+` arrives as a space; the URL-safe alphabet is what some callers make of it.
        let standard: String = text
            .chars()
            .map(|c| match c {
                ' ' | '-' => '+',
                '_' => '/',
                c => c,
            })
            .collect();
        let bytes = LENIENT.decode(standard.trim()).map_err(|_| bad())?;
        let fields: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let number = |name: &str| match fields.get(name) {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let cron = match fields.get("cron") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(bad()),
        };
        let sort = match fields.get("sort") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Sort::parse(text)?),
            Some(_) => return Err(bad()),
        };
        let timestamp = number("timestamp").ok_or_else(bad)?;
        let ordinate = number("ordinate").ok_or_else(bad)?.to_string();
        Ok(Self::Cursor(ResultCursor { timestamp, ordinate, cron, sort }))
    }
}

/// A native list's cursor: the last key shown, as it is.
pub fn opaque(key: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// Reads an opaque cursor of `length` bytes.
///
/// # Errors
/// It is not one of ours.
pub fn open(text: &str, length: usize) -> Result<Vec<u8>, Rejection> {
    let bad = || invalid(format!("'cursor': not a cursor of this list: `{}`", short(text)));
    let bytes = URL_SAFE_NO_PAD.decode(text.get(..CURSOR_CHARACTERS_MAX).unwrap_or(text)).map_err(|_| bad())?;
    if bytes.len() == length { Ok(bytes) } else { Err(bad()) }
}

/// Reads an opaque cursor of eight bytes.
///
/// # Errors
/// It is not one of ours.
pub fn open_number(text: &str) -> Result<u64, Rejection> {
    let bytes = open(text, 8)?;
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_the_one_aos_takes_apart() {
        let cursor = ResultCursor { timestamp: 1_795_345_080_381, ordinate: "1".into(), cron: None, sort: Some(Sort::Descending) };
        let text = cursor.encode();
        assert_eq!(STANDARD.decode(&text).unwrap(), br#"{"timestamp":1795345080381,"ordinate":"1","cron":null,"sort":"DESC"}"#);
        assert_eq!(ResultBound::parse("from", &text).unwrap(), ResultBound::Cursor(cursor.clone()));
        assert_eq!(ResultBound::parse("from", text.trim_end_matches('=')).unwrap(), ResultBound::Cursor(cursor));
    }

    #[test]
    fn bounds_of_every_form() {
        assert_eq!(ResultBound::parse("from", "1795345080381").unwrap(), ResultBound::Timestamp(1_795_345_080_381));
        let loose = STANDARD.encode(r#"{"timestamp":"5","ordinate":7,"cron":"0-1-second"}"#);
        let expected = ResultCursor { timestamp: 5, ordinate: "7".into(), cron: Some("0-1-second".into()), sort: None };
        assert_eq!(ResultBound::parse("from", &loose).unwrap(), ResultBound::Cursor(expected));
        for bad in [
            "x",
            "-1",
            "e30=",
            "W10=",
            &STANDARD.encode(r#"{"timestamp":1}"#),
            &STANDARD.encode(r#"{"timestamp":1,"ordinate":"1","sort":"UP"}"#),
        ] {
            assert!(ResultBound::parse("from", bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn cursors_survive_a_url(timestamp: u64, slot: u64, cron in proptest::option::of("[0-9]-[0-9]{1,3}-[a-z]{3,8}")) {
            let cursor = ResultCursor { timestamp, ordinate: slot.to_string(), cron, sort: Some(Sort::Ascending) };
            for text in [cursor.encode(), cursor.encode().replace('+', " "), cursor.encode().replace('+', "-").replace('/', "_")] {
                prop_assert_eq!(ResultBound::parse("from", &text).unwrap(), ResultBound::Cursor(cursor.clone()));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,120}") {
            let _ = ResultBound::parse("from", &text);
            let _ = open(&text, 32);
        }

        #[test]
        fn any_json_is_read_or_refused(text in r#"\{"(timestamp|ordinate|cron|sort)":[^}]{0,20}\}"#) {
            let _ = ResultBound::parse("from", &STANDARD.encode(text));
        }

        #[test]
        fn opaque_cursors_come_back(number: u64, id: [u8; 32]) {
            prop_assert_eq!(open_number(&opaque(&number.to_be_bytes())).unwrap(), number);
            prop_assert_eq!(open(&opaque(&id), 32).unwrap(), id);
        }
    }
}
