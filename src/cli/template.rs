//! printf-like formats for records, as kcat's and rpk's users know them.
//!
//! | Verb | Is | | Verb | Is |
//! |---|---|---|---|---|
//! | `%t` `%T` | topic, its length | | `%p` | partition |
//! | `%k` `%K` | key, its length | | `%o` | offset |
//! | `%v` `%V` | value, its length | | `%e` | leader epoch |
//! | `%h` `%H` | headers, their number | | `%d` | timestamp |
//! | `%s` | key and value, length together | | `%%` | a percent sign |
//!
//! A null key, value or header value prints nothing, and its length is −1. In braces after a verb: `%k{hex}`, `{base64}`, `{json}` for bytes,
//! `%d{rfc3339}`, `%d{s}`, `%d{strftime[%F %T]}` for times, `%h{%k=%v;}` to say how each header looks.

use std::io::{self, Write};

use quipu_protocol::record::Header;

use crate::client::Record;

use super::calendar;
use super::encoding::{base64, hex};

/// A format that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    TopicLength,
    Partition,
    Offset,
    Epoch,
    Key(Shape),
    KeyLength,
    Value(Shape),
    ValueLength,
    Size,
    Headers(Template),
    PlainHeaders,
    HeadersCount,
    Time(Clock),
}

/// How bytes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    #[default]
    Raw,
    Hex,
    Base64,
    Json,
}

/// How a time is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Clock {
    Millis,
    Seconds,
    Rfc3339,
    Format(String),
}

/// Reads what follows a percent sign: the letter, and what stands in braces behind it.
type Verb = fn(char, Option<&str>) -> Option<Result<Piece, String>>;

