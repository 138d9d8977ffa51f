//! The differences that are known, with their reasons: `differences.txt`.

use crate::transcript::Difference;

/// One row of the file.
pub struct Known {
    /// Where it stands.
    pub line: usize,
    /// Names of scenarios, `*` for any letters, `?` for one.
    pub scenario: String,
    /// `Api@version`, likewise.
    pub question: String,
    /// Places in the answer, likewise.
    pub path: String,
    /// Why.
    pub reason: String,
    /// How many lines it has explained.
    pub used: usize,
}

/// Reads rows of `scenario | Api@version | path | reason`.
pub fn parse(text: &str) -> Result<Vec<Known>, String> {
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
        let [scenario, question, path, reason] = parts[..] else {
            return Err(format!("differences.txt:{}: scenario | Api@version | path | reason", at + 1));
        };
        if reason.is_empty() {
            return Err(format!("differences.txt:{}: no reason", at + 1));
        }
        let text = |part: &str| part.to_owned();
        rows.push(Known {
            line: at + 1,
            scenario: text(scenario),
            question: text(question),
            path: text(path),
            reason: text(reason),
            used: 0,
        });
    }
    Ok(rows)
}

impl Known {
    /// Whether the row speaks of that difference.
    pub fn explains(&self, scenario: &str, difference: &Difference) -> bool {
        matches(&self.scenario, scenario)
            && matches(&self.question, &difference.label)
            && matches(&self.path, &difference.path)
    }
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any letters and `?` for one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut letters = text.chars();
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }
        Some('?') => letters.next().is_some() && matches(&pattern[1..], letters.as_str()),
        Some(letter) => {
            letters.next() == Some(letter) && matches(&pattern[letter.len_utf8()..], letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(
            matches("a/*", "a/b c") && matches("*", "") && matches("a*c*", "abcd") && matches("a?c", "abc")
        );
        assert!(!matches("a", "ab") && !matches("a*d", "abc"));
    }

    #[test]
    fn a_row_needs_a_reason() {
        assert_eq!(parse("# c\na | b | c | d | e\n").unwrap()[0].reason, "d | e");
        assert!(parse("a | b | c |").is_err());
        assert!(parse("a | b").is_err());
    }
}
