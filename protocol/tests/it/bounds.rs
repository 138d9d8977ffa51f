//! What a stranger sends: decoding never panics, and takes no more memory than a fixed multiple of the
//! bytes.

use crate::codec::{self, Codec};
use crate::value::{Random, random_struct, wide_struct, write_struct};
use allocation_counter::measure;
use proptest::prelude::*;
use quipu_protocol::Decode;
use quipu_protocol::header::decode_request_header;
use quipu_protocol::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use quipu_protocol::message::describe_topic_partitions::DescribeTopicPartitionsRequest;
use quipu_protocol::message::metadata::MetadataRequest;
use quipu_protocol::message::produce::ProduceRequest;
use quipu_protocol::primitives::{DecodeError, MAX_ARRAY_ELEMENTS, Reader};
use quipu_protocol::schema::{FieldSchema, FieldType, StructSchema};

/// The most bytes of memory for a byte of a message, counting each allocation in full even if a larger
/// one replaces it. A string of one byte becomes three words, and a vector that grows by doubling passes
/// through sizes that add up to thrice its last one; the most that any message reaches here is 93.
const MEMORY_PER_BYTE: u64 = 128;

/// Decodes, and checks what that allocated in all, also what it freed again.
fn decode_bounded(codec: &Codec, version: i16, bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut result = Ok(0);
    let used = measure(|| result = (codec.decode)(bytes, version)).bytes_total;
    let limit = MEMORY_PER_BYTE * bytes.len() as u64;
    assert!(used <= limit, "{} v{version}: {used} bytes of memory for {} bytes", codec.name, bytes.len());
    result
}

fn random_message(codec: &Codec, version: i16, random: &mut Random) -> Vec<u8> {
    let value = random_struct(codec.schema, version, random);
    let mut bytes = Vec::new();
    write_struct(codec.schema, &value, version, codec.is_flexible(version), &mut bytes);
    bytes
}

fn each_version(check: impl Fn(&Codec, i16, &mut Random)) {
    for (index, codec) in codec::all().iter().enumerate() {
        for version in codec.versions.clone() {
            check(codec, version, &mut Random((index as u64) << 32 | (version as u64) << 16 | 0xb000));
        }
    }
}

#[test]
fn a_part_of_a_message_is_an_error() {
    each_version(|codec, version, random| {
        let bytes = random_message(codec, version, random);
        for end in (0..bytes.len()).rev().take(200) {
            let result = decode_bounded(codec, version, &bytes[..end]);
            assert!(result.is_err(), "{} v{version}: {end} of {bytes:02x?}", codec.name);
        }
    });
}

#[test]
fn damaged_messages_do_no_harm() {
    // Lengths and counts that are wrong in the ways that hurt most.
    let hostile: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff; 5],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x80; 4],
        &[0, 0, 3, 0xe8],
        &[0x7f],
    ];
    each_version(|codec, version, random| {
        let bytes = random_message(codec, version, random);
        for _ in 0..64 {
            let mut bytes = bytes.clone();
            for _ in 0..=random.below(3) {
                if bytes.is_empty() {
                    continue;
                }
                let position = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[position] ^= 1 << random.below(8),
                    1 => bytes[position] = random.next() as u8,
                    _ => {
                        let part = hostile[random.below(hostile.len())];
                        let end = bytes.len().min(position + part.len());
                        bytes.splice(position..end, part.iter().copied());
                    }
                }
            }
            // Room for what the lengths ask for.
            bytes.extend(std::iter::repeat_n(random.next() as u8, random.below(3) * 1000));
            let _ = decode_bounded(codec, version, &bytes);
        }
    });
}

#[test]
fn wide_arrays_take_memory_for_their_elements_only() {
    each_version(|codec, version, _| {
        for depth in 0..4 {
            for count in [100, 1000, 1025] {
                let value = wide_struct(codec.schema, version, depth, count);
                let mut bytes = Vec::new();
                write_struct(codec.schema, &value, version, codec.is_flexible(version), &mut bytes);
                assert_eq!(decode_bounded(codec, version, &bytes), Ok(0), "{} v{version}", codec.name);
            }
        }
    });
}

proptest! {
    #[test]
    fn any_frame_is_read_or_refused(key in -1i16..100, version in -1i16..20, rest in any::<Vec<u8>>()) {
        let mut frame = key.to_be_bytes().to_vec();
        frame.extend(version.to_be_bytes());
        frame.extend(&rest);
        if let Ok((header, r)) = decode_request_header(&frame) {
            prop_assert_eq!((header.api_key, header.api_version), (key, version));
            for codec in codec::all().iter().filter(|codec| codec.key == Some(key)) {
                let result = decode_bounded(codec, version, r.rest());
                prop_assert!(result.is_err() || codec.versions.contains(&version));
            }
        }
    }
}

