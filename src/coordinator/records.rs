//! Records of `__consumer_offsets`, in Kafka's own forms, so that tools that read that topic can read ours.
//!
//! A key and a value each start with the version of their form (int16, big endian like everything here). A record
//! without a value removes what its key names.
//!
//! ```text
//! OffsetCommitKey    0, 1   group: string · topic: string · partition: int32
//! GroupMetadataKey   2      group: string
//! (others)           3…     other kinds of groups: [consumer] and those that are not kept
//!
//! OffsetCommitValue  0      offset: int64 · metadata: string · commit time: int64
//!                    1      … · expiry time: int64
//!                    2      as 0
//!                    3      offset: int64 · leader epoch: int32 · metadata: string · commit time: int64
//!                    4      as 3, flexible · tag 0, topic id: uuid (KAFKA-19141)
//! GroupMetadataValue 0      protocol type: string · generation: int32 · protocol: string? · leader: string? · members
//!                    1      … members with rebalance timeout
//!                    2      … leader · state since: int64 · members
//!                    3      … members with instance id
//!                    4      as 3, flexible
//! member                    id: string · instance id: string? · client id: string · host: string ·
//!                           rebalance timeout: int32 · session timeout: int32 · subscription: bytes · assignment: bytes
//! ```
//! We write the versions that Kafka writes; all are read. Of GroupMetadataValue that is 3. Of OffsetCommitValue it is 4
//! since Kafka 4.1, whatever the metadata version, and 1 for a commit with a retention of its own, which has no place for
//! an id. Commits in transactions carry the id since Kafka 4.4 (KIP-1319). An id of zeros, as of a record of an earlier
//! version, is not written.

mod consumer;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quipu_protocol::primitives::Uuid;

use super::group::offsets::Committed;
use super::group::{Generation, GenerationMember, Record};

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const OFFSET_VALUE: i16 = 4;
const OFFSET_VALUE_WITH_EXPIRY: i16 = 1;
const GROUP_VALUE: i16 = 3;
/// Tag of the topic's id.
const TOPIC_ID: u32 = 0;
/// First flexible version of either value.
const FLEXIBLE_VALUE: i16 = 4;

/// A record as it is appended to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorRecord {
    /// Key, never empty.
    pub key: Vec<u8>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Why a stored record cannot be read, or one cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes end too early, or a length is negative or too large.
    Malformed,
    /// A string is not UTF-8.
    NotText,
    /// The form has a version that is not known.
    Version(i16),
    /// A string to be stored is longer than 32,767 bytes, or a field longer than 2 GiB.
    TooLong,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed group record"),
            Self::NotText => f.write_str("group record with a string that is not UTF-8"),
            Self::Version(version) => write!(f, "group record of unknown version {version}"),
            Self::TooLong => f.write_str("field too long for a group record"),
        }
    }
}

impl std::error::Error for RecordError {}

/// The on-log form of a change to `group`.
pub fn encode(group: &str, record: &Record) -> Result<CoordinatorRecord, RecordError> {
    let mut key = Output::default();
    let value = match record {
        Record::Offset { topic, partition, value } => {
            key.int16(OFFSET_KEY);
            key.string(group)?;
            key.string(topic)?;
            key.int32(*partition);
            value.as_ref().map(encode_committed).transpose()?
        }
        Record::Generation(generation) => {
            key.int16(GROUP_KEY);
            key.string(group)?;
            generation.as_deref().map(encode_generation).transpose()?
        }
        Record::Consumer(record) => {
            let (key, value) = consumer::encode(group, record)?;
            return Ok(CoordinatorRecord { key, value });
        }
    };
    Ok(CoordinatorRecord { key: key.0, value })
}

fn encode_committed(committed: &Committed) -> Result<Vec<u8>, RecordError> {
    let mut out = Output::default();
    let expires = committed.expire_ms >= 0;
    out.int16(if expires { OFFSET_VALUE_WITH_EXPIRY } else { OFFSET_VALUE });
    out.int64(committed.offset);
    if expires {
        out.string(&committed.metadata)?;
        out.int64(committed.commit_ms);
        out.int64(committed.expire_ms);
        return Ok(out.0);
    }
    out.int32(committed.leader_epoch);
    // No string is longer, flexible or not.
    i16::try_from(committed.metadata.len()).map_err(|_| RecordError::TooLong)?;
    out.compact(Some(&committed.metadata));
    out.int64(committed.commit_ms);
    if committed.topic_id.is_zero() {
        out.varint(0);
    } else {
        let id = committed.topic_id.0;
        out.varint(1);
        out.varint(TOPIC_ID);
        out.varint(id.len() as u32);
        out.0.extend_from_slice(&id);
    }
    Ok(out.0)
}

