//! Records of consumer groups (KIP-848), each with its own version of key; all values are flexible, version 0.
//!
//! ```text
//! 3  ConsumerGroupMetadata                group: epoch: int32 · tag 0: metadata hash: int64
//! 4  ConsumerGroupPartitionMetadata       not written since Kafka 4.1, not read
//! 5  ConsumerGroupMemberMetadata          group, member: instance: string? · rack: string? · client: string ·
//!                                         host: string · topics: [string] · regex: string? ·
//!                                         rebalance timeout: int32 · assignor: string? · tag 0, of a member of
//!                                         the classic protocol: session timeout: int32 · [name: string · metadata: bytes]
//! 6  ConsumerGroupTargetAssignmentMetadata  group: epoch: int32 · tag 0: time: int64
//! 7  ConsumerGroupTargetAssignmentMember  group, member: [topic: uuid · [int32]]
//! 8  ConsumerGroupCurrentMemberAssignment group, member: epoch: int32 · previous epoch: int32 · state: int8 ·
//!                                         assigned: [topic: uuid · [int32] · tag 0: epochs: [int32]] ·
//!                                         revoking: the same
//! 16 ConsumerGroupRegularExpression       group, expression: topics: [string] · version: int64 · time: int64
//! ```

use std::sync::Arc;

use quipu_protocol::primitives::Uuid;

use super::{Input, Output, RecordError};
use crate::coordinator::assign::Partitions;
use crate::coordinator::group::classic::Protocol;
use crate::coordinator::group::consumer::{
    ClassicMember, ConsumerRecord, Current, GroupEpoch, Held, Progress, Resolved, Subscription, TargetEpoch,
};

const EPOCH: i16 = 3;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

/// The one version of every value.
const VALUE: i16 = 0;

/// Key and value.
type Encoded = (Vec<u8>, Option<Vec<u8>>);

pub(super) fn encode(group: &str, record: &ConsumerRecord) -> Result<Encoded, RecordError> {
    let key = |version: i16, name: Option<&str>| {
        let mut key = Output::default();
        key.int16(version);
        key.string(group)?;
        name.map_or(Ok(()), |name| key.string(name))?;
        Ok::<_, RecordError>(key.0)
    };
    let mut out = Output::default();
    out.int16(VALUE);
    let (key, has_value) = match record {
        ConsumerRecord::Epoch(value) => {
            if let Some(value) = value {
                out.int32(value.epoch);
                out.tagged_int64(value.metadata_hash);
            }
            (key(EPOCH, None)?, value.is_some())
        }
        ConsumerRecord::Member(id, value) => {
            if let Some(value) = value {
                encode_subscription(&mut out, value);
            }
            (key(MEMBER, Some(id))?, value.is_some())
        }
        ConsumerRecord::TargetEpoch(value) => {
            if let Some(target) = value {
                out.int32(target.epoch);
                out.tagged_int64(target.at_ms);
            }
            (key(TARGET_EPOCH, None)?, value.is_some())
        }
        ConsumerRecord::Target(id, value) => {
            if let Some(partitions) = value {
                out.partitions(partitions);
                out.varint(0);
            }
            (key(TARGET, Some(id))?, value.is_some())
        }
        ConsumerRecord::Current(id, value) => {
            if let Some(current) = value {
                out.int32(current.epoch);
                out.int32(current.previous_epoch);
                out.0.push(current.progress as u8);
                out.held(&current.assigned);
                out.held(&current.revoking);
                out.varint(0);
            }
            (key(CURRENT, Some(id))?, value.is_some())
        }
        ConsumerRecord::Regex(regex, value) => {
            if let Some(resolved) = value {
                out.names(&resolved.topics);
                out.int64(resolved.version);
                out.int64(resolved.at_ms);
                out.varint(0);
            }
            (key(REGEX, Some(regex))?, value.is_some())
        }
    };
    Ok((key, has_value.then_some(out.0)))
}

