//! The known name nearest to a mistyped one.

/// The candidate nearest to `name`, if it is near enough to be what was meant: at most two edits, or one in five
/// characters of a long name.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 5).clamp(1, 4).max(2);
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit * 4)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, edits) in
            [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("ab", "ab", 0)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn finds_what_was_meant_and_nothing_far() {
        let known = ["log.retention.ms", "log.retention.hours", "num.partitions", "node.id"];
        let find = |name| nearest(name, known.iter().copied());
        assert_eq!(find("log.retentoin.ms"), Some("log.retention.ms"));
        assert_eq!(find("log.retention.hour"), Some("log.retention.hours"));
        assert_eq!(find("num.partition"), Some("num.partitions"));
        assert_eq!(find("nodeid"), Some("node.id"));
        assert_eq!(find("something.else.entirely"), None);
        assert_eq!(find(""), None);
    }
}
