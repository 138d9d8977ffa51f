//! Reads Java properties files (`java.util.Properties`, `load`), keeping the line of each entry.
//!
//! An entry is a logical line: natural lines joined where one ends in an odd number of backslashes, leading
//! blanks of the continuation dropped. `#` and `!` begin a comment only as the first non-blank character of a
//! logical line. The key ends at the first unescaped `=`, `:` or blank. A later entry for the same key wins.

use super::error::ConfigError;
use std::path::Path;

/// An entry of a properties file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped. Blanks at its end count, as in Java.
    pub value: String,
    /// The line on which the entry begins, counted from 1.
    pub line: usize,
}

/// Reads a file. Bytes that are not UTF-8 are taken as ISO 8859-1, as Java up to version 8 did for all.
pub fn read(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let bytes =
        std::fs::read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().iter().map(|byte| char::from(*byte)).collect(),
    };
    parse(&text).map_err(|(line, problem)| ConfigError::Malformed { path: path.to_owned(), line, problem })
}

/// Reads the text of a file; the error is a line, counted from 1, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Entry>, (usize, &'static str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = natural_lines(text).enumerate();
    let mut entries = Vec::new();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        // What is continued from nothing begins on the next line, which may be a comment.
        if first == "\\" {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, more)) => logical.push_str(more.trim_start_matches(is_blank)),
                None => break,
            }
        }
        entries.push(entry(&logical, index + 1).map_err(|problem| (index + 1, problem))?);
    }
    Ok(entries)
}

/// Lines that end in LF, CR or CR LF.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        match now.find(['\r', '\n']) {
            None => {
                rest = None;
                Some(now)
            }
            Some(end) => {
                let width = if now[end..].starts_with("\r\n") { 2 } else { 1 };
                rest = Some(&now[end + width..]);
                Some(&now[..end])
            }
        }
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn entry(logical: &str, line: usize) -> Result<Entry, &'static str> {
    let mut escaped = false;
    let key_end = logical
        .char_indices()
        .find(|(_, c)| {
            if std::mem::take(&mut escaped) {
                return false;
            }
            escaped = *c == '\\';
            is_blank(*c) || matches!(c, '=' | ':')
        })
        .map_or(logical.len(), |(end, _)| end);
    let rest = logical[key_end..].trim_start_matches(is_blank);
    let value = match rest.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches(is_blank),
        None => rest,
    };
    Ok(Entry { key: unescape(&logical[..key_end])?, value: unescape(value)?, line })
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = if c == '\\' {
            match rest.next() {
                Some('u') => {
                    let digits =
                        rest.as_str().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                    let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    units.push(unit.ok_or("\\u must be followed by four hexadecimal digits")?);
                    rest = rest.as_str()[4..].chars();
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            }
        } else {
            c
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| "\\u escapes leave half of a surrogate pair")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        parse(text).unwrap().into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut entries = parse(text).unwrap();
        assert_eq!(entries.len(), 1, "{text:?}");
        let entry = entries.remove(0);
        (entry.key, entry.value)
    }

    #[test]
    fn separators_and_blanks() {
        for text in ["a=b", "a:b", "a b", " a = b", "\ta\t:\tb", "a  b", "a=b\r\n", "a = b"] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("a"), ("a".into(), String::new()));
        assert_eq!(one("a="), ("a".into(), String::new()));
        assert_eq!(one("=b"), (String::new(), "b".into()));
        assert_eq!(one("a=b=c"), ("a".into(), "b=c".into()));
        assert_eq!(one("a==b"), ("a".into(), "=b".into()));
        assert_eq!(one("a=b  "), ("a".into(), "b  ".into()), "blanks at the end count");
    }

    #[test]
    fn comments_only_begin_a_line() {
        assert_eq!(
            pairs("# x\n  ! y\n\n a=b # not a comment\n"),
            [("a".into(), "b # not a comment".into(), 4)]
        );
    }

    #[test]
    fn continuations_keep_the_first_line_number() {
        assert_eq!(
            pairs("x=1\nlisteners=A://:1,\\\n   B://:2,\\\r\n\tC://:3\ny=2"),
            [
                ("x".into(), "1".into(), 1),
                ("listeners".into(), "A://:1,B://:2,C://:3".into(), 2),
                ("y".into(), "2".into(), 5)
            ]
        );
        assert_eq!(pairs("a=b\\\\\nc=d").len(), 2, "an even number of backslashes ends the line");
        assert_eq!(one("a=b\\"), ("a".into(), "b".into()), "a backslash ends the file");
        assert_eq!(one("a=b\\\n#c"), ("a".into(), "b#c".into()), "no comment inside a logical line");
        assert_eq!(one("a=b\\\n"), ("a".into(), "b".into()));
    }

    #[test]
    fn escapes() {
        assert_eq!(one(r"a\=b\:c\ d=e"), ("a=b:c d".into(), "e".into()));
        assert_eq!(one(r"a=\t\n\r\f\\\z"), ("a".into(), "\t\n\r\u{c}\\z".into()));
        assert_eq!(one(r"a=\u0041\u00e9\ud83d\ude00"), ("a".into(), "Aé😀".into()));
        assert_eq!(one("a=C:\\\\data"), ("a".into(), "C:\\data".into()));
    }

    #[test]
    fn broken_escapes_name_their_line() {
        for text in ["x=1\na=\\u12", "x=1\na=\\u12g4", "x=1\na=\\u+123", "x=1\na=\\ud83d"] {
            assert_eq!(parse(text).unwrap_err().0, 2, "{text:?}");
        }
        assert_eq!(parse("a=\\u00é").unwrap_err().0, 1, "not at a character border");
    }

    #[test]
    fn byte_order_mark_and_other_line_ends() {
        assert_eq!(one("\u{feff}a=b"), ("a".into(), "b".into()));
        assert_eq!(pairs("a=1\rb=2\r\n\r\nc=3").iter().map(|p| p.2).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[test]
    fn any_text_is_taken_or_refused_without_a_panic() {
        for text in ["\\", "\\\\\\", "=", ":", " ", "\\u", "\u{0}", "é\\é=é", "\\\n\\\n\\"] {
            let _ = parse(text);
        }
    }

    /// Each line of the file is a text and what `java.util.Properties` of Java 17 made of it, null for a refusal.
    #[test]
    fn reads_what_java_reads() {
        let cases = include_str!("../../tests/data/java-properties.jsonl");
        for line in cases.lines() {
            let (text, mut expected): (String, Option<BTreeMap<String, String>>) =
                serde_json::from_str(line).unwrap();
            let mut read = parse(&text).ok().map(|entries| {
                entries.into_iter().map(|entry| (entry.key, entry.value)).collect::<BTreeMap<_, _>>()
            });
            // Of a backslash at the very end Java makes an entry of nothing, now and then.
            if text.trim_end_matches(['\r', '\n']).ends_with('\\') {
                for entries in [&mut read, &mut expected].into_iter().flatten() {
                    entries.remove("");
                }
            }
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