fn encode_subscription(out: &mut Output, member: &Subscription) {
    out.compact(member.instance_id.as_deref());
    out.compact(member.rack_id.as_deref());
    out.compact(Some(&member.client_id));
    out.compact(Some(&member.client_host));
    out.names(&member.topics);
    out.compact(member.regex.as_deref());
    out.int32(member.rebalance_timeout_ms);
    out.compact(member.assignor.as_deref());
    let Some(classic) = &member.classic else {
        out.varint(0);
        return;
    };
    let mut field = Output::default();
    // A structure that could be missing says first that it is not.
    field.0.push(1);
    field.int32(classic.session_timeout_ms);
    field.compact_length(classic.protocols.len());
    for protocol in &classic.protocols {
        field.compact(Some(&protocol.name));
        field.compact_length(protocol.metadata.len());
        field.0.extend_from_slice(&protocol.metadata);
        field.varint(0);
    }
    field.varint(0);
    // One tag, number 0.
    out.0.extend_from_slice(&[1, 0]);
    out.varint(u32::try_from(field.0.len()).unwrap_or(u32::MAX));
    out.0.extend_from_slice(&field.0);
}

/// Reads a record whose key has version `kind`; `None` for kinds that are not kept.
pub(super) fn decode(
    kind: i16,
    mut key: Input<'_>,
    value: Option<&[u8]>,
) -> Result<Option<(Arc<str>, ConsumerRecord)>, RecordError> {
    if !matches!(kind, EPOCH | MEMBER | TARGET_EPOCH | TARGET | CURRENT | REGEX) {
        return Ok(None);
    }
    let group = key.string()?;
    let value = value.map(open).transpose()?;
    let record = match kind {
        EPOCH => ConsumerRecord::Epoch(value.map(decode_epoch).transpose()?),
        TARGET_EPOCH => ConsumerRecord::TargetEpoch(value.map(decode_target_epoch).transpose()?),
        MEMBER => {
            ConsumerRecord::Member(key.string()?, value.map(decode_subscription).transpose()?.map(Arc::new))
        }
        TARGET => {
            let partitions = value.map(|mut value| value.partitions()).transpose()?;
            ConsumerRecord::Target(key.string()?, partitions.map(Arc::new))
        }
        CURRENT => {
            ConsumerRecord::Current(key.string()?, value.map(decode_current).transpose()?.map(Arc::new))
        }
        _ => ConsumerRecord::Regex(key.string()?, value.map(decode_resolved).transpose()?.map(Arc::new)),
    };
    Ok(Some((group, record)))
}

fn open(value: &[u8]) -> Result<Input<'_>, RecordError> {
    let mut input = Input { rest: value, flexible: true };
    match input.int16()? {
        VALUE => Ok(input),
        version => Err(RecordError::Version(version)),
    }
}

fn decode_epoch(mut value: Input<'_>) -> Result<GroupEpoch, RecordError> {
    Ok(GroupEpoch { epoch: value.int32()?, metadata_hash: value.tagged_int64()? })
}

fn decode_target_epoch(mut value: Input<'_>) -> Result<TargetEpoch, RecordError> {
    Ok(TargetEpoch { epoch: value.int32()?, at_ms: value.tagged_int64()? })
}

fn decode_subscription(mut value: Input<'_>) -> Result<Subscription, RecordError> {
    let mut subscription = Subscription {
        instance_id: value.nullable()?,
        rack_id: value.nullable()?,
        client_id: value.string()?,
        client_host: value.string()?,
        topics: value.names()?,
        regex: value.nullable()?,
        rebalance_timeout_ms: value.int32()?,
        assignor: value.nullable()?,
        classic: None,
    };
    for _ in 0..value.varint()? {
        let tag = value.varint()?;
        let length = value.varint()? as usize;
        let mut field = Input { rest: value.take(length)?, flexible: true };
        if tag == 0 && field.chunk::<1>()? == [1] {
            subscription.classic = Some(Arc::new(decode_classic(field)?));
        }
    }
    Ok(subscription)
}

fn decode_classic(mut field: Input<'_>) -> Result<ClassicMember, RecordError> {
    let session_timeout_ms = field.int32()?;
    let count = field.count()?;
    let mut protocols = Vec::with_capacity(count);
    for _ in 0..count {
        protocols.push(Protocol { name: field.string()?, metadata: field.bytes()? });
        field.skip_tags()?;
    }
    Ok(ClassicMember { session_timeout_ms, protocols })
}

