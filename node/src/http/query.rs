//! Query strings as the clients write them: names without values (`no-busy`, `base-layer`), repeated names, cursors in base64 whose `+`
//! may or may not be escaped.

use std::borrow::Cow;

use ao_types::Id;

use super::limits::PARAMETERS_MAX;
use crate::error::{Code, Rejection};

/// The parameters of one request, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads the part of a request target after `?`.
    ///
    /// # Errors
    /// More parameters than [`PARAMETERS_MAX`]. Bytes that are not UTF-8 are shown with U+FFFD: they then fail where they are used.
    pub fn parse(text: Option<&'a str>) -> Result<Self, Rejection> {
        let mut parameters = Vec::new();
        for part in text.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            if parameters.len() == PARAMETERS_MAX {
                return Err(invalid(format!("more than {PARAMETERS_MAX} query parameters")));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            parameters.push((decode(name), decode(value)));
        }
        Ok(Self { parameters })
    }

    /// The parameters of a request target.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn of(uri: &'a axum::http::Uri) -> Result<Self, Rejection> {
        Self::parse(uri.query())
    }

    /// Whether the parameter is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(found, _)| found == name)
    }

    /// The first value of a parameter that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, value)| found == name && !value.is_empty()).map(|(_, value)| value.as_ref())
    }

    /// An id.
    ///
    /// # Errors
    /// It is there and is not an id.
    pub fn id(&self, name: &str) -> Result<Option<Id>, Rejection> {
        self.text(name).map(|text| id(name, text)).transpose()
    }

    /// An id that must be there. The text of the refusal is the one clients of the older network know for `process-id`.
    ///
    /// # Errors
    /// It is missing or not an id.
    pub fn id_required(&self, name: &str) -> Result<Id, Rejection> {
        let shown = if name == "process-id" { "processId" } else { name };
        self.id(name)?.ok_or_else(|| invalid(format!("'{shown}': Required.")))
    }

    /// A number.
    ///
    /// # Errors
    /// It is there and is not a decimal number of 64 bits.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Rejection> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| invalid(format!("'{name}': a whole number is expected, found `{}`", short(text)))))
            .transpose()
    }

    /// A page's length: the default if absent, the most if it asks for more.
    ///
    /// # Errors
    /// It is there and is not a number, or is zero.
    pub fn limit(&self, name: &str, (default, most): (usize, usize)) -> Result<usize, Rejection> {
        match self.number(name)? {
            None => Ok(default),
            Some(0) => Err(invalid(format!("'{name}': at least 1 is expected"))),
            Some(asked) => Ok(usize::try_from(asked).unwrap_or(most).min(most)),
        }
    }

    /// All values of a parameter: repeated, and separated by commas.
    pub fn list<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.parameters
            .iter()
            .filter(move |(found, _)| found == name)
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|one| !one.is_empty())
    }
}

/// Reads an id out of a path or a parameter.
///
/// # Errors
/// It is not one; the refusal names the parameter.
pub fn id(name: &str, text: &str) -> Result<Id, Rejection> {
    Id::parse(text).map_err(|error| invalid(format!("'{name}': {error}")))
}

/// A refusal of the request's form.
pub fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::new(Code::RequestInvalid, message)
}

/// A text cut for a message.
pub fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(64) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// `%xx` and `+` undone. A percent sign that introduces nothing stays.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%').and_then(|hex| {
            let (high, low) = (char::from(hex[0]).to_digit(16)?, char::from(hex[1]).to_digit(16)?);
            u8::try_from(high * 16 + low).ok()
        });
        match escaped {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_that_clients_send() {
        let query = Query::parse(Some(
            "process-id=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8&assign=x&base-layer&exclude=Data,Anchor&exclude=Tags&n=7",
        ))
        .unwrap();
        assert_eq!(query.id("process-id").unwrap().unwrap().0[31], 31);
        assert!(query.has("base-layer") && !query.has("no-busy"));
        assert_eq!(query.list("exclude").collect::<Vec<_>>(), ["Data", "Anchor", "Tags"]);
        assert_eq!(query.number("n").unwrap(), Some(7));
        assert_eq!(query.id("assign").unwrap_err().code, Code::RequestInvalid);
        assert_eq!(Query::parse(None).unwrap().id_required("process-id").unwrap_err().message, "'processId': Required.");
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_stay() {
        let query = Query::parse(Some("a=%7B%22x%22%3A1%7D&b=1+2&c=%zz%4&%64=%ff")).unwrap();
        assert_eq!(query.text("a"), Some("{\"x\":1}"));
        assert_eq!(query.text("b"), Some("1 2"));
        assert_eq!(query.text("c"), Some("%zz%4"));
        assert_eq!(query.text("d"), Some("\u{fffd}"));
    }

    #[test]
    fn limits_have_a_default_and_a_most() {
        let limit = |text| Query::parse(Some(text)).unwrap().limit("limit", (25, 1000));
        assert_eq!(limit("").unwrap(), 25);
        assert_eq!(limit("limit=").unwrap(), 25);
        assert_eq!(limit("limit=99999999999").unwrap(), 1000);
        assert_eq!(limit("limit=0").unwrap_err().code, Code::RequestInvalid);
        assert_eq!(limit("limit=-1").unwrap_err().code, Code::RequestInvalid);
    }

    #[test]
    fn too_many_parameters_are_refused() {
        let text = "a=1&".repeat(PARAMETERS_MAX);
        assert!(Query::parse(Some(&text)).is_ok());
        assert_eq!(Query::parse(Some(&format!("{text}b"))).unwrap_err().code, Code::RequestInvalid);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            if let Ok(query) = Query::parse(Some(&text)) {
                prop_assert!(query.parameters.len() <= PARAMETERS_MAX);
            }
        }

        #[test]
        fn what_is_escaped_comes_back(value in "\\PC{1,40}") {
            let escaped: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let text = format!("v={escaped}");
            let query = Query::parse(Some(&text)).unwrap();
            prop_assert_eq!(query.text("v"), Some(value.as_str()));
        }
    }
}
