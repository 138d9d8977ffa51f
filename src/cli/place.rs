//! Where to read: `start`, `end`, `+n`, `-n`, `N`, `@time`, and ranges of two such places.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::client::{At, ClientError, Cluster, Isolation, TopicPartition};

use super::calendar::{now_ms, parse_duration, parse_time};

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The oldest record.
    Start,
    /// After the newest record.
    End,
    /// That many records after the start.
    AfterStart(i64),
    /// That many records before the end.
    BeforeEnd(i64),
    /// An offset.
    Offset(i64),
    /// The first record at or after a time, in milliseconds since 1970.
    Time(i64),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no place in a log: use start, end, an offset, +N (after the start), -N (before the end) \
                 or @TIME (2026-01-31T12:00:00Z, milliseconds since 1970, or 90m ago as @-90m)"
            )
        };
        let count =
            |digits: &str| digits.parse::<i64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        match text {
            "start" | "oldest" | "earliest" | "beginning" => Ok(Self::Start),
            "end" | "newest" | "latest" => Ok(Self::End),
            _ => {
                if let Some(time) = text.strip_prefix('@') {
                    let ago = time.strip_prefix('-').unwrap_or(time);
                    let time = parse_duration(ago).map(|ms| now_ms() - ms).or_else(|| parse_time(time));
                    return time.map(Self::Time).ok_or_else(wrong);
                }
                let place = match text.split_at_checked(1) {
                    Some(("+", n)) => count(n).map(Self::AfterStart),
                    Some(("-", n)) => count(n).map(Self::BeforeEnd),
                    _ => count(text).map(Self::Offset),
                };
                place.ok_or_else(wrong)
            }
        }
    }
}

impl Place {
    /// Finds the offset of this place in each partition. Offsets outside of the log are moved to its nearest end.
    pub(super) fn resolve(
        self,
        cluster: &mut Cluster,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let at = match self {
            Self::Start => return cluster.offsets(partitions, At::Start, isolation),
            Self::End => return cluster.offsets(partitions, At::End, isolation),
            Self::Time(ms) => return cluster.offsets(partitions, At::Time(ms), isolation),
            Self::AfterStart(_) | Self::BeforeEnd(_) | Self::Offset(_) => self,
        };
        let starts = cluster.offsets(partitions, At::Start, isolation)?;
        let ends = cluster.offsets(partitions, At::End, isolation)?;
        let resolved = starts.into_iter().map(|(partition, start)| {
            let end = ends.get(&partition).copied().unwrap_or(start).max(start);
            let offset = match at {
                Self::AfterStart(n) => start.saturating_add(n),
                Self::BeforeEnd(n) => end.saturating_sub(n),
                Self::Offset(offset) => offset,
                _ => start,
            };
            (partition, offset.clamp(start, end))
        });
        Ok(resolved.collect())
    }
}

/// From one place up to, not including, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Where to begin.
    pub(super) from: Place,
    /// Where to stop.
    pub(super) to: Option<Place>,
}

impl FromStr for Span {
    type Err = String;

    /// Times hold colons too, so the text is one place if it can be, else it is cut at the first colon where both halves
    /// are places. After a time, a duration means that long after it.
    fn from_str(text: &str) -> Result<Self, String> {
        let whole = match Place::from_str(text) {
            Ok(from) => return Ok(Self { from, to: None }),
            Err(error) => error,
        };
        for (at, _) in text.match_indices(':') {
            let (left, right) = (&text[..at], &text[at + 1..]);
            let Ok(from) = Place::from_str(left) else { continue };
            let to = match (from, parse_duration(right), right.strip_prefix('-').and_then(parse_duration)) {
                (Place::Time(start), Some(ms), _) => Ok(Place::Time(start + ms)),
                (Place::Time(_), _, Some(ago)) => Ok(Place::Time(now_ms() - ago)),
                _ => Place::from_str(right),
            };
            if let Ok(to) = to {
                return Ok(Self { from, to: Some(to) });
            }
        }
        Err(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let cases = [
            ("start", Place::Start),
            ("end", Place::End),
            ("+5", Place::AfterStart(5)),
            ("-10", Place::BeforeEnd(10)),
            ("42", Place::Offset(42)),
            ("@1700000000000", Place::Time(1_700_000_000_000)),
            ("@2000-02-29T12:00:00Z", Place::Time(951_825_600_000)),
        ];
        for (text, place) in cases {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for bad in ["", "+", "-", "--5", "middle", "@", "@soon", "1.5", "99999999999999999999"] {
            assert!(Place::from_str(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_is_that_long_ago() {
        for text in ["@1h", "@-1h"] {
            let Ok(Place::Time(ms)) = text.parse() else { panic!("{text}") };
            assert!((now_ms() - 3_600_000 - ms).abs() < 5_000);
        }
    }

    #[test]
    fn spans_are_cut_at_the_right_colon() {
        let span: Span = "5:+20".parse().unwrap();
        assert_eq!(span, Span { from: Place::Offset(5), to: Some(Place::AfterStart(20)) });
        let span: Span = "@2000-02-29T12:00:00Z:1h".parse().unwrap();
        let noon = 951_825_600_000;
        assert_eq!(span, Span { from: Place::Time(noon), to: Some(Place::Time(noon + 3_600_000)) });
        let span: Span = "@2000-02-29T12:00".parse().unwrap();
        assert_eq!(span, Span { from: Place::Time(noon), to: None });
        let span: Span = "@2000-02-29:@2000-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(span, Span { from: Place::Time(noon - 43_200_000), to: Some(Place::Time(noon)) });
        assert!(Span::from_str("5:x").is_err());
    }
}
