//! Records of `__transaction_state`, in Kafka's own forms. Numbers are big endian.
//!
//! ```text
//! TransactionLogKey   0   transactional id: string
//! TransactionLogValue 0   producer id: int64 · epoch: int16 · timeout: int32 · status: int8 ·
//!                         partitions: [topic: string · [int32]]? · last update: int64 · start: int64
//!                     1   as 0, flexible; tags 0 previous producer id: int64, 1 next producer id: int64,
//!                         2 client's transaction version: int16, 3 (ours) last producer epoch: int16
//! ```
//! Version 1 is written, both are read. Kafka forgets the last epoch at a restart, and then takes a retry for another
//! producer (KAFKA-20357); readers that do not know the tag pass over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::machine::{NONE, Status, Transaction, Version};
use crate::coordinator::records::{CoordinatorRecord, Input, RecordError};

const KEY: i16 = 0;
const VALUE: i16 = 1;

const PREVIOUS_PRODUCER_ID: u32 = 0;
const NEXT_PRODUCER_ID: u32 = 1;
const CLIENT_VERSION: u32 = 2;
const LAST_PRODUCER_EPOCH: u32 = 3;

/// Longest transactional id.
pub const ID_BYTES_MAX: usize = i16::MAX as usize;

/// The on-log form of a change; without a state the id is forgotten.
pub fn encode(transactional_id: &str, state: Option<&Transaction>) -> Result<CoordinatorRecord, RecordError> {
    let length = i16::try_from(transactional_id.len()).map_err(|_| RecordError::TooLong)?;
    let key = [&KEY.to_be_bytes()[..], &length.to_be_bytes(), transactional_id.as_bytes()].concat();
    Ok(CoordinatorRecord { key, value: state.map(encode_value) })
}

fn encode_value(state: &Transaction) -> Vec<u8> {
    let mut out = VALUE.to_be_bytes().to_vec();
    out.extend(state.producer_id.to_be_bytes());
    out.extend(state.producer_epoch.to_be_bytes());
    out.extend(state.timeout_ms.to_be_bytes());
    out.push(state.status as u8);
    if state.status == Status::Empty {
        out.push(0);
    } else {
        varint(&mut out, state.partitions.len() + 1);
        for (topic, partitions) in &state.partitions {
            varint(&mut out, topic.len() + 1);
            out.extend(topic.as_bytes());
            varint(&mut out, partitions.len() + 1);
            out.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
            out.push(0);
        }
    }
    out.extend(state.updated_ms.to_be_bytes());
    out.extend(state.started_ms.to_be_bytes());
    let mut tags: Vec<(u32, Vec<u8>)> = Vec::new();
    if state.previous_producer_id != -1 {
        tags.push((PREVIOUS_PRODUCER_ID, state.previous_producer_id.to_be_bytes().to_vec()));
    }
    if state.next_producer_id != -1 {
        tags.push((NEXT_PRODUCER_ID, state.next_producer_id.to_be_bytes().to_vec()));
    }
    if state.version == Version::Two {
        tags.push((CLIENT_VERSION, 2i16.to_be_bytes().to_vec()));
    }
    if state.last_producer_epoch != NONE {
        tags.push((LAST_PRODUCER_EPOCH, state.last_producer_epoch.to_be_bytes().to_vec()));
    }
    varint(&mut out, tags.len());
    for (tag, bytes) in tags {
        varint(&mut out, tag as usize);
        varint(&mut out, bytes.len());
        out.extend(bytes);
    }
    out
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A transactional id and its state, if it still has one.
pub type Stored = (Arc<str>, Option<Transaction>);

/// Reads a stored record: the transactional id and its state, if it still has one. `None` for kinds of records that are
/// not known.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Stored>, RecordError> {
    let mut key = Input { rest: key, flexible: false };
    match key.int16()? {
        KEY => {}
        1.. => return Ok(None),
        version => return Err(RecordError::Version(version)),
    }
    let transactional_id = key.string()?;
    Ok(Some((transactional_id, value.map(decode_value).transpose()?)))
}

