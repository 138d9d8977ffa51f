//! Every message against `kafka-protocol` 0.18, a codec that this project did not write. It knows the
//! schemas of Kafka 4.1, so some messages and versions are missing there; `java.rs` covers those.

use crate::codec::{self, Codec};
use crate::value::{Random, random_struct, write_struct};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message};
use quipu_protocol::ApiKey;
use quipu_protocol::schema::MessageKind;
use std::ops::RangeInclusive;

/// Random messages of each version.
const MESSAGES: usize = 24;

/// What that crate lacks or gets wrong, and why. A row that does not apply any more fails the test.
const KNOWN: &[(&str, RangeInclusive<i16>, Difference, &str)] = &[
    ("ListOffsetsRequest", 11..=11, Difference::Missing, NEW_IN_4_2),
    ("ListOffsetsResponse", 11..=11, Difference::Missing, NEW_IN_4_2),
    ("OffsetCommitRequest", 10..=10, Difference::Missing, TOP_VERSION_LEFT_OUT),
    ("OffsetFetchRequest", 10..=10, Difference::Missing, TOP_VERSION_LEFT_OUT),
    ("InitProducerIdRequest", 6..=6, Difference::Missing, UNSTABLE),
    ("WriteTxnMarkersRequest", 2..=2, Difference::Missing, NEW_IN_4_2),
    ("WriteTxnMarkersResponse", 2..=2, Difference::Missing, NEW_IN_4_2),
    ("DescribeLogDirsRequest", 5..=5, Difference::Missing, NEW_IN_4_3),
    ("DescribeLogDirsResponse", 5..=5, Difference::Missing, NEW_IN_4_3),
    ("ShareFetchRequest", 2..=2, Difference::Missing, NEW_IN_4_2),
    ("ShareFetchResponse", 2..=2, Difference::Missing, NEW_IN_4_2),
    ("ShareAcknowledgeRequest", 2..=2, Difference::Missing, NEW_IN_4_2),
    ("ShareAcknowledgeResponse", 2..=2, Difference::Missing, NEW_IN_4_2),
    ("AddRaftVoterRequest", 1..=1, Difference::Missing, NEW_IN_4_2),
    ("AddRaftVoterResponse", 1..=1, Difference::Missing, NEW_IN_4_2),
    ("DescribeShareGroupOffsetsRequest", 1..=1, Difference::Missing, NEW_IN_4_2),
    ("DescribeShareGroupOffsetsResponse", 1..=1, Difference::Missing, NEW_IN_4_2),
    ("ApiVersionsRequest", 5..=5, Difference::Missing, NEW_IN_4_4),
    ("ApiVersionsResponse", 5..=5, Difference::Missing, NEW_IN_4_4),
    ("TxnOffsetCommitRequest", 6..=6, Difference::Missing, NEW_IN_4_4),
    ("TxnOffsetCommitResponse", 6..=6, Difference::Missing, NEW_IN_4_4),
    ("DeleteGroupsRequest", 3..=3, Difference::Missing, NEW_IN_4_4),
    ("DeleteGroupsResponse", 3..=3, Difference::Missing, NEW_IN_4_4),
    ("StreamsGroupHeartbeatRequest", 0..=1, Difference::Missing, UNSTABLE),
    ("StreamsGroupHeartbeatResponse", 0..=1, Difference::Missing, UNSTABLE),
    ("StreamsGroupDescribeRequest", 0..=1, Difference::Missing, UNSTABLE),
    ("StreamsGroupDescribeResponse", 0..=1, Difference::Missing, UNSTABLE),
    ("StreamsGroupTopologyDescriptionUpdateRequest", 0..=0, Difference::Missing, NEW_IN_4_4),
    ("StreamsGroupTopologyDescriptionUpdateResponse", 0..=0, Difference::Missing, NEW_IN_4_4),
];

const NEW_IN_4_2: &str = "new in Kafka 4.2";
const NEW_IN_4_3: &str = "new in Kafka 4.3";
const NEW_IN_4_4: &str = "new in Kafka 4.4";
const UNSTABLE: &str = "unstable in Kafka 4.1: its generator leaves out such versions";
/// The response is there, and so is the version in the crate's `ApiKey::valid_versions`.
const TOP_VERSION_LEFT_OUT: &str = "the request was unstable in Kafka 4.1, the response was not marked so";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    /// The message or the version does not exist there.
    Missing,
    /// It does not give back the bytes that it was given.
    Bytes,
    /// Its default is another.
    Default,
    /// It has another header version.
    Header,
}

/// A message of that crate.
struct Other {
    versions: RangeInclusive<i16>,
    recode: fn(&[u8], i16) -> Result<Vec<u8>, String>,
    default: fn(i16) -> Result<Vec<u8>, String>,
    /// Data inside messages has none.
    header_version: Option<fn(i16) -> i16>,
}