#[test]
fn a_count_without_elements_reserves_nothing() {
    for count in [1_000_001, i32::MAX] {
        let bytes = count.to_be_bytes();
        let used = measure(|| {
            let result = MetadataRequest::decode(&mut Reader::new(&bytes), 1);
            assert_eq!(result, Err(DecodeError::ArrayTooLong { count: count as usize, limit: 0 }));
        });
        assert_eq!(used.bytes_total, 0);
    }

    // Enough bytes for the count, but more elements than Kafka takes.
    let mut bytes = vec![0; 2 * MAX_ARRAY_ELEMENTS + 8];
    let count = MAX_ARRAY_ELEMENTS + 1;
    bytes[..4].copy_from_slice(&(count as i32).to_be_bytes());
    let result = MetadataRequest::decode(&mut Reader::new(&bytes), 1);
    assert_eq!(result, Err(DecodeError::ArrayTooLong { count, limit: MAX_ARRAY_ELEMENTS }));
}

/// The bound on counts rests on this.
#[test]
fn every_element_of_an_array_has_bytes() {
    fn check(schema: &StructSchema, version: i16, flexible: bool) {
        for field in schema.fields.iter().filter(|field| field.versions.contains(version)) {
            let mut ty = field.ty;
            while let FieldType::Array(element) = ty {
                ty = *element;
                let FieldType::Struct(part) = ty else { continue };
                let plain = |field: &&FieldSchema| field.tag.is_none() && field.versions.contains(version);
                assert!(
                    flexible || part.fields.iter().any(|field| plain(&field)),
                    "{} v{version}",
                    part.name
                );
            }
            if let FieldType::Struct(part) = ty {
                check(part, version, flexible);
            }
        }
    }
    each_version(|codec, version, _| check(codec.schema, version, codec.is_flexible(version)));
}

#[test]
fn null_is_an_error_where_the_version_has_none() {
    let null = (-1i32).to_be_bytes();
    let read = |version| MetadataRequest::decode(&mut Reader::new(&null), version);
    assert_eq!(read(0), Err(DecodeError::UnexpectedNull));
    assert_eq!(read(1).map(|request| request.topics), Ok(None));
    let below_null = (-2i32).to_be_bytes();
    let read = MetadataRequest::decode(&mut Reader::new(&below_null), 1);
    assert_eq!(read, Err(DecodeError::InvalidLength { length: -2 }));
}

#[test]
fn a_version_that_does_not_exist_is_an_error() {
    let read = |version| ProduceRequest::decode(&mut Reader::new(&[0; 64]), version).unwrap_err();
    for version in [-1, 2, 14, i16::MAX] {
        assert_eq!(read(version), DecodeError::UnsupportedVersion { message: "ProduceRequest", version });
    }
}

#[test]
fn tagged_fields_are_skipped_or_refused() {
    // No names, then the tagged fields.
    let read = |tags: &[u8]| {
        let bytes = [&[1, 1], tags].concat();
        let mut r = Reader::new(&bytes);
        ApiVersionsRequest::decode(&mut r, 3).map(|_| r.remaining())
    };
    assert_eq!(read(&[0]), Ok(0));
    assert_eq!(read(&[2, 5, 0, 0xe8, 0x07, 2, b'x', b'y', b'z']), Ok(1));
    assert_eq!(read(&[1, 5, 3, b'x', b'y']), Err(DecodeError::UnexpectedEnd { needed: 3, remaining: 2 }));
    assert_eq!(read(&[3, 5, 0]), Err(DecodeError::TooManyTaggedFields { count: 3 }));
    let many = [&[0x91, 0x4e][..], &[0; 20_002]].concat();
    assert_eq!(read(&many), Err(DecodeError::TooManyTaggedFields { count: 10_001 }));

    // A known one: the epoch of the finalized features.
    let epoch = |size: u8| {
        let mut bytes = vec![0, 0, 1, 0, 0, 0, 0, 1, 1, size];
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 7, 0, 0]);
        let result = ApiVersionsResponse::decode(&mut Reader::new(&bytes), 3);
        result.map(|response| response.finalized_features_epoch)
    };
    assert_eq!(epoch(8), Ok(7));
    assert_eq!(epoch(7), Err(DecodeError::UnexpectedEnd { needed: 8, remaining: 7 }));
    assert_eq!(epoch(9), Err(DecodeError::TaggedFieldSize { unread: 1 }));
}

#[test]
fn structs_that_may_be_null_begin_with_a_marker() {
    let read = |marker: u8| {
        // No topics, a limit on partitions, a cursor, no tags.
        let bytes = [&[1, 0, 0, 7, 0xd0, marker][..], &[1, 0, 0, 0, 0, 0, 0]].concat();
        DescribeTopicPartitionsRequest::decode(&mut Reader::new(&bytes), 0)
            .map(|request| request.cursor.is_some())
    };
    assert_eq!(read(0xff), Ok(false));
    assert_eq!(read(1), Ok(true));
    assert_eq!(read(0), Err(DecodeError::InvalidNullMarker { marker: 0 }));
}
