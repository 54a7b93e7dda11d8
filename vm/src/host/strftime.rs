//! `struct tm` and `strftime` in the C locale, in UTC.

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// Calendar time as C has it: months from 0, years from 1900, Sunday 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Tm {
    second: i32,
    minute: i32,
    hour: i32,
    day: i32,
    month: i32,
    year: i32,
    week_day: i32,
    year_day: i32,
    summer: i32,
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; `month` from 1.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Tm {
    pub(crate) fn fields(&self) -> [i32; 9] {
        [self.second, self.minute, self.hour, self.day, self.month, self.year, self.week_day, self.year_day, self.summer]
    }

    pub(crate) fn from_fields(fields: [i32; 9]) -> Self {
        let [second, minute, hour, day, month, year, week_day, year_day, summer] = fields;
        Self { second, minute, hour, day, month, year, week_day, year_day, summer }
    }

    /// A time in seconds since 1970. Beyond what a year can hold it saturates.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400) as i32;
        // Years are 32-bit: what does not fit is clamped before the calendar is worked out.
        let days = days.clamp(-700_000_000_000, 700_000_000_000);
        let (year, month, day) = civil_from_days(days);
        Self {
            second: rest % 60,
            minute: rest / 60 % 60,
            hour: rest / 3600,
            day: day as i32,
            month: month as i32 - 1,
            year: (year - 1900).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32,
            week_day: (days + 4).rem_euclid(7) as i32,
            year_day: (days - days_from_civil(year, 1, 1)) as i32,
            summer: 0,
        }
    }

    /// Seconds since 1970; fields may be out of their ranges.
    pub(crate) fn to_seconds(self) -> i64 {
        let months = i64::from(self.year) * 12 + i64::from(self.month);
        let days = days_from_civil(1900 + months.div_euclid(12), months.rem_euclid(12) + 1, 1) + i64::from(self.day) - 1;
        days * 86_400 + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }

    fn year(&self) -> i64 {
        i64::from(self.year) + 1900
    }

    /// Hour of the 12-hour clock.
    fn hour12(&self) -> i32 {
        match self.hour.rem_euclid(12) {
            0 => 12,
            hour => hour,
        }
    }

    /// ISO 8601 year and week.
    fn iso_week(&self) -> (i64, i64) {
        let (year_day, week_day) = (i64::from(self.year_day), i64::from(self.week_day));
        let monday = (week_day + 6).rem_euclid(7);
        let week = (year_day - monday + 10).div_euclid(7);
        let weeks = |year: i64| {
            let first = (days_from_civil(year, 1, 1) + 4).rem_euclid(7);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            if first == 4 || (leap && first == 3) { 53 } else { 52 }
        };
        match week {
            week if week < 1 => (self.year() - 1, weeks(self.year() - 1)),
            week if week > weeks(self.year()) => (self.year() + 1, 1),
            week => (self.year(), week),
        }
    }
}

fn name<'a>(names: &[&'a str], index: i32) -> &'a str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("?")
}

/// Formats; what is not a conversion is copied.
pub(crate) fn format(pattern: &[u8], tm: &Tm) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = pattern.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut conversion = rest.next();
        // E and O ask for alternative forms, which the C locale does not have.
        if matches!(conversion, Some(b'E' | b'O')) {
            conversion = rest.next();
        }
        match conversion {
            Some(conversion) => match expand(conversion, tm) {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => out.extend([b'%', conversion]),
            },
            None => out.push(b'%'),
        }
    }
    out
}