fn encode_generation(generation: &Generation) -> Result<Vec<u8>, RecordError> {
    let mut out = Output::default();
    out.int16(GROUP_VALUE);
    out.string(&generation.protocol_type)?;
    out.int32(generation.id);
    out.nullable(generation.protocol.as_deref())?;
    out.nullable(generation.leader.as_deref())?;
    out.int64(generation.state_since_ms);
    out.length(generation.members.len())?;
    for member in &generation.members {
        out.string(&member.id)?;
        out.nullable(member.instance_id.as_deref())?;
        out.string(&member.client_id)?;
        out.string(&member.client_host)?;
        out.int32(member.rebalance_timeout_ms);
        out.int32(member.session_timeout_ms);
        out.bytes(&member.subscription)?;
        out.bytes(&member.assignment)?;
    }
    Ok(out.0)
}

/// Reads a stored record: the group that it is about and the change. `None` for kinds that this coordinator does not
/// keep.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<(Arc<str>, Record)>, RecordError> {
    let mut key = Input { rest: key, flexible: false };
    match key.int16()? {
        0 | OFFSET_KEY => {
            let group = key.string()?;
            let topic = key.string()?;
            let partition = key.int32()?;
            let value = value.map(decode_committed).transpose()?;
            Ok(Some((group, Record::Offset { topic, partition, value })))
        }
        GROUP_KEY => {
            let group = key.string()?;
            let generation = value.map(decode_generation).transpose()?;
            Ok(Some((group, Record::Generation(generation.map(Arc::new)))))
        }
        kind @ 3.. => {
            let decoded = consumer::decode(kind, key, value)?;
            Ok(decoded.map(|(group, record)| (group, Record::Consumer(record))))
        }
        version => Err(RecordError::Version(version)),
    }
}

fn decode_committed(value: &[u8]) -> Result<Committed, RecordError> {
    let (version, mut input) = Input::versioned(value)?;
    let offset = input.int64()?;
    let leader_epoch = if version >= 3 { input.int32()? } else { -1 };
    let metadata = input.string()?;
    let commit_ms = input.int64()?;
    let expire_ms = if version == 1 { input.int64()? } else { -1 };
    let mut topic_id = Uuid::ZERO;
    if version >= FLEXIBLE_VALUE {
        input.tags(|tag, mut field| {
            if tag == TOPIC_ID {
                topic_id = Uuid(field.chunk()?);
            }
            Ok(())
        })?;
    }
    Ok(Committed { offset, leader_epoch, metadata, commit_ms, expire_ms, topic_id })
}

fn decode_generation(value: &[u8]) -> Result<Generation, RecordError> {
    let (version, mut input) = Input::versioned(value)?;
    let protocol_type = input.string()?;
    let id = input.int32()?;
    let protocol = input.nullable()?;
    let leader = input.nullable()?;
    let state_since_ms = if version >= 2 { input.int64()? } else { -1 };
    let count = input.count()?;
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let member_id = input.string()?;
        let instance_id = if version >= 3 { input.nullable()? } else { None };
        let client_id = input.string()?;
        let client_host = input.string()?;
        let rebalance_timeout_ms = if version >= 1 { input.int32()? } else { -1 };
        let session_timeout_ms = input.int32()?;
        let subscription = input.bytes()?;
        let assignment = input.bytes()?;
        if version >= FLEXIBLE_VALUE {
            input.skip_tags()?;
        }
        members.push(GenerationMember {
            id: member_id,
            instance_id,
            client_id,
            client_host,
            // As the group would have done without one.
            rebalance_timeout_ms: if rebalance_timeout_ms < 0 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            session_timeout_ms,
            subscription,
            assignment,
        });
    }
    Ok(Generation { protocol_type, id, protocol, leader, state_since_ms, members })
}

#[derive(Default)]
struct Output(Vec<u8>);

