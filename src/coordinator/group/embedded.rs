//! What consumers of the classic protocol say to each other: their subscription when they join, and their assignment.
//! The coordinator of a classic group looks into neither; a consumer group, which has to understand both kinds of
//! members, into both.
//!
//! ```text
//! subscription  version: int16 · topics: [string] · user data: bytes? · from 1: owned: [topic: string · [int32]] ·
//!               from 2: generation: int32 · from 3: rack: string?
//! assignment    version: int16 · partitions: [topic: string · [int32]] · user data: bytes?
//! ```
//! What later versions add comes behind that, and is passed over.

use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::primitives::Uuid;

use crate::coordinator::assign::Partitions;
use crate::coordinator::doors::TopicLookup;

/// First version that says what the member owns.
const FIRST_WITH_OWNED: i16 = 1;
/// First version that says of which generation that is.
const FIRST_WITH_GENERATION: i16 = 2;
/// First version with a rack.
const FIRST_WITH_RACK: i16 = 3;

/// A subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Embedded {
    pub(crate) version: i16,
    pub(crate) topics: Vec<Arc<str>>,
    /// Partitions by the names of their topics.
    pub(crate) owned: Vec<(Arc<str>, Vec<i32>)>,
    pub(crate) rack: Option<Arc<str>>,
}

impl Embedded {
    /// Reads a subscription; `None` when it is none.
    pub(crate) fn read(metadata: &[u8]) -> Option<Self> {
        let mut input = Input(metadata);
        let version = input.int16().filter(|version| *version >= 0)?;
        let topics = input.list(2, Input::text)?;
        input.blob()?;
        let owned = if version >= FIRST_WITH_OWNED { input.partitions()? } else { Vec::new() };
        if version >= FIRST_WITH_GENERATION {
            input.int32()?;
        }
        let rack = if version >= FIRST_WITH_RACK { input.nullable()? } else { None };
        Some(Self { version, topics, owned, rack })
    }
}

/// An assignment with whether an assignor of the client's own has put something into it.
pub(crate) struct EmbeddedAssignment {
    pub(crate) partitions: Vec<(Arc<str>, Vec<i32>)>,
    pub(crate) has_user_data: bool,
}

/// Reads an assignment; `None` when it is none. Nothing at all is an empty one.
pub(crate) fn read_assignment(bytes: &[u8]) -> Option<EmbeddedAssignment> {
    if bytes.is_empty() {
        return Some(EmbeddedAssignment { partitions: Vec::new(), has_user_data: false });
    }
    let mut input = Input(bytes);
    input.int16().filter(|version| *version >= 0)?;
    let partitions = input.partitions()?;
    let has_user_data = !input.blob()?.is_empty();
    Some(EmbeddedAssignment { partitions, has_user_data })
}

/// Writes an assignment for a member whose subscription has this version. Topics that are gone are left out.
pub(crate) fn write_assignment(version: i16, partitions: &Partitions, topics: &dyn TopicLookup) -> Bytes {
    let named: Vec<_> = partitions.topics().filter_map(|(id, of)| Some((topics.name_of(id)?, of))).collect();
    let mut out = Vec::new();
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&(named.len() as i32).to_be_bytes());
    for (name, of) in named {
        // Names of topics end at 249 bytes.
        out.extend_from_slice(&(name.len() as i16).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&(of.len() as i32).to_be_bytes());
        for partition in of {
            out.extend_from_slice(&partition.to_be_bytes());
        }
    }
    out.extend_from_slice(&(-1i32).to_be_bytes());
    out.into()
}

/// Partitions by the ids of their topics; those of topics that are gone are left out.
pub(crate) fn by_id(named: &[(Arc<str>, Vec<i32>)], topics: &dyn TopicLookup) -> Partitions {
    let each = named.iter().filter_map(|(name, partitions)| Some((topics.id_of(name)?, partitions)));
    each.flat_map(|(id, partitions)| partitions.iter().map(move |&partition| (id, partition)))
        .collect::<Vec<(Uuid, i32)>>()
        .into_iter()
        .collect()
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn int16(&mut self) -> Option<i16> {
        self.chunk().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        self.nullable()?
    }

    fn nullable(&mut self) -> Option<Option<Arc<str>>> {
        let Ok(length) = usize::try_from(self.int16()?) else { return Some(None) };
        Some(Some(std::str::from_utf8(self.take(length)?).ok()?.into()))
    }

    fn blob(&mut self) -> Option<&'a [u8]> {
        let Ok(length) = usize::try_from(self.int32()?) else { return Some(&[]) };
        self.take(length)
    }

    /// A list of which each element takes `bytes_min` at least, which bounds what a wrong count can make us reserve.
    fn list<T>(&mut self, bytes_min: usize, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.int32()?).ok()?;
        let mut all = Vec::with_capacity(count.min(self.0.len() / bytes_min));
        for _ in 0..count {
            all.push(each(self)?);
        }
        Some(all)
    }

    fn partitions(&mut self) -> Option<Vec<(Arc<str>, Vec<i32>)>> {
        self.list(6, |input| Some((input.text()?, input.list(4, Self::int32)?)))
    }
}

/// The bytes of a subscription, for tests.
#[cfg(test)]
pub(crate) fn subscription(version: i16, topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let mut out = version.to_be_bytes().to_vec();
    out.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        out.extend((topic.len() as i16).to_be_bytes());
        out.extend(topic.as_bytes());
    }
    out.extend((-1i32).to_be_bytes());
    if version >= FIRST_WITH_OWNED {
        out.extend((owned.len() as i32).to_be_bytes());
        for (topic, partitions) in owned {
            out.extend((topic.len() as i16).to_be_bytes());
            out.extend(topic.as_bytes());
            out.extend((partitions.len() as i32).to_be_bytes());
            out.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
        }
    }
    if version >= FIRST_WITH_GENERATION {
        out.extend((-1i32).to_be_bytes());
    }
    if version >= FIRST_WITH_RACK {
        out.extend((-1i16).to_be_bytes());
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_of_every_version_are_read() {
        for version in 0..=4 {
            let bytes = subscription(version, &["a", "bc"], &[("a", &[0, 3])]);
            let read = Embedded::read(&bytes).unwrap();
            assert_eq!(read.topics, ["a".into(), "bc".into()]);
            assert_eq!(read.owned.len(), usize::from(version >= 1));
            for end in 0..bytes.len() {
                assert_eq!(Embedded::read(&bytes[..end]), None, "version {version} cut at {end}");
            }
        }
        assert_eq!(Embedded::read(b"\x00\x00\x7f\xff\xff\xff"), None);
        assert_eq!(Embedded::read(b"sub"), None);
    }

    #[test]
    fn what_is_no_assignment_is_not_read() {
        assert!(read_assignment(b"").unwrap().partitions.is_empty());
        assert!(read_assignment(b"\x00\x00\x7f\xff\xff\xff").is_none());
        let read = read_assignment(b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01x").unwrap();
        assert!(read.has_user_data);
    }
}
