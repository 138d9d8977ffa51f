//! Record batches, message format v2 (KIP-98): the only format that is stored and answered.
//!
//! ```text
//!   0  base offset            i64     offset of the first record
//!   8  batch length           i32     bytes that follow this field
//!  12  partition leader epoch i32
//!  16  magic                  i8      2
//!  17  CRC-32C                u32     of everything from attributes to the end
//!  21  attributes             i16     bits 0-2 codec, 3 time type, 4 transactional, 5 control, 6 delete horizon
//!  23  last offset delta      i32
//!  27  base timestamp         i64
//!  35  max timestamp          i64
//!  43  producer id            i64     -1: none
//!  51  producer epoch         i16     -1: none
//!  53  base sequence          i32     -1: none
//!  57  records count          i32
//!  61  records                        compressed as a whole when a codec is set
//! ```
//!
//! A record is `length varint, attributes i8, timestamp delta varlong, offset delta varint, key, value, headers`,
//! where key and value are a varint length (-1: null) and bytes.
//!
//! Nothing here allocates on the word of a length; every read is bounded by the bytes at hand.

use std::borrow::Cow;
use std::fmt;

/// Bytes before the first record.
pub const BATCH_HEADER_BYTES: usize = 61;
/// Bytes that the batch length field does not count: base offset and the length itself.
pub const BATCH_OVERHEAD_BYTES: usize = 12;
/// The message format that is understood.
pub const MAGIC: i8 = 2;

/// Where the fields of the batch header start.
pub mod position {
    #![allow(missing_docs)]
    pub const BASE_OFFSET: usize = 0;
    pub const LENGTH: usize = 8;
    pub const LEADER_EPOCH: usize = 12;
    pub const MAGIC: usize = 16;
    pub const CRC: usize = 17;
    pub const ATTRIBUTES: usize = 21;
    pub const LAST_OFFSET_DELTA: usize = 23;
    pub const BASE_TIMESTAMP: usize = 27;
    pub const MAX_TIMESTAMP: usize = 35;
    pub const PRODUCER_ID: usize = 43;
    pub const PRODUCER_EPOCH: usize = 51;
    pub const BASE_SEQUENCE: usize = 53;
    pub const RECORDS_COUNT: usize = 57;
}

/// CRC-32C (Castagnoli), the sum of Kafka's batches.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32C of two pieces that follow one another.
pub fn crc32c_of_parts(first: &[u8], second: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(second);
    digest.finalize() as u32
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;

    /// The codec's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 are not assigned.
    pub fn codec(self) -> u8 {
        (self.0 & Self::CODEC) as u8
    }

    /// Whether the timestamps are the broker's (max timestamp counts for every record).
    pub fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch is a transaction marker or another control record.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is a delete horizon (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same attributes with another codec number (the lowest three bits of `codec`).
    pub fn with_codec(self, codec: u8) -> Self {
        Self(self.0 & !Self::CODEC | i16::from(codec) & Self::CODEC)
    }

    /// The same attributes with the time type set.
    pub fn with_log_append_time(self, on: bool) -> Self {
        self.with(Self::LOG_APPEND_TIME, on)
    }

    /// The same attributes with the transactional bit set.
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(Self::TRANSACTIONAL, on)
    }

    /// The same attributes with the control bit set.
    pub fn with_control(self, on: bool) -> Self {
        self.with(Self::CONTROL, on)
    }

    fn with(self, bit: i16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// Why bytes are not a batch or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer bytes than the header or the length field asks for.
    Truncated {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The batch length is negative or smaller than a header.
    BadLength(i32),
    /// Another message format than v2.
    UnsupportedMagic(i8),
    /// A varint is longer than its type allows, or ends early.
    BadVarint,
    /// A length inside a record is negative where it must not be, or leads past the record.
    BadField(&'static str),
    /// The records do not add up to the declared count.
    CountMismatch {
        /// What the header says.
        declared: i32,
        /// What was found.
        found: i32,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, found } => write!(f, "needs {needed} bytes, found {found}"),
            Self::BadLength(length) => write!(f, "batch length {length} is out of range"),
            Self::UnsupportedMagic(magic) => {
                write!(f, "message format {magic} is not supported, only {MAGIC}")
            }
            Self::BadVarint => f.write_str("varint is too long or cut short"),
            Self::BadField(name) => write!(f, "{name} does not fit into its record"),
            Self::CountMismatch { declared, found } => {
                write!(f, "declared {declared} records, found {found}")
            }
        }
    }
}

impl std::error::Error for RecordError {}

/// The fields of a batch header, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    /// Leader epoch of the partition when the batch was appended.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, time type and kind.
    pub attributes: Attributes,
    /// Last offset minus base offset.
    pub last_offset_delta: i32,
    /// Timestamp that the records' deltas count from, in milliseconds.
    pub base_timestamp: i64,
    /// Greatest timestamp of the batch, in milliseconds; -1 when there is none.
    pub max_timestamp: i64,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Number of records.
    pub records_count: i32,
}

