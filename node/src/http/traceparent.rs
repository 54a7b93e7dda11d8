//! The trace that a request belongs to, as its client says (W3C Trace Context, `traceparent`): it goes into the request's span, so that
//! lines of a client, a proxy and this node can be found by one id.

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace id and the id of the client's span: 32 and 16 hexadecimal digits. `None` where the header is missing, repeated or malformed:
/// then the request is as if it had none.
pub fn of(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let sound = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    // A later version may say more; this one does not.
    let whole = version != "00" || parts.next().is_none();
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    (sound && whole && !zero(trace) && !zero(parent)).then_some((trace, parent))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn read(values: &[&str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        of(&headers).map(|(trace, parent)| (trace.to_owned(), parent.to_owned()))
    }

    #[test]
    fn only_what_the_standard_allows_counts() {
        let expected = Some((TRACE.to_owned(), PARENT.to_owned()));
        assert_eq!(read(&[&format!("00-{TRACE}-{PARENT}-01")]), expected);
        assert_eq!(read(&[&format!("01-{TRACE}-{PARENT}-01-later")]), expected, "a later version");
        let wrong = [
            format!("00-{TRACE}-{PARENT}-01-more"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{PARENT}"),
            format!("00-{TRACE}-{PARENT}-0"),
            format!("00-{}g-{PARENT}-01", &TRACE[1..]),
            String::new(),
        ];
        for wrong in wrong {
            assert_eq!(read(&[&wrong]), None, "{wrong}");
        }
        assert_eq!(read(&[]), None);
        let twice = format!("00-{TRACE}-{PARENT}-01");
        assert_eq!(read(&[&twice, &twice]), None);
    }
}
