//! Sizes and spans as people write them: `512MiB`, `250ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes. Text: a whole number with an optional unit (`KiB MiB GiB TiB`, or decimal `kB MB GB TB`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// A span of time. Text: a whole number with a unit (`ms s m h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// A span of time, or `auto`: the node knows which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AutoSpan(pub Option<Duration>);

/// How long something is kept: a span of time, or `all`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Keep(pub Option<Duration>);

/// An amount of AR, kept in winston. Text: a decimal number with at most twelve digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ar(pub u128);

/// Winston of one AR.
pub const WINSTON: u128 = 1_000_000_000_000;
/// Digits behind the point of an amount of AR.
const AR_DIGITS: usize = 12;

/// A text that is none of these.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{found}` is not {wanted}")]
pub struct BadUnit {
    found: String,
    wanted: &'static str,
}

const SIZE: &str = "a size like 1048576, `512MiB` or `2GB`";
const AMOUNT: &str = "an amount of AR like 2 or 0.25, with at most twelve digits behind the point";
const SPAN: &str = "a time like `250ms`, `30s`, `5m` or `1h`";

const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const SPAN_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn parse(text: &str, units: &[(&str, u64)], wanted: &'static str) -> Result<u64, BadUnit> {
    let bad = || BadUnit { found: text.to_owned(), wanted };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(split);
    let count: u64 = digits.replace('_', "").parse().map_err(|_| bad())?;
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim())).ok_or_else(bad)?;
    count.checked_mul(*factor).ok_or_else(bad)
}

/// The largest unit that loses nothing.
fn show(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "0{}", units.last().map_or("", |(unit, _)| unit)),
    }
}

impl FromStr for ByteSize {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        parse(text, &SIZE_UNITS, SIZE).map(Self)
    }
}

impl FromStr for Span {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        parse(text, &SPAN_UNITS, SPAN).map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl FromStr for Ar {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || BadUnit { found: text.to_owned(), wanted: AMOUNT };
        let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > AR_DIGITS {
            return Err(bad());
        }
        let whole: u128 = whole.parse().map_err(|_| bad())?;
        let part: u128 = format!("{part:0<AR_DIGITS$}").parse().map_err(|_| bad())?;
        whole.checked_mul(WINSTON).and_then(|whole| whole.checked_add(part)).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Ar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:0>AR_DIGITS$}", self.0 % WINSTON);
        match part.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / WINSTON),
            part => write!(f, "{}.{part}", self.0 / WINSTON),
        }
    }
}

impl Serialize for Ar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

const AUTO: &str = "auto";

impl FromStr for AutoSpan {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        if text == AUTO { Ok(Self(None)) } else { text.parse::<Span>().map(|span| Self(Some(span.0))) }
    }
}

impl fmt::Display for AutoSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(AUTO),
            Some(span) => Span(span).fmt(f),
        }
    }
}

impl Serialize for AutoSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AutoSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

const ALL: &str = "all";

impl FromStr for Keep {
    type Err = BadUnit;
    fn from_str(text: &str) -> Result<Self, BadUnit> {
        if text == ALL { Ok(Self(None)) } else { text.parse::<Span>().map(|span| Self(Some(span.0))) }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(ALL),
            Some(span) => Span(span).fmt(f),
        }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, &SIZE_UNITS[..5])
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &SPAN_UNITS)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = ByteSize;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SIZE)
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
        u64::try_from(value).map(ByteSize).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(value))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<ByteSize, E> {
        value.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0B"),
            ("1048576", 1 << 20, "1MiB"),
            ("512MiB", 512 << 20, "512MiB"),
            ("512 mib", 512 << 20, "512MiB"),
            ("2GB", 2_000_000_000, "1953125KiB"),
            ("1_000B", 1_000, "1000B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size, ByteSize(bytes), "{text}");
            assert_eq!(size.to_string(), shown);
            assert_eq!(size.to_string().parse(), Ok(size), "what is shown can be read");
        }
        for text in ["", "MiB", "1.5GiB", "-1", "1 parsec", "99999999999TiB", "18446744073709551616"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_may_be_left_to_the_node() {
        assert_eq!(("all".parse(), "720h".parse()), (Ok(Keep(None)), Ok(Keep(Some(Duration::from_secs(720 * 3600))))));
        assert!("some".parse::<Keep>().is_err() && Keep(None).to_string() == "all");
        assert_eq!("auto".parse(), Ok(AutoSpan(None)));
        assert_eq!("30s".parse(), Ok(AutoSpan(Some(Duration::from_secs(30)))));
        assert!("automatic".parse::<AutoSpan>().is_err() && "30".parse::<AutoSpan>().is_err());
        assert_eq!((AutoSpan(None).to_string(), AutoSpan(Some(Duration::from_secs(30))).to_string()), ("auto".into(), "30s".into()));
    }

    #[test]
    fn amounts_are_read_and_shown() {
        for (text, winston, shown) in [
            ("0", 0, "0"),
            ("2", 2 * WINSTON, "2"),
            ("0.25", WINSTON / 4, "0.25"),
            (" 1.000000000001 ", WINSTON + 1, "1.000000000001"),
            ("007.10", 71 * WINSTON / 10, "7.1"),
        ] {
            let amount: Ar = text.parse().unwrap();
            assert_eq!(amount, Ar(winston), "{text}");
            assert_eq!(amount.to_string(), shown);
            assert_eq!(amount.to_string().parse(), Ok(amount), "what is shown can be read");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.0000000000001", "1 AR", "999999999999999999999999999999"] {
            assert!(text.parse::<Ar>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_read_and_shown() {
        for (text, ms, shown) in
            [("250ms", 250, "250ms"), ("30s", 30_000, "30s"), ("90s", 90_000, "90s"), ("60m", 3_600_000, "1h"), ("0s", 0, "0ms")]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_millis(ms), "{text}");
            assert_eq!(span.to_string(), shown);
        }
        for text in ["", "5", "s", "1d", "1.5s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