impl Output {
    fn int16(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn int32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn int64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn length(&mut self, length: usize) -> Result<(), RecordError> {
        self.int32(i32::try_from(length).map_err(|_| RecordError::TooLong)?);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), RecordError> {
        self.int16(i16::try_from(text.len()).map_err(|_| RecordError::TooLong)?);
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn nullable(&mut self, text: Option<&str>) -> Result<(), RecordError> {
        match text {
            Some(text) => self.string(text),
            None => {
                self.int16(-1);
                Ok(())
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.length(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads the fields of a record, bounded by its bytes.
pub(super) struct Input<'a> {
    pub(super) rest: &'a [u8],
    /// Lengths are varints, one too large, and tags follow.
    pub(super) flexible: bool,
}

impl<'a> Input<'a> {
    fn versioned(value: &'a [u8]) -> Result<(i16, Self), RecordError> {
        let mut input = Self { rest: value, flexible: false };
        let version = input.int16()?;
        if !(0..=FLEXIBLE_VALUE).contains(&version) {
            return Err(RecordError::Version(version));
        }
        input.flexible = version >= FLEXIBLE_VALUE;
        Ok((version, input))
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(RecordError::Malformed)?;
        self.rest = rest;
        Ok(*chunk)
    }

    pub(super) fn int16(&mut self) -> Result<i16, RecordError> {
        Ok(i16::from_be_bytes(self.chunk()?))
    }

    pub(super) fn int32(&mut self) -> Result<i32, RecordError> {
        Ok(i32::from_be_bytes(self.chunk()?))
    }

    pub(super) fn int64(&mut self) -> Result<i64, RecordError> {
        Ok(i64::from_be_bytes(self.chunk()?))
    }

    fn varint(&mut self) -> Result<u32, RecordError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.chunk()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| RecordError::Malformed);
            }
        }
        Err(RecordError::Malformed)
    }

    /// A length, `None` for null. `wide` says whether the inflexible form takes four bytes instead of two.
    fn length(&mut self, wide: bool) -> Result<Option<usize>, RecordError> {
        let length = if self.flexible {
            i64::from(self.varint()?) - 1
        } else if wide {
            i64::from(self.int32()?)
        } else {
            i64::from(self.int16()?)
        };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length).map(Some).map_err(|_| RecordError::Malformed),
        }
    }

    pub(super) fn int8(&mut self) -> Result<i8, RecordError> {
        Ok(i8::from_be_bytes(self.chunk()?))
    }

    /// As [`Self::count`], `None` for null.
    pub(super) fn nullable_count(&mut self) -> Result<Option<usize>, RecordError> {
        match self.length(true)? {
            Some(count) if count > self.rest.len() => Err(RecordError::Malformed),
            count => Ok(count),
        }
    }

