//! Times as people write them, in UTC: RFC 3339, dates, milliseconds, durations.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970, now.
pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A moment taken apart, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    year: i64,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    milli: u16,
}

/// Days since 1970 of a date, by counting eras of 400 years that begin in March.
fn days(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let year_of_era = year.rem_euclid(400);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn moment(ms: i64) -> Moment {
    let day_number = ms.div_euclid(DAY_MS) + 719_468;
    let of_day = ms.rem_euclid(DAY_MS);
    let era = day_number.div_euclid(146_097);
    let day_of_era = day_number.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = (month_from_march + 2) % 12 + 1;
    Moment {
        year: era * 400 + year_of_era + i64::from(month <= 2),
        month: month as u8,
        day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
        hour: (of_day / 3_600_000) as u8,
        minute: (of_day / 60_000 % 60) as u8,
        second: (of_day / 1_000 % 60) as u8,
        milli: (of_day % 1_000) as u16,
    }
}

/// RFC 3339 in UTC with milliseconds, such as `2026-11-21T04:30:00.000Z`.
pub(super) fn rfc3339(ms: i64) -> String {
    strftime("%Y-%m-%dT%H:%M:%S.%LZ", ms)
}

/// Formats a time in UTC. Knows `%Y %m %d %H %M %S %L` (milliseconds) `%s` (seconds since 1970) `%F %T %Z %z %%`;
/// leaves anything else as it is.
pub(super) fn strftime(format: &str, ms: i64) -> String {
    use std::fmt::Write;
    let m = moment(ms);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let _ = match chars.next() {
            Some('Y') => write!(out, "{:04}", m.year),
            Some('m') => write!(out, "{:02}", m.month),
            Some('d') => write!(out, "{:02}", m.day),
            Some('H') => write!(out, "{:02}", m.hour),
            Some('M') => write!(out, "{:02}", m.minute),
            Some('S') => write!(out, "{:02}", m.second),
            Some('L') => write!(out, "{:03}", m.milli),
            Some('s') => write!(out, "{}", ms.div_euclid(1_000)),
            Some('F') => write!(out, "{:04}-{:02}-{:02}", m.year, m.month, m.day),
            Some('T') => write!(out, "{:02}:{:02}:{:02}", m.hour, m.minute, m.second),
            Some('Z') => write!(out, "UTC"),
            Some('z') => write!(out, "+0000"),
            Some('%') => write!(out, "%"),
            Some(other) => write!(out, "%{other}"),
            None => write!(out, "%"),
        };
    }
    out
}

/// Reads RFC 3339 with or without a time, seconds, fraction and zone (UTC if not given), or milliseconds since 1970.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    if text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year: i64 = digits(parts.next()?, 4..=4)?;
    let month: u8 = digits(parts.next()?, 2..=2)?;
    let day: u8 = digits(parts.next()?, 2..=2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=last).contains(&day) {
        return None;
    }
    let midnight = days(year, month, day) * DAY_MS;
    Some(midnight + time.map_or(Some(0), parse_clock)?)
}

/// Milliseconds since midnight UTC of `HH:MM[:SS[.fff]][Z|+HH:MM]`.
fn parse_clock(text: &str) -> Option<i64> {
    let (clock, zone_ms) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) if matches!(&text[at..], "Z" | "z") => (&text[..at], 0),
        Some(at) => {
            let (hours, minutes) = text[at + 1..].split_once(':')?;
            let ms = (digits::<i64>(hours, 2..=2)? * 60 + digits::<i64>(minutes, 2..=2)?) * 60_000;
            (&text[..at], if text[at..].starts_with('-') { -ms } else { ms })
        }
    };
    let mut parts = clock.split(':');
    let hour: i64 = digits(parts.next()?, 2..=2)?;
    let minute: i64 = digits(parts.next()?, 2..=2)?;
    let (second, milli) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (digits(seconds, 2..=2)?, 0),
            Some((whole, fraction)) => {
                digits::<u64>(fraction, 1..=9)?;
                let milli = format!("{fraction:0<3}")[..3].parse().ok()?;
                (digits(whole, 2..=2)?, milli)
            }
        },
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + milli - zone_ms)
}

/// Reads a duration such as `90s`, `1h30m`, `2d`, `500ms`, in milliseconds.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = digits(&rest[..unit_at], 1..=12)?;
        rest = &rest[unit_at..];
        let unit_ends = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_ends] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return None,
        };
        total = total.checked_add(count.checked_mul(unit)?)?;
        rest = &rest[unit_ends..];
    }
    (!text.is_empty()).then_some(total)
}

fn digits<T: std::str::FromStr>(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<T> {
    let fits = length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_827_696_123), "2000-02-29T12:34:56.123Z");
        assert_eq!(rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_day_of_eight_centuries_survives_the_round_trip() {
        for day in -146_097..146_097 {
            let ms = day * DAY_MS + 1;
            assert_eq!(parse_time(&rfc3339(ms)), Some(ms));
        }
    }

    #[test]
    fn times_are_read_with_and_without_parts() {
        let noon = 951_825_600_000;
        for text in [
            "2000-02-29T12:00:00Z",
            "2000-02-29T12:00",
            "2000-02-29 12:00:00.000",
            "2000-02-29T14:00:00+02:00",
        ] {
            assert_eq!(parse_time(text), Some(noon), "{text}");
        }
        assert_eq!(parse_time("2000-02-29"), Some(noon - DAY_MS / 2));
        assert_eq!(parse_time("951825600000"), Some(noon));
        for bad in [
            "2001-02-29",
            "2000-13-01",
            "2000-1-1",
            "2000-01-01T25:00",
            "yesterday",
            "",
            "12",
            "2000-01-01T10:00:00+2",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_add_up() {
        assert_eq!(parse_duration("1h30m"), Some(5_400_000));
        assert_eq!(parse_duration("500ms"), Some(500));
        assert_eq!(parse_duration("2d"), Some(2 * DAY_MS));
        for bad in ["", "h", "5", "1y", "-1h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