impl BatchHeader {
    /// Reads a header from the first 61 bytes. The magic byte and the length's lower bound are checked, no more:
    /// the batch itself may be longer than `bytes`.
    // Inlined, so that who asks for two fields of many headers does not read the others.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        // Old formats are shorter; the magic byte stands at the same place in all of them.
        if let Some(&magic) = bytes.get(position::MAGIC)
            && magic as i8 != MAGIC
        {
            return Err(RecordError::UnsupportedMagic(magic as i8));
        }
        let Some((header, _)) = bytes.split_first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(RecordError::Truncated { needed: BATCH_HEADER_BYTES, found: bytes.len() });
        };
        let this = Self {
            base_offset: i64::from_be_bytes(at(header, position::BASE_OFFSET)),
            batch_length: i32::from_be_bytes(at(header, position::LENGTH)),
            partition_leader_epoch: i32::from_be_bytes(at(header, position::LEADER_EPOCH)),
            crc: u32::from_be_bytes(at(header, position::CRC)),
            attributes: Attributes(i16::from_be_bytes(at(header, position::ATTRIBUTES))),
            last_offset_delta: i32::from_be_bytes(at(header, position::LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(at(header, position::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(at(header, position::MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(at(header, position::PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(at(header, position::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(at(header, position::BASE_SEQUENCE)),
            records_count: i32::from_be_bytes(at(header, position::RECORDS_COUNT)),
        };
        if this.batch_length < (BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES) as i32 {
            return Err(RecordError::BadLength(this.batch_length));
        }
        Ok(this)
    }

    /// Writes the header, magic included.
    pub fn to_bytes(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        put(&mut out, position::BASE_OFFSET, self.base_offset.to_be_bytes());
        put(&mut out, position::LENGTH, self.batch_length.to_be_bytes());
        put(&mut out, position::LEADER_EPOCH, self.partition_leader_epoch.to_be_bytes());
        put(&mut out, position::MAGIC, MAGIC.to_be_bytes());
        put(&mut out, position::CRC, self.crc.to_be_bytes());
        put(&mut out, position::ATTRIBUTES, self.attributes.0.to_be_bytes());
        put(&mut out, position::LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(&mut out, position::BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        put(&mut out, position::MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(&mut out, position::PRODUCER_ID, self.producer_id.to_be_bytes());
        put(&mut out, position::PRODUCER_EPOCH, self.producer_epoch.to_be_bytes());
        put(&mut out, position::BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(&mut out, position::RECORDS_COUNT, self.records_count.to_be_bytes());
        out
    }

    /// Bytes of the whole batch, header included.
    pub fn size_bytes(&self) -> usize {
        self.batch_length as usize + BATCH_OVERHEAD_BYTES
    }

    /// Offset of the last record. Saturates, for headers that were not checked.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Sequence number of the last record: sequences wrap from 2^31-1 to 0. -1 when there is no sequence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        add_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Whether an idempotent or transactional producer made the batch.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }
}

/// `sequence + delta` on the circle 0…2^31-1.
pub fn add_sequence(sequence: i32, delta: i32) -> i32 {
    ((i64::from(sequence) + i64::from(delta)) & i64::from(i32::MAX)) as i32
}

fn at<const N: usize>(header: &[u8; BATCH_HEADER_BYTES], start: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[start..start + N]);
    out
}

fn put<const N: usize>(header: &mut [u8; BATCH_HEADER_BYTES], start: usize, value: [u8; N]) {
    header[start..start + N].copy_from_slice(&value);
}

/// One whole batch in memory: its header and the bytes of its records.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Borrows the batch that `bytes` start with. The sum is not checked, see [`BatchView::computed_crc`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = header.size_bytes();
        match bytes.get(..needed) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(RecordError::Truncated { needed, found: bytes.len() }),
        }
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: records, compressed if a codec is set.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER_BYTES..]
    }

    /// The sum as it should be; the batch is intact when it equals the header's `crc`.
    pub fn computed_crc(&self) -> u32 {
        crc32c(&self.bytes[position::ATTRIBUTES..])
    }
}

/// The batches of a fetched or stored piece of log, one after the other. Ends at the first piece that is not a whole
/// batch: a fetch answer may be cut anywhere.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Batches<'a> {
    /// Walks over `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = BatchView<'a>;

    fn next(&mut self) -> Option<BatchView<'a>> {
        let batch = BatchView::parse(self.rest).ok()?;
        self.rest = &self.rest[batch.bytes.len()..];
        Some(batch)
    }
}

/// One record, borrowed from the uncompressed bytes of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// No bit is assigned.
    pub attributes: i8,
    /// Milliseconds since the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Offset minus the batch's base offset.
    pub offset_delta: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    headers_count: u32,
    headers: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// The headers in order; a key may come more than once.
    pub fn headers(&self) -> Headers<'a> {
        Headers { left: self.headers_count, rest: self.headers }
    }

    fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut rest = bytes;
        let (&attributes, tail) = rest.split_first().ok_or(RecordError::BadField("attributes"))?;
        rest = tail;
        let timestamp_delta = read_varlong(&mut rest)?;
        let offset_delta = read_varint(&mut rest)?;
        let key = read_nullable(&mut rest, "key")?;
        let value = read_nullable(&mut rest, "value")?;
        let count = read_varint(&mut rest)?;
        let headers_count = u32::try_from(count).map_err(|_| RecordError::BadField("headers count"))?;
        let headers = rest;
        // Checked once here, so that the iterator need not fail.
        for _ in 0..headers_count {
            read_nullable(&mut rest, "header key")?.ok_or(RecordError::BadField("header key"))?;
            read_nullable(&mut rest, "header value")?;
        }
        if !rest.is_empty() {
            return Err(RecordError::BadField("record length"));
        }
        Ok(Self {
            attributes: attributes as i8,
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers_count,
            headers,
        })
    }
}

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name as sent, UTF-8 by agreement but not checked.
    pub key: &'a [u8],
    /// The value, which may be null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// The name, with what is not UTF-8 replaced.
    pub fn name(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }
}

/// The headers of a record.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    left: u32,
    rest: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let key = read_nullable(&mut self.rest, "header key").ok()??;
        let value = read_nullable(&mut self.rest, "header value").ok()?;
        Some(Header { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Walks over the uncompressed records of a batch. Yields an error once, then ends.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    declared: i32,
    found: i32,
    done: bool,
}

impl<'a> Records<'a> {
    /// `bytes` are the records of a batch, uncompressed; `declared` is the header's count. It is an error when the
    /// bytes hold more or fewer.
    pub fn new(bytes: &'a [u8], declared: i32) -> Self {
        Self { rest: bytes, declared, found: 0, done: false }
    }

    fn step(&mut self) -> Option<Result<RecordView<'a>, RecordError>> {
        if self.rest.is_empty() {
            return (self.found != self.declared)
                .then_some(Err(RecordError::CountMismatch { declared: self.declared, found: self.found }));
        }
        if self.found == self.declared {
            return Some(Err(RecordError::CountMismatch {
                declared: self.declared,
                found: self.found.saturating_add(1),
            }));
        }
        let record = read_varint(&mut self.rest).and_then(|length| {
            let length = usize::try_from(length).map_err(|_| RecordError::BadField("record length"))?;
            let (record, rest) = self
                .rest
                .split_at_checked(length)
                .ok_or(RecordError::Truncated { needed: length, found: self.rest.len() })?;
            self.rest = rest;
            RecordView::parse(record)
        });
        self.found += 1;
        Some(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// Builds a batch of our own: internal topics, the command line, tests.
///
/// ```
/// use quipu_protocol::record::{BatchBuilder, BatchView, Records};
/// let mut builder = BatchBuilder::new();
/// builder.push(1_000, Some(b"key"), Some(b"value"), &[]);
/// let bytes = builder.finish();
/// let batch = BatchView::parse(&bytes)?;
/// assert_eq!(batch.computed_crc(), batch.header().crc);
/// assert_eq!(Records::new(batch.payload(), 1).next().unwrap()?.value, Some(&b"value"[..]));
/// # Ok::<(), quipu_protocol::record::RecordError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    attributes: Attributes,
    base_offset: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    count: i32,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch with base offset 0 and no producer.
    pub fn new() -> Self {
        Self {
            attributes: Attributes::default(),
            base_offset: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Sets the offset of the first record. Producers send 0.
    pub fn base_offset(mut self, offset: i64) -> Self {
        self.base_offset = offset;
        self
    }

    /// Marks the batch as made by an idempotent or transactional producer.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    /// Sets attribute bits; the codec's bits are set when the batch is finished.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Adds a record with its timestamp in milliseconds.
    pub fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        write_varlong(body, timestamp.wrapping_sub(self.base_timestamp));
        write_varint(body, self.count);
        write_nullable(body, key);
        write_nullable(body, value);
        write_varint(body, headers.len() as i32);
        for header in headers {
            write_nullable(body, Some(header.key));
            write_nullable(body, header.value);
        }
        write_varint(&mut self.records, body.len() as i32);
        self.records.extend_from_slice(body);
        self.count += 1;
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no record yet. An empty batch is not legal on the wire.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Size of the batch if it were finished without compression.
    pub fn size_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The batch, uncompressed.
    pub fn finish(self) -> Vec<u8> {
        self.seal(0, None)
    }

    /// The batch with its records run through `compress`; `codec` is the number for the attributes.
    pub fn finish_compressed<E>(
        self,
        codec: u8,
        compress: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let payload = compress(&self.records)?;
        Ok(self.seal(codec, Some(payload)))
    }

    fn seal(self, codec: u8, compressed: Option<Vec<u8>>) -> Vec<u8> {
        let payload = compressed.as_deref().unwrap_or(&self.records);
        let mut header = BatchHeader {
            base_offset: self.base_offset,
            batch_length: (BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES + payload.len()) as i32,
            partition_leader_epoch: -1,
            crc: 0,
            attributes: self.attributes.with_codec(codec),
            last_offset_delta: self.count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.count,
        };
        header.crc = crc32c_of_parts(&header.to_bytes()[position::ATTRIBUTES..], payload);
        let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(payload);
        out
    }
}

/// Reads a zigzag varint of at most five bytes and moves `bytes` behind it.
pub fn read_varint(bytes: &mut &[u8]) -> Result<i32, RecordError> {
    let raw = read_unsigned(bytes, 5)?;
    let raw = u32::try_from(raw).map_err(|_| RecordError::BadVarint)?;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads a zigzag varint of at most ten bytes and moves `bytes` behind it.
pub fn read_varlong(bytes: &mut &[u8]) -> Result<i64, RecordError> {
    let raw = read_unsigned(bytes, 10)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

fn read_unsigned(bytes: &mut &[u8], longest: usize) -> Result<u64, RecordError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(longest).enumerate() {
        let low = u64::from(byte & 0x7f);
        // The tenth byte carries one bit only.
        if i == 9 && low > 1 {
            return Err(RecordError::BadVarint);
        }
        value |= low << (7 * i);
        if byte & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return Ok(value);
        }
    }
    Err(RecordError::BadVarint)
}

/// Appends a zigzag varint.
pub fn write_varint(out: &mut Vec<u8>, value: i32) {
    write_unsigned(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends a zigzag varint of 64 bits.
pub fn write_varlong(out: &mut Vec<u8>, value: i64) {
    write_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_nullable<'a>(bytes: &mut &'a [u8], name: &'static str) -> Result<Option<&'a [u8]>, RecordError> {
    let length = read_varint(bytes)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| RecordError::BadField(name))?;
    let (field, rest) = bytes.split_at_checked(length).ok_or(RecordError::BadField(name))?;
    *bytes = rest;
    Ok(Some(field))
}

fn write_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => write_varint(out, -1),
        Some(field) => {
            write_varint(out, field.len() as i32);
            out.extend_from_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let mut builder = BatchBuilder::new().producer(7, 1, i32::MAX);
        builder.push(1_000, Some(b"k"), Some(b"v"), &[]);
        let headers = [Header { key: b"a", value: None }, Header { key: b"a", value: Some(b"2") }];
        builder.push(900, None, None, &headers);
        builder.finish()
    }

    #[test]
    fn a_built_batch_reads_back() {
        let bytes = sample();
        let batch = BatchView::parse(&bytes).unwrap();
        assert_eq!(batch.computed_crc(), batch.header().crc);
        assert_eq!(batch.header().to_bytes(), bytes[..BATCH_HEADER_BYTES]);
        assert_eq!((batch.header().base_timestamp, batch.header().max_timestamp), (1_000, 1_000));
        assert_eq!(batch.header().last_sequence(), 0, "sequences wrap");
        let records: Vec<_> = Records::new(batch.payload(), 2).collect::<Result<_, _>>().unwrap();
        assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v"[..])));
        assert_eq!((records[1].offset_delta, records[1].timestamp_delta), (1, -100));
        assert_eq!(
            records[1].headers().map(|h| (h.name(), h.value)).collect::<Vec<_>>(),
            [("a".into(), None), ("a".into(), Some(&b"2"[..]))]
        );
    }

    #[test]
    fn a_wrong_count_is_an_error_and_the_walk_ends() {
        let bytes = sample();
        let payload = &bytes[BATCH_HEADER_BYTES..];
        for declared in [0, 1, 3, -1, i32::MAX] {
            let mut walk = Records::new(payload, declared);
            let error = walk.by_ref().find_map(Result::err);
            assert!(matches!(error, Some(RecordError::CountMismatch { .. })), "{declared}: {error:?}");
            assert!(walk.next().is_none());
        }
    }

    #[test]
    fn every_cut_is_an_error_not_a_panic() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(BatchView::parse(&bytes[..cut]).is_err());
            if cut >= BATCH_HEADER_BYTES {
                assert!(Records::new(&bytes[BATCH_HEADER_BYTES..cut], 2).any(|r| r.is_err()));
            }
        }
    }

    #[test]
    fn old_formats_are_named_even_when_shorter_than_a_header() {
        let mut bytes = [0; 34];
        bytes[position::MAGIC] = 1;
        assert_eq!(BatchHeader::parse(&bytes), Err(RecordError::UnsupportedMagic(1)));
    }

    proptest! {
        #[test]
        fn varints_round_trip(a: i32, b: i64) {
            let mut out = Vec::new();
            write_varint(&mut out, a);
            write_varlong(&mut out, b);
            let mut rest = &out[..];
            prop_assert_eq!(read_varint(&mut rest).unwrap(), a);
            prop_assert_eq!(read_varlong(&mut rest).unwrap(), b);
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, count: i32) {
            for record in Records::new(&bytes, count).flatten() {
                prop_assert!(record.headers().count() <= bytes.len());
            }
            let _ = BatchView::parse(&bytes);
        }
    }
}