impl Template {
    /// Reads a format. The error says where it is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with(text, record_verb)
    }

    fn parse_with(text: &str, verb: Verb) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            match c {
                '\\' => {
                    let used = escape(after, &mut literal)?;
                    rest = &after[used..];
                }
                '%' => {
                    let letter = after
                        .chars()
                        .next()
                        .ok_or("the format ends in a lone %; write %% for a percent sign")?;
                    rest = &after[letter.len_utf8()..];
                    if letter == '%' {
                        literal.push(b'%');
                        continue;
                    }
                    let inner = braces(rest)?;
                    if let Some(inner) = inner {
                        rest = &rest[inner.len() + 2..];
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    match verb(letter, inner) {
                        Some(piece) => pieces.push(piece?),
                        None => {
                            return Err(format!(
                                "the format has %{letter}, which means nothing here; write %% for a percent sign"
                            ));
                        }
                    }
                }
                _ => {
                    let mut buffer = [0; 4];
                    literal.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
                    rest = after;
                }
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Writes a record.
    pub(super) fn write(&self, out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Topic => out.write_all(record.topic.as_bytes())?,
                Piece::TopicLength => write!(out, "{}", record.topic.len())?,
                Piece::Partition => write!(out, "{}", record.partition)?,
                Piece::Offset => write!(out, "{}", record.offset)?,
                Piece::Epoch => write!(out, "{}", record.batch.partition_leader_epoch)?,
                Piece::Key(shape) => shape.write(out, record.key)?,
                Piece::KeyLength => write!(out, "{}", length(record.key))?,
                Piece::Value(shape) => shape.write(out, record.value)?,
                Piece::ValueLength => write!(out, "{}", length(record.value))?,
                Piece::Size => write!(out, "{}", length(record.key).max(0) + length(record.value).max(0))?,
                Piece::HeadersCount => write!(out, "{}", record.headers.len())?,
                Piece::PlainHeaders => {
                    for (place, header) in record.headers.clone().enumerate() {
                        if place > 0 {
                            out.write_all(b",")?;
                        }
                        out.write_all(header.key)?;
                        out.write_all(b"=")?;
                        out.write_all(header.value.unwrap_or_default())?;
                    }
                }
                Piece::Headers(template) => {
                    for header in record.headers.clone() {
                        template.write_header(out, &header)?;
                    }
                }
                Piece::Time(clock) => match clock {
                    Clock::Millis => write!(out, "{}", record.timestamp)?,
                    Clock::Seconds => write!(out, "{}", record.timestamp.div_euclid(1_000))?,
                    Clock::Rfc3339 => out.write_all(calendar::rfc3339(record.timestamp).as_bytes())?,
                    Clock::Format(format) => {
                        out.write_all(calendar::strftime(format, record.timestamp).as_bytes())?;
                    }
                },
            }
        }
        Ok(())
    }

    fn write_header(&self, out: &mut impl Write, header: &Header<'_>) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Key(shape) => shape.write(out, Some(header.key))?,
                Piece::KeyLength => write!(out, "{}", header.key.len())?,
                Piece::Value(shape) => shape.write(out, header.value)?,
                Piece::ValueLength => write!(out, "{}", length(header.value))?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

impl Shape {
    fn parse(inner: Option<&str>) -> Result<Self, String> {
        match inner {
            None => Ok(Self::Raw),
            Some("hex") => Ok(Self::Hex),
            Some("base64") => Ok(Self::Base64),
            Some("json") => Ok(Self::Json),
            Some(other) => Err(format!("{{{other}}} is no way to show bytes: use hex, base64 or json")),
        }
    }

    fn write(self, out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
        let Some(bytes) = bytes else {
            return if self == Self::Json { out.write_all(b"null") } else { Ok(()) };
        };
        match self {
            Self::Raw => out.write_all(bytes),
            Self::Hex => out.write_all(hex(bytes).as_bytes()),
            Self::Base64 => out.write_all(base64(bytes).as_bytes()),
            Self::Json => {
                serde_json::to_writer(out, &String::from_utf8_lossy(bytes)).map_err(io::Error::from)
            }
        }
    }
}

impl Clock {
    fn parse(inner: Option<&str>) -> Result<Self, String> {
        match inner {
            None | Some("ms") => Ok(Self::Millis),
            Some("s") => Ok(Self::Seconds),
            Some("rfc3339") => Ok(Self::Rfc3339),
            Some(other) => {
                match other.strip_prefix("strftime[").and_then(|format| format.strip_suffix(']')) {
                    Some(format) => Ok(Self::Format(format.to_owned())),
                    None => Err(format!(
                        "{{{other}}} is no way to show a time: use ms, s, rfc3339 or strftime[FORMAT]"
                    )),
                }
            }
        }
    }
}

fn record_verb(letter: char, inner: Option<&str>) -> Option<Result<Piece, String>> {
    let shaped = matches!(letter, 'k' | 'v' | 'd' | 'h');
    if let Some(inner) = inner.filter(|_| !shaped) {
        return Some(Err(format!("%{letter} takes nothing in braces, not even {{{inner}}}")));
    }
    Some(Ok(match letter {
        't' => Piece::Topic,
        'T' => Piece::TopicLength,
        'p' => Piece::Partition,
        'o' => Piece::Offset,
        'e' => Piece::Epoch,
        'K' => Piece::KeyLength,
        'V' => Piece::ValueLength,
        's' => Piece::Size,
        'H' => Piece::HeadersCount,
        'k' => return Some(Shape::parse(inner).map(Piece::Key)),
        'v' => return Some(Shape::parse(inner).map(Piece::Value)),
        'd' => return Some(Clock::parse(inner).map(Piece::Time)),
        'h' => match inner {
            None => Piece::PlainHeaders,
            Some(inner) => return Some(Template::parse_with(inner, header_verb).map(Piece::Headers)),
        },
        _ => return None,
    }))
}

fn header_verb(letter: char, inner: Option<&str>) -> Option<Result<Piece, String>> {
    matches!(letter, 'k' | 'v' | 'K' | 'V').then(|| record_verb(letter, inner)).flatten()
}

/// What stands between the braces that `text` begins with, if it begins with some.
fn braces(text: &str) -> Result<Option<&str>, String> {
    if !text.starts_with('{') {
        return Ok(None);
    }
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Ok(Some(&text[1..at])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Err("the format has a { without its }".into())
}

/// Reads what follows a backslash; returns how many bytes of `text` that was.
fn escape(text: &str, out: &mut Vec<u8>) -> Result<usize, String> {
    let letter = text.chars().next().ok_or("the format ends in a lone backslash")?;
    match letter {
        'n' => out.push(b'\n'),
        'r' => out.push(b'\r'),
        't' => out.push(b'\t'),
        '0' => out.push(0),
        '\\' => out.push(b'\\'),
        'x' => {
            let byte = text.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            out.push(byte.ok_or("\\x needs two hexadecimal digits")?);
            return Ok(3);
        }
        other => return Err(format!("the format has \\{other}; known are \\n \\r \\t \\0 \\\\ \\xHH")),
    }
    Ok(letter.len_utf8())
}

/// Reads the backslash escapes of a separator such as `\t`.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let used = escape(&rest[at + 1..], &mut out)?;
        rest = &rest[at + 1 + used..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use quipu_protocol::record::{BatchBuilder, BatchView, Records};

    use super::*;

    fn shown(format: &str) -> String {
        let mut builder = BatchBuilder::new();
        let headers = [
            Header { key: b"a", value: Some(b"1") },
            Header { key: b"a", value: Some(b"2") },
            Header { key: b"n", value: None },
        ];
        builder.push(951_825_600_123, Some(b"key"), Some(b"va\"l"), &headers);
        let bytes = builder.finish();
        let batch = BatchView::parse(&bytes).unwrap();
        let view = Records::new(batch.payload(), 1).next().unwrap().unwrap();
        let record = Record {
            topic: "top",
            partition: 3,
            offset: 42,
            timestamp: 951_825_600_123,
            key: view.key,
            value: view.value,
            headers: view.headers(),
            batch: batch.header(),
        };
        let mut out = Vec::new();
        Template::parse(format).unwrap().write(&mut out, &record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn verbs() {
        assert_eq!(shown("%t %p %o %k %v\\n"), "top 3 42 key va\"l\n");
        assert_eq!(shown("%T %K %V %s %H %e"), "3 3 4 7 3 -1");
        assert_eq!(shown("%h"), "a=1,a=2,n=");
        assert_eq!(shown("100%%\\x41\\t|é"), "100%A\t|é");
    }

    #[test]
    fn braces_shape_what_is_shown() {
        assert_eq!(shown("%k{hex} %v{base64} %v{json}"), r#"6b6579 dmEibA== "va\"l""#);
        assert_eq!(shown("%h{[%k:%v{hex}]}"), "[a:31][a:32][n:]");
        assert_eq!(shown("%d %d{s} %d{rfc3339}"), "951825600123 951825600 2000-02-29T12:00:00.123Z");
        assert_eq!(shown("%d{strftime[%F]}"), "2000-02-29");
    }

    #[test]
    fn mistakes_are_named() {
        for bad in ["%", "%q", "%k{hex", "%k{rot13}", "%d{x}", "%p{hex}", "\\q", "\\x4", "%h{%o}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn separators_have_escapes() {
        assert_eq!(unescape("\\t").unwrap(), b"\t");
        assert_eq!(unescape("::").unwrap(), b"::");
    }
}