    /// Number of array elements; no more than there are bytes left.
    pub(super) fn count(&mut self) -> Result<usize, RecordError> {
        self.nullable_count()?.ok_or(RecordError::Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(RecordError::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn nullable(&mut self) -> Result<Option<Arc<str>>, RecordError> {
        let Some(length) = self.length(false)? else { return Ok(None) };
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| RecordError::NotText)?;
        Ok(Some(text.into()))
    }

    pub(super) fn string(&mut self) -> Result<Arc<str>, RecordError> {
        self.nullable()?.ok_or(RecordError::Malformed)
    }

    fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = self.length(true)?.ok_or(RecordError::Malformed)?;
        Ok(Bytes::copy_from_slice(self.take(length)?))
    }

    pub(super) fn skip_tags(&mut self) -> Result<(), RecordError> {
        self.tags(|_, _| Ok(()))
    }

    /// Shows each tagged field to `read`.
    pub(super) fn tags(
        &mut self,
        mut read: impl FnMut(u32, Input<'a>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            read(tag, Input { rest: self.take(length)?, flexible: true })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(expire_ms: i64) -> Committed {
        Committed {
            offset: 258,
            leader_epoch: 7,
            metadata: "m".into(),
            commit_ms: 1000,
            expire_ms,
            topic_id: Uuid(*b"the id of topict"),
        }
    }

    fn generation() -> Generation {
        let member = |id: &str, instance_id: Option<&str>| GenerationMember {
            id: id.into(),
            instance_id: instance_id.map(Into::into),
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(b"sub"),
            assignment: Bytes::from_static(b"take"),
        };
        Generation {
            protocol_type: "consumer".into(),
            id: 4,
            protocol: Some("range".into()),
            leader: Some("a".into()),
            state_since_ms: 99,
            members: vec![member("a", None), member("b", Some("pod-1"))],
        }
    }

    fn round_trip(record: Record) {
        let CoordinatorRecord { key, value } = encode("g", &record).unwrap();
        let (group, back) = decode(&key, value.as_deref()).unwrap().unwrap();
        assert_eq!((&*group, back), ("g", record));
    }

    #[test]
    fn an_offset_commit_has_kafkas_bytes() {
        let record = Record::Offset { topic: "t".into(), partition: 3, value: Some(committed(-1)) };
        let CoordinatorRecord { key, value } = encode("g", &record).unwrap();
        assert_eq!(key, b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03");
        assert_eq!(
            value.unwrap(),
            b"\x00\x04\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x07\x02m\x00\x00\x00\x00\x00\x00\x03\xe8\
              \x01\x00\x10the id of topict"
        );
        round_trip(record);
        for metadata in [0, 1, 126, 127, 128, 32_767] {
            let value = Committed { metadata: "m".repeat(metadata).into(), ..committed(-1) };
            round_trip(Record::Offset { topic: "t".into(), partition: 3, value: Some(value) });
        }
        let value = Committed { metadata: "m".repeat(32_768).into(), ..committed(-1) };
        let record = Record::Offset { topic: "t".into(), partition: 3, value: Some(value) };
        assert_eq!(encode("g", &record), Err(RecordError::TooLong));
        round_trip(Record::Offset { topic: "t".into(), partition: 3, value: None });
    }

    #[test]
    fn a_commit_with_its_own_retention_is_written_as_version_1() {
        let record = Record::Offset { topic: "t".into(), partition: 0, value: Some(committed(5)) };
        let CoordinatorRecord { key, value } = encode("g", &record).unwrap();
        let Some((_, Record::Offset { value: Some(back), .. })) = decode(&key, value.as_deref()).unwrap()
        else {
            panic!("not an offset")
        };
        // Version 1 has no place for the leader epoch, nor for the topic's id.
        assert_eq!(back, Committed { leader_epoch: -1, topic_id: Uuid::ZERO, ..committed(5) });
    }

    #[test]
    fn a_generation_round_trips() {
        let empty = Generation { members: Vec::new(), protocol: None, leader: None, ..generation() };
        round_trip(Record::Generation(Some(Arc::new(generation()))));
        round_trip(Record::Generation(Some(Arc::new(empty))));
        round_trip(Record::Generation(None));
    }

    #[test]
    fn flexible_values_are_read() {
        let value = b"\x00\x04\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x07\x02m\x00\x00\x00\x00\x00\x00\x03\xe8\x00";
        let without = Committed { topic_id: Uuid::ZERO, ..committed(-1) };
        assert_eq!(decode_committed(value), Ok(without.clone()));
        assert_eq!(encode_committed(&without).unwrap(), value);
        let value = b"\x00\x03\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x07\x00\x01m\x00\x00\x00\x00\x00\x00\x03\xe8";
        assert_eq!(decode_committed(value), Ok(without), "as written before");
        let value = b"\x00\x04\x09consumer\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x63\x02\
            \x02a\x00\x02c\x02h\x00\x00\x00\x01\x00\x00\x00\x02\x01\x03xy\x01\x00\x01z\x00";
        let read = decode_generation(value).unwrap();
        assert_eq!((read.id, read.protocol, read.members.len()), (4, None, 1));
        assert_eq!(read.members[0].assignment, Bytes::from_static(b"xy"));
    }

    #[test]
    fn damaged_records_are_refused_wherever_they_are_cut() {
        for record in [
            Record::Offset { topic: "t".into(), partition: 3, value: Some(committed(-1)) },
            Record::Generation(Some(Arc::new(generation()))),
        ] {
            let CoordinatorRecord { key, value } = encode("g", &record).unwrap();
            let value = value.unwrap();
            for cut in 0..key.len() {
                assert_eq!(decode(&key[..cut], Some(&value)), Err(RecordError::Malformed));
            }
            for cut in 0..value.len() {
                assert_eq!(decode(&key, Some(&value[..cut])), Err(RecordError::Malformed));
            }
        }
        assert_eq!(decode(b"\xff\xff", None), Err(RecordError::Version(-1)));
        assert_eq!(decode_committed(b"\x00\x05"), Err(RecordError::Version(5)));
        assert_eq!(decode(b"\x00\x04\x00\x01g", None), Ok(None));
    }

    #[test]
    fn a_string_that_does_not_fit_is_refused() {
        let long: Arc<str> = "x".repeat(40_000).into();
        let record = Record::Offset { topic: long, partition: 3, value: None };
        assert_eq!(encode("g", &record), Err(RecordError::TooLong));
    }
}
