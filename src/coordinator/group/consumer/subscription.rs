//! From subscriptions to topics.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;
use quipu_protocol::primitives::Uuid;
use regex::{Regex, RegexBuilder};

use super::{Refused, Resolved, Subscription};
use crate::coordinator::Now;
use crate::coordinator::doors::TopicLookup;

/// Longest regular expression. Topic names end at 249 characters; this leaves room for a list of them.
const REGEX_BYTES_MAX: usize = 16 * 1024;
/// Most memory that a compiled expression, and the cache of its search, may take.
const REGEX_MEMORY_MAX: usize = 1 << 20;

/// Compiles an expression that has to match a whole name. Matching takes time linear in the name, whatever the
/// expression: like RE2, which Kafka uses, this engine knows no look-around and no back-references.
pub(super) fn compile(pattern: &str) -> Result<Regex, Refused> {
    let invalid = |why: String| {
        let message = format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}.");
        Refused::new(ErrorCode::INVALID_REGULAR_EXPRESSION, message)
    };
    if pattern.len() > REGEX_BYTES_MAX {
        let message = format!("SubscribedTopicRegex is longer than {REGEX_BYTES_MAX} bytes.");
        return Err(Refused::new(ErrorCode::INVALID_REGULAR_EXPRESSION, message));
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern).size_limit(REGEX_MEMORY_MAX).dfa_size_limit(REGEX_MEMORY_MAX).build()
    };
    // By itself first: `a)|(b` is no expression, though it would be one in the brackets below.
    build(pattern)
        .and_then(|_| build(&format!(r"\A(?:{pattern})\z")))
        .map_err(|error| invalid(error.to_string()))
}

/// The topics that expressions are matched with: taken once for all of them, as a cluster may have very many.
#[derive(Debug)]
pub(super) struct Names {
    /// In order, and whether they may be seen, once that was asked.
    all: Vec<(Arc<str>, Option<bool>)>,
    version: i64,
}

impl Names {
    /// All topics, as they are now.
    pub(super) fn of(topics: &dyn TopicLookup) -> Self {
        let version = topics.version();
        let mut all: Vec<_> = topics.names().into_iter().map(|name| (name, None)).collect();
        all.sort_unstable();
        Self { all, version }
    }

    /// Finds the topics that an expression stands for. Only of those that match it is asked whether they may be seen.
    pub(super) fn resolve(&mut self, regex: &Regex, topics: &dyn TopicLookup, now: Now) -> Resolved {
        let matched = self.all.iter_mut().filter(|(name, _)| regex.is_match(name));
        let seen = matched.filter_map(|(name, is_seen)| {
            is_seen.get_or_insert_with(|| topics.shows(name)).then(|| Arc::clone(name))
        });
        Resolved { topics: seen.collect(), version: self.version, at_ms: now.wall }
    }
}

/// The topics of some members together, as they are now.
#[derive(Debug, Default)]
pub(super) struct Image {
    by_name: BTreeMap<Arc<str>, Option<(Uuid, i32)>>,
}

impl Image {
    /// Looks a topic up, once.
    pub(super) fn topic(&mut self, name: &Arc<str>, topics: &dyn TopicLookup) -> Option<Uuid> {
        if let Some(known) = self.by_name.get(name) {
            return known.map(|(id, _)| id);
        }
        let found = topics.id_of(name).zip(topics.partitions(name));
        self.by_name.insert(name.clone(), found);
        found.map(|(id, _)| id)
    }

    /// Number of partitions of each topic that exists.
    pub(super) fn sizes(&self) -> BTreeMap<Uuid, i32> {
        self.by_name.values().flatten().copied().collect()
    }

    /// Changes when a topic comes, goes or grows, and stays the same over restarts.
    pub(super) fn hash(&self) -> i64 {
        let mut hasher = Fnv::default();
        let mut any = false;
        for (name, topic) in &self.by_name {
            let Some((id, partitions)) = topic else { continue };
            any = true;
            hasher.write(name.as_bytes());
            hasher.write(&id.0);
            hasher.write(&partitions.to_be_bytes());
        }
        // As in Kafka, no topics give no hash.
        if any { hasher.finish().cast_signed() } else { 0 }
    }
}

/// The topics of one member, by id.
pub(super) fn topics_of(
    subscription: &Subscription,
    resolved: impl Fn(&str) -> Option<Arc<Resolved>>,
    image: &mut Image,
    topics: &dyn TopicLookup,
) -> BTreeSet<Uuid> {
    let matched = subscription.regex.as_deref().and_then(resolved);
    let matched = matched.iter().flat_map(|resolved| &resolved.topics);
    subscription.topics.iter().chain(matched).filter_map(|name| image.topic(name, topics)).collect()
}

/// FNV-1a of 64 bits: kept in records, so it must never change.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::coordinator::consumer::Seen;
    use crate::coordinator::doors::Sight;
    use crate::coordinator::group::sim::Topics;

    #[test]
    fn only_what_matches_is_asked_about_and_that_once() {
        let mut topics = Topics::default();
        for name in ["hidden-b", "b", "a", "c"] {
            topics.set(name, 1);
        }
        let asking = Asking::default();
        let seen = Seen { topics: &topics, sight: &asking };
        let mut names = Names::of(&seen);
        let mut resolve =
            |pattern| names.resolve(&compile(pattern).unwrap(), &seen, Now { tick: 0, wall: 7 }).topics;
        assert_eq!(resolve("b|c"), ["b".into(), "c".into()]);
        assert_eq!(resolve(".*b"), ["b".into()]);
        assert_eq!(resolve("b"), ["b".into()]);
        assert_eq!(*asking.0.lock(), ["b", "c", "hidden-b"]);
    }

    /// Hides some topics, and notes what it is asked about.
    #[derive(Default)]
    struct Asking(Mutex<Vec<String>>);

    impl Sight for Asking {
        fn sees(&self, topic: &str) -> bool {
            self.0.lock().push(topic.to_owned());
            !topic.starts_with("hidden")
        }

        fn version(&self) -> i64 {
            0
        }
    }

    #[test]
    fn an_expression_matches_whole_names() {
        let regex = compile("a|bc.*").unwrap();
        assert!(regex.is_match("a") && regex.is_match("bcd"));
        assert!(!regex.is_match("ab") && !regex.is_match("xbc"));
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        let long = "a".repeat(REGEX_BYTES_MAX + 1);
        for bad in ["(", "a)|(b", "*", r"(a)\1", "(?=a)", "((a{1000}){1000}){1000}", &long] {
            assert_eq!(compile(bad).unwrap_err().code, ErrorCode::INVALID_REGULAR_EXPRESSION, "{bad:.20}");
        }
    }
}
