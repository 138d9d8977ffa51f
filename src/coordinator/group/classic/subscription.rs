//! Which topics the members of a consumer group read.

use std::collections::HashSet;
use std::sync::Arc;

use super::Classic;

impl Classic {
    /// The topics of all members together; `None` when the group is not one of consumers or a subscription cannot
    /// be read.
    pub(super) fn topics_of_members(&self) -> Option<HashSet<Arc<str>>> {
        if !self.is_consumer() {
            return None;
        }
        if self.members.is_empty() {
            return Some(HashSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut all = HashSet::new();
        for member in self.members.values() {
            for topic in topics(&member.metadata(protocol))? {
                if !all.contains(topic) {
                    all.insert(Arc::from(topic));
                }
            }
        }
        Some(all)
    }
}

/// Reads the topics at the start of a ConsumerProtocolSubscription.
///
/// ```text
/// version: int16 · count: int32 · (length: int16 · name)* · what later versions add
/// ```
/// Every version starts like this, so versions that do not exist yet can be read too.
fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    // A name takes two bytes at least, which bounds what a wrong count can make us reserve.
    let mut topics = Vec::with_capacity(count.min(rest.len() / 2));
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(std::str::from_utf8(name).ok()?);
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::topics;

    #[test]
    fn topics_are_read_whatever_follows_them() {
        let metadata = b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xffmore";
        assert_eq!(topics(metadata), Some(vec!["a", "bc"]));
        assert_eq!(topics(b"\x00\x00\x00\x00\x00\x00"), Some(vec![]));
    }

    #[test]
    fn what_is_not_a_subscription_is_not_read() {
        assert_eq!(topics(b""), None);
        assert_eq!(topics(b"\xff\xff\x00\x00\x00\x00"), None);
        assert_eq!(topics(b"\x00\x00\x7f\xff\xff\xff"), None);
        assert_eq!(topics(b"\x00\x00\x00\x00\x00\x01\x00\x05abc"), None);
        assert_eq!(topics(b"\x00\x00\x00\x00\x00\x01\xff\xff"), None);
        assert_eq!(topics(b"\x00\x00\xff\xff\xff\xff"), None);
    }
}