fn expand(conversion: u8, tm: &Tm) -> Option<String> {
    let (iso_year, iso_week) = tm.iso_week();
    Some(match conversion {
        b'a' => name(&DAYS, tm.week_day).chars().take(3).collect(),
        b'A' => name(&DAYS, tm.week_day).into(),
        b'b' | b'h' => name(&MONTHS, tm.month).chars().take(3).collect(),
        b'B' => name(&MONTHS, tm.month).into(),
        b'c' => {
            let [day, month, time] = [b'a', b'b', b'T'].map(|part| expand(part, tm).unwrap_or_default());
            format!("{day} {month} {:2} {time} {}", tm.day, tm.year())
        }
        b'C' => format!("{:02}", tm.year().div_euclid(100)),
        b'd' => format!("{:02}", tm.day),
        b'D' | b'x' => format!("{:02}/{:02}/{:02}", i64::from(tm.month) + 1, tm.day, tm.year().rem_euclid(100)),
        b'e' => format!("{:2}", tm.day),
        b'F' => format!("{:04}-{:02}-{:02}", tm.year(), i64::from(tm.month) + 1, tm.day),
        b'g' => format!("{:02}", iso_year.rem_euclid(100)),
        b'G' => format!("{iso_year}"),
        b'H' => format!("{:02}", tm.hour),
        b'I' => format!("{:02}", tm.hour12()),
        b'j' => format!("{:03}", i64::from(tm.year_day) + 1),
        b'm' => format!("{:02}", i64::from(tm.month) + 1),
        b'M' => format!("{:02}", tm.minute),
        b'n' => "\n".into(),
        b'p' => if tm.hour >= 12 { "PM" } else { "AM" }.into(),
        b'r' => format!("{:02}:{:02}:{:02} {}", tm.hour12(), tm.minute, tm.second, if tm.hour >= 12 { "PM" } else { "AM" }),
        b'R' => format!("{:02}:{:02}", tm.hour, tm.minute),
        b'S' => format!("{:02}", tm.second),
        b't' => "\t".into(),
        b'T' | b'X' => format!("{:02}:{:02}:{:02}", tm.hour, tm.minute, tm.second),
        b'u' => format!("{}", if tm.week_day == 0 { 7 } else { tm.week_day }),
        b'U' => format!("{:02}", (i64::from(tm.year_day) + 7 - i64::from(tm.week_day)).div_euclid(7)),
        b'V' => format!("{iso_week:02}"),
        b'w' => format!("{}", tm.week_day),
        b'W' => format!("{:02}", (i64::from(tm.year_day) + 7 - (i64::from(tm.week_day) + 6).rem_euclid(7)).div_euclid(7)),
        b'y' => format!("{:02}", tm.year().rem_euclid(100)),
        b'Y' => format!("{}", tm.year()),
        b'z' => "+0000".into(),
        b'Z' => "UTC".into(),
        b'%' => "%".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, pattern: &str) -> String {
        String::from_utf8(format(pattern.as_bytes(), &Tm::from_seconds(seconds))).unwrap()
    }

    /// Expected texts are those of GNU date with `LC_ALL=C TZ=UTC`.
    #[test]
    fn texts_of_the_c_locale() {
        let cases = [
            (0, "%c|%x|%X|%p|%r", "Thu Jan  1 00:00:00 1970|01/01/70|00:00:00|AM|12:00:00 AM"),
            (951_827_696, "%F %T %j %U %W %V %G %g %u %w", "2000-02-29 12:34:56 060 09 09 09 2000 00 2 2"),
            (1_104_537_600, "%G-W%V-%u %U %W", "2004-W53-6 00 00"),
            (1_230_768_000, "%G-W%V-%u", "2009-W01-4"),
            (1_262_304_000, "%A %B %e %I %C%y%%", "Friday January  1 12 2010%"),
            (-86_400, "%F %a %Ey %Od %q", "1969-12-31 Wed 69 31 %q"),
        ];
        for (seconds, pattern, expected) in cases {
            assert_eq!(at(seconds, pattern), expected, "{seconds} {pattern}");
        }
    }

    #[test]
    fn calendar_and_seconds_agree_both_ways() {
        for seconds in (-100_000_000_000..100_000_000_000).step_by(86_399 * 977) {
            assert_eq!(Tm::from_seconds(seconds).to_seconds(), seconds);
        }
    }

    #[test]
    fn fields_out_of_range_are_carried_over() {
        let tm = Tm::from_fields([75, -1, 25, 32, 14, 70, 0, 0, 1]);
        // Month 14 of 1970 is March 1971, its 32nd is 1 April, hour 25 makes it the 2nd, minute -1 and second 75 give 01:00:15.
        assert_eq!(at(tm.to_seconds(), "%F %T"), "1971-04-02 01:00:15");
    }

    #[test]
    fn extreme_years_do_not_overflow() {
        for seconds in [i64::MIN, i64::MAX] {
            let tm = Tm::from_seconds(seconds);
            tm.to_seconds();
            format(b"%c %G %V %U %W %Y", &tm);
        }
        Tm::from_fields([i32::MAX; 9]).to_seconds();
        format(b"%c %G %V %j %U %W %p", &Tm::from_fields([i32::MAX; 9]));
    }
}
