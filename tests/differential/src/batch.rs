//! Bytes and record batches as scenarios write them and as answers show them.
//!
//! A batch is `{records: [{k: key, v: value, ts: 1000, h: {name: value}}], pid: 5, epoch: 0, seq: 0, txn: true}`; a bare
//! word in `records` is a value without a key, `k=v` a record with one. A list stands for several batches.

use quipu_protocol::record::{Attributes, BatchBuilder, BatchView, Batches, Header, Records, crc32c};
use quipu_storage::compress::{self, Codec};

use crate::value::Value;

/// Timestamp of a record that names none; the next ones in its batch follow by a millisecond each.
const FIRST_TIMESTAMP: i64 = 1_000;

/// More than any scenario's batch has when it is not compressed.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Bytes of a field: text, `{subscription: [topic…]}`, `{assignment: {topic: [partition…]}}`, or `{zeros: N}`.
pub fn bytes(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Text(text) => Ok(text.clone().into_bytes()),
        Value::Int(number) => Ok(number.to_string().into_bytes()),
        Value::Bytes(bytes) => Ok(bytes.clone()),
        Value::Map(_) => {
            if let Some(Value::Int(count)) = value.get("zeros") {
                return Ok(vec![0; *count as usize]);
            }
            let mut out = vec![0, 0]; // version 0
            let string = |out: &mut Vec<u8>, text: &str| {
                out.extend((text.len() as i16).to_be_bytes());
                out.extend(text.as_bytes());
            };
            match (value.get("subscription"), value.get("assignment")) {
                (Some(Value::List(topics)), _) => {
                    out.extend((topics.len() as i32).to_be_bytes());
                    for topic in topics {
                        let Value::Text(topic) = topic else { return Err(format!("{topic:?} is no topic")) };
                        string(&mut out, topic);
                    }
                }
                (_, Some(Value::Map(topics))) => {
                    out.extend((topics.len() as i32).to_be_bytes());
                    for (topic, partitions) in topics {
                        string(&mut out, topic);
                        let Value::List(partitions) = partitions else {
                            return Err(format!("{partitions:?} are no partitions"));
                        };
                        out.extend((partitions.len() as i32).to_be_bytes());
                        for partition in partitions {
                            let Value::Int(partition) = partition else { return Err("no partition".into()) };
                            out.extend((*partition as i32).to_be_bytes());
                        }
                    }
                }
                _ => return Err(format!("{value:?} are no bytes")),
            }
            out.extend((-1i32).to_be_bytes()); // no user data
            Ok(out)
        }
        _ => Err(format!("{value:?} are no bytes")),
    }
}

/// Shown as text where it can be.
pub fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control()) => Value::Text(text.to_owned()),
        _ => Value::Bytes(bytes.to_vec()),
    }
}

/// The bytes of one batch or of a list of them.
pub fn encode(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::List(batches) => {
            batches.iter().map(encode).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
        }
        Value::Map(_) => encode_one(value),
        Value::Bytes(bytes) => Ok(bytes.clone()),
        Value::Text(text) => Ok(text.clone().into_bytes()),
        _ => Err(format!("{value:?} is no batch")),
    }
}

fn int(value: &Value, name: &str, otherwise: i64) -> Result<i64, String> {
    match value.get(name) {
        None => Ok(otherwise),
        Some(Value::Int(number)) => Ok(*number),
        Some(other) => Err(format!("{name}: {other:?} is no number")),
    }
}

fn encode_one(value: &Value) -> Result<Vec<u8>, String> {
    const KNOWN: [&str; 16] = [
        "records",
        "pid",
        "epoch",
        "seq",
        "txn",
        "control",
        "codec",
        "base",
        "ts",
        "crc",
        "magic",
        "count",
        "last",
        "attributes",
        "length",
        "maxTs",
    ];
    let Value::Map(fields) = value else { return Err("no batch".into()) };
    if let Some((name, _)) = fields.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        return Err(format!("a batch has no {name}"));
    }
    let flag = |name: &str| value.get(name) == Some(&Value::Bool(true));
    let mut attributes = Attributes::default().with_transactional(flag("txn")).with_control(flag("control"));
    attributes = Attributes(attributes.0 | int(value, "attributes", 0)? as i16);
    let mut builder = BatchBuilder::new().base_offset(int(value, "base", 0)?).attributes(attributes);
    if value.get("pid").is_some() {
        let (epoch, sequence) = (int(value, "epoch", 0)?, int(value, "seq", 0)?);
        builder = builder.producer(int(value, "pid", -1)?, epoch as i16, sequence as i32);
    }
    let mut timestamp = int(value, "ts", FIRST_TIMESTAMP)?;
    let records = match value.get("records") {
        Some(Value::List(records)) => records.as_slice(),
        _ => &[],
    };
    for record in records {
        push(&mut builder, record, &mut timestamp)?;
    }
    let codec = match value.get("codec") {
        None => None,
        Some(Value::Text(name)) => {
            let codecs = (0..=4).filter_map(Codec::from_number);
            Some(codecs.into_iter().find(|codec| codec.name() == name).ok_or(format!("no codec {name}"))?)
        }
        Some(other) => return Err(format!("{other:?} is no codec")),
    };
    let mut bytes = match codec {
        None => builder.finish(),
        Some(codec) => builder
            .finish_compressed(codec.number(), |bytes| compress::compress(codec, None, bytes))
            .map_err(|error| error.to_string())?,
    };
    damage(&mut bytes, value)?;
    Ok(bytes)
}