fn recode<M: Encodable + Decodable>(bytes: &[u8], version: i16) -> Result<Vec<u8>, String> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let message = M::decode(&mut bytes, version).map_err(|error| error.to_string())?;
    if !bytes.is_empty() {
        return Err(format!("{} bytes left over", bytes.len()));
    }
    encode(&message, version)
}

fn encode<M: Encodable>(message: &M, version: i16) -> Result<Vec<u8>, String> {
    let mut bytes = BytesMut::new();
    message.encode(&mut bytes, version).map_err(|error| error.to_string())?;
    Ok(bytes.to_vec())
}

fn data<M: Encodable + Decodable + Message + Default>() -> Option<Other> {
    Some(Other {
        versions: M::VERSIONS.min..=M::VERSIONS.max,
        recode: recode::<M>,
        default: |version| encode(&M::default(), version),
        header_version: None,
    })
}

fn rpc<M: Encodable + Decodable + Message + HeaderVersion + Default>() -> Option<Other> {
    Some(Other { header_version: Some(M::header_version), ..data::<M>()? })
}

/// The messages that are missing there have rows of their own.
macro_rules! other {
    (StreamsGroupHeartbeatRequest) => {
        None
    };
    (StreamsGroupHeartbeatResponse) => {
        None
    };
    (StreamsGroupDescribeRequest) => {
        None
    };
    (StreamsGroupDescribeResponse) => {
        None
    };
    (StreamsGroupTopologyDescriptionUpdateRequest) => {
        None
    };
    (StreamsGroupTopologyDescriptionUpdateResponse) => {
        None
    };
    ($name:ident) => {
        rpc::<messages::$name>()
    };
}

macro_rules! others {
    ($($name:ident = $key:literal: $module:ident, $request:ident, $response:ident;)*) => {
        vec![
            $(other!($request), other!($response),)*
            data::<messages::ConsumerProtocolSubscription>(),
            data::<messages::ConsumerProtocolAssignment>(),
        ]
    };
}

/// In the order of [`codec::all`].
fn others() -> Vec<Option<Other>> {
    quipu_protocol::for_each_api!(others)
}

fn differences(
    codec: &Codec,
    other: Option<&Other>,
    version: i16,
    index: usize,
) -> Vec<(Difference, String)> {
    let Some(other) = other.filter(|other| other.versions.contains(&version)) else {
        return vec![(Difference::Missing, String::new())];
    };
    let mut found = Vec::new();
    for seed in 0..MESSAGES {
        let mut random = Random((index as u64) << 32 | (version as u64) << 16 | 0x8000 | seed as u64);
        let value = random_struct(codec.schema, version, &mut random);
        let mut bytes = Vec::new();
        write_struct(codec.schema, &value, version, codec.is_flexible(version), &mut bytes);
        let ours = (codec.recode)(&bytes, version);
        assert_eq!(ours.as_deref(), Ok(&bytes[..]), "{} v{version} seed {seed}", codec.name);
        let theirs = (other.recode)(&bytes, version);
        if theirs.as_ref() != Ok(&bytes) {
            found.push((Difference::Bytes, format!("seed {seed}: {bytes:02x?} became {theirs:02x?}")));
            break;
        }
    }
    let (ours, theirs) = ((codec.default)(version), (other.default)(version));
    if theirs.as_ref() != Ok(&ours) {
        found.push((Difference::Default, format!("ours {ours:02x?}, theirs {theirs:02x?}")));
    }
    if let (Some(header_version), Some(key)) = (other.header_version, codec.key) {
        let api = ApiKey::try_from(key).expect("a declared API");
        let ours = match codec.kind {
            MessageKind::Request => api.request_header_version(version),
            _ => api.response_header_version(version),
        };
        let theirs = header_version(version);
        if ours != theirs {
            found.push((Difference::Header, format!("ours {ours}, theirs {theirs}")));
        }
    }
    found
}

#[test]
fn every_message_has_the_bytes_of_another_codec() {
    let mut unexpected = Vec::new();
    let mut applied = vec![0; KNOWN.len()];
    for (index, (codec, other)) in codec::all().iter().zip(others()).enumerate() {
        for version in codec.versions.clone() {
            for (difference, detail) in differences(codec, other.as_ref(), version, index) {
                let known = KNOWN.iter().position(|(name, versions, known, _)| {
                    *name == codec.name && versions.contains(&version) && *known == difference
                });
                match known {
                    Some(row) => applied[row] += 1,
                    None => unexpected.push(format!("{} v{version}: {difference:?} {detail}", codec.name)),
                }
            }
        }
    }
    for ((name, versions, difference, _), applied) in KNOWN.iter().zip(applied) {
        if applied != versions.clone().count() {
            unexpected.push(format!("{name} v{versions:?}: {difference:?} applied {applied} times only"));
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}