fn decode_current(mut value: Input<'_>) -> Result<Current, RecordError> {
    let epoch = value.int32()?;
    Ok(Current {
        epoch,
        previous_epoch: value.int32()?,
        progress: match value.chunk::<1>()? {
            [1] => Progress::Unrevoked,
            [2] => Progress::Unreleased,
            // Kafka calls what it does not know so too, until the member is heard of.
            _ => Progress::Stable,
        },
        assigned: value.held(epoch)?,
        revoking: value.held(epoch)?,
    })
}

fn decode_resolved(mut value: Input<'_>) -> Result<Resolved, RecordError> {
    Ok(Resolved { topics: value.names()?, version: value.int64()?, at_ms: value.int64()? })
}

impl Output {
    /// Tags: number 0 if it is not 0, and nothing else.
    fn tagged_int64(&mut self, value: i64) {
        if value == 0 {
            self.varint(0);
        } else {
            // One tag, number 0, of eight bytes.
            self.0.extend_from_slice(&[1, 0, 8]);
            self.int64(value);
        }
    }

    pub(super) fn varint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Lengths are those of requests, which end far below 4 GiB.
    fn compact_length(&mut self, length: usize) {
        self.varint(u32::try_from(length + 1).unwrap_or(u32::MAX));
    }

    pub(super) fn compact(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.compact_length(text.len());
                self.0.extend_from_slice(text.as_bytes());
            }
            None => self.varint(0),
        }
    }

    fn names(&mut self, names: &[Arc<str>]) {
        self.compact_length(names.len());
        for name in names {
            self.compact(Some(name));
        }
    }

    fn partitions(&mut self, partitions: &Partitions) {
        let topics = partitions.topics();
        self.compact_length(topics.len());
        for (topic, partitions) in topics {
            self.0.extend_from_slice(&topic.0);
            self.int32s(partitions.iter());
            self.varint(0);
        }
    }

    fn held(&mut self, held: &Held) {
        let topics = held.topics();
        self.compact_length(topics.len());
        for (topic, of) in topics {
            self.0.extend_from_slice(&topic.0);
            self.int32s(of.keys());
            let mut epochs = Output::default();
            epochs.int32s(of.values());
            // One tag, number 0.
            self.0.extend_from_slice(&[1, 0]);
            self.varint(u32::try_from(epochs.0.len()).unwrap_or(u32::MAX));
            self.0.extend_from_slice(&epochs.0);
        }
    }

    fn int32s<'a>(&mut self, all: impl ExactSizeIterator<Item = &'a i32>) {
        self.compact_length(all.len());
        all.for_each(|value| self.int32(*value));
    }
}