fn decode_value(value: &[u8]) -> Result<Transaction, RecordError> {
    let mut input = Input { rest: value, flexible: false };
    let version = input.int16()?;
    if !(0..=VALUE).contains(&version) {
        return Err(RecordError::Version(version));
    }
    input.flexible = version == VALUE;
    let producer_id = input.int64()?;
    let producer_epoch = input.int16()?;
    let timeout_ms = input.int32()?;
    let status = usize::try_from(input.int8()?).ok().and_then(|number| Status::ALL.get(number));
    let status = *status.ok_or(RecordError::Malformed)?;
    let mut partitions = BTreeMap::new();
    for _ in 0..input.nullable_count()?.unwrap_or(0) {
        let topic = input.string()?;
        let count = input.count()?;
        let indexes = (0..count).map(|_| input.int32()).collect::<Result<_, _>>()?;
        if input.flexible {
            input.skip_tags()?;
        }
        partitions.insert(topic, indexes);
    }
    let mut state = Transaction {
        producer_id,
        previous_producer_id: -1,
        next_producer_id: -1,
        producer_epoch,
        last_producer_epoch: NONE,
        timeout_ms,
        status,
        partitions,
        updated_ms: input.int64()?,
        started_ms: input.int64()?,
        version: Version::One,
    };
    if input.flexible {
        input.tags(|tag, mut value| {
            match tag {
                PREVIOUS_PRODUCER_ID => state.previous_producer_id = value.int64()?,
                NEXT_PRODUCER_ID => state.next_producer_id = value.int64()?,
                CLIENT_VERSION if value.int16()? >= 2 => state.version = Version::Two,
                LAST_PRODUCER_EPOCH => state.last_producer_epoch = value.int16()?,
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ongoing() -> Transaction {
        Transaction {
            producer_id: 258,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: 3,
            last_producer_epoch: NONE,
            timeout_ms: 60_000,
            status: Status::Ongoing,
            partitions: BTreeMap::from([(Arc::from("t"), [0, 2].into())]),
            updated_ms: 1_000,
            started_ms: 999,
            version: Version::One,
        }
    }

    fn round_trip(state: Option<Transaction>) {
        let CoordinatorRecord { key, value } = encode("id", state.as_ref()).unwrap();
        assert_eq!(decode(&key, value.as_deref()), Ok(Some(("id".into(), state))));
    }

    #[test]
    fn a_transaction_has_kafkas_bytes() {
        let CoordinatorRecord { key, value } = encode("id", Some(&ongoing())).unwrap();
        assert_eq!(key, b"\x00\x00\x00\x02id");
        let wanted = b"\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02\x00\x03\x00\x00\xea\x60\x01\
            \x02\x02t\x03\x00\x00\x00\x00\x00\x00\x00\x02\x00\
            \x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x03\xe7\x00";
        assert_eq!(value.unwrap(), wanted);
    }

    #[test]
    fn everything_round_trips() {
        round_trip(None);
        round_trip(Some(ongoing()));
        let ended = Transaction {
            status: Status::PrepareCommit,
            previous_producer_id: 7,
            next_producer_id: 9,
            last_producer_epoch: 2,
            version: Version::Two,
            ..ongoing()
        };
        round_trip(Some(ended));
        let empty = Transaction { status: Status::Empty, partitions: BTreeMap::new(), ..ongoing() };
        round_trip(Some(empty));
    }

    #[test]
    fn the_inflexible_form_is_read() {
        let value = b"\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x03\x00\x00\xea\x60\x01\
            \x00\x00\x00\x01\x00\x01t\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\
            \x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x00\x00\x00\x00\x03\xe7";
        assert_eq!(decode_value(value), Ok(ongoing()));
        let null = [&value[..17], b"\xff\xff\xff\xff", &value[value.len() - 16..]].concat();
        assert!(decode_value(&null).unwrap().partitions.is_empty());
    }

    #[test]
    fn damaged_records_are_refused_wherever_they_are_cut() {
        let state = Transaction { next_producer_id: 5, ..ongoing() };
        let CoordinatorRecord { key, value } = encode("id", Some(&state)).unwrap();
        let value = value.unwrap();
        for cut in 0..key.len() {
            assert!(decode(&key[..cut], Some(&value)).is_err());
        }
        for cut in 0..value.len() {
            assert!(decode(&key, Some(&value[..cut])).is_err());
        }
        assert_eq!(decode(b"\x00\x01", None), Ok(None));
    }
}