/// What a broken client would send.
fn damage(bytes: &mut [u8], value: &Value) -> Result<(), String> {
    use quipu_protocol::record::position;
    let mut put = |at: usize, new: &[u8]| bytes[at..at + new.len()].copy_from_slice(new);
    if value.get("count").is_some() {
        put(position::RECORDS_COUNT, &(int(value, "count", 0)? as i32).to_be_bytes());
    }
    if value.get("last").is_some() {
        put(position::LAST_OFFSET_DELTA, &(int(value, "last", 0)? as i32).to_be_bytes());
    }
    if value.get("maxTs").is_some() {
        put(position::MAX_TIMESTAMP, &int(value, "maxTs", 0)?.to_be_bytes());
    }
    let sum = crc32c(&bytes[position::ATTRIBUTES..]);
    bytes[position::CRC..position::CRC + 4].copy_from_slice(&sum.to_be_bytes());
    if value.get("crc").is_some() {
        bytes[position::CRC] ^= 1;
    }
    if value.get("magic").is_some() {
        bytes[position::MAGIC] = int(value, "magic", 2)? as u8;
    }
    if value.get("length").is_some() {
        let length = int(value, "length", 0)? as i32;
        bytes[position::LENGTH..position::LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn push(builder: &mut BatchBuilder, record: &Value, timestamp: &mut i64) -> Result<(), String> {
    let at = *timestamp;
    *timestamp += 1;
    match record {
        Value::Text(text) => match text.split_once('=') {
            Some((key, value)) => builder.push(at, Some(key.as_bytes()), Some(value.as_bytes()), &[]),
            None => builder.push(at, None, Some(text.as_bytes()), &[]),
        },
        Value::Int(number) => builder.push(at, None, Some(number.to_string().as_bytes()), &[]),
        Value::Map(_) => {
            let part = |name: &str| match record.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => bytes(value).map(Some),
            };
            let (key, value) = (part("k")?, part("v")?);
            let headers = match record.get("h") {
                Some(Value::Map(headers)) => headers
                    .iter()
                    .map(|(name, value)| match value {
                        Value::Null => Ok((name.clone().into_bytes(), None)),
                        _ => Ok((name.clone().into_bytes(), Some(bytes(value)?))),
                    })
                    .collect::<Result<Vec<_>, String>>()?,
                _ => Vec::new(),
            };
            let headers: Vec<Header<'_>> =
                headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            builder.push(int(record, "ts", at)?, key.as_deref(), value.as_deref(), &headers);
        }
        other => return Err(format!("{other:?} is no record")),
    }
    Ok(())
}

/// What a consumer sees: every whole batch with its records.
pub fn decode(bytes: &[u8]) -> Value {
    let mut batches: Vec<Value> = Batches::new(bytes).map(|batch| decode_one(&batch)).collect();
    let whole: usize = Batches::new(bytes).map(|batch| batch.bytes().len()).sum();
    if whole < bytes.len() {
        batches.push(Value::Text(format!("part of a batch: {:?}", text_or_bytes(&bytes[whole..]))));
    }
    Value::List(batches)
}

fn decode_one(batch: &BatchView<'_>) -> Value {
    let header = batch.header();
    let attributes = header.attributes;
    let field = |name: &str, value| (name.to_owned(), value);
    let mut fields = vec![
        field("baseOffset", Value::Int(header.base_offset)),
        field("lastOffset", Value::Int(header.last_offset())),
        field("leaderEpoch", Value::Int(header.partition_leader_epoch.into())),
        field("codec", Value::Int(attributes.codec().into())),
        field("logAppendTime", Value::Bool(attributes.is_log_append_time())),
        field("transactional", Value::Bool(attributes.is_transactional())),
        field("control", Value::Bool(attributes.is_control())),
        field("producerId", Value::Int(header.producer_id)),
        field("producerEpoch", Value::Int(header.producer_epoch.into())),
        field("baseSequence", Value::Int(header.base_sequence.into())),
        field("maxTimestamp", Value::Int(header.max_timestamp)),
        field("sumHolds", Value::Bool(batch.computed_crc() == header.crc)),
    ];
    let payload = match Codec::from_number(attributes.codec()) {
        None => Err("an unknown codec".to_owned()),
        Some(codec) if codec.number() == 0 => Ok(batch.payload().to_vec()),
        Some(codec) => compress::decompress(codec, batch.payload(), BATCH_BYTES_MAX)
            .map_err(|error| format!("{error:?}")),
    };
    let records = match payload {
        Err(error) => Value::Text(error),
        Ok(payload) => {
            let optional = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, text_or_bytes);
            let records = Records::new(&payload, header.records_count).map(|record| match record {
                Err(error) => Value::Text(error.to_string()),
                Ok(record) => Value::Map(vec![
                    field("offset", Value::Int(header.base_offset + i64::from(record.offset_delta))),
                    field("timestamp", Value::Int(header.base_timestamp + record.timestamp_delta)),
                    field("k", optional(record.key)),
                    field("v", optional(record.value)),
                    field(
                        "h",
                        Value::Map(
                            record.headers().map(|h| (h.name().into_owned(), optional(h.value))).collect(),
                        ),
                    ),
                ]),
            });
            Value::List(records.collect())
        }
    };
    fields.push(field("records", records));
    Value::Map(fields)
}