impl Input<'_> {
    /// Tags: number 0, which is 0 if it is not there.
    fn tagged_int64(&mut self) -> Result<i64, RecordError> {
        let mut value = 0;
        self.tags(|tag, mut field| {
            if tag == 0 {
                value = field.int64()?;
            }
            Ok(())
        })?;
        Ok(value)
    }

    fn names(&mut self) -> Result<Vec<Arc<str>>, RecordError> {
        (0..self.count()?).map(|_| self.string()).collect()
    }

    fn partitions(&mut self) -> Result<Partitions, RecordError> {
        let mut all = Partitions::default();
        for _ in 0..self.count()? {
            let topic = Uuid(self.chunk()?);
            for _ in 0..self.count()? {
                all.insert(topic, self.int32()?);
            }
            self.skip_tags()?;
        }
        Ok(all)
    }

    /// Partitions with epochs. Where there are none (before Kafka 4.3) it is that of the member, so that nothing older
    /// may be committed.
    fn held(&mut self, member_epoch: i32) -> Result<Held, RecordError> {
        let mut all = Held::default();
        for _ in 0..self.count()? {
            let topic = Uuid(self.chunk()?);
            let partitions = self.int32s()?.ok_or(RecordError::Malformed)?;
            let mut epochs = None;
            self.tags(|tag, mut field| {
                if tag == 0 {
                    epochs = field.int32s()?;
                }
                Ok(())
            })?;
            let epochs = epochs.filter(|epochs| epochs.len() == partitions.len());
            let epochs = epochs.unwrap_or_else(|| vec![member_epoch.max(0); partitions.len()]);
            for (partition, epoch) in partitions.into_iter().zip(epochs) {
                all.insert(topic, partition, epoch);
            }
        }
        Ok(all)
    }

    fn int32s(&mut self) -> Result<Option<Vec<i32>>, RecordError> {
        self.nullable_count()?.map(|count| (0..count).map(|_| self.int32()).collect()).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::group::Record;
    use crate::coordinator::records;

    fn bytes(record: ConsumerRecord) -> (Vec<u8>, Option<Vec<u8>>) {
        let record = Record::Consumer(record);
        let stored = records::encode("g", &record).unwrap();
        let (group, back) = records::decode(&stored.key, stored.value.as_deref()).unwrap().unwrap();
        assert_eq!((&*group, back), ("g", record));
        (stored.key, stored.value)
    }

    #[test]
    fn records_have_kafkas_bytes() {
        let (key, value) = bytes(ConsumerRecord::Epoch(Some(GroupEpoch { epoch: 5, metadata_hash: 258 })));
        assert_eq!(key, b"\x00\x03\x00\x01g");
        assert_eq!(value.unwrap(), b"\x00\x00\x00\x00\x00\x05\x01\x00\x08\x00\x00\x00\x00\x00\x00\x01\x02");

        let target = TargetEpoch { epoch: 5, at_ms: 258 };
        let (key, value) = bytes(ConsumerRecord::TargetEpoch(Some(target)));
        assert_eq!(key, b"\x00\x06\x00\x01g");
        assert_eq!(value.unwrap(), b"\x00\x00\x00\x00\x00\x05\x01\x00\x08\x00\x00\x00\x00\x00\x00\x01\x02");

        let partitions: Partitions = [(Uuid([7; 16]), 0), (Uuid([7; 16]), 3)].into_iter().collect();
        let (key, value) = bytes(ConsumerRecord::Target("m".into(), Some(Arc::new(partitions.clone()))));
        assert_eq!(key, b"\x00\x07\x00\x01g\x00\x01m");
        let mut expected = b"\x00\x00\x02".to_vec();
        expected.extend([7; 16]);
        expected.extend(b"\x03\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00");
        assert_eq!(value.unwrap(), expected);

        let current = Current {
            epoch: 2,
            previous_epoch: 1,
            progress: Progress::Unrevoked,
            assigned: Held::default(),
            revoking: Held::since(&partitions, 2),
        };
        bytes(ConsumerRecord::Current("m".into(), Some(Arc::new(current))));
    }

    /// As the schema of Kafka 4.3 has it (KIP-1251).
    #[test]
    fn what_a_member_has_is_kept_with_its_epochs() {
        let topic = Uuid([7; 16]);
        let current = Current {
            epoch: 5,
            previous_epoch: 4,
            progress: Progress::Unrevoked,
            assigned: [(topic, 0, 3), (topic, 2, 5)].into_iter().collect(),
            revoking: [(topic, 1, 4)].into_iter().collect(),
        };
        let (key, value) = bytes(ConsumerRecord::Current("m".into(), Some(Arc::new(current.clone()))));
        let fields = |assigned: &[u8], revoking: &[u8]| {
            let mut out = b"\0\0\0\0\0\x05\0\0\0\x04\x01\x02".to_vec();
            out.extend(topic.0);
            out.extend(b"\x03\0\0\0\0\0\0\0\x02");
            out.extend(assigned);
            out.push(2);
            out.extend(topic.0);
            out.extend(b"\x02\0\0\0\x01");
            out.extend(revoking);
            out.push(0);
            out
        };
        let written = fields(b"\x01\0\x09\x03\0\0\0\x03\0\0\0\x05", b"\x01\0\x05\x02\0\0\0\x04");
        assert_eq!(value.unwrap(), written);

        // Without them, with none, or with another number of them: the member's own, so that nothing older is taken.
        let read = |value: &[u8]| match records::decode(&key, Some(value)).unwrap().unwrap().1 {
            Record::Consumer(ConsumerRecord::Current(_, Some(current))) => (*current).clone(),
            other => panic!("{other:?}"),
        };
        let of_member = Current {
            assigned: Held::since(&current.assigned.partitions(), 5),
            revoking: Held::since(&current.revoking.partitions(), 5),
            ..current
        };
        assert_eq!(read(&fields(b"\0", b"\0")), of_member);
        assert_eq!(read(&fields(b"\x01\0\x01\0", b"\x01\0\x09\x03\0\0\0\x01\0\0\0\x01")), of_member);
        let mut away = fields(b"\0", b"\0");
        away[2..6].copy_from_slice(&(-2i32).to_be_bytes());
        assert_eq!(read(&away).assigned.epoch_of(topic, 0), Some(0));
        for cut in 0..written.len() - 1 {
            assert!(records::decode(&key, Some(&written[..cut])).is_err(), "{cut}");
        }
    }

    /// What Kafka 4.3.1 writes for the same member.
    #[test]
    fn a_member_of_the_classic_protocol_has_kafkas_bytes() {
        let protocols =
            vec![Protocol { name: "range".into(), metadata: bytes::Bytes::from_static(&[1, 2, 3]) }];
        let member = Subscription {
            client_id: "c".into(),
            client_host: "/h".into(),
            topics: vec!["t".into()],
            rebalance_timeout_ms: 300_000,
            classic: Some(Arc::new(ClassicMember { session_timeout_ms: 10_000, protocols })),
            ..Subscription::default()
        };
        let (_, value) = bytes(ConsumerRecord::Member("m".into(), Some(Arc::new(member))));
        let hex: String = value.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "000000000263032f6802027400000493e0000100120100002710020672616e6765040102030000");
    }

    #[test]
    fn every_record_and_every_tombstone_comes_back() {
        let subscription = Subscription {
            instance_id: Some("i".into()),
            rack_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            topics: vec!["a".into(), "b".into()],
            regex: Some("x".repeat(300).into()),
            rebalance_timeout_ms: 300_000,
            assignor: Some("range".into()),
            classic: None,
        };
        let classic = ClassicMember {
            session_timeout_ms: 10_000,
            protocols: vec![Protocol { name: "range".into(), metadata: bytes::Bytes::from_static(b"sub") }],
        };
        let of_classic = Subscription { classic: Some(Arc::new(classic)), ..subscription.clone() };
        let resolved = Resolved { topics: vec!["t".into()], version: 3, at_ms: 4 };
        for record in [
            ConsumerRecord::Member("m".into(), Some(Arc::new(subscription))),
            ConsumerRecord::Member("m".into(), Some(Arc::new(of_classic))),
            ConsumerRecord::Member("m".into(), None),
            ConsumerRecord::TargetEpoch(Some(TargetEpoch { epoch: 9, at_ms: 0 })),
            ConsumerRecord::TargetEpoch(Some(TargetEpoch { epoch: 9, at_ms: 1_700_000_000_000 })),
            ConsumerRecord::TargetEpoch(None),
            ConsumerRecord::Target("m".into(), None),
            ConsumerRecord::Current("m".into(), None),
            ConsumerRecord::Regex("a.*".into(), Some(Arc::new(resolved))),
            ConsumerRecord::Regex("a.*".into(), None),
            ConsumerRecord::Epoch(Some(GroupEpoch { epoch: 1, metadata_hash: 0 })),
            ConsumerRecord::Epoch(None),
        ] {
            bytes(record);
        }
    }

    #[test]
    fn cut_values_are_refused() {
        let partitions: Partitions = [(Uuid([7; 16]), 0)].into_iter().collect();
        let (key, value) = bytes(ConsumerRecord::Target("m".into(), Some(Arc::new(partitions))));
        let value = value.unwrap();
        for end in 0..value.len() - 1 {
            assert!(records::decode(&key, Some(&value[..end])).is_err(), "{end}");
        }
    }
}
