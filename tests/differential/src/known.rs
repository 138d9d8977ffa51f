//! The differences that are known, with their reasons: `differences.txt`.

use crate::transcript::Difference;

/// One row of the file.
pub struct Known {
    /// Where it stands.
    pub line: usize,
    /// Names of scenarios, `*` for any letters.
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

/// Whether `text` has the form of `pattern`, in which `*` stands for any letters.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("a/*", "a/b c") && matches("*", "") && matches("a*c*", "abcd"));
        assert!(!matches("a", "ab") && !matches("a*d", "abc"));
    }

    #[test]
    fn a_row_needs_a_reason() {
        assert_eq!(parse("# c\na | b | c | d | e\n").unwrap()[0].reason, "d | e");
        assert!(parse("a | b | c |").is_err());
        assert!(parse("a | b").is_err());
    }
}
