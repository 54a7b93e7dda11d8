//! Cron groups as a process declares them (`protocol.md`, section 11). When they fire is decided where the log is folded.
//!
//! Each `Cron-Interval` opens a group, the `Cron-Tag-<Name>` behind it are the tags of that group's message.

use serde::{Deserialize, Serialize};

use crate::message::cut;
use crate::tag::{Tag, Tags};

/// Why cron tags are refused at spawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// `Cron-Tag-*` before any `Cron-Interval`.
    #[error("tag {0} stands before any Cron-Interval")]
    TagWithoutInterval(String),
    /// Not `<n>-<unit>`.
    #[error("Cron-Interval `{0}` is not `<number>-<unit>`, such as 10-seconds or 2-blocks")]
    Form(String),
    /// A unit that the reference does not know, or knows and never fires (`months`).
    #[error("Cron-Interval `{found}` has a unit that is none of blocks, seconds, minutes, hours, days, weeks, years")]
    Unit {
        /// The whole interval.
        found: String,
    },
    /// Less than a second, or no block.
    #[error("Cron-Interval `{0}` is shorter than one second or one block")]
    TooShort(String),
    /// Beyond what a timestamp can count.
    #[error("Cron-Interval `{0}` is too long")]
    TooLong(String),
}

/// How often a group fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Interval {
    /// Every so many Arweave blocks, one at least.
    Blocks(u64),
    /// Every so many whole seconds, one at least.
    Seconds(u64),
}

/// One cron group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronGroup {
    /// As the process wrote it: part of a cron message's identity.
    pub text: String,
    /// What it means.
    pub interval: Interval,
    /// Tags of the group's message.
    pub tags: Vec<Tag>,
}

/// The groups of a process's tags, in order of declaration.
pub fn groups(tags: Tags<'_>) -> Result<Vec<CronGroup>, CronError> {
    let mut groups: Vec<CronGroup> = Vec::new();
    for tag in tags {
        if tag.name == b"Cron-Interval" {
            let text = tag.value_text().into_owned();
            groups.push(CronGroup { interval: Interval::parse(&text)?, text, tags: Vec::new() });
        } else if let Some(name) = tag.name.strip_prefix(b"Cron-Tag-") {
            let group = groups.last_mut().ok_or_else(|| CronError::TagWithoutInterval(cut(&tag.name_text())))?;
            group.tags.push(Tag::new(String::from_utf8_lossy(name), tag.value_text()));
        }
    }
    Ok(groups)
}

impl Interval {
    /// Reads `<n>-<unit>`. A year is 365.25 days; a time is floored to whole seconds. `n` may have a fraction where it counts time.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let form = || CronError::Form(cut(text));
        let (number, unit) = text.split_once('-').ok_or_else(form)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
            return Err(form());
        }
        let seconds_per_unit = match unit {
            "block" | "blocks" => {
                let blocks = whole.parse().map_err(|_| CronError::TooLong(cut(text)))?;
                return match blocks {
                    _ if !fraction.is_empty() => Err(form()),
                    0 => Err(CronError::TooShort(cut(text))),
                    _ => Ok(Self::Blocks(blocks)),
                };
            }
            "second" | "seconds" => 1,
            "minute" | "minutes" => 60,
            "hour" | "hours" => 3_600,
            "day" | "days" => 86_400,
            "week" | "weeks" => 604_800,
            "year" | "years" => 31_557_600_u64,
            _ => return Err(CronError::Unit { found: cut(text) }),
        };
        let too_long = || CronError::TooLong(cut(text));
        let whole: u64 = whole.parse().map_err(|_| too_long())?;
        // Fractions in billionths are exact enough to floor to seconds, and no float decides.
        let billionths =
            fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let part = u128::from(billionths) * u128::from(seconds_per_unit) / 1_000_000_000;
        let seconds = u128::from(whole) * u128::from(seconds_per_unit) + part;
        // Milliseconds since 1970 are what seconds are compared with.
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds <= u64::MAX / 1000).ok_or_else(too_long)?;
        if seconds == 0 { Err(CronError::TooShort(cut(text))) } else { Ok(Self::Seconds(seconds)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_mean_what_protocol_md_says() {
        let ok = [
            ("10-seconds", Interval::Seconds(10)),
            ("1-second", Interval::Seconds(1)),
            ("5-minutes", Interval::Seconds(300)),
            ("1-hour", Interval::Seconds(3_600)),
            ("1-day", Interval::Seconds(86_400)),
            ("2-weeks", Interval::Seconds(1_209_600)),
            ("1-year", Interval::Seconds(31_557_600)),
            ("1.5-minutes", Interval::Seconds(90)),
            ("1.999-seconds", Interval::Seconds(1)),
            ("0.25-hours", Interval::Seconds(900)),
            ("2-blocks", Interval::Blocks(2)),
            ("1-block", Interval::Blocks(1)),
            ("007-seconds", Interval::Seconds(7)),
        ];
        for (text, expected) in ok {
            assert_eq!(Interval::parse(text), Ok(expected), "{text}");
        }
        let short = |text: &str| CronError::TooShort(text.to_owned());
        assert_eq!(Interval::parse("0-seconds"), Err(short("0-seconds")));
        assert_eq!(Interval::parse("0.9-seconds"), Err(short("0.9-seconds")));
        assert_eq!(Interval::parse("0-blocks"), Err(short("0-blocks")));
        assert_eq!(Interval::parse("1-months"), Err(CronError::Unit { found: "1-months".to_owned() }));
        assert_eq!(Interval::parse("500-milliseconds"), Err(CronError::Unit { found: "500-milliseconds".to_owned() }));
        for text in ["", "10", "-seconds", "-1-seconds", "1e3-seconds", "1.-seconds", "1.5-blocks", "x-seconds", "10 seconds"] {
            assert_eq!(Interval::parse(text), Err(CronError::Form(text.to_owned())), "{text}");
        }
        for text in ["18446744073709551615-years", "99999999999999999999-seconds", "99999999999999999999-blocks"] {
            assert_eq!(Interval::parse(text), Err(CronError::TooLong(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_group_takes_the_tags_behind_it() {
        let tags = [
            Tag::new("Cron-Interval", "10-seconds"),
            Tag::new("Other", "x"),
            Tag::new("Cron-Tag-Action", "Tick"),
            Tag::new("Cron-Interval", "2-blocks"),
            Tag::new("Cron-Tag-Action", "Block"),
            Tag::new("Cron-Tag-N", "1"),
        ];
        let section = crate::tag::encode_all(&tags);
        let groups = groups(Tags::of_checked(&section)).unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].tags, [Tag::new("Action", "Tick")]);
        assert_eq!(groups[1].interval, Interval::Blocks(2));
        assert_eq!(groups[1].tags, [Tag::new("Action", "Block"), Tag::new("N", "1")]);

        let section = crate::tag::encode_all(&tags[1..3]);
        assert_eq!(super::groups(Tags::of_checked(&section)), Err(CronError::TagWithoutInterval("Cron-Tag-Action".to_owned())));
    }
}
